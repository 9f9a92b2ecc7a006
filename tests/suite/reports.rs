//! One report through every format: a snapshot to read, and an oracle that is not this code.

use std::process::Command;

use crate::support::skipped;
use plimsoll::{
    advisory::{
        AdvisoryKind, FixedEvr, Severity,
        grade::{AsOf, Health, grade, timeline},
        matching::{Affected, Matched, Missing},
    },
    finding::{Assessment, Finding, Location, Outcome, Verdict},
    oci::{Digest, ImagePath, LayerIndex},
    report::{
        BaseSummary, Baseline, ImageIdentity, ImageReport, Lint, LintLevel, REPORTERS, Report,
        ReportKind, SourceText,
    },
    rpm::Nevra,
    rule::{Level, Origin, Rule},
    subject::{AdvisoryFacts, CurrentBase, Fact},
};

static LICENSES: Rule = Rule {
    id: "has_licenses",
    title: "fails when /licenses holds no licence text",
    aliases: &["HasLicense"],
    level: Level::Required,
    origin: Origin::Service,
    since: "0.1.0",
    security_severity: None,
    page: "What it requires\n\nA text below `/licenses`.\n",
};
static ROOT: Rule = Rule {
    id: "not_running_as_root",
    title: "fails when the image runs as root",
    aliases: &["RunAsNonRoot"],
    level: Level::Required,
    origin: Origin::Service,
    since: "0.1.0",
    security_severity: Some("6.5"),
    page: "What it requires\n\nA `USER` that is not root.\n",
};
static SETUID: Rule = Rule {
    id: "has_no_setuid_surprises",
    title: "warns of set-id files that no package owns",
    aliases: &[],
    level: Level::Warning,
    origin: Origin::Policy,
    since: "0.1.0",
    security_severity: Some("4.0"),
    page: "What it requires\n\nNone.\n",
};
static VULNERABILITIES: Rule = Rule {
    id: "free_of_critical_vulnerabilities",
    title: "fails when a critical or important advisory applies",
    aliases: &[],
    level: Level::Required,
    origin: Origin::Service,
    since: "0.1.0",
    security_severity: Some("9.1"),
    page: "What it requires\n\nNone.\n",
};

const DOCKERFILE: &str = "FROM registry.example.com/base:1\nCOPY a|b /x\nUSER 0\n";

fn at(line: u32) -> Location {
    Location {
        file: "images/a b/Dockerfile".to_owned(),
        line,
        end_line: line,
        column: None,
        end_column: None,
    }
}

fn digest(byte: &str) -> Digest {
    format!("sha256:{}", byte.repeat(32)).parse().unwrap()
}

fn assessment(rule: &'static Rule, outcome: Outcome) -> Assessment {
    let blocking = rule.level == Level::Required && rule.id != VULNERABILITIES.id;
    Assessment {
        rule,
        outcome,
        blocking,
        exception: None,
    }
}

/// Hostile text in every place that takes text from an image or a Dockerfile.
fn hostile() -> String {
    "50% of\r\n::error::x | <img src=x> \u{1b}[31m \u{202e} `@all` \"quoted\" ]]> \u{0}".to_owned()
}

fn image(findings: usize) -> ImageReport {
    let setuid = (0..findings).map(|n| {
        let path = ImagePath::new(format!("/opt/tool-{n}\n\u{7}"));
        Finding::new("setuid", format!("{path} is setuid root; {}", hostile()))
            .at(Some(at(2)))
            .in_layer(LayerIndex(2))
            .on_path(path)
    });
    ImageReport {
        image: ImageIdentity {
            reference: "registry.example.com/vendorx/plugin:3.7-1".to_owned(),
            digest: Some(digest("ab")),
            config_digest: Some(digest("cd")),
            platform: "linux/amd64".parse().ok(),
            tag: Some("3.7-1".to_owned()),
        },
        assessments: vec![
            assessment(
                &LICENSES,
                Outcome::Assessed(Verdict::Passed {
                    note: Some("2 texts".to_owned()),
                }),
            ),
            assessment(
                &VULNERABILITIES,
                Outcome::NotAssessed("no advisory database".to_owned()),
            ),
            assessment(
                &ROOT,
                Outcome::Assessed(Verdict::Failed(vec![
                    Finding::new("user", "USER is `0`, which is root")
                        .at(Some(at(3)))
                        .remedy("name a user that is not root")
                        .patch("USER 1001"),
                ])),
            ),
            assessment(
                &SETUID,
                Outcome::Assessed(Verdict::Warning(setuid.collect())),
            ),
        ],
        packages_count: Some(215),
        advisories: None,
        contents: None,
        base: Some(BaseSummary {
            reference: "registry.example.com/base:1".to_owned(),
            digest: None,
            layers: 2,
        }),
        fallback: Some(at(1)),
        timings: Vec::new(),
    }
}

/// An image that lacks a Critical and a Moderate advisory, with hostile titles and packages.
fn lacking() -> ImageReport {
    let nevra = |name: &str| Nevra {
        name: name.to_owned(),
        epoch: Some(1),
        version: "3.0.7".to_owned(),
        release: "24.el9".to_owned(),
        arch: Some("x86_64".to_owned()),
    };
    let missing = |id: &str, severity, shipped: &str| Missing {
        id: id.to_owned(),
        kind: AdvisoryKind::Security,
        severity,
        released: shipped.parse().unwrap(),
        title: format!("openssl security update; {}", hostile()),
        cves: vec!["CVE-0000-0001".to_owned(), hostile()],
        packages: vec![Affected {
            installed: nevra("openssl-libs"),
            fixed: FixedEvr::parse("1:3.0.7-25.el9").unwrap(),
            layer: LayerIndex(0),
            product: "cpe:/o:redhat:enterprise_linux:9::baseos".to_owned(),
        }],
    };
    let list = vec![
        missing("RHSA-0000:0001", Severity::Critical, "2025-12-23T00:00:00Z"),
        missing("RHSA-0000:0002", Severity::Moderate, "2025-12-24T00:00:00Z"),
    ];
    let as_of = AsOf::Day(jiff::civil::date(2026, 1, 2));
    let flaws: Vec<_> = list.iter().map(|it| (it.severity, it.released)).collect();
    let mut image = image(0);
    image.assessments[1] = assessment(
        &VULNERABILITIES,
        Outcome::Assessed(Verdict::Failed(vec![Finding {
            advisory: Some("RHSA-0000:0001".to_owned()),
            ..Finding::new("RHSA-0000:0001", "RHSA-0000:0001 is not applied")
                .at(Some(at(1)))
                .of_package("openssl-libs-1:3.0.7-24.el9.x86_64")
        }])),
    );
    image.assessments[1].blocking = true;
    image.advisories = Some(AdvisoryFacts {
        health: Health::Graded {
            grade: grade(&flaws, &[], as_of),
            timeline: timeline(&flaws, &[], as_of),
        },
        matched: Matched {
            missing: list,
            scanned: 7,
            ..Matched::default()
        },
        fails_from: Severity::Important,
        as_of,
        data: "2026-01-01T00:00:00Z".parse().unwrap(),
        advisories: 3,
        source: hostile(),
        base: Fact::Known(CurrentBase {
            reference: "registry.example.com/base:2".to_owned(),
            digest: digest("ef"),
            built_on: false,
            packages: vec![nevra("openssl-libs")],
        }),
    });
    image
}

fn report(images: Vec<ImageReport>, lints: Vec<Lint>) -> Report {
    Report {
        kind: ReportKind::Scan,
        passed: false,
        images,
        lints,
        sources: vec![SourceText {
            file: "images/a b/Dockerfile".to_owned(),
            text: DOCKERFILE.to_owned(),
        }],
        dockerfile: Some("images/a b/Dockerfile".to_owned()),
        pushed: None,
        created: "2026-01-02T03:04:05Z".parse().unwrap(),
        documented: "2026-01-02T03:04:05Z".parse().unwrap(),
        baseline: None,
        anchor: None,
    }
}

fn lint() -> Lint {
    Lint {
        rule: "build/StageNameCasing".to_owned(),
        title: "stage names should be lowercase".to_owned(),
        level: LintLevel::Warning,
        help_uri: Some("https://docs.docker.com/go/dockerfile/rule/stage-name-casing/".to_owned()),
        finding: Finding::new("Builder", "stage name `Builder` should be lowercase")
            .at(Some(at(1))),
    }
}

fn cases() -> Vec<(&'static str, Report)> {
    let mut other = image(1);
    other.image.platform = "linux/arm64".parse().ok();
    vec![
        ("failing", report(vec![image(2)], vec![lint()])),
        ("platforms", report(vec![image(1), other], Vec::new())),
        ("no image", report(Vec::new(), vec![lint()])),
        ("empty", report(Vec::new(), Vec::new())),
        ("5,000 findings", report(vec![image(5000)], Vec::new())),
        ("advisories", report(vec![lacking()], Vec::new())),
        ("compared", compared()),
    ]
}

/// Beside a baseline that had other findings and advisories.
fn compared() -> Report {
    let before = json("json", &report(vec![image(2)], vec![lint()]));
    let mut now = report(vec![lacking()], vec![lint()]);
    now.baseline = Some(Baseline::parse("before", before.to_string().as_bytes()).unwrap());
    now
}

fn written(format: &str, report: &Report) -> String {
    let reporter = REPORTERS.iter().find(|r| r.name() == format).unwrap();
    let mut out = Vec::new();
    reporter.write(report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn json(format: &str, report: &Report) -> serde_json::Value {
    serde_json::from_str(&written(format, report)).unwrap()
}

pub(crate) fn schema(name: &str) -> jsonschema::Validator {
    let path = format!("{}/tests/data/schemas/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

fn assert_valid(validator: &jsonschema::Validator, value: &serde_json::Value, case: &str) {
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|e| format!("{e} at {}", e.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{case}: {errors:#?}");
}

#[test]
fn every_format_reads_as_recorded() {
    for reporter in REPORTERS {
        let text = written(reporter.name(), &report(vec![image(2)], vec![lint()]));
        insta::assert_snapshot!(reporter.name(), text);
    }
}

#[test]
fn advisories_read_as_recorded_where_people_look() {
    let report = compared();
    for format in ["table", "markdown", "github", "json", "sarif"] {
        insta::assert_snapshot!(format!("advisories {format}"), written(format, &report));
    }
}

#[test]
fn a_page_shows_hostile_text_and_no_markup_of_it() {
    for (name, report) in cases() {
        for format in ["html", "badge"] {
            let page = written(format, &report);
            let page = page.to_lowercase();
            for forbidden in ["<img", "<script", "\u{1b}", "\u{202e}", "\u{0}"] {
                assert!(!page.contains(forbidden), "{name} {format} {forbidden:?}");
            }
        }
    }
}

#[test]
fn sarif_is_valid_and_points_where_an_independent_search_finds_the_text() {
    let validator = schema("sarif-2.1.0.schemastore.json");
    for (name, report) in cases() {
        let sarif = json("sarif", &report);
        assert_valid(&validator, &sarif, name);
    }
    let sarif = json("sarif", &report(vec![image(1)], vec![lint()]));
    let run = &sarif["runs"][0];
    assert_eq!(
        run["automationDetails"]["id"],
        "plimsoll/images/a%20b/Dockerfile/"
    );
    let results = run["results"].as_array().unwrap();
    let root = results
        .iter()
        .find(|r| r["ruleId"] == "not_running_as_root")
        .unwrap();
    let line = root["locations"][0]["physicalLocation"]["region"]["startLine"]
        .as_u64()
        .unwrap();
    let wanted = DOCKERFILE
        .lines()
        .position(|l| l.starts_with("USER"))
        .unwrap()
        + 1;
    assert_eq!(line, wanted as u64);
    for result in results {
        let rule = &run["tool"]["driver"]["rules"]
            [usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(
            rule["help"]["text"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        assert!(result["partialFingerprints"]["primaryLocationLineHash"].is_string());
    }
}

/// GitHub's limits (docs, sarif-support): what is over them is refused or dropped without a word.
#[test]
fn sarif_keeps_within_the_limits_of_code_scanning() {
    let sarif = json("sarif", &report(vec![image(30_000)], Vec::new()));
    let run = &sarif["runs"][0];
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 25_000);
    assert_eq!(results[0]["level"], "error", "the heaviest come first");
    for rule in run["tool"]["driver"]["rules"].as_array().unwrap() {
        assert!(rule["name"].as_str().unwrap().len() <= 255);
        assert!(rule["shortDescription"]["text"].as_str().unwrap().len() <= 1024);
        if let Some(severity) = rule["properties"]["security-severity"].as_str() {
            assert!((0.1..=10.0).contains(&severity.parse::<f64>().unwrap()));
        }
    }
}

#[test]
fn json_is_valid_against_its_published_schema() {
    let validator = jsonschema::validator_for(&plimsoll::report::schema()).unwrap();
    for (name, report) in cases() {
        assert_valid(&validator, &json("json", &report), name);
    }
}

#[test]
fn json_puts_platforms_around_several_images_only() {
    let cases: std::collections::HashMap<_, _> = cases().into_iter().collect();
    assert_eq!(
        json("json", &cases["platforms"])["platforms"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert!(json("json", &cases["failing"])["platforms"].is_null());
    assert!(json("json", &cases["no image"])["image"].is_null());
}

#[test]
fn fingerprints_survive_changed_messages_and_moved_lines() {
    let one = report(vec![image(1)], Vec::new());
    let mut two = one.clone();
    for assessment in &mut two.images[0].assessments {
        if let Outcome::Assessed(Verdict::Failed(findings) | Verdict::Warning(findings)) =
            &mut assessment.outcome
        {
            for finding in findings {
                finding.message.push_str(" (reworded)");
                if let Some(location) = &mut finding.location {
                    location.line += 7;
                }
            }
        }
    }
    let of = |report| -> Vec<String> {
        let json = json("json", report);
        let all = json["assessments"].as_array().unwrap().iter();
        all.flat_map(|a| a["findings"].as_array().unwrap())
            .map(|f| f["fingerprint"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(of(&one), of(&two));
    let distinct: std::collections::BTreeSet<_> = of(&report(vec![image(50)], Vec::new()))
        .into_iter()
        .collect();
    assert_eq!(distinct.len(), 51);
}

#[test]
fn codequality_is_valid() {
    let validator = schema("codequality-codeclimate.json");
    for (name, report) in cases() {
        for entry in json("gitlab", &report).as_array().unwrap() {
            assert_valid(&validator, entry, name);
            let path = entry["location"]["path"].as_str().unwrap();
            assert!(!path.is_empty() && !path.starts_with("./"));
        }
    }
}

#[test]
fn junit_is_valid_against_the_xsd() {
    if Command::new("xmllint").arg("--version").output().is_err() {
        skipped("JUnit", "xmllint is not installed, the XSD was not checked");
        return;
    }
    let xsd = format!(
        "{}/tests/data/schemas/junit-10-jenkins.xsd",
        env!("CARGO_MANIFEST_DIR")
    );
    for (name, report) in cases() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), written("junit", &report)).unwrap();
        let output = Command::new("xmllint")
            .args(["--noout", "--schema", &xsd])
            .arg(file.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// preflight's own shape (`internal/formatters/util.go`).
#[test]
fn preflight_results_have_the_shape_that_parsers_expect() {
    let results = json("preflight", &report(vec![image(1)], Vec::new()));
    assert_eq!(results["passed"], false);
    assert_eq!(results["results"]["passed"][0]["name"], "HasLicense");
    let failed = &results["results"]["failed"][0];
    assert_eq!(failed["name"], "RunAsNonRoot");
    for key in [
        "help",
        "suggestion",
        "knowledgebase_url",
        "check_url",
        "description",
    ] {
        assert!(failed[key].is_string(), "{key}");
    }
    assert!(results["results"]["errors"].as_array().unwrap().is_empty());
    assert!(
        !results["test_library"]["name"]
            .as_str()
            .unwrap()
            .contains("preflight")
    );
}

/// What stops the image is never `passed` for a parser of `results.json`, and what was not asked for
/// stands in no list.
#[test]
fn preflight_results_agree_with_the_verdict() {
    let mut image = image(0);
    image.assessments = vec![
        assessment(
            &LICENSES,
            Outcome::Assessed(Verdict::NotApplicable("not asked".to_owned())),
        ),
        Assessment {
            blocking: true,
            ..assessment(&VULNERABILITIES, Outcome::NotAssessed("none".to_owned()))
        },
    ];
    let results = json("preflight", &report(vec![image], Vec::new()));
    assert_eq!(results["passed"], false);
    assert_eq!(results["results"]["passed"], serde_json::json!([]));
    let errors = &results["results"]["errors"];
    assert_eq!(errors[0]["name"], "free_of_critical_vulnerabilities");
}

/// GitLab keeps one of the entries that have the same fingerprint.
#[test]
fn findings_that_are_alike_but_for_their_line_keep_fingerprints_of_their_own() {
    let mut second = lint();
    second.finding.location = Some(at(3));
    let once = json("gitlab", &report(Vec::new(), vec![lint()]));
    let twice = json("gitlab", &report(Vec::new(), vec![lint(), second]));
    assert_eq!(once[0]["fingerprint"], twice[0]["fingerprint"]);
    assert_ne!(twice[0]["fingerprint"], twice[1]["fingerprint"]);
}

#[test]
fn the_mark_of_the_summary_is_the_verdict() {
    let mut failing = image(0);
    failing.assessments.truncate(2);
    let mut passing = report(vec![failing.clone()], Vec::new());
    passing.passed = true;
    assert!(written("markdown", &passing).starts_with("### ✓"));
    failing.assessments[1].blocking = true;
    assert!(written("markdown", &report(vec![failing], Vec::new())).starts_with("### ✗"));
}

#[test]
fn github_commands_cannot_be_forged_and_keep_within_ten_a_level() {
    let text = written("github", &report(vec![image(5000)], vec![lint()]));
    let (mut errors, mut warnings) = (0, 0);
    for line in text.lines() {
        errors += usize::from(line.starts_with("::error "));
        warnings += usize::from(line.starts_with("::warning "));
        assert!(line.starts_with("::"), "{line}");
    }
    assert_eq!((errors, warnings), (1, 10));
    assert!(text.contains("more in the report"));
}

#[test]
fn markdown_stays_under_the_limit_of_a_step_summary() {
    let text = written("markdown", &report(vec![image(20_000)], Vec::new()));
    assert!(text.len() < 1_048_576, "{}", text.len());
    assert!(text.contains("the rest is left out"));
    for (name, report) in cases() {
        let text = written("markdown", &report);
        assert!(!text.contains("<img"), "{name}");
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{202e}'),
            "{name}"
        );
    }
}

#[test]
fn a_terminal_never_sees_control_characters_of_the_image() {
    for (name, report) in cases() {
        let text = written("table", &report);
        assert!(
            !text.contains(['\u{1b}', '\u{202e}', '\u{7}', '\u{0}']),
            "{name}"
        );
    }
}

/// GitHub's ingestion rules as Microsoft's validator knows them; npm ships it as a ready binary.
#[test]
fn sarif_is_clean_by_githubs_ingestion_rules() {
    let Some(tool) = std::env::var_os("PLIMSOLL_SARIF_MULTITOOL") else {
        skipped("GitHub's rules", "PLIMSOLL_SARIF_MULTITOOL is not set");
        return;
    };
    let clean = {
        let mut image = image(0);
        image.assessments.truncate(1);
        report(vec![image], Vec::new())
    };
    let broken = written("sarif", &cases().remove(0).1).replace("\"locations\"", "\"x\"");
    assert!(
        !ingestion_errors(&tool, &broken).is_empty(),
        "the validator must be able to fail"
    );
    for (name, report) in [("clean", clean)].into_iter().chain(cases()) {
        let errors = ingestion_errors(&tool, &written("sarif", &report));
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
}

fn ingestion_errors(tool: &std::ffi::OsStr, sarif: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (
        folder.path().join("in.sarif"),
        folder.path().join("out.sarif"),
    );
    std::fs::write(&input, sarif).unwrap();
    let done = Command::new(tool)
        .env("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1")
        .arg("validate")
        .arg(&input)
        .args([
            "--rule-kind",
            "Sarif;Ghas",
            "--level",
            "Error;Warning",
            "--output",
        ])
        .arg(&output)
        .args(["--log", "ForceOverwrite"])
        .output()
        .unwrap();
    let text = std::fs::read_to_string(&output).unwrap_or_else(|_| panic!("{done:?}"));
    let found: serde_json::Value =
        serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
    let results = found["runs"][0]["results"].as_array().unwrap();
    results
        .iter()
        .filter(|result| result["level"].as_str() != Some("note"))
        .map(|result| format!("{} {}", result["ruleId"], result["message"]))
        .take(5)
        .collect()
}
