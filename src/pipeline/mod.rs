//! The order of the stages; nothing else knows it.
//!
//! check → build → scan → push. What a stage finds wrong goes into the report, and a report is made
//! whenever there is something to tell, also when a stage ended early.

mod baseline;
mod build;
mod load;
mod predict;
mod push;
mod recipe;
mod scan;

use crate::{
    config::Stage,
    engine::Cancel,
    error::{Error, ExitCode},
    gather::{Advisories, Reach},
    plan::Plan,
    progress::Console,
    report::Report,
};
use recipe::Recipe;

/// What every stage needs.
pub struct Tools<'a> {
    /// registries and engines
    pub reach: &'a Reach,
    /// standard error
    pub console: &'a Console,
    /// what images are laid beside
    pub advisories: &'a Advisories,
    /// set when the user wants to stop
    pub cancel: &'a Cancel,
    /// when the run began
    pub now: jiff::Timestamp,
    /// the time that package lists carry
    pub documented: jiff::Timestamp,
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

fn note_tag(plan: &Plan, tools: &Tools<'_>) {
    if let Some(note) = plan.scan.assumed() {
        tools.console.note(&note);
    }
}

/// Goes through the stages of a plan.
pub fn run(plan: &Plan, tools: &Tools<'_>) -> Done {
    let recipe = match Recipe::read(plan) {
        Ok(recipe) => recipe,
        Err(error) => return Done::failed(plan, error),
    };
    let settled;
    let plan = if plan.scan.image.is_none() {
        settled = match push::settle(plan, None, tools) {
            Ok(settled) => settled,
            Err(error) => return Done::failed(plan, error),
        };
        note_tag(&settled, tools);
        &settled
    } else {
        plan
    };
    let wants = |stage| plan.stages.value.contains(&stage);
    let done = match (&plan.build, wants(Stage::Build)) {
        (Some(build), true) => {
            build::build_and_scan(plan, build, &recipe, tools, wants(Stage::Scan))
        }
        _ if wants(Stage::Scan) => scan::scan_given(plan, &recipe, tools),
        _ => predict::predicted(plan, &recipe, tools),
    };
    baseline::compare(plan, &recipe, done, tools)
}
