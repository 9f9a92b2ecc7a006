//! Files of packages are as the packages describe them.

use std::collections::BTreeSet;

use super::{Check, Need, passed, rpm_list_successful::without_packages};
use crate::{
    finding::{Finding, Verdict},
    oci::{ImagePath, LayerIndex},
    rule::Rule,
    subject::{Fact, FileProblem, Subject},
};

crate::rule! {
    /// # What it requires
    /// Each file that a package owns is in the image as the package describes it: it exists, with the
    /// same type, size, digest, mode, owner, group, link target and capabilities. Files marked as
    /// configuration may differ, ghosts and documentation that was not installed may be missing, the
    /// time of a file never counts, and taking away the set-uid or set-gid bit is allowed.
    ///
    /// Beside it stands what openshift-preflight's `HasModifiedFiles` says, which compares layer with
    /// layer: where only preflight would object, the result is a warning.
    ///
    /// # Why
    /// Red Hat supports its packages as they were built. A changed file is neither known to be good nor
    /// mended by the next update, which overwrites it.
    ///
    /// # How to fix
    /// Undo what the named instruction does to the file. Configure through files that packages mark as
    /// configuration, or through drop-in directories; put own programs under `/opt` or `/usr/local`;
    /// do not run `chmod -R` or `chown -R` over directories of the system; replace a package by
    /// another version of the package rather than by single files.
    ///
    /// # References
    /// - [rpm --verify](https://man7.org/linux/man-pages/man8/rpm.8.html)
    /// - openshift-preflight: `HasModifiedFiles`
    static RPM_VERIFY_SUCCESSFUL = {
        id: "rpm_verify_successful",
        title: "a file of a package is not as its package describes it",
        aliases: ["HasModifiedFiles"],
        level: Required,
        origin: Service,
        since: "0.1.0",
    }
}

pub(super) struct RpmVerifySuccessful;

impl Check for RpmVerifySuccessful {
    fn rule(&self) -> &'static Rule {
        &RPM_VERIFY_SUCCESSFUL
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::ModifiedFiles]
    }

    fn assess(&self, subject: &Subject) -> Verdict {
        let inventory = &subject.inventory;
        if let Fact::Unmet(reason) = &inventory.packages {
            let message = format!(
                "no file can be verified, as the list of packages cannot be read: {reason}"
            );
            return Verdict::Failed(vec![without_packages(subject, message)]);
        }
        let problems: &[FileProblem] = match &inventory.modified {
            Fact::Known(problems) => problems,
            Fact::Unmet(_) => &[],
        };
        let preflight: &[(ImagePath, LayerIndex)] = match &inventory.preflight_modified {
            Fact::Known(preflight) => &preflight.files,
            Fact::Unmet(_) => &[],
        };
        let failing: Vec<_> = problems.iter().filter(|problem| problem.fails).collect();
        let ours: BTreeSet<_> = failing.iter().map(|problem| &problem.path).collect();
        let theirs: BTreeSet<_> = preflight.iter().map(|(path, _)| path).collect();
        let only_theirs = preflight
            .iter()
            .filter(|(path, _)| !ours.contains(path))
            .map(|(path, layer)| preflight_only(subject, path, *layer));
        let findings: Vec<_> = failing
            .iter()
            .map(|problem| finding(subject, problem, theirs.contains(&problem.path)))
            .chain(only_theirs)
            .collect();
        match (findings.is_empty(), failing.is_empty()) {
            (true, _) => passed(note(subject, problems)),
            (false, true) => Verdict::Warning(findings),
            (false, false) => Verdict::Failed(findings),
        }
    }
}

/// What is allowed to differ, and openshift-preflight's word.
fn note(subject: &Subject, problems: &[FileProblem]) -> String {
    let differing = match problems.len() {
        0 => "every file is as its package describes it".to_owned(),
        count => {
            let named = problems.first().map(|problem| &problem.path);
            let first = named.map(ImagePath::to_string).unwrap_or_default();
            format!("{count} files differ in ways that are allowed, `{first}` the first of them")
        }
    };
    match &subject.inventory.preflight_modified {
        Fact::Known(_) => format!("{differing}; openshift-preflight's HasModifiedFiles agrees"),
        Fact::Unmet(reason) => format!(
            "{differing}; what openshift-preflight's HasModifiedFiles says is not known ({reason})"
        ),
    }
}

fn finding(subject: &Subject, problem: &FileProblem, theirs: bool) -> Finding {
    let agreed = if theirs {
        ""
    } else {
        "; openshift-preflight's HasModifiedFiles does not name it"
    };
    let mut finding = Finding::new(
        problem.path.to_string(),
        format!(
            "`{}` of `{}` was changed ({}): {}{agreed}",
            problem.path,
            problem.package,
            columns(problem),
            problem.detail
        ),
    )
    .on_path(problem.path.clone())
    .of_package(problem.package.clone())
    .remedy(remedy(&problem.flags))
    .at(subject.at_from());
    if let Some(layer) = problem.layer {
        finding = finding.at(subject.at_layer(layer)).in_layer(layer);
    }
    finding
}

/// As `rpm -V` prints it.
fn columns(problem: &FileProblem) -> String {
    let columns = format!("{}  {}", problem.flags.trim_end(), problem.attribute);
    columns.trim_end().to_owned()
}

/// By the first column that says something (rpm(8), verify options).
fn remedy(flags: &str) -> &'static str {
    if flags.starts_with("missing") {
        "do not delete files of packages; remove the package, or leave the file"
    } else if flags.contains(['S', '5', 'L', 'D']) {
        "leave the file as its package installs it, and put an own version elsewhere"
    } else {
        "leave mode, owner and capabilities as the package sets them, and narrow the chmod or chown"
    }
}

fn preflight_only(subject: &Subject, path: &ImagePath, layer: LayerIndex) -> Finding {
    Finding::new(
        format!("HasModifiedFiles {path}"),
        format!(
            "openshift-preflight's HasModifiedFiles names `{path}`, changed in layer {layer}, though it is as its package describes it or may differ"
        ),
    )
    .at(subject.at_layer(layer))
    .in_layer(layer)
    .on_path(path.clone())
    .remedy("do not touch the file in a layer of its own, as openshift-preflight compares layer with layer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Image, line};

    fn assess(image: Image) -> Verdict {
        RpmVerifySuccessful.assess(&image.build())
    }

    #[test]
    fn a_changed_file_fails_with_its_columns_and_the_layer_s_line() {
        let image = Image::good()
            .dockerfile("Containerfile", 2)
            .in_layer(3)
            .problem("/usr/bin/bash", "S.5......", ' ', true)
            .preflight("/usr/bin/bash");
        let Verdict::Failed(findings) = assess(image) else {
            panic!("not failed");
        };
        assert_eq!(findings.len(), 1);
        assert_eq!(
            findings[0].message,
            "`/usr/bin/bash` of `bash-1-1.el9.x86_64` was changed (S.5......): size is 8, expected 7"
        );
        assert_eq!(findings[0].location, Some(line(13)));
        assert_eq!(findings[0].layer, Some(LayerIndex(3)));
        assert_eq!(findings[0].package.as_deref(), Some("bash-1-1.el9.x86_64"));
    }

    #[test]
    fn files_that_may_differ_pass_and_are_counted() {
        let image = Image::good().problem("/etc/hostname", ".M.......", 'c', false);
        let Verdict::Passed { note: Some(note) } = assess(image) else {
            panic!("not passed");
        };
        assert!(
            note.starts_with("1 files differ") && note.contains("/etc/hostname"),
            "{note}"
        );
        assert!(note.ends_with("HasModifiedFiles agrees"), "{note}");
    }

    #[test]
    fn preflight_alone_is_a_warning_and_its_silence_is_told() {
        let Verdict::Warning(findings) = assess(Image::good().preflight("/usr/bin/bash")) else {
            panic!("not a warning");
        };
        assert!(
            findings[0]
                .message
                .contains("HasModifiedFiles names `/usr/bin/bash`")
        );

        let image = Image::good()
            .problem("/usr/bin/bash", "missing  ", ' ', true)
            .preflight("/usr/bin/sh");
        let Verdict::Failed(findings) = assess(image) else {
            panic!("not failed");
        };
        assert!(
            findings[0].message.contains("(missing)"),
            "{}",
            findings[0].message
        );
        assert!(findings[0].message.ends_with("does not name it"));
        assert!(findings[0].remedy.as_ref().unwrap().contains("delete"));
        assert!(findings[1].message.contains("names `/usr/bin/sh`"));
    }

    #[test]
    fn no_package_list_is_a_failure() {
        let Verdict::Failed(findings) = assess(Image::good().without_packages("it is garbage"))
        else {
            panic!("not failed");
        };
        assert!(findings[0].message.ends_with("it is garbage"));
    }
}
