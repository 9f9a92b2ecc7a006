//! What is in a database: how old, from where, how much of the feed, checked how.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    advisory::{
        Cpe,
        database::{Coverage, Database, Origin},
    },
    report::printable,
};

/// Products that are told one by one; the others are counted.
const PRODUCTS: usize = 20;
/// Documents that could not be read and are named.
const UNREAD: usize = 10;

pub(super) fn status(path: &Path, database: &Database<'_>, now: Timestamp) -> String {
    let counts = database.counts();
    let origin = database.origin();
    let days = (now.as_second() - database.as_of().as_second()) / 86_400;
    let mut lines = vec![
        ("database", path.display().to_string()),
        ("source", database.source().to_owned()),
        ("as of", format!("{} ({days} days ago)", database.as_of())),
        ("coverage", coverage(&origin)),
        ("verified", verified(&origin)),
        (
            "advisories",
            format!("{}, {} deleted", counts.advisories, counts.deleted),
        ),
        ("shipped", shipped(database)),
        (
            "packages",
            format!("{} rows of {} names", counts.rows, counts.names),
        ),
        ("vulnerabilities", counts.cves.to_string()),
        ("repositories", counts.repositories.to_string()),
        ("life cycle", format!("{} dates", counts.ends_of_life)),
    ];
    unread(&origin, &mut lines);
    if let Some(second) = &origin.vex {
        let days = (now.as_second() - second.as_of.as_second()) / 86_400;
        lines.extend([
            ("vex", second.source.clone()),
            ("vex as of", format!("{} ({days} days ago)", second.as_of)),
            ("vex coverage", vex_coverage(&second.origin)),
            ("vex verified", verified(&second.origin)),
            (
                "vex documents",
                format!(
                    "{} with {} statements",
                    counts.vulnerability_documents, counts.statements
                ),
            ),
        ]);
        unread(&second.origin, &mut lines);
    }
    let mut text = lines
        .into_iter()
        .fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "{name:<15} {}", printable(&value));
            text
        });
    products(database, &mut text);
    text
}

fn unread(origin: &Origin, lines: &mut Vec<(&'static str, String)>) {
    for (path, why) in origin.unread.iter().take(UNREAD) {
        lines.push(("unread", format!("{path}: {why}")));
    }
    if let Some(more) = origin.unread.len().checked_sub(UNREAD + 1) {
        lines.push(("unread", format!("{} more", more + 1)));
    }
}

/// Nothing of it grades, so some documents are as good as they are.
fn vex_coverage(origin: &Origin) -> String {
    match origin.coverage {
        Coverage::Partial => "some documents".to_owned(),
        Coverage::Declared | Coverage::Whole => coverage(origin),
    }
}

fn coverage(origin: &Origin) -> String {
    match origin.coverage {
        Coverage::Partial => "some advisories alone: no image gets a grade by them".to_owned(),
        Coverage::Declared => "all that count, as the user said".to_owned(),
        Coverage::Whole => {
            let archive = origin.archive.as_ref();
            let archive = archive.map_or_else(String::new, |name| format!(", since {name}"));
            let position = origin.position;
            let position = position.map_or_else(String::new, |at| format!(", changes up to {at}"));
            format!("the whole feed{archive}{position}")
        }
    }
}

fn verified(origin: &Origin) -> String {
    let verified = origin.verified;
    let list = |keys: &BTreeSet<String>| keys.iter().cloned().collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "{} files by the SHA-256 that the source names, {} without one; ",
        verified.sha256, verified.unnamed
    );
    let _ = match verified.signed {
        0 => write!(text, "none by a signature"),
        signed => write!(text, "{signed} by a signature of {}", list(&origin.signers)),
    };
    if verified.unchecked > 0 {
        let _ = write!(
            text,
            ", {} with a signature and no key to check it with ({})",
            verified.unchecked,
            list(&origin.unknown_signers)
        );
    }
    text
}

/// First and last day on which a fix was shipped.
fn shipped(database: &Database<'_>) -> String {
    let days = database.advisories().map(|advisory| advisory.released);
    let (first, last) = days.fold((None, None), |(first, last), at| {
        let first = Some(first.map_or(at, |first: Timestamp| first.min(at)));
        (first, last.max(Some(at)))
    });
    let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
    match (first, last) {
        (Some(first), Some(last)) => format!("{} to {}", day(first), day(last)),
        _ => "never".to_owned(),
    }
}

/// Advisories for each product, the products with most of them first.
fn products(database: &Database<'_>, text: &mut String) {
    let mut products: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for (cpe, advisory) in database.products() {
        let key = Cpe::parse(cpe).map_or_else(|| cpe.to_owned(), |cpe| cpe.key());
        products.entry(key).or_default().insert(advisory);
    }
    let mut sorted: Vec<_> = products.into_iter().collect();
    sorted.sort_by_key(|(_, advisories)| std::cmp::Reverse(advisories.len()));
    for (name, advisories) in sorted.iter().take(PRODUCTS) {
        let name = printable(name);
        let _ = writeln!(text, "{:<15} {name} {}", "product", advisories.len());
    }
    if sorted.len() > PRODUCTS {
        let _ = writeln!(text, "{:<15} {} more", "product", sorted.len() - PRODUCTS);
    }
}
