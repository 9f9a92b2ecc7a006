//! Layers brought into the cache, a few at a time, from whoever has them.

use std::{
    io::{self, Read},
    sync::{Arc, Mutex, PoisonError},
};

use super::{Bases, Source, Transfer};
use crate::{
    engine::{
        Cancel,
        embedded::store::{Layer, StoreError},
    },
    oci::SourceError,
};

/// Layers that are pulled at once.
const PULLS: usize = 3;

impl Bases<'_> {
    /// Pulls what is not in the cache.
    pub(crate) fn fetch(&self, layers: &[Layer], transfer: Transfer<'_>) -> Result<(), StoreError> {
        let mut wanted: Vec<&Layer> = Vec::new();
        for layer in layers {
            if !wanted.contains(&layer) && !self.store.has_blob(&layer.digest, layer.size) {
                wanted.push(layer);
            }
        }
        // Largest last, so that it is taken first.
        wanted.sort_by_key(|layer| layer.size);
        let threads = PULLS.min(wanted.len());
        let queue = Mutex::new(wanted);
        let failure = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                        let Some(layer) = next else { return };
                        if let Err(error) = self.pull(layer, transfer) {
                            queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                            let mut failure =
                                failure.lock().unwrap_or_else(PoisonError::into_inner);
                            failure.get_or_insert(error);
                        }
                    }
                });
            }
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn pull(&self, layer: &Layer, transfer: Transfer<'_>) -> Result<(), StoreError> {
        let _turn = self
            .store
            .turn(&format!("blob-{}", layer.digest.digest()))?;
        if self.store.has_blob(&layer.digest, layer.size) {
            return Ok(());
        }
        let spares = {
            let known = self.known();
            let spares = known.spares.get(&layer.digest.to_string());
            spares.cloned().unwrap_or_default()
        };
        let mut tried = self
            .source_of(layer)
            .and_then(|source| self.take(&source, layer, transfer));
        for spare in spares {
            if tried.is_ok() || self.settings.cancel.is_cancelled() {
                break;
            }
            tried = self.take(&spare, layer, transfer);
        }
        tried
    }

    fn take(
        &self,
        source: &Source,
        layer: &Layer,
        transfer: Transfer<'_>,
    ) -> Result<(), StoreError> {
        let descriptor = layer.descriptor();
        let counted = Counted {
            from: source.blob(&descriptor)?,
            name: layer.digest.to_string(),
            done: 0,
            total: layer.size,
            transfer,
            cancel: self.settings.cancel,
        };
        self.store.put_blob(counted, &descriptor)
    }

    fn source_of(&self, layer: &Layer) -> Result<Source, StoreError> {
        let digest = layer.digest.to_string();
        let origin = {
            let known = self.known();
            if let Some(source) = known.blobs.get(&digest) {
                return Ok(Arc::clone(source));
            }
            let image = known
                .images
                .values()
                .find(|image| image.layers.contains(layer));
            image.and_then(|image| known.origins.get(&image.manifest.to_string()).cloned())
        };
        let Some(origin) = origin else {
            return Err(SourceError::NotFound {
                what: format!("layer {digest}"),
                source: None,
            }
            .into());
        };
        let source: Source = origin.open(self.settings.registry)?.into();
        self.offer(&source, std::slice::from_ref(layer));
        Ok(source)
    }
}

/// Tells how much was read, and ends when nobody waits any more.
struct Counted<'c, R> {
    from: R,
    name: String,
    done: u64,
    total: u64,
    transfer: Transfer<'c>,
    cancel: &'c Cancel,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("interrupted"));
        }
        let n = self.from.read(buf)?;
        self.done += n as u64;
        (self.transfer)(&self.name, self.done, self.total);
        Ok(n)
    }
}
