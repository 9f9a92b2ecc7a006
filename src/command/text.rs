//! Commands that print a text: rule pages and schemas.

use std::sync::LazyLock;

use crate::{
    check,
    config::{self, cli::SchemaOf},
    error::Error,
    report::{self, REPORTERS},
};

/// Ids of all rules.
pub(super) static RULE_IDS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| check::rules().map(|rule| rule.id).collect());

/// Names of all formats.
pub(super) static FORMATS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| REPORTERS.iter().map(|reporter| reporter.name()).collect());

/// Pages of the rules that a name stands for; the list without a name.
pub(super) fn explain(name: Option<&str>) -> Result<Vec<u8>, Error> {
    let Some(name) = name else {
        return Ok(check::list().into_bytes());
    };
    let rules = check::resolve(name).map_err(|error| Error::Usage {
        what: error.to_string(),
        hint: None,
    })?;
    let pages: Vec<String> = rules.into_iter().map(check::page).collect();
    Ok(pages.join("\n").into_bytes())
}

/// A JSON Schema.
pub(super) fn schema(of: SchemaOf) -> Vec<u8> {
    let schema = match of {
        SchemaOf::Config => config::schema().to_value(),
        SchemaOf::Report => report::schema(),
    };
    let mut text = format!("{schema:#}").into_bytes();
    text.push(b'\n');
    text
}
