//! The tar stream of a layer, fed piece by piece: headers by `tar-core`, and round it the rules that
//! keep what is read here the same as what a runtime unpacks. Where other readers would disagree
//! about an archive, it is refused.

use tar_core::parse::{Limits as TarLimits, ParseError, ParseEvent, ParsedEntry, Parser};

use super::{
    error::{LayerError, LimitError, TarError},
    header::{check_name, check_numbers, check_pax, kind},
    options::Limits,
    sparse::{Sparse, clamp},
};

const BLOCK: u64 = 512;
/// Bytes of header that may be held back until it is whole: metadata, a sparse map, and slack.
const MAX_HEADER: usize = 4 << 20;
/// Bytes that a VFS capability can have is 24 (`vfs_ns_cap_data`); slack for later revisions.
pub(super) const MAX_CAPABILITY: usize = 64;

/// An entry as its header describes it.
#[derive(Debug)]
pub(super) struct TarEntry<'a> {
    /// as stored
    pub(super) path: &'a [u8],
    pub(super) kind: TarKind<'a>,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// raw `security.capability`
    pub(super) caps: &'a [u8],
}

#[derive(Debug)]
pub(super) enum TarKind<'a> {
    /// size in bytes, holes included; the content follows
    File(u64),
    Directory,
    Symlink(&'a [u8]),
    HardLink(&'a [u8]),
    Device(u32, u32),
    Fifo,
}

/// What is done with entries. `data`, `hole` and `end` follow an `entry` that is a file.
pub(super) trait Sink {
    fn entry(&mut self, entry: TarEntry<'_>) -> Result<(), LayerError>;
    fn data(&mut self, bytes: &[u8]) -> Result<(), LayerError>;
    fn hole(&mut self, bytes: u64) -> Result<(), LayerError>;
    fn end(&mut self) -> Result<(), LayerError>;
}

#[derive(Debug)]
enum State {
    /// a header, or part of one in `pending`
    Header,
    /// bytes of content left, and of padding after it
    Content(u64, u64, Option<Sparse>),
    /// bytes to the next block
    Padding(u64),
    /// nothing but zeros may follow
    Ended,
}

/// The parser; everything it learns goes to the sink.
#[derive(Debug)]
pub(super) struct TarStream<S> {
    parser: Parser,
    state: State,
    pending: Vec<u8>,
    want: usize,
    /// bytes taken in
    offset: u64,
    limits: Limits,
    /// path of the last entry
    last: Vec<u8>,
    pub(super) sink: S,
}

impl<S: Sink> TarStream<S> {
    pub(super) fn new(sink: S, limits: Limits) -> Self {
        let mut parser = Parser::new(TarLimits {
            max_metadata_size: limits.metadata,
            max_path_len: Some(limits.path),
            max_sparse_entries: limits.sparse_regions,
            ..TarLimits::default()
        });
        // Times are of no interest and may lie before 1970; all other values are checked below.
        parser.set_ignore_pax_errors(true);
        Self {
            parser,
            state: State::Header,
            pending: Vec::new(),
            want: 0,
            offset: 0,
            limits,
            last: Vec::new(),
            sink,
        }
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, mut chunk: &[u8]) -> Result<(), LayerError> {
        while !chunk.is_empty() {
            if self.pending.is_empty() {
                chunk = self.advance(chunk)?;
                continue;
            }
            let more = self.want.saturating_sub(self.pending.len());
            let (head, rest) = chunk.split_at(more.min(chunk.len()));
            self.pending.extend_from_slice(head);
            chunk = rest;
            if self.pending.len() >= self.want {
                self.held()?;
            }
        }
        Ok(())
    }

    /// Reads what was held back.
    fn held(&mut self) -> Result<(), LayerError> {
        let whole = std::mem::take(&mut self.pending);
        let mut rest = &whole[..];
        while !rest.is_empty() && self.pending.is_empty() {
            rest = self.advance(rest)?;
        }
        Ok(())
    }

    /// The stream is over.
    pub(super) fn finish(mut self) -> Result<S, LayerError> {
        // More was wanted than came; what came may do.
        let mut before = None;
        while !self.pending.is_empty() && before != Some(self.offset) {
            before = Some(self.offset);
            self.held()?;
        }
        let error = match self.state {
            State::Ended => return Ok(self.sink),
            // Some writers leave the two closing blocks out and every runtime takes such a layer;
            // that nothing is cut off is what the diff id says.
            State::Header if self.pending.iter().all(|&byte| byte == 0) => return Ok(self.sink),
            State::Header => TarError::Truncated("a header".to_owned()),
            State::Content(..) | State::Padding(_) => {
                TarError::Truncated(format!("`{}`", self.last.escape_ascii()))
            }
        };
        self.offset += self.pending.len() as u64;
        Err(self.error(error))
    }

    fn error(&self, source: TarError) -> LayerError {
        LayerError::Tar {
            offset: self.offset,
            source,
        }
    }

    /// Takes what it can from the front of `chunk` (more than nothing) and returns the rest.
    fn advance<'c>(&mut self, chunk: &'c [u8]) -> Result<&'c [u8], LayerError> {
        match &mut self.state {
            State::Header => self.header(chunk),
            State::Content(left, padding, sparse) => {
                let (data, rest) = chunk.split_at(clamp(*left, chunk.len()));
                *left -= data.len() as u64;
                match sparse {
                    None => self.sink.data(data)?,
                    Some(sparse) => sparse.data(data, &mut self.sink)?,
                }
                self.offset += data.len() as u64;
                if *left == 0 {
                    if let Some(sparse) = sparse {
                        sparse.end(&mut self.sink)?;
                    }
                    self.sink.end()?;
                    self.state = padded(*padding);
                }
                Ok(rest)
            }
            State::Padding(left) => {
                let (pad, rest) = chunk.split_at(clamp(*left, chunk.len()));
                *left -= pad.len() as u64;
                self.offset += pad.len() as u64;
                if *left == 0 {
                    self.state = State::Header;
                }
                Ok(rest)
            }
            State::Ended => {
                if chunk.iter().any(|&byte| byte != 0) {
                    return Err(self.error(TarError::AfterEnd));
                }
                self.offset += chunk.len() as u64;
                Ok(&[])
            }
        }
    }

    fn header<'c>(&mut self, chunk: &'c [u8]) -> Result<&'c [u8], LayerError> {
        let event = match self.parser.parse(chunk) {
            Ok(event) => event,
            Err(error) => return Err(self.parse_error(error)),
        };
        let (consumed, entry, sparse) = match event {
            ParseEvent::NeedData { min_bytes } => {
                if min_bytes > MAX_HEADER {
                    return Err(self.error(TarError::Header(format!(
                        "a header of more than {MAX_HEADER} bytes"
                    ))));
                }
                // Twice as much as last time, so that a long header is not read over and over.
                self.want = min_bytes.max((2 * chunk.len()).min(chunk.len() + (64 << 10)));
                self.pending = chunk.to_vec();
                return Ok(&[]);
            }
            // Global PAX records are for archivers: runtimes apply none of them.
            ParseEvent::GlobalExtensions { consumed, .. } => (consumed, None, None),
            ParseEvent::End { consumed } => {
                self.state = State::Ended;
                (consumed, None, None)
            }
            ParseEvent::Entry { consumed, entry } => (consumed, Some(entry), None),
            ParseEvent::SparseEntry {
                consumed,
                entry,
                sparse_map,
                real_size,
            } => (consumed, Some(entry), Some((sparse_map, real_size))),
        };
        if let Some(entry) = entry {
            self.begin(&entry, sparse)?;
        }
        self.offset += consumed as u64;
        Ok(chunk.get(consumed..).unwrap_or_default())
    }

    fn begin(
        &mut self,
        entry: &ParsedEntry<'_>,
        sparse: Option<(Vec<tar_core::SparseEntry>, u64)>,
    ) -> Result<(), LayerError> {
        let path = &entry.path[..];
        self.last.clear();
        self.last.extend_from_slice(path);
        let name = || path.escape_ascii().to_string();
        let is_sparse = sparse.is_some();
        check_numbers(entry).map_err(|error| self.error(error))?;
        check_pax(entry, is_sparse).map_err(|error| self.error(error))?;
        check_name(path).map_err(|error| self.error(error))?;
        let id = |what, value: u64| {
            u32::try_from(value).map_err(|_| TarError::Range {
                path: name(),
                what,
                value,
            })
        };
        let uid = id("uid", entry.uid).map_err(|error| self.error(error))?;
        let gid = id("gid", entry.gid).map_err(|error| self.error(error))?;
        let caps = self.capability(entry)?;
        let size = sparse.as_ref().map_or(entry.size, |(_, size)| *size);
        let kind = kind(entry, size, is_sparse).map_err(|error| self.error(error))?;
        let content = matches!(kind, TarKind::File(_)).then_some(entry.size);
        self.sink.entry(TarEntry {
            path,
            kind,
            mode: u16::try_from(entry.mode & 0o7777).unwrap_or_default(),
            uid,
            gid,
            caps,
        })?;
        // Like Go's archive/tar: what is no file has no content, whatever its size field says.
        let Some(stored) = content else {
            return Ok(());
        };
        let padding = stored.wrapping_neg() % BLOCK;
        let mut sparse = sparse
            .map(|(map, size)| Sparse::new(map, size, stored))
            .transpose()
            .map_err(|reason| {
                self.error(TarError::Sparse {
                    path: name(),
                    reason,
                })
            })?;
        if stored > 0 {
            self.state = State::Content(stored, padding, sparse);
            return Ok(());
        }
        if let Some(sparse) = &mut sparse {
            sparse.end(&mut self.sink)?;
        }
        self.sink.end()
    }

    fn capability<'a>(&self, entry: &'a ParsedEntry<'_>) -> Result<&'a [u8], LayerError> {
        let caps = entry
            .xattrs
            .iter()
            .rfind(|(name, _)| **name == *b"security.capability")
            .map_or(&[][..], |(_, value)| &value[..]);
        if caps.len() > MAX_CAPABILITY {
            return Err(self.error(TarError::Range {
                path: entry.path.escape_ascii().to_string(),
                what: "size of security.capability",
                value: caps.len() as u64,
            }));
        }
        Ok(caps)
    }

    fn parse_error(&self, error: ParseError) -> LayerError {
        match error {
            ParseError::PathTooLong { len, limit } => LimitError::Path {
                length: len as u64,
                limit,
            }
            .into(),
            ParseError::MetadataTooLarge { size, limit } => {
                LimitError::Metadata { size, limit }.into()
            }
            ParseError::TooManySparseEntries { .. } => {
                LimitError::SparseRegions(self.limits.sparse_regions).into()
            }
            error => self.error(TarError::Header(error.to_string())),
        }
    }
}

fn padded(padding: u64) -> State {
    match padding {
        0 => State::Header,
        padding => State::Padding(padding),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tar_core::EntryType;

    use super::*;

    /// Everything that a sink is told, neighbouring data joined.
    #[derive(Debug, Default, PartialEq)]
    struct Log(Vec<String>, Vec<u8>);

    impl Sink for Log {
        fn entry(&mut self, entry: TarEntry<'_>) -> Result<(), LayerError> {
            self.0.push(format!("{entry:?}"));
            Ok(())
        }

        fn data(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
            self.1.extend_from_slice(bytes);
            Ok(())
        }

        fn hole(&mut self, bytes: u64) -> Result<(), LayerError> {
            let length = self.1.len() + usize::try_from(bytes).unwrap();
            self.1.resize(length, 0);
            Ok(())
        }

        fn end(&mut self) -> Result<(), LayerError> {
            self.0.push(self.1.escape_ascii().to_string());
            self.1.clear();
            Ok(())
        }
    }

    fn block(tar: &mut Vec<u8>, bytes: &[u8]) {
        tar.extend_from_slice(bytes);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }

    fn header(kind: u8, name: &str, size: u64) -> tar_core::Header {
        let mut header = tar_core::Header::new_gnu();
        header.set_path(name.as_bytes()).unwrap();
        header.set_mode_small(0o644);
        header.set_size(size).unwrap();
        header.set_entry_type(EntryType::from_byte(kind));
        header.set_checksum();
        header
    }

    fn entry(tar: &mut Vec<u8>, kind: u8, name: &str, content: &[u8]) {
        block(tar, header(kind, name, content.len() as u64).as_bytes());
        block(tar, content);
    }

    fn archive() -> Vec<u8> {
        let mut tar = Vec::new();
        entry(&mut tar, b'5', "directory/", b"");
        entry(
            &mut tar,
            b'L',
            "@LongLink",
            &[b"n".repeat(700), vec![0]].concat(),
        );
        entry(&mut tar, b'0', "short", &b"content ".repeat(200));
        entry(
            &mut tar,
            b'x',
            "pax",
            b"19 path=pax/path/x\n31 mtime=-1700000000.123456789\n",
        );
        entry(&mut tar, b'0', "empty", b"");
        let map = (0..200).fold("200\n".to_owned(), |map, n| format!("{map}{}\n3\n", n * 10));
        let mut sparse = map.into_bytes();
        sparse.resize(sparse.len().next_multiple_of(512), 0);
        sparse.extend_from_slice(&b"abc".repeat(200));
        let records =
            b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n28 GNU.sparse.realsize=2100\n";
        entry(&mut tar, b'x', "pax", records);
        entry(&mut tar, b'0', "sparse", &sparse);
        entry(
            &mut tar,
            b'g',
            "global",
            b"17 comment=global\n".get(..17).unwrap(),
        );
        entry(&mut tar, b'0', "last", b"x");
        tar.resize(tar.len() + 1024, 0);
        tar
    }

    fn log(pieces: impl IntoIterator<Item = Vec<u8>>) -> Log {
        let mut tar = TarStream::new(Log::default(), Limits::default());
        for piece in pieces {
            tar.feed(&piece).unwrap();
        }
        tar.finish().unwrap()
    }

    proptest! {
        #[test]
        fn it_makes_no_difference_how_the_stream_is_cut(
            cuts in prop::collection::vec(1_usize..1500, 1..40),
        ) {
            let whole = archive();
            let (mut rest, mut pieces) = (&whole[..], Vec::new());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece.to_vec());
                rest = after;
            }
            let want = log([whole.clone()]);
            prop_assert_eq!(want.0.len(), 9);
            prop_assert_eq!(log(pieces), want);
        }
    }
}
