//! The cache directory: blobs, step records, unpacked layers and cache mounts, used by any number of
//! runs and processes at once.
//!
//! ```text
//! blobs/sha256/HEX     layers as they go into images; manifests and configurations of base images
//! records/KIND/HEX     what is known by a key: one checksum line, then JSON
//! facts/HEX            what a scan learns of a layer, noted while it was written or unpacked
//! trees/KIND/HEX/      unpacked layers by chain id, in the form of this kind of snapshot
//! mounts/HEX/          RUN --mount=type=cache
//! downloads/HEX        files of ADD by address, with what the server said of them
//! tmp/RUN/             what a run is making; `tmp/RUN.lock` is held by it
//! locks/               one file a thing that only one may make at a time
//! ```
//!
//! Everything is made under `tmp` and renamed, so an entry is there whole or not at all. A record
//! whose checksum fails, or a blob that is not the one that was stored, counts as not there.
//! `blobs` and `records` are all that has to be kept to share the cache (`actions/cache`): trees
//! are unpacked again from them, and facts are believed only where they were noted.

mod blobs;
mod cache_mounts;
mod compress;
mod copy;
mod diff;
mod dir;
mod error;
mod extract;
mod facts;
mod feed;
mod layer;
mod lock;
mod prune;
mod records;
mod snapshot;
mod trees;

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

pub use blobs::Layer;
pub(crate) use blobs::chain_id;
pub use cache_mounts::CacheMount;
pub use compress::LayerCompression;
pub use error::StoreError;
pub use facts::KeptFacts;
pub use layer::LayerOptions;
pub use prune::{PruneOptions, Pruned, prune};
pub use snapshot::{Snapshot, SnapshotMode};
pub use trees::View;

/// An open cache directory; what it holds in `tmp` goes when it is dropped.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    mode: SnapshotMode,
    /// form of the unpacked layers: the snapshots' mode, and who owns what
    tree_kind: String,
    owners: extract::Owners,
    run: lock::Run,
    next: AtomicU64,
    views: trees::Views,
}

impl Store {
    /// Opens or makes the directory, and sweeps what dead runs left.
    ///
    /// # Errors
    /// When it cannot be made or locked.
    pub fn open(root: &Path, mode: SnapshotMode) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).map_err(StoreError::io(root))?;
        for part in ["blobs/sha256", "records", "trees", "mounts", "tmp", "locks"] {
            let path = root.join(part);
            std::fs::create_dir_all(&path).map_err(StoreError::io(&path))?;
            // Files there are as a step leaves them: devices, set-user-ID programs of root.
            if matches!(part, "trees" | "mounts" | "tmp") {
                let mode = rustix::fs::Mode::from_raw_mode(0o700);
                let _ = rustix::fs::chmod(path.as_path(), mode);
            }
        }
        let run = lock::Run::start(&root)?;
        let (ids, owners) = snapshot::owners();
        Ok(Self {
            tree_kind: format!("{}-{ids}", mode.form()),
            owners,
            mode,
            run,
            next: AtomicU64::new(0),
            views: trees::Views::default(),
            root,
        })
    }

    /// The cache directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How snapshots are made.
    pub fn mode(&self) -> SnapshotMode {
        self.mode
    }

    /// Whether all files belong to the one id that there is, whatever layers say.
    pub(crate) fn squashes_owners(&self) -> bool {
        self.owners == extract::Owners::Squash
    }

    /// A path in this run's own directory that nothing else uses.
    pub fn temporary(&self) -> PathBuf {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.run.directory().join(next.to_string())
    }

    /// A new directory of this run.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn temporary_dir(&self) -> Result<PathBuf, StoreError> {
        let path = self.temporary();
        std::fs::create_dir(&path).map_err(StoreError::io(&path))?;
        Ok(path)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.views.close();
    }
}

/// Copies the files of one directory into another, an empty one, with all that a layer can say of
/// them.
///
/// # Errors
/// When a file cannot be read or made.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<(), StoreError> {
    let source = dir::Dir::open(from).map_err(StoreError::io(from))?;
    let target = dir::Dir::open(to).map_err(StoreError::io(to))?;
    copy::tree(&source, &target)
}
