//! What GitHub is told: results for code scanning, check runs, the comment, the status; and, when
//! nothing of it could be shown beside the lines, workflow commands.

use std::path::Path;

use serde_json::Value;

use super::{Delivery, Outcome, Told, words};
use crate::{
    ci::{
        CiError, What,
        api::{Api, ApiOptions},
        files,
        github::{self, CheckRun, Checkout, Commit, Context, Limits, Processed, Trust, Workflow},
    },
    config::{self, When},
    plan::Plan,
    report::{Report, ReportKind, annotations, write_commands},
};

/// What closes a text that was cut.
const CLOSING: &str = "… the rest is left out here; the reports of the job hold everything";

/// Tells it all; `delivery` collects what went wrong.
pub(super) fn tell(delivery: &mut Delivery<'_>, outcome: &Outcome) {
    let Some(run) = delivery.environment.github() else {
        return;
    };
    let place = stand(delivery, &run);
    let mut shown = false;
    if let Some((api, context)) = &place {
        let told = std::mem::take(&mut delivery.told);
        shown = upload(delivery, api, context, &told);
        shown |= check_runs(delivery, api, context, &told, (outcome, &run));
        comment(delivery, api, context, &told, (outcome, &run));
        statuses(delivery, api, context, &told, (outcome, &run));
        delivery.told = told;
        for call in api.shown() {
            let (method, url, bytes) = (call.method, call.url, call.bytes);
            let note = format!("would call: {method} {url} ({bytes} bytes)");
            delivery.console.note(&note);
        }
    }
    annotate(delivery, shown);
    let doubled = delivery
        .config
        .reports
        .iter()
        .any(|report| report.value.path.is_some() && report.value.path == run.step_summary);
    if let Some(path) = run
        .step_summary
        .filter(|_| delivery.config.ci.job_summary && !doubled)
    {
        let page = words::page(outcome, &delivery.told, &delivery.troubles);
        let written = files::append_summary(&path, &page, CLOSING);
        delivery.settle(written);
    }
}

/// Whether anything is to be called at all.
fn wanted(delivery: &Delivery<'_>) -> bool {
    let ci = &delivery.config.ci;
    ci.upload_sarif != When::Never || ci.check_run || ci.comment || ci.status
}

/// The API and where the run stands; `None` when nothing can or need be called.
fn stand(delivery: &mut Delivery<'_>, run: &config::GitHub) -> Option<(Api, Context)> {
    if !wanted(delivery) {
        return None;
    }
    let ci = &delivery.config.ci;
    let Some(token) = ci.token.clone() else {
        let text =
            "no token for GitHub: set `GITHUB_TOKEN: ${{ github.token }}` to have results uploaded";
        if ci.upload_sarif == When::Auto && !(ci.check_run || ci.comment || ci.status) {
            delivery.console.note(text);
        } else {
            delivery.console.warn(text);
            delivery.troubles.push(text.to_owned());
        }
        return None;
    };
    let context = place(delivery, run);
    let context = delivery.settle(context)?;
    let Some(base) = run.api_url.clone() else {
        let error = unfit("GITHUB_API_URL is not set".to_owned());
        delivery.trouble(&error);
        return None;
    };
    let mut options = ApiOptions::new(base, token, delivery.http.clone());
    options.dry = delivery.config.ci.dry_run;
    let api = Api::github(options);
    Some((delivery.settle(api)?, context))
}

fn unfit(reason: String) -> CiError {
    CiError::Unfit {
        what: What::Sarif,
        reason,
        remedy: Some("run in a GitHub workflow, or leave it out with `--upload-sarif false`"),
    }
}

fn place(delivery: &Delivery<'_>, run: &config::GitHub) -> Result<Context, CiError> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let workflow = Workflow {
        repository: text(&run.repository),
        event: text(&run.event),
        reference: text(&run.reference),
        sha: text(&run.sha),
        actor: text(&run.actor),
    };
    let payload = match &run.event_path {
        Some(path) => payload(path)?,
        None => Value::Null,
    };
    let checkout: Checkout = github::read_checkout(&delivery.config.root, &workflow.reference);
    let given = delivery.config.ci.commit.clone();
    let given = given.map(|(reference, sha)| Commit { reference, sha });
    github::context(&workflow, &payload, &checkout, given).map_err(|error| unfit(error.to_string()))
}

/// The payload of the event.
#[expect(
    clippy::disallowed_methods,
    reason = "a file that the runner wrote for this step"
)]
fn payload(path: &Path) -> Result<Value, CiError> {
    use std::io::Read as _;
    /// Payloads are 25 MB at most.
    const MAX: u64 = 64 * 1024 * 1024;
    let wrong = |reason: String| unfit(format!("GITHUB_EVENT_PATH {}: {reason}", path.display()));
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX).read_to_end(&mut bytes))
        .map_err(|error| wrong(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))
}

/// Uploads every scan; whether all of them are shown.
fn upload(delivery: &mut Delivery<'_>, api: &Api, context: &Context, told: &[Told]) -> bool {
    if delivery.config.ci.upload_sarif == When::Never {
        return false;
    }
    let commit = match &context.upload {
        Ok(commit) => commit,
        Err(reason) => {
            delivery.trouble(&unfit(reason.clone()));
            return false;
        }
    };
    let mut all = !told.is_empty();
    for one in told {
        // Results of a build that failed would close the alerts of every image finding.
        let scan = one
            .report
            .as_ref()
            .filter(|report| report.kind == ReportKind::Scan);
        let done = scan.is_some_and(|report| {
            let sent = upload_one(delivery, api, context, commit, (report, &one.category));
            delivery.settle(sent).is_some()
        });
        all &= done;
    }
    all
}

fn upload_one(
    delivery: &mut Delivery<'_>,
    api: &Api,
    context: &Context,
    commit: &Commit,
    (report, category): (&Report, &str),
) -> Result<(), CiError> {
    let package = github::package(report, Some(category), Limits::default())?;
    if package.left_out > 0 {
        let text = format!(
            "the {} most severe results are uploaded, {} are left out; the JSON report holds everything",
            package.results, package.left_out
        );
        delivery.console.warn(&text);
        delivery.troubles.push(text);
    }
    let id = github::upload(api, context, commit, &package)?;
    if api.is_dry() {
        return Ok(());
    }
    let (results, at) = (package.results, &commit.reference);
    delivery.console.note(&format!(
        "uploaded {results} results to {} as {category} for {at}",
        api.host()
    ));
    delivery.uploads.extend(id.clone());
    let Some(id) = id.filter(|_| delivery.config.ci.wait_for_processing) else {
        return Ok(());
    };
    match github::wait_for_processing(api, context, &id) {
        Ok(Processed::Complete) => {}
        Ok(Processed::Pending) => delivery
            .console
            .note("GitHub is still processing the results; they will show up later"),
        // What GitHub could not read is not shown; what it was not asked for may well be.
        Err(error @ CiError::Processing { .. }) => return Err(error),
        Err(error) => delivery.trouble(&error),
    }
    Ok(())
}

/// Whether the token may write at all; says so when it may not.
fn may_write(delivery: &Delivery<'_>, context: &Context, what: What) -> bool {
    let whose = match context.trust {
        Trust::Own => return true,
        Trust::Fork => "a pull request from a fork",
        Trust::Dependabot => "Dependabot",
    };
    delivery.console.note(&format!(
        "{what}: left out, the token of {whose} reads only"
    ));
    false
}

fn check_runs(
    delivery: &mut Delivery<'_>,
    api: &Api,
    context: &Context,
    told: &[Told],
    (outcome, run): (&Outcome, &config::GitHub),
) -> bool {
    if !delivery.config.ci.check_run || !may_write(delivery, context, What::CheckRun) {
        return false;
    }
    let url = run_url(run);
    let mut all = !told.is_empty();
    for one in told {
        let summary = words::page(outcome, std::slice::from_ref(one), &[]);
        let reports: Vec<&Report> = one.report.iter().collect();
        let annotations = annotations(&reports);
        let check = CheckRun {
            name: &one.category,
            conclusion: outcome.conclusion,
            title: &words::headline(outcome.raw, &reports),
            summary: &summary,
            details_url: url.as_deref(),
            annotations: &annotations,
        };
        let created = github::create_check_run(api, context, &check);
        all &= delivery.settle(created).is_some();
    }
    all
}

fn comment(
    delivery: &mut Delivery<'_>,
    api: &Api,
    context: &Context,
    told: &[Told],
    (outcome, run): (&Outcome, &config::GitHub),
) {
    if !delivery.config.ci.comment {
        return;
    }
    if context.pull.is_none() {
        let note = "pull request comment: left out, the run is of no pull request";
        return delivery.console.note(note);
    }
    if !may_write(delivery, context, What::Comment) {
        return;
    }
    let link = run_url(run).map(|url| format!("[run]({url})"));
    let sha = context.head.get(..12).unwrap_or_default();
    let foot = [Some(format!("`{sha}`")), link].into_iter().flatten();
    let foot = foot.collect::<Vec<_>>().join(" · ");
    let page = words::page(outcome, told, &[]) + &format!("\n<sub>{foot}</sub>\n");
    let closing = format!("{CLOSING}\n\n<sub>{foot}</sub>");
    let put = github::put_comment(api, context, &name(told), &page, &closing);
    delivery.settle(put);
}

fn statuses(
    delivery: &mut Delivery<'_>,
    api: &Api,
    context: &Context,
    told: &[Told],
    (outcome, run): (&Outcome, &config::GitHub),
) {
    if !delivery.config.ci.status || !may_write(delivery, context, What::Status) {
        return;
    }
    let url = run_url(run);
    let (name, conclusion) = (name(told), outcome.conclusion);
    let line = &outcome.headline;
    let set = github::set_status(api, context, &name, conclusion, line, url.as_deref());
    delivery.settle(set);
}

/// The name of what there is once a run.
pub(super) fn name(told: &[Told]) -> String {
    let names: Vec<&str> = told.iter().map(|told| told.category.as_str()).collect();
    if names.is_empty() {
        return "plimsoll".to_owned();
    }
    crate::ci::text::cut(&names.join(", "), 200)
}

/// Findings as workflow commands, unless they are shown beside the lines already.
fn annotate(delivery: &Delivery<'_>, shown: bool) {
    let by_format = delivery
        .config
        .reports
        .iter()
        .any(|report| report.value.format == "github" && report.value.path.is_none());
    let wanted = match delivery.config.ci.annotations {
        When::Always => true,
        When::Never => false,
        When::Auto => !shown && !by_format,
    };
    let mut text = Vec::new();
    if wanted && write_commands(&annotations(&delivery.reports()), &mut text).is_ok() {
        for line in String::from_utf8_lossy(&text).lines() {
            delivery.console.command(line);
        }
    }
}

fn run_url(run: &config::GitHub) -> Option<String> {
    let (server, repository) = (run.server_url.as_deref()?, run.repository.as_deref()?);
    let id: u64 = run.run_id.as_deref()?.parse().ok()?;
    let server = server.trim_end_matches('/');
    Some(format!("{server}/{repository}/actions/runs/{id}"))
}

/// The calls that a run would make, for `run --dry-run`; sizes are known once there is a report.
pub(in crate::command) fn planned(delivery: &mut Delivery<'_>, plans: &[Plan]) -> Vec<String> {
    let Some(run) = delivery.environment.github() else {
        return Vec::new();
    };
    let Some((_, context)) = stand(delivery, &run) else {
        return Vec::new();
    };
    let base = run.api_url.unwrap_or_default();
    let base = base.trim_end_matches('/');
    let ci = &delivery.config.ci;
    let route = context.route();
    let mut calls = Vec::new();
    for _ in plans {
        if let (Ok(commit), false) = (&context.upload, ci.upload_sarif == When::Never) {
            let (reference, sha) = (&commit.reference, &commit.sha);
            calls.push(format!(
                "POST {base}{route}/code-scanning/sarifs  ({reference} at {sha})"
            ));
        }
        if ci.check_run && context.trust == Trust::Own {
            calls.push(format!("POST {base}{route}/check-runs  ({})", context.head));
        }
    }
    if let (Some(pull), true, Trust::Own) = (context.pull, ci.comment, context.trust) {
        calls.push(format!(
            "POST or PATCH {base}{route}/issues/{pull}/comments"
        ));
    }
    if ci.status && context.trust == Trust::Own {
        calls.push(format!("POST {base}{route}/statuses/{}", context.head));
    }
    calls
}
