//! What forges are told: every call against a double that answers with the forge's own words, and
//! against the forge's own description of its API.

mod calls;
mod contract;
mod gitlab;
mod identity;
mod refusals;
mod runs;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use plimsoll::{
    ci::{
        CiError,
        api::{Api, ApiOptions},
        github::{Checkout, Context, Workflow, context},
    },
    finding::{Assessment, Finding, Location, Outcome, Verdict},
    registry::RegistryOptions,
    report::{ImageIdentity, ImageReport, Report, ReportKind, SourceText},
    secret::Secret,
};

const MERGE: &str = "1111111111111111111111111111111111111111";
const HEAD: &str = "2222222222222222222222222222222222222222";
const TOKEN: &str = "ghs_0123456789abcdefghijklmnopqrstuvwxyz";
/// What findings, paths and names may hold.
const HOSTILE: &str = "a,b:c\n::set-output name=passed::true\r\n$(id) `id` \"q\" 'q' \u{1b}[31mred ünïcödé %0A <img> -->";

/// The waits that were asked for, in seconds; nothing waits.
type Waits = Arc<Mutex<Vec<u64>>>;

fn options(url: &str) -> (ApiOptions, Waits) {
    let waits = Waits::default();
    let log = Arc::clone(&waits);
    let mut options = ApiOptions::new(url, Secret::new(TOKEN), RegistryOptions::default());
    options.wait = Some(Arc::new(move |time: Duration| {
        log.lock().unwrap().push(time.as_secs());
    }));
    (options, waits)
}

fn api(url: &str) -> (Api, Waits) {
    let (options, waits) = options(url);
    (Api::github(options).unwrap(), waits)
}

fn waited(waits: &Waits) -> Vec<u64> {
    waits.lock().unwrap().clone()
}

/// A pull request of the repository itself.
fn pull_request() -> Context {
    let workflow = Workflow {
        repository: "octo/app".to_owned(),
        event: "pull_request".to_owned(),
        reference: "refs/pull/7/merge".to_owned(),
        sha: MERGE.to_owned(),
        actor: "mona".to_owned(),
    };
    let payload = serde_json::json!({ "pull_request": {
        "number": 7, "head": { "sha": HEAD, "repo": { "full_name": "octo/app" } },
    } });
    context(&workflow, &payload, &Checkout::default(), None).unwrap()
}

/// A scan with so many findings, each with `words` in it.
fn report(findings: usize, words: &str) -> Report {
    let location = Location {
        file: "Dockerfile".to_owned(),
        line: 1,
        end_line: 1,
        column: Some(1),
        end_column: Some(5),
    };
    let finding = |index: usize| {
        Finding::new(index.to_string(), format!("finding {index}: {words}"))
            .at(Some(location.clone()))
            .remedy(words)
    };
    let verdict = match findings {
        0 => Verdict::Passed { note: None },
        n => Verdict::Failed((0..n).map(finding).collect()),
    };
    Report {
        kind: ReportKind::Scan,
        passed: findings == 0,
        images: vec![ImageReport {
            image: ImageIdentity {
                reference: "registry.example.com/app:1.0-1".to_owned(),
                digest: None,
                config_digest: None,
                platform: None,
                tag: None,
            },
            assessments: vec![Assessment {
                rule: plimsoll::check::rules().next().unwrap(),
                outcome: Outcome::Assessed(verdict),
                blocking: true,
                exception: None,
            }],
            packages_count: None,
            advisories: None,
            base: None,
            fallback: None,
            timings: Vec::new(),
            contents: None,
        }],
        lints: Vec::new(),
        sources: vec![SourceText {
            file: "Dockerfile".to_owned(),
            text: "FROM scratch\n".to_owned(),
        }],
        dockerfile: Some("Dockerfile".to_owned()),
        created: "2026-11-22T06:00:00Z".parse().unwrap(),
        documented: "2026-11-22T06:00:00Z".parse().unwrap(),
        pushed: None,
        baseline: None,
        anchor: None,
    }
}

/// The error as a user reads it.
fn words(error: &CiError) -> String {
    format!("{error}; {}", error.remedy().unwrap_or_default())
}
