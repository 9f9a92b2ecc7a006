//! Whether a layout holds everything that an image needs.

use std::path::Path;

use super::writer::{blob_path, io_error};
use crate::oci::{
    Descriptor, DocumentKind, ImageIndex, ImageManifest, MAX_DEPTH, MAX_MANIFEST, SourceError,
};

/// Checks that the blobs below `of` are there with their sizes. Contents are not read again.
pub(super) fn check(root: &Path, of: &Descriptor) -> Result<(), SourceError> {
    walk(root, of, 0)
}

fn walk(root: &Path, of: &Descriptor, depth: usize) -> Result<(), SourceError> {
    present(root, of)?;
    if depth > MAX_DEPTH {
        return Err(SourceError::TooLarge {
            what: format!("index {}", of.digest()),
            limit: format!("{MAX_DEPTH} indexes within each other"),
        });
    }
    let broken = |error: serde_json::Error| SourceError::Malformed {
        what: format!("manifest {}", of.digest()),
        reason: error.to_string(),
    };
    match DocumentKind::of(of.media_type()) {
        DocumentKind::Index => {
            let index: ImageIndex = serde_json::from_slice(&document(root, of)?).map_err(broken)?;
            index
                .manifests()
                .iter()
                .try_for_each(|child| walk(root, child, depth + 1))
        }
        DocumentKind::Manifest => {
            let manifest: ImageManifest =
                crate::oci::read_document(&document(root, of)?).map_err(broken)?;
            present(root, manifest.config())?;
            manifest
                .layers()
                .iter()
                .try_for_each(|layer| present(root, layer))
        }
        DocumentKind::Schema1 | DocumentKind::Other => Ok(()),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "layouts on disk are read by this module"
)]
fn document(root: &Path, of: &Descriptor) -> Result<Vec<u8>, SourceError> {
    if of.size() > MAX_MANIFEST {
        return Err(SourceError::TooLarge {
            what: format!("manifest {}", of.digest()),
            limit: format!("{MAX_MANIFEST} bytes"),
        });
    }
    let path = blob_path(root, of.digest());
    std::fs::read(&path).map_err(|e| io_error(&path, e))
}

fn present(root: &Path, of: &Descriptor) -> Result<(), SourceError> {
    let path = blob_path(root, of.digest());
    match std::fs::metadata(&path) {
        Ok(meta) if meta.len() == of.size() => Ok(()),
        Ok(meta) => Err(SourceError::Mismatch {
            what: format!("blob {}", of.digest()),
            expected: format!("{} bytes", of.size()),
            actual: format!("{} bytes", meta.len()),
        }),
        Err(source) => Err(SourceError::NotFound {
            what: format!("{}: blob {} is missing", root.display(), of.digest()),
            source: Some(source),
        }),
    }
}
