//! `preflight`: `results.json` in openshift-preflight's shape, for parsers that exist. The tool in
//! it is Plimsoll by name: the catalog takes results of its own tool only.

use std::io;

use serde::Serialize;

use super::{ImageReport, Report, Reporter, view};
use crate::finding::{Assessment, Outcome, Verdict};

/// `--format preflight`
pub struct Preflight;

/// preflight's page for every check.
const POLICY_GUIDE: &str = "https://access.redhat.com/documentation/en-us/red_hat_software_certification/2026/html-single/red_hat_openshift_software_certification_policy_guide/index#assembly-requirements-for-container-images_openshift-sw-cert-policy-introduction";

#[derive(Serialize)]
struct Results<'a> {
    image: &'a str,
    passed: bool,
    test_library: Library,
    #[serde(rename = "results")]
    lists: Lists,
}

#[derive(Serialize)]
struct Library {
    name: &'static str,
    version: &'static str,
    commit: &'static str,
}

#[derive(Serialize, Default)]
struct Lists {
    passed: Vec<Entry>,
    failed: Vec<Entry>,
    errors: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warning: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    name: &'static str,
    /// milliseconds; the rules are judged together, so there is no time of one
    elapsed_time: f64,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suggestion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    knowledgebase_url: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check_url: Option<&'static str>,
}

impl Reporter for Preflight {
    fn name(&self) -> &'static str {
        "preflight"
    }

    /// preflight writes one file an architecture; several images become a JSON array.
    fn write(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
        let all: Vec<Results<'_>> = report.images.iter().map(|i| results(report, i)).collect();
        match all.as_slice() {
            [one] => serde_json::to_writer_pretty(&mut *out, one)?,
            many => serde_json::to_writer_pretty(&mut *out, many)?,
        }
        writeln!(out)
    }
}

fn results<'a>(report: &Report, image: &'a ImageReport) -> Results<'a> {
    let mut names: Vec<&'static str> = Vec::new();
    for alias in image.assessments.iter().flat_map(|a| a.rule.aliases) {
        if !names.contains(alias) {
            names.push(alias);
        }
    }
    let mut lists = Lists::default();
    for name in names {
        let of_name: Vec<&Assessment> = image
            .assessments
            .iter()
            .filter(|a| a.rule.aliases.contains(&name))
            .collect();
        sort_in(name, &of_name, &mut lists);
    }
    // What stops the image stands in the lists also where preflight has no check for it.
    let own = image.assessments.iter().filter(|a| {
        let unassessed = matches!(a.outcome, Outcome::NotAssessed(_));
        a.rule.aliases.is_empty() && a.blocking && (unassessed || !a.findings().is_empty())
    });
    for assessment in own {
        sort_in(assessment.rule.id, &[assessment], &mut lists);
    }
    Results {
        image: &image.image.reference,
        passed: view::passed(report, image) && lists.failed.is_empty() && lists.errors.is_empty(),
        test_library: Library {
            name: view::HOME,
            version: view::VERSION,
            commit: "",
        },
        lists,
    }
}

/// Several of our rules can stand for one check of preflight's: the worst outcome counts.
fn sort_in(name: &'static str, rules: &[&Assessment], lists: &mut Lists) {
    // Nothing was asked, so nothing was passed either.
    let unasked =
        |a: &&Assessment| matches!(a.outcome, Outcome::Assessed(Verdict::NotApplicable(_)));
    if rules.iter().all(unasked) {
        return;
    }
    let failed = rules
        .iter()
        .any(|a| a.blocking && matches!(a.outcome, Outcome::Assessed(Verdict::Failed(_))));
    let open = |a: &&&Assessment| matches!(a.outcome, Outcome::NotAssessed(_));
    let unassessed = rules.iter().filter(open).any(|a| a.blocking);
    let warned = rules.iter().any(|a| open(&a) || !a.findings().is_empty());
    let description = rules
        .iter()
        .map(|a| a.rule.title)
        .collect::<Vec<_>>()
        .join("; ");
    let remedy = rules
        .iter()
        .flat_map(|a| a.findings())
        .find_map(|f| f.remedy.clone());
    let told = failed || (warned && !unassessed);
    let why = rules
        .iter()
        .map(|a| view::why(a))
        .filter(|w| !w.is_empty())
        .collect::<Vec<_>>();
    let entry = Entry {
        name,
        elapsed_time: 0.0,
        description,
        help: (told || unassessed).then(|| why.join("; ")),
        suggestion: told.then(|| remedy.unwrap_or_default()),
        knowledgebase_url: told.then_some(POLICY_GUIDE),
        check_url: told.then_some(POLICY_GUIDE),
    };
    let list = if failed {
        &mut lists.failed
    } else if unassessed {
        &mut lists.errors
    } else if warned {
        &mut lists.warning
    } else {
        &mut lists.passed
    };
    list.push(entry);
}
