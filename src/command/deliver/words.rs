//! The words that forges and CIs are told: a headline, and the report as Markdown.

use std::fmt::Write as _;

use super::{Outcome, Told};
use crate::{
    advisory::grade::{Grade, Health},
    ci::github::Conclusion,
    error::ExitCode,
    finding::Assessment,
    report::{Markdown, Report, Reporter as _, counts, markdown_text},
};

/// One line on how a run came out.
pub(super) fn headline(code: ExitCode, reports: &[&Report]) -> String {
    let word = match code {
        ExitCode::Success => "accepted",
        ExitCode::Rejected => "rejected",
        ExitCode::NotAssessed => "not assessed",
        ExitCode::BuildFailed => "the build failed",
        ExitCode::PushFailed => "the push failed",
        ExitCode::PublishFailed => "not published",
        ExitCode::Terminated => "took longer than its timeout",
        _ => "ended early",
    };
    let assessments: Vec<&Assessment> = reports
        .iter()
        .flat_map(|report| &report.images)
        .flat_map(|image| &image.assessments)
        .collect();
    let mut line = word.to_owned();
    if !assessments.is_empty() {
        let _ = write!(line, ": {}", counts(assessments));
    }
    let health = health(reports);
    if let Some(grade) = health.grade {
        let _ = write!(line, ", grade {grade}");
        if let Some(drop) = health.next_drop {
            let _ = write!(line, " until {drop}");
        }
    }
    line
}

/// The worst grade of all images, and the nearest drop. One that is not known may be any, so that it
/// goes before an A and after everything worse.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Grades {
    pub(super) grade: Option<String>,
    pub(super) next_drop: Option<String>,
}

pub(super) fn health(reports: &[&Report]) -> Grades {
    let images = reports.iter().flat_map(|report| &report.images);
    let facts = images.filter_map(|image| image.advisories.as_ref());
    grades(facts.map(|facts| &facts.health))
}

fn grades<'a>(all: impl Iterator<Item = &'a Health>) -> Grades {
    let mut worst: Option<Grade> = None;
    let mut drop: Option<jiff::Timestamp> = None;
    let mut unknown = false;
    for health in all {
        match health {
            Health::Graded { grade, .. } => worst = worst.max(Some(*grade)),
            Health::Unknown(_) => unknown = true,
        }
        if let Some((at, _)) = health.next_drop() {
            drop = Some(drop.map_or(at, |drop| drop.min(at)));
        }
    }
    let day = |at: jiff::Timestamp| at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string();
    Grades {
        grade: match worst {
            None | Some(Grade::A) if unknown => Some("Unknown".to_owned()),
            worst => worst.map(|grade| grade.to_string()),
        },
        next_drop: drop.map(day),
    }
}

/// The reports of a run as one page of Markdown, its troubles first.
pub(super) fn page(outcome: &Outcome, told: &[Told], troubles: &[String]) -> String {
    let symbol = match outcome.conclusion {
        Conclusion::Success => "✓",
        Conclusion::Failure | Conclusion::Pardoned => "✗",
        Conclusion::Error => "?",
    };
    let mut page = format!("## {symbol} Plimsoll: {}\n\n", outcome.headline);
    for trouble in troubles {
        let _ = writeln!(page, "> {}\n", markdown_text(trouble));
    }
    for report in told.iter().filter_map(|told| told.report.as_ref()) {
        let mut text = Vec::new();
        if Markdown.write(report, &mut text).is_ok() {
            page.push_str(&String::from_utf8_lossy(&text));
            page.push('\n');
        }
    }
    page
}

/// The values, each once, in order.
pub(super) fn each_once(values: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::{Grade, Grades, Health, grades};
    use crate::advisory::grade::{Span, Unknown};

    fn graded(grade: Grade, drops: Option<&str>) -> Health {
        let span = |grade, start: &str| Span {
            grade,
            start: start.parse().unwrap(),
            end: None,
        };
        let mut timeline = vec![span(grade, "2024-01-01T00:00:00Z")];
        timeline.extend(drops.map(|at| span(Grade::F, at)));
        Health::Graded { grade, timeline }
    }

    #[test]
    fn the_worst_grade_counts_and_one_that_is_not_known_is_no_a() {
        let (a, f) = (graded(Grade::A, None), graded(Grade::F, None));
        let c = graded(Grade::C, Some("2024-03-01T12:00:00Z"));
        let unknown = Health::Unknown(Unknown::NothingSigned);
        for (all, want) in [
            (&[][..], None),
            (&[&a], Some("A")),
            (&[&unknown], Some("Unknown")),
            (&[&a, &unknown], Some("Unknown")),
            (&[&unknown, &a], Some("Unknown")),
            (&[&a, &unknown, &f], Some("F")),
            (&[&a, &f, &c], Some("F")),
        ] {
            let all = all.iter().copied();
            assert_eq!(grades(all).grade.as_deref(), want);
        }
        let want = Grades {
            grade: Some("C".to_owned()),
            next_drop: Some("2024-03-01".to_owned()),
        };
        assert_eq!(grades([&a, &c].into_iter()), want);
    }
}
