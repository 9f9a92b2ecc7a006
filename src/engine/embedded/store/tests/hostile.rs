//! Layers of others: hard links, whiteouts, and what means harm.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};

use super::{listing, make, modes};
use crate::{
    engine::embedded::store::{Store, blobs::Layer},
    oci::{DiffId, MediaType, sha256},
};

/// A layer of entries as hostile writers make them.
pub(super) struct Hostile(tar::Builder<Vec<u8>>);

impl Hostile {
    pub(super) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    pub(super) fn add(
        mut self,
        path: &str,
        kind: tar::EntryType,
        link: &str,
        content: &str,
    ) -> Self {
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

    pub(super) fn file(self, path: &str, content: &str) -> Self {
        self.add(path, tar::EntryType::Regular, "", content)
    }

    pub(super) fn store(self, store: &Store) -> Layer {
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
fn what_a_layer_says_of_a_file_takes_no_more_than_a_limit_of_memory_and_disk() {
    let put = |field: &mut [u8], number: u64| {
        field[0] = 0x80;
        let end = field.len();
        field[end - 8..].copy_from_slice(&number.to_be_bytes());
    };
    // A file of one hole.
    let hole = |size: u64| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..4].copy_from_slice(b"hole");
        header.set_entry_type(tar::EntryType::GNUSparse);
        header.set_mode(0o644);
        for number in [tar::Header::set_uid, tar::Header::set_gid] {
            number(&mut header, 0);
        }
        header.set_mtime(0);
        header.set_size(0);
        let gnu = header.as_gnu_mut().unwrap();
        put(&mut gnu.realsize, size);
        put(&mut gnu.sparse[0].offset, size);
        put(&mut gnu.sparse[0].numbytes, 0);
        header.set_cksum();
        let mut hostile = Hostile::new();
        hostile.0.append(&header, std::io::empty()).unwrap();
        hostile
    };
    for mode in modes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), mode).unwrap();
        let view = store.view(&[hole(1 << 30).store(&store)]).unwrap();
        let found = fs::metadata(view.path().join("hole")).unwrap();
        assert_eq!(found.len(), 1 << 30);
        assert!(found.blocks() < 1024, "{} blocks", found.blocks());
        let error = store.view(&[hole(8 << 30 << 4).store(&store)]).unwrap_err();
        assert!(error.to_string().contains("more than"), "{error}");
        let name = "n".repeat(8 << 20);
        let long = Hostile::new()
            .add("././@LongLink", tar::EntryType::GNULongName, "", &name)
            .file("short", "x");
        let error = store.view(&[long.store(&store)]).unwrap_err();
        let chain = crate::engine::docker::chain(&error);
        assert!(
            chain.contains("exceeds") || chain.contains("too l"),
            "{chain}"
        );
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
