//! What is noted of layers for a scan.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use super::{make, modes};
use crate::{
    engine::embedded::store::{
        KeptFacts, PruneOptions, SnapshotMode, Store, blobs::Layer, lock, prune,
    },
    inventory::{LayerKey, LayerMemory as _},
    oci::Digest,
};

fn key(layer: &Layer) -> Digest {
    LayerKey::of(&layer.descriptor(), &layer.diff_id).digest()
}

fn facts(root: &Path) -> Vec<std::path::PathBuf> {
    let listed = fs::read_dir(root.join("facts")).unwrap();
    listed.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_layer_is_known_once_it_was_written_or_unpacked() {
    for mode in modes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), mode).unwrap();
        let base = make(&store, &[], |root| fs::write(root.join("a"), "a").unwrap());
        let upper = make(&store, std::slice::from_ref(&base), |root| {
            fs::write(root.join("b"), "b").unwrap();
            fs::remove_file(root.join("a")).unwrap();
        });
        let nothing = make(&store, &[base.clone(), upper.clone()], |_| {});
        let written = KeptFacts::of(dir.path());
        let other = tempfile::tempdir().unwrap();
        let second = Store::open(other.path(), mode).unwrap();
        let layers = [base, upper, nothing];
        for layer in &layers {
            let blob = store.open_blob(&layer.digest).unwrap();
            second.put_blob(blob, &layer.descriptor()).unwrap();
        }
        second.view(&layers).unwrap();
        let unpacked = KeptFacts::of(other.path());
        for layer in &layers {
            let known = written.recall(&key(layer)).unwrap();
            assert_eq!(unpacked.recall(&key(layer)), Some(known), "{mode:?}");
        }
    }
}

#[test]
fn facts_that_were_touched_or_come_from_elsewhere_are_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
    let layer = make(&store, &[], |root| fs::write(root.join("a"), "a").unwrap());
    let key = key(&layer);
    let known = KeptFacts::of(dir.path());
    let bytes = known.recall(&key).unwrap();
    let [path] = &facts(dir.path())[..] else {
        panic!("one layer")
    };
    // As an archive restores a cache: same content, same times of the content.
    let before = fs::metadata(path).unwrap();
    let copy = dir.path().join("copy");
    fs::write(&copy, &bytes).unwrap();
    let times = fs::FileTimes::new().set_modified(before.modified().unwrap());
    fs::File::options()
        .write(true)
        .open(&copy)
        .unwrap()
        .set_times(times)
        .unwrap();
    fs::rename(&copy, path).unwrap();
    assert_eq!(
        fs::metadata(path).unwrap().mtime_nsec(),
        before.mtime_nsec()
    );
    assert_eq!(known.recall(&key), None);
    // Somebody scanned the layer and noted it again.
    known.keep(&key, &bytes);
    assert_eq!(known.recall(&key).as_ref(), Some(&bytes));
    // Written over in place, the time of the content put back.
    let before = fs::metadata(path).unwrap();
    let mut changed = bytes.clone();
    changed[20] ^= 1;
    fs::write(path, &changed).unwrap();
    let times = fs::FileTimes::new().set_modified(before.modified().unwrap());
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_times(times)
        .unwrap();
    assert_eq!(known.recall(&key), None);
    known.keep(&key, &bytes);
    // The record without the file, the file without the record.
    let record = dir.path().join("records/facts").join(key.digest());
    fs::write(&record, "sha256:0\n{}").unwrap();
    assert_eq!(known.recall(&key), None);
    known.keep(&key, &bytes);
    fs::remove_file(path).unwrap();
    assert_eq!(known.recall(&key), None);
    // A link to what somebody else keeps is not followed.
    fs::write(&copy, &bytes).unwrap();
    std::os::unix::fs::symlink(&copy, path).unwrap();
    assert_eq!(known.recall(&key), None);
}

#[test]
fn who_notes_the_same_layer_at_once_leaves_what_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
    let layer = make(&store, &[], |root| fs::write(root.join("a"), "a").unwrap());
    let known = KeptFacts::of(dir.path());
    let bytes = known.recall(&key(&layer)).unwrap();
    for _ in 0..30 {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| known.keep(&key(&layer), &bytes));
            }
        });
        assert_eq!(known.recall(&key(&layer)).as_ref(), Some(&bytes));
    }
}

#[test]
fn facts_are_pruned_and_leave_no_litter() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
    let layer = make(&store, &[], |root| fs::write(root.join("a"), "a").unwrap());
    let bytes = KeptFacts::of(dir.path()).recall(&key(&layer)).unwrap();
    drop(store);
    let known = KeptFacts::of(dir.path());
    known.keep(&key(&layer), &bytes);
    drop(known);
    assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
    let all = PruneOptions {
        keep_bytes: Some(0),
        ..PruneOptions::default()
    };
    prune(dir.path(), all, 0).unwrap();
    assert_eq!(facts(dir.path()).len(), 0);
    assert!(
        lock::Lock::free(&dir.path().join("locks/in-use"))
            .unwrap()
            .is_some()
    );
    assert_eq!(KeptFacts::of(dir.path()).recall(&key(&layer)), None);
}
