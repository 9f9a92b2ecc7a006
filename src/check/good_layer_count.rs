//! The layers of the base are still there, and there are not too many.

use super::{Check, Need, base, passed};
use crate::{
    finding::{Finding, Verdict},
    oci::{ImagePath, LayerIndex, trademark},
    rule::Rule,
    subject::{BaseImage, ChangeKind, Fact, Subject},
};

crate::rule! {
    /// # What it requires
    /// Two things:
    ///
    /// - the base image's own layers all lie at the bottom of the image, in their order, not squashed,
    ///   rewritten or replaced;
    /// - the image has at most 40 layers; exactly 40 passes with a warning, because
    ///   openshift-preflight's code allows it and the policy's text does not.
    ///
    /// When the base image is not known, its layers are judged by what the image holds and by its
    /// history: a single layer with both Red Hat Enterprise Linux and the partner's work in it was
    /// squashed.
    ///
    /// # Why
    /// Red Hat recognises its base image by its layers; an image that was squashed cannot be told
    /// from one that was tampered with. Hosts share layers, and each costs time to pull and mount.
    ///
    /// # How to fix
    /// Build without `--squash`, and do not copy a whole root file system from another stage. Join
    /// `RUN` instructions, or use a heredoc:
    ///
    /// ```dockerfile
    /// RUN dnf -y install one two && \
    ///     dnf clean all
    /// ```
    ///
    /// # References
    /// - [Policy guide, requirements for container images](https://access.redhat.com/documentation/en-us/red_hat_software_certification/2026/html-single/red_hat_openshift_software_certification_policy_guide/index#assembly-requirements-for-container-images_openshift-sw-cert-policy-introduction)
    /// - openshift-preflight: `LayerCountAcceptable` (the number) and `BasedOnUbi` (the base's layers)
    static GOOD_LAYER_COUNT = {
        id: "good_layer_count",
        title: "the base image's layers are not all there, or there are over 40 layers",
        aliases: ["LayerCountAcceptable"],
        level: Required,
        origin: Service,
        since: "0.1.0",
    }
}

/// The most layers an image may have.
const MOST: usize = 40;

pub(super) struct GoodLayerCount;

impl Check for GoodLayerCount {
    fn rule(&self) -> &'static Rule {
        &GOOD_LAYER_COUNT
    }

    fn needs(&self) -> &'static [Need] {
        &[]
    }

    fn assess(&self, subject: &Subject) -> Verdict {
        let count = subject.config.rootfs.diff_ids.len();
        let altered = match &subject.base {
            Fact::Known(base) => altered(subject, base),
            Fact::Unmet(_) => squashed(subject),
        };
        let mut failures: Vec<Finding> = altered.into_iter().collect();
        if count > MOST {
            failures.push(too_many(subject, count));
        }
        if !failures.is_empty() {
            return Verdict::Failed(failures);
        }
        if count == MOST {
            return Verdict::Warning(vec![
                Finding::new("count", format!("the image has exactly {MOST} layers, which openshift-preflight allows and the text of the policy does not"))
                    .at(last_layer(subject))
                    .remedy("join RUN instructions to have fewer layers"),
            ]);
        }
        passed(match &subject.base {
            Fact::Known(base) => format!(
                "{count} layers, of which the lowest {} are those of `{}`",
                base.diff_ids.len(),
                base.reference
            ),
            Fact::Unmet(reason) => format!(
                "{count} layers; the base image's were judged by content and history, as its own are not known ({reason})"
            ),
        })
    }
}

fn last_layer(subject: &Subject) -> Option<crate::finding::Location> {
    let last = subject.config.rootfs.diff_ids.len().saturating_sub(1);
    let last = u32::try_from(last).ok()?;
    subject.at_layer(LayerIndex(last))
}

fn too_many(subject: &Subject, count: usize) -> Finding {
    let of_base = match &subject.base {
        Fact::Known(base) => format!(", {} of them the base image's", base.diff_ids.len()),
        Fact::Unmet(_) => String::new(),
    };
    Finding::new(
        "count",
        format!("the image has {count} layers{of_base}; at most {MOST} are allowed"),
    )
    .at(last_layer(subject))
    .remedy("join RUN, COPY and ADD instructions, or use a heredoc")
}

/// The base is known: the first of its layers that is not at its place.
fn altered(subject: &Subject, base: &BaseImage) -> Option<Finding> {
    let own = &subject.config.rootfs.diff_ids;
    let position = base
        .diff_ids
        .iter()
        .enumerate()
        .position(|(n, diff_id)| own.get(n) != Some(diff_id))?;
    let missing = &base.diff_ids[position];
    let message = match own.iter().position(|diff_id| diff_id == missing) {
        Some(elsewhere) => format!(
            "layer {position} of the base image `{}` ({missing}) is layer {elsewhere} of this image",
            base.reference
        ),
        None => format!(
            "layer {position} of the {} of the base image `{}` ({missing}) is not in this image, which has {} layers",
            base.diff_ids.len(),
            base.reference,
            own.len()
        ),
    };
    Some(
        Finding::new("base", message)
            .at(subject.at_from())
            .remedy("build on the base image as it is, without squashing its layers or copying its files into another stage"),
    )
}

/// The base is not known: signs that its layers were not kept.
fn squashed(subject: &Subject) -> Option<Finding> {
    if !base::says_rhel(subject) {
        return None;
    }
    let message = flattened(subject)
        .or_else(|| copied_root(subject))
        .or_else(|| not_at_the_bottom(subject))?;
    Some(
        Finding::new("base", message)
            .at(subject.at_layer(LayerIndex(0)))
            .in_layer(LayerIndex(0))
            .remedy("build on the base image as it is, without squashing its layers or copying its files into another stage"),
    )
}

/// One layer for everything. An image that only adds configuration to a base of one layer is told
/// by history entries after that of the layer, and Red Hat's own bases by their vendor.
fn flattened(subject: &Subject) -> Option<String> {
    let vendor = subject.config.label("vendor").unwrap_or_default();
    let last_is_layer = subject
        .config
        .history
        .as_ref()
        .and_then(|history| history.last())
        .is_none_or(|entry| !entry.empty_layer);
    let single = subject.config.rootfs.diff_ids.len() == 1;
    (single && last_is_layer && !vendor.is_empty() && !trademark::violates(vendor)).then(|| {
        format!("the image was squashed: its one layer holds Red Hat Enterprise Linux and the work of `{vendor}`")
    })
}

/// `COPY --from=base / /` as `BuildKit` writes it; Red Hat does not build bases with `BuildKit`.
fn copied_root(subject: &Subject) -> Option<String> {
    let bottom = subject.inventory.layers.first()?.created_by.as_deref()?;
    let words: Vec<_> = bottom.split_whitespace().collect();
    let copy = matches!(
        words.as_slice(),
        ["COPY" | "ADD", .., "/", "/", "#", "buildkit"]
    );
    copy.then(|| {
        format!("the bottom layer is a copy of a whole root, not a base image's: `{bottom}`")
    })
}

/// The first layer that holds anything must bring os-release.
fn not_at_the_bottom(subject: &Subject) -> Option<String> {
    let bottom = subject
        .inventory
        .layers
        .iter()
        .find(|layer| !layer.changes.is_empty())?;
    let named = ["/etc/os-release", "/usr/lib/os-release"].map(ImagePath::from);
    let brings = bottom
        .changes
        .iter()
        .any(|change| matches!(change.kind, ChangeKind::Put(_)) && named.contains(&change.path));
    (!brings).then(|| {
        format!(
            "Red Hat Enterprise Linux is not at the bottom: layer {} holds other files and no os-release",
            bottom.index
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::testing::{Image, diff_id},
        subject::{Change, Entry, EntryKind},
    };

    fn message(subject: &Subject) -> Option<String> {
        match GoodLayerCount.assess(subject) {
            Verdict::Failed(findings) => Some(findings[0].message.clone()),
            _ => None,
        }
    }

    fn outcome(subject: &Subject) -> &'static str {
        match GoodLayerCount.assess(subject) {
            Verdict::Passed { .. } => "passed",
            Verdict::Warning(_) => "warning",
            Verdict::Failed(_) => "failed",
            Verdict::NotApplicable(_) => "not applicable",
        }
    }

    #[test]
    fn thirty_nine_pass_forty_warn_forty_one_fail() {
        for (count, want) in [
            (3, "passed"),
            (39, "passed"),
            (40, "warning"),
            (41, "failed"),
        ] {
            assert_eq!(
                outcome(&Image::good().layers(count).build()),
                want,
                "{count}"
            );
        }
        let said = message(&Image::good().layers(47).build()).unwrap();
        assert_eq!(
            said,
            "the image has 47 layers, 2 of them the base image's; at most 40 are allowed"
        );
    }

    #[test]
    fn the_layers_of_a_known_base_must_be_a_prefix() {
        let with = |order: &[usize]| {
            let mut subject = Image::good().build();
            subject.config.rootfs.diff_ids = order.iter().map(|&n| diff_id(n)).collect();
            subject
        };
        assert_eq!(message(&with(&[0, 1])), None);
        assert_eq!(message(&with(&[0, 1, 7])), None);
        assert!(message(&with(&[7])).unwrap().contains("layer 0 of the 2"));
        assert!(
            message(&with(&[0, 7]))
                .unwrap()
                .contains("layer 1 of the 2")
        );
        assert!(message(&with(&[0])).unwrap().contains("layer 1 of the 2"));
        assert!(
            message(&with(&[1, 0]))
                .unwrap()
                .contains("is layer 1 of this image")
        );
        assert!(
            message(&with(&[7, 0, 1]))
                .unwrap()
                .contains("is layer 1 of this image")
        );
    }

    #[test]
    fn both_faults_are_told() {
        let mut subject = Image::good().layers(41).build();
        subject.config.rootfs.diff_ids.swap(0, 1);
        let Verdict::Failed(findings) = GoodLayerCount.assess(&subject) else {
            panic!("not failed");
        };
        let keys: Vec<_> = findings.iter().map(|f| f.key.as_str()).collect();
        assert_eq!(keys, ["base", "count"]);
    }

    fn unknown_base(layers: usize) -> Subject {
        let mut subject = Image::good().layers(layers).build();
        subject.base = Fact::Unmet("no base given".to_owned());
        subject
    }

    #[test]
    fn an_unknown_base_is_judged_by_content_and_history() {
        assert_eq!(outcome(&unknown_base(4)), "passed");
        assert!(message(&unknown_base(1)).unwrap().contains("was squashed"));

        // only configuration on top of a base of one layer
        let mut subject = unknown_base(1);
        let history = subject.config.history.as_mut().unwrap();
        history.push(crate::oci::History {
            empty_layer: true,
            ..crate::oci::History::default()
        });
        assert_eq!(outcome(&subject), "passed");

        // Red Hat's own base
        let mut subject = unknown_base(1);
        let labels = subject
            .config
            .config
            .as_mut()
            .unwrap()
            .labels
            .as_mut()
            .unwrap();
        labels.insert("vendor".to_owned(), "Red Hat, Inc.".to_owned());
        assert_eq!(outcome(&subject), "passed");

        let mut subject = unknown_base(3);
        subject.inventory.layers[0].created_by = Some("COPY / / # buildkit".to_owned());
        assert!(message(&subject).unwrap().contains("copy of a whole root"));

        // not Red Hat's at all: another rule's business
        let mut subject = unknown_base(1);
        subject.inventory.kept.clear();
        assert_eq!(outcome(&subject), "passed");
    }

    #[test]
    fn rhel_must_lie_in_the_first_layer_that_holds_anything() {
        let put = |path: &str| Change {
            path: ImagePath::from(path),
            kind: ChangeKind::Put(Entry {
                kind: EntryKind::Directory,
                mode: 0o755,
                uid: 0,
                gid: 0,
                caps: Box::default(),
                layer: LayerIndex(0),
            }),
        };
        let mut subject = unknown_base(3);
        subject.inventory.layers[1].changes = vec![put("/usr/lib/os-release")];
        assert_eq!(outcome(&subject), "passed");
        subject.inventory.layers[0].changes = vec![put("/app")];
        assert!(message(&subject).unwrap().contains("not at the bottom"));
    }

    #[test]
    fn buildah_s_squash_is_recognised() {
        let mut subject = unknown_base(1);
        let text = include_str!("../../tests/data/history/buildah-squash.json");
        let config: serde_json::Value = serde_json::from_str(text).unwrap();
        subject.config.history = serde_json::from_value(config["history"].clone()).unwrap();
        assert!(message(&subject).unwrap().contains("was squashed"));
    }
}
