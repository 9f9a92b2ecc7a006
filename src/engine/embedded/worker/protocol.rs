//! What goes between the engine and its worker: a request and answers one way, events the other, each
//! one line of JSON.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::super::{
    run::wire::Sealed,
    store::{PruneOptions, Pruned},
};
use crate::{
    engine::{BuildError, BuildEvent, BuildPlan, StepFailure, StepState},
    finding::{Finding, Lint, LintLevel, Location},
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
    Event(Event),
    /// there is an image
    Built {
        digest: String,
        engine: String,
        lints: Vec<Said>,
    },
    /// there is none
    Failed(Failure),
    /// the cache was pruned
    Pruned(Pruned),
}

/// A [`BuildEvent`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Event {
    Step {
        id: String,
        name: String,
        state: State,
    },
    Progress {
        id: String,
        label: String,
        current: u64,
        total: u64,
    },
    Log {
        id: String,
        data: String,
        stderr: bool,
    },
    Note(String),
}

/// A [`StepState`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum State {
    Started,
    Cached,
    Done(f64),
    Failed(String),
    Canceled,
}

impl From<BuildEvent> for Event {
    fn from(event: BuildEvent) -> Self {
        match event {
            BuildEvent::Step { id, name, state } => Self::Step {
                id,
                name,
                state: match state {
                    StepState::Started => State::Started,
                    StepState::Cached => State::Cached,
                    StepState::Done(seconds) => State::Done(seconds),
                    StepState::Failed(why) => State::Failed(why),
                    StepState::Canceled => State::Canceled,
                },
            },
            BuildEvent::Progress {
                id,
                label,
                current,
                total,
            } => Self::Progress {
                id,
                label,
                current,
                total,
            },
            BuildEvent::Log { id, data, stderr } => Self::Log {
                id,
                data: BASE64_STANDARD.encode(data),
                stderr,
            },
            BuildEvent::Note(text) => Self::Note(text),
        }
    }
}

impl From<Event> for BuildEvent {
    fn from(event: Event) -> Self {
        match event {
            Event::Step { id, name, state } => Self::Step {
                id,
                name,
                state: match state {
                    State::Started => StepState::Started,
                    State::Cached => StepState::Cached,
                    State::Done(seconds) => StepState::Done(seconds),
                    State::Failed(why) => StepState::Failed(why),
                    State::Canceled => StepState::Canceled,
                },
            },
            Event::Progress {
                id,
                label,
                current,
                total,
            } => Self::Progress {
                id,
                label,
                current,
                total,
            },
            Event::Log { id, data, stderr } => Self::Log {
                id,
                data: BASE64_STANDARD.decode(data).unwrap_or_default(),
                stderr,
            },
            Event::Note(text) => Self::Note(text),
        }
    }
}

/// A [`Lint`] of a Dockerfile.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Said {
    rule: String,
    title: String,
    /// 0 note, 1 warning, 2 error
    level: u8,
    help_uri: Option<String>,
    key: String,
    message: String,
    remedy: Option<String>,
    location: Option<Place>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Place {
    file: String,
    line: u32,
    end_line: u32,
}

impl From<&Location> for Place {
    fn from(location: &Location) -> Self {
        Self {
            file: location.file.clone(),
            line: location.line,
            end_line: location.end_line,
        }
    }
}

impl From<Place> for Location {
    fn from(place: Place) -> Self {
        Self {
            file: place.file,
            line: place.line,
            end_line: place.end_line,
            column: None,
            end_column: None,
        }
    }
}

const LEVELS: [LintLevel; 3] = [LintLevel::Note, LintLevel::Warning, LintLevel::Error];

impl From<&Lint> for Said {
    fn from(lint: &Lint) -> Self {
        let level = LEVELS.iter().position(|&level| level == lint.level);
        Self {
            rule: lint.rule.clone(),
            title: lint.title.clone(),
            level: level
                .and_then(|level| u8::try_from(level).ok())
                .unwrap_or(2),
            help_uri: lint.help_uri.clone(),
            key: lint.finding.key.clone(),
            message: lint.finding.message.clone(),
            remedy: lint.finding.remedy.clone(),
            location: lint.finding.location.as_ref().map(Place::from),
        }
    }
}

impl From<Said> for Lint {
    fn from(said: Said) -> Self {
        let mut finding = Finding::new(said.key, said.message);
        finding.remedy = said.remedy;
        Self {
            rule: said.rule,
            title: said.title,
            level: *LEVELS
                .get(usize::from(said.level))
                .unwrap_or(&LintLevel::Error),
            help_uri: said.help_uri,
            finding: finding.at(said.location.map(Location::from)),
        }
    }
}

/// A [`BuildError`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Failure {
    Dockerfile {
        message: String,
        location: Option<Place>,
        step: Option<String>,
        log: Vec<String>,
        exit_code: Option<i32>,
        lints: Vec<Said>,
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
                location: failure.location.as_ref().map(Place::from),
                step: failure.step,
                log: failure.log,
                exit_code: failure.exit_code,
                lints: failure.lints.iter().map(Said::from).collect(),
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
                lints,
            } => Self::Dockerfile(Box::new(StepFailure {
                message,
                location: location.map(Location::from),
                step,
                log,
                exit_code,
                lints: lints.into_iter().map(Lint::from).collect(),
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
