//! A token of the workflow's identity, and a registry login made of it: no password is kept anywhere.
//!
//! Quay takes the token for a short-lived password of a robot account that trusts the workflow; any
//! other registry is given the token itself as the password.

use std::time::Duration;

use serde_json::Value;

use crate::{
    ci::{CiError, What},
    registry::{self, RegistryOptions, auth::Login},
    secret::Secret,
};

/// Largest answer, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;

/// Where a workflow asks for its identity.
#[derive(Debug, Clone)]
pub struct Source {
    /// `ACTIONS_ID_TOKEN_REQUEST_URL`
    pub url: String,
    /// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`
    pub token: Secret,
}

/// Asks for a token for `audience`.
pub fn token(
    source: &Source,
    audience: &str,
    options: &RegistryOptions,
) -> Result<Secret, CiError> {
    let mut url = url::Url::parse(&source.url)
        .map_err(|_| unfit("ACTIONS_ID_TOKEN_REQUEST_URL is no address".to_owned()))?;
    url.query_pairs_mut().append_pair("audience", audience);
    let host = registry::authority(&url).unwrap_or_default();
    let bearer = Secret::new([b"Bearer ", source.token.expose()].concat());
    let answer = get(&url, &host, &bearer, options)?;
    secret(&answer, "value", &host)
}

/// A login for `registry`, as the robot account `user` when it is Quay, which must be named.
pub fn login(
    source: &Source,
    audience: &str,
    registry: &str,
    user: Option<&str>,
    options: &RegistryOptions,
) -> Result<Login, CiError> {
    if user.is_none() && is_quay(registry) {
        return Err(CiError::Unfit {
            what: What::Identity,
            reason: format!("{registry} takes the identity for a robot account, and none is named"),
            remedy: Some("name it as `username`, such as `team+robot`"),
        });
    }
    let user = user.unwrap_or("oidc");
    let identity = token(source, audience, options)?;
    let password = if is_quay(registry) {
        robot_token(registry, user, &identity, options)?
    } else {
        identity
    };
    Ok(Login::Basic {
        username: user.to_owned(),
        password,
    })
}

fn is_quay(registry: &str) -> bool {
    registry == "quay.io" || registry.starts_with("quay.")
}

/// Quay's robot federation: the identity for a password of an hour.
fn robot_token(
    registry: &str,
    user: &str,
    identity: &Secret,
    options: &RegistryOptions,
) -> Result<Secret, CiError> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let url = format!("https://{registry}/oauth2/federation/robot/token");
    let url = url::Url::parse(&url).map_err(|_| unfit(format!("`{registry}` is no registry")))?;
    let pair = [user.as_bytes(), b":", identity.expose()].concat();
    let basic = Secret::new(format!("Basic {}", STANDARD.encode(pair)));
    let answer = get(&url, registry, &basic, options)?;
    secret(&answer, "token", registry)
}

fn unfit(reason: String) -> CiError {
    CiError::Unfit {
        what: What::Identity,
        reason,
        remedy: Some("give the job `permissions:` with `id-token: write`"),
    }
}

fn secret(answer: &Value, field: &str, host: &str) -> Result<Secret, CiError> {
    let value = answer[field].as_str().filter(|value| !value.is_empty());
    value.map(Secret::new).ok_or_else(|| CiError::Malformed {
        what: What::Identity,
        host: host.to_owned(),
        reason: format!("`{field}` is missing"),
    })
}

fn get(
    url: &url::Url,
    host: &str,
    authorization: &Secret,
    options: &RegistryOptions,
) -> Result<Value, CiError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| unfit(error.to_string()))?;
    let unreachable = |reason: String| CiError::Unreachable {
        what: What::Identity,
        host: host.to_owned(),
        reason,
    };
    let (status, body) = runtime
        .block_on(async {
            tokio::select! {
                answer = tokio::time::timeout(Duration::from_mins(1), exchange(url, host, authorization, options)) => {
                    answer.unwrap_or_else(|_| Err("no answer in time".to_owned()))
                }
                () = options.cancel.cancelled() => Err("interrupted".to_owned()),
            }
        })
        .map_err(unreachable)?;
    if !(200..300).contains(&status) {
        return Err(CiError::Refused {
            what: What::Identity,
            host: host.to_owned(),
            status,
            // The body may repeat what was sent.
            message: "the identity was not accepted".to_owned(),
        });
    }
    serde_json::from_slice(&body).map_err(|_| CiError::Malformed {
        what: What::Identity,
        host: host.to_owned(),
        reason: "no JSON".to_owned(),
    })
}

async fn exchange(
    url: &url::Url,
    host: &str,
    authorization: &Secret,
    options: &RegistryOptions,
) -> Result<(u16, Vec<u8>), String> {
    let client = registry::forge_client(host, options).map_err(|error| error.clone())?;
    let mut header = reqwest::header::HeaderValue::from_bytes(authorization.expose())
        .map_err(|_| "the token holds characters that no token has".to_owned())?;
    header.set_sensitive(true);
    let request = client.get(url.clone());
    let request = request.header(reqwest::header::AUTHORIZATION, header);
    // Addresses of these requests may hold what is not for the log.
    let plain = |error: reqwest::Error| error.without_url().to_string();
    let mut answer = request.send().await.map_err(plain)?;
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(plain)? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_ANSWER {
            return Err(format!("the answer is larger than {MAX_ANSWER} bytes"));
        }
    }
    Ok((status, body))
}
