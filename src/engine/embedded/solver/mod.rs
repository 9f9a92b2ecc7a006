//! Solves a build: what is in the cache is taken from there, the rest is done in parallel, and the
//! result is written as an OCI layout.

use std::{num::NonZeroUsize, path::PathBuf};

use super::store::{LayerCompression, SnapshotMode};
use crate::{engine::BuildPlan, oci::Platform, registry::RegistryOptions};

/// Everything that one build needs, in the worker.
#[derive(Debug, Clone)]
pub struct Job {
    /// what to build; paths are as the worker sees them
    pub plan: BuildPlan,
    /// of this machine; used when the plan names none
    pub platform: Platform,
    /// cache directory
    pub cache_dir: PathBuf,
    /// as the host allows
    pub snapshots: SnapshotMode,
    /// of the layers that are made
    pub compression: LayerCompression,
    /// how registries are talked to
    pub registry: RegistryOptions,
    /// steps that run, and threads that compress, at once
    pub threads: NonZeroUsize,
    /// engine and version, as the user reads it
    pub engine: String,
}
