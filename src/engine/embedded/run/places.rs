//! Mounts for a step that can have none: what a mount would show is moved or copied to its target and
//! taken out again after the step.
//!
//! A directory or file that may be written is moved there and back, so that it keeps what the step
//! wrote; one that may not is copied, and the copy thrown away: writes to it are not refused. What was
//! at the target waits beside the tree. Concurrent steps with the same source wait for each other.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink},
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, PoisonError},
};

use super::stubs::restore;

/// What was put into a tree, in order.
#[derive(Debug, Default)]
pub(super) struct Places {
    put: Vec<Put>,
    held: Vec<PathBuf>,
    counter: usize,
}

#[derive(Debug)]
struct Put {
    target: PathBuf,
    /// where it goes back to; a copy goes nowhere
    home: Option<PathBuf>,
    /// what was there
    hidden: Option<PathBuf>,
}

static HELD: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
static FREED: Condvar = Condvar::new();

impl Places {
    /// Shows `source` at `target`, an existing mount point; what is hidden goes to `aside`.
    pub(super) fn show(
        &mut self,
        source: &Path,
        target: &Path,
        aside: &Path,
        keep: bool,
    ) -> io::Result<()> {
        let hidden = self.hide(target, aside)?;
        let parent = target.parent().unwrap_or(target);
        let before = fs::symlink_metadata(parent)?;
        let mut put = Put {
            target: target.to_owned(),
            home: None,
            hidden: Some(hidden),
        };
        let result = if keep {
            self.hold(source);
            let moved = relocate(source, target);
            if moved.is_ok() {
                put.home = Some(source.to_owned());
            }
            moved
        } else {
            copy(source, target)
        };
        self.put.push(put);
        result.and_then(|()| restore(parent, &before))
    }

    /// An empty directory at `target`, in the place of a file system in memory.
    pub(super) fn empty(&mut self, target: &Path, aside: &Path, mode: u32) -> io::Result<()> {
        let hidden = self.hide(target, aside)?;
        let parent = target.parent().unwrap_or(target);
        let before = fs::symlink_metadata(parent)?;
        fs::create_dir(target)?;
        fs::set_permissions(target, fs::Permissions::from_mode(mode))?;
        self.put.push(Put {
            target: target.to_owned(),
            home: None,
            hidden: Some(hidden),
        });
        restore(parent, &before)
    }

    fn hide(&mut self, target: &Path, aside: &Path) -> io::Result<PathBuf> {
        self.counter += 1;
        let hidden = aside.join(format!("hidden-{}", self.counter));
        let parent = target.parent().unwrap_or(target);
        let before = fs::symlink_metadata(parent)?;
        fs::rename(target, &hidden)?;
        restore(parent, &before)?;
        Ok(hidden)
    }

    /// Waits until no other step uses `source`.
    fn hold(&mut self, source: &Path) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        while held.get_or_insert_default().contains(source)
            && !self.held.iter().any(|h| h == source)
        {
            held = FREED.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        held.get_or_insert_default().insert(source.to_owned());
        self.held.push(source.to_owned());
    }

    /// Takes everything out again, the last first.
    pub(super) fn take_out(mut self) -> io::Result<()> {
        let mut outcome = Ok(());
        while let Some(put) = self.put.pop() {
            outcome = outcome.and(put.take_out());
        }
        outcome
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        for source in &self.held {
            held.get_or_insert_default().remove(source);
        }
        FREED.notify_all();
    }
}

impl Put {
    fn take_out(self) -> io::Result<()> {
        let parent = self.target.parent().unwrap_or(&self.target);
        let before = fs::symlink_metadata(parent)?;
        match &self.home {
            Some(home) => relocate(&self.target, home)?,
            None => remove(&self.target)?,
        }
        if let Some(hidden) = &self.hidden {
            fs::rename(hidden, &self.target)?;
        }
        restore(parent, &before)
    }
}

/// Overwrites what may be a secret, then removes it.
pub(super) fn wipe(path: &Path) -> io::Result<()> {
    use io::Write as _;
    let data = fs::symlink_metadata(path)?;
    if data.is_file() {
        let mut file = fs::OpenOptions::new().write(true).open(path)?;
        let mut left = data.len();
        while left > 0 {
            let piece = usize::try_from(left.min(4096)).unwrap_or(4096);
            file.write_all(&[0; 4096][..piece])?;
            left -= piece as u64;
        }
        file.sync_data()?;
    }
    fs::remove_file(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn relocate(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy(from, to)?;
            remove(from)
        }
        outcome => outcome,
    }
}

/// Copies a file or a whole directory, owners and modes too; links are copied as links.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.map_err(io::Error::other)?;
        let inside = entry.path().strip_prefix(from).map_err(io::Error::other)?;
        let place = if inside.as_os_str().is_empty() {
            to.to_owned()
        } else {
            to.join(inside)
        };
        let data = entry.metadata().map_err(io::Error::other)?;
        let kind = data.file_type();
        if kind.is_dir() {
            fs::create_dir(&place)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &place)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &place)?;
        } else {
            continue;
        }
        lchown(&place, Some(data.uid()), Some(data.gid()))?;
        if !kind.is_symlink() {
            fs::set_permissions(&place, data.permissions())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, text: &str) {
        use io::Write as _;
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .create(true)
            .write(true)
            .truncate(true)
            .open(path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn what_was_shown_goes_back_with_what_was_written_and_what_was_hidden_returns() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in [
            "root",
            "root/cache",
            "root/bind",
            "root/tmp",
            "cache",
            "bind",
            "aside",
        ] {
            fs::create_dir(at(name)).unwrap();
        }
        put(&at("root/cache/image"), "of the image");
        put(&at("cache/old"), "1");
        put(&at("bind/read"), "2");
        let mut places = Places::default();
        let aside = at("aside");
        places
            .show(&at("cache"), &at("root/cache"), &aside, true)
            .unwrap();
        places
            .show(&at("bind"), &at("root/bind"), &aside, false)
            .unwrap();
        places.empty(&at("root/tmp"), &aside, 0o1777).unwrap();
        assert!(at("root/cache/old").exists() && !at("root/cache/image").exists());
        assert!(at("root/bind/read").exists());
        put(&at("root/cache/new"), "3");
        put(&at("root/bind/new"), "4");
        put(&at("root/tmp/new"), "5");
        places.take_out().unwrap();
        assert!(at("cache/old").exists() && at("cache/new").exists());
        assert!(at("root/cache/image").exists() && !at("root/cache/new").exists());
        assert!(!at("bind/new").exists() && !at("root/bind/new").exists());
        assert!(!at("root/tmp/new").exists());
        assert_eq!(fs::read_dir(&aside).unwrap().count(), 0);
    }

    #[test]
    fn a_wiped_file_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        put(&path, &"x".repeat(10_000));
        wipe(&path).unwrap();
        assert!(!path.exists());
    }
}
