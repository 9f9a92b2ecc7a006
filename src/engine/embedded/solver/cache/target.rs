//! `--cache-to`: everything that a build used or made, in an OCI layout or a registry.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{
    super::{
        Job,
        failure::{host_error, source_failure},
        shared::{Shared, lock},
    },
    CacheError,
    records::{CACHE_RECORDS, Records},
    words,
};
use crate::{
    engine::{BuildError, docker::chain, embedded::store::Layer},
    layout::{LayoutSource, LayoutWriter},
    oci::{Descriptor, MediaType, Reference, SourceError},
    registry::push::Pusher,
};

/// Where the cache is written to.
pub(in crate::engine::embedded::solver) struct CacheTarget {
    place: Place,
    /// as the user wrote it
    text: String,
    /// a build does not fail because its cache could not be written
    forgiving: bool,
}

enum Place {
    Layout(PathBuf),
    Registry(Reference),
}

impl CacheTarget {
    pub(in crate::engine::embedded::solver) fn all(
        texts: &[String],
        root: &Path,
    ) -> Result<Vec<Self>, CacheError> {
        texts.iter().map(|text| Self::of(text, root)).collect()
    }

    fn of(text: &str, root: &Path) -> Result<Self, CacheError> {
        let (kind, words) = words(text)?;
        let refuse = |reason: String| CacheError {
            text: text.to_owned(),
            reason,
        };
        let missing = |key: &str| refuse(format!("`type={kind}` needs `{key}=`"));
        let place = match kind.as_str() {
            "local" => {
                let dest = words.get("dest").ok_or_else(|| missing("dest"))?;
                Place::Layout(root.join(dest))
            }
            "registry" => {
                let reference = words.get("ref").ok_or_else(|| missing("ref"))?;
                let parsed = Reference::parse_familiar(reference);
                let parsed = parsed.map_err(|error| refuse(error.reason))?;
                if parsed.digest.is_some() {
                    return Err(refuse(
                        "a cache is written to a tag, not a digest".to_owned(),
                    ));
                }
                Place::Registry(parsed)
            }
            other => {
                let reason = format!("this engine does not write a cache of `type={other}`");
                return Err(refuse(reason));
            }
        };
        Ok(Self {
            place,
            text: text.to_owned(),
            forgiving: words.get("ignore-error").is_some_and(|word| word == "true"),
        })
    }

    /// Writes everything that the build used or made.
    pub(in crate::engine::embedded::solver) fn write(
        &self,
        shared: &Shared<'_>,
    ) -> Result<(), BuildError> {
        let done = match &self.place {
            Place::Layout(directory) => write_layout(directory, shared).map_err(source_failure),
            Place::Registry(reference) => self.push(reference, shared),
        };
        match done {
            Err(BuildError::Interrupted) => Err(BuildError::Interrupted),
            Err(error) if self.forgiving => {
                let reason = chain(&error);
                let note = format!("cache `{}` was not written: {reason}", self.text);
                shared.tell.note(note);
                Ok(())
            }
            done => done,
        }
    }

    fn push(&self, reference: &Reference, shared: &Shared<'_>) -> Result<(), BuildError> {
        let job: &Job = shared.job;
        let layout = shared.store.temporary_dir().map_err(host_error)?;
        write_layout(&layout, shared).map_err(source_failure)?;
        let source = LayoutSource::open(&layout, None).map_err(source_failure)?;
        let tag = reference.tag.as_deref().unwrap_or("latest");
        let pushed = Pusher::open(reference, &[], &job.registry)
            .and_then(|pusher| pusher.push_cache(&source, tag, &()));
        let pushed = match pushed {
            Err(_) if shared.cancel.is_cancelled() => return Err(BuildError::Interrupted),
            pushed => pushed.map_err(|error| BuildError::Engine {
                engine: job.engine.clone(),
                reason: format!("cache `{}`: {}", self.text, chain(&error)),
                hint: error.hint(),
            })?,
        };
        shared.tell.note(format!(
            "cache written to {reference}: {} layers sent, {} were there",
            pushed.uploaded, pushed.existing
        ));
        Ok(())
    }
}

fn write_layout(directory: &Path, shared: &Shared<'_>) -> Result<(), SourceError> {
    let store = shared.store;
    let mut records = Records::new();
    let mut layers: Vec<Layer> = Vec::new();
    for (key, record) in lock(&shared.used).iter() {
        // Layers of base images that nothing needed to unpack stay where they are.
        let there = |layer: &Layer| store.has_blob(&layer.digest, layer.size);
        if record.tree.layers.iter().all(there) {
            for layer in &record.tree.layers {
                if !layers.contains(layer) {
                    layers.push(layer.clone());
                }
            }
            records.add(key, record);
        }
    }
    let layout = LayoutWriter::create(directory)?;
    let layers: Vec<Descriptor> = layers.iter().map(Layer::descriptor).collect();
    for layer in &layers {
        layout.link(&store.blob_path(layer.digest()), layer)?;
    }
    let text = serde_json::to_vec(&records).map_err(|error| SourceError::Io {
        what: "records of the cache".to_owned(),
        source: error.into(),
    })?;
    let config = layout.bytes(MediaType::from(CACHE_RECORDS), &text)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest.to_string(),
        "config": config,
        "layers": layers,
    });
    let manifest = layout.bytes(MediaType::ImageManifest, manifest.to_string().as_bytes())?;
    layout.finish(&manifest, &[])
}
