//! The advisories that an image lacks, as reporters tell them: age, place, and whether the current
//! base image has the fix.

use std::fmt;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{ImageReport, Report, baseline::Change};
use crate::{
    advisory::{
        Severity, Stance,
        grade::{Grade, Health},
        matching::{Affected, Missing, Unmended},
    },
    finding::Location,
    oci::LayerIndex,
    rpm::Nevra,
    subject::{AdvisoryFacts, Fact, InBase},
};

/// One advisory that is not applied.
pub(crate) struct Erratum<'a> {
    pub(crate) missing: &'a Missing,
    /// days since the fix was shipped
    pub(crate) age: i64,
    /// it is out by the time that was asked for
    pub(crate) out: bool,
    pub(crate) packages: Vec<Lacking<'a>>,
    /// compared with the baseline, when there is one
    pub(crate) change: Option<Change>,
}

/// A package that lacks it.
pub(crate) struct Lacking<'a> {
    pub(crate) affected: &'a Affected,
    /// the line that brought the package
    pub(crate) location: Option<Location>,
    /// `None` when the current base is not known
    pub(crate) base: Option<InBase>,
}

/// What an image lacks, the worst first; what is new against the baseline before all else.
pub(crate) fn errata<'a>(report: &Report, image: &'a ImageReport) -> Vec<Erratum<'a>> {
    let Some(facts) = &image.advisories else {
        return Vec::new();
    };
    let baseline = report
        .baseline
        .as_ref()
        .and_then(|baseline| baseline.image(image, report));
    let erratum = |missing: &'a Missing| Erratum {
        missing,
        age: facts.age_days(missing),
        out: facts.is_out(missing),
        packages: missing
            .packages
            .iter()
            .map(|affected| Lacking {
                affected,
                location: line_of_layer(image, affected.layer),
                base: facts.in_base(affected),
            })
            .collect(),
        change: baseline.and_then(|baseline| baseline.advisory(&missing.id)),
    };
    let mut list: Vec<_> = facts.matched.missing.iter().map(erratum).collect();
    list.sort_by_key(|erratum| erratum.change != Some(Change::New));
    list
}

/// The line that made a layer, else the last resort.
pub(crate) fn line_of_layer(image: &ImageReport, layer: LayerIndex) -> Option<Location> {
    let layer = image.contents.as_ref()?.layer(layer);
    layer
        .and_then(|layer| layer.location.clone())
        .or_else(|| image.fallback.clone())
}

impl Lacking<'_> {
    /// Whether the current base has the fix, in a word or two.
    pub(crate) fn base_word(&self) -> &'static str {
        match self.base {
            Some(InBase::Fixed(_)) => "has the fix",
            Some(InBase::NotFixed(_)) => "lacks it too",
            Some(InBase::NotInstalled) => "not in it",
            None => "unknown",
        }
    }

    /// The same for programs.
    pub(crate) fn base_code(&self) -> &'static str {
        match self.base {
            Some(InBase::Fixed(_)) => "fixed",
            Some(InBase::NotFixed(_)) => "not_fixed",
            Some(InBase::NotInstalled) => "not_installed",
            None => "unknown",
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.affected.installed.name
    }

    /// Epoch, version and release as installed; the epoch only when there is one.
    pub(crate) fn installed(&self) -> String {
        evr(&self.affected.installed)
    }

    pub(crate) fn line(&self) -> Option<String> {
        let at = self.location.as_ref()?;
        Some(format!("{}:{}", at.file, at.line))
    }
}

/// `[epoch:]version-release`.
pub(crate) fn evr(nevra: &Nevra) -> String {
    let epoch = nevra.epoch.filter(|epoch| *epoch != 0);
    let epoch = epoch.map_or_else(String::new, |epoch| format!("{epoch}:"));
    format!("{epoch}{}-{}", nevra.version, nevra.release)
}

/// Red Hat's page of an advisory.
pub(crate) fn page(id: &str) -> String {
    format!("https://access.redhat.com/errata/{id}")
}

/// Red Hat's page of a vulnerability.
pub(crate) fn cve_page(id: &str) -> String {
    format!("https://access.redhat.com/security/cve/{id}")
}

/// GitHub's number (over 9 critical, 7 high, 4 medium, above 0 low) for Red Hat's severity. The
/// advisories give no number of their own.
pub(crate) fn security_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::Important => "8.0",
        Severity::Moderate => "5.5",
        Severity::Low => "2.0",
        Severity::None => "0.1",
    }
}

/// Day of a time, UTC.
pub(crate) fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// The grade in one line, with its reason or its next drop.
pub(crate) struct GradeLine<'a>(pub(crate) &'a AdvisoryFacts);

impl fmt::Display for GradeLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = self.0;
        let of = day(facts.as_of.timestamp());
        match &facts.health {
            Health::Unknown(why) => write!(f, "Unknown as of {of}: {why}"),
            Health::Graded { grade, timeline } => {
                write!(f, "{grade} as of {of}")?;
                for span in timeline.iter().skip(1) {
                    let (to, on) = (span.grade, day(span.start));
                    write!(f, ", drops to {to} on {on}")?;
                }
                if timeline.len() < 2 && *grade < Grade::F {
                    f.write_str(", no drop is known yet")?;
                }
                Ok(())
            }
        }
    }
}

/// What it was judged by, in one line.
pub(crate) fn judged_by(facts: &AdvisoryFacts) -> String {
    let assumed = if facts.matched.is_assumed() {
        "; its repositories are assumed"
    } else {
        ""
    };
    format!(
        "{} packages scanned, {} not; {} advisories, data of {}{assumed}",
        facts.matched.scanned,
        facts.matched.not_scanned.len(),
        facts.advisories,
        day(facts.data)
    )
}

/// Fixes of the main stream that the image's own stream has not, in one line.
pub(crate) fn main_stream_line(facts: &AdvisoryFacts) -> String {
    let all = &facts.matched.main_stream;
    format!(
        "{} advisories of the main stream mend what the image's own stream has no advisory for; they do not lower the grade: {}",
        all.len(),
        first_named(all.iter().map(|own| (&*own.id, own.severity)))
    )
}

/// Advisories or vulnerabilities that one line names.
const MOST_NAMED: usize = 5;

/// The first ones by id and severity, and how many there are besides.
fn first_named<'a>(all: impl ExactSizeIterator<Item = (&'a str, Severity)>) -> String {
    let rest = all.len().saturating_sub(MOST_NAMED);
    let named = all.take(MOST_NAMED);
    let named: Vec<String> = named
        .map(|(id, severity)| format!("{id} ({severity})"))
        .collect();
    match rest {
        0 => named.join(", "),
        rest => format!("{} and {rest} more", named.join(", ")),
    }
}

/// Vulnerabilities that no advisory mends, in one line.
pub(crate) fn unfixed_line(facts: &AdvisoryFacts) -> String {
    let all = &facts.matched.unfixed;
    let is_open = |own: &&Unmended| {
        own.packages
            .iter()
            .all(|it| it.stance == Stance::Investigated)
    };
    let investigated = all.iter().filter(is_open).count();
    format!(
        "{} vulnerabilities that no advisory mends, {investigated} of them under investigation; they do not lower the grade: {}",
        all.len(),
        first_named(all.iter().map(|own| (&*own.id, own.severity)))
    )
}

/// The current base image in one line.
pub(crate) fn base_line(facts: &AdvisoryFacts) -> String {
    match &facts.base {
        Fact::Known(base) if base.built_on => {
            format!("{} is what the image is built on", base.reference)
        }
        Fact::Known(base) => format!("{} is now {}", base.reference, base.digest),
        Fact::Unmet(reason) => format!("not known: {reason}"),
    }
}
