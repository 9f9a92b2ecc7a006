//! Build caches: no images, so nobody judged them, and nothing that runs images can take them for one.

use super::{Line, PushError, PushOptions, PushProgress, Pushed, Pusher, document::Documents};
use crate::{
    oci::{Digest, ImageManifest, ImageSource, MAX_MANIFEST, read_document},
    registry::{client::Body, retry::Tries},
};

/// Media type of a build cache's configuration, the list of its records.
pub const CACHE_RECORDS: &str = "application/vnd.plimsoll.cache.records.v1+json";

impl Pusher {
    /// Pushes a build cache and puts a tag on it, which may have named an earlier one.
    ///
    /// # Errors
    /// Before anything is sent: when `source` is no build cache, or the tag names something that is
    /// none. Later: when the registry refuses, lies, or stays out of reach.
    pub fn push_cache(
        &self,
        source: &dyn ImageSource,
        tag: &str,
        progress: &dyn PushProgress,
    ) -> Result<Pushed, PushError> {
        let own = source.manifest().map_err(PushError::Image)?;
        if !is_cache(&own.bytes) {
            return Err(PushError::NotAccepted {
                digest: own.digest,
                repository: self.client.reference.clone(),
            });
        }
        let line = Line {
            progress,
            ..self.line(source)
        };
        if let Some(found) = line.find(tag, &mut Tries::new(self.client.retry))?
            && found != own.digest
            && !line.is_cache(&found)?
        {
            return Err(PushError::TagTaken {
                reference: line.named(tag),
                found,
                wanted: own.digest,
            });
        }
        let how = PushOptions {
            tags: vec![tag.to_owned()],
            movable: vec![tag.to_owned()],
            force: false,
        };
        line.all(&Documents::of_cache(source, own)?, &how)
    }
}

impl Line<'_> {
    /// Whether what the registry has under a digest is a build cache.
    fn is_cache(&self, digest: &Digest) -> Result<bool, PushError> {
        let client = self.client();
        let read = self.wait(async {
            let mut tries = Tries::new(client.retry);
            let path = format!("manifests/{digest}");
            let response = client.get(&path, None, &mut tries).await?;
            match client.small_body(response, MAX_MANIFEST).await {
                Ok(bytes) => Ok(bytes),
                Err(Body::Fatal(error)) => Err(error),
                Err(Body::Broken(reason)) => Err(client.unavailable(reason)),
            }
        });
        let bytes = read.map_err(self.failed(format!("looking at {digest}")))?;
        Ok(is_cache(&bytes))
    }
}

fn is_cache(manifest: &[u8]) -> bool {
    read_document::<ImageManifest>(manifest)
        .is_ok_and(|manifest| manifest.config().media_type().to_string() == CACHE_RECORDS)
}
