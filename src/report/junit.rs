//! `junit`: one test case a rule, in the dialect that Jenkins' XSD accepts and GitLab reads.

use std::io;

use quick_xml::se::Serializer;
use serde::Serialize;

use super::{ImageReport, Lint, LintLevel, Report, Reporter, view};
use crate::finding::{Assessment, Finding, Outcome, Verdict};

/// `--format junit`
pub struct JUnit;

#[derive(Serialize)]
#[serde(rename = "testsuites")]
struct Suites {
    #[serde(rename = "@name")]
    name: &'static str,
    #[serde(rename = "@tests")]
    tests: usize,
    #[serde(rename = "@failures")]
    failures: usize,
    #[serde(rename = "@errors")]
    errors: usize,
    #[serde(rename = "testsuite")]
    list: Vec<Suite>,
}

#[derive(Serialize)]
struct Suite {
    #[serde(rename = "@name")]
    name: String,
    #[serde(rename = "@tests")]
    tests: usize,
    #[serde(rename = "@failures")]
    failures: usize,
    #[serde(rename = "@errors")]
    errors: usize,
    #[serde(rename = "@skipped")]
    skipped: usize,
    #[serde(rename = "@timestamp")]
    timestamp: String,
    #[serde(rename = "testcase")]
    cases: Vec<Case>,
}

#[derive(Serialize)]
struct Case {
    #[serde(rename = "@name")]
    name: String,
    #[serde(rename = "@classname")]
    classname: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Message>,
    #[serde(rename = "system-out", skip_serializing_if = "Option::is_none")]
    system_out: Option<String>,
}

#[derive(Serialize)]
struct Message {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@message")]
    summary: String,
    #[serde(rename = "$text")]
    text: String,
}

impl Reporter for JUnit {
    fn name(&self) -> &'static str {
        "junit"
    }

    fn write(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
        let mut suites: Vec<Suite> = report.images.iter().map(|i| suite(report, i)).collect();
        if !report.lints.is_empty() || suites.is_empty() {
            suites.push(lint_suite(report));
        }
        let document = Suites {
            name: "plimsoll",
            tests: suites.iter().map(|s| s.tests).sum(),
            failures: suites.iter().map(|s| s.failures).sum(),
            errors: suites.iter().map(|s| s.errors).sum(),
            list: suites,
        };
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let mut serializer = Serializer::new(&mut xml);
        serializer.indent(' ', 2);
        document.serialize(serializer).map_err(io::Error::other)?;
        writeln!(out, "{xml}")
    }
}

fn suite(report: &Report, image: &ImageReport) -> Suite {
    let name = match &image.image.platform {
        Some(platform) => format!("{} ({platform})", image.image.reference),
        None => image.image.reference.clone(),
    };
    let cases = image
        .assessments
        .iter()
        .flat_map(|a| {
            let own = case(&image.image.reference, a);
            std::iter::once(own).chain(advisory_cases(&image.image.reference, a))
        })
        .collect();
    tally(&name, report, cases)
}

fn tally(name: &str, report: &Report, cases: Vec<Case>) -> Suite {
    Suite {
        name: xml_text(name),
        tests: cases.len(),
        failures: cases.iter().filter(|c| c.failure.is_some()).count(),
        errors: cases.iter().filter(|c| c.error.is_some()).count(),
        skipped: cases.iter().filter(|c| c.skipped.is_some()).count(),
        timestamp: report.created.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
        cases,
    }
}

fn case(classname: &str, assessment: &Assessment) -> Case {
    let message = |kind| {
        Some(Message {
            kind,
            summary: xml_text(&view::why(assessment)),
            text: xml_text(&details(assessment.findings())),
        })
    };
    let mut case = Case {
        name: assessment.rule.id.to_owned(),
        classname: xml_text(classname),
        skipped: None,
        error: None,
        failure: None,
        system_out: None,
    };
    match &assessment.outcome {
        Outcome::Assessed(Verdict::Failed(_)) if assessment.blocking => {
            case.failure = message("failed");
        }
        // Not blocking: the run does not fail, so neither does the case; the text stays.
        Outcome::Assessed(Verdict::Failed(found) | Verdict::Warning(found)) => {
            case.system_out = Some(xml_text(&details(found)));
        }
        Outcome::Assessed(Verdict::NotApplicable(_)) => case.skipped = message("not_applicable"),
        Outcome::NotAssessed(_) if assessment.blocking => case.error = message("not_assessed"),
        Outcome::NotAssessed(_) => case.skipped = message("not_assessed"),
        Outcome::Assessed(Verdict::Passed { .. }) => {}
    }
    case
}

/// A case of its own for each advisory that blocks, so that the CI tells which are new and which are
/// mended; those that are applied have none.
fn advisory_cases(classname: &str, assessment: &Assessment) -> Vec<Case> {
    let blocks = matches!(assessment.outcome, Outcome::Assessed(Verdict::Failed(_)));
    if !blocks || !assessment.blocking {
        return Vec::new();
    }
    let mut cases: Vec<Case> = Vec::new();
    for finding in assessment.findings() {
        let Some(advisory) = &finding.advisory else {
            continue;
        };
        let failure = Message {
            kind: "failed",
            summary: xml_text(&finding.message),
            text: xml_text(&details(std::slice::from_ref(finding))),
        };
        let name = xml_text(advisory);
        // several layers may lack the same one
        match cases.iter_mut().find(|case| case.name == name) {
            Some(Case {
                failure: Some(first),
                ..
            }) => {
                first.text.push('\n');
                first.text.push_str(&failure.text);
            }
            _ => cases.push(Case {
                name,
                classname: xml_text(&format!("{classname}.{}", assessment.rule.id)),
                skipped: None,
                error: None,
                failure: Some(failure),
                system_out: None,
            }),
        }
    }
    cases
}

fn lint_suite(report: &Report) -> Suite {
    let name = report.dockerfile.as_deref().unwrap_or("build");
    let cases = report
        .lints
        .iter()
        .map(|lint| lint_case(name, lint))
        .collect();
    tally(name, report, cases)
}

fn lint_case(classname: &str, lint: &Lint) -> Case {
    let text = xml_text(&details(std::slice::from_ref(&lint.finding)));
    let failed = lint.level == LintLevel::Error;
    Case {
        name: xml_text(&lint.rule),
        classname: xml_text(classname),
        skipped: None,
        error: None,
        failure: failed.then(|| Message {
            kind: "failed",
            summary: xml_text(&lint.finding.message),
            text: text.clone(),
        }),
        system_out: (!failed).then_some(text),
    }
}

fn details(findings: &[Finding]) -> String {
    let mut lines = Vec::with_capacity(findings.len());
    for finding in findings {
        let place = finding
            .location
            .as_ref()
            .map(|l| format!("{}:{}: ", l.file, l.line))
            .unwrap_or_default();
        let remedy = finding
            .remedy
            .as_ref()
            .map(|r| format!(" ({r})"))
            .unwrap_or_default();
        lines.push(format!("{place}{}{remedy}", finding.message));
    }
    lines.join("\n")
}

/// XML 1.0 (2.2) has no way to write most control characters, not even escaped.
fn xml_text(text: &str) -> String {
    text.chars()
        .filter(|&c| {
            matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
                || c > '\u{ffff}'
        })
        .collect()
}
