//! The advisory database: one flat file with a version and a checksum, read where it lies in memory
//! without unpacking it into objects.
//!
//! Rows are grouped by package name and refer to tables by number. Fixed versions stand in rpm's
//! order, so that a package's version is looked up once and compared as a number from then on.
//! Updates go by [`Contents`]: read the file back, offer documents, write the file anew. The same
//! documents give the same bytes, in whatever order they came. Fetching documents and replacing the
//! file on disk are not done here.

mod bytes;
mod check;
mod contents;
mod format;
mod origin;
mod pool;
mod reader;
mod unpack;
mod vex;
mod writer;

#[cfg(test)]
mod tests;

pub use contents::{BackInTime, Change, Contents, Document, VulnerabilityDocument};
pub use format::FORMAT;
pub use origin::{Coverage, Origin, Second, Verified};
pub use reader::{Counts, Database, DatabaseError, Stored};
pub use vex::StoredVulnerability;
pub use writer::TooMany;

pub(in crate::advisory) use reader::RowRef;
pub(in crate::advisory) use vex::StatementRef;
