//! Red Hat's advisories: what they are, which of them an image lacks, and the grade that follows.
//!
//! Pure: documents, databases and package lists come in as bytes and values, and so does the day.
//! Fetching, caching and knowing what an image holds are not done here.

mod cpe;
pub mod csaf;
pub mod database;
pub mod feed;
pub mod grade;
mod lifecycle;
pub mod matching;
mod model;
pub mod signature;
mod vulnerability;

pub use cpe::Cpe;
pub use lifecycle::{EndOfLife, NotALifeCycle, ends_of_life, known_ends_of_life};
pub use model::{
    Advisory, AdvisoryId, AdvisoryKind, ArchSet, FixedEvr, NotAnAdvisoryId, Row, Severity,
};
pub use vulnerability::{CveId, Named, NotACveId, Stance, Statement, Vulnerability};
