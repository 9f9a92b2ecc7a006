//! Takes over documents from a directory or an archive.

use std::{
    fs,
    io::{self, Read, Write as _},
    path::Path,
};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{io_error, tar::entries, usage, with};
use crate::{
    advisory::{
        csaf::{self, MAX_DOCUMENT, ParseError},
        database::Contents,
        feed, known_ends_of_life,
    },
    error::Error,
    gather::read_database,
};

/// What an update does to the contents, and what it has to tell.
struct Update<'a> {
    contents: Contents,
    newest: Timestamp,
    /// documents from the future do not make the data newer than today
    now: Timestamp,
    changes: [usize; 5],
    vulnerabilities: usize,
    skipped: usize,
    tell: &'a dyn Fn(&str),
}

pub(super) fn update(
    from: &Path,
    path: &Path,
    now: Timestamp,
    tell: &dyn Fn(&str),
) -> Result<String, Error> {
    // a damaged database is told, not thrown away: it may be another program's file
    let contents = match read_database(path) {
        Ok(_) => with(path, |database| Ok(database.contents()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Contents::default(),
        Err(error) => return Err(io_error(path, &error)),
    };
    let newest = contents.as_of();
    let mut update = Update {
        contents,
        newest,
        now,
        changes: [0; 5],
        vulnerabilities: 0,
        skipped: 0,
        tell,
    };
    if from.is_dir() {
        update.directory(from)?;
    } else {
        update.archive(from)?;
    }
    let ends = known_ends_of_life().map_err(|error| Error::Bug(error.to_string()))?;
    update.contents.set_ends_of_life(ends);
    let newest = update.newest;
    // a map of repositories alone does not say where the advisories come from
    let documents: usize = update.changes.iter().sum();
    let named = (documents == 0).then(|| update.contents.source().to_owned());
    let name = from.file_name().map_or_else(
        || from.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    );
    update
        .contents
        .advance(newest, &named.unwrap_or(name))
        .map_err(|error| usage(error.to_string(), ""))?;
    let file = update
        .contents
        .to_bytes()
        .map_err(|error| usage(error.to_string(), ""))?;
    replace(path, &file).map_err(|error| io_error(path, &error))?;
    Ok(update.summary(path, file.len()))
}

/// The new file takes the place of the old one whole, or not at all.
fn replace(path: &Path, file: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(file)?;
    new.as_file().sync_all()?;
    new.persist(path)?;
    Ok(())
}

impl Update<'_> {
    fn directory(&mut self, from: &Path) -> Result<(), Error> {
        for entry in walkdir::WalkDir::new(from).sort_by_file_name() {
            let entry = entry.map_err(|error| usage(error.to_string(), ""))?;
            let path = entry.path();
            let name = path
                .strip_prefix(from)
                .unwrap_or(path)
                .to_string_lossy()
                .into_owned();
            if entry.file_type().is_file() && is_known(&name) {
                let content = open(path).and_then(|file| limited(&mut { file }));
                let content = content.map_err(|error| io_error(path, &error))?;
                self.file(&name, &content);
            }
        }
        Ok(())
    }

    fn archive(&mut self, from: &Path) -> Result<(), Error> {
        let io = |error: io::Error| io_error(from, &error);
        let file = open(from).map_err(io)?;
        let packed = from.extension().is_some_and(|end| end == "zst");
        let mut stream: Box<dyn Read> = if packed {
            Box::new(zstd::Decoder::new(file).map_err(io)?)
        } else {
            Box::new(io::BufReader::new(file))
        };
        entries(&mut *stream, &mut |name, content| self.file(name, content)).map_err(io)
    }

    /// One file of the feed; what cannot be used is told and left out.
    fn file(&mut self, path: &str, content: &[u8]) {
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
            "deletions.csv" => self.deletions(path, content),
            "changes.csv" => self.changes(path, content),
            name if name.starts_with("repository-to-cpe") => match feed::repositories(content) {
                Ok(map) => self.contents.set_repositories(map),
                Err(error) => self.skip(path, &error.to_string()),
            },
            _ => self.document(path, content),
        }
    }

    fn document(&mut self, path: &str, content: &[u8]) {
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
            (self.tell)(&format!(
                "{path}: {count} products are left out, the first because {}",
                fault.reason
            ));
        }
        self.newest = self.newest.max(parsed.advisory.revised.min(self.now));
        let change = self
            .contents
            .offer(parsed.advisory, Sha256::digest(content).into());
        self.changes[change as usize] += 1;
    }

    fn deletions(&mut self, path: &str, content: &[u8]) {
        match feed::changes(&String::from_utf8_lossy(content)) {
            Ok(list) => {
                for (id, at) in list
                    .into_iter()
                    .filter_map(|line| Some((line.id?, line.at)))
                {
                    let change = self.contents.delete(id, at);
                    self.changes[change as usize] += 1;
                }
            }
            Err(error) => self.skip(path, &error.to_string()),
        }
    }

    /// The list of changes tells how new the feed is.
    fn changes(&mut self, path: &str, content: &[u8]) {
        match feed::changes(&String::from_utf8_lossy(content)) {
            Ok(list) => {
                self.newest = list
                    .iter()
                    .map(|line| line.at)
                    .fold(self.newest, |newest, at| newest.max(at.min(self.now)));
            }
            Err(error) => self.skip(path, &error.to_string()),
        }
    }

    fn skip(&mut self, path: &str, reason: &str) {
        self.skipped += 1;
        (self.tell)(&format!("skipped {path}: {reason}"));
    }

    fn summary(&self, path: &Path, bytes: usize) -> String {
        let [added, replaced, unchanged, older, deleted] = self.changes;
        format!(
            "{}: {bytes} bytes, as of {}\n{added} advisories added, {replaced} replaced, {unchanged} unchanged, {older} older than what is held, {deleted} deleted\n{} documents skipped, {} about single vulnerabilities left out\n",
            path.display(),
            self.newest,
            self.skipped,
            self.vulnerabilities,
        )
    }
}

pub(super) fn is_known(name: &str) -> bool {
    let plain = name.strip_suffix(".zst").unwrap_or(name);
    let name = plain.rsplit('/').next().unwrap_or(plain);
    let json = Path::new(name).extension().is_some_and(|end| end == "json");
    json || name == "changes.csv" || name == "deletions.csv"
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command reads what the user names"
)]
fn open(path: &Path) -> io::Result<fs::File> {
    fs::File::open(path)
}

fn limited(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_DOCUMENT as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_DOCUMENT {
        return Err(io::Error::other("it is larger than a document may be"));
    }
    Ok(bytes)
}
