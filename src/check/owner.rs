//! Which files belong to packages.

use std::collections::BTreeSet;

use crate::{
    oci::ImagePath,
    rpm::Package,
    subject::{Fact, Subject},
};

/// The vendor of Red Hat's packages.
pub(super) const RED_HAT: &str = "Red Hat, Inc.";

/// Whether a package says it is Red Hat's.
pub(super) fn is_red_hat(package: &Package) -> bool {
    package.vendor.as_deref() == Some(RED_HAT)
}

/// Paths of packages that are worth resolving; a made-up database could name millions.
const MOST_RESOLVED: usize = 10_000;

/// Those of `paths` that one of the chosen packages owns; none when there is no list of packages.
/// Packages may name a file through a directory link (`/bin/su`), so paths that are not found as
/// written are resolved, if their last component matches.
pub(super) fn owned(
    subject: &Subject,
    paths: &BTreeSet<&ImagePath>,
    chosen: impl Fn(&Package) -> bool,
) -> BTreeSet<ImagePath> {
    let Fact::Known(packages) = &subject.inventory.packages else {
        return BTreeSet::new();
    };
    let files = || {
        let packages = packages.list.iter().filter(|package| chosen(package));
        packages
            .flat_map(|package| &package.files)
            .map(|file| &file.path)
    };
    let as_written = files().filter(|path| paths.contains(path));
    let mut owned: BTreeSet<ImagePath> = as_written.cloned().collect();
    let names: BTreeSet<_> = paths
        .iter()
        .filter(|path| !owned.contains(**path))
        .filter_map(|path| path.file_name())
        .collect();
    let linked: Vec<ImagePath> = files()
        .filter(|path| path.file_name().is_some_and(|name| names.contains(name)))
        .filter(|path| !paths.contains(path))
        .take(MOST_RESOLVED)
        .filter_map(|path| subject.inventory.resolve(path))
        .filter(|path| paths.contains(path))
        .collect();
    owned.extend(linked);
    owned
}
