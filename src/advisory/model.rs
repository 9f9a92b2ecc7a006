//! The words of an advisory: id, severity, rows.

use std::{cmp::Ordering, collections::BTreeSet, fmt, str::FromStr, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

/// Kinds of errata. Bug fixes and enhancements can fix vulnerabilities too, and have a severity then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AdvisoryKind {
    /// `RHSA`
    Security,
    /// `RHBA`
    Bugfix,
    /// `RHEA`
    Enhancement,
}

impl AdvisoryKind {
    /// The four letters of its ids.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Security => "RHSA",
            Self::Bugfix => "RHBA",
            Self::Enhancement => "RHEA",
        }
    }
}

/// Id of an erratum, `RHSA-2024:0010`. Sorts by kind, year and number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AdvisoryId {
    kind: AdvisoryKind,
    year: u16,
    number: u32,
    text: String,
}

impl AdvisoryId {
    /// What kind of erratum it names.
    pub fn kind(&self) -> AdvisoryKind {
        self.kind
    }

    /// As Red Hat writes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What ids are sorted by, without keeping the text; `None` when it is no id.
    pub(super) fn key(text: &str) -> Option<(AdvisoryKind, u16, u32)> {
        let (prefix, rest) = text.split_once('-')?;
        let kind = match prefix {
            "RHSA" => AdvisoryKind::Security,
            "RHBA" => AdvisoryKind::Bugfix,
            "RHEA" => AdvisoryKind::Enhancement,
            _ => return None,
        };
        let (year, number) = rest.split_once(':')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        (year.len() == 4 && digits(year) && digits(number)).then_some(())?;
        Some((kind, year.parse().ok()?, number.parse().ok()?))
    }
}

/// A text that is no erratum's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no id of an advisory such as `RHSA-2024:0010`")]
pub struct NotAnAdvisoryId(pub String);

impl FromStr for AdvisoryId {
    type Err = NotAnAdvisoryId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (kind, year, number) = Self::key(text)?;
            Some(Self {
                kind,
                year,
                number,
                text: text.to_owned(),
            })
        };
        parse().ok_or_else(|| NotAnAdvisoryId(text.chars().take(80).collect()))
    }
}

impl fmt::Display for AdvisoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Red Hat's severity, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// none was given
    None,
    /// Low
    Low,
    /// Moderate
    Moderate,
    /// Important
    Important,
    /// Critical
    Critical,
}

impl Severity {
    /// Every severity, least first; the position is its number in the database.
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::Low,
        Self::Moderate,
        Self::Important,
        Self::Critical,
    ];

    /// Old documents write it in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let known = |severity: &Self| severity.as_str().eq_ignore_ascii_case(text.trim());
        Self::ALL.into_iter().find(known)
    }

    /// As Red Hat writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Low => "Low",
            Self::Moderate => "Moderate",
            Self::Important => "Important",
            Self::Critical => "Critical",
        }
    }

    /// It counts for the grade: Critical and Important do.
    pub fn counts(self) -> bool {
        self >= Self::Important
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of rpm architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ArchSet(pub u16);

/// Architectures in the order of their bits. New ones go to the end: the numbers are in databases.
const ARCHES: [&str; 16] = [
    "noarch",
    "x86_64",
    "aarch64",
    "ppc64le",
    "s390x",
    "i686",
    "i386",
    "ppc64",
    "ppc",
    "s390",
    "ia64",
    "i486",
    "i586",
    "athlon",
    "riscv64",
    "x86_64_v2",
];

impl ArchSet {
    /// Every architecture: for rows that name none.
    pub const ANY: Self = Self(u16::MAX);

    /// The set of one architecture; `None` when it is unknown.
    pub fn of(arch: &str) -> Option<Self> {
        let bit = ARCHES.iter().position(|known| *known == arch)?;
        Some(Self(1 << bit))
    }

    /// Both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Has it.
    pub fn contains(self, arch: &str) -> bool {
        Self::of(arch).is_some_and(|one| self.has(one))
    }

    /// Has one of them.
    pub fn has(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let has =
            move |(bit, name): (usize, &'static str)| (self.0 >> bit & 1 == 1).then_some(name);
        ARCHES.into_iter().enumerate().filter_map(has)
    }
}

/// Epoch, version and release of a fixed package.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FixedEvr {
    /// an absent epoch is 0
    pub epoch: u32,
    /// without hyphen
    pub version: String,
    /// without hyphen
    pub release: String,
}

impl FixedEvr {
    /// From `[epoch:]version-release`.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) => (epoch.parse().ok()?, rest),
            None => (0, text),
        };
        let (version, release) = rest.rsplit_once('-')?;
        let good = |part: &str| !part.is_empty() && !part.contains(['-', ':', '/', ' ']);
        (good(version) && good(release)).then(|| Self {
            epoch,
            version: version.to_owned(),
            release: release.to_owned(),
        })
    }
}

impl FixedEvr {
    /// rpm's order, in which different texts can be equal; the derived order is that of the texts.
    pub fn cmp_evr(&self, other: &Self) -> Ordering {
        cmp_evr(self.parts(), other.parts())
    }

    fn parts(&self) -> (u32, &str, &str) {
        (self.epoch, &self.version, &self.release)
    }
}

/// rpm's order of epoch, version and release; a release counts only when both have one.
pub(super) fn cmp_evr(one: (u32, &str, &str), other: (u32, &str, &str)) -> Ordering {
    let both = !one.2.is_empty() && !other.2.is_empty();
    let evr = |(_, version, release)| {
        rpm_version::Evr::from(("", version, if both { release } else { "" }))
    };
    one.0.cmp(&other.0).then_with(|| evr(one).cmp(&evr(other)))
}

impl fmt::Display for FixedEvr {
    /// An epoch of 0 is not written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.epoch != 0 {
            write!(f, "{}:", self.epoch)?;
        }
        write!(f, "{}-{}", self.version, self.release)
    }
}

/// One fixed package of an advisory, its architectures folded. There are more than a million, of few
/// texts, so those are shared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// name of the binary package
    pub name: Arc<str>,
    /// `name:stream` for packages of a module
    pub module: Option<Arc<str>>,
    /// CPE of the product it was shipped in, as the document writes it
    pub cpe: Arc<str>,
    /// first version that has the fix
    pub fixed: Arc<FixedEvr>,
    /// architectures it was shipped for
    pub arches: ArchSet,
}

/// An advisory: its facts and its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advisory {
    /// id
    pub id: AdvisoryId,
    /// the document's aggregate severity; the highest impact of its vulnerabilities when it has none
    pub severity: Severity,
    /// when the fix was shipped
    pub released: Timestamp,
    /// when this version of the document was written
    pub revised: Timestamp,
    /// title without the kind in front
    pub title: String,
    /// the vulnerabilities it fixes, sorted
    pub cves: BTreeSet<String>,
    /// sorted, without duplicates
    pub rows: Vec<Row>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_strictly_and_sort_by_number() {
        for good in [
            "RHSA-2024:0010",
            "RHBA-2024:0599",
            "RHEA-2025:2418",
            "RHSA-2025:23414",
        ] {
            assert_eq!(good.parse::<AdvisoryId>().expect(good).to_string(), good);
        }
        for bad in [
            "",
            "RHSA",
            "CVE-2024-6923",
            "RHSA-2024-0010",
            "RHSA-24:1",
            "RHSA-2024:",
            "RHSA-2024:+1",
            "rhsa-2024:1",
        ] {
            assert!(bad.parse::<AdvisoryId>().is_err(), "{bad}");
        }
        let id = |text: &str| text.parse::<AdvisoryId>().expect("an id");
        assert!(id("RHSA-2025:9999") < id("RHSA-2025:10000"));
        assert_eq!(id("RHEA-2025:2418").kind(), AdvisoryKind::Enhancement);
    }

    #[test]
    fn severities_of_any_case_are_read() {
        for severity in Severity::ALL {
            assert_eq!(
                Severity::parse(&severity.as_str().to_lowercase()),
                Some(severity)
            );
        }
        assert_eq!(Severity::parse("High"), None);
    }

    #[test]
    fn an_evr_needs_version_and_release() {
        let evr = FixedEvr::parse("2:1.30-4.el8").expect("an evr");
        assert_eq!((evr.epoch, evr.to_string().as_str()), (2, "2:1.30-4.el8"));
        assert_eq!(FixedEvr::parse("0:1-2").expect("an evr").to_string(), "1-2");
        for bad in ["", "1", "1-", "-1", "x:1-2", "1:2:3-4", "99999999999:1-2"] {
            assert_eq!(FixedEvr::parse(bad), None, "{bad}");
        }
    }
}
