//! What belongs to an image: its manifests, children first, and its blobs, each once.

use std::collections::HashSet;

use hyper::body::Bytes;

use super::PushError;
use crate::{
    oci::{
        DOCKER_MANIFEST, Descriptor, Digest, DocumentKind, ImageIndex, ImageManifest, ImageSource,
        MAX_DEPTH, MAX_INDEX_ENTRIES, MAX_LAYERS, MAX_MANIFEST, MediaType, RawManifest, Reference,
        SourceError, document_kind, resolve,
    },
    policy::Accepted,
};

/// A manifest or index as it is sent.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) media_type: MediaType,
    pub(super) digest: Digest,
    pub(super) bytes: Bytes,
}

/// Everything that belongs to an image.
#[derive(Debug)]
pub(super) struct Documents {
    /// children before what names them; one at least, the image or index itself last
    pub(super) manifests: Vec<Document>,
    pub(super) blobs: Vec<Descriptor>,
    top: Document,
}

impl Documents {
    /// Reads them, and holds them to what was accepted.
    pub(super) fn read(
        source: &dyn ImageSource,
        accepted: &Accepted,
        to: &Reference,
    ) -> Result<Self, PushError> {
        let images = resolve(source, None).map_err(PushError::Image)?;
        let judged = |digest: &Digest| accepted.covers(digest);
        let unjudged = images
            .images
            .iter()
            .find(|image| !judged(image.descriptor.digest()));
        if let Some(image) = unjudged {
            return Err(PushError::NotAccepted {
                digest: image.descriptor.digest().clone(),
                repository: to.clone(),
            });
        }
        let top = source.manifest().map_err(PushError::Image)?;
        // A source that changes its mind between two questions.
        if top.digest != images.digest {
            return Err(PushError::NotAccepted {
                digest: top.digest,
                repository: to.clone(),
            });
        }
        Self::below(source, top)
    }

    /// What belongs to a manifest that is no image's.
    pub(super) fn of_cache(source: &dyn ImageSource, own: RawManifest) -> Result<Self, PushError> {
        Self::below(source, own)
    }

    fn below(source: &dyn ImageSource, top: RawManifest) -> Result<Self, PushError> {
        let mut walk = Walk {
            source,
            seen: HashSet::new(),
            manifests: Vec::new(),
            blobs: Vec::new(),
        };
        let top = walk.document(top, 0).map_err(PushError::Image)?;
        let copy = Document {
            media_type: top.media_type.clone(),
            digest: top.digest.clone(),
            bytes: top.bytes.clone(),
        };
        walk.manifests.push(copy);
        Ok(Self {
            manifests: walk.manifests,
            blobs: walk.blobs,
            top,
        })
    }

    /// The image or index itself.
    pub(super) fn top(&self) -> &Document {
        &self.top
    }

    /// Size of all blobs.
    pub(super) fn bytes(&self) -> u64 {
        self.blobs
            .iter()
            .fold(0, |sum, of| sum.saturating_add(of.size()))
    }
}

struct Walk<'a> {
    source: &'a dyn ImageSource,
    seen: HashSet<Digest>,
    manifests: Vec<Document>,
    blobs: Vec<Descriptor>,
}

impl Walk<'_> {
    /// Takes in what a document names, and gives it in the form in which it is sent.
    fn document(&mut self, raw: RawManifest, depth: usize) -> Result<Document, SourceError> {
        let wrong = |error: serde_json::Error| malformed(&raw.digest, error.to_string());
        let (media_type, kind) = document_kind(&raw)?;
        match kind {
            DocumentKind::Index if depth >= MAX_DEPTH => {
                let reason = format!("more than {MAX_DEPTH} indexes within each other");
                return Err(malformed(&raw.digest, reason));
            }
            DocumentKind::Index => {
                let index: ImageIndex = serde_json::from_slice(&raw.bytes).map_err(wrong)?;
                if index.manifests().len() > MAX_INDEX_ENTRIES {
                    let reason = format!("more than {MAX_INDEX_ENTRIES} entries");
                    return Err(malformed(&raw.digest, reason));
                }
                for entry in index.manifests() {
                    self.entry(entry, depth)?;
                }
            }
            DocumentKind::Manifest => {
                let manifest: ImageManifest =
                    crate::oci::read_document(&raw.bytes).map_err(wrong)?;
                if manifest.layers().len() > MAX_LAYERS {
                    let reason = format!("more than {MAX_LAYERS} layers");
                    return Err(malformed(&raw.digest, reason));
                }
                // The largest blobs are at the bottom: they are begun first.
                for blob in manifest.layers().iter().chain([manifest.config()]) {
                    if self.seen.insert(blob.digest().clone()) {
                        self.blobs.push(blob.clone());
                    }
                }
            }
            DocumentKind::Schema1 | DocumentKind::Other => {
                return Err(SourceError::Unsupported {
                    what: format!("manifest {}", raw.digest),
                    reason: format!(
                        "it is of the type `{media_type}`; images and indexes of OCI and Docker \
                         can be pushed"
                    ),
                });
            }
        }
        Ok(Document {
            media_type,
            digest: raw.digest,
            bytes: raw.bytes.into(),
        })
    }

    fn entry(&mut self, entry: &Descriptor, depth: usize) -> Result<(), SourceError> {
        if !self.seen.insert(entry.digest().clone()) {
            return Ok(());
        }
        if entry.size() > MAX_MANIFEST {
            let reason = format!("more than {MAX_MANIFEST} bytes");
            return Err(malformed(entry.digest(), reason));
        }
        let raw = self.source.child(entry)?;
        let document = self.document(raw, depth + 1)?;
        self.manifests.push(document);
        Ok(())
    }
}

fn malformed(digest: &Digest, reason: String) -> SourceError {
    SourceError::Malformed {
        what: format!("manifest {digest}"),
        reason,
    }
}

/// Types of manifests that may be read back.
pub(super) fn accept() -> String {
    let oci = [MediaType::ImageManifest, MediaType::ImageIndex].map(|kind| kind.to_string());
    format!(
        "{}, {}, {DOCKER_MANIFEST}, {}",
        oci[0],
        oci[1],
        crate::oci::DOCKER_INDEX
    )
}
