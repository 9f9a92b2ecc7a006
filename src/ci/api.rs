//! Calls to a forge's REST API: bounded answers, tries again only where that can help, and a mode
//! that shows the calls without making them.
//!
//! GitHub is talked to by octocrab over this program's own HTTP client, so that proxies and private
//! certificate authorities count. Its own repeats are off: they would repeat at once, and a `POST`
//! that may have been carried out as well.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use octocrab::{Octocrab, service::middleware::retry::RetryConfig};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    exchange::{Answer, by_octocrab, by_reqwest, limit, message, sendable},
    fault::{CiError, What},
};
use crate::{
    registry::{self, RegistryOptions},
    secret::Secret,
};

/// For one answer to arrive.
const ANSWER_TIME: Duration = Duration::from_mins(2);

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// reads
    Get,
    /// makes something new
    Post,
    /// changes a part
    Patch,
    /// replaces
    Put,
}

impl Method {
    /// As HTTP writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Put => "PUT",
        }
    }
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// for what
    pub what: What,
    /// how
    pub method: Method,
    /// path below the API's address, and query
    pub path: String,
    /// body
    pub body: Option<Value>,
    /// done twice it would leave two: not repeated when the first may have been carried out
    pub doubles: bool,
}

impl Call {
    /// A call that reads.
    pub fn get(what: What, path: String) -> Self {
        Self {
            what,
            method: Method::Get,
            path,
            body: None,
            doubles: false,
        }
    }

    /// A call that sends.
    pub fn send(what: What, method: Method, path: String, body: Value) -> Self {
        Self {
            what,
            method,
            path,
            body: Some(body),
            doubles: false,
        }
    }

    /// Marks it as one that would leave two.
    #[must_use]
    pub fn that_doubles(mut self) -> Self {
        self.doubles = true;
        self
    }
}

/// A call that was shown instead of made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// how
    pub method: &'static str,
    /// where
    pub url: String,
    /// size of the body, in bytes
    pub bytes: usize,
}

/// Waits; a test's own only takes note.
pub type Wait = Arc<dyn Fn(Duration) + Send + Sync>;

/// How an API is talked to.
#[derive(Clone)]
pub struct ApiOptions {
    /// address of the API, as the CI gives it; the token goes to its host alone
    pub base: String,
    /// token
    pub token: Secret,
    /// proxies, certificates, time limits
    pub http: RegistryOptions,
    /// show the calls instead of making them
    pub dry: bool,
    /// tries in all
    pub attempts: u32,
    /// longest that a rate limit is waited for
    pub patience: Duration,
    /// cancelled when the user wants to stop
    pub cancel: CancellationToken,
    /// instead of real waiting
    pub wait: Option<Wait>,
}

impl ApiOptions {
    /// With the bounds that a CI job can afford.
    pub fn new(base: impl Into<String>, token: Secret, http: RegistryOptions) -> Self {
        Self {
            base: base.into(),
            token,
            cancel: http.cancel.clone(),
            http,
            dry: false,
            attempts: 4,
            patience: Duration::from_mins(2),
            wait: None,
        }
    }
}

enum Transport {
    GitHub(Box<Octocrab>),
    GitLab(reqwest::Client),
}

/// An API.
pub struct Api {
    transport: Transport,
    options: ApiOptions,
    host: String,
    runtime: tokio::runtime::Runtime,
    shown: Mutex<Vec<Shown>>,
}

impl Api {
    /// GitHub's, also on an Enterprise Server.
    pub fn github(options: ApiOptions) -> Result<Self, CiError> {
        Self::new(options, What::Sarif, |options, client| {
            // octocrab would panic on a token that no header can carry.
            let token = options.token.expose_str().filter(|token| sendable(token));
            let token = token.ok_or("the token holds characters that no token has")?;
            let crab = Octocrab::builder()
                .base_uri(options.base.as_str())
                .and_then(|builder| builder.upload_uri(options.base.as_str()))
                .map_err(|_| format!("`{}` is no address of an API", options.base))?
                .personal_token(token.to_owned())
                .add_retry_config(RetryConfig::None);
            // Layers of octocrab start tasks as they are put together.
            let crab = crab.build_with_reqwest(client);
            Ok(Transport::GitHub(Box::new(
                crab.map_err(|error| error.to_string())?,
            )))
        })
    }

    /// GitLab's.
    pub fn gitlab(options: ApiOptions) -> Result<Self, CiError> {
        Self::new(options, What::Note, |_, client| {
            Ok(Transport::GitLab(client))
        })
    }

    fn new(
        options: ApiOptions,
        what: What,
        transport: impl FnOnce(&ApiOptions, reqwest::Client) -> Result<Transport, String>,
    ) -> Result<Self, CiError> {
        let unfit = |reason: String| CiError::Unfit {
            what,
            reason,
            remedy: Some("see `GITHUB_API_URL` or `CI_API_V4_URL`, and the token"),
        };
        let host = url::Url::parse(&options.base)
            .ok()
            .and_then(|url| registry::authority(&url));
        let host = host.ok_or_else(|| unfit(format!("`{}` is no address", options.base)))?;
        let client = registry::forge_client(&host, &options.http)
            .map_err(|error| unfit(format!("TLS for {host}: {error}")))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unfit(error.to_string()))?;
        let entered = runtime.enter();
        let transport = transport(&options, client).map_err(unfit)?;
        drop(entered);
        Ok(Self {
            transport,
            options,
            host,
            runtime,
            shown: Mutex::default(),
        })
    }

    /// Host of the API, with the port when it has one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether calls are shown instead of made.
    pub fn is_dry(&self) -> bool {
        self.options.dry
    }

    /// The calls that were shown instead of made, in order.
    pub fn shown(&self) -> Vec<Shown> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.clone()
    }

    /// Makes a call; the answer's JSON, `null` when it is shown only.
    pub fn call(&self, call: &Call) -> Result<Value, CiError> {
        let url = format!("{}{}", self.options.base.trim_end_matches('/'), call.path);
        let body = call.body.as_ref().map(Value::to_string);
        let bytes = body.as_ref().map_or(0, String::len);
        let method = call.method.name();
        if self.options.dry {
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            shown.push(Shown { method, url, bytes });
            return Ok(Value::Null);
        }
        let mut waited = Duration::ZERO;
        let mut tries = 1;
        loop {
            tracing::info!(method, url, bytes, "calling");
            let outcome = self.once(call, &url);
            let Some(wait) = Self::next_wait(call, &outcome, tries) else {
                return self.settled(call, outcome);
            };
            waited += wait;
            if tries >= self.options.attempts || waited > self.options.patience {
                return self.settled(call, outcome);
            }
            tries += 1;
            self.wait(call.what, wait)?;
        }
    }

    /// Waits, unless the user wants to stop.
    pub fn wait(&self, what: What, time: Duration) -> Result<(), CiError> {
        let cancel = &self.options.cancel;
        match &self.options.wait {
            Some(wait) => wait(time),
            None => self.runtime.block_on(async {
                tokio::select! {
                    () = tokio::time::sleep(time) => {}
                    () = cancel.cancelled() => {}
                }
            }),
        }
        if cancel.is_cancelled() {
            return Err(CiError::Cancelled(what));
        }
        Ok(())
    }

    fn once(&self, call: &Call, url: &str) -> Result<Answer, CiError> {
        let cancel = &self.options.cancel;
        let exchange = async {
            match &self.transport {
                Transport::GitHub(crab) => by_octocrab(crab, call).await,
                Transport::GitLab(client) => {
                    by_reqwest(client, call, url, &self.options.token).await
                }
            }
        };
        let answer = self.runtime.block_on(async {
            tokio::select! {
                answer = tokio::time::timeout(ANSWER_TIME, exchange) => {
                    Some(answer.unwrap_or_else(|_| Err("no answer in time".to_owned())))
                }
                () = cancel.cancelled() => None,
            }
        });
        answer
            .ok_or(CiError::Cancelled(call.what))?
            .map_err(|reason| CiError::Unreachable {
                what: call.what,
                host: self.host.clone(),
                reason,
            })
    }

    /// How long to wait before the same call may succeed; `None` when it is over.
    fn next_wait(call: &Call, outcome: &Result<Answer, CiError>, tries: u32) -> Option<Duration> {
        let backoff = Duration::from_secs(1 << (tries - 1).min(5));
        match outcome {
            Err(CiError::Unreachable { .. }) if !call.doubles => Some(backoff),
            Err(_) => None,
            Ok(answer) => {
                if let Some(limit) = limit(answer) {
                    return Some(limit.unwrap_or(Duration::from_mins(1)).max(backoff));
                }
                let later = match answer.status {
                    500 | 503 => true,
                    // A gateway that lost patience may have handed the call on.
                    502 | 504 => !call.doubles,
                    _ => false,
                };
                later.then(|| registry::retry_after(&answer.headers).unwrap_or(backoff))
            }
        }
    }

    fn settled(&self, call: &Call, outcome: Result<Answer, CiError>) -> Result<Value, CiError> {
        let (what, host) = (call.what, self.host.clone());
        let answer = outcome?;
        if (200..300).contains(&answer.status) {
            if answer.body.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&answer.body).map_err(|error| CiError::Malformed {
                what,
                host,
                reason: error.to_string(),
            });
        }
        if let Some(wait) = limit(&answer) {
            let wait = wait.map(|wait| wait.as_secs());
            return Err(CiError::Limited { what, host, wait });
        }
        Err(CiError::Refused {
            what,
            host,
            status: answer.status,
            message: message(&answer.body, answer.status),
        })
    }
}
