//! `gitlab-container-scanning`: the advisories that are not applied and the vulnerabilities that no
//! advisory mends, as GitLab's container scanning report (security-report-schemas 15.0.7, which every GitLab from 15 on takes).

use std::{fmt::Write as _, io};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    ImageReport, Report, Reporter,
    errata::{self, Erratum, Lacking, errata},
    view,
};
use crate::{
    advisory::{
        Severity,
        matching::{Concerned, Unmended},
    },
    oci::{LayerIndex, hex},
    rpm::Nevra,
};

/// `--format gitlab-container-scanning`
pub struct GitLabScanning;

const VERSION: &str = "15.0.7";
const SCHEMA: &str = "https://gitlab.com/gitlab-org/security-products/security-report-schemas/-/raw/v15.0.7/dist/container-scanning-report-format.json";

impl Reporter for GitLabScanning {
    fn name(&self) -> &'static str {
        "gitlab-container-scanning"
    }

    fn write(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, &document(report))?;
        writeln!(out)
    }
}

fn document(report: &Report) -> Value {
    let images = report.images.iter();
    let found: Vec<Value> = images.flat_map(|image| of_image(report, image)).collect();
    let unread: Vec<Value> = report
        .images
        .iter()
        .filter(|image| image.advisories.is_none())
        .map(|image| json!({ "level": "warn", "value": why_not(image) }))
        .collect();
    let tool = json!({
        "id": view::TOOL,
        "name": "Plimsoll",
        "url": view::HOME,
        "version": view::VERSION,
        "vendor": { "name": "Plimsoll" },
    });
    // GitLab wants times without zone
    let time = report.created.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    // Nothing found in an image that was not looked at is no success.
    let is_done = unread.is_empty() && !report.images.is_empty();
    json!({
        "schema": SCHEMA,
        "version": VERSION,
        "scan": {
            "analyzer": tool,
            "scanner": tool,
            "type": "container_scanning",
            "start_time": time,
            "end_time": time,
            "status": if is_done { "success" } else { "failure" },
            "messages": unread,
        },
        "vulnerabilities": found,
        "remediations": [],
    })
}

fn why_not(image: &ImageReport) -> String {
    let reasons = image
        .assessments
        .iter()
        .filter(|it| it.rule.id == view::ADVISORIES);
    let reason = reasons.map(view::why).find(|reason| !reason.is_empty());
    let reason = reason.unwrap_or_else(|| "advisories were not asked for".to_owned());
    format!(
        "{}: {}",
        view::printable(&image.image.reference),
        view::printable(&reason)
    )
}

fn of_image(report: &Report, image: &ImageReport) -> Vec<Value> {
    let errata = errata(report, image);
    let out = errata.iter().filter(|erratum| erratum.out);
    let mut found: Vec<Value> = out
        .flat_map(|erratum| {
            let one = |lacking| vulnerability(image, erratum, lacking);
            erratum.packages.iter().map(one).collect::<Vec<_>>()
        })
        .collect();
    let facts = image.advisories.iter();
    for own in facts.flat_map(|facts| &facts.matched.unfixed) {
        found.extend(own.packages.iter().map(|it| unfixed(image, own, it)));
    }
    found
}

/// A vulnerability that no advisory mends. Without a `solution` GitLab takes it for one that has no
/// fix, and policies can leave those alone.
fn unfixed(image: &ImageReport, own: &Unmended, it: &Concerned) -> Value {
    let mut description = format!(
        "no advisory mends {} in {}: {}, {}",
        own.id,
        it.installed,
        own.severity,
        it.stance.as_str()
    );
    if !own.workaround.is_empty() {
        let _ = write!(description, "; workaround: {}", own.workaround);
    }
    json!({
        "id": id(image, &own.id, &it.installed, it.layer),
        "name": cut(&format!("{}: {}", own.id, own.title), 255),
        "description": cut(&description, 100_000),
        "severity": severity(own.severity),
        "identifiers": [identifier("cve", &own.id, &errata::cve_page(&own.id))],
        "links": [{ "name": own.id, "url": errata::cve_page(&own.id) }],
        "location": location(image, &it.installed),
    })
}

fn location(image: &ImageReport, installed: &Nevra) -> Value {
    json!({
        "dependency": {
            "package": { "name": view::printable(&installed.name) },
            "version": view::printable(&errata::evr(installed)),
        },
        "operating_system": operating_system(image),
        "image": image.image.reference,
    })
}

fn vulnerability(image: &ImageReport, erratum: &Erratum<'_>, lacking: &Lacking<'_>) -> Value {
    let missing = erratum.missing;
    let fixed = lacking.affected.fixed.to_string();
    let mut identifiers = vec![identifier("rhsa", &missing.id, &errata::page(&missing.id))];
    let cves = missing.cves.iter();
    identifiers.extend(cves.map(|cve| identifier("cve", cve, &errata::cve_page(cve))));
    let line = lacking.line();
    let line = line.map_or_else(String::new, |line| format!("; brought in by {line}"));
    let description = format!(
        "{} is not applied: {}, {} days old; {} is installed, {fixed} has the fix; current base image: {}{line}",
        missing.id,
        missing.severity,
        erratum.age,
        lacking.affected.installed,
        lacking.base_word(),
    );
    json!({
        "id": id(image, &missing.id, &lacking.affected.installed, lacking.affected.layer),
        "name": cut(&format!("{}: {}", missing.id, missing.title), 255),
        "description": cut(&description, 100_000),
        "severity": severity(missing.severity),
        "solution": cut(&format!("update {} to {fixed}", lacking.name()), 7000),
        "identifiers": identifiers,
        "links": [{ "name": missing.id, "url": errata::page(&missing.id) }],
        "location": location(image, &lacking.affected.installed),
    })
}

fn identifier(kind: &str, id: &str, url: &str) -> Value {
    json!({ "type": kind, "name": id, "value": id, "url": url })
}

/// The same one from run to run: versions, layers and digests are left out.
fn id(image: &ImageReport, advisory: &str, installed: &Nevra, layer: LayerIndex) -> String {
    let mut hasher = Sha256::new();
    let platform = image.image.platform.as_ref().map(ToString::to_string);
    let arch = installed.arch.as_deref();
    for part in [
        platform.as_deref().unwrap_or_default(),
        advisory,
        &installed.name,
        arch.unwrap_or_default(),
        &layer.to_string(),
    ] {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hex(&hasher.finalize())
}

fn operating_system(image: &ImageReport) -> String {
    let os = image.contents.as_ref().map(|contents| &contents.os);
    let value = |key: &str| os.and_then(|os| os.get(key)).map_or("", String::as_str);
    let name = format!("{} {}", value("ID"), value("VERSION_ID"));
    match name.trim() {
        "" => "unknown".to_owned(),
        name => view::printable(name),
    }
}

/// GitLab's words for Red Hat's.
fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "Critical",
        Severity::Important => "High",
        Severity::Moderate => "Medium",
        Severity::Low => "Low",
        Severity::None => "Unknown",
    }
}

fn cut(text: &str, most: usize) -> String {
    view::printable(text).chars().take(most).collect()
}
