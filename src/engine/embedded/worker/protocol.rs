//! What goes between the engine and its worker: a request and answers one way, events the other, each
//! one line of JSON.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::super::{
    run::wire::Sealed,
    store::{PruneOptions, Pruned},
};
use crate::{
    engine::{BuildError, BuildEvent, BuildPlan, StepFailure},
    finding::Location,
    oci::Digest,
    registry::auth::Login,
};

/// Longest line either way, in bytes.
pub(super) const LONGEST: usize = 64 << 20;

/// What is to be built, and how registries are talked to.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) plan: BuildPlan,
    pub(super) secrets: IndexMap<String, Sealed>,
    /// registries that may be used without TLS
    pub(super) insecure: Vec<String>,
    /// PEM certificates to trust besides the system's
    pub(super) extra_roots: Vec<Vec<u8>>,
    /// namespaces are had
    pub(super) namespaces: bool,
    /// why not, or what is weaker
    pub(super) note: Option<String>,
    /// nothing is built: the cache directory of the plan is pruned
    pub(super) prune: Option<Prune>,
}

/// What may stay in a cache directory.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Prune {
    pub(super) options: PruneOptions,
    /// seconds since 1970
    pub(super) now: i64,
}

/// From the engine, after the request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// the login that was asked for
    Login(Result<Option<SealedLogin>, String>),
}

/// A login on its way to the worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum SealedLogin {
    Basic { username: String, password: Sealed },
    IdentityToken(Sealed),
}

impl From<Login> for SealedLogin {
    fn from(login: Login) -> Self {
        match login {
            Login::Basic { username, password } => Self::Basic {
                username,
                password: Sealed(password),
            },
            Login::IdentityToken(token) => Self::IdentityToken(Sealed(token)),
        }
    }
}

impl From<SealedLogin> for Login {
    fn from(login: SealedLogin) -> Self {
        match login {
            SealedLogin::Basic { username, password } => Self::Basic {
                username,
                password: password.0,
            },
            SealedLogin::IdentityToken(token) => Self::IdentityToken(token.0),
        }
    }
}

/// From setup, init and worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    /// setup is in a user namespace that has no ids yet
    Map,
    /// the kernel refused a namespace or a mount
    Refused { what: String, errno: i32 },
    /// the worker reads its request
    Ready,
    /// who logs in there?
    Login {
        registry: String,
        repository: Option<String>,
    },
    /// something happened
    Event(BuildEvent),
    /// there is an image
    Built { digest: Digest, engine: String },
    /// there is none
    Failed(Failure),
    /// the cache was pruned
    Pruned(Pruned),
}

/// A [`BuildError`]; this engine has no build checks to tell.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Failure {
    Dockerfile {
        message: String,
        location: Option<Location>,
        step: Option<String>,
        log: Vec<String>,
        exit_code: Option<i32>,
    },
    Engine {
        engine: String,
        reason: String,
        hint: Option<String>,
    },
    Unsupported {
        engine: String,
        what: String,
        hint: Option<String>,
    },
    Interrupted,
    Io {
        what: String,
        errno: Option<i32>,
        text: String,
    },
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Dockerfile(failure) => Self::Dockerfile {
                message: failure.message,
                location: failure.location,
                step: failure.step,
                log: failure.log,
                exit_code: failure.exit_code,
            },
            BuildError::Engine {
                engine,
                reason,
                hint,
            } => Self::Engine {
                engine,
                reason,
                hint,
            },
            BuildError::Unsupported { engine, what, hint } => {
                Self::Unsupported { engine, what, hint }
            }
            BuildError::Interrupted => Self::Interrupted,
            BuildError::Io { what, source } => Self::Io {
                what,
                errno: source.raw_os_error(),
                text: source.to_string(),
            },
        }
    }
}

impl From<Failure> for BuildError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Dockerfile {
                message,
                location,
                step,
                log,
                exit_code,
            } => Self::Dockerfile(Box::new(StepFailure {
                message,
                location,
                step,
                log,
                exit_code,
                lints: Vec::new(),
            })),
            Failure::Engine {
                engine,
                reason,
                hint,
            } => Self::Engine {
                engine,
                reason,
                hint,
            },
            Failure::Unsupported { engine, what, hint } => Self::Unsupported { engine, what, hint },
            Failure::Interrupted => Self::Interrupted,
            Failure::Io { what, errno, text } => Self::Io {
                what,
                source: errno.map_or_else(
                    || std::io::Error::other(text),
                    std::io::Error::from_raw_os_error,
                ),
            },
        }
    }
}
