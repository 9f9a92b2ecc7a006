//! The layers put on top of one another: what a container of the image would see.
//!
//! Whiteouts hide what lower layers hold and nothing of their own layer (image-spec, layer.md). What
//! lies below a symbolic link goes where the link leads inside the image, as runtimes do it; no link
//! ever leads out of the image.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::{
    error::LayerError,
    layer::{HardLink, LayerScan},
    options::Budget,
};
use crate::{
    oci::{ImagePath, LayerIndex},
    subject::{ChangeKind, Entry, EntryKind},
};

/// Symbolic links followed for one path, as many as containerd follows.
const MAX_LINKS: u32 = 255;

/// The flattened tree. Every parent of an entry is an entry, and a directory.
pub(super) struct Tree<'b> {
    pub(super) entries: BTreeMap<ImagePath, Entry>,
    budget: &'b Budget,
    layer: LayerIndex,
    /// directories under which this layer has hidden all that lower layers hold
    cleared: BTreeSet<ImagePath>,
    /// a directory as written and where it is, from the last entry
    last: (ImagePath, ImagePath),
}

impl<'b> Tree<'b> {
    pub(super) fn new(budget: &'b Budget) -> Self {
        let layer = LayerIndex(0);
        let mut entries = BTreeMap::new();
        entries.insert(ImagePath::default(), directory(layer));
        Self {
            entries,
            budget,
            layer,
            cleared: BTreeSet::new(),
            last: (ImagePath::default(), ImagePath::default()),
        }
    }

    /// Puts a layer on top. The paths of its changes become those that they have in the image, and
    /// its hard links become files.
    pub(super) fn apply(
        &mut self,
        layer: LayerIndex,
        scan: &mut LayerScan,
    ) -> Result<(), LayerError> {
        self.layer = layer;
        self.cleared.clear();
        let mut links = scan.links.iter().peekable();
        for (n, change) in scan.changes.iter_mut().enumerate() {
            match &mut change.kind {
                ChangeKind::Opaque => {
                    self.forget();
                    change.path = self.resolve(&change.path)?;
                    self.clear(&change.path);
                }
                ChangeKind::Delete => {
                    self.forget();
                    change.path = self.place(&change.path)?;
                    self.hide(&change.path);
                }
                ChangeKind::Put(entry) => {
                    let path = self.place(&change.path)?;
                    if let Some(link) = links.next_if(|link| link.change == n) {
                        *entry = self.linked(&path, link)?;
                    }
                    self.put(&path, entry)?;
                    change.path = path;
                }
            }
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.last = (ImagePath::default(), ImagePath::default());
    }

    /// Where `path` is, links on the way and at its end followed. What does not exist is taken as
    /// written.
    pub(super) fn resolve(&self, path: &ImagePath) -> Result<ImagePath, LayerError> {
        if matches!(self.kind(path), Some(EntryKind::Directory)) {
            return Ok(path.clone());
        }
        let mut left: Vec<Box<[u8]>> = parts(path.as_bytes());
        let mut here = ImagePath::default();
        let mut links = 0;
        while let Some(part) = left.pop() {
            if *part == *b".." {
                here = here.parent().unwrap_or_default();
                continue;
            }
            let next = here.join(&part);
            let Some(EntryKind::Symlink(target)) = self.kind(&next) else {
                here = next;
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return Err(LayerError::LinkLoop {
                    path: path.clone(),
                    limit: MAX_LINKS,
                });
            }
            if target.first() == Some(&b'/') {
                here = ImagePath::default();
            }
            left.extend(parts(target));
        }
        Ok(here)
    }

    /// Where the entry `path` is: links on the way are followed, one at its end is not.
    fn place(&mut self, path: &ImagePath) -> Result<ImagePath, LayerError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(path.clone());
        };
        if self.last.0 != parent {
            self.last = (parent.clone(), self.resolve(&parent)?);
        }
        if self.last.1 == parent {
            return Ok(path.clone());
        }
        Ok(self.last.1.join(name))
    }

    fn kind(&self, path: &ImagePath) -> Option<&EntryKind> {
        self.entries.get(path).map(|entry| &entry.kind)
    }

    fn put(&mut self, path: &ImagePath, entry: &Entry) -> Result<(), LayerError> {
        let is_directory = entry.kind == EntryKind::Directory;
        if let Some(parent) = path.parent() {
            self.make_parents(path, parent)?;
        } else if !is_directory {
            return Err(LayerError::Parent {
                path: path.clone(),
                parent: path.clone(),
            });
        }
        let before = self.entries.insert(path.clone(), entry.clone());
        let was_directory = before.is_some_and(|before| before.kind == EntryKind::Directory);
        if was_directory && !is_directory {
            for below in self.below(path) {
                self.entries.remove(&below);
            }
        }
        // A link may now stand, or no longer stand, on the way to the last entry's directory.
        if was_directory != is_directory
            && (self.last.0.is_under(path) || self.last.1.is_under(path))
        {
            self.forget();
        }
        Ok(())
    }

    /// Directories that no layer mentions are root's, as containerd makes them.
    fn make_parents(&mut self, of: &ImagePath, parent: ImagePath) -> Result<(), LayerError> {
        let mut missing = Vec::new();
        let mut next = Some(parent);
        while let Some(path) = next {
            match self.kind(&path) {
                Some(EntryKind::Directory) => break,
                Some(_) => {
                    return Err(LayerError::Parent {
                        path: of.clone(),
                        parent: path,
                    });
                }
                None => {
                    self.budget.entry(path.as_bytes().len() as u64)?;
                    next = path.parent();
                    missing.push(path);
                }
            }
        }
        for path in missing {
            self.entries.insert(path, directory(self.layer));
        }
        Ok(())
    }

    fn linked(&self, path: &ImagePath, link: &HardLink) -> Result<Entry, LayerError> {
        let broken = |reason| LayerError::HardLink {
            path: path.clone(),
            target: link.target.clone(),
            reason,
        };
        let (Some(parent), Some(name)) = (link.target.parent(), link.target.file_name()) else {
            return Err(broken("which is a directory"));
        };
        let target = self.resolve(&parent)?.join(name);
        if target == *path {
            return Err(broken("which is itself"));
        }
        match self.entries.get(&target) {
            None => Err(broken("which does not exist at that point")),
            Some(entry) if entry.kind == EntryKind::Directory => {
                Err(broken("which is a directory"))
            }
            Some(entry) => Ok(Entry {
                layer: self.layer,
                ..entry.clone()
            }),
        }
    }

    /// Hides an entry of the lower layers and all below it.
    fn hide(&mut self, path: &ImagePath) {
        let lower = |entry: &Entry| entry.layer < self.layer;
        if !self.entries.get(path).is_some_and(lower) {
            self.clear(path);
            return;
        }
        self.clear(path);
        if path.as_bytes().is_empty() {
            return;
        }
        if self.below(path).is_empty() {
            self.entries.remove(path);
        } else {
            self.entries.insert(path.clone(), directory(self.layer));
        }
    }

    /// Hides what lower layers hold below a directory; what this layer holds stays, and so do the
    /// directories it lies in, as this layer's.
    fn clear(&mut self, top: &ImagePath) {
        let mut above = Some(top.clone());
        while let Some(path) = above {
            if self.cleared.contains(&path) {
                return;
            }
            above = path.parent();
        }
        self.cleared.insert(top.clone());
        let mut needed = BTreeSet::new();
        // Backwards, so that what lies in a directory comes before it.
        for path in self.below(top).into_iter().rev() {
            let Some(entry) = self.entries.get_mut(&path) else {
                continue;
            };
            if entry.layer < self.layer {
                if !needed.remove(&path) {
                    self.entries.remove(&path);
                    continue;
                }
                *entry = directory(self.layer);
            }
            needed.extend(path.parent().filter(|parent| parent != top));
        }
    }

    /// All entries below a directory, which is not among them.
    fn below(&self, top: &ImagePath) -> Vec<ImagePath> {
        if top.as_bytes().is_empty() {
            return self.entries.keys().skip(1).cloned().collect();
        }
        let from = [top.as_bytes(), b"/"].concat();
        // `0` is the byte after `/`.
        let to = [top.as_bytes(), b"0"].concat();
        self.entries
            .range::<[u8], _>((Bound::Excluded(&from[..]), Bound::Excluded(&to[..])))
            .map(|(path, _)| path.clone())
            .collect()
    }
}

/// A directory that is made because something lies in it.
fn directory(layer: LayerIndex) -> Entry {
    Entry {
        kind: EntryKind::Directory,
        mode: 0o755,
        uid: 0,
        gid: 0,
        caps: Box::default(),
        layer,
    }
}

/// The components, last first; `..` among them.
fn parts(path: &[u8]) -> Vec<Box<[u8]>> {
    path.rsplit(|&byte| byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
        .map(Box::from)
        .collect()
}
