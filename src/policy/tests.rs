use proptest::prelude::*;

use super::{profile::TABLE, *};
use crate::check;

fn rule(id: &str) -> &'static Rule {
    check::find(id)[0]
}

fn failed(keys: &[&str]) -> Outcome {
    let findings = keys.iter().map(|&key| Finding::new(key, "broken"));
    Outcome::Assessed(Verdict::Failed(findings.collect()))
}

fn passed() -> Outcome {
    Outcome::Assessed(Verdict::Passed { note: None })
}

fn unmet() -> Outcome {
    Outcome::NotAssessed("out of reach".to_owned())
}

fn assessment(id: &str, outcome: Outcome) -> Assessment {
    Assessment {
        rule: rule(id),
        outcome,
        blocking: false,
        exception: None,
    }
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

fn exception(rule: &str, matching: Option<&str>, expires: Option<&str>) -> Exception {
    Exception {
        rule: rule.to_owned(),
        reason: format!("because of {}", matching.unwrap_or("it")),
        expires: expires.map(day),
        matching: matching.map(str::to_owned),
    }
}

fn with(exceptions: Vec<Exception>) -> Policy {
    Policy {
        exceptions,
        ..Policy::default()
    }
}

fn judged(id: &str, outcome: Outcome, policy: &Policy) -> Judgement {
    judge(vec![assessment(id, outcome)], policy, day("2026-11-22"))
}

#[test]
fn the_table_has_every_rule_once_and_in_order() {
    let table: Vec<_> = TABLE.iter().map(|(id, _)| *id).collect();
    let rules: Vec<_> = check::rules().map(|rule| rule.id).collect();
    assert_eq!(table, rules);
}

#[test]
fn preflight_s_policies_ask_for_the_same() {
    // openshift-preflight 1.21.0: a policy has the checks marked x, in the order of `Profile::ALL`.
    for (name, row) in [
        ("HasLicense", "xxxxx"),
        ("HasUniqueTag", "xxxxx"),
        ("LayerCountAcceptable", "xxxxx"),
        ("HasNoProhibitedPackages", "xx--x"),
        ("HasRequiredLabel", "xxxxx"),
        ("HasNoProhibitedLabels", "xxxx-"),
        ("RunAsNonRoot", "x-x-x"),
        ("HasModifiedFiles", "xx--x"),
        ("BasedOnUbi", "xx--x"),
        ("HasProhibitedContainerName", "xxxx-"),
    ] {
        for (mark, profile) in row.chars().zip(Profile::ALL) {
            let want = if mark == 'x' { Block } else { Off };
            for rule in check::find(name) {
                assert_eq!(weight(rule, profile), want, "{name} {profile}");
            }
        }
    }
}

#[test]
fn profiles_are_named_as_preflight_names_them_and_chosen_by_the_project() {
    for profile in Profile::ALL {
        assert_eq!(profile.name().parse::<Profile>().unwrap(), profile);
    }
    assert!("rootless".parse::<Profile>().is_err());
    assert_eq!(Profile::of_project(true, true), Profile::ScratchRoot);
    assert_eq!(Profile::of_project(false, true), Profile::Root);
}

#[test]
fn a_failure_blocks_a_missing_fact_blocks_otherwise_and_a_pass_is_accepted() {
    let policy = Policy::default();
    let judgement = judged("has_licenses", failed(&["x"]), &policy);
    assert!(judgement.rejected() && !judgement.unassessed());
    assert_eq!(
        judgement.accept().unwrap_err().to_string(),
        "failed has_licenses"
    );

    let judgement = judged("good_tags", unmet(), &policy);
    assert!(!judgement.rejected() && judgement.unassessed());
    assert_eq!(
        judgement.accept().unwrap_err().to_string(),
        "could not assess good_tags"
    );

    let judgement = judged("has_licenses", passed(), &policy);
    assert_eq!(
        judgement.accept().unwrap().judgements()[0]
            .assessments
            .len(),
        1
    );
}

#[test]
fn nothing_assessed_is_not_accepted() {
    let scratch = Policy {
        profile: Profile::ScratchRoot,
        ..Policy::default()
    };
    for (assessments, policy) in [
        (Vec::new(), Policy::default()),
        (vec![assessment("is_rhel", passed())], scratch),
    ] {
        let judgement = judge(assessments, &policy, day("2026-11-22"));
        assert!(judgement.unassessed() && !judgement.rejected());
        assert_eq!(
            judgement.accept().unwrap_err().to_string(),
            "no rule was assessed"
        );
    }
}

#[test]
fn vulnerabilities_block_when_they_are_known_or_required() {
    let id = "free_of_critical_vulnerabilities";
    let beside_a_pass = |policy: &Policy| {
        let all = vec![
            assessment("has_licenses", passed()),
            assessment(id, unmet()),
        ];
        judge(all, policy, day("2026-11-22"))
    };
    let judgement = beside_a_pass(&Policy::default());
    assert!(!judgement.unassessed());
    assert_eq!(judgement.assessments[1].outcome_name(), "not_assessed");
    assert!(judgement.accept().is_ok());
    assert!(judged(id, failed(&["RHSA-2026:1"]), &Policy::default()).rejected());
    let required = Policy {
        required: vec![id.to_owned()],
        ..Policy::default()
    };
    assert!(beside_a_pass(&required).unassessed());
}

#[test]
fn what_a_profile_does_not_ask_for_is_not_applicable_unless_required() {
    let scratch = Policy {
        profile: Profile::ScratchNonroot,
        ..Policy::default()
    };
    let judgement = judged("is_rhel", failed(&["base"]), &scratch);
    assert!(!judgement.rejected());
    assert_eq!(
        judgement.assessments[0].outcome,
        Outcome::Assessed(Verdict::NotApplicable(
            "the profile scratch-nonroot does not ask for it".to_owned()
        ))
    );
    let required = Policy {
        required: vec!["is_rhel".to_owned()],
        ..scratch
    };
    assert!(judged("is_rhel", failed(&["base"]), &required).rejected());
}

#[test]
fn a_warning_rule_does_not_block_unless_required() {
    let id = "has_no_setuid_surprises";
    let warned = || Outcome::Assessed(Verdict::Warning(vec![Finding::new("/x", "set-uid")]));
    assert!(!judged(id, warned(), &Policy::default()).rejected());
    let required = Policy {
        required: vec![id.to_owned()],
        ..Policy::default()
    };
    assert!(judged(id, warned(), &required).rejected());
    // a required rule that holds with a warning still holds
    assert!(!judged("good_layer_count", warned(), &Policy::default()).rejected());
    // and where a rule only warns, a failure is one
    let failure = judged(id, failed(&["/x"]), &Policy::default());
    assert_eq!(failure.assessments[0].outcome_name(), "warning");
}

#[test]
fn only_selects() {
    let policy = Policy {
        only: vec!["good_tags".to_owned()],
        ..Policy::default()
    };
    let all = vec![
        assessment("has_licenses", failed(&["x"])),
        assessment("good_tags", passed()),
    ];
    let judgement = judge(all, &policy, day("2026-11-22"));
    assert_eq!(judgement.assessments.len(), 1);
    assert!(judgement.accept().is_ok());
}

#[test]
fn an_exception_holds_through_its_last_day_and_is_refused_after() {
    for (expires, rejected) in [
        (None, false),
        (Some("2026-11-23"), false),
        (Some("2026-11-22"), false),
        (Some("2026-11-21"), true),
    ] {
        let policy = with(vec![exception("has_licenses", None, expires)]);
        let judgement = judged("has_licenses", failed(&["x"]), &policy);
        assert_eq!(judgement.rejected(), rejected, "{expires:?}");
        assert_eq!(judgement.expired().len(), usize::from(rejected));
        let reason = (!rejected).then(|| "because of it".to_owned());
        assert_eq!(judgement.assessments[0].exception, reason);
        // what was found stays in the report
        assert_eq!(judgement.assessments[0].outcome_name(), "failed");
    }
}

#[test]
fn an_exception_for_some_findings_does_not_excuse_others() {
    let one = || exception("rpm_verify_successful", Some("/usr/bin/a"), None);
    let more = || exception("rpm_verify_successful", Some("/opt/*"), None);
    for (exceptions, keys, rejected) in [
        (vec![one()], &["/usr/bin/a"][..], false),
        (vec![one()], &["/usr/bin/a", "/opt/b"], true),
        (vec![one(), more()], &["/usr/bin/a", "/opt/b"], false),
        (vec![more()], &["/usr/opt/b"], true),
        (vec![exception("is_rhel", None, None)], &["/opt/b"], true),
    ] {
        let judgement = judged("rpm_verify_successful", failed(keys), &with(exceptions));
        assert_eq!(judgement.rejected(), rejected, "{keys:?}");
    }
    // a pattern matches no missing fact
    let judgement = judged("rpm_verify_successful", unmet(), &with(vec![one()]));
    assert!(judgement.unassessed());
    let whole = with(vec![exception("rpm_verify_successful", None, None)]);
    let excused = judged("rpm_verify_successful", unmet(), &whole);
    assert!(!excused.assessments[0].blocking);
    assert_eq!(
        excused.assessments[0].exception.as_deref(),
        Some("because of it")
    );
}

#[test]
fn an_exception_on_what_passed_leaves_no_trace() {
    let policy = with(vec![exception("has_licenses", None, Some("2020-01-01"))]);
    let passing = with(vec![exception("has_licenses", None, None)]);
    assert_eq!(
        judged("has_licenses", passed(), &passing).assessments[0].exception,
        None
    );
    assert!(judged("has_licenses", failed(&["x"]), &policy).rejected());
    assert!(
        judged("has_licenses", passed(), &policy)
            .expired()
            .is_empty()
    );
}

#[test]
fn patterns_match_with_stars() {
    for (pattern, text, want) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("*", "", true),
        ("a*", "a", true),
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("*b*", "abc", true),
        ("a*b*c", "axxbxxc", true),
        ("a*b*c", "acb", false),
        ("a**c", "abc", true),
        ("*.key", "/x/y.key", true),
        ("*é*", "aéb", true),
    ] {
        assert_eq!(matches(pattern, text), want, "{pattern} {text}");
    }
}

proptest! {
    #[test]
    fn patterns_agree_with_regular_expressions(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
        let escaped = pattern.split('*').map(regex::escape).collect::<Vec<_>>().join(".*");
        let regex = regex::Regex::new(&format!("^(?s:{escaped})$")).unwrap();
        prop_assert_eq!(matches(&pattern, &text), regex.is_match(&text));
    }
}
