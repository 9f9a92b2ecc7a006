//! One rule for each advisory: what it is about, how heavy it is, what to do.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{bag, descriptor, model, text};
use crate::{
    advisory::{
        Severity,
        matching::{Missing, Unmended},
    },
    report::{errata, view::printable},
};

/// Vulnerabilities named in a help text; a kernel's advisory may have hundreds.
const MOST_CVES: usize = 50;

/// The rule of an advisory.
pub(super) fn rule(missing: &Missing) -> model::ReportingDescriptor {
    let title = format!(
        "{} ({}): {}",
        missing.id,
        missing.severity,
        printable(&missing.title)
    );
    let page = errata::page(&missing.id);
    let mut rule = descriptor(&missing.id, &title, &page, &help(missing, false));
    rule.help = Some(
        model::MultiformatMessageString::builder()
            .text(help(missing, false))
            .markdown(help(missing, true))
            .build(),
    );
    rule.full_description = Some(text(&format!(
        "{title}. Fixes {}. Shipped on {}.",
        cves(missing, false),
        errata::day(missing.released)
    )));
    let severity = errata::security_severity(missing.severity);
    let properties = BTreeMap::from([
        ("precision".to_owned(), "high".into()),
        ("security-severity".to_owned(), severity.into()),
    ]);
    let tags = ["security", "vulnerability", "advisory"];
    rule.properties = Some(bag(tags.map(str::to_owned).to_vec(), properties));
    let level = match missing.severity {
        Severity::Critical | Severity::Important => "error",
        _ => "note",
    };
    rule.default_configuration = Some(
        model::ReportingConfiguration::builder()
            .level(level)
            .build(),
    );
    rule
}

/// The rule of a vulnerability that no advisory mends. GitHub lets checks fail by a number of severity,
/// and nothing can be done here, so there is none.
pub(super) fn unfixed_rule(own: &Unmended) -> model::ReportingDescriptor {
    let title = format!("{} ({}): {}", own.id, own.severity, printable(&own.title));
    let page = errata::cve_page(&own.id);
    let shown = match own.workaround.as_str() {
        "" => "Red Hat names no workaround.".to_owned(),
        workaround => format!("Workaround: {}", printable(workaround)),
    };
    let plain = format!(
        "{title}\n\nNo advisory mends it, so the grade does not count it. {shown}\n\nSee {page}\n"
    );
    let markdown = format!(
        "**[{}]({page})** ({}): {}\n\nNo advisory mends it, so the grade does not count it. {}\n",
        own.id,
        own.severity,
        escaped(&printable(&own.title)),
        escaped(&shown)
    );
    let mut rule = descriptor(&own.id, &title, &page, &plain);
    rule.help = Some(
        model::MultiformatMessageString::builder()
            .text(plain)
            .markdown(markdown)
            .build(),
    );
    let properties = BTreeMap::from([
        ("precision".to_owned(), "high".into()),
        ("problem.severity".to_owned(), "recommendation".into()),
    ]);
    let tags = ["vulnerability", "unfixed"];
    rule.properties = Some(bag(tags.map(str::to_owned).to_vec(), properties));
    rule.default_configuration = Some(
        model::ReportingConfiguration::builder()
            .level("note")
            .build(),
    );
    rule
}

fn help(missing: &Missing, markdown: bool) -> String {
    let mut help = String::new();
    let title = printable(&missing.title);
    let page = errata::page(&missing.id);
    if markdown {
        let id = &missing.id;
        let title = escaped(&title);
        let _ = write!(
            help,
            "**[{id}]({page})** ({}): {title}\n\n",
            missing.severity
        );
    } else {
        let _ = write!(help, "{} ({}): {title}\n\n", missing.id, missing.severity);
    }
    let shipped = errata::day(missing.released);
    let _ = write!(
        help,
        "The fix was shipped on {shipped}. It fixes {}.\n\n",
        cves(missing, markdown)
    );
    help.push_str(
        "Build on a base image that has the fix, or update the packages in the Dockerfile:\n\n",
    );
    let mut names: Vec<&str> = missing
        .packages
        .iter()
        .map(|affected| affected.installed.name.as_str())
        .filter(|name| name.chars().all(is_plain))
        .collect();
    names.sort_unstable();
    names.dedup();
    let command = format!("RUN dnf -y update {} && dnf clean all", names.join(" "));
    if markdown {
        let _ = write!(help, "```dockerfile\n{command}\n```\n");
    } else {
        let _ = write!(help, "    {command}\n\nSee {page}\n");
    }
    help
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.+".contains(c)
}

fn cves(missing: &Missing, markdown: bool) -> String {
    if missing.cves.is_empty() {
        return "no vulnerability by name".to_owned();
    }
    let shown = missing.cves.iter().take(MOST_CVES).map(|cve| {
        if markdown && cve.chars().all(is_plain) {
            format!("[{cve}]({})", errata::cve_page(cve))
        } else {
            printable(cve)
        }
    });
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if missing.cves.len() > MOST_CVES {
        let _ = write!(text, " and {} more", missing.cves.len() - MOST_CVES);
    }
    text
}

/// Nothing of a title is markup.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if "\\`*_[]<>#!~|&".contains(c) {
            out.push('\\');
        }
        out.push(c);
        out
    })
}
