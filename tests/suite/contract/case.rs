//! Cases as text, and the projects they describe.
//!
//! ```text
//! %case name-of-the-case
//! %file a.txt [mode]          content: the lines that follow, up to the next %
//! %dir d [mode]
//! %link path target           symbolic link
//! %hard path first            hard link
//! %fifo path
//! %socket path
//! %sparse path size           a file that is one hole
//! %xattr path name value
//! %tar path [gzip|bzip2|xz|zstd]   members: lines as in support/image.rs
//! %arg NAME=value   %target stage   %epoch seconds   %secret id value   %network none
//! %label NAME=value   %platform os/arch
//! %dockerfile [name]          the lines that follow
//! ```
//! `\xNN` in paths, and in the text of a directive whose last word is `escaped`, is a byte.
//! `@base@`, `@config@`, `@onbuild@` are base images, `@http@` and `@git@` servers of this machine.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use plimsoll::{engine::BuildPlan, secret::Secret};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps};

use super::bases::Bases;
use crate::support::image::{Format, Layer};

/// What files of a context are dated; each a second after the one before.
const FIRST_TIME: i64 = 1_600_000_000;

/// One case.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) group: String,
    pub(super) name: String,
    parts: Vec<(Vec<String>, String)>,
}

/// All cases, in the order of their files.
pub(super) fn all() -> Vec<Case> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory("cases"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().flat_map(|file| read(file)).collect()
}

/// Whether the cases are not those of the source.
pub(super) fn made_up() -> bool {
    std::env::var_os("PLIMSOLL_CONTRACT_DIR").is_some()
}

/// `PLIMSOLL_CONTRACT_DIR` has cases that are made up on the spot.
pub(super) fn directory(name: &str) -> PathBuf {
    match std::env::var_os("PLIMSOLL_CONTRACT_DIR") {
        Some(dir) => PathBuf::from(dir).join(name),
        None => Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/contract")
            .join(name),
    }
}

/// Puts bytes in for `\xNN`.
fn unescaped(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

fn below(root: &Path, name: &str) -> PathBuf {
    root.join(OsStr::from_bytes(&unescaped(name)))
}

fn read(file: &Path) -> Vec<Case> {
    let group = file.file_stem().unwrap().to_str().unwrap();
    let mut cases: Vec<Case> = Vec::new();
    for line in fs::read_to_string(file).unwrap().lines() {
        let Some(directive) = line.strip_prefix('%') else {
            if let Some((_, text)) = cases.last_mut().and_then(|case| case.parts.last_mut()) {
                text.push_str(line);
                text.push('\n');
            }
            continue;
        };
        let words: Vec<String> = directive.split(' ').map(ToOwned::to_owned).collect();
        if words[0] == "case" {
            cases.push(Case {
                group: group.to_owned(),
                name: words[1].clone(),
                parts: Vec::new(),
            });
        } else {
            let case = cases.last_mut().unwrap();
            case.parts.push((words, String::new()));
        }
    }
    cases
}

impl Case {
    pub(super) fn dockerfile(&self) -> &str {
        let part = self
            .parts
            .iter()
            .find(|(words, _)| words[0] == "dockerfile");
        &part
            .unwrap_or_else(|| panic!("{} has no Dockerfile", self.name))
            .1
    }

    /// BuildKit takes a file of a context for the one that it has by path, size and time: each case
    /// has times of its own.
    fn first_time(&self) -> i64 {
        let sum = self.name.bytes().fold(7_u64, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        FIRST_TIME + i64::try_from(sum % 90_000).unwrap() * 1000
    }

    /// Makes the context below `dir` and says what is to be built.
    pub(super) fn plan(&self, dir: &Path, bases: &Bases) -> BuildPlan {
        let root = dir.join("context");
        fs::create_dir_all(&root).unwrap();
        let mut plan = BuildPlan {
            dockerfile: root.join("Dockerfile"),
            context: root.clone(),
            root: root.clone(),
            output: dir.join("out"),
            mirrors: bases.mirrors(),
            ..BuildPlan::default()
        };
        let mut made = Vec::new();
        for (words, text) in &self.parts {
            let word = |at: usize| words.get(at).map_or("", String::as_str);
            let pair = || word(1).split_once('=').unwrap();
            match word(0) {
                "arg" => {
                    let (name, value) = (pair().0.to_owned(), words[1..].join(" "));
                    let value = value[name.len() + 1..].to_owned();
                    plan.args.insert(name, value);
                }
                "label" => {
                    plan.labels.insert(pair().0.to_owned(), pair().1.to_owned());
                }
                "target" => plan.target = Some(word(1).to_owned()),
                "epoch" => plan.source_date_epoch = Some(word(1).parse().unwrap()),
                "network" => plan.network = Some(word(1).to_owned()),
                "secret" => {
                    let value = Secret::new(words[2..].join(" ").into_bytes());
                    plan.secrets.insert(word(1).to_owned(), value);
                }
                "platform" => plan.platforms.push(word(1).parse().unwrap()),
                "dockerfile" => {
                    if !matches!(word(1), "" | "escaped") {
                        plan.dockerfile = root.join(word(1));
                    }
                    fs::create_dir_all(plan.dockerfile.parent().unwrap()).unwrap();
                    fs::write(&plan.dockerfile, content(words, &bases.filled(text))).unwrap();
                }
                kind => made.push(make(&root, kind, words, text)),
            }
        }
        made.push(plan.dockerfile.clone());
        date(&root, &made, self.first_time());
        plan
    }
}

fn make(root: &Path, kind: &str, words: &[String], text: &str) -> PathBuf {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let path = below(root, word(1));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match kind {
        "file" => {
            fs::write(&path, content(words, text)).unwrap();
            mode(&path, word(2), 0o644);
        }
        "dir" => {
            fs::create_dir_all(&path).unwrap();
            mode(&path, word(2), 0o755);
        }
        "link" => symlink(OsStr::from_bytes(&unescaped(word(2))), &path).unwrap(),
        "hard" => fs::hard_link(below(root, word(2)), &path).unwrap(),
        "fifo" => {
            rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
        }
        "socket" => drop(UnixListener::bind(&path).unwrap()),
        "sparse" => fs::File::create(&path)
            .unwrap()
            .set_len(word(2).parse().unwrap())
            .unwrap(),
        "xattr" => {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::lsetxattr(&path, word(2), word(3).as_bytes(), flags).unwrap();
        }
        "tar" => fs::write(&path, archive(text, word(2))).unwrap(),
        other => panic!("no such directive: {other}"),
    }
    path
}

/// The text of a directive as bytes; `escaped` takes the last line's end off.
fn content(words: &[String], text: &str) -> Vec<u8> {
    if words.last().is_some_and(|word| word == "escaped") {
        return unescaped(text.strip_suffix('\n').unwrap_or(text));
    }
    text.as_bytes().to_vec()
}

fn mode(path: &Path, text: &str, default: u32) {
    let mode = if matches!(text, "" | "escaped") {
        default
    } else {
        u32::from_str_radix(text, 8).unwrap()
    };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn archive(lines: &str, compression: &str) -> Vec<u8> {
    let layer = Layer::from(lines);
    match compression {
        "" => layer.format(Format::Plain).bytes(),
        "gzip" => layer.format(Format::Gzip).bytes(),
        "zstd" => layer.format(Format::Zstd).bytes(),
        program => piped(program, layer.tar()),
    }
}

fn piped(program: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().stdout
}

/// Gives everything a time of its own, directories after what is in them.
fn date(root: &Path, made: &[PathBuf], first: i64) {
    let mut directories = Vec::new();
    for (index, path) in made.iter().enumerate() {
        set_time(path, first + i64::try_from(index).unwrap());
    }
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry.unwrap();
        if entry.file_type().is_dir() {
            directories.push(entry.into_path());
        }
    }
    for (index, path) in directories.iter().enumerate() {
        set_time(path, first + 500 + i64::try_from(index).unwrap());
    }
}

fn set_time(path: &Path, seconds: i64) {
    let moment = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: moment,
        last_modification: moment,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
