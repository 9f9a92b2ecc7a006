//! Unpacked layers, by chain id, and read-only views of whole trees.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use serde::{Deserialize, Serialize};

use super::{
    Store,
    blobs::{Layer, chain_id},
    error::StoreError,
    extract,
    lock::{Lock, remove},
    snapshot::{Mounted, Snapshot, SnapshotMode, overlay},
};
use crate::{
    inventory,
    layout::decompress,
    oci::{BlobHasher, Digest, LayerFormat, MAX_LAYER, SourceError, VerifyingReader},
};

/// Bytes that the thread which decompresses hands over at a time.
const PIECE: usize = 256 << 10;

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
        let mut lowers: Vec<PathBuf> = Vec::with_capacity(layers.len());
        for count in 1..=layers.len() {
            let part = layers.get(..count).unwrap_or_default();
            let path = self.unpacked(part, |store| {
                let below = part.get(..count - 1).unwrap_or_default();
                let snapshot = store.snapshot_over(below, lowers.clone())?;
                store.apply_last(&snapshot, part)?;
                snapshot.keep_as(part)
            })?;
            lowers.extend(path);
        }
        Ok(lowers)
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
            for count in below.len() + 1..=layers.len() {
                store.apply_last(&snapshot, layers.get(..count).unwrap_or_default())?;
            }
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

    /// Applies the last of these layers to a snapshot of those before it.
    fn apply_last(&self, snapshot: &Snapshot<'_>, layers: &[Layer]) -> Result<(), StoreError> {
        let Some(layer) = layers.last() else {
            return Ok(());
        };
        let shown = layer.diff_id.to_string();
        let root = snapshot.dir()?;
        let blob = self.open_blob(&layer.digest)?;
        let (give, take) = mpsc::sync_channel(8);
        std::thread::scope(|scope| {
            // Noted for the scan in the same pass, by the thread that has the more time.
            let reader = scope.spawn(move || {
                let read =
                    |tee: &mut (dyn io::Write + Send)| decompress_to(layer, blob, &give, tee);
                let (read, learned) = inventory::record(read);
                if matches!(read, Ok(true)) {
                    self.keep_facts(layer, learned);
                }
                read.map(|_| ())
            });
            let mut pieces = Pieces {
                from: take,
                piece: Vec::new(),
                at: 0,
                done: false,
            };
            let applied = extract::apply(&root, &shown, self.owners, &mut pieces);
            // What follows the archive's end belongs to the diff id as well.
            let rest = match &applied {
                Ok(()) => io::copy(&mut pieces, &mut io::sink()).map(|_| ()),
                Err(_) => Ok(()),
            };
            drop(pieces);
            let read = reader.join().unwrap_or_else(|_| Err(ended(&shown)));
            // Wrong bytes are the likelier cause of a bad archive.
            match (read, applied, rest) {
                (Err(error), Ok(()), _) | (Err(error @ SourceError::Mismatch { .. }), ..) => {
                    Err(error.into())
                }
                (_, Err(error), _) => Err(error),
                (Ok(()), Ok(()), Err(source)) => Err(StoreError::io(snapshot.root())(source)),
                (Ok(()), Ok(()), Ok(())) => Ok(()),
            }
        })
    }

    /// Makes sure that a blob unpacks to its diff id, when it was not seen to here before.
    ///
    /// # Errors
    /// When it does not, or cannot be read.
    pub(crate) fn check_layer(&self, layer: &Layer) -> Result<(), StoreError> {
        if self.knows(layer) {
            return Ok(());
        }
        let blob = self.open_blob(&layer.digest)?;
        let (give, take) = mpsc::sync_channel(8);
        // Nobody needs the pieces.
        let read = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let give = give;
                inventory::record(|tee| decompress_to(layer, blob, &give, tee))
            });
            while take.recv().is_ok() {}
            reader.join()
        });
        match read {
            Ok((read, learned)) => {
                read?;
                self.keep_facts(layer, learned);
                Ok(())
            }
            Err(_) => Err(ended(&layer.diff_id.to_string()).into()),
        }
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

fn ended(layer: &str) -> SourceError {
    SourceError::Io {
        what: format!("layer {layer}"),
        source: io::Error::other("the thread that decompresses ended early"),
    }
}

/// Decompresses and verifies a layer, piece by piece, for as long as somebody takes the pieces; whether
/// that was to its end.
fn decompress_to(
    layer: &Layer,
    blob: File,
    give: &mpsc::SyncSender<io::Result<Vec<u8>>>,
    tee: &mut dyn io::Write,
) -> Result<bool, SourceError> {
    let what = format!("layer {}", layer.digest);
    let descriptor = layer.descriptor();
    let format =
        LayerFormat::of(descriptor.media_type()).map_err(|reason| SourceError::Unsupported {
            what: what.clone(),
            reason,
        })?;
    let verified = VerifyingReader::new(blob, &descriptor)?;
    let mut plain = decompress(format, verified, MAX_LAYER)
        .map_err(|error| SourceError::from_read(what.as_str(), error))?;
    let mut hasher = BlobHasher::default();
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = io::Read::by_ref(&mut plain)
            .take(PIECE as u64)
            .read_to_end(&mut piece);
        if let Err(error) = read {
            let ended = io::Error::other("the layer cannot be read to its end");
            let _ = give.send(Err(ended));
            return Err(SourceError::from_read(what, error));
        }
        if piece.is_empty() {
            break;
        }
        hasher.update(&piece);
        tee.write_all(&piece)
            .map_err(|error| SourceError::from_read(what.as_str(), error))?;
        if give.send(Ok(piece)).is_err() {
            return Ok(false);
        }
    }
    let actual = hasher.finish();
    if actual == layer.diff_id.0 {
        return Ok(true);
    }
    Err(SourceError::Mismatch {
        what,
        expected: format!("diff id {}", layer.diff_id),
        actual: format!("diff id {actual}"),
    })
}

/// The pieces as a stream.
struct Pieces {
    from: mpsc::Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    at: usize,
    done: bool,
}

impl Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.piece.len() {
            if self.done {
                return Ok(0);
            }
            match self.from.recv() {
                Ok(piece) => {
                    self.piece = piece?;
                    self.at = 0;
                }
                Err(_) => self.done = true,
            }
        }
        let n = self.piece.get(self.at..).unwrap_or_default().read(buf)?;
        self.at += n;
        Ok(n)
    }
}
