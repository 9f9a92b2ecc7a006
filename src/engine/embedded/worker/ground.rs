//! What this machine allows a build, and the directories of one run in the cache directory.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use nix::mount::{MsFlags, mount};

use super::{
    detect::{self, Snapshots},
    parent::NAME,
};
use crate::engine::{
    BuildError,
    embedded::{run::Isolation, store::SnapshotMode},
};

/// Directories in the cache directory that belong to one run.
const RUN: &str = ".run";
const RUN_PREFIX: &str = ".run-";
/// Files that are locked: by who makes or sweeps such directories, by the owner of one.
const TURN: &str = ".turn";
const OWNER: &str = "lock";

/// What this machine allows, found out in the cache directory.
pub(super) struct Ground {
    pub(super) isolation: Isolation,
    pub(super) snapshots: SnapshotMode,
    /// what to say of snapshots
    pub(super) words: String,
    /// the engine, as the user reads it
    pub(super) engine: String,
    pub(super) scratch: Scratch,
}

impl Ground {
    pub(super) fn find(cache: &Path, namespaces: bool) -> Result<Self, BuildError> {
        let unusable = |error: io::Error| BuildError::Engine {
            engine: NAME.to_owned(),
            reason: format!(
                "the cache directory {} cannot be used: {error}",
                cache.display()
            ),
            hint: Some("name another one with --cache-dir".to_owned()),
        };
        fs::create_dir_all(cache).map_err(unusable)?;
        // Held until this run's own directories are there and locked, so that nobody takes them for
        // litter.
        let turn = lock_file(cache, TURN)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(unusable)?;
        sweep(cache);
        let found = if namespaces {
            detect::snapshots(cache)
        } else {
            Snapshots::Copy {
                why: "nothing can be mounted".to_owned(),
            }
        };
        let scratch = Scratch::new(cache, namespaces)?;
        drop(turn);
        let (isolation, apart) = if namespaces {
            (Isolation::Namespaces, "namespaces")
        } else {
            (Isolation::Chroot, "chroot")
        };
        let (snapshots, word, words) = match found {
            Snapshots::Overlay { userxattr } => {
                let mode = SnapshotMode::Overlay { userxattr };
                (mode, "overlay", "overlay".to_owned())
            }
            Snapshots::Copy { why } => (SnapshotMode::Copy, "copies", format!("copies ({why})")),
        };
        Ok(Self {
            isolation,
            snapshots,
            words,
            engine: format!("embedded engine ({apart}, {word})"),
            scratch,
        })
    }
}

pub(super) fn io_error<E: Into<io::Error>>(
    what: &dyn std::fmt::Display,
) -> impl FnOnce(E) -> BuildError + use<E> {
    let what = what.to_string();
    move |error| BuildError::Io {
        what,
        source: error.into(),
    }
}

/// Where steps keep their files: in memory where something can be mounted, else in the cache
/// directory, removed at the end.
pub(super) struct Scratch {
    pub(super) path: PathBuf,
    /// locked as long as this process lives
    lock: Option<File>,
}

impl Scratch {
    fn new(cache: &Path, namespaces: bool) -> Result<Self, BuildError> {
        if namespaces {
            let path = cache.join(RUN);
            fs::create_dir_all(&path).map_err(io_error(&path.display()))?;
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            let options = Some("mode=711");
            mount(Some("tmpfs"), &path, Some("tmpfs"), flags, options)
                .map_err(io_error(&path.display()))?;
            return Ok(Self { path, lock: None });
        }
        let made = tempfile::Builder::new()
            .prefix(RUN_PREFIX)
            .tempdir_in(cache);
        let path = made.map_err(io_error(&cache.display()))?.keep();
        let locked = || -> io::Result<File> {
            let lock = lock_file(&path, OWNER)?;
            lock.lock()?;
            Ok(lock)
        };
        let lock = locked().map_err(io_error(&path.display()))?;
        Ok(Self {
            path,
            lock: Some(lock),
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.lock.is_some() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn lock_file(directory: &Path, name: &str) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join(name))
}

/// Removes what runs that were killed have left in the cache directory.
fn sweep(cache: &Path) {
    let Ok(entries) = fs::read_dir(cache) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let free = || lock_file(&entry.path(), OWNER).is_ok_and(|lock| lock.try_lock().is_ok());
        let dead = name.starts_with(detect::PROBE) || (name.starts_with(RUN_PREFIX) && free());
        if dead {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
