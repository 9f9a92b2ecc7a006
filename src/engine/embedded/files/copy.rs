//! Copying: one source to one destination, as `BuildKit`'s `fsutil/copy` does it.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    rc::Rc,
};

use rustix::{
    fs::{FileType, Mode, Stat},
    io::Errno,
};

use super::{
    FileError, Options,
    error::shown,
    ignore::{Filter, Inherited, Judgement},
    meta::{self, How},
    place::{place, reserved},
    root::{Root, dir_at, names, stat_at},
    source::{Found, Source, is_dir, kind},
};

/// Copies what was found for one source.
#[derive(Debug)]
pub(super) struct Copier<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) target: &'a Root,
    pub(super) how: &'a How,
    pub(super) filter: &'a Filter,
    pub(super) options: &'a Options,
    /// where the first name of a file with several was copied to
    pub(super) links: HashMap<(u64, u64), PathBuf>,
    /// directories on the way down
    pub(super) levels: Vec<Level>,
}

/// A directory that is being copied.
#[derive(Debug)]
pub(super) struct Level {
    /// it in its parent; none for the topmost
    from: Option<(Rc<OwnedFd>, OsString)>,
    stat: Stat,
    /// path in the target
    path: PathBuf,
    /// once it exists: with `--parents` it is made when something in it is wanted
    target: Option<Rc<OwnedFd>>,
}

impl<'a> Copier<'a> {
    pub(super) fn new(
        source: &'a Source<'a>,
        target: &'a Root,
        how: &'a How,
        filter: &'a Filter,
        options: &'a Options,
    ) -> Self {
        Self {
            source,
            target,
            how,
            filter,
            options,
            links: HashMap::new(),
            levels: Vec::new(),
        }
    }

    /// Copies one match to a destination as the Dockerfile writes it.
    pub(super) fn copy(&mut self, found: &Found, destination: &str) -> Result<(), FileError> {
        let place = place(
            self.target,
            destination,
            self.how,
            found.name.as_deref().filter(|_| !is_dir(&found.stat)),
        )?;
        if is_dir(&found.stat) {
            self.topmost(found, &place.path)?;
        } else {
            let parent = found.path.parent().unwrap_or(Path::new(""));
            let from = Rc::new(self.source.root.dir(parent)?);
            let name = found.path.file_name().unwrap_or_default();
            self.file(&from, name, &found.stat, &place.path)?;
        }
        place.made.finish(self.how)
    }

    /// The contents of a directory, into one that is there. Its own metadata stays, except that
    /// it gets the source's times.
    fn topmost(&mut self, found: &Found, path: &Path) -> Result<(), FileError> {
        let source = Rc::new(self.source.root.dir(&found.path)?);
        let target = Rc::new(self.target.dir(path)?);
        self.levels.push(Level {
            from: None,
            stat: found.stat,
            path: path.to_owned(),
            target: Some(Rc::clone(&target)),
        });
        let inherited = self.source.inherited(&found.path)?;
        let copied = self.children(&source, Path::new(""), &found.path, path, &inherited);
        self.levels.pop();
        copied?;
        // The context's own directory is not part of what `BuildKit` is sent: it has no time there.
        if self.source.foreign && found.path.as_os_str().is_empty() && self.how.epoch.is_none() {
            return Ok(());
        }
        let times = meta::times(&found.stat, self.how.epoch);
        rustix::fs::futimens(&*target, &times)
            .map_err(|fault| FileError::io("setting the times of", path, fault))
    }

    fn children(
        &mut self,
        directory: &Rc<OwnedFd>,
        relative: &Path,
        from: &Path,
        to: &Path,
        inherited: &Inherited,
    ) -> Result<(), FileError> {
        let listed =
            names(directory.as_fd()).map_err(|fault| FileError::io("listing", from, fault))?;
        for name in listed {
            self.entry(directory, &name, relative, (from, to), inherited)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        directory: &Rc<OwnedFd>,
        name: &OsStr,
        relative: &Path,
        (from, to): (&Path, &Path),
        inherited: &Inherited,
    ) -> Result<(), FileError> {
        if self.options.cancel.is_cancelled() {
            return Err(FileError::Interrupted);
        }
        let relative = relative.join(name);
        let (judgement, mut below) = self.filter.judge(&relative, inherited)?;
        if judgement == Judgement::Skip {
            return Ok(());
        }
        let (from, to) = (from.join(name), to.join(name));
        let stat = stat_at(directory.as_fd(), name)
            .and_then(|stat| stat.ok_or(Errno::NOENT))
            .map_err(|fault| FileError::io("reading", &from, fault))?;
        if let Some(ignore) = self.source.ignore {
            let above = inherited.ignore.as_ref();
            let (seen, matches) = ignore.judge(directory.as_fd(), &from, is_dir(&stat), above)?;
            if !seen {
                return Ok(());
            }
            below.ignore = Some(matches);
        }
        if is_dir(&stat) {
            let wanted = judgement == Judgement::Copy;
            return self.directory(
                directory,
                name,
                stat,
                wanted,
                &relative,
                (&from, &to),
                &below,
            );
        }
        if judgement == Judgement::Below {
            return Ok(());
        }
        self.parents()?;
        self.file(directory, name, &stat, &to)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one step of a recursion, taken apart for its length alone"
    )]
    fn directory(
        &mut self,
        parent: &Rc<OwnedFd>,
        name: &OsStr,
        stat: Stat,
        wanted: bool,
        relative: &Path,
        (from, to): (&Path, &Path),
        below: &Inherited,
    ) -> Result<(), FileError> {
        let opened = dir_at(parent.as_fd(), name)
            .map_err(|fault| FileError::io("opening directory", from, fault))?;
        let source = Rc::new(opened);
        self.levels.push(Level {
            from: Some((Rc::clone(parent), name.to_owned())),
            stat,
            path: to.to_owned(),
            target: None,
        });
        if wanted {
            let depth = self.levels.len() - 1;
            self.parents_to(depth)?;
            self.make(depth)?;
        }
        let copied = self.children(&source, relative, from, to, below);
        self.levels.pop();
        copied?;
        if wanted {
            let (above, name) = self.target_of(to)?;
            self.info(
                above.as_fd(),
                &name,
                parent.as_fd(),
                name_of(from),
                &stat,
                to,
            )?;
        }
        Ok(())
    }

    pub(super) fn target_of(&self, path: &Path) -> Result<(OwnedFd, OsString), FileError> {
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok((self.target.dir(parent)?, name_of(path).to_owned()))
    }

    /// Makes the directories on the way down that were put off.
    fn parents(&mut self) -> Result<(), FileError> {
        self.parents_to(self.levels.len())
    }

    fn parents_to(&mut self, depth: usize) -> Result<(), FileError> {
        for index in 0..depth {
            if self
                .levels
                .get(index)
                .is_some_and(|level| level.target.is_none())
                && self.make(index)?
            {
                let Some(level) = self.levels.get(index) else {
                    continue;
                };
                let (above, name) = self.target_of(&level.path)?;
                if let Some((from, own)) = &level.from {
                    self.info(
                        above.as_fd(),
                        &name,
                        from.as_fd(),
                        own,
                        &level.stat,
                        &level.path,
                    )?;
                }
            }
        }
        Ok(())
    }

    /// The target of a level: one that is there gets the source's mode; whether it was made.
    fn make(&mut self, index: usize) -> Result<bool, FileError> {
        let above = index
            .checked_sub(1)
            .and_then(|above| self.levels.get(above))
            .and_then(|level| level.target.clone());
        let (Some(level), Some(above)) = (self.levels.get_mut(index), above) else {
            return Ok(false);
        };
        let name = name_of(&level.path);
        let fail = |fault| FileError::io("reading", &level.path, fault);
        let made = match stat_at(above.as_fd(), name).map_err(fail)? {
            None => {
                reserved(name)?;
                level.target = Some(Rc::new(meta::make_dir(
                    above.as_fd(),
                    name,
                    level.stat.st_mode,
                    &level.path,
                )?));
                true
            }
            Some(there) if is_dir(&there) => {
                let opened = dir_at(above.as_fd(), name).map_err(fail)?;
                rustix::fs::fchmod(&opened, Mode::from_raw_mode(level.stat.st_mode & 0o7777))
                    .map_err(|fault| FileError::io("setting the mode of", &level.path, fault))?;
                level.target = Some(Rc::new(opened));
                false
            }
            Some(_) => {
                return Err(FileError::Refused(format!(
                    "cannot copy to non-directory: {}",
                    shown(&level.path)
                )));
            }
        };
        Ok(made)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "two places, each a directory and a name"
    )]
    pub(super) fn info(
        &self,
        to: BorrowedFd<'_>,
        name: &OsStr,
        from: BorrowedFd<'_>,
        own: &OsStr,
        stat: &Stat,
        path: &Path,
    ) -> Result<(), FileError> {
        let kept = if self.source.foreign {
            (0, 0)
        } else {
            (stat.st_uid, stat.st_gid)
        };
        meta::set_owner(to, name, self.how.owner.unwrap_or(kept), path)?;
        if kind(stat) != FileType::Symlink {
            let mode = stat.st_mode & 0o7777;
            let chmod = self.how.chmod.as_ref();
            let mode = chmod.map_or(mode, |chmod| chmod.apply(mode, is_dir(stat)));
            meta::set_mode(to, name, mode, path)?;
        }
        meta::set_times(to, name, &meta::times(stat, self.how.epoch), path)?;
        meta::copy_xattrs(from, own, to, name);
        Ok(())
    }
}

fn name_of(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}
