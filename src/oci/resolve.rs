//! From what a source names to the images in it: indexes followed, documents read within limits
//! and checked against each other, so that later code can rely on them.

use std::{collections::HashSet, io::Read as _};

use super::{
    Descriptor, Digest, DocumentKind, ImageConfig, ImageIndex, ImageManifest, ImageSource,
    LayerFormat, MAX_CONFIG, MAX_DEPTH, MAX_INDEX_ENTRIES, MAX_LAYERS, MAX_MANIFEST, Platform,
    RawManifest, SourceError,
    document::{document_kind, parse, schema_1, too_large},
    is_image_config,
};

/// One image, its documents read and checked.
#[derive(Debug, Clone)]
pub struct ResolvedImage {
    /// of the manifest
    pub descriptor: Descriptor,
    /// the manifest; every layer has a format that can be read
    pub manifest: ImageManifest,
    /// the configuration; it has one diff id for each layer of the manifest
    pub config: ImageConfig,
    /// what the configuration says it is for
    pub platform: Platform,
}

/// What a source names.
#[derive(Debug, Clone)]
pub struct ResolvedImages {
    /// digest of what the source names: a manifest, or an index
    pub digest: Digest,
    /// it is an index
    pub is_index: bool,
    /// the images, in the order of the index
    pub images: Vec<ResolvedImage>,
    /// entries of the index that are no images: attestations and other artifacts
    pub other: Vec<Descriptor>,
}

/// Reads manifests and configurations of a source: all images of an index, or the ones for one
/// platform.
///
/// # Errors
/// When a document is malformed, too large or not the one announced, when a layer is not readable
/// (non-distributable, unknown media type), or when there is no image (for the platform).
pub fn resolve(
    source: &dyn ImageSource,
    platform: Option<&Platform>,
) -> Result<ResolvedImages, SourceError> {
    let top = source.manifest()?;
    let mut walk = Walk {
        source,
        wanted: platform,
        seen: HashSet::new(),
        images: Vec::new(),
        other: Vec::new(),
        available: Vec::new(),
    };
    let (media_type, kind) = document_kind(&top)?;
    let size = top.bytes.len() as u64;
    let descriptor = Descriptor::new(media_type, size, top.digest.clone());
    match kind {
        DocumentKind::Index => walk.index(&top, 0)?,
        _ => walk.manifest(descriptor, &top, true)?,
    }
    let Walk {
        images,
        other,
        available,
        ..
    } = walk;
    if images.is_empty() {
        return Err(no_image(&top.digest, platform, &available));
    }
    Ok(ResolvedImages {
        digest: top.digest,
        is_index: kind == DocumentKind::Index,
        images,
        other,
    })
}

fn no_image(digest: &Digest, wanted: Option<&Platform>, available: &[Platform]) -> SourceError {
    let what = format!("index or manifest {digest}");
    match wanted {
        Some(platform) => {
            let mut names: Vec<String> = available.iter().map(ToString::to_string).collect();
            names.dedup();
            SourceError::NoPlatform {
                what,
                platform: platform.to_string(),
                available: if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                },
            }
        }
        None => SourceError::Malformed {
            what,
            reason: "there is no container image in it".to_owned(),
        },
    }
}

struct Walk<'a> {
    source: &'a dyn ImageSource,
    wanted: Option<&'a Platform>,
    seen: HashSet<Digest>,
    images: Vec<ResolvedImage>,
    other: Vec<Descriptor>,
    available: Vec<Platform>,
}

impl Walk<'_> {
    fn index(&mut self, raw: &RawManifest, depth: usize) -> Result<(), SourceError> {
        let index: ImageIndex = parse(raw, "index")?;
        for entry in index.manifests() {
            if !self.seen.insert(entry.digest().clone()) {
                continue;
            }
            if self.seen.len() > MAX_INDEX_ENTRIES {
                return Err(too_large(
                    "index",
                    &raw.digest,
                    format!("{MAX_INDEX_ENTRIES} entries"),
                ));
            }
            self.entry(entry, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Descriptor, depth: usize) -> Result<(), SourceError> {
        if is_attestation(entry) {
            self.other.push(entry.clone());
            return Ok(());
        }
        if let Some(platform) = entry_platform(entry)
            && !self.wants(&platform)
        {
            self.available.push(platform);
            return Ok(());
        }
        match DocumentKind::of(entry.media_type()) {
            DocumentKind::Other => {
                self.other.push(entry.clone());
                return Ok(());
            }
            DocumentKind::Schema1 => return Err(schema_1(entry.digest())),
            DocumentKind::Index | DocumentKind::Manifest => {}
        }
        limit_document("manifest", entry, MAX_MANIFEST)?;
        let raw = self.source.child(entry)?;
        match document_kind(&raw)? {
            (_, DocumentKind::Index) if depth + 1 < MAX_DEPTH => self.index(&raw, depth + 1),
            (_, DocumentKind::Index) => Err(too_large(
                "index",
                &raw.digest,
                format!("{MAX_DEPTH} indexes within each other"),
            )),
            _ => self.manifest(entry.clone(), &raw, false),
        }
    }

    fn manifest(
        &mut self,
        descriptor: Descriptor,
        raw: &RawManifest,
        top: bool,
    ) -> Result<(), SourceError> {
        let manifest: ImageManifest = parse(raw, "manifest")?;
        if !is_image_config(manifest.config().media_type()) {
            if top {
                return Err(SourceError::Unsupported {
                    what: format!("manifest {}", raw.digest),
                    reason: format!(
                        "its configuration is `{}`, so it is not a container image",
                        manifest.config().media_type()
                    ),
                });
            }
            self.other.push(descriptor);
            return Ok(());
        }
        check_layers(raw, &manifest)?;
        let config = read_config(self.source, manifest.config())?;
        let (layers, diff_ids) = (manifest.layers().len(), config.rootfs.diff_ids.len());
        if layers != diff_ids {
            return Err(SourceError::Malformed {
                what: format!("manifest {}", raw.digest),
                reason: format!(
                    "it has {layers} layers, its configuration {} has {diff_ids} diff ids",
                    manifest.config().digest()
                ),
            });
        }
        let platform = config.platform();
        if self.wants(&platform) {
            self.images.push(ResolvedImage {
                descriptor,
                manifest,
                config,
                platform,
            });
        } else {
            self.available.push(platform);
        }
        Ok(())
    }

    fn wants(&self, platform: &Platform) -> bool {
        self.wanted.is_none_or(|wanted| matches(wanted, platform))
    }
}

/// `wanted` without a variant takes any; arm64 without a variant is v8 (image-spec, image-index.md).
fn matches(wanted: &Platform, found: &Platform) -> bool {
    fn variant(platform: &Platform) -> Option<&str> {
        match (platform.architecture.as_str(), platform.variant.as_deref()) {
            ("arm64", None | Some("")) => Some("v8"),
            ("arm", None | Some("")) => Some("v7"),
            (_, Some("")) => None,
            (_, variant) => variant,
        }
    }
    wanted.os == found.os
        && wanted.architecture == found.architecture
        && (wanted.variant.is_none() || variant(wanted) == variant(found))
}

fn entry_platform(entry: &Descriptor) -> Option<Platform> {
    let platform = entry.platform().as_ref()?;
    Some(Platform {
        os: platform.os().to_string(),
        architecture: platform.architecture().to_string(),
        variant: platform.variant().clone(),
    })
}

/// BuildKit lists provenance and SBOMs beside the images, for the platform `unknown/unknown`.
fn is_attestation(entry: &Descriptor) -> bool {
    let unknown = entry_platform(entry)
        .is_some_and(|platform| platform.os == "unknown" && platform.architecture == "unknown");
    let annotated = entry
        .annotations()
        .as_ref()
        .is_some_and(|annotations| annotations.contains_key("vnd.docker.reference.type"));
    unknown || annotated
}

fn check_layers(raw: &RawManifest, manifest: &ImageManifest) -> Result<(), SourceError> {
    if manifest.layers().len() > MAX_LAYERS {
        return Err(too_large(
            "manifest",
            &raw.digest,
            format!("{MAX_LAYERS} layers"),
        ));
    }
    for (at, layer) in manifest.layers().iter().enumerate() {
        let unsupported = |reason| SourceError::Unsupported {
            what: format!("layer {at} ({}) of manifest {}", layer.digest(), raw.digest),
            reason,
        };
        LayerFormat::of(layer.media_type()).map_err(unsupported)?;
        if layer.urls().as_ref().is_some_and(|urls| !urls.is_empty()) {
            return Err(unsupported(
                "it is to be fetched from other addresses (`urls`), which is not done; rebuild \
                 the image on a base whose layers are in its registry"
                    .to_owned(),
            ));
        }
    }
    Ok(())
}

fn read_config(source: &dyn ImageSource, of: &Descriptor) -> Result<ImageConfig, SourceError> {
    limit_document("configuration", of, MAX_CONFIG)?;
    let mut bytes = Vec::new();
    source
        .blob(of)?
        .read_to_end(&mut bytes)
        .map_err(|e| SourceError::from_read(format!("configuration {}", of.digest()), e))?;
    serde_json::from_slice(&bytes).map_err(|e| SourceError::Malformed {
        what: format!("configuration {}", of.digest()),
        reason: e.to_string(),
    })
}

fn limit_document(kind: &str, of: &Descriptor, limit: u64) -> Result<(), SourceError> {
    if of.size() > limit {
        return Err(too_large(kind, of.digest(), format!("{limit} bytes")));
    }
    Ok(())
}
