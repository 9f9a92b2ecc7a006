//! A feed over the network: the whole archive when there is much to take over, else the documents
//! that changed since the last time.
//!
//! | file | for |
//! | --- | --- |
//! | `archive_latest.txt` | the name of the newest archive of all documents |
//! | `changes.csv`, `deletions.csv` | which documents changed and went, and when |
//! | `NAME.sha256` | checksum of an archive or a document |
//! | `NAME.asc` | its signature |
//! | `repository-to-cpe.json` | in the feed, or at Red Hat's place for it |

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;

use super::{
    changed::{documents, due},
    intake::{Intake, Kind},
    io_error,
    signed::Checks,
    store::Store,
    update::{before, digest, open, unpack},
    usage,
};
use crate::{
    advisory::{
        database::{Coverage, Origin},
        feed::{self, Changed},
        signature::{Checked, MAX_SIGNATURE},
    },
    error::Error,
    fetch::{Document, Downloaded, Site},
    oci::SourceError,
};

/// A name, a checksum.
pub(super) const MAX_WORD: usize = 4 << 10;
/// A list or a map.
const MAX_LIST: usize = 128 << 20;
/// All documents in one archive, packed; some 100 MB are expected.
const MAX_ARCHIVE: u64 = 16 << 30;
/// With more documents to fetch than this a newer archive is the shorter way.
const MANY: usize = 1_000;
/// Where Red Hat keeps the map, from the feed of advisories.
const MAPS: [&str; 2] = [
    "repository-to-cpe.json",
    "../../../metrics/repository-to-cpe.json",
];

/// What the small files of a feed say.
pub(super) struct Lists {
    /// `None` when it is the one that was taken over already
    pub(super) changes: Option<Vec<Changed>>,
    pub(super) deletions: Option<Vec<Changed>>,
    /// name and day of the newest archive
    archive: Option<(String, Timestamp)>,
    etags: BTreeMap<String, String>,
}

impl Lists {
    fn fetch(site: &Site, held: &Origin, known: bool) -> Result<Self, Error> {
        let tag = |name: &str| held.etags.get(name).filter(|_| known).map(String::as_str);
        let changes = site.document("changes.csv", tag("changes.csv"), MAX_LIST)?;
        let deletions = site.document("deletions.csv", tag("deletions.csv"), MAX_LIST)?;
        let mut etags = if known {
            held.etags.clone()
        } else {
            BTreeMap::new()
        };
        let lists = Self {
            changes: list(site, "changes.csv", changes, &mut etags)?,
            deletions: list(site, "deletions.csv", deletions, &mut etags)?,
            archive: latest(site)?,
            etags,
        };
        if lists.archive.is_none() && lists.changes.as_ref().is_some_and(Vec::is_empty) {
            return Err(usage(
                format!(
                    "{}: there is neither `archive_latest.txt` nor a `changes.csv` with entries",
                    site.address()
                ),
                "name the folder of a feed of CSAF advisories with `--from`",
            ));
        }
        Ok(lists)
    }

    /// The newest change, unless it is of the future.
    fn newest(&self, now: Timestamp) -> Option<Timestamp> {
        let times = self.changes.iter().flatten().map(|line| line.at.min(now));
        times.max()
    }
}

/// Takes over what is new; `false` when nothing is.
pub(super) fn update(site: &Site, intake: &mut Intake<'_>, store: &Store) -> Result<bool, Error> {
    let held = intake.origin();
    let whole = held.coverage == Coverage::Whole;
    let known = whole && held.feed.as_deref() == Some(site.address());
    let mut lists = Lists::fetch(site, &held, known)?;
    let listed = lists.newest(intake.now);
    let newest = listed.max(lists.archive.as_ref().map(|(_, day)| *day));
    let of = intake.as_of();
    if let Some(newest) = newest.filter(|newest| whole && listed.is_some() && *newest < of) {
        intake.console.warn(&format!(
            "{} is of {newest}, older than what is held, of {of}: nothing is taken from it",
            site.address()
        ));
        return Ok(false);
    }
    let mut position = held.position.filter(|_| whole);
    if let Some((name, day)) = lists.archive.take()
        && position.is_none_or(|at| before(day) > at && due(intake, &lists, at).len() > MANY)
    {
        from_archive(site, intake, store, &name)?;
        claim(site, intake, day.max(of_whole(whole, of)), |origin| {
            origin.archive = Some(name);
            origin.position = Some(before(day));
        })?;
        position = Some(before(day));
    }
    let rest = documents(site, intake, &mut lists, position);
    let mapped = match rest.and_then(|()| map(site, intake, &mut lists.etags)) {
        Ok(mapped) => mapped,
        Err(error) => {
            // what has come stays; the position does not move, so the rest is fetched the next time
            if intake.origin().coverage == Coverage::Whole {
                store.replace(&intake.contents)?;
            }
            return Err(error);
        }
    };
    let newest = newest.unwrap_or(of).max(of_whole(whole, of));
    claim(site, intake, newest, |origin| {
        origin.position = listed.max(position);
        origin.etags = lists.etags;
    })?;
    let moved = intake.origin() != held || intake.as_of() != of;
    Ok(mapped || moved || intake.offered() > 0)
}

/// The date of a part means nothing for the whole.
fn of_whole(whole: bool, of: Timestamp) -> Timestamp {
    if whole { of } else { Timestamp::MIN }
}

/// Says that everything up to a time is there now.
fn claim(
    site: &Site,
    intake: &mut Intake<'_>,
    to: Timestamp,
    change: impl FnOnce(&mut Origin),
) -> Result<(), Error> {
    intake
        .advance(to, site.address())
        .map_err(|error| usage(error.to_string(), ""))?;
    let origin = intake.origin_mut();
    origin.coverage = Coverage::Whole;
    origin.feed = Some(site.address().to_owned());
    change(origin);
    Ok(())
}

/// A list of the feed; `None` when it is the one that was taken over already.
fn list(
    site: &Site,
    name: &str,
    document: Document,
    etags: &mut BTreeMap<String, String>,
) -> Result<Option<Vec<Changed>>, Error> {
    let Document::New { bytes, etag } = document else {
        let missing = document == Document::Missing && name == "changes.csv";
        return Ok(missing.then(Vec::new));
    };
    let list = feed::changes(&String::from_utf8_lossy(&bytes));
    let list = list.map_err(|error| malformed(site, name, error.to_string()))?;
    etags.remove(name);
    etags.extend(etag.map(|etag| (name.to_owned(), etag)));
    Ok(Some(list))
}

fn malformed(site: &Site, name: &str, reason: String) -> SourceError {
    SourceError::Malformed {
        what: format!("{}{name}", site.address()),
        reason,
    }
}

/// Name and day of the newest archive.
fn latest(site: &Site) -> Result<Option<(String, Timestamp)>, Error> {
    let name = "archive_latest.txt";
    let Document::New { bytes, .. } = site.document(name, None, MAX_WORD)? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    let day = feed::archive_date(&text).ok_or_else(|| {
        let text: String = text.chars().take(80).collect();
        malformed(
            site,
            name,
            format!(
                "`{text}` is no name of an archive such as `csaf_advisories_2025-02-15.tar.zst`"
            ),
        )
    })?;
    Ok(Some((text, day)))
}

fn from_archive(
    site: &Site,
    intake: &mut Intake<'_>,
    store: &Store,
    name: &str,
) -> Result<(), Error> {
    let part = store.part(intake.kind);
    let sum = site.document(&format!("{name}.sha256"), None, MAX_WORD)?;
    let signature = site.document(&format!("{name}.asc"), None, MAX_SIGNATURE)?;
    let bar = intake.console.bytes("fetching advisories");
    let fetched = site.download(name, &part, MAX_ARCHIVE, &|done, total| bar.at(done, total))?;
    drop(bar);
    if fetched == Downloaded::Missing {
        return Err(malformed(
            site,
            "archive_latest.txt",
            format!("it names `{name}`, and there is none"),
        )
        .into());
    }
    let io = |error: std::io::Error| io_error(&part, &error);
    let checks = match check(site, intake, name, &part, [sum, signature]) {
        Ok(checks) => checks,
        Err(error) => {
            Site::forget(&part).map_err(io)?;
            return Err(error);
        }
    };
    let before = intake.taken();
    // what is still unreadable in the archive is listed again
    intake.origin_mut().unread.clear();
    let file = open(&part).map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    let wrong = match unpack(file, true, bytes, intake) {
        Ok(0) => Some("it holds no document".to_owned()),
        Ok(_) => None,
        Err(error) => Some(format!("it cannot be unpacked: {error}")),
    };
    if let Some(wrong) = wrong {
        Site::forget(&part).map_err(io)?;
        return Err(malformed(site, name, wrong).into());
    }
    intake.checked(checks, before);
    Ok(())
}

/// Checks a whole archive by its checksum and its signature, when there are any.
fn check(
    site: &Site,
    intake: &Intake<'_>,
    name: &str,
    part: &Path,
    [sum, signature]: [Document; 2],
) -> Result<Checks, Error> {
    let io = |error: std::io::Error| io_error(part, &error);
    let sum = match sum {
        Document::New { bytes, .. } => feed::checksum(&String::from_utf8_lossy(&bytes)),
        _ => None,
    };
    if let Some(expected) = &sum {
        let actual = digest(&mut open(part).map_err(io)?).map_err(io)?;
        if actual != *expected {
            return Err(Error::Source(SourceError::Mismatch {
                what: format!("{}{name}", site.address()),
                expected: format!("sha256 {expected}"),
                actual: format!("sha256 {actual}"),
            }));
        }
    }
    let signature = match signature {
        Document::New { bytes, .. } => Some(bytes),
        _ => None,
    };
    let mut content = || Ok(Box::new(open(part)?) as Box<dyn std::io::Read>);
    let signature = intake.judge.check(signature.as_deref(), &mut content);
    let signature: Option<Checked> =
        signature.map_err(|reason| Error::Source(malformed(site, name, reason)))?;
    Ok(Checks {
        sum: sum.is_some(),
        signature,
    })
}

/// The map of repositories to products; `true` when there is a new one.
fn map(
    site: &Site,
    intake: &mut Intake<'_>,
    etags: &mut BTreeMap<String, String>,
) -> Result<bool, Error> {
    if intake.kind == Kind::Vex {
        return Ok(false); // it comes with the advisories
    }
    for path in MAPS {
        let etag = etags.get(MAPS[0]).cloned();
        match site.document(path, etag.as_deref(), MAX_LIST)? {
            Document::Same => return Ok(false),
            Document::Missing => {}
            Document::New { bytes, etag } => {
                let map = feed::repositories(&bytes);
                let map = map.map_err(|error| malformed(site, path, error.to_string()))?;
                intake.contents.set_repositories(map);
                etags.remove(MAPS[0]);
                etags.extend(etag.map(|etag| (MAPS[0].to_owned(), etag)));
                return Ok(true);
            }
        }
    }
    intake.console.warn(&format!(
        "{} has no `repository-to-cpe.json`, so that products are told by labels and releases alone",
        site.address()
    ));
    Ok(false)
}
