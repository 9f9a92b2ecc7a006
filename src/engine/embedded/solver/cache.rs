//! `--cache-from` and `--cache-to`: the records of steps and their layers in an OCI layout
//! (`type=local`), or read from a registry (`type=registry`).
//!
//! The manifest's layers are those of the steps; its configuration is the list of records. Only what
//! a build uses is pulled.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Job,
    failure::source_failure,
    shared::{Record, Shared, lock},
};
use crate::{
    engine::{
        BuildError,
        docker::chain,
        embedded::{
            base::Bases,
            store::{Layer, Store},
        },
    },
    layout::{LayoutSource, LayoutWriter},
    oci::{Descriptor, Digest, ImageManifest, ImageSource, MediaType, Reference, SourceError},
    registry::RegistrySource,
};

const RECORDS_TYPE: &str = "application/vnd.plimsoll.cache.records.v1+json";
const MAX_RECORDS: u64 = 64 << 20;

/// Records by key, as they are stored in a cache elsewhere.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Records {
    version: u32,
    steps: BTreeMap<String, Record>,
}

/// An entry of `--cache-from` or `--cache-to` that cannot be used.
#[derive(Debug)]
pub(super) struct CacheError {
    text: String,
    reason: String,
}

impl CacheError {
    pub(super) fn of(self, job: &Job) -> BuildError {
        BuildError::Unsupported {
            engine: job.engine.clone(),
            what: format!("cache `{}`: {}", self.text, self.reason),
            hint: Some("write type=local,src=DIR or type=local,dest=DIR".to_owned()),
        }
    }
}

/// The words of one entry; a reference alone is `type=registry`.
fn words(text: &str) -> Result<(String, BTreeMap<String, String>), CacheError> {
    let refuse = |reason: &str| CacheError {
        text: text.to_owned(),
        reason: reason.to_owned(),
    };
    if !text.contains('=') {
        let reference = ("ref".to_owned(), text.trim().to_owned());
        return Ok(("registry".to_owned(), BTreeMap::from([reference])));
    }
    let mut found = BTreeMap::new();
    for field in text.split(',') {
        let (key, value) = field
            .split_once('=')
            .ok_or_else(|| refuse("a field is not of the form key=value"))?;
        found.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
    }
    let kind = found
        .remove("type")
        .ok_or_else(|| refuse("it has no `type=`"))?;
    Ok((kind, found))
}

/// Where the cache is written to.
pub(super) struct CacheTarget {
    directory: PathBuf,
}

impl CacheTarget {
    pub(super) fn all(texts: &[String], root: &Path) -> Result<Vec<Self>, CacheError> {
        texts.iter().map(|text| Self::of(text, root)).collect()
    }

    fn of(text: &str, root: &Path) -> Result<Self, CacheError> {
        let (kind, words) = words(text)?;
        let refuse = |reason: String| CacheError {
            text: text.to_owned(),
            reason,
        };
        match (kind.as_str(), words.get("dest")) {
            ("local", Some(dest)) => Ok(Self {
                directory: root.join(dest),
            }),
            ("local", None) => Err(refuse("`type=local` needs `dest=`".to_owned())),
            (other, _) => Err(refuse(format!(
                "this engine does not write a cache of `type={other}`"
            ))),
        }
    }

    /// Writes everything that the build used or made.
    pub(super) fn write(&self, shared: &Shared<'_>, store: &Store) -> Result<(), BuildError> {
        let mut records = Records {
            version: 1,
            ..Records::default()
        };
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
                records.steps.insert(key.to_string(), record.clone());
            }
        }
        self.write_layout(&records, &layers, store)
            .map_err(source_failure)
    }

    fn write_layout(
        &self,
        records: &Records,
        layers: &[Layer],
        store: &Store,
    ) -> Result<(), SourceError> {
        let layout = LayoutWriter::create(&self.directory)?;
        let described = |of: &Descriptor| {
            json!({
                "mediaType": of.media_type().to_string(),
                "digest": of.digest().to_string(),
                "size": of.size(),
            })
        };
        let mut listed = Vec::new();
        for layer in layers {
            let descriptor = layer.descriptor();
            layout.link(&store.blob_path(&layer.digest), &descriptor)?;
            listed.push(described(&descriptor));
        }
        let text = serde_json::to_vec(records).map_err(|error| SourceError::Io {
            what: "records of the cache".to_owned(),
            source: error.into(),
        })?;
        let config = layout.bytes(MediaType::from(RECORDS_TYPE), &text)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest.to_string(),
            "config": described(&config),
            "layers": listed,
        });
        let manifest = layout.bytes(MediaType::ImageManifest, manifest.to_string().as_bytes())?;
        layout.finish(&manifest, &[])
    }
}

/// The caches that are read.
#[derive(Default)]
pub(super) struct Caches {
    records: BTreeMap<String, Record>,
    notes: Vec<String>,
}

impl Caches {
    /// Reads what there is; a cache that is not there, or is not readable, is told and left out, as
    /// BuildKit does.
    pub(super) fn open(job: &Job, bases: &Bases<'_>) -> Result<Self, BuildError> {
        let mut caches = Self::default();
        for text in &job.plan.cache_from {
            let (kind, words) = words(text).map_err(|error| error.of(job))?;
            let refuse = |reason: String| CacheError {
                text: text.clone(),
                reason,
            };
            let opened = match (kind.as_str(), words.get("src"), words.get("ref")) {
                ("local", Some(src), _) => open_local(&job.plan.root.join(src)),
                ("registry", _, Some(reference)) => open_registry(reference, job),
                ("local", None, _) => {
                    return Err(refuse("`type=local` needs `src=`".to_owned()).of(job));
                }
                ("registry", _, None) => {
                    return Err(refuse("`type=registry` needs `ref=`".to_owned()).of(job));
                }
                (other, ..) => {
                    let reason = format!("this engine does not read a cache of `type={other}`");
                    return Err(refuse(reason).of(job));
                }
            };
            match opened.and_then(|source| caches.read(&source, bases)) {
                Ok(()) => {}
                Err(error) => {
                    let note = format!("cache `{text}` is not used: {}", chain(&error));
                    caches.notes.push(note);
                }
            }
        }
        Ok(caches)
    }

    pub(super) fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    pub(super) fn record(&self, key: &Digest) -> Option<Record> {
        self.records.get(&key.to_string()).cloned()
    }

    fn read(
        &mut self,
        source: &Arc<dyn ImageSource>,
        bases: &Bases<'_>,
    ) -> Result<(), SourceError> {
        let raw = source.manifest()?;
        let malformed = |reason: String| SourceError::Malformed {
            what: format!("cache manifest {}", raw.digest),
            reason,
        };
        let manifest: ImageManifest =
            serde_json::from_slice(&raw.bytes).map_err(|error| malformed(error.to_string()))?;
        let config = manifest.config();
        if config.media_type().to_string() != RECORDS_TYPE {
            return Err(malformed(
                "it is not a cache that Plimsoll wrote".to_owned(),
            ));
        }
        let mut bytes = Vec::new();
        source
            .blob(config)?
            .take(MAX_RECORDS)
            .read_to_end(&mut bytes)
            .map_err(|error| SourceError::from_read("records of the cache", error))?;
        let records: Records =
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        if records.version != 1 {
            return Err(malformed(format!("its version is {}", records.version)));
        }
        for record in records.steps.values() {
            bases.offer(source, &record.tree.layers);
        }
        self.records.extend(records.steps);
        Ok(())
    }
}

fn open_local(path: &Path) -> Result<Arc<dyn ImageSource>, SourceError> {
    Ok(Arc::new(LayoutSource::open(path, None)?))
}

fn open_registry(reference: &str, job: &Job) -> Result<Arc<dyn ImageSource>, SourceError> {
    let parsed = Reference::parse_familiar(reference).map_err(|error| SourceError::Malformed {
        what: format!("`{reference}`"),
        reason: error.reason,
    })?;
    Ok(Arc::new(RegistrySource::open(parsed, &job.registry)?))
}
