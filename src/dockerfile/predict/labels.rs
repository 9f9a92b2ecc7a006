//! Labels: said, missing, or inherited; and the trap that inherited ones are.

use indexmap::IndexMap;

use super::{Case, base::KnownBase, excused, failed, passed, unknown};
use crate::{
    finding::{Finding, Lint, LintLevel, Location, Outcome, Verdict},
    oci::{privileges::demands, trademark},
};

/// Labels that tell of the product, so that the base image's value is wrong for it.
const OF_THE_PRODUCT: [&str; 5] = ["name", "version", "release", "summary", "description"];
/// Labels the trademark rule is about.
const TRADEMARKED: [&str; 3] = ["name", "vendor", "maintainer"];
/// What Red Hat's images carry as vendor and maintainer.
const RED_HAT: &str = "Red Hat, Inc.";

/// Where the value of a label comes from.
enum Source<'a> {
    Outside(&'a str),
    Said {
        value: &'a str,
        unknown: &'a [String],
        location: &'a Location,
    },
    Base(&'a str),
    /// Red Hat's images have it; its value is not known
    RedHatBase,
    None,
    Unknown,
}

fn source<'a>(case: &'a Case<'_>, name: &str) -> Source<'a> {
    if let Some(value) = case.context.labels.and_then(|labels| labels.get(name)) {
        return Source::Outside(value);
    }
    if let Some(label) = case.resolved.labels.get(name) {
        return Source::Said {
            value: &label.value,
            unknown: &label.unknown,
            location: &label.location,
        };
    }
    match (case.context.base_labels, case.base) {
        (Some(labels), _) => labels.get(name).map_or(Source::None, |v| Source::Base(v)),
        (None, KnownBase::Scratch) => Source::None,
        (None, base) if base.is_red_hat() => Source::RedHatBase,
        (None, _) => Source::Unknown,
    }
}

pub(super) fn exists(case: &Case<'_>, name: &'static str) -> Outcome {
    match source(case, name) {
        Source::Said {
            value,
            unknown: names,
            ..
        } if hangs_on(value, names) => {
            unknown(format!("the value of the label {name} is not known"))
        }
        Source::Outside(value) | Source::Said { value, .. } | Source::Base(value)
            if value.trim().is_empty() =>
        {
            failed(missing(case, name, format!("the label {name} is empty")))
        }
        Source::Outside(value) => passed(format!("{name}={value}, given with the build")),
        Source::Said { value, .. } => passed(format!("{name}={value}")),
        Source::Base(value) => passed(format!(
            "{name}={value}, inherited from the base image {}",
            case.base_name()
        )),
        Source::RedHatBase => passed(format!(
            "inherited from the base image {}",
            case.base_name()
        )),
        Source::None => failed(missing(case, name, format!("the label {name} is not set"))),
        Source::Unknown => unknown(format!(
            "the label {name} is not set here; whether the base image {} sets it is not known",
            case.base_name()
        )),
    }
}

/// Whether a value is empty unless variables that are not known fill it.
fn hangs_on(value: &str, unknown: &[String]) -> bool {
    let filled = |value: String, name: &String| value.replace(&format!("${{{name}}}"), "");
    !unknown.is_empty()
        && unknown
            .iter()
            .fold(value.to_owned(), filled)
            .trim()
            .is_empty()
}

fn missing(case: &Case<'_>, name: &str, message: String) -> Finding {
    let said = case.resolved.labels.get(name).map(|label| &label.location);
    let place = said.or_else(|| {
        case.resolved
            .labels
            .values()
            .last()
            .map(|label| &label.location)
    });
    let author = case
        .resolved
        .maintainer
        .as_ref()
        .filter(|_| name == "maintainer");
    let example = author.map_or(example(name), |author| author.value.as_str());
    Finding::new(name, message)
        .at(Some(place.unwrap_or(&case.resolved.from).clone()))
        .remedy(format!("add LABEL {name}={example:?} to the last stage"))
        .patch(format!("LABEL {name}={example:?}"))
}

fn example(name: &str) -> &'static str {
    match name {
        "name" => "company/product",
        "vendor" => "Company",
        "version" => "1.0",
        "release" => "1",
        "summary" => "one line on the product",
        "description" => "what the product does",
        _ => "maintainer@company.example",
    }
}

/// Labels of the base image that will pass for the product's own.
pub(super) fn inherited_lints(case: &Case<'_>) -> Vec<Lint> {
    let inherited: Vec<&str> = OF_THE_PRODUCT
        .into_iter()
        .filter(|name| matches!(source(case, name), Source::Base(_) | Source::RedHatBase))
        .collect();
    if inherited.is_empty() {
        return Vec::new();
    }
    let list = inherited.join(", ");
    let message = format!(
        "the labels {list} are not set, so the image carries those of the base image {}",
        case.base_name()
    );
    let finding = Finding::new(list, message)
        .at(Some(case.resolved.from.clone()))
        .remedy("set them to the product's own values with LABEL");
    vec![Lint {
        rule: "dockerfile/inherited-label".to_owned(),
        title: "a label tells of the base image instead of the product".to_owned(),
        level: LintLevel::Warning,
        help_uri: None,
        finding,
    }]
}

pub(super) fn has_no_prohibited_labels(case: &Case<'_>) -> Outcome {
    let (mut findings, mut unknowns) = (Vec::new(), Vec::new());
    for name in TRADEMARKED {
        let at_from = case.resolved.from.clone();
        let (value, location, inherited) = match source(case, name) {
            Source::Said { unknown, .. } if !unknown.is_empty() => {
                unknowns.push(name);
                continue;
            }
            Source::Said {
                value, location, ..
            } => (value, location.clone(), false),
            Source::Outside(value) => (value, at_from, false),
            Source::Base(value) => (value, at_from, true),
            // Red Hat's names, such as ubi9/ubi, do not hold the trademark.
            Source::RedHatBase if name == "name" => continue,
            Source::RedHatBase => (RED_HAT, at_from, true),
            Source::None => continue,
            Source::Unknown => {
                unknowns.push(name);
                continue;
            }
        };
        if trademark::violates(value) {
            let how = if inherited {
                format!("is inherited from the base image {} and", case.base_name())
            } else {
                "uses the Red Hat trademark and".to_owned()
            };
            let example = example(name);
            findings.push(
                Finding::new(
                    name,
                    format!("the label {name}={value:?} {how} names Red Hat"),
                )
                .at(Some(location))
                .remedy(format!("set LABEL {name} to the partner's own value"))
                .patch(format!("LABEL {name}={example:?}")),
            );
        }
    }
    if !findings.is_empty() {
        return Outcome::Assessed(Verdict::Failed(findings));
    }
    if unknowns.is_empty() {
        return Outcome::Assessed(Verdict::Passed { note: None });
    }
    unknown(format!(
        "the values of {} are not known",
        unknowns.join(", ")
    ))
}

pub(super) fn not_running_privileged(case: &Case<'_>) -> Outcome {
    if let Some(excused) = excused(case) {
        return excused;
    }
    let none = IndexMap::new();
    let outside = case.context.labels.unwrap_or(&none);
    let from = &case.resolved.from;
    let given = outside
        .iter()
        .map(|(key, value)| (key, value.as_str(), from));
    let said = case.resolved.labels.iter();
    let said = said.map(|(key, label)| (key, label.value.as_str(), &label.location));
    let said = said.filter(|(key, ..)| !outside.contains_key(*key));
    let findings: Vec<Finding> = given
        .chain(said)
        .flat_map(|(key, value, at)| {
            let found = demands(key, value);
            found.into_iter().map(move |demand| (key, at, demand))
        })
        .map(|(key, at, demand)| {
            let message = format!(
                "the label {key} asks for {} with {}",
                demand.what, demand.option
            );
            Finding::new(format!("{key} {}", demand.option), message)
                .at(Some(at.clone()))
                .remedy("remove the option, or mark the project privileged and say why")
        })
        .collect();
    if !findings.is_empty() {
        return Outcome::Assessed(Verdict::Failed(findings));
    }
    let base_asks = |labels: &IndexMap<String, String>| {
        labels
            .iter()
            .any(|(key, value)| !demands(key, value).is_empty())
    };
    let base_known = case.base == KnownBase::Scratch || case.base.is_red_hat();
    if base_known || case.context.base_labels.is_some_and(|l| !base_asks(l)) {
        return passed("no label asks for privileges");
    }
    unknown(format!(
        "the labels of the base image {} are not known",
        case.base_name()
    ))
}
