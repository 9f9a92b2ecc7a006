//! The report of a run, and the formats it is written in. Pure: a reporter turns a [`Report`] into
//! bytes; files, colours of the terminal and exit codes are decided elsewhere.

mod annotation;
mod badge;
mod baseline;
mod contents;
mod errata;
mod github;
mod gitlab;
mod gitlab_scanning;
mod grade_text;
mod html;
mod json;
mod junit;
mod line_hash;
mod markdown;
mod notes;
mod preflight;
mod redact;
mod sarif;
mod sbom;
mod table;
mod view;

pub use self::sarif::Sarif;
pub use annotation::{Annotation, AnnotationLevel, annotations};
pub use badge::Badge;
pub use baseline::{Baseline, Change, NotAReport};
pub use contents::{Contents, Layer};
pub use github::GitHub;
pub(crate) use github::{escape_data, write_commands};
pub use gitlab::GitLab;
pub use gitlab_scanning::GitLabScanning;
pub use html::Html;
pub use json::{Json, schema};
pub use junit::JUnit;
pub use markdown::Markdown;
pub(crate) use markdown::cell as markdown_text;
pub use preflight::Preflight;
pub use sbom::{CycloneDx, CycloneDxVex, OpenVex, Spdx};
pub use table::Table;
pub use view::has_new_blocking;
pub(crate) use view::{counts, printable};

use std::io;

pub use crate::finding::{Lint, LintLevel};
use crate::{
    finding::{Assessment, Location},
    oci::{Digest, Platform},
    subject::AdvisoryFacts,
};

/// Which image was judged.
#[derive(Debug, Clone)]
pub struct ImageIdentity {
    /// as the user wrote it, or as it will be pushed
    pub reference: String,
    /// digest of the manifest; `None` for predictions made before there is an image
    pub digest: Option<Digest>,
    /// digest of the configuration
    pub config_digest: Option<Digest>,
    /// platform
    pub platform: Option<Platform>,
    /// the tag that was judged
    pub tag: Option<String>,
}

/// The base image, as far as it is known.
#[derive(Debug, Clone)]
pub struct BaseSummary {
    /// reference
    pub reference: String,
    /// digest
    pub digest: Option<Digest>,
    /// number of its layers
    pub layers: usize,
}

/// The verdict on one image.
#[derive(Debug, Clone)]
pub struct ImageReport {
    /// which
    pub image: ImageIdentity,
    /// in order
    pub assessments: Vec<Assessment>,
    /// installed packages, keys not counted; `None` when they could not be read
    pub packages_count: Option<usize>,
    /// the image against the advisory database, when there is one
    pub advisories: Option<AdvisoryFacts>,
    /// layers and packages; `None` for predictions
    pub contents: Option<Contents>,
    /// base image
    pub base: Option<BaseSummary>,
    /// where to point when nothing nearer is known: the last `FROM`
    pub fallback: Option<Location>,
    /// seconds each stage took, by stage word
    pub timings: Vec<(&'static str, f64)>,
}

/// What was pushed.
#[derive(Debug, Clone)]
pub struct PushedSummary {
    /// registry and repository
    pub reference: String,
    /// digest of the manifest or index
    pub digest: Digest,
    /// tags that name it
    pub tags: Vec<String>,
}

/// What stage words the report is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportKind {
    /// `plimsoll check`: predictions, nothing was built
    Check,
    /// `plimsoll scan` or `run`
    Scan,
    /// the build failed or only a build was asked for
    Build,
    /// `plimsoll advisories for`: no rule was asked for
    Advisories,
}

/// A run's report: one image, several platforms, or none when the build failed.
#[derive(Debug, Clone)]
pub struct Report {
    /// of what
    pub kind: ReportKind,
    /// all that was asked succeeded: no blocking failure, nothing required left unassessed
    pub passed: bool,
    /// one per platform
    pub images: Vec<ImageReport>,
    /// build checks, static lints, build failure
    pub lints: Vec<Lint>,
    /// repository-relative path and text of each file that findings point into (line hashes)
    pub sources: Vec<SourceText>,
    /// path of the Dockerfile: the SARIF category is `plimsoll/<path>/`
    pub dockerfile: Option<String>,
    /// file to point at when there is no Dockerfile: alerts without a place are not shown
    pub anchor: Option<String>,
    /// where the image went, once it was accepted
    pub pushed: Option<PushedSummary>,
    /// when the report was made, UTC
    pub created: jiff::Timestamp,
    /// the time that documents carry which are to come out alike from the same image: package lists
    pub documented: jiff::Timestamp,
    /// what it is compared with
    pub baseline: Option<Baseline>,
}

/// A text that findings point into.
#[derive(Debug, Clone)]
pub struct SourceText {
    /// repository-relative path
    pub file: String,
    /// whole content
    pub text: String,
}

/// Writes a report in one format.
pub trait Reporter: Sync {
    /// the format's name on the command line
    fn name(&self) -> &'static str;
    /// why the format has no valid document for this report, when it has none
    fn unfit(&self, report: &Report) -> Option<String> {
        let _ = report;
        None
    }
    /// what readers of the format will not do with this report as it is
    fn caveat(&self, report: &Report) -> Option<String> {
        let _ = report;
        None
    }
    /// writes it
    fn write(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()>;
}

/// Every format, by name.
pub static REPORTERS: &[&dyn Reporter] = &[
    &Table { color: false },
    &Json,
    &Sarif,
    &JUnit,
    &Markdown,
    &GitHub,
    &GitLab,
    &GitLabScanning,
    &Preflight,
    &Spdx,
    &CycloneDx,
    &CycloneDxVex,
    &OpenVex,
    &Html,
    &Badge,
];
