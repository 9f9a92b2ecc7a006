//! Results for code scanning: one upload a Dockerfile, within GitHub's limits, and whether they were
//! taken in.

use std::{io::Write as _, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use octocrab::models::code_scannings::UploadSarif;
use serde_json::Value;

use super::{Commit, Context};
use crate::{
    ci::{
        CiError, What,
        api::{Api, Call, Method},
    },
    report::{Report, Reporter as _, Sarif},
};

/// What GitHub takes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// results that it keeps of a run, the most severe first
    pub results: usize,
    /// bytes of the file, compressed
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            results: 5_000,
            bytes: 10_000_000,
        }
    }
}

/// Results ready to be sent.
#[derive(Debug, Clone)]
pub struct Package {
    /// compressed, then as base64
    pub encoded: String,
    /// results in it
    pub results: usize,
    /// results that did not fit
    pub left_out: usize,
    /// what they are filed under
    pub category: String,
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Processed {
    /// taken in
    Complete,
    /// not yet, after more than four minutes
    Pending,
}

/// Makes the report ready: the most severe results, as many as GitHub keeps. A second upload of one
/// category for a commit replaces the first, so each Dockerfile has its own unless `category` says
/// otherwise.
pub fn package(
    report: &Report,
    category: Option<&str>,
    limits: Limits,
) -> Result<Package, CiError> {
    let unfit = |reason: String| CiError::Unfit {
        what: What::Sarif,
        reason,
        remedy: None,
    };
    let mut text = Vec::new();
    Sarif
        .write(report, &mut text)
        .map_err(|error| unfit(error.to_string()))?;
    let mut sarif: Value =
        serde_json::from_slice(&text).map_err(|error| unfit(error.to_string()))?;
    drop(text);
    let run = sarif
        .pointer_mut("/runs/0")
        .ok_or_else(|| unfit("the report has no run".to_owned()))?;
    if let Some(category) = category {
        let id = format!("{}/", category.trim_end_matches('/'));
        run["automationDetails"]["id"] = id.into();
    }
    let category = run["automationDetails"]["id"].as_str().unwrap_or_default();
    let category = category.trim_end_matches('/').to_owned();
    let all = run["results"].as_array().map_or(0, Vec::len);
    let mut keep = all.min(limits.results);
    loop {
        // The reporter puts the most severe first.
        if let Some(results) = sarif
            .pointer_mut("/runs/0/results")
            .and_then(Value::as_array_mut)
        {
            results.truncate(keep);
        }
        let packed = compress(&sarif).map_err(|error| unfit(error.to_string()))?;
        if packed.len() <= limits.bytes {
            return Ok(Package {
                encoded: STANDARD.encode(packed),
                results: keep,
                left_out: all - keep,
                category,
            });
        }
        if keep == 0 {
            let most = limits.bytes;
            return Err(unfit(format!(
                "the rules alone are larger than {most} bytes, compressed"
            )));
        }
        keep /= 2;
    }
}

fn compress(sarif: &Value) -> std::io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(sarif.to_string().as_bytes())?;
    gzip.finish()
}

/// Sends the results; the id to ask for them by.
pub fn upload(
    api: &Api,
    context: &Context,
    commit: &Commit,
    package: &Package,
) -> Result<Option<String>, CiError> {
    let body = UploadSarif {
        commit_sha: commit.sha.clone(),
        ref_field: commit.reference.clone(),
        sarif: package.encoded.clone(),
        checkout_uri: None,
        started_at: None,
        tool_name: None,
        validate: None,
    };
    let body = serde_json::to_value(body).map_err(|error| CiError::Unfit {
        what: What::Sarif,
        reason: error.to_string(),
        remedy: None,
    })?;
    let path = format!("{}/code-scanning/sarifs", context.route());
    // Not one that doubles: a second upload of the category takes the place of the first.
    let answer = api.call(&Call::send(What::Sarif, Method::Post, path, body))?;
    Ok(answer["id"]
        .as_str()
        .filter(|id| is_id(id))
        .map(str::to_owned))
}

/// What goes into a path.
fn is_id(id: &str) -> bool {
    !id.is_empty()
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Asks after 5, 15, 35, 75 and 155 seconds whether the results were taken in.
pub fn wait_for_processing(api: &Api, context: &Context, id: &str) -> Result<Processed, CiError> {
    let path = format!("{}/code-scanning/sarifs/{id}", context.route());
    for pause in [5, 10, 20, 40, 80] {
        api.wait(What::Sarif, Duration::from_secs(pause))?;
        let answer = api.call(&Call::get(What::Sarif, path.clone()))?;
        match answer["processing_status"].as_str() {
            Some("complete") => return Ok(Processed::Complete),
            Some("failed") => {
                let errors = answer["errors"].as_array().into_iter().flatten();
                let errors = errors
                    .filter_map(Value::as_str)
                    .map(|error| crate::ci::text::cut(&crate::report::printable(error), 500));
                let host = api.host().to_owned();
                let mut errors: Vec<String> = errors.take(10).collect();
                if errors.is_empty() {
                    errors.push("no reason given".to_owned());
                }
                return Err(CiError::Processing { host, errors });
            }
            _ => {}
        }
    }
    Ok(Processed::Pending)
}
