//! Images on disk: OCI layouts, OCI archives and docker archives as [`crate::oci::ImageSource`]s,
//! and the one writer of OCI layouts.
//!
//! It does not run engines and does not talk to registries; nothing of an image's file system is
//! unpacked.

mod closure;
mod docker_archive;
mod import;
mod tar_index;
mod writer;

pub use docker_archive::Pick;
pub use import::{import_docker_archive, unpack_oci_archive};
pub use writer::{BlobWriter, FULL_NAME, LayoutWriter, REF_NAME};
