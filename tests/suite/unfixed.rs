//! What lowers no grade, in the formats that carry alerts: vulnerabilities that no advisory mends,
//! fixes of the main stream. And where alerts on an image without a Dockerfile are put.

use std::fs;

use jiff::Timestamp;
use plimsoll::{
    advisory::{
        AdvisoryKind, FixedEvr, Severity, Stance,
        matching::{Affected, Concerned, Matched, Missing, Unmended},
    },
    oci::LayerIndex,
    report::REPORTERS,
    rpm::Nevra,
};
use serde_json::Value;

use crate::{
    reports::schema,
    sbom::{assert_valid, of_golden},
    support::{
        image::{Image, Layer},
        plimsoll,
    },
};

fn at() -> Timestamp {
    "2025-03-01T00:00:00Z".parse().unwrap()
}

fn installed(name: &str) -> Nevra {
    Nevra {
        name: name.to_owned(),
        epoch: Some(1),
        version: "2".to_owned(),
        release: "3.el9".to_owned(),
        arch: Some("x86_64".to_owned()),
    }
}

fn unmended(number: usize, stances: &[Stance]) -> Unmended {
    let names = ["bash", "tar", "zlib"];
    let one = |(name, stance): (&&str, &Stance)| Concerned {
        installed: installed(name),
        layer: LayerIndex(0),
        stance: *stance,
        product: "cpe:/o:redhat:enterprise_linux:9".to_owned(),
    };
    Unmended {
        id: format!("CVE-0000-000{number}"),
        title: "a *flaw* <b>".to_owned(),
        severity: Severity::Important,
        published: at(),
        workaround: if number == 1 {
            "turn it off".to_owned()
        } else {
            String::new()
        },
        packages: names.iter().zip(stances).map(one).collect(),
    }
}

fn matched() -> Matched {
    Matched {
        unfixed: vec![
            unmended(1, &[Stance::Affected, Stance::WillNotFix]),
            unmended(2, &[Stance::Investigated]),
            unmended(
                3,
                &[Stance::Deferred, Stance::Deferred, Stance::OutOfSupport],
            ),
        ],
        not_affected: (4..)
            .zip(Stance::ALL.into_iter().filter(|one| one.is_not_affected()))
            .map(|(number, stance)| unmended(number, &[stance]))
            .collect(),
        main_stream: vec![Missing {
            id: "RHSA-0000:9999".to_owned(),
            kind: AdvisoryKind::Security,
            severity: Severity::Critical,
            released: at(),
            title: "tar".to_owned(),
            cves: vec!["CVE-0000-9999".to_owned()],
            packages: vec![Affected {
                installed: installed("tar"),
                fixed: FixedEvr::parse("1:9-1.el9").unwrap(),
                layer: LayerIndex(0),
                product: "cpe:/o:redhat:enterprise_linux:9".to_owned(),
            }],
        }],
        ..Matched::default()
    }
}

fn written(format: &str, matched: Matched) -> String {
    let report = of_golden(matched, at());
    let reporter = REPORTERS.iter().find(|it| it.name() == format).unwrap();
    let mut out = Vec::new();
    reporter.write(&report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn json(format: &str, matched: Matched) -> Value {
    serde_json::from_str(&written(format, matched)).unwrap()
}

fn texts<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|one| one[key].as_str().unwrap())
        .collect()
}

#[test]
fn sarif_tells_what_has_no_fix_as_notes_that_no_threshold_catches() {
    let sarif = json("sarif", matched());
    assert!(schema("sarif-2.1.0.schemastore.json").is_valid(&sarif));
    let run = &sarif["runs"][0];
    let ids = ["CVE-0000-0001", "CVE-0000-0002", "CVE-0000-0003"];
    assert_eq!(texts(&run["results"], "ruleId"), ids);
    assert_eq!(texts(&run["results"], "level"), ["note"; 3]);
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    for id in ids {
        let rule = rules.iter().find(|rule| rule["id"] == id).unwrap();
        assert_eq!(rule["properties"]["security-severity"], Value::Null);
        assert_eq!(rule["defaultConfiguration"]["level"], "note");
        let help = rule["help"]["markdown"].as_str().unwrap();
        assert!(help.contains("a \\*flaw\\* \\<b\\>"), "{help}");
    }
    let message = run["results"][0]["message"]["text"].as_str().unwrap();
    for part in [
        "No advisory mends CVE-0000-0001: Important: bash-1:2-3.el9.x86_64 (affected), tar-1:2-3.el9.x86_64 (will not fix).",
        "Vulnerability: CVE-0000-0001",
        "Turn it off.",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    // another version of a package is the same alert, another vulnerability another one
    let mut later = matched();
    for package in &mut later.unfixed[0].packages {
        package.installed.version = "9".to_owned();
    }
    let prints = |sarif: &Value| -> Vec<String> {
        let results = sarif["runs"][0]["results"].as_array().unwrap();
        results
            .iter()
            .map(|it| it["partialFingerprints"]["plimsoll/v1"].to_string())
            .collect()
    };
    let later = json("sarif", later);
    assert_eq!(prints(&sarif), prints(&later));
    assert_ne!(prints(&sarif)[0], prints(&sarif)[1]);
}

#[test]
fn gitlab_is_told_of_what_has_no_fix_without_a_solution() {
    let report = json("gitlab-container-scanning", matched());
    assert_valid("container-scanning-report-format.15.0.7.json", &report);
    let list = report["vulnerabilities"].as_array().unwrap();
    assert_eq!(list.len(), 2 + 1 + 3);
    assert!(
        list.iter()
            .all(|one| one["solution"] == Value::Null && one["severity"] == "High")
    );
    assert_eq!(list[0]["identifiers"][0]["value"], "CVE-0000-0001");
    assert_eq!(list[0]["location"]["dependency"]["package"]["name"], "bash");
    let told = list[0]["description"].as_str().unwrap();
    assert!(
        told.ends_with("Important, affected; workaround: turn it off"),
        "{told}"
    );
    let mut ids = texts(&report["vulnerabilities"], "id");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), list.len());
}

#[test]
fn cyclonedx_states_what_has_no_fix_and_what_is_not_affected() {
    let bom = json("cyclonedx-vex", matched());
    assert_valid("cyclonedx-bom-1.6.schema.json", &bom);
    let list = bom["vulnerabilities"].as_array().unwrap();
    let state = |one: &Value| {
        let analysis = &one["analysis"];
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        [
            text(&one["id"]),
            text(&analysis["state"]),
            text(&analysis["response"][0]),
            text(&analysis["justification"]),
        ]
        .join(" ")
    };
    let states: Vec<String> = list.iter().map(state).collect();
    assert_eq!(
        states,
        [
            "CVE-0000-0001 exploitable - -",
            "CVE-0000-0001 exploitable will_not_fix -",
            "CVE-0000-0002 in_triage - -",
            "CVE-0000-0003 exploitable - -",
            "CVE-0000-0003 exploitable will_not_fix -",
            "CVE-0000-0004 not_affected - -",
            "CVE-0000-0005 not_affected - code_not_present",
            "CVE-0000-0006 not_affected - code_not_present",
            "CVE-0000-0007 not_affected - code_not_reachable",
            "CVE-0000-0008 not_affected - code_not_reachable",
            "CVE-0000-0009 not_affected - protected_by_mitigating_control",
        ]
    );
    assert_eq!(list[0]["workaround"], "turn it off");
    let status = |at: usize| &list[at]["affects"][0]["versions"][0]["status"];
    assert_eq!(
        [status(0), status(2), status(5)],
        ["affected", "unknown", "unaffected"]
    );
}

#[test]
fn fixes_of_the_main_stream_are_told_and_count_for_nothing() {
    let table = written("table", matched());
    let line = "main stream  1 advisories of the main stream mend what the image's own stream has no advisory for; they do not lower the grade: RHSA-0000:9999 (Critical)";
    assert!(table.contains(line), "{table}");
    let json = json("json", matched());
    let own = &json["main_stream"][0];
    assert_eq!(
        [&own["id"], &own["packages"][0]["fixed"]],
        ["RHSA-0000:9999", "1:9-1.el9"]
    );
    assert_eq!(json["grade"], "A");
}

#[test]
fn alerts_on_an_image_without_a_dockerfile_lie_in_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let files = crate::support::image::archive(&[("etc/os-release", b"ID=debian\n")]);
    Image::new()
        .layer(Layer::from_tar(files))
        .write(&path.join("image"), "1");
    let scan = |more: &[&str]| {
        let own = [
            "scan",
            "oci:image:1",
            "-f",
            "sarif=out.sarif",
            "-f",
            "json=out.json",
        ];
        let ran = plimsoll(path, &[&own, more].concat());
        assert_eq!(ran.code, 1, "{ran}");
        let sarif: Value =
            serde_json::from_slice(&fs::read(path.join("out.sarif")).unwrap()).unwrap();
        let results = sarif["runs"][0]["results"].as_array().unwrap().clone();
        assert!(!results.is_empty());
        (ran, results)
    };
    let place = |result: &Value| {
        let at = &result["locations"][0]["physicalLocation"];
        (
            at["artifactLocation"]["uri"].clone(),
            at["region"]["startLine"].clone(),
        )
    };
    let (ran, results) = scan(&[]);
    assert!(results.iter().all(|one| one["locations"] == Value::Null));
    assert_eq!(
        ran.stderr
            .matches("GitHub shows no alert without a place")
            .count(),
        1,
        "{ran}"
    );
    fs::write(path.join("plimsoll.yaml"), "scan:\n  profile: container\n").unwrap();
    let (ran, results) = scan(&[]);
    assert!(!ran.stderr.contains("without a place"), "{ran}");
    for result in &results {
        assert_eq!(place(result), ("plimsoll.yaml".into(), 1.into()));
    }
    // a Dockerfile that is named is nearer
    fs::write(path.join("Dockerfile"), "FROM scratch\nCOPY a /a\n").unwrap();
    let (_, results) = scan(&["--file", "Dockerfile"]);
    assert!(results.iter().all(|one| place(one).0 == "Dockerfile"));
}
