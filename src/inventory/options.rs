//! How a scan is bounded, watched and stopped.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use tokio_util::sync::CancellationToken;

use super::{error::LimitError, record::LayerMemory};
use crate::oci::{ImagePath, LayerIndex};

/// Layers of an image. Runtimes stop at 127 (`overlay` mounts); a configuration can list any number.
pub const MAX_LAYERS: u64 = 4096;
/// Tar entries and directories made for them, in one image. The largest known images have some
/// 300,000; each costs some 300 bytes of memory.
pub const MAX_ENTRIES: u64 = 1_000_000;
/// Bytes of one path, `PATH_MAX` of Linux: a longer one could not be unpacked.
pub const MAX_PATH: u32 = 4096;
/// Bytes of all paths and link targets of an image: what a million entries of 128 bytes take.
pub const MAX_NAME_BYTES: u64 = 128 << 20;
/// Bytes of tar metadata (long names, PAX records) before one entry; the kernel's own limit for one
/// extended attribute is 64 KiB.
pub const MAX_METADATA: u32 = 1 << 20;
/// Bytes of all layers, uncompressed: well over the largest images in use, and an end for bombs.
pub const MAX_UNCOMPRESSED: u64 = 64 << 30;
/// Bytes of holes in sparse files of an image: they cost digesting, though nothing is stored.
pub const MAX_HOLES: u64 = 16 << 30;
/// Regions of data in one sparse file.
pub const MAX_SPARSE_REGIONS: usize = 10_000;
/// Bytes of one small file that is kept whole (os-release, passwd, content manifests).
pub const MAX_KEPT_FILE: u64 = 4 << 20;
/// Bytes of all small files that are kept whole.
pub const MAX_KEPT: u64 = 32 << 20;
/// Bytes of all files that are kept while there is room: histories of dnf, lists of repositories.
pub const MAX_USEFUL: u64 = 64 << 20;
/// Bytes of one rpm database file; that of a full desktop is some 150 MiB.
pub const MAX_DATABASE: u64 = 256 << 20;
/// Bytes of all rpm database files of one layer whose facts are kept: they are held in memory until the
/// layer ends, while a build goes on beside it.
pub(super) const MAX_KEPT_DATABASES: u64 = 96 << 20;
/// log2 of the bytes a zstd frame may ask to keep (128 MiB), zstd's own default for untrusted input.
pub const MAX_ZSTD_WINDOW_LOG: u32 = 27;

/// The limits of a scan; each is an error of its own when it is passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// see [`MAX_LAYERS`]
    pub layers: u64,
    /// see [`MAX_ENTRIES`]
    pub entries: u64,
    /// see [`MAX_PATH`]
    pub path: u32,
    /// see [`MAX_NAME_BYTES`]
    pub name_bytes: u64,
    /// see [`MAX_METADATA`]
    pub metadata: u32,
    /// see [`MAX_UNCOMPRESSED`]
    pub uncompressed: u64,
    /// see [`MAX_HOLES`]
    pub holes: u64,
    /// see [`MAX_SPARSE_REGIONS`]
    pub sparse_regions: usize,
    /// see [`MAX_KEPT_FILE`]
    pub kept_file: u64,
    /// see [`MAX_KEPT`]
    pub kept: u64,
    /// see [`MAX_DATABASE`]
    pub database: u64,
    /// see [`MAX_ZSTD_WINDOW_LOG`]
    pub zstd_window_log: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            layers: MAX_LAYERS,
            entries: MAX_ENTRIES,
            path: MAX_PATH,
            name_bytes: MAX_NAME_BYTES,
            metadata: MAX_METADATA,
            uncompressed: MAX_UNCOMPRESSED,
            holes: MAX_HOLES,
            sparse_regions: MAX_SPARSE_REGIONS,
            kept_file: MAX_KEPT_FILE,
            kept: MAX_KEPT,
            database: MAX_DATABASE,
            zstd_window_log: MAX_ZSTD_WINDOW_LOG,
        }
    }
}

/// How to scan.
#[derive(Debug, Clone)]
pub struct ScanOptions {
    /// threads that unpack and digest; each holds some 2 MiB
    pub threads: NonZeroUsize,
    /// compare the files of packages with their description. Digests of blobs, layers and files
    /// are taken all the same.
    pub verify: bool,
    /// where to stop
    pub limits: Limits,
    /// stops the scan between two pieces of a layer
    pub cancel: CancellationToken,
    /// layers that it knows are not read; of the others, what is learned is given to it
    pub memory: Option<Arc<dyn LayerMemory>>,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            verify: true,
            limits: Limits::default(),
            cancel: CancellationToken::new(),
            memory: None,
        }
    }
}

/// Told how far a scan is; called from several threads.
pub trait ScanProgress: Sync {
    /// `done` of the `total` bytes of a layer's blob have been read.
    fn layer(&self, layer: LayerIndex, done: u64, total: u64);
}

/// Tells nobody.
pub struct Quiet;

impl ScanProgress for Quiet {
    fn layer(&self, _layer: LayerIndex, _done: u64, _total: u64) {}
}

/// What has been used up of the limits that count over all layers.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) limits: Limits,
    uncompressed: AtomicU64,
    holes: AtomicU64,
    entries: AtomicU64,
    names: AtomicU64,
    kept: AtomicU64,
    useful: AtomicU64,
    databases: AtomicU64,
    /// bytes of all databases together
    most_databases: u64,
}

impl Budget {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            uncompressed: AtomicU64::new(0),
            holes: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            names: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            useful: AtomicU64::new(0),
            databases: AtomicU64::new(0),
            most_databases: u64::MAX,
        }
    }

    /// For one layer that is looked at while it is made.
    pub(super) fn of_recording() -> Self {
        Self {
            most_databases: MAX_KEPT_DATABASES,
            ..Self::new(Limits::default())
        }
    }

    pub(super) fn uncompressed(&self, bytes: u64) -> Result<(), LimitError> {
        let limit = self.limits.uncompressed;
        within(&self.uncompressed, bytes, limit).ok_or(LimitError::Uncompressed(limit))
    }

    pub(super) fn holes(&self, bytes: u64) -> Result<(), LimitError> {
        let limit = self.limits.holes;
        within(&self.holes, bytes, limit).ok_or(LimitError::Holes(limit))
    }

    pub(super) fn entry(&self, name_bytes: u64) -> Result<(), LimitError> {
        self.entries(1, name_bytes)
    }

    pub(super) fn entries(&self, count: u64, name_bytes: u64) -> Result<(), LimitError> {
        let limit = self.limits.entries;
        within(&self.entries, count, limit).ok_or(LimitError::Entries(limit))?;
        let limit = self.limits.name_bytes;
        within(&self.names, name_bytes, limit).ok_or(LimitError::Names(limit))
    }

    pub(super) fn database(&self, path: &ImagePath, size: u64) -> Result<(), LimitError> {
        let refused = |limit| LimitError::Database {
            path: path.clone(),
            size,
            limit,
        };
        if size > self.limits.database {
            return Err(refused(self.limits.database));
        }
        let limit = self.most_databases;
        within(&self.databases, size, limit).ok_or_else(|| refused(limit))
    }

    /// Whether there is room for a file that an image can be judged without.
    pub(super) fn useful(&self, bytes: u64) -> bool {
        within(&self.useful, bytes, MAX_USEFUL).is_some()
    }

    pub(super) fn kept(&self, bytes: u64) -> Result<(), LimitError> {
        let limit = self.limits.kept;
        within(&self.kept, bytes, limit).ok_or(LimitError::Kept(limit))
    }
}

fn within(used: &AtomicU64, more: u64, limit: u64) -> Option<()> {
    let before = used.fetch_add(more.min(u64::MAX / 4), Ordering::Relaxed);
    (before.saturating_add(more) <= limit).then_some(())
}
