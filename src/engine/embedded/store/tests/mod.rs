//! What all tests of the cache directory share.

mod cache;
mod facts;
mod hostile;
mod layers;

use std::{
    collections::BTreeMap, fs, num::NonZeroUsize, os::unix::fs::MetadataExt as _, path::Path,
};

use super::{LayerCompression, LayerOptions, SnapshotMode, Store, blobs::Layer};
use crate::oci::sha256;

/// Both kinds of snapshots; overlays only where they can be mounted.
fn modes() -> Vec<SnapshotMode> {
    let mut modes = vec![SnapshotMode::Copy];
    let overlay = SnapshotMode::Overlay { userxattr: false };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), overlay).unwrap();
    let base = make(&store, &[], |root| fs::write(root.join("a"), "a").unwrap());
    if store.snapshot(&[base]).is_ok() {
        modes.push(overlay);
    } else {
        tracing::warn!("skipped: overlays cannot be mounted here");
        assert!(std::env::var_os("PLIMSOLL_TEST_STRICT").is_none_or(|v| v != "1"));
    }
    modes
}

fn options(threads: usize) -> LayerOptions {
    LayerOptions {
        compression: LayerCompression::Gzip,
        epoch: None,
        threads: NonZeroUsize::new(threads).unwrap(),
    }
}

fn make(store: &Store, base: &[Layer], change: impl FnOnce(&Path)) -> Layer {
    let snapshot = store.snapshot(base).unwrap();
    change(snapshot.root());
    snapshot.commit(options(2), 0).unwrap()
}

/// A tree as lines: everything a layer keeps, times excepted.
fn listing(root: &Path) -> BTreeMap<String, String> {
    let mut first: BTreeMap<u64, String> = BTreeMap::new();
    let mut lines = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(root).unwrap();
        let meta = entry.path().symlink_metadata().unwrap();
        let name = path.display().to_string();
        if name.is_empty() {
            continue;
        }
        let content = if meta.is_symlink() {
            format!("→{}", fs::read_link(entry.path()).unwrap().display())
        } else if meta.is_file() {
            sha256(&fs::read(entry.path()).unwrap()).to_string()
        } else {
            String::new()
        };
        let same = if meta.nlink() > 1 && !meta.is_dir() {
            first
                .entry(meta.ino())
                .or_insert_with(|| name.clone())
                .clone()
        } else {
            String::new()
        };
        let line = format!(
            "{:o} {}:{} {content} {same}",
            meta.mode(),
            meta.uid(),
            meta.gid()
        );
        lines.insert(name, line);
    }
    lines
}

/// The names of a layer as GNU tar reads them.
fn names(store: &Store, layer: &Layer) -> Vec<String> {
    let output = std::process::Command::new("tar")
        .arg("-tzf")
        .arg(store.blob_path(&layer.digest))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}
