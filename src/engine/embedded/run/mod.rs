//! Runs steps: [`StepRunner`] is the engine's [`Runner`].
//!
//! With namespaces a step is a container of `libcontainer`, made by a process of its own ([`step`]):
//! mount, pid, ipc and uts namespaces, docker's capabilities and masked paths, the host's network or
//! none. Without (an unprivileged container) it is a `chroot` ([`plain`]). In both the tree is left as
//! the command left it: mount points made for the step are taken away ([`stubs`]).
//!
//! No seccomp filter: it would take libseccomp, a C library. No cgroup file system in the step.

use std::{
    fs, io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use indexmap::IndexMap;

use super::{
    graph::Network,
    step::{Exit, RunError, Runner, Step, StepMount, StepMountKind},
};
use crate::engine::{Cancel, Limits};
use agent::Agent;
use drive::Overseer;
use limits::Watch;
use places::Places;
use stubs::Stubs;
use wire::{Sealed, Task, TaskMount, TaskMountKind};

mod agent;
mod cgroup;
mod drive;
mod limits;
mod places;
pub(super) mod plain;
mod processes;
mod spec;
pub(super) mod step;
mod stubs;
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

/// What was made ready in a tree for one step.
struct Ready {
    root: PathBuf,
    scratch: PathBuf,
    isolation: Isolation,
    stubs: Stubs,
    places: Places,
    agents: Vec<Agent>,
    secrets: Vec<PathBuf>,
    files: usize,
}

impl Ready {
    fn new(step: &Step, isolation: Isolation, scratch: &Path) -> Result<Self, RunError> {
        Ok(Self {
            root: step.root.clone(),
            // What is put into the tree by moving must be on the tree's file system.
            scratch: match isolation {
                Isolation::Namespaces => scratch.to_owned(),
                Isolation::Chroot => aside(&step.root)?,
            },
            isolation,
            stubs: Stubs::new(&step.root)?,
            places: Places::default(),
            agents: Vec::new(),
            secrets: Vec::new(),
            files: 0,
        })
    }

    /// Makes mount points and files; gives the mounts in order.
    fn prepare(&mut self, step: &Step) -> Result<Vec<TaskMount>, RunError> {
        let mut mounts = Vec::new();
        for directory in ["/dev", "/proc", "/sys", &step.cwd] {
            self.stubs.keep(directory)?;
        }
        if self.isolation == Isolation::Chroot {
            self.plain_devices()?;
        }
        let files = [
            ("/etc/resolv.conf", resolvers()),
            ("/etc/hosts", hosts(&step.add_hosts)),
        ];
        for (target, content) in files {
            let source = self.file(content.as_bytes(), 0o644, None)?;
            mounts.extend(self.mount(target, source, true, true, false)?);
        }
        for mount in &step.mounts {
            mounts.extend(self.own(mount)?);
        }
        Ok(mounts)
    }

    fn own(&mut self, mount: &StepMount) -> Result<Option<TaskMount>, RunError> {
        let target = mount.target.as_str();
        if Path::new(target).components().count() < 2 {
            return Err(RunError::Step(format!(
                "mount target {target} is the root directory"
            )));
        }
        match &mount.what {
            StepMountKind::Bind { source, read_only } => {
                self.mount(target, source.clone(), *read_only, false, !*read_only)
            }
            StepMountKind::Tmpfs { size } => self.memory(target, *size),
            StepMountKind::Secret {
                content,
                mode,
                uid,
                gid,
            } => {
                let source = self.file(content.expose(), *mode, Some((*uid, *gid)))?;
                self.secrets.push(source.clone());
                self.mount(
                    target,
                    source,
                    true,
                    true,
                    self.isolation == Isolation::Chroot,
                )
            }
            StepMountKind::Socket {
                source,
                mode,
                uid,
                gid,
            } => {
                self.files += 1;
                let socket = self.scratch.join(format!("agent-{}", self.files));
                let agent = Agent::serve(&socket, source, *mode, (*uid, *gid));
                self.agents
                    .push(agent.map_err(|error| host(&socket, error))?);
                self.mount(
                    target,
                    socket,
                    false,
                    true,
                    self.isolation == Isolation::Chroot,
                )
            }
        }
    }

    /// A file of this step.
    fn file(
        &mut self,
        content: &[u8],
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> Result<PathBuf, RunError> {
        self.files += 1;
        let path = self.scratch.join(format!("file-{}", self.files));
        let written = || -> io::Result<()> {
            let mut options = fs::OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            io::Write::write_all(&mut file, content)?;
            if let Some((uid, gid)) = owner {
                chown(&path, Some(uid), Some(gid))?;
            }
            file.set_permissions(fs::Permissions::from_mode(mode))
        };
        written().map_err(|source| match (owner, source.raw_os_error()) {
            (Some((uid, gid)), Some(22)) => RunError::Step(format!(
                "a file cannot be given to {uid}:{gid}: this user's subordinate ids do not reach it"
            )),
            _ => host(&path, source),
        })?;
        Ok(path)
    }

    /// Shows `source` at `target`; `keep` puts it back where nothing can be mounted.
    fn mount(
        &mut self,
        target: &str,
        source: PathBuf,
        read_only: bool,
        inert: bool,
        keep: bool,
    ) -> Result<Option<TaskMount>, RunError> {
        let directory = fs::metadata(&source)
            .map_err(|error| host(&source, error))?
            .is_dir();
        let point = self.stubs.point(target, directory)?;
        if self.isolation == Isolation::Chroot {
            let place = self.stubs.place(target)?;
            let shown = self.places.show(&source, &place, &self.scratch, keep);
            shown.map_err(|error| host(&place, error))?;
            return Ok(None);
        }
        Ok(Some(TaskMount {
            target: point,
            what: TaskMountKind::Bind {
                source,
                read_only,
                inert,
            },
        }))
    }

    fn memory(&mut self, target: &str, size: Option<u64>) -> Result<Option<TaskMount>, RunError> {
        let point = self.stubs.point(target, true)?;
        if self.isolation == Isolation::Chroot {
            let place = self.stubs.place(target)?;
            let made = self.places.empty(&place, &self.scratch, 0o1777);
            made.map_err(|error| host(&place, error))?;
            return Ok(None);
        }
        Ok(Some(TaskMount {
            target: point,
            what: TaskMountKind::Tmpfs { size },
        }))
    }

    /// A `/dev` for the time of the step.
    fn plain_devices(&mut self) -> Result<(), RunError> {
        let place = self.stubs.place("/dev")?;
        let made = self.places.empty(&place, &self.scratch, 0o755);
        made.and_then(|()| {
            let shm = place.join("shm");
            fs::create_dir(&shm)?;
            fs::set_permissions(&shm, fs::Permissions::from_mode(0o1777))
        })
        .map_err(|error| host(&place, error))
    }

    /// The tree as the command left it.
    fn tidy(self) -> Result<(), RunError> {
        let root = self.root;
        let mut outcome = self.places.take_out();
        drop(self.agents);
        for secret in &self.secrets {
            outcome = outcome.and(places::wipe(secret));
        }
        outcome = outcome.and(self.stubs.remove());
        if self.isolation == Isolation::Chroot {
            outcome = outcome.and(fs::remove_dir_all(&self.scratch));
        }
        outcome.map_err(|error| host(&root, error))
    }
}

/// A directory beside the tree.
fn aside(root: &Path) -> Result<PathBuf, RunError> {
    let name = format!(".aside-{}", token());
    let path = root.parent().unwrap_or(root).join(name);
    fs::create_dir(&path).map_err(|error| host(&path, error))?;
    Ok(path)
}

/// The machine's resolvers; a step without network gets them too, as with `BuildKit`.
#[expect(
    clippy::disallowed_methods,
    reason = "a step resolves names as this machine does"
)]
fn resolvers() -> String {
    fs::read_to_string("/etc/resolv.conf").unwrap_or_default()
}

fn hosts(added: &IndexMap<String, String>) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "127.0.0.1\tlocalhost {}\n::1\tlocalhost ip6-localhost ip6-loopback\n",
        spec::HOSTNAME
    );
    for (name, address) in added {
        let _ = writeln!(text, "{address}\t{name}");
    }
    text
}

/// `BuildKit` gives a process its own group among the additional ones, too.
fn with_own(gid: u32, mut groups: Vec<u32>) -> Vec<u32> {
    if !groups.contains(&gid) {
        groups.insert(0, gid);
    }
    groups
}
