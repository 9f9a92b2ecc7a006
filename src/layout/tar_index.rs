//! Random access into an uncompressed tar archive: one pass over its headers gives the place of
//! each file. Contents are not looked at, and nothing is unpacked.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use tar_core::parse::{Limits, ParseEvent, ParsedEntry, Parser};

use super::writer::io_error;
use crate::oci::{ImagePath, LayerFormat, SourceError};

/// Most entries an image archive may have: some for each layer, and few layers.
pub(super) const MAX_ENTRIES: usize = 20_000;
/// Longest name of an entry, in bytes.
const MAX_NAME: u32 = 4096;
/// How many links are followed from a name to its file.
const MAX_LINKS: usize = 8;

/// Place of a file's bytes within the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) offset: u64,
    pub(super) size: u64,
}

#[derive(Debug)]
enum Node {
    File(Span),
    Link(ImagePath),
}

/// The files of one archive.
#[derive(Debug)]
pub(super) struct TarIndex {
    path: PathBuf,
    file: Arc<File>,
    nodes: BTreeMap<ImagePath, Node>,
}

impl TarIndex {
    /// Reads all headers.
    #[expect(
        clippy::disallowed_methods,
        reason = "image archives on disk are read by this module"
    )]
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(|source| SourceError::NotFound {
            what: path.display().to_string(),
            source: Some(source),
        })?;
        let meta = file.metadata().map_err(|e| io_error(path, e))?;
        if !meta.is_file() {
            return Err(SourceError::Unsupported {
                what: path.display().to_string(),
                reason: "an archive has to be a regular file, because it is read out of order; \
                         save it to a file first"
                    .to_owned(),
            });
        }
        refuse_compressed(path, &file)?;
        let mut index = Self {
            path: path.to_owned(),
            file: Arc::new(file),
            nodes: BTreeMap::new(),
        };
        index.scan(meta.len())?;
        Ok(index)
    }

    fn scan(&mut self, len: u64) -> Result<(), SourceError> {
        let mut parser = Parser::new(Limits {
            max_path_len: Some(MAX_NAME),
            ..Limits::default()
        });
        let mut position = 0u64;
        let mut head = Vec::new();
        loop {
            let skip = match parser.parse(&head) {
                Ok(ParseEvent::NeedData { min_bytes }) => {
                    if position == len && head.is_empty() {
                        return Ok(()); // no end marker: tolerated as tar itself does
                    }
                    self.fill(&mut head, position, min_bytes, len)?;
                    continue;
                }
                Ok(ParseEvent::End { .. }) => return Ok(()),
                Ok(ParseEvent::GlobalExtensions { consumed, .. }) => consumed as u64,
                Ok(ParseEvent::SparseEntry { entry, .. }) => {
                    let name = ImagePath::new(&entry.path);
                    return Err(self.malformed(format!("{name} is a sparse file")));
                }
                Ok(ParseEvent::Entry { consumed, entry }) => {
                    let offset = position + consumed as u64;
                    let (name, node) = self.node(&entry, offset, len)?;
                    let padded = entry.padded_size();
                    if let Some(node) = node {
                        self.nodes.insert(name, node);
                    }
                    if self.nodes.len() > MAX_ENTRIES {
                        return Err(SourceError::TooLarge {
                            what: self.path.display().to_string(),
                            limit: format!("{MAX_ENTRIES} files in an image archive"),
                        });
                    }
                    (consumed as u64).saturating_add(padded)
                }
                Err(error) => {
                    return Err(self.malformed(format!("tar header at byte {position}: {error}")));
                }
            };
            position = position.saturating_add(skip).min(len);
            head.clear();
        }
    }

    /// Extends `head`, which starts at `position`, to `want` bytes.
    fn fill(
        &self,
        head: &mut Vec<u8>,
        position: u64,
        want: usize,
        len: u64,
    ) -> Result<(), SourceError> {
        let have = head.len();
        if position.saturating_add(want as u64) > len {
            return Err(self.malformed(format!(
                "the archive ends within the header at byte {position}"
            )));
        }
        head.resize(want.max(have), 0);
        self.file
            .read_exact_at(&mut head[have..], position + have as u64)
            .map_err(|e| io_error(&self.path, e))
    }

    fn node(
        &self,
        entry: &ParsedEntry<'_>,
        offset: u64,
        len: u64,
    ) -> Result<(ImagePath, Option<Node>), SourceError> {
        let name = self.safe_name(&entry.path)?;
        if entry.is_file() {
            if offset.checked_add(entry.size).is_none_or(|end| end > len) {
                return Err(self.malformed(format!("the archive ends within {name}")));
            }
            let span = Span {
                offset,
                size: entry.size,
            };
            return Ok((name, Some(Node::File(span))));
        }
        let target = entry.link_target.as_deref().unwrap_or_default();
        let node = if entry.is_hard_link() {
            Some(Node::Link(self.safe_name(target)?))
        } else if entry.is_symlink() {
            // Only resolved among the archive's own names, where `..` cannot leave the root.
            let parent = name.parent().unwrap_or_default();
            Some(Node::Link(parent.join(target)))
        } else {
            None
        };
        Ok((name, node))
    }

    fn safe_name(&self, name: &[u8]) -> Result<ImagePath, SourceError> {
        let escapes =
            name.first() == Some(&b'/') || name.split(|&b| b == b'/').any(|part| part == b"..");
        if escapes {
            let shown = String::from_utf8_lossy(name).escape_debug().to_string();
            return Err(self.malformed(format!("the name `{shown}` leads out of the archive")));
        }
        Ok(ImagePath::new(name))
    }

    /// The place of a file, links followed.
    pub(super) fn find(&self, name: &str) -> Option<Span> {
        let mut name = ImagePath::from(name);
        for _ in 0..MAX_LINKS {
            match self.nodes.get(&name)? {
                Node::File(span) => return Some(*span),
                Node::Link(target) => name = target.clone(),
            }
        }
        None
    }

    /// As [`TarIndex::find`], or the error that says which file is missing.
    pub(super) fn require(&self, name: &str) -> Result<Span, SourceError> {
        self.find(name)
            .ok_or_else(|| self.malformed(format!("there is no file `{name}` in the archive")))
    }

    /// Names of regular files, as text, and their places; names that are not UTF-8 are left out.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, Span)> {
        self.nodes.iter().filter_map(|(name, node)| match node {
            Node::File(span) => Some((std::str::from_utf8(name.as_bytes()).ok()?, *span)),
            Node::Link(_) => None,
        })
    }

    /// A small document, whole.
    pub(super) fn document(&self, name: &str, limit: u64) -> Result<Vec<u8>, SourceError> {
        let span = self.require(name)?;
        self.bytes(span, limit, name)
    }

    pub(super) fn bytes(&self, span: Span, limit: u64, name: &str) -> Result<Vec<u8>, SourceError> {
        if span.size > limit {
            return Err(SourceError::TooLarge {
                what: format!("{name} in {}", self.path.display()),
                limit: format!("{limit} bytes"),
            });
        }
        let mut out = Vec::new();
        self.read(span)
            .read_to_end(&mut out)
            .map_err(|e| io_error(&self.path, e))?;
        Ok(out)
    }

    /// How the bytes at `span` are stored, by their first bytes.
    pub(super) fn sniff(&self, span: Span) -> Result<LayerFormat, SourceError> {
        let mut magic = [0; 4];
        let mut reader = self.read(span);
        let mut have = 0;
        while have < magic.len() {
            match reader.read(&mut magic[have..]) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(e) => return Err(io_error(&self.path, e)),
            }
        }
        Ok(LayerFormat::sniff(&magic[..have]))
    }

    /// The bytes at `span`; several readers may be in use at once.
    pub(super) fn read(&self, span: Span) -> SpanReader {
        SpanReader {
            file: Arc::clone(&self.file),
            at: span.offset,
            left: span.size,
        }
    }

    pub(super) fn malformed(&self, reason: String) -> SourceError {
        SourceError::Malformed {
            what: self.path.display().to_string(),
            reason,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Random access needs the plain archive: within a compressed one, each blob would cost
/// decompressing everything before it.
fn refuse_compressed(path: &Path, file: &File) -> Result<(), SourceError> {
    let mut magic = [0; 6];
    let n = file.read_at(&mut magic, 0).map_err(|e| io_error(path, e))?;
    let (name, tool) = match &magic[..n] {
        [0x1f, 0x8b, ..] => ("gzip", "gunzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("zstd", "unzstd"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => ("xz", "unxz"),
        [b'B', b'Z', b'h', ..] => ("bzip2", "bunzip2"),
        _ => return Ok(()),
    };
    Err(SourceError::Unsupported {
        what: path.display().to_string(),
        reason: format!(
            "the archive as a whole is compressed with {name}; unpack that first: {tool} {}",
            path.display()
        ),
    })
}

/// Reads one file of an archive.
#[derive(Debug)]
pub(super) struct SpanReader {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for SpanReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buf.len());
        let n = self.file.read_at(&mut buf[..room], self.at)?;
        self.at += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;
    use tar_core::builder::EntryBuilder;

    use super::{Span, TarIndex};
    use crate::oci::SourceError;

    fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (name, bytes) in files {
            let mut entry = EntryBuilder::new_ustar();
            entry.path(name);
            let entry = entry.mode(0o644).unwrap().uid(0).unwrap().gid(0).unwrap();
            let entry = entry.mtime(0).unwrap().size(bytes.len() as u64).unwrap();
            tar.extend(entry.finish_bytes());
            tar.extend_from_slice(bytes);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.resize(tar.len() + 1024, 0);
        tar
    }

    #[expect(clippy::disallowed_methods, reason = "the test needs a file")]
    fn open(bytes: &[u8]) -> Result<(tempfile::TempDir, TarIndex), SourceError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        std::fs::write(&path, bytes).unwrap();
        Ok((dir, TarIndex::open(&path)?))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_file_is_found_with_its_bytes(
            files in prop::collection::btree_map(
                "[a-z]{1,60}(/[a-z]{1,90}){0,2}", prop::collection::vec(any::<u8>(), 0..1500), 0..6)
        ) {
            let files: Vec<_> = files.into_iter().collect();
            let (_dir, index) = open(&archive(&files)).unwrap();
            for (name, bytes) in &files {
                let mut found = Vec::new();
                index.read(index.find(name).unwrap()).read_to_end(&mut found).unwrap();
                prop_assert_eq!(&found, bytes);
            }
            prop_assert_eq!(index.files().count(), files.len());
        }

        #[test]
        fn a_damaged_archive_ends_in_an_index_within_the_file_or_an_error(
            at in 0..3000usize, value: u8, cut in 0..3200usize
        ) {
            let mut tar = archive(&[("a".to_owned(), vec![7; 700]), ("b".to_owned(), vec![8; 10])]);
            if let Some(byte) = tar.get_mut(at) {
                *byte = value;
            }
            tar.truncate(tar.len() - cut.min(tar.len()));
            if let Ok((_dir, index)) = open(&tar) {
                for (_, Span { offset, size }) in index.files() {
                    prop_assert!(offset + size <= tar.len() as u64);
                }
            }
        }
    }
}
