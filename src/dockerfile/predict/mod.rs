//! What `plimsoll check` says before there is an image: each rule that the Dockerfile alone (and a
//! look at the names in the context) can decide, and for the others why it cannot.

mod base;
mod content;
mod labels;
mod layers;
mod licenses;
mod shell;
mod user;

use indexmap::IndexMap;

use super::{Base, Dockerfile, Resolved, lint::lints, resolved::TargetError};
use crate::{
    finding::{Finding, Lint, Outcome, Verdict},
    oci::{Tag, trademark},
};

/// What there is at a path of the build context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContextPath {
    /// a file with content, or a directory with at least one such file below it
    Present,
    /// an empty file, or a directory without a file that has content
    Empty,
    /// nothing
    Missing,
    /// something that `.dockerignore` keeps out of the build
    Ignored,
    /// it could not be looked at
    Unknown,
}

/// Looks into the build context; paths are relative to it, wildcards as in `COPY`.
pub trait ContextFiles {
    /// What there is at a path.
    fn look(&self, path: &str) -> ContextPath;
}

/// What a prediction is made from, beside the Dockerfile. Everything may be left out.
#[derive(Default, Clone, Copy)]
pub struct PredictContext<'a> {
    /// the stage to build; the last when `None`
    pub target: Option<&'a str>,
    /// build arguments
    pub args: Option<&'a IndexMap<String, String>>,
    /// labels given from outside, which win over the Dockerfile's
    pub labels: Option<&'a IndexMap<String, String>>,
    /// tags the image will be pushed with
    pub tags: &'a [String],
    /// repository the image will be pushed to, with or without the registry
    pub repository: Option<&'a str>,
    /// labels of the base image, when it is at hand
    pub base_labels: Option<&'a IndexMap<String, String>>,
    /// `USER` of the base image, when it is at hand
    pub base_user: Option<&'a str>,
    /// number of layers of the base image, when it is at hand
    pub base_layers: Option<usize>,
    /// the build context
    pub files: Option<&'a dyn ContextFiles>,
    /// the project is marked privileged
    pub privileged: bool,
    /// the build squashes layers
    pub squash: bool,
}

/// The predicted outcome of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// id of the rule
    pub rule: &'static str,
    /// `NotAssessed` says why the Dockerfile alone does not tell
    pub outcome: Outcome,
}

/// Everything that is said of a Dockerfile.
#[derive(Debug, Clone)]
pub struct Predictions {
    /// one a rule: the service's thirteen in the service's order, then ours
    pub rules: Vec<Prediction>,
    /// what is no assessment
    pub lints: Vec<Lint>,
    /// what the target resolves to
    pub resolved: Resolved,
}

/// What the rules read.
struct Case<'a> {
    file: &'a Dockerfile,
    resolved: &'a Resolved,
    context: &'a PredictContext<'a>,
    base: base::KnownBase,
}

type Rule = (&'static str, fn(&Case<'_>) -> Outcome);

/// In the order of reports.
const RULES: [Rule; 20] = [
    ("has_licenses", licenses::has_licenses),
    ("not_running_privileged", labels::not_running_privileged),
    ("rpm_list_successful", content::rpm_list),
    ("rpm_verify_successful", content::rpm_verify),
    ("is_rhel", base::is_rhel),
    ("vendor_label_exists", |case| labels::exists(case, "vendor")),
    ("free_of_critical_vulnerabilities", |_| {
        unknown("advisories are laid beside the packages of the built image")
    }),
    ("good_tags", good_tags),
    ("good_layer_count", layers::good_layer_count),
    ("release_label_exists", |case| {
        labels::exists(case, "release")
    }),
    ("not_running_as_root", user::not_running_as_root),
    ("version_label_exists", |case| {
        labels::exists(case, "version")
    }),
    ("name_label_exists", |case| labels::exists(case, "name")),
    ("summary_label_exists", |case| {
        labels::exists(case, "summary")
    }),
    ("description_label_exists", |case| {
        labels::exists(case, "description")
    }),
    ("maintainer_label_exists", |case| {
        labels::exists(case, "maintainer")
    }),
    ("has_no_prohibited_labels", labels::has_no_prohibited_labels),
    ("has_no_prohibited_name", has_no_prohibited_name),
    (
        "has_no_prohibited_packages",
        content::has_no_prohibited_packages,
    ),
    ("has_no_secrets", content::has_no_secrets),
];

/// Predicts every rule. Pure but for the looks into the context.
///
/// # Errors
///
/// The target names no stage.
pub fn predict(
    file: &Dockerfile,
    context: &PredictContext<'_>,
) -> Result<Predictions, TargetError> {
    let none = IndexMap::new();
    let resolved = file.resolve(context.target, context.args.unwrap_or(&none))?;
    let case = Case {
        file,
        resolved: &resolved,
        context,
        base: base::KnownBase::of(&resolved.base),
    };
    let mut rules: Vec<Prediction> = RULES
        .iter()
        .map(|(rule, judge)| Prediction {
            rule,
            outcome: judge(&case),
        })
        .collect();
    rules.push(Prediction {
        rule: "has_no_setuid_surprises",
        outcome: unknown("modes of files are known once the image is built"),
    });
    let mut said = lints(file);
    said.extend(labels::inherited_lints(&case));
    said.extend(layers::lints(&case));
    Ok(Predictions {
        rules,
        lints: said,
        resolved,
    })
}

fn unknown(reason: impl Into<String>) -> Outcome {
    Outcome::NotAssessed(reason.into())
}

fn passed(note: impl Into<String>) -> Outcome {
    Outcome::Assessed(Verdict::Passed {
        note: Some(note.into()),
    })
}

/// What a project that is marked privileged need not keep.
fn excused(case: &Case<'_>) -> Option<Outcome> {
    let reason = || "the project is marked privileged".to_owned();
    let excused = case.context.privileged;
    excused.then(|| Outcome::Assessed(Verdict::NotApplicable(reason())))
}

fn failed(finding: Finding) -> Outcome {
    Outcome::Assessed(Verdict::Failed(vec![finding]))
}

impl Case<'_> {
    /// The base image in words.
    fn base_name(&self) -> &str {
        match &self.resolved.base {
            Base::Scratch => "scratch",
            Base::Unknown(name) if name.is_empty() => "an unknown image",
            Base::Image(name) | Base::Unknown(name) => name,
        }
    }
}

fn good_tags(case: &Case<'_>) -> Outcome {
    let tags = case.context.tags;
    if tags.is_empty() {
        return unknown("no tag is given");
    }
    let remedy = "use <partner version>-<build number>, such as 1.0-1";
    let mut findings: Vec<Finding> = tags
        .iter()
        .flat_map(|tag| Tag::violations(tag))
        .map(|error| Finding::new(error.tag.clone(), error.to_string()).remedy(remedy))
        .collect();
    if findings.is_empty() && tags.iter().all(|tag| Tag::floats(tag)) {
        let list = tags.join(", ");
        findings.push(
            Finding::new(
                list.clone(),
                format!("the only tag is {list}, which moves from image to image"),
            )
            .remedy(remedy),
        );
    }
    if findings.is_empty() {
        passed(tags.join(", "))
    } else {
        Outcome::Assessed(Verdict::Failed(findings))
    }
}

fn has_no_prohibited_name(case: &Case<'_>) -> Outcome {
    let Some(repository) = case.context.repository else {
        return unknown("no repository is given");
    };
    let last = repository.rsplit('/').next().unwrap_or(repository);
    if trademark::violates(last) {
        let message = format!("the repository name `{last}` uses the Red Hat trademark");
        return failed(
            Finding::new(last, message).remedy("name the repository after the product alone"),
        );
    }
    passed(last)
}

#[cfg(test)]
pub(super) mod tests;
