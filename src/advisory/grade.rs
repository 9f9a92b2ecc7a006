//! The Container Health Index: a grade from A to F, and when it will drop.
//!
//! Only Critical and Important advisories count, by how long ago their fix was shipped. Images do not
//! change, so grades only get worse with time, and the list of future grades follows from what is
//! known today. Moderate and Low advisories never count.

use std::fmt;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::Serialize;

use super::{
    EndOfLife, Severity,
    database::Coverage,
    matching::{Evidence, Matched},
};

/// A grade, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Grade {
    /// nothing that counts is missing
    A,
    /// Critical up to 7 days, Important up to 30
    B,
    /// Critical up to 30 days, Important up to 90
    C,
    /// Critical up to 90 days, Important up to 365
    D,
    /// Critical up to 365 days
    E,
    /// older, or out of life
    F,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Days after which a missing fix grades worse: the grade holds when it is *older* than that.
const CRITICAL: [(i64, Grade); 4] = [
    (7, Grade::C),
    (30, Grade::D),
    (90, Grade::E),
    (365, Grade::F),
];
const IMPORTANT: [(i64, Grade); 3] = [(30, Grade::C), (90, Grade::D), (365, Grade::F)];

const DAY: i64 = 86_400;

/// The time that a grade is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// A second. Ages are counted in seconds, except from ship times at midnight UTC exactly: those
    /// are dates, and their age is counted in whole days.
    Instant(Timestamp),
    /// A day. All ages are counted in whole days, UTC.
    Day(Date),
}

impl AsOf {
    /// The second it stands for; a day begins at midnight UTC.
    pub fn timestamp(self) -> Timestamp {
        match self {
            Self::Instant(at) => at,
            Self::Day(day) => midnight(day),
        }
    }
}

/// Grade from one time to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// the grade
    pub grade: Grade,
    /// from this second on
    pub start: Timestamp,
    /// first second of the next grade; `None` for the last one
    pub end: Option<Timestamp>,
}

/// The grade of an image, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// it is graded
    Graded {
        /// as of the time asked for
        grade: Grade,
        /// from that time on
        timeline: Vec<Span>,
    },
    /// it cannot be graded
    Unknown(Unknown),
}

impl Health {
    /// When the grade drops next, and to what.
    pub fn next_drop(&self) -> Option<(Timestamp, Grade)> {
        match self {
            Self::Graded { timeline, .. } => timeline.get(1).map(|span| (span.start, span.grade)),
            Self::Unknown(_) => None,
        }
    }
}

/// Why an image has no grade. That is not the same as A.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// the image says that it is something else
    #[error("the image is {0}, and Red Hat grades Red Hat Enterprise Linux alone")]
    NotRhel(String),
    /// nothing to look up
    #[error("no package of the image is signed by Red Hat or names it as its vendor")]
    NothingSigned,
    /// nothing to look up in
    #[error(
        "no product is known that the packages come from: neither content sets nor repositories nor a release name one"
    )]
    NoProduct,
    /// nothing is known
    #[error("the advisory database is empty")]
    NoAdvisories,
    /// what is known may not be all
    #[error(
        "the advisory database holds some of Red Hat's advisories alone, and an image that lacks none of them may lack another; fetch all with `plimsoll advisories update`, or say with `--complete` that the files are all"
    )]
    Partial,
    /// too little is known
    #[error(
        "the advisory data is of {of}, {days} days before {asked}, and {limit} are allowed; run `plimsoll advisories update`"
    )]
    Outdated {
        /// day of the data
        of: Date,
        /// its age
        days: i64,
        /// day asked for
        asked: Date,
        /// most days allowed
        limit: i64,
    },
}

/// Something that lowers the grade.
#[derive(Debug, Clone, Copy)]
struct Flaw {
    severity: Severity,
    shipped: i64,
    whole_days: bool,
}

impl Flaw {
    /// The first seconds of its grades, in order.
    fn drops(self) -> impl Iterator<Item = (i64, Grade)> {
        let steps: &[_] = match self.severity {
            Severity::Critical => &CRITICAL,
            Severity::Important => &IMPORTANT,
            _ => &[],
        };
        let (shipped, unit) = if self.whole_days {
            (self.shipped.div_euclid(DAY) * DAY, DAY)
        } else {
            (self.shipped, 1)
        };
        let first = self.severity.counts().then_some((shipped, Grade::B));
        let later = steps
            .iter()
            .map(move |(days, grade)| (shipped + days * DAY + unit, *grade));
        first.into_iter().chain(later)
    }
}

/// Grades by missing advisories and ends of life.
pub fn grade(flaws: &[(Severity, Timestamp)], ends: &[EndOfLife], as_of: AsOf) -> Grade {
    let now = as_of.timestamp().as_second();
    let reached = drops(flaws, ends, as_of).filter(|(at, _)| *at <= now);
    reached.map(|(_, grade)| grade).max().unwrap_or(Grade::A)
}

/// The grades from a time on; neighbours differ, and the last one has no end.
pub fn timeline(flaws: &[(Severity, Timestamp)], ends: &[EndOfLife], from: AsOf) -> Vec<Span> {
    let start = from.timestamp();
    let mut drops: Vec<_> = drops(flaws, ends, from)
        .filter(|(at, _)| *at > start.as_second())
        .collect();
    drops.sort_unstable();
    let mut spans = vec![Span {
        grade: grade(flaws, ends, from),
        start,
        end: None,
    }];
    for (at, grade) in drops {
        let Ok(at) = Timestamp::from_second(at) else {
            continue; // beyond the year 9999
        };
        let Some(last) = spans.last_mut().filter(|last| last.grade < grade) else {
            continue;
        };
        if last.start == at {
            last.grade = grade;
        } else {
            last.end = Some(at);
            spans.push(Span {
                grade,
                start: at,
                end: None,
            });
        }
    }
    spans
}

fn drops(
    flaws: &[(Severity, Timestamp)],
    ends: &[EndOfLife],
    as_of: AsOf,
) -> impl Iterator<Item = (i64, Grade)> {
    let days = matches!(as_of, AsOf::Day(_));
    let flaws = flaws.iter().flat_map(move |(severity, shipped)| {
        let shipped = shipped.as_second();
        let whole_days = days || shipped.rem_euclid(DAY) == 0;
        Flaw {
            severity: *severity,
            shipped,
            whole_days,
        }
        .drops()
    });
    let ended = ends
        .iter()
        .map(|end| (midnight(end.last_day).as_second() + DAY, Grade::F));
    flaws.chain(ended)
}

/// The advisories that are graded by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data {
    /// the time they are of
    pub of: Timestamp,
    /// how much of the feed they are
    pub coverage: Coverage,
    /// most days that they may be older than the time asked for; `None` for any
    pub limit: Option<i64>,
}

/// Grades an image whose packages were matched. There is no `data` when the database is empty.
pub fn health(evidence: &Evidence, matched: &Matched, data: Option<Data>, as_of: AsOf) -> Health {
    if let Some(why) = unknown(evidence, matched, data, as_of) {
        return Health::Unknown(why);
    }
    let flaws: Vec<_> = matched
        .missing
        .iter()
        .map(|missing| (missing.severity, missing.released))
        .collect();
    let ends = &matched.ends_of_life;
    Health::Graded {
        grade: grade(&flaws, ends, as_of),
        timeline: timeline(&flaws, ends, as_of),
    }
}

fn unknown(
    evidence: &Evidence,
    matched: &Matched,
    data: Option<Data>,
    as_of: AsOf,
) -> Option<Unknown> {
    if !evidence.is_rhel() {
        let os = evidence
            .os
            .as_ref()
            .map(|id| format!("`{id}` by its os-release"));
        return Some(Unknown::NotRhel(
            os.unwrap_or_else(|| "without os-release".to_owned()),
        ));
    }
    if matched.scanned == 0 {
        return Some(Unknown::NothingSigned);
    }
    if matched.products.is_empty() {
        return Some(Unknown::NoProduct);
    }
    let Some(data) = data else {
        return Some(Unknown::NoAdvisories);
    };
    if !data.coverage.grades() {
        return Some(Unknown::Partial);
    }
    let asked = as_of.timestamp();
    let age = asked.as_second() - data.of.as_second();
    let limit = data.limit?;
    (age > limit.saturating_mul(DAY)).then(|| Unknown::Outdated {
        of: day(data.of),
        days: age / DAY,
        asked: day(asked),
        limit,
    })
}

fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

fn midnight(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC)
        .map_or(Timestamp::MAX, |zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests;
