//! Tells the forge and the CI what came of a run, after the reports are written and before the exit.
//! Whatever goes wrong here is a warning with its remedy: the exit code is the findings' alone.

mod early;
mod github;
mod identity;
mod sinks;
mod words;

use std::path::{Path, PathBuf};

pub(super) use early::{early, unread};
pub(super) use identity::with_identity;

use super::reports::path_for;
use crate::{
    ci::{CiError, github::Conclusion, outputs::Outputs},
    config::{Config, Environment},
    error::ExitCode,
    pipeline::Done,
    plan::Plan,
    progress::Console,
    registry::RegistryOptions,
    report::Report,
};

/// The calls that a run would make, for `run --dry-run`.
pub(super) fn plan(
    config: &Config,
    environment: &Environment,
    console: &Console,
    http: &RegistryOptions,
    plans: &[Plan],
) -> String {
    let mut delivery = Delivery::new(config, environment, console, http);
    let calls = github::planned(&mut delivery, plans);
    let lines = calls
        .iter()
        .flat_map(|call| ["call ".to_owned(), call.clone(), "\n".to_owned()]);
    lines.collect()
}

/// What came of one image.
struct Told {
    /// `plimsoll/` and the Dockerfile: what results are filed under, and the name of checks
    category: String,
    report: Option<Report>,
    /// what others can call the image by before it is pushed; `None` when it has no name
    name: Option<String>,
    tags: Vec<String>,
    sarif: Option<PathBuf>,
    json: Option<PathBuf>,
}

/// Gathers what came of each image, and tells it at the end.
pub(super) struct Delivery<'a> {
    config: &'a Config,
    environment: &'a Environment,
    console: &'a Console,
    http: &'a RegistryOptions,
    told: Vec<Told>,
    /// ids that code scanning gave to uploads
    uploads: Vec<String>,
    /// warnings that the summary repeats
    troubles: Vec<String>,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(
        config: &'a Config,
        environment: &'a Environment,
        console: &'a Console,
        http: &'a RegistryOptions,
    ) -> Self {
        Self {
            config,
            environment,
            console,
            http,
            told: Vec::new(),
            uploads: Vec::new(),
            troubles: Vec::new(),
        }
    }

    /// Takes over what came of an image.
    pub(super) fn add(&mut self, plan: &Plan, done: Done, several: bool) {
        let name = done.name.as_deref().filter(|_| several);
        let path = |format: &str| {
            let mut reports = self.config.reports.iter().map(|report| &report.value);
            let report = reports.find(|to| to.format == format && to.path.is_some())?;
            Some(path_for(report.path.as_deref()?, name))
        };
        let (sarif, json) = (path("sarif"), path("json"));
        self.told.push(Told {
            category: self.category(plan, name),
            tags: plan.scan.tags.iter().map(ToString::to_string).collect(),
            name: name_of(plan, done.report.as_ref()),
            report: done.report,
            sarif,
            json,
        });
    }

    /// A name that no image before had: a second upload under one name would close the first's alerts.
    fn category(&self, plan: &Plan, name: Option<&str>) -> String {
        let dockerfile = plan.build.as_ref().map(|build| {
            let inside = build.dockerfile.strip_prefix(build.top());
            let path = inside.unwrap_or(&build.dockerfile);
            path.to_string_lossy().replace('\\', "/")
        });
        let taken = |category: &str| self.told.iter().any(|told| told.category == category);
        let given = self.config.ci.category.as_deref();
        let category = match (given, name) {
            (Some(given), None) => given.to_owned(),
            (Some(given), Some(name)) => format!("{given}/{name}"),
            (None, _) => format!("plimsoll/{}", dockerfile.as_deref().unwrap_or("image")),
        };
        if !taken(&category) {
            return category;
        }
        let name = name.map_or_else(|| (self.told.len() + 1).to_string(), str::to_owned);
        format!("{category}/{name}")
    }

    /// Tells it; `raw` is the verdict, `code` what the process ends with.
    pub(super) fn finish(mut self, raw: ExitCode, code: ExitCode) {
        let conclusion = match raw {
            ExitCode::Success => Conclusion::Success,
            _ if code == ExitCode::Success => Conclusion::Pardoned,
            ExitCode::Rejected | ExitCode::BuildFailed => Conclusion::Failure,
            _ => Conclusion::Error,
        };
        let outcome = Outcome {
            raw,
            conclusion,
            headline: words::headline(raw, &self.reports()),
        };
        if self.environment.github().is_some() {
            github::tell(&mut self, &outcome);
        }
        let outputs = self.outputs(&outcome, code);
        sinks::tell(&mut self, &outcome, &outputs);
    }

    /// Writes the outputs of a run that a signal ended, and tells nobody else.
    pub(super) fn cut_short(mut self, code: ExitCode) {
        let outcome = Outcome {
            raw: code,
            conclusion: Conclusion::Error,
            // SIGTERM has the code of a run that took too long, and is not one.
            headline: words::headline(ExitCode::Interrupted, &self.reports()),
        };
        let outputs = self.outputs(&outcome, code);
        sinks::files(&mut self, &outputs);
    }

    fn reports(&self) -> Vec<&Report> {
        self.told
            .iter()
            .filter_map(|told| told.report.as_ref())
            .collect()
    }

    fn outputs(&self, outcome: &Outcome, code: ExitCode) -> Outputs {
        let reports = self.reports();
        // What was pushed goes by the name and digest that others pull it by.
        let pushed = || reports.iter().filter_map(|report| report.pushed.as_ref());
        let local = reports.iter().filter(|report| report.pushed.is_none());
        let images = local.flat_map(|report| &report.images);
        let digests = images.filter_map(|image| Some(image.image.digest.as_ref()?.to_string()));
        let is_local = |report: &Report| report.pushed.is_none() && !report.images.is_empty();
        let local = self.told.iter();
        let local = local.filter(|told| told.report.as_ref().is_some_and(is_local));
        let names = local.filter_map(|told| told.name.clone());
        let tags = self.told.iter().flat_map(|told| match &told.report {
            Some(Report {
                pushed: Some(pushed),
                ..
            }) => pushed.tags.clone(),
            _ => told.tags.clone(),
        });
        let paths = |path: fn(&Told) -> &Option<PathBuf>| {
            let paths = self.told.iter().filter_map(|told| path(told).as_deref());
            let paths: Vec<String> = paths.map(|path| self.shown(path)).collect();
            (!paths.is_empty()).then(|| paths.join("\n"))
        };
        let health = words::health(&reports);
        let all = reports.iter().flat_map(|report| &report.images);
        let ids = all.filter_map(|image| Some(image.image.config_digest.as_ref()?.to_string()));
        let names_pushed = pushed().flat_map(|it| {
            let name = |tag: &String| format!("{}:{tag}", it.reference);
            it.tags.iter().map(name)
        });
        Outputs {
            image: words::each_once(pushed().map(|it| it.reference.clone()).chain(names)),
            digest: words::each_once(pushed().map(|it| it.digest.to_string()).chain(digests)),
            tags: words::each_once(tags),
            passed: outcome.raw == ExitCode::Success,
            grade: health.grade,
            next_drop_date: health.next_drop,
            sarif: paths(|told| &told.sarif),
            json: paths(|told| &told.json),
            summary: outcome.headline.clone(),
            exit_code: code as u8,
            published: false,
            image_id: words::each_once(ids),
            pushed: words::each_once(names_pushed),
            sarif_id: self.uploads.clone(),
        }
    }

    /// A path as later steps can use it: relative to where they begin when it lies in there.
    fn shown(&self, path: &Path) -> String {
        let begin = self.environment.workspace();
        let begin = begin.and_then(|workspace| workspace.canonicalize().ok());
        let inside = path.strip_prefix(begin.as_ref().unwrap_or(&self.config.root));
        inside.unwrap_or(path).to_string_lossy().into_owned()
    }

    /// Says what went wrong and what to do about it.
    fn trouble(&mut self, error: &CiError) {
        let mut text = self.console.hide(&error.to_string());
        if let Some(remedy) = error.remedy() {
            text = format!("{text}; {remedy}");
        }
        self.console.warn(&text);
        self.troubles.push(text);
    }

    /// Notes an error, if there is one.
    fn settle<T>(&mut self, outcome: Result<T, CiError>) -> Option<T> {
        outcome.map_err(|error| self.trouble(&error)).ok()
    }
}

/// The name of an image, with its tag if it has one. Reports of one without a name go by its Dockerfile,
/// which is nothing to pull by.
fn name_of(plan: &Plan, report: Option<&Report>) -> Option<String> {
    let built = plan.build.as_ref();
    let is_named = plan.scan.image.is_some() || built.is_some_and(|built| !built.names.is_empty());
    let image = report.and_then(|report| report.images.first());
    let shown = image.filter(|_| is_named);
    let shown = shown.map(|image| image.image.reference.clone());
    shown.or_else(|| Some(plan.image.as_ref()?.to_string()))
}

/// How the whole run came out.
struct Outcome {
    raw: ExitCode,
    conclusion: Conclusion,
    headline: String,
}
