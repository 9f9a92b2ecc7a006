//! Copying anything but a directory.

use std::{
    ffi::OsStr,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
    rc::Rc,
};

use rustix::fs::{AtFlags, FileType, Mode, Stat};

use super::{
    FileError,
    copy::Copier,
    error::shown,
    meta,
    place::{create, make_room, reserved},
    source::kind,
    sparse,
};

impl Copier<'_> {
    /// Anything but a directory.
    pub(super) fn file(
        &mut self,
        from: &Rc<OwnedFd>,
        name: &OsStr,
        stat: &Stat,
        path: &Path,
    ) -> Result<(), FileError> {
        let (parent, target) = self.target_of(path)?;
        let to = parent.as_fd();
        make_room(to, &target, path)?;
        reserved(&target)?;
        match kind(stat) {
            FileType::RegularFile => {
                if !self.linked(stat, to, &target, path)? {
                    let source = meta::open_plain(from.as_fd(), name, path, stat)?;
                    let made = create(to, &target, path)?;
                    sparse::copy(&source, &made, stat, self.options)
                        .map_err(|fault| content_fault(path, fault))?;
                }
            }
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(from.as_fd(), name, Vec::new())
                    .map_err(|fault| FileError::io("reading link", path, fault))?;
                rustix::fs::symlinkat(link.as_c_str(), to, &target)
                    .map_err(|fault| FileError::io("making link", path, fault))?;
            }
            // A socket becomes an empty file, as in `BuildKit`.
            FileType::Socket => drop(create(to, &target, path)?),
            FileType::Fifo => {
                let mode = Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(to, &target, FileType::Fifo, mode, 0)
                    .map_err(|fault| FileError::io("making pipe", path, fault))?;
            }
            _ => {
                return Err(FileError::Refused(format!(
                    "{} is a device, which is not copied",
                    shown(path)
                )));
            }
        }
        self.info(to, &target, from.as_fd(), name, stat, path)
    }

    /// Makes a second name of a file that was copied; whether it did.
    fn linked(
        &mut self,
        stat: &Stat,
        to: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
    ) -> Result<bool, FileError> {
        if stat.st_nlink < 2 {
            return Ok(false);
        }
        let id = (stat.st_dev, stat.st_ino);
        let Some(first) = self.links.get(&id) else {
            self.links.insert(id, path.to_owned());
            return Ok(false);
        };
        let (parent, own) = self.target_of(first)?;
        rustix::fs::linkat(parent.as_fd(), &own, to, name, AtFlags::empty())
            .map_err(|fault| FileError::io("making hard link", path, fault))?;
        Ok(true)
    }
}

fn content_fault(path: &Path, fault: io::Error) -> FileError {
    if fault.kind() == io::ErrorKind::Interrupted {
        return FileError::Interrupted;
    }
    FileError::io("copying", path, fault)
}
