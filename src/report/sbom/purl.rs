//! Package URLs of rpm packages and images.

use packageurl::PackageUrl;

use crate::{
    oci::Reference,
    report::{Contents, ImageReport},
    rpm::Package,
};

/// The namespaces that the purl specification and Red Hat's own documents use, by the vendor that a
/// package names.
const VENDORS: [(&str, &str); 8] = [
    ("Red Hat, Inc.", "redhat"),
    ("Fedora Project", "fedora"),
    ("CentOS", "centos"),
    ("Rocky Enterprise Software Foundation", "rocky"),
    ("AlmaLinux", "almalinux"),
    ("Amazon Linux", "amzn"),
    ("openSUSE", "opensuse"),
    ("SUSE LLC <https://www.suse.com/>", "suse"),
];

/// `pkg:rpm/redhat/openssl-libs@3.0.1-41.el9?arch=x86_64&distro=rhel-9.4&epoch=1`; `None` for a
/// package whose name or version is none.
pub(super) fn of_package(package: &Package, contents: Option<&Contents>) -> Option<String> {
    let os = |key: &str| {
        let value = contents.and_then(|contents| contents.os.get(key));
        value.filter(|value| !value.is_empty())
    };
    let nevra = &package.nevra;
    let mut purl = PackageUrl::new("rpm", nevra.name.clone()).ok()?;
    let known = package.vendor.as_deref().and_then(|vendor| {
        let found = VENDORS.iter().find(|(known, _)| *known == vendor);
        found.map(|(_, namespace)| (*namespace).to_owned())
    });
    // A package of nobody known is not the distribution's; without a vendor it goes by os-release.
    let namespace = match &package.vendor {
        Some(_) => known,
        None => os("ID").map(|id| id.to_lowercase()),
    };
    if let Some(namespace) = namespace {
        purl.with_namespace(namespace).ok()?;
    }
    purl.with_version(format!("{}-{}", nevra.version, nevra.release))
        .ok()?;
    let distro = os("ID").zip(os("VERSION_ID"));
    let epoch = nevra.epoch.filter(|epoch| *epoch != 0);
    let qualifiers = [
        ("arch", nevra.arch.clone()),
        ("epoch", epoch.map(|epoch| epoch.to_string())),
        (
            "distro",
            distro.map(|(id, version)| format!("{id}-{version}")),
        ),
        ("rpmmod", package.module.clone()),
        ("upstream", package.source_rpm.clone()),
    ];
    for (key, value) in qualifiers {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            purl.add_qualifier(key, value).ok()?;
        }
    }
    Some(purl.to_string())
}

/// `pkg:oci/plugin@sha256:…?arch=amd64&repository_url=registry.example.com/vendorx/plugin&tag=1`;
/// `None` without a digest.
pub(super) fn of_image(image: &ImageReport) -> Option<String> {
    let identity = &image.image;
    let digest = identity.digest.as_ref()?.to_string();
    let arch = identity.platform.as_ref();
    let arch = arch.map(|platform| platform.architecture.clone());
    of_reference(&identity.reference, &digest, arch, identity.tag.clone())
}

/// The same for anything that is named and has a digest.
pub(super) fn of_reference(
    name: &str,
    digest: &str,
    arch: Option<String>,
    tag: Option<String>,
) -> Option<String> {
    let plain = name.strip_prefix("docker://").unwrap_or(name);
    let reference: Option<Reference> = plain.parse().ok();
    let repository = reference
        .as_ref()
        .map(|reference| format!("{}/{}", reference.registry, reference.repository));
    let last = match &repository {
        Some(repository) => repository.rsplit('/').next().unwrap_or_default().to_owned(),
        // a place on this machine: its last component without the tag
        None => plain
            .trim_end_matches('/')
            .rsplit('/')
            .next()?
            .split([':', '@'])
            .find(|part| !part.is_empty() && *part != "oci")?
            .to_owned(),
    };
    let mut purl = PackageUrl::new("oci", last.to_lowercase()).ok()?;
    purl.with_version(digest.to_owned()).ok()?;
    for (key, value) in [
        ("arch", arch),
        ("repository_url", repository.map(|it| it.to_lowercase())),
        ("tag", tag),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            purl.add_qualifier(key, value).ok()?;
        }
    }
    Some(purl.to_string())
}
