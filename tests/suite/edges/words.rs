//! What the binary says of itself: help, rule pages, schemas, completions, the manual page.

use super::Project;
use crate::support::{Ran, command, has_program, skipped};

fn said(args: &[&str]) -> String {
    let ran = Project::new(&[]).run(args);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{args:?}: {ran}");
    ran.stdout
}

#[test]
fn help_says_what_each_command_does() {
    for command in [
        "",
        "run",
        "check",
        "build",
        "scan",
        "explain",
        "schema",
        "completions",
        "man",
    ] {
        let args: Vec<&str> = [command, "--help"]
            .into_iter()
            .filter(|a| !a.is_empty())
            .collect();
        let help = said(&args);
        assert!(help.contains("Examples:\n  plimsoll "), "{help}");
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
        let name = if command.is_empty() {
            "plimsoll"
        } else {
            command
        };
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("help_{name}"), help);
        });
    }
    assert_eq!(
        said(&["--version"]).trim(),
        concat!("plimsoll ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_rule_is_explained_by_its_id_and_by_preflight_s_name() {
    let list = said(&["explain"]);
    assert!(list.lines().count() >= 13, "{list}");
    for line in list.lines() {
        let id = line.split_whitespace().next().unwrap();
        assert!(said(&["explain", id]).starts_with(&format!("## {id}\n")));
    }
    assert_eq!(
        said(&["explain", "HasLicense"]),
        said(&["explain", "has_licenses"])
    );
    assert_eq!(
        said(&["explain", "HasRequiredLabel"])
            .matches("\n## ")
            .count(),
        6
    );
}

#[test]
fn schemas_are_json_schemas_and_the_report_keeps_to_its_own() {
    let read = |of| serde_json::from_str::<serde_json::Value>(&said(&["schema", of])).unwrap();
    let (config, report) = (read("config"), read("report"));
    for schema in [&config, &report] {
        jsonschema::validator_for(schema).unwrap();
        assert!(schema["$schema"].is_string());
    }
    let project = Project::new(&[("Dockerfile", "FROM scratch\nUSER 0\n")]);
    let ran = project.run(&["check", "-f", "json"]);
    let document = serde_json::from_str(&ran.stdout).unwrap();
    jsonschema::validate(&report, &document).unwrap();
}

#[test]
fn completions_are_scripts_of_their_shells() {
    for (shell, words) in [
        ("bash", "complete -F _plimsoll"),
        ("zsh", "#compdef plimsoll"),
        ("fish", "complete -c plimsoll"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        assert!(said(&["completions", shell]).contains(words), "{shell}");
    }
    let script = said(&["completions", "bash"]);
    let checked = command("bash")
        .args(["-n", "-c", &script])
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", Ran::of(&checked));
}

#[test]
fn the_manual_page_formats_without_a_warning() {
    let page = said(&["man"]);
    assert!(page.contains(".TH plimsoll 1"), "{}", &page[..200]);
    for command in ["run", "check", "build", "scan", "explain"] {
        assert!(page.contains(&format!("plimsoll-{command}")), "{command}");
    }
    let project = Project::new(&[("plimsoll.1", &page)]);
    let linters = [
        ("mandoc", &["-Tlint", "-Werror"][..]),
        ("groff", &["-man", "-ww", "-z", "-Tutf8"]),
    ];
    let Some((linter, args)) = linters.into_iter().find(|(name, _)| has_program(name)) else {
        skipped("manual page", "there is neither mandoc nor groff");
        return;
    };
    let linted = command(linter)
        .args(args)
        .arg(project.path().join("plimsoll.1"))
        .output()
        .unwrap();
    assert!(
        linted.status.success() && linted.stderr.is_empty(),
        "{}",
        Ran::of(&linted)
    );
}
