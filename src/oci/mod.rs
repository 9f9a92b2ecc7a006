//! Words of the OCI image and distribution specifications: digest, diff id, reference, tag,
//! platform, descriptor, manifest, config, history, and the path of a file inside an image.
//!
//! Models come from `oci-spec`; what it leaves open (strict references, paths that cannot leave
//! the image, label order) is typed here. No I/O except through [`ImageSource`].

mod config;
mod document;
mod image_path;
mod media;
pub mod privileges;
mod reference;
mod resolve;
mod source;
mod tag;
pub mod trademark;
mod user;

pub use config::{Config, History, ImageConfig, RootFs};
pub(crate) use document::{document_kind, read as read_document};
pub use image_path::ImagePath;
pub use media::{DOCKER_INDEX, DOCKER_MANIFEST, DocumentKind, LayerFormat, is_image_config};
pub use oci_spec::image::{Descriptor, Digest, ImageIndex, ImageManifest, MediaType};
pub use reference::{Reference, ReferenceError};
pub use resolve::{ResolvedImage, ResolvedImages, resolve};
pub use source::{BlobHasher, ImageSource, RawManifest, SourceError, VerifyingReader, hex, sha256};
pub use tag::{MAX_TAG_LENGTH, Tag, TagError};
pub use user::{HIGHEST_UID, User};

use serde::{Deserialize, Serialize};

/// Largest manifest or index that is read, in bytes (what registries take at most).
pub const MAX_MANIFEST: u64 = 4 << 20;
/// Largest image configuration that is read, in bytes.
pub const MAX_CONFIG: u64 = 4 << 20;
/// Most layers of one image; engines stop at 128.
pub const MAX_LAYERS: usize = 512;
/// Largest layer that is unpacked, in bytes of its tar stream.
pub const MAX_LAYER: u64 = 64 << 30;
/// Most entries of one index.
pub const MAX_INDEX_ENTRIES: usize = 1024;
/// How deep indexes may lie within each other.
pub const MAX_DEPTH: usize = 3;

/// Digest of a layer's *uncompressed* tar stream (image-spec, config.md, `rootfs.diff_ids`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DiffId(pub Digest);

impl std::fmt::Display for DiffId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Position of a layer in the image; 0 is the bottom of the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LayerIndex(pub u32);

impl std::fmt::Display for LayerIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// `os/architecture[/variant]` (image-spec, image-index.md, `platform`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `windows`, …
    pub os: String,
    /// GOARCH name: `amd64`, `arm64`, `ppc64le`, `s390x`, …
    pub architecture: String,
    /// `v8` and the like
    pub variant: Option<String>,
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant
            .iter()
            .try_for_each(|variant| write!(f, "/{variant}"))
    }
}

impl std::str::FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let mut parts = text.split('/');
        let (os, architecture, variant) = (parts.next(), parts.next(), parts.next());
        match (os, architecture, parts.next()) {
            (Some(os), Some(architecture), None)
                if !os.is_empty() && !architecture.is_empty() && variant != Some("") =>
            {
                Ok(Self {
                    os: os.to_owned(),
                    architecture: architecture.to_owned(),
                    variant: variant.map(str::to_owned),
                })
            }
            _ => Err(PlatformError(text.to_owned())),
        }
    }
}

/// A platform that is not `os/architecture[/variant]`.
#[derive(Debug, thiserror::Error)]
#[error("platform `{0}` is not of the form os/architecture[/variant], such as linux/amd64")]
pub struct PlatformError(pub String);
