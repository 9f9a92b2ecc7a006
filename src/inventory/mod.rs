//! One pass over the verified layers of an image: what is in them, layer by layer and put together.
use crate::oci::LayerIndex;
/// Told how far a scan is; called from several threads.
pub trait ScanProgress: Sync {
    /// `done` of the `total` bytes of a layer's blob have been read.
    fn layer(&self, layer: LayerIndex, done: u64, total: u64);
}
