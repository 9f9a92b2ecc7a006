//! A plan in words: what `run --dry-run` prints.

use std::{fmt::Write as _, path::Path};

use super::{Plan, ScanPlan};
use crate::{
    config::{EngineChoice, ReportTo, Sourced, Stage},
    engine::BuildPlan,
    oci::{Platform, Tag},
    policy::Profile,
};

/// The plans as `run --dry-run` prints them; `verbose` adds every value and its origin.
pub fn describe(plans: &[Plan], reports: &[Sourced<ReportTo>], verbose: bool) -> String {
    let mut out = String::new();
    for plan in plans {
        let title = plan.name.as_deref().unwrap_or("the image");
        let _ = writeln!(out, "{title}:");
        for (stage, what) in plan.steps() {
            let _ = writeln!(out, "  {stage:<7} {what}");
        }
        if verbose {
            let _ = writeln!(out, "  values:");
            for listed in &plan.listed {
                let _ = writeln!(out, "    {listed}");
            }
        }
    }
    for report in reports {
        let path = report.value.path.as_ref();
        let to = path.map_or_else(
            || "standard output".to_owned(),
            |path| path.display().to_string(),
        );
        let _ = writeln!(
            out,
            "report {} to {to}  ({})",
            report.value.format, report.origin
        );
    }
    out
}

impl Plan {
    /// Each stage and what it will do, in order.
    fn steps(&self) -> Vec<(&'static str, String)> {
        let mut steps = Vec::new();
        for stage in &self.stages.value {
            match (stage, &self.build) {
                (Stage::Check, Some(build)) => {
                    steps.push(("check", format!("read {}", build.shown(&build.dockerfile))));
                }
                (Stage::Build, Some(build)) => steps.push(("build", self.build_step(build))),
                (Stage::Scan, _) => steps.push(("scan", self.scan_step())),
                (Stage::Push, _) => {
                    let push = self.push.iter();
                    steps.extend(push.map(|push| ("push", push.step(&self.scan))));
                }
                (Stage::Check | Stage::Build, None) => {}
            }
        }
        steps
    }

    fn build_step(&self, build: &BuildPlan) -> String {
        let engine = match self.engine.value {
            EngineChoice::Auto => "the first engine within reach",
            EngineChoice::Buildkit => "BuildKit",
            EngineChoice::Docker => "the Docker Engine",
            EngineChoice::Embedded => "the embedded engine",
        };
        let mut step = format!(
            "build {} in {} with {engine} ({})",
            build.shown(&build.dockerfile),
            build.shown(&build.context),
            self.engine.origin
        );
        let mut add = |what: &str, names: Vec<String>| {
            if !names.is_empty() {
                let _ = write!(step, ", {what} {}", names.join(", "));
            }
        };
        add("stage", build.target.iter().cloned().collect());
        add(
            "for",
            build.platforms.iter().map(Platform::to_string).collect(),
        );
        add("secrets", build.secrets.keys().cloned().collect());
        add("mirrors for", build.mirrors.keys().cloned().collect());
        add("as", build.names.clone());
        if !build.output.as_os_str().is_empty() {
            add("into", vec![build.shown(&build.output)]);
        }
        if self.load {
            step.push_str(", and give it to the Docker Engine");
        }
        step
    }

    fn scan_step(&self) -> String {
        let scan = &self.scan;
        let rules = match scan.only.len() {
            0 => "every rule".to_owned(),
            1 => "1 rule".to_owned(),
            n => format!("{n} rules"),
        };
        let mut step = format!(
            "assess {rules} under the profile {}",
            profile_word(scan.profile)
        );
        let tags: Vec<String> = scan.tags.iter().map(Tag::to_string).collect();
        match tags.as_slice() {
            [] => step.push_str(", no tag to judge"),
            tags => {
                let _ = write!(step, ", tags {}", tags.join(", "));
            }
        }
        if let Some(note) = scan.assumed() {
            let _ = write!(step, " ({note})");
        }
        for exception in &scan.exceptions {
            let _ = write!(step, ", {} excepted ({})", exception.rule, exception.reason);
        }
        step
    }
}

impl ScanPlan {
    /// What was taken for granted of the tag, when it was made of the version.
    pub fn assumed(&self) -> Option<String> {
        let version = self.first_of.as_ref()?;
        let tag = self.tags.first()?;
        Some(format!(
            "`{tag}` is the first tag of version {version}; the registry was not asked for others"
        ))
    }
}

/// The profile as the configuration writes it.
fn profile_word(profile: Profile) -> &'static str {
    match profile {
        Profile::Container => "container",
        Profile::Root => "root",
        Profile::ScratchNonroot => "scratch-nonroot",
        Profile::ScratchRoot => "scratch-root",
        Profile::Konflux => "konflux",
    }
}

impl BuildPlan {
    /// A path as messages name it: relative to the repository root when it lies in it.
    fn shown(&self, path: &Path) -> String {
        match path.strip_prefix(&self.root) {
            Ok(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
            Ok(inside) => inside.display().to_string(),
            Err(_) => path.display().to_string(),
        }
    }
}
