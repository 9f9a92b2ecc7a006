//! The scan of an image beside its floor: unpacking and digesting the same bytes, once each, on one
//! thread. Both are taken in the same run, because only their ratio means something.
//!
//! `PLIMSOLL_BENCH_LAYOUT` names an OCI layout to measure on; without it a layout of some 30 MB is
//! made, always the same. `PLIMSOLL_BENCH_ONCE=scan|list|floor` does one of them once and ends, for
//! programs that measure whole processes (`/usr/bin/time -v`); `PLIMSOLL_BENCH_THREADS` says on how
//! many threads.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark reads its own environment and files and has nobody to return an error to"
)]

use std::{
    collections::HashMap,
    env,
    fs::File,
    hint::black_box,
    io::{self, Read, Write as _},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use criterion::Criterion;
use plimsoll::{
    inventory::{self, Quiet, ScanOptions},
    oci::{
        Descriptor, Digest, ImageConfig, ImageIndex, ImageManifest, ImageSource, MediaType,
        RawManifest, SourceError, VerifyingReader,
    },
    subject::Fact,
};
use sha2::{Digest as _, Sha256};
use tar_core::parse::{Limits, ParseEvent, Parser};

/// Where the blobs are.
enum Blobs {
    Folder(PathBuf),
    Memory(HashMap<String, Vec<u8>>),
}

impl Blobs {
    fn open(&self, digest: &Digest) -> Box<dyn Read + Send + '_> {
        match self {
            Self::Folder(folder) => {
                Box::new(File::open(folder.join("blobs/sha256").join(digest.digest())).unwrap())
            }
            Self::Memory(blobs) => Box::new(&blobs[digest.digest()][..]),
        }
    }
}

struct Image {
    blobs: Blobs,
    layers: Vec<Descriptor>,
    config: ImageConfig,
}

fn no_document() -> SourceError {
    SourceError::NotFound {
        what: "the benchmark's image has layers alone".to_owned(),
        source: None,
    }
}

impl ImageSource for Image {
    // Layers and configuration are handed to the scan, so that nobody asks for these.
    fn manifest(&self) -> Result<RawManifest, SourceError> {
        Err(no_document())
    }

    fn child(&self, _of: &Descriptor) -> Result<RawManifest, SourceError> {
        Err(no_document())
    }

    fn blob(&self, of: &Descriptor) -> Result<Box<dyn Read + Send + '_>, SourceError> {
        Ok(Box::new(VerifyingReader::new(
            self.blobs.open(of.digest()),
            of,
        )?))
    }
}

fn read_layout(folder: &Path) -> Image {
    let blobs = Blobs::Folder(folder.to_owned());
    let index = ImageIndex::from_file(folder.join("index.json")).unwrap();
    let manifest = ImageManifest::from_reader(blobs.open(index.manifests()[0].digest())).unwrap();
    let config = serde_json::from_reader(blobs.open(manifest.config().digest())).unwrap();
    Image {
        layers: manifest.layers().clone(),
        config,
        blobs,
    }
}

fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Three layers of files that compress as programs do: words drawn from a small vocabulary, by a
/// generator that always draws the same.
fn made_image() -> Image {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let words: Vec<Vec<u8>> = (0..4096)
        .map(|_| {
            (0..3 + draw(9))
                .map(|_| u8::try_from(draw(256)).unwrap())
                .collect()
        })
        .collect();
    let (mut blobs, mut layers, mut diff_ids) = (HashMap::new(), Vec::new(), Vec::new());
    for layer in 0..3 {
        let mut tar = Vec::new();
        for file in 0..1500 {
            let length = usize::try_from(64 + draw(16) * draw(16) * draw(200)).unwrap();
            let mut content = Vec::with_capacity(length + 16);
            while content.len() < length {
                content.extend_from_slice(&words[usize::try_from(draw(4096)).unwrap()]);
            }
            let mut header = tar_core::Header::new_ustar();
            header
                .set_path(format!("usr/lib/layer{layer}/{file}").as_bytes())
                .unwrap();
            header.set_entry_type(tar_core::EntryType::Regular);
            header.set_mode_small(0o644);
            header.set_size(content.len() as u64).unwrap();
            header.set_checksum();
            tar.extend_from_slice(header.as_bytes());
            tar.extend_from_slice(&content);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.resize(tar.len() + 1024, 0);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        gzip.write_all(&tar).unwrap();
        let blob = gzip.finish().unwrap();
        let name = digest(&blob);
        layers.push(Descriptor::new(
            MediaType::ImageLayerGzip,
            blob.len() as u64,
            Digest::from_str(&format!("sha256:{name}")).unwrap(),
        ));
        diff_ids.push(format!("sha256:{}", digest(&tar)));
        blobs.insert(name, blob);
    }
    let config = serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    Image {
        blobs: Blobs::Memory(blobs),
        layers,
        config: serde_json::from_value(config).unwrap(),
    }
}

/// Digests of blob and layer, a walk over the tar, a digest of every file; nothing else.
fn floor(image: &Image) -> u64 {
    let mut files = 0;
    for layer in &image.layers {
        let blob = io::BufReader::with_capacity(128 << 10, image.blob(layer).unwrap());
        let mut stream: Box<dyn Read> = match layer.media_type() {
            MediaType::ImageLayerGzip => Box::new(flate2::bufread::MultiGzDecoder::new(blob)),
            MediaType::ImageLayerZstd => {
                Box::new(zstd::stream::read::Decoder::with_buffer(blob).unwrap())
            }
            _ => Box::new(blob),
        };
        let mut layer = Sha256::new();
        let mut parser = Parser::new(Limits::default());
        let mut buffer = vec![0; 256 << 10];
        let (mut start, mut end, mut over) = (0, 0, false);
        while !over {
            match parser.parse(&buffer[start..end]).unwrap() {
                ParseEvent::NeedData { .. } => {
                    over = !refill(&mut *stream, &mut layer, &mut buffer, &mut start, &mut end);
                }
                ParseEvent::Entry { consumed, entry } => {
                    let (size, padded) = (entry.size, entry.padded_size());
                    start += consumed;
                    let mut file = Sha256::new();
                    let mut at = 0;
                    while at < padded {
                        if start == end {
                            refill(&mut *stream, &mut layer, &mut buffer, &mut start, &mut end);
                        }
                        let n = usize::try_from(padded - at).unwrap().min(end - start);
                        let content = usize::try_from(size.saturating_sub(at)).unwrap().min(n);
                        file.update(&buffer[start..start + content]);
                        start += n;
                        at += n as u64;
                    }
                    black_box(file.finalize());
                    files += 1;
                }
                ParseEvent::End { .. } => {
                    start = end;
                    while refill(&mut *stream, &mut layer, &mut buffer, &mut start, &mut end) {
                        start = end;
                    }
                    over = true;
                }
                ParseEvent::GlobalExtensions { consumed, .. }
                | ParseEvent::SparseEntry { consumed, .. } => start += consumed,
            }
        }
        black_box(layer.finalize());
    }
    files
}

fn refill(
    stream: &mut dyn Read,
    layer: &mut Sha256,
    buffer: &mut [u8],
    start: &mut usize,
    end: &mut usize,
) -> bool {
    buffer.copy_within(*start..*end, 0);
    *end -= *start;
    *start = 0;
    let before = *end;
    while *end < buffer.len() {
        let n = stream.read(&mut buffer[*end..]).unwrap();
        if n == 0 {
            break;
        }
        *end += n;
    }
    layer.update(&buffer[before..*end]);
    *end > before
}

fn scan(image: &Image, threads: Option<usize>, verify: bool) -> u64 {
    let mut options = ScanOptions {
        verify,
        ..ScanOptions::default()
    };
    if let Some(threads) = threads.and_then(NonZeroUsize::new) {
        options.threads = threads;
    }
    let found = inventory::scan(image, &image.layers, &image.config, &options, &Quiet).unwrap();
    if env::var_os("PLIMSOLL_BENCH_SHOW").is_some() {
        show(&found);
    }
    found.tree.len() as u64
}

fn show(found: &plimsoll::subject::Inventory) {
    match &found.packages {
        Fact::Known(packages) => println!("{} packages", packages.list.len()),
        Fact::Unmet(reason) => println!("packages: {reason}"),
    }
    println!("{:?}\n{:?}", found.modified, found.preflight_modified);
    println!("kept {:?}", found.kept.keys().collect::<Vec<_>>());
    println!("secrets {:#?}", found.secrets);
}

fn main() {
    let image = env::var_os("PLIMSOLL_BENCH_LAYOUT")
        .map_or_else(made_image, |folder| read_layout(Path::new(&folder)));
    let threads = env::var("PLIMSOLL_BENCH_THREADS")
        .ok()
        .map(|n| n.parse().unwrap());
    match env::var("PLIMSOLL_BENCH_ONCE").as_deref() {
        Ok("floor") => println!("{} files", floor(&image)),
        Ok("list") => println!("{} entries", scan(&image, threads, false)),
        Ok(_) => println!("{} entries", scan(&image, threads, true)),
        Err(_) => {
            let mut criterion = Criterion::default()
                .sample_size(10)
                .measurement_time(Duration::from_secs(10))
                .configure_from_args();
            let mut group = criterion.benchmark_group("layers");
            group.bench_function("floor", |b| b.iter(|| floor(&image)));
            group.bench_function("scan, one thread", |b| {
                b.iter(|| scan(&image, Some(1), true));
            });
            group.bench_function("scan, all threads", |b| {
                b.iter(|| scan(&image, threads, true));
            });
            group.finish();
            criterion.final_summary();
        }
    }
}
