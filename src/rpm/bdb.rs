//! `Packages` as a Berkeley DB hash (versions 8 to 10), in either byte order: a meta page, buckets of
//! chained hash pages, and values on chains of overflow pages. Follows what librpm's `bdb_ro.c` reads.

use std::{borrow::Cow, collections::HashSet};

use super::{
    bytes::{array, index, slice},
    database::{Blob, Fault, push},
};

const MAGIC: u32 = 0x0006_1561;
const META: usize = 512;
const PAGE_HEADER: usize = 26;
/// Page types: an empty bucket of old versions, a hash page, an overflow page.
const HASH_META: u8 = 8;
const HASH_UNSORTED: u8 = 2;
const HASH: u8 = 13;
const OVERFLOW: u8 = 7;
/// Item types: on the page, and on overflow pages.
const ON_PAGE: u8 = 1;
const OFF_PAGE: u8 = 3;

/// The byte order of the machine that wrote the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    /// By the magic number; `None` when it is no Berkeley DB hash.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let magic: [u8; 4] = array(bytes, 12)?;
        match magic {
            _ if u32::from_le_bytes(magic) == MAGIC => Some(Self::Little),
            _ if u32::from_be_bytes(magic) == MAGIC => Some(Self::Big),
            _ => None,
        }
    }

    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let raw = array(bytes, at)?;
        Some(match self {
            Self::Little => u32::from_le_bytes(raw),
            Self::Big => u32::from_be_bytes(raw),
        })
    }

    fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let raw = array(bytes, at)?;
        Some(match self {
            Self::Little => u16::from_le_bytes(raw),
            Self::Big => u16::from_be_bytes(raw),
        })
    }
}

pub(super) fn headers(bytes: &[u8]) -> Result<Vec<Blob<'_>>, Fault> {
    let mut file = File::open(bytes)?;
    let mut blobs = Vec::new();
    for bucket in 0..=file.max_bucket {
        let mut number = file.bucket_page(bucket)?;
        while number != 0 {
            let page = file.page(number, &[HASH_META, HASH_UNSORTED, HASH])?;
            if page.kind() != HASH_META {
                file.pairs(page, &mut blobs)?;
            }
            number = page.next();
        }
    }
    Ok(blobs)
}

struct File<'a> {
    bytes: &'a [u8],
    order: ByteOrder,
    page_size: usize,
    last_page: u32,
    max_bucket: u32,
    /// pages taken so far: none belongs to two chains, so no chain is endless
    seen: HashSet<u32>,
}

#[derive(Clone, Copy)]
struct Page<'a> {
    number: u32,
    bytes: &'a [u8],
    order: ByteOrder,
}

impl<'a> Page<'a> {
    fn kind(self) -> u8 {
        self.bytes.get(25).copied().unwrap_or(0)
    }

    fn next(self) -> u32 {
        self.order.u32(self.bytes, 16).unwrap_or(0)
    }

    fn u16(self, at: usize) -> usize {
        self.order.u16(self.bytes, at).map_or(0, usize::from)
    }

    fn damaged(self, what: &'static str) -> Fault {
        Fault::Page {
            page: self.number,
            what,
        }
    }

    /// Item `position`: items are stored from the end of the page downwards, so each ends where the
    /// one before begins.
    fn item(self, position: usize) -> Result<&'a [u8], Fault> {
        let at = PAGE_HEADER + 2 * position;
        let start = self.u16(at);
        let end = match position {
            0 => self.bytes.len(),
            _ => self.u16(at - 2),
        };
        let item = self.bytes.get(start..end);
        item.filter(|item| !item.is_empty())
            .ok_or_else(|| self.damaged("an item does not fit in it"))
    }
}

impl<'a> File<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        let order = ByteOrder::of(bytes).ok_or(Fault::Short(bytes.len()))?;
        let meta = bytes.get(..META).ok_or(Fault::Short(bytes.len()))?;
        let field = |at| order.u32(meta, at).unwrap_or(0);
        let wrong = |field, value: u32| Fault::Field {
            field,
            value: value.into(),
        };
        let (version, page_size, last_page) = (field(16), field(20), field(32));
        if !(8..=10).contains(&version) {
            return Err(wrong("the hash version", version));
        }
        if !(512..=65_536).contains(&page_size) || !page_size.is_power_of_two() {
            return Err(wrong("the page size", page_size));
        }
        let encryption = meta.get(24).copied().unwrap_or(0);
        if encryption != 0 {
            return Err(wrong("the encryption algorithm", encryption.into()));
        }
        let max_bucket = field(72);
        if max_bucket > last_page {
            return Err(wrong("the highest bucket", max_bucket));
        }
        Ok(Self {
            bytes,
            order,
            page_size: index(page_size),
            last_page,
            max_bucket,
            seen: HashSet::new(),
        })
    }

    /// The first page of a bucket: buckets lie together by powers of two, each group at its own shift.
    fn bucket_page(&self, bucket: u32) -> Result<u32, Fault> {
        let group = index(u32::BITS - bucket.leading_zeros());
        let shift = self.order.u32(self.bytes, 96 + 4 * group).unwrap_or(0);
        // Berkeley DB lets these numbers wrap.
        match bucket.wrapping_add(shift) {
            0 => Err(Fault::NoPage(0)),
            page => Ok(page),
        }
    }

    fn page(&mut self, number: u32, kinds: &[u8]) -> Result<Page<'a>, Fault> {
        let bytes = index(number)
            .checked_mul(self.page_size)
            .filter(|_| number <= self.last_page)
            .and_then(|at| slice(self.bytes, at, self.page_size))
            .ok_or(Fault::NoPage(number))?;
        let page = Page {
            number,
            bytes,
            order: self.order,
        };
        if !kinds.contains(&page.kind()) {
            return Err(Fault::PageKind {
                page: number,
                kind: page.kind(),
            });
        }
        if self.order.u32(bytes, 8) != Some(number) {
            return Err(page.damaged("it has another page's number"));
        }
        if !self.seen.insert(number) {
            return Err(Fault::PageTwice(number));
        }
        Ok(page)
    }

    /// The key and value pairs of a hash page.
    fn pairs(&mut self, page: Page<'a>, blobs: &mut Vec<Blob<'a>>) -> Result<(), Fault> {
        for position in (0..page.u16(20) & !1).step_by(2) {
            let key = page.item(position)?;
            let instance = match key {
                [ON_PAGE, key @ ..] if key.len() == 4 => self.order.u32(key, 0),
                _ => None,
            };
            let instance = instance.ok_or_else(|| page.damaged("a key is not a number"))?;
            let value = page.item(position + 1)?;
            // Number 0 holds the highest number given out so far.
            if instance == 0 {
                continue;
            }
            match value {
                [ON_PAGE, value @ ..] => push(blobs, instance, value)?,
                [OFF_PAGE, ..] if value.len() == 12 => {
                    let part = |at| self.order.u32(value, at).unwrap_or(0);
                    let (first, len) = (part(4), index(part(8)));
                    let value = self.overflow(page, first, len)?;
                    push(blobs, instance, value)?;
                }
                _ => return Err(page.damaged("a value is of a type rpm does not store")),
            }
        }
        Ok(())
    }

    /// A value of `len` bytes on the chain that begins at page `number`.
    fn overflow(
        &mut self,
        from: Page<'_>,
        number: u32,
        len: usize,
    ) -> Result<Cow<'a, [u8]>, Fault> {
        if len == 0 || len > self.bytes.len() {
            return Err(from.damaged("a value is longer than the file"));
        }
        let mut number = number;
        let mut value = Vec::with_capacity(len);
        while value.len() < len {
            let page = self.page(number, &[OVERFLOW])?;
            let part = slice(page.bytes, PAGE_HEADER, page.u16(22))
                .filter(|part| value.len() + part.len() <= len)
                .ok_or_else(|| page.damaged("it holds more than belongs to the value"))?;
            value.extend_from_slice(part);
            number = page.next();
        }
        Ok(Cow::Owned(value))
    }
}
