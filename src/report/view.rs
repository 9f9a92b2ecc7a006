//! What every reporter needs of a report: each result with its rule, weight, place and fingerprint.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::{ImageReport, Lint, LintLevel, Report, baseline::Change};
use crate::{
    finding::{Assessment, Finding, Outcome, Verdict},
    oci::hex,
};

/// Name of the tool as reports write it.
pub(crate) const TOOL: &str = "plimsoll";
/// Version of the tool and of the rule pages that help links point to.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Home of the project; help links name the page of this very release.
pub(crate) const HOME: &str = "https://github.com/plimsoll/plimsoll";

/// How heavy a result is, heaviest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    Error,
    Warning,
    Note,
}

/// One thing to tell the user about: a finding of an assessment, a rule that could not be assessed,
/// or a lint.
pub(crate) struct Item<'a> {
    pub(crate) rule: &'a str,
    pub(crate) title: &'a str,
    pub(crate) help_uri: Option<String>,
    pub(crate) weight: Weight,
    pub(crate) finding: std::borrow::Cow<'a, Finding>,
    pub(crate) image: Option<&'a ImageReport>,
    pub(crate) fingerprint: String,
    /// compared with the baseline, when there is one
    pub(crate) change: Option<Change>,
}

/// Page of a rule in this release.
pub(crate) fn rule_page(id: &str) -> String {
    format!("{HOME}/blob/v{VERSION}/src/check/README.md#{id}")
}

/// Everything worth telling, lints first, then images in order, rules in order.
pub(crate) fn items(report: &Report) -> Vec<Item<'_>> {
    let lints = report.lints.iter().map(|lint| lint_item(report, lint));
    let images = report.images.iter().flat_map(|image| {
        image
            .assessments
            .iter()
            .flat_map(move |assessment| assessment_items(report, image, assessment))
    });
    let mut items: Vec<Item<'_>> = lints.chain(images).collect();
    tell_apart(&mut items);
    if let Some(baseline) = &report.baseline {
        for item in &mut items {
            item.change = baseline.change(item, report);
        }
    }
    items
}

/// The rule that advisories belong to.
pub(crate) const ADVISORIES: &str = "free_of_critical_vulnerabilities";

/// [`items`] for readers who look at the first ones: what is new against the baseline, then the
/// heaviest.
pub(crate) fn by_weight(report: &Report) -> Vec<Item<'_>> {
    let mut items = items(report);
    items.sort_by_key(|item| (item.change != Some(Change::New), item.weight));
    items
}

/// Whether something that blocks is new against the baseline; without a baseline, everything is.
pub fn has_new_blocking(report: &Report) -> bool {
    items(report).iter().any(|item| {
        item.weight == Weight::Error
            && item.change != Some(Change::Unchanged)
            && item.finding.key != NOT_ASSESSED
    })
}

/// Key of the finding that stands for a rule without its facts.
const NOT_ASSESSED: &str = "not-assessed";

/// One name twice in a Dockerfile, or one path in two layers: readers of fingerprints drop all but
/// one of those that are alike. The first keeps its own, whatever comes behind it.
pub(super) fn tell_apart(items: &mut [Item<'_>]) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for item in items {
        let before = seen.entry(item.fingerprint.clone()).or_default();
        if *before > 0 {
            item.fingerprint = hash([item.fingerprint.as_str(), before.to_string().as_str()]);
        }
        *before += 1;
    }
}

fn lint_item<'a>(report: &'a Report, lint: &'a Lint) -> Item<'a> {
    Item {
        rule: &lint.rule,
        title: &lint.title,
        help_uri: lint.help_uri.clone(),
        weight: match lint.level {
            LintLevel::Error => Weight::Error,
            LintLevel::Warning => Weight::Warning,
            LintLevel::Note => Weight::Note,
        },
        fingerprint: fingerprint(report, None, &lint.rule, &lint.finding),
        finding: std::borrow::Cow::Borrowed(&lint.finding),
        image: None,
        change: None,
    }
}

fn assessment_items<'a>(
    report: &'a Report,
    image: &'a ImageReport,
    assessment: &'a Assessment,
) -> Vec<Item<'a>> {
    let item = |finding: std::borrow::Cow<'a, Finding>, weight| Item {
        rule: assessment.rule.id,
        title: assessment.rule.title,
        help_uri: Some(rule_page(assessment.rule.id)),
        weight,
        fingerprint: fingerprint(report, Some(image), assessment.rule.id, &finding),
        finding,
        image: Some(image),
        change: None,
    };
    match &assessment.outcome {
        Outcome::Assessed(Verdict::Failed(findings)) => findings
            .iter()
            .map(|f| item(std::borrow::Cow::Borrowed(f), weight_of(assessment)))
            .collect(),
        Outcome::Assessed(Verdict::Warning(findings)) => findings
            .iter()
            .map(|f| item(std::borrow::Cow::Borrowed(f), Weight::Warning))
            .collect(),
        Outcome::NotAssessed(reason) if assessment.blocking => {
            let finding = Finding::new(NOT_ASSESSED, format!("not assessed: {reason}"))
                .at(image.fallback.clone());
            vec![item(std::borrow::Cow::Owned(finding), Weight::Error)]
        }
        _ => Vec::new(),
    }
}

fn weight_of(assessment: &Assessment) -> Weight {
    if assessment.blocking {
        Weight::Error
    } else {
        Weight::Warning
    }
}

/// Stable over messages, line moves and releases: rule, Dockerfile, platform (only when there are
/// several), key, path, package, advisory. An advisory that is not applied is the same one whatever
/// version of the package lacks it.
pub(super) fn fingerprint(
    report: &Report,
    image: Option<&ImageReport>,
    rule: &str,
    finding: &Finding,
) -> String {
    let platform = image
        .filter(|_| report.images.len() > 1)
        .and_then(|i| i.image.platform.as_ref())
        .map(ToString::to_string);
    let path = finding.path.as_ref().map(ToString::to_string);
    let parts = [
        Some(rule),
        report.dockerfile.as_deref(),
        platform.as_deref(),
        Some(finding.key.as_str()),
        path.as_deref(),
        finding
            .package
            .as_deref()
            .filter(|_| finding.advisory.is_none()),
        finding.advisory.as_deref(),
    ];
    hash(parts.map(Option::unwrap_or_default))
}

fn hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hex(&hasher.finalize())
}

/// Counts of outcomes over all images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) warnings: usize,
    pub(crate) not_applicable: usize,
    pub(crate) not_assessed: usize,
}

pub(crate) fn counts<'a>(assessments: impl IntoIterator<Item = &'a Assessment>) -> Counts {
    assessments
        .into_iter()
        .fold(Counts::default(), |mut counts, assessment| {
            match &assessment.outcome {
                Outcome::Assessed(Verdict::Passed { .. }) => counts.passed += 1,
                Outcome::Assessed(Verdict::Failed(_)) => counts.failed += 1,
                Outcome::Assessed(Verdict::Warning(_)) => counts.warnings += 1,
                Outcome::Assessed(Verdict::NotApplicable(_)) => counts.not_applicable += 1,
                Outcome::NotAssessed(_) => counts.not_assessed += 1,
            }
            counts
        })
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        for (number, word) in [
            (self.warnings, "with warnings"),
            (self.not_applicable, "not applicable"),
            (self.not_assessed, "not assessed"),
        ] {
            if number > 0 {
                write!(f, ", {number} {word}")?;
            }
        }
        Ok(())
    }
}

/// Whether an image was accepted: the report's own word when it is the only one, else whether any
/// rule judged it and none that blocks failed or lacked its facts.
pub(crate) fn passed(report: &Report, image: &ImageReport) -> bool {
    if report.images.len() == 1 {
        return report.passed;
    }
    let blocks = |assessment: &Assessment| {
        assessment.blocking
            && matches!(
                assessment.outcome,
                Outcome::NotAssessed(_) | Outcome::Assessed(Verdict::Failed(_))
            )
    };
    let counts = counts(&image.assessments);
    counts.passed + counts.warnings + counts.failed > 0 && !image.assessments.iter().any(blocks)
}

/// One line that says why an assessment came out as it did; empty for a plain pass.
pub(crate) fn why(assessment: &Assessment) -> String {
    let text = match &assessment.outcome {
        Outcome::Assessed(Verdict::Passed { note }) => note.clone().unwrap_or_default(),
        Outcome::Assessed(Verdict::Failed(findings) | Verdict::Warning(findings)) => {
            match findings.as_slice() {
                [] => String::new(),
                [only] => only.message.clone(),
                [first, rest @ ..] => format!("{} (and {} more)", first.message, rest.len()),
            }
        }
        Outcome::Assessed(Verdict::NotApplicable(reason)) => format!("not applicable: {reason}"),
        Outcome::NotAssessed(reason) => format!("not assessed: {reason}"),
    };
    match &assessment.exception {
        Some(reason) => format!("{text} (exception granted: {reason})"),
        None => text,
    }
}

/// ✓, ✗, ! or ?; what it means is always written out beside it as well.
pub(crate) fn symbol(assessment: &Assessment) -> &'static str {
    match &assessment.outcome {
        Outcome::Assessed(Verdict::Passed { .. }) => "✓",
        Outcome::Assessed(Verdict::Failed(_)) => "✗",
        Outcome::Assessed(Verdict::Warning(_)) => "!",
        Outcome::Assessed(Verdict::NotApplicable(_)) => "-",
        Outcome::NotAssessed(_) => "?",
    }
}

/// Control characters, which hostile input may hold, made visible; newlines become spaces.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c == '\n' || c == '\t' { ' ' } else { c })
        .flat_map(|c| {
            let escaped: Box<dyn Iterator<Item = char>> = if c.is_control() || is_bidi(c) {
                Box::new(c.escape_unicode())
            } else {
                Box::new(std::iter::once(c))
            };
            escaped
        })
        .collect()
}

/// Characters that reorder text on a terminal or a page (Trojan Source).
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}
