//! Pages written from the code are fresh. `UPDATE=1 cargo test --test suite docs` writes them.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test reads the project's own files and may panic"
)]

use std::{fmt::Write as _, fs, path::Path};

use plimsoll::{
    check,
    policy::{Profile, Weight, weight},
};

const INTRODUCTION: &str = "# The rules

<!-- Written from the rules by `UPDATE=1 cargo test --test suite docs`; edit the doc comments instead. -->

What Plimsoll asks of an image: first the thirteen assessments of the hosted service, then those of
today's certification policy and its own. `plimsoll explain RULE` prints a page of this file.

The columns are the profiles; ● blocks, ○ warns, – is not asked for.
";

fn mark(weight: Weight) -> &'static str {
    match weight {
        Weight::Block => "●",
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
