//! Which stages are gone through, and whether each has what it needs.

use super::{
    cli::Command,
    file::Settings,
    resolve::Resolver,
    sourced::{Origin, Setting, Sourced},
    values::Stage,
};

impl Resolver<'_> {
    /// The stages of `run`; the other commands are one or two each.
    pub(super) fn stages(&mut self, merged: &Settings) -> Sourced<Vec<Stage>> {
        let only = |stages: &[Stage]| Sourced::new(stages.to_vec(), Origin::Default);
        match self.cli.command {
            Command::Run(_) => {}
            Command::Build(_) => return only(&[Stage::Build]),
            Command::Scan(_) => return only(&[Stage::Scan]),
            Command::Push(_) => return only(&[Stage::Scan, Stage::Push]),
            _ => return only(&[Stage::Check]),
        }
        let none = || Sourced::new(Vec::new(), Origin::Default);
        let mut stages = merged.stages.clone().unwrap_or_else(none);
        if let Some(push) = asked(&merged.push) {
            if stages.origin == Origin::Default {
                stages.origin = push.clone();
            }
            stages.value.push(Stage::Push);
        }
        stages.value.sort_unstable();
        stages.value.dedup();
        let has = |stage| stages.value.contains(&stage);
        for (stage, word, needed) in [
            (Stage::Scan, "scan needs the stage build", Stage::Build),
            (Stage::Push, "push needs the stage scan", Stage::Scan),
        ] {
            if has(stage) && !has(needed) {
                let message = format!("the stage {word}");
                let help = match stage {
                    Stage::Push => "what was not scanned is not pushed",
                    _ => "to assess an image that exists, use `plimsoll scan IMAGE`",
                };
                self.faults
                    .push(stages.origin.clone(), message, Some(help.to_owned()));
            }
        }
        if stages.value.is_empty() {
            let message = "no stage to go through".to_owned();
            self.faults.push(stages.origin.clone(), message, None);
        }
        stages
    }

    /// A push wants to know where to, and under which tag.
    pub(super) fn check_push(&mut self, settings: &Settings) {
        let stage = settings
            .stages
            .as_ref()
            .filter(|stages| stages.value.contains(&Stage::Push))
            .map(|stages| &stages.origin);
        let is_run = matches!(self.cli.command, Command::Run(_));
        let origin = asked(&settings.push).or(stage).filter(|_| is_run);
        let given = matches!(self.cli.command, Command::Push(_));
        if origin.is_some() || given {
            self.whole_scan(settings);
        }
        let Some(origin) = origin.cloned() else {
            return;
        };
        let image = settings.image.as_ref().map(|image| &image.value);
        if image.is_none_or(|image| image.registry.is_none() || image.repository.is_none()) {
            let message = "the push has nowhere to go".to_owned();
            let help = "name it with `--image`, or `image.registry` and `image.repository`";
            self.faults
                .push(origin.clone(), message, Some(help.to_owned()));
        }
        if image.is_none_or(|image| image.tag.is_none() && image.version.is_none()) {
            let message = "the push has no tag".to_owned();
            let help = "name one with `--tag`, `image.tag` or `image.version`".to_owned();
            self.faults.push(origin, message, Some(help));
        }
    }
}

impl Resolver<'_> {
    /// An image without a name could not be found again.
    pub(super) fn check_load(&mut self, settings: &Settings) {
        let build = settings.build.as_ref();
        let load = build.and_then(|build| build.value.load.as_ref());
        let builds = matches!(self.cli.command, Command::Run(_) | Command::Build(_));
        let Some(load) = load.filter(|load| load.value && builds) else {
            return;
        };
        let image = settings.image.as_ref().map(|image| &image.value);
        let named = image.is_some_and(|image| {
            let tag = image.tag.is_some() || image.version.is_some();
            tag && image.registry.is_some() && image.repository.is_some()
        });
        if !named {
            let message = "the image has no name to be loaded under".to_owned();
            let help = "name it with `--image` and `--tag`, or in the section `image`".to_owned();
            self.faults.push(load.origin.clone(), message, Some(help));
        }
    }

    /// What was assessed by some rules alone is not accepted.
    fn whole_scan(&mut self, settings: &Settings) {
        let scan = settings.scan.as_ref().map(|scan| &scan.value);
        if let Some(only) = scan.and_then(|scan| scan.only.as_ref()) {
            let message = "an image is pushed after every rule was assessed, not some alone";
            let help = "an exception with a reason (`--skip RULE=REASON`, `scan.exceptions`) keeps \
                        a rule from blocking";
            self.faults.push(
                only.origin.clone(),
                message.to_owned(),
                Some(help.to_owned()),
            );
        }
    }
}

/// Who asked for a push.
#[expect(clippy::ref_option, reason = "settings are fields of this type")]
fn asked(push: &Setting<bool>) -> Option<&Origin> {
    push.as_ref()
        .filter(|push| push.value)
        .map(|push| &push.origin)
}
