//! The calls when GitHub takes them: what is sent, and how often.

use std::io::Read as _;

use base64::Engine as _;
use plimsoll::{
    ci::{
        CiError,
        api::Api,
        github::{self, CheckRun, Conclusion, Limits, Processed},
    },
    report::annotations,
};
use serde_json::{Value, json};

use super::{HEAD, HOSTILE, MERGE, TOKEN, api, options, pull_request, report, waited, words};
use crate::support::{
    forge::GitHub,
    registry::{Double, Reply},
};

fn body(github: &GitHub, call: usize) -> Value {
    serde_json::from_slice(&github.requests()[call].body).unwrap()
}

/// What GitHub unpacks.
fn unpacked(sarif: &Value) -> Value {
    let packed = base64::engine::general_purpose::STANDARD.decode(sarif.as_str().unwrap());
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.unwrap().as_slice())
        .read_to_string(&mut text)
        .unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn results_are_uploaded_compressed_for_the_merge_commit_and_waited_for() {
    let github = GitHub::start();
    let (api, waits) = api(&github.url());
    let context = pull_request();
    let package = github::package(&report(3, HOSTILE), None, Limits::default()).unwrap();
    assert_eq!((package.results, package.left_out), (3, 0));
    let commit = context.upload.clone().unwrap();
    let id = github::upload(&api, &context, &commit, &package).unwrap();
    let done = github::wait_for_processing(&api, &context, &id.unwrap()).unwrap();
    assert_eq!(done, Processed::Complete);
    assert_eq!(waited(&waits), [5]);
    assert_eq!(
        github.calls(),
        [
            "POST /repos/octo/app/code-scanning/sarifs",
            "GET /repos/octo/app/code-scanning/sarifs/47177e22-5596-11eb-80a1-c1e54ef945c6",
        ]
    );
    let sent = body(&github, 0);
    assert_eq!(sent["commit_sha"], MERGE);
    assert_eq!(sent["ref"], "refs/pull/7/merge");
    let sarif = unpacked(&sent["sarif"]);
    assert_eq!(sarif["runs"][0]["results"].as_array().unwrap().len(), 3);
    assert_eq!(
        sarif["runs"][0]["automationDetails"]["id"],
        "plimsoll/Dockerfile/"
    );
    let authorization = github.requests()[0].authorization.clone();
    assert_eq!(authorization, Some(format!("Bearer {TOKEN}")));
}

#[test]
fn only_the_most_severe_results_are_sent_and_only_as_many_as_github_takes() {
    let many = github::package(&report(6_000, "x"), Some("images/api"), Limits::default()).unwrap();
    assert_eq!((many.results, many.left_out), (5_000, 1_000));
    assert_eq!(many.category, "images/api");
    let encoded = Value::from(many.encoded.clone());
    let run = &unpacked(&encoded)["runs"][0];
    assert_eq!(run["results"].as_array().unwrap().len(), 5_000);
    assert_eq!(run["automationDetails"]["id"], "images/api/");
    let bytes = many.encoded.len() / 4 * 3;
    let half = Limits {
        bytes: bytes / 2,
        ..Limits::default()
    };
    let less = github::package(&report(6_000, "x"), None, half).unwrap();
    assert!(
        less.results < 5_000 && less.results > 500,
        "{}",
        less.results
    );
    assert_eq!(less.results + less.left_out, 6_000);
    assert!(less.encoded.len() / 4 * 3 <= bytes / 2);
    let none = Limits {
        bytes: 100,
        ..Limits::default()
    };
    assert!(github::package(&report(1, "x"), None, none).is_err());
}

#[test]
fn processing_is_asked_for_after_5_15_35_75_and_155_seconds_and_then_left_alone() {
    let pending = |_: &_| Some(Reply::new(200, r#"{"processing_status":"pending"}"#));
    let github = GitHub::bent(pending);
    let (api, waits) = api(&github.url());
    let done = github::wait_for_processing(&api, &pull_request(), "1").unwrap();
    assert_eq!(done, Processed::Pending);
    assert_eq!(waited(&waits), [5, 10, 20, 40, 80]);
    assert_eq!(github.requests().len(), 5);
}

#[test]
fn what_processing_finds_wrong_is_told_with_a_remedy() {
    let github = GitHub::bent(|_| {
        Some(Reply::new(
            200,
            r#"{"processing_status":"failed","errors":["CodeQL analyses from advanced configurations cannot be processed when the default setup is enabled\u001b[2J"]}"#,
        ))
    });
    let (api, _) = api(&github.url());
    let error = github::wait_for_processing(&api, &pull_request(), "1").unwrap_err();
    let said = words(&error);
    assert!(
        said.contains("default setup is enabled") && said.contains("--category"),
        "{said}"
    );
    assert!(!said.contains('\u{1b}'), "{said}");
}

#[test]
fn a_check_run_is_created_with_fifty_annotations_and_the_rest_is_added() {
    let github = GitHub::start();
    let (api, _) = api(&github.url());
    let report = report(120, HOSTILE);
    let annotations = annotations(&[&report]);
    let run = CheckRun {
        name: "plimsoll/Dockerfile",
        conclusion: Conclusion::Failure,
        title: &"t".repeat(400),
        summary: &"- a line\n".repeat(20_000),
        details_url: Some("https://github.example.com/octo/app/actions/runs/1"),
        annotations: &annotations,
    };
    let shown = github::create_check_run(&api, &pull_request(), &run).unwrap();
    assert_eq!(shown, 120);
    assert_eq!(
        github.calls(),
        [
            "POST /repos/octo/app/check-runs",
            "PATCH /repos/octo/app/check-runs/4",
            "PATCH /repos/octo/app/check-runs/4",
        ]
    );
    let batches: Vec<usize> = (0..3)
        .map(|call| {
            body(&github, call)["output"]["annotations"]
                .as_array()
                .unwrap()
                .len()
        })
        .collect();
    assert_eq!(batches, [50, 50, 20]);
    let sent = body(&github, 0);
    assert_eq!(
        (&sent["head_sha"], &sent["conclusion"]),
        (&HEAD.into(), &"failure".into())
    );
    assert_eq!(
        sent["output"]["title"].as_str().unwrap().chars().count(),
        255
    );
    assert!(sent["output"]["summary"].as_str().unwrap().len() <= 65_535);
    let first = &sent["output"]["annotations"][0];
    let message = first["message"].as_str().unwrap();
    assert!(
        message.contains("$(id) `id` \"q\"") && !message.contains('\u{1b}'),
        "{message}"
    );
    assert_eq!(first["annotation_level"], "failure");
}

#[test]
fn more_annotations_than_anybody_reads_are_not_sent() {
    let github = GitHub::start();
    let (api, _) = api(&github.url());
    let report = report(2_000, "x");
    let annotations = annotations(&[&report]);
    let run = CheckRun {
        name: "plimsoll/Dockerfile",
        conclusion: Conclusion::Pardoned,
        title: "t",
        summary: "s",
        details_url: None,
        annotations: &annotations,
    };
    let shown = github::create_check_run(&api, &pull_request(), &run).unwrap();
    assert_eq!(
        (shown, github.requests().len()),
        (github::MAX_ANNOTATIONS, 10)
    );
    assert_eq!(body(&github, 0)["conclusion"], "neutral");
}

fn put(api: &Api, text: &str) -> Result<(), CiError> {
    github::put_comment(
        api,
        &pull_request(),
        "plimsoll/Dockerfile",
        text,
        "the rest is in the job",
    )
}

#[test]
fn one_comment_is_written_over_and_over() {
    let github = GitHub::start();
    let (api, _) = api(&github.url());
    for index in 0..150 {
        github.comment(json!({ "id": index, "body": "hello", "user": { "type": "User" } }));
    }
    put(&api, "first").unwrap();
    put(&api, "second").unwrap();
    let comments = github.comments();
    assert_eq!(comments.len(), 151);
    let text = comments[150]["body"].as_str().unwrap();
    assert_eq!(text, "<!-- plimsoll: plimsoll/Dockerfile -->\nsecond");
    let calls = github.calls();
    assert_eq!(
        calls[2..],
        [
            "POST /repos/octo/app/issues/7/comments",
            "GET /repos/octo/app/issues/7/comments?per_page=100&page=1",
            "GET /repos/octo/app/issues/7/comments?per_page=100&page=2",
            "PATCH /repos/octo/app/issues/comments/1150",
        ]
    );
}

#[test]
fn a_comment_of_somebody_else_with_the_same_mark_is_left_alone() {
    let github = GitHub::start();
    let (api, _) = api(&github.url());
    let mark = "<!-- plimsoll: plimsoll/Dockerfile -->\nmine";
    for (id, kind, association, text) in [
        (1, "User", "NONE", mark.to_owned()),
        (2, "User", "CONTRIBUTOR", mark.to_owned()),
        (3, "Bot", "NONE", format!("> {mark}")),
    ] {
        github.comment(json!({
            "id": id, "body": text, "user": { "type": kind }, "author_association": association,
        }));
    }
    put(&api, "ours").unwrap();
    let comments = github.comments();
    assert_eq!(comments.len(), 4);
    assert!(
        comments[..3]
            .iter()
            .all(|c| c["body"].as_str().unwrap().contains("mine"))
    );
}

#[test]
fn a_comment_that_is_too_long_is_cut_after_a_line_and_says_where_the_rest_is() {
    let github = GitHub::start();
    let (api, _) = api(&github.url());
    let long = "<details><summary>😀</summary>\n\n".to_owned() + &"- 😀 row\n".repeat(20_000);
    put(&api, &long).unwrap();
    let text = github.comments()[0]["body"].as_str().unwrap().to_owned();
    assert!(text.encode_utf16().count() <= github::MAX_COMMENT);
    assert!(
        text.ends_with("</details>\n\nthe rest is in the job\n"),
        "{}",
        &text[text.len() - 80..]
    );
}

#[test]
fn the_status_is_set_on_the_head_commit_in_140_characters() {
    let github = GitHub::start();
    let (api, _) = api(&github.url());
    for (conclusion, state) in [
        (Conclusion::Success, "success"),
        (Conclusion::Failure, "failure"),
        (Conclusion::Pardoned, "success"),
        (Conclusion::Error, "error"),
    ] {
        let long = "é".repeat(300);
        let (context, call) = (pull_request(), github.requests().len());
        github::set_status(
            &api,
            &context,
            "plimsoll/Dockerfile",
            conclusion,
            &long,
            None,
        )
        .unwrap();
        let sent = body(&github, call);
        assert_eq!(sent["state"], state);
        assert_eq!(sent["description"].as_str().unwrap().chars().count(), 140);
        assert_eq!(
            github.calls()[call],
            format!("POST /repos/octo/app/statuses/{HEAD}")
        );
    }
}

#[test]
fn calls_are_shown_instead_of_made() {
    let github = GitHub::start();
    let (mut options, _) = options(&github.url());
    options.dry = true;
    let api = Api::github(options).unwrap();
    let context = pull_request();
    let report = report(120, "x");
    let annotations = annotations(&[&report]);
    let package = github::package(&report, None, Limits::default()).unwrap();
    let commit = context.upload.clone().unwrap();
    assert_eq!(
        github::upload(&api, &context, &commit, &package).unwrap(),
        None
    );
    let run = CheckRun {
        name: "n",
        conclusion: Conclusion::Failure,
        title: "t",
        summary: "s",
        details_url: None,
        annotations: &annotations,
    };
    github::create_check_run(&api, &context, &run).unwrap();
    put(&api, "text").unwrap();
    let shown = api.shown();
    let calls: Vec<String> = shown
        .iter()
        .map(|c| format!("{} {}", c.method, c.url))
        .collect();
    let base = format!("{}/repos/octo/app", github.url());
    assert_eq!(
        calls,
        [
            format!("POST {base}/code-scanning/sarifs"),
            format!("POST {base}/check-runs"),
            format!("PATCH {base}/check-runs/{{id}}"),
            format!("PATCH {base}/check-runs/{{id}}"),
            format!("GET {base}/issues/7/comments?per_page=100&page=1"),
            format!("POST {base}/issues/7/comments"),
        ]
    );
    assert!(shown[0].bytes > package.encoded.len() && shown[4].bytes == 0);
    assert!(github.requests().is_empty());
}

#[test]
fn the_token_goes_to_the_forge_and_nowhere_else() {
    let other = Double::start(|_| Reply::new(200, "[]"));
    let elsewhere = format!("http://{}/repos/octo/app/issues/7/comments", other.host());
    let github = GitHub::bent(move |seen| {
        (seen.method == "GET").then(|| Reply::new(301, "{}").header("location", elsewhere.clone()))
    });
    let (api, _) = api(&github.url());
    let _ = put(&api, "text");
    let seen = other.requests();
    assert!(
        !seen.is_empty(),
        "the redirect of a renamed repository is followed"
    );
    assert!(
        seen.iter().all(|seen| seen.authorization.is_none()),
        "{seen:?}"
    );
    assert!(seen.iter().all(|seen| seen.method == "GET"), "{seen:?}");
}

#[test]
fn a_token_that_no_header_can_carry_is_an_error_that_does_not_repeat_it() {
    for token in ["ghs_a\nb", "", "ghs ä", "a\u{0}"] {
        let (mut options, _) = options("https://github.example.com/api/v3");
        options.token = plimsoll::secret::Secret::new(token);
        let error = words(&Api::github(options).err().unwrap());
        assert!(error.contains("token"), "{error}");
        assert!(token.is_empty() || !error.contains(token), "{error}");
    }
    for base in ["", "github.example.com", "not an address", "file:///x"] {
        let (options, _) = options(base);
        assert!(Api::github(options).is_err(), "{base}");
    }
}
