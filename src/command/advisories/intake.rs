//! Takes documents and lists over into the contents of a database, and keeps count of what came of
//! each.

use std::io::{self, Read};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::{
    advisory::{
        csaf::{self, MAX_DOCUMENT, ParseError},
        database::Contents,
        ends_of_life,
        feed::{self, Changed, is_archive},
    },
    progress::Console,
};

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
    changes: [usize; 5],
    vulnerabilities: usize,
    skipped: usize,
}

impl<'a> Intake<'a> {
    pub(super) fn new(contents: Contents, now: Timestamp, console: &'a Console) -> Self {
        Self {
            contents,
            newest: Timestamp::MIN,
            listed: Vec::new(),
            now,
            console,
            changes: [0; 5],
            vulnerabilities: 0,
            skipped: 0,
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

    /// One document.
    pub(super) fn document(&mut self, path: &str, content: &[u8]) {
        let parsed = match csaf::parse(content) {
            Ok(parsed) => parsed,
            Err(ParseError::NotAnAdvisory { id }) if id.starts_with("CVE-") => {
                self.vulnerabilities += 1;
                return;
            }
            Err(error) => return self.skip(path, &error.to_string()),
        };
        if let Some(fault) = parsed.faults.first() {
            let count = parsed.faults.len();
            self.console.warn(&format!(
                "{path}: {count} products are left out, the first because {}",
                fault.reason
            ));
        }
        self.contents.origin_mut().unread.remove(place(path));
        self.newest = self.newest.max(parsed.advisory.revised.min(self.now));
        let change = self
            .contents
            .offer(parsed.advisory, Sha256::digest(content).into());
        self.changes[change as usize] += 1;
    }

    /// What was deleted at the source.
    pub(super) fn deletions(&mut self, list: Vec<Changed>) {
        for Changed { path, id, at } in list {
            let Some(id) = id else { continue };
            let change = self.contents.delete(id, at);
            self.changes[change as usize] += 1;
            self.contents.origin_mut().unread.remove(place(&path));
        }
    }

    /// Tells of something that is left out, and keeps in mind that it is missing.
    pub(super) fn skip(&mut self, path: &str, reason: &str) {
        self.skipped += 1;
        self.console.warn(&format!("skipped {path}: {reason}"));
        let unread = &mut self.contents.origin_mut().unread;
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
        let unread = || {
            self.contents
                .origin()
                .unread
                .contains_key(place(&line.path))
        };
        match &line.id {
            Some(id) => self
                .contents
                .revised(id)
                .map_or_else(unread, |held| !is_older(held, line.at)),
            None => true,
        }
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
    pub(super) fn checked(&mut self, by_sum: bool, before: usize) {
        if self.taken() == before {
            return;
        }
        let verified = &mut self.contents.origin_mut().verified;
        if by_sum {
            verified.sha256 += 1;
        } else {
            verified.unnamed += 1;
        }
    }

    pub(super) fn summary(&self) -> String {
        let [added, replaced, unchanged, older, deleted] = self.changes;
        format!(
            "{added} advisories added, {replaced} replaced, {unchanged} unchanged, {older} older than what is held, {deleted} deleted\n{} documents skipped, {} about single vulnerabilities left out\n",
            self.skipped, self.vulnerabilities,
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

/// All bytes, when a document may have so many.
pub(super) fn limited(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_DOCUMENT as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_DOCUMENT {
        return Err(io::Error::other("it is larger than a document may be"));
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
