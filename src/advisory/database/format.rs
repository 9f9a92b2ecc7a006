//! The file's outline: header, sections, records, all little-endian.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..8 | magic |
//! | 8..12 | format version |
//! | 12..16 | number of sections |
//! | 16..24 | length of the file |
//! | 24..28 | CRC-32 of the header without these bytes |
//! | 28..32 | zero |
//! | 32.. | per section: offset and length, 8 bytes each, CRC-32 and four zeros |
//!
//! Sections follow each other without a gap and the last one ends the file, so that every byte is
//! under one of the checksums. They are there to notice damage. Who makes a file on purpose can make
//! its checksums too, and a cryptographic one would take most of the time of a scan.
//!
//! Strings are (offset, length) pairs of 4 bytes each into one pool of UTF-8 text.

/// First bytes of every database.
pub(super) const MAGIC: [u8; 8] = *b"plimsadv";

/// Version of the format that is written. Readers refuse all others.
pub const FORMAT: u32 = 3;

/// Where the header's checksum stands.
pub(super) const CHECKSUM: std::ops::Range<usize> = 24..28;

/// Where the table of sections begins.
pub(super) const TABLE: usize = 32;

/// Bytes of a section in that table.
pub(super) const PLACE: usize = 24;

/// Where the sections begin.
pub(super) const HEADER: usize = TABLE + SECTIONS * PLACE;

/// What a module's number is when there is none; others count from 1.
pub(super) const NO_MODULE: u16 = 0;

/// What stands instead of an advisory's number for a deleted document.
pub(super) const DELETED: u32 = u32::MAX;

/// Bytes of a string reference.
pub(super) const TEXT: usize = 8;
/// Data date, source, origin, coverage.
pub(super) const META: usize = 8 + TEXT + TEXT + 4;
/// Name and its first row; one more record ends the last name's rows.
pub(super) const NAME: usize = TEXT + 4;
/// EVR, advisory, CPE, module, architectures.
pub(super) const ROW: usize = 4 + 4 + 2 + 2 + 2;
/// Id, title, ship time, first CVE, severity; one more record ends the last one's CVEs.
pub(super) const ADVISORY: usize = TEXT + TEXT + 8 + 4 + 4;
/// Repository and its first CPE; one more record ends the last one's.
pub(super) const REPOSITORY: usize = TEXT + 4;
/// CPE of a repository.
pub(super) const REPOSITORY_CPE: usize = 2;
/// Product, name, source, last day.
pub(super) const END: usize = TEXT + TEXT + TEXT + 4;
/// Id, time, SHA-256, advisory.
pub(super) const DOCUMENT: usize = TEXT + 8 + 32 + 4;

/// Id, title, workaround, publication, revision, SHA-256, severity ([`DELETED`] for a deleted one).
pub(super) const VULNERABILITY: usize = TEXT * 3 + 8 + 8 + 32 + 4;
/// Last version it holds for ([`NO_VERSION`] for all), vulnerability, CPE, module, severity, kind of
/// package, stance, zero.
pub(super) const STATEMENT: usize = 4 + 4 + 2 + 2 + 4;

/// What stands instead of a version's number when there is none.
pub(super) const NO_VERSION: u32 = u32::MAX;

/// Sections in the order of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Meta,
    Strings,
    Names,
    Rows,
    Evrs,
    Cpes,
    Modules,
    Advisories,
    Cves,
    Repositories,
    RepositoryCpes,
    Ends,
    Documents,
    ConcernedNames,
    Statements,
    Vulnerabilities,
}

/// Number of sections.
pub(super) const SECTIONS: usize = 16;

impl Section {
    pub(super) const ALL: [Self; SECTIONS] = [
        Self::Meta,
        Self::Strings,
        Self::Names,
        Self::Rows,
        Self::Evrs,
        Self::Cpes,
        Self::Modules,
        Self::Advisories,
        Self::Cves,
        Self::Repositories,
        Self::RepositoryCpes,
        Self::Ends,
        Self::Documents,
        Self::ConcernedNames,
        Self::Statements,
        Self::Vulnerabilities,
    ];

    /// For messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Strings => "strings",
            Self::Names => "names",
            Self::Rows => "rows",
            Self::Evrs => "versions",
            Self::Cpes => "products",
            Self::Modules => "modules",
            Self::Advisories => "advisories",
            Self::Cves => "vulnerabilities",
            Self::Repositories => "repositories",
            Self::RepositoryCpes => "products of repositories",
            Self::Ends => "life cycle",
            Self::Documents => "documents",
            Self::ConcernedNames => "names of statements",
            Self::Statements => "statements",
            Self::Vulnerabilities => "documents of vulnerabilities",
        }
    }
}
