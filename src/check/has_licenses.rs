//! `/licenses` holds the terms.

use std::collections::BTreeSet;

use super::{Check, Need, passed};
use crate::{
    finding::{Finding, Verdict},
    oci::ImagePath,
    rule::Rule,
    subject::{EntryKind, Inventory, Subject},
};

crate::rule! {
    /// # What it requires
    /// `/licenses` is a directory of the image (a symbolic link to one counts) and holds, at any
    /// depth, at least one file that is not empty. Links are followed inside the image; a link that
    /// dangles does not count.
    ///
    /// # Why
    /// Whoever gets the image must find the terms of everything in it: the partner's own terms and
    /// those of the open source parts. `/licenses` is where Red Hat's tools and customers look.
    ///
    /// # How to fix
    /// Put the terms as text files into a directory of the repository and copy it:
    ///
    /// ```dockerfile
    /// COPY licenses /licenses
    /// ```
    ///
    /// In a build with several stages the `COPY` must be in the last one. Copies of, or links to, the
    /// files that packages install under `/usr/share/licenses` count too.
    ///
    /// # References
    /// - [Policy guide, requirements for container images](https://access.redhat.com/documentation/en-us/red_hat_software_certification/2026/html-single/red_hat_openshift_software_certification_policy_guide/index#assembly-requirements-for-container-images_openshift-sw-cert-policy-introduction)
    /// - openshift-preflight: `HasLicense`
    static HAS_LICENSES = {
        id: "has_licenses",
        title: "the image has no licence terms under /licenses",
        aliases: ["HasLicense"],
        level: Required,
        origin: Service,
        since: "0.1.0",
    }
}

pub(super) struct HasLicenses;

impl Check for HasLicenses {
    fn rule(&self) -> &'static Rule {
        &HAS_LICENSES
    }

    fn needs(&self) -> &'static [Need] {
        &[]
    }

    fn assess(&self, subject: &Subject) -> Verdict {
        match licence(&subject.inventory) {
            Ok(path) => passed(format!("found `{path}`")),
            Err((message, listed)) => {
                let layer = listed
                    .then(|| subject.inventory.tree.get(&directory()))
                    .flatten();
                let location =
                    layer.map_or_else(|| subject.at_from(), |entry| subject.at_layer(entry.layer));
                let mut finding = Finding::new("/licenses", message)
                    .at(location)
                    .on_path(directory())
                    .remedy("put the licence terms as text files into a directory and copy it to /licenses in the last stage")
                    .patch("COPY licenses /licenses");
                finding.layer = layer.map(|entry| entry.layer);
                Verdict::Failed(vec![finding])
            }
        }
    }
}

/// Links below `/licenses` that are followed before it is given up; each may be long to follow.
const MOST_LINKS: usize = 1000;

fn directory() -> ImagePath {
    ImagePath::from("/licenses")
}

/// The first file that counts; else what is wrong, and whether `/licenses` is there at all.
fn licence(inventory: &Inventory) -> Result<ImagePath, (String, bool)> {
    let link = inventory.tree.get(&directory()).map(|entry| &entry.kind);
    let Some(real) = inventory.resolve(&directory()) else {
        return Err(match link {
            Some(EntryKind::Symlink(target)) => (
                format!(
                    "`/licenses` is a link to `{}`, which is not in the image",
                    String::from_utf8_lossy(target).escape_debug()
                ),
                true,
            ),
            _ => ("there is no directory `/licenses`".to_owned(), false),
        });
    };
    if !inventory.is_directory(&real) {
        return Err(("`/licenses` is not a directory".to_owned(), true));
    }
    let mut seen = BTreeSet::new();
    let mut pending = vec![real];
    let mut links = 0;
    while let Some(directory) = pending.pop() {
        if !seen.insert(directory.clone()) {
            continue;
        }
        for (path, entry) in inventory.below(&directory) {
            match &entry.kind {
                EntryKind::File { size, .. } if *size > 0 => return Ok(path.clone()),
                EntryKind::Symlink(_) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err((
                            format!(
                                "`/licenses` holds over {MOST_LINKS} links and no file that is not empty among or before them"
                            ),
                            true,
                        ));
                    }
                    let Some(target) = inventory.resolve(path) else {
                        continue;
                    };
                    if is_text(inventory, &target) {
                        return Ok(path.clone());
                    }
                    // What lies below a directory that was walked has been seen.
                    if inventory.is_directory(&target) && !seen.iter().any(|s| target.is_under(s)) {
                        pending.push(target);
                    }
                }
                _ => {}
            }
        }
    }
    Err((
        "`/licenses` holds no file that is not empty".to_owned(),
        true,
    ))
}

fn is_text(inventory: &Inventory, path: &ImagePath) -> bool {
    matches!(
        inventory.tree.get(path).map(|entry| &entry.kind),
        Some(EntryKind::File { size, .. }) if *size > 0
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::Image;

    /// Lines: `path` file, `path/` directory, `path=` empty file, `path -> target` link.
    fn verdict(lines: &[&str]) -> Verdict {
        HasLicenses.assess(&Image::bare().tree(lines).build())
    }

    #[test]
    fn layouts_with_terms_pass() {
        let layouts: &[&[&str]] = &[
            &["licenses/", "licenses/terms.txt"],
            // no layer lists the directory itself
            &["licenses/terms.txt"],
            &[
                "licenses/",
                "licenses/a/",
                "licenses/a/b/",
                "licenses/a/b/MIT",
            ],
            &["licenses -> usr/share/terms", "usr/share/terms/MIT"],
            &["licenses -> /usr/share/terms", "usr/share/terms/MIT"],
            &["licenses -> ./a", "a -> b", "b/MIT"],
            &[
                "licenses/MIT -> ../usr/share/licenses/x/MIT",
                "usr/share/licenses/x/MIT",
            ],
            &[
                "licenses/MIT -> /usr/share/licenses/x/MIT",
                "usr/share/licenses/x/MIT",
            ],
            &[
                "licenses/x -> /usr/share/licenses/x",
                "usr/share/licenses/x/MIT",
            ],
            &["licenses/empty=", "licenses/full"],
            // through a link on the way
            &["licenses/MIT -> /lib/MIT", "lib -> usr/lib", "usr/lib/MIT"],
            &["licenses/bad -> nowhere", "licenses/zz"],
        ];
        for layout in layouts {
            assert!(
                matches!(verdict(layout), Verdict::Passed { .. }),
                "{layout:?}"
            );
        }
    }

    #[test]
    fn layouts_without_terms_fail_and_say_why() {
        let layouts: &[(&[&str], &str)] = &[
            (&[], "there is no directory `/licenses`"),
            (&["licenses-old/MIT"], "there is no directory `/licenses`"),
            (&["usr/licenses/MIT"], "there is no directory `/licenses`"),
            (&["Licenses/MIT"], "there is no directory `/licenses`"),
            (&["licenses"], "`/licenses` is not a directory"),
            (
                &["licenses -> file", "file"],
                "`/licenses` is not a directory",
            ),
            (
                &["licenses/"],
                "`/licenses` holds no file that is not empty",
            ),
            (
                &["licenses/", "licenses-x/MIT"],
                "`/licenses` holds no file that is not empty",
            ),
            (
                &["licenses/MIT="],
                "`/licenses` holds no file that is not empty",
            ),
            (
                &["licenses/MIT -> nowhere"],
                "`/licenses` holds no file that is not empty",
            ),
            (
                &["licenses/a -> b", "licenses/b -> a"],
                "`/licenses` holds no file that is not empty",
            ),
            (
                &["licenses/self -> ."],
                "`/licenses` holds no file that is not empty",
            ),
            (
                &["licenses/d -> /empty", "empty/", "empty/up -> ../licenses"],
                "`/licenses` holds no file that is not empty",
            ),
            (
                &["licenses -> gone"],
                "`/licenses` is a link to `gone`, which is not in the image",
            ),
            (
                &["licenses -> licenses"],
                "`/licenses` is a link to `licenses`, which is not in the image",
            ),
        ];
        for (layout, message) in layouts {
            let Verdict::Failed(findings) = verdict(layout) else {
                panic!("{layout:?} passed");
            };
            assert_eq!(findings[0].message, *message, "{layout:?}");
            assert_eq!(
                findings[0].patch.as_deref(),
                Some("COPY licenses /licenses")
            );
        }
    }

    #[test]
    fn links_are_not_followed_for_ever() {
        let layout: Vec<String> = (0..1100).map(|n| format!("licenses/{n} -> x")).collect();
        let lines: Vec<&str> = layout.iter().map(String::as_str).collect();
        let Verdict::Failed(findings) = verdict(&lines) else {
            panic!("passed");
        };
        assert!(findings[0].message.contains("over 1000 links"));
    }

    #[test]
    fn the_finding_lies_at_the_instruction_that_made_the_directory_else_at_from() {
        let image = || Image::bare().dockerfile("Containerfile", 2).layers(3);
        let missing = HasLicenses.assess(&image().build());
        let empty = HasLicenses.assess(&image().in_layer(2).tree(&["licenses/"]).build());
        let line = |verdict: Verdict| match verdict {
            Verdict::Failed(findings) => findings[0].location.clone().map(|l| l.line),
            other => panic!("{other:?}"),
        };
        assert_eq!(line(missing), Some(1));
        assert_eq!(line(empty), Some(12));
    }
}
