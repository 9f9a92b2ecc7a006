//! What makes a text no Dockerfile, with the place.

use std::ops::Range;

use super::{lines::Swallowed, source::Source};
use crate::finding::{Finding, Lint, LintLevel, Location};

/// A place where a text is no Dockerfile: building it would fail, or would do something else than
/// the text says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{}: {message}", location.file, location.line)]
pub struct ParseFault {
    /// where
    pub location: Location,
    /// what is wrong
    pub message: String,
    /// one sentence on how to mend it
    pub remedy: String,
    /// `dockerfile/parse-error` or `dockerfile/dangling-continuation`
    pub rule: &'static str,
    /// `BuildKit` builds it all the same
    pub tolerated: bool,
}

impl ParseFault {
    pub(super) fn at(
        source: &Source,
        span: Range<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            location: source.location(&span),
            message: message.into(),
            remedy: remedy.into(),
            rule: "dockerfile/parse-error",
            tolerated: false,
        }
    }

    /// A continuation that swallows the next instruction; told on the line that ends in it.
    pub(super) fn dangling(source: &Source, before: &str, swallowed: &Swallowed) -> Self {
        let keyword = before.split_whitespace().next().unwrap_or("");
        Self {
            location: source.line_location(swallowed.after),
            message: dangling_message(keyword, swallowed),
            remedy: dangling_remedy(swallowed),
            rule: "dockerfile/dangling-continuation",
            tolerated: false,
        }
    }

    /// As a lint of level error.
    pub fn lint(&self) -> Lint {
        let title = match self.rule {
            "dockerfile/parse-error" => "the Dockerfile cannot be parsed",
            _ => "a dangling line continuation swallows the next instruction",
        };
        Lint {
            rule: self.rule.to_owned(),
            title: title.to_owned(),
            level: LintLevel::Error,
            help_uri: None,
            finding: Finding::new(self.message.clone(), self.message.clone())
                .at(Some(self.location.clone()))
                .remedy(self.remedy.clone()),
        }
    }
}

pub(super) fn dangling_message(keyword: &str, swallowed: &Swallowed) -> String {
    format!(
        "the line continuation at the end of line {} makes the {} of line {} a part of {keyword}",
        swallowed.after + 1,
        swallowed.keyword,
        swallowed.line + 1,
    )
}

pub(super) fn dangling_remedy(swallowed: &Swallowed) -> String {
    format!(
        "take the continuation character off the end of line {}",
        swallowed.after + 1
    )
}
