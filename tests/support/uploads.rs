//! What an honest registry does with uploads, for [`super::registry::Double`]s to bend.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use plimsoll::oci::sha256;

use super::registry::{Reply, Seen};

/// Blobs, manifests, tags and open uploads of one repository. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Uploads(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// by digest
    blobs: BTreeMap<String, Vec<u8>>,
    /// media type and bytes, by digest
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    tags: BTreeMap<String, String>,
    open: HashMap<String, Vec<u8>>,
    opened: usize,
    /// what other repositories of the registry hold, by `repository@digest`
    elsewhere: HashMap<String, Vec<u8>>,
}

impl Uploads {
    /// Digest that each tag names.
    pub(crate) fn tags(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap().tags.clone()
    }

    /// Blobs by digest.
    pub(crate) fn blobs(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.lock().unwrap().blobs.clone()
    }

    /// Digests of manifests.
    pub(crate) fn manifests(&self) -> Vec<String> {
        self.0.lock().unwrap().manifests.keys().cloned().collect()
    }

    /// Sets a tag on a manifest that is made up.
    pub(crate) fn set_tag(&self, tag: &str) -> String {
        let bytes = format!("{{\"made\":\"{tag}\"}}").into_bytes();
        let digest = sha256(&bytes).to_string();
        let mut state = self.0.lock().unwrap();
        state
            .manifests
            .insert(digest.clone(), ("x/y".to_owned(), bytes));
        state.tags.insert(tag.to_owned(), digest.clone());
        digest
    }

    /// Another repository holds this blob.
    pub(crate) fn hold_elsewhere(&self, repository: &str, bytes: &[u8]) {
        let mut state = self.0.lock().unwrap();
        let key = format!("{repository}@{}", sha256(bytes));
        state.elsewhere.insert(key, bytes.to_vec());
    }

    /// Bytes of the upload that a request is about, so far.
    pub(crate) fn held(&self, seen: &Seen) -> usize {
        let id = upload_id(&seen.path);
        self.0.lock().unwrap().open.get(&id).map_or(0, Vec::len)
    }

    /// How many uploads were opened.
    pub(crate) fn opened(&self) -> usize {
        self.0.lock().unwrap().opened
    }

    /// Answers like a registry that keeps to the specification.
    pub(crate) fn answer(&self, seen: &Seen) -> Reply {
        let state = &mut *self.0.lock().unwrap();
        let path = seen.path.split('?').next().unwrap_or_default();
        let Some(path) = path.strip_prefix("/v2/") else {
            return Reply::new(200, "{}");
        };
        if let Some((repository, rest)) = path.split_once("/blobs/uploads/") {
            return state.upload(seen, repository, rest);
        }
        if let Some((repository, digest)) = path.split_once("/blobs/") {
            let other = format!("{repository}@{digest}");
            return match state.blobs.get(digest) {
                Some(blob) if repository == "p/x" => Reply::new(200, blob.clone()),
                _ => match state.elsewhere.get(&other) {
                    Some(blob) => Reply::new(200, blob.clone()),
                    None => unknown("BLOB_UNKNOWN"),
                },
            };
        }
        if let Some((_, name)) = path.split_once("/manifests/") {
            return state.manifest(seen, name);
        }
        if path.ends_with("/tags/list") {
            let tags: Vec<&String> = state.tags.keys().collect();
            return Reply::new(200, serde_json::json!({ "tags": tags }).to_string());
        }
        Reply::new(200, "{}")
    }
}

fn unknown(code: &str) -> Reply {
    error(404, code)
}

fn error(status: u16, code: &str) -> Reply {
    let body = serde_json::json!({ "errors": [{ "code": code, "message": code.to_lowercase() }] });
    Reply::new(status, body.to_string())
}

fn upload_id(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

fn query(path: &str, name: &str) -> Option<String> {
    let (_, query) = path.split_once('?')?;
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

impl State {
    fn upload(&mut self, seen: &Seen, repository: &str, id: &str) -> Reply {
        let at = |id: &str| format!("/v2/{repository}/blobs/uploads/{id}?state=kept");
        let range = |len: usize| format!("0-{}", len.saturating_sub(1));
        match seen.method.as_str() {
            "POST" => {
                if let (Some(digest), Some(from)) =
                    (query(&seen.path, "mount"), query(&seen.path, "from"))
                    && let Some(blob) = self.elsewhere.get(&format!("{from}@{digest}"))
                {
                    self.blobs.insert(digest.clone(), blob.clone());
                    return Reply::new(201, "").header("docker-content-digest", digest);
                }
                self.opened += 1;
                let id = format!("u{}", self.opened);
                self.open.insert(id.clone(), Vec::new());
                Reply::new(202, "")
                    .header("location", at(&id))
                    .header("range", "0-0")
            }
            "GET" => match self.open.get(id) {
                Some(held) => Reply::new(204, "")
                    .header("location", at(id))
                    .header("range", range(held.len())),
                None => unknown("BLOB_UPLOAD_UNKNOWN"),
            },
            "PATCH" => {
                let Some(held) = self.open.get_mut(id) else {
                    return unknown("BLOB_UPLOAD_UNKNOWN");
                };
                let start = seen.headers.get("content-range");
                let start = start.and_then(|range| range.split('-').next()?.parse().ok());
                if start != Some(held.len()) {
                    return error(416, "BLOB_UPLOAD_INVALID");
                }
                held.extend_from_slice(&seen.body);
                Reply::new(202, "")
                    .header("location", at(id))
                    .header("range", range(held.len()))
            }
            "PUT" => {
                let Some(mut held) = self.open.remove(id) else {
                    return unknown("BLOB_UPLOAD_UNKNOWN");
                };
                held.extend_from_slice(&seen.body);
                let digest = query(&seen.path, "digest").unwrap_or_default();
                if sha256(&held).to_string() != digest {
                    return error(400, "DIGEST_INVALID");
                }
                self.blobs.insert(digest.clone(), held);
                Reply::new(201, "").header("docker-content-digest", digest)
            }
            _ => error(405, "UNSUPPORTED"),
        }
    }

    fn manifest(&mut self, seen: &Seen, name: &str) -> Reply {
        if seen.method == "PUT" {
            return self.put_manifest(seen, name);
        }
        let digest = self.tags.get(name).map_or(name, String::as_str);
        match self.manifests.get(digest) {
            Some((media_type, bytes)) => Reply::new(200, bytes.clone())
                .header("content-type", media_type)
                .header("docker-content-digest", digest),
            None => unknown("MANIFEST_UNKNOWN"),
        }
    }

    fn put_manifest(&mut self, seen: &Seen, name: &str) -> Reply {
        let digest = sha256(&seen.body).to_string();
        let document: serde_json::Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        let list = |key: &str| document[key].as_array().cloned().unwrap_or_default();
        let named = |value: &serde_json::Value| value["digest"].as_str().unwrap().to_owned();
        let mut blobs: Vec<String> = list("layers").iter().map(named).collect();
        if document["config"].is_object() {
            blobs.push(named(&document["config"]));
        }
        let children = list("manifests");
        if blobs.iter().any(|blob| !self.blobs.contains_key(blob))
            || children
                .iter()
                .any(|child| !self.manifests.contains_key(&named(child)))
        {
            return error(400, "MANIFEST_BLOB_UNKNOWN");
        }
        if name.contains(':') && name != digest {
            return error(400, "DIGEST_INVALID");
        }
        let media_type = seen.headers.get("content-type").cloned();
        self.manifests.insert(
            digest.clone(),
            (media_type.unwrap_or_default(), seen.body.clone()),
        );
        if !name.contains(':') {
            self.tags.insert(name.to_owned(), digest.clone());
        }
        Reply::new(201, "").header("docker-content-digest", digest)
    }
}
