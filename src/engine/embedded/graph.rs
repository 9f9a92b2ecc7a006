//! The build graph: what the frontend hands to the solver, in the words of `BuildKit`'s LLB.
//!
//! A typed graph of our own, because the maintained builder of LLB has no HTTP, git or image-blob
//! sources, no tmpfs and no cache-mount modes, and an LLB copy action cannot say what an ADD of an
//! unknown file does. It maps to LLB one to one where LLB has the operation (`--dump-llb`).
//!
//! A vertex's output is a file tree: the layers of its base plus, for [`Op::Exec`] and [`Op::File`],
//! one layer of its own. Variables are expanded by the frontend, user names and wildcards are not:
//! those need the tree. Pure data: what the serialised vertex says, and its inputs, is all that a
//! result may depend on, so its digest can be a cache key.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::oci::Platform;

/// Index of a vertex in [`Graph::vertices`]; a vertex refers only to vertices before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VertexId(pub usize);

/// One image to make. Only what the target needs is in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Graph {
    /// in topological order
    pub vertices: Vec<Vertex>,
    /// the tree of the image; `None` is the empty tree (`FROM scratch` and nothing else)
    pub result: Option<VertexId>,
    /// configuration of the image as OCI JSON, without `rootfs`, `history` and `created`
    pub config: serde_json::Value,
    /// history from the base image on, the base's own entries not included
    pub history: Vec<HistoryEntry>,
    /// platform of the image
    pub platform: Platform,
    /// seconds since 1970 that the Dockerfile itself dates the image by: `SOURCE_DATE_EPOCH` of an
    /// `ARG` before the first `FROM`
    pub epoch: Option<i64>,
}

/// One line of the image's history. In the order of instructions; the entries that are not empty
/// are, in order, those of the layers that `result` has over its base image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// as `BuildKit` words it: `RUN /bin/sh -c make # buildkit`
    pub created_by: String,
    /// `buildkit.dockerfile.v0`, as `BuildKit` has it
    pub comment: String,
    /// no layer belongs to it
    pub empty_layer: bool,
}

/// One step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Vertex {
    /// what it does
    pub op: Op,
    /// as `BuildKit` words it, `[build 2/5] RUN make`; not part of the cache key
    pub name: String,
    /// where the Dockerfile says so; not part of the cache key
    pub span: Option<Span>,
}

/// Lines of a Dockerfile, 1-based, last included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// first line
    pub line: u32,
    /// last line
    pub end_line: u32,
}

/// What a vertex does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "op")]
pub enum Op {
    /// an image of a registry, layout or archive; its layers are the tree
    Image(ImageSource),
    /// one file from HTTP(S), alone in an otherwise empty tree
    Http(HttpSource),
    /// a checkout
    Git(GitSource),
    /// a command
    Exec(Box<Exec>),
    /// changes of files: one layer
    File(FileOp),
}

/// An image that was resolved before the graph was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSource {
    /// as the Dockerfile names it, expanded
    pub reference: String,
    /// digest of the platform's manifest
    pub manifest: String,
    /// platform wanted
    pub platform: Platform,
}

/// `ADD https://…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpSource {
    /// address
    pub url: String,
    /// `--checksum`
    pub checksum: Option<String>,
    /// name of the file in the tree
    pub filename: String,
}

/// `ADD https://….git#ref:subdir`, `ADD git@…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitSource {
    /// repository
    pub remote: String,
    /// branch, tag, commit; the default branch when absent
    pub reference: Option<String>,
    /// directory in it
    pub subdir: Option<String>,
    /// `--keep-git-dir`
    pub keep_git_dir: bool,
    /// `--checksum`: the commit that it must be
    pub checksum: Option<String>,
    /// submodules stay empty
    pub skip_submodules: bool,
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exec {
    /// the tree it runs in; empty tree when `None`
    pub base: Option<VertexId>,
    /// complete argument vector, shell included
    pub args: Vec<String>,
    /// environment in order, PATH included; build arguments and proxy variables too
    pub env: IndexMap<String, String>,
    /// variables that must not become part of the cache key (proxy settings)
    pub uncached_env: IndexMap<String, String>,
    /// absolute working directory
    pub cwd: String,
    /// as `USER` says it, empty for root; names are looked up in the tree
    pub user: String,
    /// in the Dockerfile's order
    pub mounts: Vec<Mount>,
    /// `--network` or the build's network
    pub network: Network,
    /// lines for /etc/hosts: name → address
    pub add_hosts: IndexMap<String, String>,
    /// name of the machine, when the build gives one
    pub hostname: Option<String>,
}

/// Network of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// as the engine gives it: the host's
    #[default]
    Default,
    /// the host's
    Host,
    /// loopback only
    None,
}

/// `RUN --mount`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// absolute path in the container; relative ones were joined to the working directory
    pub target: String,
    /// what is there
    pub kind: MountKind,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum MountKind {
    /// files of the context, a stage or an image
    Bind {
        /// whose
        from: Tree,
        /// path in it
        source: String,
        /// writes are allowed, and thrown away
        writable: bool,
    },
    /// a directory that outlives the build
    Cache {
        /// its name
        id: String,
        /// `shared`, `private`, `locked`
        sharing: Sharing,
        /// what it starts with
        from: Option<Tree>,
        /// path in `from`
        source: String,
        /// read-only
        read_only: bool,
        /// of a new directory
        mode: u32,
        /// of a new directory
        uid: u32,
        /// of a new directory
        gid: u32,
    },
    /// memory
    Tmpfs {
        /// bytes
        size: Option<u64>,
    },
    /// a secret as a file or as a variable
    Secret {
        /// its id
        id: String,
        /// there is a file at the target
        file: bool,
        /// variable to put it in
        env: Option<String>,
        /// missing secrets fail the step
        required: bool,
        /// of the file
        mode: u32,
        /// of the file
        uid: u32,
        /// of the file
        gid: u32,
    },
    /// a socket of an agent
    Ssh {
        /// its id
        id: String,
        /// a missing agent fails the step
        required: bool,
        /// of the socket
        mode: u32,
        /// of the socket
        uid: u32,
        /// of the socket
        gid: u32,
    },
}

/// How concurrent steps share a cache directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// at once
    #[default]
    Shared,
    /// a new one for each writer
    Private,
    /// one after another
    Locked,
}

/// A file tree that something is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "tree", content = "vertex")]
pub enum Tree {
    /// the build context, `.dockerignore` applied
    Context,
    /// nothing: a stage that is `FROM scratch` and no more
    Empty,
    /// a vertex's output
    Vertex(VertexId),
}

/// Changes of files that make one layer together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileOp {
    /// the tree that is changed; empty tree when `None`
    pub base: Option<VertexId>,
    /// in order
    pub actions: Vec<FileAction>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum FileAction {
    /// a directory, parents too, when it is not there (`WORKDIR`)
    Mkdir {
        /// absolute
        path: String,
        /// of directories that are made
        mode: u32,
        /// `user[:group]` of the directory that is made; names are looked up in the tree
        owner: Option<String>,
    },
    /// `COPY`, `ADD`: one source group
    Copy(Box<Copy>),
}

/// `COPY`, `ADD`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Copy {
    /// where sources are
    pub from: CopyFrom,
    /// paths and wildcards, as written after expansion; empty for inline files
    pub sources: Vec<String>,
    /// absolute; a trailing slash is kept and means a directory
    pub destination: String,
    /// `--chown`; `None` keeps the owners of a stage's or an image's files and makes those of the
    /// context 0:0. Names are looked up in the destination tree
    pub chown: Option<String>,
    /// `--chmod`: octal or symbolic
    pub chmod: Option<String>,
    /// `--link`: the layer does not depend on what is under it
    pub link: bool,
    /// `--parents`
    pub parents: bool,
    /// `--exclude`, in order
    pub exclude: Vec<String>,
    /// unpack local archives (`ADD`), never (`COPY`), always (`ADD --unpack`)
    pub unpack: Unpack,
    /// the directory itself, not its contents alone: a repository
    pub whole: bool,
}

/// What files are copied from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum CopyFrom {
    /// context or vertex
    Tree(Tree),
    /// here-documents: name → content
    Inline(IndexMap<String, String>),
}

/// Whether archives are unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unpack {
    /// what `BuildKit` recognises as an archive is unpacked, else copied
    Archives,
    /// never
    Never,
    /// it must be one
    Always,
}
