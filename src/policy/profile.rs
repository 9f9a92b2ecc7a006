//! The one table of rule × profile.

use Weight::{Block, Off, Warn};

use crate::rule::Rule;

/// Which policy an image is held to; openshift-preflight's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// UBI-based, not root
    #[default]
    Container,
    /// UBI-based, privileged in the project
    Root,
    /// from scratch, not root
    ScratchNonroot,
    /// from scratch, privileged in the project
    ScratchRoot,
    /// Konflux
    Konflux,
}

impl Profile {
    /// All, in the order of the table's columns.
    pub const ALL: [Self; 5] = [
        Self::Container,
        Self::Root,
        Self::ScratchNonroot,
        Self::ScratchRoot,
        Self::Konflux,
    ];

    /// The name as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Root => "root",
            Self::ScratchNonroot => "scratch-nonroot",
            Self::ScratchRoot => "scratch-root",
            Self::Konflux => "konflux",
        }
    }

    /// The profile that openshift-preflight chooses for a project.
    pub fn of_project(scratch: bool, privileged: bool) -> Self {
        match (scratch, privileged) {
            (false, false) => Self::Container,
            (false, true) => Self::Root,
            (true, false) => Self::ScratchNonroot,
            (true, true) => Self::ScratchRoot,
        }
    }

    fn column(self) -> usize {
        match self {
            Self::Container => 0,
            Self::Root => 1,
            Self::ScratchNonroot => 2,
            Self::ScratchRoot => 3,
            Self::Konflux => 4,
        }
    }
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no profile's.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no profile `{0}`; there are container, root, scratch-nonroot, scratch-root and konflux"
)]
pub struct UnknownProfile(pub String);

impl std::str::FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.name() == name)
            .ok_or_else(|| UnknownProfile(name.to_owned()))
    }
}

/// What a rule weighs under a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// a failure, or facts that are missing, stop the image
    Block,
    /// told, does not stop the image
    Warn,
    /// not asked for
    Off,
}

/// Rule × profile: container, root, scratch-nonroot, scratch-root, konflux. Where openshift-preflight
/// has the check, as its policies (1.21.0) have it; the service's others follow what they look at:
/// packages where there must be packages, privileges where none were granted.
pub(super) const TABLE: &[(&str, [Weight; 5])] = &[
    ("has_licenses", [Block, Block, Block, Block, Block]),
    ("not_running_privileged", [Block, Off, Block, Off, Block]),
    ("rpm_list_successful", [Block, Block, Off, Off, Block]),
    ("rpm_verify_successful", [Block, Block, Off, Off, Block]),
    ("is_rhel", [Block, Block, Off, Off, Block]),
    ("vendor_label_exists", [Block, Block, Block, Block, Block]),
    // Not assessed without an advisory database; blocking would reject every image where none was made.
    (
        "free_of_critical_vulnerabilities",
        [Warn, Warn, Off, Off, Warn],
    ),
    ("good_tags", [Block, Block, Block, Block, Block]),
    ("good_layer_count", [Block, Block, Block, Block, Block]),
    ("release_label_exists", [Block, Block, Block, Block, Block]),
    ("not_running_as_root", [Block, Off, Block, Off, Block]),
    ("version_label_exists", [Block, Block, Block, Block, Block]),
    ("name_label_exists", [Block, Block, Block, Block, Block]),
    ("summary_label_exists", [Block, Block, Block, Block, Block]),
    (
        "description_label_exists",
        [Block, Block, Block, Block, Block],
    ),
    (
        "maintainer_label_exists",
        [Block, Block, Block, Block, Block],
    ),
    (
        "has_no_prohibited_labels",
        [Block, Block, Block, Block, Off],
    ),
    ("has_no_prohibited_name", [Block, Block, Block, Block, Off]),
    (
        "has_no_prohibited_packages",
        [Block, Block, Off, Off, Block],
    ),
    ("has_no_secrets", [Block, Block, Block, Block, Block]),
    ("has_no_setuid_surprises", [Warn, Warn, Warn, Warn, Warn]),
];

/// What a rule weighs under a profile, before the configuration says otherwise.
pub fn weight(rule: &Rule, profile: Profile) -> Weight {
    TABLE
        .iter()
        .find(|(id, _)| *id == rule.id)
        .map_or(Block, |(_, weights)| weights[profile.column()])
}
