//! RHEL-like images with real rpm databases and one thing to show each, where they can be had:
//! `FIXTURE_IMAGES` names the folder that holds them.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use crate::support::{plimsoll, shared, skipped};

fn images() -> Option<PathBuf> {
    let folder = env::var_os("FIXTURE_IMAGES").map(PathBuf::from)?;
    folder.join("oci").is_dir().then_some(folder)
}

/// What other work judges, or this version does not judge yet.
const ELSEWHERE: &str = "free_of_critical_vulnerabilities";

#[test]
fn every_variant_fails_exactly_what_it_was_made_to_fail() {
    let (Some(images), Some(shared)) = (images(), shared()) else {
        skipped(
            "fixtures",
            "the fixture images (FIXTURE_IMAGES, PLIMSOLL_SHARED) are not there",
        );
        return;
    };
    let expected: serde_json::Value = serde_json::from_str(
        &fs::read_to_string(shared.join("fixtures/variants/expected.json")).unwrap(),
    )
    .unwrap();
    let mut wrong = Vec::new();
    for (name, row) in expected.as_object().unwrap() {
        let Some(tag) = row["tag"].as_str() else {
            continue;
        };
        let folder = tempfile::tempdir().unwrap();
        let layout = format!("oci:{}:{tag}", images.join("oci").join(name).display());
        let ran = plimsoll(folder.path(), &["scan", &layout, "--format", "json"]);
        let report: serde_json::Value = serde_json::from_str(&ran.stdout)
            .unwrap_or_else(|error| panic!("{name}: {error}\n{ran}"));
        let fails = |name: &serde_json::Value| name.as_str().unwrap().to_owned();
        let want: BTreeSet<String> = row["fails"].as_array().unwrap().iter().map(fails).collect();
        let got: BTreeSet<String> = report["assessments"].as_array().unwrap()[..13]
            .iter()
            .filter(|a| a["outcome"] == "failed")
            .map(|a| fails(&a["name"]))
            .collect();
        let without = |set: &BTreeSet<String>| -> BTreeSet<String> {
            set.iter()
                .filter(|name| *name != ELSEWHERE)
                .cloned()
                .collect()
        };
        let code = i32::from(!without(&want).is_empty());
        if without(&got) != without(&want) || ran.code != code {
            wrong.push(format!("{name}: wanted {want:?}, got {got:?}\n{ran}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
