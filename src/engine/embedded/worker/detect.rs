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
    let set = SETTINGS.into_iter().find_map(|(file, forbidding, text)| {
        get(file)
            .is_some_and(|value| value.trim() == forbidding)
            .then_some(text)
    });
    let status = get("/proc/self/status").unwrap_or_default();
    advise(set, &status, nix::unistd::geteuid().is_root())
}

/// A filter forbids whatever the settings of the machine say, and these may forbid as well.
fn advise(set: Option<&str>, status: &str, root: bool) -> String {
    let filtered = status
        .lines()
        .any(|line| line.starts_with("Seccomp:") && line.ends_with('2'));
    if !filtered {
        return set.map_or_else(
            || {
                "run as root, or where user namespaces are allowed, or with a Docker Engine or \
                 BuildKit in reach"
                    .to_owned()
            },
            ToOwned::to_owned,
        );
    }
    let who = if root { "" } else { "as root, or " };
    let also = set.map_or_else(String::new, |text| {
        format!("; on the machine itself, {text}")
    });
    format!(
        "this container's seccomp filter or capabilities forbid it: run the container {who}with \
         `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`, or give it a \
         Docker socket and `--engine docker`{also}"
    )
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

#[cfg(test)]
mod tests {
    use super::{SETTINGS, advise};

    #[test]
    fn in_a_container_the_filter_is_named_first_and_a_setting_too() {
        let (_, _, setting) = SETTINGS[0];
        let (free, filtered) = ("Seccomp:\t0\n", "Name:\tx\nSeccomp:\t2\n");
        assert_eq!(advise(Some(setting), free, false), setting);
        assert!(advise(None, free, false).starts_with("run as root"));
        let both = advise(Some(setting), filtered, true);
        assert!(
            both.contains("run the container with") && both.ends_with(setting),
            "{both}"
        );
        assert!(advise(None, filtered, false).contains("run the container as root, or with"));
    }
}
