//! Requests of any method, sent with the login of the registry and to the registry alone.

use std::{sync::atomic::Ordering, time::Duration};

use hyper::body::Bytes;
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue, LOCATION},
};
use url::Url;

use super::{
    answer,
    client::Client,
    http::{describe, is_hopeless},
    retry::{Tries, retry_after, worth_retrying},
};
use crate::oci::SourceError;

/// Upload rate below which a request is given up, in bytes a second.
const MIN_RATE: u64 = 16 << 10;

/// How often one request is answered with a login; the first may have run out on the way.
const MAX_LOGINS: u32 = 2;

/// A request that can be sent again.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    patience: u32,
}

impl Ask {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            patience: 1,
        }
    }

    /// Adds a header; a value that cannot be sent is left out.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// The registry has work to do before it answers: waits so many times longer.
    pub(super) fn patiently(mut self, times: u32) -> Self {
        self.patience = times;
        self
    }
}

/// Why a request has no answer that could be used.
pub(super) enum Trouble {
    /// worth another try, not before `after`
    Again {
        reason: String,
        after: Option<Duration>,
    },
    Fatal(SourceError),
}

impl Client {
    /// `/v2/REPOSITORY/path` of this client's repository, or of another one in its registry.
    pub(super) async fn place(
        &self,
        repository: &str,
        path: &str,
        tries: &mut Tries,
    ) -> Result<Url, SourceError> {
        let scheme = self.scheme(tries).await?;
        let text = format!("{}/{repository}/{path}", self.base(scheme));
        Url::parse(&text).map_err(|error| self.unavailable(format!("address {text}: {error}")))
    }

    /// Where an answer says that an upload goes on.
    pub(super) fn location(&self, response: &Response) -> Result<Url, SourceError> {
        let wrong = |reason: String| self.unavailable(reason);
        let Some(location) = response.headers().get(LOCATION) else {
            return Err(wrong(
                "the registry opened an upload without saying where (`Location`)".to_owned(),
            ));
        };
        let from = response.url();
        let url = location
            .to_str()
            .ok()
            .and_then(|location| from.join(location).ok())
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                wrong("the registry's `Location` for an upload is no address".to_owned())
            })?;
        if from.scheme() == "https" && url.scheme() == "http" {
            return Err(wrong(format!(
                "the registry wants the upload without TLS, at http://{}; behind a proxy it has to \
                 be told its own address (`X-Forwarded-Proto`, or relative URLs)",
                url.host_str().unwrap_or_default()
            )));
        }
        Ok(url)
    }

    /// Whether credentials may be sent there: scheme, host and port are the registry's.
    fn is_home(&self, url: &Url) -> bool {
        Url::parse(&self.base(url.scheme())).is_ok_and(|home| home.origin() == url.origin())
            && self.is_scheme(url.scheme())
    }

    /// The login goes along to the registry itself only.
    pub(super) fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        let request = self.http.request(method, url.clone());
        if self.is_home(url) {
            self.authorized(request)
        } else {
            request
        }
    }

    /// Sends once; answers a challenge. Gives any answer but those that are worth a try.
    pub(super) async fn once(&self, ask: &Ask, tries: &mut Tries) -> Result<Response, Trouble> {
        let mut left = MAX_LOGINS;
        loop {
            let logins = self.logins.load(Ordering::Acquire);
            tracing::debug!(method = %ask.method, host = ask.url.host_str(), path = ask.url.path(), bytes = ask.body.len(), "asking the registry");
            let slow = Duration::from_secs(ask.body.len() as u64 / MIN_RATE);
            let request = self
                .request(ask.method.clone(), &ask.url)
                .headers(ask.headers.clone())
                .timeout(self.patience * ask.patience + slow)
                .body(ask.body.clone());
            let response = self.answered(request.send().await)?;
            if response.status() == StatusCode::UNAUTHORIZED
                && left > 0
                && self.is_home(response.url())
            {
                left -= 1;
                // Another thread may have renewed the login meanwhile.
                if self.logins.load(Ordering::Acquire) == logins {
                    let scheme = ask.url.scheme();
                    self.log_in(&response, scheme, tries)
                        .await
                        .map_err(Trouble::Fatal)?;
                }
                continue;
            }
            return self.usable(response).await;
        }
    }

    /// Sorts out failures of the transport.
    pub(super) fn answered(
        &self,
        sent: Result<Response, reqwest::Error>,
    ) -> Result<Response, Trouble> {
        sent.map_err(|error| {
            if is_hopeless(&error) {
                return Trouble::Fatal(self.unavailable(describe(&error)));
            }
            Trouble::Again {
                reason: describe(&error),
                after: None,
            }
        })
    }

    /// Sorts out answers that may be better later.
    pub(super) async fn usable(&self, response: Response) -> Result<Response, Trouble> {
        if !worth_retrying(response.status()) {
            return Ok(response);
        }
        let after = retry_after(response.headers());
        Err(Trouble::Again {
            reason: answer::reason(response).await,
            after,
        })
    }

    /// Sends until there is an answer, as often as makes sense.
    pub(super) async fn send(&self, ask: &Ask, tries: &mut Tries) -> Result<Response, SourceError> {
        loop {
            match self.once(ask, tries).await {
                Ok(response) => return Ok(response),
                Err(Trouble::Fatal(error)) => return Err(error),
                Err(Trouble::Again { reason, after }) => self.pause(tries, after, reason).await?,
            }
        }
    }
}
