//! Where a database's data comes from, how much of the feed it is, and what was verified of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::advisory::signature::Checked;

/// How much of the feed is there. An image that lacks nothing of a part may lack something of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coverage {
    /// some documents, nobody knows how many there are besides
    #[default]
    Partial,
    /// the user says that these are all that count
    Declared,
    /// all that the feed had at the time of the data
    Whole,
}

impl Coverage {
    const ALL: [Self; 3] = [Self::Partial, Self::Declared, Self::Whole];

    pub(super) fn number(self) -> u32 {
        match self {
            Self::Partial => 0,
            Self::Declared => 1,
            Self::Whole => 2,
        }
    }

    /// A grade can be told from it.
    pub fn grades(self) -> bool {
        self != Self::Partial
    }
}

/// What was found of an archive or document to check it by. All of it came over a verified TLS
/// connection, or from where the user said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Verified {
    /// documents and archives whose SHA-256 is the one that the source names
    pub sha256: u64,
    /// those for which the source names none
    pub unnamed: u64,
    /// those with a signature that holds
    #[serde(default)]
    pub signed: u64,
    /// those whose signature was not checked, for want of the key
    #[serde(default)]
    pub unchecked: u64,
}

/// Where data comes from. It is kept as JSON text in the file, so that new facts need no new
/// format; the coverage is kept as a number besides.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Origin {
    /// how much of the feed it is
    #[serde(default)]
    pub coverage: Coverage,
    /// address of the feed; `None` for files
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feed: Option<String>,
    /// the whole archive that was last taken over
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    /// every change up to this time is taken over
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Timestamp>,
    /// tags of the feed's small files as they were last taken over
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub etags: BTreeMap<String, String>,
    /// what was checked
    #[serde(default)]
    pub verified: Verified,
    /// fingerprints of the keys whose signatures hold
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub signers: BTreeSet<String>,
    /// keys that made the signatures that were not checked
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unknown_signers: BTreeSet<String>,
    /// documents that could not be read, by path, with the reason
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unread: BTreeMap<String, String>,
    /// the same of the documents of single vulnerabilities, when there are any
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vex: Option<Box<Second>>,
}

/// The second source: documents of single vulnerabilities.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Second {
    /// name of an archive or folder, or an address
    pub source: String,
    /// the day and second the data is of
    pub as_of: Timestamp,
    /// the rest, as of the advisories
    pub origin: Origin,
}

/// Most keys that are kept in mind.
const MAX_SIGNERS: usize = 16;

impl Origin {
    /// Counts a file that was taken over: whether its SHA-256 is the one that the source names, and
    /// what its signature says.
    pub fn verified(&mut self, sum: bool, signature: Option<Checked>) {
        if sum {
            self.verified.sha256 += 1;
        } else {
            self.verified.unnamed += 1;
        }
        let (count, keys, by) = match signature {
            None => return,
            Some(Checked::Good(by)) => (
                &mut self.verified.signed,
                &mut self.signers,
                BTreeSet::from([by]),
            ),
            Some(Checked::Unknown(by)) => {
                (&mut self.verified.unchecked, &mut self.unknown_signers, by)
            }
        };
        *count += 1;
        keys.extend(by);
        while keys.len() > MAX_SIGNERS {
            keys.pop_last();
        }
    }

    pub(super) fn to_text(&self) -> String {
        // strings, numbers and times only: nothing of it can fail
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn of_text(text: &str, coverage: u32) -> Option<Self> {
        let known = |one: &Coverage| one.number() == coverage;
        let coverage = Coverage::ALL.into_iter().find(known)?;
        let origin: Self = serde_json::from_str(text).ok()?;
        Some(Self { coverage, ..origin })
    }
}
