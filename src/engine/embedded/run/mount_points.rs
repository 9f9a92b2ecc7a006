//! Mount points that a step needs and the tree does not have: made before, taken away after.
//!
//! As `BuildKit` does it: what is still empty after the step is removed, its missing parents too;
//! `/proc`, `/sys`, `/dev` and the working directory stay. Times of parents are as if the mount points
//! had never been there. Links are followed inside the tree alone; nobody else works in it meanwhile.

use std::{
    fs::{self, FileTimes, Metadata},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::engine::embedded::step::RunError;

/// Mount points made in one tree.
#[derive(Debug)]
pub(super) struct MountPoints {
    root: PathBuf,
    /// in the order they were made
    made: Vec<PathBuf>,
}

impl MountPoints {
    pub(super) fn new(root: &Path) -> Result<Self, RunError> {
        let canonical = root.canonicalize().map_err(|source| RunError::Host {
            what: root.display().to_string(),
            hint: None,
            source: Some(source),
        })?;
        Ok(Self {
            root: canonical,
            made: Vec::new(),
        })
    }

    /// The tree's root, without links.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes sure that there is a directory or a file at `target`; gives its path in the tree with
    /// every link followed, from the tree's root.
    pub(super) fn point(&mut self, target: &str, directory: bool) -> Result<PathBuf, RunError> {
        let place = self.place(target)?;
        self.make(&place, directory, true)
            .map_err(|error| fault(target, &error))?;
        Ok(Path::new("/").join(place.strip_prefix(&self.root).unwrap_or(&place)))
    }

    /// The same for a directory that stays: what a container runtime makes for its own mounts, and the
    /// working directory.
    pub(super) fn lasting(&mut self, target: &str) -> Result<(), RunError> {
        let place = self.place(target)?;
        self.make(&place, true, false)
            .map_err(|error| fault(target, &error))
    }

    /// Where `target` is on this machine, links followed inside the tree.
    pub(super) fn place(&self, target: &str) -> Result<PathBuf, RunError> {
        safe_path::scoped_join(&self.root, target).map_err(|error| fault(target, &error))
    }

    fn make(&mut self, place: &Path, directory: bool, temporary: bool) -> io::Result<()> {
        if !place.starts_with(&self.root) {
            return Err(io::Error::other("leads out of the image"));
        }
        match fs::symlink_metadata(place) {
            Ok(data) if data.is_dir() == directory => return Ok(()),
            Ok(_) if directory => return Err(io::ErrorKind::NotADirectory.into()),
            Ok(_) => return Err(io::ErrorKind::IsADirectory.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let parent = place.parent().unwrap_or(&self.root).to_owned();
        self.make(&parent, true, temporary)?;
        let before = fs::symlink_metadata(&parent)?;
        if directory {
            fs::DirBuilder::new().mode(0o755).create(place)?;
        } else {
            let mut options = fs::OpenOptions::new();
            options
                .write(true)
                .create_new(true)
                .mode(0o644)
                .open(place)?;
        }
        if temporary {
            self.made.push(place.to_owned());
            restore(&parent, &before)?;
        }
        Ok(())
    }

    /// Takes away what is still empty.
    pub(super) fn remove(self) -> io::Result<()> {
        for place in self.made.iter().rev() {
            // The step may have put links where directories were.
            let inside = place.strip_prefix(&self.root).unwrap_or(place);
            let real = safe_path::scoped_join(&self.root, inside)?;
            if real != *place {
                continue;
            }
            let Ok(data) = fs::symlink_metadata(place) else {
                continue;
            };
            let parent = place.parent().unwrap_or(&self.root);
            let before = fs::symlink_metadata(parent)?;
            let removed = if data.is_dir() {
                match fs::remove_dir(place) {
                    Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => continue,
                    outcome => outcome,
                }
            } else if data.is_file() && data.len() == 0 {
                fs::remove_file(place)
            } else {
                continue;
            };
            removed?;
            restore(parent, &before)?;
        }
        Ok(())
    }
}

/// Gives a directory its times back.
pub(super) fn restore(directory: &Path, before: &Metadata) -> io::Result<()> {
    let times = FileTimes::new()
        .set_accessed(before.accessed()?)
        .set_modified(before.modified()?);
    let mut options = fs::OpenOptions::new();
    let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::NOFOLLOW;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let directory = options.read(true).custom_flags(flags).open(directory)?;
    directory.set_times(times)
}

fn fault(target: &str, error: &io::Error) -> RunError {
    RunError::Step(format!("mount target {target}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn listing(root: &Path) -> Vec<String> {
        let mut all: Vec<String> = walkdir::WalkDir::new(root)
            .min_depth(1)
            .into_iter()
            .map(|entry| {
                let entry = entry.unwrap();
                entry
                    .path()
                    .strip_prefix(root)
                    .unwrap()
                    .display()
                    .to_string()
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn mount_points_leave_nothing_behind_not_even_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir(root.join("etc")).unwrap();
        let old = FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        fs::OpenOptions::new()
            .read(true)
            .open(root.join("etc"))
            .unwrap()
            .set_times(old)
            .unwrap();
        let mut points = MountPoints::new(&root).unwrap();
        assert_eq!(
            points.point("/etc/hosts", false).unwrap(),
            Path::new("/etc/hosts")
        );
        points.point("/a/b/c", true).unwrap();
        points.point("/a/b/d", true).unwrap();
        points.point("/kept", true).unwrap();
        points.lasting("/made/dir").unwrap();
        fs::create_dir(root.join("kept/x")).unwrap();
        assert!(root.join("a/b/d").is_dir());
        points.remove().unwrap();
        assert_eq!(
            listing(&root),
            ["etc", "kept", "kept/x", "made", "made/dir"]
        );
        let etc = fs::metadata(root.join("etc")).unwrap();
        assert_eq!(etc.modified().unwrap(), std::time::UNIX_EPOCH);
    }

    #[test]
    fn links_are_followed_inside_the_tree_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("etc")).unwrap();
        symlink("/../../host", root.join("etc/resolv.conf")).unwrap();
        symlink("../../..", root.join("up")).unwrap();
        let mut points = MountPoints::new(&root).unwrap();
        assert_eq!(
            points.point("/etc/resolv.conf", false).unwrap(),
            Path::new("/host")
        );
        assert_eq!(points.point("/up/x/y", true).unwrap(), Path::new("/x/y"));
        points.remove().unwrap();
        assert_eq!(listing(&root), ["etc", "etc/resolv.conf", "up"]);
        assert_eq!(listing(dir.path()).len(), 4);
    }

    #[test]
    fn a_step_that_swaps_its_mount_point_for_a_link_removes_nothing_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("other/c")).unwrap();
        let mut points = MountPoints::new(&root).unwrap();
        points.point("/a/c", true).unwrap();
        fs::remove_dir_all(root.join("a")).unwrap();
        symlink("other", root.join("a")).unwrap();
        points.remove().unwrap();
        assert!(root.join("other/c").is_dir());
    }

    #[test]
    fn a_file_is_no_place_for_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let mut points = MountPoints::new(dir.path()).unwrap();
        points.point("/f", false).unwrap();
        let error = points.point("/f", true).unwrap_err().to_string();
        assert!(error.contains("/f"), "{error}");
        assert!(points.point("/f/x", true).is_err());
    }
}
