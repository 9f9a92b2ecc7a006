//! A tag that names one image.

use super::{Check, Need, passed};
use crate::{
    finding::{Finding, Verdict},
    oci::Tag,
    rule::Rule,
    subject::{Fact, Subject},
};

crate::rule! {
    /// # What it requires
    /// The image has, or will be pushed with, at least one tag that does not move from image to image
    /// (`latest` does), and each tag keeps the service's rule: ASCII letters, digits, `_`, `.` and
    /// `-`, not starting with `.` or `-`, at most 32 characters. A tag outside the convention
    /// `<version>-<build number>` is a warning.
    ///
    /// # Why
    /// A tag such as `latest` says nothing about which image is meant, and moving a published tag
    /// takes the published image away until the new one is published. The build number tells rebuilds
    /// of one version apart.
    ///
    /// # How to fix
    /// Tag the image `<version>-<build number>`, the first build of version 1.0 as `1.0-1`; with
    /// `image.version` in `plimsoll.yaml` the number is found by itself:
    ///
    /// ```yaml
    /// image:
    ///   version: "1.0"
    /// ```
    ///
    /// Floating tags are moved after publication.
    ///
    /// # References
    /// - [Policy guide, requirements for container images](https://access.redhat.com/documentation/en-us/red_hat_software_certification/2026/html-single/red_hat_openshift_software_certification_policy_guide/index#assembly-requirements-for-container-images_openshift-sw-cert-policy-introduction)
    /// - openshift-preflight: `HasUniqueTag`
    static GOOD_TAGS = {
        id: "good_tags",
        title: "no tag names this image alone, or a tag breaks the rule for tags",
        aliases: ["HasUniqueTag"],
        level: Required,
        origin: Service,
        since: "0.1.0",
    }
}

pub(super) struct GoodTags;

impl Check for GoodTags {
    fn rule(&self) -> &'static Rule {
        &GOOD_TAGS
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::Tags]
    }

    fn assess(&self, subject: &Subject) -> Verdict {
        let Fact::Known(tags) = &subject.tags else {
            return Verdict::NotApplicable("no tags are known".to_owned());
        };
        let mut failures: Vec<_> = tags.iter().flat_map(|tag| violations(tag)).collect();
        if tags.iter().all(|tag| Tag::floats(tag)) {
            failures.push(floating(tags));
        }
        if failures.is_empty() {
            return advice(tags);
        }
        let place = |finding: Finding| finding.at(subject.at_from());
        Verdict::Failed(failures.into_iter().map(place).collect())
    }
}

fn violations(tag: &str) -> Vec<Finding> {
    Tag::violations(tag)
        .into_iter()
        .map(|error| {
            Finding::new(tag, error.to_string())
                .remedy("use ASCII letters, digits, `_`, `.` and `-`, at most 32, starting with a letter, digit or `_`")
        })
        .collect()
}

fn floating(tags: &[String]) -> Finding {
    let message = match tags {
        [] => "the image has no tag of its own".to_owned(),
        [tag] => format!("the only tag, `{tag}`, moves from image to image"),
        _ => format!("all tags move from image to image: {}", tags.join(", ")),
    };
    Finding::new("floating", message)
        .remedy("tag the image `<version>-<build number>`, such as 1.0-1")
}

/// At least one tag is good: is it of the convention?
fn advice(tags: &[String]) -> Verdict {
    let parsed: Vec<Tag> = tags.iter().filter_map(|tag| tag.parse().ok()).collect();
    let good = parsed.iter().find(|tag| tag.version_and_build().is_some());
    if let Some(tag) = good {
        return passed(format!("`{}` names this image alone", tag.as_str()));
    }
    let findings = parsed.iter().filter(|tag| !tag.is_floating()).map(|tag| {
        Finding::new(
            tag.as_str(),
            format!(
                "tag `{}` is not of the form `<version>-<build number>`",
                tag.as_str()
            ),
        )
        .remedy(format!(
            "tag the first build `{}-1`, so that a rebuild for updates can be `-2`",
            tag.as_str()
        ))
    });
    Verdict::Warning(findings.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::Image;

    fn outcome(tags: &[&str]) -> (&'static str, Vec<String>) {
        let said = |findings: Vec<Finding>| findings.into_iter().map(|f| f.message).collect();
        match GoodTags.assess(&Image::bare().tags(tags).build()) {
            Verdict::Passed { .. } => ("passed", Vec::new()),
            Verdict::Warning(findings) => ("warning", said(findings)),
            Verdict::Failed(findings) => ("failed", said(findings)),
            Verdict::NotApplicable(_) => ("not_applicable", Vec::new()),
        }
    }

    #[test]
    fn tags_are_judged_together() {
        let table: &[(&[&str], &str)] = &[
            (&["3.7-1"], "passed"),
            (&["3.7-1", "latest"], "passed"),
            (&["3.7", "3.7-1"], "passed"),
            (&["16.2"], "warning"),
            (&["latest", "16.2"], "warning"),
            (&[], "failed"),
            (&["latest"], "failed"),
            (&["LATEST"], "failed"),
            (&["latest", "stable"], "failed"),
            (&["3.7-1", "-bad"], "failed"),
            (&["3.7+1"], "failed"),
            (&["a23456789012345678901234567890-1"], "passed"),
            (&["a234567890123456789012345678901-1"], "failed"),
        ];
        for (tags, want) in table {
            assert_eq!(outcome(tags).0, *want, "{tags:?}");
        }
    }

    #[test]
    fn each_fault_is_named_with_its_tag() {
        assert_eq!(
            outcome(&["latest"]).1,
            ["the only tag, `latest`, moves from image to image"]
        );
        assert_eq!(outcome(&[]).1, ["the image has no tag of its own"]);
        let said = outcome(&["3.7+1", ".x"]).1;
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(
            said[0].contains("3.7+1") && said[1].contains(".x"),
            "{said:?}"
        );
    }
}
