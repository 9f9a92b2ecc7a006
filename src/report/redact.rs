//! Takes secrets out of a report before any format is written: escaped by a format, they would no
//! longer be found.

use super::{ImageReport, Report};
use crate::{
    finding::{Assessment, Finding, Outcome, Verdict},
    subject::Fact,
};

impl Report {
    /// The same report, every text of it passed through `hide`. Paths inside the image and the
    /// texts that fingerprints are made of stay.
    #[must_use]
    pub fn redacted(&self, hide: &dyn Fn(&str) -> String) -> Self {
        let mut report = self.clone();
        for lint in &mut report.lints {
            lint.title = hide(&lint.title);
            finding(&mut lint.finding, hide);
        }
        for one in &mut report.images {
            image(one, hide);
        }
        report
    }
}

fn image(image: &mut ImageReport, hide: &dyn Fn(&str) -> String) {
    image.image.reference = hide(&image.image.reference);
    if let Some(base) = &mut image.base {
        base.reference = hide(&base.reference);
    }
    for layer in image.contents.iter_mut().flat_map(|it| &mut it.layers) {
        layer.created_by = layer.created_by.as_deref().map(hide);
    }
    if let Some(facts) = &mut image.advisories {
        match &mut facts.base {
            Fact::Known(base) => base.reference = hide(&base.reference),
            Fact::Unmet(reason) => *reason = hide(reason),
        }
    }
    for one in &mut image.assessments {
        assessment(one, hide);
    }
}

fn assessment(assessment: &mut Assessment, hide: &dyn Fn(&str) -> String) {
    if let Some(exception) = &mut assessment.exception {
        *exception = hide(exception);
    }
    match &mut assessment.outcome {
        Outcome::NotAssessed(text) => *text = hide(text),
        Outcome::Assessed(Verdict::Passed { note }) => *note = note.as_deref().map(hide),
        Outcome::Assessed(Verdict::Failed(findings) | Verdict::Warning(findings)) => {
            for one in findings {
                finding(one, hide);
            }
        }
        Outcome::Assessed(Verdict::NotApplicable(_)) => {}
    }
}

fn finding(finding: &mut Finding, hide: &dyn Fn(&str) -> String) {
    finding.message = hide(&finding.message);
    finding.key = hide(&finding.key);
    finding.remedy = finding.remedy.as_deref().map(hide);
    finding.patch = finding.patch.as_deref().map(hide);
    finding.package = finding.package.as_deref().map(hide);
}
