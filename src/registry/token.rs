//! The answer to `401`: what the registry challenges for, and how to get it (distribution's token
//! authentication).

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use serde::Deserialize;
use url::Url;

use super::auth::Login;
use crate::{oci::SourceError, secret::Secret};

/// Most bytes of a token document.
pub(super) const MAX_TOKEN: usize = 256 << 10;

/// What goes into `Authorization`.
#[derive(Debug, Clone)]
pub(super) enum Authorization {
    Basic,
    Bearer(Secret),
}

/// A challenge that can be answered.
#[derive(Debug, PartialEq)]
pub(super) enum Challenge {
    Basic,
    Bearer {
        realm: Url,
        service: Option<String>,
        scope: Option<String>,
    },
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

/// The first challenge that can be answered; `Bearer` wins, as it does for docker.
pub(super) fn challenge(headers: &HeaderMap) -> Result<Challenge, String> {
    let mut basic = false;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let Ok(text) = value.to_str() else { continue };
        let challenges = http_auth::parse_challenges(text)
            .map_err(|_| "its challenge (`WWW-Authenticate`) cannot be read".to_owned())?;
        for found in challenges {
            if found.scheme.eq_ignore_ascii_case("bearer") {
                return bearer(&found);
            }
            basic |= found.scheme.eq_ignore_ascii_case("basic");
        }
    }
    if basic {
        Ok(Challenge::Basic)
    } else {
        Err("it does not say which login it wants".to_owned())
    }
}

fn bearer(found: &http_auth::ChallengeRef<'_>) -> Result<Challenge, String> {
    let value = |key: &str| {
        let mut params = found.params.iter();
        let (_, value) = params.find(|(name, _)| name.eq_ignore_ascii_case(key))?;
        Some(value.to_unescaped())
    };
    let realm = value("realm").ok_or("its token challenge names no realm")?;
    let realm = Url::parse(&realm)
        .map_err(|error| format!("its token service `{realm}` is not an address: {error}"))?;
    Ok(Challenge::Bearer {
        realm,
        service: value("service"),
        scope: value("scope"),
    })
}

/// How a token is asked for.
#[derive(Debug)]
pub(super) enum TokenRequest {
    Get(Url),
    /// form body, for identity tokens (OAuth 2 refresh)
    Post(Url, Secret),
}

pub(super) fn token_request(
    realm: &Url,
    service: Option<&str>,
    scope: &str,
    login: Option<&Login>,
) -> TokenRequest {
    if let Some(Login::IdentityToken(token)) = login {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("service", service.unwrap_or_default())
            .append_pair("client_id", "plimsoll")
            .append_pair("scope", scope)
            .append_pair("refresh_token", token.expose_str().unwrap_or_default())
            .finish();
        return TokenRequest::Post(realm.clone(), Secret::new(body));
    }
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        // One parameter for each (distribution, "Token Authentication Specification").
        for scope in scope.split_whitespace() {
            query.append_pair("scope", scope);
        }
    }
    TokenRequest::Get(url)
}

pub(super) fn parse_token(what: &str, body: &[u8]) -> Result<Secret, SourceError> {
    let malformed = |reason: &str| SourceError::Malformed {
        what: format!("token for {what}"),
        reason: reason.to_owned(),
    };
    let token: Token = serde_json::from_slice(body)
        .map_err(|_| malformed("the token service does not answer with a token document"))?;
    token
        .token
        .or(token.access_token)
        .filter(|token| !token.is_empty())
        .map(Secret::new)
        .ok_or_else(|| malformed("the token service's answer holds no token"))
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};

    use super::{Challenge, TokenRequest, challenge, parse_token, token_request};
    use crate::{registry::auth::Login, secret::Secret};

    fn headers(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn challenges_are_read() {
        let text = r#"Bearer realm="https://auth.example/token?a=b",service="reg",scope="repository:x:pull""#;
        let Challenge::Bearer {
            realm,
            service,
            scope,
        } = challenge(&headers(&[text])).unwrap()
        else {
            panic!("not bearer")
        };
        assert_eq!(realm.as_str(), "https://auth.example/token?a=b");
        assert_eq!(service.as_deref(), Some("reg"));
        assert_eq!(scope.as_deref(), Some("repository:x:pull"));
        let basic = r#"Basic realm="x""#;
        assert_eq!(challenge(&headers(&[basic])), Ok(Challenge::Basic));
        assert_ne!(challenge(&headers(&[basic, text])), Ok(Challenge::Basic));
        for (values, reason) in [
            (&[][..], "which login"),
            (&["Negotiate"], "which login"),
            (&["Bearer service=\"x\""], "no realm"),
            (&["Bearer realm=\"::\""], "not an address"),
            (&["\"\" ="], "cannot be read"),
        ] {
            let error = challenge(&headers(values)).unwrap_err();
            assert!(error.contains(reason), "{values:?}: {error}");
        }
    }

    #[test]
    fn an_identity_token_goes_into_the_body_and_never_into_the_address() {
        let realm = "https://auth.example/token".parse().unwrap();
        let login = Login::IdentityToken(Secret::new("s3 cret&"));
        match token_request(&realm, Some("reg"), "repository:x:pull", Some(&login)) {
            TokenRequest::Post(url, body) => {
                assert_eq!(url, realm);
                let body = body.expose_str().unwrap();
                assert!(body.contains("refresh_token=s3+cret%26"), "{body}");
                assert!(body.contains("scope=repository%3Ax%3Apull"), "{body}");
            }
            TokenRequest::Get(url) => panic!("{url}"),
        }
        let TokenRequest::Get(url) = token_request(&realm, Some("reg"), "repository:x:pull", None)
        else {
            panic!("not a get")
        };
        let want = "https://auth.example/token?service=reg&scope=repository%3Ax%3Apull";
        assert_eq!(url.as_str(), want);
    }

    #[test]
    fn token_documents_are_read_or_refused() {
        for text in [
            r#"{"token":"t"}"#,
            r#"{"access_token":"t","expires_in":300}"#,
        ] {
            assert_eq!(parse_token("x", text.as_bytes()).unwrap().expose(), b"t");
        }
        for text in ["", "<html>", "{}", r#"{"token":""}"#] {
            assert!(parse_token("x", text.as_bytes()).is_err(), "{text}");
        }
    }
}
