//! `json`: the contract. Additions only; the schema is `plimsoll schema report`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

mod advisories;

use self::advisories::{Graded, graded};
use super::{Change, ImageReport, LintLevel, Report, ReportKind, Reporter, view};
use crate::finding::{Assessment, Finding, Location, Outcome};

/// Version of the contract: the first number changes when something is taken away or changes its
/// meaning, the second when something is added.
const SCHEMA_VERSION: &str = "1.2";

/// `--format json`
pub struct Json;

impl Reporter for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn write(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, &document(report))?;
        writeln!(out)
    }
}

/// The JSON schema of the contract.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Document).to_value();
    schema["title"] = "Plimsoll report".into();
    schema
}

/// A Plimsoll report.
#[derive(Serialize, JsonSchema)]
struct Document {
    /// `MAJOR.MINOR` of this contract
    schema_version: &'static str,
    tool: Tool,
    /// what was done: `check` (prediction, nothing was built), `scan`, `build`, `advisories`
    kind: &'static str,
    /// when it was made, RFC 3339, UTC
    created: String,
    /// repository-relative path of the Dockerfile
    dockerfile: Option<String>,
    /// nothing blocking failed and nothing required was left unassessed
    passed: bool,
    #[serde(flatten)]
    body: Body,
    /// where the image was pushed; absent when it was not
    #[serde(skip_serializing_if = "Option::is_none")]
    pushed: Option<PushedDocument>,
    /// build checks, static findings, the step that failed the build
    lints: Vec<LintDocument>,
    /// what it was compared with; null when there was nothing to compare with
    baseline: Option<Compared>,
}

/// The findings beside those of the baseline.
#[derive(Serialize, JsonSchema)]
struct Compared {
    /// the report or image that was named
    name: String,
    /// findings that the baseline did not have
    new: usize,
    /// findings that it had too
    unchanged: usize,
    /// findings of the baseline that are gone
    fixed: Vec<Gone>,
}

#[derive(Serialize, JsonSchema)]
struct Gone {
    rule: String,
    message: String,
    fingerprint: String,
}

#[derive(Serialize, JsonSchema)]
struct PushedDocument {
    /// registry and repository
    reference: String,
    /// digest of the manifest or index: that of the bytes that were assessed
    digest: String,
    /// tags that name it, as the registry confirmed
    tags: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Tool {
    name: &'static str,
    version: &'static str,
}

/// One image, or several platforms of one.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Body {
    Platforms { platforms: Vec<PlatformDocument> },
    Single(Box<ImageDocument>),
}

#[derive(Serialize, JsonSchema)]
struct PlatformDocument {
    /// nothing blocking failed and nothing required was left unassessed on this platform
    passed: bool,
    #[serde(flatten)]
    image: ImageDocument,
}

#[derive(Serialize, JsonSchema, Default)]
struct ImageDocument {
    /// null when there is no image: the build failed
    image: Option<Identity>,
    #[serde(flatten)]
    graded: Graded,
    /// the service's thirteen first, then those of today's policy
    assessments: Vec<AssessmentDocument>,
    /// installed packages; null when the package database could not be read
    packages_count: Option<usize>,
    /// the base image, as far as it is known
    base: Option<Base>,
}

#[derive(Serialize, JsonSchema)]
struct Identity {
    /// as the user wrote it, or as it will be pushed
    reference: String,
    /// digest of the manifest; null for a prediction
    digest: Option<String>,
    /// digest of the configuration (the image id)
    config_digest: Option<String>,
    /// `os/architecture[/variant]`
    platform: Option<String>,
    /// the tag that was judged
    tag: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Base {
    reference: String,
    digest: Option<String>,
    /// number of its layers
    layers: usize,
}

#[derive(Serialize, JsonSchema)]
struct AssessmentDocument {
    /// the rule's id
    name: &'static str,
    /// `passed`, `failed`, `warning`, `not_applicable` or `not_assessed`
    outcome: &'static str,
    /// a failure (or a missing assessment) of this rule rejects the image
    blocking: bool,
    /// why it came out so, when that is worth saying
    reason: Option<String>,
    /// reason of the exception that was granted
    exception: Option<String>,
    findings: Vec<FindingDocument>,
}

#[derive(Serialize, JsonSchema)]
struct FindingDocument {
    message: String,
    location: Option<LocationDocument>,
    /// index of the layer, 0 is the bottom of the base
    layer: Option<u32>,
    /// path inside the image
    path: Option<String>,
    /// NEVRA
    package: Option<String>,
    advisory: Option<String>,
    /// one sentence on how to mend it
    remedy: Option<String>,
    /// text to put at the location
    patch: Option<String>,
    /// SHA-256 over what tells this finding from others, whatever its message or line
    fingerprint: String,
    /// `new` or `unchanged` against the baseline; null without one
    change: Option<&'static str>,
}

#[derive(Serialize, JsonSchema)]
struct LocationDocument {
    /// relative to the repository root
    file: String,
    /// first line, from 1
    line: u32,
    /// last line
    end_line: u32,
}

impl LocationDocument {
    fn of(location: &Location) -> Self {
        Self {
            file: location.file.clone(),
            line: location.line,
            end_line: location.end_line,
        }
    }
}

#[derive(Serialize, JsonSchema)]
struct LintDocument {
    rule: String,
    /// `note`, `warning` or `error`
    level: &'static str,
    title: String,
    help_uri: Option<String>,
    #[serde(flatten)]
    finding: FindingDocument,
}

fn document(report: &Report) -> Document {
    let items = view::items(report);
    let body = match report.images.as_slice() {
        [] => Body::Single(Box::default()),
        [image] => Body::Single(Box::new(image_document(report, image, &items))),
        images => Body::Platforms {
            platforms: images
                .iter()
                .map(|image| PlatformDocument {
                    passed: view::passed(report, image),
                    image: image_document(report, image, &items),
                })
                .collect(),
        },
    };
    Document {
        schema_version: SCHEMA_VERSION,
        tool: Tool {
            name: view::TOOL,
            version: view::VERSION,
        },
        kind: match report.kind {
            ReportKind::Check => "check",
            ReportKind::Scan => "scan",
            ReportKind::Build => "build",
            ReportKind::Advisories => "advisories",
        },
        created: report.created.to_string(),
        dockerfile: report.dockerfile.clone(),
        passed: report.passed,
        body,
        pushed: report.pushed.as_ref().map(|pushed| PushedDocument {
            reference: pushed.reference.clone(),
            digest: pushed.digest.to_string(),
            tags: pushed.tags.clone(),
        }),
        lints: items
            .iter()
            .filter(|i| i.image.is_none())
            .zip(&report.lints)
            .map(lint)
            .collect(),
        baseline: compared(report, &items),
    }
}

fn compared(report: &Report, items: &[view::Item<'_>]) -> Option<Compared> {
    let baseline = report.baseline.as_ref()?;
    let count = |change| {
        items
            .iter()
            .filter(|item| item.change == Some(change))
            .count()
    };
    let gone = |told: &super::baseline::Told| Gone {
        rule: told.rule.clone(),
        message: told.message.clone(),
        fingerprint: told.fingerprint.clone(),
    };
    Some(Compared {
        name: baseline.name.clone(),
        new: count(Change::New),
        unchanged: count(Change::Unchanged),
        fixed: baseline
            .fixed(report, items)
            .into_iter()
            .map(gone)
            .collect(),
    })
}

fn image_document(report: &Report, image: &ImageReport, items: &[view::Item<'_>]) -> ImageDocument {
    let identity = &image.image;
    ImageDocument {
        image: Some(Identity {
            reference: identity.reference.clone(),
            digest: identity.digest.as_ref().map(ToString::to_string),
            config_digest: identity.config_digest.as_ref().map(ToString::to_string),
            platform: identity.platform.as_ref().map(ToString::to_string),
            tag: identity.tag.clone(),
        }),
        assessments: image
            .assessments
            .iter()
            .map(|a| assessment(a, image, items))
            .collect(),
        packages_count: image.packages_count,
        base: image.base.as_ref().map(|base| Base {
            reference: base.reference.clone(),
            digest: base.digest.as_ref().map(ToString::to_string),
            layers: base.layers,
        }),
        graded: graded(report, image),
    }
}

fn assessment(
    assessment: &Assessment,
    image: &ImageReport,
    items: &[view::Item<'_>],
) -> AssessmentDocument {
    let of_this = |item: &&view::Item<'_>| {
        item.rule == assessment.rule.id && item.image.is_some_and(|i| std::ptr::eq(i, image))
    };
    let reason = view::why(assessment);
    AssessmentDocument {
        name: assessment.rule.id,
        outcome: assessment.outcome_name(),
        blocking: assessment.blocking,
        reason: (!reason.is_empty()).then_some(reason),
        exception: assessment.exception.clone(),
        findings: items
            .iter()
            .filter(of_this)
            .filter(|_| !matches!(assessment.outcome, Outcome::NotAssessed(_)))
            .map(|item| finding(&item.finding, item))
            .collect(),
    }
}

fn finding(finding: &Finding, item: &view::Item<'_>) -> FindingDocument {
    FindingDocument {
        message: finding.message.clone(),
        location: finding.location.as_ref().map(LocationDocument::of),
        layer: finding.layer.map(|layer| layer.0),
        path: finding.path.as_ref().map(ToString::to_string),
        package: finding.package.clone(),
        advisory: finding.advisory.clone(),
        remedy: finding.remedy.clone(),
        patch: finding.patch.clone(),
        fingerprint: item.fingerprint.clone(),
        change: item.change.map(Change::as_str),
    }
}

fn lint((item, lint): (&view::Item<'_>, &super::Lint)) -> LintDocument {
    LintDocument {
        rule: lint.rule.clone(),
        level: match lint.level {
            LintLevel::Note => "note",
            LintLevel::Warning => "warning",
            LintLevel::Error => "error",
        },
        title: lint.title.clone(),
        help_uri: lint.help_uri.clone(),
        finding: finding(&lint.finding, item),
    }
}
