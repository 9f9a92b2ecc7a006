//! The seam of the readers: which format it is, the header blobs in it, the packages in them.

use std::{borrow::Cow, fmt};

use super::{bdb, header::HeaderError, ndb, package::Package, sqlite};

/// Packages one database may have. The largest real images have some 2,000.
pub const MAX_PACKAGES: usize = 50_000;
/// Files and provides all packages of one database may have together. The largest real images have
/// some 300,000.
pub const MAX_FILES: usize = 4_000_000;

/// How a database is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// `rpmdb.sqlite`: rpm 4.16 and later, RHEL 9 and later
    Sqlite,
    /// `Packages.db`: SUSE
    Ndb,
    /// `Packages`, a Berkeley DB hash: RHEL 8 and before
    Bdb,
}

impl Format {
    /// Tells the format by the first bytes; `None` when it is no rpm database.
    pub fn detect(bytes: &[u8]) -> Option<Self> {
        match bytes {
            _ if bytes.starts_with(sqlite::MAGIC) => Some(Self::Sqlite),
            _ if bytes.starts_with(ndb::MAGIC) => Some(Self::Ndb),
            _ if bdb::ByteOrder::of(bytes).is_some() => Some(Self::Bdb),
            _ => None,
        }
    }

    /// `sqlite`, `ndb` or `bdb`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Ndb => "ndb",
            Self::Bdb => "bdb",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wrong with the container of the headers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// the file is shorter than its fixed first part
    #[error("the file ends after {0} bytes, inside its own header")]
    Short(usize),
    /// a value of the file's header that the format does not allow
    #[error("{field} is {value}, which is not allowed")]
    Field {
        /// which
        field: &'static str,
        /// as found
        value: u64,
    },
    /// a page that is not in the file
    #[error("page {0} lies beyond the end of the file")]
    NoPage(u32),
    /// a page met a second time: the file has a cycle or pages shared by two owners
    #[error("page {0} is used twice")]
    PageTwice(u32),
    /// a page of another type than its place calls for
    #[error("page {page} has type {kind}, which does not belong there")]
    PageKind {
        /// which
        page: u32,
        /// type byte
        kind: u8,
    },
    /// a page whose content does not fit in it or contradicts itself
    #[error("page {page} is damaged: {what}")]
    Page {
        /// which
        page: u32,
        /// which rule it breaks
        what: &'static str,
    },
    /// no table `Packages`
    #[error("it has no table Packages")]
    NoTable,
    /// no tables of dnf's history
    #[error("it has none of the tables of dnf's history")]
    NoHistory,
    /// an ndb slot or its blob breaks a rule
    #[error("package {package} is damaged: {what}")]
    Slot {
        /// its index
        package: u32,
        /// which rule it breaks
        what: &'static str,
    },
    /// more packages than any image has
    #[error("it has more than {MAX_PACKAGES} packages")]
    Packages,
    /// more files than any image has
    #[error("its packages have more than {MAX_FILES} files and provides")]
    Files,
}

/// Why a database cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// neither SQLite, ndb nor Berkeley DB
    #[error(
        "not an rpm database: {0} bytes that begin as neither SQLite, ndb nor a Berkeley DB hash"
    )]
    Unknown(usize),
    /// the container is damaged or hostile
    #[error("the {format} rpm database cannot be read: {fault}")]
    Damaged {
        /// which reader
        format: Format,
        /// what is wrong
        fault: Fault,
    },
    /// a header in it is
    #[error("package {instance} of the {format} rpm database cannot be read: {source}")]
    Header {
        /// which reader
        format: Format,
        /// rpm's number of the package in this database
        instance: u32,
        /// what is wrong
        source: HeaderError,
    },
}

/// One header as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob<'a> {
    /// rpm's number of the package in this database
    pub instance: u32,
    /// index length, data length, index, data; what [`Package::parse`] reads
    pub bytes: Cow<'a, [u8]>,
}

/// All headers of a database in the order of their numbers, `gpg-pubkey` entries included. `wal` is
/// the content of the `-wal` file beside an SQLite database; its committed pages count.
pub fn headers<'a>(bytes: &'a [u8], wal: Option<&[u8]>) -> Result<Vec<Blob<'a>>, DatabaseError> {
    let format = Format::detect(bytes).ok_or(DatabaseError::Unknown(bytes.len()))?;
    let blobs = match format {
        Format::Sqlite => sqlite::headers(bytes, wal.unwrap_or_default()),
        Format::Ndb => ndb::headers(bytes),
        Format::Bdb => bdb::headers(bytes),
    };
    let mut blobs = blobs.map_err(|fault| DatabaseError::Damaged { format, fault })?;
    blobs.sort_by_key(|blob| blob.instance);
    Ok(blobs)
}

/// All packages of a database; see [`headers`].
pub fn read(bytes: &[u8], wal: Option<&[u8]>) -> Result<Vec<Package>, DatabaseError> {
    let blobs = headers(bytes, wal)?;
    let format = Format::detect(bytes).ok_or(DatabaseError::Unknown(bytes.len()))?;
    let mut left = MAX_FILES;
    let mut packages = Vec::with_capacity(blobs.len());
    for blob in blobs {
        let package = Package::parse(&blob.bytes).map_err(|source| DatabaseError::Header {
            format,
            instance: blob.instance,
            source,
        })?;
        left = left
            .checked_sub(package.files.len() + package.provides.len())
            .ok_or(DatabaseError::Damaged {
                format,
                fault: Fault::Files,
            })?;
        packages.push(package);
    }
    Ok(packages)
}

/// Adds a blob unless there are too many.
pub(super) fn push<'a>(
    blobs: &mut Vec<Blob<'a>>,
    instance: u32,
    bytes: impl Into<Cow<'a, [u8]>>,
) -> Result<(), Fault> {
    if blobs.len() >= MAX_PACKAGES {
        return Err(Fault::Packages);
    }
    let bytes = bytes.into();
    blobs.push(Blob { instance, bytes });
    Ok(())
}
