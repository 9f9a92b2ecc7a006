//! What a step prints: how much of it is shown while it runs, and the end that a failure shows.

use std::{borrow::Cow, collections::VecDeque};

/// Lines of output that a failure shows.
const LAST_LINES: usize = 20;
/// Longest line of these, in bytes.
const MAX_LINE: usize = 4096;
/// Bytes of each of a step's streams that are shown, `BuildKit`'s own limit: a log is read by people.
const MAX_SHOWN: usize = 2 << 20;
const CLIPPED: &[u8] = b"\n[output clipped, log limit 2MiB reached]\n";

/// Shows no more of a stream than anybody reads.
#[derive(Default)]
pub(super) struct Clip {
    /// of standard output and standard error
    passed: [usize; 2],
}

impl Clip {
    /// What of it is shown.
    pub(super) fn take<'d>(&mut self, stderr: bool, data: &'d [u8]) -> Cow<'d, [u8]> {
        let [out, err] = &mut self.passed;
        let passed = if stderr { err } else { out };
        let left = MAX_SHOWN.saturating_sub(*passed);
        let before = *passed;
        *passed = passed.saturating_add(data.len());
        match data.get(..left) {
            Some(shown) if shown.len() < data.len() && before <= MAX_SHOWN => {
                Cow::Owned([shown, CLIPPED].concat())
            }
            Some(shown) if before > MAX_SHOWN => Cow::Borrowed(&shown[..0]),
            _ => Cow::Borrowed(data),
        }
    }
}

/// The end of a step's output.
#[derive(Default)]
pub(super) struct LastLines {
    lines: VecDeque<String>,
    open: Vec<u8>,
}

impl LastLines {
    pub(super) fn take(&mut self, data: &[u8]) {
        for &byte in data {
            if byte == b'\n' {
                self.close();
            } else if self.open.len() < MAX_LINE {
                self.open.push(byte);
            }
        }
    }

    fn close(&mut self) {
        let line = String::from_utf8_lossy(&self.open).trim_end().to_owned();
        self.open.clear();
        self.lines.push_back(line);
        if self.lines.len() > LAST_LINES {
            self.lines.pop_front();
        }
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        if !self.open.is_empty() {
            self.close();
        }
        self.lines.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_is_shown_up_to_its_limit_and_told_once_that_it_was_cut() {
        let mut clip = Clip::default();
        let piece = vec![b'x'; 300_000];
        let shown: Vec<u8> = (0..20)
            .flat_map(|_| clip.take(false, &piece).into_owned())
            .collect();
        assert_eq!(shown.len(), MAX_SHOWN + CLIPPED.len());
        assert!(shown.ends_with(CLIPPED));
        assert_eq!(&*clip.take(true, b"error"), b"error");
        let mut whole = Clip::default();
        let piece = vec![b'x'; MAX_SHOWN];
        assert_eq!(whole.take(false, &piece).len(), MAX_SHOWN);
        assert_eq!(&*whole.take(false, b"more"), CLIPPED);
        assert_eq!(&*whole.take(false, b"more"), b"");
    }

    #[test]
    fn the_end_of_the_output_is_kept_whatever_came_before() {
        let mut last = LastLines::default();
        for n in 0..100 {
            last.take(format!("line {n}\r\n").as_bytes());
        }
        last.take(&vec![b'y'; 2 * MAX_LINE]);
        let lines = last.finish();
        assert_eq!(lines.len(), LAST_LINES);
        assert_eq!(lines[0], "line 81");
        assert_eq!(lines[LAST_LINES - 1].len(), MAX_LINE);
    }
}
