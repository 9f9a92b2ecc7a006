//! Digests of files that did not change since they were hashed.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

use crate::oci::hex;

/// What tells that a file is still the one that was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

type Known = HashMap<(u64, u64), (Seen, [u8; 32])>;

/// Digests by device and inode, valid while size and times are the same. Safe to share by threads;
/// serialised by [`StatCache::to_bytes`] to outlive the process.
#[derive(Debug, Default)]
pub struct StatCache {
    known: Mutex<Known>,
}

#[derive(Serialize, Deserialize)]
struct Line(u64, u64, Seen, String);

impl StatCache {
    /// What [`StatCache::to_bytes`] gave; anything else is an empty cache, which costs time alone.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let lines: Vec<Line> = serde_json::from_slice(bytes).unwrap_or_default();
        let known = lines
            .into_iter()
            .filter_map(|Line(device, inode, seen, hex)| {
                let mut digest = [0; 32];
                for (index, byte) in digest.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(hex.get(index * 2..index * 2 + 2)?, 16).ok()?;
                }
                Some(((device, inode), (seen, digest)))
            });
        Self {
            known: Mutex::new(known.collect()),
        }
    }

    /// Everything known, in a stable order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines: Vec<Line> = known
            .iter()
            .map(|(id, (seen, digest))| Line(id.0, id.1, *seen, hex(digest)))
            .collect();
        lines.sort_by_key(|line| (line.0, line.1));
        serde_json::to_vec(&lines).unwrap_or_default()
    }

    pub(super) fn get(&self, stat: &Stat) -> Option<[u8; 32]> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen, digest) = known.get(&(stat.st_dev, stat.st_ino))?;
        (*seen == Seen::of(stat)).then_some(*digest)
    }

    /// Keeps a digest. A file that was written a moment ago is left out: it could be written to
    /// again without a change of its times.
    pub(super) fn put(&self, stat: &Stat, digest: [u8; 32], now: i64) {
        if now - stat.st_ctime < 2 {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((stat.st_dev, stat.st_ino), (Seen::of(stat), digest));
    }
}

impl Seen {
    fn of(stat: &Stat) -> Self {
        #[expect(clippy::cast_possible_wrap, reason = "nanoseconds are below 10^9")]
        Self {
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }
}
