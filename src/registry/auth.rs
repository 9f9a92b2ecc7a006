//! Credentials for a registry from the files and helpers that docker and podman use.
//!
//! Reads and writes files that `config` found; never the environment.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use crate::secret::Secret;

mod file;
mod helper;
mod scope;
mod store;

pub use store::Kept;

use file::AuthFile;
use helper::Helpers;
use scope::Scope;

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

/// Why a login could not be had. No variant carries a value from a file.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// the file is there but cannot be read
    #[error("login file {}: {fault}", file.display())]
    Unreadable {
        /// which
        file: PathBuf,
        /// cause
        fault: std::io::Error,
    },
    /// it cannot be replaced
    #[error("login file {} cannot be written: {fault}", file.display())]
    Unwritable {
        /// which
        file: PathBuf,
        /// cause
        fault: std::io::Error,
    },
    /// larger than any login file
    #[error("login file {} is larger than {limit} bytes", file.display())]
    TooLarge {
        /// which
        file: PathBuf,
        /// in bytes
        limit: u64,
    },
    /// not JSON, or of another shape
    #[error("login file {}, line {line}, column {column}: {fault}", file.display())]
    Json {
        /// which
        file: PathBuf,
        /// 1-based
        line: usize,
        /// 1-based
        column: usize,
        /// not JSON at all, or JSON of another shape
        fault: &'static str,
    },
    /// an entry that makes no sense
    #[error("login file {}: entry for `{key}` {fault}", file.display())]
    Entry {
        /// which
        file: PathBuf,
        /// registry, as written
        key: String,
        /// what is wrong with it
        fault: &'static str,
    },
    /// the helper did not answer as it should
    #[error("credential helper `{helper}` for {registry}: {fault}")]
    Helper {
        /// program
        helper: String,
        /// whose login was asked for
        registry: String,
        /// what happened
        fault: String,
    },
    /// who was asked has no answer
    #[error("login for {registry}: {fault}")]
    Asked {
        /// whose login was asked for
        registry: String,
        /// in their words
        fault: String,
    },
}

/// Logins of docker's `config.json` and podman's `auth.json`. Built once by `config`, asked by all.
#[derive(Debug, Clone, Default)]
pub struct AuthStore {
    given: Vec<(Scope, Login)>,
    files: Vec<AuthFile>,
    helpers: Helpers,
    source: Option<Source>,
}

/// Asks somebody else for the login of a registry, and of a repository in it.
pub type AskLogin = dyn Fn(&str, Option<&str>) -> Result<Option<Login>, String> + Send + Sync;

#[derive(Clone)]
struct Source(Arc<AskLogin>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl AuthStore {
    /// No logins at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a login that goes before all files; `scope` is `registry` or `registry/namespace`.
    #[must_use]
    pub fn with_login(mut self, scope: &str, login: Login) -> Self {
        self.given.push((Scope::parse(scope), login));
        self
    }

    /// Adds a file that must exist; files are asked in the order they were added.
    pub fn with_file(mut self, path: impl Into<PathBuf>) -> Result<Self, AuthError> {
        self.files.push(AuthFile::read(path.into())?);
        Ok(self)
    }

    /// Adds one of the places where docker and podman keep logins; it need not exist.
    pub fn with_file_if_present(self, path: impl Into<PathBuf>) -> Result<Self, AuthError> {
        match self.clone().with_file(path) {
            Err(AuthError::Unreadable { fault, .. })
                if fault.kind() == std::io::ErrorKind::NotFound =>
            {
                Ok(self)
            }
            outcome => outcome,
        }
    }

    /// Directories that are searched for `docker-credential-*`; without, the system's own search.
    #[must_use]
    pub fn with_helper_dirs(mut self, dirs: Vec<PathBuf>) -> Self {
        self.helpers.dirs = dirs;
        self
    }

    /// How long a helper may take; 60 s by default.
    #[must_use]
    pub fn with_helper_limit(mut self, limit: Duration) -> Self {
        self.helpers.limit = limit;
        self
    }

    /// Asks `source` for what neither the given logins nor the files know.
    #[must_use]
    pub fn with_source(mut self, source: Arc<AskLogin>) -> Self {
        self.source = Some(Source(source));
        self
    }

    /// The login for `registry` (host and port), for `repository` in it when known. The most
    /// specific entry of the first file that has one; blocks while a helper runs.
    pub fn login_for(
        &self,
        registry: &str,
        repository: Option<&str>,
    ) -> Result<Option<Login>, AuthError> {
        let wanted = Scope::new(registry, repository);
        let given = self.given.iter().filter(|(scope, _)| scope.covers(&wanted));
        if let Some((_, login)) = given.max_by_key(|(scope, _)| scope.depth()) {
            return Ok(Some(login.clone()));
        }
        for file in &self.files {
            if let Some(login) = file.login_for(&wanted, &self.helpers)? {
                return Ok(Some(login));
            }
        }
        let Some(Source(source)) = &self.source else {
            return Ok(None);
        };
        source(registry, repository).map_err(|fault| AuthError::Asked {
            registry: registry.to_owned(),
            fault,
        })
    }

    /// Namespaces and repositories of `registry` with a login of their own, each once.
    pub fn namespaces(&self, registry: &str) -> Vec<String> {
        let wanted = Scope::new(registry, None);
        let scopes = self.given.iter().map(|(scope, _)| scope.clone());
        let scopes = scopes.chain(self.files.iter().flat_map(AuthFile::scopes));
        let mut paths: Vec<String> = scopes.filter_map(|scope| scope.path_in(&wanted)).collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}

#[cfg(test)]
mod tests;
