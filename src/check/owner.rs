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

/// Those of `paths` that one of the chosen packages owns; none when there is no list of packages.
/// Packages may name a file through a directory link (`/bin/su`), so their paths are resolved; only
/// those whose last component matches are worth that.
pub(super) fn owned(
    subject: &Subject,
    paths: &BTreeSet<&ImagePath>,
    chosen: impl Fn(&Package) -> bool,
) -> BTreeSet<ImagePath> {
    let Fact::Known(packages) = &subject.inventory.packages else {
        return BTreeSet::new();
    };
    let names: BTreeSet<_> = paths.iter().filter_map(|path| path.file_name()).collect();
    packages
        .list
        .iter()
        .filter(|package| chosen(package))
        .flat_map(|package| &package.files)
        .map(|file| &file.path)
        .filter(|path| path.file_name().is_some_and(|name| names.contains(name)))
        .map(|path| {
            let real = subject.inventory.resolve(path);
            real.unwrap_or_else(|| path.clone())
        })
        .collect()
}
