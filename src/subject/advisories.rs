//! What the advisory database says of an image.

use jiff::Timestamp;

use crate::advisory::{
    Severity,
    grade::{AsOf, Health},
    matching::Matched,
};

/// The image against the advisories.
#[derive(Debug, Clone)]
pub struct AdvisoryFacts {
    /// which advisories are missing, and what was looked at
    pub matched: Matched,
    /// the grade, or why there is none
    pub health: Health,
    /// the least severity that the image fails by
    pub fails_from: Severity,
    /// the time that was asked for
    pub as_of: AsOf,
    /// the time that the data is of
    pub data: Timestamp,
    /// how many advisories there are: a database is as complete as the files it was made from
    pub advisories: usize,
    /// where the data comes from
    pub source: String,
}
