//! What this machine lets a build do, and what to do about what it does not.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Kernel settings that forbid namespaces to users: file, the value that forbids, what to do.
const SETTINGS: [(&str, &str, &str); 3] = [
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "kernel.apparmor_restrict_unprivileged_userns is 1: set it to 0 with \
         `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "kernel.unprivileged_userns_clone is 0: set it to 1 with \
         `sudo sysctl -w kernel.unprivileged_userns_clone=1`",
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "user.max_user_namespaces is 0: raise it with `sudo sysctl -w user.max_user_namespaces=15000`",
    ),
];

/// What forbids namespaces here, and what would let them be had.
pub(super) fn advice() -> String {
    for (file, forbidding, text) in SETTINGS {
        if get(file).is_some_and(|value| value.trim() == forbidding) {
            return text.to_owned();
        }
    }
    let filtered = get("/proc/self/status").is_some_and(|status| {
        status
            .lines()
            .any(|line| line.starts_with("Seccomp:") && line.ends_with('2'))
    });
    if filtered {
        let root = if nix::unistd::geteuid().is_root() {
            ""
        } else {
            "as root, or "
        };
        format!(
            "this container's seccomp filter or capabilities forbid it: run the container {root}with \
             `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`, or give it a \
             Docker socket and `--engine docker`"
        )
    } else {
        "run as root, or where user namespaces are allowed, or with a Docker Engine or BuildKit in reach"
            .to_owned()
    }
}

fn get(path: &str) -> Option<String> {
    use io::Read as _;
    let mut text = String::new();
    let file = fs::OpenOptions::new().read(true).open(path).ok()?;
    file.take(1 << 16).read_to_string(&mut text).ok()?;
    Some(text)
}

/// How snapshots can be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Snapshots {
    /// by overlays; with attributes of users when in a user namespace
    Overlay { userxattr: bool },
    /// by copying, because
    Copy { why: String },
}

/// Tries an overlay on the file system of `directory`.
pub(super) fn snapshots(directory: &Path) -> Snapshots {
    let users = !get("/proc/self/uid_map").is_some_and(|map| map.contains("4294967295"));
    match overlay(directory, users) {
        Ok(()) => Snapshots::Overlay { userxattr: users },
        Err(error) => Snapshots::Copy {
            why: format!("no overlay on {}: {error}", directory.display()),
        },
    }
}

/// Mounts an overlay, removes a file of its lower directory through it, and looks whether it is gone.
fn overlay(directory: &Path, users: bool) -> io::Result<()> {
    let scratch = tempfile::Builder::new()
        .prefix(PROBE)
        .tempdir_in(directory)?;
    let at = |name: &str| -> PathBuf { scratch.path().join(name) };
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(at(name))?;
    }
    fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(at("lower").join("file"))?;
    let mut options = format!(
        "lowerdir={},upperdir={},workdir={}",
        at("lower").display(),
        at("upper").display(),
        at("work").display()
    );
    if users {
        options.push_str(",userxattr");
    }
    let merged = at("merged");
    let attempt = |options: &str| {
        let kind = Some("overlay");
        mount(kind, &merged, kind, MsFlags::empty(), Some(options))
    };
    // Unmounting one that is not volatile waits until all of the file system is on the disk.
    attempt(&format!("{options},volatile")).or_else(|_| attempt(&options))?;
    let tried = fs::remove_file(merged.join("file"));
    umount2(&merged, MntFlags::MNT_DETACH)?;
    tried
}

/// Prefix of the directory that an overlay is tried in.
pub(super) const PROBE: &str = ".probe-";
