//! The products that a package may come from, by what its layer and those below say.

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Installed};
use crate::advisory::{Cpe, database::Database};

/// How a product came to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// dnf's history names the package's repository
    History,
    /// the layer's labels or content sets, or those of a layer below
    Layers,
    /// repositories that are enabled in the image
    Enabled,
    /// nothing says it: the main repositories of the release
    Assumed,
}

/// Products with what was decided of every product in the database.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub(super) products: BTreeMap<Cpe, Basis>,
    /// per CPE of the database
    pub(super) verdicts: Vec<Verdict>,
    /// the same for statements without a fix; empty when there are none
    pub(super) stances: Vec<Verdict>,
}

/// What a row of some product means to a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// another product
    Foreign,
    /// it counts
    Own,
    /// the main stream, while the image is on a stream of its own
    MainStream,
}

impl Scope {
    fn new(products: BTreeMap<Cpe, Basis>, cpes: &[Option<Cpe>], with_stances: bool) -> Self {
        let stances = with_stances.then(|| verdicts(&products, cpes, Cpe::covers));
        Self {
            verdicts: verdicts(&products, cpes, Cpe::fits),
            stances: stances.unwrap_or_default(),
            products,
        }
    }

    /// The image is on a stream of its own for some release.
    pub(super) fn is_extended(&self) -> bool {
        self.products.keys().any(Cpe::is_extended_rhel)
    }
}

fn verdicts(
    products: &BTreeMap<Cpe, Basis>,
    cpes: &[Option<Cpe>],
    fits: impl Fn(&Cpe, &Cpe) -> bool,
) -> Vec<Verdict> {
    let extended: BTreeSet<&str> = products
        .keys()
        .filter(|own| own.is_extended_rhel())
        .map(Cpe::major)
        .collect();
    let verdict = |row: &Option<Cpe>| match row {
        Some(row) if row.is_main_rhel() && extended.contains(row.major()) => Verdict::MainStream,
        Some(row) if products.keys().any(|own| fits(row, own)) => Verdict::Own,
        _ => Verdict::Foreign,
    };
    cpes.iter().map(verdict).collect()
}

/// Makes scopes and keeps them: most packages share one.
pub(super) struct Scopes<'a> {
    database: &'a Database<'a>,
    evidence: &'a Evidence,
    cpes: Vec<Option<Cpe>>,
    made: Vec<Scope>,
    by_repository: BTreeMap<String, Option<usize>>,
    by_layer: BTreeMap<usize, usize>,
    pub(super) notes: BTreeSet<String>,
}

impl<'a> Scopes<'a> {
    pub(super) fn new(database: &'a Database<'a>, evidence: &'a Evidence) -> Self {
        Self {
            database,
            evidence,
            cpes: database.cpes().map(Cpe::parse).collect(),
            made: Vec::new(),
            by_repository: BTreeMap::new(),
            by_layer: BTreeMap::new(),
            notes: BTreeSet::new(),
        }
    }

    /// The number of the scope that holds for a package.
    pub(super) fn of(&mut self, package: &Installed) -> usize {
        let by_history = package
            .repository
            .as_ref()
            .and_then(|name| self.of_repository(name));
        by_history.unwrap_or_else(|| self.of_layer(package.layer.0 as usize))
    }

    pub(super) fn get(&self, number: usize) -> Option<&Scope> {
        self.made.get(number)
    }

    pub(super) fn made(&self) -> &[Scope] {
        &self.made
    }

    fn keep(&mut self, products: BTreeMap<Cpe, Basis>) -> usize {
        let with_stances = self.database.counts().statements > 0;
        self.made
            .push(Scope::new(products, &self.cpes, with_stances));
        self.made.len() - 1
    }

    fn of_repository(&mut self, name: &str) -> Option<usize> {
        if let Some(known) = self.by_repository.get(name) {
            return *known;
        }
        let products = self.products_of(name);
        let found = (!products.is_empty()).then(|| {
            let products = products.into_iter().map(|cpe| (cpe, Basis::History));
            self.keep(products.collect())
        });
        self.by_repository.insert(name.to_owned(), found);
        found
    }

    fn of_layer(&mut self, layer: usize) -> usize {
        if let Some(known) = self.by_layer.get(&layer) {
            return *known;
        }
        let mut products = self.stated(0..layer.saturating_add(1));
        if !has_rhel(&products) {
            // a build may describe all of its layers in one above them
            products.append(&mut self.stated(layer.saturating_add(1)..usize::MAX));
        }
        if !has_rhel(&products) {
            products.append(&mut self.assumed());
        }
        let made = self.keep(products);
        self.by_layer.insert(layer, made);
        made
    }

    /// What some layers say; enabled repositories count only where nothing better is said.
    fn stated(&mut self, layers: std::ops::Range<usize>) -> BTreeMap<Cpe, Basis> {
        let evidence = self.evidence;
        let layers = || {
            evidence
                .layers
                .iter()
                .enumerate()
                .filter(|(at, _)| layers.contains(at))
                .map(|(_, layer)| layer)
        };
        let mut products = BTreeMap::new();
        for layer in layers() {
            if let Some(text) = &layer.cpe {
                if let Some(cpe) = Cpe::parse(text) {
                    products.insert(cpe, Basis::Layers);
                } else {
                    let note = format!("`{text}` in the image's labels is no CPE");
                    self.notes.insert(note);
                }
            }
            for name in &layer.content_sets {
                products.extend(
                    self.products_of(name)
                        .into_iter()
                        .map(|cpe| (cpe, Basis::Layers)),
                );
            }
        }
        if has_rhel(&products) {
            return products;
        }
        let names: BTreeSet<&String> = layers().flat_map(|layer| &layer.enabled).collect();
        let enabled: Vec<Cpe> = names
            .iter()
            .flat_map(|name| self.products_of(name))
            .collect();
        if !enabled.is_empty() {
            let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
            self.notes.insert(format!(
                "the image does not name the repositories of its packages; those that are enabled in it count: {}",
                names.join(", ")
            ));
        }
        for cpe in enabled {
            products.entry(cpe).or_insert(Basis::Enabled);
        }
        products
    }

    /// The products of a repository. One without a minor version in its name serves a stream's every
    /// minor version; then the image's own counts.
    fn products_of(&mut self, repository: &str) -> Vec<Cpe> {
        let plain = repository.split("__").next().unwrap_or(repository);
        // `…__8` is the repository for any 8; `…__9_DOT_2` is one of its own
        let general = || {
            let specific = repository.contains("_DOT_");
            let found = || self.database.repository(plain);
            // UBI's own list of repositories leaves out the end
            let short = || self.database.repository(&format!("{plain}-rpms"));
            let ubi = plain.starts_with("ubi-");
            (!specific).then(|| found().or_else(|| short().filter(|_| ubi)))?
        };
        let Some(cpes) = self.database.repository(repository).or_else(general) else {
            self.notes.insert(format!(
                "repository `{repository}` is not in Red Hat's map of products"
            ));
            return Vec::new();
        };
        let cpes: Vec<Cpe> = cpes.into_iter().filter_map(Cpe::parse).collect();
        let extended = cpes.iter().filter(|cpe| cpe.is_extended_rhel());
        let minors: BTreeSet<&str> = extended.map(Cpe::version).collect();
        let Some(version) = self
            .evidence
            .version
            .as_deref()
            .filter(|_| minors.len() > 1)
        else {
            return cpes;
        };
        if !minors.contains(version) {
            self.notes.insert(format!(
                "repository `{repository}` does not serve release {version} of the image"
            ));
        }
        cpes.into_iter()
            .filter(|cpe| !cpe.is_extended_rhel() || cpe.version() == version)
            .collect()
    }

    /// The main stream of the release: every `enterprise_linux` of its major version, because from 10
    /// on it is named with a minor one.
    fn assumed(&mut self) -> BTreeMap<Cpe, Basis> {
        let Some(major) = self.evidence.major().filter(|_| self.evidence.is_rhel()) else {
            return BTreeMap::new();
        };
        let main = self
            .cpes
            .iter()
            .flatten()
            .filter(|cpe| cpe.is_main_rhel() && cpe.major() == major);
        let named = Cpe::parse(&format!("cpe:/o:redhat:enterprise_linux:{major}"));
        self.notes.insert(format!(
            "nothing in the image names the repositories of its packages: the main ones of release {major} are assumed"
        ));
        main.cloned()
            .chain(named)
            .map(|cpe| (cpe, Basis::Assumed))
            .collect()
    }
}

fn has_rhel(products: &BTreeMap<Cpe, Basis>) -> bool {
    products.keys().any(Cpe::is_rhel)
}
