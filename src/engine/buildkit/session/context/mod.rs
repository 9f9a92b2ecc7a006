//! The files of a build context: which are sent, in which order, with which metadata.
//!
//! Follows `fsutil` (filter, followed links, hard links, Go's file modes) so that the daemon sees
//! what `docker build` would have shown it. Stricter in one thing: a file that changes or goes away
//! on the way is an error here, where `docker build` sends an empty or torn file.

use std::{io, path::PathBuf};

use crate::engine::dockerignore::PatternError;

mod content;
mod filter;
mod links;
mod stat;
mod walk;

pub(super) use content::Content;
pub(super) use filter::Filter;
pub(super) use stat::Source;
pub(super) use walk::walk;

/// Why a context cannot be sent. Paths are relative to it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContextError {
    /// the directory itself
    #[error("context directory {}: {fault}", path.display())]
    Root { path: PathBuf, fault: io::Error },
    /// a pattern
    #[error("{origin}: {fault}")]
    Pattern {
        origin: &'static str,
        fault: PatternError,
    },
    /// reading a file or directory
    #[error("{what} {} of the context: {fault}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        fault: io::Error,
    },
    /// it was another file a moment ago
    #[error("{} {how} while the context was read; build when nothing writes there, or exclude it in .dockerignore", path.display())]
    Changed { path: PathBuf, how: &'static str },
    /// the protocol has no way to say it
    #[error(
        "{what} {path:?} is not UTF-8, which BuildKit's protocol requires; rename it or exclude it in .dockerignore"
    )]
    NotUtf8 { what: &'static str, path: PathBuf },
    /// nobody listens any more
    #[error("transfer cancelled")]
    Cancelled,
}

impl ContextError {
    /// An I/O error on a path that was just seen in its directory.
    fn io(what: &'static str, path: &std::path::Path, fault: io::Error) -> Self {
        let path = path.to_owned();
        match fault.kind() {
            io::ErrorKind::NotFound => Self::Changed {
                path,
                how: "vanished",
            },
            _ => Self::Io { what, path, fault },
        }
    }
}

#[cfg(test)]
mod tests;
