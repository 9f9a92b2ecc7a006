//! Packaged files against the flattened tree, with the semantics of `rpm -Va`.
//!
//! What is compared is librpm's `rpmfilesVerify`: file states, the header's own verify flags, ghosts
//! and missing-ok files, links to directories where a directory is expected. The modification time is
//! never compared: building an image sets it anew.
//!
//! What *fails* is narrower than what is told, because the service this stands for asked whether the
//! content of Red Hat's packages is still Red Hat's:
//!
//! - content (digest, size, link target, kind of file, device) and existence fail;
//! - files that are meant to be changed or left out (configuration, ghosts, and like
//!   openshift-preflight documentation, licences, readme files and artifacts) are told;
//! - permissions of anything but a directory fail when bits were gained, since the layer then holds the
//!   file anew with more rights; losing bits, set-id ones above all, is hardening and is told.
//!   Directories are told unless everybody may now write: preflight does not look at them and
//!   `chmod -R g=u` is what OpenShift's guidelines ask for;
//! - owners and capabilities are told: a `chown` or `setcap` leaves the content alone;
//! - packages of other vendors are told.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    capability::Capabilities,
    difference::{
        CAPS, DIGEST, GHOST, GROUP, KIND, LINK, MAY_DIFFER, MISSING_OK, MODE, RDEV, S_IFBLK,
        S_IFCHR, S_IFDIR, S_IFMT, SHA256, SIZE, UNKNOWN, USER, columns, detail, fails, problem,
        same_kind,
    },
    owners::Owners,
    resolve::Resolver,
};
use crate::{
    oci::{ImagePath, LayerIndex},
    rpm::{FileEntry, FileState, Package},
    subject::{ChangeKind, Entry, EntryKind, FileProblem, LayerFacts},
};

/// Vendor of the packages whose changed content fails.
const RED_HAT: &str = "Red Hat, Inc.";

/// Every packaged file that is not as its package describes it, in the order of packages and files.
///
/// `passwd` and `group` are the image's; without them only root has a name. A file of two packages is
/// good when it is as either describes it. Digests other than SHA-256 cannot be compared with the
/// tree's: each package that has them yields one problem with `?` that does not fail.
pub fn verify(
    packages: &[Arc<Package>],
    tree: &BTreeMap<ImagePath, Entry>,
    layers: &[LayerFacts],
    passwd: Option<&[u8]>,
    group: Option<&[u8]>,
) -> Vec<FileProblem> {
    let mut verifier = Verifier {
        tree,
        resolver: Resolver::new(tree),
        users: Owners::parse(passwd),
        groups: Owners::parse(group),
        layers,
        removals: OnceCell::new(),
        agreed: BTreeSet::new(),
        found: Vec::new(),
    };
    for package in packages.iter().filter(|package| !package.is_key()) {
        verifier.package(package);
    }
    verifier.finish()
}

/// A problem before it is known what other owners of the path say.
struct Found {
    at: ImagePath,
    directory: bool,
    problem: FileProblem,
}

struct Verifier<'t> {
    tree: &'t BTreeMap<ImagePath, Entry>,
    resolver: Resolver<'t>,
    users: Owners,
    groups: Owners,
    layers: &'t [LayerFacts],
    /// only needed when something is missing
    removals: OnceCell<HashMap<&'t ImagePath, Removal>>,
    /// paths that are as one of their owners describes them
    agreed: BTreeSet<ImagePath>,
    found: Vec<Found>,
}

impl Verifier<'_> {
    fn package(&mut self, package: &Package) {
        let mut not_compared: Option<(&FileEntry, Option<LayerIndex>, usize)> = None;
        for file in &package.files {
            if matches!(file.state, FileState::NotInstalled | FileState::NetShared) {
                continue;
            }
            let located = self.resolver.locate(&file.path);
            let at = located.unwrap_or_else(|| file.path.clone());
            let Some(entry) = self.tree.get(&at) else {
                if file.flags & (MISSING_OK | GHOST) == 0 {
                    self.missing(package, file, at);
                }
                continue;
            };
            let entry = self.through_link(file, &at, entry);
            let mut difference = self.compare(package, file, entry);
            if difference == UNKNOWN {
                let count = not_compared.map_or(0, |(_, _, count)| count);
                let first = not_compared.map_or((file, Some(entry.layer)), |(f, l, _)| (f, l));
                not_compared = Some((first.0, first.1, count + 1));
                difference = 0;
            }
            if difference == 0 {
                let whole = matches!(file.state, FileState::Normal | FileState::Missing);
                if whole && file.verify_flags & DIGEST != 0 {
                    self.agreed.insert(at);
                }
                continue;
            }
            self.differs(package, file, (at, entry), difference);
        }
        if let Some((file, layer, count)) = not_compared {
            let detail = format!(
                "the content of {count} files of this package is not compared: their digests are of \
                 algorithm {}, not SHA-256",
                package.file_digest_algo
            );
            let problem = problem(package, file, (columns(UNKNOWN), detail), (layer, false));
            // No other owner's agreement settles the rest of the package.
            self.found.push(Found {
                at: ImagePath::default(),
                directory: true,
                problem,
            });
        }
    }

    /// Where a directory is expected, a link of root's or the owner's to one stands for it.
    fn through_link<'e>(&self, file: &FileEntry, at: &ImagePath, entry: &'e Entry) -> &'e Entry
    where
        Self: 'e,
    {
        let link = matches!(entry.kind, EntryKind::Symlink(_)) && file.mode & S_IFMT == S_IFDIR;
        if !link || !(entry.uid == 0 || self.users.agree(&file.user, entry.uid)) {
            return entry;
        }
        let target = self.resolver.follow(at).and_then(|at| self.tree.get(&at));
        target
            .filter(|target| target.kind == EntryKind::Directory)
            .unwrap_or(entry)
    }

    /// The differences, as verify flags; `rpmfilesVerify` without the modification time.
    fn compare(&self, package: &Package, file: &FileEntry, entry: &Entry) -> u32 {
        let mut wanted = match file.state {
            FileState::Replaced => 0,
            FileState::WrongColor => file.verify_flags & !(DIGEST | SIZE | RDEV),
            _ => file.verify_flags,
        };
        wanted &= match entry.kind {
            EntryKind::Symlink(_) => !(MODE | DIGEST | SIZE | CAPS),
            EntryKind::File { .. } => !LINK,
            _ => !(LINK | DIGEST | SIZE | CAPS),
        };
        if file.flags & GHOST != 0 {
            wanted &= !(DIGEST | SIZE | LINK);
        }
        let mut differs = 0;
        let mut check = |flag, differing: bool| {
            if wanted & flag != 0 && differing {
                differs |= flag;
            }
        };
        match &entry.kind {
            EntryKind::File { size, sha256 } => {
                check(SIZE, *size != file.size);
                let known = package.file_digest_algo == SHA256 || file.digest.is_empty();
                check(DIGEST, known && sha256[..] != *file.digest);
                let same = Capabilities::from_text(&file.caps).unwrap_or_default();
                check(CAPS, Capabilities::from_xattr(&entry.caps) != Some(same));
                if !known && wanted & DIGEST != 0 {
                    differs |= UNKNOWN;
                }
            }
            EntryKind::Symlink(target) => check(LINK, *target != file.link_target),
            EntryKind::Directory | EntryKind::Device(..) | EntryKind::Fifo => {}
        }
        self.compare_attributes(file, entry, wanted) | differs
    }

    fn compare_attributes(&self, file: &FileEntry, entry: &Entry, wanted: u32) -> u32 {
        let mut differs = 0;
        let ghost = file.flags & GHOST != 0;
        let kind_differs = !ghost && !same_kind(file.mode, &entry.kind);
        if wanted & MODE != 0 && (kind_differs || file.mode & 0o7777 != entry.mode & 0o7777) {
            differs |= MODE;
        }
        // rpm does not see a link in place of a file that has no link target; its content is gone.
        if kind_differs && wanted & (MODE | LINK | DIGEST) != 0 {
            differs |= KIND;
        }
        let is_device = matches!(entry.kind, EntryKind::Device(..));
        let device = match entry.kind {
            EntryKind::Device(major, minor) => (major & 0xff) << 8 | (minor & 0xff),
            _ => 0,
        };
        let expects_device = matches!(file.mode & S_IFMT, S_IFCHR | S_IFBLK);
        let other_device = is_device && device != u32::from(file.rdev);
        if wanted & RDEV != 0 && (is_device != expects_device || other_device) {
            differs |= RDEV;
        }
        if wanted & USER != 0 && !self.users.agree(&file.user, entry.uid) {
            differs |= USER;
        }
        if wanted & GROUP != 0 && !self.groups.agree(&file.group, entry.gid) {
            differs |= GROUP;
        }
        differs
    }

    fn missing(&mut self, package: &Package, file: &FileEntry, at: ImagePath) {
        let removals = self.removals.get_or_init(|| removals(self.layers));
        let layer = removed_by(removals, &at);
        let detail = match layer {
            Some(layer) => format!("it is missing; layer {layer} takes it away"),
            None => "it is missing from every layer".to_owned(),
        };
        let fails = file.flags & MAY_DIFFER == 0 && is_red_hat(package);
        let flags = "missing  ".to_owned();
        let problem = problem(package, file, (flags, detail), (layer, fails));
        self.found.push(Found {
            at,
            directory: false,
            problem,
        });
    }

    fn differs(
        &mut self,
        package: &Package,
        file: &FileEntry,
        (at, entry): (ImagePath, &Entry),
        difference: u32,
    ) {
        let detail = detail(file, entry, difference, (&self.users, &self.groups));
        let fails = fails(file, entry, difference) && is_red_hat(package);
        let how = (columns(difference), detail);
        let problem = problem(package, file, how, (Some(entry.layer), fails));
        let directory = entry.kind == EntryKind::Directory;
        self.found.push(Found {
            at,
            directory,
            problem,
        });
    }

    /// Drops what another owner of the same path agrees with.
    fn finish(self) -> Vec<FileProblem> {
        let agreed = self.agreed;
        let settle = |found: Found| {
            let mut problem = found.problem;
            if agreed.contains(&found.at) {
                if !found.directory {
                    return None;
                }
                problem.fails = false;
            }
            Some(problem)
        };
        self.found.into_iter().filter_map(settle).collect()
    }
}

fn is_red_hat(package: &Package) -> bool {
    package.vendor.as_deref() == Some(RED_HAT)
}

/// The last layers that do something to a path which makes others vanish.
#[derive(Default)]
struct Removal {
    /// a whiteout of it
    deleted: Option<LayerIndex>,
    /// what is below it is gone: an opaque whiteout, or something put there that is no directory
    covered: Option<LayerIndex>,
}

fn removals(layers: &[LayerFacts]) -> HashMap<&ImagePath, Removal> {
    let mut removals: HashMap<&ImagePath, Removal> = HashMap::new();
    for layer in layers {
        for change in &layer.changes {
            let index = Some(layer.index);
            match &change.kind {
                ChangeKind::Put(entry) if entry.kind == EntryKind::Directory => {}
                ChangeKind::Delete => removals.entry(&change.path).or_default().deleted = index,
                ChangeKind::Opaque | ChangeKind::Put(_) => {
                    removals.entry(&change.path).or_default().covered = index;
                }
            }
        }
    }
    removals
}

/// The last layer that takes a path away, by itself or with a directory above it.
fn removed_by(removals: &HashMap<&ImagePath, Removal>, path: &ImagePath) -> Option<LayerIndex> {
    let own = removals.get(path).and_then(|removal| removal.deleted);
    let above = std::iter::successors(path.parent(), ImagePath::parent);
    let above = above.filter_map(|path| removals.get(&path));
    above
        .map(|removal| removal.deleted.max(removal.covered))
        .max()
        .flatten()
        .max(own)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::verify;
    use crate::{
        inventory::testing::{deleted, entry, file, layer, package, put},
        oci::{ImagePath, LayerIndex},
        rpm::{FileState, Package},
        subject::{Entry, EntryKind, FileProblem, LayerFacts},
    };

    fn tree(entries: &[(&str, Entry)]) -> BTreeMap<ImagePath, Entry> {
        let entries = entries.iter().cloned();
        entries
            .map(|(path, entry)| (ImagePath::from(path), entry))
            .collect()
    }

    fn problems(
        packages: &[Package],
        entries: &[(&str, Entry)],
        layers: &[LayerFacts],
    ) -> Vec<FileProblem> {
        let packages: Vec<Arc<Package>> = packages.iter().cloned().map(Arc::new).collect();
        verify(&packages, &tree(entries), layers, None, None)
    }

    #[test]
    fn the_layer_that_took_a_file_away_is_named() {
        let tool = package("tool", &[file("/usr/bin/tool", b"one")]);
        let put_there = || layer(0, vec![put("/usr/bin/tool", b"one", 0o755)]);
        for (name, second, want) in [
            ("deleted", deleted("/usr/bin/tool"), Some(1)),
            ("directory deleted", deleted("/usr"), Some(1)),
            (
                "directory made a file",
                put("/usr/bin", b"", 0o644),
                Some(1),
            ),
            ("elsewhere", deleted("/usr/bin/too"), None),
        ] {
            let layers = [put_there(), layer(1, vec![second])];
            let found = problems(std::slice::from_ref(&tool), &[], &layers);
            assert_eq!(found.len(), 1, "{name}");
            assert_eq!(found[0].layer, want.map(LayerIndex), "{name}");
            assert_eq!(
                (found[0].flags.as_str(), found[0].fails),
                ("missing  ", true),
                "{name}"
            );
        }
        assert_eq!(problems(&[tool], &[], &[])[0].layer, None);
    }

    #[test]
    fn a_file_of_two_packages_is_good_when_either_describes_it() {
        let one = package("one", &[file("/usr/bin/tool", b"one")]);
        let two = package("two", &[file("/usr/bin/tool", b"two")]);
        let both = [one, two];
        assert_eq!(
            problems(&both, &[("/usr/bin/tool", entry(b"two", 0o755))], &[]),
            []
        );
        let found = problems(&both, &[("/usr/bin/tool", entry(b"six", 0o755))], &[]);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn states_decide_what_is_looked_at() {
        for (state, missing, changed) in [
            (FileState::Normal, 1, 1),
            (FileState::Missing, 1, 1),
            (FileState::Replaced, 1, 0),
            (FileState::WrongColor, 1, 0),
            (FileState::NotInstalled, 0, 0),
            (FileState::NetShared, 0, 0),
        ] {
            let mut tool = file("/usr/bin/tool", b"one");
            tool.state = state;
            let packages = [package("tool", &[tool])];
            assert_eq!(problems(&packages, &[], &[]).len(), missing, "{state:?}");
            let other = [("/usr/bin/tool", entry(b"two", 0o755))];
            assert_eq!(problems(&packages, &other, &[]).len(), changed, "{state:?}");
        }
    }

    #[test]
    fn permissions_fail_when_gained_and_are_told_when_lost() {
        let directory = |mode| Entry {
            kind: EntryKind::Directory,
            ..entry(b"", mode)
        };
        let mut bin = file("/usr/bin", b"");
        bin.mode = 0o040_755;
        let packages = [package("tool", &[file("/usr/bin/tool", b"one"), bin])];
        for (file_mode, directory_mode, want) in [
            (0o755, 0o755, vec![]),
            (0o555, 0o555, vec![false, false]),
            (0o4755, 0o755, vec![true]),
            (0o775, 0o775, vec![true, false]),
            (0o755, 0o777, vec![true]),
            (0o755, 0o1777, vec![false]),
        ] {
            let entries = [
                ("/usr/bin/tool", entry(b"one", file_mode)),
                ("/usr/bin", directory(directory_mode)),
            ];
            let found = problems(&packages, &entries, &[]);
            let fails: Vec<bool> = found.iter().map(|problem| problem.fails).collect();
            assert_eq!(fails, want, "{file_mode:o} {directory_mode:o}: {found:?}");
        }
    }

    #[test]
    fn other_vendors_and_flags_that_allow_change_never_fail() {
        for (flags, vendor, fails) in [
            (0, Some("Red Hat, Inc."), true),
            (0, Some("Partner"), false),
            (0, None, false),
            (1, Some("Red Hat, Inc."), false),
            (2, Some("Red Hat, Inc."), false),
            (128, Some("Red Hat, Inc."), false),
        ] {
            let mut tool = file("/usr/bin/tool", b"one");
            tool.flags = flags;
            let mut tool = package("tool", &[tool]);
            tool.vendor = vendor.map(str::to_owned);
            let found = problems(&[tool], &[("/usr/bin/tool", entry(b"two", 0o755))], &[]);
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].fails, fails, "{flags} {vendor:?}");
            assert_eq!(found[0].flags, "..5......");
        }
    }
}
