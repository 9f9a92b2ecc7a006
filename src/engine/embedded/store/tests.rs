#![expect(clippy::disallowed_methods, reason = "tests make and read trees")]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read as _, Write as _},
    num::NonZeroUsize,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{
    CacheMount, LayerCompression, LayerOptions, PruneOptions, SnapshotMode, Store,
    blobs::{Layer, chain_id},
    prune,
};
use crate::{
    engine::embedded::graph::Sharing,
    oci::{DiffId, MediaType, sha256},
};

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
    snapshot.commit(options(2), 0, None).unwrap()
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

#[test]
fn a_layer_says_what_changed_and_nothing_else() {
    for mode in modes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), mode).unwrap();
        let base = make(&store, &[], |root| {
            fs::create_dir_all(root.join("etc/conf")).unwrap();
            fs::create_dir_all(root.join("gone/below")).unwrap();
            fs::create_dir_all(root.join("again/old")).unwrap();
            fs::write(root.join("etc/kept"), "kept").unwrap();
            fs::write(root.join("etc/conf/changed"), "before").unwrap();
            fs::write(root.join("etc/deleted"), "x").unwrap();
            fs::write(root.join("again/old/file"), "x").unwrap();
            fs::write(root.join("was-file"), "x").unwrap();
        });
        let layer = make(&store, std::slice::from_ref(&base), |root| {
            fs::write(root.join("etc/conf/changed"), "after!").unwrap();
            fs::remove_file(root.join("etc/deleted")).unwrap();
            fs::remove_dir_all(root.join("gone")).unwrap();
            fs::remove_dir_all(root.join("again")).unwrap();
            fs::create_dir(root.join("again")).unwrap();
            fs::write(root.join("again/new"), "x").unwrap();
            fs::remove_file(root.join("was-file")).unwrap();
            fs::create_dir(root.join("was-file")).unwrap();
            fs::write(root.join("touched"), "x").unwrap();
            fs::remove_file(root.join("touched")).unwrap();
        });
        let mut found = names(&store, &layer);
        let opaque = found.iter().any(|name| name == "again/.wh..wh..opq");
        assert_eq!(opaque, mode != SnapshotMode::Copy, "{found:?}");
        found.retain(|name| name != "again/.wh..wh..opq" && name != "again/.wh.old");
        assert_eq!(
            found,
            [
                "again/",
                "again/new",
                "etc/",
                "etc/conf/",
                "etc/conf/changed",
                "etc/.wh.deleted",
                ".wh.gone",
                "was-file/"
            ],
            "{mode:?}"
        );
    }
}

#[test]
fn nothing_changed_is_an_empty_layer() {
    for mode in modes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), mode).unwrap();
        let none = make(&store, &[], |_| ());
        assert!(names(&store, &none).is_empty(), "{mode:?}");
        let base = make(&store, &[], |root| {
            fs::create_dir(root.join("d")).unwrap();
            fs::write(root.join("d/f"), "f").unwrap();
        });
        let same = make(&store, std::slice::from_ref(&base), |root| {
            fs::write(root.join("d/g"), "g").unwrap();
            fs::remove_file(root.join("d/g")).unwrap();
        });
        assert!(names(&store, &same).is_empty(), "{mode:?}");
        // Two of them on each other are two trees, not one in two places.
        let chain = [base, same.clone(), same];
        let last = make(&store, &chain, |root| {
            assert!(root.join("d/f").exists());
            fs::write(root.join("d/h"), "h").unwrap();
        });
        assert_eq!(names(&store, &last), ["d/", "d/h"], "{mode:?}");
    }
}

#[test]
fn a_change_that_hides_in_the_times_is_seen_in_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
    let base = make(&store, &[], |root| {
        fs::write(root.join("f"), "one").unwrap();
    });
    let layer = make(&store, &[base], |root| {
        let path = root.join("f");
        let time = path.metadata().unwrap().modified().unwrap();
        let mut file = File::options().write(true).open(&path).unwrap();
        file.write_all(b"two").unwrap();
        file.set_modified(time).unwrap();
    });
    assert_eq!(names(&store, &layer), ["f"]);
}

#[test]
fn links_capabilities_and_set_id_bits_survive() {
    for mode in modes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), mode).unwrap();
        let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let layer = make(&store, &[], |root| {
            let file = root.join("bin");
            fs::write(&file, "x").unwrap();
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&file, "security.capability", &capability, flags).unwrap();
            fs::write(root.join("su"), "x").unwrap();
            fs::set_permissions(root.join("su"), fs::Permissions::from_mode(0o4755)).unwrap();
            fs::hard_link(root.join("su"), root.join("su2")).unwrap();
            symlink("/nowhere/at all", root.join("link")).unwrap();
            std::os::unix::fs::chown(root.join("bin"), Some(70_000), Some(3_000_000)).unwrap();
            rustix::fs::setxattr(&file, "security.capability", &capability, flags).unwrap();
            fs::create_dir(root.join("d".repeat(200))).unwrap();
            fs::write(root.join("d".repeat(200)).join("é".repeat(100)), "x").unwrap();
        });
        // As another run with an empty directory sees it.
        let other = tempfile::tempdir().unwrap();
        let second = Store::open(other.path(), mode).unwrap();
        let blob = store.open_blob(&layer.digest).unwrap();
        second.put_blob(blob, &layer.descriptor()).unwrap();
        let (one, two) = (
            store.view(std::slice::from_ref(&layer)).unwrap(),
            second.view(std::slice::from_ref(&layer)).unwrap(),
        );
        let found = listing(two.path());
        assert_eq!(listing(one.path()), found);
        assert!(found["su2"].starts_with("104755 0:0"), "{found:?}");
        assert!(found["su2"].ends_with(" su"), "{found:?}");
        assert!(found["bin"].contains("70000:3000000"), "{found:?}");
        let mut value = [0; 64];
        let length = rustix::fs::getxattr(
            two.path().join("bin"),
            "security.capability",
            &mut value[..],
        )
        .unwrap();
        assert_eq!(value[..length], capability);
    }
}

#[test]
fn the_same_tree_has_the_same_digest_for_any_number_of_threads() {
    let fill = |root: &Path| {
        let mut state = 1_u32;
        let bytes: Vec<u8> = (0..3_500_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                u8::try_from(state >> 28).unwrap()
            })
            .collect();
        fs::write(root.join("big"), bytes).unwrap();
        let file = File::options().write(true).open(root.join("big")).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    };
    let mut layers = Vec::new();
    for threads in [1, 2, 5] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
        let snapshot = store.snapshot(&[]).unwrap();
        fill(snapshot.root());
        layers.push(snapshot.commit(options(threads), 0, None).unwrap());
        let size = layers.last().unwrap().size;
        assert!(size < 3_000_000, "{size}");
    }
    assert_eq!(layers[0], layers[1]);
    assert_eq!(layers[0], layers[2]);
}

#[test]
fn each_compression_is_read_again_and_times_stop_at_the_epoch() {
    for compression in [
        LayerCompression::Gzip,
        LayerCompression::Zstd,
        LayerCompression::None,
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
        let snapshot = store.snapshot(&[]).unwrap();
        fs::write(snapshot.root().join("f"), "text").unwrap();
        let options = LayerOptions {
            compression,
            epoch: Some(1_000_000),
            ..options(1)
        };
        let mut tee = Vec::new();
        let layer = snapshot.commit(options, 0, Some(&mut tee)).unwrap();
        assert_eq!(sha256(&tee), layer.diff_id.0);
        let other = tempfile::tempdir().unwrap();
        let second = Store::open(other.path(), SnapshotMode::Copy).unwrap();
        let blob = store.open_blob(&layer.digest).unwrap();
        second.put_blob(blob, &layer.descriptor()).unwrap();
        let view = second.view(&[layer]).unwrap();
        let file = view.path().join("f");
        assert_eq!(fs::read_to_string(&file).unwrap(), "text");
        assert_eq!(file.metadata().unwrap().mtime(), 1_000_000);
    }
}

#[test]
fn devices_are_refused_and_sockets_left_out() {
    for mode in modes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), mode).unwrap();
        let layer = make(&store, &[], |root| {
            std::os::unix::net::UnixListener::bind(root.join("s")).unwrap();
            fs::write(root.join("f"), "f").unwrap();
        });
        assert_eq!(names(&store, &layer), ["f"]);
        let snapshot = store.snapshot(&[]).unwrap();
        let null = rustix::fs::makedev(1, 3);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            snapshot.root().join("null"),
            rustix::fs::FileType::CharacterDevice,
            rustix::fs::Mode::from_raw_mode(0o666),
            null,
        )
        .unwrap();
        let error = snapshot.commit(options(1), 0, None).unwrap_err();
        assert!(error.to_string().contains("/null"), "{error}");
    }
}

/// A layer of entries as hostile writers make them.
struct Hostile(tar::Builder<Vec<u8>>);

impl Hostile {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn add(mut self, path: &str, kind: tar::EntryType, link: &str, content: &str) -> Self {
        let mut header = tar::Header::new_gnu();
        // `set_path` of the library would refuse what is wanted here.
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.append(&header, content.as_bytes()).unwrap();
        self
    }

    fn file(self, path: &str, content: &str) -> Self {
        self.add(path, tar::EntryType::Regular, "", content)
    }

    fn store(self, store: &Store) -> Layer {
        let bytes = self.0.into_inner().unwrap();
        let digest = sha256(&bytes);
        let layer = Layer {
            diff_id: DiffId(digest.clone()),
            digest,
            size: bytes.len() as u64,
            media_type: MediaType::ImageLayer.to_string(),
            created: None,
        };
        store.put_blob(&bytes[..], &layer.descriptor()).unwrap();
        layer
    }
}

#[test]
fn a_hard_link_has_a_mode_of_its_own_and_the_last_one_counts() {
    for mode in modes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), mode).unwrap();
        // Of a mode that the links, as `add` makes them, do not have.
        let base = make(&store, &[], |root| {
            fs::write(root.join("f"), "f").unwrap();
            fs::set_permissions(root.join("f"), fs::Permissions::from_mode(0o600)).unwrap();
            symlink("/outside", root.join("l")).unwrap();
        });
        let link = tar::EntryType::Link;
        let layer = Hostile::new()
            .add("second", link, "f", "")
            .add("m", link, "l", "")
            .store(&store);
        let view = store.view(&[base, layer]).unwrap();
        let files = listing(view.path());
        let found = fs::symlink_metadata(view.path().join("second")).unwrap();
        assert_eq!(found.mode() & 0o7777, 0o755, "{mode:?} {files:?}");
        let link = fs::read_link(view.path().join("m")).unwrap();
        assert_eq!(link, Path::new("/outside"));
    }
}

#[test]
fn a_new_name_of_a_file_of_the_base_is_a_file_of_its_own_in_the_layer() {
    for mode in modes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), mode).unwrap();
        let base = make(&store, &[], |root| {
            fs::write(root.join("old"), "old").unwrap();
        });
        let layer = make(&store, std::slice::from_ref(&base), |root| {
            fs::hard_link(root.join("old"), root.join("new")).unwrap();
            fs::hard_link(root.join("old"), root.join("newer")).unwrap();
        });
        assert_eq!(names(&store, &layer), ["new", "newer"], "{mode:?}");
        let view = store.view(&[base, layer]).unwrap();
        for name in ["old", "new", "newer"] {
            assert_eq!(fs::read_to_string(view.path().join(name)).unwrap(), "old");
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn hostile_layers_stay_inside_or_are_refused() {
    use tar::EntryType::{Block, Char, Directory, Link, Symlink};
    for mode in modes() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        let out = outside.to_str().unwrap().to_owned();
        let secret = format!("{out}/secret");
        let cache = dir.path().join("cache");
        let store = Store::open(&cache, mode).unwrap();
        let none = "";
        for (layer, wanted) in [
            (Hostile::new().file("../escaped", "x"), "leads out"),
            (Hostile::new().file("a/../../escaped", "x"), "leads out"),
            (Hostile::new().add("dev", Char, none, none), "device"),
            (Hostile::new().add("dev", Block, none, none), "device"),
            (Hostile::new().add("hard", Link, &secret, none), "not there"),
            (
                Hostile::new().add("hard", Link, "../../outside/secret", none),
                "leads out",
            ),
            (
                Hostile::new()
                    .add("l", Symlink, &out, none)
                    .add("hard", Link, "l/secret", none),
                "not there",
            ),
            (
                Hostile::new()
                    .add("d", Directory, none, none)
                    .add("hard", Link, "d", none),
                "to a directory",
            ),
            (Hostile::new().file(".wh.", ""), "whiteout"),
            (Hostile::new().file(".wh...", ""), "whiteout"),
            (Hostile::new().file("a/.wh..", ""), ""),
            (
                Hostile::new().file("f", "x").file("f/below", "x"),
                "no directory",
            ),
        ] {
            let layer = layer.store(&store);
            match store.view(&[layer]) {
                Err(error) => {
                    let text = error.to_string();
                    assert!(
                        !wanted.is_empty() && text.contains(wanted),
                        "{wanted}: {text}"
                    );
                }
                Ok(_) => assert_eq!(wanted, ""),
            }
        }
        // A link is followed as if the tree's root were `/`.
        let layer = Hostile::new()
            .add("l", Symlink, &out, none)
            .file("l/secret", "overwritten")
            .store(&store);
        assert!(store.view(&[layer]).is_err());
        let layer = Hostile::new()
            .add("usr", Directory, none, none)
            .add("usr/lib", Directory, none, none)
            .add("lib", Symlink, "/usr/lib", none)
            .file("lib/inside", "x")
            .file("/absolute", "x")
            .file("twice", "one")
            .file("twice", "two")
            .store(&store);
        let view = store.view(&[layer]).unwrap();
        assert!(view.path().join("usr/lib/inside").is_file());
        assert!(view.path().join("absolute").is_file());
        assert_eq!(
            fs::read_to_string(view.path().join("twice")).unwrap(),
            "two"
        );
        assert_eq!(
            fs::read_to_string(outside.join("secret")).unwrap(),
            "secret"
        );
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    }
}

#[test]
fn whiteouts_are_about_the_layers_below() {
    for mode in modes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), mode).unwrap();
        let base = Hostile::new()
            .file("d/old", "x")
            .file("d/sub/old", "x")
            .file("e/old", "x")
            .store(&store);
        let top = Hostile::new()
            .file("d/new", "x")
            .file("d/sub/new", "x")
            .file("d/.wh..wh..opq", "")
            .file("e/new", "x")
            .file("e/.wh.new", "")
            .file("e/.wh.old", "")
            .file("e/.wh.never", "")
            .store(&store);
        let view = store.view(&[base, top]).unwrap();
        let found: Vec<String> = listing(view.path()).into_keys().collect();
        assert_eq!(
            found,
            ["d", "d/new", "d/sub", "d/sub/new", "e", "e/new"],
            "{mode:?}"
        );
    }
}

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

/// One change of a random tree.
#[derive(Debug, Clone)]
enum Change {
    Write(String, String),
    Directory(String),
    Remove(String),
    Symlink(String, String),
    HardLink(String, String),
    Mode(String, u32),
    Rename(String, String),
}

impl Change {
    /// Does what can be done; the rest is left out.
    fn apply(&self, root: &Path) {
        let _ = match self {
            Self::Write(path, text) => fs::write(root.join(path), text),
            Self::Directory(path) => fs::create_dir_all(root.join(path)),
            Self::Remove(path) => {
                fs::remove_file(root.join(path)).or_else(|_| fs::remove_dir_all(root.join(path)))
            }
            Self::Symlink(path, target) => symlink(target, root.join(path)),
            Self::HardLink(path, target) => fs::hard_link(root.join(target), root.join(path)),
            Self::Mode(path, mode) => match root.join(path).symlink_metadata() {
                Ok(meta) if !meta.is_symlink() => {
                    fs::set_permissions(root.join(path), fs::Permissions::from_mode(*mode))
                }
                _ => Ok(()),
            },
            Self::Rename(path, to) => fs::rename(root.join(path), root.join(to)),
        };
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let path = "[ab](/[ab]){0,2}";
    let change = prop_oneof![
        (path, "[xy]{0,3}").prop_map(|(p, t)| Change::Write(p, t)),
        path.prop_map(Change::Directory),
        path.prop_map(Change::Remove),
        (path, "[ab]/c").prop_map(|(p, t)| Change::Symlink(p, t)),
        (path, path).prop_map(|(p, t)| Change::HardLink(p, t)),
        (path, 0o700..=0o777_u32).prop_map(|(p, m)| Change::Mode(p, m)),
        (path, path).prop_map(|(p, t)| Change::Rename(p, t)),
    ];
    prop::collection::vec(change, 0..12)
}

/// Files by content and metadata; who shares an inode with whom is lost where only one of the
/// names is in the layer.
fn without_links(tree: BTreeMap<String, String>) -> BTreeMap<String, String> {
    tree.into_iter()
        .map(|(name, line)| {
            let cut = line.rfind(' ').unwrap();
            (name, line[..cut].to_owned())
        })
        .collect()
}

fn round_trip(mode: SnapshotMode, steps: &[Vec<Change>]) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), mode).unwrap();
    let other = tempfile::tempdir().unwrap();
    let second = Store::open(other.path(), mode).unwrap();
    let mut layers = Vec::new();
    for step in steps {
        let snapshot = store.snapshot(&layers).unwrap();
        for change in step {
            change.apply(snapshot.root());
        }
        let wanted = without_links(listing(snapshot.root()));
        layers.push(snapshot.commit(options(1), 0, None).unwrap());
        if let Some(layer) = layers.last() {
            let blob = store.open_blob(&layer.digest).unwrap();
            second.put_blob(blob, &layer.descriptor()).unwrap();
        }
        for store in [&store, &second] {
            let view = store.view(&layers).unwrap();
            assert_eq!(without_links(listing(view.path())), wanted, "{mode:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn layers_over_layers_give_the_tree_that_was(steps in prop::collection::vec(changes(), 1..4)) {
        static MODES: std::sync::LazyLock<Vec<SnapshotMode>> = std::sync::LazyLock::new(modes);
        for &mode in MODES.iter() {
            round_trip(mode, &steps);
        }
    }
}

#[test]
fn chain_ids_are_those_of_the_specification() {
    let layer = |text: &str| Layer {
        diff_id: DiffId(sha256(text.as_bytes())),
        digest: sha256(b""),
        size: 0,
        media_type: String::new(),
        created: None,
    };
    let layers = [layer("a"), layer("b")];
    assert_eq!(chain_id(&[]), None);
    assert_eq!(chain_id(&layers[..1]).unwrap(), sha256(b"a"));
    let both = format!("{} {}", sha256(b"a"), sha256(b"b"));
    assert_eq!(chain_id(&layers).unwrap(), sha256(both.as_bytes()));
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
fn a_gzip_of_many_members_is_one_stream_to_others() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path(), SnapshotMode::Copy).unwrap();
    let layer = make(&store, &[], |root| {
        fs::write(root.join("big"), vec![7; 5 << 20]).unwrap();
    });
    let output = std::process::Command::new("gzip")
        .arg("-dc")
        .stdin(store.open_blob(&layer.digest).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(sha256(&output.stdout), layer.diff_id.0);
    let mut start = [0; 4];
    store
        .open_blob(&layer.digest)
        .unwrap()
        .read_exact(&mut start)
        .unwrap();
    assert_eq!(start, [0x1f, 0x8b, 8, 0]);
}
