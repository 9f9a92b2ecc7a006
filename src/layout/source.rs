//! An OCI layout directory as a source.

use std::{
    collections::HashSet,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use super::{
    REF_NAME,
    writer::{FULL_NAME, blob_path, io_error},
};
use crate::oci::{
    Descriptor, Digest, ImageIndex, ImageSource, MAX_MANIFEST, MediaType, RawManifest, SourceError,
    VerifyingReader,
};

/// Picks one image of a layout or OCI archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Select {
    /// `org.opencontainers.image.ref.name` in `index.json`
    Tag(String),
    /// digest of the manifest or index
    Digest(Digest),
}

/// An image in an OCI layout directory.
#[derive(Debug)]
pub struct LayoutSource {
    root: PathBuf,
    top: Descriptor,
}

impl LayoutSource {
    /// Reads `index.json`; without a selection there has to be just one image.
    pub fn open(root: &Path, select: Option<&Select>) -> Result<Self, SourceError> {
        let shown = root.display().to_string();
        let layout = small_file(&root.join("oci-layout"), 4096).map_err(|error| match error {
            SourceError::NotFound { source, .. } => SourceError::NotFound {
                what: format!("{shown} (it has no file oci-layout, so it is not an OCI layout)"),
                source,
            },
            other => other,
        })?;
        check_version(&shown, &layout)?;
        let index = small_file(&root.join("index.json"), MAX_MANIFEST)?;
        let top = match select_entry(&shown, &index, select)? {
            Selected::Entry(entry) => *entry,
            Selected::Digest(digest) => {
                let path = blob_path(root, &digest);
                let meta = std::fs::metadata(&path).map_err(|source| SourceError::NotFound {
                    what: format!("{shown}@{digest}"),
                    source: Some(source),
                })?;
                let any = MediaType::Other("application/json".to_owned());
                Descriptor::new(any, meta.len(), digest)
            }
        };
        Ok(Self {
            root: root.to_owned(),
            top,
        })
    }

    /// The descriptor of what was selected.
    pub fn descriptor(&self) -> &Descriptor {
        &self.top
    }
}

pub(super) enum Selected {
    Entry(Box<Descriptor>),
    /// not in the index, but it may be deeper down
    Digest(Digest),
}

pub(super) fn check_version(what: &str, layout: &[u8]) -> Result<(), SourceError> {
    let value: Option<serde_json::Value> = serde_json::from_slice(layout).ok();
    let version = value
        .as_ref()
        .and_then(|v| v.get("imageLayoutVersion")?.as_str());
    match version {
        Some(version) if version.starts_with("1.") => Ok(()),
        Some(version) => Err(SourceError::Unsupported {
            what: what.to_owned(),
            reason: format!("its OCI layout version is `{version}`; 1.0.0 is known"),
        }),
        None => Err(SourceError::Malformed {
            what: what.to_owned(),
            reason: "oci-layout does not state imageLayoutVersion".to_owned(),
        }),
    }
}

/// The entry of `index.json` that is meant.
pub(super) fn select_entry(
    what: &str,
    index: &[u8],
    select: Option<&Select>,
) -> Result<Selected, SourceError> {
    let index: ImageIndex = serde_json::from_slice(index).map_err(|e| SourceError::Malformed {
        what: format!("{what}: index.json"),
        reason: e.to_string(),
    })?;
    let mut found: Vec<&Descriptor> = index
        .manifests()
        .iter()
        .filter(|entry| match select {
            None => true,
            Some(Select::Digest(digest)) => entry.digest() == digest,
            Some(Select::Tag(tag)) => {
                name(entry, REF_NAME) == Some(tag) || name(entry, FULL_NAME) == Some(tag)
            }
        })
        .collect();
    let mut seen = HashSet::new();
    found.retain(|entry| seen.insert(entry.digest().clone()));
    match (found.as_slice(), select) {
        ([only], _) => Ok(Selected::Entry(Box::new((*only).clone()))),
        ([], Some(Select::Digest(digest))) => Ok(Selected::Digest(digest.clone())),
        ([], None) => Err(SourceError::Malformed {
            what: what.to_owned(),
            reason: "index.json names no image".to_owned(),
        }),
        ([], Some(Select::Tag(tag))) => Err(SourceError::NotFound {
            what: format!("{what}:{tag} (there is {})", names(&index)),
            source: None,
        }),
        (_, _) => Err(SourceError::Malformed {
            what: what.to_owned(),
            reason: format!(
                "it holds {} images: {}; name one by tag or digest",
                found.len(),
                names(&index)
            ),
        }),
    }
}

fn name<'a>(entry: &'a Descriptor, key: &str) -> Option<&'a String> {
    entry.annotations().as_ref()?.get(key)
}

fn names(index: &ImageIndex) -> String {
    let names: Vec<&str> = index
        .manifests()
        .iter()
        .map(|entry| name(entry, REF_NAME).map_or(entry.digest().as_ref(), String::as_str))
        .collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "layouts on disk are read by this module"
)]
fn open_regular(path: &Path) -> Result<(File, u64), SourceError> {
    let not_found = |source| SourceError::NotFound {
        what: path.display().to_string(),
        source: Some(source),
    };
    // Asked before opening, because opening a pipe would wait for its other end.
    let meta = std::fs::metadata(path).map_err(not_found)?;
    if !meta.is_file() {
        return Err(SourceError::Malformed {
            what: path.display().to_string(),
            reason: "it is not a regular file".to_owned(),
        });
    }
    Ok((File::open(path).map_err(not_found)?, meta.len()))
}

fn small_file(path: &Path, limit: u64) -> Result<Vec<u8>, SourceError> {
    let (file, size) = open_regular(path)?;
    if size > limit {
        return Err(SourceError::TooLarge {
            what: path.display().to_string(),
            limit: format!("{limit} bytes"),
        });
    }
    let mut bytes = Vec::new();
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(|e| io_error(path, e))?;
    Ok(bytes)
}

impl ImageSource for LayoutSource {
    fn manifest(&self) -> Result<RawManifest, SourceError> {
        self.child(&self.top)
    }

    fn child(&self, of: &Descriptor) -> Result<RawManifest, SourceError> {
        let bytes = small_file(&blob_path(&self.root, of.digest()), MAX_MANIFEST)?;
        check_size(of, bytes.len() as u64)?;
        RawManifest::verified(of.media_type().clone(), of.digest().clone(), bytes)
    }

    fn blob(&self, of: &Descriptor) -> Result<Box<dyn Read + Send + '_>, SourceError> {
        let (file, size) = open_regular(&blob_path(&self.root, of.digest()))?;
        check_size(of, size)?;
        Ok(Box::new(VerifyingReader::new(file, of)?))
    }
}

/// Told before the first byte is read, because it costs nothing.
pub(super) fn check_size(of: &Descriptor, actual: u64) -> Result<(), SourceError> {
    if actual == of.size() {
        return Ok(());
    }
    Err(SourceError::Mismatch {
        what: format!("blob {}", of.digest()),
        expected: format!("{} bytes", of.size()),
        actual: format!("{actual} bytes"),
    })
}
