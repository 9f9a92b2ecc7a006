//! Files of a web server: small ones whole and only when they changed, large ones onto the disk and
//! resumed where they broke off.
//!
//! TLS, proxies, certificates, time limits and tries are those of [`crate::registry`]. What the files
//! say, and whether they may be believed, is not decided here.

mod download;

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use reqwest::{
    RequestBuilder, Response, StatusCode,
    header::{ETAG, HeaderMap, IF_NONE_MATCH},
};
use url::Url;

pub use self::download::Downloaded;
use crate::{
    oci::SourceError,
    registry::{
        RegistryOptions, Retry, Tries, describe, http_client, is_loopback, is_untrusted,
        retry_after, worth_retrying,
    },
};

/// Documents that are asked for at the same time.
const AT_ONCE: usize = 8;
/// For one document to arrive, once its answer began.
const DOCUMENT_TIME: Duration = Duration::from_mins(5);

/// A folder of a web server.
pub struct Site {
    http: reqwest::Client,
    base: Url,
    retry: Retry,
    runtime: tokio::runtime::Runtime,
}

/// What came of asking for a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// it is still the one with the tag that was named
    Same,
    /// the server has none
    Missing,
    /// here it is
    New {
        /// all of it
        bytes: Vec<u8>,
        /// `ETag`
        etag: Option<String>,
    },
}

impl Site {
    /// Prepares; nothing is sent yet. An address without TLS is used because it was given; a server
    /// that was asked by TLS cannot lead to one without.
    ///
    /// # Errors
    /// When the address is none of HTTP, or TLS cannot be set up.
    pub fn open(base: &str, options: &RegistryOptions) -> Result<Self, SourceError> {
        let wrong = |reason: String| SourceError::Unsupported {
            what: base.to_owned(),
            reason,
        };
        let mut url = Url::parse(base).map_err(|error| wrong(error.to_string()))?;
        let plain = match url.scheme() {
            "https" => false,
            "http" => true,
            _ => return Err(wrong("an address of https or http is needed".to_owned())),
        };
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        let io = |source: std::io::Error| SourceError::Io {
            what: format!("TLS for {host}"),
            source,
        };
        let http = http_client(&host, options, plain || is_loopback(&host))
            .map_err(|error| io(std::io::Error::other(error)))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(io)?;
        Ok(Self {
            http,
            base: url,
            retry: options.retry,
            runtime,
        })
    }

    /// The folder's address, with a slash at its end.
    pub fn address(&self) -> &str {
        self.base.as_str()
    }

    /// One document, unless it still has the tag that is named.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses after all tries, or the document is larger than
    /// `limit` bytes.
    pub fn document(
        &self,
        path: &str,
        etag: Option<&str>,
        limit: usize,
    ) -> Result<Document, SourceError> {
        self.runtime.block_on(self.fetch(path, etag, limit))
    }

    /// Many documents, each of no more than `limit` bytes, some of them at the same time; they are
    /// handed on in the order of their paths, until that is no longer wanted.
    pub fn documents<P: AsRef<str>>(
        &self,
        paths: &[P],
        limit: &dyn Fn(&str) -> usize,
        each: &mut dyn FnMut(&str, Result<Document, SourceError>) -> bool,
    ) {
        self.runtime.block_on(async {
            let work = paths.iter().map(|path| async {
                let path = path.as_ref();
                (path, self.fetch(path, None, limit(path)).await)
            });
            let mut work = stream::iter(work).buffered(AT_ONCE);
            while let Some((path, document)) = work.next().await {
                if !each(path, document) {
                    return;
                }
            }
        });
    }

    async fn fetch(
        &self,
        path: &str,
        etag: Option<&str>,
        limit: usize,
    ) -> Result<Document, SourceError> {
        let url = self.url(path)?;
        let mut tries = Tries::new(self.retry);
        loop {
            let mut request = self.http.get(url.clone());
            if let Some(etag) = etag {
                request = request.header(IF_NONE_MATCH, etag);
            }
            let wanted = [
                StatusCode::OK,
                StatusCode::NOT_MODIFIED,
                StatusCode::NOT_FOUND,
            ];
            let response = send(request, &url, &wanted, &mut tries).await?;
            match response.status() {
                StatusCode::NOT_MODIFIED => return Ok(Document::Same),
                StatusCode::NOT_FOUND => return Ok(Document::Missing),
                _ => {}
            }
            let etag = header(response.headers(), &ETAG);
            let body = tokio::time::timeout(DOCUMENT_TIME, whole(response, limit)).await;
            let reason = match body {
                Ok(Ok(Some(bytes))) => return Ok(Document::New { bytes, etag }),
                Ok(Ok(None)) => {
                    return Err(SourceError::TooLarge {
                        what: url.to_string(),
                        limit: format!("{limit} bytes"),
                    });
                }
                Ok(Err(error)) => describe(&error),
                Err(_) => format!("it took more than {} s", DOCUMENT_TIME.as_secs()),
            };
            pause(&url, &mut tries, None, reason).await?;
        }
    }

    fn url(&self, path: &str) -> Result<Url, SourceError> {
        self.base
            .join(path)
            .map_err(|error| SourceError::Malformed {
                what: format!("{}{path}", self.base),
                reason: error.to_string(),
            })
    }
}

/// All bytes of an answer; `None` when there are too many.
async fn whole(mut response: Response, limit: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > limit {
            return Ok(None);
        }
    }
    Ok(Some(bytes))
}

fn header(headers: &HeaderMap, name: &reqwest::header::HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// Sends until an answer has one of the wanted states, or there is no use in trying again.
async fn send(
    request: RequestBuilder,
    url: &Url,
    wanted: &[StatusCode],
    tries: &mut Tries,
) -> Result<Response, SourceError> {
    loop {
        let Some(again) = request.try_clone() else {
            return Err(unavailable(
                url,
                "the request cannot be sent twice".to_owned(),
            ));
        };
        tracing::debug!(%url, "asking for a file");
        let response = match again.send().await {
            Ok(response) => response,
            Err(error) if is_untrusted(&error) => return Err(unavailable(url, describe(&error))),
            Err(error) => {
                pause(url, tries, None, describe(&error)).await?;
                continue;
            }
        };
        let status = response.status();
        if wanted.contains(&status) {
            return Ok(response);
        }
        let reason = format!("the server answers {status}");
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(SourceError::Denied {
                what: url.to_string(),
                reason,
            });
        }
        if !worth_retrying(status) {
            return Err(unavailable(url, reason));
        }
        pause(url, tries, retry_after(response.headers()), reason).await?;
    }
}

/// Waits before the next try, or gives up with the reason.
async fn pause(
    url: &Url,
    tries: &mut Tries,
    asked: Option<Duration>,
    reason: String,
) -> Result<(), SourceError> {
    let paused = tries.pause(asked, reason).await;
    paused.map_err(|reason| unavailable(url, reason))
}

fn unavailable(url: &Url, reason: String) -> SourceError {
    SourceError::Unavailable {
        what: url.to_string(),
        reason,
    }
}
