//! A push as it happens: bytes of all blobs together, and what had to be tried again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Console, Mode};
use crate::{
    oci::{Descriptor, Digest},
    registry::push::{PushEvent, PushProgress},
};

/// Shows how far the blobs are.
pub struct PushBars {
    console: Console,
    bar: Option<ProgressBar>,
    done: Mutex<HashMap<Digest, u64>>,
}

impl PushBars {
    pub(super) fn new(console: &Console) -> Self {
        let bar = (console.mode == Mode::Tty).then(|| {
            let style = ProgressStyle::with_template(
                "pushing {bar:40} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar());
            console.bars.add(ProgressBar::new(0).with_style(style))
        });
        Self {
            console: console.clone(),
            bar,
            done: Mutex::default(),
        }
    }

    fn reached(&self, of: &Descriptor, bytes: u64) {
        let Some(bar) = &self.bar else { return };
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.insert(of.digest().clone(), bytes);
        bar.set_position(
            done.values()
                .fold(0, |sum, bytes| sum.saturating_add(*bytes)),
        );
    }
}

impl PushProgress for PushBars {
    fn event(&self, event: &PushEvent<'_>) {
        match event {
            PushEvent::Planned { bytes, .. } => {
                if let Some(bar) = &self.bar {
                    bar.set_length(*bytes);
                }
            }
            PushEvent::Sent(of, bytes) => self.reached(of, *bytes),
            PushEvent::Existing(of) | PushEvent::Mounted(of, _) | PushEvent::Uploaded(of) => {
                self.reached(of, of.size());
            }
            PushEvent::Waiting { what, reason } => {
                self.console
                    .note(&format!("{what}: {reason}; trying again"));
            }
            PushEvent::Manifest(digest) => tracing::info!(%digest, "manifest is there"),
            PushEvent::Tagged(tag) => tracing::info!(tag, "tag is there"),
        }
    }
}

impl Drop for PushBars {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
