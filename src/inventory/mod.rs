//! One pass over the verified layers of an image: what is in them, layer by layer and put together.
//!
//! [`scan`] reads every layer once, as a stream: the blob's digest and size, the diff id, each entry
//! and the digest of each file come out of the same pass, on all cores and in bounded memory. Nothing
//! is unpacked to disk, and what a layer says is believed only as far as [`Limits`] go. Whether any
//! of it is good or bad is not judged here.
//!
//! What a layer holds does not change, so it can be kept ([`record`], [`LayerMemory`]) and a layer that
//! is known need not be read. Read all the same are layers with files of packages that are not described
//! by SHA-256, and a database whose write-ahead log is in another layer.

mod blob;
mod capability;
mod content;
mod database;
mod difference;
mod digests;
mod error;
mod fetch;
mod header;
mod kept;
mod layer;
mod modified;
mod options;
mod owners;
mod record;
mod resolve;
mod schedule;
mod secrets;
mod sparse;
mod tar;
#[cfg(test)]
pub(crate) mod testing;
mod tree;
mod verify;
mod walk;

pub use error::{LayerError, LimitError, ScanError, TarError};
pub use modified::modified;
pub use options::*;
pub use record::{LayerKey, LayerMemory, Recorded, record};
pub use verify::verify;

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

use database::{LayerDatabase, Packed, Sha};
use digests::Rehash;
use layer::LayerScan;
use tree::Tree;

use crate::{
    oci::{Descriptor, ImageConfig, ImagePath, ImageSource, LayerIndex},
    subject::{
        ChangeKind, Entry, EntryKind, Fact, FileProblem, Inventory, LayerFacts, Packages,
        PreflightModified, SecretTrace,
    },
};

/// Reads the layers of an image, base first as the manifest lists them, and puts them together.
///
/// # Errors
/// When a layer cannot be read, is not the one that manifest and configuration name, holds what no
/// image may hold, or passes a limit. A damaged rpm database is no error but an unmet fact.
pub fn scan(
    source: &dyn ImageSource,
    layers: &[Descriptor],
    config: &ImageConfig,
    options: &ScanOptions,
    progress: &dyn ScanProgress,
) -> Result<Inventory, ScanError> {
    let diff_ids = &config.rootfs.diff_ids;
    counted(layers.len(), diff_ids.len(), options.limits.layers)?;
    let budget = Budget::new(options.limits.clone());
    let packed = Packed::default();
    let mut scans = schedule::run(&schedule::Job {
        source,
        layers,
        diff_ids,
        options,
        progress,
        budget: &budget,
        packed: &packed,
    })?;
    let mut tree = Tree::new(&budget);
    for ((n, scan), of) in (0..).zip(&mut scans).zip(layers) {
        tree.apply(LayerIndex(n), scan)
            .map_err(|error| ScanError::layer(LayerIndex(n), of, error))?;
    }
    let mut databases: Vec<Vec<LayerDatabase>> = scans
        .iter_mut()
        .map(|scan| std::mem::take(&mut scan.databases))
        .collect();
    // A layer that was read once and cannot be read again stops the scan like one that never could.
    let unread = RefCell::new(None);
    let refused = |layer: LayerIndex, of, error| {
        let error = ScanError::layer(layer, of, error);
        unread.borrow_mut().get_or_insert(error);
    };
    let packages = database::packages(&tree, &mut databases, &packed, |role, file| {
        let of = layers.get(file.layer.0 as usize)?;
        fetch::fetch(source, of, &options.limits, role, file.sha256)
            .map_err(|error| refused(file.layer, of, error))
            .ok()?
    });
    drop(packed);
    let secrets = traces(&tree, &scans, &databases);
    let kept = kept(&tree, &mut scans);
    let descriptors = layers;
    let layers = facts(scans, layers, config);
    let verification = if options.verify {
        let read_again = |layer: LayerIndex, sink| {
            let of = descriptors.get(layer.0 as usize)?;
            fetch::read_again(source, of, &options.limits, sink)
                .map_err(|error| refused(layer, of, error))
                .ok()
        };
        verification(&tree, &layers, &kept, &packages, &databases, read_again)
    } else {
        Verification::unmet("verification was not asked for")
    };
    if let Some(error) = unread.into_inner() {
        return Err(error);
    }
    Ok(Inventory {
        layers,
        tree: tree.entries,
        kept,
        packages,
        modified: verification.modified,
        preflight_modified: verification.preflight,
        secrets,
    })
}

/// As many layers as diff ids, and no more than any runtime takes.
fn counted(layers: usize, diff_ids: usize, limit: u64) -> Result<(), ScanError> {
    if layers != diff_ids {
        return Err(ScanError::LayerCount { layers, diff_ids });
    }
    let layers = layers as u64;
    if layers > limit {
        return Err(ScanError::TooManyLayers { layers, limit });
    }
    Ok(())
}

struct Verification {
    modified: Fact<Vec<FileProblem>>,
    preflight: Fact<PreflightModified>,
}

impl Verification {
    fn unmet(reason: &str) -> Self {
        Self {
            modified: Fact::Unmet(reason.to_owned()),
            preflight: Fact::Unmet(reason.to_owned()),
        }
    }
}

/// Content that could not be compared is no pass; a failure beside it is one all the same.
fn told(problems: Vec<FileProblem>) -> Fact<Vec<FileProblem>> {
    let open = problems.iter().find(|problem| problem.flags.contains('?'));
    match open.filter(|_| !problems.iter().any(|problem| problem.fails)) {
        Some(open) => Fact::Unmet(format!("`{}`: {}", open.package, open.detail)),
        None => Fact::Known(problems),
    }
}

/// The files of the packages against the tree, and preflight's verdict.
fn verification(
    tree: &Tree<'_>,
    layers: &[LayerFacts],
    kept: &BTreeMap<ImagePath, Vec<u8>>,
    packages: &Fact<Packages>,
    databases: &[Vec<LayerDatabase>],
    read_again: impl Fn(LayerIndex, Rehash) -> Option<Rehash>,
) -> Verification {
    let list = match packages {
        Fact::Known(packages) => digests::translate(&packages.list, tree, read_again),
        Fact::Unmet(reason) => return Verification::unmet(reason),
    };
    let file = |path: &str| {
        let path = tree.resolve(&ImagePath::from(path)).ok()?;
        kept.get(&path).map(|content| &content[..])
    };
    let (passwd, group) = (file("etc/passwd"), file("etc/group"));
    let problems = verify(&list, &tree.entries, layers, passwd, group);
    Verification {
        modified: told(problems),
        preflight: modified(
            layers,
            &database::for_preflight(databases),
            file("etc/os-release"),
        ),
    }
}

/// The kept files as the flattened tree shows them, hard links among them.
fn kept(tree: &Tree<'_>, scans: &mut [LayerScan]) -> BTreeMap<ImagePath, Vec<u8>> {
    let contents: HashMap<Sha, Vec<u8>> = scans
        .iter_mut()
        .flat_map(|scan| std::mem::take(&mut scan.kept))
        .map(|(_, sha256, content)| (sha256, content))
        .collect();
    tree.entries
        .iter()
        .filter(|(path, _)| content::is_kept(path.as_bytes()))
        .filter_map(|(path, entry)| match entry.kind {
            EntryKind::File { sha256, .. } => Some((path.clone(), contents.get(&sha256)?.clone())),
            _ => None,
        })
        .collect()
}

/// What looks like a secret and is not part of a package.
fn traces(
    tree: &Tree<'_>,
    scans: &[LayerScan],
    databases: &[Vec<LayerDatabase>],
) -> Vec<SecretTrace> {
    let mut found = Vec::new();
    for (scan, layer) in scans.iter().zip((0..).map(LayerIndex)) {
        for trace in &scan.traces {
            let Some(change) = scan.changes.get(trace.change) else {
                continue;
            };
            let now = tree.entries.get(&change.path);
            let content = match &change.kind {
                ChangeKind::Put(Entry {
                    kind: EntryKind::File { size, sha256 },
                    ..
                }) => (*size, *sha256),
                _ => continue,
            };
            if database::is_shipped(tree, databases, &change.path, content) {
                continue;
            }
            found.push(SecretTrace {
                path: change.path.clone(),
                layer,
                what: trace.what,
                deleted_later: now.is_none_or(|entry| entry.layer != layer),
            });
        }
    }
    found
}

fn facts(scans: Vec<LayerScan>, layers: &[Descriptor], config: &ImageConfig) -> Vec<LayerFacts> {
    let mut history: Vec<Option<String>> = config
        .history
        .iter()
        .flatten()
        .filter(|step| !step.empty_layer)
        .map(|step| step.created_by.clone())
        .collect();
    if history.len() != layers.len() {
        // Which step made which layer cannot be told.
        history = vec![None; layers.len()];
    }
    scans
        .into_iter()
        .zip(layers.iter().zip(&config.rootfs.diff_ids))
        .zip(history.into_iter().zip((0..).map(LayerIndex)))
        .map(|((scan, (of, diff_id)), (created_by, index))| LayerFacts {
            index,
            digest: of.digest().clone(),
            diff_id: diff_id.clone(),
            size: of.size(),
            uncompressed_size: scan.uncompressed,
            entries: scan.entries,
            created_by,
            changes: scan.changes,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Fact, FileProblem, told};
    use crate::oci::ImagePath;

    fn problem(flags: &str, fails: bool) -> FileProblem {
        FileProblem {
            path: ImagePath::from("/usr/bin/x"),
            package: "x-1-1.noarch".to_owned(),
            vendor: None,
            flags: flags.to_owned(),
            attribute: ' ',
            detail: "not compared".to_owned(),
            layer: None,
            fails,
        }
    }

    #[test]
    fn content_that_was_not_compared_is_no_pass() {
        for (problems, known) in [
            (vec![], true),
            (vec![problem("....L....", false)], true),
            (vec![problem("..?......", false)], false),
            (
                vec![problem("..?......", false), problem("S.5......", true)],
                true,
            ),
        ] {
            let fact = told(problems.clone());
            assert_eq!(matches!(fact, Fact::Known(_)), known, "{problems:?}");
        }
    }
}
