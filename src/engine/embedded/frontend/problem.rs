//! A refusal whose place is not known yet.

use super::{Refusal, RefusalKind};
use crate::finding::Location;

/// What keeps an instruction from being built.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    message: String,
    remedy: String,
    kind: RefusalKind,
}

impl Problem {
    /// `BuildKit` does not build it either.
    pub(super) fn fault(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            remedy: remedy.into(),
            kind: RefusalKind::Fault,
        }
    }

    /// This engine does not do it.
    pub(super) fn unsupported(what: impl std::fmt::Display) -> Self {
        Self {
            message: format!("{what} is not supported by the embedded engine"),
            remedy: "take it away, or build with BuildKit: --engine docker".to_owned(),
            kind: RefusalKind::Unsupported,
        }
    }

    /// An image could not be looked up.
    pub(super) fn image(message: String, remedy: Option<String>) -> Self {
        Self {
            message,
            remedy: remedy.unwrap_or_else(|| "check the image's name and the registry".to_owned()),
            kind: RefusalKind::Image,
        }
    }

    pub(super) fn at(self, location: &Location) -> Refusal {
        Refusal {
            message: self.message,
            remedy: self.remedy,
            location: Some(location.clone()),
            kind: self.kind,
        }
    }
}

impl From<String> for Problem {
    /// A fault of a word.
    fn from(message: String) -> Self {
        Self::fault(message, "mend the word, or escape it")
    }
}
