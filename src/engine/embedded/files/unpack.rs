//! `ADD` of a local archive: unpacked with the destination as its root, as `moby/go-archive` does.
//!
//! Links are made as stored; a member whose path leads through one ends up below the destination
//! all the same, and so does one whose name has `..`.

use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, Mode},
    io::Errno,
};
use tar_core::EntryType;

use super::{
    FileError, Options,
    error::shown,
    meta::{self, How},
    place::{create, reserved},
    root::{Root, cleaned, dir_at, names, stat_at},
    source::{Found, Source, is_dir, kind},
};
use crate::engine::embedded::archive::{Archive, Member, decompressed, write_content};

/// Deeper trees are not taken away to make room for a member.
const MAX_DEPTH: usize = 512;

/// Unpacks a file that is an archive; false when it is none.
pub(super) fn unpack(
    source: &Source<'_>,
    found: &Found,
    target: &Root,
    destination: &str,
    how: &How,
    options: &Options,
) -> Result<bool, FileError> {
    if kind(&found.stat) != FileType::RegularFile {
        return Ok(false);
    }
    if !is_archive(open(source, found)?) {
        return Ok(false);
    }
    let path = target.resolve_all(Path::new(destination))?;
    let made = meta::make_dirs(target, &path, 0o755, how)?;
    let mut unpacking = Unpacking {
        root: Root::from(target.dir(&path)?),
        archive: shown(&found.path),
        how,
        options,
        left: options.max_unpacked,
        directories: Vec::new(),
    };
    let stream =
        decompressed(open(source, found)?).map_err(|fault| unpacking.fault(&fault.to_string()))?;
    unpacking.all(Archive::new(stream))?;
    made.finish(how)?;
    Ok(true)
}

fn open(source: &Source<'_>, found: &Found) -> Result<File, FileError> {
    let directory = source
        .root
        .dir(found.path.parent().unwrap_or(Path::new("")))?;
    let name = found.path.file_name().unwrap_or_default();
    meta::open_plain(directory.as_fd(), name, &found.path, &found.stat)
}

/// Whether a file begins, decompressed, with a tar header.
fn is_archive(file: File) -> bool {
    let Ok(stream) = decompressed(file) else {
        return false;
    };
    matches!(Archive::new(stream).next_member(), Ok(Some(_)))
}

struct Unpacking<'a> {
    root: Root,
    archive: String,
    how: &'a How,
    options: &'a Options,
    /// bytes that may still be written
    left: u64,
    /// their times are set last
    directories: Vec<(PathBuf, i64)>,
}

impl Unpacking<'_> {
    fn fault(&self, reason: &str) -> FileError {
        FileError::Archive {
            path: self.archive.clone(),
            reason: reason.to_owned(),
        }
    }

    fn all<R: Read>(&mut self, mut archive: Archive<R>) -> Result<(), FileError> {
        loop {
            if self.options.cancel.is_cancelled() {
                return Err(FileError::Interrupted);
            }
            let member = archive
                .next_member()
                .map_err(|fault| self.fault(&fault.to_string()))?;
            let Some(member) = member else {
                break;
            };
            self.member(&member, &mut archive)?;
        }
        for (path, mtime) in std::mem::take(&mut self.directories) {
            // A later member may have taken its place.
            let Ok((parent, name)) = self.place(&path) else {
                continue;
            };
            let there = stat_at(parent.as_fd(), &name);
            if matches!(there, Ok(Some(stat)) if is_dir(&stat)) {
                meta::set_times(parent.as_fd(), &name, &meta::both(mtime, 0), &path)?;
            }
        }
        Ok(())
    }

    /// Directory that a member goes into, and its name there; links are followed below the root.
    fn place(&self, path: &Path) -> Result<(OwnedFd, std::ffi::OsString), FileError> {
        let parent = self
            .root
            .resolve_all(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().unwrap_or_default();
        Ok((self.root.dir(&parent)?, name.to_owned()))
    }

    fn member<R: Read>(
        &mut self,
        member: &Member,
        content: &mut Archive<R>,
    ) -> Result<(), FileError> {
        let path = cleaned(&member.path);
        if path.as_os_str().is_empty() {
            // The root itself, which is there.
            return Ok(());
        }
        let parent = self
            .root
            .resolve_all(path.parent().unwrap_or(Path::new("")))?;
        let implied = How {
            owner: Some((0, 0)),
            chmod: None,
            epoch: self.how.epoch,
        };
        meta::make_dirs(&self.root, &parent, 0o755, &implied)?.finish(&implied)?;
        let directory = self.root.dir(&parent)?;
        let to = directory.as_fd();
        let name = path.file_name().unwrap_or_default();
        reserved(name)?;
        let there = stat_at(to, name).map_err(|fault| FileError::io("reading", &path, fault))?;
        let stays = there.as_ref().is_some_and(is_dir) && member.kind.is_dir();
        if there.is_some() && !stays {
            remove(to, name, &path, 0)?;
        }
        self.make(member, stays, to, &path, content)?;
        self.info(member, to, &path)
    }

    fn make<R: Read>(
        &mut self,
        member: &Member,
        stays: bool,
        to: BorrowedFd<'_>,
        path: &Path,
        content: &mut Archive<R>,
    ) -> Result<(), FileError> {
        let name = path.file_name().unwrap_or_default();
        let link = || member.link.clone().unwrap_or_default();
        match member.kind {
            EntryType::Directory => {
                if !stays {
                    meta::make_dir(to, name, member.mode, path)?;
                }
                self.directories.push((path.to_owned(), member.mtime));
            }
            EntryType::Symlink => rustix::fs::symlinkat(link(), to, name)
                .map_err(|fault| FileError::io("making link", path, fault))?,
            EntryType::Link => {
                let first = cleaned(&link());
                let (parent, own) = self.place(&first)?;
                rustix::fs::linkat(parent.as_fd(), &own, to, name, AtFlags::empty())
                    .map_err(|fault| FileError::io("making hard link", path, fault))?;
            }
            EntryType::Fifo => {
                rustix::fs::mknodat(to, name, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
                    .map_err(|fault| FileError::io("making pipe", path, fault))?;
            }
            EntryType::Char | EntryType::Block => {
                return Err(self.fault(&format!(
                    "{} is a device, which is not unpacked",
                    shown(path)
                )));
            }
            kind if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() => {
                let file = create(to, name, path)?;
                self.content(member, &file, content)?;
            }
            kind => {
                let kind = kind.as_byte();
                return Err(self.fault(&format!("{} is of unknown type {kind}", shown(path))));
            }
        }
        Ok(())
    }

    fn content<R: Read>(
        &mut self,
        member: &Member,
        file: &File,
        from: &mut Archive<R>,
    ) -> Result<(), FileError> {
        let Some(left) = self.left.checked_sub(member.length()) else {
            let limit = self.options.max_unpacked;
            return Err(self.fault(&format!("more than {limit} bytes, which is the limit")));
        };
        self.left = left;
        let written = write_content(member, from, file);
        written.map_err(|fault| self.fault(&fault.to_string()))
    }

    fn info(&self, member: &Member, to: BorrowedFd<'_>, path: &Path) -> Result<(), FileError> {
        let name = path.file_name().unwrap_or_default();
        let owner = self.how.owner.unwrap_or((member.uid, member.gid));
        meta::set_owner(to, name, owner, path)?;
        for (attribute, value) in &member.xattrs {
            match meta::set_xattr(to, name, attribute, value) {
                Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => {}
                Err(fault) => return Err(FileError::io("setting an attribute of", path, fault)),
            }
        }
        let there = stat_at(to, name).map_err(|fault| FileError::io("reading", path, fault))?;
        let is_link = there
            .as_ref()
            .is_some_and(|stat| kind(stat) == FileType::Symlink);
        if !is_link {
            meta::set_mode(to, name, member.mode, path)?;
        }
        meta::set_times(to, name, &meta::both(member.mtime, 0), path)
    }
}

/// Takes away a file, or a directory with all that is in it.
fn remove(
    from: BorrowedFd<'_>,
    name: &std::ffi::OsStr,
    path: &Path,
    depth: usize,
) -> Result<(), FileError> {
    let fail = |fault| FileError::io("removing", path, fault);
    match rustix::fs::unlinkat(from, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(fault) => return Err(fail(fault)),
    }
    if depth > MAX_DEPTH {
        return Err(FileError::Refused(format!(
            "{} is nested too deep",
            shown(path)
        )));
    }
    let opened = dir_at(from, name).map_err(fail)?;
    for inner in names(opened.as_fd()).map_err(fail)? {
        remove(opened.as_fd(), &inner, &path.join(&inner), depth + 1)?;
    }
    rustix::fs::unlinkat(from, name, AtFlags::REMOVEDIR).map_err(fail)
}
