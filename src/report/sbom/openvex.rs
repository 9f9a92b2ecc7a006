//! `openvex`: what the image is exposed to, as `OpenVEX` 0.2.0 (<https://github.com/openvex/spec>).
//!
//! Said is only what is known: errata that are not applied make a vulnerability `affected`, with the
//! update that mends it; errata that are applied make it `fixed`. The specification wants at least
//! one statement, so that nothing is written when there is nothing to state.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use serde_json::{Value, json};

use super::{Exposure, Listed, basis, by_nevra, exposures, listed, stamp, time, uuid};
use crate::{
    advisory::{Stance, matching::Unmended},
    report::{
        Report, Reporter,
        errata::{self, errata},
        view,
    },
    rpm::Nevra,
};

/// `--format openvex`
pub struct OpenVex;

impl Reporter for OpenVex {
    fn name(&self) -> &'static str {
        "openvex"
    }

    fn unfit(&self, report: &Report) -> Option<String> {
        let images = listed(report);
        let none = images
            .iter()
            .all(|image| statements(report, image).is_empty());
        let (name, judged) = (self.name(), judged(report).join("; "));
        let why = if images.is_empty() {
            "no image was assessed".to_owned()
        } else {
            format!("no advisory is about what is installed; judged by {judged}")
        };
        none.then(|| {
            format!("`{name}` wants at least one statement, and there is none to make: {why}")
        })
    }

    fn write(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, &document(report))?;
        writeln!(out)
    }
}

fn document(report: &Report) -> Value {
    let images = listed(report);
    let statements = images.iter().flat_map(|image| statements(report, image));
    let statements: Vec<Value> = statements.collect();
    json!({
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": format!("{}/openvex/{}", view::HOME, uuid(report, "openvex")),
        "author": "Plimsoll",
        "role": "Document Creator",
        "timestamp": time(report),
        "version": 1,
        "tooling": format!("{} {}; judged by {}", view::TOOL, view::VERSION, judged(report).join("; ")),
        "statements": statements,
    })
}

/// What the statements rest on, each basis once.
fn judged(report: &Report) -> Vec<String> {
    let basis = |image: &crate::report::ImageReport| {
        let facts = image.advisories.as_ref();
        facts.map_or_else(|| "no advisories were at hand".to_owned(), basis)
    };
    let judged: BTreeSet<String> = report.images.iter().map(basis).collect();
    judged.into_iter().collect()
}

fn statements(report: &Report, image: &Listed<'_>) -> Vec<Value> {
    let errata = errata(report, image.image);
    let exposures = exposures(&errata);
    let open = errata.iter().flat_map(|erratum| &erratum.missing.cves);
    let open: BTreeSet<&str> = open.map(String::as_str).collect();
    let mut statements: Vec<Value> = exposures
        .iter()
        .map(|exposure| affected(report, exposure, image))
        .collect();
    let mut fixed: BTreeMap<&str, BTreeSet<&Nevra>> = BTreeMap::new();
    let facts = image.image.advisories.iter();
    for applied in facts.flat_map(|facts| &facts.matched.applied) {
        for cve in applied
            .cves
            .iter()
            .filter(|cve| !open.contains(cve.as_str()))
        {
            fixed.entry(cve).or_default().extend(&applied.packages);
        }
    }
    let fixed = fixed.into_iter().map(|(cve, packages)| {
        json!({
            "vulnerability": { "@id": errata::cve_page(cve), "name": cve },
            "timestamp": time(report),
            "products": [product(image, packages.into_iter())],
            "status": "fixed",
        })
    });
    statements.extend(fixed);
    if let Some(facts) = &image.image.advisories {
        let matched = &facts.matched;
        for own in matched.unfixed.iter().chain(&matched.not_affected) {
            if !open.contains(own.id.as_str()) {
                statements.extend(told(report, own, image));
            }
        }
    }
    statements
}

/// What documents of vulnerabilities say: one statement for each stance.
fn told(report: &Report, own: &Unmended, image: &Listed<'_>) -> Vec<Value> {
    let stances: BTreeSet<Stance> = own.packages.iter().map(|it| it.stance).collect();
    let statement = |stance: Stance| {
        let packages = own.packages.iter().filter(|it| it.stance == stance);
        let product = product(image, packages.map(|it| &it.installed));
        let mut statement = json!({
            "vulnerability": { "@id": errata::cve_page(&own.id), "name": own.id },
            "timestamp": time(report),
            "products": [product],
            "status_notes": stance.as_str(),
        });
        if stance.is_not_affected() {
            statement["status"] = "not_affected".into();
            match stance.justification() {
                Some(why) => statement["justification"] = why.into(),
                None => {
                    statement["impact_statement"] = "Red Hat says that it is not affected".into();
                }
            }
        } else if stance == Stance::Investigated {
            statement["status"] = "under_investigation".into();
        } else {
            statement["status"] = "affected".into();
            let action = match own.workaround.as_str() {
                "" => format!("there is no fix ({})", stance.as_str()),
                workaround => workaround.to_owned(),
            };
            statement["action_statement"] = action.into();
        }
        statement
    };
    stances.into_iter().map(statement).collect()
}

/// The image, with those of its packages that a statement is about.
fn product<'a>(image: &Listed<'_>, packages: impl Iterator<Item = &'a Nevra>) -> Value {
    let units = by_nevra(&image.units);
    let purls: BTreeSet<&str> = packages
        .filter_map(|nevra| units.get(nevra)?.purl.as_deref())
        .collect();
    let subcomponents: Vec<Value> = purls
        .into_iter()
        .map(|purl| json!({ "@id": purl, "identifiers": { "purl": purl } }))
        .collect();
    let identity = &image.image.image;
    let mut product = match &image.purl {
        Some(purl) => json!({ "@id": purl, "identifiers": { "purl": purl } }),
        None => json!({ "@id": format!("urn:plimsoll:{}", image.id) }),
    };
    let digest = identity.digest.as_ref().map(ToString::to_string);
    if let Some(sha256) = digest
        .as_deref()
        .and_then(|text| text.strip_prefix("sha256:"))
    {
        product["hashes"] = json!({ "sha-256": sha256 });
    }
    if !subcomponents.is_empty() {
        product["subcomponents"] = subcomponents.into();
    }
    product
}

fn affected(report: &Report, exposure: &Exposure<'_>, image: &Listed<'_>) -> Value {
    let packages = exposure.affected.iter().map(|affected| &affected.installed);
    let product = product(image, packages);
    let said = exposure.first_shipped().map_or_else(|| time(report), stamp);
    json!({
        "vulnerability": { "@id": exposure.page(), "name": exposure.name },
        "timestamp": time(report),
        "products": [product],
        "status": "affected",
        "status_notes": format!("{} is not applied", exposure.ids().join(", ")),
        "action_statement": exposure.action(),
        "action_statement_timestamp": said,
    })
}
