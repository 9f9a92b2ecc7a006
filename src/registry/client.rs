//! Requests to one registry: TLS or not, logins, tries.

use std::{
    sync::{RwLock, atomic::AtomicU64},
    time::Duration,
};

use reqwest::{
    Response, StatusCode,
    header::{ACCEPT, RANGE},
};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::{
    RegistryOptions, Retry, answer,
    auth::Login,
    http::{
        accept, describe, http_client, is_hopeless, is_loopback, media_type, stated_digest,
        with_basic, with_bearer,
    },
    retry::{Tries, retry_after, worth_retrying},
    token::Authorization,
};
use crate::oci::{
    Descriptor, Digest, MAX_MANIFEST, MediaType, RawManifest, Reference, SourceError,
};

/// The registry that `docker.io` stands for.
const DOCKER_HUB: &str = "registry-1.docker.io";
/// For one manifest or token to arrive, once its answer began.
pub(super) const DOCUMENT_TIME: Duration = Duration::from_mins(1);
/// For a registry to show whether it speaks TLS.
const PROBE: Duration = Duration::from_secs(30);

pub(super) struct Client {
    pub(super) http: reqwest::Client,
    pub(super) reference: Reference,
    pub(super) login: Option<Login>,
    plain_allowed: bool,
    scheme: OnceCell<&'static str>,
    pub(super) authorization: RwLock<Option<Authorization>>,
    /// counts the logins, so that one that another thread renewed is seen as such
    pub(super) logins: AtomicU64,
    pub(super) retry: Retry,
    /// what a token must allow, beyond what a challenge asks for; empty when pulling
    pub(super) scopes: Vec<String>,
    /// how long the registry may be silent
    pub(super) patience: Duration,
    cancel: CancellationToken,
}

impl Client {
    pub(super) fn new(
        reference: Reference,
        options: &RegistryOptions,
    ) -> Result<Self, SourceError> {
        let registry = reference.registry.as_str();
        let plain_allowed = is_loopback(registry) || options.insecure.iter().any(|r| r == registry);
        let login = options
            .auth
            .login_for(registry, Some(&reference.repository))
            .map_err(|error| SourceError::Denied {
                what: reference.to_string(),
                reason: error.to_string(),
            })?;
        let http =
            http_client(registry, options, plain_allowed).map_err(|error| SourceError::Io {
                what: format!("TLS for {registry}"),
                source: std::io::Error::other(error),
            })?;
        Ok(Self {
            http,
            login,
            plain_allowed,
            scheme: OnceCell::new(),
            authorization: RwLock::new(None),
            logins: AtomicU64::new(0),
            retry: options.retry,
            scopes: Vec::new(),
            patience: options.read_timeout,
            cancel: options.cancel.clone(),
            reference,
        })
    }

    pub(super) fn what(&self) -> String {
        self.reference.to_string()
    }

    /// Ends work that nobody waits for any more.
    pub(super) async fn unless_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, SourceError>>,
    ) -> Result<T, SourceError> {
        let done = self.cancel.run_until_cancelled(work).await;
        done.unwrap_or_else(|| Err(self.unavailable("interrupted")))
    }

    pub(super) fn unavailable(&self, reason: impl Into<String>) -> SourceError {
        SourceError::Unavailable {
            what: self.what(),
            reason: reason.into(),
        }
    }

    /// The manifest that the reference names, or the one that an index names.
    pub(super) async fn manifest(
        &self,
        of: Option<&Descriptor>,
    ) -> Result<RawManifest, SourceError> {
        let wanted = of
            .map(Descriptor::digest)
            .or(self.reference.digest.as_ref());
        let name = match wanted {
            Some(digest) => digest.to_string(),
            None => self
                .reference
                .tag
                .clone()
                .unwrap_or_else(|| "latest".to_owned()),
        };
        let mut tries = Tries::new(self.retry);
        loop {
            let response = self
                .get(&format!("manifests/{name}"), None, &mut tries)
                .await?;
            let served = media_type(&response);
            let stated = stated_digest(&response);
            match self.small_body(response, MAX_MANIFEST).await {
                Ok(bytes) => return self.checked(of, wanted, served, stated, bytes),
                Err(Body::Fatal(error)) => return Err(error),
                Err(Body::Broken(reason)) => self.pause(&mut tries, None, reason).await?,
            }
        }
    }

    fn checked(
        &self,
        of: Option<&Descriptor>,
        wanted: Option<&Digest>,
        served: Option<MediaType>,
        stated: Option<Digest>,
        bytes: Vec<u8>,
    ) -> Result<RawManifest, SourceError> {
        let described = of.map(|of| of.media_type().clone());
        let media_type = described
            .or(served)
            .unwrap_or_else(|| MediaType::Other("application/json".to_owned()));
        if let Some(of) = of
            && of.size() != bytes.len() as u64
        {
            return Err(SourceError::Mismatch {
                what: format!("manifest {} in {}", of.digest(), self.what()),
                expected: format!("{} bytes", of.size()),
                actual: format!("{} bytes", bytes.len()),
            });
        }
        match wanted.cloned().or(stated) {
            Some(digest) => RawManifest::verified(media_type, digest, bytes),
            None => Ok(RawManifest::unnamed(media_type, bytes)),
        }
    }

    pub(super) async fn small_body(&self, response: Response, limit: u64) -> Result<Vec<u8>, Body> {
        let body = self.bounded_body(response, limit);
        match tokio::time::timeout(DOCUMENT_TIME, body).await {
            Ok(body) => body,
            Err(_) => Err(Body::Fatal(self.unavailable(format!(
                "the registry took more than {} s to send a document",
                DOCUMENT_TIME.as_secs()
            )))),
        }
    }

    async fn bounded_body(&self, mut response: Response, limit: u64) -> Result<Vec<u8>, Body> {
        let too_large = || {
            Body::Fatal(SourceError::TooLarge {
                what: format!("manifest of {}", self.what()),
                limit: format!("{limit} bytes"),
            })
        };
        if response
            .content_length()
            .is_some_and(|length| length > limit)
        {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return Ok(bytes),
                Err(error) => return Err(Body::Broken(describe(&error))),
            }
            if bytes.len() as u64 > limit {
                return Err(too_large());
            }
        }
    }

    /// Asks for `/v2/REPOSITORY/path`, from byte `offset` on; answers `200` and `206` only.
    pub(super) async fn get(
        &self,
        path: &str,
        offset: Option<u64>,
        tries: &mut Tries,
    ) -> Result<Response, SourceError> {
        let mut renewed = false;
        loop {
            let scheme = self.scheme(tries).await?;
            let url = format!("{}/{}/{path}", self.base(scheme), self.reference.repository);
            tracing::debug!(url, offset, "asking the registry");
            let mut request = self.http.get(url).header(ACCEPT, accept());
            if let Some(offset) = offset {
                request = request.header(RANGE, format!("bytes={offset}-"));
            }
            let response = match self.authorized(request).send().await {
                Ok(response) => response,
                Err(error) if is_hopeless(&error) => {
                    return Err(self.unavailable(describe(&error)));
                }
                Err(error) => {
                    self.pause(tries, None, describe(&error)).await?;
                    continue;
                }
            };
            let status = response.status();
            if matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
                return Ok(response);
            }
            if status == StatusCode::UNAUTHORIZED && !renewed {
                renewed = true;
                self.log_in(&response, scheme, tries).await?;
                continue;
            }
            self.failed(response, tries).await?;
        }
    }

    /// Waits when trying again makes sense; else gives the error.
    pub(super) async fn failed(
        &self,
        response: Response,
        tries: &mut Tries,
    ) -> Result<(), SourceError> {
        let again = worth_retrying(response.status());
        let asked = retry_after(response.headers());
        let wait = if again { tries.next_wait(asked) } else { None };
        match wait {
            Some(wait) => {
                tracing::debug!(status = %response.status(), ?wait, "trying again");
                tokio::time::sleep(wait).await;
                Ok(())
            }
            None => Err(answer::error(&self.what(), response, tries.count()).await),
        }
    }

    /// Waits before the next try after a transport failure, or gives up with it.
    pub(super) async fn pause(
        &self,
        tries: &mut Tries,
        asked: Option<Duration>,
        reason: String,
    ) -> Result<(), SourceError> {
        let paused = tries.pause(asked, reason).await;
        paused.map_err(|reason| self.unavailable(reason))
    }

    pub(super) fn base(&self, scheme: &str) -> String {
        let host = match self.reference.registry.as_str() {
            "docker.io" => DOCKER_HUB,
            host => host,
        };
        format!("{scheme}://{host}/v2")
    }

    /// Whether the registry is spoken to this way.
    pub(super) fn is_scheme(&self, scheme: &str) -> bool {
        let found = self.scheme.get().copied().unwrap_or("https");
        found == scheme
    }

    /// TLS, unless the registry may do without and does not speak it.
    pub(super) async fn scheme(&self, tries: &mut Tries) -> Result<&'static str, SourceError> {
        if !self.plain_allowed {
            return Ok("https");
        }
        let found = self.scheme.get_or_try_init(|| async {
            loop {
                let secure = self.http.get(format!("{}/", self.base("https")));
                let Err(tls) = secure.timeout(PROBE).send().await else {
                    return Ok("https");
                };
                if is_hopeless(&tls) {
                    return Err(self.unavailable(describe(&tls)));
                }
                let Err(plain) = self
                    .http
                    .get(format!("{}/", self.base("http")))
                    .timeout(PROBE)
                    .send()
                    .await
                else {
                    return Ok("http");
                };
                let reason = format!("{}; without TLS: {}", describe(&tls), describe(&plain));
                self.pause(tries, None, reason).await?;
            }
        });
        found.await.copied()
    }

    pub(super) fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let current = self.authorization.read();
        let current = current.unwrap_or_else(std::sync::PoisonError::into_inner);
        match (current.as_ref(), &self.login) {
            (Some(Authorization::Bearer(token)), _) => with_bearer(request, token),
            (Some(Authorization::Basic), Some(login)) => with_basic(request, login),
            _ => request,
        }
    }
}

/// Why a small document could not be read.
pub(super) enum Body {
    Fatal(SourceError),
    Broken(String),
}
