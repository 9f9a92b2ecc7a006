//! RPM: NEVRA and EVR order, header blobs, and database readers (sqlite, ndb, Berkeley DB) over
//! bytes. Pure: no file is opened here; the caller hands over the database's bytes.
//!
//! The databases come out of images, so nothing in them is believed: every offset, count and chain
//! is checked, each page is used at most once, and what is decoded never takes more memory than a
//! fixed multiple of the bytes given. Writing, locking, the index tables and signature *verification*
//! are deliberately not here.

mod bdb;
mod bytes;
mod database;
mod decode;
mod header;
mod history;
mod ndb;
mod package;
mod prohibited;
mod signature;
mod sqlite;
#[cfg(test)]
mod tests;
mod wal;

pub use database::{Blob, DatabaseError, Fault, Format, MAX_FILES, MAX_PACKAGES, headers, read};
pub use header::HeaderError;
pub use history::{Installation, history};
pub use package::{FileEntry, FileState, Nevra, Package, Provide};
pub use prohibited::is_prohibited;
