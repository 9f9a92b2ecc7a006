//! Device nodes that a step makes are of no use to it.
//!
//! Docker lets root make devices and has a control group forbid their use, which takes either a program
//! for the kernel or control groups of version 1. Here every place that a step can write to is mounted
//! `nodev` instead: its root, what is mounted for it, and `/dev` itself, whose own few devices are
//! mounts of their own. It can undo none of that without `CAP_SYS_ADMIN`, which it does not have, and
//! what it mounts in a user namespace of its own is `nodev` by the kernel's rule.

use std::{fs, io, os::unix::fs::FileTypeExt as _, path::Path, process::Stdio};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns},
};

use super::step::{Fault, tried};

/// Mounts `path`, a directory or a device, on itself.
fn on_itself(path: &Path) -> nix::Result<()> {
    let none = None::<&str>;
    mount(Some(path), path, none, MsFlags::MS_BIND, none)
}

/// Takes devices away from the mount at `path`; its other flags are `flags`.
fn without_devices(path: &Path, flags: MsFlags) -> nix::Result<()> {
    let none = None::<&str>;
    let flags = flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NODEV;
    mount(none, path, none, flags, none)
}

/// Before the container is made: its root is a mount of its own, and so are copies of it.
pub(super) fn of_root(root: &Path) -> Result<(), Fault> {
    tried("mount of the root", on_itself(root))?;
    tried(
        "root without devices",
        without_devices(root, MsFlags::empty()),
    )
}

/// Before the command starts: in the container `pid`, by a process that enters it, because the one that
/// makes it stays outside.
#[expect(
    clippy::disallowed_methods,
    reason = "the process is this binary, run anew"
)]
pub(super) fn of_container(pid: i32) -> Result<(), Fault> {
    let done = std::process::Command::new("/proc/self/exe")
        .args([crate::engine::embedded::worker::DEVICES, &pid.to_string()])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output();
    let done = tried("devices of the container", done)?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(Fault::Broken(format!(
        "devices of the container: {}",
        said.trim()
    )))
}

/// Entry of that process.
pub(in crate::engine::embedded) fn main(pid: Option<&str>) -> u8 {
    use io::Write as _;
    match enter(pid) {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            1
        }
    }
}

fn enter(pid: Option<&str>) -> io::Result<()> {
    let pid: u32 = pid
        .and_then(|pid| pid.parse().ok())
        .ok_or(io::ErrorKind::InvalidInput)?;
    let namespace = fs::OpenOptions::new()
        .read(true)
        .open(format!("/proc/{pid}/ns/mnt"))?;
    setns(&namespace, CloneFlags::CLONE_NEWNS)?;
    let directory = Path::new("/dev");
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_char_device() {
            on_itself(&entry.path())?;
        }
    }
    without_devices(directory, MsFlags::MS_NOSUID)?;
    Ok(())
}
