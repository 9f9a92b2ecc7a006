//! The header blob: an index of typed entries over a data area, big-endian throughout.
//!
//! The rules are librpm's `hdrblobInit` and `hdrblobImport`: a first entry of tag 61, 62 or 63 is a
//! region that the entries up to its trailer belong to; entries after it were added when the package
//! was installed and replace those of the same tag inside it. Headers of rpm 3 have no region.
//! Signatures and digests over the region are not verified here.

use std::ffi::CStr;

use super::bytes::{array, be16, be32, index, slice};

/// librpm's limit on index entries.
const MAX_ENTRIES: usize = 0xffff;
/// librpm's limit on the data area, bytes.
const MAX_DATA: usize = 0x0fff_ffff;
/// Elements of one decoded array. The largest real package owns some 100,000 files; the bound keeps
/// a small hostile header from asking for a large table.
pub(super) const MAX_ARRAY: usize = 1_000_000;
/// Tags below this are regions and the locale table, allowed as the first entry alone.
const FIRST_TAG: u32 = 100;
const ENTRY: usize = 16;
/// Binary data, the type of a region entry.
const BINARY: u32 = 7;

/// Why a header blob cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// shorter than its own counts
    #[error("header of {len} bytes is not the {need} bytes that its counts call for")]
    Size {
        /// bytes given
        len: usize,
        /// bytes the index and data lengths add up to
        need: usize,
    },
    /// no entries, or more than librpm allows
    #[error("header with {0} index entries (rpm allows 1 to 65535)")]
    Entries(usize),
    /// more data than librpm allows
    #[error("header with {0} bytes of data (rpm allows 268435455)")]
    Data(usize),
    /// the region entry or its trailer does not fit
    #[error("header region {tag} is damaged: {what}")]
    Region {
        /// 61, 62 or 63
        tag: u32,
        /// which rule it breaks
        what: &'static str,
    },
    /// an entry points outside the data, overlaps its predecessor or is of no type
    #[error("header entry {position} (tag {tag}) is damaged: {what}")]
    Entry {
        /// place in the index
        position: usize,
        /// its tag
        tag: u32,
        /// which rule it breaks
        what: &'static str,
    },
    /// the value of a tag is not of the type that the tag has
    #[error("tag {tag} has type {kind}, which it cannot have")]
    Type {
        /// the tag
        tag: u32,
        /// the type found
        kind: u32,
    },
    /// strings that run past the end of the data
    #[error("tag {0} has strings that do not end")]
    Strings(u32),
    /// more elements than any package has
    #[error("tag {tag} has {count} elements (the limit is 1000000)")]
    TooMany {
        /// the tag
        tag: u32,
        /// elements claimed
        count: usize,
    },
    /// a tag that every package has is not there
    #[error("tag {0} is missing, which every package has")]
    Missing(u32),
    /// an array that does not go with the list of files or provides
    #[error("tag {tag} has {found} elements for {want} files or names")]
    Count {
        /// the tag
        tag: u32,
        /// elements there
        found: usize,
        /// elements needed
        want: usize,
    },
    /// a file whose directory, digest or path is not one
    #[error("file {position} of the package is damaged: {what}")]
    File {
        /// place in the package
        position: usize,
        /// which rule it breaks
        what: &'static str,
    },
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: u32,
    kind: u32,
    offset: usize,
    count: usize,
}

/// A checked header: every entry begins inside the data, and those of fixed width end there.
#[derive(Debug)]
pub(super) struct Header<'a> {
    /// by tag; among equals the one that counts is last
    entries: Vec<Entry>,
    data: &'a [u8],
}

impl<'a> Header<'a> {
    /// Checks the blob as it lies in a database: index length, data length, index, data; no magic.
    pub(super) fn parse(blob: &'a [u8]) -> Result<Self, HeaderError> {
        let short = HeaderError::Size {
            len: blob.len(),
            need: 8,
        };
        let (Some(il), Some(dl)) = (be32(blob, 0), be32(blob, 4)) else {
            return Err(short);
        };
        let (il, dl) = (index(il), index(dl));
        if il == 0 || il > MAX_ENTRIES {
            return Err(HeaderError::Entries(il));
        }
        if dl > MAX_DATA {
            return Err(HeaderError::Data(dl));
        }
        let need = 8 + il * ENTRY + dl;
        if blob.len() != need {
            return Err(HeaderError::Size {
                len: blob.len(),
                need,
            });
        }
        let (table, data) = blob[8..].split_at(il * ENTRY);
        let (first, rest) = table.split_at(ENTRY);
        let first = read_entry(first).filter(|entry| (61..=63).contains(&entry.tag));
        let (mut position, rest) = match first {
            Some(region) => {
                check_region(region, il, data)?;
                (1, rest)
            }
            None => (0, table),
        };
        let mut entries = Vec::with_capacity(il);
        let mut end = 0;
        for entry in rest.chunks_exact(ENTRY).filter_map(read_entry) {
            end = check_entry(entry, end, data).map_err(|what| HeaderError::Entry {
                position,
                tag: entry.tag,
                what,
            })?;
            entries.push(entry);
            position += 1;
        }
        entries.sort_by_key(|entry| entry.tag);
        Ok(Self { entries, data })
    }

    fn find(&self, tag: u32) -> Option<Entry> {
        let end = self.entries.partition_point(|entry| entry.tag <= tag);
        let entry = *self.entries.get(end.checked_sub(1)?)?;
        (entry.tag == tag).then_some(entry)
    }

    /// The bytes from where an entry begins.
    fn from(&self, entry: Entry) -> &'a [u8] {
        self.data.get(entry.offset..).unwrap_or_default()
    }

    /// A string, or the first of several; bytes that are not UTF-8 become U+FFFD.
    pub(super) fn string(&self, tag: u32) -> Result<Option<String>, HeaderError> {
        let Some(entry) = self.find(tag) else {
            return Ok(None);
        };
        if !matches!(entry.kind, 6 | 8 | 9) {
            return Err(wrong_type(entry));
        }
        let text =
            CStr::from_bytes_until_nul(self.from(entry)).map_err(|_| HeaderError::Strings(tag))?;
        Ok(Some(text.to_string_lossy().into_owned()))
    }

    /// A string that every package has.
    pub(super) fn required(&self, tag: u32) -> Result<String, HeaderError> {
        self.string(tag)?.ok_or(HeaderError::Missing(tag))
    }

    /// All strings of an array; empty when the tag is absent.
    pub(super) fn strings(&self, tag: u32) -> Result<Vec<&'a [u8]>, HeaderError> {
        let Some(entry) = self.find(tag) else {
            return Ok(Vec::new());
        };
        if !matches!(entry.kind, 6 | 8 | 9) {
            return Err(wrong_type(entry));
        }
        let mut rest = self.from(entry);
        check_count(entry)?;
        let mut strings = Vec::with_capacity(entry.count.min(rest.len()));
        for _ in 0..entry.count {
            let text = CStr::from_bytes_until_nul(rest).map_err(|_| HeaderError::Strings(tag))?;
            strings.push(text.to_bytes());
            rest = rest.get(text.count_bytes() + 1..).unwrap_or_default();
        }
        Ok(strings)
    }

    /// An array of numbers; empty when the tag is absent.
    pub(super) fn numbers(&self, tag: u32) -> Result<Numbers<'a>, HeaderError> {
        let Some(entry) = self.find(tag) else {
            return Ok(Numbers::default());
        };
        let width = match entry.kind {
            1 | 2 => 1,
            3 => 2,
            4 => 4,
            5 => 8,
            _ => return Err(wrong_type(entry)),
        };
        check_count(entry)?;
        let bytes = slice(self.data, entry.offset, entry.count * width).unwrap_or_default();
        Ok(Numbers { bytes, width })
    }

    /// The first number of a tag.
    pub(super) fn number(&self, tag: u32) -> Result<Option<u64>, HeaderError> {
        Ok(self.numbers(tag)?.get(0))
    }

    /// Binary data; `None` when absent or of another type.
    pub(super) fn binary(&self, tag: u32) -> Option<&'a [u8]> {
        let entry = self.find(tag).filter(|entry| entry.kind == BINARY)?;
        slice(self.data, entry.offset, entry.count)
    }
}

fn wrong_type(entry: Entry) -> HeaderError {
    HeaderError::Type {
        tag: entry.tag,
        kind: entry.kind,
    }
}

fn check_count(entry: Entry) -> Result<(), HeaderError> {
    if entry.count > MAX_ARRAY {
        return Err(HeaderError::TooMany {
            tag: entry.tag,
            count: entry.count,
        });
    }
    Ok(())
}

fn read_entry(raw: &[u8]) -> Option<Entry> {
    Some(Entry {
        tag: be32(raw, 0)?,
        kind: be32(raw, 4)?,
        offset: index(be32(raw, 8)?),
        count: index(be32(raw, 12)?),
    })
}

/// librpm `hdrblobVerifyRegion`: the region's trailer lies in the data, repeats its tag and says by a
/// negative offset how many index entries belong to it.
fn check_region(region: Entry, il: usize, data: &[u8]) -> Result<(), HeaderError> {
    let damaged = |what| HeaderError::Region {
        tag: region.tag,
        what,
    };
    if region.kind != BINARY || region.count != ENTRY {
        return Err(damaged("its type or length is not a region's"));
    }
    let trailer = slice(data, region.offset, ENTRY)
        .ok_or_else(|| damaged("its trailer lies outside the data"))?;
    let (tag, kind, size, count) = (
        be32(trailer, 0).unwrap_or(0),
        be32(trailer, 4).unwrap_or(0),
        array(trailer, 8).map_or(0, i32::from_be_bytes),
        be32(trailer, 12).map_or(0, index),
    );
    // Some old packages have 61 in the trailer of a signature region.
    let same = tag == region.tag || (region.tag == 62 && tag == 61);
    if !same || kind != BINARY || count != ENTRY {
        return Err(damaged("its trailer is not one"));
    }
    let size = size
        .checked_neg()
        .and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| damaged("its trailer points the wrong way"))?;
    if !size.is_multiple_of(ENTRY) || size / ENTRY > il || size == 0 {
        return Err(damaged("it holds more entries than the header"));
    }
    Ok(())
}

/// librpm `hdrblobVerifyInfo`, but for where strings end: that is checked when they are read.
fn check_entry(entry: Entry, end: usize, data: &[u8]) -> Result<usize, &'static str> {
    if entry.tag < FIRST_TAG {
        return Err("its tag is not allowed here");
    }
    let width = match entry.kind {
        1 | 2 | BINARY => 1,
        3 => 2,
        4 => 4,
        5 => 8,
        6 | 8 | 9 => 0,
        _ => return Err("its type does not exist"),
    };
    if entry.offset < end {
        return Err("it overlaps the one before");
    }
    if entry.count == 0 {
        return Err("it has no value");
    }
    // A string takes at least its final zero.
    let len = entry.count.checked_mul(width.max(1));
    if len.and_then(|len| slice(data, entry.offset, len)).is_none() {
        return Err("it ends outside the data");
    }
    if width > 1 && !entry.offset.is_multiple_of(width) {
        return Err("it is not aligned");
    }
    if entry.kind == 6 && entry.count != 1 {
        return Err("it is a string with a count");
    }
    Ok(entry.offset + entry.count * width.max(1))
}

/// Big-endian numbers of one width.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Numbers<'a> {
    bytes: &'a [u8],
    width: usize,
}

impl Numbers<'_> {
    /// How many there are.
    pub(super) fn len(self) -> usize {
        self.bytes.len().checked_div(self.width).unwrap_or(0)
    }

    /// The one at `position`.
    pub(super) fn get(self, position: usize) -> Option<u64> {
        let at = position.checked_mul(self.width)?;
        match self.width {
            1 => self.bytes.get(at).map(|&byte| byte.into()),
            2 => be16(self.bytes, at).map(Into::into),
            4 => be32(self.bytes, at).map(Into::into),
            8 => array(self.bytes, at).map(u64::from_be_bytes),
            _ => None,
        }
    }
}
