//! Findings as remarks on lines of files: what workflow commands, check runs and the issues of a
//! pipeline show. The worst come first, so that a reader with a limit keeps them.

use std::fmt::Write as _;

use super::{
    Change, Report, sarif,
    view::{self, Item, Weight},
};
use crate::finding::Location;

/// How heavy a remark is, heaviest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnnotationLevel {
    /// stops the run
    Failure,
    /// does not
    Warning,
    /// worth a look
    Notice,
}

/// A remark on lines of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// weight
    pub level: AnnotationLevel,
    /// the line that caused it
    pub location: Option<Location>,
    /// where to point when nothing nearer is known
    pub fallback: Option<Location>,
    /// rule
    pub title: String,
    /// what was found, and the remedy on a line of its own; no control characters but line ends
    pub message: String,
    /// image, package, advisory and path, a line each
    pub details: String,
}

/// The remarks of all reports, the worst first; of each weight, those that the baseline did not have.
pub fn annotations(reports: &[&Report]) -> Vec<Annotation> {
    let mut found: Vec<Annotation> = Vec::new();
    for &report in reports {
        let items = view::by_weight(report);
        found.extend(items.iter().map(|item| annotation(report, item)));
    }
    found.sort_by_key(|annotation| annotation.level);
    found
}

fn annotation(report: &Report, item: &Item<'_>) -> Annotation {
    let finding = &item.finding;
    let mut message = match item.change {
        Some(Change::New) => format!("new: {}", lines(&finding.message)),
        _ => lines(&finding.message),
    };
    if let Some(remedy) = &finding.remedy {
        message.push('\n');
        message.push_str(&lines(remedy));
    }
    Annotation {
        level: match item.weight {
            Weight::Error => AnnotationLevel::Failure,
            Weight::Warning => AnnotationLevel::Warning,
            Weight::Note => AnnotationLevel::Notice,
        },
        location: finding.location.clone(),
        fallback: sarif::fallback(report, item),
        title: view::printable(item.rule),
        message,
        details: details(item),
    }
}

fn details(item: &Item<'_>) -> String {
    let finding = &item.finding;
    let image = item.image.map(|image| image.image.reference.clone());
    let mut details = String::new();
    for (what, value) in [
        ("image", image),
        ("package", finding.package.clone()),
        ("advisory", finding.advisory.clone()),
        ("path", finding.path.as_ref().map(ToString::to_string)),
    ] {
        if let Some(value) = value {
            let _ = writeln!(details, "{what}: {}", view::printable(&value));
        }
    }
    details
}

/// Each line printable: what hostile input holds neither steers a terminal nor hides.
fn lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(view::printable).collect();
    lines.join("\n")
}
