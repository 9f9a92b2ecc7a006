//! Locks by flock: the kernel gives them back however a process ends.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use super::error::StoreError;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock(
    #[expect(dead_code, reason = "closing it is what gives the lock back")] File,
);

fn open(path: &Path) -> Result<File, StoreError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fd = rustix::fs::open(path, flags, Mode::from_raw_mode(0o644))
        .map_err(|error| StoreError::io(path)(error.into()))?;
    Ok(File::from(fd))
}

impl Lock {
    /// Waits until nobody else has it.
    pub(crate) fn exclusive(path: &Path) -> Result<Self, StoreError> {
        Self::take(path, FlockOperation::LockExclusive)
    }

    /// Waits until nobody has it for himself.
    pub(crate) fn shared(path: &Path) -> Result<Self, StoreError> {
        Self::take(path, FlockOperation::LockShared)
    }

    /// Takes it when it is free.
    pub(crate) fn free(path: &Path) -> Result<Option<Self>, StoreError> {
        let file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(StoreError::io(path)(error.into())),
        }
    }

    fn take(path: &Path, how: FlockOperation) -> Result<Self, StoreError> {
        let file = open(path)?;
        loop {
            match flock(&file, how) {
                Ok(()) => return Ok(Self(file)),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(StoreError::io(path)(error.into())),
            }
        }
    }
}

/// One run's place in `tmp`, and its part in the lock that keeps `prune` away.
#[derive(Debug)]
pub(super) struct Run {
    directory: PathBuf,
    lock_path: PathBuf,
    _lock: Lock,
    _in_use: Lock,
}

impl Run {
    pub(super) fn start(root: &Path) -> Result<Self, StoreError> {
        let in_use = Lock::shared(&root.join("locks/in-use"))?;
        let tmp = root.join("tmp");
        // No run may look for dead ones between the making of a lock file and its locking.
        let guard = Lock::exclusive(&root.join("locks/runs"))?;
        sweep(&tmp);
        let made = tempfile::Builder::new()
            .prefix("run-")
            .disable_cleanup(true)
            .tempdir_in(&tmp)
            .map_err(StoreError::io(&tmp))?;
        let directory = made.path().to_owned();
        let lock_path = directory.with_extension("lock");
        let lock = Lock::exclusive(&lock_path)?;
        drop(guard);
        Ok(Self {
            directory,
            lock_path,
            _lock: lock,
            _in_use: in_use,
        })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        remove(&self.directory);
        let _ = std::fs::remove_file(&self.lock_path);
    }
}

/// Removes what runs left that are no more. What cannot be removed, for instance because another
/// user made it, stays.
fn sweep(tmp: &Path) {
    let Ok(entries) = std::fs::read_dir(tmp) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        // A lock without its directory is of a run that was killed at its very end.
        let lock_path = path.with_extension("lock");
        if let Ok(Some(_lock)) = Lock::free(&lock_path) {
            let directory = path.with_extension("");
            if directory.symlink_metadata().is_ok() {
                remove(&directory);
            }
            let _ = std::fs::remove_file(&lock_path);
        }
    }
}

/// Removes a tree as far as it can be; links are not followed, mounts are not entered by `rmdir`.
pub(super) fn remove(path: &Path) {
    let (Some(parent), Some(last)) = (path.parent(), path.file_name()) else {
        return;
    };
    let removed = super::dir::Dir::open(parent).and_then(|dir| {
        let name = super::dir::name(last.as_encoded_bytes())?;
        dir.remove(&name)
    });
    if let Err(error) = removed {
        tracing::warn!("{} cannot be removed: {error}", path.display());
    }
}

impl super::Store {
    /// Waits until nobody else does what `name` says, in this cache directory.
    pub(crate) fn turn(&self, name: &str) -> Result<Turn, StoreError> {
        let path = self.root.join("locks").join(name);
        Lock::exclusive(&path).map(Turn)
    }
}

/// Keeps others from doing the same until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(#[expect(dead_code, reason = "dropping it ends the turn")] Lock);
