//! What is in an image: configuration, history, and the files that its layers make together, read
//! with a tar reader of their own.

use std::{collections::BTreeMap, fmt::Write as _, fs, io::Read as _, path::Path};

use plimsoll::oci::sha256;
use serde_json::{Map, Value, json};
use tar_core::parse::{Limits, ParseEvent, Parser};

/// Times after this one are those of the run.
const KEPT: u64 = 1_700_000_000;

/// Files by path, each as one line of text.
pub(super) type Files = BTreeMap<String, String>;

#[derive(Debug, Clone, Default)]
struct Node {
    kind: &'static str,
    mode: u32,
    owner: (u64, u64),
    mtime: u64,
    size: u64,
    digest: String,
    link: String,
    xattrs: BTreeMap<String, String>,
    /// number of the content; names with the same one are hard links
    inode: usize,
}

/// The answer of an engine: what is compared.
pub(super) fn answer(layout: &Path, base: &Files) -> Value {
    let index = document(&layout.join("index.json"));
    let mut manifest = blob(layout, &index["manifests"][0]);
    while manifest.get("manifests").is_some() {
        manifest = blob(layout, &manifest["manifests"][0]);
    }
    let mut config = blob(layout, &manifest["config"]);
    let history = config["history"].take();
    let history: Vec<Value> = history
        .as_array()
        .cloned()
        .unwrap_or_default()
        .into_iter()
        .map(|mut entry| {
            entry.as_object_mut().unwrap().remove("created");
            entry
        })
        .collect();
    let kept = config.as_object_mut().unwrap();
    for key in [
        "created",
        "rootfs",
        "history",
        "moby.buildkit.buildinfo.v1",
        "moby.buildkit.cache.v0",
    ] {
        kept.remove(key);
    }
    let files = files(layout, &manifest);
    let changed: Map<String, Value> = files
        .iter()
        .filter(|(path, line)| base.get(*path) != Some(*line))
        .map(|(path, line)| (path.clone(), json!(line)))
        .collect();
    let gone: Vec<&String> = base
        .keys()
        .filter(|path| !files.contains_key(*path))
        .collect();
    json!({
        "config": sorted(config),
        "history": history,
        "layers": manifest["layers"].as_array().map_or(0, Vec::len),
        "files": changed,
        "gone": gone,
    })
}

/// The files of a layout's only image.
pub(super) fn files_of(layout: &Path) -> Files {
    let index = document(&layout.join("index.json"));
    files(layout, &blob(layout, &index["manifests"][0]))
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<String, Value> = map
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            json!(sorted)
        }
        other => other,
    }
}

fn document(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn blob(layout: &Path, descriptor: &Value) -> Value {
    serde_json::from_slice(&bytes(layout, descriptor)).unwrap()
}

fn bytes(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap().replace(':', "/");
    fs::read(layout.join("blobs").join(digest)).unwrap()
}

fn files(layout: &Path, manifest: &Value) -> Files {
    let mut tree: BTreeMap<String, Node> = BTreeMap::new();
    let mut count = 0;
    for layer in manifest["layers"].as_array().unwrap_or(&Vec::new()) {
        let stored = bytes(layout, layer);
        let mut tar = Vec::new();
        match stored.get(..4) {
            Some([0x1f, 0x8b, ..]) => {
                flate2::read::MultiGzDecoder::new(&stored[..])
                    .read_to_end(&mut tar)
                    .unwrap();
            }
            Some([0x28, 0xb5, 0x2f, 0xfd]) => tar = zstd::decode_all(&stored[..]).unwrap(),
            _ => tar = stored,
        }
        apply(&mut tree, &tar, &mut count);
    }
    lines(&tree)
}

/// A name as text; bytes that are none are `\xNN`.
fn readable(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

fn remove(tree: &mut BTreeMap<String, Node>, path: &str) {
    let below = format!("{path}/");
    tree.retain(|name, _| name != path && !name.starts_with(&below));
}

fn apply(tree: &mut BTreeMap<String, Node>, mut tar: &[u8], count: &mut usize) {
    let mut parser = Parser::new(Limits::default());
    parser.set_ignore_pax_errors(true);
    let mut upper: Vec<String> = Vec::new();
    loop {
        let (consumed, entry) = match parser.parse(tar).unwrap() {
            ParseEvent::Entry { consumed, entry } => (consumed, entry),
            ParseEvent::GlobalExtensions { consumed, .. } => {
                tar = &tar[consumed..];
                continue;
            }
            ParseEvent::End { .. } | ParseEvent::NeedData { .. } => return,
            other @ ParseEvent::SparseEntry { .. } => panic!("{other:?}"),
        };
        let path = readable(&entry.path);
        let path = format!("/{}", path.trim_start_matches("./").trim_matches('/'));
        let (size, padded) = (entry.size, entry.padded_size());
        let content = &tar[consumed..consumed + usize::try_from(size).unwrap()];
        let link = entry
            .link_target
            .as_ref()
            .map(|link| readable(link))
            .unwrap_or_default();
        let (parent, name) = path.rsplit_once('/').unwrap();
        if name == ".wh..wh..opq" {
            let below = format!("{parent}/");
            tree.retain(|name, _| !name.starts_with(&below) || upper.contains(name));
        } else if let Some(gone) = name.strip_prefix(".wh.") {
            remove(tree, &format!("{parent}/{gone}"));
        } else {
            let kind = entry.entry_type;
            let is_dir = kind.is_dir();
            if !is_dir || tree.get(&path).is_some_and(|there| there.kind != "dir") {
                remove(tree, &path);
            }
            let node = if kind.is_hard_link() {
                let first = format!("/{}", link.trim_start_matches("./").trim_matches('/'));
                tree.get(&first)
                    .unwrap_or_else(|| panic!("{path}: no {first}"))
                    .clone()
            } else {
                *count += 1;
                Node {
                    kind: match kind {
                        _ if is_dir => "dir",
                        _ if kind.is_symlink() => "link",
                        _ if kind.is_fifo() => "fifo",
                        _ if kind.is_character_special() => "char",
                        _ if kind.is_block_special() => "block",
                        _ => "file",
                    },
                    mode: entry.mode & 0o7777,
                    owner: (entry.uid, entry.gid),
                    mtime: entry.mtime,
                    size,
                    digest: if kind.is_file() {
                        sha256(content).to_string()[7..19].to_owned()
                    } else {
                        String::new()
                    },
                    link,
                    xattrs: entry
                        .xattrs
                        .iter()
                        .map(|(name, value)| {
                            let hex: Vec<String> =
                                value.iter().map(|byte| format!("{byte:02x}")).collect();
                            let hex = hex.concat();
                            (String::from_utf8(name.to_vec()).unwrap(), hex)
                        })
                        .collect(),
                    inode: *count,
                }
            };
            upper.push(path.clone());
            tree.insert(path, node);
        }
        tar = &tar[consumed + usize::try_from(padded).unwrap()..];
    }
}

fn lines(tree: &BTreeMap<String, Node>) -> Files {
    let mut first: BTreeMap<usize, (&str, usize)> = BTreeMap::new();
    for (path, node) in tree {
        first.entry(node.inode).or_insert((path, 0)).1 += 1;
    }
    tree.iter()
        .map(|(path, node)| {
            let mode = if node.kind == "link" {
                0o777
            } else {
                node.mode
            };
            let mut line = format!("{} {mode:04o} {}:{}", node.kind, node.owner.0, node.owner.1);
            if node.kind == "file" {
                line.push_str(&format!(" {} {}", node.size, node.digest));
            }
            if node.kind == "link" {
                line.push_str(&format!(" -> {}", node.link));
            }
            for (name, value) in &node.xattrs {
                line.push_str(&format!(" {name}={value}"));
            }
            if let Some((name, names)) = first.get(&node.inode)
                && *names > 1
                && name != path
            {
                line.push_str(&format!(" = {name}"));
            }
            if node.mtime < KEPT {
                line.push_str(&format!(" @{}", node.mtime));
            }
            (path.clone(), line)
        })
        .collect()
}
