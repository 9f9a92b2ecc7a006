//! Mounts for a step that can have none: what a mount would show is moved or copied to its target and
//! taken out again after the step.
//!
//! A directory or file that may be written is moved there and back, so that it keeps what the step
//! wrote; one that may not is copied, and the copy thrown away: writes to it are not refused. What was
//! at the target waits beside the tree. Concurrent steps with the same source wait for each other. The
//! step runs as root and may have put links on the way to a target meanwhile: none is followed out of
//! the tree afterwards.

use std::{
    collections::{BTreeSet, HashSet},
    fs::{self, FileType},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink},
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, PoisonError},
};

use super::mount_points::restore;

/// What was put into a tree, in order.
#[derive(Debug)]
pub(super) struct Places {
    /// of the tree, without links
    root: PathBuf,
    put: Vec<Put>,
    held: Vec<PathBuf>,
    counter: usize,
}

#[derive(Debug)]
struct Put {
    target: PathBuf,
    /// where it goes back to, and what it is; a copy goes nowhere
    home: Option<(PathBuf, FileType)>,
    /// what was there
    hidden: Option<PathBuf>,
}

static HELD: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
static FREED: Condvar = Condvar::new();

impl Places {
    /// Nothing yet in the tree at `root`, a path without links.
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            put: Vec::new(),
            held: Vec::new(),
            counter: 0,
        }
    }

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
            let moved = fs::symlink_metadata(source)
                .and_then(|data| relocate(source, target).map(|()| data.file_type()));
            moved.map(|kind| put.home = Some((source.to_owned(), kind)))
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

    /// Waits until no other step uses any of these, and keeps them until this is dropped. All at once:
    /// steps that each had one and waited for the other's would wait for ever.
    pub(super) fn hold(&mut self, sources: &BTreeSet<PathBuf>) {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        while sources
            .iter()
            .any(|source| held.get_or_insert_default().contains(source))
        {
            held = FREED.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        held.get_or_insert_default().extend(sources.iter().cloned());
        self.held.extend(sources.iter().cloned());
    }

    /// Takes everything out again, the last first.
    pub(super) fn take_out(mut self) -> io::Result<()> {
        let mut outcome = Ok(());
        while let Some(put) = self.put.pop() {
            outcome = outcome.and(put.take_out(&self.root));
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
    fn take_out(self, root: &Path) -> io::Result<()> {
        let parent = self.target.parent().unwrap_or(&self.target);
        let inside = parent.strip_prefix(root).map_err(io::Error::other)?;
        if safe_path::scoped_join(root, inside)? != parent {
            return Err(io::Error::other(format!(
                "the step moved the directory of its mount /{}, which cannot be undone without namespaces",
                inside.display()
            )));
        }
        let before = fs::symlink_metadata(parent)?;
        match &self.home {
            // What the step put in its place is no cache, least of all a link.
            Some((home, kind))
                if fs::symlink_metadata(&self.target).is_ok_and(|is| is.file_type() == *kind) =>
            {
                relocate(&self.target, home)?;
            }
            _ => remove(&self.target)?,
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
        let mut places = Places::new(dir.path().canonicalize().unwrap());
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
    fn links_that_a_step_left_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let at = |name: &str| base.join(name);
        for name in [
            "root", "root/a", "root/a/x", "root/b", "cache", "other", "aside", "host", "host/x",
        ] {
            fs::create_dir(at(name)).unwrap();
        }
        put(&at("host/x/precious"), "1");
        let mut places = Places::new(at("root"));
        let (aside, sources) = (at("aside"), BTreeSet::from([at("cache"), at("other")]));
        places.hold(&sources);
        places
            .show(&at("cache"), &at("root/a/x"), &aside, true)
            .unwrap();
        places
            .show(&at("other"), &at("root/b"), &aside, true)
            .unwrap();
        fs::rename(at("root/a"), at("root/c")).unwrap();
        symlink(at("host"), at("root/a")).unwrap();
        fs::remove_dir(at("root/b")).unwrap();
        symlink(at("host"), at("root/b")).unwrap();
        let error = places.take_out().unwrap_err().to_string();
        assert!(error.contains("the step moved"), "{error}");
        assert!(at("host/x/precious").exists());
        assert!(!at("cache").exists());
        assert!(
            fs::symlink_metadata(at("other")).is_err(),
            "no link in the cache"
        );
        assert!(fs::symlink_metadata(at("root/b")).unwrap().is_dir());
    }

    #[test]
    fn steps_that_share_two_caches_do_not_wait_for_each_other_for_ever() {
        let sources = BTreeSet::from([PathBuf::from("/one"), PathBuf::from("/two")]);
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let sources = sources.clone();
                std::thread::spawn(move || {
                    for _ in 0..100 {
                        Places::new(PathBuf::from("/")).hold(&sources);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
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
