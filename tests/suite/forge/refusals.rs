//! GitHub says no: what is tried again, how long it is waited for, and what the user is told.

use std::time::Duration;

use plimsoll::ci::{
    CiError,
    api::Api,
    github::{self, Conclusion, Limits},
};

use super::{api, options, pull_request, report, waited, words};
use crate::support::{
    forge::{FORBIDDEN, GitHub, NO_COMMIT, RATE_LIMITED, TOO_LARGE, UNAVAILABLE, UNLICENSED},
    registry::Reply,
};

fn upload(api: &Api) -> Result<(), CiError> {
    let context = pull_request();
    let package = github::package(&report(1, "x"), None, Limits::default()).unwrap();
    let commit = context.upload.clone().unwrap();
    github::upload(api, &context, &commit, &package).map(|_| ())
}

fn status(api: &Api) -> Result<(), CiError> {
    github::set_status(api, &pull_request(), "n", Conclusion::Success, "d", None)
}

#[test]
fn each_refusal_is_told_once_with_what_to_do() {
    for (code, body, tries, want) in [
        (403, FORBIDDEN, 1, "`security-events: write`"),
        (403, UNLICENSED, 1, "Settings > Advanced Security"),
        (413, TOO_LARGE, 1, "smaller"),
        (
            400,
            r#"{"message":"Invalid SARIF. rejecting SARIF, as there are more runs than allowed"}"#,
            1,
            "limits",
        ),
        (401, r#"{"message":"Bad credentials"}"#, 1, "expired"),
        (404, r#"{"message":"Not Found"}"#, 1, "contents: read"),
        (503, UNAVAILABLE, 4, "later"),
        (500, "<html>oops</html>", 4, "later"),
        (502, "", 4, "later"),
    ] {
        let github = GitHub::refusing("/sarifs", code, body);
        let (api, waits) = api(&github.url());
        let said = words(&upload(&api).unwrap_err());
        assert!(said.contains(want), "{code}: {said}");
        assert!(said.contains(&code.to_string()), "{said}");
        assert_eq!(github.requests().len(), tries, "{code}");
        assert_eq!(waited(&waits), [1, 2, 4][..tries - 1], "{code}");
    }
    let github = GitHub::refusing("/statuses", 422, NO_COMMIT);
    let (api, _) = api(&github.url());
    let said = words(&status(&api).unwrap_err());
    assert!(
        said.contains("No commit found") && said.contains("GITHUB_SHA"),
        "{said}"
    );
}

#[test]
fn what_gets_better_is_not_told() {
    let github = GitHub::bent(|seen| (seen.nth < 2).then(|| Reply::new(503, UNAVAILABLE)));
    let (api, waits) = api(&github.url());
    upload(&api).unwrap();
    assert_eq!(waited(&waits), [1, 2]);
}

#[test]
fn a_rate_limit_is_waited_for_as_long_as_github_says() {
    let date = "Sun, 22 Nov 2026 06:00:00 GMT";
    let at = 1_795_327_200; // the same, in seconds since 1970
    for (headers, code, want) in [
        (vec![("retry-after", "30".to_owned())], 403, 30),
        (vec![("retry-after", "7".to_owned())], 429, 7),
        (
            vec![
                ("x-ratelimit-remaining", "0".to_owned()),
                ("x-ratelimit-reset", (at + 40).to_string()),
                ("date", date.to_owned()),
            ],
            403,
            41,
        ),
        (Vec::new(), 429, 60),
        (Vec::new(), 403, 60),
    ] {
        let shown = format!("{code} {headers:?}");
        let github = GitHub::bent(move |seen| {
            let mut reply = Reply::new(code, RATE_LIMITED);
            for (name, value) in &headers {
                reply = reply.header(name, value.clone());
            }
            (seen.nth == 0).then_some(reply)
        });
        let (api, waits) = api(&github.url());
        upload(&api).unwrap();
        assert_eq!(waited(&waits), [want], "{shown}");
    }
}

#[test]
fn a_rate_limit_that_holds_for_long_is_told_at_once() {
    let github =
        GitHub::bent(|_| Some(Reply::new(403, RATE_LIMITED).header("retry-after", "2400")));
    let (api, waits) = api(&github.url());
    let said = words(&upload(&api).unwrap_err());
    assert!(
        said.contains("again in 40 min") && said.contains("verdict stands"),
        "{said}"
    );
    assert!(waited(&waits).is_empty());
}

#[test]
fn a_comment_is_not_doubled_by_a_gateway_that_lost_patience() {
    for (code, tries) in [(502, 1), (504, 1), (503, 4)] {
        let github =
            GitHub::bent(move |seen| (seen.method == "POST").then(|| Reply::new(code, "{}")));
        let (api, _) = api(&github.url());
        let put = github::put_comment(&api, &pull_request(), "n", "text", "rest");
        assert!(put.is_err());
        let posts = github
            .calls()
            .iter()
            .filter(|call| call.starts_with("POST"))
            .count();
        assert_eq!(posts, tries, "{code}");
    }
}

#[test]
fn an_answer_that_makes_no_sense_is_an_error_and_no_panic() {
    for body in ["<html>", "[1", "\u{0}"] {
        let github = GitHub::bent(move |_| Some(Reply::new(200, body)));
        let (api, _) = api(&github.url());
        assert!(
            matches!(upload(&api), Err(CiError::Malformed { .. })),
            "{body}"
        );
    }
    // JSON of another shape is as good as none: there is nothing to wait for.
    for body in ["[]", "null", "{\"id\":7}", "{\"id\":\"../../x\"}", "\"x\""] {
        let github = GitHub::bent(move |_| Some(Reply::new(200, body)));
        let (api, _) = api(&github.url());
        upload(&api).unwrap();
    }
}

#[test]
fn hostile_words_of_a_forge_steer_no_terminal() {
    let body = r#"{"message":"a\u001b[2Jb\n::error::c","errors":[{"message":"\u202ed"},"e",{"code":"f"}]}"#;
    let github = GitHub::refusing("/sarifs", 422, body);
    let (api, _) = api(&github.url());
    let said = upload(&api).unwrap_err().to_string();
    assert!(!said.contains(['\u{1b}', '\n', '\u{202e}']), "{said:?}");
    assert!(said.contains("; e; {\"code\":\"f\"}"), "{said}");
}

#[test]
fn nobody_there_is_told_with_the_settings_that_matter() {
    let (mut options, waits) = options("http://127.0.0.1:1/api/v3");
    options.attempts = 2;
    let api = Api::github(options).unwrap();
    let said = words(&upload(&api).unwrap_err());
    assert!(
        said.contains("127.0.0.1:1") && said.contains("HTTPS_PROXY"),
        "{said}"
    );
    assert_eq!(waited(&waits), [1]);
}

#[test]
fn an_interrupted_run_waits_for_nothing() {
    let github = GitHub::refusing("/sarifs", 503, UNAVAILABLE);
    let (mut options, _) = options(&github.url());
    options.wait = None;
    let cancel = options.cancel.clone();
    let api = Api::github(options).unwrap();
    let started = std::time::Instant::now();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        cancel.cancel();
    });
    assert!(matches!(upload(&api), Err(CiError::Cancelled(_))));
    assert!(started.elapsed() < Duration::from_secs(5));
}
