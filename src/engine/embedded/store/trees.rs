//! Unpacked layers, by chain id, and read-only views of whole trees.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{
    Store,
    blobs::{Layer, chain_id},
    error::StoreError,
    extract,
    feed::{Ahead, Feed},
    lock::{Lock, remove},
    snapshot::{Mounted, Snapshot, SnapshotMode, overlay},
};
use crate::{
    inventory,
    oci::{Digest, SourceError},
};

/// Says that a tree is complete.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    /// the diff id that it was verified against
    diff_id: String,
}

/// A complete tree to read.
#[derive(Debug)]
pub struct View {
    path: PathBuf,
    _mounted: Option<Mounted>,
}

impl View {
    /// Its root.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Views of this run by chain id.
#[derive(Debug, Default)]
pub(super) struct Views(Mutex<HashMap<String, Arc<View>>>);

impl Views {
    pub(super) fn close(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Store {
    fn marker_kind(&self) -> String {
        format!("trees-{}", self.tree_kind)
    }

    fn tree_path(&self, chain: &Digest) -> PathBuf {
        self.root
            .join("trees")
            .join(&self.tree_kind)
            .join(chain.digest())
    }

    fn tree(&self, layers: &[Layer]) -> Option<PathBuf> {
        let chain = chain_id(layers)?;
        let path = self.tree_path(&chain);
        let marker: Marker = self.record(&self.marker_kind(), &chain)?;
        let last = layers.last()?;
        if marker.diff_id != last.diff_id.to_string() || !path.is_dir() {
            return None;
        }
        self.touch(&self.marker_kind(), &chain);
        Some(path)
    }

    /// Moves a finished tree to its place; one that is there already is kept.
    pub(super) fn place_tree(&self, made: &Path, layers: &[Layer]) -> Result<(), StoreError> {
        let (Some(chain), Some(last)) = (chain_id(layers), layers.last()) else {
            return Ok(());
        };
        let path = self.tree_path(&chain);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(StoreError::io(parent))?;
        }
        match std::fs::rename(made, &path) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                if self.tree(layers).is_some() {
                    return Ok(());
                }
                // No marker: what is there was never finished, or its marker was damaged.
                let aside = self.temporary();
                std::fs::rename(&path, &aside).map_err(StoreError::io(&path))?;
                std::fs::rename(made, &path).map_err(StoreError::io(&path))?;
                remove(&aside);
            }
            Err(error) => return Err(StoreError::io(&path)(error)),
        }
        let marker = Marker {
            diff_id: last.diff_id.to_string(),
        };
        self.put_record(&self.marker_kind(), &chain, &marker)
    }

    /// The directories that show the tree of these layers: all of them, bottom first, for an overlay,
    /// the last one for copies.
    pub(super) fn trees_of(&self, layers: &[Layer]) -> Result<Vec<PathBuf>, StoreError> {
        if matches!(self.mode, SnapshotMode::Copy) {
            return Ok(self.whole_tree(layers)?.into_iter().collect());
        }
        std::thread::scope(|scope| {
            let mut ahead = Ahead::new(self, scope, layers);
            let mut lowers: Vec<PathBuf> = Vec::with_capacity(layers.len());
            for count in 1..=layers.len() {
                let part = layers.get(..count).unwrap_or_default();
                let path = self.unpacked(part, |store| {
                    let known = layers
                        .get(..=count)
                        .is_none_or(|next| store.tree(next).is_some());
                    let (layer, feed) = ahead.take(count - 1, !known)?;
                    let below = part.get(..count - 1).unwrap_or_default();
                    let snapshot = store.snapshot_over(below, lowers.clone())?;
                    store.apply_last(&snapshot, layer, feed)?;
                    snapshot.keep_as(part)
                })?;
                lowers.extend(path);
            }
            Ok(lowers)
        })
    }

    fn whole_tree(&self, layers: &[Layer]) -> Result<Option<PathBuf>, StoreError> {
        self.unpacked(layers, |store| {
            let known = (0..layers.len())
                .rev()
                .map(|count| layers.get(..count).unwrap_or_default())
                .find_map(|part| store.tree(part).map(|path| (part, path)));
            let (below, lowers) = match known {
                Some((part, path)) => (part, vec![path]),
                None => (&[][..], Vec::new()),
            };
            let snapshot = store.snapshot_over(below, lowers)?;
            std::thread::scope(|scope| {
                let mut ahead = Ahead::new(store, scope, layers);
                (below.len()..layers.len()).try_for_each(|at| {
                    let (layer, feed) = ahead.take(at, true)?;
                    store.apply_last(&snapshot, layer, feed)
                })
            })?;
            snapshot.keep_as(layers)
        })
    }

    /// The tree of these layers, made by `make` when it is not there; once, whoever asks.
    fn unpacked(
        &self,
        layers: &[Layer],
        make: impl FnOnce(&Self) -> Result<(), StoreError>,
    ) -> Result<Option<PathBuf>, StoreError> {
        let Some(chain) = chain_id(layers) else {
            return Ok(None);
        };
        if let Some(path) = self.tree(layers) {
            return Ok(Some(path));
        }
        let name = format!("locks/tree-{}-{}", self.tree_kind, chain.digest());
        let lock_path = self.root.join(name);
        let lock = Lock::exclusive(&lock_path)?;
        if self.tree(layers).is_none() {
            make(self)?;
        }
        drop(lock);
        Ok(Some(self.tree_path(&chain)))
    }

    /// Applies the last of these layers to a snapshot of those before it. What a scan would learn of it is
    /// noted in the same pass.
    fn apply_last(
        &self,
        snapshot: &Snapshot<'_>,
        layer: &Layer,
        feed: Feed<'_>,
    ) -> Result<(), StoreError> {
        let shown = layer.diff_id.to_string();
        let root = snapshot.dir()?;
        let (applied, learned) = inventory::record(|tee| {
            let mut pieces = feed.pieces(tee);
            let applied = extract::apply(&root, &shown, self.owners, &mut pieces);
            // What follows the archive's end belongs to the diff id as well.
            let rest = match &applied {
                Ok(()) => io::copy(&mut pieces, &mut io::sink()).map(|_| ()),
                Err(_) => Ok(()),
            };
            // Wrong bytes are the likelier cause of a bad archive.
            match (pieces.end(), applied, rest) {
                (Err(error), Ok(()), _) | (Err(error @ SourceError::Mismatch { .. }), ..) => {
                    Err(error.into())
                }
                (_, Err(error), _) => Err(error),
                (Ok(()), Ok(()), Err(source)) => Err(StoreError::io(snapshot.root())(source)),
                (Ok(()), Ok(()), Ok(())) => Ok(()),
            }
        });
        applied?;
        self.keep_facts(layer, learned);
        Ok(())
    }

    /// Makes sure that a blob unpacks to its diff id, when it was not seen to here before.
    ///
    /// # Errors
    /// When it does not, or cannot be read.
    pub(crate) fn check_layer(&self, layer: &Layer) -> Result<(), StoreError> {
        if self.knows(layer) {
            return Ok(());
        }
        let (read, learned) = inventory::record(|tee| {
            std::thread::scope(|scope| {
                let mut pieces = self.feed(scope, layer)?.pieces(tee);
                let passed = io::copy(&mut pieces, &mut io::sink());
                pieces.end()?;
                passed.map_err(StoreError::io(&self.blob_path(&layer.digest)))
            })
        });
        read?;
        self.keep_facts(layer, learned);
        Ok(())
    }

    /// A tree to read; mounted once for a run.
    ///
    /// # Errors
    /// When a layer cannot be unpacked or the tree cannot be mounted.
    pub fn view(&self, layers: &[Layer]) -> Result<Arc<View>, StoreError> {
        let key = chain_id(layers).map_or_else(String::new, |chain| chain.to_string());
        let mut views = self.views.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = views.get(&key) {
            return Ok(Arc::clone(view));
        }
        let mut lowers = self.trees_of(layers)?;
        let view = match (self.mode, lowers.pop()) {
            (_, None) => View {
                path: self.temporary_dir()?,
                _mounted: None,
            },
            (SnapshotMode::Copy, Some(path)) => View {
                path,
                _mounted: None,
            },
            (SnapshotMode::Overlay { userxattr }, Some(top)) => {
                // A single layer may hold whiteouts, which only an overlay hides.
                if lowers.is_empty() {
                    lowers.push(self.temporary_dir()?);
                }
                lowers.push(top);
                let mounted = overlay(&lowers, None, userxattr, &self.temporary_dir()?)?;
                View {
                    path: mounted.path().to_owned(),
                    _mounted: Some(mounted),
                }
            }
        };
        let view = Arc::new(view);
        views.insert(key, Arc::clone(&view));
        Ok(view)
    }
}
