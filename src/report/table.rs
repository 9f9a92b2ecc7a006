//! `table`: what a person reads on a terminal or in a log; readable without colour.

use std::io;

use comfy_table::{ContentArrangement, Table as Grid, presets};

use super::{Change, ImageReport, Report, ReportKind, Reporter, grade_text, view};
use crate::finding::{Assessment, Outcome, Verdict};
use view::Weight;

/// `--format table`
pub struct Table {
    /// with ANSI colours
    pub color: bool,
}

/// Columns of a line in a log without a terminal.
const WIDTH: u16 = 120;
/// Advisories shown; an image that was left alone for years lacks thousands.
const MOST_ROWS: usize = 200;

impl Reporter for Table {
    fn name(&self) -> &'static str {
        "table"
    }

    fn write(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
        for image in &report.images {
            self.image(report, image, out)?;
            self.advisories(report, image, out)?;
        }
        self.findings(report, out)?;
        for line in grade_text::compared(report) {
            writeln!(out, "{}", view::printable(&line))?;
        }
        let assessed = report.kind != ReportKind::Advisories;
        for image in report.images.iter().filter(|_| assessed) {
            write_summary(report, image, out)?;
        }
        if report.images.is_empty() && !report.passed {
            writeln!(out, "no image was assessed")?;
        }
        Ok(())
    }
}

impl Table {
    fn image(
        &self,
        report: &Report,
        image: &ImageReport,
        out: &mut dyn io::Write,
    ) -> io::Result<()> {
        let identity = &image.image;
        write!(out, "{}", view::printable(&identity.reference))?;
        if let Some(platform) = &identity.platform {
            write!(out, "  {platform}")?;
        }
        if let Some(digest) = &identity.digest {
            write!(out, "  {digest}")?;
        }
        if report.kind == ReportKind::Check {
            write!(out, "  (prediction: nothing was built)")?;
        }
        writeln!(out, "\n")?;
        if image.assessments.is_empty() {
            return Ok(());
        }
        let mut grid = grid();
        for assessment in &image.assessments {
            grid.add_row([
                view::symbol(assessment).to_owned(),
                assessment.rule.id.to_owned(),
                view::printable(&result_text(assessment)),
            ]);
        }
        self.grid_lines(&grid, out)?;
        writeln!(out)
    }

    /// Grade, timeline, and what is not applied.
    fn advisories(
        &self,
        report: &Report,
        image: &ImageReport,
        out: &mut dyn io::Write,
    ) -> io::Result<()> {
        for (name, text) in grade_text::lines(image) {
            writeln!(out, "{name:<12} {}", view::printable(&text))?;
        }
        if image.advisories.is_some() {
            writeln!(out)?;
        }
        let (rows, rest) = grade_text::rows(report, image, MOST_ROWS);
        if rows.is_empty() {
            return Ok(());
        }
        let mut grid = grid();
        grid.set_header([&[""], &grade_text::HEADER[..]].concat());
        for row in rows {
            let mark = if row.counts { "✗" } else { "·" };
            let cells = row.cells.map(|cell| view::printable(&cell));
            grid.add_row(std::iter::once(mark.to_owned()).chain(cells));
        }
        self.grid_lines(&grid, out)?;
        if rest > 0 {
            writeln!(out, "… and {rest} more in the JSON report")?;
        }
        writeln!(out)
    }

    fn findings(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
        let items = view::by_weight(report);
        if items.is_empty() {
            return Ok(());
        }
        writeln!(out, "findings\n")?;
        for item in items {
            let (symbol, color) = match item.weight {
                Weight::Error => ("✗", "\u{1b}[31m"),
                Weight::Warning => ("!", "\u{1b}[33m"),
                Weight::Note => ("·", "\u{1b}[34m"),
            };
            let (on, off) = if self.color {
                (color, "\u{1b}[0m")
            } else {
                ("", "")
            };
            let place = item.finding.location.as_ref();
            let place = place
                .map(|at| format!("{}:{}: ", at.file, at.line))
                .unwrap_or_default();
            let message = view::printable(&item.finding.message);
            let new = match item.change {
                Some(Change::New) => "new: ",
                _ => "",
            };
            writeln!(
                out,
                "{on}{symbol}{off} {new}{place}{}: {message}",
                item.rule
            )?;
            if let Some(remedy) = &item.finding.remedy {
                writeln!(out, "    remedy: {}", view::printable(remedy))?;
            }
            for line in item.finding.patch.iter().flat_map(|patch| patch.lines()) {
                writeln!(out, "    + {}", view::printable(line))?;
            }
        }
        writeln!(out)
    }

    /// Colours the symbol that opens a row; the grid itself must not count escape codes as width.
    fn grid_lines(&self, grid: &Grid, out: &mut dyn io::Write) -> io::Result<()> {
        for line in grid.lines() {
            let line = line.trim_end();
            let symbol = line.trim_start().chars().next().unwrap_or(' ');
            match color_of(symbol) {
                Some(color) if self.color => {
                    let colored = format!("{color}{symbol}\u{1b}[0m");
                    writeln!(out, "{}", line.replacen(symbol, &colored, 1))?;
                }
                _ => writeln!(out, "{line}")?,
            }
        }
        Ok(())
    }
}

fn grid() -> Grid {
    let mut grid = Grid::new();
    grid.load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    grid.set_width(WIDTH);
    grid
}

fn color_of(symbol: char) -> Option<&'static str> {
    Some(match symbol {
        '✓' => "\u{1b}[32m",
        '✗' => "\u{1b}[31m",
        '!' => "\u{1b}[33m",
        '?' => "\u{1b}[36m",
        _ => return None,
    })
}

fn result_text(assessment: &Assessment) -> String {
    let why = view::why(assessment);
    match (&assessment.outcome, why.is_empty()) {
        (_, true) => assessment.outcome_name().to_owned(),
        (Outcome::Assessed(Verdict::Passed { .. }), false) => format!("passed: {why}"),
        (Outcome::Assessed(Verdict::Warning(_)), false) => format!("warning: {why}"),
        (Outcome::Assessed(Verdict::Failed(_)), false) if assessment.blocking => {
            format!("failed: {why}")
        }
        (Outcome::Assessed(Verdict::Failed(_)), false) => format!("failed, not blocking: {why}"),
        _ => why,
    }
}

fn write_summary(report: &Report, image: &ImageReport, out: &mut dyn io::Write) -> io::Result<()> {
    let counts = view::counts(&image.assessments);
    write!(out, "{}: {counts}", view::printable(&image.image.reference))?;
    if let Some(packages) = image.packages_count {
        write!(out, "; {packages} packages")?;
    }
    if report.images.len() > 1
        && let Some(platform) = &image.image.platform
    {
        write!(out, "; {platform}")?;
    }
    writeln!(out)
}
