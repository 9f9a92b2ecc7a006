//! Package lists, statements of exposure, and advisories in the reports: a real scan of an image
//! with a real rpm database, held against the official schemas and against what rpm itself lists.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use plimsoll::{
    advisory::{
        database::Database,
        grade::{AsOf, Health, grade, timeline},
        matching::{Detail, Matched, matches},
    },
    check,
    finding::{Assessment, Finding, Outcome, Verdict},
    report::{ImageIdentity, ImageReport, REPORTERS, Report, ReportKind},
    subject::{AdvisoryFacts, Fact},
};
use serde_json::Value;

use crate::advisories;
use crate::support::{
    FORMATS, Ran, command, has_program,
    image::{Image, Layer},
    plimsoll_with, skipped,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn schema(name: &str) -> Value {
    let path = root().join(format!("tests/data/schemas/sbom/{name}.zst"));
    let bytes = zstd::decode_all(fs::File::open(path).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

pub(crate) fn assert_valid(name: &str, document: &Value) {
    let mut registry = jsonschema::Registry::new();
    for part in ["spdx.schema.json", "jsf-0.82.schema.json"] {
        let id = format!("http://cyclonedx.org/schema/{part}");
        registry = registry.add(id, schema(part)).unwrap();
    }
    let registry = registry.prepare().unwrap();
    let validator = jsonschema::options()
        .with_registry(&registry)
        .build(&schema(name))
        .unwrap();
    let errors: Vec<String> = validator
        .iter_errors(document)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{name}: {errors:#?}");
}

/// One of the fixture images; `None`, with a word, when they are not there.
fn fixture(name: &str) -> Option<PathBuf> {
    let images = std::env::var_os("FIXTURE_IMAGES").map(PathBuf::from);
    let image = images.map(|images| images.join("oci").join(name));
    let image = image.filter(|image| image.is_dir());
    if image.is_none() {
        skipped(name, "the fixture images (FIXTURE_IMAGES) are not there");
    }
    image
}

/// A made-up advisory for a package of RHEL 9; the ids are nobody's.
fn advisory(id: &str, severity: &str, shipped: &str, name: &str, evr: &str, cve: &str) -> String {
    format!(
        r#"{{"document": {{"aggregate_severity": {{"text": "{severity}"}}, "csaf_version": "2.0", "title": "fixture of {name}",
        "tracking": {{"id": "{id}", "initial_release_date": "{shipped}T00:00:00Z", "current_release_date": "{shipped}T00:00:00Z"}}}},
        "product_tree": {{"branches": [
            {{"product": {{"product_id": "9", "product_identification_helper": {{"cpe": "cpe:/o:redhat:enterprise_linux:9::baseos"}}}}}},
            {{"product": {{"product_id": "{name}-{evr}.x86_64"}}}}],
          "relationships": [{{"full_product_name": {{"product_id": "9:o"}}, "product_reference": "{name}-{evr}.x86_64", "relates_to_product_reference": "9"}}]}},
        "vulnerabilities": [{{"cve": "{cve}", "product_status": {{"fixed": ["9:o"]}}}}]}}"#
    )
}

/// A folder with a database of three advisories: Critical and Moderate for `openssl-libs`, and one
/// that is applied.
fn home() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let feed = folder.path().join("feed");
    fs::create_dir(&feed).unwrap();
    for (number, (severity, shipped, evr, cve)) in [
        ("Critical", "2026-01-01", "1:3.9.9-1.el9", "CVE-0000-0001"),
        ("Moderate", "2026-01-10", "1:3.9.9-2.el9", "CVE-0000-0002"),
        ("Important", "2025-01-01", "1:1.0.0-1.el9", "CVE-0000-0003"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("RHSA-0000:000{}", number + 1);
        let json = advisory(&id, severity, shipped, "openssl-libs", evr, cve);
        fs::write(feed.join(format!("{number}.json")), json).unwrap();
    }
    let update = ["advisories", "update", "--from", "feed", "--complete"];
    let made = run(folder.path(), &update);
    assert_eq!(made.code, 0, "{made}");
    folder
}

fn run(folder: &Path, args: &[&str]) -> Ran {
    let home = folder.to_str().unwrap();
    let variables = [
        ("XDG_DATA_HOME", home),
        ("XDG_CACHE_HOME", home),
        ("SOURCE_DATE_EPOCH", "1767225600"),
    ];
    plimsoll_with(folder, args, &variables)
}

fn report(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_str(&report(folder, name)).unwrap()
}

/// Every format of one scan, below `out/`.
fn scan(folder: &Path, image: &str, more: &[&str]) -> Ran {
    let formats = FORMATS.map(|format| format!("{format}=out/{format}"));
    let mut args = vec!["scan", image, "--as-of", "2026-02-10", "-f", "table"];
    for format in &formats {
        args.extend(["-f", format]);
    }
    args.extend(["--require", "free_of_critical_vulnerabilities"]);
    args.extend(more);
    run(folder, &args)
}

#[test]
fn package_lists_and_statements_are_valid_and_name_what_the_report_names() {
    let Some(image) = fixture("critical-vuln") else {
        return;
    };
    let folder = home();
    let ran = scan(
        folder.path(),
        &format!("oci:{}:3.7-1", image.display()),
        &[],
    );
    assert_eq!(ran.code, 1, "{ran}");
    let out = folder.path().join("out");
    for (format, schema) in [
        ("spdx", "spdx-2.3.schema.json"),
        ("cyclonedx", "cyclonedx-bom-1.6.schema.json"),
        ("cyclonedx-vex", "cyclonedx-bom-1.6.schema.json"),
        ("openvex", "openvex-0.2.0.schema.json"),
        (
            "gitlab-container-scanning",
            "container-scanning-report-format.15.0.7.json",
        ),
    ] {
        assert_valid(schema, &json(&out, format));
    }
    let told = json(&out, "json");
    let (spdx, bom) = (json(&out, "spdx"), json(&out, "cyclonedx"));
    let libraries = bom["components"].as_array().unwrap();
    let libraries = libraries.iter().filter(|it| it["type"] == "library");
    let purls: BTreeSet<&str> = libraries
        .clone()
        .map(|it| it["purl"].as_str().unwrap())
        .collect();
    assert_eq!(told["packages_count"], libraries.count());
    let listed = spdx["packages"].as_array().unwrap().iter();
    let of_spdx: BTreeSet<&str> = listed
        .filter_map(|it| it["externalRefs"][0]["referenceLocator"].as_str())
        .filter(|purl| purl.starts_with("pkg:rpm/"))
        .collect();
    assert_eq!(purls, of_spdx);
    let openssl = purls
        .iter()
        .find(|purl| purl.contains("/openssl-libs@"))
        .unwrap();
    assert!(
        openssl.starts_with("pkg:rpm/redhat/openssl-libs@3.0"),
        "{openssl}"
    );
    for part in ["arch=x86_64", "distro=rhel-9", "epoch=1"] {
        assert!(openssl.contains(part), "{openssl}");
    }
    assert_eq!(bom["metadata"]["timestamp"], "2026-01-01T00:00:00Z");
    let digest = told["image"]["digest"]
        .as_str()
        .unwrap()
        .replace("sha256:", "");
    assert_eq!(bom["metadata"]["component"]["hashes"][0]["content"], digest);

    let vex = json(&out, "openvex");
    let names: Vec<_> = vex["statements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["vulnerability"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["CVE-0000-0001", "CVE-0000-0002", "CVE-0000-0003"]);
    let states = [0, 1, 2].map(|at| vex["statements"][at]["status"].as_str().unwrap());
    assert_eq!(states, ["affected", "affected", "fixed"]);
    assert_eq!(
        vex["statements"][0]["products"][0]["subcomponents"][0]["@id"],
        **openssl
    );
    let vex = json(&out, "cyclonedx-vex");
    let own = vex["components"].as_array().unwrap().iter();
    let refs: BTreeSet<&str> = own.map(|it| it["bom-ref"].as_str().unwrap()).collect();
    let affected = vex["vulnerabilities"][0]["affects"][0]["ref"]
        .as_str()
        .unwrap();
    assert!(refs.contains(affected), "{affected}");
    assert_eq!(
        vex["vulnerabilities"][0]["ratings"][0]["severity"],
        "critical"
    );
}

#[test]
fn statements_about_an_image_that_lacks_nothing_are_valid_or_told_to_be_none() {
    let (Some(image), Some(bare)) = (fixture("critical-vuln"), fixture("no-rpmdb")) else {
        return;
    };
    let folder = home();
    fs::remove_file(folder.path().join("feed/0.json")).unwrap();
    fs::remove_file(folder.path().join("feed/1.json")).unwrap();
    fs::remove_dir_all(folder.path().join("plimsoll")).unwrap();
    let update = ["advisories", "update", "--from", "feed", "--complete"];
    assert_eq!(run(folder.path(), &update).code, 0);
    let scan = |image: &str| run(folder.path(), &["scan", image, "-f", "openvex=out/openvex"]);
    let image = format!("oci:{}:3.7-1", image.display());
    scan(&image);
    let vex = json(folder.path(), "out/openvex");
    assert_valid("openvex-0.2.0.schema.json", &vex);
    assert_eq!(vex["statements"].as_array().unwrap().len(), 1);
    assert_eq!(vex["statements"][0]["status"], "fixed");
    let ran = scan(&format!("oci:{}", bare.display()));
    assert!(
        ran.stderr.contains("is not written: `openvex` wants"),
        "{ran}"
    );
    assert!(
        !folder.path().join("out/openvex").exists(),
        "the report of another image is left there"
    );
}

#[test]
fn the_same_image_gives_the_same_bytes() {
    let Some(image) = fixture("good") else {
        return;
    };
    let folder = home();
    let image = format!("oci:{}", image.display());
    let formats = ["spdx", "cyclonedx", "cyclonedx-vex", "openvex"];
    let written = |out: &str| {
        let to = formats.map(|format| format!("{format}={out}/{format}"));
        let mut args = vec!["scan", &image];
        for format in &to {
            args.extend(["-f", format]);
        }
        run(folder.path(), &args);
        formats.map(|format| report(&folder.path().join(out), format))
    };
    assert!(written("one") == written("two"));
}

#[test]
fn every_report_tells_grade_timeline_and_advisories() {
    let Some(image) = fixture("critical-vuln") else {
        return;
    };
    let folder = home();
    let ran = scan(
        folder.path(),
        &format!("oci:{}:3.7-1", image.display()),
        &[],
    );
    let out = folder.path().join("out");
    let told = json(&out, "json");
    // shipped on 2026-01-01, asked for 2026-02-10: 40 days
    assert_eq!(
        (&told["grade"], &told["next_drop"]["grade"]),
        (&"D".into(), &"E".into())
    );
    assert_eq!(told["next_drop"]["on"], "2026-04-02");
    assert_eq!(told["advisories"][0]["age_days"], 40);
    assert_eq!(told["advisories"].as_array().unwrap().len(), 2);
    let validator = jsonschema::validator_for(&plimsoll::report::schema()).unwrap();
    assert!(validator.is_valid(&told));
    for text in [
        &ran.stdout,
        &report(&out, "markdown"),
        &report(&out, "html"),
    ] {
        for word in [
            "RHSA-0000:0001",
            "RHSA-0000:0002",
            "drops to E on 2026-04-02",
            "1:3.9.9-1.el9",
            "40 d",
        ] {
            // markdown escapes what could be markup
            let text = text.replace('\\', "");
            assert!(text.contains(word), "{word}: {text}");
        }
    }
    assert!(report(&out, "badge").contains(">D</text>"));
    assert!(report(&out, "junit").contains("<testcase name=\"RHSA-0000:0001\""));

    let sarif = json(&out, "sarif");
    let run = &sarif["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let rule = |id: &str| rules.iter().find(|rule| rule["id"] == id).unwrap();
    let severity = |id: &str| rule(id)["properties"]["security-severity"].clone();
    assert_eq!(severity("RHSA-0000:0001"), "9.5");
    assert_eq!(severity("RHSA-0000:0002"), "5.5");
    let results = run["results"].as_array().unwrap();
    let level = |id: &str| &results.iter().find(|it| it["ruleId"] == id).unwrap()["level"];
    assert_eq!(
        (level("RHSA-0000:0001"), level("RHSA-0000:0002")),
        (&"error".into(), &"note".into())
    );

    let scanning = json(&out, "gitlab-container-scanning");
    assert_eq!(scanning["scan"]["status"], "success");
    let found = &scanning["vulnerabilities"][0];
    assert_eq!(found["severity"], "Critical");
    assert_eq!(found["identifiers"][1]["value"], "CVE-0000-0001");
    assert_eq!(
        found["location"]["dependency"]["package"]["name"],
        "openssl-libs"
    );
}

#[test]
fn a_baseline_parts_new_from_old_and_fail_on_new_pardons_the_old() {
    let Some(image) = fixture("critical-vuln") else {
        return;
    };
    let folder = home();
    let name = format!("oci:{}:3.7-1", image.display());
    assert_eq!(scan(folder.path(), &name, &[]).code, 1);
    fs::rename(
        folder.path().join("out/json"),
        folder.path().join("before.json"),
    )
    .unwrap();

    let same = scan(folder.path(), &name, &["--baseline", "before.json"]);
    assert_eq!(same.code, 1, "the verdict is the image's own: {same}");
    let told = json(&folder.path().join("out"), "json");
    assert_eq!(told["baseline"]["new"], 0, "{}", told["baseline"]);
    assert_eq!(told["advisories"][0]["change"], "unchanged");
    let pardoned = ["--baseline", "before.json", "--fail-on", "new"];
    let pardoned = scan(folder.path(), &name, &pardoned);
    assert_eq!(pardoned.code, 0, "{pardoned}");
    assert_eq!(json(&folder.path().join("out"), "json")["passed"], false);

    // a baseline that knew neither advisory, and had a finding that is gone
    let mut before = json(folder.path(), "before.json");
    before["advisories"] = serde_json::json!([{ "id": "RHSA-0000:0009" }]);
    for assessment in before["assessments"].as_array_mut().unwrap() {
        if assessment["name"] == "free_of_critical_vulnerabilities" {
            assessment["findings"] =
                serde_json::json!([{ "message": "gone", "fingerprint": "00" }]);
        }
    }
    fs::write(folder.path().join("before.json"), before.to_string()).unwrap();
    let worse = scan(
        folder.path(),
        &name,
        &["--baseline", "before.json", "--fail-on", "new"],
    );
    assert_eq!(worse.code, 1, "{worse}");
    let out = folder.path().join("out");
    let told = json(&out, "json");
    assert_eq!(
        (
            &told["baseline"]["new"],
            &told["baseline"]["fixed"][0]["message"]
        ),
        (&1.into(), &"gone".into())
    );
    assert_eq!(told["advisory_baseline"]["fixed"][0], "RHSA-0000:0009");
    assert!(worse.stdout.contains("new: "), "{worse}");
    let states: Vec<_> = json(&out, "sarif")["runs"][0]["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["ruleId"] == "RHSA-0000:0001")
        .map(|it| it["baselineState"].clone())
        .collect();
    assert_eq!(states, ["new"]);
    fs::write(folder.path().join("before.json"), "{}").unwrap();
    let broken = scan(folder.path(), &name, &["--baseline", "before.json"]);
    assert_eq!(broken.code, 2, "{broken}");
    let absent = scan(
        folder.path(),
        &name,
        &["--baseline", "absent.json", "--fail-on", "new"],
    );
    assert!(
        absent.code == 1 && absent.stderr.contains("no such file"),
        "{absent}"
    );
}

#[test]
fn another_image_is_a_baseline_too() {
    let (Some(image), Some(good)) = (fixture("root-user-0"), fixture("good")) else {
        return;
    };
    let folder = home();
    let image = format!("oci:{}", image.display());
    let good = format!("oci:{}", good.display());
    let compared = |image: &str, with: &str| {
        run(
            folder.path(),
            &[
                "scan",
                image,
                "--tag",
                "1.0-1",
                "--baseline",
                with,
                "--fail-on",
                "new",
                "-f",
                "json",
            ],
        )
    };
    let worse = compared(&image, &good);
    let told: Value = serde_json::from_str(&worse.stdout).unwrap();
    assert_eq!(worse.code, 1, "{worse}");
    assert!(
        told["baseline"]["new"].as_u64().unwrap() >= 1,
        "{}",
        told["baseline"]
    );
    let same = compared(&image, &image);
    let told: Value = serde_json::from_str(&same.stdout).unwrap();
    assert_eq!(
        (same.code, &told["baseline"]["new"]),
        (0, &0.into()),
        "{same}"
    );
}

#[test]
fn advisories_for_an_image_read_its_layers_once() {
    let Some(image) = fixture("critical-vuln") else {
        return;
    };
    let folder = home();
    // a copy, so that its layers can be taken away
    let copy = folder.path().join("image");
    let copied = command("cp")
        .arg("-r")
        .arg(&image)
        .arg(&copy)
        .status()
        .unwrap();
    assert!(copied.success() && has_program("cp"));
    let place = format!("oci:{}", copy.display());
    let args = [
        "advisories",
        "for",
        &place,
        "--as-of",
        "2026-02-10",
        "-f",
        "json",
    ];
    let first = run(folder.path(), &args);
    assert_eq!(first.code, 0, "{first}");
    let told: Value = serde_json::from_str(&first.stdout).unwrap();
    assert_eq!(
        (&told["kind"], &told["grade"]),
        (&"advisories".into(), &"D".into())
    );
    assert_eq!(told["advisories"][0]["id"], "RHSA-0000:0001");
    // without layers: manifest and configuration alone are small enough to stay
    for blob in fs::read_dir(copy.join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        if !fs::read(blob.path()).unwrap().starts_with(b"{") {
            fs::remove_file(blob.path()).unwrap();
        }
    }
    let second = run(folder.path(), &args);
    let again: Value = serde_json::from_str(&second.stdout).unwrap();
    assert_eq!(again["advisories"], told["advisories"]);
    let anew = run(folder.path(), &[&args[..], &["--no-cache"]].concat());
    assert_ne!(anew.code, 0, "the layers are gone: {anew}");
    let table = run(folder.path(), &args[..5]);
    assert!(table.stdout.contains("drops to E on 2026-04-02"), "{table}");
    let other = run(folder.path(), &["advisories", "for", &place, "-f", "sarif"]);
    assert_eq!(other.code, 2, "{other}");
}

#[test]
fn the_current_base_is_asked_whether_it_has_the_fix() {
    let Some(image) = fixture("critical-vuln") else {
        return;
    };
    let folder = home();
    let name = format!("oci:{}:3.7-1", image.display());
    let word = |more: &[&str]| {
        scan(folder.path(), &name, more);
        let told = json(&folder.path().join("out"), "json");
        let package = &told["advisories"][0]["packages"][0]["current_base"];
        (
            package.as_str().unwrap().to_owned(),
            told["current_base"].clone(),
        )
    };
    let (unknown, why) = word(&[]);
    assert_eq!(unknown, "unknown");
    assert!(why["reason"].as_str().unwrap().contains("--base"), "{why}");
    let (lacks, base) = word(&["--base", &name]);
    assert_eq!(
        (lacks.as_str(), &base["built_on"]),
        ("not_fixed", &true.into())
    );
    // an image without packages has no package database, and that is said
    let empty = Image::new()
        .layer(Layer::from("file /etc/x 0644 0:0 \"y\""))
        .write(&folder.path().join("empty"), "1");
    let (none, why) = word(&["--base", &format!("oci:{}:1", empty.display())]);
    assert_eq!(none, "unknown");
    assert!(why["reason"].is_string(), "{why}");
}

#[test]
fn the_page_runs_no_script_and_shows_hostile_text_as_text() {
    let Some(image) = fixture("critical-vuln") else {
        return;
    };
    let folder = home();
    scan(
        folder.path(),
        &format!("oci:{}:3.7-1", image.display()),
        &[],
    );
    let page = report(&folder.path().join("out"), "html");
    for forbidden in ["<script", "javascript:", "src=\"http", "@import", "<link"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains("width=device-width") && page.contains("<svg class=\"timeline\""));
    if !has_program("xmllint") {
        skipped("badge", "xmllint is not installed");
        return;
    }
    let badge = folder.path().join("out/badge");
    let checked = command("xmllint")
        .arg("--noout")
        .arg(&badge)
        .status()
        .unwrap();
    assert!(checked.success());
}

/// `OpenSCAP`'s answer for the golden package list, through every format that names advisories.
#[test]
fn the_golden_image_has_the_same_advisories_in_every_format() {
    let Some(data) = advisories::data("golden example in every format") else {
        return;
    };
    let file = advisories::rhel8(&data);
    let database = Database::open(&file).unwrap();
    let matched = matches(
        &database,
        &advisories::ubi8(),
        &advisories::golden_list(&data),
        Detail::Missing,
    );
    let golden =
        fs::read_to_string(data.join("golden-example/golden-mod-httpd-rhel-8.oval.tsv")).unwrap();
    let golden: BTreeSet<&str> = golden
        .lines()
        .map(|line| line.split('\t').next().unwrap())
        .collect();
    let report = of_golden(matched, database.as_of());
    let written = |format: &str| {
        let reporter = REPORTERS.iter().find(|it| it.name() == format).unwrap();
        let mut out = Vec::new();
        reporter.write(&report, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    // every id that stands in a format, found without knowing its shape
    let ids = |text: &str| -> BTreeSet<String> {
        let found = text
            .match_indices("RHSA-")
            .chain(text.match_indices("RHBA-"));
        let found = found.chain(text.match_indices("RHEA-"));
        found
            .map(|(at, _)| {
                let id =
                    text[at..].split(|c: char| !c.is_ascii_alphanumeric() && !"-:".contains(c));
                id.into_iter()
                    .next()
                    .unwrap()
                    .trim_end_matches(':')
                    .to_owned()
            })
            .collect()
    };
    let golden: BTreeSet<String> = golden.into_iter().map(str::to_owned).collect();
    for format in [
        "table",
        "json",
        "sarif",
        "markdown",
        "gitlab-container-scanning",
        "cyclonedx-vex",
        "openvex",
        "html",
    ] {
        assert_eq!(ids(&written(format)), golden, "{format}");
    }
}

pub(crate) fn of_golden(matched: Matched, data: Timestamp) -> Report {
    let as_of = AsOf::Day("2020-03-19".parse().unwrap());
    let flaws: Vec<_> = matched
        .missing
        .iter()
        .map(|it| (it.severity, it.released))
        .collect();
    let rule = check::find("free_of_critical_vulnerabilities")[0];
    // one for each advisory that fails the image, as the check makes them
    let failing = matched.missing.iter();
    let failing = failing.filter(|it| it.severity >= plimsoll::advisory::Severity::Important);
    let findings = failing
        .map(|it| Finding {
            advisory: Some(it.id.clone()),
            ..Finding::new(it.id.clone(), format!("{} is not applied", it.id))
        })
        .collect();
    Report {
        kind: ReportKind::Scan,
        passed: false,
        images: vec![ImageReport {
            image: ImageIdentity {
                reference: "registry.example.com/golden:1".to_owned(),
                digest: None,
                config_digest: None,
                platform: None,
                tag: None,
            },
            assessments: vec![Assessment {
                rule,
                outcome: Outcome::Assessed(Verdict::Failed(findings)),
                blocking: false,
                exception: None,
            }],
            packages_count: None,
            advisories: Some(AdvisoryFacts {
                health: Health::Graded {
                    grade: grade(&flaws, &[], as_of),
                    timeline: timeline(&flaws, &[], as_of),
                },
                matched,
                fails_from: plimsoll::advisory::Severity::Important,
                as_of,
                data,
                advisories: 181,
                source: "derived".to_owned(),
                base: Fact::Unmet("there is none".to_owned()),
            }),
            contents: None,
            base: None,
            fallback: None,
            timings: Vec::new(),
        }],
        lints: Vec::new(),
        sources: Vec::new(),
        dockerfile: None,
        pushed: None,
        created: data,
        documented: data,
        baseline: None,
        anchor: None,
    }
}
