//! The order of the stages; nothing else knows it.
//!
//! check → build → scan → report. What a stage finds wrong goes into the report, and the report is
//! always written before anything stops the run.

use std::{path::Path, time::Instant};

use indexmap::IndexMap;
use tempfile::TempDir;

use crate::{
    check,
    config::Stage,
    dockerfile::{Dockerfile, PredictContext, predict},
    engine::{self, BuildError, BuildPlan, Built, Cancel, StepFailure},
    error::{Error, ExitCode},
    finding::{Assessment, Finding, Lint, LintLevel, Outcome, Verdict},
    gather::{self, Context, Opened, Reach, Request},
    inventory::{ScanError, ScanOptions},
    layout::Transport,
    oci::{Reference, ResolvedImage, Tag, resolve},
    plan::{Plan, ScanPlan},
    policy::{self, Judgement, Policy, Profile},
    progress::Console,
    report::{BaseSummary, ImageIdentity, ImageReport, Report, ReportKind, SourceText},
    subject::{Fact, Subject},
};

/// What every stage needs.
pub struct Context_<'a> {
    /// registries and engines
    pub reach: &'a Reach,
    /// standard error
    pub console: &'a Console,
    /// set when the user wants to stop
    pub cancel: &'a Cancel,
    /// when the run began
    pub now: jiff::Timestamp,
}

/// What came of one plan.
pub struct Done {
    /// name among several images
    pub name: Option<String>,
    /// what there is to tell, even when a stage failed
    pub report: Option<Report>,
    /// the code that this plan asks for
    pub code: ExitCode,
    /// why a stage ended early
    pub error: Option<Error>,
}
