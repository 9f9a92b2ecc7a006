//! The real BuildKit over its own protocol: Docker Engine socket, `BUILDKIT_HOST`, buildx container.
//!
//! One runtime lives as long as one build; nothing is left running behind it. Dockerfiles are
//! compiled by the engine's own frontend, never here.

use std::{io, sync::Arc, time::Duration};

use super::{
    BuildError, BuildEvent, BuildEvents, BuildPlan, Built, Cancel, Engine,
    dial::Address,
    docker::{DockerEngine, DockerError},
};
use crate::registry::auth::AuthStore;
use turn::Turn;

mod bases;
mod cache;
mod channel;
mod content;
mod expand;
mod export;
mod failure;
mod lint;
pub(crate) mod mirror;
pub(crate) mod names;
mod progress;
mod request;
pub(crate) mod session;
mod solve;
mod source;
mod turn;

/// How long the engine is given to take back what a build changed in it.
const TIDY_TIMEOUT: Duration = Duration::from_mins(1);
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);
/// Interface version of Docker Engine 23, whose frontend knows named contexts.
const CONTEXTS_SINCE: (u32, u32) = (1, 42);

/// A BuildKit that answered.
#[derive(Debug)]
pub struct BuildKit {
    daemon: Daemon,
    auth: Arc<AuthStore>,
}

/// Which kind of daemon holds the BuildKit.
#[derive(Debug, Clone)]
pub(crate) enum Daemon {
    /// inside a Docker Engine
    Docker(DockerEngine),
    /// a daemon of its own
    Alone {
        /// where it listens
        address: Address,
        /// its version; daemons before 0.11 do not say
        version: Option<String>,
    },
}

impl Daemon {
    /// Name and address, as the user should read it.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Docker(engine) => {
                format!(
                    "Docker Engine {} at {}",
                    engine.facts().version,
                    engine.address()
                )
            }
            Self::Alone { address, version } => match version {
                // What a daemon that was built without its release's number says.
                Some(version) if !version.is_empty() && !version.starts_with("v0.0.0") => {
                    format!("BuildKit {version} at {address}")
                }
                _ => format!("BuildKit at {address}"),
            },
        }
    }

    /// It can hand out an image as an OCI archive.
    fn exports_archives(&self) -> bool {
        match self {
            Self::Docker(engine) => engine.facts().containerd_store,
            Self::Alone { .. } => true,
        }
    }

    /// It reads base images from a layout over the session.
    fn reads_layouts(&self) -> bool {
        match self {
            Self::Docker(engine) => engine.facts().containerd_store,
            Self::Alone { version, .. } => version.is_some(),
        }
    }

    /// Its frontend replaces images by named contexts.
    fn knows_contexts(&self) -> bool {
        match self {
            Self::Docker(engine) => engine.facts().api >= CONTEXTS_SINCE,
            Self::Alone { .. } => true,
        }
    }

    /// Its frontend reads here-documents.
    fn knows_heredocs(&self) -> bool {
        self.knows_contexts()
    }
}

impl BuildKit {
    /// The BuildKit inside the Docker Engine at `address`.
    ///
    /// # Errors
    /// When no Docker Engine answers there.
    pub fn in_docker(address: Address, auth: Arc<AuthStore>) -> Result<Self, BuildError> {
        let daemon = Daemon::Docker(DockerEngine::connect(address)?);
        Ok(Self { daemon, auth })
    }

    /// The BuildKit daemon at `address`.
    ///
    /// # Errors
    /// When none answers there.
    pub fn alone(address: Address, auth: Arc<AuthStore>) -> Result<Self, BuildError> {
        let runtime = runtime(&address.to_string())?;
        let version = runtime.block_on(solve::version(&address));
        runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
        let daemon = Daemon::Alone {
            version: version?,
            address,
        };
        Ok(Self { daemon, auth })
    }
}

impl BuildKit {
    /// A turn of its own, for a build that puts stand-ins into the engine's store.
    fn turn(
        &self,
        plan: &BuildPlan,
        events: &mut dyn BuildEvents,
        cancel: &Cancel,
    ) -> Option<Turn> {
        let Daemon::Docker(engine) = &self.daemon else {
            return None;
        };
        let stores = !plan.mirrors.is_empty() && !engine.facts().containerd_store;
        let address = stores.then(|| engine.address().to_string())?;
        Turn::wait(&address, cancel, |note| {
            events.event(BuildEvent::Note(note));
        })
    }
}

impl Engine for BuildKit {
    fn describe(&self) -> String {
        self.daemon.label()
    }

    fn build(
        &self,
        plan: &BuildPlan,
        events: &mut dyn BuildEvents,
        cancel: &Cancel,
    ) -> Result<Built, BuildError> {
        if plan.dump_llb.is_some() {
            return Err(BuildError::Unsupported {
                engine: self.daemon.label(),
                what: "--dump-llb".to_owned(),
                hint: Some("BuildKit makes its graph itself; take --engine embedded".to_owned()),
            });
        }
        let _turn = self.turn(plan, events, cancel);
        let runtime = runtime(&self.daemon.label())?;
        let mut undo = Vec::new();
        let mut build = solve::Build {
            daemon: &self.daemon,
            plan,
            auth: &self.auth,
            events: &mut *events,
            undo: &mut undo,
        };
        let result = runtime.block_on(async {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(BuildError::Interrupted),
                result = build.run() => result,
            }
        });
        if let Daemon::Docker(engine) = &self.daemon {
            let tidy = bases::take_back(engine, undo);
            let notes = runtime.block_on(async { tokio::time::timeout(TIDY_TIMEOUT, tidy).await });
            for note in notes.unwrap_or_default() {
                events.event(BuildEvent::Note(note));
            }
        }
        runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
        result
    }
}

fn runtime(engine: &str) -> Result<tokio::runtime::Runtime, BuildError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("buildkit")
        .enable_all()
        .build()
        .map_err(|source| BuildError::Io {
            what: format!("no threads to talk to {engine}"),
            source,
        })
}

impl From<DockerError> for BuildError {
    fn from(error: DockerError) -> Self {
        match error {
            DockerError::Unreachable { engine, reason } => Self::Engine {
                hint: Some(
                    "see whether the engine runs and this user may use it (`docker info`)"
                        .to_owned(),
                ),
                engine,
                reason,
            },
            DockerError::Refused {
                engine,
                what,
                status,
                message,
            } => Self::Engine {
                engine,
                reason: format!("{what}: {message} (status {status})"),
                hint: None,
            },
            DockerError::Io { path, source } => Self::Io {
                what: path.display().to_string(),
                source,
            },
        }
    }
}

fn io_error(what: impl std::fmt::Display, source: io::Error) -> BuildError {
    BuildError::Io {
        what: what.to_string(),
        source,
    }
}
