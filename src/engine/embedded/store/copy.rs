//! Copies a tree where overlayfs cannot be had: everything a layer can say of a file is kept, blocks
//! are shared where the file system can, and no file is shared by a link.

use std::{
    collections::HashMap,
    io::{self, Write as _},
};

use rustix::fs::{AtFlags, FileType, Mode, Stat};

use super::{
    dir::{Dir, Name, kind, permissions},
    error::StoreError,
};

/// Copies everything in `from` into `to`, an empty directory, and gives `to` what `from` has itself.
pub(crate) fn tree(from: &Dir, to: &Dir) -> Result<(), StoreError> {
    let mut copy = Copy {
        links: HashMap::new(),
        root: to,
    };
    copy.all(from, to, &mut Vec::new())?;
    let root = |source| StoreError::inside(b"")(source);
    let stat = from.stat_self().map_err(root)?;
    let here = super::dir::name(b".").map_err(root)?;
    attributes((from, None), (to, &here), &stat).map_err(root)
}

struct Copy<'c> {
    /// files with several names → the path of the first copy
    links: HashMap<(u64, u64), Vec<u8>>,
    root: &'c Dir,
}

impl Copy<'_> {
    fn all(&mut self, from: &Dir, to: &Dir, path: &mut Vec<u8>) -> Result<(), StoreError> {
        for name in from.names().map_err(StoreError::inside(path))? {
            let length = path.len();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.to_bytes());
            self.one(from, to, &name, path)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn one(
        &mut self,
        from: &Dir,
        to: &Dir,
        name: &Name,
        path: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let at = path.clone();
        let failed = |source| StoreError::inside(&at)(source);
        let stat = from.stat(name).map_err(failed)?;
        let what = kind(&stat);
        if stat.st_nlink > 1 && what != FileType::Directory {
            let inode = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&inode) {
                return self.link(first, to, name).map_err(failed);
            }
            self.links.insert(inode, path.clone());
        }
        match what {
            FileType::Directory => {
                to.mkdir(name, 0o700).map_err(failed)?;
                let (source, target) = (from.child(name), to.child(name));
                self.all(&source.map_err(failed)?, &target.map_err(failed)?, path)?;
            }
            FileType::RegularFile => content(from, to, name).map_err(failed)?,
            FileType::Symlink => {
                let target = from.link_target(name).map_err(failed)?;
                rustix::fs::symlinkat(&target, to, name).map_err(|e| failed(e.into()))?;
            }
            FileType::Fifo => {
                let mode = Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(to, name, FileType::Fifo, mode, 0)
                    .map_err(|e| failed(e.into()))?;
            }
            // Sockets and devices are in no layer.
            _ => return Ok(()),
        }
        attributes((from, Some(name)), (to, name), &stat).map_err(failed)
    }

    fn link(&self, first: &[u8], to: &Dir, name: &Name) -> io::Result<()> {
        let cut = first.iter().rposition(|&byte| byte == b'/');
        let (parent, base) = match cut {
            Some(at) => (&first[..at], &first[at + 1..]),
            None => (&[][..], first),
        };
        let dir = self.root.inside(parent)?;
        let base = super::dir::name(base)?;
        Ok(rustix::fs::linkat(&dir, &base, to, name, AtFlags::empty())?)
    }
}

fn content(from: &Dir, to: &Dir, name: &Name) -> io::Result<()> {
    let mut source = from.file(name)?;
    let mut target = to.create(name)?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        io::copy(&mut source, &mut target)?;
    }
    target.flush()
}

fn attributes(from: (&Dir, Option<&Name>), to: (&Dir, &Name), stat: &Stat) -> io::Result<()> {
    let ((from, source), (to, name)) = (from, to);
    to.chown(name, stat.st_uid, stat.st_gid)?;
    if kind(stat) != FileType::Symlink {
        to.chmod(name, permissions(stat))?;
    }
    for (key, value) in from.xattrs(source)? {
        if key.starts_with(b"trusted.") || key.starts_with(b"user.overlay.") {
            continue;
        }
        match to.set_xattr(Some(name), &key, &value) {
            // Labels of the host belong to the host.
            Err(_) if key.starts_with(b"security.") && key != super::layer::CAPABILITY => {}
            other => other?,
        }
    }
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
    to.set_times(name, stat.st_mtime, nanos)
}
