//! Trees become layers, and layers trees.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{listing, make, modes, names, options};
use crate::{
    engine::embedded::store::{
        LayerCompression, LayerOptions, SnapshotMode, Store,
        blobs::{Layer, chain_id},
    },
    oci::{DiffId, sha256},
};

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
        layers.push(snapshot.commit(options(threads), 0).unwrap());
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
        let layer = snapshot.commit(options, 0).unwrap();
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
        let error = snapshot.commit(options(1), 0).unwrap_err();
        assert!(error.to_string().contains("/null"), "{error}");
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
        layers.push(snapshot.commit(options(1), 0).unwrap());
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
