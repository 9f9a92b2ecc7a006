//! Why files were not copied.

use std::{io, path::Path};

use super::super::super::dockerignore::PatternError;

/// Why files were not copied. Paths are those of the image or of the context, never of this machine.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// a source that is not there
    #[error("\"{path}\": not found{}", if *.excluded { " (.dockerignore excludes it)" } else { "" })]
    NotFound {
        /// as the Dockerfile has it, from the root of the tree
        path: String,
        /// it is there, but `.dockerignore` hides it
        excluded: bool,
    },
    /// the tree or the Dockerfile does not allow it
    #[error("{0}")]
    Refused(String),
    /// a pattern of `--exclude`, `--parents` or `.dockerignore`
    #[error("{origin}: {fault}")]
    Pattern {
        /// whose
        origin: &'static str,
        /// what is wrong with it
        fault: PatternError,
    },
    /// `--chmod`
    #[error(
        "invalid chmod parameter: '{0}', it should be octal and between 0 and 07777, or symbolic as in u+rwX,go=rX"
    )]
    Mode(String),
    /// an archive of `ADD`
    #[error("unpacking {path}: {reason}")]
    Archive {
        /// the archive
        path: String,
        /// what is wrong with it
        reason: String,
    },
    /// file system
    #[error("{what} {path}: {source}")]
    Io {
        /// what was tried
        what: &'static str,
        /// on what
        path: String,
        /// cause
        #[source]
        source: io::Error,
    },
    /// the user wants to stop
    #[error("interrupted")]
    Interrupted,
}

impl FileError {
    /// An I/O error on a path of a tree.
    pub(super) fn io(what: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io {
            what,
            path: shown(path),
            source: source.into(),
        }
    }
}

/// A path of a tree as messages show it: from its root.
pub(super) fn shown(path: &Path) -> String {
    format!("/{}", path.display().to_string().trim_start_matches('/'))
}
