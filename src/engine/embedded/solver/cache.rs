//! `--cache-from` and `--cache-to`: the records of steps and their layers in an OCI layout
//! (`type=local`) or a registry (`type=registry`).
//!
//! Only what a build uses is pulled. The form is [`records`]'s, which BuildKit cannot read, nor we
//! BuildKit's.

mod records;
mod target;

pub(super) use target::CacheTarget;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use self::records::Records;
use super::{
    Job, Tree,
    failure::store_failure,
    shared::{Record, STEPS, Shared, lock},
};
use crate::{
    engine::{
        BuildError,
        docker::chain,
        embedded::{base::Bases, store::Layer},
    },
    layout::LayoutSource,
    oci::{Digest, ImageSource, Reference, SourceError},
    registry::RegistrySource,
};

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
            hint: Some(
                "write type=registry,ref=REFERENCE, type=local,src=DIR (to read) or \
                 type=local,dest=DIR (to write)"
                    .to_owned(),
            ),
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
        let (records, layers) = Records::read(source.as_ref())?;
        let records = records.steps();
        for record in records.values() {
            bases.offer_spare(source, &record.tree.layers, &layers);
        }
        self.records.extend(records);
        Ok(())
    }
}

impl Shared<'_> {
    /// What came from caches elsewhere: that the layers of the result unpack to their diff ids is
    /// seen to, and what holds is remembered here.
    pub(super) fn settle(&self, result: &Tree) -> Result<(), BuildError> {
        let foreign = std::mem::take(&mut *lock(&self.foreign));
        let claimed = |layer: &Layer| {
            let mut records = foreign.iter();
            records.any(|(_, record)| record.tree.layers.contains(layer))
        };
        for layer in result.layers.iter().filter(|layer| claimed(layer)) {
            let checked = self.store.check_layer(layer);
            checked.map_err(|error| store_failure(self.job, None, &error))?;
        }
        for (key, record) in &foreign {
            let layers = &record.tree.layers;
            if layers.iter().all(|layer| result.layers.contains(layer)) {
                let _ = self.store.put_record(STEPS, key, record);
            }
        }
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
