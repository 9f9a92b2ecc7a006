//! Engines: Dockerfile in, OCI layout out.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{
    finding::Location,
    inventory::LayerMemory,
    oci::{Digest, Platform},
    report::Lint,
    secret::Secret,
};

pub mod buildkit;
mod connect;
pub mod dial;
pub mod docker;
pub mod dockerignore;
pub mod embedded;
mod log_bytes;
mod select;
mod ssh_keys;
mod xattrs;

pub use connect::connect;
pub use select::{EngineChoice, EngineEnvironment, Place, docker_address, place};
pub use ssh_keys::{KeyAgents, serve_keys};

/// Everything a build needs; paths are absolute and were checked to lie where they may.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct BuildPlan {
    /// repository root
    pub root: PathBuf,
    /// top of the checkout, which holds the root and which locations are relative to; the root when
    /// empty
    pub checkout: PathBuf,
    /// context directory
    pub context: PathBuf,
    /// Dockerfile
    pub dockerfile: PathBuf,
    /// stage to build; the last when absent
    pub target: Option<String>,
    /// `ARG` values
    pub args: IndexMap<String, String>,
    /// labels put on top of the Dockerfile's
    pub labels: IndexMap<String, String>,
    /// platforms; the engine's own when empty
    pub platforms: Vec<Platform>,
    /// `--mount=type=secret` values by id; they travel on their own
    #[serde(skip)]
    pub secrets: IndexMap<String, Secret>,
    /// ssh agents or keys by id (`default`): socket path, or key file
    pub ssh: IndexMap<String, PathBuf>,
    /// `default`, `none` or `host`
    pub network: Option<String>,
    /// ignore the cache
    pub no_cache: bool,
    /// look up every base image anew
    pub pull: bool,
    /// cache sources, in buildx's words (`type=registry,ref=…` or a reference)
    pub cache_from: Vec<String>,
    /// cache targets, in buildx's words
    pub cache_to: Vec<String>,
    /// base images to take from elsewhere: reference (or prefix of one) as the Dockerfile writes it
    /// → `oci:DIR[:TAG]` or another reference (or prefix)
    pub mirrors: IndexMap<String, String>,
    /// host name → address
    pub add_hosts: IndexMap<String, String>,
    /// seconds since 1970 for reproducible timestamps
    pub source_date_epoch: Option<i64>,
    /// names to give the image (`name` of the exporter)
    pub names: Vec<String>,
    /// use the daemon's own frontend even when the Dockerfile has a `# syntax` line (air gap)
    pub ignore_syntax: bool,
    /// directory that becomes the OCI layout
    pub output: PathBuf,
    /// directory of the embedded engine's cache; the user's cache directory when empty
    pub cache_dir: PathBuf,
    /// bounds on each step of the embedded engine
    pub limits: Limits,
    /// file for the graph in `BuildKit`'s LLB; of the embedded engine alone
    pub dump_llb: Option<PathBuf>,
}

impl BuildPlan {
    /// What locations are relative to.
    pub fn top(&self) -> &Path {
        if self.checkout.as_os_str().is_empty() {
            &self.root
        } else {
            &self.checkout
        }
    }
}

/// Bounds on one step; none unless set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// bytes of memory
    pub memory: Option<u64>,
    /// processes and threads at once
    pub pids: Option<u64>,
    /// how long it may run
    pub timeout: Option<Duration>,
    /// bytes that it may write into the image
    pub disk: Option<u64>,
}

/// What happens during a build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum BuildEvent {
    /// a step started, ended, or was found in the cache; `id` is stable within a build
    Step {
        /// vertex digest
        id: String,
        /// as the engine words it: `[build 2/5] RUN make`
        name: String,
        /// state
        state: StepState,
    },
    /// bytes done of a transfer within a step
    Progress {
        /// vertex digest
        id: String,
        /// what is transferred
        label: String,
        /// units done
        current: u64,
        /// units in all, 0 when unknown
        total: u64,
    },
    /// output of a step, unfiltered
    Log {
        /// vertex digest
        id: String,
        /// raw bytes
        #[serde(with = "log_bytes")]
        data: Vec<u8>,
        /// it came on standard error
        stderr: bool,
    },
    /// something the user should know: which engine, a fallback taken
    Note(String),
}

/// State of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum StepState {
    /// runs
    Started,
    /// taken from the cache
    Cached,
    /// done after so many seconds
    Done(f64),
    /// failed, in the engine's words
    Failed(String),
    /// stopped because something else failed
    Canceled,
}

/// Receives [`BuildEvent`]s as they happen.
pub trait BuildEvents: Send {
    /// one event
    fn event(&mut self, event: BuildEvent);
}

/// What a build made.
#[derive(Debug, Clone)]
pub struct Built {
    /// the OCI layout
    pub layout: PathBuf,
    /// digest of the manifest, or of the index for several platforms: what later gets pushed
    pub digest: Digest,
    /// engine and version, as the user should read it
    pub engine: String,
    /// build checks
    pub lints: Vec<Lint>,
}

/// The instruction that failed, and how.
#[derive(Debug, Clone, Default)]
pub struct StepFailure {
    /// the engine's words
    pub message: String,
    /// the instruction
    pub location: Option<Location>,
    /// the step's name
    pub step: Option<String>,
    /// last lines of its output
    pub log: Vec<String>,
    /// exit code of the command that failed
    pub exit_code: Option<i32>,
    /// build checks seen until then
    pub lints: Vec<Lint>,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// the user's Dockerfile failed: exit code 3
    #[error("build failed: {}", .0.message)]
    Dockerfile(Box<StepFailure>),
    /// no engine, or it went away
    #[error("{engine}: {reason}")]
    Engine {
        /// address
        engine: String,
        /// what was tried and how it went
        reason: String,
        /// what to do
        hint: Option<String>,
    },
    /// the engine cannot do what was asked
    #[error("{engine} does not support {what}")]
    Unsupported {
        /// address and version
        engine: String,
        /// which option
        what: String,
        /// what to do
        hint: Option<String>,
    },
    /// stopped by the user
    #[error("build interrupted")]
    Interrupted,
    /// local files
    #[error("{what}")]
    Io {
        /// path
        what: String,
        /// cause
        #[source]
        source: std::io::Error,
    },
}

/// Asked by adapters whether the user wants to stop; cheap to clone.
pub type Cancel = tokio_util::sync::CancellationToken;

/// Turns a Dockerfile into an image.
pub trait Engine {
    /// name for messages
    fn describe(&self) -> String;
    /// builds; blocks until done or cancelled
    fn build(
        &self,
        plan: &BuildPlan,
        events: &mut dyn BuildEvents,
        cancel: &Cancel,
    ) -> Result<Built, BuildError>;
    /// what it noted of the layers that it made, for a scan of what was built
    fn memory(&self, _plan: &BuildPlan) -> Option<Arc<dyn LayerMemory>> {
        None
    }
}
