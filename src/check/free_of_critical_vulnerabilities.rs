//! No unapplied Critical or Important errata.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Check, Need};
use crate::{
    advisory::{
        EndOfLife,
        matching::{Affected, Missing},
    },
    finding::{Finding, Verdict},
    oci::LayerIndex,
    rule::Rule,
    subject::{AdvisoryFacts, Fact, InBase, Subject},
};

crate::rule! {
    /// # What it requires
    /// No package of Red Hat's in the image lacks an erratum of severity Critical or Important, and
    /// nothing that it is built of is out of life. That is grade A of the Container Health Index.
    ///
    /// It is judged by a database of Red Hat's advisories, which `plimsoll advisories update` makes.
    /// Without one, with one that is too old, and for images that Red Hat does not grade, the rule is
    /// *not assessed*, which is never a pass. It blocks only when the configuration marks it as
    /// required. With `--critical-only` (`scan.advisories.critical-only`) Important errata do not fail
    /// it; they still count for the grade. With `--severity-cutoff moderate`, or `low`
    /// (`scan.advisories.severity-cutoff`), lesser errata fail it too; the grade stays the same.
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

    fn assess(&self, subject: &Subject) -> Verdict {
        let Fact::Known(facts) = &subject.advisories else {
            return Verdict::NotApplicable("there are no advisories to judge by".to_owned());
        };
        let now = facts.as_of.timestamp();
        let counts =
            |missing: &&Missing| missing.severity >= facts.fails_from && missing.released <= now;
        let missing = facts.matched.missing.iter().filter(counts);
        let mut findings: Vec<Finding> = missing
            .flat_map(|missing| findings(missing, facts, subject))
            .collect();
        findings.extend(ended(facts, now, subject));
        if findings.is_empty() {
            let assumed = if facts.matched.is_assumed() {
                "; its repositories are assumed"
            } else {
                ""
            };
            let note = format!(
                "{} packages against {} advisories, the newest of {}{assumed}",
                facts.matched.scanned,
                facts.advisories,
                day(facts.data)
            );
            return Verdict::Passed { note: Some(note) };
        }
        Verdict::Failed(findings)
    }
}

/// One for each layer that brought affected packages, so that each has the line to change.
fn findings(missing: &Missing, facts: &AdvisoryFacts, subject: &Subject) -> Vec<Finding> {
    let mut layers: BTreeMap<LayerIndex, Vec<&Affected>> = BTreeMap::new();
    for package in &missing.packages {
        layers.entry(package.layer).or_default().push(package);
    }
    let age = facts.age_days(missing);
    let finding = |(layer, packages): (LayerIndex, Vec<&Affected>)| {
        let each = packages
            .iter()
            .map(|package| format!("{} (fixed in {})", package.installed, package.fixed));
        let each: Vec<_> = each.collect();
        let message = format!(
            "{} is not applied: {}, {age} days old: {}",
            missing.id,
            missing.severity,
            each.join(", ")
        );
        // The id alone: layers move when an instruction is put in, and versions when one is updated.
        let mut finding = Finding::new(&*missing.id, message)
            .at(subject.at_layer(layer))
            .in_layer(layer)
            .remedy(remedy(facts, &packages));
        finding.package = packages
            .first()
            .map(|package| package.installed.to_string());
        finding.advisory = Some(missing.id.clone());
        finding
    };
    layers.into_iter().map(finding).collect()
}

/// What mends it: a rebuild when the base has the fix by now, else an update in the Dockerfile.
fn remedy(facts: &AdvisoryFacts, packages: &[&Affected]) -> String {
    let unknown = "build on a newer base image, or update the packages in the Dockerfile";
    let Fact::Known(base) = &facts.base else {
        return unknown.to_owned();
    };
    let states: Vec<_> = packages
        .iter()
        .filter_map(|package| facts.in_base(package))
        .collect();
    if states.iter().all(|state| matches!(state, InBase::Fixed(_))) {
        format!("{} has the fix: build anew on it", base.reference)
    } else if states
        .iter()
        .any(|state| matches!(state, InBase::NotFixed(_)))
    {
        format!(
            "{} lacks the fix too: update the packages in the Dockerfile",
            base.reference
        )
    } else {
        "update the packages in the Dockerfile".to_owned()
    }
}

fn ended(facts: &AdvisoryFacts, now: Timestamp, subject: &Subject) -> Vec<Finding> {
    let today = day(now);
    let ended = facts
        .matched
        .ends_of_life
        .iter()
        .filter(|end| end.last_day < today);
    let finding = |end: &EndOfLife| {
        Finding::new(
            &*end.product,
            format!("{} is out of life since {}", end.name, end.last_day),
        )
        .at(subject.at_from())
        .remedy("build on a release that is still supported")
    };
    ended.map(finding).collect()
}

fn day(at: Timestamp) -> jiff::civil::Date {
    at.to_zoned(jiff::tz::TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::{
        advisory::{
            AdvisoryKind, FixedEvr, Severity,
            grade::{AsOf, Grade, Health, Unknown},
            matching::Matched,
        },
        check::{assess, testing::Image},
        finding::Outcome,
        rpm::Nevra,
    };

    fn missing(id: &str, severity: Severity, released: &str, layers: &[u32]) -> Missing {
        let package = |layer: &u32| Affected {
            installed: Nevra {
                name: "tar".to_owned(),
                epoch: Some(2),
                version: "1.30".to_owned(),
                release: "4.el8".to_owned(),
                arch: Some("x86_64".to_owned()),
            },
            fixed: FixedEvr::parse("2:1.30-5.el8").expect("an evr"),
            layer: LayerIndex(*layer),
            product: "cpe:/o:redhat:enterprise_linux:8".to_owned(),
        };
        Missing {
            id: id.to_owned(),
            kind: AdvisoryKind::Security,
            severity,
            released: released.parse().expect("a time"),
            title: String::new(),
            cves: Vec::new(),
            packages: layers.iter().map(package).collect(),
        }
    }

    fn outcome(health: Health, missing: Vec<Missing>) -> Outcome {
        failing_from(Severity::Important, health, missing)
    }

    fn failing_from(least: Severity, health: Health, missing: Vec<Missing>) -> Outcome {
        let mut subject = Image::good().build();
        subject.advisories = Fact::Known(AdvisoryFacts {
            matched: Matched {
                missing,
                scanned: 7,
                ..Matched::default()
            },
            health,
            fails_from: least,
            as_of: AsOf::Day(date(2024, 2, 1)),
            data: "2024-01-31T00:00:00Z".parse().expect("a time"),
            advisories: 3,
            source: String::new(),
            base: Fact::Unmet("no base given".to_owned()),
        });
        let only = |rule: &Rule| rule.id == "free_of_critical_vulnerabilities";
        assess(&subject, only).remove(0).outcome
    }

    fn graded() -> Health {
        Health::Graded {
            grade: Grade::A,
            timeline: Vec::new(),
        }
    }

    #[test]
    fn without_advisories_nothing_is_said() {
        let assessments = assess(&Image::good().build(), |rule| {
            rule.id == "free_of_critical_vulnerabilities"
        });
        let Outcome::NotAssessed(reason) = &assessments[0].outcome else {
            panic!("assessed");
        };
        assert!(reason.contains("advisory database"), "{reason}");
        let unknown = outcome(Health::Unknown(Unknown::NothingSigned), Vec::new());
        assert!(matches!(unknown, Outcome::NotAssessed(_)));
    }

    #[test]
    fn critical_and_important_errata_fail_on_the_line_of_their_layer() {
        let list = vec![
            missing(
                "RHSA-2024:1",
                Severity::Important,
                "2024-01-01T00:00:00Z",
                &[0, 3],
            ),
            missing(
                "RHSA-2024:2",
                Severity::Moderate,
                "2024-01-01T00:00:00Z",
                &[0],
            ),
            missing(
                "RHSA-2024:3",
                Severity::Critical,
                "2024-02-02T00:00:00Z",
                &[0],
            ),
        ];
        let Outcome::Assessed(Verdict::Failed(findings)) = outcome(graded(), list) else {
            panic!("not failed");
        };
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert_eq!(
            findings[0].message,
            "RHSA-2024:1 is not applied: Important, 31 days old: tar-2:1.30-4.el8.x86_64 (fixed in 2:1.30-5.el8)"
        );
        assert_eq!(findings[1].layer, Some(LayerIndex(3)));
        assert_eq!(findings[1].advisory.as_deref(), Some("RHSA-2024:1"));
    }

    #[test]
    fn with_critical_alone_important_errata_pass() {
        let list = |severity| {
            vec![missing(
                "RHSA-2024:1",
                severity,
                "2024-01-01T00:00:00Z",
                &[0],
            )]
        };
        for (severity, fails) in [(Severity::Important, false), (Severity::Critical, true)] {
            let outcome = failing_from(Severity::Critical, graded(), list(severity));
            let failed = matches!(outcome, Outcome::Assessed(Verdict::Failed(_)));
            assert_eq!(failed, fails, "{severity}");
        }
    }

    #[test]
    fn a_part_of_the_advisories_fails_an_image_and_never_passes_it() {
        let unknown = || Health::Unknown(Unknown::Partial);
        assert!(matches!(
            outcome(unknown(), Vec::new()),
            Outcome::NotAssessed(_)
        ));
        let list = vec![missing(
            "RHSA-2024:1",
            Severity::Important,
            "2024-01-01T00:00:00Z",
            &[0],
        )];
        let failed = outcome(unknown(), list);
        assert!(
            matches!(failed, Outcome::Assessed(Verdict::Failed(_))),
            "{failed:?}"
        );
    }

    #[test]
    fn moderate_errata_and_those_of_the_future_pass() {
        let list = vec![missing(
            "RHSA-2024:2",
            Severity::Moderate,
            "2024-01-01T00:00:00Z",
            &[0],
        )];
        let Outcome::Assessed(Verdict::Passed { note }) = outcome(graded(), list) else {
            panic!("not passed");
        };
        assert_eq!(
            note.as_deref(),
            Some("7 packages against 3 advisories, the newest of 2024-01-31")
        );
    }
}
