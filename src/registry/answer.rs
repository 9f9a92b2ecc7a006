//! What a registry's answer means for the user.

use reqwest::{Response, StatusCode};
use serde::Deserialize;

use crate::oci::SourceError;

/// Most bytes of an error document that are read.
const MAX_ERROR: usize = 16 << 10;
/// Most characters of the registry's words that are shown.
const MAX_WORDS: usize = 300;

#[derive(Deserialize)]
struct Envelope {
    errors: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The error for a status that is not a success; reads the registry's own words.
pub(super) async fn error(what: &str, response: Response, tries: u32) -> SourceError {
    let status = response.status();
    for_status(what, status, &read_words(response).await, tries)
}

/// The status and the registry's own words.
pub(super) async fn reason(response: Response) -> String {
    let status = response.status();
    let words = read_words(response).await;
    let colon = if words.is_empty() { "" } else { ": " };
    format!("the registry answers {status}{colon}{words}")
}

async fn read_words(mut response: Response) -> String {
    let mut body = Vec::new();
    while body.len() < MAX_ERROR {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    words(&body)
}

fn for_status(what: &str, status: StatusCode, words: &str, tries: u32) -> SourceError {
    let what = what.to_owned();
    let said = if words.is_empty() {
        String::new()
    } else {
        format!(": {words}")
    };
    let times = if tries > 1 {
        format!(" after {tries} tries")
    } else {
        String::new()
    };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => SourceError::Denied {
            what,
            reason: format!("the registry answers {status}{said}"),
        },
        StatusCode::NOT_FOUND => SourceError::NotFound {
            what: format!("{what} (the registry answers {status}{said})"),
            source: None,
        },
        StatusCode::TOO_MANY_REQUESTS => SourceError::Unavailable {
            what,
            reason: format!(
                "the registry limits how often it is asked ({status}{times}{said}); wait, or log \
                 in for a higher limit"
            ),
        },
        _ => SourceError::Unavailable {
            what,
            reason: format!("the registry answers {status}{times}{said}"),
        },
    }
}

/// The registry's words (distribution-spec, "Error Codes"), on one line, shortened.
fn words(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Envelope>(body) {
        Ok(envelope) => {
            let entries = envelope.errors.iter().map(|entry| {
                if entry.message.is_empty() {
                    entry.code.clone()
                } else {
                    entry.message.clone()
                }
            });
            entries.collect::<Vec<_>>().join("; ")
        }
        // Pages of proxies are no help.
        Err(_) => String::new(),
    };
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_WORDS)
        .collect()
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::{for_status, words};
    use crate::oci::SourceError;

    #[test]
    fn statuses_become_the_right_errors() {
        let kind = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            match for_status("r/x:1", status, "words", 3) {
                SourceError::Denied { .. } => "denied",
                SourceError::NotFound { .. } => "not found",
                SourceError::Unavailable { .. } => "unavailable",
                _ => "other",
            }
        };
        for (status, want) in [
            (401, "denied"),
            (403, "denied"),
            (404, "not found"),
            (429, "unavailable"),
            (500, "unavailable"),
            (503, "unavailable"),
            (418, "unavailable"),
        ] {
            assert_eq!(kind(status), want, "{status}");
        }
        let error = for_status("r/x:1", StatusCode::BAD_GATEWAY, "", 5).to_string();
        assert_eq!(
            error,
            "r/x:1: the registry answers 502 Bad Gateway after 5 tries"
        );
    }

    #[test]
    fn the_registrys_words_are_kept_short_and_printable() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no\u001b[31m\nway"},{"code":"X"}]}"#;
        assert_eq!(words(body), "no[31mway; X");
        assert_eq!(words(b"<html>"), "");
        let long = format!(r#"{{"errors":[{{"message":"{}"}}]}}"#, "x".repeat(9999));
        assert_eq!(words(long.as_bytes()).len(), 300);
    }
}
