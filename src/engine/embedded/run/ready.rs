//! A step made ready to run: its files, mount points and agents, and the tree tidied after it.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use super::{
    Isolation,
    agent::Agent,
    host,
    mount_points::MountPoints,
    places::{self, Places},
    plain, spec, token,
    wire::{TaskMount, TaskMountKind},
};
use crate::engine::embedded::step::{RunError, Step, StepMount, StepMountKind};

/// What was made ready in a tree for one step.
pub(super) struct Ready {
    root: PathBuf,
    scratch: PathBuf,
    isolation: Isolation,
    points: MountPoints,
    places: Places,
    agents: Vec<Agent>,
    secrets: Vec<PathBuf>,
    files: usize,
}

impl Ready {
    pub(super) fn new(step: &Step, isolation: Isolation, scratch: &Path) -> Result<Self, RunError> {
        let points = MountPoints::new(&step.root)?;
        Ok(Self {
            root: step.root.clone(),
            // What is put into the tree by moving must be on the tree's file system.
            scratch: match isolation {
                Isolation::Namespaces => scratch.to_owned(),
                Isolation::Chroot => aside(&step.root)?,
            },
            isolation,
            places: Places::new(points.root().to_owned()),
            points,
            agents: Vec::new(),
            secrets: Vec::new(),
            files: 0,
        })
    }

    /// Makes mount points and files; gives the mounts in order.
    pub(super) fn prepare(&mut self, step: &Step) -> Result<Vec<TaskMount>, RunError> {
        let mut mounts = Vec::new();
        for directory in ["/dev", "/proc", "/sys"] {
            // What a mount of the step is in goes with it, as BuildKit has it.
            let mut targets = step.mounts.iter().map(|mount| Path::new(&mount.target));
            if targets.any(|target| target.starts_with(directory)) {
                self.points.point(directory, true)?;
            } else {
                self.points.lasting(directory)?;
            }
        }
        self.points.lasting(&step.cwd)?;
        if self.isolation == Isolation::Chroot {
            self.hold(step)?;
            self.plain_devices()?;
        }
        let files = [
            ("/etc/resolv.conf", resolvers()),
            ("/etc/hosts", hosts(step)),
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

    /// What is moved into the tree and back is there for one step at a time, and once.
    fn hold(&mut self, step: &Step) -> Result<(), RunError> {
        let mut sources = BTreeSet::new();
        for mount in &step.mounts {
            if let StepMountKind::Bind {
                source,
                read_only: false,
            } = &mount.what
                && !sources.insert(source.clone())
            {
                return Err(RunError::Step(format!(
                    "mount target {}: what is mounted there is mounted twice, which cannot be had \
                     without namespaces",
                    mount.target
                )));
            }
        }
        self.places.hold(&sources);
        Ok(())
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
        let point = self.points.point(target, directory)?;
        if self.isolation == Isolation::Chroot {
            let place = self.points.place(target)?;
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
        let point = self.points.point(target, true)?;
        if self.isolation == Isolation::Chroot {
            let place = self.points.place(target)?;
            let made = self.places.empty(&place, &self.scratch, 0o1777);
            made.map_err(|error| host(&place, error))?;
            return Ok(None);
        }
        Ok(Some(TaskMount {
            target: point,
            what: TaskMountKind::Tmpfs { size },
        }))
    }

    /// A `/dev` for the time of the step. Where no device can be made a step has none; most do without.
    fn plain_devices(&mut self) -> Result<(), RunError> {
        let place = self.points.place("/dev")?;
        let made = self.places.empty(&place, &self.scratch, 0o755);
        made.and_then(|()| {
            let shm = place.join("shm");
            fs::create_dir(&shm)?;
            fs::set_permissions(&shm, fs::Permissions::from_mode(0o1777))?;
            plain::devices(&place)
        })
        .map_err(|error| host(&place, error))
    }

    /// The tree as the command left it.
    pub(super) fn tidy(self) -> Result<(), RunError> {
        let root = self.root;
        let mut outcome = self.places.take_out();
        drop(self.agents);
        for secret in &self.secrets {
            outcome = outcome.and(places::wipe(secret));
        }
        outcome = outcome.and(self.points.remove());
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

fn hosts(step: &Step) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "127.0.0.1\tlocalhost {}\n::1\tlocalhost ip6-localhost ip6-loopback\n",
        step.hostname.as_deref().unwrap_or(spec::HOSTNAME)
    );
    for (name, address) in &step.add_hosts {
        let _ = writeln!(text, "{address}\t{name}");
    }
    text
}
