//! No package that may not be redistributed or has no place in a container.

use super::{Check, Need, failed_or_passed};
use crate::{
    finding::{Finding, Verdict},
    oci::LayerIndex,
    rpm::{Package, is_prohibited},
    rule::Rule,
    subject::{Fact, Subject},
};

crate::rule! {
    /// # What it requires
    /// None of these packages is installed: `grub`, `grub2`, `kernel`, `kernel-core`, `kernel-debug`,
    /// `kernel-debug-core`, `kernel-debug-devel`, `kernel-debug-modules`,
    /// `kernel-debug-modules-extra`, `kernel-devel`, `kernel-doc`, `kernel-modules`,
    /// `kernel-modules-extra`, `kernel-tools`, `kernel-tools-libs`, `kmod-kvdo`, `linux-firmware`, and
    /// none whose name starts with `kpatch`.
    ///
    /// # Why
    /// Packages of the Universal Base Image and the user space of Red Hat Enterprise Linux may be
    /// redistributed in a partner's image; the kernel and what belongs to it may not, and a container
    /// uses its host's.
    ///
    /// # How to fix
    /// Do not install the package. When another one pulls it in, leave weak dependencies out:
    ///
    /// ```dockerfile
    /// RUN dnf -y install --setopt=install_weak_deps=False package && dnf clean all
    /// ```
    ///
    /// A package that an earlier layer installs and a later one removes is still in the image: install
    /// and remove in one `RUN`.
    ///
    /// # References
    /// - [Policy guide, requirements for container images](https://access.redhat.com/documentation/en-us/red_hat_software_certification/2026/html-single/red_hat_openshift_software_certification_policy_guide/index#assembly-requirements-for-container-images_openshift-sw-cert-policy-introduction)
    /// - openshift-preflight: `HasNoProhibitedPackages`, whose list (1.21.0) this is
    static HAS_NO_PROHIBITED_PACKAGES = {
        id: "has_no_prohibited_packages",
        title: "a package that may not be redistributed is installed",
        aliases: ["HasNoProhibitedPackages"],
        level: Required,
        origin: Policy,
        since: "0.1.0",
    }
}

pub(super) struct HasNoProhibitedPackages;

impl Check for HasNoProhibitedPackages {
    fn rule(&self) -> &'static Rule {
        &HAS_NO_PROHIBITED_PACKAGES
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::Packages]
    }

    fn assess(&self, subject: &Subject) -> Verdict {
        let Fact::Known(packages) = &subject.inventory.packages else {
            return Verdict::NotApplicable("there is no list of packages".to_owned());
        };
        let findings = packages
            .list
            .iter()
            .enumerate()
            .filter(|(_, package)| is_prohibited(&package.nevra.name))
            .map(|(n, package)| finding(subject, package, packages.layers.get(n).copied()));
        failed_or_passed(findings.collect())
    }
}

fn finding(subject: &Subject, package: &Package, layer: Option<LayerIndex>) -> Finding {
    let nevra = package.nevra.to_string();
    let mut finding = Finding::new(
        package.nevra.name.as_str(),
        format!("`{nevra}` is installed, which may not be redistributed"),
    )
    .of_package(nevra)
    .remedy("do not install the package, or remove it in the same RUN that installs it")
    .at(subject.at_from());
    if let Some(layer) = layer {
        finding = finding.at(subject.at_layer(layer)).in_layer(layer);
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Image, RED_HAT, line};

    #[test]
    fn the_finding_names_the_package_and_lies_where_it_was_installed() {
        let subject = Image::good()
            .dockerfile("Containerfile", 2)
            .in_layer(2)
            .package("kernel-core", RED_HAT, &[])
            .build();
        let Verdict::Failed(findings) = HasNoProhibitedPackages.assess(&subject) else {
            panic!("not failed");
        };
        assert_eq!(
            findings[0].package.as_deref(),
            Some("kernel-core-1-1.el9.x86_64")
        );
        assert_eq!(findings[0].location, Some(line(12)));
    }
}
