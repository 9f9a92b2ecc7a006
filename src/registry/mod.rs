//! The registry over HTTP: credentials, pulling (an [`crate::oci::ImageSource`]).

pub mod auth;
