//! What a target stage resolves to.

use indexmap::IndexMap;

use super::instruction::Instruction;
use crate::finding::Location;

/// The target names no stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: there is no stage `{target}`; the stages are {stages}")]
pub struct TargetError {
    /// the Dockerfile
    pub file: String,
    /// what was asked for
    pub target: String,
    /// what there is
    pub stages: String,
}

/// Where the lowest stage of a chain starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// `FROM scratch`
    Scratch,
    /// an image reference, variables expanded
    Image(String),
    /// a reference that holds variables whose values are not known; as far as it is known
    Unknown(String),
}

/// A value that is in effect, and who set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// the value; variables that are not known are left as written
    pub value: String,
    /// what keeps the value from being known whole: names of variables
    pub unknown: Vec<String>,
    /// the line that sets it (for labels, of the key)
    pub location: Location,
}

/// One instruction on the way to the target, in the order of the build.
#[derive(Debug, Clone)]
pub struct Step {
    /// index of its stage
    pub stage: usize,
    /// the instruction
    pub instruction: Instruction,
    /// its words, variables expanded: sources and destination, or the whole text
    pub words: Vec<String>,
    /// every word is known
    pub known: bool,
    /// `WORKDIR` in effect; empty before the first
    pub workdir: String,
}

/// What is known of the image that a target stage gives.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// stages from the lowest to the target
    pub chain: Vec<usize>,
    /// what the lowest starts from
    pub base: Base,
    /// the `FROM` that names the base image
    pub base_location: Location,
    /// the `FROM` of the target
    pub from: Location,
    /// labels set on the way, in the order of their first setting
    pub labels: IndexMap<String, Setting>,
    /// the last `USER`
    pub user: Option<Setting>,
    /// the last `MAINTAINER`, which sets no label
    pub maintainer: Option<Setting>,
    /// the last `ENTRYPOINT`
    pub entrypoint: Option<Location>,
    /// the last `CMD`
    pub cmd: Option<Location>,
    /// in the order of the build
    pub steps: Vec<Step>,
}
