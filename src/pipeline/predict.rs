//! `check`: what the Dockerfile alone tells.

use super::{
    Done, Tools,
    recipe::{Recipe, dedup},
    scan::{judged_tags, policy, today},
};
use crate::{
    check,
    dockerfile::{Dockerfile, PredictContext, predict},
    engine::BuildPlan,
    error::{Error, ExitCode},
    finding::{Assessment, Lint, LintLevel},
    gather::Context,
    oci::Tag,
    plan::Plan,
    policy::{self, Judgement},
    report::{ImageIdentity, ImageReport, ReportKind},
};

pub(super) fn predicted(plan: &Plan, recipe: &Recipe, tools: &Tools<'_>) -> Done {
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
            Ok((judgement, lints)) => {
                report.lints.extend(lints);
                report.lints = dedup(report.lints);
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
) -> Result<(Judgement, Vec<Lint>), Error> {
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
        privileged: plan.scan.privileged.unwrap_or(false),
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
    Ok((judgement, predictions.lints))
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
        contents: None,
        base: None,
        fallback: recipe.from(),
        timings: Vec::new(),
    }
}
