//! What was learned of a layer, as bytes that can be kept, so that a layer that was read once, or that
//! was looked at while it was written, need not be unpacked again.
//!
//! Kept is what passing the archive by costs: entries, digests of files, traces of secrets, and the few
//! contents that are looked at. Whatever follows from these (digests of kept contents, the packages of a
//! database) is worked out anew, so that bytes which were tampered with can say nothing that a layer
//! could not have said. Who keeps them answers for their being those that were kept.

use std::{collections::BTreeMap, fmt, io};

use super::{
    content,
    database::{DatabaseFiles, Packed},
    error::LayerError,
    kept,
    layer::{Collector, LayerScan},
    options::Budget,
    tar::TarStream,
};
use crate::oci::{Descriptor, DiffId, Digest, ImagePath, LayerIndex, sha256};

/// Raised whenever the same layer would be told in another way, or something else learned of it.
const FORMAT: &str = concat!("plimsoll layer facts 1 (", env!("CARGO_PKG_VERSION"), ")");

/// What tells a layer apart: that this very blob unpacks to this diff id was seen when its facts were
/// kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerKey(pub(super) String);

impl LayerKey {
    /// Of the layer that a manifest and a configuration name.
    pub fn of(blob: &Descriptor, diff_id: &DiffId) -> Self {
        Self(format!(
            "{FORMAT} {} {} {} {diff_id}",
            blob.media_type(),
            blob.digest(),
            blob.size()
        ))
    }

    /// A name for files.
    pub fn digest(&self) -> Digest {
        sha256(self.0.as_bytes())
    }
}

/// Keeps what was learned of layers.
pub trait LayerMemory: fmt::Debug + Send + Sync {
    /// What was kept under a key: those bytes or none.
    fn recall(&self, key: &Digest) -> Option<Vec<u8>>;

    /// Keeps bytes under a key; that it cannot is nobody's harm.
    fn keep(&self, key: &Digest, facts: &[u8]);
}

/// A layer whose archive has passed by.
#[derive(Debug)]
pub struct Recorded {
    pub(super) scan: LayerScan,
    pub(super) databases: BTreeMap<ImagePath, DatabaseFiles>,
}

/// Looks at the uncompressed layer that `work` writes, piece by piece and in order, to the writer it is
/// given; `None` when it was no layer that a scan takes, which the scan will tell.
pub fn record<T>(work: impl FnOnce(&mut (dyn io::Write + Send)) -> T) -> (T, Option<Recorded>) {
    let budget = Budget::of_recording();
    let collector = Collector::new(LayerIndex(0), &budget);
    let mut passing = Passing {
        tar: Some(TarStream::new(collector, budget.limits.clone())),
        budget: &budget,
        bytes: 0,
    };
    let done = work(&mut passing);
    let bytes = passing.bytes;
    let collector = passing.tar.and_then(|tar| tar.finish().ok());
    (
        done,
        collector.map(|collector| Recorded::new(collector, bytes)),
    )
}

struct Passing<'b> {
    /// until something is wrong
    tar: Option<TarStream<Collector<'b>>>,
    budget: &'b Budget,
    bytes: u64,
}

impl io::Write for Passing<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.bytes += piece.len() as u64;
        let within = self.budget.uncompressed(piece.len() as u64).is_ok();
        let fed = self.tar.as_mut().map(|tar| tar.feed(piece));
        if !within || matches!(fed, Some(Err(_))) {
            self.tar = None;
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Recorded {
    pub(super) fn new(collector: Collector<'_>, uncompressed: u64) -> Self {
        let (mut scan, databases) = collector.finish();
        scan.uncompressed = uncompressed;
        Self { scan, databases }
    }

    /// The same with its databases read.
    pub(super) fn read(self, packed: &Packed) -> LayerScan {
        let Self {
            mut scan,
            databases,
        } = self;
        scan.databases = databases
            .into_iter()
            .flat_map(|(directory, files)| files.read(&directory, packed))
            .collect();
        scan
    }

    /// What is kept of it under `key`; `None` when that would be too much.
    pub fn to_bytes(&self, key: &LayerKey) -> Option<Vec<u8>> {
        kept::to_bytes(self, key)
    }
}

/// What a memory has of a layer; `None` when it has nothing of use.
///
/// # Errors
/// When the layer passes a limit of the scan.
pub(super) fn recall(
    memory: &dyn LayerMemory,
    index: LayerIndex,
    of: &Descriptor,
    diff_id: &DiffId,
    budget: &Budget,
) -> Result<Option<Recorded>, LayerError> {
    let key = LayerKey::of(of, diff_id);
    let Some(bytes) = memory.recall(&key.digest()) else {
        return Ok(None);
    };
    let Some(mut known) = kept::from_bytes(&bytes, &key, index, &budget.limits) else {
        tracing::warn!(layer = %of.digest(), "what was kept of a layer is damaged; it is read");
        return Ok(None);
    };
    charge(&mut known, budget)?;
    Ok(Some(known))
}

/// Uses up of the limits what reading the layer would have.
fn charge(known: &mut Recorded, budget: &Budget) -> Result<(), LayerError> {
    let scan = &mut known.scan;
    budget.uncompressed(scan.uncompressed)?;
    budget.holes(scan.holes)?;
    budget.entries(scan.entries, scan.names)?;
    let mut passed = Ok(());
    scan.kept.retain(|(path, _, content)| {
        let size = content.len() as u64;
        if !content::is_kept(path.as_bytes()) {
            return budget.useful(size);
        }
        if passed.is_ok() {
            passed = budget.kept(size);
        }
        true
    });
    passed?;
    for (directory, files) in &known.databases {
        budget.database(directory, files.size())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
