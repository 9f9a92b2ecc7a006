//! The integration suite: one binary, one module a subject.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::too_many_lines,
    clippy::format_push_string,
    clippy::items_after_statements,
    reason = "tests may panic, read files and say what they skip"
)]

mod advisories;
mod advisory_edges;
mod architecture;
mod config;
mod contract;
mod dependencies;
mod dockerfiles;
mod docs;
mod edges;
mod embedded;
mod engine;
mod example;
mod feeds;
mod fixtures;
mod forge;
mod frontend;
mod hostile;
mod init;
mod inventory;
mod known_layers;
mod layers;
mod leaks;
mod loading;
mod package_lists;
mod pulling;
mod pushing;
mod reports;
mod rpmdb;
mod sbom;
mod signatures;
mod sources;
mod sources_oracle;
mod step_caches;
#[path = "../support/mod.rs"]
mod support;
mod unfixed;
mod verdicts;
mod verify;
mod vex;
