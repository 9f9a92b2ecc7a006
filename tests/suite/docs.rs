//! Pages written from the code are fresh. `UPDATE=1 cargo test --test suite docs` writes them.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test reads the project's own files and may panic"
)]

use std::{fmt::Write as _, fs, path::Path};

use plimsoll::{
    check,
    config::Cli,
    error::ExitCode,
    policy::{Profile, Weight, weight},
    report::REPORTERS,
};

const INTRODUCTION: &str = "# The rules

<!-- Written from the rules by `UPDATE=1 cargo test --test suite docs`; edit the doc comments instead. -->

What Plimsoll asks of an image: first the thirteen assessments of the hosted service, then those of
today's certification policy and its own. `plimsoll explain RULE` prints a page of this file.

The columns are the profiles; ● blocks, ◐ blocks once its facts are known, ○ warns, – is not asked
for.
";

fn mark(weight: Weight) -> &'static str {
    match weight {
        Weight::Block => "●",
        Weight::BlockKnown => "◐",
        Weight::Warn => "○",
        Weight::Off => "–",
    }
}

fn rules_page() -> String {
    let mut page = format!("{INTRODUCTION}\n| rule | fails when | openshift-preflight |");
    let mut line = String::from("| --- | --- | --- |");
    for profile in Profile::ALL {
        let _ = write!(page, " {profile} |");
        line.push_str(" :-: |");
    }
    let _ = writeln!(page, "\n{line}");
    for rule in check::rules() {
        let names = rule.aliases.join(", ");
        let _ = write!(page, "| [{0}](#{0}) | {1} | {names} |", rule.id, rule.title);
        for profile in Profile::ALL {
            let _ = write!(page, " {} |", mark(weight(rule, profile)));
        }
        page.push('\n');
    }
    for rule in check::rules() {
        let _ = write!(page, "\n{}", check::page(rule));
    }
    page
}

/// Compares a page with its file, or writes it when `UPDATE` is set.
fn assert_fresh(path: &str, content: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, content).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == content,
        "{path} is stale; `UPDATE=1 cargo test --test suite docs` writes it"
    );
}

/// Replaces what stands between `<!-- NAME: begin … -->` and `<!-- NAME: end -->`.
fn with_section(text: &str, name: &str, section: &str) -> String {
    let begin = text.find(&format!("<!-- {name}: begin")).unwrap();
    let start = begin + text[begin..].find("-->\n").unwrap() + 4;
    let end = start + text[start..].find(&format!("<!-- {name}: end")).unwrap();
    format!("{}{section}{}", &text[..start], &text[end..])
}

fn rules_table() -> String {
    let mut table =
        String::from("\n| rule | fails when | openshift-preflight |\n| --- | --- | --- |\n");
    for rule in check::rules() {
        let _ = writeln!(
            table,
            "| [{0}](src/check/README.md#{0}) | {1} | {2} |",
            rule.id,
            rule.title,
            rule.aliases.join(", ")
        );
    }
    table.push('\n');
    table
}

#[test]
fn the_tables_of_the_readme_are_fresh() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(file).unwrap();
    let readme = with_section(&readme, "rules", &rules_table());
    let codes = format!("\n{}\n", ExitCode::markdown());
    assert_fresh("README.md", &with_section(&readme, "exit codes", &codes));
}

#[test]
fn the_readme_names_every_format_and_command() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(file).unwrap();
    for reporter in REPORTERS {
        assert!(
            readme.contains(&format!("| `{}` |", reporter.name())),
            "{}",
            reporter.name()
        );
    }
    for command in Cli::grammar("").get_subcommands() {
        assert!(
            readme.contains(&format!("`plimsoll {}", command.get_name())),
            "{}",
            command.get_name()
        );
    }
}

#[test]
fn the_rules_page_is_fresh() {
    assert_fresh("src/check/README.md", &rules_page());
}

#[test]
fn every_rule_has_an_anchor_that_its_table_row_links_to() {
    let page = rules_page();
    for rule in check::rules() {
        assert!(page.contains(&format!("\n## {}\n", rule.id)), "{}", rule.id);
        assert!(page.contains(&format!("](#{})", rule.id)), "{}", rule.id);
    }
}
