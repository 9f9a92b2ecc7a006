//! Writes [`Contents`] as a file. The same contents give the same bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Contents,
    format::{CHECKSUM, DELETED, FORMAT, HEADER, MAGIC, NO_MODULE, SECTIONS, Section, TABLE},
};
use crate::advisory::{Advisory, FixedEvr, Row, Severity};

/// Contents that the format cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the advisories have {count} {what}, and the database format holds {most}")]
pub struct TooMany {
    /// of what
    pub what: &'static str,
    /// how many there are
    pub count: usize,
    /// how many there can be
    pub most: u64,
}

impl Contents {
    /// The database file.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TooMany> {
        let mut writer = Writer::default();
        let numbers = Numbers::of(self);
        writer.meta(self)?;
        writer.rows(&numbers)?;
        let evrs: Vec<String> = numbers.evrs.iter().map(ToString::to_string).collect();
        writer.texts(Section::Evrs, evrs.iter().map(String::as_str))?;
        writer.texts(Section::Cpes, numbers.cpes.keys().copied())?;
        writer.texts(Section::Modules, numbers.modules.keys().copied())?;
        writer.advisories(&numbers.advisories)?;
        writer.repositories(self, &numbers)?;
        writer.ends(self)?;
        writer.documents(self)?;
        super::vex::write(&mut writer, self, &numbers)?;
        writer.finish()
    }
}

/// The tables and the numbers that rows refer to them by.
pub(super) struct Numbers<'a> {
    advisories: Vec<&'a Advisory>,
    evrs: Vec<&'a FixedEvr>,
    pub(super) evr: HashMap<&'a FixedEvr, usize>,
    pub(super) cpes: BTreeMap<&'a str, usize>,
    pub(super) modules: BTreeMap<&'a str, usize>,
}

impl<'a> Numbers<'a> {
    fn of(contents: &'a Contents) -> Self {
        let documents = contents.documents.values();
        let advisories: Vec<_> = documents
            .filter_map(|document| document.advisory.as_ref())
            .collect();
        let rows = || advisories.iter().flat_map(|advisory| &advisory.rows);
        let said = || {
            let documents = contents.vulnerabilities.values();
            let held = documents.filter_map(|document| document.vulnerability.as_ref());
            held.flat_map(|vulnerability| &vulnerability.statements)
        };
        let mut evrs: Vec<_> = rows()
            .map(|row| &*row.fixed)
            .chain(said().filter_map(|statement| statement.until.as_ref()))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        evrs.sort_by(|one, other| one.cmp_evr(other).then_with(|| one.cmp(other)));
        let of_repositories = contents.repositories.values().flatten();
        let cpes = rows()
            .map(|row| &*row.cpe)
            .chain(said().map(|statement| statement.cpe.as_str()))
            .chain(of_repositories.map(String::as_str));
        Self {
            evr: evrs
                .iter()
                .enumerate()
                .map(|(number, evr)| (*evr, number))
                .collect(),
            cpes: numbered(cpes),
            modules: numbered(
                rows()
                    .filter_map(|row| row.module.as_deref())
                    .chain(said().filter_map(|statement| statement.module.as_deref())),
            ),
            evrs,
            advisories,
        }
    }
}

fn numbered<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let sorted: BTreeSet<&str> = texts.collect();
    sorted
        .into_iter()
        .enumerate()
        .map(|(number, text)| (text, number))
        .collect()
}

#[derive(Default)]
pub(super) struct Writer {
    sections: [Vec<u8>; SECTIONS],
    pool: HashMap<String, (u32, u32)>,
}

impl Writer {
    pub(super) fn at(&mut self, section: Section) -> &mut Vec<u8> {
        &mut self.sections[section as usize]
    }

    pub(super) fn text(&mut self, section: Section, text: &str) -> Result<(), TooMany> {
        let (offset, len) = if let Some(known) = self.pool.get(text) {
            *known
        } else {
            let strings = self.at(Section::Strings);
            let place = (
                u32_of("bytes of text", strings.len())?,
                u32_of("bytes of text", text.len())?,
            );
            strings.extend_from_slice(text.as_bytes());
            self.pool.insert(text.to_owned(), place);
            place
        };
        self.u32(section, offset);
        self.u32(section, len);
        Ok(())
    }

    pub(super) fn u32(&mut self, section: Section, number: u32) {
        self.at(section).extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn u16(&mut self, section: Section, number: u16) {
        self.at(section).extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn i64(&mut self, section: Section, number: i64) {
        self.at(section).extend_from_slice(&number.to_le_bytes());
    }

    fn texts<'a>(
        &mut self,
        section: Section,
        texts: impl Iterator<Item = &'a str>,
    ) -> Result<(), TooMany> {
        for text in texts {
            self.text(section, text)?;
        }
        Ok(())
    }

    fn meta(&mut self, contents: &Contents) -> Result<(), TooMany> {
        self.i64(Section::Meta, contents.as_of.as_second());
        self.text(Section::Meta, &contents.source)?;
        self.text(Section::Meta, &contents.origin.to_text())?;
        self.u32(Section::Meta, contents.origin.coverage.number());
        Ok(())
    }

    /// Rows are grouped by name, so that a package's are one piece of the file.
    fn rows(&mut self, numbers: &Numbers<'_>) -> Result<(), TooMany> {
        let mut by_name: BTreeMap<&str, Vec<(usize, &Row)>> = BTreeMap::new();
        for (number, advisory) in numbers.advisories.iter().enumerate() {
            for row in &advisory.rows {
                by_name.entry(&row.name).or_default().push((number, row));
            }
        }
        let mut first = 0;
        for (name, rows) in by_name {
            self.text(Section::Names, name)?;
            self.u32(Section::Names, u32_of("rows", first)?);
            first += rows.len();
            for (advisory, row) in rows {
                self.row(advisory, row, numbers)?;
            }
        }
        self.text(Section::Names, "")?;
        self.u32(Section::Names, u32_of("rows", first)?);
        Ok(())
    }

    fn row(&mut self, advisory: usize, row: &Row, numbers: &Numbers<'_>) -> Result<(), TooMany> {
        let module = match &row.module {
            None => NO_MODULE,
            Some(module) => u16_of("modules", numbers.modules[&**module] + 1)?,
        };
        self.u32(Section::Rows, u32_of("versions", numbers.evr[&*row.fixed])?);
        self.u32(Section::Rows, u32_of("advisories", advisory)?);
        self.u16(Section::Rows, u16_of("products", numbers.cpes[&*row.cpe])?);
        self.u16(Section::Rows, module);
        self.u16(Section::Rows, row.arches.0);
        Ok(())
    }

    fn advisories(&mut self, advisories: &[&Advisory]) -> Result<(), TooMany> {
        let mut first = 0;
        for advisory in advisories {
            let severity = Severity::ALL
                .iter()
                .position(|one| *one == advisory.severity);
            self.advisory(
                (advisory.id.as_str(), &advisory.title),
                advisory.released.as_second(),
                first,
                severity.unwrap_or_default(),
            )?;
            self.texts(Section::Cves, advisory.cves.iter().map(String::as_str))?;
            first += advisory.cves.len();
        }
        self.advisory(("", ""), 0, first, 0)
    }

    fn advisory(
        &mut self,
        texts: (&str, &str),
        released: i64,
        cve: usize,
        severity: usize,
    ) -> Result<(), TooMany> {
        let section = Section::Advisories;
        self.text(section, texts.0)?;
        self.text(section, texts.1)?;
        self.i64(section, released);
        self.u32(section, u32_of("vulnerabilities", cve)?);
        self.u32(section, u32_of("severities", severity)?);
        Ok(())
    }

    fn repositories(&mut self, contents: &Contents, numbers: &Numbers<'_>) -> Result<(), TooMany> {
        let mut first = 0;
        for (repository, cpes) in &contents.repositories {
            self.text(Section::Repositories, repository)?;
            self.u32(Section::Repositories, u32_of("products", first)?);
            for cpe in cpes {
                self.u16(
                    Section::RepositoryCpes,
                    u16_of("products", numbers.cpes[cpe.as_str()])?,
                );
            }
            first += cpes.len();
        }
        self.text(Section::Repositories, "")?;
        self.u32(Section::Repositories, u32_of("products", first)?);
        Ok(())
    }

    fn ends(&mut self, contents: &Contents) -> Result<(), TooMany> {
        for end in &contents.ends {
            self.texts(
                Section::Ends,
                [&*end.product, &*end.name, &*end.source].into_iter(),
            )?;
            let day = end
                .last_day
                .to_zoned(jiff::tz::TimeZone::UTC)
                .map_or(0, |zoned| zoned.timestamp().as_second() / 86_400);
            self.at(Section::Ends)
                .extend_from_slice(&i32::try_from(day).unwrap_or_default().to_le_bytes());
        }
        Ok(())
    }

    fn documents(&mut self, contents: &Contents) -> Result<(), TooMany> {
        let mut number = 0;
        for (id, document) in &contents.documents {
            self.text(Section::Documents, id.as_str())?;
            self.i64(Section::Documents, document.revised.as_second());
            self.at(Section::Documents)
                .extend_from_slice(&document.sha256);
            let advisory = if document.advisory.is_some() {
                u32_of("advisories", number)?
            } else {
                DELETED
            };
            number += usize::from(document.advisory.is_some());
            self.u32(Section::Documents, advisory);
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<u8>, TooMany> {
        let length = HEADER + self.sections.iter().map(Vec::len).sum::<usize>();
        u32_of("bytes", length)?;
        let mut file = Vec::with_capacity(length);
        file.extend_from_slice(&MAGIC);
        file.extend_from_slice(&FORMAT.to_le_bytes());
        file.extend_from_slice(&u32_of("sections", SECTIONS)?.to_le_bytes());
        file.extend_from_slice(&(length as u64).to_le_bytes());
        file.resize(TABLE, 0);
        let mut offset = HEADER as u64;
        for section in &self.sections {
            file.extend_from_slice(&offset.to_le_bytes());
            file.extend_from_slice(&(section.len() as u64).to_le_bytes());
            file.extend_from_slice(&crc32fast::hash(section).to_le_bytes());
            file.extend_from_slice(&[0; 4]);
            offset += section.len() as u64;
        }
        for section in &self.sections {
            file.extend_from_slice(section);
        }
        let sum = checksum(&file[..HEADER]);
        file[CHECKSUM].copy_from_slice(&sum);
        Ok(file)
    }
}

/// CRC-32 of a header without the place of the checksum.
pub(super) fn checksum(header: &[u8]) -> [u8; 4] {
    let mut hash = crc32fast::Hasher::new();
    hash.update(&header[..CHECKSUM.start]);
    hash.update(&header[CHECKSUM.end..]);
    hash.finalize().to_le_bytes()
}

pub(super) fn u32_of(what: &'static str, count: usize) -> Result<u32, TooMany> {
    let most = u64::from(u32::MAX);
    u32::try_from(count).map_err(|_| TooMany { what, count, most })
}

pub(super) fn u16_of(what: &'static str, count: usize) -> Result<u16, TooMany> {
    let most = u64::from(u16::MAX);
    u16::try_from(count).map_err(|_| TooMany { what, count, most })
}
