//! The labels that must be set: one check, a rule and a page for each label.

use super::{Check, Need, base, passed};
use crate::{
    finding::{Finding, Verdict},
    oci::Tag,
    rule::Rule,
    subject::{Fact, Subject},
};

crate::rule! {
    /// # What it requires
    /// The label `name` is set and not empty.
    ///
    /// # Why
    /// `name` is what the catalog and `podman inspect` call the image. A label that is only inherited
    /// still counts as set, but then it is the name of the base image.
    ///
    /// # How to fix
    /// Set it in the last stage of the Dockerfile, usually `company/product`. Label names are
    /// lower case; `Name` is another label.
    ///
    /// ```dockerfile
    /// LABEL name="vendorx/plugin"
    /// ```
    ///
    /// # References
    /// - [Policy guide, requirements for container images](https://access.redhat.com/documentation/en-us/red_hat_software_certification/2026/html-single/red_hat_openshift_software_certification_policy_guide/index#assembly-requirements-for-container-images_openshift-sw-cert-policy-introduction)
    /// - openshift-preflight: `HasRequiredLabel`
    static NAME_LABEL_EXISTS = {
        id: "name_label_exists",
        title: "the label `name` is missing or empty",
        aliases: ["HasRequiredLabel"],
        level: Required,
        origin: Service,
        since: "0.1.0",
    }
}

crate::rule! {
    /// # What it requires
    /// The label `vendor` is set and not empty.
    ///
    /// # Why
    /// It says whose image this is. Red Hat's base images set it to their own name; inherited, it
    /// satisfies this rule but breaks `has_no_prohibited_labels`.
    ///
    /// # How to fix
    /// Set it to the company's name in the last stage of the Dockerfile:
    ///
    /// ```dockerfile
    /// LABEL vendor="VendorX"
    /// ```
    ///
    /// # References
    /// - [Policy guide, requirements for container images](https://access.redhat.com/documentation/en-us/red_hat_software_certification/2026/html-single/red_hat_openshift_software_certification_policy_guide/index#assembly-requirements-for-container-images_openshift-sw-cert-policy-introduction)
    /// - openshift-preflight: `HasRequiredLabel`
    static VENDOR_LABEL_EXISTS = {
        id: "vendor_label_exists",
        title: "the label `vendor` is missing or empty",
        aliases: ["HasRequiredLabel"],
        level: Required,
        origin: Service,
        since: "0.1.0",
    }
}

crate::rule! {
    /// # What it requires
    /// The label `version` is set and not empty.
    ///
    /// # Why
    /// It says which version of the product is inside, whatever the tag says. Inherited, it is the
    /// version of the base image.
    ///
    /// # How to fix
    /// Set it to the version of the product in the last stage of the Dockerfile; an `ARG` keeps it in
    /// step with the build:
    ///
    /// ```dockerfile
    /// LABEL version="3.7"
    /// ```
    ///
    /// # References
    /// - [Policy guide, requirements for container images](https://access.redhat.com/documentation/en-us/red_hat_software_certification/2026/html-single/red_hat_openshift_software_certification_policy_guide/index#assembly-requirements-for-container-images_openshift-sw-cert-policy-introduction)
    /// - openshift-preflight: `HasRequiredLabel`
    static VERSION_LABEL_EXISTS = {
        id: "version_label_exists",
        title: "the label `version` is missing or empty",
        aliases: ["HasRequiredLabel"],
        level: Required,
        origin: Service,
        since: "0.1.0",
    }
}

crate::rule! {
    /// # What it requires
    /// The label `release` is set and not empty.
    ///
    /// # Why
    /// It tells builds of the same version apart: a rebuild on a newer base image has the same
    /// `version` and another `release`. Inherited, it is the release of the base image.
    ///
    /// # How to fix
    /// Set it to the number of the build in the last stage of the Dockerfile, as in the tag
    /// `<version>-<release>`:
    ///
    /// ```dockerfile
    /// LABEL release="1"
    /// ```
    ///
    /// # References
    /// - [Policy guide, requirements for container images](https://access.redhat.com/documentation/en-us/red_hat_software_certification/2026/html-single/red_hat_openshift_software_certification_policy_guide/index#assembly-requirements-for-container-images_openshift-sw-cert-policy-introduction)
    /// - openshift-preflight: `HasRequiredLabel`
    static RELEASE_LABEL_EXISTS = {
        id: "release_label_exists",
        title: "the label `release` is missing or empty",
        aliases: ["HasRequiredLabel"],
        level: Required,
        origin: Service,
        since: "0.1.0",
    }
}

crate::rule! {
    /// # What it requires
    /// The label `summary` is set and not empty.
    ///
    /// # Why
    /// It is the one line that says what the image is for. Inherited, it describes the base image.
    ///
    /// # How to fix
    /// Set it in the last stage of the Dockerfile:
    ///
    /// ```dockerfile
    /// LABEL summary="Cinder volume driver for VendorX arrays"
    /// ```
    ///
    /// # References
    /// - [Policy guide, requirements for container images](https://access.redhat.com/documentation/en-us/red_hat_software_certification/2026/html-single/red_hat_openshift_software_certification_policy_guide/index#assembly-requirements-for-container-images_openshift-sw-cert-policy-introduction)
    /// - openshift-preflight: `HasRequiredLabel`
    static SUMMARY_LABEL_EXISTS = {
        id: "summary_label_exists",
        title: "the label `summary` is missing or empty",
        aliases: ["HasRequiredLabel"],
        level: Required,
        origin: Policy,
        since: "0.1.0",
    }
}

crate::rule! {
    /// # What it requires
    /// The label `description` is set and not empty.
    ///
    /// # Why
    /// It says at more length than `summary` what the image does and needs. Inherited, it describes
    /// the base image.
    ///
    /// # How to fix
    /// Set it in the last stage of the Dockerfile:
    ///
    /// ```dockerfile
    /// LABEL description="Runs the cinder-volume service with the driver for VendorX arrays"
    /// ```
    ///
    /// # References
    /// - [Policy guide, requirements for container images](https://access.redhat.com/documentation/en-us/red_hat_software_certification/2026/html-single/red_hat_openshift_software_certification_policy_guide/index#assembly-requirements-for-container-images_openshift-sw-cert-policy-introduction)
    /// - openshift-preflight: `HasRequiredLabel`
    static DESCRIPTION_LABEL_EXISTS = {
        id: "description_label_exists",
        title: "the label `description` is missing or empty",
        aliases: ["HasRequiredLabel"],
        level: Required,
        origin: Policy,
        since: "0.1.0",
    }
}

crate::rule! {
    /// # What it requires
    /// The label `maintainer` is set and not empty. The old `MAINTAINER` instruction does not set it.
    ///
    /// # Why
    /// It says whom to write to. openshift-preflight asks for it since 1.11.0. Red Hat's base images
    /// set it to their own name; inherited, it satisfies this rule but breaks
    /// `has_no_prohibited_labels`.
    ///
    /// # How to fix
    /// Set it in the last stage of the Dockerfile:
    ///
    /// ```dockerfile
    /// LABEL maintainer="support@vendorx.example.com"
    /// ```
    ///
    /// # References
    /// - [Policy guide, requirements for container images](https://access.redhat.com/documentation/en-us/red_hat_software_certification/2026/html-single/red_hat_openshift_software_certification_policy_guide/index#assembly-requirements-for-container-images_openshift-sw-cert-policy-introduction)
    /// - openshift-preflight: `HasRequiredLabel`
    static MAINTAINER_LABEL_EXISTS = {
        id: "maintainer_label_exists",
        title: "the label `maintainer` is missing or empty",
        aliases: ["HasRequiredLabel"],
        level: Required,
        origin: Policy,
        since: "0.1.0",
    }
}

/// One label that must be set.
pub(super) struct LabelExists {
    rule: &'static Rule,
    label: &'static str,
    /// stands in the ready line where the value cannot be told
    example: &'static str,
}

macro_rules! labels {
    ($($check:ident = $rule:ident, $label:literal, $example:literal;)+) => {
        $(pub(super) static $check: LabelExists = LabelExists {
            rule: &$rule,
            label: $label,
            example: $example,
        };)+

        #[cfg(test)]
        const ALL: &[&LabelExists] = &[$(&$check),+];
    };
}

labels! {
    NAME = NAME_LABEL_EXISTS, "name", "<company>/<product>";
    VENDOR = VENDOR_LABEL_EXISTS, "vendor", "<company>";
    VERSION = VERSION_LABEL_EXISTS, "version", "<version of the product>";
    RELEASE = RELEASE_LABEL_EXISTS, "release", "1";
    SUMMARY = SUMMARY_LABEL_EXISTS, "summary", "<what the image is for>";
    DESCRIPTION = DESCRIPTION_LABEL_EXISTS, "description", "<what the image does and needs>";
    MAINTAINER = MAINTAINER_LABEL_EXISTS, "maintainer", "<address to write to>";
}

impl Check for LabelExists {
    fn rule(&self) -> &'static Rule {
        self.rule
    }

    fn needs(&self) -> &'static [Need] {
        &[]
    }

    fn assess(&self, subject: &Subject) -> Verdict {
        let label = self.label;
        let value = subject.config.label(label);
        if let Some(value) = value.filter(|value| !value.trim().is_empty()) {
            return if base::inherits(subject, label) {
                passed(format!(
                    "`{label}` is `{value}`, which the Dockerfile does not set: it comes from the base image or from the build's options"
                ))
            } else {
                passed(format!("`{label}` is `{value}`"))
            };
        }
        let message = if value.is_some() {
            format!("label `{label}` is empty")
        } else if let Some(other) = self.other_case(subject) {
            format!("label `{label}` is missing; `{other}` is another label, as case counts")
        } else {
            format!("label `{label}` is missing")
        };
        let finding = Finding::new(label, message)
            .at(subject.at_label(label))
            .remedy(format!("set `{label}` in the last stage of the Dockerfile"))
            .patch(format!("LABEL {label}=\"{}\"", self.value(subject)));
        Verdict::Failed(vec![finding])
    }
}

impl LabelExists {
    fn other_case<'s>(&self, subject: &'s Subject) -> Option<&'s str> {
        let labels = subject.config.config.as_ref()?.labels.as_ref()?;
        labels
            .keys()
            .map(String::as_str)
            .find(|name| name.eq_ignore_ascii_case(self.label))
    }

    /// What the label should say: `version` and `release` can be told by a tag `<version>-<n>`.
    fn value(&self, subject: &Subject) -> String {
        let Fact::Known(tags) = &subject.tags else {
            return self.example.to_owned();
        };
        let parsed: Vec<Tag> = tags.iter().filter_map(|tag| tag.parse().ok()).collect();
        match (self.label, parsed.iter().find_map(Tag::version_and_build)) {
            ("version", Some((version, _))) => version.to_owned(),
            ("release", Some((_, build))) => build.to_string(),
            _ => self.example.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Image, line};

    fn finding(check: &LabelExists, subject: &Subject) -> Finding {
        match check.assess(subject) {
            Verdict::Failed(mut findings) => findings.remove(0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_label_has_its_own_rule_and_fails_alone() {
        for check in ALL {
            assert_eq!(check.rule.id, format!("{}_label_exists", check.label));
            let subject = Image::good().without_label(check.label).build();
            for other in ALL {
                let failed = matches!(other.assess(&subject), Verdict::Failed(_));
                assert_eq!(failed, check.label == other.label);
            }
        }
    }

    #[test]
    fn empty_and_differently_cased_labels_are_told_apart_from_missing_ones() {
        for (image, message) in [
            (Image::bare(), "label `vendor` is missing"),
            (Image::bare().label("vendor", ""), "label `vendor` is empty"),
            (
                Image::bare().label("vendor", " \t"),
                "label `vendor` is empty",
            ),
            (
                Image::bare().label("Vendor", "VendorX"),
                "label `vendor` is missing; `Vendor` is another label, as case counts",
            ),
        ] {
            assert_eq!(finding(&VENDOR, &image.build()).message, message);
        }
    }

    #[test]
    fn the_ready_line_takes_version_and_release_from_the_tag() {
        let patch = |check: &LabelExists, tags: &[&str]| {
            finding(check, &Image::bare().tags(tags).build())
                .patch
                .unwrap()
        };
        assert_eq!(
            patch(&VERSION, &["latest", "3.7-rc1-12"]),
            "LABEL version=\"3.7-rc1\""
        );
        assert_eq!(patch(&RELEASE, &["3.7-rc1-12"]), "LABEL release=\"12\"");
        assert_eq!(
            patch(&VERSION, &["3.7"]),
            "LABEL version=\"<version of the product>\""
        );
        assert_eq!(patch(&VENDOR, &["3.7-1"]), "LABEL vendor=\"<company>\"");
    }

    #[test]
    fn an_empty_label_is_found_on_its_line_and_a_missing_one_at_from() {
        let mut subject = Image::bare()
            .dockerfile("Containerfile", 1)
            .label("vendor", "")
            .build();
        subject.origins.labels.insert("vendor".to_owned(), line(5));
        assert_eq!(finding(&VENDOR, &subject).location, Some(line(5)));
        assert_eq!(finding(&NAME, &subject).location, Some(line(1)));
    }

    #[test]
    fn an_inherited_label_passes_and_says_so() {
        let subject = Image::bare()
            .dockerfile("Containerfile", 1)
            .label("vendor", "Red Hat, Inc.")
            .build();
        let Verdict::Passed { note: Some(note) } = VENDOR.assess(&subject) else {
            panic!("not passed");
        };
        assert!(note.contains("the Dockerfile does not set"), "{note}");
    }
}
