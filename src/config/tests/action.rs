//! The inputs of the action are the keys of the environment, and the other way round.

#![expect(clippy::disallowed_methods, reason = "the test reads the action")]

use std::{collections::BTreeSet, fs, path::Path};

use crate::config::{conventions::REFUSED, given::KEYS};

/// Inputs that the action itself uses, before the program runs.
const OF_THE_ACTION: [&str; 3] = ["working-directory", "version", "binary"];
/// Keys that are no inputs: other spellings of the environment, and what other CIs use.
const NO_INPUTS: [&str; 10] = [
    "build-arg",
    "label",
    "secret",
    "platform",
    "mirror",
    "add-host",
    "tag",
    "dotenv",
    "results-dir",
    "gitlab-token",
];

#[test]
fn the_inputs_of_the_action_are_the_keys_of_the_environment() {
    let action = action();
    let inputs: BTreeSet<&str> = action["inputs"]
        .as_mapping()
        .unwrap()
        .keys()
        .map(|name| name.as_str().unwrap())
        .filter(|name| !OF_THE_ACTION.contains(name))
        .collect();
    let keys: BTreeSet<&str> = KEYS
        .iter()
        .flat_map(|key| key.names)
        .chain(REFUSED.iter().flat_map(|refused| refused.names))
        .copied()
        .filter(|name| !NO_INPUTS.contains(name))
        .collect();
    let unknown: Vec<_> = inputs.difference(&keys).collect();
    let missing: Vec<_> = keys.difference(&inputs).collect();
    assert!(unknown.is_empty(), "the program does not know {unknown:?}");
    assert!(missing.is_empty(), "the action lacks {missing:?}");
}

/// Names that build-push-action, buildah-build, push-to-registry, scan-action, trivy-action,
/// hadolint-action, zizmor-action, lychee-action and upload-sarif have in common with this one.
const CONVENTIONS: &[&str] = &[
    "context",
    "file",
    "dockerfile",
    "containerfiles",
    "dockerfiles",
    "image",
    "image-ref",
    "tags",
    "build-args",
    "secrets",
    "secret-envs",
    "secret-files",
    "labels",
    "annotations",
    "platforms",
    "target",
    "no-cache",
    "pull",
    "cache-from",
    "cache-to",
    "build-contexts",
    "add-hosts",
    "network",
    "ssh",
    "outputs",
    "load",
    "provenance",
    "sbom",
    "attests",
    "push",
    "registry",
    "username",
    "password",
    "tls-verify",
    "severity-cutoff",
    "fail-build",
    "only-fixed",
    "severity",
    "exit-code",
    "ignore-unfixed",
    "failure-threshold",
    "no-fail",
    "format",
    "output-format",
    "output",
    "output-file",
    "config",
    "ignore",
    "trivyignores",
    "ignore-file",
    "vex",
    "category",
    "checkout-path",
    "checkout_path",
    "ref",
    "sha",
    "wait-for-processing",
    "upload-sarif",
    "sarif_file",
    "advanced-security",
    "min-severity",
    "online",
    "persona",
    "job-summary",
    "jobSummary",
    "comment",
    "comment-on-pr",
    "token",
    "github-token",
    "version",
    "working-directory",
    "cache-dir",
    "timeout",
    "docker-host",
];
/// The outputs among them.
const OUTPUTS: &[&str] = &[
    "digest",
    "imageid",
    "metadata",
    "image",
    "tags",
    "image-with-tag",
    "registry-path",
    "registry-paths",
    "sarif",
    "sarif-id",
    "json",
    "exit-code",
    "passed",
    "results",
];

fn action() -> serde_yaml::Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("action.yml");
    serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn every_name_that_other_actions_share_is_taken_or_refused_by_name() {
    let action = action();
    for name in CONVENTIONS {
        assert!(action["inputs"].get(name).is_some(), "input {name}");
    }
    for name in OUTPUTS {
        assert!(action["outputs"].get(name).is_some(), "output {name}");
    }
}

/// The table itself, where the facts that the project was made from are at hand.
#[test]
fn the_names_are_those_of_the_table() {
    let root = std::env::var_os("PLIMSOLL_SHARED");
    let root = root.map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        Into::into,
    );
    let Ok(text) = fs::read_to_string(root.join("reference/ci-integration.md")) else {
        return;
    };
    let table = text
        .split("### 1.5")
        .nth(1)
        .unwrap()
        .split("### 1.6")
        .next()
        .unwrap();
    for row in table.lines().filter(|line| line.starts_with("| ")).skip(2) {
        let ours = row.split('|').nth(1).unwrap();
        let known = if ours.trim_start().starts_with("outputs") {
            OUTPUTS
        } else {
            CONVENTIONS
        };
        for name in ours.split('`').skip(1).step_by(2) {
            let is_name = name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || b"-_".contains(&byte));
            assert!(!is_name || known.contains(&name), "{name} of {ours}");
        }
    }
}

/// The values of inputs as an action hands them over.
fn load(inputs: &serde_json::Value, folder: &Path) -> Result<crate::config::Config, String> {
    let variables = [("PLIMSOLL_INPUTS".into(), inputs.to_string().into())];
    let environment = crate::config::Environment::new(variables);
    let args = ["plimsoll", "run"].map(Into::into);
    let cli = crate::config::Cli::from_args(args, "").unwrap();
    let loaded = crate::config::load(&cli, &environment, folder, super::TODAY, &super::WORDS);
    loaded.map_err(|error| match error {
        crate::config::ConfigError::Faults(faults) => faults.render(false),
        other => other.to_string(),
    })
}

fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    folder
}

#[test]
fn what_has_no_counterpart_is_refused_with_what_to_use_instead() {
    let folder = repository();
    for refused in REFUSED {
        for name in refused.names {
            let given = serde_json::json!({ *name: "something" });
            let error = load(&given, folder.path()).unwrap_err();
            assert!(error.contains(name) && error.contains("hint: "), "{error}");
            let empty = serde_json::json!({ *name: "" });
            assert!(load(&empty, folder.path()).is_ok(), "{name}");
        }
    }
    for (name, value) in [
        ("provenance", "false"),
        ("sbom", "False"),
        ("online", "true"),
    ] {
        let given = serde_json::json!({ name: value });
        assert!(
            load(&given, folder.path()).is_ok(),
            "{name}: {value} is what is done anyway"
        );
    }
    assert!(
        load(
            &serde_json::json!({ "provenance": "mode=max" }),
            folder.path()
        )
        .is_err()
    );
}

#[test]
fn inputs_of_other_actions_mean_the_same_here() {
    let folder = repository();
    let good = |inputs: serde_json::Value| load(&inputs, folder.path()).unwrap();
    let bad = |inputs: serde_json::Value| load(&inputs, folder.path()).unwrap_err();
    for pardon in [
        serde_json::json!({ "exit-code": "0" }),
        serde_json::json!({ "no-fail": "true" }),
        serde_json::json!({ "fail-build": "false" }),
        serde_json::json!({ "failure-threshold": "none" }),
    ] {
        assert!(good(pardon.clone()).exit_zero, "{pardon}");
    }
    assert!(!good(serde_json::json!({ "exit-code": "1", "failure-threshold": "error" })).exit_zero);
    assert!(bad(serde_json::json!({ "exit-code": "7" })).contains("fixed"));
    assert!(bad(serde_json::json!({ "failure-threshold": "warning" })).contains("require"));

    let reports = good(serde_json::json!({ "format": "sarif", "output-file": "x.sarif" })).reports;
    assert_eq!(
        reports[0].value.path,
        Some(folder.path().canonicalize().unwrap().join("x.sarif"))
    );
    for format in ["", "sarif json", "sarif=y.sarif"] {
        let error = bad(serde_json::json!({ "format": format, "output-file": "x.sarif" }));
        assert!(error.contains("FORMAT=PATH"), "{error}");
    }
    assert!(bad(serde_json::json!({ "output": "x.sarif" })).contains("output-file"));

    fs::write(
        folder.path().join("ignore"),
        "# why\n\ngood_tags=moves by itself\n",
    )
    .unwrap();
    let config = good(serde_json::json!({ "ignore-file": "ignore", "skip": "has_licenses=none" }));
    let scan = config.images[0].settings.scan.clone().unwrap().value;
    assert_eq!(scan.exceptions.unwrap().value.0.len(), 2);
    fs::write(folder.path().join("ignore"), "CVE-2024-1\n").unwrap();
    assert!(bad(serde_json::json!({ "trivyignores": "ignore" })).contains("CVE-2024-1"));
    assert!(bad(serde_json::json!({ "ignore-file": "nowhere" })).contains("nowhere"));

    let contexts = "base=docker-image://quay.io/base:1\nother=oci-layout://layout:2";
    let config = good(serde_json::json!({ "build-contexts": contexts }));
    assert_eq!(config.images[0].mirrors["base"], "quay.io/base:1");
    assert!(config.images[0].mirrors["other"].ends_with("/layout:2"));
    assert!(bad(serde_json::json!({ "build-contexts": "src=../src" })).contains("docker-image://"));

    let config = good(serde_json::json!({ "ignore-unfixed": "true", "severity": "CRITICAL,HIGH" }));
    let advisories = config.images[0]
        .settings
        .scan
        .clone()
        .unwrap()
        .value
        .advisories;
    let advisories = advisories.unwrap().value;
    assert!(advisories.only_fixed.unwrap().value);
    let cutoff = advisories.severity_cutoff.unwrap().value;
    assert_eq!(cutoff, crate::config::Severity::Important);
    assert!(good(serde_json::json!({ "tls-verify": "false" })).unverified);
    assert!(!good(serde_json::json!({ "tls-verify": "true" })).unverified);
    assert_eq!(
        good(serde_json::json!({ "timeout": "30m" }))
            .timeout
            .unwrap()
            .value
            .0
            .as_secs(),
        1800
    );
    assert!(bad(serde_json::json!({ "load": "true" })).contains("no name"));
    let named = serde_json::json!({ "load": "true", "image": "localhost/a", "tags": "1.0-1" });
    good(named);
}

#[test]
fn locations_are_relative_to_the_checkout_not_to_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let service = folder.path().join("services/api");
    fs::create_dir_all(folder.path().join(".git")).unwrap();
    fs::create_dir_all(&service).unwrap();
    fs::write(service.join("Dockerfile"), "FROM scratch\n").unwrap();
    fs::write(service.join("plimsoll.yaml"), "{}\n").unwrap();
    let top = folder.path().canonicalize().unwrap();
    let config = load(&serde_json::json!({}), &service).unwrap();
    assert_eq!(
        (config.root, config.checkout),
        (top.join("services/api"), top.clone())
    );
    let named = load(&serde_json::json!({ "checkout-path": ".." }), &service).unwrap();
    assert_eq!(named.checkout, top.join("services"));
    assert!(load(&serde_json::json!({ "checkout_path": "nowhere" }), &service).is_err());
}
