//! Tests of the configuration as a whole.

mod action;
mod cli;
mod environment;
mod file;
mod hostile;
mod merge;

use super::{Faults, Settings, Words, decode};

/// Stand-ins for what other modules define.
pub(super) const WORDS: Words = Words {
    rule: |name| match name {
        "has_licenses" | "HasLicense" => vec!["has_licenses"],
        "good_tags" | "HasUniqueTag" => vec!["good_tags"],
        _ => Vec::new(),
    },
    rules: &["has_licenses", "good_tags"],
    formats: &["table", "json", "sarif", "junit"],
};

pub(super) const TODAY: jiff::civil::Date = jiff::civil::date(2026, 11, 22);

pub(super) fn read(text: &str) -> (Settings, Faults) {
    decode("plimsoll.yaml", text.as_bytes(), &WORDS, TODAY)
}

/// The settings of a text without faults.
pub(super) fn good(text: &str) -> Settings {
    let (settings, faults) = read(text);
    assert!(faults.list().is_empty(), "{}", faults.render(false));
    settings
}

/// The faults of a text, rendered.
pub(super) fn bad(text: &str) -> String {
    let (_, faults) = read(text);
    assert!(!faults.list().is_empty(), "no fault in {text:?}");
    faults.render(false)
}
