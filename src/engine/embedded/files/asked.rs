//! What a Dockerfile asks the context for: `BuildKit` is sent no more than that, and so a directory in
//! which a wildcard matches nothing is not there.

use std::{
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use super::{
    FileError,
    root::{Root, names},
};
use crate::engine::dockerignore::{Links, Matcher, ParentMatches, follow_links, has_wildcard};

/// Paths and patterns, links followed.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    matcher: Matcher,
}

impl Asked {
    /// `paths` are sources as the Dockerfile has them; `None` when they are the whole context.
    pub(super) fn new(context: &Path, paths: &[String]) -> Result<Option<Self>, FileError> {
        let Some(patterns) = follow_links(&Root::open(context)?, paths)? else {
            return Ok(None);
        };
        let matcher = Matcher::new(patterns).map_err(pattern)?;
        Ok(Some(Self { matcher }))
    }

    pub(super) fn step(
        &self,
        path: &str,
        above: Option<&ParentMatches>,
    ) -> Result<(bool, ParentMatches), FileError> {
        self.matcher.step(path, above).map_err(pattern)
    }

    /// Whether something below a directory may be asked for.
    pub(super) fn leads_below(&self, path: &str) -> bool {
        self.matcher
            .patterns()
            .iter()
            .any(|pattern| leads(pattern.text(), path))
    }
}

fn leads(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('/');
    for name in path.split('/') {
        match parts.next() {
            Some(part) if has_wildcard(part) || part.contains('\\') => return true,
            Some(part) if part == name => {}
            _ => return false,
        }
    }
    parts.next().is_some()
}

fn pattern(fault: crate::engine::dockerignore::PatternError) -> FileError {
    FileError::Pattern {
        origin: "what is copied from the context",
        fault,
    }
}

fn is_absent(fault: &FileError) -> bool {
    matches!(fault, FileError::Io { source, .. }
        if [Errno::NOENT, Errno::NOTDIR, Errno::LOOP]
            .iter()
            .any(|absent| source.raw_os_error() == Some(absent.raw_os_error())))
}

impl Links for Root {
    type Error = FileError;

    fn target(&self, path: &str) -> Result<Option<String>, FileError> {
        let path = PathBuf::from(path);
        let directory = match self.dir(path.parent().unwrap_or(Path::new(""))) {
            Ok(directory) => directory,
            Err(fault) if is_absent(&fault) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let name = path.file_name().unwrap_or_default();
        match rustix::fs::readlinkat(directory.as_fd(), name, Vec::new()) {
            Ok(target) => Ok(Some(target.to_string_lossy().into_owned())),
            Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => Ok(None),
            Err(fault) => Err(FileError::io("reading link", &path, fault)),
        }
    }

    fn names(&self, directory: &str) -> Result<Vec<String>, FileError> {
        let path = Path::new(directory);
        let opened = match self.dir(path) {
            Ok(opened) => opened,
            Err(fault) if is_absent(&fault) => return Ok(Vec::new()),
            Err(fault) => return Err(fault),
        };
        let listed =
            names(opened.as_fd()).map_err(|fault| FileError::io("listing", path, fault))?;
        // A name that is not text cannot be asked for by a pattern.
        let text = listed
            .into_iter()
            .filter_map(|name| name.into_string().ok());
        Ok(text.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::leads;

    #[test]
    fn a_directory_leads_below_when_a_pattern_goes_on() {
        for (pattern, path, want) in [
            ("a/b/c", "a", true),
            ("a/b/c", "a/b", true),
            ("a/b/c", "a/b/c", false),
            ("a/b/c", "a/x", false),
            ("a*/c", "x", true),
            ("a/*/c", "a/x", true),
            ("a/*/c", "b/x", false),
            ("a/*", "a", true),
            ("d[^a]x", "d", true),
            ("**/x", "d/e", true),
        ] {
            assert_eq!(leads(pattern, path), want, "{pattern} {path}");
        }
    }
}
