//! A tree by its descriptor: nothing in it can lead out of it, also while somebody changes it.
//!
//! Paths are resolved here, link by link, into components that are no links; a component is then
//! opened with `O_NOFOLLOW` (all at once by `openat2` where the kernel has it). A link that is put
//! in the way between the two is an error, never followed.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
};

use super::error::{FileError, shown};

/// As many as `BuildKit` follows.
const MAX_LINKS: usize = 255;

const DIR: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Whether a path is to be treated as if it were not there.
pub(super) type Hidden<'h> = dyn FnMut(&Path) -> Result<bool, FileError> + 'h;

/// A tree.
#[derive(Debug)]
pub(super) struct Root {
    fd: OwnedFd,
}

impl Root {
    /// Opens the directory that is the root; links on the way to it are followed.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty())
            .map(|fd| Self { fd })
            .map_err(|fault| FileError::Io {
                what: "opening tree",
                path: path.display().to_string(),
                source: fault.into(),
            })
    }

    /// The path without links, relative to the root; what does not exist is taken as written. The
    /// last component's link is followed when `last` says so.
    pub(super) fn resolve(
        &self,
        path: &Path,
        last: bool,
        hidden: &mut Hidden<'_>,
    ) -> Result<PathBuf, FileError> {
        let mut pending = parts(path);
        pending.reverse();
        let mut done = PathBuf::new();
        let mut above: Option<OwnedFd> = None;
        let mut absent = false;
        let mut links = 0;
        while let Some(part) = pending.pop() {
            let directory = above.as_ref().map_or(self.fd.as_fd(), |fd| fd.as_fd());
            done.push(&part);
            if absent || hidden(&done)? {
                absent = true;
                continue;
            }
            if pending.is_empty() && !last {
                break;
            }
            match rustix::fs::readlinkat(directory, part.as_os_str(), Vec::new()) {
                Ok(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(FileError::Refused(format!(
                            "too many links in {}",
                            shown(path)
                        )));
                    }
                    done.pop();
                    let target = OsString::from_vec(target.into_bytes());
                    let mut next = parts(&done.join(target));
                    next.reverse();
                    pending.extend(next);
                    done.clear();
                    above = None;
                }
                Err(Errno::INVAL) if pending.is_empty() => {}
                Err(Errno::INVAL) => {
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                    let opened = rustix::fs::openat(
                        directory,
                        part.as_os_str(),
                        flags | OFlags::CLOEXEC,
                        Mode::empty(),
                    );
                    above = Some(opened.map_err(|fault| FileError::io("opening", &done, fault))?);
                }
                Err(Errno::NOENT) => absent = true,
                Err(fault) => return Err(FileError::io("reading", &done, fault)),
            }
        }
        Ok(done)
    }

    /// [`Root::resolve`] of a tree that has nothing hidden.
    pub(super) fn resolve_all(&self, path: &Path) -> Result<PathBuf, FileError> {
        self.resolve(path, true, &mut |_| Ok(false))
    }

    /// Opens a resolved path; a link anywhere in it is an error.
    pub(super) fn open_at(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        static NO_OPENAT2: AtomicBool = AtomicBool::new(false);
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if path.as_os_str().is_empty() {
            return rustix::fs::openat(&self.fd, ".", flags, Mode::empty());
        }
        if !NO_OPENAT2.load(Ordering::Relaxed) {
            let how =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), how) {
                // Not in this kernel, or a container's filter does not know it.
                Err(Errno::NOSYS | Errno::PERM) => NO_OPENAT2.store(true, Ordering::Relaxed),
                Err(Errno::AGAIN) => {}
                answer => return answer,
            }
        }
        let mut parts = parts(path);
        let Some(last) = parts.pop() else {
            return Err(Errno::NOENT);
        };
        let mut above = None;
        for part in parts {
            let directory = above
                .as_ref()
                .map_or(self.fd.as_fd(), |fd: &OwnedFd| fd.as_fd());
            above = Some(rustix::fs::openat(directory, part, DIR, Mode::empty())?);
        }
        let directory = above.as_ref().map_or(self.fd.as_fd(), |fd| fd.as_fd());
        rustix::fs::openat(directory, last, flags, Mode::empty())
    }

    /// Opens the directory of a resolved path.
    pub(super) fn dir(&self, path: &Path) -> Result<OwnedFd, FileError> {
        self.open_at(path, DIR)
            .map_err(|fault| FileError::io("opening directory", path, fault))
    }

    /// What is at a resolved path; `None` when nothing is.
    pub(super) fn stat(&self, path: &Path) -> Result<Option<Stat>, FileError> {
        match self.open_at(path, OFlags::PATH) {
            Ok(fd) => rustix::fs::fstat(&fd)
                .map(Some)
                .map_err(|fault| FileError::io("reading", path, fault)),
            Err(Errno::NOENT) => Ok(None),
            Err(fault) => Err(FileError::io("reading", path, fault)),
        }
    }

    /// Content of a small file, links followed inside the tree; `None` when there is none.
    pub(super) fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
        use io::Read as _;
        let path = match self.resolve_all(path) {
            Ok(path) => path,
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotADirectory => {
                return Ok(None);
            }
            Err(fault) => return Err(fault),
        };
        let fd = match self.open_at(&path, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(fault) => return Err(FileError::io("opening", &path, fault)),
        };
        let mut content = Vec::new();
        File::from(fd)
            .take(limit)
            .read_to_end(&mut content)
            .map_err(|fault| FileError::io("reading", &path, fault))?;
        Ok(Some(content))
    }
}

impl From<OwnedFd> for Root {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

/// The components of a path, cleaned as Go cleans a rooted path.
fn parts(path: &Path) -> Vec<OsString> {
    let mut parts: Vec<OsString> = Vec::new();
    for part in path.as_os_str().as_bytes().split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(OsStr::from_bytes(part).to_owned()),
        }
    }
    parts
}

/// A rooted path, cleaned, without its first slash.
pub(super) fn cleaned(path: &Path) -> PathBuf {
    parts(path).into_iter().collect()
}

/// Names in a directory, sorted by their bytes.
pub(super) fn names(directory: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Metadata of a name in a directory, links not followed; `None` when there is no such name.
pub(super) fn stat_at(directory: BorrowedFd<'_>, name: &OsStr) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Opens a subdirectory; a link is an error.
pub(super) fn dir_at(directory: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(directory, name, DIR, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, path::Path};

    use super::Root;

    #[test]
    fn links_are_resolved_inside_the_root_only() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        for (target, link) in [
            ("/a", "abs"),
            ("../../../../../a/b", "up"),
            ("a/../up", "twice"),
            ("/nowhere/x", "dangling"),
            ("loop", "loop"),
            ("/etc", "a/host"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let tree = Root::open(root).unwrap();
        for (path, resolved) in [
            ("/abs/b/new", "a/b/new"),
            ("up", "a/b"),
            ("twice/c", "a/b/c"),
            ("dangling/y", "nowhere/x/y"),
            ("../../abs/../x", "x"),
            ("abs/host/passwd", "etc/passwd"),
            ("", ""),
        ] {
            assert_eq!(
                tree.resolve_all(Path::new(path)).unwrap(),
                Path::new(resolved),
                "{path}"
            );
        }
        assert!(tree.resolve_all(Path::new("loop")).is_err());
        assert_eq!(
            tree.resolve(Path::new("abs"), false, &mut |_| Ok(false))
                .unwrap(),
            Path::new("abs")
        );
        assert!(
            tree.read(Path::new("abs/host/passwd"), 10)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_link_put_in_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/etc", dir.path().join("x")).unwrap();
        let tree = Root::open(dir.path()).unwrap();
        assert!(tree.stat(Path::new("x/passwd")).is_err());
        assert!(tree.dir(Path::new("x")).is_err());
    }
}
