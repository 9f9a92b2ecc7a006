//! One `RUN`, ready to run: what the solver hands to the runner. Paths are real paths of the worker.

use std::path::PathBuf;

use indexmap::IndexMap;

use super::graph::Network;
use crate::secret::Secret;

/// One step.
#[derive(Debug)]
pub struct Step {
    /// root of the tree the command runs in, mounted and writable
    pub root: PathBuf,
    /// complete argument vector
    pub args: Vec<String>,
    /// complete environment, secrets excepted
    pub env: IndexMap<String, String>,
    /// variables that hold secrets
    pub secret_env: IndexMap<String, Secret>,
    /// absolute working directory in the container
    pub cwd: String,
    /// as `USER` says it; looked up in the tree by the runner
    pub user: String,
    /// in order
    pub mounts: Vec<StepMount>,
    /// what the step may reach
    pub network: Network,
    /// lines for /etc/hosts: name → address
    pub add_hosts: IndexMap<String, String>,
    /// name of the machine, when the build gives one
    pub hostname: Option<String>,
}

/// A mount of one step.
#[derive(Debug)]
pub struct StepMount {
    /// absolute path in the container; made for the step when it is not there, and taken away after
    pub target: String,
    /// what is there
    pub what: StepMountKind,
}

/// What a mount shows.
#[derive(Debug)]
pub enum StepMountKind {
    /// a directory or file of this machine
    Bind {
        /// which
        source: PathBuf,
        /// writes are refused
        read_only: bool,
    },
    /// memory
    Tmpfs {
        /// bytes
        size: Option<u64>,
    },
    /// a file with these bytes, in memory alone
    Secret {
        /// content
        content: Secret,
        /// mode
        mode: u32,
        /// owner
        uid: u32,
        /// group
        gid: u32,
    },
    /// the socket of an agent
    Socket {
        /// on this machine
        source: PathBuf,
        /// mode
        mode: u32,
        /// owner
        uid: u32,
        /// group
        gid: u32,
    },
}

/// Runs steps; an implementation isolates as far as the host lets it, and says so.
pub trait Runner: Sync {
    /// One line on the isolation that steps get: `namespaces, overlay`, `chroot (weaker: …)`.
    fn describe(&self) -> String;

    /// Runs a step to its end. Output is handed over as it comes, `true` for standard error.
    ///
    /// # Errors
    /// When the step could not be started, was cancelled, or passed a limit; a command that ends
    /// with another code than 0 is no error.
    fn run(
        &self,
        step: &Step,
        output: &mut dyn FnMut(bool, &[u8]),
        cancel: &super::super::Cancel,
    ) -> Result<Exit, RunError>;
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// by itself
    Code(i32),
    /// by a signal
    Signal(i32),
}

/// Why a step did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// the user wants to stop
    #[error("interrupted")]
    Interrupted,
    /// the Dockerfile's fault: no such user, no such command, a mount that cannot be
    #[error("{0}")]
    Step(String),
    /// a limit was passed
    #[error("{what}")]
    Limit {
        /// which, and how far
        what: String,
    },
    /// this machine's fault
    #[error("{what}")]
    Host {
        /// what was tried
        what: String,
        /// what to do
        hint: Option<String>,
        /// cause
        #[source]
        source: Option<std::io::Error>,
    },
}
