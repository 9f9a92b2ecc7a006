//! Package lists and statements of exposure: SPDX 2.3, `CycloneDX` 1.6, `OpenVEX`.
//!
//! They hold nothing of the run itself: the same image gives the same bytes, but for the one time
//! stamp that the formats demand. The files that packages own are not listed: an image has tens of
//! thousands of them, and SPDX demands a SHA-1 of each, which rpm does not know.

mod cyclonedx;
mod licence;
mod openvex;
mod purl;
mod spdx;
mod vulnerabilities;

pub use cyclonedx::{CycloneDx, CycloneDxVex};
pub use openvex::OpenVex;
pub use spdx::Spdx;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest as _, Sha256};

use super::{
    Contents, ImageReport, Report,
    errata::{self, Erratum},
    view,
};
use crate::{
    advisory::{Severity, matching::Affected},
    oci::{LayerIndex, hex},
    rpm::{Nevra, Package},
    subject::{AdvisoryFacts, Fact},
};

/// One package of an image.
struct Unit<'a> {
    package: &'a Package,
    layer: LayerIndex,
    purl: Option<String>,
    /// letters, digits, `.` and `-`; its own within the document
    id: String,
}

/// One image with its packages, in the order of their names.
struct Listed<'a> {
    image: &'a ImageReport,
    contents: Option<&'a Contents>,
    purl: Option<String>,
    id: String,
    units: Vec<Unit<'a>>,
    /// why there is no list of packages
    unread: Option<&'a str>,
}

fn listed(report: &Report) -> Vec<Listed<'_>> {
    let mut ids = Ids::default();
    report
        .images
        .iter()
        .map(|image| list(image, &mut ids))
        .collect()
}

/// Ids that are taken.
#[derive(Default)]
struct Ids(BTreeSet<String>);

impl Ids {
    fn own(&mut self, wanted: &str) -> String {
        let mut id = wanted.to_owned();
        let mut number = 2;
        while !self.0.insert(id.clone()) {
            id = format!("{wanted}-{number}");
            number += 1;
        }
        id
    }
}

fn list<'a>(image: &'a ImageReport, ids: &mut Ids) -> Listed<'a> {
    let contents = image.contents.as_ref();
    let digest = image.image.digest.as_ref().map(ToString::to_string);
    let key = digest.unwrap_or_else(|| image.image.reference.clone());
    let (packages, unread) = match contents.map(|contents| &contents.packages) {
        Some(Fact::Known(packages)) => (Some(packages), None),
        Some(Fact::Unmet(reason)) => (None, Some(reason.as_str())),
        None => (None, Some("no image was read")),
    };
    let mut units: Vec<Unit<'_>> = packages
        .into_iter()
        .flat_map(|packages| packages.list.iter().zip(&packages.layers))
        .filter(|(package, _)| !package.is_key())
        .map(|(package, layer)| Unit {
            purl: purl::of_package(package, contents),
            package,
            layer: *layer,
            id: String::new(),
        })
        .collect();
    units.sort_by(|one, other| one.package.nevra.cmp(&other.package.nevra));
    for unit in &mut units {
        let nevra = &unit.package.nevra;
        let hash = short_hash(&[&key, &nevra.to_string()]);
        unit.id = ids.own(&format!("rpm-{}-{hash}", slug(&nevra.name)));
    }
    Listed {
        purl: purl::of_image(image),
        id: ids.own(&format!("image-{}", short_hash(&[&key]))),
        image,
        contents,
        units,
        unread,
    }
}

/// What a text may be within an SPDX id: letters, digits, `.` and `-`.
fn slug(text: &str) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' || c == '-' {
            c
        } else {
            '-'
        }
    };
    text.chars().take(80).map(safe).collect()
}

fn digest_of(parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().into()
}

fn short_hash(parts: &[&str]) -> String {
    hex(&digest_of(parts)[..8])
}

/// A UUID of version 8 (RFC 9562): what a document is of, hashed. Two of the same are the same.
fn uuid(report: &Report, format: &str) -> String {
    let time = time(report);
    let mut parts = vec![format, view::VERSION, &time];
    let images: Vec<String> = report
        .images
        .iter()
        .map(|image| {
            let digest = image.image.digest.as_ref().map(ToString::to_string);
            let data = image
                .advisories
                .as_ref()
                .map(|facts| facts.data.to_string());
            format!(
                "{} {} {}",
                image.image.reference,
                digest.unwrap_or_default(),
                data.unwrap_or_default()
            )
        })
        .collect();
    parts.extend(images.iter().map(String::as_str));
    let mut bytes = digest_of(&parts);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes[..16]);
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
    let groups: Vec<&str> = groups.into_iter().map(|group| &text[group]).collect();
    groups.join("-")
}

/// The time that a document carries, whole seconds, UTC.
fn time(report: &Report) -> String {
    stamp(report.documented)
}

fn stamp(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What a document is called when it holds several images.
fn title(report: &Report) -> String {
    let names: BTreeSet<&str> = report
        .images
        .iter()
        .map(|image| image.image.reference.as_str())
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() {
        "no image".to_owned()
    } else {
        names.join(", ")
    }
}

/// A vulnerability that an image is exposed to, over all advisories that fix it.
struct Exposure<'a> {
    /// CVE, or the advisory when that names none
    name: &'a str,
    is_cve: bool,
    severity: Severity,
    errata: Vec<&'a Erratum<'a>>,
    /// what lacks the fix: package and fixed version
    affected: Vec<&'a Affected>,
}

impl Exposure<'_> {
    fn ids(&self) -> Vec<&str> {
        self.errata
            .iter()
            .map(|erratum| erratum.missing.id.as_str())
            .collect()
    }

    fn action(&self) -> String {
        let each = self.affected.iter().map(|affected| {
            let (name, fixed) = (&affected.installed.name, &affected.fixed);
            format!("{name} to {fixed}")
        });
        let each: BTreeSet<String> = each.collect();
        let each: Vec<String> = each.into_iter().collect();
        format!("update {} ({})", each.join(", "), self.ids().join(", "))
    }

    fn page(&self) -> String {
        if self.is_cve {
            errata::cve_page(self.name)
        } else {
            errata::page(self.name)
        }
    }

    fn first_shipped(&self) -> Option<jiff::Timestamp> {
        self.errata
            .iter()
            .map(|erratum| erratum.missing.released)
            .min()
    }
}

/// Vulnerabilities by name. What is not out yet by the day asked for is left aside.
fn exposures<'a>(errata: &'a [Erratum<'a>]) -> Vec<Exposure<'a>> {
    let mut all: BTreeMap<&str, Exposure<'a>> = BTreeMap::new();
    for erratum in errata.iter().filter(|erratum| erratum.out) {
        let missing = erratum.missing;
        let is_cve = !missing.cves.is_empty();
        let names = if is_cve {
            missing.cves.as_slice()
        } else {
            std::slice::from_ref(&missing.id)
        };
        for name in names {
            let exposure = all.entry(name).or_insert_with(|| Exposure {
                name,
                is_cve,
                severity: Severity::None,
                errata: Vec::new(),
                affected: Vec::new(),
            });
            exposure.severity = exposure.severity.max(missing.severity);
            exposure.errata.push(erratum);
            exposure.affected.extend(&missing.packages);
        }
    }
    all.into_values().collect()
}

/// The packages of an image by name, version and architecture.
fn by_nevra<'a, 'b>(units: &'b [Unit<'a>]) -> HashMap<&'a Nevra, &'b Unit<'a>> {
    units
        .iter()
        .map(|unit| (&unit.package.nevra, unit))
        .collect()
}

/// What the statements are judged by. The time of the run is no part of it.
fn basis(facts: &AdvisoryFacts) -> String {
    format!(
        "Red Hat's advisories as of {} ({})",
        facts.data, facts.source
    )
}

/// How a package list came about, for people.
fn found(unit: &Unit<'_>, contents: Option<&Contents>) -> String {
    let database = match contents.map(|contents| &contents.packages) {
        Some(Fact::Known(packages)) => packages.database.to_string(),
        _ => String::new(),
    };
    let layer = contents.and_then(|contents| contents.layer(unit.layer));
    let layer = layer.map_or_else(
        || unit.layer.to_string(),
        |layer| format!("{} ({})", unit.layer, layer.diff_id),
    );
    format!("rpm database {database}, first in layer {layer}")
}
