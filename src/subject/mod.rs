//! The immutable facts of one image. Checks read it and nothing else.

mod advisories;
mod facts;
mod tree;

pub use advisories::{AdvisoryFacts, CurrentBase, InBase};
pub use facts::{
    Change, ChangeKind, Entry, EntryKind, Fact, FileProblem, Inventory, LayerFacts, Packages,
    PreflightModified, SecretTrace,
};

use crate::{
    dockerfile::Origins,
    finding::Location,
    oci::{DiffId, Digest, ImageConfig, LayerIndex, Platform, Reference},
};

/// The layers of the base image, and who says so.
#[derive(Debug, Clone)]
pub struct BaseImage {
    /// reference or catalog name
    pub reference: String,
    /// its diff ids, bottom first
    pub diff_ids: Vec<DiffId>,
    /// manifest digest, when known
    pub digest: Option<Digest>,
    /// where this was learned: `registry`, `layout`, `catalog`, `--base`
    pub source: String,
}

/// Everything that is known of one image.
#[derive(Debug)]
pub struct Subject {
    /// as the user gave it, or as it will be pushed
    pub reference: Option<Reference>,
    /// as the user wrote it, with its transport
    pub display_name: String,
    /// tags that the image has or will be pushed with
    pub tags: Fact<Vec<String>>,
    /// digest of the manifest
    pub digest: Digest,
    /// digest of the configuration, the image id
    pub config_digest: Digest,
    /// platform of this image
    pub platform: Platform,
    /// the configuration
    pub config: ImageConfig,
    /// what lies in the layers
    pub inventory: Inventory,
    /// the image against the advisory database
    pub advisories: Fact<AdvisoryFacts>,
    /// the base image
    pub base: Fact<BaseImage>,
    /// where it comes from in the Dockerfile; default when there is none
    pub origins: Origins,
    /// the project is marked privileged in the configuration
    pub privileged: bool,
}

impl Subject {
    /// The last `FROM`, where findings go that nothing nearer caused.
    pub fn at_from(&self) -> Option<Location> {
        self.origins.from.clone()
    }

    /// The instruction that made a layer; the last `FROM` for layers of the base.
    pub fn at_layer(&self, layer: LayerIndex) -> Option<Location> {
        let own = self.origins.layers.get(layer.0 as usize).cloned().flatten();
        own.or_else(|| self.at_from())
    }

    /// The line that sets a label; the last `FROM` when it is inherited or missing.
    pub fn at_label(&self, name: &str) -> Option<Location> {
        self.origins
            .labels
            .get(name)
            .cloned()
            .or_else(|| self.at_from())
    }

    /// The `USER` that counts; the last `FROM` when it was never said.
    pub fn at_user(&self) -> Option<Location> {
        self.origins.user.clone().or_else(|| self.at_from())
    }
}
