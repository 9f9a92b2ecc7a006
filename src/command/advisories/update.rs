//! Takes over a feed: from the network, a directory or an archive.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    intake::{Intake, Kind, TOO_LARGE, is_known, limited},
    io_error, network,
    signed::{self, Checks, Judge},
    store::Store,
    tar::entries,
    usage,
};
use crate::{
    advisory::{database::Coverage, feed, known_ends_of_life},
    error::Error,
    fetch::Site,
    oci::BlobHasher,
    progress::Console,
    registry::RegistryOptions,
};

/// Red Hat's feed.
pub(super) const FEED: &str = "https://security.access.redhat.com/data/csaf/v2/advisories/";

/// Red Hat's feed of documents of vulnerabilities, of the newer generation; the older one is beside it
/// in `vex/`.
pub(super) const VEX_FEED: &str = "https://security.access.redhat.com/data/csaf/v2/vex-feed/";

/// What is asked.
pub(super) struct Request<'a> {
    /// address, directory or archive
    pub(super) from: &'a Path,
    /// the same, of the documents of vulnerabilities
    pub(super) vex: Option<&'a Path>,
    /// the database
    pub(super) database: &'a Path,
    /// the files given are all that count
    pub(super) complete: bool,
    /// files with keys that signatures are checked by
    pub(super) keys: &'a [PathBuf],
    /// what has no signature that holds ends the update
    pub(super) require_signature: bool,
    pub(super) now: Timestamp,
}

pub(super) fn update(
    request: &Request<'_>,
    options: &RegistryOptions,
    console: &Console,
) -> Result<String, Error> {
    let judge = Judge::new(
        request.keys,
        request.require_signature,
        request.now,
        console,
    )?;
    let store = Store::open(request.database)?;
    let contents = store.contents()?;
    let mut intake = Intake::new(Kind::Advisories, contents, &judge, request.now, console);
    let ends = known_ends_of_life().map_err(|error| Error::Bug(error.to_string()))?;
    intake.contents.set_ends_of_life(ends);
    let mut text = take_over(request, request.from, options, &mut intake, &store)?;
    if !intake.contents.origin().coverage.grades() {
        console.warn("the database holds some advisories alone, so that no image gets a grade by it; fetch all, or say with `--complete` that the files given are all");
    }
    if let Some(from) = request.vex {
        let mut second = Intake::new(Kind::Vex, intake.contents, &judge, request.now, console);
        text += &take_over(request, from, options, &mut second, &store)?;
    }
    Ok(text)
}

/// One source into the database, which is replaced when there is something new.
fn take_over(
    request: &Request<'_>,
    from: &Path,
    options: &RegistryOptions,
    intake: &mut Intake<'_>,
    store: &Store,
) -> Result<String, Error> {
    let address = from.to_str().filter(|from| from.contains("://"));
    if let Some(address) = address {
        if request.complete && intake.kind == Kind::Advisories {
            return Err(usage(
                "`--complete` is for directories and archives",
                "a feed says itself what it has",
            ));
        }
        let site = Site::open(address, options)?;
        let moved = network::update(&site, intake, store)?;
        intake.tell_unknown();
        if !moved {
            forget(store, intake.kind)?;
            let path = store.path().display();
            return Ok(format!(
                "{path}: as of {}, nothing new at {}\n",
                intake.as_of(),
                match intake.kind {
                    Kind::Advisories => "the source",
                    Kind::Vex => "the source of vulnerabilities",
                }
            ));
        }
    } else {
        files(request, from, intake)?;
        intake.tell_unknown();
    }
    let bytes = store.replace(&intake.contents)?;
    if address.is_some() {
        forget(store, intake.kind)?;
    }
    Ok(format!(
        "{}: {bytes} bytes, as of {}\n{}",
        store.path().display(),
        intake.as_of(),
        intake.summary()
    ))
}

/// The archive is used up.
fn forget(store: &Store, kind: Kind) -> Result<(), Error> {
    let part = store.part(kind);
    Site::forget(&part).map_err(|error| io_error(&part, &error))
}

/// What files say of how complete they are.
#[derive(Default)]
struct Given {
    /// the day in the name of a whole archive
    whole: Option<Timestamp>,
}

fn files(request: &Request<'_>, from: &Path, intake: &mut Intake<'_>) -> Result<(), Error> {
    let mut given = Given::default();
    if from.is_dir() {
        directory(from, intake, &mut given)?;
    } else {
        archive(from, intake, &mut given)?;
    }
    let name = from.file_name().map_or_else(
        || from.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    );
    let listed = intake
        .listed
        .iter()
        .map(|line| line.at.min(intake.now))
        .max();
    let all = intake.has_all_that_is_listed();
    if !all {
        tell_lacking(intake);
    }
    let listed = listed.filter(|_| all);
    let whole = all || given.whole.is_some();
    let date = if whole && !request.complete {
        given.whole.max(listed).unwrap_or(intake.newest)
    } else {
        intake.newest.max(listed.unwrap_or(Timestamp::MIN))
    };
    let held = intake.origin().coverage;
    if request.complete || whole {
        let date = date.max(intake.as_of());
        advance(intake, date, &name)?;
        let position = given.whole.map(before).max(listed);
        let origin = intake.origin_mut();
        origin.coverage = if request.complete {
            Coverage::Declared
        } else {
            Coverage::Whole
        };
        origin.position = position.filter(|_| whole && !request.complete);
        origin.feed = None;
        origin.etags.clear();
    } else if intake.offered() > 0 && held == Coverage::Partial {
        // more documents do not make a whole database newer than its last whole state
        let date = date.max(intake.as_of());
        advance(intake, date, &name)?;
    }
    Ok(())
}

/// A list that names what is not there, or not in that version, does not make the rest whole.
fn tell_lacking(intake: &Intake<'_>) {
    let mut lacking = intake.lacking();
    let Some(first) = lacking.next() else { return };
    let held = intake.held(first);
    let there = held.map_or_else(
        || "is not there".to_owned(),
        |held| format!("is there in the version of {held}"),
    );
    intake.console.warn(&format!(
        "`changes.csv` names {} documents that are missing or older here: {} of {} {there}",
        1 + lacking.count(),
        first.path,
        first.at
    ));
}

fn advance(intake: &mut Intake<'_>, to: Timestamp, source: &str) -> Result<(), Error> {
    let done = intake.advance(to, source);
    done.map_err(|error| usage(error.to_string(), ""))
}

/// An archive is made in the course of its day, from a state that may be of the day before.
pub(super) fn before(archive: Timestamp) -> Timestamp {
    archive
        .checked_sub(jiff::SignedDuration::from_hours(24))
        .unwrap_or(archive)
}

fn directory(from: &Path, intake: &mut Intake<'_>, given: &mut Given) -> Result<(), Error> {
    let mut newest = None;
    let mut names = Vec::new();
    for entry in walkdir::WalkDir::new(from).sort_by_file_name() {
        let entry = entry.map_err(|error| usage(error.to_string(), ""))?;
        if !entry.file_type().is_file() {
            continue;
        }
        let name = entry.path().strip_prefix(from).unwrap_or(entry.path());
        let name = name.to_string_lossy().into_owned();
        if is_known(&name) {
            names.push((name, entry.into_path()));
        } else if intake.is_archive(entry.file_name().to_str().unwrap_or_default()) {
            newest = newest.max(Some((entry.file_name().to_owned(), entry.into_path())));
        }
    }
    if names.is_empty() && newest.is_none() {
        return Err(nothing(from));
    }
    if let Some((_, path)) = newest {
        archive(&path, intake, given)?;
    }
    for (name, path) in names {
        let before = intake.taken();
        let content = open(&path).and_then(|file| limited(&mut { file }));
        let content = content.map_err(|error| error.to_string());
        let checked = content.and_then(|content| {
            let checks = check(&path, &content, is_list(&name), intake.judge)?;
            Ok((content, checks))
        });
        match checked {
            Ok((content, checks)) => {
                intake.file(&name, &content);
                intake.checked(checks, before);
            }
            Err(why) if intake.judge.required() => {
                return Err(usage(format!("{}: {why}", path.display()), ""));
            }
            Err(why) => intake.skip(&name, &why),
        }
    }
    Ok(())
}

/// Lists and the map are not signed by feeds.
fn is_list(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or(name);
    !name.contains(".json") || name.starts_with("repository-to-cpe")
}

fn archive(from: &Path, intake: &mut Intake<'_>, given: &mut Given) -> Result<(), Error> {
    let io = |error: io::Error| io_error(from, &error);
    let name = from.file_name().and_then(|name| name.to_str());
    let day = name.and_then(feed::archive_date);
    let size = fs::metadata(from).map_err(io)?.len();
    let sum = beside(from, "sha256");
    if let Some(sum) = &sum {
        let own = digest(&mut open(from).map_err(io)?).map_err(io)?;
        if *sum != own {
            return Err(usage(
                format!(
                    "{}: its SHA-256 is {own}, and the file beside it says {sum}",
                    from.display()
                ),
                "fetch both again",
            ));
        }
    }
    let signature = intake.judge.check_file(from);
    let signature =
        signature.map_err(|why| usage(format!("{}: {why}", from.display()), "fetch both again"))?;
    let before = intake.taken();
    let packed = from.extension().is_some_and(|end| end == "zst");
    let count = unpack(open(from).map_err(io)?, packed, size, intake).map_err(io)?;
    if count == 0 {
        return Err(nothing(from));
    }
    let sum = sum.is_some();
    intake.checked(Checks { sum, signature }, before);
    given.whole = day;
    let origin = intake.origin_mut();
    origin.archive = name.filter(|_| day.is_some()).map(str::to_owned);
    Ok(())
}

/// Nothing that was found is not the same as nothing that is new.
fn nothing(from: &Path) -> Error {
    usage(
        format!("{} holds nothing of a feed", from.display()),
        "name a folder with documents (`.json`, `.json.zst`) or an archive `csaf_advisories_YYYY-MM-DD.tar.zst`, or an archive of any name itself",
    )
}

/// Takes over an archive's documents. Returns how many files of a feed it has.
pub(super) fn unpack(
    file: impl Read,
    packed: bool,
    size: u64,
    intake: &mut Intake<'_>,
) -> io::Result<usize> {
    let console = intake.console;
    let bar = console.bytes("reading advisories");
    let counted = Counted {
        inner: file,
        done: 0,
        tell: &|done| bar.at(done, Some(size)),
    };
    let mut stream: Box<dyn Read + '_> = if packed {
        Box::new(zstd::Decoder::new(counted)?)
    } else {
        Box::new(io::BufReader::new(counted))
    };
    entries(&mut *stream, &mut |name, content| match content {
        Some(content) => intake.file(name, content),
        None => intake.skip(name, TOO_LARGE),
    })
}

struct Counted<'a, R> {
    inner: R,
    done: u64,
    tell: &'a dyn Fn(u64),
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.done += n as u64;
        (self.tell)(self.done);
        Ok(n)
    }
}

/// Whether there are a checksum and a signature beside a document; they must be the document's.
fn check(path: &Path, content: &[u8], is_list: bool, judge: &Judge) -> Result<Checks, String> {
    let named = beside(path, "sha256");
    if let Some(sum) = &named {
        let own = digest(&mut { content }).map_err(|error| error.to_string())?;
        if own != *sum {
            return Err(format!(
                "its SHA-256 is {own}, and the file beside it says {sum}"
            ));
        }
    }
    let signature = signed::beside(path).map_err(|error| format!("its signature: {error}"))?;
    let signature = match signature {
        None if is_list => None,
        signature => judge.check_bytes(signature.as_deref(), content)?,
    };
    let sum = named.is_some();
    Ok(Checks { sum, signature })
}

/// What the checksum file beside a file names.
fn beside(path: &Path, end: &str) -> Option<String> {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    let mut text = String::new();
    let file = open(Path::new(&name)).ok()?;
    file.take(4096).read_to_string(&mut text).ok()?;
    feed::checksum(&text)
}

/// SHA-256 in hex.
pub(super) fn digest(from: &mut dyn Read) -> io::Result<String> {
    let mut hash = BlobHasher::default();
    let mut piece = vec![0; 64 << 10];
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(hash.finish().digest().to_owned()),
            n => hash.update(piece.get(..n).unwrap_or_default()),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command reads what the user names"
)]
pub(super) fn open(path: &Path) -> io::Result<fs::File> {
    fs::File::open(path)
}
