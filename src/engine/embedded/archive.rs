//! Tar archives, member by member: of a context, compressed or not and recognised by their content, and
//! of the layers of base images. What comes before a member is held in memory only up to a limit.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::PathBuf,
};

use std::os::unix::ffi::OsStringExt as _;
use tar_core::{
    EntryType, PaxExtensions, SparseEntry,
    parse::{Limits, ParseEvent, ParsedEntry, Parser},
};

/// Memory that decoding an xz block may take, in KiB; `xz -9` needs 65 MiB.
const XZ_MEMORY: u32 = 1 << 20;
const BLOCK: u64 = 512;
/// Bytes of header that may be held until it is whole.
const MAX_HEADER: usize = 4 << 20;

/// One member.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// as stored
    pub(super) path: PathBuf,
    pub(super) kind: EntryType,
    pub(super) link: Option<PathBuf>,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: i64,
    /// seconds and nanoseconds of a PAX record, which says more than the header can
    pub(super) pax_mtime: Option<(i64, i64)>,
    /// bytes of content in the archive
    pub(super) size: u64,
    /// name without prefix, value
    pub(super) xattrs: Vec<(String, Vec<u8>)>,
    /// regions that the content fills, and the size of the file
    pub(super) sparse: Option<(Vec<SparseEntry>, u64)>,
}

/// A tar stream, read member by member.
pub(super) struct Archive<R> {
    from: R,
    parser: Parser,
    held: Vec<u8>,
    /// content and padding of the last member that were not read
    content: u64,
    padding: u64,
}

/// Undoes compression by what the stream begins with.
pub(super) fn decompressed<'r>(from: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let mut from = BufReader::with_capacity(64 << 10, from);
    let magic = peek(&mut from, 6)?;
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, 0x08, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(from)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            Box::new(lzma_rust2::XzReader::new_mem_limit(from, true, XZ_MEMORY))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Box::new(zstd::stream::read::Decoder::with_buffer(from)?)
        }
        _ => Box::new(from),
    })
}

fn peek(from: &mut BufReader<impl Read>, length: usize) -> io::Result<Vec<u8>> {
    use io::BufRead as _;
    Ok(from.fill_buf()?.iter().take(length).copied().collect())
}

impl<R: Read> Archive<R> {
    pub(super) fn new(from: R) -> Self {
        let mut parser = Parser::new(Limits::default());
        // Times before 1970 are no reason to refuse an archive.
        parser.set_ignore_pax_errors(true);
        Self {
            from,
            parser,
            held: Vec::new(),
            content: 0,
            padding: 0,
        }
    }

    /// The next member; what was not read of the last one is skipped.
    pub(super) fn next_member(&mut self) -> io::Result<Option<Member>> {
        self.skip()?;
        loop {
            let (consumed, member) =
                match self.parser.parse(&self.held).map_err(io::Error::other)? {
                    ParseEvent::NeedData { min_bytes } => {
                        if self.more(min_bytes)? {
                            continue;
                        }
                        // Some writers leave the closing blocks out.
                        return if self.held.is_empty() {
                            Ok(None)
                        } else {
                            Err(io::ErrorKind::UnexpectedEof.into())
                        };
                    }
                    ParseEvent::Entry { consumed, entry } => {
                        (consumed, Some(member(&entry, None)?))
                    }
                    ParseEvent::SparseEntry {
                        consumed,
                        entry,
                        sparse_map,
                        real_size,
                    } => (
                        consumed,
                        Some(member(&entry, Some((sparse_map, real_size)))?),
                    ),
                    ParseEvent::GlobalExtensions { consumed, .. } => (consumed, None),
                    ParseEvent::End { .. } => return Ok(None),
                };
            self.held.drain(..consumed.min(self.held.len()));
            if let Some(member) = member {
                self.content = member.size;
                self.padding = member.size.next_multiple_of(BLOCK) - member.size;
                return Ok(Some(member));
            }
        }
    }

    /// Reads until so many bytes are held; false at the end.
    fn more(&mut self, least: usize) -> io::Result<bool> {
        if least > MAX_HEADER {
            return Err(io::Error::other("a header is too long"));
        }
        let missing = least.saturating_sub(self.held.len()).max(1) as u64;
        let missing = missing.next_multiple_of(BLOCK);
        let read = (&mut self.from).take(missing).read_to_end(&mut self.held)?;
        Ok(read > 0 && self.held.len() >= least)
    }

    fn skip(&mut self) -> io::Result<()> {
        let left = self.content + self.padding;
        let copied = io::copy(
            &mut Rest {
                archive: self,
                left,
            },
            &mut io::sink(),
        )?;
        if copied < left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (self.content, self.padding) = (0, 0);
        Ok(())
    }

    fn take(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Not every decoder can be asked for nothing: that of xz takes it for the end of a block.
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.held.is_empty() {
            return self.from.read(buffer);
        }
        let count = buffer.len().min(self.held.len());
        for (to, from) in buffer.iter_mut().zip(self.held.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

/// Content and padding that nobody wants.
struct Rest<'a, R> {
    archive: &'a mut Archive<R>,
    left: u64,
}

impl<R: Read> Read for Rest<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = self
            .archive
            .take(buffer.get_mut(..most).unwrap_or_default())?;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Content of the last member.
impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.content)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.take(buffer.get_mut(..most).unwrap_or_default())?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.content -= count as u64;
        Ok(count)
    }
}

impl Member {
    /// Bytes of the file, holes included.
    pub(super) fn length(&self) -> u64 {
        self.sparse.as_ref().map_or(self.size, |(_, size)| *size)
    }
}

fn member(entry: &ParsedEntry<'_>, sparse: Option<(Vec<SparseEntry>, u64)>) -> io::Result<Member> {
    let kind = kind(entry);
    let is_file =
        kind.is_file() || kind.is_contiguous() || (kind.is_gnu_sparse() && sparse.is_some());
    // Like Go's archive/tar: what is no file has no content, whatever its size field says.
    let size = if is_file { entry.size } else { 0 };
    if let Some((regions, whole)) = &sparse {
        check(regions, *whole, size)?;
    }
    let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()));
    let id =
        |id: u64| u32::try_from(id).map_err(|_| io::Error::other(format!("id {id} is too large")));
    let mut xattrs = Vec::new();
    for (name, value) in &entry.xattrs {
        let name = String::from_utf8(name.to_vec()).map_err(io::Error::other)?;
        xattrs.push((name, value.to_vec()));
    }
    Ok(Member {
        path: path(&entry.path),
        kind,
        link: entry.link_target.as_deref().map(path),
        mode: entry.mode & 0o7777,
        uid: id(entry.uid)?,
        gid: id(entry.gid)?,
        mtime: i64::try_from(entry.mtime).unwrap_or(0),
        pax_mtime: entry.pax.and_then(pax_mtime),
        size,
        xattrs,
        sparse,
    })
}

/// Before POSIX there was no type for directories (Go's archive/tar does the same).
fn kind(entry: &ParsedEntry<'_>) -> EntryType {
    let old = entry.entry_type.is_file() && entry.header.as_old().linkflag == [0];
    if old && entry.path.ends_with(b"/") {
        EntryType::Directory
    } else {
        entry.entry_type
    }
}

/// The regions of a sparse file lie in it in order, and take what is stored.
fn check(regions: &[SparseEntry], whole: u64, stored: u64) -> io::Result<()> {
    let (mut at, mut sum) = (0_u64, 0_u64);
    for region in regions {
        let end = region.offset.checked_add(region.length);
        match end.filter(|&end| region.offset >= at && end <= whole) {
            Some(end) => at = end,
            None => return Err(io::Error::other("the sparse map does not fit the file")),
        }
        sum = sum.saturating_add(region.length);
    }
    if sum == stored {
        return Ok(());
    }
    Err(io::Error::other(
        "the sparse map does not account for the bytes stored",
    ))
}

fn pax_mtime(pax: &[u8]) -> Option<(i64, i64)> {
    let found = PaxExtensions::new(pax)
        .filter_map(Result::ok)
        .filter(|record| record.key_bytes() == b"mtime")
        .last()?;
    time(found.value().ok()?)
}

/// `SECONDS[.FRACTION]` of a PAX record.
fn time(text: &str) -> Option<(i64, i64)> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = part.chars().chain("000000000".chars()).take(9).collect();
    let nanos: i64 = digits.parse().ok()?;
    if whole.starts_with('-') && nanos > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos));
    }
    Some((seconds, nanos))
}

/// Puts the content of the last member into an empty file; holes stay holes.
pub(super) fn write_content<R: Read>(
    member: &Member,
    from: &mut Archive<R>,
    file: &File,
) -> io::Result<()> {
    let mut to = file;
    let Some((regions, size)) = &member.sparse else {
        return io::copy(from, &mut to).map(drop);
    };
    for region in regions {
        rustix::fs::seek(file, rustix::fs::SeekFrom::Start(region.offset))?;
        io::copy(&mut Read::take(&mut *from, region.length), &mut to)?;
    }
    file.set_len(*size)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tar -c d | xz -9e` of a directory with a file of 7 bytes and an empty one.
    const XZ: &[u8] = &[
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21,
        0x01, 0x1c, 0x00, 0x00, 0x00, 0x10, 0xcf, 0x58, 0xcc, 0xe0, 0x27, 0xff, 0x00, 0x6e, 0x5d,
        0x00, 0x32, 0x0b, 0xbc, 0x1b, 0xa7, 0x8c, 0x34, 0x44, 0xc1, 0xba, 0x93, 0x15, 0xe8, 0xfc,
        0xe3, 0xc0, 0x92, 0x65, 0x66, 0x2b, 0x22, 0x56, 0x24, 0x38, 0xe8, 0x6c, 0xf1, 0xcc, 0xca,
        0x6b, 0xdb, 0xf8, 0xa9, 0x67, 0x1a, 0x93, 0x5d, 0x09, 0x35, 0xac, 0x0a, 0xb4, 0x16, 0xe9,
        0xb2, 0x68, 0x47, 0x15, 0x30, 0xdd, 0x87, 0x13, 0xb4, 0x35, 0x07, 0x32, 0x40, 0xee, 0x6e,
        0x4b, 0xc6, 0xa2, 0xfc, 0xc5, 0xa7, 0x4f, 0xd7, 0x30, 0x2a, 0xad, 0x9b, 0x75, 0xd3, 0x8c,
        0x31, 0x5e, 0x85, 0xa0, 0x3f, 0xb2, 0xc3, 0x4d, 0x97, 0x54, 0xa1, 0x74, 0x72, 0x7d, 0xff,
        0x35, 0x75, 0xa2, 0x44, 0x4a, 0x02, 0x22, 0x34, 0x49, 0x81, 0x5c, 0x1a, 0x49, 0x7b, 0xe6,
        0x6c, 0xde, 0x13, 0x43, 0xe6, 0x00, 0x00, 0x00, 0x00, 0x99, 0x14, 0x11, 0xc6, 0xc8, 0x4d,
        0xe5, 0x1e, 0x00, 0x01, 0x8a, 0x01, 0x80, 0x50, 0x00, 0x00, 0x58, 0x52, 0xfb, 0xc0, 0xb1,
        0xc4, 0x67, 0xfb, 0x02, 0x00, 0x00, 0x00, 0x00, 0x04, 0x59, 0x5a,
    ];

    #[test]
    fn members_without_content_do_not_end_an_xz_stream() {
        let mut archive = Archive::new(decompressed(XZ).unwrap());
        let mut found = Vec::new();
        while let Some(member) = archive.next_member().unwrap() {
            let mut content = String::new();
            archive.read_to_string(&mut content).unwrap();
            found.push((member.path.display().to_string(), content));
        }
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(p, c)| (p.as_str(), c.as_str()))
            .collect();
        assert_eq!(found, [("d/", ""), ("d/f", "in tar\n"), ("d/g", "")]);
    }
}
