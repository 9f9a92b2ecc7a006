//! Images on disk: OCI layouts, OCI archives and docker archives as [`crate::oci::ImageSource`]s.
