//! Manifests and indexes as bytes: what they are, and that they are what was asked for.

use serde_json::Value;

use super::{
    Descriptor, Digest, DocumentKind, MAX_MANIFEST, MediaType, RawManifest, SourceError,
    VerifyingReader, sha256,
};

/// What a document is. The media type as served has to agree with the document, and a document
/// must not be readable as both (CVE-2021-41190).
pub(crate) fn document_kind(raw: &RawManifest) -> Result<(MediaType, DocumentKind), SourceError> {
    let malformed = |reason: String| SourceError::Malformed {
        what: format!("manifest {}", raw.digest),
        reason,
    };
    if raw.bytes.len() as u64 > MAX_MANIFEST {
        return Err(too_large(
            "manifest",
            &raw.digest,
            format!("{MAX_MANIFEST} bytes"),
        ));
    }
    let value: Value =
        serde_json::from_slice(&raw.bytes).map_err(|e| malformed(format!("not JSON: {e}")))?;
    let has = |key: &str| value.get(key).is_some();
    let stated = value.get("mediaType").and_then(Value::as_str);
    let version = value.get("schemaVersion").and_then(Value::as_u64);
    if version == Some(1) || has("fsLayers") {
        return Err(schema_1(&raw.digest));
    }
    if version != Some(2) {
        return Err(malformed("its schemaVersion is not 2".to_owned()));
    }
    let shape = match (has("manifests"), has("layers") || has("config")) {
        (true, false) => DocumentKind::Index,
        (false, true) => DocumentKind::Manifest,
        (true, true) => {
            return Err(malformed(
                "it is an index and a manifest at once".to_owned(),
            ));
        }
        (false, false) => {
            return Err(malformed(
                "it is neither an index nor a manifest".to_owned(),
            ));
        }
    };
    for media_type in stated.map(MediaType::from).iter().chain([&raw.media_type]) {
        let kind = DocumentKind::of(media_type);
        if kind != DocumentKind::Other && kind != shape {
            return Err(malformed(format!(
                "its media type `{media_type}` does not fit what it holds"
            )));
        }
    }
    let fallback = match shape {
        DocumentKind::Index => MediaType::ImageIndex,
        _ => MediaType::ImageManifest,
    };
    let known = |m: &MediaType| DocumentKind::of(m) == shape;
    let media_type = stated
        .map(MediaType::from)
        .filter(known)
        .or_else(|| Some(raw.media_type.clone()).filter(known))
        .unwrap_or(fallback);
    Ok((media_type, shape))
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(
    raw: &RawManifest,
    kind: &str,
) -> Result<T, SourceError> {
    read(&raw.bytes).map_err(|e| SourceError::Malformed {
        what: format!("{kind} {}", raw.digest),
        reason: e.to_string(),
    })
}

/// Reads a manifest or an index. `BuildKit` writes `null` for the layers of an image that has none
/// (`FROM scratch` and nothing else).
pub(crate) fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes).or_else(|fault| without_layers(bytes).ok_or(fault))
}

fn without_layers<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    let layers = value.get_mut("layers").filter(|layers| layers.is_null())?;
    *layers = Value::Array(Vec::new());
    serde_json::from_slice(&serde_json::to_vec(&value).ok()?).ok()
}

pub(super) fn too_large(kind: &str, digest: &Digest, limit: String) -> SourceError {
    SourceError::TooLarge {
        what: format!("{kind} {digest}"),
        limit,
    }
}

pub(super) fn schema_1(digest: &Digest) -> SourceError {
    SourceError::Unsupported {
        what: format!("manifest {digest}"),
        reason: "it has Docker's image format 1, which was given up in 2017; build and push the \
                 image again with a current engine"
            .to_owned(),
    }
}

impl RawManifest {
    /// A document that a source read, checked against the digest it was asked for by.
    ///
    /// # Errors
    /// When the bytes are not the ones of the digest, or cannot be verified.
    pub fn verified(
        media_type: MediaType,
        digest: Digest,
        bytes: Vec<u8>,
    ) -> Result<Self, SourceError> {
        let of = Descriptor::new(media_type, bytes.len() as u64, digest);
        let mut reader = VerifyingReader::new(bytes.as_slice(), &of)?;
        std::io::copy(&mut reader, &mut std::io::sink())
            .map_err(|e| SourceError::from_read(format!("manifest {}", of.digest()), e))?;
        Ok(Self {
            media_type: of.media_type().clone(),
            digest: of.digest().clone(),
            bytes,
        })
    }

    /// A document whose digest was not known before.
    pub fn unnamed(media_type: MediaType, bytes: Vec<u8>) -> Self {
        Self {
            media_type,
            digest: sha256(&bytes),
            bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::image::ImageManifest;

    #[test]
    fn an_image_without_layers_may_say_null() {
        let text = br#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":null}"#;
        let manifest: ImageManifest = super::read(text).unwrap();
        assert!(manifest.layers().is_empty());
        assert!(super::read::<ImageManifest>(b"{\"layers\":null}").is_err());
    }
}
