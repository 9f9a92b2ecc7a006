//! What is told as a note beside the findings: it lowers no grade and fails no rule.

use std::borrow::Cow;

use super::{
    ImageReport, Report,
    errata::{self, Erratum, errata},
    view::{ADVISORIES, Item, Weight, fingerprint, items, rule_page, tell_apart},
};
use crate::{
    advisory::matching::Unmended,
    finding::{Assessment, Finding},
};

/// [`items`], and as notes the advisories that are not applied but fail no image and the
/// vulnerabilities that no advisory mends, if the rule about advisories was asked for.
pub(super) fn with_notes(report: &Report) -> Vec<Item<'_>> {
    let mut items = items(report);
    let all = items.len();
    for image in &report.images {
        let rule = image.assessments.iter().find(|it| it.rule.id == ADVISORIES);
        if let Some(assessment) = rule {
            let Some(facts) = &image.advisories else {
                continue;
            };
            let lesser = errata(report, image);
            let lesser = lesser
                .iter()
                .filter(|it| it.out && it.missing.severity < facts.fails_from);
            items.extend(lesser.map(|erratum| lesser_item(report, image, assessment, erratum)));
            let unfixed = facts.matched.unfixed.iter();
            items.extend(unfixed.map(|own| unfixed_item(report, image, assessment, own)));
        }
    }
    // What came before keeps its fingerprint.
    tell_apart(items.get_mut(all..).unwrap_or_default());
    items
}

fn lesser_item<'a>(
    report: &Report,
    image: &'a ImageReport,
    assessment: &'a Assessment,
    erratum: &Erratum<'_>,
) -> Item<'a> {
    let missing = erratum.missing;
    let each: Vec<String> = erratum
        .packages
        .iter()
        .map(|it| format!("{} (fixed in {})", it.affected.installed, it.affected.fixed))
        .collect();
    let message = format!(
        "{} is not applied: {}, {} days old: {}",
        missing.id,
        missing.severity,
        erratum.age,
        each.join(", ")
    );
    let first = erratum.packages.first();
    let mut finding = Finding::new(&*missing.id, message)
        .at(first.and_then(|it| it.location.clone()))
        .remedy("build on a newer base image, or update the packages in the Dockerfile");
    finding.layer = first.map(|it| it.affected.layer);
    finding.package = first.map(|it| it.affected.installed.to_string());
    finding.advisory = Some(missing.id.clone());
    Item {
        change: erratum.change,
        ..note(report, image, assessment, finding)
    }
}

fn unfixed_item<'a>(
    report: &Report,
    image: &'a ImageReport,
    assessment: &'a Assessment,
    own: &Unmended,
) -> Item<'a> {
    let each: Vec<String> = own
        .packages
        .iter()
        .map(|it| format!("{} ({})", it.installed, it.stance.as_str()))
        .collect();
    let message = format!(
        "no advisory mends {}: {}: {}",
        own.id,
        own.severity,
        each.join(", ")
    );
    let first = own.packages.first();
    let layer = first.map(|it| it.layer);
    let mut finding = Finding::new(&*own.id, message)
        .at(layer.and_then(|layer| errata::line_of_layer(image, layer)));
    finding.remedy = Some(own.workaround.clone()).filter(|text| !text.is_empty());
    finding.layer = layer;
    finding.package = first.map(|it| it.installed.to_string());
    finding.advisory = Some(own.id.clone());
    note(report, image, assessment, finding)
}

fn note<'a>(
    report: &Report,
    image: &'a ImageReport,
    assessment: &'a Assessment,
    finding: Finding,
) -> Item<'a> {
    Item {
        rule: assessment.rule.id,
        title: assessment.rule.title,
        help_uri: Some(rule_page(assessment.rule.id)),
        weight: Weight::Note,
        fingerprint: fingerprint(report, Some(image), assessment.rule.id, &finding),
        finding: Cow::Owned(finding),
        image: Some(image),
        change: None,
    }
}
