//! The process that becomes a step: this binary, run anew with one thread, because `libcontainer`
//! forks the process that calls it.
//!
//! It reads a [`Task`] from the socket that is its standard input, makes the container, says so, and
//! waits for a word before the command starts; then it waits for the command's end and tells it.
//! Its own death ends the command (`PR_SET_PDEATHSIG`), and with it everything in its pid namespace.

use std::{
    convert::Infallible,
    ffi::CString,
    fs, io,
    io::{Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{fs::PermissionsExt as _, net::UnixStream},
    },
    path::{Path, PathBuf},
};

use libcontainer::{
    container::builder::ContainerBuilder,
    network::{link::LinkClient, wrapper::create_network_client},
    oci_spec::runtime::Spec,
    syscall::syscall::SyscallType,
    workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError},
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::{self, Pid},
};

use super::{
    cgroup, devices, plain,
    spec::{self, Ground},
    wire::{self, Said, Task},
};

/// The kernel looks here when `PATH` is not set, and so does `BuildKit`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whose fault it is that a step does not start.
pub(super) enum Fault {
    Wrong(String),
    Broken(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<nix::Error> for Fault {
    fn from(error: nix::Error) -> Self {
        Self::Broken(error.desc().to_owned())
    }
}

/// Ties what went wrong to what was tried.
pub(super) fn tried<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) -> Result<T, Fault> {
    result.map_err(|error| Fault::Broken(format!("{what}: {error}")))
}

/// Entry of the process; `plainly` without namespaces.
pub(in crate::engine::embedded) fn main(plainly: bool) -> u8 {
    let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() else {
        return 1;
    };
    let mut socket = UnixStream::from(socket);
    let outcome = serve(&mut socket, plainly);
    let said = match outcome {
        Ok(WaitStatus::Exited(_, code)) => Said::Code(code),
        Ok(WaitStatus::Signaled(_, signal, _)) => Said::Signal(signal as i32),
        Ok(other) => Said::Broken(format!("the command ended as {other:?}")),
        Err(Fault::Wrong(why)) => Said::Wrong(why),
        Err(Fault::Broken(why)) => Said::Broken(why),
    };
    let sent = wire::line(&said).and_then(|line| socket.write_all(&line));
    u8::from(sent.is_err())
}

fn serve(socket: &mut UnixStream, plainly: bool) -> Result<WaitStatus, Fault> {
    tried("tie to the worker", prctl::set_pdeathsig(Signal::SIGKILL))?;
    let task = tried("read the step", wire::read_task(socket))?;
    if plainly {
        return plain::run(&task, socket);
    }
    tried("mount namespace", unshare(CloneFlags::CLONE_NEWNS))?;
    private()?;
    tried("cover the control groups", cgroup::cover())?;
    if task.alone {
        tried("network namespace", unshare(CloneFlags::CLONE_NEWNET))?;
        tried("loopback", loopback())?;
    }
    contain(task, socket)
}

/// Nothing mounted from here on is seen elsewhere.
fn private() -> Result<(), Fault> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    let none = None::<&str>;
    tried("private mounts", mount(none, "/", none, flags, none))
}

fn loopback() -> Result<(), libcontainer::network::NetworkError> {
    let mut links = LinkClient::new(create_network_client())?;
    let index = links.get_by_name("lo")?.header.index;
    links.set_up(index)
}

fn contain(task: Task, socket: &mut UnixStream) -> Result<WaitStatus, Fault> {
    let ground = Ground::look();
    // In a user namespace the kernel lets nobody make a device.
    if !ground.user_namespace {
        devices::of_root(&task.root)?;
    }
    let spec = tried("describe the container", spec::spec(&task, ground))?;
    let bundle = task.scratch.join("bundle");
    tried("bundle", fs::create_dir_all(&bundle))?;
    tried("bundle", spec.save(bundle.join("config.json")))?;
    let null = tried(
        "/dev/null",
        fs::OpenOptions::new().read(true).open("/dev/null"),
    )?;
    let state = task.scratch.join("state");
    let command = Command::new(&task);
    drop(task);
    let built = ContainerBuilder::new("step".to_owned(), SyscallType::default())
        .with_root_path(state)
        .map(|builder| {
            builder
                .with_executor(command)
                .with_stdin(OwnedFd::from(null))
                .as_init(&bundle)
                .with_systemd(false)
                .with_detach(true)
                .build()
        });
    let mut container = match built {
        Ok(Ok(container)) => container,
        Ok(Err(error)) => return Err(blame(&chain(&error))),
        Err(error) => return Err(Fault::Broken(error.to_string())),
    };
    let pid = container
        .pid()
        .ok_or_else(|| Fault::Broken("the container has no process".to_owned()))?;
    if !ground.user_namespace {
        devices::of_container(pid.as_raw())?;
    }
    await_word(socket, pid.as_raw())?;
    tried("start", container.start())?;
    reap(Pid::from_raw(pid.as_raw()))
}

/// Says that the command can start under this id, and waits to be told.
pub(super) fn await_word(socket: &mut UnixStream, pid: i32) -> Result<(), Fault> {
    let line = tried("report", wire::line(&Said::Ready(pid)))?;
    tried("report", socket.write_all(&line))?;
    tried("wait for the runner", socket.read_exact(&mut [0]))
}

/// Waits for one child.
pub(super) fn reap(pid: Pid) -> Result<WaitStatus, Fault> {
    loop {
        match waitpid(pid, None) {
            Err(nix::Error::EINTR) => {}
            outcome => return tried("wait for the command", outcome),
        }
    }
}

/// The Dockerfile's fault, when the executor found that the command cannot be; `WRONG` marks it,
/// because only texts come through.
fn blame(text: &str) -> Fault {
    // Control groups are a decoy, so tidying them up afterwards fails and means nothing.
    let text = text.split(". error during cleanup").next().unwrap_or(text);
    match text.split_once(WRONG) {
        Some((_, why)) => Fault::Wrong(why.trim_matches(['"', ' ']).to_owned()),
        None => Fault::Broken(text.to_owned()),
    }
}

const WRONG: &str = "[the step] ";

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}

/// Becomes the command, inside the container.
#[derive(Clone)]
pub(super) struct Command {
    args: Vec<String>,
    env: Vec<CString>,
    path: String,
}

impl Command {
    pub(super) fn new(task: &Task) -> Self {
        let mut env = Vec::new();
        for (name, value) in &task.env {
            env.extend(CString::new(format!("{name}={value}")));
        }
        for (name, value) in &task.secret_env {
            let mut pair = format!("{name}=").into_bytes();
            pair.extend_from_slice(value.0.expose());
            env.extend(CString::new(pair));
        }
        let path = task.env.iter().find(|(name, _)| name == "PATH");
        Self {
            args: task.args.clone(),
            env,
            path: path.map_or_else(|| DEFAULT_PATH.to_owned(), |(_, path)| path.clone()),
        }
    }

    /// The program, as `exec` would find it; in runc's words when it is not there.
    pub(super) fn program(&self) -> Result<PathBuf, String> {
        let name = self.args.first().map(String::as_str).unwrap_or_default();
        if name.contains('/') {
            return match fs::metadata(name) {
                Ok(data) if data.is_dir() => Err(format!("exec: \"{name}\": is a directory")),
                Ok(data) if data.permissions().mode() & 0o111 == 0 => {
                    Err(format!("exec: \"{name}\": permission denied"))
                }
                Ok(_) => Ok(PathBuf::from(name)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!(
                    "exec: \"{name}\": stat {name}: no such file or directory"
                )),
                Err(error) => Err(format!("exec: \"{name}\": {error}")),
            };
        }
        let found = self
            .path
            .split(':')
            .filter(|dir| !name.is_empty() && !dir.is_empty());
        let mut found = found.map(|dir| Path::new(dir).join(name));
        found
            .find(|path| {
                fs::metadata(path)
                    .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
            })
            .ok_or_else(|| format!("exec: \"{name}\": executable file not found in $PATH"))
    }

    /// Never returns when all is well.
    pub(super) fn replace(&self) -> Result<Infallible, String> {
        let program = self.program()?;
        let text =
            |bytes: &[u8]| CString::new(bytes).map_err(|_| "an argument with NUL".to_owned());
        let path = text(program.as_os_str().as_encoded_bytes())?;
        let args: Result<Vec<CString>, String> =
            self.args.iter().map(|arg| text(arg.as_bytes())).collect();
        unistd::execve(&path, &args?, &self.env)
            .map_err(|error| format!("exec {}: {}", program.display(), error.desc()))
    }
}

impl Executor for Command {
    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        self.program()
            .map(drop)
            .map_err(|why| ExecutorValidationError::ArgValidationError(format!("{WRONG}{why}")))
    }

    fn setup_envs(
        &self,
        _: std::collections::HashMap<String, String>,
    ) -> Result<(), ExecutorSetEnvsError> {
        // The environment is handed to `exec`; it never becomes this process's own.
        Ok(())
    }

    fn exec(&self, _: &Spec) -> Result<(), ExecutorError> {
        // The process that made the container must not be outlived.
        let tied = prctl::set_pdeathsig(Signal::SIGKILL);
        let why = match tied {
            Ok(()) => match self.replace() {
                Err(why) => why,
                Ok(never) => match never {},
            },
            Err(error) => error.desc().to_owned(),
        };
        let _ = writeln!(io::stderr(), "{why}");
        Err(ExecutorError::Other(why))
    }
}
