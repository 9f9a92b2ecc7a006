//! Manifests and tags: what is said to be there is asked for again.

use reqwest::{
    Method, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, LINK},
};
use serde::Deserialize;
use url::Url;

use super::{
    Line, PushError, PushEvent, PushOptions,
    document::{Document, accept},
};
use crate::{
    oci::{Digest, MAX_MANIFEST, Reference, SourceError, sha256},
    registry::{answer, ask::Ask, client::Body, http::stated_digest, retry::Tries},
};

/// Most bytes of one page of tags.
const MAX_PAGE: u64 = 4 << 20;
/// Most pages; registries give 100 to 1,000 tags on one.
const MAX_PAGES: usize = 200;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Line<'_> {
    /// Sends a manifest or index under its digest, unless it is there.
    pub(super) fn put_manifest(&self, document: &Document) -> Result<(), PushError> {
        let name = document.digest.to_string();
        let mut tries = Tries::new(self.client().retry);
        if self.find(&name, &mut tries)?.as_ref() != Some(&document.digest) {
            self.put(document, &name)?;
        }
        self.progress.event(&PushEvent::Manifest(&document.digest));
        Ok(())
    }

    /// Puts a tag on what is there.
    pub(super) fn put_tag(
        &self,
        document: &Document,
        tag: &str,
        how: &PushOptions,
    ) -> Result<(), PushError> {
        // Somebody else may have set it while the blobs were on their way.
        if !self.check_tag(&document.digest, tag, how)? {
            self.put(document, tag)?;
        }
        self.progress.event(&PushEvent::Tagged(tag));
        Ok(())
    }

    fn put(&self, document: &Document, name: &str) -> Result<(), PushError> {
        let client = self.client();
        let mut tries = Tries::new(client.retry);
        let what = format!("putting manifest {name}");
        let response = self.wait(async {
            let path = format!("manifests/{name}");
            let repository = &client.reference.repository;
            let url = client.place(repository, &path, &mut tries).await?;
            let ask = Ask::new(Method::PUT, url)
                .header(CONTENT_TYPE, document.media_type.as_ref())
                .body(document.bytes.clone())
                .patiently(4);
            client.send(&ask, &mut tries).await
        });
        let response = response.map_err(self.failed(what.clone()))?;
        match response.status() {
            StatusCode::CREATED | StatusCode::OK | StatusCode::ACCEPTED => {}
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED if !name.contains(':') => {
                return Err(PushError::TagRefused {
                    reference: self.named(name),
                    reason: self.reason(response),
                });
            }
            _ => {
                let (at, count) = (client.what(), tries.count());
                let error = self.wait(async { Ok(answer::error(&at, response, count).await) });
                return Err(self.failed(what)(error.unwrap_or_else(|error| error)));
            }
        }
        match stated_digest(&response) {
            Some(found) if found != document.digest && comparable(&document.digest) => {
                let what = format!("manifest {name}");
                Err(self.wrong(what, found.to_string(), &document.digest))
            }
            _ => Ok(()),
        }
    }

    /// Whether every tag may be set, before anything is sent.
    pub(super) fn check_tags(&self, digest: &Digest, how: &PushOptions) -> Result<(), PushError> {
        how.tags
            .iter()
            .try_for_each(|tag| self.check_tag(digest, tag, how).map(|_| ()))
    }

    /// Whether the tag names the image already.
    fn check_tag(&self, wanted: &Digest, tag: &str, how: &PushOptions) -> Result<bool, PushError> {
        match self.find(tag, &mut Tries::new(self.client().retry))? {
            Some(found) if &found == wanted => Ok(true),
            Some(found) if !how.force && !how.movable.iter().any(|movable| movable == tag) => {
                Err(PushError::TagTaken {
                    reference: self.named(tag),
                    found,
                    wanted: wanted.clone(),
                })
            }
            _ => Ok(false),
        }
    }

    /// The registry must give back what was put there.
    pub(super) fn read_back(&self, tag: &str, wanted: &Digest) -> Result<(), PushError> {
        let found = self.find(tag, &mut Tries::new(self.client().retry))?;
        if found.as_ref() == Some(wanted) {
            return Ok(());
        }
        let found = found.map_or_else(|| "no such tag".to_owned(), |found| found.to_string());
        Err(self.wrong(format!("tag {tag}"), found, wanted))
    }

    pub(super) fn named(&self, tag: &str) -> Reference {
        Reference {
            tag: Some(tag.to_owned()),
            ..self.client().reference.clone()
        }
    }

    /// The digest of what a tag or digest names; `None` when there is nothing.
    pub(super) fn find(&self, name: &str, tries: &mut Tries) -> Result<Option<Digest>, PushError> {
        let found = self.wait(self.found(name, tries));
        found.map_err(self.failed(format!("looking for {name}")))
    }

    async fn found(&self, name: &str, tries: &mut Tries) -> Result<Option<Digest>, SourceError> {
        let client = self.client();
        let path = format!("manifests/{name}");
        let repository = &client.reference.repository;
        let url = client.place(repository, &path, tries).await?;
        for method in [Method::HEAD, Method::GET] {
            let ask = Ask::new(method.clone(), url.clone()).header(ACCEPT, &accept());
            let response = client.send(&ask, tries).await?;
            match response.status() {
                StatusCode::NOT_FOUND => return Ok(None),
                StatusCode::OK if method == Method::GET => {
                    return self.read(response).await.map(Some);
                }
                StatusCode::OK => {
                    if let Some(digest) = stated_digest(&response) {
                        return Ok(Some(digest));
                    }
                }
                // What may not be asked for may still be read.
                StatusCode::METHOD_NOT_ALLOWED if method == Method::HEAD => {}
                _ => return Err(answer::error(&client.what(), response, tries.count()).await),
            }
        }
        Ok(None)
    }

    async fn read(&self, response: Response) -> Result<Digest, SourceError> {
        match self.client().small_body(response, MAX_MANIFEST).await {
            Ok(bytes) => Ok(sha256(&bytes)),
            Err(Body::Fatal(error)) => Err(error),
            Err(Body::Broken(reason)) => Err(self.client().unavailable(reason)),
        }
    }

    /// All tags of the repository, page after page.
    pub(super) fn list_tags(&self) -> Result<Vec<String>, PushError> {
        self.wait(self.tags())
            .map_err(self.failed("listing the tags"))
    }

    async fn tags(&self) -> Result<Vec<String>, SourceError> {
        let client = self.client();
        let mut tries = Tries::new(client.retry);
        let repository = &client.reference.repository;
        let mut url = client.place(repository, "tags/list", &mut tries).await?;
        let mut tags = Vec::new();
        for _ in 0..MAX_PAGES {
            let ask = Ask::new(Method::GET, url.clone());
            let response = client.send(&ask, &mut tries).await?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Ok(tags),
                _ => return Err(answer::error(&client.what(), response, tries.count()).await),
            }
            let next = next_page(&response, &url);
            let body = match client.small_body(response, MAX_PAGE).await {
                Ok(body) => body,
                Err(Body::Fatal(error)) => return Err(error),
                Err(Body::Broken(reason)) => return Err(client.unavailable(reason)),
            };
            let page: Page =
                serde_json::from_slice(&body).map_err(|error| SourceError::Malformed {
                    what: format!("tags of {}", client.what()),
                    reason: error.to_string(),
                })?;
            tags.extend(page.tags.unwrap_or_default());
            match next {
                Some(next) => url = next,
                None => return Ok(tags),
            }
        }
        Err(SourceError::TooLarge {
            what: format!("tags of {}", client.what()),
            limit: format!("{MAX_PAGES} pages"),
        })
    }
}

/// `Link: </v2/…?last=…>; rel="next"`, in the same registry.
fn next_page(response: &Response, from: &Url) -> Option<Url> {
    let link = response.headers().get(LINK)?.to_str().ok()?;
    let (target, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    let url = from.join(target).ok()?;
    (rest.contains("next") && url.origin() == from.origin()).then_some(url)
}

/// Registries tell sha256 digests; one of another kind says nothing about this one.
fn comparable(digest: &Digest) -> bool {
    digest.algorithm().as_ref() == "sha256"
}
