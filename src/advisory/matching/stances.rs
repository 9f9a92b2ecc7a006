//! What documents of single vulnerabilities say of packages that no advisory mends: affected without
//! a fix, under investigation, not affected. For information: none of it changes a grade, and none of
//! it takes an advisory away.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    Installed,
    scope::{Scope, Verdict},
};
use crate::{
    advisory::{
        Named, Severity, Stance,
        database::{Database, StatementRef},
        model::cmp_evr,
    },
    oci::LayerIndex,
    rpm::Nevra,
};

/// A vulnerability that concerns installed packages and that no advisory mends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmended {
    /// id
    pub id: String,
    /// what it is
    pub title: String,
    /// the worst severity for a package
    pub severity: Severity,
    /// when it became public
    pub published: Timestamp,
    /// what can be done without a fix; empty when nothing is said
    pub workaround: String,
    /// the packages, in the order of the package list
    pub packages: Vec<Concerned>,
}

/// A package with what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concerned {
    /// as installed
    pub installed: Nevra,
    /// the layer that brought it
    pub layer: LayerIndex,
    /// what is said
    pub stance: Stance,
    /// CPE of the product it is said of
    pub product: String,
}

/// Statements that hold, by the number of the vulnerability and the place of the package.
#[derive(Default)]
pub(super) struct Stances<'a> {
    found: BTreeMap<u32, Vec<(&'a Installed, StatementRef)>>,
}

impl<'a> Stances<'a> {
    /// Looks a package up by its name and by that of its source; `mended` are the vulnerabilities that
    /// advisories for it mend, applied or not.
    pub(super) fn look_up(
        &mut self,
        database: &Database<'_>,
        package: &'a Installed,
        module: u16,
        scope: &Scope,
        mended: &BTreeSet<&str>,
    ) {
        let mut best: BTreeMap<u32, (Verdict, StatementRef)> = BTreeMap::new();
        let name = &package.nevra.name;
        let by_name = database.statements_of(name);
        let by_name = by_name.filter(|own| own.named != Named::Source);
        let source = package.source.as_ref();
        let by_source = source.into_iter().flat_map(|name| {
            let all = database.statements_of(name);
            all.filter(|own| own.named != Named::Binary)
        });
        for own in by_name.chain(by_source) {
            let verdict = scope.stances.get(usize::from(own.cpe)).copied();
            let verdict = verdict.unwrap_or(Verdict::Foreign);
            if own.module != module || verdict == Verdict::Foreign || !holds(database, own, package)
            {
                continue;
            }
            let known = best.entry(own.vulnerability).or_insert((verdict, own));
            // the image's own stream is nearer than the main one; then the worst is told
            let rank = |verdict, of: StatementRef| (verdict == Verdict::MainStream, of.stance);
            if rank(verdict, own) < rank(known.0, known.1) {
                *known = (verdict, own);
            }
        }
        for (number, (_, own)) in best {
            if !mended.contains(database.vulnerability_at(number as usize).id) {
                self.found.entry(number).or_default().push((package, own));
            }
        }
    }

    /// Those that are affected or may be, and those that are not; the worst first.
    pub(super) fn report(&self, database: &Database<'_>) -> (Vec<Unmended>, Vec<Unmended>) {
        let (mut open, mut not) = (Vec::new(), Vec::new());
        for (number, found) in &self.found {
            let of = |wanted: bool| {
                let own = found
                    .iter()
                    .filter(move |(_, own)| own.stance.is_not_affected() == wanted);
                unmended(database, *number, own)
            };
            open.extend(of(false));
            not.extend(of(true));
        }
        open.sort_by_key(|it: &Unmended| (std::cmp::Reverse(it.severity), it.published));
        (open, not)
    }
}

fn unmended<'a>(
    database: &Database<'_>,
    number: u32,
    found: impl Iterator<Item = &'a (&'a Installed, StatementRef)>,
) -> Option<Unmended> {
    let mut severity = Severity::None;
    let concerned = |(package, own): &(&Installed, StatementRef)| {
        severity = severity.max(own.severity);
        Concerned {
            installed: package.nevra.clone(),
            layer: package.layer,
            stance: own.stance,
            product: database.cpe(own.cpe).to_owned(),
        }
    };
    let packages: Vec<Concerned> = found.map(concerned).collect();
    let stored = database.vulnerability_at(number as usize);
    (!packages.is_empty()).then(|| Unmended {
        id: stored.id.to_owned(),
        title: stored.title.to_owned(),
        severity,
        published: stored.published,
        workaround: stored.workaround.to_owned(),
        packages,
    })
}

/// A statement with a version holds up to that version.
fn holds(database: &Database<'_>, own: StatementRef, package: &Installed) -> bool {
    let Some(until) = own.until else { return true };
    let until = database.evr(until);
    let nevra = &package.nevra;
    let installed = (nevra.epoch.unwrap_or(0), &*nevra.version, &*nevra.release);
    cmp_evr(installed, (until.epoch, &until.version, &until.release)).is_le()
}
