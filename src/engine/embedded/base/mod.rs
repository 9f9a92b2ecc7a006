//! Base images: which image a reference means, its configuration, and its layers once a step needs
//! them.
//!
//! A reference is looked up anew for each build, unless it has a digest; when the registry cannot be
//! reached, what it said last time is taken, and the user told. Layers are pulled only when
//! something needs their files or the image is written, and kept by digest. Not done here:
//! unpacking, which is the store's.

mod origin;
mod pull;

use std::{
    collections::HashMap,
    io::{self, Read},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use self::origin::Origin;
use super::{
    frontend::{ResolveError, ResolveImage, ResolvedBase},
    store::{Layer, Store},
};
use crate::{
    engine::{Cancel, docker::chain},
    oci::{
        Descriptor, Digest, ImageSource, LayerFormat, MAX_CONFIG, Platform, SourceError, resolve,
        sha256,
    },
    registry::RegistryOptions,
};

/// Records of images by manifest digest.
const IMAGES: &str = "images";
/// Records of what a reference meant last time.
const NAMES: &str = "names";

/// What is kept of an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Image {
    pub(crate) manifest: Digest,
    /// as it is stored
    config: String,
    pub(crate) layers: Vec<Layer>,
}

/// Where base images come from.
#[derive(Debug)]
pub(crate) struct Settings<'a> {
    pub(crate) mirrors: &'a IndexMap<String, String>,
    /// relative paths of mirrors start here
    pub(crate) root: &'a Path,
    /// what was looked up before does not count
    pub(crate) pull: bool,
    pub(crate) registry: &'a RegistryOptions,
    pub(crate) cancel: &'a Cancel,
}

/// Tells of a transfer: what, bytes done, bytes in all.
pub(crate) type Transfer<'t> = &'t (dyn Fn(&str, u64, u64) + Sync);

type Source = Arc<dyn ImageSource>;

/// The base images of one build.
pub(crate) struct Bases<'a> {
    store: &'a Store,
    settings: Settings<'a>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    images: HashMap<String, Image>,
    /// by digest of a blob: who has it
    blobs: HashMap<String, Source>,
    /// the same of caches, which are asked when nobody else has a blob, or has it no more
    spares: HashMap<String, Vec<Source>>,
    /// by digest of a manifest: how to reach it, when nothing was opened
    origins: HashMap<String, Origin>,
    notes: Vec<String>,
}

impl<'a> Bases<'a> {
    pub(crate) fn new(store: &'a Store, settings: Settings<'a>) -> Self {
        Self {
            store,
            settings,
            known: Mutex::new(Known::default()),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the user should know, once.
    pub(crate) fn notes(&self) -> Vec<String> {
        std::mem::take(&mut self.known().notes)
    }

    /// An image that was resolved in this build.
    pub(crate) fn image(&self, manifest: &str) -> Option<Image> {
        self.known().images.get(manifest).cloned()
    }

    /// The image's own history, oldest first.
    pub(crate) fn history(&self, manifest: &str) -> Vec<serde_json::Value> {
        let image = self.image(manifest);
        let config: Option<serde_json::Value> =
            image.and_then(|image| serde_json::from_str(&image.config).ok());
        config
            .and_then(
                |mut config| match config.get_mut("history").map(serde_json::Value::take) {
                    Some(serde_json::Value::Array(history)) => Some(history),
                    _ => None,
                },
            )
            .unwrap_or_default()
    }

    /// Says that `source` has these layers.
    pub(crate) fn offer(&self, source: &Source, layers: &[Layer]) {
        let mut known = self.known();
        for layer in layers {
            known
                .blobs
                .entry(layer.digest.to_string())
                .or_insert_with(|| Arc::clone(source));
        }
    }

    /// Says that a cache has those of the layers that it lists.
    pub(crate) fn offer_spare(&self, source: &Source, layers: &[Layer], listed: &[Digest]) {
        let mut known = self.known();
        for layer in layers {
            if listed.contains(&layer.digest) {
                let spares = known.spares.entry(layer.digest.to_string()).or_default();
                if !spares.iter().any(|spare| Arc::ptr_eq(spare, source)) {
                    spares.push(Arc::clone(source));
                }
            }
        }
    }

    /// Whether every layer is in the cache or can be pulled.
    pub(crate) fn can_have(&self, layers: &[Layer]) -> bool {
        layers.iter().all(|layer| {
            let digest = layer.digest.to_string();
            let offered = {
                let known = self.known();
                known.blobs.contains_key(&digest) || known.spares.contains_key(&digest)
            };
            offered
                || self.store.has_blob(&layer.digest, layer.size)
                || self
                    .known()
                    .images
                    .values()
                    .any(|image| image.layers.contains(layer))
        })
    }

    fn look_up(&self, reference: &str, platform: &Platform) -> Result<Image, SourceError> {
        let origin = Origin::of(reference, self.settings.mirrors, self.settings.root)?;
        let key = sha256(format!("{} {platform}", origin.name()).as_bytes());
        let before: Option<Image> = self
            .store
            .record::<Digest>(NAMES, &key)
            .and_then(|manifest| self.store.record(IMAGES, &manifest));
        if let Some(image) = &before
            && origin.is_pinned()
        {
            self.store.touch(NAMES, &key);
            self.store.touch(IMAGES, &image.manifest);
            self.remember(image, origin, None);
            return Ok(image.clone());
        }
        match self.ask(&origin, platform) {
            Ok((image, source)) => {
                self.write(&key, &image)?;
                self.remember(&image, origin, Some(source));
                Ok(image)
            }
            Err(error @ SourceError::Unavailable { .. }) if !self.settings.pull => {
                let Some(image) = before else {
                    return Err(error);
                };
                self.known().notes.push(format!(
                    "{reference} could not be looked up ({}); {} of an earlier build is used",
                    chain(&error),
                    image.manifest
                ));
                self.remember(&image, origin, None);
                Ok(image)
            }
            Err(error) => Err(error),
        }
    }

    fn write(&self, key: &Digest, image: &Image) -> Result<(), SourceError> {
        let stored = self
            .store
            .put_record(IMAGES, &image.manifest, image)
            .and_then(|()| self.store.put_record(NAMES, key, &image.manifest));
        stored.map_err(|error| SourceError::Io {
            what: error.to_string(),
            source: io::Error::other(error),
        })
    }

    fn remember(&self, image: &Image, origin: Origin, source: Option<Source>) {
        let manifest = image.manifest.to_string();
        if let Some(source) = source {
            self.offer(&source, &image.layers);
        }
        let mut known = self.known();
        known.origins.insert(manifest.clone(), origin);
        known.images.insert(manifest, image.clone());
    }

    fn ask(&self, origin: &Origin, platform: &Platform) -> Result<(Image, Source), SourceError> {
        let source: Source = origin.open(self.settings.registry)?.into();
        let resolved = resolve(source.as_ref(), Some(platform))?;
        let Some(found) = resolved.images.into_iter().next() else {
            return Err(SourceError::NotFound {
                what: origin.name(),
                source: None,
            });
        };
        let config = read(source.as_ref(), found.manifest.config())?;
        let layers = found
            .manifest
            .layers()
            .iter()
            .zip(&found.config.rootfs.diff_ids)
            .map(|(layer, diff_id)| {
                let format = LayerFormat::of(layer.media_type()).map_err(|reason| {
                    SourceError::Unsupported {
                        what: format!("layer {}", layer.digest()),
                        reason,
                    }
                })?;
                Ok(Layer {
                    diff_id: diff_id.clone(),
                    digest: layer.digest().clone(),
                    size: layer.size(),
                    media_type: format.media_type().to_string(),
                    created: None,
                })
            })
            .collect::<Result<Vec<_>, SourceError>>()?;
        let image = Image {
            manifest: found.descriptor.digest().clone(),
            config,
            layers,
        };
        Ok((image, source))
    }
}

fn read(source: &dyn ImageSource, of: &Descriptor) -> Result<String, SourceError> {
    let what = format!("configuration {}", of.digest());
    let mut text = String::new();
    source
        .blob(of)?
        .take(MAX_CONFIG)
        .read_to_string(&mut text)
        .map_err(|error| SourceError::from_read(what, error))?;
    Ok(text)
}

impl ResolveImage for &Bases<'_> {
    fn resolve(
        &mut self,
        reference: &str,
        platform: &Platform,
    ) -> Result<ResolvedBase, ResolveError> {
        match self.look_up(reference, platform) {
            Ok(image) => Ok(ResolvedBase {
                manifest: image.manifest,
                config: image.config.into_bytes(),
            }),
            Err(error) => Err(ResolveError {
                message: format!("base image {reference}: {}", chain(&error)),
                remedy: error.hint(),
            }),
        }
    }
}
