//! The package list can be read.

use super::{Check, Need, passed};
use crate::{
    finding::{Finding, Verdict},
    oci::{ImagePath, LayerIndex},
    rule::Rule,
    subject::{ChangeKind, Fact, Subject},
};

crate::rule! {
    /// # What it requires
    /// The image has an rpm database that can be read, and it lists at least one package. sqlite, ndb
    /// and Berkeley DB are read, under `/var/lib/rpm`, `/usr/lib/sysimage/rpm` and `/usr/share/rpm`.
    ///
    /// # Why
    /// Without the list nobody can say which packages are in the image, whether they are unmodified,
    /// or which errata they lack.
    ///
    /// # How to fix
    /// Do not remove the database to make the image smaller, and do not copy single files out of a Red
    /// Hat image into an empty stage. `dnf clean all` (or `microdnf clean all`) removes what can be
    /// spared.
    ///
    /// # References
    /// - [rpm's manual](https://rpm-software-management.github.io/rpm/manual/)
    /// - openshift-preflight reports such an image as an error of `HasModifiedFiles` and
    ///   `HasNoProhibitedPackages`
    static RPM_LIST_SUCCESSFUL = {
        id: "rpm_list_successful",
        title: "the list of installed packages cannot be read",
        aliases: [],
        level: Required,
        origin: Service,
        since: "0.1.0",
    }
}

/// Where databases lie.
const DIRECTORIES: [&str; 3] = ["/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm"];

pub(super) struct RpmListSuccessful;

impl Check for RpmListSuccessful {
    fn rule(&self) -> &'static Rule {
        &RPM_LIST_SUCCESSFUL
    }

    fn needs(&self) -> &'static [Need] {
        &[]
    }

    fn assess(&self, subject: &Subject) -> Verdict {
        let message = match &subject.inventory.packages {
            Fact::Known(packages) => {
                let count = packages.list.iter().filter(|p| !p.is_key()).count();
                if count > 0 {
                    return passed(format!(
                        "{count} packages in `{}` ({})",
                        packages.database, packages.format
                    ));
                }
                format!("the database `{}` lists no package", packages.database)
            }
            Fact::Unmet(reason) => format!("the list of packages cannot be read: {reason}"),
        };
        Verdict::Failed(vec![without_packages(subject, message)])
    }
}

/// A finding about the missing list, at the instruction that deletes the database if one does.
pub(super) fn without_packages(subject: &Subject, message: String) -> Finding {
    let mut finding = Finding::new("packages", message)
        .at(subject.at_from())
        .remedy("keep the rpm database of the base image");
    if let Some((layer, path)) = deleted(subject) {
        finding.message = format!("{}; layer {layer} deletes `{path}`", finding.message);
        finding = finding
            .at(subject.at_layer(layer))
            .in_layer(layer)
            .on_path(path);
    }
    finding
}

/// The last layer that deletes a database, and what it deletes.
fn deleted(subject: &Subject) -> Option<(LayerIndex, ImagePath)> {
    let directories = DIRECTORIES.map(ImagePath::from);
    let concerns = |path: &ImagePath| {
        directories
            .iter()
            .any(|directory| path.is_under(directory) || directory.is_under(path))
    };
    subject.inventory.layers.iter().rev().find_map(|layer| {
        layer
            .changes
            .iter()
            .find(|change| change.kind == ChangeKind::Delete && concerns(&change.path))
            .map(|change| (layer.index, change.path.clone()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::testing::{Image, line},
        subject::Change,
    };

    fn finding(subject: &Subject) -> Finding {
        match RpmListSuccessful.assess(subject) {
            Verdict::Failed(mut findings) => findings.remove(0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_list_with_packages_passes_and_says_where_it_is() {
        let Verdict::Passed { note } = RpmListSuccessful.assess(&Image::good().build()) else {
            panic!("not passed");
        };
        assert_eq!(
            note.unwrap(),
            "2 packages in `/var/lib/rpm/rpmdb.sqlite` (sqlite)"
        );
    }

    #[test]
    fn an_empty_list_or_one_of_keys_alone_fails() {
        for image in [Image::bare(), Image::bare().package("gpg-pubkey", "", &[])] {
            let message = finding(&image.build()).message;
            assert_eq!(
                message,
                "the database `/var/lib/rpm/rpmdb.sqlite` lists no package"
            );
        }
    }

    #[test]
    fn the_layer_that_deletes_the_database_is_named() {
        let mut subject = Image::good()
            .dockerfile("Containerfile", 2)
            .without_packages("there is no rpm database")
            .build();
        assert_eq!(finding(&subject).location, Some(line(1)));
        subject.inventory.layers[3].changes = vec![Change {
            path: ImagePath::from("/var/lib/rpm"),
            kind: ChangeKind::Delete,
        }];
        let finding = finding(&subject);
        assert_eq!(
            finding.message,
            "the list of packages cannot be read: there is no rpm database; layer 3 deletes `/var/lib/rpm`"
        );
        assert_eq!(
            (finding.layer, finding.location),
            (Some(LayerIndex(3)), Some(line(13)))
        );
    }
}
