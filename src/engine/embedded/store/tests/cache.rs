//! Damage, dead runs, pruning, and what several runs share.

use std::fs;

use super::{hostile::Hostile, make};
use crate::{
    engine::embedded::{
        graph::Sharing,
        store::{
            CacheMount, PruneOptions, SnapshotMode, Store,
            dir::{Dir, name},
            prune,
        },
    },
    oci::sha256,
};

#[test]
fn a_damaged_entry_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
    let layer = make(&store, &[], |root| fs::write(root.join("f"), "f").unwrap());
    assert!(store.has_blob(&layer.digest, layer.size));
    let path = store.blob_path(&layer.digest);
    let bytes = fs::read(&path).unwrap();
    // The same bytes written by something else, such as the restore of a cache.
    fs::remove_file(&path).unwrap();
    fs::write(&path, &bytes).unwrap();
    assert!(store.has_blob(&layer.digest, layer.size));
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&path, changed).unwrap();
    assert!(!store.has_blob(&layer.digest, layer.size));
    assert!(!path.exists());

    let key = sha256(b"key");
    store.put_record("steps", &key, &"value").unwrap();
    assert_eq!(
        store.record::<String>("steps", &key).as_deref(),
        Some("value")
    );
    let path = dir.path().join("records/steps").join(key.digest());
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("value", "other")).unwrap();
    assert_eq!(store.record::<String>("steps", &key), None);
    fs::write(&path, &text[..text.len() - 3]).unwrap();
    assert_eq!(store.record::<String>("steps", &key), None);
}

#[test]
fn what_a_dead_run_left_is_swept_and_a_living_one_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let living = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
    let kept = living.temporary_dir().unwrap();
    let dead = dir.path().join("tmp/run-dead");
    fs::create_dir_all(dead.join("deep/er")).unwrap();
    fs::write(dir.path().join("tmp/run-dead.lock"), "").unwrap();
    let other = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
    assert!(kept.exists());
    assert!(!dead.exists());
    drop((living, other));
    assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn pruning_takes_the_oldest_first_and_waits_for_builds() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
    let now = i64::try_from(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs(),
    )
    .unwrap();
    let layer = make(&store, &[], |root| fs::write(root.join("f"), "f").unwrap());
    let all = PruneOptions {
        keep_for: None,
        keep_bytes: Some(0),
    };
    assert!(prune(dir.path(), all, now).is_err());
    drop(store);
    let week = PruneOptions {
        keep_for: Some(std::time::Duration::from_hours(168)),
        keep_bytes: None,
    };
    assert_eq!(prune(dir.path(), week, now).unwrap().entries, 0);
    let pruned = prune(dir.path(), week, now + 8 * 86_400).unwrap();
    assert!(pruned.entries >= 2 && pruned.bytes > 0, "{pruned:?}");
    let store = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
    assert!(!store.has_blob(&layer.digest, layer.size));
}

#[test]
fn what_dead_runs_left_is_swept_and_what_living_ones_hold_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let tmp = dir.path().join("tmp");
    let living = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
    let held = living.temporary_dir().unwrap();
    // Killed while it worked, and killed between the two removals at its end.
    fs::create_dir_all(tmp.join("run-dead/1")).unwrap();
    fs::write(tmp.join("run-dead.lock"), "").unwrap();
    fs::write(tmp.join("run-late.lock"), "").unwrap();
    let names = || -> Vec<String> {
        let entries = fs::read_dir(&tmp).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let other = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
    assert!(held.exists());
    assert_eq!(names().len(), 4, "{:?}", names());
    drop((living, other));
    assert_eq!(names(), Vec::<String>::new());
}

#[test]
fn prune_touches_no_directory_that_is_no_cache() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("blobs/sha256")).unwrap();
    fs::write(dir.path().join("blobs/sha256/mine"), "mine").unwrap();
    let all = PruneOptions {
        keep_for: None,
        keep_bytes: Some(0),
    };
    assert!(prune(dir.path(), all, 0).is_err());
    assert!(dir.path().join("blobs/sha256/mine").exists());
}

#[test]
fn cache_mounts_are_shared_locked_or_private() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
    let other = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
    let take = |store: &Store, sharing| -> Option<CacheMount> {
        store
            .cache_mount("id", "", sharing, &|_| Ok(()), &|| true)
            .unwrap()
    };
    let one = take(&store, Sharing::Shared).unwrap();
    let two = take(&other, Sharing::Shared).unwrap();
    assert_eq!(one.path(), two.path());
    assert!(take(&other, Sharing::Locked).is_none());
    let own = take(&other, Sharing::Private).unwrap();
    assert_ne!(own.path(), one.path());
    drop((one, two));
    let locked = take(&store, Sharing::Locked).unwrap();
    assert!(take(&other, Sharing::Locked).is_none());
    drop(locked);
    assert!(take(&other, Sharing::Locked).is_some());
}

#[test]
fn directories_are_removed_however_deep() {
    let dir = tempfile::tempdir().unwrap();
    let top = Dir::open(dir.path()).unwrap();
    let d = name(b"d").unwrap();
    let mut at = top.inside(b"").unwrap();
    for _ in 0..5000 {
        at.mkdir(&d, 0o700).unwrap();
        at = at.child(&d).unwrap();
        at.create(&name(b"file").unwrap()).unwrap();
    }
    top.remove(&d).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_blob_stays_when_somebody_claims_another_size_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
    let layer = Hostile::new().file("f", "x").store(&store);
    assert!(!store.has_blob(&layer.digest, layer.size + 1));
    assert!(store.has_blob(&layer.digest, layer.size));
}

#[test]
fn two_runs_unpack_into_one_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mode = SnapshotMode::Copy;
    let layer = {
        let store = Store::open(dir.path(), mode).unwrap();
        let mut layer = Hostile::new();
        for number in 0..200 {
            layer = layer.file(&format!("d/{number}"), "x");
        }
        layer.store(&store)
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let store = Store::open(dir.path(), mode).unwrap();
                let view = store.view(std::slice::from_ref(&layer)).unwrap();
                assert_eq!(fs::read_dir(view.path().join("d")).unwrap().count(), 200);
            });
        }
    });
}

#[test]
fn nobody_else_reaches_what_steps_leave() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("mounts")).unwrap();
    let _store = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
    for part in ["trees", "mounts", "tmp"] {
        let mode = fs::metadata(dir.path().join(part))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o700, "{part}");
    }
}
