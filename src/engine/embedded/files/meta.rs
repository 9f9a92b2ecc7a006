//! Owner, mode, times and attributes, set by directory descriptor and name.

use std::{
    ffi::{CString, OsStr},
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};

use super::{FileError, mode::Chmod, root::Root};
use crate::engine::xattrs;

/// What every file of one action gets.
#[derive(Debug)]
pub(super) struct How {
    /// `--chown`; else the source's owner, which is 0:0 in the context
    pub(super) owner: Option<(u32, u32)>,
    /// `--chmod`
    pub(super) chmod: Option<Chmod>,
    /// seconds since 1970 for everything that is made
    pub(super) epoch: Option<i64>,
}

/// Both times of a file.
pub(super) fn times(stat: &Stat, epoch: Option<i64>) -> Timestamps {
    if let Some(epoch) = epoch {
        return both(epoch, 0);
    }
    #[expect(
        clippy::cast_possible_wrap,
        reason = "nanoseconds are below 10^9, of another type on some machines"
    )]
    #[expect(
        clippy::useless_conversion,
        reason = "of another type on some machines"
    )]
    Timestamps {
        last_access: Timespec {
            tv_sec: stat.st_atime.into(),
            tv_nsec: stat.st_atime_nsec as _,
        },
        last_modification: Timespec {
            tv_sec: stat.st_mtime.into(),
            tv_nsec: stat.st_mtime_nsec as _,
        },
    }
}

/// One moment for both times.
pub(super) fn both(seconds: i64, nanoseconds: i64) -> Timestamps {
    let moment = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    Timestamps {
        last_access: moment,
        last_modification: moment,
    }
}

/// Sets the times of a name, of a link itself.
pub(super) fn set_times(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    times: &Timestamps,
    path: &Path,
) -> Result<(), FileError> {
    rustix::fs::utimensat(directory, name, times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|fault| FileError::io("setting the times of", path, fault))
}

/// Sets the owner of a name, of a link itself.
pub(super) fn set_owner(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    (uid, gid): (u32, u32),
    path: &Path,
) -> Result<(), FileError> {
    let (user, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(directory, name, user, group, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|fault| owner_fault(fault, (uid, gid), path))
}

fn owner_fault(fault: Errno, (uid, gid): (u32, u32), path: &Path) -> FileError {
    if matches!(fault, Errno::INVAL | Errno::PERM) {
        return FileError::Refused(format!(
            "cannot give {} to {uid}:{gid}: this build may use only its own user id; give the user a \
             range of ids in /etc/subuid and /etc/subgid, or build as root",
            super::error::shown(path)
        ));
    }
    FileError::io("setting the owner of", path, fault)
}

/// Sets the mode of a name that is no link.
pub(super) fn set_mode(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    mode: u32,
    path: &Path,
) -> Result<(), FileError> {
    rustix::fs::chmodat(
        directory,
        name,
        Mode::from_raw_mode(mode & 0o7777),
        AtFlags::empty(),
    )
    .map_err(|fault| FileError::io("setting the mode of", path, fault))
}

/// Extended attributes of one name put on another. One that cannot be read or set is left out, as
/// in `BuildKit`: which ones can be depends on both file systems.
pub(super) fn copy_xattrs(from: BorrowedFd<'_>, name: &OsStr, to: BorrowedFd<'_>, target: &OsStr) {
    let (Some(from), Some(to)) = (by_descriptor(from, name), by_descriptor(to, target)) else {
        return;
    };
    for (attribute, value) in xattrs(&from) {
        if rustix::fs::lsetxattr(&to, attribute.as_c_str(), &value, XattrFlags::empty()).is_err() {
            tracing::debug!(?attribute, "an extended attribute was not copied");
        }
    }
}

/// Names and values of the attributes of a name, sorted.
pub(super) fn xattrs_at(directory: BorrowedFd<'_>, name: &OsStr) -> Vec<(CString, Vec<u8>)> {
    by_descriptor(directory, name).map_or_else(Vec::new, |path| xattrs(&path))
}

/// Sets one attribute.
pub(super) fn set_xattr(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    attribute: &str,
    value: &[u8],
) -> Result<(), Errno> {
    let path = by_descriptor(directory, name).ok_or(Errno::INVAL)?;
    rustix::fs::lsetxattr(&path, attribute, value, XattrFlags::empty())
}

/// There are no calls for attributes of a name in a directory; the descriptor's own path stands in
/// for it, and the last component is not followed.
fn by_descriptor(directory: BorrowedFd<'_>, name: &OsStr) -> Option<CString> {
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.as_bytes());
    CString::new(path).ok()
}

fn xattrs(path: &CString) -> Vec<(CString, Vec<u8>)> {
    let mut found = Vec::new();
    for name in xattrs::list(path).unwrap_or_default() {
        if let Ok(value) = xattrs::get(path, &name) {
            found.push((name, value));
        }
    }
    found.sort();
    found
}

/// Makes a directory; its mode does not depend on this process's mask.
pub(super) fn make_dir(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    mode: u32,
    path: &Path,
) -> Result<OwnedFd, FileError> {
    rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(mode & 0o7777))
        .map_err(|fault| FileError::io("making directory", path, fault))?;
    let made = super::root::dir_at(directory, name)
        .map_err(|fault| FileError::io("opening directory", path, fault))?;
    let stat = rustix::fs::fstat(&made).map_err(|fault| FileError::io("reading", path, fault))?;
    if stat.st_mode & mode & 0o7777 != mode & 0o7777 {
        // A set-group-id bit that the parent passes on stays.
        let wanted = Mode::from_raw_mode(mode & 0o7777 | stat.st_mode & 0o2000);
        rustix::fs::fchmod(&made, wanted)
            .map_err(|fault| FileError::io("setting the mode of", path, fault))?;
    }
    Ok(made)
}

/// Directories of a resolved path that are missing, made with mode and owner; those that were.
pub(super) fn make_dirs(root: &Root, path: &Path, mode: u32, how: &How) -> Result<Made, FileError> {
    let mut made = Made::default();
    let mut here = root.dir(Path::new(""))?;
    let mut done = std::path::PathBuf::new();
    for part in path {
        done.push(part);
        let next = match super::root::dir_at(here.as_fd(), part) {
            Ok(next) => next,
            Err(Errno::NOENT) => {
                let next = make_dir(here.as_fd(), part, mode, &done)?;
                if let Some(owner) = how.owner {
                    set_owner(here.as_fd(), part, owner, &done)?;
                }
                made.0.push((
                    rustix::io::dup(&here)
                        .map_err(|fault| FileError::io("opening directory", &done, fault))?,
                    part.to_owned(),
                ));
                next
            }
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(FileError::Refused(format!(
                    "mkdir {}: not a directory",
                    super::error::shown(&done)
                )));
            }
            Err(fault) => return Err(FileError::io("opening directory", &done, fault)),
        };
        here = next;
    }
    Ok(made)
}

/// Directories that were made on the way.
#[derive(Debug, Default)]
pub(super) struct Made(Vec<(OwnedFd, std::ffi::OsString)>);

impl Made {
    /// Gives them their time, once nothing is put into them any more.
    pub(super) fn finish(&self, how: &How) -> Result<(), FileError> {
        let Some(epoch) = how.epoch else {
            return Ok(());
        };
        for (directory, name) in self.0.iter().rev() {
            set_times(directory.as_fd(), name, &both(epoch, 0), Path::new(name))?;
        }
        Ok(())
    }
}

/// Opens a file to read that must be a plain one.
pub(super) fn open_plain(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    path: &Path,
    seen: &Stat,
) -> Result<std::fs::File, FileError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(directory, name, flags, Mode::empty())
        .map_err(|fault| FileError::io("opening", path, fault))?;
    let now = rustix::fs::fstat(&fd).map_err(|fault| FileError::io("reading", path, fault))?;
    if (now.st_dev, now.st_ino) != (seen.st_dev, seen.st_ino) {
        return Err(FileError::Refused(format!(
            "{} was replaced while it was copied; build when nothing writes there",
            super::error::shown(path)
        )));
    }
    Ok(std::fs::File::from(fd))
}
