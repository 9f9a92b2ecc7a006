//! What all threads of one build share, and the plan: which steps are in the cache, which are to be
//! done.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{
    Job, Tree,
    cache::Caches,
    failure::{file_failure, store_failure},
    keys::{self, canonical, copies, inputs, is_link},
    tell::Tell,
};
use crate::{
    engine::{
        BuildError, Cancel, StepState,
        embedded::{
            base::Bases,
            files::{self, FileError, Ignore, StatCache, Trees},
            graph::{self, CopyFrom, Graph, Op, Vertex, VertexId},
            step::Runner,
            store::{Store, View},
        },
    },
    oci::{Digest, sha256},
};

/// Records of steps by their keys.
pub(super) const STEPS: &str = "steps";
/// Digests of the context's files, by the context's path.
const STATS: &str = "stats";

/// What a step made. Of a `--link` copy, its own layer alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) tree: Tree,
}

/// What a vertex gives to others.
#[derive(Debug, Clone)]
pub(super) enum Output {
    Tree(Tree),
    /// files that are in no layer: from HTTP or git; with what tells them apart
    Directory(PathBuf, Digest),
}

impl Output {
    pub(super) fn tree(&self) -> Tree {
        match self {
            Self::Tree(tree) => tree.clone(),
            Self::Directory(..) => Tree::default(),
        }
    }
}

pub(super) struct Shared<'a> {
    pub(super) job: &'a Job,
    pub(super) store: &'a Store,
    pub(super) bases: &'a Bases<'a>,
    pub(super) graph: &'a Graph,
    pub(super) tell: &'a Tell,
    pub(super) cancel: Cancel,
    pub(super) runner: &'a dyn Runner,
    pub(super) caches: Caches,
    ignore: Option<Ignore>,
    stats: StatCache,
    stats_before: Vec<u8>,
    pub(super) outputs: Mutex<HashMap<usize, Output>>,
    /// keys that were used, with what they stand for, for `--cache-to`
    pub(super) used: Mutex<Vec<(Digest, Record)>>,
    /// the same of what was found in caches elsewhere alone
    pub(super) foreign: Mutex<Vec<(Digest, Record)>>,
    /// content of steps may depend on these beside what they say
    pub(super) salt: String,
    views: Mutex<Vec<Arc<View>>>,
    empty: OnceLock<PathBuf>,
    /// definitions by vertex
    definitions: Vec<Option<Digest>>,
    /// what tells the trees of vertices apart: the definition, and for a `--link` copy also what it
    /// lies on, which its definition leaves out
    identities: Vec<Option<Digest>>,
}

/// Everything but what [`Shared::with`] adds.
pub(super) struct Parts<'a> {
    job: &'a Job,
    store: &'a Store,
    bases: &'a Bases<'a>,
    graph: &'a Graph,
    tell: &'a Tell,
    cancel: &'a Cancel,
}

impl<'a> Shared<'a> {
    #[expect(clippy::new_ret_no_self, reason = "completed by `with`")]
    pub(super) fn new(
        job: &'a Job,
        store: &'a Store,
        bases: &'a Bases<'a>,
        graph: &'a Graph,
        tell: &'a Tell,
        cancel: &'a Cancel,
    ) -> Parts<'a> {
        Parts {
            job,
            store,
            bases,
            graph,
            tell,
            cancel,
        }
    }
}

impl<'a> Parts<'a> {
    /// Computes the definitions of all steps.
    pub(super) fn with(
        self,
        runner: &'a dyn Runner,
        ignore: Option<Ignore>,
        caches: Caches,
    ) -> Result<Shared<'a>, BuildError> {
        let key = stats_key(self.job);
        let before: String = self.store.record(STATS, &key).unwrap_or_default();
        let mut shared = Shared {
            job: self.job,
            store: self.store,
            bases: self.bases,
            graph: self.graph,
            tell: self.tell,
            cancel: self.cancel.child_token(),
            runner,
            caches,
            ignore,
            stats: StatCache::from_bytes(before.as_bytes()),
            stats_before: before.into_bytes(),
            outputs: Mutex::default(),
            used: Mutex::default(),
            foreign: Mutex::default(),
            salt: salt(self.job, self.store),
            views: Mutex::default(),
            empty: OnceLock::new(),
            definitions: Vec::new(),
            identities: Vec::new(),
        };
        for vertex in &self.graph.vertices {
            let definition = shared.definition(vertex)?;
            let identity = shared.identity(vertex, definition.as_ref());
            shared.definitions.push(definition);
            shared.identities.push(identity);
        }
        Ok(shared)
    }
}

/// Where there is one id, every file is its own, and a layer says so.
fn salt(job: &Job, store: &Store) -> String {
    let owners = if store.squashes_owners() {
        " one id"
    } else {
        ""
    };
    format!(
        "{:?} {:?}{owners}",
        job.plan.source_date_epoch, job.compression
    )
}

fn stats_key(job: &Job) -> Digest {
    sha256(job.plan.context.as_os_str().as_encoded_bytes())
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared<'_> {
    /// Keeps the digests of the context's files for the next build.
    pub(super) fn save_stats(&self) {
        let bytes = self.stats.to_bytes();
        if bytes != self.stats_before
            && let Ok(text) = String::from_utf8(bytes)
        {
            let _ = self.store.put_record(STATS, &stats_key(self.job), &text);
        }
    }

    pub(super) fn vertex(&self, id: usize) -> Option<&Vertex> {
        self.graph.vertices.get(id)
    }

    pub(super) fn definition_of(&self, id: usize) -> Option<&Digest> {
        self.definitions.get(id)?.as_ref()
    }

    /// Stable name of a vertex for events.
    pub(super) fn event_id(&self, id: usize) -> String {
        let known = self.definition_of(id).map(ToString::to_string);
        known.unwrap_or_else(|| {
            let name = self.vertex(id).map_or("", |vertex| vertex.name.as_str());
            sha256(format!("{id} {name}").as_bytes()).to_string()
        })
    }

    pub(super) fn tell(&self, id: usize, state: StepState) {
        if let Some(vertex) = self.vertex(id) {
            self.tell.step(&self.event_id(id), &vertex.name, state);
        }
    }

    pub(super) fn output(&self, id: VertexId) -> Option<Output> {
        lock(&self.outputs).get(&id.0).cloned()
    }

    /// The tree of a vertex that was solved; the empty one for none.
    pub(super) fn tree(&self, id: Option<VertexId>) -> Tree {
        id.and_then(|id| self.output(id))
            .map_or_else(Tree::default, |output| output.tree())
    }

    /// What a step says and the definitions of what it needs; `None` when that does not tell what
    /// it gives.
    fn definition(&self, vertex: &Vertex) -> Result<Option<Digest>, BuildError> {
        let op = &vertex.op;
        let mut parts = vec![canonical(op)];
        match op {
            // The manifest says all.
            Op::Image(image) => {
                return Ok(Some(keys::digest(
                    "image",
                    "",
                    std::slice::from_ref(&image.manifest),
                )));
            }
            Op::Http(http) if http.checksum.is_none() => return Ok(None),
            Op::Git(git) if git.checksum.is_none() => return Ok(None),
            _ => {}
        }
        let base = if is_link(op) { base_of(op) } else { None };
        for input in inputs(op) {
            if Some(input) == base {
                continue;
            }
            match self.identities.get(input.0).and_then(Option::as_ref) {
                Some(key) => parts.push(key.to_string()),
                None => return Ok(None),
            }
        }
        for copy in copies(op) {
            if matches!(copy.from, CopyFrom::Tree(graph::Tree::Context)) {
                let key = files::key(&copy, self)
                    .map_err(|error| file_failure(self.job, Some(vertex), &error))?;
                parts.push(key.to_string());
            }
        }
        Ok(Some(keys::digest("definition", &self.salt, &parts)))
    }

    fn identity(&self, vertex: &Vertex, definition: Option<&Digest>) -> Option<Digest> {
        let own = definition?;
        let base = base_of(&vertex.op).filter(|_| is_link(&vertex.op));
        let Some(base) = base else {
            return Some(own.clone());
        };
        let below = self.identities.get(base.0)?.as_ref()?;
        let parts = [own.to_string(), below.to_string()];
        Some(keys::digest("link", &self.salt, &parts))
    }

    /// What the cache knows under a key, when its layers can be had.
    pub(super) fn cached(&self, key: &Digest) -> Option<Tree> {
        if self.job.plan.no_cache {
            return None;
        }
        let own: Option<Record> = self.store.record(STEPS, key);
        let usable = |record: &Record| self.bases.can_have(&record.tree.layers);
        let found = own
            .filter(usable)
            .inspect(|_| self.store.touch(STEPS, key))
            .or_else(|| {
                let found = self.caches.record(key).filter(usable)?;
                lock(&self.foreign).push((key.clone(), found.clone()));
                Some(found)
            })?;
        lock(&self.used).push((key.clone(), found.clone()));
        Some(found.tree)
    }

    /// Remembers what a step made.
    pub(super) fn remember(&self, keys: &[&Digest], tree: &Tree) -> Result<(), BuildError> {
        let record = Record { tree: tree.clone() };
        for key in keys {
            self.store
                .put_record(STEPS, key, &record)
                .map_err(|error| store_failure(self.job, None, &error))?;
            lock(&self.used).push(((*key).clone(), record.clone()));
        }
        Ok(())
    }

    /// An empty directory.
    pub(super) fn empty(&self) -> Result<PathBuf, BuildError> {
        if let Some(path) = self.empty.get() {
            return Ok(path.clone());
        }
        let made = self
            .store
            .temporary_dir()
            .map_err(|error| store_failure(self.job, None, &error))?;
        Ok(self.empty.get_or_init(|| made).clone())
    }

    /// The files of a vertex, unpacked and mounted to read.
    pub(super) fn readable(&self, id: VertexId) -> Result<PathBuf, BuildError> {
        match self.output(id) {
            Some(Output::Directory(path, _)) => Ok(path),
            Some(Output::Tree(tree)) => {
                let vertex = self.vertex(id.0);
                let failed = |error| store_failure(self.job, vertex, &error);
                let transfer = self.tell.transfer(self.event_id(id.0));
                self.bases.fetch(&tree.layers, &transfer).map_err(failed)?;
                let view = self.store.view(&tree.layers).map_err(failed)?;
                let path = view.path().to_owned();
                lock(&self.views).push(view);
                Ok(path)
            }
            None => self.empty(),
        }
    }
}

pub(super) fn base_of(op: &Op) -> Option<VertexId> {
    match op {
        Op::Exec(exec) => exec.base,
        Op::File(file) => file.base,
        _ => None,
    }
}

impl Trees for Shared<'_> {
    fn path(&self, tree: &graph::Tree) -> Result<PathBuf, FileError> {
        let found = match tree {
            graph::Tree::Context => return Ok(self.job.plan.context.clone()),
            graph::Tree::Empty => self.empty(),
            graph::Tree::Vertex(id) => self.readable(*id),
        };
        found.map_err(|error| match error {
            BuildError::Interrupted => FileError::Interrupted,
            BuildError::Dockerfile(failure) => FileError::Refused(failure.message),
            other => FileError::Refused(crate::engine::docker::chain(&other)),
        })
    }

    fn ignore(&self, tree: &graph::Tree) -> Option<&Ignore> {
        match tree {
            graph::Tree::Context => self.ignore.as_ref(),
            _ => None,
        }
    }

    fn stats(&self, tree: &graph::Tree) -> Option<&StatCache> {
        matches!(tree, graph::Tree::Context).then_some(&self.stats)
    }
}
