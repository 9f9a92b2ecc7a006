//! Whose fault it is: the Dockerfile's, with its line and BuildKit's words, or this machine's.

use std::io;

use super::{Job, shown};
use crate::{
    engine::{
        BuildError, StepFailure,
        docker::chain,
        embedded::{
            files::FileError,
            frontend::{Refusal, RefusalKind},
            graph::Vertex,
            step::{Exit, RunError},
            store::StoreError,
        },
    },
    finding::Location,
    oci::SourceError,
};

/// Where the Dockerfile has a vertex.
pub(super) fn location(job: &Job, vertex: &Vertex) -> Option<Location> {
    let span = vertex.span?;
    Some(Location {
        file: shown(&job.plan.dockerfile, job.plan.top()),
        line: span.line,
        end_line: span.end_line,
        column: None,
        end_column: None,
    })
}

/// The Dockerfile's fault.
pub(super) fn dockerfile(job: &Job, vertex: Option<&Vertex>, message: String) -> BuildError {
    BuildError::Dockerfile(Box::new(StepFailure {
        message,
        location: vertex.and_then(|vertex| location(job, vertex)),
        step: vertex.map(|vertex| vertex.name.clone()),
        ..StepFailure::default()
    }))
}

pub(super) fn host_error(error: StoreError) -> BuildError {
    match error {
        StoreError::Io { what, source } => BuildError::Io { what, source },
        other => BuildError::Io {
            what: other.to_string(),
            source: io::Error::other(other),
        },
    }
}

pub(super) fn source_failure(error: SourceError) -> BuildError {
    match error {
        SourceError::Io { what, source } => BuildError::Io { what, source },
        other => BuildError::Io {
            what: other.to_string(),
            source: io::Error::other(other),
        },
    }
}

/// A layer or tree: what an image or a step holds is the Dockerfile's fault.
pub(super) fn store_failure(job: &Job, vertex: Option<&Vertex>, error: &StoreError) -> BuildError {
    if job_is_cancelled(error) {
        return BuildError::Interrupted;
    }
    match error {
        StoreError::Io { what, source } => {
            no_room(job, what, source).unwrap_or_else(|| BuildError::Io {
                what: what.clone(),
                source: io::Error::new(source.kind(), source.to_string()),
            })
        }
        StoreError::Host { what, reason } => BuildError::Engine {
            engine: job.engine.clone(),
            reason: format!("{what}: {reason}"),
            hint: None,
        },
        StoreError::Layer { .. } | StoreError::Tree { .. } | StoreError::Source(_) => {
            dockerfile(job, vertex, chain(error))
        }
    }
}

fn job_is_cancelled(error: &StoreError) -> bool {
    matches!(error, StoreError::Source(SourceError::Io { source, .. }) if source.to_string() == "interrupted")
}

pub(super) fn file_failure(job: &Job, vertex: Option<&Vertex>, error: &FileError) -> BuildError {
    let full = match error {
        FileError::Io { what, path, source } => no_room(job, &format!("{what} {path}"), source),
        _ => None,
    };
    match error {
        FileError::Interrupted => BuildError::Interrupted,
        other => full.unwrap_or_else(|| dockerfile(job, vertex, chain(other))),
    }
}

/// The disk is full, which is no fault of the Dockerfile's.
fn no_room(job: &Job, what: &str, error: &io::Error) -> Option<BuildError> {
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    full.contains(&error.kind()).then(|| BuildError::Engine {
        engine: job.engine.clone(),
        reason: format!("{what}: {error}"),
        hint: Some(format!(
            "make room where the cache directory {} is (`plimsoll cache prune` takes from it), or name another \
             one with --cache-dir",
            job.cache_dir.display()
        )),
    })
}

pub(super) fn run_failure(
    job: &Job,
    vertex: &Vertex,
    error: RunError,
    log: Vec<String>,
) -> BuildError {
    match error {
        RunError::Interrupted => BuildError::Interrupted,
        RunError::Host { what, hint, source } => BuildError::Engine {
            engine: job.engine.clone(),
            reason: source.map_or_else(|| what.clone(), |cause| format!("{what}: {cause}")),
            hint,
        },
        RunError::Step(what) | RunError::Limit { what } => {
            BuildError::Dockerfile(Box::new(StepFailure {
                message: what,
                location: location(job, vertex),
                step: Some(vertex.name.clone()),
                log,
                ..StepFailure::default()
            }))
        }
    }
}

/// A command that ended badly, in BuildKit's words.
pub(super) fn exit_failure(
    job: &Job,
    vertex: &Vertex,
    args: &[String],
    exit: Exit,
    log: Vec<String>,
) -> BuildError {
    let code = match exit {
        Exit::Code(code) => code,
        Exit::Signal(signal) => 128 + signal,
    };
    let command = args.join(" ");
    BuildError::Dockerfile(Box::new(StepFailure {
        message: format!("process {command:?} did not complete successfully: exit code: {code}"),
        location: location(job, vertex),
        step: Some(vertex.name.clone()),
        log,
        exit_code: Some(code),
        lints: Vec::new(),
    }))
}

/// Nothing was run: the Dockerfile cannot be built, or not by this engine.
pub(super) fn refused(job: &Job, refusals: &[Refusal]) -> BuildError {
    let text = |refusal: &Refusal, place: bool| {
        let at = refusal.location.as_ref().filter(|_| place);
        let at = at.map(|at| format!("{}:{}: ", at.file, at.line));
        format!("{}{}", at.unwrap_or_default(), refusal.message)
    };
    let all_unsupported = refusals
        .iter()
        .all(|refusal| refusal.kind == RefusalKind::Unsupported);
    let first = refusals
        .iter()
        .find(|refusal| refusal.kind != RefusalKind::Unsupported)
        .or_else(|| refusals.first());
    if all_unsupported {
        let lines: Vec<String> = refusals.iter().map(|refusal| text(refusal, true)).collect();
        return BuildError::Unsupported {
            engine: job.engine.clone(),
            what: lines.join("; "),
            hint: first.map(|refusal| refusal.remedy.clone()),
        };
    }
    let lines: Vec<String> = refusals
        .iter()
        .map(|refusal| text(refusal, refusals.len() > 1))
        .collect();
    let remedy = first
        .map(|refusal| refusal.remedy.clone())
        .filter(|r| !r.is_empty());
    BuildError::Dockerfile(Box::new(StepFailure {
        message: lines.join("\n"),
        location: first.and_then(|refusal| refusal.location.clone()),
        log: remedy.into_iter().collect(),
        ..StepFailure::default()
    }))
}
