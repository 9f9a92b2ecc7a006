//! What a scan learns of an image: the tree that a container would see, held against a plain
//! implementation of the specification and against trees that other programs unpacked.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests read fixtures, know their own data to be right, and say what they skip"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use plimsoll::{
    oci::{ImageIndex, ImageManifest, ImagePath, LayerIndex},
    subject::{ChangeKind, EntryKind, Fact, Inventory},
};
use proptest::prelude::*;

use crate::layers::{Image, Tar, sha256, show};

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn whiteouts_hide_lower_layers_and_never_their_own() {
    let base = || {
        Tar::default()
            .dir("d/")
            .file("d/a", "a")
            .file("d/b", "b")
            .dir("d/sub")
            .file("d/sub/x", "x")
            .file("d-side", "s")
            .end()
    };
    for (name, upper, want) in [
        (
            "plain",
            Tar::default().dir("d").file("d/.wh.a", ""),
            &[
                "/d dir @1",
                "/d/b file 1 @0",
                "/d/sub dir @0",
                "/d/sub/x file 1 @0",
                "/d-side file 1 @0",
            ][..],
        ),
        (
            "of a directory",
            Tar::default().file(".wh.d", ""),
            &["/d-side file 1 @0"],
        ),
        (
            "opaque, before",
            Tar::default()
                .dir("d")
                .file("d/.wh..wh..opq", "")
                .file("d/new", "new"),
            &["/d dir @1", "/d/new file 3 @1", "/d-side file 1 @0"],
        ),
        (
            "opaque, after",
            Tar::default()
                .dir("d")
                .file("d/sub/new", "new")
                .file("d/.wh..wh..opq", ""),
            &[
                "/d dir @1",
                "/d/sub dir @1",
                "/d/sub/new file 3 @1",
                "/d-side file 1 @0",
            ],
        ),
        (
            "and put again",
            Tar::default().file("d/b", "again").file("d/.wh.b", ""),
            &[
                "/d dir @0",
                "/d/a file 1 @0",
                "/d/b file 5 @1",
                "/d/sub dir @0",
                "/d/sub/x file 1 @0",
                "/d-side file 1 @0",
            ],
        ),
        (
            "of a directory with new files in it",
            Tar::default()
                .file("d/sub/new", "new")
                .file("d/.wh.sub", ""),
            &[
                "/d dir @0",
                "/d/a file 1 @0",
                "/d/b file 1 @0",
                "/d/sub dir @1",
                "/d/sub/new file 3 @1",
                "/d-side file 1 @0",
            ],
        ),
        (
            "names that AUFS keeps",
            Tar::default()
                .file(".wh..wh.plnk", "")
                .file("d/.wh..wh.aufs", ""),
            &[
                "/d dir @0",
                "/d/a file 1 @0",
                "/d/b file 1 @0",
                "/d/sub dir @0",
                "/d/sub/x file 1 @0",
                "/d-side file 1 @0",
            ],
        ),
    ] {
        let mut tree = Image::of([base(), upper.end()]).tree();
        let mut want: Vec<String> = want.iter().map(ToString::to_string).collect();
        tree.sort();
        want.sort();
        assert_eq!(tree, want, "{name}");
    }
}

#[test]
fn later_entries_replace_earlier_ones() {
    let tar = Tar::default()
        .file("a", "first")
        .file("a", "second!")
        .dir("d")
        .file("d/x", "x")
        .file("d", "now a file")
        .file("f", "x")
        .dir("f")
        .symlink("l", "d")
        .dir("l")
        .end();
    assert_eq!(
        Image::of([tar]).tree(),
        ["/a file 7 @0", "/d file 10 @0", "/f dir @0", "/l dir @0"]
    );
}

#[test]
fn hard_links_are_files_of_this_and_of_lower_layers() {
    let image = Image::of([
        Tar::default()
            .file("a", "content")
            .symlink("s", "a")
            .hardlink("b", "./a")
            .end(),
        Tar::default()
            .hardlink("c", "/b")
            .hardlink("t", "s")
            .file("a", "new")
            .end(),
    ]);
    let found = image.scan().unwrap();
    assert_eq!(
        show(&found),
        [
            "/a file 3 @1",
            "/b file 7 @0",
            "/c file 7 @1",
            "/s -> a @0",
            "/t -> a @1"
        ]
    );
    let sha256 = sha256(b"content");
    let want = EntryKind::File { size: 7, sha256 };
    assert_eq!(found.tree[&ImagePath::from("c")].kind, want);
    assert!(
        matches!(&found.layers[1].changes[0].kind, ChangeKind::Put(entry) if entry.kind == want)
    );
}

#[test]
fn entries_below_links_go_where_the_links_lead() {
    let image = Image::of([
        Tar::default()
            .symlink("lib", "usr/lib")
            .dir("usr/")
            .dir("usr/lib")
            .file("lib/a", "a")
            .end(),
        Tar::default()
            .file("lib/b", "b")
            .file("lib/.wh.a", "")
            .end(),
    ]);
    let found = image.scan().unwrap();
    assert_eq!(
        show(&found),
        [
            "/lib -> usr/lib @0",
            "/usr dir @0",
            "/usr/lib dir @0",
            "/usr/lib/b file 1 @1"
        ]
    );
    let paths: Vec<String> = found.layers[1]
        .changes
        .iter()
        .map(|c| c.path.to_string())
        .collect();
    assert_eq!(paths, ["/usr/lib/b", "/usr/lib/a"]);
}

#[test]
fn owners_modes_capabilities_and_kinds_are_kept() {
    let cap = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let long = b"d/".repeat(120);
    let mut device = Tar::header(b'3', b"null", 0, 0o666, b"");
    device[329..336].copy_from_slice(b"0000001");
    device[337..344].copy_from_slice(b"0000003");
    Tar::seal(&mut device);
    let tar = Tar::default()
        .pax(&[
            ("SCHILY.xattr.security.capability", cap),
            ("uid", b"3000000"),
            ("mtime", b"-5.5"),
        ])
        .entry(b'0', "ping", 0o4755, "")
        .raw(&device)
        .entry(b'6', "pipe", 0o600, "")
        .long_name(&[&long[..], b"file"].concat())
        .file("short", "x")
        .end();
    let found = Image::of([tar]).scan().unwrap();
    let ping = &found.tree[&ImagePath::from("ping")];
    assert_eq!((ping.mode, ping.uid, ping.gid), (0o4755, 3_000_000, 0));
    assert_eq!(&ping.caps[..], cap);
    assert_eq!(
        found.tree[&ImagePath::from("null")].kind,
        EntryKind::Device(1, 3)
    );
    assert_eq!(found.tree[&ImagePath::from("pipe")].kind, EntryKind::Fifo);
    let deep = ImagePath::new([&long[..], b"file"].concat());
    assert!(found.tree.contains_key(&deep));
}

#[test]
fn small_files_are_kept_as_the_flattened_tree_shows_them() {
    let found = Image::of([
        Tar::default()
            .file("usr/lib/os-release", "ID=old")
            .symlink("etc/os-release", "../usr/lib/os-release")
            .file("etc/passwd", "root")
            .file("root/buildinfo/labels.json", "{}")
            .end(),
        Tar::default()
            .file("usr/lib/os-release", "ID=rhel")
            .file("etc/.wh.passwd", "")
            .hardlink("etc/group", "usr/lib/os-release")
            .end(),
    ])
    .scan()
    .unwrap();
    let kept: Vec<(String, &[u8])> = found
        .kept
        .iter()
        .map(|(path, content)| (path.to_string(), &content[..]))
        .collect();
    assert_eq!(
        kept,
        [
            ("/etc/group".to_owned(), &b"ID=rhel"[..]),
            ("/root/buildinfo/labels.json".to_owned(), b"{}"),
            ("/usr/lib/os-release".to_owned(), b"ID=rhel"),
        ]
    );
}

#[test]
fn secrets_are_traced_even_when_a_later_layer_deletes_them() {
    let token = format!("GITHUB=ghp_{}\n", "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5");
    // Long enough to lie across two pieces of the stream.
    let long = [&vec![b'\n'; 400_000][..], token.as_bytes()].concat();
    let found = Image::of([
        Tar::default()
            .file("opt/.env", &token)
            .file("opt/long", &long)
            .file("usr/share/doc/x", &token)
            .end(),
        Tar::default().file("opt/.wh..env", "").end(),
    ])
    .scan()
    .unwrap();
    let traces: Vec<(String, LayerIndex, &str, bool)> = found
        .secrets
        .iter()
        .map(|trace| {
            (
                trace.path.to_string(),
                trace.layer,
                trace.what,
                trace.deleted_later,
            )
        })
        .collect();
    assert_eq!(
        traces,
        [
            ("/opt/.env".to_owned(), LayerIndex(0), "GitHub token", true),
            ("/opt/long".to_owned(), LayerIndex(0), "GitHub token", false),
        ]
    );
}

#[test]
fn layers_are_described_with_the_step_that_made_them() {
    let mut image = Image::of([Tar::default().file("a", "x").end(), Tar::default().end()]);
    image.history = vec![
        serde_json::json!({"created_by": "ADD a"}),
        serde_json::json!({"created_by": "ENV x=y", "empty_layer": true}),
        serde_json::json!({"created_by": "RUN true"}),
    ];
    let found = image.scan().unwrap();
    let steps: Vec<_> = found
        .layers
        .iter()
        .map(|layer| layer.created_by.as_deref())
        .collect();
    assert_eq!(steps, [Some("ADD a"), Some("RUN true")]);
    assert_eq!(found.layers[0].uncompressed_size, 2048);
    assert_eq!((found.layers[0].entries, found.layers[1].entries), (1, 0));
    image.history.pop();
    assert!(image.scan().unwrap().layers[0].created_by.is_none());
}

#[test]
fn an_image_without_a_database_says_where_it_looked() {
    let found = Image::of([Tar::default().end()]).scan().unwrap();
    assert!(matches!(found.packages, Fact::Unmet(reason) if reason.contains("/var/lib/rpm")));
    let broken = Tar::default()
        .file("var/lib/rpm/rpmdb.sqlite", "no database")
        .end();
    let found = Image::of([broken]).scan().unwrap();
    assert!(matches!(found.packages, Fact::Unmet(reason) if reason.contains("rpmdb.sqlite")));
}

/// The files of a real database with a write-ahead log, when the shared test data is there.
fn database_with_log() -> Option<[Vec<u8>; 2]> {
    let shared = env::var_os("PLIMSOLL_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let folder = shared.join("data/rpmdb/db/amazonlinux2023-wal");
    let read =
        |name: &str| Some(zstd::decode_all(fs::File::open(folder.join(name)).ok()?).unwrap());
    let files = read("rpmdb.sqlite.zst").zip(read("rpmdb.sqlite-wal.zst"));
    if files.is_none() {
        eprintln!("skipped: no test data in {}", folder.display());
    }
    files.map(|(main, log)| [main, log])
}

#[test]
fn a_write_ahead_log_counts_in_whichever_layer_it_lies() {
    let Some([main, log]) = database_with_log() else {
        return;
    };
    let names = |tars: Vec<Tar>| match Image::of(tars.into_iter().map(Tar::end))
        .scan()
        .unwrap()
        .packages
    {
        Fact::Known(packages) => packages
            .list
            .iter()
            .zip(&packages.layers)
            .map(|(package, layer)| (package.nevra.to_string(), layer.0))
            .collect::<Vec<_>>(),
        Fact::Unmet(reason) => panic!("{reason}"),
    };
    let (main_at, log_at) = (
        "usr/lib/sysimage/rpm/rpmdb.sqlite",
        "var/lib/rpm/rpmdb.sqlite-wal",
    );
    let base = || {
        Tar::default()
            .symlink("var/lib/rpm", "../../usr/lib/sysimage/rpm")
            .file(main_at, &main)
    };
    let together = names(vec![base().file(log_at, &log)]);
    let apart = names(vec![base(), Tar::default().file(log_at, &log)]);
    let without = names(vec![base()]);
    // The log takes one package away (rpm lists 102 and, without it, 103).
    assert_eq!((without.len(), together.len()), (103, 102));
    let nevras = |list: &[(String, u32)]| {
        list.iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(nevras(&together), nevras(&apart));
    assert!(apart.iter().all(|(_, layer)| *layer == 0));
    // The log of a lower layer is gone when an upper layer empties it.
    let emptied = names(vec![
        base().file(log_at, &log),
        Tar::default().file(log_at, ""),
    ]);
    assert_eq!(nevras(&emptied), nevras(&without));
}

/// One thing that a layer does.
#[derive(Debug, Clone)]
enum Act {
    Dir(Vec<u8>),
    File(Vec<u8>, u8),
    Link(Vec<u8>),
    Delete(Vec<u8>),
    Opaque(Vec<u8>),
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "a-b", "a0"]), 1..4)
        .prop_map(|parts| parts.join("/").into_bytes())
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => path().prop_map(Act::Dir),
        4 => (path(), any::<u8>()).prop_map(|(path, byte)| Act::File(path, byte)),
        1 => path().prop_map(Act::Link),
        2 => path().prop_map(Act::Delete),
        1 => path().prop_map(Act::Opaque),
    ]
}

/// What builders write: every directory on the way has an entry of its own.
fn parents(mut tar: Tar, path: &[u8]) -> Tar {
    for (n, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        tar = tar.dir(&path[..n]);
    }
    tar
}

fn archive(acts: &[Act]) -> Vec<u8> {
    acts.iter()
        .fold(Tar::default(), |tar, act| match act {
            Act::Dir(path) => parents(tar, path).dir(path),
            Act::File(path, byte) => parents(tar, path).file(path, [*byte]),
            Act::Link(path) => parents(tar, path).symlink(std::str::from_utf8(path).unwrap(), "b"),
            Act::Delete(path) => {
                let cut = path
                    .iter()
                    .rposition(|&byte| byte == b'/')
                    .map_or(0, |n| n + 1);
                parents(tar, path).file([&path[..cut], b".wh.", &path[cut..]].concat(), "")
            }
            Act::Opaque(path) => {
                let name = [path, &b"/.wh..wh..opq"[..]].concat();
                parents(tar, &name).file(name, "")
            }
        })
        .end()
}

type Naive = BTreeMap<Vec<u8>, (String, usize)>;

fn under(path: &[u8], top: &[u8]) -> bool {
    path.len() > top.len() && path.starts_with(top) && path[top.len()] == b'/'
}

/// The specification, word by word: first what lower layers keep, then what this layer brings.
fn naive(layers: &[Vec<Act>]) -> Naive {
    let mut lower = Naive::new();
    for (n, acts) in layers.iter().enumerate() {
        let mut upper = Naive::new();
        let (mut gone, mut emptied) = (BTreeSet::new(), BTreeSet::new());
        for act in acts {
            let (path, kind) = match act {
                Act::Dir(path) => (path.clone(), "dir".to_owned()),
                Act::File(path, byte) => (path.clone(), format!("file {byte}")),
                Act::Link(path) => (path.clone(), "link".to_owned()),
                Act::Delete(path) => (path.clone(), String::new()),
                Act::Opaque(path) => ([path, &b"/x"[..]].concat(), String::new()),
            };
            for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
                upper.insert(path[..at].to_vec(), ("dir".to_owned(), n));
            }
            match act {
                Act::Delete(path) => drop(gone.insert(path.clone())),
                Act::Opaque(path) => drop(emptied.insert(path.clone())),
                _ => {
                    if kind != "dir" {
                        upper.retain(|other, _| !under(other, &path));
                        emptied.insert(path.clone());
                    }
                    upper.insert(path, (kind, n));
                }
            }
        }
        lower.retain(|path, _| {
            !gone.contains(path) && !gone.iter().chain(&emptied).any(|top| under(path, top))
        });
        lower.extend(upper);
    }
    lower
}

fn as_naive(found: &Inventory) -> Naive {
    found
        .tree
        .iter()
        .skip(1)
        .map(|(path, entry)| {
            let kind = match &entry.kind {
                EntryKind::File { sha256: digest, .. } => {
                    let byte = (0..=255).find(|&byte| sha256(&[byte]) == *digest).unwrap();
                    format!("file {byte}")
                }
                EntryKind::Directory => "dir".to_owned(),
                EntryKind::Symlink(_) => "link".to_owned(),
                other => panic!("{other:?}"),
            };
            (path.as_bytes().to_vec(), (kind, entry.layer.0 as usize))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn stacks_of_layers_equal_the_specification(
        layers in prop::collection::vec(prop::collection::vec(act(), 0..12), 1..5),
        threads in 1_usize..4,
    ) {
        let mut image = Image::of(layers.iter().map(|acts| archive(acts)));
        image.options.threads = threads.try_into().unwrap();
        let found = image.scan().unwrap();
        prop_assert_eq!(as_naive(&found), naive(&layers));
        for path in found.tree.keys() {
            let parent = path.parent().and_then(|parent| found.tree.get(&parent));
            prop_assert!(parent.is_none_or(|parent| parent.kind == EntryKind::Directory));
        }
    }
}

/// Where the fixture images are, when there are any.
fn fixtures() -> Option<PathBuf> {
    let folder = env::var_os("FIXTURE_IMAGES")
        .map_or_else(|| PathBuf::from("/tmp/fixture-images"), PathBuf::from);
    if folder.join("oci").is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no fixture images; make-images.sh makes them");
    None
}

fn fixture(folder: &Path, name: &str) -> Inventory {
    let layout = folder.join("oci").join(name);
    let blob = |digest: &str| fs::read(layout.join("blobs/sha256").join(digest)).unwrap();
    let index = ImageIndex::from_file(layout.join("index.json")).unwrap();
    let manifest =
        ImageManifest::from_reader(&blob(index.manifests()[0].digest().digest())[..]).unwrap();
    let config: serde_json::Value =
        serde_json::from_slice(&blob(manifest.config().digest().digest())).unwrap();
    let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
    let image = Image {
        layers: manifest.layers().clone(),
        diff_ids: diff_ids
            .iter()
            .map(|id| id.as_str().unwrap().to_owned())
            .collect(),
        blobs: manifest
            .layers()
            .iter()
            .map(|of| (of.digest().to_string(), blob(of.digest().digest())))
            .collect(),
        ..Image::default()
    };
    image.scan().unwrap()
}

/// Everything of the tree as `lstat` and `readlink` show the unpacked one.
fn walk(root: &Path) -> BTreeMap<Vec<u8>, String> {
    walkdir::WalkDir::new(root)
        .min_depth(1)
        .into_iter()
        // What `rpm --root` leaves behind when somebody asks it about the tree.
        .filter_entry(|entry| !entry.path().ends_with("root/.rpmdb"))
        .map(|entry| {
            let entry = entry.unwrap();
            let meta = fs::symlink_metadata(entry.path()).unwrap();
            let kind = meta.file_type();
            let what = if kind.is_file() {
                format!("{:?}", sha256(&fs::read(entry.path()).unwrap()))
            } else if kind.is_symlink() {
                fs::read_link(entry.path()).unwrap().display().to_string()
            } else if kind.is_dir() {
                "dir".to_owned()
            } else {
                "other".to_owned()
            };
            let mode = if kind.is_symlink() {
                0o777
            } else {
                meta.mode() & 0o7777
            };
            let path = entry.path().strip_prefix(root).unwrap();
            let text = format!("{mode:o} {}:{} {what}", meta.uid(), meta.gid());
            (path.as_os_str().as_bytes().to_vec(), text)
        })
        .collect()
}

fn described(found: &Inventory) -> BTreeMap<Vec<u8>, String> {
    found
        .tree
        .iter()
        .skip(1)
        .map(|(path, entry)| {
            let what = match &entry.kind {
                EntryKind::File { sha256, .. } => format!("{sha256:?}"),
                EntryKind::Symlink(target) => String::from_utf8_lossy(target).into_owned(),
                EntryKind::Directory => "dir".to_owned(),
                _ => "other".to_owned(),
            };
            let mode = if matches!(entry.kind, EntryKind::Symlink(_)) {
                0o777
            } else {
                entry.mode
            };
            (
                path.as_bytes().to_vec(),
                format!("{mode:o} {}:{} {what}", entry.uid, entry.gid),
            )
        })
        .collect()
}

#[test]
fn the_flattened_tree_is_the_one_that_was_packed() {
    let Some(folder) = fixtures() else { return };
    for name in ["ubi-like-minimal", "openstack-like"] {
        let unpacked = walk(&folder.join("work").join(format!("root-{name}")));
        let found = described(&fixture(&folder, name));
        let only_found: Vec<_> = found
            .iter()
            .filter(|(path, what)| unpacked.get(*path) != Some(what))
            .collect();
        let only_unpacked: Vec<_> = unpacked
            .iter()
            .filter(|(path, what)| found.get(*path) != Some(what))
            .collect();
        assert!(
            only_found.is_empty() && only_unpacked.is_empty(),
            "{name}: {:#?} {:#?}",
            only_found
                .iter()
                .take(20)
                .map(|(p, w)| (p.escape_ascii().to_string(), w))
                .collect::<Vec<_>>(),
            only_unpacked
                .iter()
                .take(20)
                .map(|(p, w)| (p.escape_ascii().to_string(), w))
                .collect::<Vec<_>>()
        );
    }
}

#[test]
fn packages_and_their_files_are_as_rpm_sees_them() {
    let Some(folder) = fixtures() else { return };
    for (name, format) in [
        ("ubi-like-minimal", "sqlite"),
        ("ubi-like-minimal-ndb", "ndb"),
        ("ubi-like-minimal-bdb", "bdb"),
        ("ubi8-like-minimal", "bdb"),
        ("ubi-like-ndb", "ndb"),
        ("ubi-like-bdb", "bdb"),
        ("good-openstack", "sqlite"),
        ("rpm-file-modified", "sqlite"),
    ] {
        let found = fixture(&folder, name);
        let packages = match &found.packages {
            Fact::Known(packages) => packages,
            Fact::Unmet(reason) => panic!("{name}: {reason}"),
        };
        assert_eq!(packages.format, format, "{name}");
        let truth =
            fs::read_to_string(folder.join("truth").join(format!("{name}.rpms.tsv"))).unwrap();
        let mut want: Vec<String> = truth
            .lines()
            .filter_map(|line| line.split('\t').next().map(str::to_owned))
            .collect();
        let mut have: Vec<String> = packages.list.iter().map(|p| p.nevra.name.clone()).collect();
        want.sort();
        have.sort();
        assert_eq!(have, want, "{name}");
        assert_eq!(packages.layers.len(), packages.list.len());
        let Fact::Known(modified) = &found.modified else {
            panic!("{:?}", found.modified)
        };
        let mut lines: Vec<String> = modified
            .iter()
            .map(|problem| format!("{}  {} {}", problem.flags, problem.attribute, problem.path))
            .collect();
        lines.sort();
        let truth = folder.join("truth").join(format!("{name}.verify.txt"));
        let truth = fs::read_to_string(truth).unwrap();
        assert_eq!(lines, truth.lines().collect::<Vec<_>>(), "{name}");
        let fails: Vec<String> = modified
            .iter()
            .filter(|problem| problem.fails)
            .map(|problem| problem.path.to_string())
            .collect();
        let Fact::Known(preflight) = &found.preflight_modified else {
            panic!("{:?}", found.preflight_modified)
        };
        let preflight: Vec<String> = preflight
            .files
            .iter()
            .map(|(path, _)| path.to_string())
            .collect();
        let want: &[&str] = match name {
            "rpm-file-modified" => &["/usr/bin/tar"],
            _ => &[],
        };
        assert_eq!(fails, want, "{name}");
        assert_eq!(preflight, want, "{name}: preflight");
        if name == "good-openstack" {
            let layers: BTreeSet<u32> = packages.layers.iter().map(|layer| layer.0).collect();
            assert!(layers.len() >= 4, "{layers:?}");
        }
    }
}
