//! What a media type stands for; Docker's own types count as their OCI counterparts everywhere.

use super::MediaType;

/// Docker's manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest list.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

/// How a layer's tar stream is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerFormat {
    /// as it is
    Tar,
    /// gzip
    Gzip,
    /// zstd
    Zstd,
}

/// What a document is, by its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// one image
    Manifest,
    /// a list of images
    Index,
    /// Docker's schema 1, which has no configuration document and is no longer served
    Schema1,
    /// something else
    Other,
}

impl DocumentKind {
    /// The kind that a media type names.
    pub fn of(media_type: &MediaType) -> Self {
        match media_type {
            MediaType::ImageManifest => Self::Manifest,
            MediaType::ImageIndex => Self::Index,
            MediaType::Other(name) => match name.as_str() {
                DOCKER_MANIFEST => Self::Manifest,
                DOCKER_INDEX => Self::Index,
                name if SCHEMA_1.contains(&name) => Self::Schema1,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

/// Whether this is the configuration of a container image.
pub fn is_image_config(media_type: &MediaType) -> bool {
    *media_type == MediaType::ImageConfig
        || matches!(media_type, MediaType::Other(name) if name == DOCKER_CONFIG)
}

impl LayerFormat {
    /// How a layer of this media type is stored.
    ///
    /// # Errors
    /// In words: the layer's bytes are not in the registry (non-distributable), or the type is not
    /// one of a file system layer.
    pub fn of(media_type: &MediaType) -> Result<Self, String> {
        match media_type {
            MediaType::ImageLayer => Ok(Self::Tar),
            MediaType::ImageLayerGzip => Ok(Self::Gzip),
            MediaType::ImageLayerZstd => Ok(Self::Zstd),
            MediaType::ImageLayerNonDistributable
            | MediaType::ImageLayerNonDistributableGzip
            | MediaType::ImageLayerNonDistributableZstd => Err(foreign(media_type)),
            MediaType::Other(name) if name.contains(".rootfs.foreign.") => Err(foreign(media_type)),
            MediaType::Other(name) => match name.strip_prefix(DOCKER_LAYER) {
                Some("") => Ok(Self::Tar),
                Some(".gzip") => Ok(Self::Gzip),
                Some(".zstd") => Ok(Self::Zstd),
                _ => Err(unknown(media_type)),
            },
            _ => Err(unknown(media_type)),
        }
    }

    /// How the bytes that start like this are stored; [`LayerFormat::Tar`] when no magic number is
    /// there.
    pub fn sniff(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Tar,
        }
    }

    /// The OCI media type of a layer stored like this.
    pub fn media_type(self) -> MediaType {
        match self {
            Self::Tar => MediaType::ImageLayer,
            Self::Gzip => MediaType::ImageLayerGzip,
            Self::Zstd => MediaType::ImageLayerZstd,
        }
    }
}

fn foreign(media_type: &MediaType) -> String {
    format!(
        "its media type `{media_type}` says that its bytes are kept elsewhere; rebuild the image \
         on a base whose layers may be distributed"
    )
}

fn unknown(media_type: &MediaType) -> String {
    format!("its media type `{media_type}` is not that of a file system layer")
}

#[cfg(test)]
mod tests {
    use super::{DocumentKind, LayerFormat, is_image_config};
    use crate::oci::MediaType;

    #[test]
    fn docker_types_count_as_oci_types() {
        for (name, want) in [
            (
                "application/vnd.oci.image.layer.v1.tar",
                Ok(LayerFormat::Tar),
            ),
            (
                "application/vnd.oci.image.layer.v1.tar+gzip",
                Ok(LayerFormat::Gzip),
            ),
            (
                "application/vnd.oci.image.layer.v1.tar+zstd",
                Ok(LayerFormat::Zstd),
            ),
            (
                "application/vnd.docker.image.rootfs.diff.tar",
                Ok(LayerFormat::Tar),
            ),
            (
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
                Ok(LayerFormat::Gzip),
            ),
            (
                "application/vnd.docker.image.rootfs.diff.tar.zstd",
                Ok(LayerFormat::Zstd),
            ),
            (
                "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                Err("elsewhere"),
            ),
            (
                "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
                Err("elsewhere"),
            ),
            (
                "application/vnd.docker.image.rootfs.diff.tar.xz",
                Err("not that of"),
            ),
            ("application/vnd.in-toto+json", Err("not that of")),
            (
                "application/vnd.oci.image.config.v1+json",
                Err("not that of"),
            ),
        ] {
            match (LayerFormat::of(&MediaType::from(name)), want) {
                (Ok(found), Ok(want)) => assert_eq!(found, want, "{name}"),
                (Err(found), Err(want)) => assert!(found.contains(want), "{name}: {found}"),
                (found, want) => panic!("{name}: {found:?} {want:?}"),
            }
        }
    }

    #[test]
    fn documents_are_told_apart() {
        for (name, want) in [
            (
                "application/vnd.oci.image.manifest.v1+json",
                DocumentKind::Manifest,
            ),
            (
                "application/vnd.docker.distribution.manifest.v2+json",
                DocumentKind::Manifest,
            ),
            (
                "application/vnd.oci.image.index.v1+json",
                DocumentKind::Index,
            ),
            (
                "application/vnd.docker.distribution.manifest.list.v2+json",
                DocumentKind::Index,
            ),
            (
                "application/vnd.docker.distribution.manifest.v1+prettyjws",
                DocumentKind::Schema1,
            ),
            ("text/html", DocumentKind::Other),
        ] {
            assert_eq!(DocumentKind::of(&MediaType::from(name)), want, "{name}");
        }
        assert!(is_image_config(&MediaType::from(
            "application/vnd.docker.container.image.v1+json"
        )));
        assert!(!is_image_config(&MediaType::EmptyJSON));
    }
}
