//! `build`: the image, or the finding that says why there is none.

use std::{sync::Arc, time::Instant};

use tempfile::TempDir;

use super::{
    Done, Tools, load,
    recipe::{Recipe, dedup},
    scan::{Target, judged, scan_images},
};
use crate::{
    config::EngineChoice,
    engine::{self, BuildError, BuildPlan, Built, StepFailure},
    error::{Error, ExitCode},
    finding::{Finding, Lint, LintLevel},
    gather,
    inventory::LayerMemory,
    plan::Plan,
    progress::Console,
    report::{Report, ReportKind},
};

pub(super) fn build_and_scan(
    plan: &Plan,
    build: &BuildPlan,
    recipe: &Recipe,
    tools: &Tools<'_>,
    scan: bool,
) -> Done {
    let started = Instant::now();
    let Made {
        built: made,
        memory,
        scratch: _scratch,
    } = match build_image(plan, build, tools) {
        Ok(made) => made,
        Err(error) => return build_failed(plan, recipe, tools, error),
    };
    let seconds = started.elapsed().as_secs_f64();
    tools.console.note(&format!(
        "built {} with {} in {seconds:.1} s",
        made.digest, made.engine
    ));
    if plan.load
        && let Err(error) = load::load(&made, &build.names, tools)
    {
        return build_failed(plan, recipe, tools, error);
    }
    let mut report = recipe.report(
        if scan {
            ReportKind::Scan
        } else {
            ReportKind::Build
        },
        tools,
    );
    report.lints.extend(made.lints.clone());
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
    let opened = gather::open_layout(&made.layout);
    let name = build.names.first().cloned().unwrap_or_else(|| {
        recipe.file.clone().map_or_else(
            || "image".to_owned(),
            |file| format!("{file} ({})", made.digest),
        )
    });
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => return unreadable(plan, recipe, tools, report, error.into()),
    };
    let target = Target {
        opened: &opened,
        name,
        reference: None,
        place: None,
        tag: None,
        current_base: true,
        memory,
    };
    match scan_images(plan, recipe, &target, tools) {
        Ok(images) => judged(plan, report, images, &target, tools),
        Err(error) => unreadable(plan, recipe, tools, report, error),
    }
}

fn unreadable(
    plan: &Plan,
    recipe: &Recipe,
    tools: &Tools<'_>,
    mut report: Report,
    error: Error,
) -> Done {
    // A report that names no image must not read as one without findings.
    report.lints.push(unscanned(&error, recipe, tools.console));
    Done {
        report: Some(report),
        ..Done::failed(plan, error)
    }
}

/// An image that was built.
struct Made {
    built: Built,
    /// what the engine noted of its layers
    memory: Option<Arc<dyn LayerMemory>>,
    scratch: Option<TempDir>,
}

fn build_image(plan: &Plan, plan_of_build: &BuildPlan, tools: &Tools<'_>) -> Result<Made, Error> {
    let choice = match plan.engine.value {
        EngineChoice::Auto => engine::EngineChoice::Auto,
        EngineChoice::Buildkit => engine::EngineChoice::BuildKit,
        EngineChoice::Docker => engine::EngineChoice::Docker,
        EngineChoice::Embedded => engine::EngineChoice::Embedded,
    };
    let mut recipe = plan_of_build.clone();
    let scratch = if recipe.output.as_os_str().is_empty() {
        let io = |source| BuildError::Io {
            what: "temporary directory".to_owned(),
            source,
        };
        let scratch = tempfile::tempdir().map_err(io)?;
        recipe.output = scratch.path().join("image");
        Some(scratch)
    } else {
        None
    };
    let engine = engine::connect(choice, &tools.reach.engine, &tools.reach.registry)?;
    let _agents = engine::serve_keys(&mut recipe)?;
    let title = format!("build with {}", engine.describe());
    let built = tools.console.stage("build", &title, || {
        let mut events = tools.console.build();
        engine.build(&recipe, &mut events, tools.cancel)
    })?;
    Ok(Made {
        built,
        memory: engine.memory(&recipe),
        scratch,
    })
}

fn build_failed(plan: &Plan, recipe: &Recipe, tools: &Tools<'_>, error: Error) -> Done {
    let mut done = Done::failed(plan, error);
    if let Some(Error::Build(BuildError::Dockerfile(failure))) = &done.error {
        let mut report = recipe.report(ReportKind::Build, tools);
        report.lints.extend(failure.lints.clone());
        report
            .lints
            .push(failure_lint(failure, recipe, tools.console));
        report.lints = dedup(report.lints);
        done.report = Some(report);
    }
    done
}

fn unscanned(error: &Error, recipe: &Recipe, console: &Console) -> Lint {
    let message = format!("the image was built but could not be scanned: {error}");
    Lint {
        rule: "scan/failed".to_owned(),
        title: "the image could not be scanned".to_owned(),
        level: LintLevel::Error,
        help_uri: None,
        finding: Finding::new("scan", console.clean(&message)).at(recipe.from()),
    }
}

fn failure_lint(failure: &StepFailure, recipe: &Recipe, console: &Console) -> Lint {
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
        // What a step prints before it fails may be the very secret that it was given.
        finding: Finding::new(console.clean(&step), console.clean(&message))
            .at(failure.location.clone().or_else(|| recipe.from())),
    }
}
