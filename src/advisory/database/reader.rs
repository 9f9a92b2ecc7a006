//! Reads the file in place. Everything is checked when it is opened, so that looking things up
//! cannot fail.

use jiff::Timestamp;

use super::{
    Origin,
    bytes::{array, record, time, u16_at, u32_at},
    check,
    format::{
        ADVISORY, DOCUMENT, END, META, NAME, NO_MODULE, REPOSITORY, REPOSITORY_CPE, ROW, SECTIONS,
        STATEMENT, Section, TEXT, VULNERABILITY,
    },
};
use crate::advisory::{
    AdvisoryId, AdvisoryKind, ArchSet, EndOfLife, FixedEvr, Severity, model::cmp_evr,
};

/// An open database over the bytes of its file.
#[derive(Debug, Clone)]
pub struct Database<'a> {
    pub(super) strings: &'a str,
    pub(super) sections: [&'a [u8]; SECTIONS],
}

/// Why a file is no database that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// something else
    #[error("the file is no advisory database; make one with `plimsoll advisories update`")]
    NotADatabase,
    /// written by a newer version
    #[error(
        "the advisory database has format {found}, and this version reads up to {known}; update plimsoll, or make the database again with `plimsoll advisories update`"
    )]
    Newer {
        /// its format
        found: u32,
        /// the newest that is known
        known: u32,
    },
    /// written by an older version
    #[error(
        "the advisory database has format {found}, which this version no longer reads; make it again with `plimsoll advisories update`"
    )]
    Older {
        /// its format
        found: u32,
    },
    /// shorter or longer than it says
    #[error(
        "the advisory database has {actual} bytes, and its header says {expected}; it was cut off or added to, so make it again with `plimsoll advisories update`"
    )]
    Length {
        /// by its header
        expected: u64,
        /// the file's
        actual: u64,
    },
    /// a checksum is not that of its bytes
    #[error(
        "the advisory database is damaged: the checksum of its section `{section}` is not that of its bytes; make it again with `plimsoll advisories update`"
    )]
    Checksum {
        /// which one
        section: &'static str,
    },
    /// well-stored nonsense
    #[error("the advisory database is damaged: section `{section}`: {problem}")]
    Section {
        /// which one
        section: &'static str,
        /// what is wrong
        problem: &'static str,
    },
}

/// How much a database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// advisories
    pub advisories: usize,
    /// documents that were deleted at the source
    pub deleted: usize,
    /// names of packages
    pub names: usize,
    /// fixed packages
    pub rows: usize,
    /// vulnerabilities, once for each advisory
    pub cves: usize,
    /// repositories that are mapped to products
    pub repositories: usize,
    /// life-cycle dates
    pub ends_of_life: usize,
    /// documents of single vulnerabilities, deleted ones included
    pub vulnerability_documents: usize,
    /// what those say of packages
    pub statements: usize,
}

/// One fixed package; the numbers are good for the accessors of the same database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::advisory) struct RowRef {
    pub(in crate::advisory) evr: u32,
    pub(in crate::advisory) advisory: u32,
    pub(in crate::advisory) cpe: u16,
    /// 0 for none
    pub(in crate::advisory) module: u16,
    pub(in crate::advisory) arches: ArchSet,
}

/// One advisory of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<'a> {
    /// its number
    pub(in crate::advisory) number: u32,
    /// id
    pub id: &'a str,
    /// title without the kind in front
    pub title: &'a str,
    /// severity
    pub severity: Severity,
    /// when the fix was shipped
    pub released: Timestamp,
    /// the vulnerabilities it fixes
    pub cves: Vec<&'a str>,
}

impl Stored<'_> {
    /// What kind of erratum it is.
    pub fn kind(&self) -> AdvisoryKind {
        // ids are checked when the file is opened
        self.id
            .parse()
            .map_or(AdvisoryKind::Security, |id: AdvisoryId| id.kind())
    }
}

impl<'a> Database<'a> {
    /// Opens a file's bytes: length, checksum, and every reference in it are checked.
    pub fn open(file: &'a [u8]) -> Result<Self, DatabaseError> {
        check::open(file)
    }

    /// Where the data comes from, such as the name of an archive.
    pub fn source(&self) -> &'a str {
        self.text(record::<META>(self.section(Section::Meta), 0), 8)
    }

    /// What day and second the data is of.
    pub fn as_of(&self) -> Timestamp {
        time(record::<META>(self.section(Section::Meta), 0), 0)
    }

    /// Where the data comes from in full, and how much of the feed it is.
    pub fn origin(&self) -> Origin {
        let own = record::<META>(self.section(Section::Meta), 0);
        // checked when the file was opened; nothing is claimed for one that cannot be read
        Origin::of_text(self.text(own, 16), u32_at(own, 24)).unwrap_or_default()
    }

    /// How much it holds.
    pub fn counts(&self) -> Counts {
        let documents = self.len(Section::Documents, DOCUMENT);
        let advisories = self.len(Section::Advisories, ADVISORY) - 1;
        Counts {
            advisories,
            deleted: documents - advisories,
            names: self.len(Section::Names, NAME) - 1,
            rows: self.len(Section::Rows, ROW),
            cves: self.len(Section::Cves, TEXT),
            repositories: self.len(Section::Repositories, REPOSITORY) - 1,
            ends_of_life: self.len(Section::Ends, END),
            vulnerability_documents: self.len(Section::Vulnerabilities, VULNERABILITY),
            statements: self.len(Section::Statements, STATEMENT),
        }
    }

    /// Finds an advisory by its id, `RHSA-2024:0010`.
    pub fn advisory(&self, id: &str) -> Option<Stored<'a>> {
        let wanted: AdvisoryId = id.parse().ok()?;
        let count = self.counts().advisories;
        let below = |number: usize| {
            let id = self.text(
                record::<ADVISORY>(self.section(Section::Advisories), number),
                0,
            );
            id.parse::<AdvisoryId>().is_ok_and(|id| id < wanted)
        };
        let number = partition(count, below);
        let found =
            (number < count).then(|| self.stored(u32::try_from(number).unwrap_or(u32::MAX)))?;
        (found.id == id).then_some(found)
    }

    /// Every advisory.
    pub fn advisories(&self) -> impl Iterator<Item = Stored<'a>> + use<'a> {
        let this = self.clone();
        (0..self.counts().advisories)
            .map(move |number| this.stored(u32::try_from(number).unwrap_or(u32::MAX)))
    }

    pub(in crate::advisory) fn stored(&self, number: u32) -> Stored<'a> {
        let section = self.section(Section::Advisories);
        let own = record::<ADVISORY>(section, number as usize);
        let next = record::<ADVISORY>(section, number as usize + 1);
        let cves = u32_at(own, 24) as usize..u32_at(next, 24) as usize;
        let cve = |at| self.text(record::<TEXT>(self.section(Section::Cves), at), 0);
        Stored {
            number,
            id: self.text(own, 0),
            title: self.text(own, 8),
            severity: Severity::ALL
                .get(u32_at(own, 28) as usize)
                .copied()
                .unwrap_or(Severity::None),
            released: time(own, 16),
            cves: cves.map(cve).collect(),
        }
    }

    /// The fixed packages of a name.
    pub(in crate::advisory) fn rows_of(
        &self,
        name: &str,
    ) -> impl Iterator<Item = RowRef> + use<'a> {
        let names = self.section(Section::Names);
        let count = self.len(Section::Names, NAME) - 1;
        let at = partition(count, |at| self.text(record::<NAME>(names, at), 0) < name);
        let found = at < count && self.text(record::<NAME>(names, at), 0) == name;
        let rows = if found {
            u32_at(record::<NAME>(names, at), 8) as usize
                ..u32_at(record::<NAME>(names, at + 1), 8) as usize
        } else {
            0..0
        };
        let section = self.section(Section::Rows);
        rows.map(move |at| row(record::<ROW>(section, at)))
    }

    /// Every row with the number of its name.
    pub(super) fn all_rows(&self) -> impl Iterator<Item = (&'a str, RowRef)> + use<'a> {
        let this = self.clone();
        let names = self.section(Section::Names);
        (0..self.len(Section::Names, NAME) - 1).flat_map(move |at| {
            let own = record::<NAME>(names, at);
            let name = this.text(own, 0);
            let section = this.section(Section::Rows);
            let rows = u32_at(own, 8) as usize..u32_at(record::<NAME>(names, at + 1), 8) as usize;
            rows.map(move |at| (name, row(record::<ROW>(section, at))))
        })
    }

    /// The number of the first fixed version that is newer than this one; all from there on are.
    pub(in crate::advisory) fn first_newer(&self, installed: (u32, &str, &str)) -> u32 {
        let section = self.section(Section::Evrs);
        let not_newer = |at: usize| {
            let (epoch, version, release) = split_evr(self.text(record::<TEXT>(section, at), 0));
            cmp_evr((epoch, version, release), installed).is_le()
        };
        u32::try_from(partition(self.len(Section::Evrs, TEXT), not_newer)).unwrap_or(u32::MAX)
    }

    pub(in crate::advisory) fn evr(&self, number: u32) -> FixedEvr {
        let text = self.text(
            record::<TEXT>(self.section(Section::Evrs), number as usize),
            0,
        );
        let (epoch, version, release) = split_evr(text);
        FixedEvr {
            epoch,
            version: version.to_owned(),
            release: release.to_owned(),
        }
    }

    pub(in crate::advisory) fn cpes(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.all(Section::Cpes)
    }

    /// Names of module streams; the first one has number 1.
    pub(in crate::advisory) fn modules(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.all(Section::Modules)
    }

    fn all(&self, section: Section) -> impl Iterator<Item = &'a str> + use<'a> {
        let this = self.clone();
        let bytes = self.section(section);
        (0..bytes.len() / TEXT).map(move |at| this.text(record::<TEXT>(bytes, at), 0))
    }

    pub(in crate::advisory) fn cpe(&self, number: u16) -> &'a str {
        self.text(
            record::<TEXT>(self.section(Section::Cpes), usize::from(number)),
            0,
        )
    }

    pub(super) fn module(&self, number: u16) -> Option<&'a str> {
        let at = usize::from(number.checked_sub(NO_MODULE + 1)?);
        Some(self.text(record::<TEXT>(self.section(Section::Modules), at), 0))
    }

    /// The products that a repository serves, as CPEs; `None` when it is not known.
    pub fn repository(&self, name: &str) -> Option<Vec<&'a str>> {
        let section = self.section(Section::Repositories);
        let count = self.len(Section::Repositories, REPOSITORY) - 1;
        let at = partition(count, |at| {
            self.text(record::<REPOSITORY>(section, at), 0) < name
        });
        let (found, cpes) = (at < count).then(|| self.repository_at(at))?;
        (found == name).then_some(cpes)
    }

    pub(super) fn repository_at(&self, at: usize) -> (&'a str, Vec<&'a str>) {
        let section = self.section(Section::Repositories);
        let (own, next) = (
            record::<REPOSITORY>(section, at),
            record::<REPOSITORY>(section, at + 1),
        );
        let cpes = u32_at(own, 8) as usize..u32_at(next, 8) as usize;
        let cpe = |at| {
            self.cpe(u16_at(
                record::<REPOSITORY_CPE>(self.section(Section::RepositoryCpes), at),
                0,
            ))
        };
        (self.text(own, 0), cpes.map(cpe).collect())
    }

    /// Life-cycle dates.
    pub fn ends_of_life(&self) -> Vec<EndOfLife> {
        let section = self.section(Section::Ends);
        let end = |at| {
            let own = record::<END>(section, at);
            let text = |at| self.text(own, at).to_owned();
            let day = i32::from_le_bytes(array(own, 24));
            let last_day = Timestamp::from_second(i64::from(day) * 86_400).unwrap_or_default();
            let last_day = last_day.to_zoned(jiff::tz::TimeZone::UTC).date();
            EndOfLife {
                product: text(0),
                name: text(8),
                last_day,
                source: text(16),
            }
        };
        (0..self.len(Section::Ends, END)).map(end).collect()
    }

    pub(super) fn section(&self, section: Section) -> &'a [u8] {
        self.sections[section as usize]
    }

    pub(super) fn len(&self, section: Section, record: usize) -> usize {
        self.section(section).len() / record
    }

    /// The string whose reference stands at a place of a record.
    pub(super) fn text(&self, record: &[u8], at: usize) -> &'a str {
        let (offset, len) = (u32_at(record, at) as usize, u32_at(record, at + 4) as usize);
        self.strings
            .get(offset..offset.saturating_add(len))
            .unwrap_or_default()
    }
}

fn row(own: &[u8; ROW]) -> RowRef {
    RowRef {
        evr: u32_at(own, 0),
        advisory: u32_at(own, 4),
        cpe: u16_at(own, 8),
        module: u16_at(own, 10),
        arches: ArchSet(u16_at(own, 12)),
    }
}

/// Epoch, version and release of the text form.
fn split_evr(text: &str) -> (u32, &str, &str) {
    let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
    let (version, release) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch.parse().unwrap_or(0), version, release)
}

/// The first number below `count` for which it does not hold, when it holds for none after that.
pub(super) fn partition(count: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
