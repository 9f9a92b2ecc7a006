//! What the Dockerfile's sources and `.dockerignore` leave of a context, and what `--parents` and `--exclude` leave of a copy.

use std::{
    fs, io,
    os::fd::{AsFd as _, BorrowedFd},
    path::{Path, PathBuf},
};

use rustix::fs::FileType;

use super::{
    FileError,
    asked::Asked,
    root::{Root, dir_at, names, stat_at},
};
use crate::engine::dockerignore::{self, Matcher, ParentMatches, PatternError};

/// Longer files are refused.
const MAX_IGNORE_FILE: u64 = 8 << 20;

/// The patterns of a `.dockerignore`, and what of the context is asked for at all.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    matcher: Matcher,
    /// no exception has a wildcard before its end, so that a directory off their way has nothing
    literal: bool,
    /// left out whatever the patterns say: what the engine itself keeps in the context
    own: Option<PathBuf>,
    asked: Option<Asked>,
}

/// What the names in a directory inherit.
#[derive(Debug, Clone, Default)]
pub(super) struct Above {
    ignored: ParentMatches,
    asked: Option<ParentMatches>,
}

impl Ignore {
    /// Patterns as [`dockerignore::read`] gives them.
    ///
    /// # Errors
    /// When a pattern is malformed.
    pub fn new<I>(patterns: I) -> Result<Self, PatternError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let matcher = Matcher::new(patterns)?;
        let literal = !matcher
            .patterns()
            .iter()
            .any(|pattern| pattern.is_exception() && pattern.has_inner_wildcard());
        Ok(Self {
            matcher,
            literal,
            own: None,
            asked: None,
        })
    }

    /// `<Dockerfile>.dockerignore`, else `.dockerignore` of the context; `None` when there is
    /// neither, or nothing in it.
    ///
    /// # Errors
    /// When the file cannot be read, or a pattern is malformed.
    pub fn of(dockerfile: &Path, context: &Path) -> Result<Option<Self>, FileError> {
        let mut beside = dockerfile.as_os_str().to_owned();
        beside.push(".dockerignore");
        for path in [PathBuf::from(beside), context.join(".dockerignore")] {
            let io = |source| FileError::Io {
                what: "reading",
                path: path.display().to_string(),
                source,
            };
            let text = match limited(&path) {
                Ok(text) => text,
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => continue,
                Err(fault) => return Err(io(fault)),
            };
            let fail = |fault| FileError::Pattern {
                origin: ".dockerignore",
                fault,
            };
            let lines = dockerignore::read(&text).map_err(fail)?;
            let ignore = Self::new(lines.iter().map(|line| &line.pattern)).map_err(fail)?;
            return Ok((!ignore.matcher.patterns().is_empty()).then_some(ignore));
        }
        Ok(None)
    }

    /// The same, with a path in the context left out whatever the patterns say.
    #[must_use]
    pub fn leaving_out(before: Option<Self>, own: PathBuf) -> Self {
        Self {
            own: Some(own),
            ..before.unwrap_or_default()
        }
    }

    /// The same, and nothing is seen but `paths`: sources as the Dockerfile has them, with what
    /// their links lead to.
    ///
    /// # Errors
    /// When the context cannot be read, or a source is malformed.
    pub fn asked(
        before: Option<Self>,
        context: &Path,
        paths: &[String],
    ) -> Result<Option<Self>, FileError> {
        let Some(asked) = Asked::new(context, paths)? else {
            return Ok(before);
        };
        Ok(Some(Self {
            asked: Some(asked),
            ..before.unwrap_or_default()
        }))
    }

    /// Whether it is `.dockerignore` that hides a path which is hidden.
    pub(super) fn excludes(&self, path: &Path) -> bool {
        let text = path.to_string_lossy();
        self.asked.is_none() || self.matcher.is_match(&text).unwrap_or(true)
    }

    /// Whether a name in a directory is to be seen; what its own names inherit.
    pub(super) fn judge(
        &self,
        directory: BorrowedFd<'_>,
        path: &Path,
        is_dir: bool,
        above: Option<&Above>,
    ) -> Result<(bool, Above), FileError> {
        if self.own.as_deref() == Some(path) {
            return Ok((false, Above::default()));
        }
        let text = path.to_string_lossy();
        let (ignored, below) = self
            .matcher
            .step(&text, above.map(|above| &above.ignored))
            .map_err(|fault| FileError::Pattern {
                origin: ".dockerignore",
                fault,
            })?;
        let mut matches = Above {
            ignored: below,
            asked: None,
        };
        let (mut asked, mut leads) = (true, !ignored || self.leads_below(&text));
        if let Some(side) = &self.asked {
            let (hit, below) = side.step(&text, above.and_then(|above| above.asked.as_ref()))?;
            matches.asked = Some(below);
            asked = hit;
            leads = leads && (hit || side.leads_below(&text));
        }
        if asked && !ignored {
            return Ok((true, matches));
        }
        if !is_dir || !leads {
            return Ok((false, matches));
        }
        // Such a directory is there for the sake of what is in it.
        let Some(name) = path.file_name() else {
            return Ok((true, matches));
        };
        let fail = |fault: rustix::io::Errno| FileError::io("reading", path, fault);
        let opened = dir_at(directory, name).map_err(fail)?;
        for name in names(opened.as_fd()).map_err(fail)? {
            let Some(stat) = stat_at(opened.as_fd(), &name).map_err(fail)? else {
                continue;
            };
            let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let below = path.join(&name);
            if self
                .judge(opened.as_fd(), &below, is_dir, Some(&matches))?
                .0
            {
                return Ok((true, matches));
            }
        }
        Ok((false, matches))
    }

    fn leads_below(&self, path: &str) -> bool {
        let exceptions = || {
            self.matcher
                .patterns()
                .iter()
                .filter(|pattern| pattern.is_exception())
        };
        !self.literal
            || exceptions().any(|pattern| {
                pattern
                    .base()
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    }

    /// Whether a path without links is hidden, itself or by a directory above it; and what is
    /// inherited below it.
    pub(super) fn hides(
        &self,
        root: &Root,
        path: &Path,
    ) -> Result<(bool, Option<Above>), FileError> {
        let mut above: Option<Above> = None;
        let mut done = PathBuf::new();
        for part in path.components() {
            let parent = root.dir(&done)?;
            done.push(part);
            let Some(stat) = stat_at(parent.as_fd(), part.as_os_str())
                .map_err(|fault| FileError::io("reading", &done, fault))?
            else {
                return Ok((false, None));
            };
            let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let (seen, matches) = self.judge(parent.as_fd(), &done, is_dir, above.as_ref())?;
            if !seen {
                return Ok((true, None));
            }
            above = Some(matches);
        }
        Ok((false, above))
    }
}

fn limited(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let mut text = Vec::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "the engine reads the files of the build"
    )]
    let file = fs::File::open(path)?;
    file.take(MAX_IGNORE_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_IGNORE_FILE {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("longer than {MAX_IGNORE_FILE} bytes"),
        ));
    }
    Ok(text)
}

/// `--parents` (what is wanted) and `--exclude` (what is not); paths are relative to the source.
#[derive(Debug, Default)]
pub(super) struct Filter {
    include: Option<Matcher>,
    exclude: Option<Matcher>,
    exceptions: bool,
}

/// What names below a directory inherit.
#[derive(Debug, Default, Clone)]
pub(super) struct Inherited {
    include: Option<ParentMatches>,
    exclude: Option<ParentMatches>,
    pub(super) ignore: Option<Above>,
}

/// What a filter says to one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// copy it
    Copy,
    /// not itself, but look below
    Below,
    /// not itself, and nothing below
    Skip,
}

impl Filter {
    pub(super) fn new(include: Option<&str>, exclude: &[String]) -> Result<Self, FileError> {
        let matcher = |patterns: &[&str], origin| {
            Matcher::new(patterns).map_err(|fault| FileError::Pattern { origin, fault })
        };
        let include = include
            .map(|one| matcher(&[one], "--parents"))
            .transpose()?;
        let patterns: Vec<_> = exclude.iter().map(String::as_str).collect();
        let exclude = (!patterns.is_empty())
            .then(|| matcher(&patterns, "--exclude"))
            .transpose()?;
        let exceptions = exclude.as_ref().is_some_and(|side| {
            side.patterns()
                .iter()
                .any(dockerignore::Pattern::is_exception)
        });
        Ok(Self {
            include,
            exclude,
            exceptions,
        })
    }

    /// Whether it says anything.
    pub(super) fn speaks(&self) -> bool {
        self.include.is_some() || self.exclude.is_some()
    }

    pub(super) fn judge(
        &self,
        path: &Path,
        above: &Inherited,
    ) -> Result<(Judgement, Inherited), FileError> {
        let text = path.to_string_lossy();
        let mut below = Inherited::default();
        let mut wanted = true;
        let mut excluded = false;
        if let Some(side) = &self.include {
            let (hit, matches) =
                side.step(&text, above.include.as_ref())
                    .map_err(|fault| FileError::Pattern {
                        origin: "--parents",
                        fault,
                    })?;
            below.include = Some(matches);
            wanted = hit;
        }
        if let Some(side) = &self.exclude {
            let (hit, matches) =
                side.step(&text, above.exclude.as_ref())
                    .map_err(|fault| FileError::Pattern {
                        origin: "--exclude",
                        fault,
                    })?;
            below.exclude = Some(matches);
            excluded = hit;
        }
        let judgement = match (wanted && !excluded, excluded && !self.exceptions) {
            (true, _) => Judgement::Copy,
            (false, true) => Judgement::Skip,
            (false, false) => Judgement::Below,
        };
        Ok((judgement, below))
    }
}
