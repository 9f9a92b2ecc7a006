//! The image is built on Red Hat Enterprise Linux.

use super::{
    Check, Need, base,
    owner::{RED_HAT, is_red_hat},
    passed,
};
use crate::{
    finding::{Finding, Verdict},
    oci::ImagePath,
    rpm::Package,
    rule::Rule,
    subject::{BaseImage, Fact, Packages, Subject},
};

crate::rule! {
    /// # What it requires
    /// The image is built on a base image of Red Hat's: the Universal Base Image (UBI) or another image
    /// of Red Hat Enterprise Linux. First the image's layers are compared with those of the base images
    /// that the catalog knows; else its content decides: `/etc/os-release` says `ID=rhel`, and the
    /// package that brings it, `redhat-release`, is Red Hat's.
    ///
    /// # Why
    /// Red Hat supports and patches the operating system in a certified image, which it can do only
    /// when that is its own.
    ///
    /// # How to fix
    /// Build on an image of `registry.access.redhat.com`, which needs no login:
    ///
    /// ```dockerfile
    /// FROM registry.access.redhat.com/ubi9/ubi-minimal
    /// ```
    ///
    /// Partners of OpenStack build on the service's own image, such as
    /// `registry.redhat.io/rhosp-rhel8/openstack-cinder-volume`.
    ///
    /// # References
    /// - [Base images of Red Hat](https://catalog.redhat.com/software/base-images)
    /// - openshift-preflight: `BasedOnUbi`, which asks the catalog for the layers
    static IS_RHEL = {
        id: "is_rhel",
        title: "the image is not based on Red Hat Enterprise Linux",
        aliases: ["BasedOnUbi"],
        level: Required,
        origin: Service,
        since: "0.1.0",
    }
}

/// Packages that bring another distribution's release files.
const OTHERS: [(&str, &str); 7] = [
    ("centos-stream-release", "CentOS Stream"),
    ("centos-release", "CentOS"),
    ("fedora-release-common", "Fedora"),
    ("rocky-release", "Rocky Linux"),
    ("almalinux-release", "AlmaLinux"),
    ("oraclelinux-release", "Oracle Linux"),
    ("system-release", "Amazon Linux"),
];

pub(super) struct IsRhel;

impl Check for IsRhel {
    fn rule(&self) -> &'static Rule {
        &IS_RHEL
    }

    fn needs(&self) -> &'static [Need] {
        &[]
    }

    fn assess(&self, subject: &Subject) -> Verdict {
        if let Some(base) = catalogued(subject) {
            return passed(format!(
                "recognised by its layers as `{}`, which the catalog lists",
                base.reference
            ));
        }
        match content(subject) {
            Ok(note) => passed(note),
            Err((message, path)) => {
                let mut finding = Finding::new("base", message)
                    .at(subject.at_from())
                    .remedy("build on an image of Red Hat's, such as registry.access.redhat.com/ubi9/ubi-minimal");
                if let Some(path) = path {
                    finding = finding.on_path(path);
                }
                Verdict::Failed(vec![finding])
            }
        }
    }
}

/// The base, when the catalog said so and its layers are there.
fn catalogued(subject: &Subject) -> Option<&BaseImage> {
    let Fact::Known(base) = &subject.base else {
        return None;
    };
    let own = &subject.config.rootfs.diff_ids;
    let there = base.diff_ids.iter().any(|diff_id| own.contains(diff_id));
    (base.source == "catalog" && there).then_some(base)
}

/// What the content says: a note, or what is wrong and where.
fn content(subject: &Subject) -> Result<String, (String, Option<ImagePath>)> {
    let path = || Some(ImagePath::from("/etc/os-release"));
    let Some(release) = base::os_release(subject) else {
        return Err((
            "the image has no `/etc/os-release`, so nothing says which system it is".to_owned(),
            None,
        ));
    };
    if release.id != "rhel" {
        return Err((
            format!(
                "`/etc/os-release` says `{}` (ID=`{}`), not Red Hat Enterprise Linux",
                release.name, release.id
            ),
            path(),
        ));
    }
    let packages = match &subject.inventory.packages {
        Fact::Known(packages) => packages,
        Fact::Unmet(reason) => {
            return Ok(format!(
                "`/etc/os-release` says `{}`; nothing else tells, as there is no package list ({reason})",
                release.name
            ));
        }
    };
    let package = red_hat_release(packages).map_err(|message| (message, path()))?;
    let installed = || packages.list.iter().filter(|package| !package.is_key());
    let theirs = installed().filter(|package| is_red_hat(package)).count();
    Ok(format!(
        "`{}`: `{}`, {theirs} of {} packages are by {RED_HAT}",
        release.name,
        package.nevra,
        installed().count()
    ))
}

/// The package `redhat-release`, or why the packages contradict os-release.
fn red_hat_release(packages: &Packages) -> Result<&Package, String> {
    let named = |name: &str| {
        packages
            .list
            .iter()
            .find(|package| package.nevra.name == name)
    };
    for (name, distribution) in OTHERS {
        if let Some(package) = named(name) {
            return Err(format!(
                "`/etc/os-release` says Red Hat Enterprise Linux, but `{}` of {distribution} is installed",
                package.nevra
            ));
        }
    }
    let Some(package) = named("redhat-release") else {
        return Err(
            "`/etc/os-release` says Red Hat Enterprise Linux, but the package `redhat-release` is not installed".to_owned(),
        );
    };
    if !is_red_hat(package) {
        return Err(format!(
            "`{}` is by `{}`, not by {RED_HAT}",
            package.nevra,
            package.vendor.as_deref().unwrap_or("nobody")
        ));
    }
    Ok(package)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::Image;

    const RHEL: &str = "ID=\"rhel\"\nPRETTY_NAME=\"Red Hat Enterprise Linux 9.4 (Plow)\"\n";

    fn said(image: Image) -> Result<String, String> {
        match IsRhel.assess(&image.build()) {
            Verdict::Passed { note } => Ok(note.unwrap()),
            Verdict::Failed(findings) => Err(findings[0].message.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rhel_content_passes_and_says_what_it_was_judged_by() {
        assert_eq!(
            said(Image::good().package("vendorx-agent", "VendorX", &[])).unwrap(),
            "`Red Hat Enterprise Linux 9.4 (Plow)`: `redhat-release-1-1.el9.x86_64`, 2 of 3 packages are by Red Hat, Inc."
        );
        // the usual link, and the file kept under its real name
        let linked = Image::bare()
            .file("usr/lib/os-release", RHEL)
            .tree(&["etc/os-release -> ../usr/lib/os-release"])
            .package("redhat-release", RED_HAT, &[]);
        assert!(said(linked).is_ok());
        let without = Image::good().without_packages("the database is gone");
        assert!(said(without).unwrap().contains("the database is gone"));
    }

    #[test]
    fn other_systems_are_named() {
        for (id, name) in [
            ("debian", "Debian GNU/Linux 12 (bookworm)"),
            ("centos", "CentOS Stream 9"),
            ("fedora", "Fedora Linux 40 (Container Image)"),
            ("rocky", "Rocky Linux 9.4 (Blue Onyx)"),
            ("almalinux", "AlmaLinux 9.4 (Seafoam Ocelot)"),
            ("alpine", "Alpine Linux v3.20"),
        ] {
            let text = format!("ID={id}\nID_LIKE=\"rhel\"\nPRETTY_NAME=\"{name}\"\n");
            let error = said(Image::good().file("etc/os-release", &text)).unwrap_err();
            assert!(error.contains(name) && error.contains(id), "{error}");
        }
        assert!(
            said(Image::bare())
                .unwrap_err()
                .contains("no `/etc/os-release`")
        );
    }

    #[test]
    fn an_os_release_that_the_packages_contradict_is_not_believed() {
        let bare = || Image::bare().file("etc/os-release", RHEL);
        for (image, want) in [
            (bare(), "`redhat-release` is not installed"),
            (bare().package("redhat-release", "", &[]), "by `nobody`"),
            (bare().package("redhat-release", "Rocky", &[]), "by `Rocky`"),
            (
                bare().package("rocky-release", "Rocky", &[]).package(
                    "redhat-release",
                    RED_HAT,
                    &[],
                ),
                "of Rocky Linux is installed",
            ),
        ] {
            let error = said(image).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn the_catalog_s_word_counts_only_when_its_layers_are_there() {
        let from = |source: &str, layers: usize| {
            let mut subject = Image::bare().layers(layers).base(2).build();
            if let Fact::Known(base) = &mut subject.base {
                base.source = source.to_owned();
            }
            matches!(IsRhel.assess(&subject), Verdict::Passed { .. })
        };
        assert!(from("catalog", 3));
        assert!(!from("catalog", 0));
        assert!(!from("registry", 3));
        assert!(!from("layout", 3));
    }
}
