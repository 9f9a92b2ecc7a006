//! Grade, advisories and baseline in words, for every format that people read.

use super::{
    Change, ImageReport, Report,
    errata::{self, Erratum, GradeLine, Lacking, errata},
    view,
};

/// Columns of the table of advisories.
pub(super) const HEADER: [&str; 8] = [
    "severity",
    "advisory",
    "package",
    "installed",
    "fixed in",
    "age",
    "line",
    "current base",
];

/// A row of that table.
pub(super) struct Row {
    pub(super) id: String,
    /// it lowers the grade
    pub(super) counts: bool,
    pub(super) cells: [String; HEADER.len()],
}

/// Grade, what it was judged by, and the current base image, each with its name; nothing when
/// advisories were not looked up.
pub(super) fn lines(image: &ImageReport) -> Vec<(&'static str, String)> {
    let Some(facts) = &image.advisories else {
        return Vec::new();
    };
    let mut lines = vec![
        ("grade", GradeLine(facts).to_string()),
        ("judged by", errata::judged_by(facts)),
    ];
    if !facts.matched.missing.is_empty() {
        lines.push(("current base", errata::base_line(facts)));
    }
    if !facts.matched.unfixed.is_empty() {
        lines.push(("without fix", errata::unfixed_line(facts)));
    }
    if !facts.matched.main_stream.is_empty() {
        lines.push(("main stream", errata::main_stream_line(facts)));
    }
    lines
}

/// One row for each advisory and package, the worst first, and how many are left out.
pub(super) fn rows(report: &Report, image: &ImageReport, most: usize) -> (Vec<Row>, usize) {
    let errata = errata(report, image);
    let all: usize = errata.iter().map(|erratum| erratum.packages.len()).sum();
    let rows = errata.iter().flat_map(|erratum| {
        let row = |lacking| row(erratum, lacking);
        erratum.packages.iter().map(row)
    });
    let rows: Vec<Row> = rows.take(most).collect();
    let rest = all - rows.len();
    (rows, rest)
}

fn row(erratum: &Erratum<'_>, lacking: &Lacking<'_>) -> Row {
    let missing = erratum.missing;
    let age = if erratum.out {
        format!("{} d", erratum.age)
    } else {
        format!("from {}", errata::day(missing.released))
    };
    let new = match erratum.change {
        Some(Change::New) => " (new)",
        _ => "",
    };
    Row {
        id: missing.id.clone(),
        counts: erratum.out && missing.severity.counts(),
        cells: [
            missing.severity.to_string(),
            format!("{}{new}", missing.id),
            lacking.name().to_owned(),
            lacking.installed(),
            lacking.affected.fixed.to_string(),
            age,
            lacking
                .line()
                .unwrap_or_else(|| format!("layer {}", lacking.affected.layer)),
            lacking.base_word().to_owned(),
        ],
    }
}

/// The comparison with the baseline, a line each.
pub(super) fn compared(report: &Report) -> Vec<String> {
    let Some(baseline) = &report.baseline else {
        return Vec::new();
    };
    let items = view::items(report);
    let count = |change| {
        items
            .iter()
            .filter(|item| item.change == Some(change))
            .count()
    };
    let fixed = baseline.fixed(report, &items);
    let mut lines = vec![format!(
        "compared with {}: {} new, {} fixed, {} unchanged findings",
        baseline.name,
        count(Change::New),
        fixed.len(),
        count(Change::Unchanged)
    )];
    for image in &report.images {
        lines.extend(compared_image(report, image));
    }
    lines.extend(
        fixed
            .iter()
            .map(|told| format!("fixed: {}: {}", told.rule, told.message)),
    );
    lines
}

fn compared_image(report: &Report, image: &ImageReport) -> Option<String> {
    let baseline = report.baseline.as_ref()?;
    let facts = image.advisories.as_ref()?;
    let before = baseline.grade(image, report)?;
    let now = match &facts.health {
        crate::advisory::grade::Health::Graded { grade, .. } => grade.to_string(),
        crate::advisory::grade::Health::Unknown(_) => "Unknown".to_owned(),
    };
    let new = errata(report, image);
    let new = new
        .iter()
        .filter(|erratum| erratum.change == Some(Change::New));
    let grade = if before == now {
        format!("grade {now}, as before")
    } else {
        format!("grade {before} before, {now} now")
    };
    Some(format!(
        "{grade}; {} new and {} fixed advisories",
        new.count(),
        baseline.applied(image, report).len()
    ))
}
