//! No unapplied Critical or Important errata.

use super::{Check, Need};
use crate::{finding::Verdict, rule::Rule, subject::Subject};

crate::rule! {
    /// # What it requires
    /// No package of Red Hat's in the image lacks an erratum of severity Critical or Important.
    ///
    /// This version of Plimsoll has no advisory database yet, so the rule is *not assessed*, which is
    /// never a pass. It blocks only when the configuration marks it as required.
    ///
    /// # Why
    /// An image is published with grade A only. Red Hat grades it by the Critical and Important
    /// errata that exist and that it lacks; Moderate and Low ones do not count.
    ///
    /// # How to fix
    /// Build on the newest base image, or apply the updates in the Dockerfile:
    ///
    /// ```dockerfile
    /// RUN dnf -y update-minimal --security --sec-severity=Important --sec-severity=Critical && dnf clean all
    /// ```
    ///
    /// # References
    /// - [Container Health Index](https://redhat-connect.gitbook.io/catalog-help/container-images/container-health)
    /// - openshift-preflight has no such check; Red Hat grades the image after it was submitted
    static FREE_OF_CRITICAL_VULNERABILITIES = {
        id: "free_of_critical_vulnerabilities",
        title: "a Critical or Important erratum is not applied",
        aliases: [],
        level: Required,
        origin: Service,
        since: "0.1.0",
        security_severity: "9.0",
    }
}

pub(super) struct FreeOfCriticalVulnerabilities;

impl Check for FreeOfCriticalVulnerabilities {
    fn rule(&self) -> &'static Rule {
        &FREE_OF_CRITICAL_VULNERABILITIES
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::Advisories]
    }

    /// Not reached while [`Need::Advisories`] is never met.
    fn assess(&self, _subject: &Subject) -> Verdict {
        Verdict::NotApplicable("there are no advisories to judge by".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        check::{assess, testing::Image},
        finding::Outcome,
    };

    #[test]
    fn without_advisories_nothing_is_said() {
        let assessments = assess(&Image::good().build(), |rule| {
            rule.id == "free_of_critical_vulnerabilities"
        });
        let Outcome::NotAssessed(reason) = &assessments[0].outcome else {
            panic!("assessed");
        };
        assert!(reason.contains("advisory database"), "{reason}");
    }
}
