//! What the advisory database says of an image.

use jiff::Timestamp;

use super::Fact;
use crate::{
    advisory::{
        Severity,
        grade::{AsOf, Health},
        matching::{Affected, Matched, Missing},
    },
    oci::Digest,
    rpm::Nevra,
};

/// The image against the advisories.
#[derive(Debug, Clone)]
pub struct AdvisoryFacts {
    /// which advisories are missing, and what was looked at
    pub matched: Matched,
    /// the grade, or why there is none
    pub health: Health,
    /// the least severity that the image fails by
    pub fails_from: Severity,
    /// the time that was asked for
    pub as_of: AsOf,
    /// the time that the data is of
    pub data: Timestamp,
    /// how many advisories there are: a database is as complete as the files it was made from
    pub advisories: usize,
    /// where the data comes from
    pub source: String,
    /// the base image as it is today, or why it is not known
    pub base: Fact<CurrentBase>,
}

/// What the base image's reference names now, which may be newer than what was built on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentBase {
    /// the reference that was looked up
    pub reference: String,
    /// of its manifest
    pub digest: Digest,
    /// its layers are the lowest ones of the image: a rebuild would change nothing of the base
    pub built_on: bool,
    /// its packages
    pub packages: Vec<Nevra>,
}

/// Whether a fix has come into the current base image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InBase {
    /// its build of the package has the fix
    Fixed(Nevra),
    /// its build of the package lacks the fix too
    NotFixed(Nevra),
    /// it does not have the package
    NotInstalled,
}

const DAY: i64 = 86_400;

impl AdvisoryFacts {
    /// Whether the advisory was out at the time asked for; one that was not lowers no grade yet.
    pub fn is_out(&self, missing: &Missing) -> bool {
        missing.released <= self.as_of.timestamp()
    }

    /// Whole days since the fix was shipped.
    pub fn age_days(&self, missing: &Missing) -> i64 {
        let now = self.as_of.timestamp().as_second();
        (now - missing.released.as_second()).div_euclid(DAY)
    }

    /// Whether the current base image has the fix that a package lacks; `None` when that base is
    /// not known. Of a package that is installed several times, the newest counts.
    pub fn in_base(&self, affected: &Affected) -> Option<InBase> {
        let Fact::Known(base) = &self.base else {
            return None;
        };
        let own = &affected.installed;
        let newest = base
            .packages
            .iter()
            .filter(|package| package.name == own.name && package.arch == own.arch)
            .max_by(|one, other| one.evr_cmp(other));
        let Some(newest) = newest else {
            return Some(InBase::NotInstalled);
        };
        let fixed = Nevra {
            name: own.name.clone(),
            epoch: Some(affected.fixed.epoch),
            version: affected.fixed.version.clone(),
            release: affected.fixed.release.clone(),
            arch: own.arch.clone(),
        };
        Some(if newest.evr_cmp(&fixed).is_lt() {
            InBase::NotFixed(newest.clone())
        } else {
            InBase::Fixed(newest.clone())
        })
    }
}
