//! One layer: its entries in tar order, the digest of each regular file, and the few contents that are
//! looked at. Nothing here knows of other layers.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{
    content::{self, Interest},
    database::{DatabaseFiles, LayerDatabase, Sha},
    error::{LayerError, LimitError, TarError},
    options::Budget,
    secrets::{self, Trace},
    tar::{Sink, TarEntry, TarKind},
};
use crate::{
    oci::{ImagePath, LayerIndex},
    subject::{Change, ChangeKind, Entry, EntryKind},
};

/// The name of an opaque whiteout (image-spec, layer.md).
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What the name of a whiteout starts with (image-spec, layer.md).
const WHITEOUT: &[u8] = b".wh.";

/// A hard link: the change it makes, and the path it links to.
#[derive(Debug)]
pub(super) struct HardLink {
    pub(super) change: usize,
    pub(super) target: ImagePath,
}

/// What one layer holds.
#[derive(Debug, Default)]
pub(super) struct LayerScan {
    /// in tar order; hard links stand as empty files until the tree is put together
    pub(super) changes: Vec<Change>,
    pub(super) links: Vec<HardLink>,
    /// small files that checks read, with the digest of their content
    pub(super) kept: Vec<(ImagePath, Sha, Vec<u8>)>,
    pub(super) databases: Vec<LayerDatabase>,
    pub(super) traces: Vec<Trace>,
    pub(super) entries: u64,
    /// bytes of paths and link targets
    pub(super) names: u64,
    /// bytes of holes in sparse files
    pub(super) holes: u64,
    pub(super) uncompressed: u64,
}

/// The file whose content is passing by.
struct OpenFile {
    change: usize,
    hasher: Sha256,
    size: u64,
    interest: Interest,
    /// content so far, of what is kept or searched
    held: Vec<u8>,
}

/// Takes the entries of one layer's archive.
pub(super) struct Collector<'s> {
    index: LayerIndex,
    budget: &'s Budget,
    scan: LayerScan,
    /// by directory
    databases: BTreeMap<ImagePath, DatabaseFiles>,
    file: Option<OpenFile>,
    /// a buffer to use again
    spare: Vec<u8>,
}

impl<'s> Collector<'s> {
    pub(super) fn new(index: LayerIndex, budget: &'s Budget) -> Self {
        Self {
            index,
            budget,
            scan: LayerScan::default(),
            databases: BTreeMap::new(),
            file: None,
            spare: Vec::new(),
        }
    }

    fn change(&mut self, path: ImagePath, kind: ChangeKind) -> usize {
        self.scan.changes.push(Change { path, kind });
        self.scan.changes.len() - 1
    }

    /// Whether it was a whiteout.
    fn whiteout(&mut self, path: &ImagePath) -> Result<bool, LayerError> {
        let Some(name) = path.file_name() else {
            return Ok(false);
        };
        let parent = path.parent().unwrap_or_default();
        if name == OPAQUE {
            self.change(parent, ChangeKind::Opaque);
            return Ok(true);
        }
        let Some(name) = name.strip_prefix(WHITEOUT) else {
            return Ok(false);
        };
        // `.wh..wh.` starts names that AUFS keeps for itself (image-spec, layer.md).
        if name.starts_with(WHITEOUT) {
            return Ok(true);
        }
        if matches!(name, b"" | b"." | b"..") {
            return Err(LayerError::Tar {
                offset: 0,
                source: TarError::Whiteout(path.to_string()),
            });
        }
        let target = parent.join(name);
        self.change(target, ChangeKind::Delete);
        Ok(true)
    }

    fn open(&mut self, change: usize, path: &ImagePath, size: u64) -> Result<(), LayerError> {
        let mut interest = content::interest(path, size);
        let limits = &self.budget.limits;
        match interest {
            Interest::Kept if size > limits.kept_file => {
                return Err(LimitError::KeptFile {
                    path: path.clone(),
                    size,
                    limit: limits.kept_file,
                }
                .into());
            }
            Interest::Kept => self.budget.kept(size)?,
            // an image with many histories is scanned without the last of them
            Interest::Useful if !self.budget.useful(size) => interest = Interest::None,
            Interest::Database(_) => self.budget.database(path, size)?,
            Interest::Useful | Interest::Secrets | Interest::None => {}
        }
        self.file = Some(OpenFile {
            change,
            hasher: Sha256::new(),
            size,
            interest,
            held: Vec::new(),
        });
        Ok(())
    }

    fn search(&mut self, change: usize, content: &[u8]) {
        let found = secrets::search(&self.path_of(change), content);
        self.scan
            .traces
            .extend(found.map(|what| Trace { change, what }));
    }

    fn path_of(&self, change: usize) -> ImagePath {
        self.scan
            .changes
            .get(change)
            .map(|change| change.path.clone())
            .unwrap_or_default()
    }

    /// What was found; the databases are not read yet.
    pub(super) fn finish(self) -> (LayerScan, BTreeMap<ImagePath, DatabaseFiles>) {
        (self.scan, self.databases)
    }
}

impl Sink for Collector<'_> {
    fn entry(&mut self, entry: TarEntry<'_>) -> Result<(), LayerError> {
        let path = ImagePath::new(entry.path);
        let mut names = path.as_bytes().len() as u64;
        self.scan.entries += 1;
        let whiteout = self.whiteout(&path)?;
        let mut link = None;
        let kind = match entry.kind {
            TarKind::File(size) => EntryKind::File {
                size,
                sha256: [0; 32],
            },
            TarKind::Directory => EntryKind::Directory,
            TarKind::Symlink(target) => {
                names += target.len() as u64;
                EntryKind::Symlink(target.into())
            }
            TarKind::HardLink(target) => {
                names += target.len() as u64;
                link = Some(ImagePath::new(target));
                EntryKind::File {
                    size: 0,
                    sha256: [0; 32],
                }
            }
            TarKind::Device(major, minor) => EntryKind::Device(major, minor),
            TarKind::Fifo => EntryKind::Fifo,
        };
        self.budget.entry(names)?;
        self.scan.names += names;
        if whiteout {
            return Ok(());
        }
        let size = match (&kind, &link) {
            (EntryKind::File { size, .. }, None) => Some(*size),
            _ => None,
        };
        let change = self.change(
            path.clone(),
            ChangeKind::Put(Entry {
                kind,
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
                caps: entry.caps.into(),
                layer: self.index,
            }),
        );
        if let Some(target) = link {
            self.scan.links.push(HardLink { change, target });
        }
        match size {
            Some(size) => self.open(change, &path, size),
            None => Ok(()),
        }
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        file.hasher.update(bytes);
        match file.interest {
            Interest::None => {}
            // Most files that are searched lie whole in one piece: no copy.
            Interest::Secrets if bytes.len() as u64 == file.size => {
                self.search(file.change, bytes);
                file.interest = Interest::None;
            }
            Interest::Secrets => {
                if file.held.is_empty() {
                    if content::is_text(bytes) {
                        file.held = std::mem::take(&mut self.spare);
                    } else {
                        file.interest = Interest::None;
                    }
                }
                if file.interest == Interest::Secrets {
                    file.held.extend_from_slice(bytes);
                }
            }
            Interest::Kept | Interest::Useful | Interest::Database(_) => {
                if file.held.is_empty() {
                    // Untouched memory costs nothing, growing by copies does.
                    file.held
                        .reserve_exact(usize::try_from(file.size).unwrap_or_default());
                }
                file.held.extend_from_slice(bytes);
            }
        }
        self.file = Some(file);
        Ok(())
    }

    fn hole(&mut self, mut bytes: u64) -> Result<(), LayerError> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        self.budget.holes(bytes)?;
        self.scan.holes = self.scan.holes.saturating_add(bytes);
        while bytes > 0 {
            let piece = usize::try_from(bytes).map_or(ZEROS.len(), |n| n.min(ZEROS.len()));
            self.data(ZEROS.get(..piece).unwrap_or_default())?;
            bytes -= piece as u64;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), LayerError> {
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        let sha256: Sha = file.hasher.finalize().into();
        if let Some(Change {
            kind: ChangeKind::Put(entry),
            ..
        }) = self.scan.changes.get_mut(file.change)
        {
            entry.kind = EntryKind::File {
                size: file.size,
                sha256,
            };
        }
        match file.interest {
            Interest::None => {}
            Interest::Secrets => {
                self.search(file.change, &file.held);
                file.held.clear();
                self.spare = file.held;
            }
            Interest::Kept | Interest::Useful => {
                self.search(file.change, &file.held);
                let path = self.path_of(file.change);
                self.scan.kept.push((path, sha256, file.held));
            }
            Interest::Database(role) => {
                let directory = self.path_of(file.change).parent().unwrap_or_default();
                self.databases
                    .entry(directory)
                    .or_default()
                    .put(role, sha256, file.held);
            }
        }
        Ok(())
    }
}
