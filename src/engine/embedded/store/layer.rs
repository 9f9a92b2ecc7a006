//! Writes one layer: tar entries as BuildKit's exporter writes them (PAX, no names of users, times in
//! whole seconds), compressed and hashed on the way into a file.

use std::{
    fs::File,
    io::{self, Read as _, Write},
    num::NonZeroUsize,
};

use rustix::fs::{FileType, Stat};
use tar_core::{EntryType, builder::EntryBuilder};

use super::{
    compress::{Compressor, LayerCompression},
    dir::{Dir, Name, kind, permissions},
    error::{StoreError, shown},
    extract::MAX_PATH,
};
use crate::oci::{BlobHasher, DiffId, Digest, MediaType};

const BLOCK: u64 = 512;
const COPY: usize = 256 << 10;
/// What keeps file capabilities; the one attribute that BuildKit stores in layers.
pub(crate) const CAPABILITY: &[u8] = b"security.capability";

/// How layers are written.
#[derive(Debug, Clone, Copy)]
pub struct LayerOptions {
    /// of the blob
    pub compression: LayerCompression,
    /// no time is later than this, in seconds since 1970
    pub epoch: Option<i64>,
    /// that compress
    pub threads: NonZeroUsize,
}

/// A layer that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) diff_id: DiffId,
    pub(crate) digest: Digest,
    pub(crate) media_type: MediaType,
    /// bytes of the blob
    pub(crate) size: u64,
    pub(crate) entries: u64,
}

struct Hashing<W> {
    out: W,
    hasher: BlobHasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.out.write(buf)?;
        self.hasher.update(buf.get(..n).unwrap_or_default());
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A layer being written.
pub(crate) struct LayerWriter<'t> {
    tar: Hashing<Compressor<Hashing<File>>>,
    /// also gets the uncompressed stream
    tee: Option<&'t mut (dyn Write + Send)>,
    options: LayerOptions,
    entries: u64,
}

impl<'t> LayerWriter<'t> {
    /// Starts a layer that goes to `out`; `tee` gets the uncompressed bytes as well.
    pub(crate) fn new(
        out: File,
        options: LayerOptions,
        tee: Option<&'t mut (dyn Write + Send)>,
    ) -> io::Result<Self> {
        let blob = Hashing {
            out,
            hasher: BlobHasher::default(),
        };
        Ok(Self {
            tar: Hashing {
                out: Compressor::new(blob, options.compression, options.threads)?,
                hasher: BlobHasher::default(),
            },
            tee,
            options,
            entries: 0,
        })
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(tee) = &mut self.tee {
            tee.write_all(bytes)?;
        }
        self.tar.write_all(bytes)
    }

    /// An empty file with a name that means something: whiteouts.
    pub(crate) fn marker(&mut self, path: &[u8]) -> Result<(), StoreError> {
        let mut entry = EntryBuilder::new_ustar();
        entry.path(path).entry_type(EntryType::Regular);
        let whole = entry
            .mode(0)
            .and_then(|e| e.uid(0))
            .and_then(|e| e.gid(0))
            .and_then(|e| e.size(0))
            .and_then(|e| e.mtime(0))
            .map(EntryBuilder::finish_bytes);
        let bytes = whole.map_err(|error| unfit(path, &error))?;
        self.entries += 1;
        self.put(&bytes).map_err(StoreError::inside(path))
    }

    /// A name of a directory, `path` from the root of the tree; `link` is the path of an entry of
    /// this layer that is the same file.
    pub(crate) fn entry(
        &mut self,
        dir: &Dir,
        name: &Name,
        stat: &Stat,
        path: &[u8],
        link: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let at = |source| StoreError::inside(path)(source);
        if path.len() >= MAX_PATH {
            return Err(StoreError::Tree {
                path: shown(path),
                reason: "its path is longer than 4095 bytes, which nothing can unpack".to_owned(),
            });
        }
        let mut entry = EntryBuilder::new_ustar();
        let mut size = 0;
        let mut stored = path.to_vec();
        match (link, kind(stat)) {
            (Some(link), _) => {
                entry.entry_type(EntryType::Link).link_name(link);
            }
            (None, FileType::RegularFile) => {
                size = u64::try_from(stat.st_size).unwrap_or_default();
                entry.entry_type(EntryType::Regular);
            }
            (None, FileType::Directory) => {
                stored.push(b'/');
                entry.entry_type(EntryType::Directory);
            }
            (None, FileType::Symlink) => {
                let target = dir.link_target(name).map_err(at)?;
                entry
                    .entry_type(EntryType::Symlink)
                    .link_name(target.to_bytes());
            }
            (None, FileType::Fifo) => {
                entry.entry_type(EntryType::Fifo);
            }
            // A socket is of use only to the process that made it; no tar can hold one.
            (None, FileType::Socket) => return Ok(()),
            (None, _) => {
                return Err(StoreError::Tree {
                    path: shown(path),
                    reason: "it is a device node, and layers with devices are refused; make it \
                             when the container starts instead"
                        .to_owned(),
                });
            }
        }
        entry.path(&stored);
        // Also of a second name: who unpacks it sets its owner, which takes capabilities away.
        if matches!(kind(stat), FileType::RegularFile | FileType::Directory)
            && let Some(value) = dir.xattr(Some(name), CAPABILITY).map_err(at)?
        {
            entry.add_pax("SCHILY.xattr.security.capability", value);
        }
        let seconds = mtime(stat, self.options.epoch);
        if seconds < 0 {
            entry.add_pax("mtime", seconds.to_string());
        }
        let whole = entry
            .mode(permissions(stat))
            .and_then(|e| e.uid(u64::from(stat.st_uid)))
            .and_then(|e| e.gid(u64::from(stat.st_gid)))
            .and_then(|e| e.size(size))
            .and_then(|e| e.mtime(u64::try_from(seconds).unwrap_or_default()))
            .map(EntryBuilder::finish_bytes);
        let bytes = whole.map_err(|error| unfit(path, &error))?;
        self.entries += 1;
        self.put(&bytes).map_err(at)?;
        if size > 0 {
            self.content(dir, name, size).map_err(at)?;
        }
        Ok(())
    }

    fn content(&mut self, dir: &Dir, name: &Name, size: u64) -> io::Result<()> {
        let mut from = dir.file(name)?.take(size);
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(COPY).min(COPY)];
        let mut done = 0;
        while done < size {
            let n = from.read(&mut buffer)?;
            if n == 0 {
                return Err(io::Error::other(
                    "the file became shorter while it was read",
                ));
            }
            self.put(buffer.get(..n).unwrap_or_default())?;
            done += n as u64;
        }
        let rest = usize::try_from(size.next_multiple_of(BLOCK) - size).unwrap_or_default();
        self.put([0; 512].get(..rest).unwrap_or_default())
    }

    /// Ends the layer.
    pub(crate) fn finish(mut self) -> io::Result<(Written, File)> {
        self.put(&[0; 1024])?;
        let diff_id = DiffId(self.tar.hasher.finish());
        let blob = self.tar.out.finish()?;
        let size = blob.hasher.size();
        let media_type = match self.options.compression {
            LayerCompression::Gzip => MediaType::ImageLayerGzip,
            LayerCompression::Zstd => MediaType::ImageLayerZstd,
            LayerCompression::None => MediaType::ImageLayer,
        };
        let written = Written {
            diff_id,
            digest: blob.hasher.finish(),
            media_type,
            size,
            entries: self.entries,
        };
        Ok((written, blob.out))
    }
}

/// Whole seconds, as BuildKit cuts them, and not later than the build's epoch.
fn mtime(stat: &Stat, epoch: Option<i64>) -> i64 {
    epoch.map_or(stat.st_mtime, |epoch| stat.st_mtime.min(epoch))
}

fn unfit(path: &[u8], error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Tree {
        path: shown(path),
        reason: format!("it does not fit a tar header: {error}"),
    }
}
