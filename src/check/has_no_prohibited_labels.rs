//! Labels do not use Red Hat's trademark.

use super::{Check, Need, base, failed_or_passed};
use crate::{
    finding::{Finding, Verdict},
    oci::trademark,
    rule::Rule,
    subject::Subject,
};

crate::rule! {
    /// # What it requires
    /// The labels `name`, `vendor` and `maintainer` do not call the image Red Hat's. A text that starts
    /// with `Red Hat`, in any case and with anything but letters and digits between and before the
    /// words, is refused, and so is one that has it elsewhere, unless once as `for Red Hat`.
    ///
    /// # Why
    /// `Red Hat` is a trademark; a partner's image may be *for* it, not *of* it. Red Hat's base images
    /// set `vendor` and `maintainer` to `Red Hat, Inc.`, so an image that sets no labels of its own has
    /// all the labels it needs and still fails here.
    ///
    /// # How to fix
    /// Set the label in the last stage of the Dockerfile, which overrides the inherited one:
    ///
    /// ```dockerfile
    /// LABEL vendor="VendorX" \
    ///       maintainer="support@vendorx.example.com"
    /// ```
    ///
    /// # References
    /// - [Policy guide, requirements for container images](https://access.redhat.com/documentation/en-us/red_hat_software_certification/2026/html-single/red_hat_openshift_software_certification_policy_guide/index#assembly-requirements-for-container-images_openshift-sw-cert-policy-introduction)
    /// - [Red Hat trademark guidelines](https://www.redhat.com/en/about/trademark-guidelines-and-policies)
    /// - openshift-preflight: `HasNoProhibitedLabels`
    static HAS_NO_PROHIBITED_LABELS = {
        id: "has_no_prohibited_labels",
        title: "the label `name`, `vendor` or `maintainer` uses Red Hat's trademark",
        aliases: ["HasNoProhibitedLabels"],
        level: Required,
        origin: Policy,
        since: "0.1.0",
    }
}

/// Label, and what stands in the ready line.
const LABELS: [(&str, &str); 3] = [
    ("name", "<company>/<product>"),
    ("vendor", "<company>"),
    ("maintainer", "<address to write to>"),
];

pub(super) struct HasNoProhibitedLabels;

impl Check for HasNoProhibitedLabels {
    fn rule(&self) -> &'static Rule {
        &HAS_NO_PROHIBITED_LABELS
    }

    fn needs(&self) -> &'static [Need] {
        &[]
    }

    fn assess(&self, subject: &Subject) -> Verdict {
        let violating = LABELS.into_iter().filter_map(|(label, example)| {
            let value = subject.config.label(label)?;
            trademark::violates(value).then(|| finding(subject, label, value, example))
        });
        failed_or_passed(violating.collect())
    }
}

fn finding(subject: &Subject, label: &str, value: &str, example: &str) -> Finding {
    let inherited = if base::inherits(subject, label) {
        ", inherited from the base image because the Dockerfile does not set it"
    } else {
        ""
    };
    Finding::new(
        label,
        format!("label `{label}` is `{value}`, which uses Red Hat's trademark{inherited}"),
    )
    .at(subject.at_label(label))
    .remedy(format!(
        "set `{label}` to a text of your own in the last stage"
    ))
    .patch(format!("LABEL {label}=\"{example}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Image, line};

    fn findings(subject: &Subject) -> Vec<Finding> {
        match HasNoProhibitedLabels.assess(subject) {
            Verdict::Failed(findings) => findings,
            Verdict::Passed { .. } => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_three_labels_are_held_to_the_trademark_rule_and_others_are_not() {
        for label in ["name", "vendor", "maintainer"] {
            let image = |value: &str| Image::good().label(label, value).build();
            assert_eq!(findings(&image("Red Hat, Inc."))[0].key, label);
            assert!(findings(&image("Plugin for Red Hat OpenStack")).is_empty());
        }
        let other = Image::good().label("summary", "Red Hat OpenStack Platform 16.2");
        assert!(findings(&other.build()).is_empty());
        assert!(findings(&Image::bare().build()).is_empty());
    }

    #[test]
    fn inherited_labels_are_named_as_inherited_and_lie_at_from() {
        let mut subject = Image::bare()
            .dockerfile("Containerfile", 1)
            .label("vendor", "Red Hat, Inc.")
            .label("name", "redhat/thing")
            .build();
        subject.origins.labels.insert("name".to_owned(), line(4));
        let found = findings(&subject);
        assert_eq!(found[0].location, Some(line(4)));
        assert!(
            !found[0].message.contains("inherited"),
            "{}",
            found[0].message
        );
        assert_eq!(found[1].location, Some(line(1)));
        assert!(
            found[1].message.contains("inherited"),
            "{}",
            found[1].message
        );
        assert_eq!(
            found[1].patch.as_deref(),
            Some("LABEL vendor=\"<company>\"")
        );
    }
}
