//! SQLite's write-ahead log: the pages of its committed transactions stand in for the main file's.
//! Format: sqlite.org/fileformat2.html § 4. As SQLite does on recovery, the log is read up to the
//! first frame whose salts or running checksum do not fit, and what was not committed is dropped.

use std::collections::HashMap;

use super::{
    bytes::{array, be32, index, slice},
    database::Fault,
};

const HEADER: usize = 32;
const FRAME: usize = 24;
const VERSION: u32 = 3_007_000;

/// The committed pages of a log.
#[derive(Debug, Default)]
pub(super) struct Wal<'a> {
    pages: HashMap<u32, &'a [u8]>,
    /// pages in the database after the last commit; `None` when nothing was committed
    pub(super) database_pages: Option<u32>,
}

impl<'a> Wal<'a> {
    /// Reads a log; one that is empty or whose own header is not valid is as good as none.
    pub(super) fn parse(bytes: &'a [u8], page_size: usize) -> Result<Self, Fault> {
        let mut wal = Self::default();
        let Some(order) = Order::of(bytes) else {
            return Ok(wal);
        };
        let (Some(salts), Some(stored)) = (slice(bytes, 16, 8), checksum_at(bytes, 24)) else {
            return Ok(wal);
        };
        let mut sum = order.checksum(&bytes[..24], (0, 0));
        if sum != stored || be32(bytes, 4) != Some(VERSION) {
            return Ok(wal);
        }
        let own_size = be32(bytes, 8).unwrap_or(0);
        if index(own_size) != page_size {
            return Err(Fault::Field {
                field: "the page size of the write-ahead log",
                value: own_size.into(),
            });
        }
        let mut pending = Vec::new();
        for frame in bytes[HEADER..].chunks_exact(FRAME + page_size) {
            let (head, page) = frame.split_at(FRAME);
            let (Some(number), Some(commit)) = (be32(head, 0), be32(head, 4)) else {
                break;
            };
            sum = order.checksum(page, order.checksum(&head[..8], sum));
            let valid = head.get(8..16) == Some(salts) && checksum_at(head, 16) == Some(sum);
            if !valid || number == 0 {
                break;
            }
            pending.push((number, page));
            if commit != 0 {
                wal.pages.extend(pending.drain(..));
                wal.database_pages = Some(commit);
            }
        }
        Ok(wal)
    }

    /// The page as the log has it.
    pub(super) fn page(&self, number: u32) -> Option<&'a [u8]> {
        self.pages.get(&number).copied()
    }
}

fn checksum_at(bytes: &[u8], at: usize) -> Option<(u32, u32)> {
    be32(bytes, at).zip(be32(bytes, at + 4))
}

/// The byte order in which checksums take their words; everything else is big-endian.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn of(bytes: &[u8]) -> Option<Self> {
        match be32(bytes, 0)? {
            0x377f_0682 => Some(Self::Little),
            0x377f_0683 => Some(Self::Big),
            _ => None,
        }
    }

    fn word(self, bytes: &[u8], at: usize) -> u32 {
        let raw = array(bytes, at).unwrap_or_default();
        match self {
            Self::Little => u32::from_le_bytes(raw),
            Self::Big => u32::from_be_bytes(raw),
        }
    }

    /// Continues the running checksum over whole pairs of words.
    fn checksum(self, bytes: &[u8], (mut s0, mut s1): (u32, u32)) -> (u32, u32) {
        for pair in bytes.chunks_exact(8) {
            s0 = s0.wrapping_add(self.word(pair, 0)).wrapping_add(s1);
            s1 = s1.wrapping_add(self.word(pair, 4)).wrapping_add(s0);
        }
        (s0, s1)
    }
}
