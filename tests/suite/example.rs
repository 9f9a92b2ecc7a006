//! The README's first command, and what happens when the example is broken: a real build by a real
//! BuildKit, a real scan, the finding on the right line.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::support::{Ran, docker_is_there, example_base, plimsoll};

const DOCKERFILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/examples/cinder-plugin/Dockerfile"
);

/// A copy of the example with another Dockerfile, away from any git checkout.
fn project(dockerfile: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = Path::new(DOCKERFILE).parent().unwrap();
    copy(from, folder.path());
    copy(&example_base(), &folder.path().join(".base"));
    fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_name() == ".base" || entry.file_name() == "reports" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn run(folder: &Path) -> Ran {
    plimsoll(folder, &["run"])
}

fn json(folder: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(folder.join("reports/plimsoll.json")).unwrap())
        .unwrap()
}

/// `(rule, line)` of every finding of a failed assessment.
fn failures(report: &serde_json::Value) -> Vec<(String, u64)> {
    let assessments = report["assessments"].as_array().unwrap();
    assessments
        .iter()
        .filter(|a| a["outcome"] == "failed")
        .flat_map(|a| {
            a["findings"]
                .as_array()
                .unwrap()
                .iter()
                .map(move |finding| {
                    (
                        a["name"].as_str().unwrap().to_owned(),
                        finding["location"]["line"].as_u64().unwrap(),
                    )
                })
        })
        .collect()
}

const THIRTEEN: [&str; 13] = [
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

#[test]
fn the_example_passes_and_shows_the_thirteen_assessments_in_the_services_order() {
    if !docker_is_there() {
        return;
    }
    let folder = project(&fs::read_to_string(DOCKERFILE).unwrap());
    let ran = run(folder.path());
    assert_eq!(ran.code, 0, "{ran}");
    let report = json(folder.path());
    let names: Vec<&str> = report["assessments"].as_array().unwrap()[..13]
        .iter()
        .map(|a| a["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, THIRTEEN);
    assert_eq!(failures(&report), []);
    for name in THIRTEEN {
        assert!(ran.stdout.contains(name), "{ran}");
    }
    let sarif = fs::read_to_string(folder.path().join("reports/plimsoll.sarif")).unwrap();
    let sarif: serde_json::Value = serde_json::from_str(&sarif).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    assert_eq!(report["packages_count"], 5);
}

#[test]
fn the_example_broken_is_rejected_on_the_line_that_broke_it() {
    if !docker_is_there() {
        return;
    }
    let good = fs::read_to_string(DOCKERFILE).unwrap();
    let line_of = |text: &str, what: &str| {
        text.lines().position(|line| line.contains(what)).unwrap() as u64 + 1
    };
    let from = line_of(&good, "FROM ");
    let modified = good.replace(
        "USER cinder",
        "RUN echo '# patched' >> /usr/bin/cinder-volume\nUSER cinder",
    );
    let cases = [
        (
            "has_licenses",
            good.replace("COPY licenses /licenses\n", ""),
            from,
        ),
        (
            "not_running_as_root",
            good.replace("USER cinder", "USER 0"),
            line_of(&good, "USER cinder"),
        ),
        (
            "vendor_label_exists",
            good.replace("      vendor=\"VendorX\" \\\n", ""),
            from,
        ),
        (
            "rpm_verify_successful",
            modified.clone(),
            line_of(&modified, "# patched"),
        ),
    ];
    for (rule, dockerfile, line) in cases {
        assert_ne!(
            dockerfile, good,
            "{rule}: the example no longer has what is broken here"
        );
        let folder = project(&dockerfile);
        let ran = run(folder.path());
        assert_eq!(ran.code, 1, "{rule}: {ran}");
        let failures = failures(&json(folder.path()));
        assert_eq!(failures, [(rule.to_owned(), line)], "{ran}");
    }
}

#[test]
fn a_failing_step_is_a_finding_on_its_line_and_exit_code_3() {
    if !docker_is_there() {
        return;
    }
    let good = fs::read_to_string(DOCKERFILE).unwrap();
    let broken = good.replace("RUN mkdir -p", "RUN exit 7 \\\n    && mkdir -p");
    let folder = project(&broken);
    let ran = run(folder.path());
    assert_eq!(ran.code, 3, "{ran}");
    let report = json(folder.path());
    let failed = &report["lints"]
        .as_array()
        .unwrap()
        .iter()
        .find(|l| l["level"] == "error")
        .unwrap();
    let line = broken
        .lines()
        .position(|l| l.starts_with("RUN exit 7"))
        .unwrap() as u64
        + 1;
    assert_eq!(failed["location"]["line"], line, "{report:#}");
    assert_eq!(report["image"], serde_json::Value::Null);
}
