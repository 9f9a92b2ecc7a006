//! `scan`: every rule on every image.

use std::{collections::HashSet, sync::Arc, time::Instant};

use super::{Done, Tools, note_tag, push, recipe::Recipe};
use crate::{
    advisory::Severity,
    check,
    error::{Error, ExitCode},
    gather::{self, Opened, Request},
    inventory::{LayerMemory, ScanOptions},
    layout::Transport,
    oci::{Reference, ResolvedImage, Tag, resolve},
    plan::{Plan, ScanPlan},
    policy::{self, Judgement, Policy, Profile},
    report::{BaseSummary, Contents, ImageIdentity, ImageReport, Report, ReportKind},
    subject::{Fact, Subject},
};

/// An image that is to be scanned.
pub(super) struct Target<'a> {
    pub(super) opened: &'a Opened,
    /// as reports name it
    pub(super) name: String,
    /// the name in a registry that the place itself has
    pub(super) reference: Option<Reference>,
    /// the repository that its bytes are in
    pub(super) place: Option<Reference>,
    /// the tag that the place itself has
    pub(super) tag: Option<String>,
    /// look up whether the base image of today has what is missing
    pub(super) current_base: bool,
    /// what is known of its layers
    pub(super) memory: Option<Arc<dyn LayerMemory>>,
}

pub(super) fn scan_given(plan: &Plan, recipe: &Recipe, tools: &Tools<'_>) -> Done {
    let report = recipe.report(ReportKind::Scan, tools);
    let place = plan.scan.image.clone().unwrap_or_default();
    let scanned = place
        .parse::<Transport>()
        .map_err(|error| Error::Usage {
            what: error.to_string(),
            hint: None,
        })
        .and_then(|transport| scan_place(plan, recipe, &place, &transport, report, tools));
    scanned.unwrap_or_else(|error| Done::failed(plan, error))
}

fn scan_place(
    plan: &Plan,
    recipe: &Recipe,
    place: &str,
    transport: &Transport,
    report: Report,
    tools: &Tools<'_>,
) -> Result<Done, Error> {
    let pushes = plan.push.is_some();
    let opened = if pushes {
        gather::open_to_push(transport, tools.reach)?
    } else {
        gather::open(transport, tools.reach)?
    };
    let settled;
    let plan = if pushes && transport.tag().is_none() {
        let own = opened.source().manifest()?.digest;
        settled = push::settle(plan, Some(&own), tools)?;
        &settled
    } else {
        plan
    };
    if transport.tag().is_none() {
        note_tag(plan, tools);
    }
    let target = Target {
        opened: &opened,
        name: place.to_owned(),
        reference: match &plan.push {
            // What is judged is the name under which it will be known.
            Some(push) => push.to.clone().or_else(|| transport.reference()),
            None => transport.reference(),
        },
        place: match transport {
            Transport::Registry(reference) => Some(reference.clone()),
            _ => None,
        },
        tag: transport.tag(),
        current_base: true,
        memory: None,
    };
    let images = scan_images(plan, recipe, &target, tools)?;
    Ok(judged(plan, report, images, &target, tools))
}

pub(super) fn judged(
    plan: &Plan,
    mut report: Report,
    images: Vec<(ImageReport, Judgement)>,
    target: &Target<'_>,
    tools: &Tools<'_>,
) -> Done {
    let rejected = images.iter().any(|(_, judgement)| judgement.rejected());
    let unassessed = images.iter().any(|(_, judgement)| judgement.unassessed());
    let code = match (rejected, unassessed) {
        (true, _) => ExitCode::Rejected,
        (false, true) => ExitCode::NotAssessed,
        (false, false) => ExitCode::Success,
    };
    let (images, judgements) = images.into_iter().unzip();
    report.images = images;
    report.passed = code == ExitCode::Success;
    let done = Done {
        name: plan.name.clone(),
        report: Some(report),
        code,
        error: None,
    };
    match &plan.push {
        Some(wanted) => push::push(plan, wanted, done, judgements, target, tools),
        None => done,
    }
}

pub(super) fn scan_images(
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
        // `linux/arm` and `linux/arm/v7` may mean one image; it is judged once.
        let mut seen = HashSet::new();
        images.retain(|image| seen.insert(image.descriptor.digest().clone()));
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
        memory: target.memory.clone(),
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
    let judgement = policy::judge_image(&subject, assessments, &policy, today(tools));
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
    let tags = tags_of(plan, target);
    // Tags that are said to float are no tag of this image's own, whatever they look like.
    let none = tags.is_empty() && plan.scan.floating_tags.is_empty();
    let build = plan.build.as_ref();
    Request {
        display_name: target.name.clone(),
        reference: target.reference.clone().or_else(|| plan.image.clone()),
        tags: if none {
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
        fails_from: plan.scan.fails_from.unwrap_or(Severity::Important),
        only_fixed: plan.scan.only_fixed,
        current_base: target.current_base,
    }
}

/// The tags that are judged, and pushed.
pub(super) fn tags_of(plan: &Plan, target: &Target<'_>) -> Vec<String> {
    // The tag of an image that was named goes before what the file says of the one that is built.
    if plan.scan.tags.is_empty() || (target.tag.is_some() && !plan.scan.tags_given) {
        return target.tag.iter().cloned().collect();
    }
    judged_tags(plan)
}

fn request_tag(tags: &Fact<Vec<String>>) -> Option<String> {
    match tags {
        Fact::Known(tags) => tags.first().cloned(),
        Fact::Unmet(_) => None,
    }
}

pub(super) fn judged_tags(plan: &Plan) -> Vec<String> {
    plan.scan.tags.iter().map(Tag::to_string).collect()
}

pub(super) fn policy(scan: &ScanPlan) -> Policy {
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

pub(super) fn today(tools: &Tools<'_>) -> jiff::civil::Date {
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
        contents: Some(Contents::of(subject)),
        base,
        fallback: subject.at_from().or_else(|| recipe.from()),
        timings: vec![("scan", seconds)],
    }
}
