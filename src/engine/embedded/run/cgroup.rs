//! Control groups: limits for a step, where the host lets a group be made.
//!
//! `libcontainer` puts every container into a group of its own and gives up when it may not: without
//! a writable `/sys/fs/cgroup` (inside containers, rootless with version 1) nothing would run, and a
//! killed build would leave groups behind. So the step process covers `/sys/fs/cgroup` with a tmpfs of
//! its own ([`cover`]) that takes whatever is written to it, and limits are set here, by the runner, in
//! a group that is removed again; those of dead runs are swept.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::mount::{MsFlags, mount};

use crate::engine::Limits;

/// Path of the group that `libcontainer` believes in.
pub(super) const DECOY: &str = "/plimsoll";
const MOUNT: &str = "/sys/fs/cgroup";
const PREFIX: &str = "plimsoll-step-";
const YOUNG: Duration = Duration::from_mins(1);

/// Covers `/sys/fs/cgroup` in this process's mount namespace.
pub(super) fn cover() -> io::Result<()> {
    mount(
        Some("tmpfs"),
        MOUNT,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        Some("size=1m,mode=755"),
    )?;
    for (point, kind) in mounts()? {
        if kind != "cgroup" || !point.starts_with(MOUNT) {
            continue;
        }
        let group = point.join(DECOY.trim_start_matches('/'));
        fs::create_dir_all(&group)?;
        fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(group.join("cgroup.procs"))?;
        for name in ["cpuset.cpus", "cpuset.mems"] {
            put_new(&point.join(name), "0")?;
            put_new(&group.join(name), "0")?;
        }
    }
    Ok(())
}

fn put_new(path: &Path, text: &str) -> io::Result<()> {
    use io::Write as _;
    let mut options = fs::OpenOptions::new();
    let mut file = options.create(true).write(true).truncate(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// Writes to a file of the kernel's.
fn put(path: &Path, text: &str) -> io::Result<()> {
    use io::Write as _;
    fs::OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(text.as_bytes())
}

#[expect(clippy::disallowed_methods, reason = "the kernel says so in files")]
fn get(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}

/// Mount points and kinds of file systems.
fn mounts() -> io::Result<Vec<(PathBuf, String)>> {
    let text = get(Path::new("/proc/self/mountinfo"))?;
    let mounts = text.lines().filter_map(|line| {
        let point = line.split(' ').nth(4)?;
        let kind = line.split(" - ").nth(1)?.split(' ').next()?;
        Some((PathBuf::from(point), kind.to_owned()))
    });
    Ok(mounts.collect())
}

/// A control group with limits, removed when dropped.
#[derive(Debug)]
pub(super) struct Group {
    /// one directory for version 2, one for each controller for version 1
    directories: Vec<PathBuf>,
    pids: Option<PathBuf>,
    memory: Option<PathBuf>,
}

impl Group {
    /// Makes a group with those of the limits that it can hold; `None` when the host lets no group be
    /// made, or nothing is limited.
    pub(super) fn make(limits: &Limits, name: &str) -> Option<Self> {
        if limits.pids.is_none() && limits.memory.is_none() {
            return None;
        }
        let mut group = Self {
            directories: Vec::new(),
            pids: None,
            memory: None,
        };
        let own = get(Path::new("/proc/self/cgroup")).ok()?;
        let mounts = mounts().ok()?;
        if let Some(pids) = limits.pids {
            group.pids = group.set("pids", &mounts, &own, name, &[("pids.max", pids)]);
        }
        if let Some(memory) = limits.memory {
            let files = [("memory.max", memory), ("memory.limit_in_bytes", memory)];
            group.memory = group.set("memory", &mounts, &own, name, &files);
        }
        (!group.directories.is_empty()).then_some(group)
    }

    /// Makes a directory of one controller and sets one of `files`; the first place that works.
    fn set(
        &mut self,
        controller: &str,
        mounts: &[(PathBuf, String)],
        own: &str,
        name: &str,
        files: &[(&str, u64)],
    ) -> Option<PathBuf> {
        for parent in parents(controller, mounts, own) {
            sweep(&parent);
            let directory = parent.join(format!("{PREFIX}{name}"));
            let made = fs::create_dir(&directory);
            if made.is_err() && !self.directories.contains(&directory) {
                continue;
            }
            let set = |(file, value): &(&str, u64)| {
                put(&directory.join(file), &value.to_string()).is_ok()
            };
            if files.iter().any(set) {
                if made.is_ok() {
                    self.directories.push(directory.clone());
                }
                return Some(directory);
            }
            if made.is_ok() {
                let _ = fs::remove_dir(&directory);
            }
        }
        None
    }

    /// Moves a process in.
    pub(super) fn add(&self, pid: u32) -> io::Result<()> {
        for directory in &self.directories {
            put(&directory.join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// It counts processes.
    pub(super) fn counts(&self) -> bool {
        self.pids.is_some()
    }

    /// A process was refused, or ended for want of memory; which.
    pub(super) fn passed(&self) -> Option<&'static str> {
        let number = |file: &Path, word: &str| {
            let text = get(file).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix(word))?;
            line.trim().parse::<u64>().ok()
        };
        let some = |directory: &Option<PathBuf>, file: &str, word: &str| {
            let directory = directory.as_ref()?;
            number(&directory.join(file), word).filter(|&count| count > 0)
        };
        if some(&self.pids, "pids.events", "max ").is_some() {
            return Some("processes");
        }
        let memory = some(&self.memory, "memory.events", "oom_kill ")
            .or_else(|| some(&self.memory, "memory.oom_control", "oom_kill "));
        memory.map(|_| "memory")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for directory in &self.directories {
            // The last process may be a moment in going.
            for _ in 0..50 {
                match fs::remove_dir(directory) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// Where a group could be made: below our own (version 1), beside it or at the top (version 2, where
/// a group with processes has no groups that share out).
fn parents(controller: &str, mounts: &[(PathBuf, String)], own: &str) -> Vec<PathBuf> {
    let group = |wanted: &str| {
        own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let ours = controllers.split(',').any(|name| name == wanted);
            ours.then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let mut places = Vec::new();
    for (point, kind) in mounts {
        let named = point.file_name().and_then(|name| name.to_str());
        match kind.as_str() {
            "cgroup" if named.is_some_and(|name| name.split(',').any(|n| n == controller)) => {
                places.extend(group(controller).map(|path| point.join(path)));
                places.push(point.clone());
            }
            "cgroup2" => {
                let path = group("").map(|path| point.join(path));
                let beside = path.as_ref().and_then(|path| path.parent());
                places.extend(beside.filter(|p| p.starts_with(point)).map(Path::to_owned));
                places.push(point.clone());
            }
            _ => {}
        }
    }
    places
}

/// Removes groups of runs that were killed. One with processes cannot be removed; a young one may be
/// about to get its first.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        if ours && age().is_some_and(|age| age > YOUNG) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_made_below_ours_or_beside_it() {
        let mounts = [
            ("/sys/fs/cgroup/pids", "cgroup"),
            ("/sys/fs/cgroup/cpu,cpuacct", "cgroup"),
            ("/sys/fs/cgroup/unified", "cgroup2"),
        ]
        .map(|(point, kind)| (PathBuf::from(point), kind.to_owned()));
        let own = "8:pids:/a/b\n1:cpu,cpuacct:/\n0::/user.slice/x.scope\n";
        let places = parents("pids", &mounts, own);
        let wanted = [
            "/sys/fs/cgroup/pids/a/b",
            "/sys/fs/cgroup/pids",
            "/sys/fs/cgroup/unified/user.slice",
            "/sys/fs/cgroup/unified",
        ];
        assert_eq!(places, wanted.map(PathBuf::from));
    }
}
