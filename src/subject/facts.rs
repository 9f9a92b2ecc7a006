//! What one pass over the layers of an image learns: the data that checks read.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    oci::{DiffId, Digest, ImagePath, LayerIndex},
    rpm::Package,
};

/// What kind of thing an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// regular file: size in bytes and SHA-256 of the content
    File {
        /// bytes, holes included
        size: u64,
        /// of the content
        sha256: [u8; 32],
    },
    /// directory
    Directory,
    /// symbolic link: target as stored
    Symlink(Box<[u8]>),
    /// character or block device: major, minor
    Device(u32, u32),
    /// named pipe
    Fifo,
}

/// A file system entry of the flattened image, or of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// what it is
    pub kind: EntryKind,
    /// permission bits, set-id and sticky bits included (`0o7777`)
    pub mode: u16,
    /// numeric owner
    pub uid: u32,
    /// numeric group
    pub gid: u32,
    /// raw `security.capability` xattr, empty for none
    pub caps: Box<[u8]>,
    /// the layer that brought this entry in its present form
    pub layer: LayerIndex,
}

/// A layer as stored and as unpacked.
#[derive(Debug, Clone)]
pub struct LayerFacts {
    /// position
    pub index: LayerIndex,
    /// digest of the blob
    pub digest: Digest,
    /// digest of the uncompressed tar
    pub diff_id: DiffId,
    /// bytes of the blob
    pub size: u64,
    /// bytes of the uncompressed tar
    pub uncompressed_size: u64,
    /// tar entries
    pub entries: u64,
    /// `created_by` of the history entry that made it
    pub created_by: Option<String>,
    /// paths this layer adds or replaces (files, links) and deletes, in tar order
    pub changes: Vec<Change>,
}

/// What a layer does to a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// the path
    pub path: ImagePath,
    /// what happens to it
    pub kind: ChangeKind,
}

/// Kinds of [`Change`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// the layer holds this entry
    Put(Entry),
    /// a whiteout removes it
    Delete,
    /// an opaque whiteout empties the directory of everything below
    Opaque,
}

/// An rpm-owned file that is not as its package describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProblem {
    /// where
    pub path: ImagePath,
    /// owner
    pub package: String,
    /// the vendor of the owner
    pub vendor: Option<String>,
    /// `rpm -V`'s nine columns: `S.5....T.` (mtime never set here), or `missing  `
    pub flags: String,
    /// `c`, `d`, `g`, `l`, `r`, `a` or a space, as `rpm -V` prints it
    pub attribute: char,
    /// one sentence: what was expected and what was found
    pub detail: String,
    /// the layer that changed it; for missing files the one that deleted it
    pub layer: Option<LayerIndex>,
    /// it makes the assessment fail (else it is only told: config files, mode or owner …)
    pub fails: bool,
}

/// What openshift-preflight's `HasModifiedFiles` would say, for comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreflightModified {
    /// path and the layer that changed it
    pub files: Vec<(ImagePath, LayerIndex)>,
}

/// The packages of an image.
#[derive(Debug, Clone)]
pub struct Packages {
    /// path of the database in the image
    pub database: ImagePath,
    /// `sqlite`, `ndb` or `bdb`
    pub format: &'static str,
    /// in database order, keys (`gpg-pubkey`) included
    pub list: Vec<Arc<Package>>,
    /// for each package of `list`: the first layer whose database has it
    pub layers: Vec<LayerIndex>,
}

/// A secret-looking thing left in a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretTrace {
    /// where
    pub path: ImagePath,
    /// the layer that holds it (it stays in the image even when a later layer deletes it)
    pub layer: LayerIndex,
    /// what it looks like, such as `private key (PEM)`
    pub what: &'static str,
    /// a later layer deletes or replaces it
    pub deleted_later: bool,
}

/// A fact, or why it could not be had.
#[derive(Debug, Clone)]
pub enum Fact<T> {
    /// it is known
    Known(T),
    /// it is not; what was tried and why it did not work
    Unmet(String),
}

/// Everything the pass learns.
#[derive(Debug)]
pub struct Inventory {
    /// layers, base first
    pub layers: Vec<LayerFacts>,
    /// the flattened tree
    pub tree: BTreeMap<ImagePath, Entry>,
    /// small files kept whole (os-release, passwd, group, buildinfo, content manifests), flattened
    pub kept: BTreeMap<ImagePath, Vec<u8>>,
    /// the packages, or why they could not be read
    pub packages: Fact<Packages>,
    /// rpm-owned files that differ from their package's description, or why that cannot be told
    pub modified: Fact<Vec<FileProblem>>,
    /// preflight's verdict beside it
    pub preflight_modified: Fact<PreflightModified>,
    /// traces of secrets in any layer
    pub secrets: Vec<SecretTrace>,
}
