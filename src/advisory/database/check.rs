//! What is checked when a file is opened: first that it is whole, then that every reference in it
//! points at something.

use jiff::Timestamp;

use super::{
    Database, DatabaseError, Origin,
    bytes::{array, record, u16_at, u32_at, u64_at},
    format::{
        ADVISORY, CHECKSUM, DELETED, DOCUMENT, END, FORMAT, HEADER, MAGIC, META, NAME, PLACE,
        REPOSITORY, REPOSITORY_CPE, ROW, SECTIONS, Section, TABLE, TEXT,
    },
    vex,
    writer::checksum,
};
use crate::advisory::{AdvisoryId, Severity};

pub(super) fn open(file: &[u8]) -> Result<Database<'_>, DatabaseError> {
    if file.get(..MAGIC.len()) != Some(&MAGIC) {
        return Err(DatabaseError::NotADatabase);
    }
    let actual = file.len() as u64;
    let length = |expected| DatabaseError::Length { expected, actual };
    let start = file.get(..TABLE).ok_or(length(HEADER as u64))?;
    match u32_at(start, 8) {
        FORMAT => {}
        0 => return Err(DatabaseError::Checksum { section: "header" }),
        found if found < FORMAT => return Err(DatabaseError::Older { found }),
        found => {
            return Err(DatabaseError::Newer {
                found,
                known: FORMAT,
            });
        }
    }
    let expected = u64_at(start, 16);
    let header = file.get(..HEADER).ok_or(length(expected))?;
    if expected != actual {
        return Err(length(expected));
    }
    if checksum(header) != header[CHECKSUM] {
        return Err(DatabaseError::Checksum { section: "header" });
    }
    let sections = sections(file, header)?;
    let strings = sections[Section::Strings as usize];
    let strings =
        str::from_utf8(strings).map_err(|_| wrong(Section::Strings, "it is not UTF-8"))?;
    let database = Database { strings, sections };
    references(&database)?;
    Ok(database)
}

/// The sections, one after the other up to the end of the file, each with its checksum.
fn sections<'a>(file: &'a [u8], header: &[u8]) -> Result<[&'a [u8]; SECTIONS], DatabaseError> {
    let mut sections: [&[u8]; SECTIONS] = [&[]; SECTIONS];
    let mut rest = file.get(HEADER..).unwrap_or_default();
    for (number, section) in Section::ALL.into_iter().enumerate() {
        let place: [u8; PLACE] = array(header, TABLE + number * PLACE);
        let before = file.len() - rest.len();
        let len = usize::try_from(u64_at(&place, 8)).ok();
        let found = len.and_then(|len| rest.split_at_checked(len));
        let (own, after) = found
            .filter(|_| u64_at(&place, 0) == before as u64)
            .ok_or_else(|| wrong(section, "it does not lie where it should"))?;
        if crc32fast::hash(own) != u32_at(&place, 16) {
            let section = section.name();
            return Err(DatabaseError::Checksum { section });
        }
        sections[number] = own;
        rest = after;
    }
    if rest.is_empty() {
        return Ok(sections);
    }
    Err(wrong(Section::Vulnerabilities, "something follows it"))
}

pub(super) fn wrong(section: Section, problem: &'static str) -> DatabaseError {
    DatabaseError::Section {
        section: section.name(),
        problem,
    }
}

fn references(database: &Database<'_>) -> Result<(), DatabaseError> {
    if database.section(Section::Meta).len() != META {
        return Err(wrong(Section::Meta, "it has another length"));
    }
    meta(database)?;
    for section in [
        Section::Evrs,
        Section::Cpes,
        Section::Modules,
        Section::Cves,
    ] {
        each::<TEXT>(database, section, |own| text(database, section, own, 0))?;
    }
    rows(database)?;
    spans::<NAME>(
        database,
        Section::Names,
        8,
        database.len(Section::Rows, ROW),
    )?;
    spans::<REPOSITORY>(
        database,
        Section::Repositories,
        8,
        database.len(Section::RepositoryCpes, REPOSITORY_CPE),
    )?;
    spans::<ADVISORY>(
        database,
        Section::Advisories,
        24,
        database.len(Section::Cves, TEXT),
    )?;
    sorted::<NAME>(database, Section::Names)?;
    sorted::<REPOSITORY>(database, Section::Repositories)?;
    advisories(database)?;
    let cpes = database.len(Section::Cpes, TEXT);
    each::<REPOSITORY_CPE>(database, Section::RepositoryCpes, |own| {
        below(Section::RepositoryCpes, usize::from(u16_at(own, 0)), cpes)
    })?;
    each::<END>(database, Section::Ends, |own| {
        [0, 8, 16]
            .into_iter()
            .try_for_each(|at| text(database, Section::Ends, own, at))?;
        let day = i64::from(u32_at(own, 24).cast_signed());
        let known = Timestamp::from_second(day * 86_400);
        known
            .map(|_| ())
            .map_err(|_| wrong(Section::Ends, "it holds an impossible day"))
    })?;
    documents(database)?;
    vex::check(database)
}

/// Every record of a section, which holds whole records alone.
pub(super) fn each<const N: usize>(
    database: &Database<'_>,
    section: Section,
    check: impl FnMut(&[u8; N]) -> Result<(), DatabaseError>,
) -> Result<(), DatabaseError> {
    let (records, rest) = database.section(section).as_chunks::<N>();
    if !rest.is_empty() {
        return Err(wrong(section, "it ends within a record"));
    }
    records.iter().try_for_each(check)
}

pub(super) fn below(section: Section, number: usize, count: usize) -> Result<(), DatabaseError> {
    (number < count)
        .then_some(())
        .ok_or_else(|| wrong(section, "it refers to something that is not there"))
}

pub(super) fn text(
    database: &Database<'_>,
    section: Section,
    record: &[u8],
    at: usize,
) -> Result<(), DatabaseError> {
    let (offset, len) = (u32_at(record, at) as usize, u32_at(record, at + 4) as usize);
    let found = database.strings.get(offset..offset.saturating_add(len));
    found
        .map(|_| ())
        .ok_or_else(|| wrong(section, "a text of it lies outside of the texts"))
}

pub(super) fn time(
    _: &Database<'_>,
    section: Section,
    record: &[u8],
    at: usize,
) -> Result<(), DatabaseError> {
    let seconds = u64_at(record, at).cast_signed();
    Timestamp::from_second(seconds)
        .map(|_| ())
        .map_err(|_| wrong(section, "it holds an impossible time"))
}

fn meta(database: &Database<'_>) -> Result<(), DatabaseError> {
    let own = database.section(Section::Meta);
    time(database, Section::Meta, own, 0)?;
    text(database, Section::Meta, own, 8)?;
    text(database, Section::Meta, own, 16)?;
    let origin = Origin::of_text(database.text(own, 16), u32_at(own, 24));
    origin
        .map(|_| ())
        .ok_or_else(|| wrong(Section::Meta, "it does not say where the data comes from"))
}

/// There are more rows than of anything else, so their numbers are compared all together.
fn rows(database: &Database<'_>) -> Result<(), DatabaseError> {
    let section = Section::Rows;
    let (rows, rest) = database.section(section).as_chunks::<ROW>();
    if !rest.is_empty() {
        return Err(wrong(section, "it ends within a record"));
    }
    let (mut evr, mut advisory, mut cpe, mut module) = (0, 0, 0, 0);
    for own in rows {
        evr = evr.max(u32_at(own, 0));
        advisory = advisory.max(u32_at(own, 4));
        cpe = cpe.max(u16_at(own, 8));
        module = module.max(u16_at(own, 10));
    }
    if rows.is_empty() {
        return Ok(());
    }
    let advisories = database.len(Section::Advisories, ADVISORY);
    below(section, evr as usize, database.len(Section::Evrs, TEXT))?;
    below(section, advisory as usize, advisories.saturating_sub(1))?;
    below(section, cpe.into(), database.len(Section::Cpes, TEXT))?;
    let modules = database.len(Section::Modules, TEXT) + 1;
    below(section, module.into(), modules)
}

/// Records that begin with a text and hold where their span of another section begins; the last one
/// only ends the span before it.
pub(super) fn spans<const N: usize>(
    database: &Database<'_>,
    section: Section,
    at: usize,
    count: usize,
) -> Result<(), DatabaseError> {
    let mut last = 0;
    each::<N>(database, section, |own| {
        text(database, section, own, 0)?;
        let first = u32_at(own, at) as usize;
        if first < last {
            return Err(wrong(section, "its spans overlap"));
        }
        last = first;
        Ok(())
    })?;
    let ended = database.len(section, N) > 0 && last == count;
    ended
        .then_some(())
        .ok_or_else(|| wrong(section, "its spans do not end where they should"))
}

/// Names that are looked up must be in order, or some would not be found.
pub(super) fn sorted<const N: usize>(
    database: &Database<'_>,
    section: Section,
) -> Result<(), DatabaseError> {
    let name = |at| database.text(record::<N>(database.section(section), at), 0);
    let count = database.len(section, N).saturating_sub(1);
    let sorted = (1..count).all(|at| name(at - 1) < name(at));
    sorted
        .then_some(())
        .ok_or_else(|| wrong(section, "it is not sorted"))
}

fn advisories(database: &Database<'_>) -> Result<(), DatabaseError> {
    let section = Section::Advisories;
    let mut last = None;
    let mut left = database.len(section, ADVISORY).saturating_sub(1);
    each::<ADVISORY>(database, section, |own| {
        text(database, section, own, 8)?;
        time(database, section, own, 16)?;
        below(section, u32_at(own, 28) as usize, Severity::ALL.len())?;
        if left == 0 {
            return Ok(());
        }
        left -= 1;
        let id = AdvisoryId::key(database.text(own, 0))
            .ok_or_else(|| wrong(section, "it holds an id that is none"))?;
        if last.is_some_and(|last| last >= id) {
            return Err(wrong(section, "it is not sorted"));
        }
        last = Some(id);
        Ok(())
    })
}

fn documents(database: &Database<'_>) -> Result<(), DatabaseError> {
    let section = Section::Documents;
    let advisories = database.len(Section::Advisories, ADVISORY) - 1;
    let mut next = 0;
    each::<DOCUMENT>(database, section, |own| {
        text(database, section, own, 0)?;
        time(database, section, own, 8)?;
        let id = database.text(own, 0);
        let number = u32_at(own, 48);
        if number == DELETED {
            let good = AdvisoryId::key(id).is_some();
            return good
                .then_some(())
                .ok_or_else(|| wrong(section, "it holds an id that is none"));
        }
        let advisory = record::<ADVISORY>(database.section(Section::Advisories), next as usize);
        let known = number == next && database.text(advisory, 0) == id;
        next += 1;
        known
            .then_some(())
            .ok_or_else(|| wrong(section, "it does not go with the advisories"))
    })?;
    let all = next as usize == advisories;
    all.then_some(())
        .ok_or_else(|| wrong(section, "it does not go with the advisories"))
}
