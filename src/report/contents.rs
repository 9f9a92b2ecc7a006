//! What an image is made of, as far as reports tell: its layers, packages and os-release.

use std::collections::BTreeMap;

use crate::{
    finding::Location,
    oci::{DiffId, Digest, LayerIndex},
    subject::{Fact, Packages, Subject},
};

/// A layer, and the line that made it.
#[derive(Debug, Clone)]
pub struct Layer {
    /// position
    pub index: LayerIndex,
    /// digest of the blob
    pub digest: Digest,
    /// digest of the uncompressed tar
    pub diff_id: DiffId,
    /// bytes of the blob
    pub size: u64,
    /// the command that made it, as the history tells
    pub created_by: Option<String>,
    /// the instruction that made it; the last `FROM` for layers of the base
    pub location: Option<Location>,
    /// it is the base image's; `None` when the base is not known
    pub of_base: Option<bool>,
}

/// What an image is made of.
#[derive(Debug, Clone)]
pub struct Contents {
    /// base first
    pub layers: Vec<Layer>,
    /// packages with the layers that brought them, or why they could not be read
    pub packages: Fact<Packages>,
    /// os-release(5) of the image; empty when it has none
    pub os: BTreeMap<String, String>,
}

impl Contents {
    /// Takes over what the pass over the layers learned.
    pub fn of(subject: &Subject) -> Self {
        let base = match &subject.base {
            Fact::Known(base) if subject.config.rootfs.diff_ids.starts_with(&base.diff_ids) => {
                Some(base.diff_ids.len())
            }
            _ => None,
        };
        let layer = |facts: &crate::subject::LayerFacts| Layer {
            index: facts.index,
            digest: facts.digest.clone(),
            diff_id: facts.diff_id.clone(),
            size: facts.size,
            created_by: facts.created_by.clone(),
            location: subject.at_layer(facts.index),
            of_base: base.map(|base| (facts.index.0 as usize) < base),
        };
        Self {
            layers: subject.inventory.layers.iter().map(layer).collect(),
            packages: subject.inventory.packages.clone(),
            os: os_release(subject),
        }
    }

    /// A layer by its position.
    pub fn layer(&self, index: LayerIndex) -> Option<&Layer> {
        self.layers.get(index.0 as usize)
    }
}

/// Values may stand in quotes, and the last assignment counts (os-release(5)).
fn os_release(subject: &Subject) -> BTreeMap<String, String> {
    let inventory = &subject.inventory;
    let text = inventory
        .kept_file("/etc/os-release")
        .or_else(|| inventory.kept_file("/usr/lib/os-release"))
        .unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let pairs = text.lines().filter_map(|line| line.trim().split_once('='));
    pairs
        .filter(|(name, _)| !name.is_empty() && !name.starts_with('#'))
        .map(|(name, value)| {
            let value = value.trim().trim_matches(['"', '\'']);
            (name.to_owned(), value.to_owned())
        })
        .collect()
}
