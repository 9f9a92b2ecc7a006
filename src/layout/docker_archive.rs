//! The `docker save` format: `manifest.json` names a configuration and uncompressed layers. Written
//! by Docker (legacy and OCI-shaped), podman and skopeo.

use std::path::Path;

use serde::Deserialize;

use super::tar_index::{Span, TarIndex};
use crate::oci::{
    DiffId, ImageConfig, MAX_CONFIG, MAX_LAYERS, MAX_MANIFEST, Reference, SourceError, sha256,
};

/// One entry of `manifest.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// One image of the archive.
#[derive(Debug)]
pub(super) struct SavedImage {
    /// the configuration as stored
    pub(super) config_bytes: Vec<u8>,
    pub(super) config_span: Span,
    pub(super) config: ImageConfig,
    /// bottom first, one for each diff id
    pub(super) layers: Vec<Span>,
}

impl SavedImage {
    pub(super) fn diff_ids(&self) -> &[DiffId] {
        &self.config.rootfs.diff_ids
    }
}

/// Picks one image of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// the only one
    Only,
    /// by a name in `RepoTags`
    Name(String),
    /// by position in `manifest.json`
    Position(usize),
}

pub(super) fn read(index: &TarIndex, pick: &Pick) -> Result<SavedImage, SourceError> {
    let json = index.document("manifest.json", MAX_MANIFEST)?;
    let entries: Vec<Entry> = serde_json::from_slice(&json)
        .map_err(|e| index.malformed(format!("manifest.json: {e}")))?;
    let entry = choose(index.path(), &entries, pick)?;
    let config_bytes = index.document(&entry.config, MAX_CONFIG)?;
    check_image_id(&entry.config, &config_bytes)?;
    let config: ImageConfig = serde_json::from_slice(&config_bytes)
        .map_err(|e| index.malformed(format!("{}: {e}", entry.config)))?;
    let names = entry.layers.as_deref().unwrap_or_default();
    let diff_ids = config.rootfs.diff_ids.len();
    if names.len() != diff_ids {
        return Err(index.malformed(format!(
            "manifest.json lists {} layers, the configuration {diff_ids} diff ids",
            names.len()
        )));
    }
    if names.len() > MAX_LAYERS {
        return Err(SourceError::TooLarge {
            what: index.path().display().to_string(),
            limit: format!("{MAX_LAYERS} layers"),
        });
    }
    let layers = names
        .iter()
        .map(|name| index.require(name))
        .collect::<Result<_, _>>()?;
    Ok(SavedImage {
        config_bytes,
        config_span: index.require(&entry.config)?,
        config,
        layers,
    })
}

/// The file name of a configuration is its digest; names of another shape say nothing.
fn check_image_id(name: &str, bytes: &[u8]) -> Result<(), SourceError> {
    let stem = name.rsplit('/').next().unwrap_or(name);
    let stem = stem.strip_suffix(".json").unwrap_or(stem);
    let actual = sha256(bytes);
    if stem.len() == 64 && stem != actual.digest() {
        return Err(SourceError::Mismatch {
            what: format!("configuration {name}"),
            expected: format!("sha256:{stem}"),
            actual: actual.to_string(),
        });
    }
    Ok(())
}

fn choose<'a>(path: &Path, entries: &'a [Entry], pick: &Pick) -> Result<&'a Entry, SourceError> {
    let found = match pick {
        Pick::Only => match entries {
            [only] => Some(only),
            _ => None,
        },
        Pick::Position(at) => entries.get(*at),
        Pick::Name(name) => entries.iter().find(|entry| {
            let mut tags = entry.repo_tags.iter().flatten();
            tags.any(|tag| tag == name || same_name(tag, name))
        }),
    };
    found.ok_or_else(|| {
        let tags: Vec<&str> = entries
            .iter()
            .flat_map(|entry| entry.repo_tags.iter().flatten())
            .map(String::as_str)
            .collect();
        let which = match pick {
            Pick::Only => "it holds not one image but".to_owned(),
            Pick::Name(name) => format!("no image `{name}` in it; it holds"),
            Pick::Position(at) => format!("no image @{at} in it; it holds"),
        };
        SourceError::Malformed {
            what: path.display().to_string(),
            reason: format!(
                "{which} {}: {}; name one as docker-archive:FILE:NAME or docker-archive:FILE:@N",
                entries.len(),
                if tags.is_empty() {
                    "without names".to_owned()
                } else {
                    tags.join(", ")
                }
            ),
        }
    })
}

fn same_name(a: &str, b: &str) -> bool {
    match (Reference::parse_familiar(a), Reference::parse_familiar(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}
