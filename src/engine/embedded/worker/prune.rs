//! Pruning where files belong to subordinate ids of a plain user: what he cannot remove himself, root of
//! his user namespace can.

use std::path::Path;

use super::{
    parent::Worker,
    protocol::{Message, Prune, Request},
    setup::USER,
    this_binary,
};
use crate::engine::{
    BuildPlan,
    embedded::store::{self, PruneOptions, Pruned, StoreError},
};

/// Prunes a cache directory; `now` in seconds since 1970.
///
/// # Errors
/// When a run is using it, or it cannot be read.
pub fn prune(root: &Path, options: PruneOptions, now: i64) -> Result<Pruned, StoreError> {
    // A directory that is none, or is in use, is told by the plain way, which is taken where there are no
    // user namespaces, too.
    let plain = nix::unistd::Uid::effective().is_root() || !root.join("locks/in-use").exists();
    let pruned = (!plain).then(|| in_namespace(root, Prune { options, now }));
    match pruned.flatten() {
        Some(pruned) => Ok(pruned),
        None => store::prune(root, options, now),
    }
}

fn in_namespace(root: &Path, prune: Prune) -> Option<Pruned> {
    let (mut worker, _) = Worker::start(&this_binary(), Some(USER)).ok()?;
    let request = Request {
        plan: BuildPlan {
            cache_dir: root.to_owned(),
            ..BuildPlan::default()
        },
        secrets: indexmap::IndexMap::new(),
        insecure: Vec::new(),
        extra_roots: Vec::new(),
        namespaces: true,
        note: None,
        prune: Some(prune),
    };
    worker.send(&request).ok()?;
    let answer = worker.next(&mut || false);
    worker.end();
    match answer {
        Ok(Some(Message::Pruned(pruned))) => Some(pruned),
        _ => None,
    }
}
