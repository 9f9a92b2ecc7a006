//! What the suite's modules share: images from lines of text, and a registry with faults.
#![allow(dead_code, reason = "each module of the suite uses its own part")]

pub(crate) mod docker_registry;
pub(crate) mod forge;
pub(crate) mod image;
pub(crate) mod registry;
mod relay;
mod run;
pub(crate) mod uploads;

pub(crate) use relay::Relay;
pub(crate) use run::{
    Ran, docker_is_there, example_base, plimsoll, plimsoll_command, plimsoll_with,
};

use std::path::PathBuf;

/// The shared fixtures and data, if they are there: `PLIMSOLL_SHARED`, else beside the repository.
pub(crate) fn shared() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let path = std::env::var_os("PLIMSOLL_SHARED").map_or_else(beside, PathBuf::from);
    path.is_dir().then_some(path)
}

/// Every report format.
pub(crate) const FORMATS: [&str; 15] = [
    "table",
    "json",
    "sarif",
    "junit",
    "markdown",
    "github",
    "gitlab",
    "preflight",
    "gitlab-container-scanning",
    "spdx",
    "cyclonedx",
    "cyclonedx-vex",
    "openvex",
    "html",
    "badge",
];

/// Says on standard error that a test did not run, and why; where everything must be there
/// (`PLIMSOLL_TEST_STRICT`) that is a failure.
pub(crate) fn skipped(test: &str, reason: &str) {
    assert!(
        std::env::var_os("PLIMSOLL_TEST_STRICT").is_none(),
        "{test}: {reason}"
    );
    eprintln!("SKIPPED {test}: {reason}");
}

/// Whether a program can be run.
pub(crate) fn has_program(name: &str) -> bool {
    command(name).arg("--version").output().is_ok()
}

/// A program used as an independent witness.
pub(crate) fn command(name: &str) -> std::process::Command {
    std::process::Command::new(name)
}
