//! The embedded engine: Dockerfile → graph → layers, in this binary, with nothing installed.
//!
//! ```text
//! Embedded (this process) ──request on stdin──▶ worker: the same binary in mount, pid (and, when not
//!          ◀──events, one JSON line each── root, user) namespaces of its own
//! worker: frontend::lower(Dockerfile) ──▶ Graph ──solver──▶ steps ──▶ store (layers) ──▶ OCI layout
//!                                                   ├─ files: COPY, ADD, WORKDIR inside a snapshot
//!                                                   ├─ run: RUN in a container of its own
//!                                                   └─ base: images from registry, layout, archive
//! ```
//!
//! Everything that mounts or runs happens in the worker: when it dies, for whatever reason, the
//! kernel takes its mounts and its processes with it. Semantics are `BuildKit`'s, case for case; what
//! is not supported is refused by name and line before anything runs.

mod archive;
pub mod base;
mod engine;
mod export;
pub mod fetch;
pub mod files;
pub mod frontend;
pub mod graph;
pub mod run;
pub mod solver;
pub mod step;
pub mod store;
pub mod worker;

pub use engine::Embedded;
