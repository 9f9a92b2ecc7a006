//! Where an accepted image goes.

use crate::{
    config::{Config, Image, Sourced, Stage},
    oci::{Reference, Tag},
};

use super::ScanPlan;

/// What the stage push does.
#[derive(Debug, Clone, Default)]
pub struct PushPlan {
    /// registry and repository; those that the image given to `push` is named by when absent
    pub to: Option<Reference>,
    /// repositories of the same registry to take layers from
    pub mounts: Vec<String>,
    /// tags may be moved from other images
    pub force: bool,
    /// who asked for it
    pub origin: String,
}

/// The push of one image, when there is one.
pub(super) fn push_plan(
    config: &Config,
    image: Option<&Image>,
    push: Option<&Sourced<bool>>,
    to: Option<&Reference>,
) -> Option<PushPlan> {
    if !config.stages.value.contains(&Stage::Push) {
        return None;
    }
    let mounts = image.and_then(|image| image.mount_from.as_ref());
    let asked = push.map(|push| &push.origin);
    Some(PushPlan {
        to: to.cloned(),
        mounts: mounts
            .map(|mounts| mounts.value.clone())
            .unwrap_or_default(),
        force: config.force,
        origin: asked.unwrap_or(&config.stages.origin).to_string(),
    })
}

impl PushPlan {
    /// What will be pushed where, and under which conditions.
    pub(super) fn step(&self, scan: &ScanPlan) -> String {
        let to = match (&self.to, &scan.image) {
            (Some(to), _) => to.to_string(),
            (None, Some(image)) => format!("the registry that {image} is named by"),
            (None, None) => "nowhere".to_owned(),
        };
        let tags: Vec<&str> = scan.tags.iter().map(Tag::as_str).collect();
        let tags = match (tags.as_slice(), &scan.first_of) {
            ([], _) => "the tag of the image".to_owned(),
            (_, Some(version)) => {
                format!("the next free tag of version {version}, {version}-1 at least")
            }
            (tags, None) => tags.join(", "),
        };
        let mut step = format!(
            "push the accepted bytes to {to} as {tags} ({})",
            self.origin
        );
        if !self.mounts.is_empty() {
            step.push_str(", layers from ");
            step.push_str(&self.mounts.join(", "));
        }
        step.push_str(if self.force {
            "; tags that name another image are moved"
        } else {
            "; not when a tag names another image"
        });
        if !scan.floating_tags.is_empty() {
            let floating: Vec<&str> = scan.floating_tags.iter().map(Tag::as_str).collect();
            step.push_str("; after publication moves ");
            step.push_str(&floating.join(", "));
        }
        step
    }

    /// Those of `tags` that may move from image to image.
    pub fn movable(tags: &[String], scan: &ScanPlan) -> Vec<String> {
        let floats = |tag: &&String| {
            Tag::floats(tag)
                || scan
                    .floating_tags
                    .iter()
                    .any(|known| known.as_str() == *tag)
        };
        tags.iter().filter(floats).cloned().collect()
    }
}
