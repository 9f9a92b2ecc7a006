//! What an image says of where its packages come from, filled in by whoever has read the image.

use serde::{Deserialize, Serialize};

use crate::{
    oci::LayerIndex,
    rpm::{Nevra, Package},
};

/// One installed package, as far as advisories are concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// identity
    pub nevra: Nevra,
    /// `VENDOR`
    pub vendor: Option<String>,
    /// id of the signing key, 16 lower-case hex digits
    pub signing_key: Option<String>,
    /// `MODULARITYLABEL`
    pub module: Option<String>,
    /// name of the source package it was built from
    #[serde(default)]
    pub source: Option<String>,
    /// the layer whose package database has it first
    pub layer: LayerIndex,
    /// the repository it was installed from, by dnf's history
    pub repository: Option<String>,
}

impl Installed {
    /// Takes over what a package database says.
    pub fn of(package: &Package, layer: LayerIndex, repository: Option<String>) -> Self {
        Self {
            nevra: package.nevra.clone(),
            vendor: package.vendor.clone(),
            signing_key: package.signing_key.clone(),
            module: package.module.clone(),
            source: package.source_rpm.as_deref().and_then(Self::source_name),
            layer,
            repository,
        }
    }

    /// `python3.12` of `python3.12-3.12.1-4.el9.src.rpm`.
    pub fn source_name(file: &str) -> Option<String> {
        let mut parts = file.rsplitn(3, '-');
        let (_release, _version) = (parts.next()?, parts.next()?);
        parts
            .next()
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
    }

    /// It was built for a module, as its release says; it may have no label.
    pub(super) fn is_modular(&self) -> bool {
        self.nevra.release.contains(".module")
    }

    /// Whether it is Red Hat's: signed by a key of Red Hat's, or so by its vendor. The vendor alone is
    /// enough because looking up more packages can only lower the grade.
    pub fn is_red_hat(&self) -> bool {
        let key = self.signing_key.as_deref();
        key.is_some_and(|key| RED_HAT_KEYS.contains(&key))
            || self.vendor.as_deref() == Some("Red Hat, Inc.")
    }
}

/// Key ids of Red Hat's product signing keys: release, auxiliary and beta keys
/// (<https://access.redhat.com/security/team/key>).
const RED_HAT_KEYS: [&str; 13] = [
    "199e2f91fd431d51",
    "5054e4a45a6340b3",
    "fcd355b305707a62",
    "1ac4971355a34a82",
    "e1a4bd708a828aad",
    "f76f66c3d4082792",
    "5326810137017186",
    "45689c882fa658e0",
    "219180cddb42a60e",
    "7514f77d8366b0d9",
    "08dd962c1c711042",
    "fd372689897da07a",
    "938a80caf21541eb",
];

/// What a layer says of the products and repositories it was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerEvidence {
    /// `cpe` of `usr/share/buildinfo/labels.json`
    pub cpe: Option<String>,
    /// content sets: names of repositories, from `content-sets.json` or a content manifest
    pub content_sets: Vec<String>,
    /// ids of enabled repositories in `etc/yum.repos.d/redhat.repo`
    pub enabled: Vec<String>,
}

/// What an image says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// `ID` of os-release
    pub os: Option<String>,
    /// `VERSION_ID` of os-release, such as `9.4`
    pub version: Option<String>,
    /// layers, base first
    pub layers: Vec<LayerEvidence>,
    /// module streams that are enabled for dnf, `name:stream`: they tell what packages of modules are
    /// of that have no label
    #[serde(default)]
    pub streams: Vec<String>,
}

impl Evidence {
    /// `9` of `9.4`.
    pub fn major(&self) -> Option<&str> {
        let version = self.version.as_deref()?;
        version.split('.').next().filter(|major| !major.is_empty())
    }

    /// It says that it is Red Hat Enterprise Linux.
    pub fn is_rhel(&self) -> bool {
        self.os.as_deref() == Some("rhel")
    }
}
