//! `push`: what was accepted goes to its registry, and nothing else does.

use std::collections::HashSet;

use super::{Done, Tools, scan::Target};
use crate::{
    error::Error,
    oci::{Digest, Reference, Tag},
    plan::{Plan, PushPlan},
    policy::{Accepted, Judgement, Rejected},
    registry::push::{PushOptions, Pushed, Pusher},
    report::PushedSummary,
};

/// Pushes the image of `done` when every judgement accepts it; says why not when one does not.
pub(super) fn push(
    plan: &Plan,
    push: &PushPlan,
    mut done: Done,
    judgements: Vec<Judgement>,
    target: &Target<'_>,
    tools: &Tools<'_>,
) -> Done {
    let accepted = match accept(judgements) {
        Ok(accepted) => accepted,
        Err(rejected) => {
            tools
                .console
                .warn(&format!("nothing is pushed: {rejected}"));
            return done;
        }
    };
    match transfer(plan, push, &done, &accepted, target, tools) {
        Ok(pushed) => {
            tell(&pushed, tools);
            left(plan, &pushed, tools);
            if let Some(report) = &mut done.report {
                report.pushed = Some(PushedSummary {
                    reference: pushed.reference.to_string(),
                    digest: pushed.digest,
                    tags: pushed.tags,
                });
            }
        }
        Err(error) => {
            done.code = error.exit_code();
            done.error = Some(error);
        }
    }
    done
}

/// All of them together, or the first that is rejected.
fn accept(judgements: Vec<Judgement>) -> Result<Accepted, Box<Rejected>> {
    let mut all: Option<Accepted> = None;
    for judgement in judgements {
        let one = judgement.accept().map_err(Box::new)?;
        all = Some(match all {
            Some(all) => all.and(one),
            None => one,
        });
    }
    all.ok_or_else(|| {
        Box::new(Rejected {
            judgement: Judgement::none(),
            failed: Vec::new(),
            unassessed: Vec::new(),
        })
    })
}

fn transfer(
    plan: &Plan,
    push: &PushPlan,
    done: &Done,
    accepted: &Accepted,
    target: &Target<'_>,
    tools: &Tools<'_>,
) -> Result<Pushed, Error> {
    let to = destination(push, target.reference.as_ref())?;
    let wanted = tags(plan, target)?;
    let how = PushOptions {
        movable: PushPlan::movable(&wanted, &plan.scan),
        tags: wanted,
        force: push.force,
    };
    let mounts = mounts(push, &to, done, target)?;
    let pusher = Pusher::open(&to, &mounts, &tools.reach.registry)?;
    let title = format!("push to {to}");
    let done = tools.console.stage("push", &title, || {
        let bars = tools.console.push();
        pusher.push(target.opened.source(), accepted, &how, &bars)
    });
    Ok(done?)
}

/// Registry and repository that an image goes to.
fn destination(push: &PushPlan, own: Option<&Reference>) -> Result<Reference, Error> {
    let to = push.to.as_ref().or(own).ok_or_else(|| Error::Usage {
        what: "the push has nowhere to go".to_owned(),
        hint: Some(
            "name registry and repository with `--image`, or with `image.registry` and \
             `image.repository`"
                .to_owned(),
        ),
    })?;
    Ok(Reference {
        tag: None,
        digest: None,
        ..to.clone()
    })
}

/// The tags that were judged are the ones that are pushed.
fn tags(plan: &Plan, target: &Target<'_>) -> Result<Vec<String>, Error> {
    let tags = super::scan::tags_of(plan, target);
    if tags.is_empty() {
        return Err(Error::Usage {
            what: "the push has no tag".to_owned(),
            hint: Some("name one with `--tag`, `image.tag` or `image.version`".to_owned()),
        });
    }
    let mut seen = HashSet::new();
    Ok(tags
        .into_iter()
        .filter(|tag| seen.insert(tag.clone()))
        .collect())
}

/// Where layers may be taken from: what was named, the image's own place, its base image.
fn mounts(
    push: &PushPlan,
    to: &Reference,
    done: &Done,
    target: &Target<'_>,
) -> Result<Vec<String>, Error> {
    let mut mounts = Vec::new();
    for named in &push.mounts {
        let own = named.strip_prefix(to.registry.as_str());
        let path = own.and_then(|rest| rest.strip_prefix('/')).unwrap_or(named);
        let probe: Result<Reference, _> = format!("{}/{path}", to.registry).parse();
        match probe {
            Ok(reference) if reference.tag.is_none() && reference.digest.is_none() => {
                mounts.push(reference.repository);
            }
            _ => {
                return Err(Error::Usage {
                    what: format!("`{named}` is no repository of {}", to.registry),
                    hint: Some("layers can be taken from the same registry only".to_owned()),
                });
            }
        }
    }
    let same = |reference: &Reference| reference.registry == to.registry;
    if let Some(own) = target.place.as_ref().filter(|own| same(own)) {
        mounts.push(own.repository.clone());
    }
    let images = done.report.iter().flat_map(|report| &report.images);
    for base in images.filter_map(|image| image.base.as_ref()) {
        if let Ok(base) = Reference::parse_familiar(&base.reference)
            && same(&base)
        {
            mounts.push(base.repository);
        }
    }
    let mut seen = HashSet::new();
    mounts.retain(|mount| seen.insert(mount.clone()));
    Ok(mounts)
}

fn tell(pushed: &Pushed, tools: &Tools<'_>) {
    for tag in &pushed.tags {
        tools.console.note(&format!(
            "pushed {}:{tag}@{}",
            pushed.reference, pushed.digest
        ));
    }
    let count = |n: usize| if n == 1 { "1 blob" } else { "blobs" };
    let many = |n: usize| match n {
        1 => count(1).to_owned(),
        n => format!("{n} {}", count(n)),
    };
    tools.console.note(&format!(
        "sent {} ({} bytes), {} taken from other repositories, {} there before",
        many(pushed.uploaded),
        pushed.uploaded_bytes,
        many(pushed.mounted),
        many(pushed.existing)
    ));
}

/// Says which tags were not pushed, and why.
fn left(plan: &Plan, pushed: &Pushed, tools: &Tools<'_>) {
    let floating = plan.scan.floating_tags.iter().map(Tag::as_str);
    let left: Vec<&str> = floating
        .filter(|tag| !pushed.tags.iter().any(|pushed| pushed == tag))
        .collect();
    if !left.is_empty() {
        tools.console.note(&format!(
            "not pushed: {}; tags that float move once the image is published, so that nobody gets \
             one that is not",
            left.join(", ")
        ));
    }
}

/// Gives a plan that made its tag of a version the tag that is free in the registry: one more than
/// the highest, or the highest itself when it names `own` already.
pub(super) fn settle(plan: &Plan, own: Option<&Digest>, tools: &Tools<'_>) -> Result<Plan, Error> {
    let mut settled = plan.clone();
    let (Some(push), Some(version)) = (&plan.push, &plan.scan.first_of) else {
        return Ok(settled);
    };
    let to = destination(push, plan.scan.given().as_ref())?;
    let pusher = Pusher::open(&to, &[], &tools.reach.registry)?;
    let existing = pusher.tags()?;
    let wrong = |errors: Vec<crate::oci::TagError>| Error::Usage {
        what: errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; "),
        hint: Some("shorten `image.version`".to_owned()),
    };
    let next = Tag::next_build(version.as_str(), &existing).map_err(wrong)?;
    let highest = highest(&next);
    let mut tag = next;
    if let (Some(own), Some(highest)) = (own, highest)
        && pusher.digest_of(highest.as_str())?.as_ref() == Some(own)
    {
        tag = highest;
    }
    tools.console.note(&format!(
        "`{tag}` is the tag of version {version} for this image; {to} has {} tags",
        existing.len()
    ));
    if let Some(build) = &mut settled.build {
        build.names = vec![format!("{to}:{tag}")];
    }
    settled.scan.tags = vec![tag];
    settled.scan.first_of = None;
    Ok(settled)
}

/// The tag before one that [`Tag::next_build`] made.
fn highest(next: &Tag) -> Option<Tag> {
    let (version, build) = next.version_and_build()?;
    let before = build.checked_sub(1).filter(|build| *build > 0)?;
    format!("{version}-{before}").parse().ok()
}
