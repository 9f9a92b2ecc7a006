//! What a database holds, as values: this is what updates change.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Origin;
use crate::advisory::{Advisory, AdvisoryId, EndOfLife};

/// What is known of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// when this version was written; for a deleted one, when it was deleted
    pub revised: Timestamp,
    /// SHA-256 of its JSON; zeros for a deleted one
    pub sha256: [u8; 32],
    /// what it says; `None` when it was deleted, so that an older copy does not bring it back
    pub advisory: Option<Advisory>,
}

/// What came of a document that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// it was not there
    Added,
    /// it was there in an older version
    Replaced,
    /// it was there, the same
    Unchanged,
    /// what is there is newer, and stays
    Older,
    /// it was there and is gone
    Deleted,
}

/// Data that is older than what is held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the data given is of {given}, older than what is held, of {held}; the database never goes back in time"
)]
pub struct BackInTime {
    /// date of what is held
    pub held: Timestamp,
    /// date of what was given
    pub given: Timestamp,
}

/// Everything a database holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    pub(super) source: String,
    pub(super) as_of: Timestamp,
    pub(super) origin: Origin,
    pub(super) documents: BTreeMap<AdvisoryId, Document>,
    pub(super) repositories: BTreeMap<String, BTreeSet<String>>,
    pub(super) ends: BTreeSet<EndOfLife>,
}

impl Contents {
    /// Offers one document. A version older than the one held, or than its deletion, is not taken.
    pub fn offer(&mut self, advisory: Advisory, sha256: [u8; 32]) -> Change {
        let revised = seconds(advisory.revised);
        let change = match self.documents.get(&advisory.id) {
            None => Change::Added,
            Some(held) if held.revised > revised => return Change::Older,
            Some(Document {
                advisory: None,
                revised: at,
                ..
            }) if *at >= revised => return Change::Older,
            Some(held) if held.sha256 == sha256 => return Change::Unchanged,
            Some(_) => Change::Replaced,
        };
        let id = advisory.id.clone();
        let advisory = Advisory {
            revised,
            released: seconds(advisory.released),
            ..advisory
        };
        let document = Document {
            revised,
            sha256,
            advisory: Some(advisory),
        };
        self.documents.insert(id, document);
        change
    }

    /// Marks a document as deleted at a time. A version written later than that stays.
    pub fn delete(&mut self, id: AdvisoryId, at: Timestamp) -> Change {
        let at = seconds(at);
        let change = match self.documents.get(&id) {
            Some(held) if held.revised > at => return Change::Older,
            Some(Document { advisory: None, .. }) => return Change::Unchanged,
            _ => Change::Deleted,
        };
        let gone = Document {
            revised: at,
            sha256: [0; 32],
            advisory: None,
        };
        self.documents.insert(id, gone);
        change
    }

    /// Says what date the data is now of and where it comes from. It cannot become older, unless it is
    /// some documents alone: their date says nothing of what else there is.
    pub fn advance(&mut self, to: Timestamp, source: &str) -> Result<(), BackInTime> {
        let to = seconds(to);
        if to < self.as_of && self.origin.coverage.grades() {
            return Err(BackInTime {
                held: self.as_of,
                given: to,
            });
        }
        self.as_of = to;
        source.clone_into(&mut self.source);
        Ok(())
    }

    /// Replaces the map of repositories to CPEs.
    pub fn set_repositories(&mut self, map: BTreeMap<String, BTreeSet<String>>) {
        self.repositories = map;
    }

    /// Replaces the life-cycle dates.
    pub fn set_ends_of_life(&mut self, ends: impl IntoIterator<Item = EndOfLife>) {
        self.ends = ends.into_iter().collect();
    }

    /// Where the data comes from in full, and how much of the feed it is.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The same, to change.
    pub fn origin_mut(&mut self) -> &mut Origin {
        &mut self.origin
    }

    /// When the version that is held of a document was written, or the document deleted.
    pub fn revised(&self, id: &AdvisoryId) -> Option<Timestamp> {
        self.documents.get(id).map(|document| document.revised)
    }

    /// The documents, deleted ones included.
    pub fn documents(&self) -> impl Iterator<Item = (&AdvisoryId, &Document)> {
        self.documents.iter()
    }

    /// Where the data comes from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The day and second the data is of.
    pub fn as_of(&self) -> Timestamp {
        self.as_of
    }
}

/// The file keeps whole seconds, so everything does: what is read back is what was given.
fn seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
