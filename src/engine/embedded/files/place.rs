//! Where a copy goes: the destination resolved, room made there, and an empty file.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::{
    FileError,
    error::shown,
    meta::{self, How, Made},
    mode::Chmod,
    root::{Root, stat_at},
    source::is_dir,
};

/// Where a destination is.
#[derive(Debug)]
pub(super) struct Place {
    /// resolved; a file goes there, a directory's contents go into it
    pub(super) path: PathBuf,
    /// directories made on the way
    pub(super) made: Made,
}

/// Resolves a destination, and makes the directories that it needs; `file` is the name of what is
/// copied when that is no directory.
pub(super) fn place(
    target: &Root,
    destination: &str,
    how: &How,
    file: Option<&OsStr>,
) -> Result<Place, FileError> {
    let parents = Chmod::of_parents(how.chmod.as_ref());
    let wants_dir = file.is_none()
        || destination.is_empty()
        || destination.ends_with('/')
        || destination.ends_with("/.")
        || destination == ".";
    let mut path = target.resolve_all(Path::new(destination))?;
    let there = target.stat(&path).or_else(|fault| match fault {
        FileError::Io { source, .. } if source.kind() == io::ErrorKind::NotADirectory => Ok(None),
        fault => Err(fault),
    })?;
    if let (Some(name), Some(stat)) = (file, &there)
        && is_dir(stat)
    {
        path.push(name);
        return Ok(Place {
            path,
            made: Made::default(),
        });
    }
    if file.is_none()
        && let Some(stat) = &there
        && !is_dir(stat)
    {
        return Err(FileError::Refused(format!(
            "cannot copy to non-directory: {}",
            shown(&path)
        )));
    }
    let made = if wants_dir {
        let made = meta::make_dirs(target, &path, parents, how)?;
        if let Some(name) = file {
            path.push(name);
        }
        made
    } else {
        meta::make_dirs(target, path.parent().unwrap_or(Path::new("")), parents, how)?
    };
    Ok(Place { path, made })
}

/// Takes away what is where a file goes; a directory stays and is an error.
pub(super) fn make_room(to: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<(), FileError> {
    let fail = |fault| FileError::io("replacing", path, fault);
    match stat_at(to, name).map_err(fail)? {
        None => Ok(()),
        Some(there) if is_dir(&there) => Err(FileError::Refused(format!(
            "cannot replace to directory {} with file",
            shown(path)
        ))),
        Some(_) => rustix::fs::unlinkat(to, name, AtFlags::empty()).map_err(fail),
    }
}

/// In a layer a name that begins with `.wh.` takes away the file of the rest of the name. `BuildKit`
/// copies such files as any other, and so does this; but a rest that is no name would take away the
/// directory that the file is in.
pub(super) fn reserved(name: &OsStr) -> Result<(), FileError> {
    match name.as_encoded_bytes().strip_prefix(b".wh.") {
        Some(b"" | b"." | b"..") => Err(FileError::Refused(format!(
            "{} cannot be in an image: there it means that its directory is deleted",
            name.display()
        ))),
        _ => Ok(()),
    }
}

/// Makes a file that is not there.
pub(super) fn create(to: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<File, FileError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(to, name, flags, Mode::from_raw_mode(0o600))
        .map(File::from)
        .map_err(|fault| FileError::io("making", path, fault))
}
