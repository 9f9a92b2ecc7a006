//! `spdx`: SPDX 2.3, JSON (<https://spdx.github.io/spdx-spec/v2.3/>).

use std::{collections::BTreeMap, io};

use serde_json::{Value, json};

use super::{Listed, Unit, found, licence::Licence, listed, purl, time, title, uuid};
use crate::{
    oci::{Digest, hex},
    report::{Report, Reporter, errata::evr, view},
};

/// `--format spdx`
pub struct Spdx;

const NONE: &str = "NOASSERTION";

impl Reporter for Spdx {
    fn name(&self) -> &'static str {
        "spdx"
    }

    fn write(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, &document(report))?;
        writeln!(out)
    }
}

fn document(report: &Report) -> Value {
    let images = listed(report);
    let mut texts = Texts::default();
    let mut packages = Vec::new();
    let mut relations = Vec::new();
    for image in &images {
        put_image(image, &mut texts, &mut packages, &mut relations);
    }
    let unread: Vec<String> = images
        .iter()
        .filter_map(|image| {
            let reason = image.unread?;
            Some(format!(
                "the packages of {} are not known: {reason}",
                image.image.image.reference
            ))
        })
        .collect();
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": title(report),
        "documentNamespace": format!("{}/spdx/{}", view::HOME, uuid(report, "spdx")),
        "creationInfo": {
            "created": time(report),
            "creators": [format!("Tool: {}-{}", view::TOOL, view::VERSION)],
        },
        "packages": packages,
        "hasExtractedLicensingInfos": texts.documents(),
        "relationships": relations,
    });
    if !unread.is_empty() {
        document["comment"] = unread.join("; ").into();
    }
    document
}

fn put_image(
    image: &Listed<'_>,
    texts: &mut Texts,
    packages: &mut Vec<Value>,
    relations: &mut Vec<Value>,
) {
    let own = reference(&image.id);
    let identity = &image.image.image;
    let version = identity
        .tag
        .clone()
        .or_else(|| identity.digest.as_ref().map(ToString::to_string));
    let mut this = container(
        &own,
        &identity.reference,
        identity.digest.as_ref(),
        image.purl.as_deref(),
    );
    if let Some(version) = version {
        this["versionInfo"] = version.into();
    }
    packages.push(this);
    relations.push(relation("SPDXRef-DOCUMENT", "DESCRIBES", &own));
    if let Some(base) = &image.image.base {
        let id = reference(&format!("base-of-{}", image.id));
        let digest = base.digest.as_ref();
        let purl = digest
            .and_then(|digest| purl::of_reference(&base.reference, digest.as_ref(), None, None));
        packages.push(container(&id, &base.reference, digest, purl.as_deref()));
        relations.push(relation(&own, "DESCENDANT_OF", &id));
    }
    let os = image.contents.map(|contents| &contents.os);
    if let Some((os, id)) = os.and_then(|os| Some((os, os.get("ID")?))) {
        let own_id = reference(&format!("os-of-{}", image.id));
        let mut value = json!({
            "SPDXID": own_id,
            "name": id,
            "downloadLocation": NONE,
            "filesAnalyzed": false,
            "primaryPackagePurpose": "OPERATING_SYSTEM",
        });
        if let Some(version) = os.get("VERSION_ID") {
            value["versionInfo"] = version.as_str().into();
        }
        packages.push(value);
        relations.push(relation(&own, "CONTAINS", &own_id));
    }
    for unit in &image.units {
        packages.push(package(unit, image, texts));
        relations.push(relation(&own, "CONTAINS", &reference(&unit.id)));
    }
}

fn container(id: &str, name: &str, digest: Option<&Digest>, purl: Option<&str>) -> Value {
    let mut value = json!({
        "SPDXID": id,
        "name": name,
        "downloadLocation": NONE,
        "filesAnalyzed": false,
        "primaryPackagePurpose": "CONTAINER",
    });
    let digest = digest.map(ToString::to_string);
    if let Some(sha256) = digest
        .as_deref()
        .and_then(|text| text.strip_prefix("sha256:"))
    {
        value["checksums"] = json!([{ "algorithm": "SHA256", "checksumValue": sha256 }]);
    }
    if let Some(purl) = purl {
        value["externalRefs"] = json!([external(purl)]);
    }
    value
}

fn package(unit: &Unit<'_>, image: &Listed<'_>, texts: &mut Texts) -> Value {
    let package = unit.package;
    let organization = |vendor: &String| format!("Organization: {}", one_line(vendor));
    let vendor = package
        .vendor
        .as_ref()
        .filter(|text| !text.trim().is_empty());
    let mut value = json!({
        "SPDXID": reference(&unit.id),
        "name": package.nevra.name,
        "versionInfo": evr(&package.nevra),
        "supplier": vendor.map_or_else(|| NONE.to_owned(), organization),
        "downloadLocation": NONE,
        "filesAnalyzed": false,
        "sourceInfo": found(unit, image.contents),
        "licenseConcluded": NONE,
        "licenseDeclared": texts.declared(package.license.as_deref()),
        "copyrightText": NONE,
    });
    if let Some(summary) = &package.summary {
        value["summary"] = summary.as_str().into();
    }
    // rpm's own digest of header and payload, which is what the package file was
    if let Some(md5) = package.sig_md5.as_ref().filter(|hex| hex.len() == 32) {
        value["checksums"] = json!([{ "algorithm": "MD5", "checksumValue": md5 }]);
    }
    if let Some(purl) = &unit.purl {
        value["externalRefs"] = json!([external(purl)]);
    }
    let facts = [
        ("signed by key", &package.signing_key),
        ("SHA-256 of the header", &package.sha256_header),
        ("SHA-1 of the header", &package.sha1_header),
        ("source package", &package.source_rpm),
    ];
    let facts: Vec<String> = facts
        .iter()
        .filter_map(|(what, value)| Some(format!("{what}: {}", value.as_ref()?)))
        .collect();
    if !facts.is_empty() {
        value["comment"] = facts.join("; ").into();
    }
    value
}

fn external(purl: &str) -> Value {
    json!({
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": purl,
    })
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

fn reference(id: &str) -> String {
    format!("SPDXRef-{id}")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Licences that are not on SPDX's list, by id.
#[derive(Default)]
struct Texts(BTreeMap<String, String>);

impl Texts {
    fn declared(&mut self, licence: Option<&str>) -> String {
        match licence.and_then(Licence::of) {
            None => NONE.to_owned(),
            Some(Licence::Expression(text, own)) => {
                for id in own {
                    self.0.entry(id.clone()).or_insert(id);
                }
                text.to_owned()
            }
            Some(Licence::Text(text)) => {
                let id = format!("LicenseRef-rpm-{}", hex(&super::digest_of(&[text])[..8]));
                self.0.entry(id.clone()).or_insert_with(|| text.to_owned());
                id
            }
        }
    }

    fn documents(&self) -> Vec<Value> {
        let text = |(id, text): (&String, &String)| json!({ "licenseId": id, "name": text, "extractedText": format!("The rpm header says: {text}") });
        self.0.iter().map(text).collect()
    }
}
