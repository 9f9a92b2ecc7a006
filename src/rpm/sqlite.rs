//! `rpmdb.sqlite`: a scan of table `Packages` (`hnum`, `blob`) straight from the pages, main file and
//! write-ahead log together; and small tables of other databases, whole. Format: sqlite.org/fileformat2.html. Indexes, the freelist and every
//! other table are not looked at; nothing is ever written, so no lock or recovery is needed.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
};

use super::{
    bytes::{array, be16, be32, index, slice},
    database::{Blob, Fault, push},
    wal::Wal,
};

pub(super) const MAGIC: &[u8] = b"SQLite format 3\0";
const FILE_HEADER: usize = 100;
/// Types of b-tree pages that tables have.
const INTERIOR: u8 = 5;
const LEAF: u8 = 13;
/// The table of tables begins on the first page.
const SCHEMA_ROOT: u32 = 1;

pub(super) fn headers<'a>(bytes: &'a [u8], wal: &[u8]) -> Result<Vec<Blob<'a>>, Fault> {
    let mut file = File::open(bytes, wal)?;
    let mut root = None;
    file.scan(SCHEMA_ROOT, &mut |_, payload| {
        root = root.or_else(|| root_of(payload, "Packages"));
        Ok(())
    })?;
    let root = root.ok_or(Fault::NoTable)?;
    let mut blobs = Vec::new();
    file.scan(root, &mut |row, payload| {
        let damaged = Fault::Page {
            page: root,
            what: "a row of table Packages is not a number and a header",
        };
        let instance = u32::try_from(row).map_err(|_| damaged.clone())?;
        match columns(payload).as_deref() {
            Some([_, (kind, blob), ..]) if *kind >= 12 && kind % 2 == 0 => {
                push(&mut blobs, instance, blob.to_vec())
            }
            _ => Err(damaged),
        }
    })?;
    Ok(blobs)
}

/// A value of a row that is a number or a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Number(i64),
    Text(String),
    Other,
}

impl Value {
    fn of((kind, bytes): (u64, &[u8])) -> Self {
        match kind {
            8 => Self::Number(0),
            9 => Self::Number(1),
            1..=6 => {
                // of one to eight bytes, the first one with the sign
                let sign = bytes
                    .first()
                    .map_or(0, |byte| i64::from(byte.cast_signed() >> 7));
                let number = bytes.iter().fold(sign, |n, byte| n << 8 | i64::from(*byte));
                Self::Number(number)
            }
            13.. if kind % 2 == 1 => Self::Text(String::from_utf8_lossy(bytes).into_owned()),
            _ => Self::Other,
        }
    }

    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Rows by number.
pub(super) type Table = BTreeMap<i64, Vec<Value>>;

/// Whole tables by name, rows by number; `None` for those that are not there.
pub(super) fn tables<const N: usize>(
    bytes: &[u8],
    wal: &[u8],
    names: [&str; N],
    most: usize,
) -> Result<[Option<Table>; N], Fault> {
    let mut file = File::open(bytes, wal)?;
    let mut roots = [None; N];
    file.scan(SCHEMA_ROOT, &mut |_, payload| {
        for (root, name) in roots.iter_mut().zip(names) {
            *root = root.or_else(|| root_of(payload, name));
        }
        Ok(())
    })?;
    let mut tables = [const { None }; N];
    for (table, root) in tables.iter_mut().zip(roots) {
        let Some(root) = root else { continue };
        let mut rows = BTreeMap::new();
        file.scan(root, &mut |row, payload| {
            let columns = columns(payload).ok_or(Fault::Page {
                page: root,
                what: "a row does not fit in its record",
            })?;
            rows.insert(row, columns.into_iter().map(Value::of).collect());
            (rows.len() <= most).then_some(()).ok_or(Fault::Packages)
        })?;
        *table = Some(rows);
    }
    Ok(tables)
}

/// The root page, when this row of the schema is a table of that name.
fn root_of(payload: &[u8], table: &str) -> Option<u32> {
    let columns = columns(payload)?;
    let [(_, kind), (_, name), _, (number_kind, root), ..] = columns.as_slice() else {
        return None;
    };
    let wanted = *kind == b"table" && name.eq_ignore_ascii_case(table.as_bytes());
    (wanted && (1..=6).contains(number_kind))
        .then(|| root.iter().fold(0_u64, |n, &byte| n << 8 | u64::from(byte)))
        .and_then(|root| root.try_into().ok())
}

/// The columns of a record: serial type and bytes. `None` when they do not fit in it.
fn columns(record: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let (header_len, mut at) = varint(record, 0)?;
    let header_len = usize::try_from(header_len).ok()?;
    let mut value = header_len;
    let mut columns = Vec::new();
    while at < header_len {
        let (kind, next) = varint(record.get(..header_len)?, at)?;
        at = next;
        let len = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => usize::try_from((kind - 12) / 2).ok()?,
        };
        columns.push((kind, slice(record, value, len)?));
        value += len;
    }
    Some(columns)
}

/// A variable-length integer at `at`, and where it ends.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (position, &byte) in bytes.get(at..)?.iter().take(9).enumerate() {
        if position == 8 {
            return Some((value << 8 | u64::from(byte), at + 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + position + 1));
        }
    }
    None
}

struct File<'a, 'w> {
    bytes: &'a [u8],
    wal: Wal<'w>,
    page_size: usize,
    /// bytes of a page that hold content; the rest is reserved for extensions
    usable: usize,
    pages: u32,
    /// bytes of records still to come at most: cells do not overlap, so all together fit in the files
    left: usize,
    /// pages taken so far: none belongs to two owners, so nothing is endless
    seen: HashSet<u32>,
}

type Row<'r> = &'r mut dyn FnMut(i64, &[u8]) -> Result<(), Fault>;

impl<'a, 'w> File<'a, 'w>
where
    'a: 'w,
{
    fn open(bytes: &'a [u8], wal: &'w [u8]) -> Result<Self, Fault> {
        let main = bytes.get(..FILE_HEADER).ok_or(Fault::Short(bytes.len()))?;
        let page_size = page_size(main)?;
        let left = bytes.len().saturating_add(wal.len());
        let wal = Wal::parse(wal, page_size)?;
        // The first page of the log, when it has one, holds the header that counts.
        let header = wal.page(SCHEMA_ROOT).unwrap_or(main);
        let byte = |at: usize| u64::from(header.get(at).copied().unwrap_or(0));
        let wrong = |field, value| Err(Fault::Field { field, value });
        if page_size != self::page_size(header)? {
            return wrong("the page size", index_u64(page_size));
        }
        for (field, at) in [("the write version", 18), ("the read version", 19)] {
            if !matches!(byte(at), 1 | 2) {
                return wrong(field, byte(at));
            }
        }
        let reserved = header.get(20).copied().map_or(0, usize::from);
        let usable = page_size - reserved;
        if usable < 480 {
            return wrong("the reserved space of a page", byte(20));
        }
        // 0 until the first table is made, then 1 for UTF-8; names of tables are read as UTF-8 here.
        let encoding = be32(header, 56).unwrap_or(0);
        if encoding > 1 {
            return wrong("the text encoding", encoding.into());
        }
        let in_file = u32::try_from(bytes.len() / page_size).unwrap_or(u32::MAX);
        // The size in the header counts only when the last writer knew of that field.
        let in_header = be32(header, 28).filter(|_| header.get(24..28) == header.get(92..96));
        let pages = wal
            .database_pages
            .or(in_header.filter(|&pages| pages != 0))
            .unwrap_or(in_file);
        Ok(Self {
            bytes,
            wal,
            page_size,
            usable,
            pages,
            left,
            seen: HashSet::new(),
        })
    }

    fn page(&mut self, number: u32) -> Result<&'w [u8], Fault> {
        let in_file = || {
            let before = index(number).checked_sub(1)?;
            slice(
                self.bytes,
                before.checked_mul(self.page_size)?,
                self.page_size,
            )
        };
        let page = self
            .wal
            .page(number)
            .or_else(in_file)
            .filter(|_| number != 0 && number <= self.pages)
            .and_then(|page| page.get(..self.usable))
            .ok_or(Fault::NoPage(number))?;
        if !self.seen.insert(number) {
            return Err(Fault::PageTwice(number));
        }
        Ok(page)
    }

    /// Calls `row` with number and record of every row of a table, in the order of the numbers.
    fn scan(&mut self, root: u32, row: Row<'_>) -> Result<(), Fault> {
        let mut stack = vec![root];
        while let Some(number) = stack.pop() {
            let page = self.page(number)?;
            let start = if number == SCHEMA_ROOT {
                FILE_HEADER
            } else {
                0
            };
            let kind = page.get(start).copied().unwrap_or(0);
            let damaged = |what| Fault::Page { page: number, what };
            let (header, leaf) = match kind {
                INTERIOR => (12, false),
                LEAF => (8, true),
                kind => return Err(Fault::PageKind { page: number, kind }),
            };
            let cells = be16(page, start + 3).map_or(0, usize::from);
            let pointers = slice(page, start + header, 2 * cells)
                .ok_or_else(|| damaged("it has more cells than fit"))?;
            let pointers = pointers.as_chunks().0.iter();
            let mut cells = pointers.map(|&raw| usize::from(u16::from_be_bytes(raw)));
            if leaf {
                cells.try_for_each(|at| self.cell(number, page, at, row))?;
                continue;
            }
            let child = |at| be32(page, at).ok_or_else(|| damaged("a cell does not fit in it"));
            stack.push(child(start + 8)?);
            for at in cells.rev() {
                stack.push(child(at)?);
            }
        }
        Ok(())
    }

    /// One row of a leaf page: length, number, record; a long record goes on in overflow pages.
    fn cell(&mut self, number: u32, page: &[u8], at: usize, row: Row<'_>) -> Result<(), Fault> {
        let damaged = |what| Fault::Page { page: number, what };
        let cut = || damaged("a cell does not fit in it");
        let (len, next) = varint(page, at).ok_or_else(cut)?;
        let (rowid, start) = varint(page, next).ok_or_else(cut)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.left = (self.left.checked_sub(len))
            .ok_or_else(|| damaged("its records are longer than the file"))?;
        let local = local_len(len, self.usable);
        let here = slice(page, start, local).ok_or_else(cut)?;
        let mut record = Cow::Borrowed(here);
        if local < len {
            let first = be32(page, start + local).ok_or_else(cut)?;
            self.overflow(record.to_mut(), first, len)?;
        }
        row(rowid.cast_signed(), &record)
    }

    /// Appends pages of the chain from `next` on until `record` has `len` bytes.
    fn overflow(&mut self, record: &mut Vec<u8>, next: u32, len: usize) -> Result<(), Fault> {
        let mut next = next;
        while record.len() < len {
            let page = self.page(next)?;
            let content = page.get(4..).unwrap_or_default();
            let take = content.len().min(len - record.len());
            record.extend_from_slice(content.get(..take).unwrap_or_default());
            next = be32(page, 0).unwrap_or(0);
        }
        Ok(())
    }
}

/// How many bytes of a record of `len` bytes lie in the cell of a table leaf (fileformat2 § 1.6).
fn local_len(len: usize, usable: usize) -> usize {
    let max = usable - 35;
    if len <= max {
        return len;
    }
    let min = (usable - 12) * 32 / 255 - 23;
    let local = min + (len - min) % (usable - 4);
    if local <= max { local } else { min }
}

fn page_size(header: &[u8]) -> Result<usize, Fault> {
    let stored = array(header, 16).map_or(0, u16::from_be_bytes);
    match stored {
        1 => Ok(65_536),
        512.. if stored.is_power_of_two() => Ok(stored.into()),
        _ => Err(Fault::Field {
            field: "the page size",
            value: stored.into(),
        }),
    }
}

fn index_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
