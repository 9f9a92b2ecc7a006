//! `openvex`: what the image is exposed to, as `OpenVEX` 0.2.0 (<https://github.com/openvex/spec>).
//!
//! Said is only what is known: the errata that are not applied, as `affected` with the update that
//! mends it. An image that lacks none makes no statement, and says by what it was judged; the
//! specification has no form for that, so its list of statements is empty then.

use std::{collections::BTreeSet, io};

use serde_json::{Value, json};

use super::{Exposure, Listed, basis, by_nevra, exposures, listed, stamp, time, uuid};
use crate::report::{Report, Reporter, errata::errata, view};

/// `--format openvex`
pub struct OpenVex;

impl Reporter for OpenVex {
    fn name(&self) -> &'static str {
        "openvex"
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
    let judged: BTreeSet<String> = report
        .images
        .iter()
        .map(|image| {
            let facts = image.advisories.as_ref();
            facts.map_or_else(|| "no advisories were at hand".to_owned(), basis)
        })
        .collect();
    let judged: Vec<String> = judged.into_iter().collect();
    json!({
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": format!("{}/openvex/{}", view::HOME, uuid(report, "openvex")),
        "author": "Plimsoll",
        "role": "Document Creator",
        "timestamp": time(report),
        "version": 1,
        "tooling": format!("{} {}; judged by {}", view::TOOL, view::VERSION, judged.join("; ")),
        "statements": statements,
    })
}

fn statements(report: &Report, image: &Listed<'_>) -> Vec<Value> {
    let errata = errata(report, image.image);
    exposures(&errata)
        .iter()
        .map(|exposure| statement(report, exposure, image))
        .collect()
}

fn statement(report: &Report, exposure: &Exposure<'_>, image: &Listed<'_>) -> Value {
    let units = by_nevra(&image.units);
    let purls: BTreeSet<&str> = exposure
        .affected
        .iter()
        .filter_map(|affected| units.get(&affected.installed)?.purl.as_deref())
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
