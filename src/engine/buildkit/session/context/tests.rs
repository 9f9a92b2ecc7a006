#![expect(
    clippy::disallowed_methods,
    reason = "tests make the trees that they walk"
)]

use std::{
    fs,
    os::unix::{
        ffi::OsStringExt as _,
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use bollard_buildkit_proto::fsutil::types::Stat;
use serde::Deserialize;
use tempfile::TempDir;

use super::{Content, ContextError, Filter, Source, walk};

#[derive(Deserialize)]
struct Vectors {
    trees: Vec<Vec<Entry>>,
    walks: Vec<Walk>,
}

#[derive(Deserialize)]
struct Entry {
    path: String,
    link: Option<String>,
    hard: Option<String>,
    #[serde(default)]
    dir: bool,
}

#[derive(Debug, Deserialize)]
struct Walk {
    tree: usize,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    follow: Option<Vec<String>>,
    sent: Vec<String>,
    #[serde(default)]
    error: bool,
}

fn make(entries: &[Entry]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for entry in entries {
        let path = dir.path().join(&entry.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match entry {
            Entry { dir: true, .. } => fs::create_dir_all(path).unwrap(),
            Entry { link: Some(to), .. } => symlink(to, path).unwrap(),
            Entry { hard: Some(to), .. } => fs::hard_link(dir.path().join(to), path).unwrap(),
            _ => fs::write(path, &entry.path).unwrap(),
        }
    }
    dir
}

fn walked(root: &Path, filter: &Filter) -> Result<Vec<(Stat, Option<Source>)>, ContextError> {
    let mut sent = Vec::new();
    walk(root, filter, |stat, source| {
        sent.push((stat, source));
        Ok(())
    })?;
    Ok(sent)
}

fn all(root: &Path) -> Vec<(Stat, Option<Source>)> {
    walked(root, &Filter::default()).unwrap()
}

fn shown(stat: &Stat) -> String {
    match stat.mode {
        mode if mode & (1 << 31) != 0 => format!("{}/", stat.path),
        mode if mode & (1 << 27) != 0 => format!("{} -> {}", stat.path, stat.linkname),
        _ if !stat.linkname.is_empty() => format!("{} = {}", stat.path, stat.linkname),
        _ => stat.path.clone(),
    }
}

fn run(root: &Path, walk: &Walk) -> Result<Vec<String>, ContextError> {
    let filter = Filter::new(
        root,
        walk.include.clone(),
        &walk.exclude,
        walk.follow.as_deref(),
    )?;
    Ok(walked(root, &filter)?
        .iter()
        .map(|(stat, _)| shown(stat))
        .collect())
}

#[test]
fn walks_send_what_fsutil_sends_in_its_order() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dockerignore/walks.json");
    let vectors: Vectors = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let roots: Vec<_> = vectors.trees.iter().map(|tree| make(tree)).collect();
    let mut wrong = Vec::new();
    for walk in &vectors.walks {
        let outcome = run(roots[walk.tree].path(), walk);
        let same = match &outcome {
            Ok(sent) => !walk.error && *sent == walk.sent,
            Err(_) => walk.error,
        };
        if !same {
            wrong.push(format!("{walk:?}\n  sent {outcome:?}"));
        }
    }
    let count = wrong.len();
    wrong.truncate(10);
    assert!(wrong.is_empty(), "{count} differ:\n{}", wrong.join("\n"));
}

#[test]
fn metadata_is_in_gos_terms() {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    for (name, mode) in [("file", 0o640), ("setuid", 0o4755), ("setgid", 0o2711)] {
        fs::write(root.join(name), name).unwrap();
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(root.join("sticky")).unwrap();
    fs::set_permissions(root.join("sticky"), fs::Permissions::from_mode(0o1777)).unwrap();
    symlink("file", root.join("link")).unwrap();
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(root.join("pipe"))
        .status();
    assert!(made.unwrap().success());
    fs::set_permissions(root.join("pipe"), fs::Permissions::from_mode(0o600)).unwrap();
    let time = UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
    let file = fs::File::options()
        .write(true)
        .open(root.join("file"))
        .unwrap();
    file.set_modified(time).unwrap();

    // Numbers of Go's `os.FileMode`, written out independently.
    let sent = all(root);
    let facts: Vec<_> = sent
        .iter()
        .map(|(stat, source)| {
            (
                stat.path.as_str(),
                stat.mode & !0o777,
                stat.size,
                source.is_some(),
            )
        })
        .collect();
    assert_eq!(
        facts,
        [
            ("file", 0, 4, true),
            ("link", 0x0800_0000, 4, false),
            ("pipe", 0x0200_0000, 0, false),
            ("setgid", 0x0040_0000, 6, true),
            ("setuid", 0x0080_0000, 6, true),
            ("socket", 0, 0, true),
            ("sticky", 0x8010_0000, 0, false),
        ]
    );
    assert_eq!(sent[0].0.mode, 0o640);
    assert_eq!(sent[0].0.mod_time, 1_600_000_000_123_456_789);
    assert_eq!((sent[0].0.uid, sent[0].0.gid), (0, 0));
    assert_eq!(sent[4].0.mode, 0x0080_0000 | 0o755);
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn extended_attributes_are_sent_whatever_their_size() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "").unwrap();
    let long = vec![b'x'; 2000];
    let none = rustix::fs::XattrFlags::empty();
    for (name, value) in [("user.short", b"v".as_slice()), ("user.long", &long)] {
        if rustix::fs::lsetxattr(&path, name, value, none).is_err() {
            eprintln!("skipped: the temporary directory has no user attributes");
            return;
        }
    }
    let sent = all(dir.path());
    assert_eq!(sent[0].0.xattrs.get("user.short"), Some(&b"v".to_vec()));
    assert_eq!(sent[0].0.xattrs.get("user.long"), Some(&long));
}

#[test]
fn a_name_that_is_not_utf8_is_named_unless_it_is_excluded() {
    let dir = TempDir::new().unwrap();
    let name = std::ffi::OsString::from_vec(b"a\xFFb".to_vec());
    fs::write(dir.path().join(&name), "").unwrap();
    let fault = walked(dir.path(), &Filter::default()).unwrap_err();
    assert_eq!(
        fault.to_string(),
        r#"file name "a\xFFb" is not UTF-8, which BuildKit's protocol requires; rename it or exclude it in .dockerignore"#
    );
    let exclude = ["a?b".to_owned()];
    let filter = Filter::new(dir.path(), Vec::new(), &exclude, None).unwrap();
    assert!(walked(dir.path(), &filter).unwrap().is_empty());
}

#[test]
fn a_malformed_pattern_names_its_origin() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a"), "").unwrap();
    for (pattern, expected) in [
        (
            "[a",
            ".dockerignore: pattern `[a` is malformed: character class is not closed or has a misplaced `-` or `]`",
        ),
        (
            r"**/\x",
            r".dockerignore: pattern `**/\x` is malformed: invalid escape sequence",
        ),
    ] {
        let exclude = [pattern.to_owned()];
        let outcome = Filter::new(dir.path(), Vec::new(), &exclude, None)
            .and_then(|filter| walked(dir.path(), &filter));
        assert_eq!(outcome.unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_missing_context_is_named() {
    let dir = TempDir::new().unwrap();
    let fault = walked(&dir.path().join("absent"), &Filter::default()).unwrap_err();
    assert!(
        fault.to_string().starts_with("context directory /"),
        "{fault}"
    );
}

#[test]
fn links_are_sent_as_links_and_never_followed() {
    let dir = TempDir::new().unwrap();
    symlink("/etc", dir.path().join("out")).unwrap();
    symlink("..", dir.path().join("up")).unwrap();
    let sent: Vec<_> = all(dir.path())
        .iter()
        .map(|(stat, _)| shown(stat))
        .collect();
    assert_eq!(sent, ["out -> /etc", "up -> .."]);
}

fn content(root: &Path, source: Source) -> Result<Vec<u8>, ContextError> {
    let mut content = Content::open(root, source)?;
    let mut all = Vec::new();
    let mut buffer = [0; 7];
    loop {
        match content.read(&mut buffer)? {
            0 => return Ok(all),
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

fn source(root: &Path) -> Source {
    all(root).pop().unwrap().1.unwrap()
}

#[test]
fn content_is_read_in_pieces_and_a_socket_has_none() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a"), "twenty-one bytes here").unwrap();
    assert_eq!(
        content(dir.path(), source(dir.path())).unwrap(),
        b"twenty-one bytes here"
    );
    let _socket = UnixListener::bind(dir.path().join("b")).unwrap();
    assert_eq!(content(dir.path(), source(dir.path())).unwrap(), b"");
}

#[test]
fn a_file_that_changes_after_it_was_announced_is_an_error() {
    for (change, expected) in [
        ("rm a", "a vanished"),
        ("echo more >>a", "a was written to"),
        ("touch -d 2001-01-01 a", "a was written to"),
        ("cp a b && mv b a", "a was replaced"),
        ("rm a && ln -s /etc/passwd a", "a became a link"),
        ("rm a && mkfifo a", "a was replaced"),
        ("rm a && mkdir a", "a was replaced"),
    ] {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("a"), "content").unwrap();
        let source = source(dir.path());
        let changed = std::process::Command::new("sh")
            .args(["-c", change])
            .current_dir(dir.path())
            .status();
        assert!(changed.unwrap().success());
        let fault = content(dir.path(), source).unwrap_err().to_string();
        assert!(fault.starts_with(expected), "{change}: {fault}");
        assert!(fault.contains("while the context was read"), "{fault}");
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    for (length, expected) in [(3, "a shrank"), (90, "a grew")] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, [b'x'; 30]).unwrap();
        let mut content = Content::open(dir.path(), source(dir.path())).unwrap();
        let mut buffer = [0; 10];
        assert_eq!(content.read(&mut buffer).unwrap(), 10);
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(length)
            .unwrap();
        let fault = loop {
            match content.read(&mut buffer) {
                Ok(0) => panic!("{expected} went unnoticed"),
                Ok(_) => {}
                Err(fault) => break fault.to_string(),
            }
        };
        assert!(fault.starts_with(expected), "{fault}");
    }
}

#[test]
fn a_deep_tree_is_walked_without_deep_recursion() {
    let dir = TempDir::new().unwrap();
    let deep = vec!["d"; 1500].join("/");
    fs::create_dir_all(dir.path().join(&deep)).unwrap();
    assert_eq!(all(dir.path()).len(), 1500);
}

#[test]
fn a_long_chain_of_links_is_followed_without_deep_recursion() {
    let dir = TempDir::new().unwrap();
    for index in 0..3000 {
        symlink(
            format!("l{}", index + 1),
            dir.path().join(format!("l{index}")),
        )
        .unwrap();
    }
    let follow = ["l0".to_owned()];
    let filter = Filter::new(dir.path(), Vec::new(), &[], Some(&follow)).unwrap();
    assert_eq!(walked(dir.path(), &filter).unwrap().len(), 3000);
}
