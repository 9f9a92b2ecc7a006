//! What can stop a scan.

use std::io;

use crate::oci::{Descriptor, Digest, ImagePath, LayerIndex, SourceError};

/// The scan of an image stopped; nothing that was learned until then is used.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// manifest and configuration do not speak of the same image
    #[error(
        "the manifest lists {layers} layers and the configuration {diff_ids} diff ids; they must be as many (image-spec, config.md)"
    )]
    LayerCount {
        /// in the manifest
        layers: usize,
        /// in the configuration
        diff_ids: usize,
    },
    /// more layers than any runtime takes
    #[error("the image has {layers} layers, more than {limit}")]
    TooManyLayers {
        /// found
        layers: u64,
        /// allowed
        limit: u64,
    },
    /// a layer could not be read, or holds what no image may hold
    #[error("layer {index} ({digest})")]
    Layer {
        /// position
        index: LayerIndex,
        /// digest of the blob
        digest: Digest,
        /// what is wrong
        #[source]
        source: Box<LayerError>,
    },
    /// the caller stopped it
    #[error("the scan was cancelled")]
    Cancelled,
}

impl ScanError {
    pub(super) fn layer(index: LayerIndex, of: &Descriptor, error: LayerError) -> Self {
        Self::Layer {
            index,
            digest: of.digest().clone(),
            source: Box::new(error),
        }
    }
}

/// What can be wrong with a layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// the blob could not be opened
    #[error(transparent)]
    Source(#[from] SourceError),
    /// the blob could not be read to its end
    #[error("the blob cannot be read")]
    Read(#[source] io::Error),
    /// not a layer that can be unpacked
    #[error("media type `{0}` is none of a layer: tar, tar+gzip or tar+zstd is needed")]
    MediaType(String),
    /// media type and content disagree
    #[error("the media type says {stated}, the first bytes say {found}")]
    Magic {
        /// by the media type
        stated: &'static str,
        /// by the first bytes
        found: &'static str,
    },
    /// the compressed stream is not one
    #[error("the {codec} stream cannot be unpacked")]
    Compressed {
        /// `gzip` or `zstd`
        codec: &'static str,
        /// cause
        #[source]
        source: io::Error,
    },
    /// the uncompressed bytes are not those that the configuration names
    #[error("diff id: expected {expected}, got {actual}")]
    DiffId {
        /// by the configuration
        expected: String,
        /// found
        actual: String,
    },
    /// a digest that cannot be computed
    #[error("diff id `{0}`: the digest algorithm is neither sha256 nor sha512")]
    DiffIdAlgorithm(String),
    /// the archive is damaged or hostile
    #[error("tar archive, at byte {offset}")]
    Tar {
        /// bytes of the uncompressed layer before the entry
        offset: u64,
        /// what is wrong
        #[source]
        source: TarError,
    },
    /// an entry lies below something that is no directory
    #[error("`{path}` lies below `{parent}`, which is no directory")]
    Parent {
        /// the entry
        path: ImagePath,
        /// what should be a directory
        parent: ImagePath,
    },
    /// symbolic links that lead to one another
    #[error("`{path}`: more than {limit} symbolic links on the way")]
    LinkLoop {
        /// the entry
        path: ImagePath,
        /// links followed
        limit: u32,
    },
    /// a hard link that cannot be made
    #[error("`{path}` is a hard link to `{target}`, {reason}")]
    HardLink {
        /// the link
        path: ImagePath,
        /// as stored, normalised
        target: ImagePath,
        /// why it cannot be made
        reason: &'static str,
    },
    /// a stated limit was passed
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// What can be wrong with a tar archive.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// a header or its extensions are malformed
    #[error("{0}")]
    Header(String),
    /// the archive ends within an entry
    #[error("the archive ends within {0}")]
    Truncated(String),
    /// something follows the end
    #[error("the archive goes on after its end mark")]
    AfterEnd,
    /// a name that climbs
    #[error("`{0}` has a `..` component; no builder writes one")]
    Climbing(String),
    /// a name that no file can have
    #[error("`{0}` holds a NUL byte")]
    Nul(String),
    /// an entry that cannot be unpacked
    #[error("`{path}` has the entry type `{kind}`, which no layer may hold")]
    Kind {
        /// the entry
        path: String,
        /// type flag
        kind: String,
    },
    /// a number that does not fit
    #[error("`{path}`: {what} {value} is out of range")]
    Range {
        /// the entry
        path: String,
        /// which number
        what: &'static str,
        /// its value
        value: u64,
    },
    /// a sparse file that contradicts itself
    #[error("`{path}`: {reason}")]
    Sparse {
        /// the entry
        path: String,
        /// what is wrong
        reason: &'static str,
    },
    /// a whiteout without a name
    #[error("`{0}` is a whiteout of nothing")]
    Whiteout(String),
}

/// A stated limit was passed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// see [`super::MAX_ENTRIES`]
    #[error("the image has more than {0} entries")]
    Entries(u64),
    /// see [`super::MAX_NAME_BYTES`]
    #[error("the names in the image take more than {0} bytes")]
    Names(u64),
    /// see [`super::MAX_PATH`]
    #[error("a path has {length} bytes, more than {limit}")]
    Path {
        /// found
        length: u64,
        /// allowed
        limit: u32,
    },
    /// see [`super::MAX_METADATA`]
    #[error("long names and PAX records of an entry take {size} bytes, more than {limit}")]
    Metadata {
        /// found
        size: u64,
        /// allowed
        limit: u32,
    },
    /// see [`super::MAX_UNCOMPRESSED`]
    #[error("the layers unpack to more than {0} bytes")]
    Uncompressed(u64),
    /// see [`super::MAX_HOLES`]
    #[error("sparse files have holes of more than {0} bytes")]
    Holes(u64),
    /// see [`super::MAX_SPARSE_REGIONS`]
    #[error("a sparse file has more than {0} regions of data")]
    SparseRegions(usize),
    /// see [`super::MAX_KEPT_FILE`]
    #[error("`{path}` has {size} bytes, more than the {limit} that such a file may have")]
    KeptFile {
        /// the file
        path: ImagePath,
        /// found
        size: u64,
        /// allowed
        limit: u64,
    },
    /// see [`super::MAX_KEPT`]
    #[error("os-release, passwd, group and buildinfo files take more than {0} bytes")]
    Kept(u64),
    /// see [`super::MAX_DATABASE`]
    #[error("the rpm database `{path}` has {size} bytes, more than {limit}")]
    Database {
        /// the file
        path: ImagePath,
        /// found
        size: u64,
        /// allowed
        limit: u64,
    },
    /// extended attribute that the kernel would refuse
    #[error("`{path}`: security.capability has {size} bytes, more than {limit}")]
    Capability {
        /// the file
        path: ImagePath,
        /// found
        size: u64,
        /// allowed
        limit: u64,
    },
}
