//! What is copied from: a tree, seen through `.dockerignore` when it is the context.

use std::{
    ffi::OsString,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, Stat};

use super::{
    FileError, Ignore, Trees,
    error::shown,
    ignore::Inherited,
    root::{Root, cleaned, dir_at, names, stat_at},
};
use crate::engine::{
    dockerignore::{glob_match, has_wildcard},
    embedded::graph::Tree,
};

/// A tree that is copied from.
#[derive(Debug)]
pub(super) struct Source<'t> {
    pub(super) root: Root,
    pub(super) ignore: Option<&'t Ignore>,
    /// owners are those of this machine, which mean nothing in the image
    pub(super) foreign: bool,
}

/// One path that was found for a source.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// the last component as it was asked for: a file is called so in a directory
    pub(super) name: Option<OsString>,
    /// links followed
    pub(super) path: PathBuf,
    pub(super) stat: Stat,
}

impl<'t> Source<'t> {
    pub(super) fn open(tree: Tree, trees: &'t dyn Trees) -> Result<Self, FileError> {
        Ok(Self {
            root: Root::open(&trees.path(&tree)?)?,
            ignore: trees.ignore(&tree),
            foreign: tree == Tree::Context,
        })
    }

    /// Resolves links as they are seen through `.dockerignore`.
    pub(super) fn resolve(&self, path: &Path) -> Result<PathBuf, FileError> {
        self.root
            .resolve(path, true, &mut |path| match self.ignore {
                Some(ignore) => Ok(ignore.hides(&self.root, path)?.0),
                None => Ok(false),
            })
    }

    /// A path that must be there.
    pub(super) fn find(&self, path: &Path) -> Result<Found, FileError> {
        let asked = cleaned(path);
        let resolved = match self.resolve(&asked) {
            Ok(resolved) => resolved,
            Err(FileError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotADirectory =>
            {
                return Err(Self::absent(&asked, false));
            }
            Err(fault) => return Err(fault),
        };
        let stat = match self.root.stat(&resolved) {
            Ok(stat) => stat,
            Err(FileError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotADirectory =>
            {
                None
            }
            Err(fault) => return Err(fault),
        };
        let hidden = match (self.ignore, &stat) {
            (Some(ignore), Some(_)) => ignore.hides(&self.root, &resolved)?.0,
            _ => false,
        };
        match stat {
            Some(stat) if !hidden => Ok(Found {
                name: asked.file_name().map(ToOwned::to_owned),
                path: resolved,
                stat,
            }),
            _ => {
                let excludes = |ignore: &Ignore| ignore.excludes(&resolved);
                let excluded = hidden && self.ignore.is_some_and(excludes);
                Err(Self::absent(&asked, excluded))
            }
        }
    }

    fn absent(asked: &Path, hidden: bool) -> FileError {
        FileError::NotFound {
            path: shown(asked),
            excluded: hidden,
        }
    }

    /// What a source with wildcards means, in the order of a walk; nothing is no error. The path
    /// itself when there is no wildcard in it.
    pub(super) fn matches(&self, pattern: &str) -> Result<Vec<PathBuf>, FileError> {
        let pattern = cleaned(Path::new(pattern));
        let parts: Vec<String> = pattern
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        let Some(split) = parts.iter().position(|part| has_wildcard(part)) else {
            return Ok(vec![pattern]);
        };
        let (literal, wild) = parts.split_at(split);
        let literal: PathBuf = literal.iter().collect();
        let base = match self.find(&literal) {
            Ok(found) if is_dir(&found.stat) => found.path,
            Ok(_) => return Ok(Vec::new()),
            // It may be there, but is not asked for: `BuildKit` does not have it then.
            Err(FileError::NotFound {
                excluded: false, ..
            }) if matches!(self.root.stat(&literal), Ok(Some(_))) => {
                return Err(FileError::Refused(format!(
                    "nothing in {} matches {}",
                    shown(&literal),
                    shown(&pattern)
                )));
            }
            Err(fault) => return Err(fault),
        };
        let mut found = Vec::new();
        self.walk(
            &base,
            Path::new(""),
            &wild.join("/"),
            // As in Go, a class may match a slash.
            wild.len()
                + wild
                    .iter()
                    .map(|part| part.matches('[').count())
                    .sum::<usize>(),
            &mut found,
        )?;
        Ok(found)
    }

    fn walk(
        &self,
        base: &Path,
        below: &Path,
        pattern: &str,
        depth: usize,
        found: &mut Vec<PathBuf>,
    ) -> Result<(), FileError> {
        let here = base.join(below);
        let inherited = self.inherited(&here)?;
        let directory = self.root.dir(&here)?;
        let fail = |fault| FileError::io("reading", &here, fault);
        for name in names(directory.as_fd()).map_err(fail)? {
            let Some(stat) = stat_at(directory.as_fd(), &name).map_err(fail)? else {
                continue;
            };
            let path = here.join(&name);
            if let Some(ignore) = self.ignore {
                let above = inherited.ignore.as_ref();
                if !ignore
                    .judge(directory.as_fd(), &path, is_dir(&stat), above)?
                    .0
                {
                    continue;
                }
            }
            let relative = below.join(&name);
            let hit = glob_match(pattern, &relative.to_string_lossy()).map_err(|fault| {
                FileError::Refused(format!("the source `{pattern}` is malformed: {fault}"))
            })?;
            if hit {
                found.push(path);
            } else if is_dir(&stat) && depth > 1 && dir_at(directory.as_fd(), &name).is_ok() {
                self.walk(base, &relative, pattern, depth - 1, found)?;
            }
        }
        Ok(())
    }

    /// What the names in a directory inherit from `.dockerignore`.
    pub(super) fn inherited(&self, path: &Path) -> Result<Inherited, FileError> {
        let mut inherited = Inherited::default();
        if let Some(ignore) = self.ignore {
            inherited.ignore = ignore.hides(&self.root, path)?.1;
        }
        Ok(inherited)
    }
}

pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

pub(super) fn is_dir(stat: &Stat) -> bool {
    kind(stat) == FileType::Directory
}
