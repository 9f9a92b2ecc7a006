//! Runs steps: [`StepRunner`] is the engine's [`Runner`].
//!
//! With namespaces a step is a container of `libcontainer`, made by a process of its own ([`step`]):
//! mount, pid, ipc and uts namespaces, docker's capabilities and masked paths, the host's network or
//! none. Without (an unprivileged container) it is a `chroot` ([`plain`]). In both the tree is left as
//! the command left it: mount points made for the step are taken away ([`mount_points`]).
//!
//! No seccomp filter: docker's default one speaks of several architectures at once (a 32-bit program
//! in a 64-bit image), for which there is libseccomp, a C library, and nothing else. No cgroup file
//! system in the step.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use indexmap::IndexMap;

use super::{
    graph::Network,
    step::{Exit, RunError, Runner, Step},
};
use crate::engine::{Cancel, Limits};
use drive::Overseer;
use limits::Watch;
use ready::Ready;
use wire::{Sealed, Task, TaskMount};

mod agent;
mod cgroup;
pub(super) mod devices;
mod drive;
mod limits;
mod mount_points;
mod places;
pub(super) mod plain;
mod processes;
mod ready;
mod spec;
pub(super) mod step;
mod user;
pub(super) mod wire;

/// How steps are kept apart from the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// namespaces of their own
    Namespaces,
    /// another root directory, and no more
    Chroot,
}

/// Runs steps as far apart from the machine as it lets them.
#[derive(Debug)]
pub struct StepRunner {
    isolation: Isolation,
    /// said after the isolation: `overlay`, `copies: …`
    words: String,
    /// private to this process
    scratch: PathBuf,
    limits: Limits,
    binary: PathBuf,
    network: Network,
    open_files: Option<(u64, u64)>,
    counter: AtomicU64,
}

impl StepRunner {
    /// A runner that keeps files of steps below `scratch`, a directory of this process alone, in memory
    /// where that can be: secrets are put there.
    pub fn new(isolation: Isolation, scratch: PathBuf, limits: Limits) -> Self {
        Self {
            isolation,
            words: String::new(),
            scratch,
            limits,
            binary: PathBuf::from("/proc/self/exe"),
            network: Network::Host,
            open_files: None,
            counter: AtomicU64::new(0),
        }
    }

    /// What to say of snapshots.
    #[must_use]
    pub fn with_words(mut self, words: String) -> Self {
        self.words = words;
        self
    }

    /// The binary that becomes the step process; this one when not set.
    #[must_use]
    pub fn with_binary(mut self, binary: PathBuf) -> Self {
        self.binary = binary;
        self
    }

    /// Network of steps that ask for none in particular.
    #[must_use]
    pub fn with_network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// Open files of a step, soft and hard limit; this process's own when not set.
    #[must_use]
    pub fn with_open_files(mut self, limits: Option<(u64, u64)>) -> Self {
        self.open_files = limits;
        self
    }

    /// A limit that this machine cannot hold, in words.
    pub fn unheld(&self) -> Option<String> {
        let memory = Limits {
            pids: None,
            ..self.limits
        };
        memory.memory?;
        let held = cgroup::Group::make(&memory, &token()).is_some();
        (!held).then(|| {
            "build.limits.memory cannot be held here: no control group can be made".to_owned()
        })
    }
}

impl Runner for StepRunner {
    fn describe(&self) -> String {
        let words = Some(self.words.as_str()).filter(|words| !words.is_empty());
        let isolation = match self.isolation {
            Isolation::Namespaces => "namespaces",
            Isolation::Chroot => {
                "chroot (weaker: steps see this machine's processes and network, and no /proc)"
            }
        };
        let parts: Vec<&str> = [Some(isolation), words].into_iter().flatten().collect();
        parts.join(", ")
    }

    fn run(
        &self,
        step: &Step,
        output: &mut dyn FnMut(bool, &[u8]),
        cancel: &Cancel,
    ) -> Result<Exit, RunError> {
        if cancel.is_cancelled() {
            return Err(RunError::Interrupted);
        }
        let network = match step.network {
            Network::Default => self.network,
            other => other,
        };
        let alone = network == Network::None;
        if alone && self.isolation == Isolation::Chroot {
            return Err(RunError::Step(
                "network none cannot be had without namespaces".to_owned(),
            ));
        }
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let scratch = Scratch::new(&self.scratch, number)?;
        let mut ready = Ready::new(step, self.isolation, &scratch.0)?;
        let outcome = ready
            .prepare(step)
            .and_then(|mounts| self.task(step, &scratch.0, mounts, alone))
            .and_then(|task| self.start(&task, output, cancel));
        let tidied = ready.tidy();
        let exit = outcome?;
        tidied.map(|()| exit)
    }
}

impl StepRunner {
    fn task(
        &self,
        step: &Step,
        scratch: &Path,
        mounts: Vec<TaskMount>,
        alone: bool,
    ) -> Result<Task, RunError> {
        let identity = user::identity(&step.root, &step.user)?;
        let (uid, gid) = (identity.uid, identity.gid);
        if !spec::mapped(uid, gid) {
            return Err(RunError::Host {
                what: format!("no id here for the user {uid}:{gid} that the step runs as"),
                hint: Some(
                    "give this user more ids in /etc/subuid and /etc/subgid (and install \
                     newuidmap, package uidmap), or build as root"
                        .to_owned(),
                ),
                source: None,
            });
        }
        let mut env: IndexMap<String, String> = step.env.clone();
        if !step.secret_env.contains_key("HOME") {
            env.entry("HOME".to_owned()).or_insert(identity.home);
        }
        let secrets = step.secret_env.iter();
        Ok(Task {
            root: step.root.clone(),
            scratch: scratch.to_owned(),
            args: step.args.clone(),
            env: env.into_iter().collect(),
            secret_env: secrets
                .map(|(name, value)| (name.clone(), Sealed(value.clone())))
                .collect(),
            cwd: step.cwd.clone(),
            uid: identity.uid,
            gid: identity.gid,
            groups: with_own(identity.gid, identity.groups),
            mounts,
            alone,
            file_size: self.limits.disk,
            open_files: self.open_files,
            hostname: step.hostname.clone(),
        })
    }

    fn start(
        &self,
        task: &Task,
        output: &mut dyn FnMut(bool, &[u8]),
        cancel: &Cancel,
    ) -> Result<Exit, RunError> {
        let role = match self.isolation {
            Isolation::Namespaces => super::worker::STEP,
            Isolation::Chroot => super::worker::PLAIN_STEP,
        };
        let overseer = Overseer {
            binary: &self.binary,
            role,
            timeout: self.limits.timeout,
            watch: Watch::new(self.limits, &task.root, &token()),
            cancel,
        };
        overseer.run(task, output)
    }
}

/// A name that nobody else has.
fn token() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    format!("{:016x}", RandomState::new().hash_one(0_u8))
}

/// A directory of one step, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(parent: &Path, number: u64) -> Result<Self, RunError> {
        let path = parent.join(format!("step-{number}"));
        let made = fs::create_dir_all(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o711)));
        made.map_err(|source| host(&path, source))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn host(path: &Path, source: io::Error) -> RunError {
    RunError::Host {
        what: path.display().to_string(),
        hint: None,
        source: Some(source),
    }
}

/// `BuildKit` gives a process its own group among the additional ones, too. Where the kernel lets
/// nobody set additional groups (one user id, given without `newgidmap`) there are none.
fn with_own(gid: u32, mut groups: Vec<u32>) -> Vec<u32> {
    if groups_are_fixed() {
        return Vec::new();
    }
    if !groups.contains(&gid) {
        groups.insert(0, gid);
    }
    groups
}

/// See `user_namespaces(7)`, "/proc/PID/setgroups".
#[expect(
    clippy::disallowed_methods,
    reason = "the kernel says what a user namespace may do in a file"
)]
fn groups_are_fixed() -> bool {
    fs::read_to_string("/proc/self/setgroups").is_ok_and(|word| word.trim() == "deny")
}
