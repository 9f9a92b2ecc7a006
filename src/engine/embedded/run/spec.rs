//! A task as an OCI runtime bundle, with what `docker build` gives a step: docker's default
//! capabilities, its mounts, its masked and read-only paths. Privileges may be gained (`sudo`,
//! set-user-ID programs), as there.

use std::{collections::HashSet, path::PathBuf};

use libcontainer::oci_spec::{
    OciSpecError,
    runtime::{
        Capability, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxNamespaceBuilder,
        LinuxNamespaceType, Mount, MountBuilder, PosixRlimitBuilder, PosixRlimitType, Process,
        ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
    },
};

use super::wire::{Task, TaskMount, TaskMountKind};

/// `BuildKit`'s name for the machine that a step sees.
pub(super) const HOSTNAME: &str = "buildkitsandbox";

const CAPABILITIES: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    "/proc/interrupts",
];

const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// What the worker stands in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground {
    /// a user namespace of ours: no devices can be made, the host's `/sys` is bound
    pub(super) user_namespace: bool,
    /// group 5 (`tty`) means something
    pub(super) tty_group: bool,
    /// additional groups can be set: not in a user namespace of one group
    pub(super) groups: bool,
}

impl Ground {
    /// Looks at this process.
    #[expect(clippy::disallowed_methods, reason = "the kernel says so in a file")]
    pub(super) fn look() -> Self {
        let map = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}"));
        let (users, groups) = (map("uid_map"), map("gid_map"));
        let whole = |text: &str| text.contains("4294967295");
        Self {
            user_namespace: !users.is_ok_and(|text| whole(&text)),
            tty_group: groups.is_ok_and(|text| maps(&text, 5)),
            groups: !map("setgroups").is_ok_and(|text| text.trim() == "deny"),
        }
    }
}

/// A process of this namespace can be this user and group.
#[expect(clippy::disallowed_methods, reason = "the kernel says so in a file")]
pub(super) fn mapped(uid: u32, gid: u32) -> bool {
    [("uid_map", uid), ("gid_map", gid)]
        .into_iter()
        .all(|(name, id)| {
            let map = std::fs::read_to_string(format!("/proc/self/{name}"));
            map.is_ok_and(|map| maps(&map, id.into()))
        })
}

/// An id map covers `id`.
fn maps(map: &str, id: u64) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(inside)), Some(_), Some(Ok(count))) => {
                (inside..inside.saturating_add(count)).contains(&id)
            }
            _ => false,
        }
    })
}

/// The bundle's `config.json`. The environment is left out: it may hold secrets, and the process that
/// becomes the command has it.
pub(super) fn spec(task: &Task, ground: Ground) -> Result<Spec, OciSpecError> {
    let mut namespaces = Vec::new();
    for kind in [
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Uts,
    ] {
        namespaces.push(LinuxNamespaceBuilder::default().typ(kind).build()?);
    }
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces)
        .masked_paths(MASKED.map(str::to_owned).to_vec())
        .readonly_paths(READ_ONLY.map(str::to_owned).to_vec())
        .cgroups_path(PathBuf::from(super::cgroup::DECOY))
        .build()?;
    // The default is a list of devices for a control group, and there is none.
    linux.set_resources(None);
    let mut mounts = defaults(ground)?;
    for mount in &task.mounts {
        let mount = own(mount, ground)?;
        // A mount of the step takes the place of a mount that is there anyway.
        match mounts
            .iter_mut()
            .find(|there| there.destination() == mount.destination())
        {
            Some(there) => *there = mount,
            None => mounts.push(mount),
        }
    }
    SpecBuilder::default()
        .version("1.0.2")
        .hostname(task.hostname.as_deref().unwrap_or(HOSTNAME))
        .root(
            RootBuilder::default()
                .path(task.root.clone())
                .readonly(false)
                .build()?,
        )
        .process(process(task, ground)?)
        .mounts(mounts)
        .linux(linux)
        .build()
}

fn process(task: &Task, ground: Ground) -> Result<Process, OciSpecError> {
    let all = || -> HashSet<Capability> { CAPABILITIES.into_iter().collect() };
    let none = HashSet::default;
    // As the kernel has it after a change of user.
    let held = || if task.uid == 0 { all() } else { none() };
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(all())
        .permitted(held())
        .effective(held())
        .inheritable(none())
        .ambient(none())
        .build()?;
    let user = UserBuilder::default()
        .uid(task.uid)
        .gid(task.gid)
        .additional_gids(if ground.groups {
            task.groups.clone()
        } else {
            Vec::new()
        })
        .build()?;
    let limits = [
        (
            PosixRlimitType::RlimitFsize,
            task.file_size.map(|size| (size, size)),
        ),
        (PosixRlimitType::RlimitNofile, task.open_files),
    ];
    let mut rlimits = Vec::new();
    for (kind, limit) in limits {
        if let Some((soft, hard)) = limit {
            rlimits.push(
                PosixRlimitBuilder::default()
                    .typ(kind)
                    .soft(soft)
                    .hard(hard)
                    .build()?,
            );
        }
    }
    ProcessBuilder::default()
        .terminal(false)
        .user(user)
        .args(task.args.clone())
        .env(Vec::new())
        .cwd(task.cwd.clone())
        .capabilities(capabilities)
        .rlimits(rlimits)
        .no_new_privileges(false)
        .build()
}

fn mount(kind: &str, source: &str, target: &str, options: &[&str]) -> Result<Mount, OciSpecError> {
    MountBuilder::default()
        .typ(kind)
        .source(source)
        .destination(target)
        .options(
            options
                .iter()
                .map(|&word| word.to_owned())
                .collect::<Vec<_>>(),
        )
        .build()
}

fn defaults(ground: Ground) -> Result<Vec<Mount>, OciSpecError> {
    let inert = ["nosuid", "noexec", "nodev"];
    let mut pts = vec![
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
    ];
    if ground.tty_group {
        pts.push("gid=5");
    }
    let shm = ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"];
    let sys = if ground.user_namespace {
        // A sysfs of one's own takes a network namespace of one's own.
        mount(
            "bind",
            "/sys",
            "/sys",
            &["rbind", "nosuid", "noexec", "nodev", "ro"],
        )?
    } else {
        mount(
            "sysfs",
            "sysfs",
            "/sys",
            &["nosuid", "noexec", "nodev", "ro"],
        )?
    };
    Ok(vec![
        mount("proc", "proc", "/proc", &inert)?,
        mount(
            "tmpfs",
            "tmpfs",
            "/dev",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        )?,
        mount("devpts", "devpts", "/dev/pts", &pts)?,
        mount("tmpfs", "shm", "/dev/shm", &shm)?,
        mount("mqueue", "mqueue", "/dev/mqueue", &inert)?,
        sys,
    ])
}

fn own(of: &TaskMount, ground: Ground) -> Result<Mount, OciSpecError> {
    let target = of.target.to_string_lossy();
    match &of.what {
        TaskMountKind::Bind {
            source,
            read_only,
            inert,
        } => {
            let mut options = vec!["rbind", if *read_only { "ro" } else { "rw" }];
            if *inert {
                options.extend(["nosuid", "noexec", "nodev"]);
            } else if !ground.user_namespace {
                // In a user namespace devices are of no use, and flags of the machine's mounts may
                // not be changed.
                options.push("nodev");
            }
            mount("bind", &source.to_string_lossy(), &target, &options)
        }
        TaskMountKind::Tmpfs { size } => {
            let size = size.map(|size| format!("size={size}"));
            let mut options = vec!["nosuid", "nodev", "noexec", "mode=1777"];
            options.extend(size.as_deref());
            mount("tmpfs", "tmpfs", &target, &options)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_maps_are_read() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        assert!(maps(map, 0) && maps(map, 5) && maps(map, 65536));
        assert!(!maps(map, 65537) && !maps("0 1000 1\n", 5) && !maps("", 0) && !maps("x", 0));
    }
}
