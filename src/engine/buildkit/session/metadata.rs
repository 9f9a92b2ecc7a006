//! What the daemon says in a call's metadata.

use std::borrow::Cow;

use indexmap::IndexMap;
use percent_encoding::percent_decode_str;
use tonic::{
    Status,
    metadata::{KeyAndValueRef, MetadataMap, MetadataValue},
};

/// Which files of which directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SyncRequest {
    pub(super) dir: String,
    pub(super) include: Vec<String>,
    pub(super) exclude: Vec<String>,
    /// `None`: not asked for, which is not the same as none
    pub(super) follow: Option<Vec<String>>,
}

impl SyncRequest {
    pub(super) fn read(metadata: &MetadataMap) -> Result<Self, Status> {
        let follow = values(metadata, "followpaths")?;
        Ok(Self {
            dir: values(metadata, "dir-name")?
                .into_iter()
                .next()
                .unwrap_or_default(),
            include: values(metadata, "include-patterns")?,
            exclude: values(metadata, "exclude-patterns")?,
            follow: (!follow.is_empty()).then_some(follow),
        })
    }
}

/// All values of `key`, decoded when `KEY-encoded` says so.
fn values(metadata: &MetadataMap, key: &str) -> Result<Vec<String>, Status> {
    let encoded = metadata
        .get(format!("{key}-encoded"))
        .and_then(|flag| flag.to_str().ok())
        .is_some_and(|flag| matches!(flag, "1" | "t" | "T" | "true" | "TRUE" | "True"));
    metadata
        .get_all(key)
        .iter()
        .map(|value| text(value, encoded).ok_or_else(|| not_text(key)))
        .collect()
}

fn not_text(key: &str) -> Status {
    Status::invalid_argument(format!("metadata `{key}` is not UTF-8"))
}

fn text(value: &MetadataValue<tonic::metadata::Ascii>, encoded: bool) -> Option<String> {
    let text = std::str::from_utf8(value.as_encoded_bytes()).ok()?;
    if !encoded {
        return Some(text.to_owned());
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .ok()
        .map(Cow::into_owned)
}

/// What the exporter says of the image: `exporter-md-*`, without the prefix.
pub(super) fn exporter_metadata(metadata: &MetadataMap) -> IndexMap<String, String> {
    let mut said: IndexMap<String, String> = IndexMap::new();
    for entry in metadata.iter() {
        if let KeyAndValueRef::Ascii(key, value) = entry
            && let Some(name) = key.as_str().strip_prefix("exporter-md-")
            && let Ok(value) = value.to_str()
        {
            said.entry(name.to_owned())
                .and_modify(|all| {
                    all.push(',');
                    all.push_str(value);
                })
                .or_insert_with(|| value.to_owned());
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use tonic::metadata::{MetadataMap, MetadataValue};

    use super::{SyncRequest, exporter_metadata};

    #[test]
    fn values_are_decoded_only_when_their_flag_says_so() {
        let mut metadata = MetadataMap::new();
        metadata.insert("dir-name", "context".parse().unwrap());
        metadata.append("exclude-patterns", "%C3%A9+a%2Bb".parse().unwrap());
        metadata.append("exclude-patterns", "b".parse().unwrap());
        metadata.insert("exclude-patterns-encoded", "1".parse().unwrap());
        metadata.append("include-patterns", "a%20+".parse().unwrap());
        let request = SyncRequest::read(&metadata).unwrap();
        assert_eq!(
            request,
            SyncRequest {
                dir: "context".to_owned(),
                include: vec!["a%20+".to_owned()],
                exclude: vec!["é a+b".to_owned(), "b".to_owned()],
                follow: None,
            }
        );
    }

    #[test]
    fn raw_utf8_of_old_daemons_is_taken_and_other_bytes_are_refused() {
        let mut metadata = MetadataMap::new();
        let raw = |bytes: &[u8]| {
            // Only `from_shared`-like paths take bytes beyond ASCII.
            MetadataValue::try_from(bytes).unwrap()
        };
        metadata.insert("followpaths", raw("é".as_bytes()));
        assert_eq!(
            SyncRequest::read(&metadata).unwrap().follow,
            Some(vec!["é".to_owned()])
        );
        metadata.insert("followpaths", raw(b"\xFF"));
        assert_eq!(
            SyncRequest::read(&metadata).unwrap_err().message(),
            "metadata `followpaths` is not UTF-8"
        );
    }

    #[test]
    fn only_the_exporters_own_metadata_is_kept() {
        let mut metadata = MetadataMap::new();
        metadata.insert(
            "exporter-md-containerimage.digest",
            "sha256:1".parse().unwrap(),
        );
        metadata.insert("buildkit-attachable-exporter-id", "0".parse().unwrap());
        let said: Vec<_> = exporter_metadata(&metadata).into_iter().collect();
        assert_eq!(
            said,
            [("containerimage.digest".to_owned(), "sha256:1".to_owned())]
        );
    }
}
