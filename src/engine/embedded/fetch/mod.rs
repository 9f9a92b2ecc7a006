//! Sources of `ADD` that are not on this machine: a file from HTTP(S), a checkout of a repository.
//! Each becomes a tree in an empty directory. What is copied from it, and where to, is `files`'.

mod environment;
mod git;
mod http;
mod refs;

use std::path::PathBuf;

pub use self::{
    git::{commit, git},
    http::http,
};
use crate::{engine::Cancel, registry::RegistryOptions};

/// How sources are fetched.
#[derive(Debug, Clone, Default)]
pub struct FetchOptions {
    /// proxies, certificates, time limits and tries, as for registries
    pub http: RegistryOptions,
    /// directory for what servers call unchanged; nothing is kept without one
    pub cache: Option<PathBuf>,
    /// bytes that one file may have; 0 for no limit
    pub max_bytes: u64,
    /// socket of the ssh agent for `git@…` and `ssh://…`
    pub ssh_agent: Option<PathBuf>,
    /// `PATH` that git and ssh are looked up in; this process's own when absent
    pub path: Option<String>,
    /// ends the transfer soon after it is cancelled
    pub cancel: Cancel,
}

/// Why a source could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// the server, or the way to it
    #[error("{what}: {reason}")]
    Remote {
        /// address, credentials taken out
        what: String,
        /// how it went
        reason: String,
    },
    /// it is not what the Dockerfile says
    #[error("digest mismatch of {what}: expected {expected}, got {actual}")]
    Checksum {
        /// address
        what: String,
        /// `--checksum`
        expected: String,
        /// what came
        actual: String,
    },
    /// the source is asked for in a way that is not supported
    #[error("{what}: {reason}")]
    Refused {
        /// address
        what: String,
        /// why
        reason: String,
    },
    /// a program that is not there
    #[error(
        "{what} needs git, which is not installed; install git, or copy the files instead of ADD"
    )]
    NoGit {
        /// address
        what: String,
    },
    /// local files
    #[error("{what}: {source}")]
    Io {
        /// what was tried
        what: String,
        /// cause
        #[source]
        source: std::io::Error,
    },
    /// the user wants to stop
    #[error("interrupted")]
    Interrupted,
}

impl FetchError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }
}

/// An address as it may be shown.
fn redacted(address: &str) -> String {
    match url::Url::parse(address) {
        Ok(mut url) if url.password().is_some() || !url.username().is_empty() => {
            if url.password().is_some() {
                let _ = url.set_password(Some("xxxxx"));
            }
            url.to_string()
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests;
