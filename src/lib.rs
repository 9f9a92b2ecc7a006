//! Plimsoll takes a repository's Dockerfile to a certified, published, kept-fresh container image.

pub mod advisory;
pub mod check;
pub mod ci;
pub mod command;
pub mod config;
pub mod dockerfile;
pub mod engine;
pub mod error;
pub mod finding;
pub mod gather;
pub mod inventory;
pub mod layout;
pub mod oci;
pub mod pipeline;
pub mod plan;
pub mod policy;
pub mod progress;
pub mod registry;
pub mod report;
pub mod rpm;
pub mod rule;
pub mod secret;
pub mod subject;
