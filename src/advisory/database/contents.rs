//! What a database holds, as values: this is what updates change.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Origin, pool::Pool};
use crate::advisory::{Advisory, AdvisoryId, CveId, EndOfLife, Vulnerability};

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

/// What is known of one vulnerability's document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VulnerabilityDocument {
    /// when this version was written; for a deleted one, when it was deleted
    pub revised: Timestamp,
    /// SHA-256 of its JSON; zeros for a deleted one
    pub sha256: [u8; 32],
    /// what it says; `None` when it was deleted
    pub vulnerability: Option<Vulnerability>,
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
    pub(super) vulnerabilities: BTreeMap<CveId, VulnerabilityDocument>,
    pub(super) repositories: BTreeMap<String, BTreeSet<String>>,
    pub(super) ends: BTreeSet<EndOfLife>,
    pub(super) pool: Pool,
}

impl Contents {
    /// Offers one document. A version older than the one held, or than its deletion, is not taken.
    pub fn offer(&mut self, advisory: Advisory, sha256: [u8; 32]) -> Change {
        let revised = seconds(advisory.revised);
        let held = self.documents.get(&advisory.id);
        let held = held.map(|it| (it.revised, it.sha256, it.advisory.is_none()));
        let change = offered(held, revised, sha256);
        if matches!(change, Change::Older | Change::Unchanged) {
            return change;
        }
        let id = advisory.id.clone();
        let mut rows = advisory.rows;
        for row in &mut rows {
            self.pool.share(row);
        }
        rows.shrink_to_fit();
        let advisory = Advisory {
            rows,
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

    /// Offers the document of one vulnerability, by the same rule.
    pub fn offer_vulnerability(&mut self, of: Vulnerability, sha256: [u8; 32]) -> Change {
        let revised = seconds(of.revised);
        let held = self.vulnerabilities.get(&of.id);
        let held = held.map(|it| (it.revised, it.sha256, it.vulnerability.is_none()));
        let change = offered(held, revised, sha256);
        if matches!(change, Change::Older | Change::Unchanged) {
            return change;
        }
        let id = of.id.clone();
        let vulnerability = Some(Vulnerability {
            revised,
            published: seconds(of.published),
            ..of
        });
        let document = VulnerabilityDocument {
            revised,
            sha256,
            vulnerability,
        };
        self.vulnerabilities.insert(id, document);
        change
    }

    /// Marks the document of one vulnerability as deleted at a time.
    pub fn delete_vulnerability(&mut self, id: CveId, at: Timestamp) -> Change {
        let revised = seconds(at);
        let change = match self.vulnerabilities.get(&id) {
            Some(held) if held.revised > revised => return Change::Older,
            Some(held) if held.vulnerability.is_none() => return Change::Unchanged,
            _ => Change::Deleted,
        };
        let gone = VulnerabilityDocument {
            revised,
            sha256: [0; 32],
            vulnerability: None,
        };
        self.vulnerabilities.insert(id, gone);
        change
    }

    /// When the version that is held of a vulnerability's document was written or deleted.
    pub fn revised_vulnerability(&self, id: &CveId) -> Option<Timestamp> {
        Some(self.vulnerabilities.get(id)?.revised)
    }

    /// The documents of vulnerabilities, deleted ones included.
    pub fn vulnerabilities(&self) -> impl Iterator<Item = (&CveId, &VulnerabilityDocument)> {
        self.vulnerabilities.iter()
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

/// What comes of a document by what is held of it: its time, its hash, whether it was deleted.
fn offered(
    held: Option<(Timestamp, [u8; 32], bool)>,
    revised: Timestamp,
    sha256: [u8; 32],
) -> Change {
    match held {
        None => Change::Added,
        Some((at, _, _)) if at > revised => Change::Older,
        Some((at, _, true)) if at >= revised => Change::Older,
        Some((_, known, _)) if known == sha256 => Change::Unchanged,
        Some(_) => Change::Replaced,
    }
}

/// The file keeps whole seconds, so everything does: what is read back is what was given.
fn seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
