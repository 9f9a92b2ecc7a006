//! What the other CIs are told, and the files that they all read: outputs, dotenv, results.

use super::{Delivery, Outcome, github::name, words};
use crate::{
    ci::{
        self, CiError,
        api::{Api, ApiOptions},
        azure, files,
        outputs::{Counts, Outputs},
    },
    config::When,
    report::annotations,
};

pub(super) fn tell(delivery: &mut Delivery<'_>, outcome: &Outcome, outputs: &Outputs) {
    note(delivery, outcome);
    if delivery.environment.is_azure() {
        azure(delivery, outputs);
    }
    files(delivery, outputs);
}

/// The files that later steps and jobs read.
pub(super) fn files(delivery: &mut Delivery<'_>, outputs: &Outputs) {
    if let Some(path) = delivery.environment.github().and_then(|run| run.output) {
        let text = outputs.for_github(&ci::unguessable());
        let written = files::append(&path, &delivery.console.hide(&text));
        delivery.settle(written);
    }
    if let Some(path) = &delivery.config.ci.dotenv {
        let (text, left_out) = outputs.for_dotenv();
        let written = files::write(path, &delivery.console.hide(&text));
        if !left_out.is_empty() {
            let names = left_out.join(", ");
            let text = format!("too long for {}: {names}", path.display());
            delivery.console.warn(&text);
        }
        delivery.settle(written);
    }
    results(delivery, outputs);
}

fn results(delivery: &mut Delivery<'_>, outputs: &Outputs) {
    let Some(folder) = &delivery.config.ci.results_dir else {
        return;
    };
    let counts = delivery
        .reports()
        .iter()
        .flat_map(|report| &report.images)
        .map(|image| crate::report::counts(&image.assessments))
        .fold(Counts::default(), |sum, one| Counts {
            successes: sum.successes + one.passed,
            failures: sum.failures + one.failed + one.not_assessed,
            warnings: sum.warnings + one.warnings,
        });
    let reports = delivery.reports();
    let when = reports
        .first()
        .map_or(0, |report| report.created.as_second());
    let mut outcomes = Vec::new();
    for (name, value) in outputs.for_results(counts, when) {
        let value = delivery.console.hide(&value);
        outcomes.push(files::write(&folder.join(name), &value));
    }
    for outcome in outcomes {
        delivery.settle(outcome);
    }
}

fn azure(delivery: &Delivery<'_>, outputs: &Outputs) {
    if delivery.config.ci.annotations != When::Never {
        for line in azure::issues(&annotations(&delivery.reports())) {
            delivery.console.command(&line);
        }
    }
    for (name, value) in outputs.for_azure() {
        delivery
            .console
            .command(&azure::set_variable(&name, &value));
    }
}

/// The note on GitLab's merge request.
fn note(delivery: &mut Delivery<'_>, outcome: &Outcome) {
    let Some(gitlab) = delivery.environment.gitlab() else {
        return;
    };
    if !delivery.config.ci.comment {
        return;
    }
    let request = gitlab
        .merge_request
        .as_deref()
        .and_then(|iid| iid.parse().ok());
    let (Some(request), Some(project), Some(base)) = (request, gitlab.project_id, gitlab.api_url)
    else {
        let note = "merge request note: left out, the job is of no merge request";
        return delivery.console.note(note);
    };
    let Some(token) = delivery.config.ci.gitlab_token.clone() else {
        let note = "merge request note: left out, the token of the job cannot write one: set `GITLAB_TOKEN` to a project access token with the scope api";
        return delivery.console.note(note);
    };
    let link = gitlab
        .job_url
        .map(|url| format!("\n<sub>[job]({url})</sub>\n"));
    let page = words::page(outcome, &delivery.told, &[]) + &link.unwrap_or_default();
    let name = name(&delivery.told);
    let mut options = ApiOptions::new(base, token, delivery.http.clone());
    options.dry = delivery.config.ci.dry_run;
    let put = || -> Result<Api, CiError> {
        let api = Api::gitlab(options)?;
        ci::gitlab::put_note(&api, project, request, &name, &page)?;
        Ok(api)
    };
    let api = delivery.settle(put());
    for call in api.iter().flat_map(Api::shown) {
        let (method, url, bytes) = (call.method, call.url, call.bytes);
        let note = format!("would call: {method} {url} ({bytes} bytes)");
        delivery.console.note(&note);
    }
}
