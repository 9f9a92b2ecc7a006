//! Which place a reference is taken from: a mirror of the configuration, or its registry.

use std::path::Path;

use indexmap::IndexMap;

use crate::{
    engine::buildkit::{
        mirror::{place, selections},
        names::ImageName,
    },
    layout::{LayoutSource, Transport},
    oci::{ImageSource, Reference, SourceError},
    registry::{RegistryOptions, RegistrySource},
};

/// A place that has an image.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// completed, as the Dockerfile means it
    name: ImageName,
    place: Transport,
}

impl Origin {
    /// Applies the mirrors to a reference as the Dockerfile writes it.
    pub(super) fn of(
        reference: &str,
        mirrors: &IndexMap<String, String>,
        root: &Path,
    ) -> Result<Self, SourceError> {
        let bad = |reason: String| SourceError::Malformed {
            what: format!("`{reference}`"),
            reason,
        };
        let name = ImageName::complete(reference)
            .ok_or_else(|| bad("it is not the name of an image".to_owned()))?;
        let mirrored = place(reference, mirrors, root).map_err(|error| bad(error.to_string()))?;
        let place = match mirrored {
            Some(place) => place,
            None => Reference::parse_familiar(reference)
                .map(Transport::Registry)
                .map_err(|error| bad(error.reason))?,
        };
        Ok(Self { name, place })
    }

    /// What tells it from others: the name, and where it is taken from.
    pub(super) fn name(&self) -> String {
        format!("{} from {}", self.name.full(), self.place)
    }

    /// It names the same bytes for ever.
    pub(super) fn is_pinned(&self) -> bool {
        match &self.place {
            Transport::Registry(reference) => reference.digest.is_some(),
            _ => false,
        }
    }

    /// Opens it; nothing may be read yet.
    pub(super) fn open(
        &self,
        options: &RegistryOptions,
    ) -> Result<Box<dyn ImageSource>, SourceError> {
        match &self.place {
            Transport::Registry(reference) => {
                Ok(Box::new(RegistrySource::open(reference.clone(), options)?))
            }
            Transport::OciLayout { dir, select } => {
                let mut last = None;
                for select in selections(select.as_ref(), &self.name) {
                    match LayoutSource::open(dir, select.as_ref()) {
                        Ok(source) => return Ok(Box::new(source)),
                        Err(error) => last = Some(error),
                    }
                }
                Err(last.unwrap_or_else(|| SourceError::NotFound {
                    what: dir.display().to_string(),
                    source: None,
                }))
            }
            other => match other.open_files()? {
                Some(source) => Ok(source),
                None => Err(SourceError::Unsupported {
                    what: other.to_string(),
                    reason: "base images come from registries, OCI layouts and archives".to_owned(),
                }),
            },
        }
    }
}
