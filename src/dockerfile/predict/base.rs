//! What is known of well-known base images by their reference alone.

use super::{Case, failed, passed, unknown};
use crate::{
    dockerfile::Base,
    finding::{Finding, Outcome},
};

/// Registries that hold Red Hat's own images alone.
const RED_HAT: [&str; 4] = [
    "registry.access.redhat.com",
    "registry.redhat.io",
    "registry.stage.redhat.io",
    "brew.registry.redhat.io",
];
/// Repositories of others, by the front of the reference, and what they hold.
const FOREIGN: [(&str, &str); 22] = [
    ("alpine", "Alpine Linux"),
    ("debian", "Debian"),
    ("ubuntu", "Ubuntu"),
    ("busybox", "BusyBox"),
    ("fedora", "Fedora"),
    ("centos", "CentOS"),
    ("rockylinux", "Rocky Linux"),
    ("almalinux", "AlmaLinux"),
    ("amazonlinux", "Amazon Linux"),
    ("opensuse", "openSUSE"),
    ("archlinux", "Arch Linux"),
    ("golang", "Debian or Alpine Linux"),
    ("node", "Debian or Alpine Linux"),
    ("python", "Debian or Alpine Linux"),
    ("openjdk", "Debian or Oracle Linux"),
    ("eclipse-temurin", "Ubuntu or Alpine Linux"),
    ("maven", "Ubuntu"),
    ("nginx", "Debian or Alpine Linux"),
    ("gcr.io/distroless", "Debian without packages"),
    ("mcr.microsoft.com", "images of Microsoft"),
    ("cgr.dev", "Wolfi"),
    ("quay.io/centos", "CentOS Stream"),
];

/// What the reference of a base image tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KnownBase {
    /// nothing
    Scratch,
    /// UBI or RHEL itself: runs as root, a handful of layers, Red Hat's labels
    Platform,
    /// another image of Red Hat's: Red Hat's labels, often a user of its own
    RedHat,
    /// of somebody else; what it holds
    Foreign(&'static str),
    /// it cannot be told
    Unknown,
}

impl KnownBase {
    pub(super) fn of(base: &Base) -> Self {
        let reference = match base {
            Base::Scratch => return Self::Scratch,
            // `registry.access.redhat.com/ubi9/ubi:${V}` still tells where it is from.
            Base::Image(reference) | Base::Unknown(reference) => reference,
        };
        let (registry, path) = reference.split_once('/').unwrap_or(("", reference));
        if RED_HAT.contains(&registry) {
            let path = path.split(['@', ':']).next().unwrap_or(path);
            let name = path.rsplit('/').next().unwrap_or(path);
            let platform = is_platform(name);
            return if platform {
                Self::Platform
            } else {
                Self::RedHat
            };
        }
        if matches!(base, Base::Unknown(_)) {
            return Self::Unknown;
        }
        let short = reference
            .trim_start_matches("docker.io/")
            .trim_start_matches("index.docker.io/")
            .trim_start_matches("library/");
        let foreign = FOREIGN.iter().find(|(front, _)| {
            short
                .strip_prefix(front)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@', '/']))
        });
        foreign.map_or(Self::Unknown, |(_, what)| Self::Foreign(what))
    }

    pub(super) fn is_red_hat(self) -> bool {
        matches!(self, Self::Platform | Self::RedHat)
    }
}

/// `ubi`, `ubi9`, `ubi9-minimal`, `ubi-init`, `rhel7`, `rhel-atomic`.
fn is_platform(name: &str) -> bool {
    let rest = name
        .strip_prefix("ubi")
        .or_else(|| name.strip_prefix("rhel"));
    let variant = rest.map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    matches!(
        variant,
        Some("" | "-minimal" | "-micro" | "-init" | "-atomic" | "-stig")
    )
}

pub(super) fn is_rhel(case: &Case<'_>) -> Outcome {
    let name = case.base_name();
    let remedy =
        "start from a Universal Base Image, such as registry.access.redhat.com/ubi9/ubi-minimal";
    let finding = |message: String| {
        Finding::new(name, message)
            .at(Some(case.resolved.base_location.clone()))
            .remedy(remedy)
    };
    match case.base {
        KnownBase::Platform | KnownBase::RedHat if case.context.squash => {
            unknown("the layers of the base are squashed, so that it cannot be recognised by them")
        }
        KnownBase::Platform | KnownBase::RedHat => {
            passed(format!("{name} is from a registry of Red Hat's"))
        }
        KnownBase::Scratch => failed(finding(
            "the image starts from scratch, so that nothing of it is Red Hat's".to_owned(),
        )),
        KnownBase::Foreign(what) => failed(finding(format!(
            "the base image {name} is not Red Hat's: it holds {what}"
        ))),
        KnownBase::Unknown => unknown(format!(
            "{name} is from no registry of Red Hat's; whether it builds on an image from there is \
             known once its layers are read"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{Base, KnownBase};

    #[test]
    fn bases_are_known_by_registry_and_name() {
        for (reference, want) in [
            (
                "registry.access.redhat.com/ubi9/ubi-minimal:9.4",
                KnownBase::Platform,
            ),
            (
                "registry.access.redhat.com/ubi8@sha256:00",
                KnownBase::Platform,
            ),
            ("registry.redhat.io/rhel7", KnownBase::Platform),
            (
                "registry.access.redhat.com/ubi9/openjdk-17",
                KnownBase::RedHat,
            ),
            (
                "registry.redhat.io/rhosp-rhel8/openstack-cinder-volume:16.1",
                KnownBase::RedHat,
            ),
            (
                "registry.access.redhat.com.evil.org/ubi9",
                KnownBase::Unknown,
            ),
            ("debian:12", KnownBase::Foreign("Debian")),
            (
                "docker.io/library/alpine",
                KnownBase::Foreign("Alpine Linux"),
            ),
            (
                "gcr.io/distroless/static:nonroot",
                KnownBase::Foreign("Debian without packages"),
            ),
            ("debianish", KnownBase::Unknown),
            ("quay.io/vendorx/base:1", KnownBase::Unknown),
            ("localhost/ubi9", KnownBase::Unknown),
        ] {
            assert_eq!(
                KnownBase::of(&Base::Image(reference.into())),
                want,
                "{reference}"
            );
        }
        let partly = Base::Unknown("registry.access.redhat.com/ubi9/ubi:${V}".into());
        assert_eq!(KnownBase::of(&partly), KnownBase::Platform);
        assert_eq!(
            KnownBase::of(&Base::Unknown("debian".into())),
            KnownBase::Unknown
        );
    }
}
