//! An OCI archive or docker archive as a source, read in place.

use std::{collections::HashMap, io::Read, path::Path};

use serde_json::json;

use super::{
    docker_archive::{self, Pick},
    import::{copy_hashing, descriptor_json},
    source::{Select, Selected, check_size, check_version, select_entry},
    tar_index::{Span, TarIndex},
};
use crate::oci::{
    Descriptor, Digest, ImageSource, LayerFormat, MAX_MANIFEST, MediaType, RawManifest,
    SourceError, VerifyingReader, sha256,
};

/// An image in an archive file; nothing is unpacked to disk.
#[derive(Debug)]
pub struct ArchiveSource {
    index: TarIndex,
    top: RawManifest,
    /// places of blobs that the archive does not keep under their digest
    places: HashMap<Digest, Span>,
}

impl ArchiveSource {
    /// Opens an OCI layout that was packed with tar (`oci-archive:`).
    pub fn open_oci(path: &Path, select: Option<&Select>) -> Result<Self, SourceError> {
        let index = TarIndex::open(path)?;
        let shown = path.display().to_string();
        check_version(&shown, &index.document("oci-layout", 4096)?)?;
        let json = index.document("index.json", MAX_MANIFEST)?;
        let (media_type, digest, size) = match select_entry(&shown, &json, select)? {
            Selected::Entry(entry) => (
                entry.media_type().clone(),
                entry.digest().clone(),
                Some(entry.size()),
            ),
            Selected::Digest(digest) => (
                MediaType::Other("application/json".to_owned()),
                digest,
                None,
            ),
        };
        let places = HashMap::new();
        let span = locate(&index, &places, &digest)?;
        let of = Descriptor::new(media_type, size.unwrap_or(span.size), digest);
        let top = document(&index, &places, &of)?;
        Ok(Self { index, top, places })
    }

    /// Opens what `docker save`, podman or skopeo wrote (`docker-archive:`).
    ///
    /// Such an archive has no OCI manifest for its plain layers; one is made here, so its digest
    /// is not the one that a push would give.
    pub fn open_docker(path: &Path, pick: &Pick) -> Result<Self, SourceError> {
        let index = TarIndex::open(path)?;
        let image = docker_archive::read(&index, pick)?;
        let mut places = HashMap::new();
        let config_digest = sha256(&image.config_bytes);
        let config_size = image.config_bytes.len() as u64;
        places.insert(config_digest.clone(), image.config_span);
        let mut layers = Vec::new();
        for (span, diff_id) in image.layers.iter().zip(image.diff_ids()) {
            let format = index.sniff(*span)?;
            let digest = match format {
                LayerFormat::Tar => diff_id.0.clone(),
                _ => copy_hashing(&mut index.read(*span), &mut std::io::sink())
                    .map_err(|e| SourceError::from_read(path.display().to_string(), e))?,
            };
            layers.push(Descriptor::new(
                format.media_type(),
                span.size,
                digest.clone(),
            ));
            places.insert(digest, *span);
        }
        let config = Descriptor::new(MediaType::ImageConfig, config_size, config_digest);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest.to_string(),
            "config": descriptor_json(&config),
            "layers": layers.iter().map(descriptor_json).collect::<Vec<_>>(),
        });
        let bytes = manifest.to_string().into_bytes();
        let top = RawManifest::unnamed(MediaType::ImageManifest, bytes);
        Ok(Self { index, top, places })
    }
}

fn locate(
    index: &TarIndex,
    places: &HashMap<Digest, Span>,
    digest: &Digest,
) -> Result<Span, SourceError> {
    let name = format!("blobs/{}/{}", digest.algorithm(), digest.digest());
    let place = places.get(digest).copied();
    place
        .or_else(|| index.find(&name))
        .ok_or_else(|| SourceError::NotFound {
            what: format!("{}: blob {digest} is missing", index.path().display()),
            source: None,
        })
}

fn document(
    index: &TarIndex,
    places: &HashMap<Digest, Span>,
    of: &Descriptor,
) -> Result<RawManifest, SourceError> {
    let span = locate(index, places, of.digest())?;
    check_size(of, span.size)?;
    let bytes = index.bytes(span, MAX_MANIFEST, of.digest().as_ref())?;
    RawManifest::verified(of.media_type().clone(), of.digest().clone(), bytes)
}

impl ImageSource for ArchiveSource {
    fn manifest(&self) -> Result<RawManifest, SourceError> {
        Ok(self.top.clone())
    }

    fn child(&self, of: &Descriptor) -> Result<RawManifest, SourceError> {
        document(&self.index, &self.places, of)
    }

    fn blob(&self, of: &Descriptor) -> Result<Box<dyn Read + Send + '_>, SourceError> {
        let span = locate(&self.index, &self.places, of.digest())?;
        check_size(of, span.size)?;
        Ok(Box::new(VerifyingReader::new(self.index.read(span), of)?))
    }
}
