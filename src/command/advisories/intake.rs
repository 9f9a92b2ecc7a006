//! Takes documents and lists over into the contents of a database, and keeps count of what came of
//! each.

use std::{
    collections::BTreeSet,
    io::{self, Read},
};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::signed::{Checks, Judge, tell_unknown};
use crate::{
    advisory::{
        csaf::{self, Fault, MAX_DOCUMENT, ParseError},
        database::{BackInTime, Change, Contents, Origin},
        ends_of_life,
        feed::{self, Changed, is_archive},
        signature::Checked,
    },
    progress::Console,
};

/// Documents that are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// advisories, which grade
    Advisories,
    /// documents of single vulnerabilities, for information
    Vex,
}

/// What an update does to the contents, and what it has to tell.
pub(super) struct Intake<'a> {
    pub(super) contents: Contents,
    /// the newest version of a document that was given
    pub(super) newest: Timestamp,
    /// what the list of changes names
    pub(super) listed: Vec<Changed>,
    /// documents from the future do not make the data newer than today
    pub(super) now: Timestamp,
    pub(super) console: &'a Console,
    pub(super) kind: Kind,
    /// by what signatures are checked
    pub(super) judge: &'a Judge,
    changes: [usize; 5],
    others: usize,
    skipped: usize,
    /// files that are signed by keys that are not at hand, and those keys
    unknown: (u64, BTreeSet<String>),
}

impl<'a> Intake<'a> {
    pub(super) fn new(
        kind: Kind,
        contents: Contents,
        judge: &'a Judge,
        now: Timestamp,
        console: &'a Console,
    ) -> Self {
        Self {
            kind,
            judge,
            contents,
            newest: Timestamp::MIN,
            listed: Vec::new(),
            now,
            console,
            changes: [0; 5],
            others: 0,
            skipped: 0,
            unknown: (0, BTreeSet::new()),
        }
    }

    /// One file of the feed; what cannot be used is told and left out.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) {
        let unpacked;
        let (path, content) = match path.strip_suffix(".zst") {
            None => (path, content),
            Some(plain) => {
                match zstd::Decoder::new(content).and_then(|mut reader| limited(&mut reader)) {
                    Ok(bytes) => {
                        unpacked = bytes;
                        (plain, unpacked.as_slice())
                    }
                    Err(error) => return self.skip(path, &error.to_string()),
                }
            }
        };
        match path.rsplit('/').next().unwrap_or(path) {
            "deletions.csv" => match feed::changes(&String::from_utf8_lossy(content)) {
                Ok(list) => self.deletions(list),
                Err(error) => self.skip(path, &error.to_string()),
            },
            "changes.csv" => match feed::changes(&String::from_utf8_lossy(content)) {
                Ok(list) => self.listed.extend(list),
                Err(error) => self.skip(path, &error.to_string()),
            },
            // the map and the dates come with the advisories
            "lifecycle.tsv" if self.kind == Kind::Vex => {}
            name if name.starts_with("repository-to-cpe") && self.kind == Kind::Vex => {}
            "lifecycle.tsv" => match ends_of_life(&String::from_utf8_lossy(content)) {
                Ok(ends) => self.contents.set_ends_of_life(ends),
                Err(error) => self.skip(path, &error.to_string()),
            },
            name if name.starts_with("repository-to-cpe") => match feed::repositories(content) {
                Ok(map) => self.contents.set_repositories(map),
                Err(error) => self.skip(path, &error.to_string()),
            },
            _ => self.document(path, content),
        }
    }

    /// Where the documents of this kind come from.
    pub(super) fn origin(&self) -> Origin {
        let origin = self.contents.origin();
        match self.kind {
            Kind::Advisories => origin.clone(),
            Kind::Vex => {
                let second = origin.vex.as_ref();
                second
                    .map(|second| second.origin.clone())
                    .unwrap_or_default()
            }
        }
    }

    /// The same, to change.
    pub(super) fn origin_mut(&mut self) -> &mut Origin {
        let origin = self.contents.origin_mut();
        match self.kind {
            Kind::Advisories => origin,
            Kind::Vex => &mut origin.vex.get_or_insert_default().origin,
        }
    }

    /// The day and second that the documents of this kind are of.
    pub(super) fn as_of(&self) -> Timestamp {
        match self.kind {
            Kind::Advisories => self.contents.as_of(),
            Kind::Vex => {
                let second = self.contents.origin().vex.as_ref();
                second.map_or(Timestamp::default(), |second| second.as_of)
            }
        }
    }

    /// Says what date they are now of and where they come from.
    pub(super) fn advance(&mut self, to: Timestamp, source: &str) -> Result<(), BackInTime> {
        if self.kind == Kind::Advisories {
            return self.contents.advance(to, source);
        }
        let held = self.as_of();
        let second = self.contents.origin_mut().vex.get_or_insert_default();
        if to < held && second.origin.coverage.grades() {
            return Err(BackInTime { held, given: to });
        }
        second.as_of = Timestamp::from_second(to.as_second()).unwrap_or(to);
        source.clone_into(&mut second.source);
        Ok(())
    }

    /// A line of a list is about a document of this kind.
    pub(super) fn concerns(&self, line: &Changed) -> bool {
        match self.kind {
            Kind::Advisories => line.id.is_some(),
            Kind::Vex => line.cve.is_some(),
        }
    }

    /// A path is that of a document of this kind.
    pub(super) fn is_own(&self, path: &str) -> bool {
        match self.kind {
            Kind::Advisories => feed::id_of_path(path).is_some(),
            Kind::Vex => feed::cve_of_path(path).is_some(),
        }
    }

    /// A name is that of a whole archive of this kind.
    pub(super) fn is_archive(&self, name: &str) -> bool {
        let start = match self.kind {
            Kind::Advisories => "csaf_advisories_",
            Kind::Vex => "csaf_vex_",
        };
        name.starts_with(start) && is_archive(name)
    }

    /// When the version that is held of what a line is about was written.
    pub(super) fn held(&self, line: &Changed) -> Option<Timestamp> {
        match self.kind {
            Kind::Advisories => self.contents.revised(line.id.as_ref()?),
            Kind::Vex => self.contents.revised_vulnerability(line.cve.as_ref()?),
        }
    }

    /// One document.
    pub(super) fn document(&mut self, path: &str, content: &[u8]) {
        let taken = match self.kind {
            Kind::Advisories => self.advisory(path, content),
            Kind::Vex => self.vulnerability(path, content),
        };
        match taken {
            Ok(change) => {
                self.origin_mut().unread.remove(place(path));
                self.changes[change as usize] += 1;
            }
            Err(ParseError::NotAnAdvisory { id }) if id.starts_with("CVE-") => self.others += 1,
            Err(ParseError::NotAVulnerability { id }) if id.starts_with("RH") => self.others += 1,
            Err(error) => self.skip(path, &error.to_string()),
        }
    }

    fn advisory(&mut self, path: &str, content: &[u8]) -> Result<Change, ParseError> {
        let parsed = csaf::parse(content)?;
        self.tell_faults(path, &parsed.faults);
        self.newest = self.newest.max(parsed.advisory.revised.min(self.now));
        let sum = Sha256::digest(content).into();
        Ok(self.contents.offer(parsed.advisory, sum))
    }

    fn vulnerability(&mut self, path: &str, content: &[u8]) -> Result<Change, ParseError> {
        let parsed = csaf::parse_vex(content)?;
        self.tell_faults(path, &parsed.faults);
        let own = parsed.vulnerability;
        self.newest = self.newest.max(own.revised.min(self.now));
        let sum = Sha256::digest(content).into();
        Ok(self.contents.offer_vulnerability(own, sum))
    }

    fn tell_faults(&self, path: &str, faults: &[Fault]) {
        if let Some(fault) = faults.first() {
            let count = faults.len();
            self.console.warn(&format!(
                "{path}: {count} products are left out, the first because {}",
                fault.reason
            ));
        }
    }

    /// What was deleted at the source.
    pub(super) fn deletions(&mut self, list: Vec<Changed>) {
        for Changed { path, id, cve, at } in list {
            let change = match (self.kind, id, cve) {
                (Kind::Advisories, Some(id), _) => self.contents.delete(id, at),
                (Kind::Vex, _, Some(cve)) => self.contents.delete_vulnerability(cve, at),
                _ => continue,
            };
            self.changes[change as usize] += 1;
            self.origin_mut().unread.remove(place(&path));
        }
    }

    /// Tells of something that is left out, and keeps in mind that it is missing.
    pub(super) fn skip(&mut self, path: &str, reason: &str) {
        self.skipped += 1;
        self.console.warn(&format!("skipped {path}: {reason}"));
        let unread = &mut self.origin_mut().unread;
        unread.insert(place(path).to_owned(), reason.to_owned());
    }

    /// Whether every document that the list of changes names is held in that version or a later one,
    /// or is listed as unreadable. An empty list says nothing.
    pub(super) fn has_all_that_is_listed(&self) -> bool {
        !self.listed.is_empty() && self.listed.iter().all(|line| self.has(line))
    }

    /// The documents that the list of changes names and that are not held so.
    pub(super) fn lacking(&self) -> impl Iterator<Item = &Changed> {
        self.listed.iter().filter(|line| !self.has(line))
    }

    fn has(&self, line: &Changed) -> bool {
        if !self.concerns(line) {
            return true;
        }
        let unread = || self.origin().unread.contains_key(place(&line.path));
        let held = self.held(line);
        held.map_or_else(unread, |held| !is_older(held, line.at))
    }

    /// Documents that were offered, whatever came of them.
    pub(super) fn offered(&self) -> usize {
        self.changes.iter().sum()
    }

    /// Documents that were taken over.
    pub(super) fn taken(&self) -> usize {
        let [added, replaced, ..] = self.changes;
        added + replaced
    }

    /// Counts how a file was checked, when something of it was taken over since `before`.
    pub(super) fn checked(&mut self, checks: Checks, before: usize) {
        if let Some(Checked::Unknown(by)) = &checks.signature {
            self.unknown.0 += 1;
            self.unknown.1.extend(by.iter().cloned());
        }
        if self.taken() > before {
            self.origin_mut().verified(checks.sum, checks.signature);
        }
    }

    /// Tells once of signatures that nothing was checked by.
    pub(super) fn tell_unknown(&self) {
        tell_unknown(self.unknown.0, &self.unknown.1, self.console);
    }

    pub(super) fn summary(&self) -> String {
        let [added, replaced, unchanged, older, deleted] = self.changes;
        let (own, others) = match self.kind {
            Kind::Advisories => ("advisories", "about single vulnerabilities"),
            Kind::Vex => ("documents of vulnerabilities", "about advisories"),
        };
        format!(
            "{added} {own} added, {replaced} replaced, {unchanged} unchanged, {older} older than what is held, {deleted} deleted\n{} documents skipped, {} {others} left out\n",
            self.skipped, self.others,
        )
    }
}

/// A list's times may have fractions of a second, which are not kept of documents.
pub(super) fn is_older(held: Timestamp, listed: Timestamp) -> bool {
    held.as_second() < listed.as_second()
}

/// A document's place in the feed, such as `2024/rhsa-2024_0010.json`, whatever stands before it.
pub(super) fn place(path: &str) -> &str {
    let path = path.strip_suffix(".zst").unwrap_or(path);
    let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
    match slashes[..] {
        [.., year, _] => path.get(year + 1..).unwrap_or(path),
        _ => path,
    }
}

/// A file that belongs to a feed, by its name.
pub(super) fn is_known(name: &str) -> bool {
    let plain = name.strip_suffix(".zst").unwrap_or(name);
    let name = plain.rsplit('/').next().unwrap_or(plain);
    let json = name.rsplit_once('.').is_some_and(|(_, end)| end == "json");
    json || ["changes.csv", "deletions.csv", "lifecycle.tsv"].contains(&name) && !is_archive(name)
}

/// Why a document of more than [`MAX_DOCUMENT`] bytes is left out.
pub(super) const TOO_LARGE: &str = "it is larger than a document may be";

/// All bytes, when a document may have so many.
pub(super) fn limited(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_DOCUMENT as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_DOCUMENT {
        return Err(io::Error::other(TOO_LARGE));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{is_known, place};

    #[test]
    fn places_are_year_and_name() {
        for (path, want) in [
            ("2024/rhsa-2024_1.json", "2024/rhsa-2024_1.json"),
            ("./csaf/2024/rhsa-2024_1.json.zst", "2024/rhsa-2024_1.json"),
            ("rhsa-2024_1.json", "rhsa-2024_1.json"),
        ] {
            assert_eq!(place(path), want);
        }
    }

    #[test]
    fn files_of_a_feed_are_known_by_name() {
        for (name, want) in [
            ("2024/rhsa-2024_1.json", true),
            ("a/b.json.zst", true),
            ("x/changes.csv", true),
            ("deletions.csv", true),
            ("lifecycle.tsv", true),
            ("index.txt", false),
            ("a.json.sha256", false),
            ("csaf_advisories_2025-02-15.tar.zst", false),
        ] {
            assert_eq!(is_known(name), want, "{name}");
        }
    }
}
