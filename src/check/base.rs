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
    !origins.file.is_empty() && !origins.labels.contains_key(label)
}
