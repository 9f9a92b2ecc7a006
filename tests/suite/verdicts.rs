//! What the binary says of images whose names, tags and platforms come from several places at once.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Ran,
    image::{Image, Packed},
    plimsoll,
};

fn project(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn image() -> Image {
    Image::new().layer("dir /etc\nfile /etc/os-release 0644 \"ID=rhel\\n\"")
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {}", ran.stderr))
}

fn outcome(report: &Value, rule: &str) -> String {
    let assessments = report["assessments"].as_array().unwrap();
    let found = assessments.iter().find(|a| a["name"] == rule).unwrap();
    found["outcome"].as_str().unwrap().to_owned()
}

fn scan(folder: &Path, args: &[&str]) -> Ran {
    let mut all = vec!["scan", "oci:image", "--format", "json"];
    all.extend(args);
    plimsoll(folder, &all)
}

#[test]
fn a_version_gives_the_first_tag_of_the_convention_and_says_so() {
    let folder = project(&[
        ("plimsoll.yaml", "image:\n  version: 1.10\n"),
        ("Dockerfile", "FROM scratch\n"),
    ]);
    image().write(&folder.path().join("image"), "");
    let ran = scan(folder.path(), &["--only", "good_tags"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(json(&ran)["image"]["tag"], "1.10-1");
    assert!(
        ran.stderr.contains("the registry was not asked"),
        "{}",
        ran.stderr
    );
    let ran = plimsoll(folder.path(), &["run", "--dry-run"]);
    assert!(ran.stdout.contains("tags 1.10-1"), "{}", ran.stdout);
    // A tag that was set goes before.
    let ran = scan(folder.path(), &["--only", "good_tags", "--tag", "7-3"]);
    assert_eq!(json(&ran)["image"]["tag"], "7-3");
    assert!(!ran.stderr.contains("not asked"), "{}", ran.stderr);
}

#[test]
fn a_version_that_leaves_no_room_for_a_number_is_a_fault_of_the_configuration() {
    let text = format!("image:\n  version: {}\n", "1".repeat(31));
    let folder = project(&[("plimsoll.yaml", &text), ("Dockerfile", "FROM scratch\n")]);
    let ran = plimsoll(folder.path(), &["check"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("at most 32"), "{}", ran.stderr);
}

#[test]
fn tags_that_float_are_no_tag_of_the_image_s_own() {
    let folder = project(&[(
        "plimsoll.yaml",
        "image:\n  floating-tags: [\"3\", stable]\n",
    )]);
    image().write(&folder.path().join("image"), "");
    let ran = scan(folder.path(), &["--only", "good_tags"]);
    assert_eq!(outcome(&json(&ran), "good_tags"), "failed");
    assert_eq!(ran.code, 1);
}

#[test]
fn an_image_without_a_tag_is_not_assessed_and_not_passed() {
    let folder = project(&[]);
    image().write(&folder.path().join("image"), "");
    let ran = scan(folder.path(), &["--only", "good_tags"]);
    assert_eq!(outcome(&json(&ran), "good_tags"), "not_assessed");
    assert_eq!(json(&ran)["passed"], false);
    assert_eq!(ran.code, 4);
    let ran = plimsoll(
        folder.path(),
        &[
            "scan",
            "oci:image",
            "--only",
            "good_tags",
            "--format",
            "markdown",
        ],
    );
    assert!(ran.stdout.starts_with("### ✗"), "{}", ran.stdout);
}

#[test]
fn platforms_that_mean_one_image_judge_it_once() {
    let folder = project(&[]);
    let both: Vec<Packed> = ["amd64", "arm64"]
        .into_iter()
        .map(|architecture| image().platform("linux", architecture).pack())
        .collect();
    Packed::index(&both, &[]).write(&folder.path().join("image"), "1-1");
    for (platforms, want) in [
        ("linux/arm64,linux/arm64/v8", None),
        ("linux/amd64,linux/arm64", Some(2)),
        ("linux/amd64,linux/amd64", None),
    ] {
        let ran = scan(
            folder.path(),
            &["--only", "good_layer_count", "--platform", platforms],
        );
        let report = json(&ran);
        let found = report["platforms"].as_array().map(Vec::len);
        assert_eq!(found, want, "{platforms}: {report}");
    }
}

#[test]
fn check_tells_of_inherited_labels_and_points_into_the_target_stage() {
    let text = "FROM registry.access.redhat.com/ubi9/ubi-minimal:9.4 AS app\nUSER 0\nFROM app AS test\nUSER 1001\n";
    let folder = project(&[("Dockerfile", text)]);
    let ran = plimsoll(
        folder.path(),
        &["check", "--target", "app", "--format", "json"],
    );
    let report = json(&ran);
    let lints = report["lints"].as_array().unwrap();
    let inherited = lints
        .iter()
        .find(|lint| lint["rule"] == "dockerfile/inherited-label")
        .unwrap_or_else(|| panic!("{report}"));
    assert_eq!(inherited["location"]["line"], 1);
    assert_eq!(outcome(&report, "not_running_as_root"), "failed");
    assert_eq!(ran.code, 1);
}
