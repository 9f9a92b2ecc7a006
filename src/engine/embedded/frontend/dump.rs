//! `--dump-llb`: a graph as `BuildKit`'s LLB, by `buildkit-llb`. What that library has no words for
//! (users and owners, http and git sources, read-only mounts, archives, file modes) is refused by
//! name and line. Each change of files becomes an operation of its own, so the tree is the same and
//! the layers may be more. The context is the local source `context`.

use buildkit_llb as llb;

use crate::{
    engine::embedded::graph::{
        Copy, CopyFrom, Exec, FileAction, FileOp, Graph, ImageSource, Mount, MountKind, Network,
        Op, Sharing, Tree, Unpack, Vertex, VertexId,
    },
    finding::Location,
    oci::Reference,
};

use super::{Refusal, RefusalKind};

/// The graph as the bytes of a `pb.Definition`.
///
/// # Errors
/// Every step that LLB, as far as the library goes, cannot say; never empty.
pub fn dump_llb(graph: &Graph, file: &str) -> Result<Vec<u8>, Vec<Refusal>> {
    let mut dump = Dump { states: Vec::new() };
    let mut refusals = Vec::new();
    for vertex in &graph.vertices {
        let state = dump.vertex(vertex).unwrap_or_else(|what| {
            refusals.push(refusal(&what, vertex, file));
            dump.empty()
        });
        dump.states.push(state);
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let platform = platform(&graph.platform);
    let options = llb::MarshalOpts::default().with_platform(platform);
    let result = graph
        .result
        .map_or_else(|| dump.empty(), |id| dump.state(id));
    let definition = result.and_then(|state| state.marshal(options).map_err(told));
    let bytes = definition.and_then(|definition| definition.into_bytes().map_err(told));
    bytes.map_err(|what| {
        vec![Refusal {
            message: format!("the graph cannot be written as LLB: {what}"),
            remedy: "leave --dump-llb away".to_owned(),
            location: None,
            kind: RefusalKind::Unsupported,
        }]
    })
}

type Built = Result<llb::State, String>;

struct Dump {
    states: Vec<Built>,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the errors that it is mapped over are owned"
)]
fn told(error: llb::LlbError) -> String {
    error.to_string()
}

fn refusal(what: &str, vertex: &Vertex, file: &str) -> Refusal {
    let location = vertex.span.map(|span| Location {
        file: file.to_owned(),
        line: span.line,
        end_line: span.end_line,
        column: None,
        end_column: None,
    });
    Refusal {
        message: format!("{what} cannot be written as LLB"),
        remedy: "leave --dump-llb away, or take that out of the Dockerfile".to_owned(),
        location,
        kind: RefusalKind::Unsupported,
    }
}

fn platform(platform: &crate::oci::Platform) -> llb::Platform {
    let found = llb::Platform::new(&platform.os, &platform.architecture);
    match &platform.variant {
        Some(variant) => found.with_variant(variant),
        None => found,
    }
}

/// Fails with what is asked for, when it is.
fn without(asked: bool, what: &str) -> Result<(), String> {
    if asked { Err(what.to_owned()) } else { Ok(()) }
}

impl Dump {
    #[expect(clippy::unused_self, reason = "it stands beside the other states")]
    fn empty(&self) -> Built {
        llb::scratch().map_err(told)
    }

    fn state(&self, id: VertexId) -> Built {
        let known = self.states.get(id.0).cloned();
        known.unwrap_or_else(|| Err("a step before its input".to_owned()))
    }

    fn base(&self, base: Option<VertexId>) -> Built {
        base.map_or_else(|| self.empty(), |id| self.state(id))
    }

    fn tree(&self, tree: Tree) -> Built {
        match tree {
            Tree::Context => llb::local("context").map_err(told),
            Tree::Empty => self.empty(),
            Tree::Vertex(id) => self.state(id),
        }
    }

    /// The outer error is what LLB has no words for.
    fn vertex(&self, vertex: &Vertex) -> Result<Built, String> {
        Ok(Ok(match &vertex.op {
            Op::Image(source) => image(source, &vertex.name)?,
            Op::Http(source) => return Err(format!("the http source {}", source.url)),
            Op::Git(source) => return Err(format!("the git source {}", source.remote)),
            Op::Exec(exec) => self.exec(exec, &vertex.name)?,
            Op::File(file) => self.file(file, &vertex.name)?,
        }))
    }

    fn exec(&self, exec: &Exec, name: &str) -> Built {
        without(!is_root(&exec.user), "a RUN of another user than root")?;
        without(
            exec.hostname.is_some(),
            "a RUN with a machine name of its own",
        )?;
        without(!exec.add_hosts.is_empty(), "a RUN with hosts of its own")?;
        without(!exec.uncached_env.is_empty(), "a RUN with proxy settings")?;
        let mut run = llb::RunOpts::new().with_custom_name(name);
        for arg in &exec.args {
            run = run.with_arg(arg);
        }
        for (name, value) in &exec.env {
            run = run.with_env(name, value);
        }
        run = run.with_net(match exec.network {
            Network::Default => llb::NetMode::default(),
            Network::Host => llb::NetMode::Host,
            Network::None => llb::NetMode::None,
        });
        for mount in &exec.mounts {
            run = self.mount(run, mount)?;
        }
        let base = self.base(exec.base)?.dir(&exec.cwd);
        base.run(run).root().map_err(told)
    }

    fn mount(&self, run: llb::RunOpts, mount: &Mount) -> Result<llb::RunOpts, String> {
        Ok(match &mount.kind {
            MountKind::Bind {
                from,
                source,
                writable,
            } => {
                without(!writable, "a mount that is read-only")?;
                without(source != "/", "a mount of a path inside its source")?;
                run.with_mount(&mount.target, self.tree(*from)?)
            }
            MountKind::Cache {
                id,
                sharing,
                from,
                source,
                read_only,
                mode,
                uid,
                gid,
            } => {
                let filled = from.is_some() || source != "/";
                without(filled, "a cache mount that starts with something")?;
                without(*read_only, "a mount that is read-only")?;
                let owned = (*mode, *uid, *gid) != (0o755, 0, 0);
                without(owned, "a cache mount with an owner or a mode")?;
                run.with_mount_cache(&mount.target, id, shared(*sharing))
            }
            MountKind::Tmpfs { .. } => return Err("a mount of type tmpfs".to_owned()),
            MountKind::Secret {
                id,
                file,
                env,
                required,
                mode,
                uid,
                gid,
            } => {
                let both = *file && env.is_some();
                without(both, "a secret that is a file and a variable")?;
                let secret = llb::AddSecret::new(id)
                    .with_optional(!required)
                    .with_mode(*mode)
                    .with_uid(*uid)
                    .with_gid(*gid);
                run.with_secret(match env {
                    Some(name) => secret.with_as_env(true).with_env_name(name),
                    None => secret.with_target(&mount.target),
                })
            }
            MountKind::Ssh {
                id,
                required,
                mode,
                uid,
                gid,
            } => run.with_ssh_socket(
                llb::AddSshSocket::new()
                    .with_id(id)
                    .with_target(&mount.target)
                    .with_optional(!required)
                    .with_mode(*mode)
                    .with_uid(*uid)
                    .with_gid(*gid),
            ),
        })
    }

    fn file(&self, file: &FileOp, name: &str) -> Built {
        let mut state = self.base(file.base)?;
        for action in &file.actions {
            state = match action {
                FileAction::Mkdir { path, mode, owner } => {
                    let owned = owner.as_deref().is_some_and(|owner| !is_root(owner));
                    without(owned, "a WORKDIR of another user than root")?;
                    let action = llb::FileAction::Mkdir {
                        path: path.clone(),
                        mode: *mode,
                        parents: true,
                    };
                    state.file(action, named(name)).map_err(told)?
                }
                FileAction::Copy(copy) => self.copy(state, copy, name)?,
            };
        }
        Ok(state)
    }

    fn copy(&self, state: llb::State, copy: &Copy, name: &str) -> Built {
        without(copy.chown.is_some(), "--chown")?;
        without(copy.chmod.is_some(), "a file mode")?;
        without(copy.parents, "--parents")?;
        without(copy.unpack != Unpack::Never, "ADD, which unpacks archives,")?;
        let mut target = if copy.link {
            self.empty()?
        } else {
            state.clone()
        };
        let sources: Vec<(llb::State, String, bool)> = match &copy.from {
            CopyFrom::Tree(tree) => {
                let from = self.tree(*tree)?;
                let source = |path: &String| (from.clone(), super::words::clean(path), true);
                copy.sources.iter().map(source).collect()
            }
            CopyFrom::Inline(files) => {
                let mut sources = Vec::new();
                for (file, content) in files {
                    let path = super::words::clean(file);
                    let action = llb::mkfile(&path, 0o644, content.as_bytes());
                    let state = self
                        .empty()?
                        .file(action, named("[internal] inline document"));
                    sources.push((state.map_err(told)?, path, false));
                }
                sources
            }
        };
        for (from, path, written) in sources {
            let mut action = llb::copy(from, path, &copy.destination)
                .with_create_dest_path(true)
                .with_follow_symlinks(written)
                .with_copy_dir_contents_only(written)
                .with_allow_wildcard(written)
                .with_allow_empty_wildcard(written);
            for pattern in &copy.exclude {
                action = action.with_exclude_pattern(pattern);
            }
            target = target.file(action, named(name)).map_err(told)?;
        }
        if copy.link {
            let options = llb::MergeOpts::new().with_custom_name(format!("LINK {name}"));
            target = llb::merge([state, target], options).map_err(told)?;
        }
        Ok(target)
    }
}

/// Root by any of its names, with root's own group.
fn is_root(user: &str) -> bool {
    let (user, group) = user.split_once(':').unwrap_or((user, "0"));
    let root = |name: &str| matches!(name, "" | "root" | "0");
    root(user) && root(group)
}

fn named(name: &str) -> llb::FileOpts {
    llb::FileOpts::new().with_custom_name(name)
}

fn image(source: &ImageSource, name: &str) -> Built {
    let mut full = Reference::parse_familiar(&source.reference).map_err(|e| e.to_string())?;
    full.digest = None;
    let reference = format!("{full}@{}", source.manifest);
    let image = llb::Image::new(reference)
        .and_then(|image| image.with_platform(platform(&source.platform)))
        .and_then(|image| image.with_custom_name(name));
    image.map(llb::State::from).map_err(told)
}

fn shared(sharing: Sharing) -> llb::CacheSharingMode {
    match sharing {
        Sharing::Shared => llb::CacheSharingMode::Shared,
        Sharing::Private => llb::CacheSharingMode::Private,
        Sharing::Locked => llb::CacheSharingMode::Locked,
    }
}
