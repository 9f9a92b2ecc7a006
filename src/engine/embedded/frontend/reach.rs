//! Which stages the target needs: those it stands on, reads from, and those that triggers of base
//! images bring in.

use std::collections::BTreeSet;

use crate::finding::Location;

use super::{
    ResolveImage,
    command::{Command, Step},
    image::Image,
    parse,
    problem::Problem,
    stages::Base,
    walk::{Found, Walk},
};

impl Walk<'_> {
    /// The stages that the target is made of, images looked up on the way.
    pub(super) fn needed(
        &mut self,
        target: usize,
        images: &mut dyn ResolveImage,
    ) -> BTreeSet<usize> {
        let (mut needed, mut queue) = (BTreeSet::new(), vec![target]);
        while let Some(index) = queue.pop() {
            let Some(stage) = self.stages.list.get(index) else {
                continue;
            };
            if !needed.insert(index) {
                continue;
            }
            if let Some(foreign) = &stage.foreign {
                self.refusals.push(foreign.clone().at(&stage.from));
                continue;
            }
            match &stage.base {
                Base::Scratch => {}
                Base::Stage(base) => queue.push(*base),
                Base::Image(reference) => self.resolve(reference, &stage.from, images),
            }
            let triggers = self.onbuild(&stage.base, &stage.from);
            for step in triggers.iter().chain(&stage.steps) {
                for (from, numbers) in step.sources() {
                    match self.stages.source(&from, index, numbers) {
                        Ok(Base::Stage(source)) => queue.push(source),
                        Ok(Base::Image(name)) => self.resolve(&name, &step.location, images),
                        Ok(Base::Scratch) | Err(_) => {}
                    }
                }
            }
            self.triggers.insert(index, triggers);
        }
        needed
    }

    fn resolve(&mut self, reference: &str, location: &Location, images: &mut dyn ResolveImage) {
        if self.images.contains_key(reference) {
            return;
        }
        let problem = match images.resolve(reference, self.request.platform) {
            Ok(base) => match serde_json::from_slice::<Image>(&base.config) {
                Ok(image) => {
                    let manifest = base.manifest.to_string();
                    self.images
                        .insert(reference.to_owned(), Found { manifest, image });
                    return;
                }
                Err(error) => Problem::image(
                    format!("{reference}: the image configuration cannot be read: {error}"),
                    None,
                ),
            },
            Err(error) => Problem::image(error.message, error.remedy),
        };
        self.refusals.push(problem.at(location));
    }

    /// What the base has its children do first.
    fn onbuild(&mut self, base: &Base, location: &Location) -> Vec<Step> {
        let texts: Vec<String> = match base {
            Base::Scratch => Vec::new(),
            Base::Image(name) => self
                .images
                .get(name)
                .map(|found| found.image.config.on_build.clone())
                .unwrap_or_default(),
            Base::Stage(index) => {
                let steps = self.stages.list.get(*index).map(|stage| &stage.steps);
                let text = |step: &Step| match &step.command {
                    Command::Onbuild(text) => Some(text.clone()),
                    _ => None,
                };
                steps.into_iter().flatten().filter_map(text).collect()
            }
        };
        let mut steps = Vec::new();
        for text in texts {
            match parse::trigger(&text) {
                Ok(command) => steps.push(Step {
                    command,
                    code: text,
                    location: location.clone(),
                    onbuild: true,
                }),
                Err(problem) => self.refusals.push(problem.at(location)),
            }
        }
        steps
    }
}
