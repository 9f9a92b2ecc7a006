//! Finding, location, verdict, outcome, assessment, lint.

use serde::{Deserialize, Serialize};

use crate::{
    oci::{ImagePath, LayerIndex},
    rule::Rule,
};

/// Lines of a file of the repository. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Location {
    /// path relative to the repository root, `/` between components, no leading `./`
    pub file: String,
    /// first line
    pub line: u32,
    /// last line
    pub end_line: u32,
    /// first column in characters, when it is known
    pub column: Option<u32>,
    /// column after the last character, when it is known
    pub end_column: Option<u32>,
}

/// One violation of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// what was found, with the offending value; lower case, no full stop
    pub message: String,
    /// the line that caused it
    pub location: Option<Location>,
    /// layer it lies in
    pub layer: Option<LayerIndex>,
    /// file inside the image
    pub path: Option<ImagePath>,
    /// package, as NEVRA
    pub package: Option<String>,
    /// advisory id, such as `RHSA-2024:1234`
    pub advisory: Option<String>,
    /// one sentence on how to mend it
    pub remedy: Option<String>,
    /// text to put into the file at the location, when it can be told
    pub patch: Option<String>,
    /// what tells this finding from others of the same rule, whatever its message or line: a label
    /// name, a path, a NEVRA. Goes into the fingerprint.
    pub key: String,
}

impl Finding {
    /// A finding with nothing but a message and the key that tells it from its siblings.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            location: None,
            layer: None,
            path: None,
            package: None,
            advisory: None,
            remedy: None,
            patch: None,
            key: key.into(),
        }
    }

    /// Sets the line that caused it.
    #[must_use]
    pub fn at(mut self, location: Option<Location>) -> Self {
        self.location = location;
        self
    }

    /// Sets the layer.
    #[must_use]
    pub fn in_layer(mut self, layer: LayerIndex) -> Self {
        self.layer = Some(layer);
        self
    }

    /// Sets the file inside the image.
    #[must_use]
    pub fn on_path(mut self, path: ImagePath) -> Self {
        self.path = Some(path);
        self
    }

    /// Sets the package, as NEVRA.
    #[must_use]
    pub fn of_package(mut self, nevra: impl Into<String>) -> Self {
        self.package = Some(nevra.into());
        self
    }

    /// Sets the remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Sets the text that mends it.
    #[must_use]
    pub fn patch(mut self, patch: impl Into<String>) -> Self {
        self.patch = Some(patch.into());
        self
    }
}

/// What a check says of a subject whose facts it had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// holds; the note says what it was judged by, when that is worth saying
    Passed {
        /// e.g. which Red Hat base it was recognised as
        note: Option<String>,
    },
    /// holds, but
    Warning(Vec<Finding>),
    /// does not hold
    Failed(Vec<Finding>),
    /// the rule does not concern this image
    NotApplicable(String),
}

/// A verdict, or why there is none. `NotAssessed` is made by the runner alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// the check ran
    Assessed(Verdict),
    /// facts were missing: which, and why
    NotAssessed(String),
}

/// The outcome of one rule on one image.
#[derive(Debug, Clone)]
pub struct Assessment {
    /// the rule
    pub rule: &'static Rule,
    /// what came out
    pub outcome: Outcome,
    /// whether a failure (or a missing assessment) blocks under the chosen profile and policy
    pub blocking: bool,
    /// reason of the exception that was granted, when there is one
    pub exception: Option<String>,
}

impl Assessment {
    /// The findings, whatever their weight.
    pub fn findings(&self) -> &[Finding] {
        match &self.outcome {
            Outcome::Assessed(Verdict::Failed(findings) | Verdict::Warning(findings)) => findings,
            _ => &[],
        }
    }

    /// `passed`, `failed`, `warning`, `not_applicable` or `not_assessed`, as reports write it.
    pub fn outcome_name(&self) -> &'static str {
        match &self.outcome {
            Outcome::Assessed(Verdict::Passed { .. }) => "passed",
            Outcome::Assessed(Verdict::Warning(_)) => "warning",
            Outcome::Assessed(Verdict::Failed(_)) => "failed",
            Outcome::Assessed(Verdict::NotApplicable(_)) => "not_applicable",
            Outcome::NotAssessed(_) => "not_assessed",
        }
    }
}

/// How heavy a lint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LintLevel {
    /// worth a look
    Note,
    /// likely a mistake
    Warning,
    /// stops the run
    Error,
}

/// Something said of the Dockerfile or the configuration that is no assessment of an image: a
/// BuildKit build check, a construct that `check` warns of, the step that failed the build.
#[derive(Debug, Clone)]
pub struct Lint {
    /// `build/StageNameCasing`, `dockerfile/dangling-continuation`, `build/failed`
    pub rule: String,
    /// one line on what the lint is about
    pub title: String,
    /// weight
    pub level: LintLevel,
    /// page about it
    pub help_uri: Option<String>,
    /// what and where
    pub finding: Finding,
}
