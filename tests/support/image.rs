//! Images from lines of text: real tar layers, real OCI layouts.
//!
//! One line is one entry of a layer, in the order written:
//! ```text
//! dir      /etc              0755 0:0
//! file     /etc/os-release   0644 0:0 "ID=rhel\n"
//! file     /usr/bin/ping     0755 0:0 "x" security.capability=0100000200200000
//! zeros    /big              0644 0:0 1048576
//! symlink  /etc/rel          os-release
//! hardlink /etc/copy         etc/os-release
//! char     /dev/null         0666 1:3
//! fifo     /run/pipe         0622 0:0
//! whiteout /etc/gone
//! opaque   /var/cache
//! ```
//! Mode and owner may be left out (0644 or 0755, 0:0). Texts are JSON strings; extended attributes
//! are hexadecimal. Empty lines and lines starting with `#` are left out.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
};

use plimsoll::oci::{Digest, sha256};
use serde_json::{Value, json};
use tar_core::{EntryType, builder::EntryBuilder};

/// How a layer is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// as it is
    Plain,
    /// gzip
    Gzip,
    /// zstd
    Zstd,
}

/// One layer.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    tar: Vec<u8>,
    format: Format,
    stored: Option<Vec<u8>>,
    media_type: Option<String>,
}

impl From<&str> for Layer {
    fn from(lines: &str) -> Self {
        let mut tar = Vec::new();
        for line in lines.lines().map(str::trim) {
            if !line.is_empty() && !line.starts_with('#') {
                entry(&mut tar, line);
            }
        }
        tar.extend_from_slice(&[0; 1024]);
        Self::from_tar(tar)
    }
}

impl Layer {
    /// A layer of any bytes, gzip-compressed unless said otherwise.
    pub(crate) fn from_tar(tar: Vec<u8>) -> Self {
        Self {
            tar,
            format: Format::Gzip,
            stored: None,
            media_type: None,
        }
    }

    /// Adds a file at the end.
    pub(crate) fn file(mut self, path: &str, mode: u32, bytes: &[u8]) -> Self {
        let end = self.tar.len().saturating_sub(1024);
        self.tar.truncate(end);
        regular(&mut self.tar, path, mode, (0, 0), bytes, &[]);
        self.tar.extend_from_slice(&[0; 1024]);
        self
    }

    /// Stores it in this format.
    pub(crate) fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Stores these bytes instead, whatever they are.
    pub(crate) fn stored_as(mut self, bytes: Vec<u8>) -> Self {
        self.stored = Some(bytes);
        self
    }

    /// States this media type instead of the right one.
    pub(crate) fn media_type(mut self, media_type: &str) -> Self {
        self.media_type = Some(media_type.to_owned());
        self
    }

    /// The tar stream.
    pub(crate) fn tar(&self) -> &[u8] {
        &self.tar
    }

    /// The bytes as stored.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        if let Some(bytes) = &self.stored {
            return bytes.clone();
        }
        match self.format {
            Format::Plain => self.tar.clone(),
            Format::Gzip => {
                let level = flate2::Compression::fast();
                let mut gzip = flate2::GzBuilder::new().write(Vec::new(), level);
                gzip.write_all(&self.tar).unwrap();
                gzip.finish().unwrap()
            }
            Format::Zstd => zstd::encode_all(self.tar.as_slice(), 1).unwrap(),
        }
    }

    fn media(&self, docker: bool) -> String {
        if let Some(media_type) = &self.media_type {
            return media_type.clone();
        }
        let (oci, old) = match self.format {
            Format::Plain => ("", ""),
            Format::Gzip => ("+gzip", ".gzip"),
            Format::Zstd => ("+zstd", ".zstd"),
        };
        if docker {
            format!("application/vnd.docker.image.rootfs.diff.tar{old}")
        } else {
            format!("application/vnd.oci.image.layer.v1.tar{oci}")
        }
    }
}

/// An image being described.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    layers: Vec<Layer>,
    config: Value,
    docker: bool,
}

impl Default for Image {
    fn default() -> Self {
        Self::new()
    }
}

impl Image {
    /// linux/amd64, without layers.
    pub(crate) fn new() -> Self {
        let config = json!({ "architecture": "amd64", "os": "linux", "config": {} });
        Self {
            layers: Vec::new(),
            config,
            docker: false,
        }
    }

    /// Puts a layer on top; text is read as described above.
    pub(crate) fn layer(mut self, layer: impl Into<Layer>) -> Self {
        self.layers.push(layer.into());
        self
    }

    /// Sets a key of the configuration document.
    pub(crate) fn set(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    /// Sets a key below `config`: `User`, `Env`, `Labels`…
    pub(crate) fn set_config(mut self, key: &str, value: Value) -> Self {
        self.config["config"][key] = value;
        self
    }

    /// Sets a label.
    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.config["config"]["Labels"][key] = json!(value);
        self
    }

    /// Sets the platform.
    pub(crate) fn platform(self, os: &str, architecture: &str) -> Self {
        self.set("os", json!(os))
            .set("architecture", json!(architecture))
    }

    /// Writes Docker's media types.
    pub(crate) fn docker_types(mut self) -> Self {
        self.docker = true;
        self
    }

    /// All blobs and the manifest's descriptor.
    pub(crate) fn pack(&self) -> Packed {
        let mut blobs = BTreeMap::new();
        let mut diff_ids = Vec::new();
        let mut layers = Vec::new();
        for layer in &self.layers {
            diff_ids.push(sha256(&layer.tar).to_string());
            layers.push(add(&mut blobs, &layer.media(self.docker), layer.bytes()));
        }
        let mut config = self.config.clone();
        if config.get("rootfs").is_none() {
            config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
        }
        let (config_type, manifest_type) = if self.docker {
            (
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.distribution.manifest.v2+json",
            )
        } else {
            (
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.manifest.v1+json",
            )
        };
        let config = add(&mut blobs, config_type, config.to_string().into_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": config,
            "layers": layers,
        });
        let mut descriptor = add(&mut blobs, manifest_type, manifest.to_string().into_bytes());
        descriptor["platform"] =
            json!({ "os": self.config["os"], "architecture": self.config["architecture"] });
        Packed { blobs, descriptor }
    }

    /// Writes an OCI layout with this image under `tag`.
    pub(crate) fn write(&self, dir: &Path, tag: &str) -> PathBuf {
        self.pack().write(dir, tag)
    }
}

/// Blobs by digest, and what names them all.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    /// by `sha256:…`
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    /// of the manifest or index
    pub(crate) descriptor: Value,
}

impl Packed {
    /// An index of images; `extra` entries are added as they are.
    pub(crate) fn index(images: &[Packed], extra: &[Value]) -> Self {
        let mut blobs = BTreeMap::new();
        let mut manifests = Vec::new();
        for image in images {
            blobs.extend(image.blobs.clone());
            manifests.push(image.descriptor.clone());
        }
        manifests.extend_from_slice(extra);
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": manifests,
        });
        let descriptor = add(&mut blobs, media_type, index.to_string().into_bytes());
        Self { blobs, descriptor }
    }

    /// Digest of the manifest or index.
    pub(crate) fn digest(&self) -> Digest {
        self.descriptor["digest"].as_str().unwrap().parse().unwrap()
    }

    /// The manifest or index.
    pub(crate) fn document(&self) -> &[u8] {
        &self.blobs[self.descriptor["digest"].as_str().unwrap()]
    }

    /// Replaces the document by a changed one.
    pub(crate) fn change(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let mut document: Value = serde_json::from_slice(self.document()).unwrap();
        change(&mut document);
        let media_type = self.descriptor["mediaType"].as_str().unwrap().to_owned();
        self.descriptor = add(
            &mut self.blobs,
            &media_type,
            document.to_string().into_bytes(),
        );
        self
    }

    /// Writes an OCI layout.
    pub(crate) fn write(&self, dir: &Path, tag: &str) -> PathBuf {
        let mut entry = self.descriptor.clone();
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        let blobs = dir.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        for (digest, bytes) in &self.blobs {
            let name = digest.trim_start_matches("sha256:");
            std::fs::write(blobs.join(name), bytes).unwrap();
        }
        let index = json!({ "schemaVersion": 2, "manifests": [entry] });
        std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
        std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        dir.to_owned()
    }
}

fn add(blobs: &mut BTreeMap<String, Vec<u8>>, media_type: &str, bytes: Vec<u8>) -> Value {
    let digest = sha256(&bytes).to_string();
    let descriptor = json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() });
    blobs.insert(digest, bytes);
    descriptor
}

/// A tar archive of named files.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, bytes) in files {
        regular(&mut tar, name, 0o644, (0, 0), bytes, &[]);
    }
    tar.extend_from_slice(&[0; 1024]);
    tar
}

/// Adds one entry of a type without contents, with a link target, to a tar archive.
pub(crate) fn link(tar: &mut Vec<u8>, kind: EntryType, path: &str, target: &str) {
    let mut header = header(path, 0o777, (0, 0));
    header.entry_type(kind).link_name(target);
    tar.extend(header.finish_bytes());
}

fn entry(tar: &mut Vec<u8>, line: &str) {
    let (kind, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim_start();
    let (path, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let rest = rest.trim();
    let name = path.trim_start_matches('/');
    match kind {
        "symlink" => link(tar, EntryType::Symlink, name, rest),
        "hardlink" => link(tar, EntryType::Link, name, rest.trim_start_matches('/')),
        "whiteout" => {
            let (dir, file) = name.rsplit_once('/').unwrap_or(("", name));
            let hidden = format!("{dir}/.wh.{file}");
            regular(tar, hidden.trim_start_matches('/'), 0o644, (0, 0), b"", &[]);
        }
        "opaque" => regular(
            tar,
            &format!("{name}/.wh..wh..opq"),
            0o644,
            (0, 0),
            b"",
            &[],
        ),
        "dir" => {
            let (mode, owner, _) = attributes(rest, 0o755);
            let mut header = header(&format!("{name}/"), mode, owner);
            header.entry_type(EntryType::Directory);
            tar.extend(header.finish_bytes());
        }
        "char" => {
            let (mode, device) = rest.split_once(' ').unwrap();
            let mut header = header(name, octal(mode), (0, 0));
            let (major, minor) = pair(device);
            header.entry_type(EntryType::Char);
            let device = (u32::try_from(major).unwrap(), u32::try_from(minor).unwrap());
            header.device(device.0, device.1).unwrap();
            tar.extend(header.finish_bytes());
        }
        "fifo" => {
            let (mode, owner, _) = attributes(rest, 0o644);
            let mut header = header(name, mode, owner);
            header.entry_type(EntryType::Fifo);
            tar.extend(header.finish_bytes());
        }
        "zeros" => {
            let (mode, owner, size) = attributes(rest, 0o644);
            regular(tar, name, mode, owner, &vec![0; size.parse().unwrap()], &[]);
        }
        "file" => {
            let (mode, owner, rest) = attributes(rest, 0o644);
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
            let text = values
                .next()
                .unwrap()
                .unwrap_or_else(|e| panic!("{line}: {e}"));
            let xattrs: Vec<_> = rest[values.byte_offset()..]
                .split_whitespace()
                .map(|pair| pair.split_once('=').unwrap())
                .map(|(key, hex)| (key.to_owned(), unhex(hex)))
                .collect();
            regular(tar, name, mode, owner, text.as_bytes(), &xattrs);
        }
        _ => panic!("no such entry: {line}"),
    }
}

/// `[MODE [UID:GID]] rest`
fn attributes(rest: &str, mode: u32) -> (u32, (u64, u64), &str) {
    let Some((first, rest)) = split_if(rest, |w| w.bytes().all(|b| b.is_ascii_digit())) else {
        return (mode, (0, 0), rest);
    };
    match split_if(rest, |w| w.contains(':') && !w.starts_with('"')) {
        Some((owner, rest)) => (octal(first), pair(owner), rest),
        None => (octal(first), (0, 0), rest),
    }
}

fn split_if(text: &str, wanted: impl Fn(&str) -> bool) -> Option<(&str, &str)> {
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (!first.is_empty() && wanted(first)).then_some((first, rest.trim_start()))
}

fn octal(text: &str) -> u32 {
    u32::from_str_radix(text, 8).unwrap()
}

fn pair(text: &str) -> (u64, u64) {
    let (a, b) = text.split_once(':').unwrap();
    (a.parse().unwrap(), b.parse().unwrap())
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().collect();
    digits
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}

fn header(path: &str, mode: u32, (uid, gid): (u64, u64)) -> EntryBuilder {
    let mut header = EntryBuilder::new_ustar();
    header.path(path);
    header.mode(mode).unwrap();
    header.uid(uid).unwrap().gid(gid).unwrap();
    header.size(0).unwrap().mtime(0).unwrap();
    header
}

fn regular(
    tar: &mut Vec<u8>,
    path: &str,
    mode: u32,
    owner: (u64, u64),
    bytes: &[u8],
    xattrs: &[(String, Vec<u8>)],
) {
    let mut header = header(path, mode, owner);
    header.size(bytes.len() as u64).unwrap();
    for (key, value) in xattrs {
        header.add_pax(&format!("SCHILY.xattr.{key}"), value);
    }
    tar.extend(header.finish_bytes());
    tar.extend_from_slice(bytes);
    tar.resize(tar.len().next_multiple_of(512), 0);
}
