//! What tells trees apart by what they hold.

use super::{
    Tree,
    failure::file_failure,
    keys::{self, canonical, copies, inputs, is_link, whole},
    shared::{Output, Shared, base_of},
};
use crate::{
    engine::{
        BuildError,
        embedded::{
            files,
            graph::{self, Op, Vertex, VertexId},
            store::chain_id,
        },
    },
    oci::Digest,
};

impl Shared<'_> {
    /// What a step says and what its inputs hold.
    pub(super) fn content_key(&self, vertex: &Vertex) -> Result<Digest, BuildError> {
        let op = &vertex.op;
        let mut parts = vec![canonical(op)];
        if !is_link(op) {
            parts.push(chain(&self.tree(base_of(op))));
        }
        if let Op::Exec(exec) = op {
            for input in inputs(op) {
                if Some(input) != exec.base {
                    parts.push(self.content_of(input));
                }
            }
        }
        for copy in copies(op) {
            let key = files::key(&copy, self)
                .map_err(|error| file_failure(self.job, Some(vertex), &error))?;
            parts.push(key.to_string());
        }
        Ok(keys::digest("content", &self.salt, &parts))
    }

    /// What tells the content of a vertex's tree.
    fn content_of(&self, id: VertexId) -> String {
        match self.output(id) {
            Some(Output::Directory(_, digest)) => digest.to_string(),
            Some(Output::Tree(tree)) => chain(&tree),
            None => String::new(),
        }
    }

    /// The same of a tree that a mount shows `source` of.
    pub(super) fn content_of_tree(
        &self,
        tree: graph::Tree,
        source: &str,
    ) -> Result<String, BuildError> {
        match tree {
            graph::Tree::Empty => Ok(String::new()),
            graph::Tree::Vertex(id) => Ok(self.content_of(id)),
            graph::Tree::Context => files::key(&whole(tree, source), self)
                .map(|key| key.to_string())
                .map_err(|error| file_failure(self.job, None, &error)),
        }
    }
}

/// Chain id as text; empty for the empty tree.
fn chain(tree: &Tree) -> String {
    chain_id(&tree.layers).map_or_else(String::new, |id| id.to_string())
}
