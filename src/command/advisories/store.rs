//! The database's file and what lies beside it: one lock, one half-made file, one half-fetched
//! archive, each under a fixed name, so that an update that was killed leaves nothing that adds up.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{intake::Kind, io_error, usage};
use crate::{
    advisory::database::{Contents, Database, DatabaseError},
    error::Error,
    gather::read_database,
};

/// Where a database lies, held by one update alone.
pub(super) struct Store {
    path: PathBuf,
    /// let go of when it is closed, also by a process that is killed
    _lock: File,
}

impl Store {
    /// Takes hold of it.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|error| io_error(folder, &error))?;
        let name = beside(path, ".lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&name)
            .map_err(|error| io_error(&name, &error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(usage(
                format!("another update is making {} now", path.display()),
                "wait for it to end",
            )),
            Err(TryLockError::Error(error)) => Err(io_error(&name, &error)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where an archive is fetched to.
    pub(super) fn part(&self, kind: Kind) -> PathBuf {
        let end = match kind {
            Kind::Advisories => ".part",
            Kind::Vex => ".vex.part",
        };
        beside(&self.path, end)
    }

    /// What is held; nothing when there is no file, or one of an older format. A damaged file is told,
    /// not thrown away: it may be another program's.
    pub(super) fn contents(&self) -> Result<Contents, Error> {
        let path = &self.path;
        let file = match read_database(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Contents::default());
            }
            Err(error) => return Err(io_error(path, &error)),
        };
        match Database::open(&file) {
            Ok(database) => Ok(database.contents()),
            Err(DatabaseError::Older { .. }) => Ok(Contents::default()),
            Err(error) => Err(usage(
                format!("{}: {error}", path.display()),
                "remove the file when it is a damaged database, or name another with `--database`",
            )),
        }
    }

    /// The new file takes the place of the old one whole, or not at all. Returns its size.
    pub(super) fn replace(&self, contents: &Contents) -> Result<usize, Error> {
        let file = contents
            .to_bytes()
            .map_err(|error| usage(error.to_string(), ""))?;
        swap(&self.path, &file).map_err(|error| io_error(&self.path, &error))?;
        Ok(file.len())
    }
}

fn swap(path: &Path, file: &[u8]) -> io::Result<()> {
    let name = beside(path, ".new");
    let mut new = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&name)?;
    new.write_all(file)?;
    new.sync_all()?;
    fs::rename(&name, path)?;
    // the name is on the disk when its folder is
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    OpenOptions::new()
        .read(true)
        .open(folder.unwrap_or(Path::new(".")))?
        .sync_all()
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
