//! Turns archives into OCI layouts, verified byte for byte on the way.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use flate2::{Compression, GzBuilder};
use serde_json::json;

use super::{
    closure,
    docker_archive::{self, Pick, SavedImage},
    source::{Selected, check_version, select_entry},
    tar_index::{Span, TarIndex},
    writer::LayoutWriter,
};
use crate::oci::{
    BlobHasher, Descriptor, DiffId, Digest, ImageIndex, ImageManifest, LayerFormat, MAX_LAYER,
    MAX_MANIFEST, MediaType, SourceError,
};

/// Within 3 % of the size that level 6 (Docker's) gives on layers, in well under half the time.
const LEVEL: u32 = 3;
const COPY_BUFFER: usize = 128 << 10;

/// Turns the output of `docker save` into an OCI layout.
///
/// The configuration keeps its bytes, so the image id stays. Layers that are stored plain are
/// compressed with gzip, without time stamps, so the same layer always becomes the same blob;
/// layers that are compressed already keep their bytes, and then so does the OCI manifest that the
/// archive brings. Each layer is checked against its diff id.
///
/// Returns the digest of the manifest.
///
/// # Errors
/// When the archive is not complete, holds no or several images, or a layer is not the one that
/// the configuration names.
pub fn import_docker_archive(
    archive: &Path,
    output: &Path,
    names: &[String],
) -> Result<Digest, SourceError> {
    import_one_of_docker_archive(archive, &Pick::Only, output, names)
}

/// [`import_docker_archive`] for one image among several.
///
/// # Errors
/// As there, and when there is no such image.
pub fn import_one_of_docker_archive(
    archive: &Path,
    pick: &Pick,
    output: &Path,
    names: &[String],
) -> Result<Digest, SourceError> {
    let index = TarIndex::open(archive)?;
    let image = docker_archive::read(&index, pick)?;
    let writer = LayoutWriter::create(output)?;
    let layers = store_layers(&index, &image, &writer)?;
    let config = writer.bytes(MediaType::ImageConfig, &image.config_bytes)?;
    let manifest = if let Some((media_type, bytes)) = original_manifest(&index, &config, &layers)? {
        writer.bytes(media_type, &bytes)?
    } else {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest.to_string(),
            "config": descriptor_json(&config),
            "layers": layers.iter().map(descriptor_json).collect::<Vec<_>>(),
        });
        writer.bytes(MediaType::ImageManifest, manifest.to_string().as_bytes())?
    };
    writer.finish(&manifest, names)?;
    Ok(manifest.digest().clone())
}

pub(super) fn descriptor_json(of: &Descriptor) -> serde_json::Value {
    json!({
        "mediaType": of.media_type().to_string(),
        "digest": of.digest().to_string(),
        "size": of.size(),
    })
}

/// The manifest that an OCI-shaped archive brings, if it is about exactly these blobs: then its
/// digest is the one that a push from the daemon would have.
fn original_manifest(
    index: &TarIndex,
    config: &Descriptor,
    layers: &[Descriptor],
) -> Result<Option<(MediaType, Vec<u8>)>, SourceError> {
    if index.find("index.json").is_none() {
        return Ok(None);
    }
    let json = index.document("index.json", MAX_MANIFEST)?;
    let Ok(top) = serde_json::from_slice::<ImageIndex>(&json) else {
        return Ok(None);
    };
    for entry in top.manifests() {
        let digest = entry.digest();
        let name = format!("blobs/{}/{}", digest.algorithm(), digest.digest());
        let Some(span) = index.find(&name) else {
            continue;
        };
        let bytes = index.bytes(span, MAX_MANIFEST, &name)?;
        let Ok(manifest) = crate::oci::read_document::<ImageManifest>(&bytes) else {
            continue;
        };
        let same =
            |a: &Descriptor, b: &Descriptor| a.digest() == b.digest() && a.size() == b.size();
        let layers_same = manifest.layers().len() == layers.len()
            && manifest
                .layers()
                .iter()
                .zip(layers)
                .all(|(a, b)| same(a, b));
        if same(manifest.config(), config) && layers_same {
            return Ok(Some((entry.media_type().clone(), bytes)));
        }
    }
    Ok(None)
}

/// Stores each distinct layer once, on all processors.
fn store_layers(
    index: &TarIndex,
    image: &SavedImage,
    writer: &LayoutWriter,
) -> Result<Vec<Descriptor>, SourceError> {
    let mut jobs: Vec<(Span, &DiffId)> = Vec::new();
    let mut places: BTreeMap<Span, usize> = BTreeMap::new();
    for (span, diff_id) in image.layers.iter().zip(image.diff_ids()) {
        let job = *places.entry(*span).or_insert_with(|| {
            jobs.push((*span, diff_id));
            jobs.len() - 1
        });
        if jobs.get(job).is_none_or(|(_, first)| *first != diff_id) {
            return Err(index.malformed(format!(
                "one file stands for layers with different diff ids, one of them {diff_id}"
            )));
        }
    }
    let done = in_parallel(jobs.len(), |at| match jobs.get(at) {
        Some((span, diff_id)) => store_layer(index, *span, diff_id, writer),
        None => Err(index.malformed("a layer went missing".to_owned())),
    })?;
    image
        .layers
        .iter()
        .map(|span| {
            let stored = places.get(span).and_then(|&job| done.get(job));
            stored
                .cloned()
                .ok_or_else(|| index.malformed("a layer went missing".to_owned()))
        })
        .collect()
}

/// Runs `work` for `0..count` on as many threads as there are processors; the first error by
/// position wins.
fn in_parallel<T: Send>(
    count: usize,
    work: impl Fn(usize) -> Result<T, SourceError> + Sync,
) -> Result<Vec<T>, SourceError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(count) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return;
                    }
                    let result = work(at);
                    if result.is_err() {
                        next.store(count, Ordering::Relaxed);
                    }
                    if let Ok(mut done) = done.lock() {
                        done.insert(at, result);
                    }
                }
            });
        }
    });
    done.into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .into_values()
        .collect()
}

fn store_layer(
    index: &TarIndex,
    span: Span,
    diff_id: &DiffId,
    writer: &LayoutWriter,
) -> Result<Descriptor, SourceError> {
    let what = || format!("layer {diff_id} in {}", index.path().display());
    let read_error = |e: io::Error| SourceError::from_read(what(), e);
    let format = index.sniff(span)?;
    let mut blob = writer.blob()?;
    let (found, format) = match format {
        LayerFormat::Tar => {
            let mut gzip = GzBuilder::new().write(&mut blob, Compression::new(LEVEL));
            let found = copy_hashing(&mut index.read(span), &mut gzip).map_err(read_error)?;
            gzip.finish().map_err(read_error)?;
            (found, LayerFormat::Gzip)
        }
        packed => {
            io::copy(&mut index.read(span), &mut blob).map_err(read_error)?;
            let mut plain = decompress(packed, index.read(span), MAX_LAYER).map_err(read_error)?;
            let found = copy_hashing(&mut plain, &mut io::sink()).map_err(read_error)?;
            (found, packed)
        }
    };
    if found != diff_id.0 {
        return Err(SourceError::Mismatch {
            what: what(),
            expected: diff_id.to_string(),
            actual: found.to_string(),
        });
    }
    let (digest, size) = blob.commit()?;
    Ok(Descriptor::new(format.media_type(), size, digest))
}

/// The tar stream of a stored layer, at most `limit` bytes of it ([`MAX_LAYER`] but in tests).
pub(crate) fn decompress<'a>(
    format: LayerFormat,
    from: impl Read + Send + 'a,
    limit: u64,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let plain: Box<dyn Read + Send + 'a> = match format {
        LayerFormat::Tar => Box::new(from),
        LayerFormat::Gzip => Box::new(flate2::read::MultiGzDecoder::new(from)),
        LayerFormat::Zstd => Box::new(zstd::stream::read::Decoder::new(from)?),
    };
    Ok(Box::new(Bounded {
        plain,
        left: limit,
        limit,
    }))
}

/// Fails beyond its limit instead of ending there.
struct Bounded<R> {
    plain: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.plain.read(buf)?;
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(|| SourceError::TooLarge {
                what: "unpacked layer".to_owned(),
                limit: format!("{} bytes", self.limit),
            })?;
        Ok(n)
    }
}

/// Copies and gives the digest of what went by. Always hands on full buffers, because what a
/// compressor makes may depend on how its input is cut.
pub(super) fn copy_hashing(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<Digest> {
    let mut hasher = BlobHasher::default();
    let mut buffer = Vec::with_capacity(COPY_BUFFER);
    loop {
        buffer.clear();
        from.take(COPY_BUFFER as u64).read_to_end(&mut buffer)?;
        if buffer.is_empty() {
            return Ok(hasher.finish());
        }
        hasher.update(&buffer);
        to.write_all(&buffer)?;
    }
}

/// Unpacks an OCI archive (BuildKit's exporter `oci`, `oci-archive:`) into a layout directory.
///
/// Only `blobs/ALGORITHM/DIGEST`, `index.json` and `oci-layout` are taken, each blob verified, and
/// everything that the image needs has to be there. `index.json` keeps its bytes.
///
/// Returns the digest of the one manifest or index that `index.json` names.
///
/// # Errors
/// When a name leads out of the archive, a blob is not what its name says, something is missing,
/// or `index.json` names several images.
pub fn unpack_oci_archive(archive: &Path, output: &Path) -> Result<Digest, SourceError> {
    let index = TarIndex::open(archive)?;
    let json = index.document("index.json", MAX_MANIFEST)?;
    let shown = archive.display().to_string();
    check_version(&shown, &index.document("oci-layout", 4096)?)?;
    let Selected::Entry(image) = select_entry(&shown, &json, None)? else {
        return Err(index.malformed("index.json names no image".to_owned()));
    };
    let blobs: Vec<Descriptor> = index.files().filter_map(blob_entry).collect();
    let writer = LayoutWriter::create(output)?;
    in_parallel(blobs.len(), |at| match blobs.get(at) {
        Some(blob) => {
            let name = format!(
                "blobs/{}/{}",
                blob.digest().algorithm(),
                blob.digest().digest()
            );
            writer.copy(index.read(index.require(&name)?), blob)
        }
        None => Ok(()),
    })?;
    closure::check(output, &image)?;
    writer.finish_raw(&json)?;
    Ok(image.digest().clone())
}

/// `blobs/ALGORITHM/DIGEST` as a descriptor; other names are not part of a layout.
fn blob_entry((name, span): (&str, Span)) -> Option<Descriptor> {
    let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
    let digest: Digest = format!("{algorithm}:{hex}").parse().ok()?;
    let any = MediaType::Other("application/octet-stream".to_owned());
    Some(Descriptor::new(any, span.size, digest))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{copy_hashing, decompress};
    use crate::oci::{LayerFormat, SourceError, sha256};

    #[test]
    fn a_bomb_is_refused_at_the_limit_in_every_format() {
        let zeros = vec![0; 1 << 20];
        let gzip = {
            let level = flate2::Compression::fast();
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
            io::copy(&mut zeros.as_slice(), &mut gzip).unwrap();
            gzip.finish().unwrap()
        };
        let zstd = zstd::encode_all(zeros.as_slice(), 1).unwrap();
        for (format, stored) in [
            (LayerFormat::Tar, &zeros),
            (LayerFormat::Gzip, &gzip),
            (LayerFormat::Zstd, &zstd),
        ] {
            let unpack = |limit| {
                let mut plain = decompress(format, stored.as_slice(), limit).unwrap();
                copy_hashing(&mut plain, &mut io::sink())
                    .map_err(|e| SourceError::from_read("test", e))
            };
            assert_eq!(unpack(1 << 20).unwrap(), sha256(&zeros), "{format:?}");
            let error = unpack((1 << 20) - 1).unwrap_err();
            assert!(
                matches!(error, SourceError::TooLarge { .. }),
                "{format:?}: {error}"
            );
        }
    }
}
