//! The uncompressed bytes of one layer on their way: hashed into the diff id, and read as an archive.

use sha2::{Digest as _, Sha256, Sha512};

use super::{
    database::Packed,
    error::LayerError,
    layer::{Collector, LayerScan},
    options::Budget,
    record::{LayerKey, Recorded},
    tar::TarStream,
};
use crate::oci::{DiffId, LayerIndex, hex};

enum DiffHasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl DiffHasher {
    fn new(diff_id: &DiffId) -> Result<Self, LayerError> {
        match diff_id.0.algorithm().as_ref() {
            "sha256" => Ok(Self::Sha256(Sha256::new())),
            "sha512" => Ok(Self::Sha512(Sha512::new())),
            _ => Err(LayerError::DiffIdAlgorithm(diff_id.to_string())),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Sha256(hasher) => format!("sha256:{}", hex(&hasher.finalize())),
            Self::Sha512(hasher) => format!("sha512:{}", hex(&hasher.finalize())),
        }
    }
}

/// Takes the uncompressed bytes of a layer, piece by piece.
pub(super) struct LayerWalk<'s> {
    hasher: DiffHasher,
    diff_id: &'s DiffId,
    tar: TarStream<Collector<'s>>,
    budget: &'s Budget,
    packed: &'s Packed,
    bytes: u64,
}

impl<'s> LayerWalk<'s> {
    pub(super) fn new(
        index: LayerIndex,
        diff_id: &'s DiffId,
        budget: &'s Budget,
        packed: &'s Packed,
    ) -> Result<Self, LayerError> {
        let collector = Collector::new(index, budget);
        Ok(Self {
            hasher: DiffHasher::new(diff_id)?,
            diff_id,
            tar: TarStream::new(collector, budget.limits.clone()),
            budget,
            packed,
            bytes: 0,
        })
    }

    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<(), LayerError> {
        self.budget.uncompressed(chunk.len() as u64)?;
        self.bytes += chunk.len() as u64;
        self.hasher.update(chunk);
        self.tar.feed(chunk)
    }

    /// The layer is over: its diff id is compared before the archive's end is judged, because
    /// wrong bytes are the likelier cause of a bad end. For a `key` there are also the bytes to keep
    /// under it.
    pub(super) fn finish(
        self,
        key: Option<&LayerKey>,
    ) -> Result<(LayerScan, Option<Vec<u8>>), LayerError> {
        let actual = self.hasher.finish();
        if actual != self.diff_id.to_string() {
            return Err(LayerError::DiffId {
                expected: self.diff_id.to_string(),
                actual,
            });
        }
        let recorded = Recorded::new(self.tar.finish()?, self.bytes);
        let kept = key.and_then(|key| recorded.to_bytes(key));
        Ok((recorded.read(self.packed), kept))
    }
}
