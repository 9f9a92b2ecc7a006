//! A check run with annotations: shown on the commit and in the diff, without Code Security.

use octocrab::params::checks::{
    CheckRunOutput, CheckRunOutputAnnotation, CheckRunOutputAnnotationLevel,
};
use serde_json::{Value, json};

use super::{Conclusion, Context};
use crate::{
    ci::{
        CiError, What,
        api::{Api, Call, Method},
        text::{cut, fit_markdown},
    },
    finding::Location,
    report::{Annotation, AnnotationLevel},
};

/// Annotations of one request.
const BATCH: usize = 50;
/// Annotations in all: ten requests; who has more reads the report.
pub const MAX_ANNOTATIONS: usize = 500;
/// Characters of a title.
const MAX_TITLE: usize = 255;
/// Bytes of the summary, and of an annotation's message.
const MAX_SUMMARY: usize = 65_535;
const MAX_MESSAGE: usize = 16_000;

/// What a check run says.
#[derive(Debug, Clone)]
pub struct CheckRun<'a> {
    /// name in the list of checks
    pub name: &'a str,
    /// how the run came out
    pub conclusion: Conclusion,
    /// one line
    pub title: &'a str,
    /// Markdown
    pub summary: &'a str,
    /// page with more
    pub details_url: Option<&'a str>,
    /// remarks on lines, the worst first
    pub annotations: &'a [Annotation],
}

/// Creates the check run on the head commit, then adds the annotations that one request cannot hold.
/// Returns how many annotations are shown.
pub fn create(api: &Api, context: &Context, run: &CheckRun<'_>) -> Result<usize, CiError> {
    let annotations: Vec<&Annotation> = run
        .annotations
        .iter()
        .filter(|annotation| place(annotation).is_some())
        .take(MAX_ANNOTATIONS)
        .collect();
    let mut batches = annotations.chunks(BATCH);
    let mut body = json!({
        "name": run.name,
        "head_sha": context.head,
        "status": "completed",
        "conclusion": match run.conclusion {
            Conclusion::Success => "success",
            // Not assessed is never passed: `neutral` would satisfy a required check.
            Conclusion::Failure | Conclusion::Error => "failure",
            Conclusion::Pardoned => "neutral",
        },
        "output": output(run, batches.next().unwrap_or_default())?,
    });
    if let Some(url) = run.details_url {
        body["details_url"] = url.into();
    }
    let path = format!("{}/check-runs", context.route());
    let call = Call::send(What::CheckRun, Method::Post, path.clone(), body).that_doubles();
    let answer = api.call(&call)?;
    let id = answer["id"].as_u64();
    for batch in batches {
        let id = match id {
            Some(id) => id.to_string(),
            None if api.is_dry() => "{id}".to_owned(),
            None => {
                return Err(CiError::Malformed {
                    what: What::CheckRun,
                    host: api.host().to_owned(),
                    reason: "the check run has no id".to_owned(),
                });
            }
        };
        let body = json!({ "output": output(run, batch)? });
        let path = format!("{path}/{id}");
        let call = Call::send(What::CheckRun, Method::Patch, path, body).that_doubles();
        api.call(&call)?;
    }
    Ok(annotations.len())
}

fn output(run: &CheckRun<'_>, annotations: &[&Annotation]) -> Result<Value, CiError> {
    let closing = "… the rest is left out here; the reports of the job hold everything";
    let output = CheckRunOutput {
        title: cut(run.title, MAX_TITLE),
        summary: fit_markdown(run.summary, MAX_SUMMARY, closing, str::len),
        text: None,
        annotations: annotations.iter().filter_map(|a| annotation(a)).collect(),
        images: Vec::new(),
    };
    serde_json::to_value(output).map_err(|error| CiError::Unfit {
        what: What::CheckRun,
        reason: error.to_string(),
        remedy: None,
    })
}

fn place(annotation: &Annotation) -> Option<&Location> {
    annotation
        .location
        .as_ref()
        .or(annotation.fallback.as_ref())
}

fn annotation(annotation: &Annotation) -> Option<CheckRunOutputAnnotation> {
    let at = place(annotation)?;
    let end_line = at.end_line.max(at.line);
    // GitHub refuses columns of several lines.
    let column = |column: Option<u32>| column.filter(|_| at.line == end_line);
    let details = annotation.details.trim_end();
    Some(CheckRunOutputAnnotation {
        path: at.file.clone(),
        start_line: at.line,
        end_line,
        start_column: column(at.column),
        end_column: column(at.end_column).filter(|_| at.column.is_some()),
        annotation_level: match annotation.level {
            AnnotationLevel::Failure => CheckRunOutputAnnotationLevel::Failure,
            AnnotationLevel::Warning => CheckRunOutputAnnotationLevel::Warning,
            AnnotationLevel::Notice => CheckRunOutputAnnotationLevel::Notice,
        },
        // Each character is four bytes at most, and GitHub takes 64 KB.
        message: cut(&annotation.message, MAX_MESSAGE),
        title: Some(cut(&annotation.title, MAX_TITLE)),
        raw_details: (!details.is_empty()).then(|| cut(details, MAX_MESSAGE)),
    })
}
