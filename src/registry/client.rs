//! Requests to one registry: TLS or not, logins, tries.

use std::{net::IpAddr, sync::RwLock, time::Duration};

use reqwest::{
    Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RANGE},
    redirect,
};
use tokio::sync::OnceCell;

use super::{
    RegistryOptions, Retry, answer,
    auth::Login,
    retry::{Tries, retry_after, worth_retrying},
    token::{
        Authorization, Challenge, MAX_TOKEN, TokenRequest, challenge, parse_token, token_request,
    },
};
use crate::{
    oci::{
        DOCKER_INDEX, DOCKER_MANIFEST, Descriptor, Digest, MAX_MANIFEST, MediaType, RawManifest,
        Reference, SourceError,
    },
    secret::Secret,
};

/// The registry that `docker.io` stands for.
const DOCKER_HUB: &str = "registry-1.docker.io";
const MAX_REDIRECTS: usize = 5;
/// For one manifest or token to arrive, once its answer began.
const DOCUMENT_TIME: Duration = Duration::from_mins(1);

pub(super) struct Client {
    http: reqwest::Client,
    reference: Reference,
    login: Option<Login>,
    plain_allowed: bool,
    scheme: OnceCell<&'static str>,
    authorization: RwLock<Option<Authorization>>,
    pub(super) retry: Retry,
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
            retry: options.retry,
            reference,
        })
    }

    pub(super) fn what(&self) -> String {
        self.reference.to_string()
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

    async fn small_body(&self, response: Response, limit: u64) -> Result<Vec<u8>, Body> {
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
            let mut request = self.http.get(url).header(ACCEPT, accept());
            if let Some(offset) = offset {
                request = request.header(RANGE, format!("bytes={offset}-"));
            }
            let response = match self.authorized(request).send().await {
                Ok(response) => response,
                Err(error) if is_untrusted(&error) => {
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
    async fn failed(&self, response: Response, tries: &mut Tries) -> Result<(), SourceError> {
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
        let Some(wait) = tries.next_wait(asked) else {
            let count = tries.count();
            return Err(self.unavailable(format!("{reason} ({count} tries)")));
        };
        tracing::debug!(%reason, ?wait, "trying again");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn base(&self, scheme: &str) -> String {
        let host = match self.reference.registry.as_str() {
            "docker.io" => DOCKER_HUB,
            host => host,
        };
        format!("{scheme}://{host}/v2")
    }

    /// TLS, unless the registry may do without and does not speak it.
    async fn scheme(&self, tries: &mut Tries) -> Result<&'static str, SourceError> {
        if !self.plain_allowed {
            return Ok("https");
        }
        let found = self.scheme.get_or_try_init(|| async {
            loop {
                let secure = self.http.get(format!("{}/", self.base("https")));
                let tls = match secure.send().await {
                    Ok(_) => return Ok("https"),
                    Err(error) => error,
                };
                if is_untrusted(&tls) {
                    return Err(self.unavailable(describe(&tls)));
                }
                let Err(plain) = self
                    .http
                    .get(format!("{}/", self.base("http")))
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

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let current = self.authorization.read();
        let current = current.unwrap_or_else(std::sync::PoisonError::into_inner);
        match (current.as_ref(), &self.login) {
            (Some(Authorization::Bearer(token)), _) => with_bearer(request, token),
            (Some(Authorization::Basic), Some(login)) => with_basic(request, login),
            _ => request,
        }
    }

    /// Answers the challenge of a `401`.
    async fn log_in(
        &self,
        response: &Response,
        scheme: &str,
        tries: &mut Tries,
    ) -> Result<(), SourceError> {
        let denied = |reason: String| SourceError::Denied {
            what: self.what(),
            reason,
        };
        let found = challenge(response.headers())
            .map_err(|reason| denied(format!("the registry wants a login, but {reason}")))?;
        let authorization = match found {
            Challenge::Basic if matches!(self.login, Some(Login::Basic { .. })) => {
                Authorization::Basic
            }
            Challenge::Basic => {
                let why = "the registry wants a user name and password, and none is stored";
                return Err(denied(why.to_owned()));
            }
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => {
                if scheme == "https" && realm.scheme() != "https" {
                    return Err(denied(format!(
                        "the registry sends logins to `{realm}`, which is not encrypted"
                    )));
                }
                let pull = || format!("repository:{}:pull", self.reference.repository);
                let scope = scope.unwrap_or_else(pull);
                let login = self.login.as_ref();
                let request = token_request(&realm, service.as_deref(), &scope, login);
                Authorization::Bearer(self.token(&request, tries).await?)
            }
        };
        let mut current = self
            .authorization
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *current = Some(authorization);
        Ok(())
    }

    async fn token(
        &self,
        request: &TokenRequest,
        tries: &mut Tries,
    ) -> Result<Secret, SourceError> {
        let what = self.what();
        loop {
            let builder = match (request, &self.login) {
                (TokenRequest::Get(url), Some(login)) => {
                    with_basic(self.http.get(url.clone()), login)
                }
                (TokenRequest::Get(url), None) => self.http.get(url.clone()),
                (TokenRequest::Post(url, body), _) => self
                    .http
                    .post(url.clone())
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(body.expose().to_vec()),
            };
            match builder.send().await {
                Ok(response) if response.status() == StatusCode::OK => {
                    match self.small_body(response, MAX_TOKEN as u64).await {
                        Ok(body) => return parse_token(&what, &body),
                        Err(Body::Fatal(error)) => return Err(error),
                        Err(Body::Broken(reason)) => self.pause(tries, None, reason).await?,
                    }
                }
                Ok(response) => self.failed(response, tries).await?,
                Err(error) => {
                    let reason = format!("token service: {}", describe(&error));
                    self.pause(tries, None, reason).await?;
                }
            }
        }
    }
}

/// Why a small document could not be read.
enum Body {
    Fatal(SourceError),
    Broken(String),
}

fn http_client(
    registry: &str,
    options: &RegistryOptions,
    plain_allowed: bool,
) -> Result<reqwest::Client, reqwest::Error> {
    // Another part of the program may have set it before; it is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut roots = Vec::new();
    for pem in &options.extra_roots {
        roots.extend(reqwest::Certificate::from_pem_bundle(pem)?);
    }
    let mut builder = reqwest::Client::builder();
    if is_loopback(registry) {
        builder = builder.no_proxy(); // a proxy would look for the registry on its own machine
    }
    builder
        .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.read_timeout)
        .redirect(redirect::Policy::limited(MAX_REDIRECTS))
        .https_only(!plain_allowed)
        .tls_certs_merge(roots)
        .build()
}

fn with_bearer(request: reqwest::RequestBuilder, token: &Secret) -> reqwest::RequestBuilder {
    let mut bytes = b"Bearer ".to_vec();
    bytes.extend_from_slice(token.expose());
    match HeaderValue::from_bytes(&bytes) {
        Ok(mut value) => {
            value.set_sensitive(true);
            request.header(AUTHORIZATION, value)
        }
        // Not sendable; the registry will say that it wants a login.
        Err(_) => request,
    }
}

fn with_basic(request: reqwest::RequestBuilder, login: &Login) -> reqwest::RequestBuilder {
    match login {
        Login::Basic { username, password } => request.basic_auth(username, password.expose_str()),
        Login::IdentityToken(_) => request,
    }
}

fn accept() -> String {
    [
        MediaType::ImageManifest.to_string().as_str(),
        MediaType::ImageIndex.to_string().as_str(),
        DOCKER_MANIFEST,
        DOCKER_INDEX,
    ]
    .join(", ")
}

fn media_type(response: &Response) -> Option<MediaType> {
    let value = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let value = value.split(';').next().unwrap_or(value).trim();
    Some(MediaType::from(value))
}

/// `Docker-Content-Digest`, when it can be checked.
fn stated_digest(response: &Response) -> Option<Digest> {
    let value = response.headers().get("docker-content-digest")?;
    let digest: Digest = value.to_str().ok()?.parse().ok()?;
    (digest.algorithm().as_ref() == "sha256").then_some(digest)
}

/// `localhost`, 127.0.0.0/8 and `::1`, with any port.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => registry.split(':').next().unwrap_or(registry),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The registry speaks TLS, but its certificate is not trusted: trying again cannot help.
fn is_untrusted(error: &reqwest::Error) -> bool {
    let mut cause: &dyn std::error::Error = error;
    loop {
        if cause.to_string().contains("invalid peer certificate") {
            return true;
        }
        match cause.source() {
            Some(next) => cause = next,
            None => return false,
        }
    }
}

/// The innermost cause says most; the outer ones repeat the address.
pub(super) fn describe(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    if is_untrusted(error) {
        return format!(
            "its certificate is not trusted ({cause}); add the authority that signed it to the \
             certificates of the system, or name their file in SSL_CERT_FILE"
        );
    }
    let kind = if error.is_connect() {
        "cannot connect"
    } else if error.is_redirect() {
        "too many redirects"
    } else {
        "connection broken"
    };
    format!("{kind}: {cause}")
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_loopback_is_loopback() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.example.com",
            "10.0.0.1:5000",
            "127.example.com",
            "[::2]",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
