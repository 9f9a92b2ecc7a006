//! Takes away what was not of use for long, or what is too much.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::{
    error::StoreError,
    lock::{Lock, remove},
};

/// What may stay.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct PruneOptions {
    /// of use within this time; whatever its age when `None`
    pub keep_for: Option<Duration>,
    /// bytes in all; any number when `None`
    pub keep_bytes: Option<u64>,
}

/// What was taken away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// bytes on disk
    pub bytes: u64,
    /// blobs, trees, cache mounts, downloads, facts and records
    pub entries: u64,
    /// those that are still there because they could not be removed
    pub kept: u64,
}

struct Entry {
    paths: Vec<PathBuf>,
    /// seconds since 1970
    used: i64,
    bytes: u64,
}

/// Prunes a cache directory; `now` in seconds since 1970.
///
/// # Errors
/// When a run is using it, or it cannot be read.
pub fn prune(root: &Path, options: PruneOptions, now: i64) -> Result<Pruned, StoreError> {
    let lock_path = root.join("locks/in-use");
    // Nothing is removed from a directory that no build has made.
    if lock_path.symlink_metadata().is_err() {
        return Err(StoreError::Host {
            what: format!("pruning {}", root.display()),
            reason: "there is no cache".to_owned(),
        });
    }
    let Some(_lock) = Lock::free(&lock_path)? else {
        return Err(StoreError::Host {
            what: format!("pruning {}", root.display()),
            reason: "a build is using it; try again when it is done".to_owned(),
        });
    };
    let mut entries = entries(root);
    entries.sort_by_key(|entry| entry.used);
    let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let mut pruned = Pruned::default();
    for entry in entries {
        let age = u64::try_from(now.saturating_sub(entry.used)).unwrap_or_default();
        let old = options.keep_for.is_some_and(|keep| age > keep.as_secs());
        let much = options.keep_bytes.is_some_and(|keep| total > keep);
        if !old && !much {
            continue;
        }
        for path in &entry.paths {
            if path.symlink_metadata().is_ok() {
                remove(path);
            }
        }
        let left = |path: &PathBuf| path.symlink_metadata().is_ok();
        if entry.paths.iter().any(left) {
            pruned.kept += 1;
            continue;
        }
        total = total.saturating_sub(entry.bytes);
        pruned.bytes += entry.bytes;
        pruned.entries += 1;
    }
    // Locks of what is no more; nobody can hold one now.
    for path in listed(&root.join("locks")) {
        if path != lock_path {
            let _ = std::fs::remove_file(path);
        }
    }
    Ok(pruned)
}

fn listed(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn used(path: &Path) -> i64 {
    path.symlink_metadata().map_or(0, |meta| meta.mtime())
}

fn size(path: &Path) -> u64 {
    WalkDir::new(path)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .map(|meta| meta.blocks() * 512)
        .sum()
}

/// Each thing with the record that says when it was of use.
fn entries(root: &Path) -> Vec<Entry> {
    let records = root.join("records");
    let mut found = Vec::new();
    let mut add = |paths: Vec<PathBuf>, used: i64| {
        let bytes = paths.iter().map(|path| size(path)).sum();
        found.push(Entry { paths, used, bytes });
    };
    for algorithm in listed(&root.join("blobs")) {
        for blob in listed(&algorithm) {
            let record = records
                .join("blobs")
                .join(blob.file_name().unwrap_or_default());
            let last = used(&record).max(used(&blob));
            add(vec![blob, record], last);
        }
    }
    for facts in listed(&root.join("facts")) {
        let record = records
            .join("facts")
            .join(facts.file_name().unwrap_or_default());
        let last = used(&record);
        add(vec![facts, record], last);
    }
    for kind in listed(&root.join("trees")) {
        let word = kind
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for tree in listed(&kind) {
            let marker = records
                .join(format!("trees-{word}"))
                .join(tree.file_name().unwrap_or_default());
            let last = used(&marker);
            add(vec![marker, tree], last);
        }
    }
    for mount in listed(&root.join("mounts")) {
        let last = listed(&mount).iter().map(|path| used(path)).max();
        let last = last.unwrap_or_default().max(used(&mount));
        add(vec![mount], last);
    }
    for file in listed(&root.join("downloads")) {
        let last = used(&file);
        add(vec![file], last);
    }
    for kind in listed(&records) {
        let name = kind
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name != "blobs" && name != "facts" && !name.starts_with("trees-") {
            for record in listed(&kind) {
                let last = used(&record);
                add(vec![record], last);
            }
        }
    }
    found
}
