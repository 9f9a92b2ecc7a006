//! `json`: the contract. Additions only; the schema is `plimsoll schema report`.

use std::io;

use schemars::JsonSchema;
use serde::Serialize;

use super::{ImageReport, LintLevel, Report, ReportKind, Reporter, view};
use crate::{
    advisory::{
        grade::{Health, Span},
        matching::{Affected, Missing},
    },
    finding::{Assessment, Finding, Outcome},
    subject::AdvisoryFacts,
};

/// Version of the contract: the first number changes when something is taken away or changes its
/// meaning, the second when something is added.
const SCHEMA_VERSION: &str = "1.1";

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
    /// what was done: `check` (prediction, nothing was built), `scan`, `build`
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
    /// Container Health Index `A` to `F`, `Unknown`, or null when it was not assessed
    grade: Option<String>,
    /// date the grade is of, `YYYY-MM-DD`, UTC
    grade_as_of: Option<String>,
    /// grades to come if nothing is done
    timeline: Vec<GradeSpan>,
    /// the service's thirteen first, then those of today's policy
    assessments: Vec<AssessmentDocument>,
    /// advisories that apply
    advisories: Vec<AdvisoryDocument>,
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
struct GradeSpan {
    grade: String,
    /// first day, `YYYY-MM-DD`
    from: String,
    /// first day of the next grade, or null
    until: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct AdvisoryDocument {
    id: String,
    severity: String,
    released: String,
    cves: Vec<String>,
    packages: Vec<AdvisoryPackage>,
}

#[derive(Serialize, JsonSchema)]
struct AdvisoryPackage {
    name: String,
    installed: String,
    fixed: String,
    layer: Option<u32>,
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
        [image] => Body::Single(Box::new(image_document(image, &items))),
        images => Body::Platforms {
            platforms: images
                .iter()
                .map(|image| PlatformDocument {
                    passed: view::passed(report, image),
                    image: image_document(image, &items),
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
    }
}

fn image_document(image: &ImageReport, items: &[view::Item<'_>]) -> ImageDocument {
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
        ..graded(image.advisories.as_ref())
    }
}

/// The fields that come from the advisory database.
fn graded(facts: Option<&AdvisoryFacts>) -> ImageDocument {
    let Some(facts) = facts else {
        return ImageDocument::default();
    };
    let day = |at: jiff::Timestamp| at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string();
    let (grade, timeline) = match &facts.health {
        Health::Graded { grade, timeline } => (grade.to_string(), timeline.as_slice()),
        Health::Unknown(_) => ("Unknown".to_owned(), [].as_slice()),
    };
    let span = |span: &Span| GradeSpan {
        grade: span.grade.to_string(),
        from: day(span.start),
        until: span.end.map(day),
    };
    ImageDocument {
        grade: Some(grade),
        grade_as_of: Some(day(facts.as_of.timestamp())),
        timeline: timeline.iter().map(span).collect(),
        advisories: facts.matched.missing.iter().map(advisory).collect(),
        ..ImageDocument::default()
    }
}

fn advisory(missing: &Missing) -> AdvisoryDocument {
    let package = |affected: &Affected| {
        let installed = &affected.installed;
        let epoch = installed
            .epoch
            .map_or_else(String::new, |epoch| format!("{epoch}:"));
        AdvisoryPackage {
            name: installed.name.clone(),
            installed: format!("{epoch}{}-{}", installed.version, installed.release),
            fixed: affected.fixed.to_string(),
            layer: Some(affected.layer.0),
        }
    };
    AdvisoryDocument {
        id: missing.id.clone(),
        severity: missing.severity.to_string(),
        released: missing.released.to_string(),
        cves: missing.cves.clone(),
        packages: missing.packages.iter().map(package).collect(),
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
            .map(|item| finding(&item.finding, &item.fingerprint))
            .collect(),
    }
}

fn finding(finding: &Finding, fingerprint: &str) -> FindingDocument {
    FindingDocument {
        message: finding.message.clone(),
        location: finding.location.as_ref().map(|location| LocationDocument {
            file: location.file.clone(),
            line: location.line,
            end_line: location.end_line,
        }),
        layer: finding.layer.map(|layer| layer.0),
        path: finding.path.as_ref().map(ToString::to_string),
        package: finding.package.clone(),
        advisory: finding.advisory.clone(),
        remedy: finding.remedy.clone(),
        patch: finding.patch.clone(),
        fingerprint: fingerprint.to_owned(),
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
        finding: finding(&lint.finding, &item.fingerprint),
    }
}
