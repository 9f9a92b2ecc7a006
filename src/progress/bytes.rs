//! Something long as it happens: so much of so much.

use std::cell::Cell;

use indicatif::{ProgressBar, ProgressStyle};

use super::{Console, Mode};

/// Between two lines of a plain log, bytes or documents of a known whole.
const TENTHS: u64 = 10;

/// Shows how far it is: a bar on a terminal, a line for each tenth elsewhere.
pub struct ByteBar {
    bar: Option<ProgressBar>,
    console: Console,
    what: &'static str,
    told: Cell<u64>,
}

impl ByteBar {
    pub(super) fn new(console: &Console, what: &'static str) -> Self {
        let bar = (console.mode == Mode::Tty).then(|| {
            let style = ProgressStyle::with_template("{msg} {bar:40} {percent}% {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(0).with_style(style).with_message(what);
            console.bars.add(bar)
        });
        Self {
            bar,
            console: console.clone(),
            what,
            told: Cell::new(0),
        }
    }

    /// So much is done, of so much when that is known.
    pub fn at(&self, done: u64, total: Option<u64>) {
        if let Some(bar) = &self.bar {
            bar.set_length(total.unwrap_or(0));
            bar.set_position(done);
            return;
        }
        let Some(total) = total.filter(|total| *total >= TENTHS) else {
            return;
        };
        let tenths = done.saturating_mul(TENTHS) / total;
        if tenths > self.told.replace(tenths) {
            self.console.note(&format!("{}: {}0%", self.what, tenths));
        }
    }
}

impl Drop for ByteBar {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
