//! Which steps are needed, and a few threads that do them as soon as what they need is there. The
//! first failure stops the rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Condvar, Mutex},
};

use super::{
    Tree,
    failure::location,
    keys::{inputs, is_link},
    shared::{Output, Shared, base_of, lock},
};
use crate::engine::{BuildError, StepState, embedded::graph::Op};

struct State {
    /// needed and not begun, in topological order
    waiting: BTreeSet<usize>,
    running: usize,
    failure: Option<BuildError>,
}

impl Shared<'_> {
    /// The tree of the result.
    pub(super) fn solve(&self) -> Result<Tree, BuildError> {
        let Some(result) = self.graph.result else {
            return Ok(Tree::default());
        };
        let (waiting, hits) = self.plan(result.0);
        for (id, tree) in hits {
            lock(&self.outputs).insert(id, Output::Tree(tree));
        }
        let state = Mutex::new(State {
            waiting,
            running: 0,
            failure: None,
        });
        let changed = Condvar::new();
        let threads = self.job.threads.get().min(lock(&state).waiting.len());
        std::thread::scope(|scope| {
            for _ in 1..threads.max(1) {
                // With one thread less it takes longer, and no more.
                let _ = super::thread().spawn_scoped(scope, || self.work(&state, &changed));
            }
            self.work(&state, &changed);
        });
        let state = state
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match state.failure {
            Some(error) => Err(error),
            None => match self.output(result) {
                Some(output) => Ok(output.tree()),
                // Another run found damage in what this one had planned with.
                None => Err(BuildError::Engine {
                    engine: self.job.engine.clone(),
                    reason: "the cache changed while the build ran".to_owned(),
                    hint: Some("build again".to_owned()),
                }),
            },
        }
    }

    /// What is to be done, and what is in the cache. Nothing is asked of what only a step needs that
    /// is in the cache itself.
    fn plan(&self, result: usize) -> (BTreeSet<usize>, BTreeMap<usize, Tree>) {
        let mut todo = vec![result];
        let (mut waiting, mut hits) = (BTreeSet::new(), BTreeMap::new());
        while let Some(id) = todo.pop() {
            if waiting.contains(&id) || hits.contains_key(&id) {
                continue;
            }
            let Some(vertex) = self.vertex(id) else {
                continue;
            };
            if let Op::Image(image) = &vertex.op {
                let layers = self.bases.image(&image.manifest).map(|image| image.layers);
                let tree = Tree {
                    layers: layers.unwrap_or_default(),
                    made: Vec::new(),
                };
                self.tell(id, StepState::Cached);
                hits.insert(id, tree);
                continue;
            }
            let known = self.definition_of(id).and_then(|key| self.cached(key));
            match known {
                Some(tree) if !is_link(&vertex.op) => {
                    self.tell_cached(id);
                    hits.insert(id, tree);
                }
                // Its base is still needed; the thread that takes it finds it in the cache again.
                Some(_) => {
                    waiting.insert(id);
                    todo.extend(base_of(&vertex.op).map(|base| base.0));
                }
                None => {
                    waiting.insert(id);
                    todo.extend(inputs(&vertex.op).iter().map(|input| input.0));
                }
            }
        }
        (waiting, hits)
    }

    /// A step that is in the cache, and all that led to it.
    fn tell_cached(&self, id: usize) {
        let mut todo = vec![id];
        let mut seen = BTreeSet::new();
        while let Some(id) = todo.pop() {
            if seen.insert(id)
                && let Some(vertex) = self.vertex(id)
            {
                todo.extend(inputs(&vertex.op).iter().map(|input| input.0));
            }
        }
        for id in seen {
            self.tell(id, StepState::Cached);
        }
    }

    fn work(&self, state: &Mutex<State>, changed: &Condvar) {
        loop {
            let mut held = lock(state);
            let next = loop {
                if self.cancel.is_cancelled() {
                    held.failure.get_or_insert(BuildError::Interrupted);
                }
                if held.failure.is_some() || held.waiting.is_empty() {
                    break None;
                }
                let ready = held.waiting.iter().copied().find(|&id| self.is_ready(id));
                if ready.is_some() || held.running == 0 {
                    break ready;
                }
                held = changed
                    .wait(held)
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
            };
            let Some(id) = next else {
                drop(held);
                changed.notify_all();
                return;
            };
            held.waiting.remove(&id);
            held.running += 1;
            drop(held);
            let done = self.do_vertex(id);
            let mut held = lock(state);
            held.running -= 1;
            match done {
                Ok(output) => {
                    lock(&self.outputs).insert(id, output);
                }
                Err(error) => self.failed(id, error, &mut held),
            }
            drop(held);
            changed.notify_all();
        }
    }

    fn failed(&self, id: usize, error: BuildError, held: &mut State) {
        let first = held.failure.is_none();
        if first && !matches!(error, BuildError::Interrupted) {
            let why = match &error {
                BuildError::Dockerfile(failure) => failure.message.clone(),
                error => error.to_string(),
            };
            self.tell(id, StepState::Failed(why));
            held.failure = Some(self.at(id, error));
        } else {
            self.tell(id, StepState::Canceled);
            held.failure.get_or_insert(error);
        }
        self.cancel.cancel();
    }

    /// A failure of the Dockerfile without a place gets that of the step it came from.
    fn at(&self, id: usize, error: BuildError) -> BuildError {
        match (error, self.vertex(id)) {
            (BuildError::Dockerfile(mut failure), Some(vertex)) => {
                if failure.location.is_none() {
                    failure.location = location(self.job, vertex);
                }
                failure.step.get_or_insert_with(|| vertex.name.clone());
                BuildError::Dockerfile(failure)
            }
            (error, _) => error,
        }
    }

    fn is_ready(&self, id: usize) -> bool {
        let Some(vertex) = self.vertex(id) else {
            return true;
        };
        let outputs = lock(&self.outputs);
        inputs(&vertex.op)
            .iter()
            // What a cached `--link` copy was made from is not done at all.
            .all(|input| outputs.contains_key(&input.0) || self.is_left_out(id, input.0))
    }

    fn is_left_out(&self, id: usize, input: usize) -> bool {
        let Some(vertex) = self.vertex(id) else {
            return false;
        };
        is_link(&vertex.op)
            && base_of(&vertex.op).map(|base| base.0) != Some(input)
            && self
                .definition_of(id)
                .is_some_and(|key| self.cached(key).is_some())
    }
}
