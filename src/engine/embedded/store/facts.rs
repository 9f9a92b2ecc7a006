//! What was learned of layers, for the scan of an image that was just built.
//!
//! It says what a scan would find, so it must be what this cache directory was given: a file counts
//! only when the file system says that it was not touched since (inode, size, and the times of the
//! content and of the inode itself, which nobody can set). Of a cache that was copied or restored from
//! elsewhere nothing is believed, and layers are read.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use super::{
    Store, blobs,
    error::StoreError,
    lock::{Lock, Run},
    records,
};
use crate::{
    inventory::{LayerKey, LayerMemory, Recorded},
    oci::{Digest, sha256},
};

const KIND: &str = "facts";
/// Largest file that is read, in bytes.
const MAX_FACTS: u64 = 256 << 20;

/// What the file system says of a file, and its digest.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seal {
    digest: Digest,
    size: u64,
    device: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Seal {
    fn of(file: &File, digest: Digest) -> io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self {
            digest,
            size: meta.size(),
            device: meta.dev(),
            inode: meta.ino(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

fn place(root: &Path, key: &Digest) -> PathBuf {
    root.join(KIND).join(key.digest())
}

fn recall(root: &Path, key: &Digest) -> Option<Vec<u8>> {
    let seal: Seal = records::read(root, KIND, key)?;
    let mut file = blobs::open(&place(root, key)).ok()?;
    let found = Seal::of(&file, seal.digest.clone()).ok()?;
    if found != seal || seal.size > MAX_FACTS {
        return None;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(seal.size).ok()?);
    io::Read::by_ref(&mut file)
        .take(seal.size + 1)
        .read_to_end(&mut bytes)
        .ok()?;
    if sha256(&bytes) != seal.digest {
        return None;
    }
    records::touch(root, KIND, key);
    Some(bytes)
}

/// `made` is a path of this run for the file while it is written, `noted` one for its record.
fn keep(
    root: &Path,
    key: &Digest,
    facts: &[u8],
    made: &Path,
    noted: &Path,
) -> Result<(), StoreError> {
    let mut file = blobs::create(made)?;
    file.write_all(facts).map_err(StoreError::io(made))?;
    let path = place(root, key);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(StoreError::io(parent))?;
    }
    // Of two who note the same layer at once, file and record of one must stay.
    let _turn = Lock::exclusive(&root.join("locks/facts"))?;
    std::fs::rename(made, &path).map_err(StoreError::io(&path))?;
    // The renaming itself may count as a change of the inode.
    let seal = Seal::of(&file, sha256(facts)).map_err(StoreError::io(&path))?;
    records::write(root, KIND, key, &seal, noted)
}

impl Store {
    /// Whether this very blob was seen to unpack to its diff id.
    pub(super) fn knows(&self, layer: &blobs::Layer) -> bool {
        let key = LayerKey::of(&layer.descriptor(), &layer.diff_id);
        recall(&self.root, &key.digest()).is_some()
    }

    /// Keeps what was learned of a layer; without it the layer is read by whoever scans it.
    pub(super) fn keep_facts(&self, layer: &blobs::Layer, learned: Option<Recorded>) {
        let key = LayerKey::of(&layer.descriptor(), &layer.diff_id);
        let Some(bytes) = learned.and_then(|learned| learned.to_bytes(&key)) else {
            return;
        };
        let (made, noted) = (self.temporary(), self.temporary());
        let kept = keep(&self.root, &key.digest(), &bytes, &made, &noted);
        if let Err(error) = kept {
            tracing::warn!("facts of layer {} are not kept: {error}", layer.digest);
        }
    }
}

/// The facts in a cache directory, for a process that builds nothing itself.
#[derive(Debug)]
pub struct KeptFacts {
    root: PathBuf,
    run: OnceLock<Option<Run>>,
    next: AtomicU64,
}

impl KeptFacts {
    /// Those of a cache directory; nothing is opened yet.
    pub fn of(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            run: OnceLock::new(),
            next: AtomicU64::new(0),
        }
    }

    fn temporary(&self) -> Option<PathBuf> {
        let run = self.run.get_or_init(|| Run::start(&self.root).ok());
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        Some(run.as_ref()?.directory().join(next.to_string()))
    }
}

impl LayerMemory for KeptFacts {
    fn recall(&self, key: &Digest) -> Option<Vec<u8>> {
        recall(&self.root, key)
    }

    fn keep(&self, key: &Digest, facts: &[u8]) {
        let Some((made, noted)) = self.temporary().zip(self.temporary()) else {
            return;
        };
        if let Err(error) = keep(&self.root, key, facts, &made, &noted) {
            tracing::info!("facts of a layer are not kept: {error}");
        }
    }
}
