//! The workflow's identity as a password.

use plimsoll::{
    ci::github::oidc::{Source, login, token},
    registry::{RegistryOptions, auth::Login},
    secret::Secret,
};

use super::words;
use crate::support::registry::{Double, Reply};

fn source(double: &Double) -> Source {
    Source {
        url: format!("http://{}/token?api-version=2.0", double.host()),
        token: Secret::new("request-token"),
    }
}

#[test]
fn a_token_is_asked_for_with_the_audience_and_the_jobs_own_bearer() {
    let runner = Double::start(|_| Reply::new(200, r#"{"count":1,"value":"a.jwt.x"}"#));
    let options = RegistryOptions::default();
    let jwt = token(&source(&runner), "https://quay.example.com/a b&c", &options).unwrap();
    assert_eq!(jwt.expose_str(), Some("a.jwt.x"));
    let seen = &runner.requests()[0];
    assert_eq!(
        seen.path,
        "/token?api-version=2.0&audience=https%3A%2F%2Fquay.example.com%2Fa+b%26c"
    );
    assert_eq!(seen.authorization.as_deref(), Some("Bearer request-token"));
    let login = login(
        &source(&runner),
        "a",
        "registry.example.com",
        Some("robot"),
        &options,
    )
    .unwrap();
    let Login::Basic { username, password } = login else {
        panic!("no password");
    };
    assert_eq!(
        (username.as_str(), password.expose_str()),
        ("robot", Some("a.jwt.x"))
    );
}

#[test]
fn a_refusal_names_the_permission_and_repeats_no_token() {
    for (status, body) in [(403, "request-token"), (200, "{}"), (200, "request-token")] {
        let runner = Double::start(move |_| Reply::new(status, body));
        let error = token(&source(&runner), "a", &RegistryOptions::default()).unwrap_err();
        let said = words(&error);
        assert!(!said.contains("request-token"), "{said}");
        assert!(status == 200 || said.contains("id-token: write"), "{said}");
    }
}

#[test]
fn quay_takes_an_identity_for_a_robot_account_that_is_named() {
    let asked = Double::start(|_| Reply::new(500, ""));
    let options = RegistryOptions::default();
    for registry in ["quay.io", "quay.example.com"] {
        let error = login(&source(&asked), "a", registry, None, &options).unwrap_err();
        let words = super::words(&error);
        assert!(
            words.contains(registry) && words.contains("team+robot"),
            "{words}"
        );
    }
    assert!(
        asked.requests().is_empty(),
        "nothing was asked for that could not be used"
    );
}
