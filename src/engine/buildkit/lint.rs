//! Build checks: warnings that the engine sends along with a normal build.

use bollard_buildkit_proto::moby::buildkit::v1::VertexWarning;

use super::source::Source;
use crate::{
    finding::{Finding, Location},
    report::{Lint, LintLevel},
};

/// The warnings as lints, each once.
pub(crate) fn lints(warnings: &[VertexWarning], source: &Source) -> Vec<Lint> {
    let mut lints: Vec<Lint> = Vec::new();
    for warning in warnings {
        let lint = lint(warning, source);
        let same = |other: &Lint| other.rule == lint.rule && other.finding == lint.finding;
        if !lints.iter().any(same) {
            lints.push(lint);
        }
    }
    lints
}

fn lint(warning: &VertexWarning, source: &Source) -> Lint {
    let short = String::from_utf8_lossy(&warning.short);
    let (rule, message) = split(&short);
    let location = location(warning, source);
    let detail = warning
        .detail
        .iter()
        .map(|line| String::from_utf8_lossy(line));
    let detail = detail.collect::<Vec<_>>().join(" ");
    let title = if detail.is_empty() {
        message.clone()
    } else {
        detail
    };
    let message = lower_first(&message);
    Lint {
        rule: format!("build/{rule}"),
        title,
        level: LintLevel::Warning,
        help_uri: Some(warning.url.clone()).filter(|url| !url.is_empty()),
        finding: Finding::new(format!("{rule}:{message}"), message).at(location),
    }
}

/// `RuleName: message (line 3)` → name and message; the line comes by itself.
fn split(short: &str) -> (&str, String) {
    let (rule, message) = match short.split_once(": ") {
        Some((rule, message)) if !rule.is_empty() && rule.chars().all(char::is_alphanumeric) => {
            (rule, message)
        }
        _ => ("Warning", short),
    };
    let message = message.trim_end();
    let message = match message.rsplit_once(" (line ") {
        Some((head, tail)) if tail.trim_end_matches(')').parse::<u32>().is_ok() => head,
        _ => message,
    };
    (rule, message.to_owned())
}

fn location(warning: &VertexWarning, source: &Source) -> Option<Location> {
    let info = warning.info.as_ref()?;
    if info.filename != source.base_name {
        return None;
    }
    let line = |number: i32| u32::try_from(number).ok();
    let starts = warning
        .ranges
        .iter()
        .filter_map(|range| line(range.start?.line));
    let ends = warning
        .ranges
        .iter()
        .filter_map(|range| line(range.end?.line));
    let first = starts.min()?;
    Some(source.lines(first, ends.max().unwrap_or(first)))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        // A name in capitals keeps them.
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use bollard_buildkit_proto::pb::{Position, Range, SourceInfo};
    use indexmap::IndexMap;

    use super::*;

    fn warning(short: &str, file: &str, line: i32) -> VertexWarning {
        let position = Some(Position { line, character: 0 });
        VertexWarning {
            short: short.into(),
            url: "https://docs.example.com/rule".into(),
            info: Some(SourceInfo {
                filename: file.into(),
                ..SourceInfo::default()
            }),
            ranges: vec![Range {
                start: position,
                end: position,
            }],
            ..VertexWarning::default()
        }
    }

    fn source() -> Source {
        let text = "FROM a\nRUN b\n".to_owned();
        Source::new(
            "d/Dockerfile".into(),
            "Dockerfile".into(),
            text,
            &IndexMap::new(),
        )
    }

    #[test]
    fn a_warning_becomes_a_lint_on_its_line() {
        let short = "StageNameCasing: Stage name 'Base' should be lowercase (line 2)";
        let lints = lints(&[warning(short, "Dockerfile", 2)], &source());
        assert_eq!(lints[0].rule, "build/StageNameCasing");
        assert_eq!(
            lints[0].finding.message,
            "stage name 'Base' should be lowercase"
        );
        let at = lints[0].finding.location.clone().unwrap();
        assert_eq!((at.file.as_str(), at.line), ("d/Dockerfile", 2));
    }

    #[test]
    fn the_same_warning_counts_once_and_odd_ones_are_kept() {
        let twice = warning("A: b", "Dockerfile", 1);
        let odd = warning("no rule: at all here", "other", 1);
        let lints = lints(&[twice.clone(), twice, odd], &source());
        assert_eq!(lints.len(), 2);
        assert_eq!(lints[1].rule, "build/Warning");
        assert_eq!(lints[1].finding.location, None);
    }
}
