//! Verification of packaged files against what `rpm -Va` says of the same trees.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise in its own data"
)]

use std::{collections::BTreeMap, sync::Arc};

use plimsoll::{
    inventory,
    oci::{ImagePath, LayerIndex},
    rpm::{self, Package},
    subject::{Entry, EntryKind, FileProblem},
};

use super::rpmdb::{own, unpack};

const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\ndaemon:x:2:2:daemon:/sbin:/sbin/nologin\n";
const GROUP: &[u8] = b"root:x:0:\ndaemon:x:2:\n";

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// A tree as `make.py` writes it down.
fn tree(name: &str) -> BTreeMap<ImagePath, Entry> {
    let rows = unpack(&own().join(format!("verify/{name}.tree.tsv.zst")));
    let text = String::from_utf8(rows).unwrap();
    text.lines()
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [kind, mode, uid, gid, size, digest, caps, link, path] = columns[..] else {
                panic!("{line}")
            };
            let size: u64 = size.parse().unwrap();
            let kind = match kind {
                "f" => EntryKind::File {
                    size,
                    sha256: bytes(digest).try_into().unwrap(),
                },
                "d" => EntryKind::Directory,
                "l" => EntryKind::Symlink(link.as_bytes().into()),
                "c" => EntryKind::Device(
                    u32::try_from(size >> 8).unwrap(),
                    u32::try_from(size & 0xff).unwrap(),
                ),
                _ => panic!("{line}"),
            };
            let entry = Entry {
                kind,
                mode: u16::from_str_radix(mode, 8).unwrap(),
                uid: uid.parse().unwrap(),
                gid: gid.parse().unwrap(),
                caps: bytes(caps).into(),
                layer: LayerIndex(1),
            };
            (ImagePath::from(path), entry)
        })
        .collect()
}

fn packages() -> Vec<Arc<Package>> {
    let database = unpack(&own().join("db/sqlite/rpmdb.sqlite.zst"));
    rpm::read(&database, None)
        .unwrap()
        .into_iter()
        .map(Arc::new)
        .collect()
}

fn problems(name: &str) -> Vec<FileProblem> {
    inventory::verify(&packages(), &tree(name), &[], Some(PASSWD), Some(GROUP))
}

/// The line that rpm prints; replaced files without a difference are rpm's talk alone.
fn rpm_lines(name: &str) -> Vec<String> {
    let text = unpack(&own().join(format!("verify/{name}.rpm-Va.txt.zst")));
    let text = String::from_utf8(text).unwrap();
    let told = text.lines().filter(|line| !line.ends_with(" (replaced)"));
    told.map(str::to_owned).collect()
}

fn line(problem: &FileProblem) -> String {
    // rpm's word for missing files is one column shorter than its nine flags.
    let flags = problem
        .flags
        .strip_suffix("  ")
        .map(|word| format!("{word} "));
    let flags = flags.as_ref().unwrap_or(&problem.flags);
    format!("{flags}  {} {}", problem.attribute, problem.path)
}

#[test]
fn a_clean_tree_has_no_problems() {
    assert_eq!(rpm_lines("clean"), Vec::<String>::new());
    let problems = problems("clean");
    // Digests that are not SHA-256 are told, once a package.
    let mut told: Vec<String> = problems.iter().map(line).collect();
    told.sort();
    assert_eq!(
        told,
        ["..?......    /opt/md5/one", "..?......    /opt/sha512/one"]
    );
    assert!(problems.iter().all(|problem| !problem.fails));
}

#[test]
fn a_broken_tree_has_the_problems_that_rpm_tells() {
    let mut ours: Vec<String> = problems("broken").iter().map(line).collect();
    // The one difference: MD5 digests are not compared.
    for line in &mut ours {
        if line == "S.?......    /opt/md5/two" {
            "S.5......    /opt/md5/two".clone_into(line);
        }
    }
    ours.sort();
    assert_eq!(ours, rpm_lines("broken"));
}

#[test]
fn changed_content_of_red_hat_packages_fails_and_the_rest_is_told() {
    let mut failing: Vec<String> = problems("broken")
        .iter()
        .filter(|problem| problem.fails)
        .map(|problem| problem.path.to_string())
        .collect();
    failing.sort();
    assert_eq!(
        failing,
        [
            "/dev/null2",
            "/usr/bin/chmodded",
            "/usr/bin/gone",
            "/usr/bin/linked1",
            "/usr/bin/linked2",
            "/usr/bin/shrunk",
            "/usr/bin/tool",
            "/usr/bin/tool-link",
            "/usr/bin/tool-link2",
            "/usr/bin/typed",
        ]
    );
}
