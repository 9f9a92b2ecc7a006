//! No set-uid or set-gid program that no package brought.

use std::collections::BTreeMap;

use super::{Check, Need, base, failed_or_passed, owner::owned};
use crate::{
    finding::{Finding, Verdict},
    oci::{ImagePath, LayerIndex},
    rule::Rule,
    subject::{Entry, EntryKind, Fact, Subject},
};

crate::rule! {
    /// # What it requires
    /// Each file above the base image with the set-uid or set-gid bit belongs to a package. It is a
    /// warning, which blocks only where the configuration says so.
    ///
    /// # Why
    /// Such a program runs as its owner, whoever starts it. Most of them come in unnoticed, with a copied
    /// directory or an unpacked archive, and undo what `USER` is for.
    ///
    /// # How to fix
    /// Take the bit away in the instruction that brings the file:
    ///
    /// ```dockerfile
    /// RUN chmod ug-s /opt/vendorx/bin/helper
    /// ```
    ///
    /// # References
    /// - [CWE-250, execution with unnecessary privileges](https://cwe.mitre.org/data/definitions/250.html)
    /// - openshift-preflight has no such check
    static HAS_NO_SETUID_SURPRISES = {
        id: "has_no_setuid_surprises",
        title: "a set-uid or set-gid file belongs to no package",
        aliases: [],
        level: Warning,
        origin: Policy,
        since: "0.1.0",
        security_severity: "4.0",
    }
}

const SET_UID: u16 = 0o4000;
const SET_GID: u16 = 0o2000;

pub(super) struct HasNoSetuidSurprises;

impl Check for HasNoSetuidSurprises {
    fn rule(&self) -> &'static Rule {
        &HAS_NO_SETUID_SURPRISES
    }

    fn needs(&self) -> &'static [Need] {
        &[]
    }

    fn assess(&self, subject: &Subject) -> Verdict {
        let mut files: BTreeMap<&ImagePath, &Entry> = subject
            .inventory
            .tree
            .iter()
            .filter(|(_, entry)| is_set_id(entry))
            .filter(|(_, entry)| is_own(subject, entry.layer))
            .collect();
        let paths = files.keys().copied().collect();
        for path in owned(subject, &paths, |_| true) {
            files.remove(&path);
        }
        let findings: Vec<_> = files
            .into_iter()
            .map(|(path, entry)| finding(subject, path, entry))
            .collect();
        match failed_or_passed(findings) {
            Verdict::Failed(findings) => Verdict::Warning(findings),
            verdict => verdict,
        }
    }
}

/// Where the base is not known, the bottom layer of a Red Hat image is taken as its.
fn is_own(subject: &Subject, layer: LayerIndex) -> bool {
    base::above(subject, layer).unwrap_or_else(|| layer.0 > 0 || !base::says_rhel(subject))
}

fn is_set_id(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::File { .. }) && entry.mode & (SET_UID | SET_GID) != 0
}

fn finding(subject: &Subject, path: &ImagePath, entry: &Entry) -> Finding {
    let bit = match (entry.mode & SET_UID != 0, entry.mode & SET_GID != 0) {
        (true, true) => "set-uid and set-gid bits",
        (true, false) => "set-uid bit",
        _ => "set-gid bit",
    };
    let owner = match &subject.inventory.packages {
        Fact::Known(_) => "belongs to no package",
        Fact::Unmet(_) => "is not known to belong to a package",
    };
    let finding = Finding::new(
        path.to_string(),
        format!(
            "`{path}` (mode {:04o}, owner {}:{}) has the {bit} and {owner}",
            entry.mode, entry.uid, entry.gid
        ),
    )
    .at(subject.at_layer(entry.layer))
    .in_layer(entry.layer)
    .on_path(path.clone())
    .remedy("take the bit away in the instruction that brings the file");
    if is_plain(path) {
        return finding.patch(format!("RUN chmod ug-s {path}"));
    }
    finding
}

/// Whether the path means itself to a shell.
fn is_plain(path: &ImagePath) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/._-+".contains(b);
    path.as_bytes().iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Image, RED_HAT};

    const FILE: EntryKind = EntryKind::File {
        size: 7,
        sha256: [0; 32],
    };

    fn found(image: Image) -> Vec<String> {
        match HasNoSetuidSurprises.assess(&image.build()) {
            Verdict::Warning(findings) => findings.into_iter().map(|f| f.message).collect(),
            Verdict::Passed { .. } => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn own_files_with_the_bits_are_told_with_mode_and_owner() {
        let image = Image::good()
            .in_layer(3)
            .entry("opt/helper", FILE, 0o4755)
            .entry("opt/mail", FILE, 0o2755)
            .entry("opt/both", FILE, 0o6755)
            .entry("opt/plain", FILE, 0o755)
            .entry("opt/shared", EntryKind::Directory, 0o2775);
        assert_eq!(
            found(image),
            [
                "`/opt/both` (mode 6755, owner 0:0) has the set-uid and set-gid bits and belongs to no package",
                "`/opt/helper` (mode 4755, owner 0:0) has the set-uid bit and belongs to no package",
                "`/opt/mail` (mode 2755, owner 0:0) has the set-gid bit and belongs to no package",
            ]
        );
    }

    #[test]
    fn a_ready_line_is_offered_only_for_paths_that_a_shell_takes_as_they_are() {
        let patch = |path: &str| {
            let image = Image::good().in_layer(3).entry(path, FILE, 0o4755);
            match HasNoSetuidSurprises.assess(&image.build()) {
                Verdict::Warning(findings) => findings[0].patch.clone(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(patch("opt/x").as_deref(), Some("RUN chmod ug-s /opt/x"));
        assert_eq!(patch("opt/x; rm -rf y"), None);
        assert_eq!(patch("opt/$(x)"), None);
    }

    #[test]
    fn with_an_unknown_base_the_bottom_layer_of_a_red_hat_image_is_the_base_s() {
        let image = |image: Image| {
            let bottom = image.in_layer(0).entry("a", FILE, 0o4755);
            let mut subject = bottom.in_layer(1).entry("b", FILE, 0o4755).build();
            subject.base = Fact::Unmet("no base given".to_owned());
            match HasNoSetuidSurprises.assess(&subject) {
                Verdict::Warning(findings) => findings.len(),
                _ => 0,
            }
        };
        assert_eq!(image(Image::good()), 1);
        assert_eq!(image(Image::bare().layers(2)), 2);
    }

    #[test]
    fn files_of_packages_and_of_the_base_are_no_surprise() {
        let image = Image::good()
            .in_layer(1)
            .entry("opt/of-base", FILE, 0o4755)
            .in_layer(3)
            .tree(&["bin -> usr/bin"])
            .entry("usr/bin/su", FILE, 0o4755)
            .entry("usr/bin/sudo", FILE, 0o4755)
            .package("util-linux", RED_HAT, &["/bin/su", "/usr/bin/sudo"]);
        assert!(found(image).is_empty());
    }
}
