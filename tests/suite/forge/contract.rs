//! Every request that is made, against GitHub's own description of its API: always against the part
//! of it that is shipped here, and against prism, a server made of the whole, where it is there.

use std::{
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use plimsoll::{
    ci::{
        api::Api,
        github::{self, CheckRun, Conclusion, Limits},
    },
    report::annotations,
};
use serde_json::Value;

use super::{HOSTILE, api, options, pull_request, report};
use crate::support::{command, forge::GitHub, has_program, registry::Seen, shared, skipped};

/// Every call that there is.
fn everything(api: &Api, words: &str) {
    let context = pull_request();
    for findings in [0, 120] {
        let report = report(findings, words);
        let annotations = annotations(&[&report]);
        let package = github::package(&report, Some(words), Limits::default()).unwrap();
        let commit = context.upload.clone().unwrap();
        let id = github::upload(api, &context, &commit, &package).unwrap();
        // A server made of examples answers with one that need not be `complete`.
        let _ = github::wait_for_processing(api, &context, &id.unwrap()).unwrap();
        for conclusion in [
            Conclusion::Success,
            Conclusion::Failure,
            Conclusion::Pardoned,
            Conclusion::Error,
        ] {
            let run = CheckRun {
                name: words,
                conclusion,
                title: words,
                summary: words,
                details_url: Some("https://github.example.com/octo/app/actions/runs/1"),
                annotations: &annotations,
            };
            github::create_check_run(api, &context, &run).unwrap();
            github::set_status(
                api,
                &context,
                words,
                conclusion,
                words,
                Some("https://github.example.com/x"),
            )
            .unwrap();
        }
        for text in ["first", words] {
            github::put_comment(api, &context, words, text, "rest").unwrap();
        }
    }
}

/// The operation of a request: its entry, and the values of the path's parameters.
fn operation<'a>(paths: &'a Value, seen: &Seen) -> Option<(&'a str, &'a Value, Vec<String>)> {
    let path = seen.path.strip_prefix("/api/v3")?;
    let path = path.split('?').next()?;
    paths.as_object()?.iter().find_map(|(template, methods)| {
        let (want, have): (Vec<_>, Vec<_>) =
            (template.split('/').collect(), path.split('/').collect());
        let fits = want.len() == have.len()
            && want
                .iter()
                .zip(&have)
                .all(|(want, have)| want.starts_with('{') || want == have);
        let values = || {
            let pairs = want
                .iter()
                .zip(&have)
                .filter(|(want, _)| want.starts_with('{'));
            pairs.map(|(_, have)| (*have).to_owned()).collect()
        };
        let method = methods.get(seen.method.to_lowercase())?;
        fits.then(|| (template.as_str(), method, values()))
    })
}

fn faults(paths: &Value, seen: &Seen) -> Vec<String> {
    let call = format!("{} {}", seen.method, seen.path);
    let Some((_, operation, _)) = operation(paths, seen) else {
        return vec![format!("{call}: GitHub has no such operation")];
    };
    let mut faults = Vec::new();
    if let Some(schema) = operation.get("body") {
        let body: Value = serde_json::from_slice(&seen.body).unwrap_or(Value::Null);
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(schema)
            .unwrap();
        for error in validator.iter_errors(&body) {
            faults.push(format!("{call}: {}: {error}", error.instance_path()));
        }
    } else if !seen.body.is_empty() {
        faults.push(format!("{call}: a body that nobody asked for"));
    }
    let query = seen.path.split_once('?').map_or("", |(_, query)| query);
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let known = operation["parameters"].as_array().unwrap().iter();
        let known = known
            .filter(|it| it["in"] == "query" && it["name"] == name)
            .count();
        if known != 1 {
            faults.push(format!("{call}: no parameter {name}={value}"));
        }
    }
    faults
}

fn shipped() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/github-requests.json");
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["paths"].clone()
}

#[test]
fn every_request_is_one_that_github_describes() {
    let paths = shipped();
    let github = GitHub::start();
    let (api, _) = api(&github.url());
    everything(&api, "plimsoll/Dockerfile");
    everything(&api, HOSTILE);
    let requests = github.requests();
    let faults: Vec<String> = requests
        .iter()
        .flat_map(|seen| faults(&paths, seen))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    // Each operation was made, so that none escapes its schema.
    let mut made: Vec<String> = requests
        .iter()
        .filter_map(|seen| Some(format!("{} {}", seen.method, operation(&paths, seen)?.0)))
        .collect();
    made.sort();
    made.dedup();
    let known: usize = paths
        .as_object()
        .unwrap()
        .values()
        .map(|m| m.as_object().unwrap().len())
        .sum();
    assert_eq!(made.len(), known, "{made:#?}");
}

#[test]
fn a_request_that_github_does_not_describe_would_be_noticed() {
    let paths = shipped();
    let seen = |method: &str, path: &str, body: &str| Seen {
        method: method.to_owned(),
        path: format!("/api/v3/repos/o/r{path}"),
        authorization: None,
        range: None,
        nth: 0,
        body: body.as_bytes().to_vec(),
        host: String::new(),
    };
    for (method, path, body) in [
        (
            "POST",
            "/code-scanning/sarifs",
            r#"{"commit_sha":"abc","ref":"refs/heads/x","sarif":""}"#,
        ),
        (
            "POST",
            "/code-scanning/sarifs",
            r#"{"commit_sha":"1111111111111111111111111111111111111111","ref":"main","sarif":""}"#,
        ),
        ("POST", "/statuses/1", r#"{"state":"passed"}"#),
        (
            "POST",
            "/check-runs",
            r#"{"name":"x","head_sha":"y","conclusion":"passed"}"#,
        ),
        ("POST", "/issues/1/comments", "{}"),
        ("GET", "/issues/1/comments?pages=1", ""),
        ("GET", "/issues/1/comments?page=1", "{}"),
        ("PUT", "/issues/1/comments", "{}"),
    ] {
        assert!(
            !faults(&paths, &seen(method, path, body)).is_empty(),
            "{method} {path} {body}"
        );
    }
}

/// GitHub's description as a server, from the tools of the harness.
struct Prism {
    process: Child,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Drop for Prism {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prism {
    fn start(description: &str, port: u16) -> Option<Self> {
        let program = std::env::var_os("PLIMSOLL_PRISM").unwrap_or_else(|| "prism".into());
        let program = program.to_string_lossy().into_owned();
        let description =
            shared().map(|shared| shared.join("data/schemas/github").join(description));
        let Some(description) = description.filter(|_| has_program(&program)) else {
            skipped(
                "prism",
                "PLIMSOLL_PRISM names no prism, or the shared data is not there",
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let out = std::fs::File::create(&log).unwrap();
        let process = command(&program)
            .args(["mock", "-h", "127.0.0.1", "-p", &port.to_string()])
            .arg(description)
            .stdout(out.try_clone().unwrap())
            .stderr(Stdio::from(out))
            .spawn()
            .unwrap();
        let prism = Self {
            process,
            log,
            _folder: folder,
        };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let waited = started.elapsed() < Duration::from_mins(2);
            assert!(waited, "prism does not start: {}", prism.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        Some(prism)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn githubs_own_description_takes_every_request() {
    for description in [
        "github-rest-subset.openapi.json",
        "ghes-3.17-rest-subset.openapi.json",
    ] {
        let port = free_port();
        let Some(prism) = Prism::start(description, port) else {
            return;
        };
        let (api, _) = api(&format!("http://127.0.0.1:{port}"));
        everything(&api, HOSTILE);
        let log = prism.log();
        assert!(!log.contains("Violation:"), "{log}");
        assert!(
            log.contains("code-scanning/sarifs"),
            "the requests came here: {log}"
        );
        // A check of the checker: what is wrong is refused.
        let (options, _) = options(&format!("http://127.0.0.1:{port}"));
        let api = Api::github(options).unwrap();
        let mut context = pull_request();
        let commit = github::Commit {
            reference: "main".to_owned(),
            sha: "abc".to_owned(),
        };
        context.upload = Ok(commit.clone());
        let package = github::package(&report(0, "x"), None, Limits::default()).unwrap();
        assert!(github::upload(&api, &context, &commit, &package).is_err());
        assert!(prism.log().contains("Violation:"));
    }
}
