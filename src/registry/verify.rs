//! Tries a login before it is stored: `GET /v2/` and what it challenges for.

use reqwest::{Response, StatusCode};

use super::{
    RegistryOptions, Runtime, answer,
    auth::{AuthError, AuthStore, Login},
    client::Client,
    http::{with_basic, with_bearer},
    retry::Tries,
    token::{Challenge, challenge, token_request},
};
use crate::oci::{Reference, SourceError};

/// Why a login could not be stored, checked or removed. No variant carries a password.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// the registry does not take it
    #[error("{registry} does not take this login: {reason}")]
    Refused {
        /// registry
        registry: String,
        /// the registry's words
        reason: String,
    },
    /// the registry is out of reach, or is none
    #[error("{registry} cannot be asked: {reason}")]
    OutOfReach {
        /// registry
        registry: String,
        /// cause
        reason: String,
    },
    /// the name is not that of a registry
    #[error("`{0}` is not a registry")]
    NoRegistry(String),
    /// file or credential helper
    #[error(transparent)]
    Store(#[from] AuthError),
}

impl LoginError {
    /// The registry could not be asked.
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::OutOfReach { .. })
    }

    /// What the user can do about it, when that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Refused { .. } => {
                "check user name and password; a robot account is written as it is shown \
                 (`team+robot`), a registry key belongs to the user `unused`"
                    .to_owned()
            }
            Self::OutOfReach { .. } => {
                "check the address, the proxy and the network, then try again".to_owned()
            }
            Self::NoRegistry(_) => {
                "write HOST, HOST:PORT or HOST/NAMESPACE, such as `quay.io/team`".to_owned()
            }
            Self::Store(AuthError::Helper { .. }) => {
                "mend the helper, or take it out of the file (`credsStore`, `credHelpers`)"
                    .to_owned()
            }
            Self::Store(_) => return None,
        })
    }
}

/// What came of trying a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// the registry takes it
    Taken,
    /// the registry asks for none, so that nothing is known of it
    NotAsked,
}

/// Tries a login with the registry of `scope` (`registry` or `registry/namespace`).
///
/// # Errors
/// When the registry refuses it, or cannot be asked.
pub fn try_login(
    scope: &str,
    login: &Login,
    options: &RegistryOptions,
) -> Result<Tried, LoginError> {
    let registry = scope.split('/').next().unwrap_or(scope).to_owned();
    let reference: Reference = format!("{registry}/login")
        .parse()
        .map_err(|_| LoginError::NoRegistry(scope.to_owned()))?;
    let options = RegistryOptions {
        auth: AuthStore::new().with_login(&registry, login.clone()),
        ..options.clone()
    };
    let done = Client::new(reference, &options).and_then(|client| {
        let interrupted = || client.unavailable("the connection is being closed");
        let runtime = Runtime::start().map_err(|error| client.unavailable(error.to_string()))?;
        let handle = runtime.handle().ok_or_else(interrupted)?;
        handle.block_on(client.unless_cancelled(ask(&client, login)))
    });
    done.map_err(|error| match error {
        SourceError::Denied { reason, .. } => LoginError::Refused { registry, reason },
        SourceError::Unavailable { reason, .. } => LoginError::OutOfReach { registry, reason },
        SourceError::Io { what, source } => LoginError::OutOfReach {
            registry,
            reason: format!("{what}: {source}"),
        },
        other => LoginError::OutOfReach {
            registry,
            reason: other.to_string(),
        },
    })
}

async fn ask(client: &Client, login: &Login) -> Result<Tried, SourceError> {
    let mut tries = Tries::new(client.retry);
    let scheme = client.scheme(&mut tries).await?;
    let url = format!("{}/", client.base(scheme));
    let first = sent(client, client.http.get(&url)).await?;
    if first.status() == StatusCode::OK {
        return Ok(Tried::NotAsked);
    }
    if first.status() != StatusCode::UNAUTHORIZED {
        let reason = answer::reason(first).await;
        return Err(client.unavailable(format!("{reason} to GET /v2/; is it a registry?")));
    }
    let found = challenge(first.headers()).map_err(|reason| client.unavailable(reason))?;
    let request = client.http.get(&url);
    let request = match found {
        Challenge::Basic => with_basic(request, login),
        Challenge::Bearer { realm, service, .. } => {
            client.check_realm(scheme, &realm)?;
            let ask = token_request(&realm, service.as_deref(), "", Some(login));
            with_bearer(request, &client.token(&ask, &mut tries).await?)
        }
    };
    let second = sent(client, request).await?;
    match second.status() {
        StatusCode::OK => Ok(Tried::Taken),
        _ => Err(answer::error(&client.what(), second, 1).await),
    }
}

async fn sent(client: &Client, request: reqwest::RequestBuilder) -> Result<Response, SourceError> {
    let sent = request.timeout(client.patience).send().await;
    sent.map_err(|error| client.unavailable(super::http::describe(&error)))
}
