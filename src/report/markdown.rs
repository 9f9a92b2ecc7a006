//! `markdown`: step summary and pull request comment, under GitHub's 1 MiB.

use std::{fmt::Write as _, io};

use super::{Change, ImageReport, Report, Reporter, errata, grade_text, view};
use crate::finding::{Assessment, Finding};
use view::Weight;

/// `--format markdown`
pub struct Markdown;

/// A step summary over 1,024 KiB is thrown away whole; the rest is for the closing line.
const LIMIT: usize = 1_000_000;
/// Advisories shown; a comment holds 65,536 characters.
const MOST_ROWS: usize = 100;

impl Reporter for Markdown {
    fn name(&self) -> &'static str {
        "markdown"
    }

    fn write(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
        let mut text = String::new();
        for line in grade_text::compared(report) {
            let _ = writeln!(text, "- {}", cell(&line));
        }
        new_section(report, &mut text);
        for image in &report.images {
            image_section(report, image, &mut text);
            advisory_section(report, image, &mut text);
        }
        lint_section(report, &mut text);
        if text.len() > LIMIT {
            let cut = (0..=LIMIT)
                .rev()
                .find(|&i| text.is_char_boundary(i))
                .unwrap_or(0);
            let cut = text[..cut].rfind('\n').map_or(0, |line| line + 1);
            text.truncate(cut);
            text.push_str("\n\n… the rest is left out here; the JSON report holds everything\n");
        }
        out.write_all(text.as_bytes())
    }
}

fn image_section(report: &Report, image: &ImageReport, text: &mut String) {
    let counts = view::counts(&image.assessments);
    let verdict = if view::passed(report, image) {
        "✓"
    } else {
        "✗"
    };
    let _ = write!(text, "### {verdict} {}\n\n", code(&image.image.reference));
    let _ = write!(text, "{counts}");
    if let Some(platform) = &image.image.platform {
        let _ = write!(text, " · {platform}");
    }
    if let Some(digest) = &image.image.digest {
        let _ = write!(text, " · {}", code(digest.as_ref()));
    }
    if let Some(packages) = image.packages_count {
        let _ = write!(text, " · {packages} packages");
    }
    text.push_str("\n\n| | assessment | result | where |\n| - | - | - | - |\n");
    for assessment in &image.assessments {
        assessment_row(assessment, text);
    }
    text.push('\n');
    let found: Vec<&Assessment> = image
        .assessments
        .iter()
        .filter(|a| !a.findings().is_empty())
        .collect();
    if !found.is_empty() {
        text.push_str("<details><summary>Findings and remedies</summary>\n\n");
        for assessment in found {
            let _ = write!(text, "**{}**\n\n", assessment.rule.id);
            for finding in assessment.findings() {
                finding_item(finding, text);
            }
            text.push('\n');
        }
        text.push_str("</details>\n\n");
    }
}

/// What this change makes worse, before all else.
fn new_section(report: &Report, text: &mut String) {
    if report.baseline.is_none() {
        return;
    }
    let items = view::by_weight(report);
    let new: Vec<_> = items
        .iter()
        .take_while(|item| item.change == Some(Change::New))
        .collect();
    if !new.is_empty() {
        text.push_str("\n**New**\n\n");
        for item in new {
            finding_item(&item.finding, text);
        }
    }
    text.push('\n');
}

/// Grade, timeline, and what is not applied.
fn advisory_section(report: &Report, image: &ImageReport, text: &mut String) {
    let lines = grade_text::lines(image);
    for (name, line) in &lines {
        let _ = writeln!(text, "- **{name}**: {}", cell(line));
    }
    if !lines.is_empty() {
        text.push('\n');
    }
    let (rows, rest) = grade_text::rows(report, image, MOST_ROWS);
    if rows.is_empty() {
        return;
    }
    let shown = rows.len();
    let _ = write!(
        text,
        "<details><summary>Advisories that are not applied ({})</summary>\n\n",
        shown + rest
    );
    let _ = writeln!(text, "| {} |", grade_text::HEADER.join(" | "));
    let _ = writeln!(text, "|{}", " - |".repeat(grade_text::HEADER.len()));
    for row in rows {
        let page = errata::page(&row.id);
        let cells = row.cells.map(|text| cell(&text));
        let [severity, id, rest @ ..] = cells;
        let _ = writeln!(
            text,
            "| {severity} | [{id}]({page}) | {} |",
            rest.join(" | ")
        );
    }
    if rest > 0 {
        let _ = writeln!(text, "\n… and {rest} more in the JSON report");
    }
    text.push_str("\n</details>\n\n");
}

fn assessment_row(assessment: &Assessment, text: &mut String) {
    let place = assessment
        .findings()
        .first()
        .and_then(place)
        .unwrap_or_default();
    let why = view::why(assessment);
    let result = if why.is_empty() {
        assessment.outcome_name()
    } else {
        &why
    };
    let _ = writeln!(
        text,
        "| {} | [{}]({}) | {} | {} |",
        view::symbol(assessment),
        assessment.rule.id,
        view::rule_page(assessment.rule.id),
        cell(result),
        place
    );
}

fn finding_item(finding: &Finding, text: &mut String) {
    let place = place(finding)
        .map(|place| format!("{place} "))
        .unwrap_or_default();
    let _ = writeln!(text, "- {place}{}", cell(&finding.message));
    if let Some(remedy) = &finding.remedy {
        let _ = writeln!(text, "  - {}", cell(remedy));
    }
    if let Some(patch) = &finding.patch {
        let _ = writeln!(text, "  - {}", code(patch));
    }
}

fn lint_section(report: &Report, text: &mut String) {
    let lints: Vec<_> = view::items(report)
        .into_iter()
        .filter(|i| i.image.is_none())
        .collect();
    if lints.is_empty() {
        return;
    }
    text.push_str("### Dockerfile\n\n| | rule | finding | where |\n| - | - | - | - |\n");
    for item in lints {
        let symbol = match item.weight {
            Weight::Error => "✗",
            Weight::Warning => "!",
            Weight::Note => "·",
        };
        let _ = writeln!(
            text,
            "| {symbol} | {} | {} | {} |",
            code(item.rule),
            cell(&item.finding.message),
            place(&item.finding).unwrap_or_default()
        );
    }
    text.push('\n');
}

fn place(finding: &Finding) -> Option<String> {
    finding
        .location
        .as_ref()
        .map(|at| code(&format!("{}:{}", at.file, at.line)))
}

/// Text inside a table cell: nothing of it is markup.
pub(crate) fn cell(text: &str) -> String {
    view::printable(text)
        .chars()
        .fold(String::with_capacity(text.len()), |mut cell, c| {
            match c {
                '<' => cell.push_str("&lt;"),
                '>' => cell.push_str("&gt;"),
                '&' => cell.push_str("&amp;"),
                // `@name` would notify people, `#1` would link
                '@' => cell.push_str("@\u{200b}"),
                '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '!' | '~' => {
                    cell.push('\\');
                    cell.push(c);
                }
                c => cell.push(c),
            }
            cell
        })
}

/// A code span, fenced by more backticks than it holds in a row; a `|` would end the table cell even
/// here.
fn code(text: &str) -> String {
    let text = view::printable(text).replace('|', "\\|");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    if longest == 0 {
        return format!("`{text}`");
    }
    let fence = "`".repeat(longest + 1);
    format!("{fence} {text} {fence}")
}
