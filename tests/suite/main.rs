//! The integration suite: one binary, one module a subject.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests may panic, read files and say what they skip"
)]

#[path = "../support/mod.rs"]
mod support;

mod engine;
mod pulling;
mod sources;
mod sources_oracle;
