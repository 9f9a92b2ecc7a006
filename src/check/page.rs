//! Rules by name, and their pages as `explain` prints them.

use std::fmt::Write as _;

use super::rules;
use crate::rule::Rule;

/// A name that is no rule's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no rule `{name}`{}", match .suggestion {
    Some(other) => format!(", did you mean `{other}`?"),
    None => "; `plimsoll explain` lists them".to_owned(),
})]
pub struct UnknownRule {
    /// what was asked for
    pub name: String,
    /// the nearest id or alias, when one is near
    pub suggestion: Option<&'static str>,
}

/// The rules that an id or one of openshift-preflight's names stands for (`HasRequiredLabel` stands
/// for seven), whatever its case and whether `_` or `-` parts the words. Empty when there is none.
pub fn find(name: &str) -> Vec<&'static Rule> {
    let name = folded(name);
    rules()
        .filter(|rule| names(rule).any(|known| folded(known) == name))
        .collect()
}

/// As [`find`], with an error that suggests the nearest name.
pub fn resolve(name: &str) -> Result<Vec<&'static Rule>, UnknownRule> {
    let found = find(name);
    if found.is_empty() {
        return Err(UnknownRule {
            name: name.to_owned(),
            suggestion: nearest(name),
        });
    }
    Ok(found)
}

fn names(rule: &'static Rule) -> impl Iterator<Item = &'static str> {
    std::iter::once(rule.id).chain(rule.aliases.iter().copied())
}

fn folded(name: &str) -> String {
    name.trim()
        .chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

fn nearest(name: &str) -> Option<&'static str> {
    // Likeness from 0 to 1; below this, suggestions are noise.
    const NEAR: f64 = 0.7;
    // Longer than any name: what was asked for may come from a hostile file.
    const LONGEST: usize = 100;
    let name = folded(name);
    if name.len() > LONGEST {
        return None;
    }
    rules()
        .flat_map(names)
        .map(|known| {
            (
                strsim::normalized_damerau_levenshtein(&name, &folded(known)),
                known,
            )
        })
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

/// The page of a rule as Markdown, headed by its id, for a terminal or the rules page.
pub fn page(rule: &Rule) -> String {
    let mut page = format!("## {}\n\n{}.\n", rule.id, sentence(rule.title));
    for section in rule.sections() {
        let _ = write!(page, "\n### {}\n\n{}\n", section.heading, section.text);
    }
    page
}

fn sentence(title: &str) -> String {
    let mut chars = title.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

/// One line a rule: id and title, in columns.
pub fn list() -> String {
    let width = rules().map(|rule| rule.id.len()).max().unwrap_or_default();
    rules().fold(String::new(), |mut text, rule| {
        let _ = writeln!(text, "{:width$}  {}", rule.id, rule.title);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(name: &str) -> Vec<&'static str> {
        find(name).iter().map(|rule| rule.id).collect()
    }

    #[test]
    fn rules_are_found_by_id_and_by_preflight_s_name_in_any_case() {
        assert_eq!(ids("has_licenses"), ["has_licenses"]);
        assert_eq!(ids("HAS-LICENSES"), ["has_licenses"]);
        assert_eq!(ids("HasLicense"), ["has_licenses"]);
        assert_eq!(ids("basedonubi"), ["is_rhel"]);
        assert_eq!(
            ids("HasRequiredLabel"),
            [
                "vendor_label_exists",
                "release_label_exists",
                "version_label_exists",
                "name_label_exists",
                "summary_label_exists",
                "description_label_exists",
                "maintainer_label_exists"
            ]
        );
        assert!(ids("nonsense").is_empty());
    }

    #[test]
    fn all_of_preflight_s_container_checks_are_aliases() {
        for name in [
            "HasLicense",
            "HasUniqueTag",
            "LayerCountAcceptable",
            "HasNoProhibitedPackages",
            "HasRequiredLabel",
            "HasNoProhibitedLabels",
            "RunAsNonRoot",
            "HasModifiedFiles",
            "BasedOnUbi",
            "HasProhibitedContainerName",
        ] {
            assert!(!find(name).is_empty(), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let said = |name: &str| resolve(name).unwrap_err().to_string();
        assert_eq!(
            said("has_licences"),
            "there is no rule `has_licences`, did you mean `has_licenses`?"
        );
        assert_eq!(
            said("RunAsNoRoot"),
            "there is no rule `RunAsNoRoot`, did you mean `RunAsNonRoot`?"
        );
        assert_eq!(
            said("xyzzy"),
            "there is no rule `xyzzy`; `plimsoll explain` lists them"
        );
        assert!(resolve(&"has_licenses".repeat(100_000)).is_err());
    }

    #[test]
    fn a_page_has_its_four_sections_and_the_list_has_every_rule() {
        for rule in rules() {
            let page = page(rule);
            let headings: Vec<_> = page.lines().filter(|l| l.starts_with("### ")).collect();
            assert_eq!(
                headings,
                [
                    "### What it requires",
                    "### Why",
                    "### How to fix",
                    "### References"
                ],
                "{}",
                rule.id
            );
            assert!(
                rule.sections().iter().all(|s| !s.text.is_empty()),
                "{}",
                rule.id
            );
            assert!(
                list()
                    .lines()
                    .any(|l| l.starts_with(rule.id) && l.ends_with(rule.title))
            );
        }
    }
}
