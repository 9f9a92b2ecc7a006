//! The configuration that holds, once all levels are merged.

use std::path::PathBuf;

use indexmap::IndexMap;

use super::{
    amounts::Span,
    ci::CiConfig,
    decode::Value as _,
    file::Settings,
    sourced::{Listed, Origin, Setting, Sourced},
    values::{ReportTo, Stage},
};
use crate::secret::Secret;

/// The configuration, valid and complete.
#[derive(Debug, Clone)]
pub struct Config {
    /// repository root, absolute and without links
    pub root: PathBuf,
    /// configuration file, as it is named in messages
    pub file: Option<PathBuf>,
    /// stages to go through, in order
    pub stages: Sourced<Vec<Stage>>,
    /// print the plan and do nothing
    pub dry_run: bool,
    /// exit with 0 although the image was rejected or not assessed
    pub exit_zero: bool,
    /// the certificates of the images' registries go unchecked, and TLS is not asked for
    pub unverified: bool,
    /// longest time that the run may take
    pub timeout: Setting<Span>,
    /// top of the checkout, which locations in reports are relative to; holds the root
    pub checkout: PathBuf,
    /// reports to write; paths are absolute, no two go to the same place; empty when nobody asked
    /// for one
    pub reports: Vec<Sourced<ReportTo>>,
    /// images to build, one at least; for `scan` the settings of the image given
    pub images: Vec<ImageConfig>,
    /// tags may be moved from other images
    pub force: bool,
    /// the image that `scan` or `push` was given
    pub scan: Option<String>,
    /// what the forge and the CI are told
    pub ci: CiConfig,
    /// what the user should know, although nothing is wrong
    pub warnings: Vec<String>,
}

/// The configuration of one image.
#[derive(Debug, Clone)]
pub struct ImageConfig {
    /// its name among several
    pub name: Option<String>,
    /// everything that was set for it, defaults included
    pub settings: Settings,
    /// context directory, absolute and without links
    pub context: Sourced<PathBuf>,
    /// Dockerfile, absolute and without links; `scan` may have none
    pub dockerfile: Option<Sourced<PathBuf>>,
    /// values of the secrets, by id; empty unless something is built
    pub secrets: IndexMap<String, Secret>,
    /// sockets of ssh agents, or key files, by id
    pub ssh: IndexMap<String, PathBuf>,
    /// mirrors, with absolute paths after `oci:`
    pub mirrors: IndexMap<String, String>,
    /// directory of the OCI layout, absolute
    pub output: Option<PathBuf>,
    /// directory of the embedded engine's cache, absolute
    pub cache_dir: Option<PathBuf>,
    /// file for the build graph as LLB, absolute
    pub dump_llb: Option<PathBuf>,
    /// `SOURCE_DATE_EPOCH`, in seconds since 1970
    pub source_date_epoch: Option<i64>,
}

impl ImageConfig {
    /// Every value that was set, and by whom.
    pub fn list(&self) -> Vec<Listed> {
        let mut out = Vec::new();
        self.settings.list("", &Origin::Default, &mut out);
        out
    }
}
