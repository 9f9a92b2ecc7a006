//! `COPY`, `ADD` and `WORKDIR`: changes of files inside a tree, case for case as `BuildKit` makes
//! them (its `file` backend and `fsutil/copy`).
//!
//! Trees are directories; every walk goes by descriptors and no link leads out of a tree, also when
//! somebody changes it meanwhile. Devices are refused, and a name that in a layer means that its own
//! directory is gone; other names that layers give a meaning (`.wh.*`) are copied as any other, and
//! so take files away where the layer is unpacked. Not done here: what a layer is, what a cache is, where sources come from.

mod asked;
mod copy;
mod error;
mod ignore;
mod key;
mod meta;
mod mode;
mod owner;
mod place;
mod plain;
mod root;
mod source;
mod sparse;
mod stats;
mod unpack;

use std::{
    io::Write as _,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use self::{
    copy::Copier,
    ignore::{Filter, Inherited, Judgement},
    meta::How,
    mode::Chmod,
    root::Root,
    source::{Source, is_dir},
};
pub use self::{error::FileError, ignore::Ignore, key::key, stats::StatCache};
use super::graph::{Copy, CopyFrom, FileAction, Tree, Unpack};
use crate::engine::{Cancel, dockerignore::has_wildcard};

/// Where the trees of a graph are.
pub trait Trees {
    /// Directory of a tree; an empty one for [`Tree::Empty`].
    ///
    /// # Errors
    /// When the tree cannot be had.
    fn path(&self, tree: &Tree) -> Result<PathBuf, FileError>;

    /// What is not to be seen of a tree: `.dockerignore` of the context.
    fn ignore(&self, tree: &Tree) -> Option<&Ignore>;

    /// Digests of files that were hashed before, by their metadata; for trees that outlive a build.
    fn stats(&self, _tree: &Tree) -> Option<&StatCache> {
        None
    }
}

/// How actions are applied.
#[derive(Debug, Clone)]
pub struct Options {
    /// seconds since 1970 that directories of `WORKDIR` get (`SOURCE_DATE_EPOCH`)
    pub epoch: Option<i64>,
    /// bytes that one archive may unpack to
    pub max_unpacked: u64,
    /// ends the work soon after it is cancelled
    pub cancel: Cancel,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            epoch: None,
            max_unpacked: 64 << 30,
            cancel: Cancel::new(),
        }
    }
}

/// Applies one action to the tree at `root`.
///
/// # Errors
/// When a source is missing, the trees do not allow it, or on I/O; part of it may be done then.
pub fn apply(
    action: &FileAction,
    root: &Path,
    trees: &dyn Trees,
    options: &Options,
) -> Result<(), FileError> {
    let target = Root::open(root)?;
    match action {
        FileAction::Mkdir { path, mode, owner } => {
            let owner = owner.as_deref().filter(|owner| !owner.is_empty());
            let how = How {
                owner: owner
                    .map(|owner| owner::lookup(owner, &target))
                    .transpose()?,
                chmod: None,
                epoch: options.epoch,
            };
            let path = target.resolve_all(Path::new(path))?;
            meta::make_dirs(&target, &path, mode & 0o777, &how)?.finish(&how)
        }
        FileAction::Copy(copy) => apply_copy(copy, &target, trees, options),
    }
}

fn apply_copy(
    copy: &Copy,
    target: &Root,
    trees: &dyn Trees,
    options: &Options,
) -> Result<(), FileError> {
    let owner = copy.chown.as_deref().filter(|owner| !owner.is_empty());
    let how = How {
        owner: owner
            .map(|owner| owner::lookup(owner, target))
            .transpose()?,
        chmod: copy.chmod.as_deref().map(Chmod::parse).transpose()?,
        // Copies keep their times; the layer takes those back that are later than the epoch.
        epoch: None,
    };
    match &copy.from {
        CopyFrom::Tree(tree) => {
            let source = Source::open(*tree, trees)?;
            for text in &copy.sources {
                let wanted = Wanted::new(text, copy)?;
                for path in wanted.paths(&source)? {
                    let found = source.find(&path)?;
                    if copy.unpack != Unpack::Never
                        && unpack::unpack(
                            &source,
                            &found,
                            target,
                            &copy.destination,
                            &how,
                            options,
                        )?
                    {
                        continue;
                    }
                    let fresh = copy.whole && is_absent(target, &copy.destination)?;
                    Copier::new(&source, target, &how, &wanted.filter, options)
                        .copy(&found, &copy.destination)?;
                    if fresh {
                        own_mode(&found, target, &copy.destination, &how)?;
                    }
                }
            }
            Ok(())
        }
        CopyFrom::Inline(files) => {
            for (name, content) in files {
                inline(name, content.as_bytes(), target, &copy.destination, &how)?;
            }
            Ok(())
        }
    }
}

fn is_absent(target: &Root, destination: &str) -> Result<bool, FileError> {
    let path = target.resolve_all(Path::new(destination))?;
    Ok(target.stat(&path)?.is_none())
}

/// A directory that was copied itself has its own mode, as `--chmod` changes it.
fn own_mode(
    found: &source::Found,
    target: &Root,
    destination: &str,
    how: &How,
) -> Result<(), FileError> {
    let Some(chmod) = &how.chmod else {
        return Ok(());
    };
    let path = target.resolve_all(Path::new(destination))?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let mode = chmod.apply(found.stat.st_mode & 0o7777, true);
    meta::set_mode(target.dir(parent)?.as_fd(), name, mode, &path)
}

/// Names in a directory below another one; a link on the way is an error.
pub(super) fn open_plain_directory(
    root: &Path,
    path: &Path,
) -> Result<Vec<std::ffi::OsString>, FileError> {
    let directory = Root::open(root)?.dir(&root::cleaned(path))?;
    root::names(directory.as_fd()).map_err(|fault| FileError::io("listing", path, fault))
}

/// One source, taken apart.
struct Wanted {
    pattern: String,
    filter: Filter,
    /// must be there below the pattern: `--parents` without wildcards
    required: Option<PathBuf>,
}

impl Wanted {
    fn new(text: &str, copy: &Copy) -> Result<Self, FileError> {
        if !copy.parents {
            return Ok(Self {
                pattern: text.to_owned(),
                filter: Filter::new(None, &copy.exclude)?,
                required: None,
            });
        }
        let (base, below) = text.split_once("/./").unwrap_or(("/", text));
        let below = root::cleaned(Path::new(below));
        let below = below.to_string_lossy();
        let plain = !has_wildcard(base) && !has_wildcard(&below);
        if below.is_empty() {
            // `BuildKit` looks for a file of that name in the directory, and finds none.
            return Err(FileError::NotFound {
                path: error::shown(Path::new(base)),
                excluded: false,
            });
        }
        Ok(Self {
            pattern: base.to_owned(),
            filter: Filter::new(Some(&below), &copy.exclude)?,
            required: plain.then(|| PathBuf::from(below.as_ref())),
        })
    }

    fn paths(&self, source: &Source<'_>) -> Result<Vec<PathBuf>, FileError> {
        if let Some(required) = &self.required {
            self.required(required, source)?;
        }
        source.matches(&self.pattern)
    }

    /// No link is followed below the base, and what is excluded is not there.
    fn required(&self, below: &Path, source: &Source<'_>) -> Result<(), FileError> {
        let base = source.find(Path::new(&self.pattern))?;
        // What the context is asked for is asked for by its name, which is none behind a link.
        let linked = source.foreign && base.path != root::cleaned(Path::new(&self.pattern));
        let absent = |excluded| FileError::NotFound {
            path: error::shown(&Path::new(&self.pattern).join(below)),
            excluded,
        };
        if linked {
            return Err(absent(false));
        }
        let (mut done, mut inherited) = (PathBuf::new(), Inherited::default());
        let mut at = base;
        for part in below {
            if !is_dir(&at.stat) {
                return Err(absent(false));
            }
            done.push(part);
            let (judgement, next) = self.filter.judge(&done, &inherited)?;
            let path = at.path.join(part);
            let parent = source.root.dir(&at.path)?;
            let stat = root::stat_at(parent.as_fd(), part)
                .map_err(|fault| FileError::io("reading", &path, fault))?
                .ok_or_else(|| absent(false))?;
            if judgement == Judgement::Skip {
                return Err(absent(true));
            }
            inherited = next;
            at = source::Found {
                name: None,
                path,
                stat,
            };
        }
        let hidden = match source.ignore {
            Some(ignore) => ignore.hides(&source.root, &at.path)?.0,
            None => false,
        };
        if hidden { Err(absent(true)) } else { Ok(()) }
    }
}

/// A here-document as a file.
fn inline(
    name: &str,
    content: &[u8],
    target: &Root,
    destination: &str,
    how: &How,
) -> Result<(), FileError> {
    let cleaned = root::cleaned(Path::new(name));
    let Some(name) = cleaned.file_name() else {
        return Err(FileError::Refused("a here-document has no name".to_owned()));
    };
    if cleaned.as_os_str() != name {
        return Err(FileError::Refused(format!(
            "a here-document cannot be called {}: it is a file without a directory",
            cleaned.display()
        )));
    }
    let place = place::place(target, destination, how, Some(name))?;
    let path = &place.path;
    let directory = target.dir(path.parent().unwrap_or(Path::new("")))?;
    let name = path.file_name().unwrap_or_default();
    place::make_room(directory.as_fd(), name, path)?;
    place::reserved(name)?;
    let mut file = place::create(directory.as_fd(), name, path)?;
    file.write_all(content)
        .map_err(|fault| FileError::io("writing", path, fault))?;
    drop(file);
    meta::set_owner(directory.as_fd(), name, how.owner.unwrap_or((0, 0)), path)?;
    let mode = how
        .chmod
        .as_ref()
        .map_or(0o644, |chmod| chmod.apply(0o644, false));
    meta::set_mode(directory.as_fd(), name, mode, path)?;
    if let Some(epoch) = how.epoch {
        meta::set_times(directory.as_fd(), name, &meta::both(epoch, 0), path)?;
    }
    place.made.finish(how)
}

#[cfg(test)]
mod tests;
