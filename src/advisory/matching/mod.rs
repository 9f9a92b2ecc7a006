//! Which advisories an image lacks.
//!
//! A package lacks an advisory when it is Red Hat's, the advisory ships a newer build of it for its
//! architecture and module stream, and in a product that the image draws from. Every such advisory is
//! kept, not the newest alone: the grade goes by the oldest. Content that is no rpm is not looked at.

mod evidence;
mod scope;
mod stances;
mod streams;

#[cfg(test)]
mod tests;

use std::{
    cell::LazyCell,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use jiff::Timestamp;

pub use self::{
    evidence::{Evidence, Installed, LayerEvidence},
    scope::Basis,
    stances::{Concerned, Unmended},
};
use self::{
    scope::{Scope, Scopes, Verdict},
    stances::Stances,
};
use super::{
    AdvisoryKind, ArchSet, Cpe, EndOfLife, FixedEvr, Severity,
    csaf::module_of,
    database::{Database, RowRef},
};
use crate::{oci::LayerIndex, rpm::Nevra};

/// An advisory that is not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// id
    pub id: String,
    /// kind, by the id
    pub kind: AdvisoryKind,
    /// severity
    pub severity: Severity,
    /// when the fix was shipped
    pub released: Timestamp,
    /// title without the kind in front
    pub title: String,
    /// the vulnerabilities it fixes
    pub cves: Vec<String>,
    /// the packages that lack it, in the order of the package list
    pub packages: Vec<Affected>,
}

/// A package that lacks an advisory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affected {
    /// as installed
    pub installed: Nevra,
    /// the first build with the fix
    pub fixed: FixedEvr,
    /// the layer that brought the package
    pub layer: LayerIndex,
    /// CPE of the product that ships the fix
    pub product: String,
}

/// An advisory that ships builds of installed packages, none of them newer than what is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// id
    pub id: String,
    /// the vulnerabilities it fixes
    pub cves: Vec<String>,
    /// the packages that have its fix
    pub packages: Vec<Nevra>,
}

/// A product that the image draws from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// as a CPE
    pub cpe: String,
    /// how that is known; the best, when there are several
    pub basis: Basis,
}

/// How much of the answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// what is missing
    Missing,
    /// and the advisories that are applied: there can be thousands of them, and the grade needs none
    Applied,
}

/// What came of matching a list of packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matched {
    /// advisories not applied, the worst first, then the oldest
    pub missing: Vec<Missing>,
    /// for information: fixes of the main stream for what the image's own stream (EUS and its like)
    /// has no fix for
    pub main_stream: Vec<Missing>,
    /// advisories whose fixes are all there, by id; empty unless asked for by [`Detail::Applied`]
    pub applied: Vec<Applied>,
    /// for information: vulnerabilities that concern packages and that no advisory mends, the worst
    /// first; only what the documents of vulnerabilities say, when there are any
    pub unfixed: Vec<Unmended>,
    /// for information: vulnerabilities that do not concern packages, by those documents
    pub not_affected: Vec<Unmended>,
    /// packages that were looked up
    pub scanned: usize,
    /// packages that were not, because they are not Red Hat's
    pub not_scanned: Vec<Nevra>,
    /// products that the packages come from
    pub products: Vec<Product>,
    /// products and module streams in use that have an end of life, ended or not
    pub ends_of_life: Vec<EndOfLife>,
    /// what was unclear
    pub notes: Vec<String>,
}

impl Matched {
    /// Some product is assumed only.
    pub fn is_assumed(&self) -> bool {
        self.products
            .iter()
            .any(|product| product.basis == Basis::Assumed)
    }
}

/// Matches packages against the database.
pub fn matches(
    database: &Database<'_>,
    evidence: &Evidence,
    packages: &[Installed],
    detail: Detail,
) -> Matched {
    let mut search = Search {
        database,
        modules: (1..)
            .zip(database.modules())
            .map(|(number, module)| (module, number))
            .collect(),
        missing: BTreeMap::new(),
        main_stream: BTreeMap::new(),
        applied: (detail == Detail::Applied).then(BTreeMap::new),
        stances: Stances::default(),
        unlabelled: BTreeSet::new(),
    };
    let mut scopes = Scopes::new(database, evidence);
    let mut matched = Matched::default();
    let mut modules = BTreeSet::new();
    for package in packages
        .iter()
        .filter(|package| package.nevra.name != "gpg-pubkey")
    {
        if !package.is_red_hat() {
            matched.not_scanned.push(package.nevra.clone());
            continue;
        }
        matched.scanned += 1;
        let number = scopes.of(package);
        let Some(scope) = scopes.get(number) else {
            continue;
        };
        let labels = match package.module.as_deref().and_then(module_of) {
            Some(label) => vec![label],
            None if package.is_modular() => search.streams_of(package, &evidence.streams),
            None => Vec::new(),
        };
        if labels.is_empty() {
            search.look_up(package, None, scope);
        }
        for label in &labels {
            search.look_up(package, Some(label), scope);
        }
        modules.extend(labels);
    }
    let mut products: BTreeMap<&Cpe, Basis> = BTreeMap::new();
    for (cpe, basis) in scopes.made().iter().flat_map(|scope| &scope.products) {
        let best = products.entry(cpe).or_insert(*basis);
        *best = (*best).min(*basis);
    }
    matched.ends_of_life = ends_of_life(database, &products, &modules, evidence);
    let product = |(cpe, basis): (&Cpe, Basis)| Product {
        cpe: cpe.to_string(),
        basis,
    };
    matched.products = products.into_iter().map(product).collect();
    matched.notes = scopes.notes.iter().cloned().collect();
    matched.notes.extend(search.unlabelled_note());
    matched.missing = search.report(&search.missing);
    matched.main_stream = search.report(&search.main_stream);
    matched.applied = search.applied();
    (matched.unfixed, matched.not_affected) = search.stances.report(database);
    matched
}

/// Life-cycle dates of what is in use.
fn ends_of_life(
    database: &Database<'_>,
    products: &BTreeMap<&Cpe, Basis>,
    modules: &BTreeSet<String>,
    evidence: &Evidence,
) -> Vec<EndOfLife> {
    let mut keys: BTreeSet<String> = products.keys().map(|cpe| cpe.key()).collect();
    if let Some(major) = evidence.major() {
        keys.extend(modules.iter().map(|module| format!("el{major}/{module}")));
        // the extended life-cycle support of a major version goes on after its end
        if keys.contains(&format!("redhat:rhel_els:{major}")) {
            keys.remove(&format!("redhat:enterprise_linux:{major}"));
        }
    }
    let mut ends = database.ends_of_life();
    ends.retain(|end| keys.contains(&end.product));
    ends
}

/// A package that lacks an advisory, in the database's numbers: texts are made of the few that are
/// reported.
struct Hit<'a> {
    package: &'a Installed,
    evr: u32,
    cpe: u16,
}

/// Packages by the number of the advisory that they lack.
type Found<'a> = BTreeMap<u32, Vec<Hit<'a>>>;

struct Search<'a> {
    database: &'a Database<'a>,
    modules: HashMap<&'a str, u16>,
    missing: Found<'a>,
    main_stream: Found<'a>,
    /// packages that have an advisory's fix, by its number, when that is asked for
    applied: Option<BTreeMap<u32, Vec<&'a Nevra>>>,
    stances: Stances<'a>,
    /// packages of modules of which nobody knows the stream
    unlabelled: BTreeSet<&'a str>,
}

impl<'a> Search<'a> {
    fn look_up(&mut self, package: &'a Installed, module: Option<&str>, scope: &Scope) {
        let nevra = &package.nevra;
        let module = match module {
            None => 0,
            Some(label) => match self.modules.get(label) {
                Some(number) => *number,
                None => return, // no advisory has this stream
            },
        };
        let fits_arch = fits_arch(nevra);
        let fits = |row: &RowRef| row.module == module && fits_arch(row.arches);
        let database = self.database;
        let rows = || database.rows_of(&nevra.name).filter(fits);
        let verdict = |row: &RowRef| scope.verdicts.get(usize::from(row.cpe)).copied();
        let is_own = |row: &RowRef| verdict(row) == Some(Verdict::Own);
        let cves = |row: RowRef| database.stored(row.advisory).cves;
        let mended =
            LazyCell::new(|| -> BTreeSet<&str> { rows().filter(is_own).flat_map(cves).collect() });
        if !scope.stances.is_empty() {
            let stances = &mut self.stances;
            stances.look_up(database, package, module, scope, &mended);
        }
        // a fix of the main stream mends what no fix of the image's own stream does
        let is_open =
            |row: RowRef| scope.is_extended() && !cves(row).iter().all(|cve| mended.contains(cve));
        if rows().next().is_none() {
            return;
        }
        let installed = (
            nevra.epoch.unwrap_or(0),
            nevra.version.as_str(),
            nevra.release.as_str(),
        );
        let first_newer = database.first_newer(installed);
        for row in rows().filter(|row| row.evr >= first_newer) {
            match verdict(&row) {
                Some(Verdict::Own) => add(&mut self.missing, package, row),
                Some(Verdict::MainStream) if is_open(row) => {
                    add(&mut self.main_stream, package, row);
                }
                _ => {}
            }
        }
        let Some(applied) = &mut self.applied else {
            return;
        };
        for row in rows().filter(|row| row.evr < first_newer && is_own(row)) {
            let packages = applied.entry(row.advisory).or_default();
            if packages.last() != Some(&nevra) {
                packages.push(nevra);
            }
        }
    }

    fn applied(&self) -> Vec<Applied> {
        let whole = |(number, _): &(&u32, _)| !self.missing.contains_key(number);
        let applied = |(number, packages): (&u32, &Vec<&Nevra>)| {
            let stored = self.database.stored(*number);
            Applied {
                id: stored.id.to_owned(),
                cves: stored.cves.iter().map(|cve| (*cve).to_owned()).collect(),
                packages: packages.iter().map(|nevra| (*nevra).clone()).collect(),
            }
        };
        let all = self.applied.iter().flatten();
        all.filter(whole).map(applied).collect()
    }

    fn report(&self, found: &Found<'_>) -> Vec<Missing> {
        let affected = |hit: &Hit<'_>| Affected {
            installed: hit.package.nevra.clone(),
            fixed: self.database.evr(hit.evr),
            layer: hit.package.layer,
            product: self.database.cpe(hit.cpe).to_owned(),
        };
        let missing = |(number, packages): (&u32, &Vec<Hit<'_>>)| {
            let stored = self.database.stored(*number);
            Missing {
                id: stored.id.to_owned(),
                kind: stored.kind(),
                severity: stored.severity,
                released: stored.released,
                title: stored.title.to_owned(),
                cves: stored.cves.iter().map(|cve| (*cve).to_owned()).collect(),
                packages: packages.iter().map(affected).collect(),
            }
        };
        let mut list: Vec<_> = found.iter().map(missing).collect();
        // the numbers are in the order of the ids, and the sort keeps that order
        list.sort_by_key(|missing| (std::cmp::Reverse(missing.severity), missing.released));
        list
    }
}

/// Whether rows for some architectures hold for a package.
fn fits_arch(nevra: &Nevra) -> impl Fn(ArchSet) -> bool + Copy + use<> {
    let own = match nevra.arch.as_deref() {
        None | Some("noarch") => None,
        Some(arch) => Some(ArchSet::of(arch).unwrap_or_default()),
    };
    move |arches| own.is_none_or(|own| arches == ArchSet::ANY || arches.has(own))
}

/// Several rows of an advisory can hold for a package; the highest build has every fix.
fn add<'a>(to: &mut Found<'a>, package: &'a Installed, row: RowRef) {
    let list = to.entry(row.advisory).or_default();
    let hit = Hit {
        package,
        evr: row.evr,
        cpe: row.cpe,
    };
    let is_same = |known: &Installed| {
        std::ptr::eq(known, package)
            || (known.nevra == package.nevra && known.layer == package.layer)
    };
    match list.last_mut() {
        Some(known) if is_same(known.package) => {
            if known.evr < row.evr {
                *known = hit;
            }
        }
        _ => list.push(hit),
    }
}
