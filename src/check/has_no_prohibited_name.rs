//! The repository's name does not use Red Hat's trademark.

use super::{Check, Need, passed};
use crate::{
    finding::{Finding, Verdict},
    oci::trademark,
    rule::Rule,
    subject::Subject,
};

crate::rule! {
    /// # What it requires
    /// The last part of the repository's name (`plugin` of `quay.io/vendorx/plugin`) does not call the
    /// image Red Hat's: the same rule as for labels, see `has_no_prohibited_labels`.
    ///
    /// An image without a repository name, such as a directory on disk, is not concerned.
    ///
    /// # Why
    /// `Red Hat` is a trademark; the name of a partner's image may say that it is *for* it, not that it
    /// is *of* it.
    ///
    /// # How to fix
    /// Give the repository another name (`image.repository` in `plimsoll.yaml`), such as
    /// `plugin-for-red-hat-openstack`.
    ///
    /// # References
    /// - [Policy guide, requirements for container images](https://access.redhat.com/documentation/en-us/red_hat_software_certification/2026/html-single/red_hat_openshift_software_certification_policy_guide/index#assembly-requirements-for-container-images_openshift-sw-cert-policy-introduction)
    /// - openshift-preflight: `HasProhibitedContainerName`
    static HAS_NO_PROHIBITED_NAME = {
        id: "has_no_prohibited_name",
        title: "the repository's name uses Red Hat's trademark",
        aliases: ["HasProhibitedContainerName"],
        level: Required,
        origin: Policy,
        since: "0.1.0",
    }
}

pub(super) struct HasNoProhibitedName;

impl Check for HasNoProhibitedName {
    fn rule(&self) -> &'static Rule {
        &HAS_NO_PROHIBITED_NAME
    }

    fn needs(&self) -> &'static [Need] {
        &[]
    }

    fn assess(&self, subject: &Subject) -> Verdict {
        let Some(reference) = &subject.reference else {
            return Verdict::NotApplicable("the image has no repository name".to_owned());
        };
        let repository = &reference.repository;
        let name = repository.rsplit('/').next().unwrap_or(repository);
        if !trademark::violates(name) {
            return passed(format!("`{name}`"));
        }
        Verdict::Failed(vec![
            Finding::new(
                name,
                format!("`{name}`, the last part of `{reference}`, uses Red Hat's trademark"),
            )
            .at(subject.at_from())
            .remedy("rename the repository; `…-for-red-hat-…` is allowed"),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check::testing::Image, oci::Reference};

    fn outcome(repository: Option<&str>) -> &'static str {
        let mut subject = Image::good().build();
        subject.reference = repository.map(|repository| Reference {
            registry: "quay.io".to_owned(),
            repository: repository.to_owned(),
            tag: None,
            digest: None,
        });
        match HasNoProhibitedName.assess(&subject) {
            Verdict::Passed { .. } => "passed",
            Verdict::Failed(_) => "failed",
            Verdict::NotApplicable(_) => "not applicable",
            Verdict::Warning(_) => "warning",
        }
    }

    #[test]
    fn the_last_part_of_the_repository_counts() {
        for (repository, want) in [
            (Some("vendorx/plugin"), "passed"),
            (Some("redhat-isv-containers/plugin"), "passed"),
            (Some("vendorx/redhat-plugin"), "failed"),
            (Some("vendorx/plugin-for-red-hat"), "passed"),
            (Some("vendorx/plugin-red-hat"), "failed"),
            (Some("red_hat"), "failed"),
            (None, "not applicable"),
        ] {
            assert_eq!(outcome(repository), want, "{repository:?}");
        }
    }
}
