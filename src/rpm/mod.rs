//! RPM: NEVRA and EVR order, header blobs, and database readers (sqlite, ndb, Berkeley DB) over
//! bytes. Pure: no file is opened here; the caller hands over the database's bytes.

mod package;

pub use package::{FileEntry, FileState, Nevra, Package};
