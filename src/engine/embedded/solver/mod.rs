//! Solves a build: what is in the cache is taken from there, the rest is done in parallel, and the
//! result is written as an OCI layout.
//!
//! A step is known by two keys. Its *definition* is what it says and the definitions of its inputs
//! (of the context: the digest of the files it takes), so that a build of which nothing changed looks
//! at no tree. Its *content* is what it says and what its inputs hold, so that a step over an equal
//! tree is not done again however the tree came to be. Values of secrets are in neither.

mod cache;
mod content;
mod context;
mod exec;
mod failure;
mod keys;
mod output;
mod pool;
mod shared;
mod tell;
mod vertex;

#[cfg(test)]
mod tests;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::mpsc,
};

use serde::{Deserialize, Serialize};

use self::{
    cache::{CacheTarget, Caches},
    failure::{host_error, refused, source_failure, store_failure},
    shared::Shared,
    tell::Tell,
};
use super::{
    base::{Bases, Settings},
    export,
    frontend::{self, FrontendRequest, Refusal, RefusalKind},
    graph::{self, Graph, Op},
    step::Runner,
    store::{Layer, LayerCompression, LayerOptions, SnapshotMode, Store},
};
use crate::{
    engine::{BuildError, BuildEvents, BuildPlan, Built, Cancel},
    finding::Location,
    oci::Platform,
    registry::RegistryOptions,
};

/// Largest Dockerfile that is read, in bytes.
const MAX_DOCKERFILE: u64 = 16 << 20;

/// Stack of a thread that walks trees: directories may lie in one another as deep as there are
/// descriptors.
const STACK: usize = 64 << 20;

fn thread() -> std::thread::Builder {
    std::thread::Builder::new()
        .name("solver".to_owned())
        .stack_size(STACK)
}

/// Everything that one build needs, in the worker.
#[derive(Debug, Clone)]
pub struct Job {
    /// what to build; paths are as the worker sees them
    pub plan: BuildPlan,
    /// of this machine; the only one that can be built for
    pub platform: Platform,
    /// cache directory
    pub cache_dir: PathBuf,
    /// as the host allows
    pub snapshots: SnapshotMode,
    /// of the layers that are made
    pub compression: LayerCompression,
    /// how registries are talked to
    pub registry: RegistryOptions,
    /// steps that run, and threads that compress, at once
    pub threads: NonZeroUsize,
    /// engine and version, as the user reads it
    pub engine: String,
}

/// The tree of a step: its layers, bottom first, and for each step since the base image whether it
/// made one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tree {
    pub(super) layers: Vec<Layer>,
    pub(super) made: Vec<bool>,
}

/// Builds; blocks until done, failed or cancelled.
///
/// # Errors
/// When the Dockerfile fails or asks for what this engine does not do, on local files, and when
/// cancelled.
pub fn build(
    job: &Job,
    runner: &dyn Runner,
    events: &mut dyn BuildEvents,
    cancel: &Cancel,
) -> Result<Built, BuildError> {
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        let ended = || BuildError::Engine {
            engine: job.engine.clone(),
            reason: "a thread of the solver ended unexpectedly".to_owned(),
            hint: None,
        };
        let work = thread().spawn_scoped(scope, move || {
            let tell = Tell::new(sender);
            solve(job, runner, &tell, cancel)
        });
        let work = work.map_err(|_| ended())?;
        for event in receiver {
            events.event(event);
        }
        work.join().unwrap_or_else(|_| Err(ended()))
    })
}

fn solve(
    job: &Job,
    runner: &dyn Runner,
    tell: &Tell,
    cancel: &Cancel,
) -> Result<Built, BuildError> {
    let plan = &job.plan;
    check_platforms(job)?;
    let targets = CacheTarget::all(&plan.cache_to, &plan.root).map_err(|error| error.of(job))?;
    let store = Store::open(&job.cache_dir, job.snapshots).map_err(host_error)?;
    let bases = Bases::new(
        &store,
        Settings {
            mirrors: &plan.mirrors,
            root: &plan.root,
            pull: plan.pull,
            registry: &job.registry,
            cancel,
        },
    );
    let caches = Caches::open(job, &bases)?;
    let graph = lower(job, &bases)?;
    bases
        .notes()
        .into_iter()
        .chain(caches.notes())
        .for_each(|note| tell.note(note));
    if let Some(path) = &plan.dump_llb {
        dump_llb(job, &graph, path)?;
    }
    let ignore = context::view(job, &graph, tell)?;
    let shared =
        Shared::new(job, &store, &bases, &graph, tell, cancel).with(runner, ignore, caches)?;
    let tree = shared.solve()?;
    shared.save_stats();
    let transfer = tell.transfer(String::new());
    bases
        .fetch(&tree.layers, &transfer)
        .map_err(|error| store_failure(job, None, &error))?;
    shared.settle(&tree)?;
    let image = export::Image {
        history: base_history(&graph, &bases),
        graph: &graph,
        tree: &tree,
        epoch: plan.source_date_epoch.or(graph.epoch),
    };
    let digest = export::write(image, &store, &plan.output, &plan.names).map_err(source_failure)?;
    for target in targets {
        target.write(&shared)?;
    }
    Ok(Built {
        layout: plan.output.clone(),
        digest,
        engine: job.engine.clone(),
        lints: Vec::new(),
    })
}

fn options(job: &Job) -> LayerOptions {
    LayerOptions {
        compression: job.compression,
        epoch: job.plan.source_date_epoch,
        threads: job.threads,
    }
}

/// Only this machine's own platform can be built for: steps run on its processor.
fn check_platforms(job: &Job) -> Result<(), BuildError> {
    let same = |platform: &Platform| {
        platform.os == job.platform.os
            && platform.architecture == job.platform.architecture
            && (platform.variant.is_none()
                || job.platform.variant.is_none()
                || platform.variant == job.platform.variant)
    };
    let unsupported = |what: String| BuildError::Unsupported {
        engine: job.engine.clone(),
        what,
        hint: Some(format!(
            "build for {} alone, or with BuildKit: --engine buildkit or docker",
            job.platform
        )),
    };
    match job.plan.platforms.as_slice() {
        [] => Ok(()),
        [one] if same(one) => Ok(()),
        [one] => Err(unsupported(format!("platform {one}"))),
        _ => Err(unsupported("several platforms".to_owned())),
    }
}

fn lower(job: &Job, bases: &Bases<'_>) -> Result<Graph, BuildError> {
    let plan = &job.plan;
    let text = read(&plan.dockerfile)?;
    let file = shown(&plan.dockerfile, plan.top());
    let mut args = plan.args.clone();
    if let Some(epoch) = plan.source_date_epoch {
        args.entry("SOURCE_DATE_EPOCH".to_owned())
            .or_insert_with(|| epoch.to_string());
    }
    let request = FrontendRequest {
        file: &file,
        text: &text,
        target: plan.target.as_deref(),
        args: &args,
        labels: &plan.labels,
        platform: &job.platform,
        network: plan.network.as_deref(),
        add_hosts: &plan.add_hosts,
        ignore_syntax: plan.ignore_syntax,
    };
    let mut images = bases;
    let graph =
        frontend::lower(&request, &mut images).map_err(|refusals| refused(job, &refusals))?;
    let ungranted = ungranted(&graph, request.network, &file);
    if ungranted.is_empty() {
        Ok(graph)
    } else {
        Err(refused(job, &ungranted))
    }
}

/// Writes the graph as LLB, whole or not at all.
fn dump_llb(job: &Job, graph: &Graph, path: &Path) -> Result<(), BuildError> {
    use std::io::Write as _;
    let file = shown(&job.plan.dockerfile, job.plan.top());
    let bytes = frontend::dump_llb(graph, &file).map_err(|refusals| refused(job, &refusals))?;
    let write = || {
        let directory = path.parent().unwrap_or(Path::new("/"));
        let mut made = tempfile::NamedTempFile::new_in(directory)?;
        made.write_all(&bytes)?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        made.as_file().set_permissions(readable)?;
        made.persist(path)?;
        Ok(())
    };
    write().map_err(|source: std::io::Error| BuildError::Io {
        what: path.display().to_string(),
        source,
    })
}

fn read(path: &Path) -> Result<String, BuildError> {
    use std::io::Read as _;
    let failed = |source| BuildError::Io {
        what: path.display().to_string(),
        source,
    };
    let file = std::fs::File::options()
        .read(true)
        .open(path)
        .map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_DOCKERFILE)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    // BuildKit takes what is no UTF-8 for the same sign: comments may be in any encoding.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A path as messages name it: relative to the repository when it lies in it.
fn shown(path: &Path, root: &Path) -> String {
    path.strip_prefix(root)
        .unwrap_or(path)
        .display()
        .to_string()
}

/// History of the image that the result starts with.
fn base_history(graph: &Graph, bases: &Bases<'_>) -> Vec<serde_json::Value> {
    let mut at = graph.result;
    while let Some(vertex) = at.and_then(|id| graph.vertices.get(id.0)) {
        at = match &vertex.op {
            Op::Image(image) => return bases.history(&image.manifest),
            Op::Exec(exec) => exec.base,
            Op::File(file) => file.base,
            Op::Http(_) | Op::Git(_) => None,
        };
    }
    Vec::new()
}

/// As with `BuildKit`, a step gets the host's network by name only when the caller agrees.
fn ungranted(graph: &Graph, network: Option<&str>, file: &str) -> Vec<Refusal> {
    let wants = |vertex: &&graph::Vertex| {
        network != Some("host")
            && matches!(&vertex.op, Op::Exec(exec) if exec.network == graph::Network::Host)
    };
    let refusal = |vertex: &graph::Vertex| Refusal {
        message: "RUN --network=host: network.host is not allowed".to_owned(),
        remedy: "build with --network host, or take the flag away: steps have the host's network"
            .to_owned(),
        location: vertex.span.map(|span| Location {
            file: file.to_owned(),
            line: span.line,
            end_line: span.end_line,
            column: None,
            end_column: None,
        }),
        kind: RefusalKind::Fault,
    };
    graph.vertices.iter().filter(wants).map(refusal).collect()
}
