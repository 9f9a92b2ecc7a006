//! Lays what came of a run beside a baseline: an earlier report, or another image that is assessed
//! in the same run.
//!
//! The verdict stays that of the image itself. `--fail-on new` changes what the process says at its
//! end, and nothing that a push goes by.

use super::{Done, Tools, recipe::Recipe, scan};
use crate::{
    config::FailOn,
    error::{Error, ExitCode},
    gather,
    layout::Transport,
    plan::{BaselinePlan, Plan, ScanPlan},
    report::{Baseline, Report, ReportKind, has_new_blocking},
};

/// Most bytes of a report that is compared with; one of 25,000 findings takes some 20 MB.
const MAX_REPORT: u64 = 256 << 20;

pub(super) fn compare(plan: &Plan, recipe: &Recipe, mut done: Done, tools: &Tools<'_>) -> Done {
    let Some(wanted) = &plan.scan.baseline else {
        return done;
    };
    let Some(report) = &mut done.report else {
        return done;
    };
    match baseline(wanted, plan, recipe, report, tools) {
        Ok(baseline) => report.baseline = baseline,
        Err(error) => {
            let code = error.exit_code();
            return Done {
                code,
                error: Some(error),
                ..done
            };
        }
    }
    let is_pardoned = plan.scan.fail_on == FailOn::New
        && plan.push.is_none()
        && done.code == ExitCode::Rejected
        && report.baseline.is_some()
        && !has_new_blocking(report);
    if is_pardoned {
        tools.console.note(&format!(
            "the image is rejected for what {} was rejected for too; nothing that blocks is new",
            wanted.name
        ));
        done.code = if unassessed(report) {
            ExitCode::NotAssessed
        } else {
            ExitCode::Success
        };
    }
    done
}

fn unassessed(report: &Report) -> bool {
    let mut all = report.images.iter().flat_map(|image| &image.assessments);
    all.any(|assessment| assessment.blocking && assessment.outcome_name() == "not_assessed")
}

/// The baseline; `None`, with a warning, when there is nothing to compare with: the first report and
/// the first image of a project have none before them.
fn baseline(
    wanted: &BaselinePlan,
    plan: &Plan,
    recipe: &Recipe,
    report: &Report,
    tools: &Tools<'_>,
) -> Result<Option<Baseline>, Error> {
    let name = &wanted.name;
    match gather::read_at_most(&wanted.file, MAX_REPORT) {
        Ok(json) => {
            let parsed = Baseline::parse(name, &json);
            return parsed.map(Some).map_err(|error| Error::Usage {
                what: format!("baseline {name}: {error}"),
                hint: None,
            });
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::Usage {
                what: format!("baseline {name}: {error}"),
                hint: None,
            });
        }
        Err(_) => {}
    }
    let without = |reason: &str| {
        tools
            .console
            .warn(&format!("nothing is compared with {name}: {reason}"));
        Ok(None)
    };
    let is_file = wanted.file.extension().is_some_and(|end| end == "json");
    if is_file {
        return without("there is no such file");
    }
    if report.kind != ReportKind::Scan || report.images.is_empty() {
        return without("no image was assessed that an image could be compared with");
    }
    let transport: Transport = match name.parse() {
        Ok(transport) => transport,
        Err(error) => return without(&format!("{error}")),
    };
    let opened = match gather::open(&transport, tools.reach) {
        Ok(opened) => opened,
        Err(error) => return without(&error.to_string()),
    };
    let target = scan::Target {
        opened: &opened,
        name: name.clone(),
        reference: transport.reference(),
        place: None,
        tag: transport.tag(),
        current_base: false,
        memory: None,
    };
    let plan = Plan {
        scan: ScanPlan {
            tags_given: false,
            ..plan.scan.clone()
        },
        ..plan.clone()
    };
    match scan::scan_images(&plan, recipe, &target, tools) {
        Ok(images) => {
            let images = images.into_iter().map(|(image, _)| image).collect();
            Ok(Some(Baseline::of_images(name, images, report)))
        }
        Err(error @ Error::Interrupted { .. }) => Err(error),
        Err(error) => without(&error.to_string()),
    }
}
