//! The part of the file that holds documents of single vulnerabilities: written, checked, looked up
//! and read back as the advisories are.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    Contents, Database, DatabaseError, VulnerabilityDocument,
    bytes::{record, sha256, time, u16_at, u32_at},
    check,
    format::{DELETED, NAME, NO_MODULE, NO_VERSION, STATEMENT, Section, TEXT, VULNERABILITY},
    reader::partition,
    writer::{Numbers, TooMany, Writer, u16_of, u32_of},
};
use crate::advisory::{CveId, Named, Severity, Stance, Statement, Vulnerability};

/// One statement; the numbers are good for the accessors of the same database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::advisory) struct StatementRef {
    /// `None` when it holds for every version
    pub(in crate::advisory) until: Option<u32>,
    pub(in crate::advisory) vulnerability: u32,
    pub(in crate::advisory) cpe: u16,
    /// 0 for none
    pub(in crate::advisory) module: u16,
    pub(in crate::advisory) severity: Severity,
    pub(in crate::advisory) named: Named,
    pub(in crate::advisory) stance: Stance,
}

/// One vulnerability of a database, without what is said of packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVulnerability<'a> {
    /// id
    pub id: &'a str,
    /// what it is
    pub title: &'a str,
    /// what can be done without a fix; empty when nothing is said
    pub workaround: &'a str,
    /// when it became public
    pub published: Timestamp,
    /// when the document was written
    pub revised: Timestamp,
    /// `None` when the document was deleted at the source
    pub severity: Option<Severity>,
}

fn position<T: PartialEq>(all: &[T], one: &T) -> usize {
    all.iter().position(|it| it == one).unwrap_or_default()
}

fn byte(number: usize) -> u8 {
    u8::try_from(number).unwrap_or_default()
}

pub(super) fn write(
    writer: &mut Writer,
    contents: &Contents,
    numbers: &Numbers<'_>,
) -> Result<(), TooMany> {
    let mut by_name: BTreeMap<&str, Vec<(usize, &Statement)>> = BTreeMap::new();
    for (number, (id, document)) in contents.vulnerabilities.iter().enumerate() {
        let section = Section::Vulnerabilities;
        let of = document.vulnerability.as_ref();
        writer.text(section, id.as_str())?;
        writer.text(section, of.map_or("", |of| &of.title))?;
        writer.text(section, of.map_or("", |of| &of.workaround))?;
        let published = of.map_or(document.revised, |of| of.published);
        writer.i64(section, published.as_second());
        writer.i64(section, document.revised.as_second());
        writer.at(section).extend_from_slice(&document.sha256);
        let severity = match of {
            Some(of) => u32_of("severities", position(&Severity::ALL, &of.severity))?,
            None => DELETED,
        };
        writer.u32(section, severity);
        for statement in of.iter().flat_map(|of| &of.statements) {
            let list = by_name.entry(&statement.name).or_default();
            list.push((number, statement));
        }
    }
    let mut first = 0;
    for (name, statements) in by_name {
        writer.text(Section::ConcernedNames, name)?;
        writer.u32(Section::ConcernedNames, u32_of("statements", first)?);
        first += statements.len();
        for (number, statement) in statements {
            write_statement(writer, number, statement, numbers)?;
        }
    }
    writer.text(Section::ConcernedNames, "")?;
    writer.u32(Section::ConcernedNames, u32_of("statements", first)?);
    Ok(())
}

fn write_statement(
    writer: &mut Writer,
    number: usize,
    statement: &Statement,
    numbers: &Numbers<'_>,
) -> Result<(), TooMany> {
    let section = Section::Statements;
    let until = match &statement.until {
        Some(evr) => u32_of("versions", numbers.evr[evr])?,
        None => NO_VERSION,
    };
    let module = match &statement.module {
        Some(module) => u16_of("modules", numbers.modules[module.as_str()] + 1)?,
        None => NO_MODULE,
    };
    writer.u32(section, until);
    writer.u32(section, u32_of("vulnerabilities", number)?);
    let cpe = u16_of("products", numbers.cpes[statement.cpe.as_str()])?;
    writer.u16(section, cpe);
    writer.u16(section, module);
    let bytes = [
        byte(position(&Severity::ALL, &statement.severity)),
        byte(position(&Named::ALL, &statement.named)),
        byte(position(&Stance::ALL, &statement.stance)),
        0,
    ];
    writer.at(section).extend_from_slice(&bytes);
    Ok(())
}

/// Every reference points at something, names and ids are in order.
pub(super) fn check(database: &Database<'_>) -> Result<(), DatabaseError> {
    let section = Section::Statements;
    let count = |of, size| database.len(of, size);
    let vulnerabilities = count(Section::Vulnerabilities, VULNERABILITY);
    let evrs = count(Section::Evrs, TEXT);
    let cpes = count(Section::Cpes, TEXT);
    let modules = count(Section::Modules, TEXT) + 1;
    check::each::<STATEMENT>(database, section, |own| {
        if u32_at(own, 0) != NO_VERSION {
            check::below(section, u32_at(own, 0) as usize, evrs)?;
        }
        check::below(section, u32_at(own, 4) as usize, vulnerabilities)?;
        check::below(section, u16_at(own, 8).into(), cpes)?;
        check::below(section, u16_at(own, 10).into(), modules)?;
        check::below(section, own[12].into(), Severity::ALL.len())?;
        check::below(section, own[13].into(), Named::ALL.len())?;
        check::below(section, own[14].into(), Stance::ALL.len())
    })?;
    let names = Section::ConcernedNames;
    check::spans::<NAME>(database, names, TEXT, count(section, STATEMENT))?;
    check::sorted::<NAME>(database, names)?;
    let section = Section::Vulnerabilities;
    let mut last = "";
    check::each::<VULNERABILITY>(database, section, |own| {
        for at in [0, 8, 16] {
            check::text(database, section, own, at)?;
        }
        check::time(database, section, own, 24)?;
        check::time(database, section, own, 32)?;
        if u32_at(own, 72) != DELETED {
            check::below(section, u32_at(own, 72) as usize, Severity::ALL.len())?;
        }
        let id = database.text(own, 0);
        if !CveId::is_one(id) {
            return Err(check::wrong(section, "it holds an id that is none"));
        }
        if id <= last {
            return Err(check::wrong(section, "it is not sorted"));
        }
        last = id;
        Ok(())
    })
}

fn statement(own: &[u8; STATEMENT]) -> StatementRef {
    // checked when the file was opened
    StatementRef {
        until: Some(u32_at(own, 0)).filter(|until| *until != NO_VERSION),
        vulnerability: u32_at(own, 4),
        cpe: u16_at(own, 8),
        module: u16_at(own, 10),
        severity: known(&Severity::ALL, own[12], Severity::None),
        named: known(&Named::ALL, own[13], Named::Either),
        stance: known(&Stance::ALL, own[14], Stance::Investigated),
    }
}

fn known<T: Copy>(all: &[T], number: u8, other: T) -> T {
    all.get(usize::from(number)).copied().unwrap_or(other)
}

impl<'a> Database<'a> {
    /// Finds a vulnerability by its id, when its document was taken over.
    pub fn vulnerability(&self, id: &str) -> Option<StoredVulnerability<'a>> {
        let at = self.number_of(id)?;
        Some(self.vulnerability_at(at))
    }

    fn number_of(&self, id: &str) -> Option<usize> {
        let section = self.section(Section::Vulnerabilities);
        let count = self.len(Section::Vulnerabilities, VULNERABILITY);
        let own = |at| self.text(record::<VULNERABILITY>(section, at), 0);
        let at = partition(count, |at| own(at) < id);
        (at < count && own(at) == id).then_some(at)
    }

    pub(in crate::advisory) fn vulnerability_at(&self, at: usize) -> StoredVulnerability<'a> {
        let own = record::<VULNERABILITY>(self.section(Section::Vulnerabilities), at);
        let severity = u32_at(own, 72);
        StoredVulnerability {
            id: self.text(own, 0),
            title: self.text(own, 8),
            workaround: self.text(own, 16),
            published: time(own, 24),
            revised: time(own, 32),
            severity: Severity::ALL.get(severity as usize).copied(),
        }
    }

    /// What is said of packages of a name.
    pub(in crate::advisory) fn statements_of(
        &self,
        name: &str,
    ) -> impl Iterator<Item = StatementRef> + use<'a> {
        let names = self.section(Section::ConcernedNames);
        let count = self.len(Section::ConcernedNames, NAME).saturating_sub(1);
        let at = partition(count, |at| self.text(record::<NAME>(names, at), 0) < name);
        let found = at < count && self.text(record::<NAME>(names, at), 0) == name;
        let span = if found { self.span(at) } else { 0..0 };
        let section = self.section(Section::Statements);
        span.map(move |at| statement(record::<STATEMENT>(section, at)))
    }

    fn span(&self, at: usize) -> std::ops::Range<usize> {
        let names = self.section(Section::ConcernedNames);
        let first = |at| u32_at(record::<NAME>(names, at), TEXT) as usize;
        first(at)..first(at + 1)
    }

    /// Every statement with the number of its vulnerability.
    fn all_statements(&self) -> impl Iterator<Item = (u32, Statement)> + use<'a, '_> {
        let count = self.len(Section::ConcernedNames, NAME).saturating_sub(1);
        let section = self.section(Section::Statements);
        (0..count).flat_map(move |at| {
            let names = self.section(Section::ConcernedNames);
            let name = self.text(record::<NAME>(names, at), 0);
            self.span(at).map(move |at| {
                let own = statement(record::<STATEMENT>(section, at));
                let whole = Statement {
                    name: name.to_owned(),
                    named: own.named,
                    module: self.module(own.module).map(str::to_owned),
                    cpe: self.cpe(own.cpe).to_owned(),
                    stance: own.stance,
                    severity: own.severity,
                    until: own.until.map(|number| self.evr(number)),
                };
                (own.vulnerability, whole)
            })
        })
    }

    /// What is said of packages by the document of one vulnerability. It looks at every statement, so
    /// it is for showing one.
    pub fn statements_about(&self, id: &str) -> Vec<Statement> {
        let number = self.number_of(id);
        let own = self
            .all_statements()
            .filter(|(of, _)| Some(*of as usize) == number);
        let mut statements: Vec<_> = own.map(|(_, statement)| statement).collect();
        statements.sort();
        statements
    }

    pub(super) fn vulnerability_documents(&self) -> BTreeMap<CveId, VulnerabilityDocument> {
        let count = self.len(Section::Vulnerabilities, VULNERABILITY);
        let mut statements: Vec<Vec<Statement>> = vec![Vec::new(); count];
        for (number, statement) in self.all_statements() {
            if let Some(own) = statements.get_mut(number as usize) {
                own.push(statement);
            }
        }
        let section = self.section(Section::Vulnerabilities);
        let document = |(at, mut statements): (usize, Vec<Statement>)| {
            let stored = self.vulnerability_at(at);
            let id: CveId = stored.id.parse().ok()?; // checked when the file was opened
            statements.sort();
            let vulnerability = stored.severity.map(|severity| Vulnerability {
                id: id.clone(),
                severity,
                published: stored.published,
                revised: stored.revised,
                title: stored.title.to_owned(),
                workaround: stored.workaround.to_owned(),
                statements,
            });
            let own = record::<VULNERABILITY>(section, at);
            let document = VulnerabilityDocument {
                revised: stored.revised,
                sha256: sha256(own, 40),
                vulnerability,
            };
            Some((id, document))
        };
        statements
            .into_iter()
            .enumerate()
            .filter_map(document)
            .collect()
    }
}
