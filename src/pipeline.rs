//! The order of the stages; nothing else knows it.
//!
//! check → build → scan. What a stage finds wrong goes into the report, and a report is made
//! whenever there is something to tell, also when a stage ended early.

use std::{path::Path, time::Instant};

use tempfile::TempDir;

use crate::{
    check,
    config::{EngineChoice, Stage},
    dockerfile::{Dockerfile, PredictContext, lints, predict},
    engine::{self, BuildError, BuildPlan, Built, Cancel, StepFailure},
    error::{Error, ExitCode},
    finding::{Assessment, Finding, Lint, LintLevel, Location},
    gather::{self, Context, Opened, Reach, Request},
    inventory::ScanOptions,
    layout::Transport,
    oci::{Reference, ResolvedImage, Tag, resolve},
    plan::{Plan, ScanPlan},
    policy::{self, Judgement, Policy, Profile},
    progress::Console,
    report::{BaseSummary, ImageIdentity, ImageReport, Report, ReportKind, SourceText},
    subject::{Fact, Subject},
};

/// What every stage needs.
pub struct Tools<'a> {
    /// registries and engines
    pub reach: &'a Reach,
    /// standard error
    pub console: &'a Console,
    /// what images are laid beside
    pub advisories: &'a gather::Advisories,
    /// set when the user wants to stop
    pub cancel: &'a Cancel,
    /// when the run began
    pub now: jiff::Timestamp,
}

/// What came of one plan.
pub struct Done {
    /// name among several images
    pub name: Option<String>,
    /// what there is to tell, even when a stage failed
    pub report: Option<Report>,
    /// the code that this plan asks for
    pub code: ExitCode,
    /// why a stage ended early
    pub error: Option<Error>,
}

impl Done {
    fn failed(plan: &Plan, error: Error) -> Self {
        let code = error.exit_code();
        Self {
            name: plan.name.clone(),
            report: None,
            code,
            error: Some(error),
        }
    }
}

/// Goes through the stages of a plan.
pub fn run(plan: &Plan, tools: &Tools<'_>) -> Done {
    let recipe = match Recipe::read(plan) {
        Ok(recipe) => recipe,
        Err(error) => return Done::failed(plan, error),
    };
    let wants = |stage| plan.stages.value.contains(&stage);
    match (&plan.build, wants(Stage::Build)) {
        (Some(build), true) => build_and_scan(plan, build, &recipe, tools, wants(Stage::Scan)),
        _ if wants(Stage::Scan) => scan_given(plan, &recipe, tools),
        _ => predicted(plan, &recipe, tools),
    }
}

/// The Dockerfile of a plan as text, and as far as it could be read.
struct Recipe {
    file: Option<String>,
    text: String,
    dockerfile: Option<Dockerfile>,
    lints: Vec<Lint>,
}

impl Recipe {
    fn read(plan: &Plan) -> Result<Self, Error> {
        let Some(build) = &plan.build else {
            return Ok(Self {
                file: None,
                text: String::new(),
                dockerfile: None,
                lints: Vec::new(),
            });
        };
        let bytes = gather::read_file(&build.dockerfile).map_err(|source| BuildError::Io {
            what: format!("Dockerfile {}", build.dockerfile.display()),
            source,
        })?;
        let file = relative(&build.dockerfile, &build.root);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (dockerfile, faults) = Dockerfile::read(&file, &text);
        let mut found: Vec<Lint> = faults.iter().map(|fault| fault.lint()).collect();
        found.extend(dockerfile.iter().flat_map(lints));
        Ok(Self {
            file: Some(file),
            text,
            dockerfile,
            lints: dedup(found),
        })
    }

    fn from(&self) -> Option<Location> {
        let stage = self.dockerfile.as_ref()?.stages.last()?;
        Some(self.dockerfile.as_ref()?.location(&stage.from))
    }

    fn report(&self, kind: ReportKind, tools: &Tools<'_>) -> Report {
        let source = |file: &String| SourceText {
            file: file.clone(),
            text: self.text.clone(),
        };
        Report {
            kind,
            passed: false,
            images: Vec::new(),
            lints: self.lints.clone(),
            sources: self.file.iter().map(source).collect(),
            dockerfile: self.file.clone(),
            created: tools.now,
        }
    }
}

fn dedup(lints: Vec<Lint>) -> Vec<Lint> {
    let mut kept: Vec<Lint> = Vec::with_capacity(lints.len());
    for lint in lints {
        if !kept
            .iter()
            .any(|it| it.rule == lint.rule && it.finding == lint.finding)
        {
            kept.push(lint);
        }
    }
    kept
}

/// Path as reports write it: relative to the repository, `/` between components.
fn relative(path: &Path, root: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    inside.to_string_lossy().replace('\\', "/")
}

// --- check ----------------------------------------------------------------------------------------

fn predicted(plan: &Plan, recipe: &Recipe, tools: &Tools<'_>) -> Done {
    let mut report = recipe.report(ReportKind::Check, tools);
    let broken = report
        .lints
        .iter()
        .any(|lint| lint.level == LintLevel::Error);
    let mut code = if broken {
        ExitCode::BuildFailed
    } else {
        ExitCode::Success
    };
    let mut error = None;
    if let (Some(dockerfile), Some(build)) = (&recipe.dockerfile, &plan.build) {
        match prediction(plan, build, dockerfile, tools) {
            Ok(judgement) => {
                if judgement.rejected() && code == ExitCode::Success {
                    code = ExitCode::Rejected;
                }
                report.images.push(predicted_image(plan, recipe, judgement));
            }
            Err(failure) => {
                code = ExitCode::Usage;
                error = Some(failure);
            }
        }
    }
    report.passed = code == ExitCode::Success;
    Done {
        name: plan.name.clone(),
        report: Some(report),
        code,
        error,
    }
}

fn prediction(
    plan: &Plan,
    build: &BuildPlan,
    dockerfile: &Dockerfile,
    tools: &Tools<'_>,
) -> Result<Judgement, Error> {
    let tags: Vec<String> = judged_tags(plan);
    let repository = plan.image.as_ref().map(|image| image.repository.clone());
    let files = Context::new(&build.context, &build.dockerfile);
    let context = PredictContext {
        target: build.target.as_deref(),
        args: Some(&build.args),
        labels: Some(&build.labels),
        tags: &tags,
        repository: repository.as_deref(),
        files: Some(&files),
        ..PredictContext::default()
    };
    let predictions = predict(dockerfile, &context).map_err(|error| Error::Usage {
        what: error.to_string(),
        hint: None,
    })?;
    let policy = policy(&plan.scan);
    let assessments = check::rules()
        .filter(|rule| policy.selects(rule))
        .filter_map(|rule| {
            let prediction = predictions.rules.iter().find(|p| p.rule == rule.id)?;
            Some(Assessment {
                rule,
                outcome: prediction.outcome.clone(),
                blocking: rule.level == crate::rule::Level::Required,
                exception: None,
            })
        })
        .collect();
    let mut judgement = policy::judge(assessments, &policy, today(tools));
    // A prediction that cannot be made is no missing fact: the scan will have it.
    for assessment in &mut judgement.assessments {
        if assessment.outcome_name() == "not_assessed" {
            assessment.blocking = false;
        }
    }
    Ok(judgement)
}

fn predicted_image(plan: &Plan, recipe: &Recipe, judgement: Judgement) -> ImageReport {
    let tag = plan.scan.tags.first().map(Tag::to_string);
    let reference = match (&plan.image, &tag) {
        (Some(image), Some(tag)) => format!("{image}:{tag}"),
        (Some(image), None) => image.to_string(),
        (None, _) => recipe.file.clone().unwrap_or_default(),
    };
    ImageReport {
        image: ImageIdentity {
            reference,
            digest: None,
            config_digest: None,
            platform: None,
            tag,
        },
        assessments: judgement.assessments,
        packages_count: None,
        advisories: None,
        base: None,
        fallback: recipe.from(),
        timings: Vec::new(),
    }
}

// --- build ----------------------------------------------------------------------------------------

fn build_and_scan(
    plan: &Plan,
    build: &BuildPlan,
    recipe: &Recipe,
    tools: &Tools<'_>,
    scan: bool,
) -> Done {
    let started = Instant::now();
    let (built, _scratch) = match build_image(plan, build, tools) {
        Ok(built) => built,
        Err(error) => return build_failed(plan, recipe, tools, error),
    };
    let seconds = started.elapsed().as_secs_f64();
    tools.console.note(&format!(
        "built {} with {} in {seconds:.1} s",
        built.digest, built.engine
    ));
    let mut report = recipe.report(
        if scan {
            ReportKind::Scan
        } else {
            ReportKind::Build
        },
        tools,
    );
    report.lints.extend(built.lints.clone());
    report.lints = dedup(report.lints);
    // The engine built it, so whatever this reader stumbled over stops nothing.
    for lint in &mut report.lints {
        lint.level = lint.level.min(LintLevel::Warning);
    }
    if !scan {
        report.passed = true;
        return Done {
            name: plan.name.clone(),
            report: Some(report),
            code: ExitCode::Success,
            error: None,
        };
    }
    let opened = gather::open_layout(&built.layout);
    let name = build.names.first().cloned().unwrap_or_else(|| {
        recipe.file.clone().map_or_else(
            || "image".to_owned(),
            |file| format!("{file} ({})", built.digest),
        )
    });
    match opened.map_err(Error::from).and_then(|opened| {
        scan_images(
            plan,
            recipe,
            &Target {
                opened: &opened,
                name,
                tag: None,
            },
            tools,
        )
    }) {
        Ok(images) => judged(plan, report, images),
        Err(error) => Done {
            report: Some(report),
            ..Done::failed(plan, error)
        },
    }
}

fn build_image(
    plan: &Plan,
    build: &BuildPlan,
    tools: &Tools<'_>,
) -> Result<(Built, Option<TempDir>), Error> {
    let choice = match plan.engine.value {
        EngineChoice::Auto => engine::EngineChoice::Auto,
        EngineChoice::Buildkit => engine::EngineChoice::BuildKit,
        EngineChoice::Docker => engine::EngineChoice::Docker,
        EngineChoice::Embedded => {
            return Err(BuildError::Unsupported {
                engine: "this version".to_owned(),
                what: "the embedded engine".to_owned(),
                hint: Some(
                    "leave `--engine` out, with a Docker Engine or BuildKit in reach".to_owned(),
                ),
            }
            .into());
        }
    };
    let mut build = build.clone();
    let scratch = if build.output.as_os_str().is_empty() {
        let io = |source| BuildError::Io {
            what: "temporary directory".to_owned(),
            source,
        };
        let scratch = tempfile::tempdir().map_err(io)?;
        build.output = scratch.path().join("image");
        Some(scratch)
    } else {
        None
    };
    let engine = engine::connect(choice, &tools.reach.engine)?;
    let title = format!("build with {}", engine.describe());
    let built = tools.console.stage("build", &title, || {
        let mut events = tools.console.build();
        engine.build(&build, &mut events, tools.cancel)
    })?;
    Ok((built, scratch))
}

fn build_failed(plan: &Plan, recipe: &Recipe, tools: &Tools<'_>, error: Error) -> Done {
    let mut done = Done::failed(plan, error);
    if let Some(Error::Build(BuildError::Dockerfile(failure))) = &done.error {
        let mut report = recipe.report(ReportKind::Build, tools);
        report.lints.extend(failure.lints.clone());
        report.lints.push(failure_lint(failure, recipe));
        report.lints = dedup(report.lints);
        done.report = Some(report);
    }
    done
}

fn failure_lint(failure: &StepFailure, recipe: &Recipe) -> Lint {
    let step = failure.step.clone().unwrap_or_else(|| "build".to_owned());
    let message = match failure.log.last() {
        Some(last) if !last.trim().is_empty() => format!("{}: {}", failure.message, last.trim()),
        _ => failure.message.clone(),
    };
    Lint {
        rule: "build/failed".to_owned(),
        title: "the build failed in this instruction".to_owned(),
        level: LintLevel::Error,
        help_uri: None,
        finding: Finding::new(step, message).at(failure.location.clone().or_else(|| recipe.from())),
    }
}

// --- scan -----------------------------------------------------------------------------------------

/// An image that is to be scanned.
struct Target<'a> {
    opened: &'a Opened,
    /// as reports name it
    name: String,
    /// the tag that the place itself has
    tag: Option<String>,
}

fn scan_given(plan: &Plan, recipe: &Recipe, tools: &Tools<'_>) -> Done {
    let report = recipe.report(ReportKind::Scan, tools);
    let place = plan.scan.image.clone().unwrap_or_default();
    let images = place
        .parse::<Transport>()
        .map_err(|error| Error::Usage {
            what: error.to_string(),
            hint: None,
        })
        .and_then(|transport| {
            let opened = gather::open(&transport, tools.reach)?;
            let tag = transport.tag();
            scan_images(
                plan,
                recipe,
                &Target {
                    opened: &opened,
                    name: place.clone(),
                    tag,
                },
                tools,
            )
        });
    match images {
        Ok(images) => judged(plan, report, images),
        Err(error) => Done::failed(plan, error),
    }
}

fn judged(plan: &Plan, mut report: Report, images: Vec<(ImageReport, Judgement)>) -> Done {
    let rejected = images.iter().any(|(_, judgement)| judgement.rejected());
    let unassessed = images.iter().any(|(_, judgement)| judgement.unassessed());
    let code = match (rejected, unassessed) {
        (true, _) => ExitCode::Rejected,
        (false, true) => ExitCode::NotAssessed,
        (false, false) => ExitCode::Success,
    };
    report.images = images.into_iter().map(|(image, _)| image).collect();
    report.passed = code == ExitCode::Success;
    Done {
        name: plan.name.clone(),
        report: Some(report),
        code,
        error: None,
    }
}

fn scan_images(
    plan: &Plan,
    recipe: &Recipe,
    target: &Target<'_>,
    tools: &Tools<'_>,
) -> Result<Vec<(ImageReport, Judgement)>, Error> {
    let title = format!("scan {}", target.name);
    tools.console.stage("scan", &title, || {
        let platforms = &plan.scan.platforms;
        let mut images: Vec<ResolvedImage> = Vec::new();
        if platforms.is_empty() {
            images = resolve(target.opened.source(), None)?.images;
        }
        for platform in platforms {
            images.extend(resolve(target.opened.source(), Some(platform))?.images);
        }
        images
            .iter()
            .map(|image| scan_image(plan, recipe, target, image, tools))
            .collect()
    })
}

fn scan_image(
    plan: &Plan,
    recipe: &Recipe,
    target: &Target<'_>,
    image: &ResolvedImage,
    tools: &Tools<'_>,
) -> Result<(ImageReport, Judgement), Error> {
    let started = Instant::now();
    let options = ScanOptions {
        cancel: tools.cancel.clone(),
        ..ScanOptions::default()
    };
    let bars = tools.console.scan();
    let request = request(plan, recipe, target, tools);
    let subject = gather::subject(
        target.opened.source(),
        image,
        &request,
        tools.reach,
        &options,
        &bars,
    )?;
    drop(bars);
    if let Fact::Known(facts) = &subject.advisories {
        for note in &facts.matched.notes {
            tools.console.warn(note);
        }
    }
    let policy = policy(&plan.scan);
    let assessments = check::assess(&subject, |rule| policy.selects(rule));
    let judgement = policy::judge(assessments, &policy, today(tools));
    let seconds = started.elapsed().as_secs_f64();
    tools
        .console
        .note(&format!("scanned {} in {seconds:.1} s", subject.digest));
    let tag = request_tag(&request.tags);
    Ok((
        image_report(&subject, recipe, &judgement, tag, seconds),
        judgement,
    ))
}

fn request<'a>(
    plan: &'a Plan,
    recipe: &'a Recipe,
    target: &Target<'_>,
    tools: &'a Tools<'_>,
) -> Request<'a> {
    let mut tags = judged_tags(plan);
    if tags.is_empty() {
        tags.extend(target.tag.clone());
    }
    let build = plan.build.as_ref();
    Request {
        display_name: target.name.clone(),
        reference: plan
            .image
            .clone()
            .or_else(|| target.name.parse::<Reference>().ok()),
        tags: if tags.is_empty() {
            Fact::Unmet("the image has no tag: name one with `--tag` or `image.tag`".to_owned())
        } else {
            Fact::Known(tags)
        },
        dockerfile: recipe.dockerfile.as_ref(),
        build,
        base: plan.scan.base.as_deref(),
        privileged: plan.scan.privileged.unwrap_or(false),
        advisories: tools.advisories,
        max_age: plan.scan.max_age,
    }
}

fn request_tag(tags: &Fact<Vec<String>>) -> Option<String> {
    match tags {
        Fact::Known(tags) => tags.first().cloned(),
        Fact::Unmet(_) => None,
    }
}

fn judged_tags(plan: &Plan) -> Vec<String> {
    plan.scan
        .tags
        .iter()
        .chain(&plan.scan.floating_tags)
        .map(Tag::to_string)
        .collect()
}

fn policy(scan: &ScanPlan) -> Policy {
    let profile = match (scan.profile, scan.privileged) {
        (Profile::Container, Some(true)) => Profile::Root,
        (Profile::ScratchNonroot, Some(true)) => Profile::ScratchRoot,
        (profile, _) => profile,
    };
    Policy {
        profile,
        required: scan.required.clone(),
        only: scan.only.clone(),
        exceptions: scan.exceptions.clone(),
    }
}

fn today(tools: &Tools<'_>) -> jiff::civil::Date {
    tools.now.to_zoned(jiff::tz::TimeZone::UTC).date()
}

fn image_report(
    subject: &Subject,
    recipe: &Recipe,
    judgement: &Judgement,
    tag: Option<String>,
    seconds: f64,
) -> ImageReport {
    let base = match &subject.base {
        Fact::Known(base) => Some(BaseSummary {
            reference: base.reference.clone(),
            digest: base.digest.clone(),
            layers: base.diff_ids.len(),
        }),
        Fact::Unmet(_) => None,
    };
    let packages_count = match &subject.inventory.packages {
        Fact::Known(packages) => Some(packages.list.iter().filter(|p| !p.is_key()).count()),
        Fact::Unmet(_) => None,
    };
    ImageReport {
        image: ImageIdentity {
            reference: subject.display_name.clone(),
            digest: Some(subject.digest.clone()),
            config_digest: Some(subject.config_digest.clone()),
            platform: Some(subject.platform.clone()),
            tag,
        },
        assessments: judgement.assessments.clone(),
        packages_count,
        advisories: match &subject.advisories {
            Fact::Known(facts) => Some(facts.clone()),
            Fact::Unmet(_) => None,
        },
        base,
        fallback: subject.at_from().or_else(|| recipe.from()),
        timings: vec![("scan", seconds)],
    }
}
