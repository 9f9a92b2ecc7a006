//! Directories by descriptor: nothing below a tree's root is ever reached by a joined path name, so
//! no link that a layer or a step left behind leads out of it.

use std::{
    ffi::{CStr, CString, OsStr},
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timestamps, Uid};

use crate::engine::xattrs;

/// Directories that one removal keeps open at once.
const MAX_OPEN: usize = 128;

/// An open directory.
#[derive(Debug)]
pub(crate) struct Dir(OwnedFd);

/// A name within a directory.
pub(crate) type Name = CString;

/// An extended attribute: name and value.
pub(crate) type Xattr = (Vec<u8>, Vec<u8>);

/// A name from bytes.
///
/// # Errors
/// When there is a NUL in it.
pub(crate) fn name(bytes: &[u8]) -> io::Result<Name> {
    CString::new(bytes).map_err(|_| io::Error::other("a file name holds a NUL byte"))
}

pub(crate) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Owner, group, permissions with set-id and sticky bits.
pub(crate) fn permissions(stat: &Stat) -> u32 {
    stat.st_mode & 0o7777
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Dir {
    /// Opens the root of a tree.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Opens a directory in this one; a link is not followed.
    pub(crate) fn child(&self, name: &Name) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(
            &self.0,
            name,
            flags,
            Mode::empty(),
        )?))
    }

    /// Opens a directory below this one as if this one were `/`: links are followed, but none out.
    pub(crate) fn inside(&self, path: &[u8]) -> io::Result<Self> {
        if path.is_empty() {
            return Ok(Self(self.0.try_clone()?));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path = OsStr::from_bytes(path);
        match rustix::fs::openat2(&self.0, path, flags, Mode::empty(), resolve) {
            Ok(fd) => Ok(Self(fd)),
            // A kernel or a seccomp filter without openat2: no link is followed at all then.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => self.strictly(path),
            Err(error) => Err(error.into()),
        }
    }

    fn strictly(&self, path: &OsStr) -> io::Result<Self> {
        let mut at = Self(self.0.try_clone()?);
        for part in path.as_bytes().split(|&byte| byte == b'/') {
            if !part.is_empty() {
                at = at.child(&name(part)?)?;
            }
        }
        Ok(at)
    }

    /// The names in it, sorted by their bytes.
    pub(crate) fn names(&self) -> io::Result<Vec<Name>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What a name is; a link is not followed.
    pub(crate) fn stat(&self, name: &Name) -> io::Result<Stat> {
        Ok(rustix::fs::statat(
            &self.0,
            name,
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    /// What a name is, or that it is not there.
    pub(crate) fn find(&self, name: &Name) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The directory itself.
    pub(crate) fn stat_self(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.0)?)
    }

    /// Opens a regular file to read.
    pub(crate) fn file(&self, name: &Name) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::openat(&self.0, name, flags, Mode::empty())?;
        Ok(File::from(fd))
    }

    /// Makes a regular file that was not there.
    pub(crate) fn create(&self, name: &Name) -> io::Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(0o600))?;
        Ok(File::from(fd))
    }

    pub(crate) fn mkdir(&self, name: &Name, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(
            &self.0,
            name,
            Mode::from_raw_mode(mode),
        )?)
    }

    /// Where a link points to.
    pub(crate) fn link_target(&self, name: &Name) -> io::Result<CString> {
        Ok(rustix::fs::readlinkat(&self.0, name, Vec::new())?)
    }

    /// The path by which the kernel reaches a name here without a walk. Its last component is not
    /// followed by calls that do not follow links.
    fn by_descriptor(&self, name: Option<&Name>) -> PathBuf {
        let mut path = PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()));
        if let Some(name) = name {
            path.push(OsStr::from_bytes(name.to_bytes()));
        } else {
            path.push(".");
        }
        path
    }

    /// Extended attributes of a name, or of the directory itself, sorted.
    pub(crate) fn xattrs(&self, name: Option<&Name>) -> io::Result<Vec<Xattr>> {
        let path = self.by_descriptor(name);
        let names = match xattrs::list(&path) {
            Err(rustix::io::Errno::NOTSUP) => Vec::new(),
            names => names?,
        };
        let mut found = Vec::new();
        for key in names {
            if let Some(value) = xattr(&path, &key)? {
                found.push((key.into_bytes(), value));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// One extended attribute.
    pub(crate) fn xattr(&self, name: Option<&Name>, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        xattr(&self.by_descriptor(name), &self::name(key)?)
    }

    pub(crate) fn set_xattr(
        &self,
        name: Option<&Name>,
        key: &[u8],
        value: &[u8],
    ) -> io::Result<()> {
        let flags = rustix::fs::XattrFlags::empty();
        let key = OsStr::from_bytes(key);
        Ok(rustix::fs::lsetxattr(
            self.by_descriptor(name),
            key,
            value,
            flags,
        )?)
    }

    pub(crate) fn chown(&self, name: &Name, uid: u32, gid: u32) -> io::Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        Ok(rustix::fs::chownat(
            &self.0,
            name,
            Some(uid),
            Some(gid),
            flags,
        )?)
    }

    /// Permissions of what is no link.
    pub(crate) fn chmod(&self, name: &Name, mode: u32) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode);
        Ok(rustix::fs::chmodat(&self.0, name, mode, AtFlags::empty())?)
    }

    /// Times of a name; a link is not followed.
    pub(crate) fn set_times(&self, name: &Name, seconds: i64, nanos: i64) -> io::Result<()> {
        let at = rustix::fs::Timespec {
            tv_sec: seconds,
            tv_nsec: nanos,
        };
        let times = Timestamps {
            last_access: at,
            last_modification: at,
        };
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::utimensat(&self.0, name, &times, flags)?)
    }

    /// Removes a name with everything below it, however deep: what lies deeper than descriptors should
    /// be kept open for is moved up first, where it can be.
    pub(crate) fn remove(&self, name: &Name) -> io::Result<()> {
        let mut deep = Deep {
            top: self,
            waiting: Vec::new(),
        };
        self.remove_level(name, 0, &mut deep)?;
        while let Some(moved) = deep.waiting.pop() {
            self.remove_level(&moved, 0, &mut deep)?;
        }
        Ok(())
    }

    fn remove_level(&self, name: &Name, depth: usize, deep: &mut Deep<'_>) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(rustix::io::Errno::ISDIR | rustix::io::Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        if depth >= MAX_OPEN && deep.take(self, name)? {
            return Ok(());
        }
        let child = self.child(name)?;
        for inner in child.names()? {
            child.remove_level(&inner, depth + 1, deep)?;
        }
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR)?)
    }
}

/// Directories that were moved to the top of a removal, and wait for their own.
struct Deep<'d> {
    top: &'d Dir,
    waiting: Vec<Name>,
}

impl Deep<'_> {
    /// Moves a directory; false where the file system does not let it.
    fn take(&mut self, from: &Dir, child: &Name) -> io::Result<bool> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let moved = name(format!(".deep-{}-{number}", std::process::id()).as_bytes())?;
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        if rustix::fs::renameat_with(&from.0, child, &self.top.0, &moved, flags).is_err() {
            return Ok(false);
        }
        self.waiting.push(moved);
        Ok(true)
    }
}

fn xattr(path: &Path, key: &CStr) -> io::Result<Option<Vec<u8>>> {
    match xattrs::get(path, key) {
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => Ok(None),
        value => Ok(Some(value?)),
    }
}
