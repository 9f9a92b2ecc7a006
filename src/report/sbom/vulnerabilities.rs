//! The `vulnerabilities` of `CycloneDX`: what the image is exposed to, what no advisory mends, and what
//! does not concern it.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::{Exposure, Listed, Unit, basis, by_nevra, exposures, stamp};
use crate::{
    advisory::{Severity, Stance, matching::Unmended},
    report::{
        Report,
        errata::{self, errata, evr},
        view,
    },
    rpm::Nevra,
};

pub(super) fn vulnerabilities(report: &Report, image: &Listed<'_>) -> Vec<Value> {
    let Some(facts) = &image.image.advisories else {
        return Vec::new();
    };
    let errata = errata(report, image.image);
    let units = by_nevra(&image.units);
    let of = basis(facts);
    let each = exposures(&errata);
    let mut found: Vec<Value> = each
        .iter()
        .map(|exposure| vulnerability(exposure, &image.id, &units, &of))
        .collect();
    let matched = &facts.matched;
    for own in matched.unfixed.iter().chain(&matched.not_affected) {
        if each.iter().all(|exposure| exposure.name != own.id) {
            let stances: BTreeSet<Stance> = own.packages.iter().map(|it| it.stance).collect();
            let one = |stance| told(own, stance, &image.id, &units, &of);
            found.extend(stances.into_iter().map(one));
        }
    }
    found
}

type Units<'a, 'b> = HashMap<&'a Nevra, &'b Unit<'a>>;

/// What documents of vulnerabilities say: an entry for each stance.
fn told(own: &Unmended, stance: Stance, image: &str, units: &Units<'_, '_>, basis: &str) -> Value {
    let packages = own.packages.iter().filter(|it| it.stance == stance);
    let status = if stance.is_not_affected() {
        "unaffected"
    } else if stance == Stance::Investigated {
        "unknown"
    } else {
        "affected"
    };
    let (state, response) = match stance {
        Stance::Investigated => ("in_triage", None),
        Stance::WillNotFix | Stance::OutOfSupport => ("exploitable", Some("will_not_fix")),
        Stance::Affected | Stance::Deferred => ("exploitable", None),
        _ => ("not_affected", None),
    };
    let mut analysis = json!({
        "state": state,
        "detail": format!("{}; judged by {basis}", stance.as_str()),
    });
    if let Some(response) = response {
        analysis["response"] = json!([response]);
    }
    if let Some(why) = justification(stance) {
        analysis["justification"] = why.into();
    }
    let mut value = json!({
        "bom-ref": format!("vulnerability-{}-{}-{image}", own.id, stance as usize),
        "id": own.id,
        "source": { "name": "Red Hat", "url": errata::cve_page(&own.id) },
        "ratings": [{
            "source": { "name": "Red Hat" },
            "severity": severity(own.severity),
            "method": "other",
        }],
        "description": view::printable(&own.title),
        "published": stamp(own.published),
        "analysis": analysis,
        "affects": affects(packages.map(|it| &it.installed), status, image, units),
    });
    if !own.workaround.is_empty() {
        value["workaround"] = view::printable(&own.workaround).into();
    }
    value
}

/// `CycloneDX`'s word for why something is not affected.
fn justification(stance: Stance) -> Option<&'static str> {
    match stance {
        Stance::ComponentNotPresent | Stance::CodeNotPresent => Some("code_not_present"),
        Stance::CodeNotInPath | Stance::CodeNotControllable => Some("code_not_reachable"),
        Stance::Mitigated => Some("protected_by_mitigating_control"),
        _ => None,
    }
}

/// The components that packages are, each once.
fn affects<'a>(
    packages: impl Iterator<Item = &'a Nevra>,
    status: &str,
    image: &str,
    units: &Units<'_, '_>,
) -> Vec<Value> {
    let mut affects = Map::new();
    for nevra in packages {
        let unit = units.get(nevra);
        let reference = unit.map_or(image, |unit| &unit.id);
        let version = json!({ "version": evr(nevra), "status": status });
        affects
            .entry(reference)
            .or_insert_with(|| json!({ "ref": reference, "versions": [version] }));
    }
    affects.into_iter().map(|(_, value)| value).collect()
}

fn vulnerability(
    exposure: &Exposure<'_>,
    image: &str,
    units: &Units<'_, '_>,
    basis: &str,
) -> Value {
    let source = json!({ "name": "Red Hat", "url": exposure.page() });
    let packages = exposure.affected.iter().map(|affected| &affected.installed);
    let affects = affects(packages, "affected", image, units);
    let advisories: Vec<Value> = exposure
        .errata
        .iter()
        .map(|erratum| {
            let id = &erratum.missing.id;
            json!({ "title": id, "url": errata::page(id) })
        })
        .collect();
    let mut value = json!({
        "bom-ref": format!("vulnerability-{}-{image}", exposure.name),
        "id": exposure.name,
        "source": source,
        "ratings": [{
            "source": { "name": "Red Hat" },
            "severity": severity(exposure.severity),
            "method": "other",
        }],
        "recommendation": exposure.action(),
        "advisories": advisories,
        "analysis": {
            "state": "exploitable",
            "response": ["update"],
            "detail": format!("not applied: {}; judged by {basis}", exposure.ids().join(", ")),
        },
        "affects": affects,
    });
    if let Some(shipped) = exposure.first_shipped() {
        let shipped = json!({ "name": "plimsoll:fix-shipped", "value": stamp(shipped) });
        value["properties"] = json!([shipped]);
    }
    value
}

/// `CycloneDX`'s words for Red Hat's.
fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Important => "high",
        Severity::Moderate => "medium",
        Severity::Low => "low",
        Severity::None => "none",
    }
}
