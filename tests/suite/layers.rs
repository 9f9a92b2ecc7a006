//! Layers made by hand, byte for byte, and an image of them in memory. The tar writer here shares no
//! code with the reader under test.

#![expect(clippy::unwrap_used, reason = "a test's own data is known to be right")]

use std::{
    collections::HashMap,
    io::{self, Read, Write as _},
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use plimsoll::{
    inventory::{self, LayerError, LayerMemory, Quiet, ScanError, ScanOptions},
    oci::{
        Descriptor, Digest, ImageConfig, ImageSource, MediaType, RawManifest, SourceError,
        VerifyingReader,
    },
    subject::Inventory,
};
use sha2::{Digest as _, Sha256};

pub(crate) const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub(crate) const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    sha256(bytes)
        .iter()
        .fold("sha256:".to_owned(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
}

/// A tar archive being written.
#[derive(Clone, Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

impl Tar {
    pub(crate) fn header(kind: u8, path: &[u8], size: u64, mode: u32, link: &[u8]) -> [u8; 512] {
        let mut block = [0; 512];
        block[..path.len()].copy_from_slice(path);
        block[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
        block[108..115].copy_from_slice(b"0000000");
        block[116..123].copy_from_slice(b"0000000");
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[136..147].copy_from_slice(b"14000000000");
        block[156] = kind;
        block[157..157 + link.len()].copy_from_slice(link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        Self::seal(&mut block);
        block
    }

    pub(crate) fn seal(block: &mut [u8; 512]) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn entry(self, kind: u8, path: impl AsRef<[u8]>, mode: u32, link: &str) -> Self {
        self.raw(&Self::header(kind, path.as_ref(), 0, mode, link.as_bytes()))
    }

    pub(crate) fn file(self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        self.raw(&Self::header(
            b'0',
            path.as_ref(),
            content.len() as u64,
            0o644,
            b"",
        ))
        .raw(content)
    }

    pub(crate) fn dir(self, path: impl AsRef<[u8]>) -> Self {
        self.entry(b'5', path, 0o755, "")
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(b'2', path, 0o777, target)
    }

    pub(crate) fn hardlink(self, path: &str, target: &str) -> Self {
        self.entry(b'1', path, 0o644, target)
    }

    /// PAX records for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while rest + length.to_string().len() != length {
                length += 1;
            }
            body.extend_from_slice(format!("{length} {key}=").as_bytes());
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        self.raw(&Self::header(
            b'x',
            b"PaxHeaders/x",
            body.len() as u64,
            0o644,
            b"",
        ))
        .raw(&body)
    }

    /// A GNU long name for the next entry.
    pub(crate) fn long_name(self, name: &[u8]) -> Self {
        let body = [name, b"\0"].concat();
        let mut header = Self::header(b'L', b"././@LongLink", body.len() as u64, 0, b"");
        header[257..265].copy_from_slice(b"ustar  \0");
        Self::seal(&mut header);
        self.raw(&header).raw(&body)
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An image in memory.
#[derive(Default)]
pub(crate) struct Image {
    pub(crate) layers: Vec<Descriptor>,
    pub(crate) diff_ids: Vec<String>,
    pub(crate) blobs: HashMap<String, Vec<u8>>,
    pub(crate) history: Vec<serde_json::Value>,
    pub(crate) options: ScanOptions,
    /// blobs come a few bytes at a time
    pub(crate) trickles: bool,
}

/// Keeps what was learned of layers, and counts how often that was of use.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) kept: Mutex<HashMap<Digest, Vec<u8>>>,
    pub(crate) recalled: AtomicUsize,
}

impl LayerMemory for Memory {
    fn recall(&self, key: &Digest) -> Option<Vec<u8>> {
        let kept = self.kept.lock().unwrap().get(key).cloned();
        self.recalled
            .fetch_add(usize::from(kept.is_some()), Ordering::Relaxed);
        kept
    }

    fn keep(&self, key: &Digest, facts: &[u8]) {
        self.kept.lock().unwrap().insert(key.clone(), facts.into());
    }
}

/// Few bytes at a time, with interruptions, as sockets do it.
struct Trickle<'b>(&'b [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.1 += 1;
        if self.1.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = buf.len().min(1 + self.1 % 7);
        self.0.read(&mut buf[..length])
    }
}

impl Image {
    /// An image of these archives, gzip-compressed.
    pub(crate) fn of(tars: impl IntoIterator<Item = Vec<u8>>) -> Self {
        tars.into_iter().fold(Self::default(), |image, tar| {
            image.layer(GZIP, gzip(&tar), &tar)
        })
    }

    /// Adds a layer as it is stored, and its uncompressed bytes for the diff id.
    pub(crate) fn layer(mut self, media_type: &str, blob: Vec<u8>, tar: &[u8]) -> Self {
        let name = digest(&blob);
        self.layers.push(Descriptor::new(
            MediaType::from(media_type),
            blob.len() as u64,
            Digest::from_str(&name).unwrap(),
        ));
        self.diff_ids.push(digest(tar));
        self.blobs.insert(name, blob);
        self
    }

    pub(crate) fn scan(&self) -> Result<Inventory, ScanError> {
        let config: ImageConfig = serde_json::from_value(serde_json::json!({
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
            "history": self.history,
        }))
        .unwrap();
        let scanned = inventory::scan(self, &self.layers, &config, &self.options, &Quiet);
        if let Ok(inventory) = &scanned
            && inventory.tree.len() < 10_000
        {
            self.remembered(&config, inventory);
        }
        scanned
    }

    /// What a layer was found to hold when it was read is what is found when it is recalled, whatever
    /// the image.
    fn remembered(&self, config: &ImageConfig, want: &Inventory) {
        let memory = Arc::new(Memory::default());
        let options = ScanOptions {
            memory: Some(memory.clone()),
            ..self.options.clone()
        };
        let scan = || inventory::scan(self, &self.layers, config, &options, &Quiet).unwrap();
        let want = format!("{want:?}");
        assert_eq!(format!("{:?}", scan()), want);
        let first = memory.recalled.load(Ordering::Relaxed);
        assert_eq!(format!("{:?}", scan()), want);
        let layers = self.layers.iter().map(|layer| layer.digest().to_string());
        let layers: std::collections::HashSet<String> = layers.collect();
        assert_eq!(memory.kept.lock().unwrap().len(), layers.len());
        // The same layer twice is known the second time already.
        assert!(first <= self.layers.len() - layers.len());
        let both = memory.recalled.load(Ordering::Relaxed);
        assert_eq!(both - first, self.layers.len());
    }

    /// The error of the scan with its causes, one a line; its layer's own error for matching.
    pub(crate) fn error(&self) -> (LayerError, String) {
        let ScanError::Layer { source, .. } = self.scan().unwrap_err() else {
            panic!("not an error of a layer");
        };
        let mut text = source.to_string();
        let mut cause = std::error::Error::source(&*source);
        while let Some(error) = cause {
            text = format!("{text}\n{error}");
            cause = error.source();
        }
        (*source, text)
    }

    /// One line a path of the flattened tree: path, kind, digest's start, link target, layer.
    pub(crate) fn tree(&self) -> Vec<String> {
        show(&self.scan().unwrap())
    }
}

pub(crate) fn show(inventory: &Inventory) -> Vec<String> {
    use plimsoll::subject::EntryKind;
    inventory
        .tree
        .iter()
        .skip(1)
        .map(|(path, entry)| {
            let kind = match &entry.kind {
                EntryKind::File { size, .. } => format!("file {size}"),
                EntryKind::Directory => "dir".to_owned(),
                EntryKind::Symlink(target) => format!("-> {}", target.escape_ascii()),
                EntryKind::Device(major, minor) => format!("device {major},{minor}"),
                EntryKind::Fifo => "fifo".to_owned(),
            };
            format!("{path} {kind} @{}", entry.layer)
        })
        .collect()
}

impl ImageSource for Image {
    fn manifest(&self) -> Result<RawManifest, SourceError> {
        Err(SourceError::NotFound {
            what: "memory".to_owned(),
            source: None,
        })
    }

    fn child(&self, _of: &Descriptor) -> Result<RawManifest, SourceError> {
        self.manifest()
    }

    fn blob(&self, of: &Descriptor) -> Result<Box<dyn Read + Send + '_>, SourceError> {
        let blob =
            self.blobs
                .get(&of.digest().to_string())
                .ok_or_else(|| SourceError::NotFound {
                    what: of.digest().to_string(),
                    source: None,
                })?;
        if self.trickles {
            return Ok(Box::new(VerifyingReader::new(Trickle(blob, 0), of)?));
        }
        Ok(Box::new(VerifyingReader::new(&blob[..], of)?))
    }
}
