//! `plimsoll advisories`: makes the advisory database and tells what is in it.

use std::{
    fs,
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tar_core::parse::{Limits, ParseEvent, Parser};

use crate::{
    advisory::{
        csaf::{self, MAX_DOCUMENT, ParseError},
        database::{Contents, Database},
        feed, known_ends_of_life,
    },
    config::{Environment, cli::AdvisoriesCommand},
    error::Error,
    gather::read_database,
};

/// Where the database lies unless the user says otherwise: `plimsoll/advisories.db` in the user's
/// data directory (XDG Base Directory Specification).
pub(super) fn database_path(environment: &Environment) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let data = environment.path("XDG_DATA_HOME").filter(absolute);
    let home = || {
        Some(
            environment
                .path("HOME")
                .filter(absolute)?
                .join(".local/share"),
        )
    };
    Some(data.or_else(home)?.join("plimsoll/advisories.db"))
}

/// Does what was asked; the text is for standard output, `tell` for what happens meanwhile.
pub(super) fn run(
    command: &AdvisoriesCommand,
    environment: &Environment,
    directory: &Path,
    now: Timestamp,
    tell: &dyn Fn(&str),
) -> Result<String, Error> {
    let database = match command {
        AdvisoriesCommand::Update { database, .. }
        | AdvisoriesCommand::Status { database }
        | AdvisoriesCommand::Show { database, .. } => database,
    };
    let path = database.as_ref().map(|path| directory.join(path));
    let path = path.or_else(|| database_path(environment)).ok_or_else(|| {
        usage(
            "neither `XDG_DATA_HOME` nor `HOME` says where the advisory database lies",
            "name it with `--database`",
        )
    })?;
    match command {
        AdvisoriesCommand::Update { from, .. } => update(&directory.join(from), &path, tell),
        AdvisoriesCommand::Status { .. } => {
            with(&path, |database| Ok(status(&path, database, now)))
        }
        AdvisoriesCommand::Show { id, .. } => with(&path, |database| show(database, id)),
    }
}

fn usage(what: impl Into<String>, hint: &str) -> Error {
    let hint = (!hint.is_empty()).then(|| hint.to_owned());
    Error::Usage {
        what: what.into(),
        hint,
    }
}

fn io_error(path: &Path, error: &io::Error) -> Error {
    usage(format!("{}: {error}", path.display()), "")
}

fn with<T>(path: &Path, read: impl FnOnce(&Database<'_>) -> Result<T, Error>) -> Result<T, Error> {
    let file = read_database(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => usage(
            format!("there is no advisory database at {}", path.display()),
            "make one with `plimsoll advisories update --from DIR`",
        ),
        _ => io_error(path, &error),
    })?;
    let database =
        Database::open(&file).map_err(|error| usage(format!("{}: {error}", path.display()), ""))?;
    read(&database)
}

// --- update ---------------------------------------------------------------------------------------

/// What an update does to the contents, and what it has to tell.
struct Update<'a> {
    contents: Contents,
    newest: Timestamp,
    changes: [usize; 5],
    vulnerabilities: usize,
    skipped: usize,
    tell: &'a dyn Fn(&str),
}

fn update(from: &Path, path: &Path, tell: &dyn Fn(&str)) -> Result<String, Error> {
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
    let name = from.file_name().map_or_else(
        || from.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    );
    update
        .contents
        .advance(newest, &name)
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
        self.newest = self.newest.max(parsed.advisory.revised);
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
                    .fold(self.newest, Timestamp::max)
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

fn is_known(name: &str) -> bool {
    let plain = name.strip_suffix(".zst").unwrap_or(name);
    let name = plain.rsplit('/').next().unwrap_or(plain);
    name.ends_with(".json") || name == "changes.csv" || name == "deletions.csv"
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

/// The files of a tar stream that belong to a feed.
fn entries(from: &mut dyn Read, each: &mut dyn FnMut(&str, &[u8])) -> io::Result<()> {
    let mut parser = Parser::new(Limits::default());
    let mut held: Vec<u8> = Vec::new();
    loop {
        match parser.parse(&held).map_err(io::Error::other)? {
            ParseEvent::NeedData { .. } => {
                let before = held.len();
                from.take(64 << 10).read_to_end(&mut held)?;
                if held.len() == before {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            ParseEvent::Entry { consumed, entry } => {
                let (size, padded) = (entry.size, entry.padded_size());
                let name = String::from_utf8_lossy(entry.path.as_ref()).into_owned();
                held.drain(..consumed);
                let missing = padded.saturating_sub(held.len() as u64);
                if size > MAX_DOCUMENT as u64 {
                    return Err(io::Error::other(format!(
                        "{name} is larger than a document may be"
                    )));
                }
                from.take(missing).read_to_end(&mut held)?;
                let (size, padded) = (usize::try_from(size), usize::try_from(padded));
                let (Ok(size), Ok(padded)) = (size, padded) else {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                };
                let content = held.get(..size).ok_or(io::ErrorKind::UnexpectedEof)?;
                if is_known(&name) {
                    each(&name, content);
                }
                held.drain(..padded.min(held.len()));
            }
            ParseEvent::End { .. } => return Ok(()),
            ParseEvent::GlobalExtensions { consumed, .. }
            | ParseEvent::SparseEntry { consumed, .. } => {
                held.drain(..consumed);
            }
        }
    }
}

// --- status, show ---------------------------------------------------------------------------------

fn status(path: &Path, database: &Database<'_>, now: Timestamp) -> String {
    let counts = database.counts();
    let days = (now.as_second() - database.as_of().as_second()) / 86_400;
    format!(
        "database      {}\nsource        {}\nas of         {} ({days} days ago)\nadvisories    {}, {} deleted\npackages      {} rows of {} names\nvulnerabilities {}\nrepositories  {}\nlife cycle    {} dates\n",
        path.display(),
        database.source(),
        database.as_of(),
        counts.advisories,
        counts.deleted,
        counts.rows,
        counts.names,
        counts.cves,
        counts.repositories,
        counts.ends_of_life,
    )
}

fn show(database: &Database<'_>, id: &str) -> Result<String, Error> {
    let Some(advisory) = database.advisory(id) else {
        return Err(usage(
            format!(
                "the advisory database of {} does not hold `{id}`",
                database.as_of()
            ),
            "ids look like `RHSA-2024:0010`",
        ));
    };
    let mut text = format!(
        "{}: {}\nseverity  {}\nshipped   {}\nfixes     {}\nsee       https://access.redhat.com/errata/{}\n",
        advisory.id,
        advisory.title,
        advisory.severity,
        advisory.released,
        advisory.cves.join(", "),
        advisory.id,
    );
    let mut product = String::new();
    let mut rows = database.rows_of_advisory(id);
    rows.sort_by(|one, other| (&one.cpe, &one.name).cmp(&(&other.cpe, &other.name)));
    for row in rows {
        if row.cpe != product {
            text.push_str(&format!("\n{}\n", row.cpe));
            product.clone_from(&row.cpe);
        }
        let module = row
            .module
            .map_or_else(String::new, |module| format!(" ({module})"));
        let arches: Vec<_> = row.arches.names().collect();
        text.push_str(&format!(
            "  {} {}{module}  {}\n",
            row.name,
            row.fixed,
            arches.join(" ")
        ));
    }
    Ok(text)
}
