//! Turns the engine's refusal into the instruction that failed and how. New engines say where by
//! typed details; of old ones the words are matched with the Dockerfile.

use std::sync::LazyLock;

use bollard_buildkit_proto::google::rpc;
use prost::Message as _;
use regex::Regex;
use serde::Deserialize;
use tonic::{Code, Status};

use super::{
    lint::lints,
    progress::{Progress, Step},
    source::Source,
};
use crate::{
    engine::{BuildError, StepFailure, docker::chain},
    finding::Location,
};

static PARSE_LINE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"parse error (?:on )?line (\d+)").ok());
static EXIT_CODE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"exit code: (\d+)").ok());
static MISSING_FILE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#""(/[^"]*)":? not found|lstat ([^:]*): no such file"#).ok());

/// Wrapping that says nothing to the user.
const WRAPPERS: &[&str] = &[
    "rpc error: code = Unknown desc = ",
    "rpc error: code = NotFound desc = ",
    "rpc error: code = InvalidArgument desc = ",
    "failed to solve with frontend dockerfile.v0: ",
    "failed to solve: ",
    "failed to build LLB: ",
    "failed to create LLB definition: ",
    "failed to receive status: ",
];

/// Steps that are the engine's own business, not the Dockerfile's.
const ENGINE_STEPS: &[&str] = &[
    "exporting",
    "importing cache",
    "preparing",
    "[internal] load build context",
];

/// Words of faults in the Dockerfile that come without a step or a line.
const DOCKERFILE_WORDS: &[&str] = &[
    "dockerfile",
    "stage",
    "base name",
    "copy",
    "instruction",
    "parse",
];

/// What is known when a solve failed.
pub(crate) struct Refusal<'a> {
    /// the engine, as the user should read it
    pub(crate) engine: &'a str,
    /// the Dockerfile
    pub(crate) source: &'a Source,
    /// the steps until then
    pub(crate) progress: &'a Progress,
    /// faults of this side
    pub(crate) troubles: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Details {
    lines: Option<(u32, u32)>,
    vertex: Option<String>,
    exit_code: Option<i32>,
}

#[derive(Deserialize)]
struct SourceDetail {
    info: Option<Info>,
    #[serde(default)]
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    filename: String,
}

#[derive(Deserialize)]
struct Range {
    start: Option<Position>,
    end: Option<Position>,
}

#[derive(Deserialize)]
struct Position {
    line: Option<u32>,
}

/// Why there is no image, in one error.
pub(crate) fn explain(status: &Status, refusal: &Refusal<'_>) -> BuildError {
    let details = details(status, &refusal.source.base_name);
    let step = refusal.progress.failed(details.vertex.as_deref());
    if is_connection_loss(status, &details, step) {
        return lost(refusal.engine, &words(status));
    }
    let message = plain(status.message());
    let location = locate(
        &details,
        step.map(|step| step.name.as_str()),
        status,
        refusal.source,
    );
    let engines_own =
        step.is_some_and(|step| ENGINE_STEPS.iter().any(|own| step.name.starts_with(own)));
    let of_dockerfile = location.is_some()
        || step.is_some() && !engines_own
        || step.is_none()
            && DOCKERFILE_WORDS
                .iter()
                .any(|word| message.to_lowercase().contains(word));
    if !of_dockerfile {
        return refused(status, message, refusal);
    }
    let mut message = message;
    for trouble in &refusal.troubles {
        if !message.contains(trouble) {
            message.push_str(": ");
            message.push_str(trouble);
        }
    }
    BuildError::Dockerfile(Box::new(StepFailure {
        exit_code: details.exit_code.or_else(|| {
            let words = step
                .and_then(|step| step.error.as_deref())
                .unwrap_or(status.message());
            captured(&EXIT_CODE, words)?.parse().ok()
        }),
        message,
        location,
        step: step.map(|step| step.name.clone()),
        log: step.map(Step::log).unwrap_or_default(),
        lints: lints(refusal.progress.warnings(), refusal.source),
    }))
}

/// A status and its causes in one line; its own display is made for developers.
pub(super) fn words(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(cause) => match chain(cause) {
            causes if causes.starts_with(status.message()) => causes,
            causes => format!("{}: {causes}", status.message()),
        },
        None => plain(status.message()),
    }
}

/// The engine went away.
fn lost(engine: &str, reason: &str) -> BuildError {
    BuildError::Engine {
        engine: engine.to_owned(),
        reason: format!("the connection was lost during the build: {reason}"),
        hint: Some("see whether the engine still runs, then build again".to_owned()),
    }
}

fn refused(status: &Status, message: String, refusal: &Refusal<'_>) -> BuildError {
    let unsupported = status.code() == Code::Unimplemented
        || message.contains("could not be found") && message.contains("exporter")
        || message.contains("unknown cache exporter")
        || message.contains("is not allowed");
    if unsupported {
        return BuildError::Unsupported {
            engine: refusal.engine.to_owned(),
            what: message,
            hint: None,
        };
    }
    let reason = std::iter::once(message).chain(refusal.troubles.iter().cloned());
    BuildError::Engine {
        engine: refusal.engine.to_owned(),
        reason: reason.collect::<Vec<_>>().join(": "),
        hint: None,
    }
}

/// Errors of the transport carry their cause; what the daemon says carries none. A daemon that shuts
/// down cancels its builds and has no step to blame; one that passes on a registry's refusal has.
fn is_connection_loss(status: &Status, details: &Details, step: Option<&Step>) -> bool {
    if std::error::Error::source(status).is_some() {
        return true;
    }
    let gave_up = status.code() == Code::Unavailable
        || status.code() == Code::Cancelled
        || status.message().ends_with("context canceled");
    gave_up && details.lines.is_none() && step.is_none()
}

fn locate(
    details: &Details,
    step: Option<&str>,
    status: &Status,
    source: &Source,
) -> Option<Location> {
    if let Some((first, last)) = details.lines {
        return Some(source.lines(first, last));
    }
    if let Some(line) = captured(&PARSE_LINE, status.message()) {
        return Some(source.instruction_at(line.parse().ok()?));
    }
    step.and_then(|step| source.instruction_of(step))
        .or_else(|| {
            let missing = captured(&MISSING_FILE, status.message())?;
            source.copy_of(&missing)
        })
}

fn captured(pattern: &LazyLock<Option<Regex>>, text: &str) -> Option<String> {
    let found = pattern.as_ref()?.captures(text)?;
    found
        .iter()
        .skip(1)
        .flatten()
        .next()
        .map(|group| group.as_str().to_owned())
}

/// Typed details: a `google.rpc.Status` whose values are JSON.
fn details(status: &Status, file: &str) -> Details {
    let mut found = Details::default();
    let Ok(decoded) = rpc::Status::decode(status.details()) else {
        return found;
    };
    for any in decoded.details {
        let kind = any.type_url.rsplit('/').next().unwrap_or_default();
        if kind.ends_with("errdefs.Source+json") {
            found.lines = found.lines.or_else(|| lines(&any.value, file));
        } else if kind.ends_with("errdefs.Vertex+json") {
            let vertex = serde_json::from_slice::<serde_json::Value>(&any.value).ok();
            let digest = vertex.and_then(|v| v.get("digest")?.as_str().map(str::to_owned));
            found.vertex = found.vertex.or(digest);
        } else if kind.ends_with("ExitMessage+json") {
            let exit = serde_json::from_slice::<serde_json::Value>(&any.value).ok();
            let code = exit.and_then(|v| v.get("Code")?.as_i64());
            found.exit_code = found
                .exit_code
                .or(code.and_then(|code| i32::try_from(code).ok()));
        }
    }
    found
}

fn lines(json: &[u8], file: &str) -> Option<(u32, u32)> {
    let detail: SourceDetail = serde_json::from_slice(json).ok()?;
    if detail
        .info
        .is_some_and(|info| !info.filename.is_empty() && info.filename != file)
    {
        return None;
    }
    let start = |range: &Range| range.start.as_ref().and_then(|position| position.line);
    let end = |range: &Range| range.end.as_ref().and_then(|position| position.line);
    let first = detail.ranges.iter().filter_map(start).min()?;
    let last = detail.ranges.iter().filter_map(end).max().unwrap_or(first);
    Some((first, last.max(first)))
}

fn plain(message: &str) -> String {
    let mut message = message.trim();
    while let Some(rest) = WRAPPERS
        .iter()
        .find_map(|wrapper| message.strip_prefix(wrapper))
    {
        message = rest;
    }
    message.to_owned()
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
