//! Writes an image as a docker archive, for `docker load`.

use std::io::{self, Read as _, Write};

use serde_json::json;
use tar_core::builder::EntryBuilder;

use super::import::{copy_hashing, decompress};
use crate::oci::{
    Descriptor, DiffId, ImageSource, LayerFormat, MAX_CONFIG, MAX_LAYER, Platform, ResolvedImage,
    SourceError, resolve,
};

const BLOCK: u64 = 512;

/// Writes the one image of `source` (the one for `platform`, when it is an index) in the format of
/// `docker save`: configuration, `manifest.json` with `names`, uncompressed layers.
///
/// Each layer is decompressed twice, because tar wants the size before the bytes; nothing is kept
/// in memory or on disk, and the diff ids are checked before a layer is written.
///
/// # Errors
/// When the image cannot be read, is not one image, or `out` fails.
pub fn export_docker_archive(
    source: &dyn ImageSource,
    platform: Option<&Platform>,
    names: &[String],
    out: &mut dyn Write,
) -> Result<(), SourceError> {
    let resolved = resolve(source, platform)?;
    let [image] = resolved.images.as_slice() else {
        let platforms: Vec<String> = resolved
            .images
            .iter()
            .map(|i| i.platform.to_string())
            .collect();
        return Err(SourceError::Unsupported {
            what: format!("index {}", resolved.digest),
            reason: format!(
                "a docker archive holds the image of one platform; choose one of {}",
                platforms.join(", ")
            ),
        });
    };
    let config = read_config(source, image.manifest.config())?;
    let config_name = format!("{}.json", image.manifest.config().digest().digest());
    let layer_names: Vec<String> = image
        .config
        .rootfs
        .diff_ids
        .iter()
        .map(layer_name)
        .collect();
    let manifest = json!([{
        "Config": config_name,
        "RepoTags": names,
        "Layers": layer_names,
    }]);
    let mut tar = TarWriter { out };
    tar.small(&config_name, &config)?;
    tar.small("manifest.json", manifest.to_string().as_bytes())?;
    write_layers(source, image, &mut tar)?;
    tar.end()
}

fn layer_name(diff_id: &DiffId) -> String {
    format!("{}.tar", diff_id.0.digest())
}

fn read_config(source: &dyn ImageSource, of: &Descriptor) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    source
        .blob(of)?
        .take(MAX_CONFIG)
        .read_to_end(&mut bytes)
        .map_err(|e| SourceError::from_read(format!("configuration {}", of.digest()), e))?;
    Ok(bytes)
}

fn write_layers(
    source: &dyn ImageSource,
    image: &ResolvedImage,
    tar: &mut TarWriter<'_>,
) -> Result<(), SourceError> {
    let mut written = std::collections::HashSet::new();
    let layers = image.manifest.layers().iter();
    for (layer, diff_id) in layers.zip(&image.config.rootfs.diff_ids) {
        if !written.insert(diff_id) {
            continue;
        }
        let size = measure(source, layer, diff_id)?;
        tar.header(&layer_name(diff_id), size)?;
        let what = format!("layer {}", layer.digest());
        let mut plain = open_layer(source, layer)?.take(size);
        io::copy(&mut plain, tar.out).map_err(|e| SourceError::from_read(what, e))?;
        tar.pad(size)?;
    }
    Ok(())
}

fn open_layer<'a>(
    source: &'a dyn ImageSource,
    layer: &Descriptor,
) -> Result<Box<dyn io::Read + Send + 'a>, SourceError> {
    let what = format!("layer {}", layer.digest());
    let format =
        LayerFormat::of(layer.media_type()).map_err(|reason| SourceError::Unsupported {
            what: what.clone(),
            reason,
        })?;
    decompress(format, source.blob(layer)?, MAX_LAYER).map_err(|e| SourceError::from_read(what, e))
}

/// The size of a layer's tar stream, its diff id checked.
fn measure(
    source: &dyn ImageSource,
    layer: &Descriptor,
    diff_id: &DiffId,
) -> Result<u64, SourceError> {
    let what = format!("layer {}", layer.digest());
    let mut plain = open_layer(source, layer)?;
    let mut counter = Counter(0);
    let found = copy_hashing(&mut plain, &mut counter)
        .map_err(|e| SourceError::from_read(what.as_str(), e))?;
    if found == diff_id.0 {
        return Ok(counter.0);
    }
    Err(SourceError::Mismatch {
        what,
        expected: format!("diff id {diff_id}"),
        actual: format!("diff id {found}"),
    })
}

struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0 += buf.len() as u64;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct TarWriter<'a> {
    out: &'a mut dyn Write,
}

impl TarWriter<'_> {
    fn small(&mut self, name: &str, bytes: &[u8]) -> Result<(), SourceError> {
        self.header(name, bytes.len() as u64)?;
        self.write(bytes)?;
        self.pad(bytes.len() as u64)
    }

    fn header(&mut self, name: &str, size: u64) -> Result<(), SourceError> {
        let mut entry = EntryBuilder::new_gnu();
        entry.path(name);
        let fits = entry
            .mode(0o444)
            .and_then(|e| e.uid(0))
            .and_then(|e| e.gid(0))
            .and_then(|e| e.mtime(0))
            .and_then(|e| e.size(size));
        match fits {
            Ok(entry) => {
                let bytes = entry.finish_bytes();
                self.write(&bytes)
            }
            Err(error) => Err(SourceError::Unsupported {
                what: format!("{name} of {size} bytes"),
                reason: format!("it does not fit a tar header: {error}"),
            }),
        }
    }

    fn pad(&mut self, size: u64) -> Result<(), SourceError> {
        let rest = size.next_multiple_of(BLOCK) - size;
        let zeros = [0; 512];
        let rest = usize::try_from(rest).unwrap_or(0);
        self.write(zeros.get(..rest).unwrap_or_default())
    }

    fn end(mut self) -> Result<(), SourceError> {
        self.write(&[0; 1024])?;
        self.out.flush().map_err(written)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        self.out.write_all(bytes).map_err(written)
    }
}

fn written(source: io::Error) -> SourceError {
    SourceError::Io {
        what: "docker archive being written".to_owned(),
        source,
    }
}
