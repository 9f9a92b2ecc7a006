//! Does one step that the definition did not find in the cache.

use std::time::Instant;

use super::{
    Tree, exec,
    failure::{dockerfile, file_failure, store_failure},
    keys::{canonical, is_link},
    options,
    shared::{Output, Shared, base_of},
};
use crate::{
    engine::{
        BuildError, StepState,
        embedded::{
            fetch::{self, FetchError, FetchOptions},
            files,
            graph::{FileOp, Op, Vertex},
            store::Layer,
        },
    },
    oci::{Digest, MAX_LAYER, sha256},
};

impl Shared<'_> {
    /// The output of a vertex whose inputs are done.
    pub(super) fn do_vertex(&self, id: usize) -> Result<Output, BuildError> {
        let Some(vertex) = self.vertex(id) else {
            return Ok(Output::Tree(Tree::default()));
        };
        match &vertex.op {
            Op::Http(_) | Op::Git(_) => self.timed(id, || self.fetch(vertex)),
            _ => self.step(id, vertex).map(Output::Tree),
        }
    }

    fn timed<T>(
        &self,
        id: usize,
        work: impl FnOnce() -> Result<T, BuildError>,
    ) -> Result<T, BuildError> {
        self.tell(id, StepState::Started);
        let started = Instant::now();
        let done = work()?;
        self.tell(id, StepState::Done(started.elapsed().as_secs_f64()));
        Ok(done)
    }

    fn step(&self, id: usize, vertex: &Vertex) -> Result<Tree, BuildError> {
        let definition = self.definition_of(id);
        let link = is_link(&vertex.op);
        let under = self.tree(base_of(&vertex.op));
        let whole = |own: Tree| if link { on_top(&under, own) } else { own };
        // A `--link` copy that the plan found; its sources may not be there at all.
        if link && let Some(own) = definition.and_then(|key| self.cached(key)) {
            self.tell(id, StepState::Cached);
            return Ok(whole(own));
        }
        let content = self.content_key(vertex)?;
        if let Some(own) = self.cached(&content) {
            let keys: Vec<&Digest> = definition.into_iter().collect();
            self.remember(&keys, &own)?;
            self.tell(id, StepState::Cached);
            return Ok(whole(own));
        }
        let layer = self.timed(id, || match &vertex.op {
            Op::Exec(step) => exec::run(self, id, vertex, step).map(Some),
            Op::File(file) => self.files(vertex, file, link).map(Some),
            Op::Image(_) | Op::Http(_) | Op::Git(_) => Ok(None),
        })?;
        let mut own = if link { Tree::default() } else { under.clone() };
        own.made.push(layer.is_some());
        own.layers.extend(layer);
        let keys: Vec<&Digest> = definition.into_iter().chain([&content]).collect();
        self.remember(&keys, &own)?;
        Ok(whole(own))
    }

    fn files(&self, vertex: &Vertex, file: &FileOp, link: bool) -> Result<Layer, BuildError> {
        let failed = |error| store_failure(self.job, Some(vertex), &error);
        let base = if link {
            Tree::default()
        } else {
            self.tree(file.base)
        };
        self.have(vertex, &base)?;
        let snapshot = self.store.snapshot(&base.layers).map_err(failed)?;
        let how = files::Options {
            epoch: self.job.plan.source_date_epoch,
            cancel: self.cancel.clone(),
            ..files::Options::default()
        };
        for action in &file.actions {
            files::apply(action, snapshot.root(), self, &how)
                .map_err(|error| file_failure(self.job, Some(vertex), &error))?;
        }
        snapshot.commit(options(self.job), now()).map_err(failed)
    }

    /// Pulls what a tree still lacks.
    pub(super) fn have(&self, vertex: &Vertex, tree: &Tree) -> Result<(), BuildError> {
        let image = self
            .graph
            .vertices
            .iter()
            .position(|other| match &other.op {
                Op::Image(image) => self
                    .bases
                    .image(&image.manifest)
                    .is_some_and(|image| tree.layers.starts_with(&image.layers)),
                _ => false,
            });
        let id = image.map(|id| self.event_id(id)).unwrap_or_default();
        self.bases
            .fetch(&tree.layers, &self.tell.transfer(id))
            .map_err(|error| store_failure(self.job, Some(vertex), &error))
    }

    /// A source that is in no layer, in a directory of its own.
    fn fetch(&self, vertex: &Vertex) -> Result<Output, BuildError> {
        let into = self
            .store
            .temporary_dir()
            .map_err(|error| store_failure(self.job, Some(vertex), &error))?;
        let options = FetchOptions {
            http: self.job.registry.clone(),
            cache: Some(self.job.cache_dir.join("downloads")),
            max_bytes: MAX_LAYER,
            ssh_agent: self.job.plan.ssh.get("default").cloned(),
            cancel: self.cancel.clone(),
            ..FetchOptions::default()
        };
        let fetched = match &vertex.op {
            Op::Http(source) => {
                fetch::http(source, &into, &options).map(|digest| digest.to_string())
            }
            Op::Git(source) => fetch::git(source, &into, &options),
            _ => Ok(String::new()),
        };
        let what = fetched.map_err(|error| match error {
            FetchError::Interrupted => BuildError::Interrupted,
            error => dockerfile(self.job, Some(vertex), error.to_string()),
        })?;
        let digest = sha256(format!("{} {what}", canonical(&vertex.op)).as_bytes());
        Ok(Output::Directory(into, digest))
    }
}

fn on_top(under: &Tree, own: Tree) -> Tree {
    let mut tree = under.clone();
    tree.layers.extend(own.layers);
    tree.made.extend(own.made);
    tree
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "a layer says when it was made; nothing is decided by it"
)]
pub(super) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or_default()
    })
}
