//! `cyclonedx`: `CycloneDX` 1.6, JSON (<https://cyclonedx.org/docs/1.6/json/>); `cyclonedx-vex`: the
//! same with the vulnerabilities that the image is exposed to.

use std::io;

use serde_json::{Value, json};

use super::{
    Listed, Unit, licence::Licence, listed, purl, time, title, uuid,
    vulnerabilities::vulnerabilities,
};
use crate::{
    oci::Digest,
    report::{Report, Reporter, errata::evr, view},
};

/// `--format cyclonedx`
pub struct CycloneDx;

/// `--format cyclonedx-vex`
pub struct CycloneDxVex;

impl Reporter for CycloneDx {
    fn name(&self) -> &'static str {
        "cyclonedx"
    }

    fn write(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
        let images = listed(report);
        let document = document(report, &images, "cyclonedx");
        serde_json::to_writer_pretty(&mut *out, &document)?;
        writeln!(out)
    }
}

impl Reporter for CycloneDxVex {
    fn name(&self) -> &'static str {
        "cyclonedx-vex"
    }

    fn write(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
        let images = listed(report);
        let mut document = document(report, &images, "cyclonedx-vex");
        let vulnerabilities = images
            .iter()
            .flat_map(|image| vulnerabilities(report, image));
        document["vulnerabilities"] = vulnerabilities.collect();
        serde_json::to_writer_pretty(&mut *out, &document)?;
        writeln!(out)
    }
}

fn document(report: &Report, images: &[Listed<'_>], format: &str) -> Value {
    let (subject, mut components) = match images {
        [image] => (this(image), Vec::new()),
        several => (
            // an index: its platforms are parts of it
            json!({ "type": "container", "bom-ref": "index", "name": title(report) }),
            several.iter().map(this).collect(),
        ),
    };
    let mut dependencies = Vec::new();
    for image in images {
        let mut parts = Vec::new();
        for component in parts_of(image) {
            parts.push(component["bom-ref"].clone());
            components.push(component);
        }
        dependencies.push(json!({ "ref": image.id, "dependsOn": parts }));
    }
    if images.len() > 1 {
        let all: Vec<&str> = images.iter().map(|image| &*image.id).collect();
        dependencies.push(json!({ "ref": "index", "dependsOn": all }));
    }
    let unread = images.iter().any(|image| image.unread.is_some());
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", uuid(report, format)),
        "version": 1,
        "metadata": {
            "timestamp": time(report),
            "tools": { "components": [{
                "type": "application",
                "name": view::TOOL,
                "version": view::VERSION,
                "externalReferences": [{ "type": "website", "url": view::HOME }],
            }] },
            "component": subject,
        },
        "components": components,
        "dependencies": dependencies,
        "compositions": [{ "aggregate": if unread { "unknown" } else { "incomplete" } }],
    })
}

fn this(image: &Listed<'_>) -> Value {
    let identity = &image.image.image;
    let mut value = container(
        &image.id,
        &identity.reference,
        identity.digest.as_ref(),
        image.purl.as_deref(),
    );
    let version = identity
        .tag
        .clone()
        .or_else(|| identity.digest.as_ref().map(ToString::to_string));
    if let Some(version) = version {
        value["version"] = version.into();
    }
    let mut facts = vec![
        (
            "plimsoll:image-id",
            identity.config_digest.as_ref().map(ToString::to_string),
        ),
        (
            "plimsoll:platform",
            identity.platform.as_ref().map(ToString::to_string),
        ),
        ("plimsoll:packages-unread", image.unread.map(str::to_owned)),
    ];
    let layers = image.contents.iter().flat_map(|contents| &contents.layers);
    facts.extend(layers.map(|layer| {
        let text = format!("{} {}", layer.index.0, layer.diff_id);
        ("plimsoll:layer", Some(text))
    }));
    put_properties(&mut value, facts);
    value
}

/// The base image, the operating system and the packages.
fn parts_of(image: &Listed<'_>) -> Vec<Value> {
    let mut parts = Vec::new();
    if let Some(base) = &image.image.base {
        let digest = base.digest.as_ref();
        let purl = digest
            .and_then(|digest| purl::of_reference(&base.reference, digest.as_ref(), None, None));
        let id = format!("base-of-{}", image.id);
        let mut value = container(&id, &base.reference, digest, purl.as_deref());
        let layers = base.layers.to_string();
        put_properties(
            &mut value,
            vec![
                ("plimsoll:role", Some("base image".to_owned())),
                ("plimsoll:layers", Some(layers)),
            ],
        );
        parts.push(value);
    }
    let os = image.contents.map(|contents| &contents.os);
    if let Some((os, id)) = os.and_then(|os| Some((os, os.get("ID")?))) {
        let mut value = json!({
            "type": "operating-system",
            "bom-ref": format!("os-of-{}", image.id),
            "name": id,
        });
        if let Some(version) = os.get("VERSION_ID") {
            value["version"] = version.as_str().into();
        }
        if let Some(name) = os.get("PRETTY_NAME") {
            value["description"] = name.as_str().into();
        }
        if let Some(cpe) = os.get("CPE_NAME").filter(|cpe| cpe.starts_with("cpe:/")) {
            value["cpe"] = cpe.as_str().into();
        }
        parts.push(value);
    }
    parts.extend(image.units.iter().map(|unit| package(unit, image)));
    parts
}

fn container(id: &str, name: &str, digest: Option<&Digest>, purl: Option<&str>) -> Value {
    let mut value = json!({ "type": "container", "bom-ref": id, "name": name });
    let digest = digest.map(ToString::to_string);
    if let Some(sha256) = digest
        .as_deref()
        .and_then(|text| text.strip_prefix("sha256:"))
    {
        value["hashes"] = json!([{ "alg": "SHA-256", "content": sha256 }]);
    }
    if let Some(purl) = purl {
        value["purl"] = purl.into();
    }
    value
}

fn package(unit: &Unit<'_>, image: &Listed<'_>) -> Value {
    let package = unit.package;
    let mut value = json!({ "type": "library", "bom-ref": unit.id });
    if let Some(vendor) = package.vendor.as_deref().filter(|text| !text.is_empty()) {
        value["supplier"] = json!({ "name": vendor });
        value["publisher"] = vendor.into();
    }
    value["name"] = package.nevra.name.as_str().into();
    value["version"] = evr(&package.nevra).into();
    if let Some(summary) = &package.summary {
        value["description"] = summary.as_str().into();
    }
    // rpm's own digest of header and payload, which is what the package file was
    if let Some(md5) = package.sig_md5.as_ref().filter(|hex| hex.len() == 32) {
        value["hashes"] = json!([{ "alg": "MD5", "content": md5 }]);
    }
    match package.license.as_deref().and_then(Licence::of) {
        Some(Licence::Expression(text, _)) => {
            value["licenses"] = json!([{ "expression": text, "acknowledgement": "declared" }]);
        }
        Some(Licence::Text(text)) => {
            let licence = json!({ "name": text, "acknowledgement": "declared" });
            value["licenses"] = json!([{ "license": licence }]);
        }
        None => {}
    }
    if let Some(purl) = &unit.purl {
        value["purl"] = purl.as_str().into();
    }
    let layer = image
        .contents
        .and_then(|contents| contents.layer(unit.layer));
    let of_base = layer.and_then(|layer| layer.of_base);
    put_properties(
        &mut value,
        vec![
            ("plimsoll:layer-index", Some(unit.layer.0.to_string())),
            (
                "plimsoll:layer-diff-id",
                layer.map(|layer| layer.diff_id.to_string()),
            ),
            ("plimsoll:layer-of-base", of_base.map(|yes| yes.to_string())),
            ("plimsoll:rpm:source-package", package.source_rpm.clone()),
            ("plimsoll:rpm:module", package.module.clone()),
            ("plimsoll:rpm:signing-key", package.signing_key.clone()),
            ("plimsoll:rpm:header-sha256", package.sha256_header.clone()),
            ("plimsoll:rpm:header-sha1", package.sha1_header.clone()),
            ("plimsoll:rpm:build-host", package.build_host.clone()),
        ],
    );
    value
}

fn put_properties(value: &mut Value, properties: Vec<(&str, Option<String>)>) {
    let properties: Vec<Value> = properties
        .into_iter()
        .filter_map(|(name, value)| Some(json!({ "name": name, "value": value? })))
        .collect();
    if !properties.is_empty() {
        value["properties"] = properties.into();
    }
}
