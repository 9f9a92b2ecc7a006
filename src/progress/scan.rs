//! A scan as it happens: bytes of all layers together.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Console, Mode};
use crate::{inventory::ScanProgress, oci::LayerIndex};

/// Shows how far the layers are read.
pub struct ScanBars {
    bar: Option<ProgressBar>,
    layers: Mutex<HashMap<LayerIndex, (u64, u64)>>,
}

impl ScanBars {
    pub(super) fn new(console: &Console) -> Self {
        let bar = (console.mode == Mode::Tty).then(|| {
            let style = ProgressStyle::with_template(
                "scanning {bar:40} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar());
            console.bars.add(ProgressBar::new(0).with_style(style))
        });
        Self {
            bar,
            layers: Mutex::default(),
        }
    }
}

impl ScanProgress for ScanBars {
    fn layer(&self, layer: LayerIndex, done: u64, total: u64) {
        let Some(bar) = &self.bar else { return };
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        layers.insert(layer, (done, total));
        let (done, total) = layers.values().fold((0u64, 0u64), |sum, layer| {
            (sum.0 + layer.0, sum.1 + layer.1)
        });
        bar.set_length(total);
        bar.set_position(done);
    }
}

impl Drop for ScanBars {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
