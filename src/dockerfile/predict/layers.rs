//! How many layers the image will have, and whether those of the base stay.

use super::{Case, base::KnownBase, failed, passed, unknown};
use crate::{
    dockerfile::Keyword,
    finding::{Finding, Lint, LintLevel, Location, Outcome, Verdict},
};

/// The most layers an image may have.
const MOST: usize = 40;
/// UBI and RHEL images have no more layers than this (one or two).
const MOST_OF_A_PLATFORM: usize = 4;

pub(super) fn good_layer_count(case: &Case<'_>) -> Outcome {
    if case.context.squash {
        return failed(
            Finding::new(
                "squash",
                "the build squashes layers, which replaces those of the base image",
            )
            .at(Some(case.resolved.from.clone()))
            .remedy("build without squashing"),
        );
    }
    let made = made(case);
    let below = match (case.context.base_layers, case.base) {
        (Some(layers), _) => Some((layers, layers)),
        (None, KnownBase::Scratch) => Some((0, 0)),
        (None, KnownBase::Platform) => Some((1, MOST_OF_A_PLATFORM)),
        (None, _) => None,
    };
    let (least, most) = below.unwrap_or((1, MOST));
    if made.len() + least > MOST {
        let first_over = made.get(MOST.saturating_sub(least)).cloned();
        let message = format!(
            "{} instructions make a layer each, on top of at least {least} of the base image: at \
             most {MOST} layers are allowed",
            made.len()
        );
        return failed(
            Finding::new("layers", message)
                .at(first_over)
                .remedy("join RUN instructions with && into one"),
        );
    }
    if made.len() + most == MOST && below.is_some() {
        let message =
            format!("the image will have exactly {MOST} layers, the most that are allowed");
        let finding = Finding::new("layers", message).at(made.last().cloned());
        return Outcome::Assessed(Verdict::Warning(vec![finding]));
    }
    if made.len() + most < MOST {
        return passed(format!(
            "{} layers of its own on at most {most} of the base image",
            made.len()
        ));
    }
    unknown(format!(
        "{} layers of its own; how many the base image {} has is not known",
        made.len(),
        case.base_name()
    ))
}

/// Lines of the instructions that make a layer each.
fn made(case: &Case<'_>) -> Vec<Location> {
    case.resolved
        .steps
        .iter()
        .map(|step| &step.instruction)
        .filter(|made| matches!(made.keyword, Keyword::Run | Keyword::Copy | Keyword::Add))
        .map(|made| case.file.location(made))
        .collect()
}

/// A base without a fixed version.
pub(super) fn lints(case: &Case<'_>) -> Vec<Lint> {
    let crate::dockerfile::Base::Image(reference) = &case.resolved.base else {
        return Vec::new();
    };
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if reference.contains('@') || (last.contains(':') && !last.ends_with(":latest")) {
        return Vec::new();
    }
    let message = format!("the base image {reference} has no fixed tag or digest");
    vec![Lint {
        rule: "dockerfile/unpinned-base".to_owned(),
        title: "the base image may change from build to build".to_owned(),
        level: LintLevel::Note,
        help_uri: None,
        finding: Finding::new(reference, message)
            .at(Some(case.resolved.base_location.clone()))
            .remedy("name a version, or a digest"),
    }]
}
