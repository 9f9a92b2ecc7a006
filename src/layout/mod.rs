//! Images on disk: OCI layouts, OCI archives and docker archives as [`crate::oci::ImageSource`]s,
//! and the one writer of OCI layouts.
//!
//! It does not run engines and does not talk to registries; nothing of an image's file system is
//! unpacked.

mod archive;
mod closure;
mod docker_archive;
mod export;
mod import;
mod source;
mod tar_index;
mod transport;
mod writer;

pub use archive::ArchiveSource;
pub use docker_archive::Pick;
pub use export::export_docker_archive;
pub(crate) use import::decompress;
pub use import::{import_docker_archive, import_one_of_docker_archive, unpack_oci_archive};
pub use source::{LayoutSource, Select};
pub use transport::{DaemonImage, Transport, TransportError};
pub use writer::{BlobWriter, FULL_NAME, LayoutWriter, REF_NAME};
