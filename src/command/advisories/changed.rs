//! The documents of a feed that changed since the last time, each with its checksum and signature.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    intake::{Intake, is_older, place},
    network::{Lists, MAX_WORD},
    signed::Checks,
    update::digest,
    usage,
};
use crate::{
    advisory::{
        csaf::MAX_DOCUMENT,
        feed::{self, Changed},
        signature::MAX_SIGNATURE,
    },
    error::Error,
    fetch::{Document, Site},
    oci::SourceError,
};

/// Places of the documents that changed since a position and are not held in that version.
pub(super) fn due(intake: &Intake<'_>, lists: &Lists, position: Timestamp) -> Vec<String> {
    let newer = |line: &&Changed| {
        let held = intake.held(line);
        line.at >= position && held.is_none_or(|held| is_older(held, line.at))
    };
    let changes = lists.changes.iter().flatten();
    changes
        .filter(newer)
        .filter(|line| intake.concerns(line))
        .map(|line| line.path.clone())
        .collect()
}

/// Deletions, then the changed documents, then those that could not be read the last time.
pub(super) fn documents(
    site: &Site,
    intake: &mut Intake<'_>,
    lists: &mut Lists,
    position: Option<Timestamp>,
) -> Result<(), Error> {
    intake.deletions(lists.deletions.take().unwrap_or_default());
    let mut due = due(intake, lists, position.unwrap_or(Timestamp::MIN));
    let again = intake.origin().unread.into_keys();
    let again: Vec<String> = again
        .filter(|path| intake.is_own(path) && !due.contains(path))
        .collect();
    due.extend(again);
    let (good, bad): (Vec<_>, Vec<_>) = due.into_iter().partition(|path| is_plain(path));
    for path in bad {
        intake.skip(&path, "it does not lie in the feed");
    }
    fetch(site, intake, &good)?;
    tell_stale(intake, lists, &good);
    Ok(())
}

/// A mirror can have a newer list than documents. They are listed as unread, so that they are
/// fetched again the next time.
fn tell_stale(intake: &mut Intake<'_>, lists: &Lists, fetched: &[String]) {
    let fetched: BTreeSet<&str> = fetched.iter().map(String::as_str).collect();
    let unread = intake.origin().unread;
    for line in lists.changes.iter().flatten() {
        if !fetched.contains(line.path.as_str()) || unread.contains_key(place(&line.path)) {
            continue;
        }
        let held = intake.held(line);
        if let Some(held) = held.filter(|held| is_older(*held, line.at)) {
            let why = format!(
                "the list of changes has it of {}, and the source gives the version of {held}",
                line.at
            );
            intake.skip(&line.path, &why);
        }
    }
}

/// What lies beside a document, in the order in which it is fetched.
const ENDS: [&str; 3] = ["", ".sha256", ".asc"];

/// A document, its checksum and its signature, as far as they are there.
type Parts = Vec<Option<Vec<u8>>>;

/// Each document with its checksum and signature.
fn fetch(site: &Site, intake: &mut Intake<'_>, places: &[String]) -> Result<(), Error> {
    let with_ends = |path: &String| ENDS.map(|end| format!("{path}{end}"));
    let paths: Vec<String> = places.iter().flat_map(with_ends).collect();
    let bar = intake.console.bytes("fetching changed advisories");
    let total = places.len() as u64;
    let limit = |path: &str| match path.rsplit_once('.') {
        Some((_, "sha256")) => MAX_WORD,
        Some((_, "asc")) => MAX_SIGNATURE,
        _ => MAX_DOCUMENT,
    };
    let mut places = places.iter().zip(1..);
    let mut parts = Vec::new();
    let mut failed = None;
    site.documents(&paths, &limit, &mut |_, document| {
        parts.push(document);
        if parts.len() < ENDS.len() {
            return true;
        }
        let Some((path, done)) = places.next() else {
            return false;
        };
        bar.at(done, Some(total));
        let taken = whole(std::mem::take(&mut parts)).and_then(|parts| match parts {
            Ok(parts) => take(intake, path, parts),
            Err(reason) => refuse(intake, path, &reason),
        });
        failed = taken.err();
        failed.is_none()
    });
    failed.map_or(Ok(()), Err)
}

/// What is larger than it may be is a fault of that document alone; whatever else fails is the
/// source's.
fn whole(parts: Vec<Result<Document, SourceError>>) -> Result<Result<Parts, String>, Error> {
    let mut bytes = Vec::new();
    for part in parts {
        match part {
            Ok(Document::New { bytes: own, .. }) => bytes.push(Some(own)),
            Ok(_) => bytes.push(None),
            Err(error @ SourceError::TooLarge { .. }) => return Ok(Err(error.to_string())),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Ok(bytes))
}

/// A document is left out, or the update ends, as the user wants it.
fn refuse(intake: &mut Intake<'_>, path: &str, reason: &str) -> Result<(), Error> {
    if intake.judge.required() {
        return Err(usage(format!("{path}: {reason}"), ""));
    }
    intake.skip(path, reason);
    Ok(())
}

fn take(intake: &mut Intake<'_>, path: &str, parts: Parts) -> Result<(), Error> {
    let [document, sum, signature] = parts.try_into().unwrap_or_default();
    let Some(bytes) = document else {
        intake.skip(path, "the feed lists it and has none");
        return Ok(());
    };
    let named = sum.and_then(|sum| feed::checksum(&String::from_utf8_lossy(&sum)));
    let own = digest(&mut bytes.as_slice()).ok();
    if let (Some(named), Some(own)) = (&named, &own)
        && named != own
    {
        let why = format!("its SHA-256 is {own}, and the feed says {named}");
        intake.skip(path, &why);
        return Ok(());
    }
    let checked = intake.judge.check_bytes(signature.as_deref(), &bytes);
    let signature = match checked {
        Ok(signature) => signature,
        Err(reason) => return refuse(intake, path, &reason),
    };
    let before = intake.taken();
    intake.document(place(path), &bytes);
    let sum = named.is_some();
    intake.checked(Checks { sum, signature }, before);
    Ok(())
}

/// A path that stays in the feed: a list must not lead a request elsewhere.
fn is_plain(path: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte);
    path.bytes().all(good)
        && path
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.'))
}
