//! `html`: one page that holds everything it needs: opens offline, reads on a phone, runs no script.
//! Every text goes through the template's escaping; what may not be seen is made visible before.

mod chart;

use std::io;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    ImageReport, Report, ReportKind, Reporter, badge, errata,
    grade_text::{self, HEADER, Row},
    view::{self, Item, Weight},
};
use crate::{advisory::grade::Health, finding::Assessment, subject::Fact};

/// `--format html`
pub struct Html;

const STYLE: &str = include_str!("page.css");
/// Rows of one table; a page of more is not read on a phone.
const MOST_ROWS: usize = 2000;

impl Reporter for Html {
    fn name(&self) -> &'static str {
        "html"
    }

    fn write(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "{}", page(report).into_string())
    }
}

fn shown(text: &str) -> String {
    view::printable(text)
}

fn page(report: &Report) -> Markup {
    let names = report
        .images
        .iter()
        .map(|image| image.image.reference.as_str());
    let name = names.clone().next().or(report.dockerfile.as_deref());
    let name = shown(name.unwrap_or("plimsoll"));
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                meta name="referrer" content="no-referrer";
                title { (name) " – Plimsoll" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (header(report))
                main {
                    (compared(report))
                    (lints(report))
                    @for image in &report.images { (of_image(report, image)) }
                    @if report.images.is_empty() { p { "no image was assessed" } }
                }
                footer {
                    "Plimsoll " (view::VERSION) ", " (report.created.strftime("%Y-%m-%d %H:%M").to_string()) " UTC"
                }
            }
        }
    }
}

fn header(report: &Report) -> Markup {
    let (class, word) = match (report.kind, report.passed) {
        (ReportKind::Check, true) => ("pass", "passes, by prediction"),
        (ReportKind::Check, false) => ("fail", "fails, by prediction"),
        (_, true) => ("pass", "accepted"),
        (_, false) => ("fail", "rejected"),
    };
    html! {
        header class=(class) {
            h1 { (word) }
            @for image in &report.images {
                p {
                    @if let Some(Health::Graded { grade, .. }) = image.advisories.as_ref().map(|it| &it.health) {
                        strong.grade style=(format!("background:{}", badge::color(*grade))) { (badge::letter(*grade)) }
                    }
                    code { (shown(&image.image.reference)) }
                    @if let Some(platform) = &image.image.platform { " " (platform) }
                    @if let Some(digest) = &image.image.digest { br; small { code { (digest) } } }
                }
            }
        }
    }
}

fn compared(report: &Report) -> Markup {
    let lines = grade_text::compared(report);
    html! {
        @if !lines.is_empty() {
            section {
                h2 { "Compared" }
                ul { @for line in &lines { li { (shown(line)) } } }
            }
        }
    }
}

fn lints(report: &Report) -> Markup {
    let items = view::items(report);
    let lints: Vec<&Item<'_>> = items.iter().filter(|item| item.image.is_none()).collect();
    html! {
        @if !lints.is_empty() {
            section {
                h2 { "Dockerfile" }
                ul.findings { @for item in lints { (finding(item)) } }
            }
        }
    }
}

fn of_image(report: &Report, image: &ImageReport) -> Markup {
    html! {
        section {
            @if report.images.len() > 1 {
                h2 { (image.image.platform.as_ref().map(ToString::to_string).unwrap_or_default()) }
            }
            (grade(image))
            (assessments(image))
            (findings(report, image))
            (advisories(report, image))
            (packages(image))
        }
    }
}

fn grade(image: &ImageReport) -> Markup {
    let lines = grade_text::lines(image);
    let health = image.advisories.as_ref().map(|facts| &facts.health);
    html! {
        @if !lines.is_empty() {
            h3 { "Grade" }
            @if let Some(Health::Graded { timeline, .. }) = health { (chart::timeline(timeline)) }
            dl { @for (name, line) in &lines { dt { (name) } dd { (shown(line)) } } }
        }
    }
}

fn assessments(image: &ImageReport) -> Markup {
    let row = |assessment: &Assessment| {
        let why = view::why(assessment);
        let word = if why.is_empty() {
            assessment.outcome_name().to_owned()
        } else {
            shown(&why)
        };
        html! {
            tr class=(assessment.outcome_name()) {
                td { (view::symbol(assessment)) }
                td { a href=(view::rule_page(assessment.rule.id)) { (assessment.rule.id) } }
                td { (word) }
            }
        }
    };
    html! {
        @if !image.assessments.is_empty() {
            h3 { "Assessments: " (view::counts(&image.assessments)) }
            div.wide { table { @for assessment in &image.assessments { (row(assessment)) } } }
        }
    }
}

/// Findings below the layer that they lie in.
fn findings(report: &Report, image: &ImageReport) -> Markup {
    let items = view::items(report);
    let own: Vec<&Item<'_>> = items
        .iter()
        .filter(|item| item.image.is_some_and(|it| std::ptr::eq(it, image)))
        .collect();
    let layers = image.contents.as_ref().map(|contents| &contents.layers);
    let of = |index: Option<u32>| {
        own.iter()
            .filter(move |item| item.finding.layer.map(|it| it.0) == index)
    };
    html! {
        @if !own.is_empty() {
            h3 { "Findings by layer" }
            @if of(None).next().is_some() {
                h4 { "the image as a whole" }
                ul.findings { @for item in of(None).take(MOST_ROWS) { (finding(item)) } }
            }
            @for layer in layers.into_iter().flatten() {
                @if of(Some(layer.index.0)).next().is_some() {
                    h4 {
                        "layer " (layer.index)
                        @if layer.of_base == Some(true) { " (base image)" }
                        @if let Some(at) = &layer.location { " – " code { (shown(&at.file)) ":" (at.line) } }
                    }
                    @if let Some(command) = &layer.created_by {
                        p { small { code { (shown(&command.chars().take(300).collect::<String>())) } } }
                    }
                    ul.findings { @for item in of(Some(layer.index.0)).take(MOST_ROWS) { (finding(item)) } }
                }
            }
        }
    }
}

fn finding(item: &Item<'_>) -> Markup {
    let class = match item.weight {
        Weight::Error => "failed",
        Weight::Warning => "warning",
        Weight::Note => "note",
    };
    let place = item.finding.location.as_ref();
    html! {
        li class=(class) {
            @if item.change == Some(super::Change::New) { strong { "new " } }
            @if let Some(at) = place { code { (shown(&at.file)) ":" (at.line) } " " }
            b { (item.rule) } ": " (shown(&item.finding.message))
            @if let Some(remedy) = &item.finding.remedy { br; em { (shown(remedy)) } }
            @if let Some(patch) = &item.finding.patch { pre { @for line in patch.lines() { (shown(line)) "\n" } } }
        }
    }
}

fn advisories(report: &Report, image: &ImageReport) -> Markup {
    let (rows, rest) = grade_text::rows(report, image, MOST_ROWS);
    let row = |row: &Row| {
        let [severity, id, others @ ..] = &row.cells;
        html! {
            tr class=(if row.counts { "failed" } else { "note" }) {
                td { (shown(severity)) }
                td { a href=(errata::page(&row.id)) { (shown(id)) } }
                @for cell in others { td { (shown(cell)) } }
            }
        }
    };
    html! {
        @if !rows.is_empty() {
            h3 { "Advisories that are not applied" }
            div.wide {
                table {
                    thead { tr { @for name in HEADER { th { (name) } } } }
                    tbody { @for one in &rows { (row(one)) } }
                }
            }
            @if rest > 0 { p { "and " (rest) " more in the JSON report" } }
        }
    }
}

fn packages(image: &ImageReport) -> Markup {
    let packages = image.contents.as_ref().map(|contents| &contents.packages);
    let list = match packages {
        Some(Fact::Known(packages)) => packages,
        Some(Fact::Unmet(reason)) => return html! { h3 { "Packages" } p { (shown(reason)) } },
        None => return html! {},
    };
    let mut rows: Vec<_> = list
        .list
        .iter()
        .zip(&list.layers)
        .filter(|(package, _)| !package.is_key())
        .collect();
    rows.sort_by(|one, other| one.0.nevra.cmp(&other.0.nevra));
    html! {
        details {
            summary { h3 { "Packages: " (rows.len()) } }
            div.wide {
                table {
                    thead { tr { th { "package" } th { "licence" } th { "vendor" } th { "layer" } } }
                    tbody {
                        @for (package, layer) in rows.iter().take(MOST_ROWS) {
                            tr {
                                td { (shown(&package.nevra.to_string())) }
                                td { (shown(package.license.as_deref().unwrap_or_default())) }
                                td { (shown(package.vendor.as_deref().unwrap_or_default())) }
                                td { (layer) }
                            }
                        }
                    }
                }
            }
            @if rows.len() > MOST_ROWS { p { "and " (rows.len() - MOST_ROWS) " more in the package list" } }
        }
    }
}
