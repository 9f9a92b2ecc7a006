//! What a step changed, as tar entries in a fixed order: from the upper directory of an overlay, or
//! from two complete trees. Rules of sameness are BuildKit's (`util/overlay`): a file that was copied
//! up and not changed is no change, nor is a directory of which only the time differs.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read as _},
};

use rustix::fs::{FileType, Stat};

use super::{
    dir::{Dir, Name, kind},
    error::StoreError,
    layer::{CAPABILITY, LayerWriter},
};

/// Compares by content whatever may have changed at or after this time of the inode, in seconds and
/// nanoseconds; `None` believes size and time of modification.
pub(crate) type Since = Option<(i64, i64)>;

/// Writes the changes that an overlay's upper directory holds over `lowers` (top first).
pub(crate) fn overlay(
    upper: &Dir,
    lowers: &[Dir],
    out: &mut LayerWriter<'_>,
) -> Result<(), StoreError> {
    let mut walk = Walk {
        out,
        links: HashMap::new(),
        parents: Vec::new(),
        since: None,
    };
    walk.upper(upper, lowers, &mut Vec::new())
}

/// Writes the changes from one complete tree to another.
pub(crate) fn trees(
    new: &Dir,
    old: Option<&Dir>,
    since: Since,
    out: &mut LayerWriter<'_>,
) -> Result<(), StoreError> {
    let mut walk = Walk {
        out,
        links: HashMap::new(),
        parents: Vec::new(),
        since,
    };
    walk.both(new, old, &mut Vec::new())
}

/// Directories that are the same themselves are written once something below them is.
struct Parent {
    dir: Dir,
    name: Name,
    stat: Stat,
    path: Vec<u8>,
    written: bool,
}

struct Walk<'w, 't> {
    out: &'w mut LayerWriter<'t>,
    /// device and inode of files with several names → the name that was written first
    links: HashMap<(u64, u64), Vec<u8>>,
    parents: Vec<Parent>,
    since: Since,
}

impl Walk<'_, '_> {
    fn flush_parents(&mut self) -> Result<(), StoreError> {
        for parent in &mut self.parents {
            if !parent.written {
                parent.written = true;
                self.out
                    .entry(&parent.dir, &parent.name, &parent.stat, &parent.path, None)?;
            }
        }
        Ok(())
    }

    fn gone(&mut self, path: &[u8]) -> Result<(), StoreError> {
        self.flush_parents()?;
        self.out.marker(&whiteout(path))
    }

    fn write(
        &mut self,
        dir: &Dir,
        name: &Name,
        stat: &Stat,
        path: &[u8],
    ) -> Result<(), StoreError> {
        self.flush_parents()?;
        if stat.st_nlink > 1 && kind(stat) != FileType::Directory {
            let inode = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&inode) {
                let first = first.clone();
                return self.out.entry(dir, name, stat, path, Some(&first));
            }
            self.links.insert(inode, path.to_vec());
        }
        self.out.entry(dir, name, stat, path, None)
    }

    fn enter(
        &mut self,
        dir: &Dir,
        name: &Name,
        stat: &Stat,
        path: &[u8],
    ) -> Result<(), StoreError> {
        let again = dir.inside(b"").map_err(StoreError::inside(path))?;
        self.parents.push(Parent {
            dir: again,
            name: name.clone(),
            stat: *stat,
            path: path.to_vec(),
            written: false,
        });
        Ok(())
    }

    fn upper(&mut self, upper: &Dir, lowers: &[Dir], path: &mut Vec<u8>) -> Result<(), StoreError> {
        for name in upper.names().map_err(StoreError::inside(path))? {
            let length = path.len();
            push(path, &name);
            self.upper_entry(upper, lowers, &name, path)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn upper_entry(
        &mut self,
        upper: &Dir,
        lowers: &[Dir],
        name: &Name,
        path: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let at = path.clone();
        let io = |source| StoreError::inside(&at)(source);
        let stat = upper.stat(name).map_err(io)?;
        let base = below(lowers, name).map_err(io)?;
        if is_whiteout(&stat) {
            return match base {
                Some(_) => self.gone(path),
                None => Ok(()),
            };
        }
        if kind(&stat) != FileType::Directory {
            let same = match base {
                Some((lower, was)) => self.same((upper, &stat), (lower, &was), name).map_err(io)?,
                None => false,
            };
            return if same {
                Ok(())
            } else {
                self.write(upper, name, &stat, path)
            };
        }
        let child = upper.child(name).map_err(io)?;
        let Some((lower, was)) = base else {
            self.write(upper, name, &stat, path)?;
            return self.upper(&child, &[], path);
        };
        let merged = merged(lowers, name).map_err(io)?;
        let before = self.parents.len();
        if self.same((upper, &stat), (lower, &was), name).map_err(io)? {
            self.enter(upper, name, &stat, path)?;
        } else {
            self.write(upper, name, &stat, path)?;
        }
        if is_opaque(&child).map_err(io)? && kind(&was) == FileType::Directory {
            self.flush_parents()?;
            let mut marker = path.clone();
            marker.extend_from_slice(b"/.wh..wh..opq");
            self.out.marker(&marker)?;
            self.upper(&child, &[], path)?;
        } else {
            self.upper(&child, &merged, path)?;
        }
        self.parents.truncate(before);
        Ok(())
    }

    fn both(&mut self, new: &Dir, old: Option<&Dir>, path: &mut Vec<u8>) -> Result<(), StoreError> {
        let names = new.names().map_err(StoreError::inside(path))?;
        let mut all = match old {
            Some(old) => old.names().map_err(StoreError::inside(path))?,
            None => Vec::new(),
        };
        all.extend(names);
        all.sort_unstable();
        all.dedup();
        for name in all {
            let length = path.len();
            push(path, &name);
            self.both_entry(new, old, &name, path)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn both_entry(
        &mut self,
        new: &Dir,
        old: Option<&Dir>,
        name: &Name,
        path: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let at = path.clone();
        let io = |source| StoreError::inside(&at)(source);
        let was = match old {
            Some(old) => old.find(name).map_err(io)?.map(|was| (old, was)),
            None => None,
        };
        let Some(stat) = new.find(name).map_err(io)? else {
            return self.gone(path);
        };
        let same = match &was {
            Some((old, was)) => self.same((new, &stat), (old, was), name).map_err(io)?,
            None => false,
        };
        if kind(&stat) != FileType::Directory {
            return if same {
                Ok(())
            } else {
                self.write(new, name, &stat, path)
            };
        }
        let before = self.parents.len();
        if same {
            self.enter(new, name, &stat, path)?;
        } else {
            self.write(new, name, &stat, path)?;
        }
        let child = new.child(name).map_err(io)?;
        let below = match was {
            Some((old, was)) if kind(&was) == FileType::Directory => {
                Some(old.child(name).map_err(io)?)
            }
            _ => None,
        };
        self.both(&child, below.as_ref(), path)?;
        self.parents.truncate(before);
        Ok(())
    }

    /// Whether a layer need not say anything of this name.
    fn same(&self, new: (&Dir, &Stat), old: (&Dir, &Stat), name: &Name) -> io::Result<bool> {
        let ((new, is), (old, was)) = (new, old);
        if (is.st_dev, is.st_ino) == (was.st_dev, was.st_ino) {
            return Ok(true);
        }
        if (is.st_mode, is.st_uid, is.st_gid, is.st_rdev)
            != (was.st_mode, was.st_uid, was.st_gid, was.st_rdev)
        {
            return Ok(false);
        }
        if new.xattr(Some(name), CAPABILITY)? != old.xattr(Some(name), CAPABILITY)? {
            return Ok(false);
        }
        let what = kind(is);
        if what == FileType::Directory {
            return Ok(true);
        }
        if is.st_size != was.st_size || is.st_mtime != was.st_mtime {
            return Ok(false);
        }
        let nanos = (is.st_mtime_nsec, was.st_mtime_nsec);
        if nanos.0 != nanos.1 {
            return Ok(false);
        }
        // A tree that was copied says by the inode's own time which files were left alone.
        let changed = (
            is.st_ctime,
            i64::try_from(is.st_ctime_nsec).unwrap_or_default(),
        );
        match self.since {
            Some(since) if changed < since => return Ok(true),
            None if nanos.0 != 0 => return Ok(true),
            _ => {}
        }
        match what {
            FileType::Symlink => Ok(new.link_target(name)? == old.link_target(name)?),
            FileType::RegularFile if is.st_size > 0 => {
                same_content(new.file(name)?, old.file(name)?)
            }
            _ => Ok(true),
        }
    }
}

fn push(path: &mut Vec<u8>, name: &Name) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name.to_bytes());
}

fn whiteout(path: &[u8]) -> Vec<u8> {
    let cut = path
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |at| at + 1);
    let (parent, name) = path.split_at(cut);
    [parent, b".wh.", name].concat()
}

pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn is_opaque(dir: &Dir) -> io::Result<bool> {
    for key in [&b"trusted.overlay.opaque"[..], b"user.overlay.opaque"] {
        if dir.xattr(None, key)?.as_deref() == Some(b"y") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a name is in the merged lower directories.
fn below<'l>(lowers: &'l [Dir], name: &Name) -> io::Result<Option<(&'l Dir, Stat)>> {
    for lower in lowers {
        if let Some(stat) = lower.find(name)? {
            return Ok((!is_whiteout(&stat)).then_some((lower, stat)));
        }
    }
    Ok(None)
}

/// The directories of a name that show through each other, top first.
fn merged(lowers: &[Dir], name: &Name) -> io::Result<Vec<Dir>> {
    let mut found = Vec::new();
    for lower in lowers {
        let Some(stat) = lower.find(name)? else {
            continue;
        };
        if kind(&stat) != FileType::Directory {
            break;
        }
        let child = lower.child(name)?;
        let opaque = is_opaque(&child)?;
        found.push(child);
        if opaque {
            break;
        }
    }
    Ok(found)
}

fn same_content(mut a: File, mut b: File) -> io::Result<bool> {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    loop {
        left.clear();
        right.clear();
        io::Read::by_ref(&mut a)
            .take(64 << 10)
            .read_to_end(&mut left)?;
        io::Read::by_ref(&mut b)
            .take(64 << 10)
            .read_to_end(&mut right)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}
