//! The two small processes between the engine and its worker: the one that makes the namespaces, and
//! the first process in them.

use std::{
    io::{self, Read as _, Write as _},
    os::{fd::AsFd as _, unix::process::CommandExt as _},
    process::Command,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        signal::Signal,
        wait::{WaitStatus, waitpid},
    },
    unistd::{Gid, Pid, Uid, getppid, setgroups, setresgid, setresuid},
};

use super::{INIT, WORKER, protocol::Message};
use crate::engine::embedded::run::wire;

/// Argument: a user namespace is needed.
pub(super) const USER: &str = "user";
/// Argument: this user may make namespaces.
pub(super) const ROOT: &str = "root";
/// Argument: no namespaces.
pub(super) const PLAIN: &str = "plain";

/// Code of a process that said why on its standard output.
const SAID: u8 = 3;

/// Says something to the engine.
pub(super) fn say(message: &Message) -> io::Result<()> {
    let line = wire::line(message)?;
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

fn refused(what: &str, error: nix::Error) -> u8 {
    let message = Message::Refused {
        what: what.to_owned(),
        errno: error as i32,
    };
    u8::from(say(&message).is_err()).max(SAID)
}

/// Dies with its parent, also when that is dead already.
pub(super) fn tie() -> Result<(), nix::Error> {
    let parent = getppid();
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() == parent {
        Ok(())
    } else {
        Err(nix::Error::ESRCH)
    }
}

/// Makes the namespaces, starts the first process in them, and waits for it.
pub(super) fn setup(mode: Option<&str>) -> u8 {
    if mode == Some(USER)
        && let Err(code) = user_namespace()
    {
        return code;
    }
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID) {
        return refused("mount and pid namespaces", error);
    }
    // The change of user above has undone any earlier tie.
    if let Err(error) = tie() {
        return refused("tie to the engine", error);
    }
    let none = None::<&str>;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    if let Err(error) = mount(none, "/", none, private, none) {
        return refused("private mounts", error);
    }
    let mode = mode.unwrap_or(ROOT);
    match again(INIT, mode).spawn().and_then(|mut child| child.wait()) {
        Ok(status) => status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1),
        Err(_) => 1,
    }
}

/// A user namespace; its ids are written by the engine, which is outside.
fn user_namespace() -> Result<(), u8> {
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|error| refused("user namespace", error))?;
    let mut input = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map(std::fs::File::from)
        .map_err(|_| 1_u8)?;
    say(&Message::Map).map_err(|_| 1_u8)?;
    input.read_exact(&mut [0]).map_err(|_| 1_u8)?;
    // Not possible with a single id, and not needed either.
    let _ = setgroups(&[]);
    let (user, group) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(group, group, group).map_err(|error| refused("group 0", error))?;
    setresuid(user, user, user).map_err(|error| refused("user 0", error))
}

/// The first process of the pid namespace: reaps whatever loses its parent, and ends with the worker.
pub(super) fn init(mode: Option<&str>) -> u8 {
    if let Err(error) = tie() {
        return refused("tie to the setup", error);
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    if let Err(error) = mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>) {
        return refused("/proc of the worker", error);
    }
    let worker = match again(WORKER, mode.unwrap_or(ROOT)).spawn() {
        Ok(child) => Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX)),
        Err(_) => return 1,
    };
    loop {
        match waitpid(None::<Pid>, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == worker => {
                return u8::try_from(code).unwrap_or(1);
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == worker => {
                return 128_u8.saturating_add(u8::try_from(signal as i32).unwrap_or(0));
            }
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(_) => return 1,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the next process is this binary, run anew"
)]
fn again(role: &str, mode: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("plimsoll").args([role, mode]);
    command
}
