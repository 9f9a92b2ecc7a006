//! Bounds on a step: which are passed, told in the configuration's words.
//!
//! Time is the overseer's. Processes and memory are held by a control group where one can be made;
//! else processes are counted. Disk is measured: what the step wrote into its layer.

use std::{
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{cgroup::Group, processes, wire::Said};
use crate::engine::Limits;

/// Between two looks at processes and disk.
const LOOK: Duration = Duration::from_millis(100);
/// Between two measurements of a layer although the file system lost no room.
const MEASURE: Duration = Duration::from_secs(5);
/// What the kernel calls an overlay.
const OVERLAY: i64 = 0x794c_7630;
/// The kernel's signal for a file that grew too large.
const SIGXFSZ: i32 = 25;
/// What a shell reports for a command that ended so.
const SHELL_SIGXFSZ: i32 = 128 + SIGXFSZ;

/// Looks at one step.
#[derive(Debug)]
pub(super) struct Watch {
    limits: Limits,
    group: Option<Group>,
    /// where what the step writes goes
    layer: PathBuf,
    /// bytes there before the step, when the layer is not apart
    before: u64,
    free: u64,
    looked: Instant,
    measured: Instant,
}

impl Watch {
    pub(super) fn new(limits: Limits, root: &Path, name: &str) -> Self {
        let layer = upper(root);
        let apart = layer != root;
        let before = limits
            .disk
            .filter(|_| !apart)
            .map_or(0, |_| used(&layer, u64::MAX));
        Self {
            limits,
            group: Group::make(&limits, name),
            before,
            layer,
            free: free(root),
            looked: Instant::now(),
            measured: Instant::now(),
        }
    }

    /// Limits that the kernel holds apply to this process from now on.
    pub(super) fn add(&self, pid: u32) -> io::Result<()> {
        self.group.as_ref().map_or(Ok(()), |group| group.add(pid))
    }

    /// The limit that was passed, if one was.
    pub(super) fn passed(&mut self, pid: u32) -> Option<String> {
        if self.looked.elapsed() < LOOK {
            return None;
        }
        self.looked = Instant::now();
        self.grouped()
            .or_else(|| self.counted(pid))
            .or_else(|| self.filled())
    }

    /// The same once the command has ended, which may have been because of it.
    pub(super) fn ended(&mut self, said: &Said) -> Option<String> {
        let failed = !matches!(said, Said::Code(0));
        let large = matches!(said, Said::Signal(SIGXFSZ) | Said::Code(SHELL_SIGXFSZ));
        if let Some(disk) = self.limits.disk.filter(|_| large) {
            return Some(too_full(disk));
        }
        if failed && let Some(what) = self.grouped() {
            return Some(what);
        }
        self.measure(self.limits.disk?)
    }

    fn measure(&self, disk: u64) -> Option<String> {
        let most = disk.saturating_add(self.before);
        (used(&self.layer, most) > most).then(|| too_full(disk))
    }

    fn grouped(&self) -> Option<String> {
        match self.group.as_ref()?.passed()? {
            "memory" => Some(format!(
                "the step passed its limit of {} bytes of memory (build.limits.memory)",
                self.limits.memory.unwrap_or_default()
            )),
            _ => Some(self.too_many()),
        }
    }

    fn too_many(&self) -> String {
        format!(
            "the step passed its limit of {} processes (build.limits.pids)",
            self.limits.pids.unwrap_or_default()
        )
    }

    fn counted(&self, pid: u32) -> Option<String> {
        let limit = self.limits.pids?;
        if self.group.as_ref().is_some_and(Group::counts) {
            return None;
        }
        let count = processes::descendants(pid).len() as u64;
        (count > limit).then(|| self.too_many())
    }

    fn filled(&mut self) -> Option<String> {
        let disk = self.limits.disk?;
        let lost = self.free.saturating_sub(free(&self.layer));
        if lost < disk && self.measured.elapsed() < MEASURE {
            return None;
        }
        self.measured = Instant::now();
        self.measure(disk)
    }
}

fn too_full(limit: u64) -> String {
    format!("the step passed its limit of {limit} bytes of disk (build.limits.disk)")
}

/// Bytes free on the file system of `path`.
fn free(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(0, |stat| stat.f_bfree.saturating_mul(stat.f_frsize))
}

/// Bytes that files below `directory` take, counted until they are more than `enough`.
fn used(directory: &Path, enough: u64) -> u64 {
    let mut sum = 0_u64;
    for entry in walkdir::WalkDir::new(directory).into_iter().flatten() {
        if let Ok(data) = entry.metadata()
            && data.is_file()
        {
            sum = sum.saturating_add(data.blocks().saturating_mul(512));
        }
        if sum > enough {
            break;
        }
    }
    sum
}

/// The directory that an overlay at `root` writes to: the snapshot's, beside it; `root` itself when it
/// is none.
fn upper(root: &Path) -> PathBuf {
    let overlay = rustix::fs::statfs(root).is_ok_and(|stat| stat.f_type == OVERLAY);
    let beside = root.with_file_name("upper");
    if overlay && beside.is_dir() {
        beside
    } else {
        root.to_owned()
    }
}
