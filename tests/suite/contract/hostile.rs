//! Trees and archives made to break out, and a tree that changes while it is copied.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use plimsoll::engine::embedded::{
    files::{FileError, Ignore, Options, StatCache, Trees, apply, key},
    graph::{Copy, CopyFrom, FileAction, Tree, Unpack},
};
use tempfile::TempDir;

use crate::support::image::{Format, Layer};

struct Context {
    dir: TempDir,
    stats: StatCache,
}

impl Trees for Context {
    fn path(&self, _tree: &Tree) -> Result<PathBuf, FileError> {
        Ok(self.dir.path().join("context"))
    }

    fn ignore(&self, _tree: &Tree) -> Option<&Ignore> {
        None
    }

    fn stats(&self, _tree: &Tree) -> Option<&StatCache> {
        Some(&self.stats)
    }
}

impl Context {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["context", "root", "outside"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("outside/secret"), "secret").unwrap();
        let stats = StatCache::default();
        Self { dir, stats }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn copy(&self, copy: Copy) -> Result<(), FileError> {
        let action = FileAction::Copy(Box::new(copy));
        apply(&action, &self.path("root"), self, &Options::default())
    }

    fn outside(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path("outside"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Every file below the root whose content is the secret.
    fn leaked(&self) -> Vec<PathBuf> {
        walkdir::WalkDir::new(self.path("root"))
            .into_iter()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().is_file())
            .map(walkdir::DirEntry::into_path)
            .filter(|path| fs::read(path).unwrap() == b"secret")
            .collect()
    }
}

fn copy(source: &str, destination: &str) -> Copy {
    Copy {
        from: CopyFrom::Tree(Tree::Context),
        sources: vec![source.to_owned()],
        destination: destination.to_owned(),
        chown: Some("0:0".to_owned()).filter(|_| rustix::process::geteuid().is_root()),
        chmod: None,
        link: false,
        parents: false,
        exclude: Vec::new(),
        unpack: Unpack::Never,
        whole: false,
    }
}

#[test]
fn links_of_a_context_do_not_lead_out_of_it() {
    let context = Context::new();
    let outside = context.path("outside");
    symlink(&outside, context.path("context/abs")).unwrap();
    symlink("../outside", context.path("context/up")).unwrap();
    symlink("../outside/secret", context.path("context/file")).unwrap();
    for source in [
        "abs/secret",
        "up/secret",
        "file",
        "abs",
        "../outside/secret",
        "up/*",
        "/../outside",
    ] {
        let _ = context.copy(copy(source, "/x/"));
        assert_eq!(context.leaked(), Vec::<PathBuf>::new(), "{source}");
    }
    context.copy(copy(".", "/all")).unwrap();
    assert!(context.path("root/all/abs").is_symlink());
    assert_eq!(context.leaked(), Vec::<PathBuf>::new());
}

#[test]
fn links_of_an_image_do_not_lead_out_of_it() {
    let context = Context::new();
    context.file("context/a", "a");
    context.file("context/d/link/x", "x");
    let outside = context.path("outside");
    symlink(&outside, context.path("root/link")).unwrap();
    symlink("../outside", context.path("root/up")).unwrap();
    symlink("../outside/new", context.path("root/newfile")).unwrap();
    for destination in [
        "/link/",
        "/link/x/y",
        "/up/",
        "/up/../../outside/",
        "/newfile",
        "/../outside/",
    ] {
        let _ = context.copy(copy("a", destination));
    }
    let _ = context.copy(copy("d", "/"));
    for path in ["/link/w", "/up/w/x", "/../outside/w"] {
        let action = FileAction::Mkdir {
            path: path.to_owned(),
            mode: 0o755,
            owner: None,
        };
        let _ = apply(
            &action,
            &context.path("root"),
            &context,
            &Options::default(),
        );
    }
    assert_eq!(context.outside(), ["secret"]);
}

#[test]
fn archives_do_not_write_outside_of_their_directory() {
    for lines in [
        "file ../../outside/evil 0644 0:0 \"x\"\n",
        "file a/../../../outside/evil 0644 0:0 \"x\"\n",
        "symlink l ../../outside\nfile l/evil 0644 0:0 \"x\"\n",
        "symlink l OUTSIDE\nfile l/evil 0644 0:0 \"x\"\n",
        "symlink l OUTSIDE\nsymlink m l\nfile m/evil 0644 0:0 \"x\"\n",
        "symlink l OUTSIDE/evil\nfile l 0644 0:0 \"x\"\n",
        "hardlink h ../../outside/secret\n",
        "symlink l OUTSIDE\nhardlink h l/secret\n",
        "symlink l OUTSIDE\ndir l 0777 0:0\nfile l/evil 0644 0:0 \"x\"\n",
        "hardlink h OUTSIDE/secret\n",
    ] {
        let context = Context::new();
        let lines = lines.replace("OUTSIDE", context.path("outside").to_str().unwrap());
        let tar = Layer::from(lines.as_str()).format(Format::Gzip).bytes();
        fs::write(context.path("context/t.tar.gz"), tar).unwrap();
        let mut add = copy("t.tar.gz", "/x");
        add.unpack = Unpack::Archives;
        let _ = context.copy(add);
        assert_eq!(context.outside(), ["secret"], "{lines}");
        assert_eq!(context.leaked(), Vec::<PathBuf>::new(), "{lines}");
        assert_eq!(fs::read(context.path("outside/secret")).unwrap(), b"secret");
    }
}

#[test]
fn devices_and_a_name_that_deletes_its_own_directory_are_refused() {
    for (lines, word) in [
        ("char null 0666 1:3\n", "device"),
        ("file .wh. 0644 0:0 \"\"\n", ".wh."),
        ("file d/.wh... 0644 0:0 \"\"\n", ".wh..."),
        ("dir .wh.. 0755 0:0\n", ".wh.."),
    ] {
        let context = Context::new();
        fs::write(
            context.path("context/t"),
            Layer::from(lines).format(Format::Plain).bytes(),
        )
        .unwrap();
        let mut add = copy("t", "/x");
        add.unpack = Unpack::Archives;
        let error = context.copy(add).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let context = Context::new();
    context.file("context/d/.wh.", "");
    let error = context.copy(copy("d", "/etc")).unwrap_err().to_string();
    assert!(error.contains(".wh."), "{error}");
}

#[test]
fn an_archive_that_unpacks_to_too_much_is_stopped() {
    let context = Context::new();
    let tar = Layer::from("zeros big 0644 0:0 3000000\n")
        .format(Format::Gzip)
        .bytes();
    fs::write(context.path("context/t"), tar).unwrap();
    let mut add = copy("t", "/x");
    add.unpack = Unpack::Archives;
    let options = Options {
        max_unpacked: 2_000_000,
        ..Options::default()
    };
    let error = apply(
        &FileAction::Copy(Box::new(add)),
        &context.path("root"),
        &context,
        &options,
    );
    assert!(error.unwrap_err().to_string().contains("limit"));
}

/// Two threads: one swaps a directory, a file and what lies on the way to them for links out of the
/// tree as fast as it can, the other copies.
#[test]
fn a_tree_that_is_swapped_for_links_while_it_is_copied_leaks_nothing() {
    let context = Context::new();
    for index in 0..20 {
        context.file(&format!("context/d/sub/f{index}"), "plain");
        context.file(&format!("context/e/f{index}"), "plain");
    }
    fs::create_dir_all(context.path("root/x/d/sub")).unwrap();
    fs::create_dir_all(context.path("root/y/d/sub")).unwrap();
    let stop = AtomicBool::new(false);
    let swap = |path: &Path, target: &Path, away: &Path| {
        let _ = fs::rename(path, away);
        let _ = symlink(target, path);
        let _ = fs::remove_file(path);
        let _ = fs::rename(away, path);
    };
    std::thread::scope(|scope| {
        for (path, target) in [
            // None above another: a swap must not go through the link of another one.
            ("context/d/sub", "outside"),
            ("context/e/f7", "outside/secret"),
            ("root/x", "outside"),
            ("root/y/d", "outside"),
        ] {
            let (path, target) = (context.path(path), context.path(target));
            let away =
                path.with_file_name(format!(".away-{}", path.file_name().unwrap().display()));
            let (stop, swap) = (&stop, &swap);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    swap(&path, &target, &away);
                }
            });
        }
        let mut copied = 0;
        for _ in 0..300 {
            for (source, destination) in [
                (".", "/x/d"),
                ("d", "/y/d/sub"),
                ("e/f7", "/x/d/sub/"),
                ("*/f*", "/y/d/"),
                ("d/sub/f3", "/x/secret"),
            ] {
                copied += i32::from(context.copy(copy(source, destination)).is_ok());
                let _ = key(&copy(source, "/x"), &context);
            }
        }
        stop.store(true, Ordering::Relaxed);
        eprintln!("{copied} of 1500 copies went through");
    });
    assert_eq!(context.outside(), ["secret"]);
    assert_eq!(context.leaked(), Vec::<PathBuf>::new());
}

#[test]
fn keys_follow_what_is_copied_and_not_when_it_was_written() {
    let context = Context::new();
    context.file("context/d/a", "a");
    context.file("context/d/b", "b");
    let now = || key(&copy("d", "/x"), &context).unwrap();
    let first = now();
    let later = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let open = fs::File::options()
        .write(true)
        .open(context.path("context/d/a"))
        .unwrap();
    open.set_modified(later).unwrap();
    assert_eq!(now(), first, "a time");
    context.file("context/other", "not copied");
    assert_eq!(now(), first, "a file that is not copied");
    context.file("context/d/a", "c");
    let content = now();
    assert_ne!(content, first, "content");
    fs::rename(context.path("context/d/b"), context.path("context/d/c")).unwrap();
    let name = now();
    assert_ne!(name, content, "a name");
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(
        context.path("context/d/c"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    assert_ne!(now(), name, "a mode");
    let missing = key(&copy("nothere", "/x"), &context)
        .unwrap_err()
        .to_string();
    assert_eq!(missing, "\"/nothere\": not found");
}

#[test]
fn a_second_key_reads_no_file_and_sees_every_change() {
    let context = Context::new();
    context.file("context/a", "first");
    // A file that was written a moment ago could be written to again unseen, and is not remembered.
    std::thread::sleep(std::time::Duration::from_millis(3100));
    let first = key(&copy("a", "/x"), &context).unwrap();
    let kept = StatCache::from_bytes(&context.stats.to_bytes());
    assert!(!kept.to_bytes().is_empty() && kept.to_bytes() != b"[]");
    assert_eq!(key(&copy("a", "/x"), &context).unwrap(), first);
    context.file("context/a", "other");
    assert_ne!(key(&copy("a", "/x"), &context).unwrap(), first);
}
