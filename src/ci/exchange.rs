//! One request and its answer, bounded; and what an answer says of limits and reasons.

use std::time::Duration;

use octocrab::Octocrab;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::api::{Call, Method};
use crate::{registry, secret::Secret};

/// Largest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// What an API said.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

pub(super) fn sendable(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) async fn by_octocrab(crab: &Octocrab, call: &Call) -> Result<Answer, String> {
    let path = call.path.as_str();
    let body = call.body.as_ref();
    let answer = match call.method {
        Method::Get => crab._get(path).await,
        Method::Post => crab._post(path, body).await,
        Method::Patch => crab._patch(path, body).await,
        Method::Put => crab._put(path, body).await,
    };
    let answer = answer.map_err(|error| innermost(&error))?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = http_body_util::Limited::new(answer.into_body(), MAX_ANSWER);
    let body = http_body_util::BodyExt::collect(body).await;
    let body = body
        .map_err(|error| innermost(&*error))?
        .to_bytes()
        .to_vec();
    Ok(Answer {
        status,
        headers,
        body,
    })
}

pub(super) async fn by_reqwest(
    client: &reqwest::Client,
    call: &Call,
    url: &str,
    token: &Secret,
) -> Result<Answer, String> {
    let method = reqwest::Method::from_bytes(call.method.name().as_bytes());
    let mut request = client.request(method.map_err(|error| error.to_string())?, url);
    let mut token = HeaderValue::from_bytes(token.expose())
        .map_err(|_| "the token holds characters that no token has".to_owned())?;
    token.set_sensitive(true);
    request = request.header("PRIVATE-TOKEN", token);
    if let Some(body) = &call.body {
        request = request.json(body);
    }
    let mut answer = request.send().await.map_err(|error| innermost(&error))?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| innermost(&error))? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_ANSWER {
            return Err(format!("the answer is larger than {MAX_ANSWER} bytes"));
        }
    }
    Ok(Answer {
        status,
        headers,
        body,
    })
}

/// The cause that says most; the outer ones repeat the address.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    crate::report::printable(&cause.to_string())
}

/// Whether the answer is that of a rate limit, and how long it holds when it says so. GitHub answers
/// with 403 as well as 429.
#[expect(
    clippy::option_option,
    reason = "a limit may not say how long it holds"
)]
pub(super) fn limit(answer: &Answer) -> Option<Option<Duration>> {
    let number = |name: &str| {
        let value = answer.headers.get(name)?.to_str().ok()?;
        value.trim().parse::<i64>().ok()
    };
    if !matches!(answer.status, 403 | 429) {
        return None;
    }
    if let Some(wait) = registry::retry_after(&answer.headers) {
        return Some(Some(wait));
    }
    if number("x-ratelimit-remaining") == Some(0) {
        let now = answer.headers.get("date").and_then(|date| {
            let date = jiff::fmt::rfc2822::parse(date.to_str().ok()?).ok()?;
            Some(date.timestamp().as_second())
        });
        let wait = number("x-ratelimit-reset").zip(now).map(|(reset, now)| {
            // A second for the clocks' difference.
            Duration::from_secs(u64::try_from(reset - now).unwrap_or(0) + 1)
        });
        return Some(wait);
    }
    let body = String::from_utf8_lossy(&answer.body).to_lowercase();
    (answer.status == 429 || body.contains("rate limit")).then_some(None)
}

/// The forge's own words: `message` and the texts of `errors`, else the body's beginning.
pub(super) fn message(body: &[u8], status: u16) -> String {
    const LONGEST: usize = 500;
    let words = match serde_json::from_slice::<Value>(body) {
        Ok(value) => {
            let mut words: Vec<String> = Vec::new();
            for key in ["message", "error"] {
                words.extend(said(&value[key]));
            }
            for error in value["errors"].as_array().into_iter().flatten() {
                words.extend(said(&error["message"]).or_else(|| said(error)));
            }
            words.join("; ")
        }
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    if words.is_empty() {
        return format!("no reason given for {status}");
    }
    super::text::cut(&crate::report::printable(&words), LONGEST)
}

fn said(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
