//! GitHub's REST API as far as a run uses it, with the bodies that it really answers.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::registry::{Double, Reply, Seen};

/// What the token of a fork is told.
pub(crate) const FORBIDDEN: &str = r#"{"message":"Resource not accessible by integration","documentation_url":"https://docs.github.com/rest/code-scanning/code-scanning#upload-an-analysis-as-sarif-data","status":"403"}"#;
/// What a repository without a licence is told.
pub(crate) const UNLICENSED: &str = r#"{"message":"Code Security must be enabled for this repository to use code scanning.","documentation_url":"https://docs.github.com/rest/code-scanning/code-scanning#upload-an-analysis-as-sarif-data","status":"403"}"#;
/// What too large a body is told.
pub(crate) const TOO_LARGE: &str = r#"{"message":"Payload Too Large","documentation_url":"https://docs.github.com/rest","status":"413"}"#;
/// What a commit is told that GitHub does not have.
pub(crate) const NO_COMMIT: &str = r#"{"message":"No commit found for SHA: 2222222222222222222222222222222222222222","documentation_url":"https://docs.github.com/rest/commits/statuses#create-a-commit-status","status":"422"}"#;
/// What code scanning says when it is down.
pub(crate) const UNAVAILABLE: &str = r#"{"code":"ServiceUnavailable","message":"Service Unavailable","documentation_url":"https://docs.github.com/rest"}"#;
/// What too many requests are told.
pub(crate) const RATE_LIMITED: &str = r#"{"message":"API rate limit exceeded for installation ID 1.","documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api","status":"403"}"#;

/// A GitHub that takes everything, but for what a test bends.
pub(crate) struct GitHub {
    double: Double,
    comments: Arc<Mutex<Vec<Value>>>,
}

type Bend = dyn Fn(&Seen) -> Option<Reply> + Send + Sync;

impl GitHub {
    /// Takes everything.
    pub(crate) fn start() -> Self {
        Self::bent(|_| None)
    }

    /// Answers as `bend` says, where it says anything.
    pub(crate) fn bent(bend: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let comments = Arc::new(Mutex::new(Vec::new()));
        let state = Arc::clone(&comments);
        let bend: Box<Bend> = Box::new(bend);
        let double = Double::start(move |seen| bend(seen).unwrap_or_else(|| answer(seen, &state)));
        Self { double, comments }
    }

    /// Refuses what the path holds.
    pub(crate) fn refusing(path: &'static str, status: u16, body: &'static str) -> Self {
        Self::bent(move |seen| seen.path.contains(path).then(|| Reply::new(status, body)))
    }

    /// Its address, an Enterprise Server's: the API has a path of its own.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/api/v3", self.double.host())
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.double.requests()
    }

    /// Methods and paths of the requests, without the prefix.
    pub(crate) fn calls(&self) -> Vec<String> {
        let requests = self.requests();
        let call = |seen: &Seen| {
            let path = seen.path.strip_prefix("/api/v3").unwrap_or(&seen.path);
            format!("{} {path}", seen.method)
        };
        requests.iter().map(call).collect()
    }

    /// Puts a comment there.
    pub(crate) fn comment(&self, comment: Value) {
        self.comments.lock().unwrap().push(comment);
    }

    /// The comments as they are.
    pub(crate) fn comments(&self) -> Vec<Value> {
        self.comments.lock().unwrap().clone()
    }
}

/// What GitHub answers to those who may do everything.
fn answer(seen: &Seen, comments: &Mutex<Vec<Value>>) -> Reply {
    let path = seen.path.strip_prefix("/api/v3").unwrap_or(&seen.path);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let body: Value = serde_json::from_slice(&seen.body).unwrap_or(Value::Null);
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').skip(3).collect();
    let reply = |status, body: Value| Reply::new(status, body.to_string());
    match (seen.method.as_str(), parts.as_slice()) {
        ("POST", ["code-scanning", "sarifs"]) => {
            reply(202, json!({ "id": "47177e22-5596-11eb-80a1-c1e54ef945c6" }))
        }
        ("GET", ["code-scanning", "sarifs", _]) => {
            reply(200, json!({ "processing_status": "complete" }))
        }
        ("POST", ["check-runs"]) => reply(201, json!({ "id": 4 })),
        ("PATCH", ["check-runs", id]) => reply(200, json!({ "id": id })),
        ("POST", ["statuses", _]) => reply(201, json!({ "id": 1, "state": body["state"] })),
        ("GET", ["issues", _, "comments"]) => page(&comments.lock().unwrap(), query),
        ("POST", ["issues", _, "comments"]) => {
            let mut comments = comments.lock().unwrap();
            let comment = json!({
                "id": 1000 + comments.len(),
                "body": body["body"],
                "user": { "login": "github-actions[bot]", "type": "Bot" },
                "author_association": "NONE",
            });
            comments.push(comment.clone());
            reply(201, comment)
        }
        ("PATCH", ["issues", "comments", id]) => {
            let mut comments = comments.lock().unwrap();
            let found = comments
                .iter_mut()
                .find(|comment| comment["id"].as_u64() == id.parse().ok());
            match found {
                Some(comment) => {
                    comment["body"] = body["body"].clone();
                    reply(200, comment.clone())
                }
                None => Reply::new(404, r#"{"message":"Not Found"}"#),
            }
        }
        _ => Reply::new(404, r#"{"message":"Not Found","status":"404"}"#),
    }
}

fn page(comments: &[Value], query: &str) -> Reply {
    let number = |name: &str, default| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(key, _)| *key == name);
        found.map_or(default, |(_, value)| value.parse().unwrap())
    };
    let (per_page, page): (usize, usize) = (number("per_page", 30), number("page", 1));
    let page: Vec<&Value> = comments
        .iter()
        .skip((page - 1) * per_page)
        .take(per_page)
        .collect();
    Reply::new(200, serde_json::to_string(&page).unwrap())
}
