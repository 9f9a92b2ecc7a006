//! What several checks ask of the base image.

use crate::{
    oci::LayerIndex,
    subject::{Fact, Subject},
};

/// Whether a layer was put on top of the base; `None` when the base is not known.
pub(super) fn above(subject: &Subject, layer: LayerIndex) -> Option<bool> {
    let position = usize::try_from(layer.0).unwrap_or(usize::MAX);
    if let Fact::Known(base) = &subject.base
        && subject.config.rootfs.diff_ids.starts_with(&base.diff_ids)
    {
        return Some(position >= base.diff_ids.len());
    }
    let layers = &subject.origins.layers;
    let any_of_base = layers.iter().any(Option::is_none);
    let origin = layers.get(position)?;
    any_of_base.then_some(origin.is_some())
}

/// Whether a label of the image is not the Dockerfile's own; `false` when there is no Dockerfile to
/// tell by.
pub(super) fn inherits(subject: &Subject, label: &str) -> bool {
    let origins = &subject.origins;
    let other = origins.others.iter().any(|other| other == label);
    !origins.file.is_empty() && !origins.labels.contains_key(label) && !other
}

/// What `/etc/os-release` (or `/usr/lib/os-release`) says.
#[derive(Debug, Default)]
pub(super) struct OsRelease {
    /// `ID`, lower case
    pub(super) id: String,
    /// `PRETTY_NAME`, else `NAME`, else `ID`
    pub(super) name: String,
}

/// Reads os-release; `None` when the image has none. Values may stand in quotes (os-release(5)).
pub(super) fn os_release(subject: &Subject) -> Option<OsRelease> {
    let inventory = &subject.inventory;
    let text = inventory
        .kept_file("/etc/os-release")
        .or_else(|| inventory.kept_file("/usr/lib/os-release"))?;
    let text = String::from_utf8_lossy(text);
    let value = |key: &str| {
        text.lines()
            .rev()
            // The last assignment counts, as in a shell.
            .filter_map(|line| line.trim().split_once('='))
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value.trim().trim_matches(['"', '\'']).to_owned())
    };
    let id = value("ID").unwrap_or_default().to_lowercase();
    let name = value("PRETTY_NAME")
        .or_else(|| value("NAME"))
        .unwrap_or_else(|| id.clone());
    Some(OsRelease { id, name })
}

/// The content says Red Hat Enterprise Linux.
pub(super) fn says_rhel(subject: &Subject) -> bool {
    os_release(subject).is_some_and(|release| release.id == "rhel")
}
