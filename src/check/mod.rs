//! The checks: one file a rule, one slice that lists them, one runner. Checks do no I/O, know no
//! clock and cannot fail; what they need is in the [`Subject`].
//!
//! What a failure weighs is not decided here but in [`crate::policy`].

use crate::{
    advisory::grade::{Health, Unknown},
    finding::{Assessment, Outcome, Verdict},
    rule::{Level, Rule},
    subject::{AdvisoryFacts, Fact, Subject},
};

mod base;
mod free_of_critical_vulnerabilities;
mod good_layer_count;
mod good_tags;
mod has_licenses;
mod has_no_prohibited_labels;
mod has_no_prohibited_name;
mod has_no_prohibited_packages;
mod has_no_secrets;
mod has_no_setuid_surprises;
mod is_rhel;
mod label_exists;
mod not_running_as_root;
mod not_running_privileged;
mod owner;
mod page;
mod rpm_list_successful;
mod rpm_verify_successful;
mod shown;
#[cfg(test)]
pub(crate) mod testing;

pub use page::{UnknownRule, find, list, page, resolve};

/// A fact that a check needs; the runner answers *not assessed* when it is unmet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// [`Subject::tags`]
    Tags,
    /// `Subject::inventory.packages`
    Packages,
    /// `Subject::inventory.modified`; met when there are no packages at all, which is a finding
    ModifiedFiles,
    /// [`Subject::advisories`], with a grade
    Advisories,
}

impl Need {
    /// Why the fact is missing; `None` when it is there.
    fn unmet(self, subject: &Subject) -> Option<String> {
        let inventory = &subject.inventory;
        match self {
            Self::Tags => reason(&subject.tags),
            Self::Packages => reason(&inventory.packages),
            Self::ModifiedFiles => match inventory.packages {
                Fact::Unmet(_) => None,
                Fact::Known(_) => reason(&inventory.modified),
            },
            Self::Advisories => match &subject.advisories {
                Fact::Unmet(reason) => Some(reason.clone()),
                Fact::Known(facts) => match &facts.health {
                    // what is known to be missing is missing, however little else is known
                    Health::Unknown(Unknown::Partial) if lacks_what_counts(facts) => None,
                    Health::Unknown(why) => Some(why.to_string()),
                    Health::Graded { .. } => None,
                },
            },
        }
    }
}

fn lacks_what_counts(facts: &AdvisoryFacts) -> bool {
    let now = facts.as_of.timestamp();
    let missing = &facts.matched.missing;
    missing
        .iter()
        .any(|one| one.severity >= facts.fails_from && one.released <= now)
}

fn reason<T>(fact: &Fact<T>) -> Option<String> {
    match fact {
        Fact::Known(_) => None,
        Fact::Unmet(reason) => Some(reason.clone()),
    }
}

/// Decides one rule on one image.
pub trait Check: Sync {
    /// the rule it decides
    fn rule(&self) -> &'static Rule;
    /// facts without which it cannot say anything
    fn needs(&self) -> &'static [Need];
    /// judges; pure
    fn assess(&self, subject: &Subject) -> Verdict;
}

/// Every check: the service's thirteen in the service's order, then those of today's policy and ours.
pub static CHECKS: &[&dyn Check] = &[
    &has_licenses::HasLicenses,
    &not_running_privileged::NotRunningPrivileged,
    &rpm_list_successful::RpmListSuccessful,
    &rpm_verify_successful::RpmVerifySuccessful,
    &is_rhel::IsRhel,
    &label_exists::VENDOR,
    &free_of_critical_vulnerabilities::FreeOfCriticalVulnerabilities,
    &good_tags::GoodTags,
    &good_layer_count::GoodLayerCount,
    &label_exists::RELEASE,
    &not_running_as_root::NotRunningAsRoot,
    &label_exists::VERSION,
    &label_exists::NAME,
    &label_exists::SUMMARY,
    &label_exists::DESCRIPTION,
    &label_exists::MAINTAINER,
    &has_no_prohibited_labels::HasNoProhibitedLabels,
    &has_no_prohibited_name::HasNoProhibitedName,
    &has_no_prohibited_packages::HasNoProhibitedPackages,
    &has_no_secrets::HasNoSecrets,
    &has_no_setuid_surprises::HasNoSetuidSurprises,
];

/// The rules of [`CHECKS`], in that order.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    CHECKS.iter().map(|check| check.rule())
}

/// Runs the chosen checks. `blocking` is the rule's own level until [`crate::policy::judge`] says
/// otherwise.
pub fn assess(subject: &Subject, chosen: impl Fn(&'static Rule) -> bool) -> Vec<Assessment> {
    CHECKS
        .iter()
        .filter(|check| chosen(check.rule()))
        .map(|check| Assessment {
            rule: check.rule(),
            outcome: outcome(*check, subject),
            blocking: check.rule().level == Level::Required,
            exception: None,
        })
        .collect()
}

fn outcome(check: &dyn Check, subject: &Subject) -> Outcome {
    let missing: Vec<_> = check
        .needs()
        .iter()
        .filter_map(|need| need.unmet(subject))
        .collect();
    if missing.is_empty() {
        Outcome::Assessed(shown::clean(check.assess(subject)))
    } else {
        Outcome::NotAssessed(shown::line(&missing.join("; ")))
    }
}

/// Failed when there are findings, else passed without a word.
fn failed_or_passed(findings: Vec<crate::finding::Finding>) -> Verdict {
    if findings.is_empty() {
        Verdict::Passed { note: None }
    } else {
        Verdict::Failed(findings)
    }
}

/// Passed, with a word on what it was judged by.
fn passed(note: impl Into<String>) -> Verdict {
    Verdict::Passed {
        note: Some(note.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::Image;

    /// Product page, section 5.
    const SERVICE: [&str; 13] = [
        "has_licenses",
        "not_running_privileged",
        "rpm_list_successful",
        "rpm_verify_successful",
        "is_rhel",
        "vendor_label_exists",
        "free_of_critical_vulnerabilities",
        "good_tags",
        "good_layer_count",
        "release_label_exists",
        "not_running_as_root",
        "version_label_exists",
        "name_label_exists",
    ];

    fn failed(subject: &Subject) -> Vec<&'static str> {
        assess(subject, |_| true)
            .iter()
            .filter(|a| a.outcome_name() == "failed")
            .map(|a| a.rule.id)
            .collect()
    }

    #[test]
    fn the_service_s_thirteen_come_first_and_in_its_order() {
        let ids: Vec<_> = rules().map(|rule| rule.id).collect();
        assert_eq!(ids[..13], SERVICE);
        for rule in rules() {
            let service = SERVICE.contains(&rule.id);
            assert_eq!(
                rule.origin == crate::rule::Origin::Service,
                service,
                "{}",
                rule.id
            );
        }
    }

    #[test]
    fn a_good_image_passes_all_but_vulnerabilities_which_are_not_assessed() {
        let subject = Image::good().build();
        for assessment in assess(&subject, |_| true) {
            let want = match assessment.rule.id {
                "free_of_critical_vulnerabilities" => "not_assessed",
                _ => "passed",
            };
            assert_eq!(assessment.outcome_name(), want, "{assessment:?}");
        }
    }

    #[test]
    fn an_image_without_a_package_database_fails_list_and_verify() {
        let subject = Image::good().without_packages("no rpm database").build();
        assert_eq!(
            failed(&subject),
            ["rpm_list_successful", "rpm_verify_successful"]
        );
        let packages = assess(&subject, |rule| rule.id == "has_no_prohibited_packages");
        assert_eq!(
            packages[0].outcome,
            Outcome::NotAssessed("no rpm database".to_owned())
        );
    }

    #[test]
    fn a_debian_image_is_not_rhel_and_has_no_packages() {
        let subject = Image::good()
            .without_packages("no rpm database")
            .file(
                "etc/os-release",
                "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n",
            )
            .build();
        assert_eq!(
            failed(&subject),
            ["rpm_list_successful", "rpm_verify_successful", "is_rhel"]
        );
    }

    #[test]
    fn unmet_facts_are_told_with_their_reason_and_only_the_chosen_rules_run() {
        let subject = Image::good().tags_unmet("registry answered 503").build();
        let assessments = assess(&subject, |rule| rule.id == "good_tags");
        assert_eq!(assessments.len(), 1);
        assert_eq!(
            assessments[0].outcome,
            Outcome::NotAssessed("registry answered 503".to_owned())
        );
    }

    #[test]
    fn modified_files_that_could_not_be_told_are_not_a_pass() {
        let mut subject = Image::good().build();
        subject.inventory.modified = Fact::Unmet("too many files".to_owned());
        let assessments = assess(&subject, |rule| rule.id == "rpm_verify_successful");
        assert_eq!(
            assessments[0].outcome,
            Outcome::NotAssessed("too many files".to_owned())
        );
    }
}
