//! A step where no namespace may be made (an unprivileged container): `chroot` and no more.
//!
//! Weaker than a container, and announced: the step sees the processes and the network of the machine,
//! has no `/proc` and no `/sys`, and devices are made in the tree for the time it runs. Nothing can be
//! mounted: what a mount would show is put in its place and taken out again ([`super::places`]).
//! Hand-made because a container library has nothing to offer here; every call is a safe wrapper.
//!
//! This process stays outside and is the reaper of all that the step leaves behind, so that a daemon
//! does not outlive its step; the command itself is one more run of this binary.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream, process::CommandExt as _},
    path::Path,
    process::Stdio,
};

use caps::{CapSet, Capability};
use nix::{
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::{Signal, kill},
        stat::{Mode, SFlag, makedev, mknod},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{self, Gid, Pid, Uid},
};

use super::{
    processes,
    step::{Command, Fault, await_word, reap, tried},
    wire::{self, Task},
};

/// Devices that every container has: name, major and minor number.
const DEVICES: [(&str, u64, u64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// What `docker build` leaves to a step.
const KEPT: [Capability; 14] = [
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FSETID,
    Capability::CAP_FOWNER,
    Capability::CAP_MKNOD,
    Capability::CAP_NET_RAW,
    Capability::CAP_SETGID,
    Capability::CAP_SETUID,
    Capability::CAP_SETFCAP,
    Capability::CAP_SETPCAP,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_SYS_CHROOT,
    Capability::CAP_KILL,
    Capability::CAP_AUDIT_WRITE,
];

/// Runs the step from outside.
#[expect(
    clippy::disallowed_methods,
    reason = "the command is this binary, run anew"
)]
pub(super) fn run(task: &Task, socket: &mut UnixStream) -> Result<WaitStatus, Fault> {
    tried("adopt orphans", prctl::set_child_subreaper(true))?;
    let mut child = std::process::Command::new("/proc/self/exe");
    child
        .arg0("plimsoll")
        .arg(crate::engine::embedded::worker::ROOT)
        .env_clear()
        .stdin(Stdio::piped());
    let mut child = tried("run the command", child.spawn())?;
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let mut input = child.stdin.take();
    await_word(socket, pid.as_raw())?;
    let line = tried("hand over the step", wire::line(task))?;
    if let Some(input) = &mut input {
        tried("hand over the step", input.write_all(&line))?;
    }
    drop(input);
    let status = reap(pid)?;
    clear();
    Ok(status)
}

/// Ends everything that the step left behind.
fn clear() {
    loop {
        for orphan in processes::descendants(std::process::id()) {
            let _ = kill(Pid::from_raw(orphan), Signal::SIGKILL);
        }
        match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
            Err(nix::Error::ECHILD) => return,
            Ok(WaitStatus::StillAlive) => std::thread::sleep(std::time::Duration::from_millis(2)),
            _ => {}
        }
    }
}

/// Makes the devices of a container in its `/dev`.
pub(super) fn devices(directory: &Path) -> io::Result<()> {
    for (name, major, minor) in DEVICES {
        let path = directory.join(name);
        let device = makedev(major, minor);
        match mknod(&path, SFlag::S_IFCHR, Mode::empty(), device) {
            Ok(()) => fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?,
            Err(nix::Error::EPERM) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Entry of the process that becomes the command.
pub(in crate::engine::embedded) fn main() -> u8 {
    match become_command() {
        Ok(never) => match never {},
        Err(why) => {
            let _ = writeln!(io::stderr(), "{why}");
            // As a shell has it.
            if why.contains("not found") || why.contains("no such file") {
                127
            } else {
                126
            }
        }
    }
}

fn become_command() -> Result<std::convert::Infallible, String> {
    let text = |what: &'static str| move |error: nix::Error| format!("{what}: {}", error.desc());
    let task = wire::read_task(&mut io::stdin().lock()).map_err(|error| error.to_string())?;
    let null = std::fs::OpenOptions::new()
        .read(true)
        .open("/dev/null")
        .map_err(|error| format!("/dev/null: {error}"))?;
    unistd::dup2_stdin(&null).map_err(text("standard input"))?;
    if let Some(size) = task.file_size {
        setrlimit(Resource::RLIMIT_FSIZE, size, size).map_err(text("limit"))?;
    }
    if let Some((soft, hard)) = task.open_files {
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).map_err(text("limit"))?;
    }
    unistd::chroot(&task.root).map_err(text("chroot"))?;
    unistd::chdir(task.cwd.as_str()).map_err(text("working directory"))?;
    unistd::setsid().map_err(text("session"))?;
    let groups: Vec<Gid> = task.groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
    unistd::setgroups(&groups).map_err(text("groups"))?;
    unistd::setgid(Gid::from_raw(task.gid)).map_err(text("group"))?;
    drop_capabilities().map_err(|error| format!("capabilities: {error}"))?;
    unistd::setuid(Uid::from_raw(task.uid)).map_err(text("user"))?;
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(text("tie to the worker"))?;
    Command::new(&task).replace()
}

/// What a step of `docker build` does not have, it does not get here either.
fn drop_capabilities() -> Result<(), caps::errors::CapsError> {
    let mut held: Vec<Capability> = caps::read(None, CapSet::Bounding)?.into_iter().collect();
    held.sort_by_key(Capability::index);
    for capability in held {
        if !KEPT.contains(&capability) {
            caps::drop(None, CapSet::Bounding, capability)?;
        }
    }
    caps::clear(None, CapSet::Ambient)?;
    caps::clear(None, CapSet::Inheritable)
}
