//! The form of a cache elsewhere, which is ours and not BuildKit's: a manifest whose layers are those
//! of the steps and whose configuration is the list of records.
//!
//! A record says which layers a step made, and that is believed of a cache that the user named. All
//! else is checked: that records fit the manifest here, that blobs have their digest when they are
//! pulled, and that they unpack to their diff id before the build is done with them.

use std::{collections::BTreeMap, io::Read as _};

use serde::{Deserialize, Serialize};

use crate::{
    engine::embedded::{
        solver::{Tree, shared::Record},
        store::Layer,
    },
    oci::{
        Digest, ImageManifest, ImageSource, LayerFormat, MAX_LAYERS, MediaType, SourceError,
        read_document,
    },
};

/// Media type of the list of records.
pub(super) use crate::registry::push::CACHE_RECORDS;

const MAX_RECORDS: u64 = 64 << 20;
const VERSION: u32 = 1;

/// Records by key, as they are stored in a cache elsewhere.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Records {
    version: u32,
    steps: BTreeMap<String, Record>,
}

impl Records {
    pub(super) fn new() -> Self {
        Self {
            version: VERSION,
            steps: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, key: &Digest, record: &Record) {
        self.steps.insert(key.to_string(), record.clone());
    }

    pub(super) fn steps(self) -> BTreeMap<String, Record> {
        self.steps
    }

    /// Reads those of a cache, and the layers that it has.
    pub(super) fn read(source: &dyn ImageSource) -> Result<(Self, Vec<Digest>), SourceError> {
        let raw = source.manifest()?;
        let malformed = |reason: String| SourceError::Malformed {
            what: format!("cache manifest {}", raw.digest),
            reason,
        };
        let manifest: ImageManifest =
            read_document(&raw.bytes).map_err(|error| malformed(error.to_string()))?;
        let config = manifest.config();
        if config.media_type().to_string() != CACHE_RECORDS {
            return Err(malformed(
                "it is not a cache that Plimsoll wrote".to_owned(),
            ));
        }
        if config.size() > MAX_RECORDS {
            return Err(malformed(format!(
                "its records take {} bytes, more than {MAX_RECORDS}",
                config.size()
            )));
        }
        let mut bytes = Vec::new();
        source
            .blob(config)?
            .take(MAX_RECORDS)
            .read_to_end(&mut bytes)
            .map_err(|error| SourceError::from_read("records of the cache", error))?;
        let records: Self =
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        if records.version != VERSION {
            return Err(malformed(format!("its version is {}", records.version)));
        }
        if let Some(reason) = records.steps.values().find_map(|step| fault(&step.tree)) {
            return Err(malformed(reason));
        }
        let layers = manifest.layers().iter();
        Ok((
            records,
            layers.map(|layer| layer.digest().clone()).collect(),
        ))
    }
}

/// What no build can have made.
fn fault(tree: &Tree) -> Option<String> {
    let made = tree.made.iter().filter(|made| **made).count();
    if made > tree.layers.len() || tree.layers.len() > MAX_LAYERS {
        return Some(format!(
            "a record has {} layers, {made} of them made by the build",
            tree.layers.len()
        ));
    }
    tree.layers.iter().find_map(strange)
}

fn strange(layer: &Layer) -> Option<String> {
    let known = |digest: &Digest| matches!(digest.algorithm().as_ref(), "sha256" | "sha512");
    if !known(&layer.digest) || layer.diff_id.0.algorithm().as_ref() != "sha256" {
        return Some(format!(
            "layer {} has an unknown kind of digest",
            layer.digest
        ));
    }
    LayerFormat::of(&MediaType::from(layer.media_type.as_str())).err()
}
