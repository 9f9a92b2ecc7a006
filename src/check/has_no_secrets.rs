//! No keys, tokens or credential files in any layer.

use std::collections::BTreeSet;

use super::{
    Check, Need, base, failed_or_passed,
    owner::{is_red_hat, owned},
};
use crate::{
    finding::{Finding, Verdict},
    oci::ImagePath,
    rule::Rule,
    subject::{Fact, SecretTrace, Subject},
};

crate::rule! {
    /// # What it requires
    /// No layer above the base image holds something that looks like a secret: a private key, an access
    /// token, or a file in which tools keep credentials. A file that a later layer deletes still counts.
    /// What lies in the base image, or is as a package of Red Hat's installs it, is a warning.
    ///
    /// # Why
    /// Whoever can pull the image can read each of its layers, those that later layers hide included.
    /// A secret that was published must be taken for stolen.
    ///
    /// # How to fix
    /// Give the secret to the one instruction that needs it; it is never written into a layer:
    ///
    /// ```dockerfile
    /// RUN --mount=type=secret,id=netrc,target=/root/.netrc curl -n -O https://example.com/file
    /// ```
    ///
    /// Put files that must not be copied into `.dockerignore`. Revoke what was pushed already.
    ///
    /// # References
    /// - [Build secrets](https://docs.docker.com/build/building/secrets/)
    /// - openshift-preflight has no such check
    static HAS_NO_SECRETS = {
        id: "has_no_secrets",
        title: "a key, token or credential file lies in a layer",
        aliases: [],
        level: Required,
        origin: Policy,
        since: "0.1.0",
        security_severity: "8.5",
    }
}

pub(super) struct HasNoSecrets;

impl Check for HasNoSecrets {
    fn rule(&self) -> &'static Rule {
        &HAS_NO_SECRETS
    }

    fn needs(&self) -> &'static [Need] {
        &[]
    }

    fn assess(&self, subject: &Subject) -> Verdict {
        let installed = as_red_hat_installs(subject);
        let of_base = |trace: &SecretTrace| base::above(subject, trace.layer) == Some(false);
        let (theirs, ours): (Vec<_>, Vec<_>) =
            subject.inventory.secrets.iter().partition(|trace| {
                let as_installed = installed.contains(&trace.path) && !trace.deleted_later;
                of_base(trace) || as_installed
            });
        let findings = |traces: Vec<&SecretTrace>, whose: &str| -> Vec<Finding> {
            let find = |trace| finding(subject, trace, whose);
            traces.into_iter().map(find).collect()
        };
        if ours.is_empty() && !theirs.is_empty() {
            return Verdict::Warning(findings(theirs, ", which the partner did not put there"));
        }
        failed_or_passed(findings(ours, ""))
    }
}

/// The paths that are as one of Red Hat's packages installs them.
fn as_red_hat_installs(subject: &Subject) -> BTreeSet<ImagePath> {
    let inventory = &subject.inventory;
    let Fact::Known(modified) = &inventory.modified else {
        return BTreeSet::new();
    };
    let paths = inventory.secrets.iter().map(|trace| &trace.path).collect();
    let mut owned = owned(subject, &paths, is_red_hat);
    for problem in modified {
        owned.remove(&problem.path);
    }
    owned
}

fn finding(subject: &Subject, trace: &SecretTrace, whose: &str) -> Finding {
    let deleted = if trace.deleted_later {
        "; a later layer deletes it, but it can still be read"
    } else {
        ""
    };
    Finding::new(
        trace.path.to_string(),
        format!(
            "`{}` in layer {} looks like a secret ({}){whose}{deleted}",
            trace.path, trace.layer, trace.what
        ),
    )
    .at(subject.at_layer(trace.layer))
    .in_layer(trace.layer)
    .on_path(trace.path.clone())
    .remedy("use a build secret (`RUN --mount=type=secret`) or .dockerignore, and revoke the secret if the image was pushed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::testing::{Image, RED_HAT, line},
        oci::LayerIndex,
    };

    fn trace(path: &str, layer: u32, deleted_later: bool) -> SecretTrace {
        SecretTrace {
            path: ImagePath::from(path),
            layer: LayerIndex(layer),
            what: "private key (PEM)",
            deleted_later,
        }
    }

    fn assess(image: Image, traces: Vec<SecretTrace>) -> Verdict {
        let mut subject = image.dockerfile("Containerfile", 2).build();
        subject.inventory.secrets = traces;
        HasNoSecrets.assess(&subject)
    }

    #[test]
    fn a_secret_in_an_own_layer_fails_even_when_it_is_deleted_later() {
        let Verdict::Failed(findings) =
            assess(Image::good(), vec![trace("/root/.ssh/id_rsa", 2, true)])
        else {
            panic!("not failed");
        };
        assert_eq!(
            findings[0].message,
            "`/root/.ssh/id_rsa` in layer 2 looks like a secret (private key (PEM)); a later layer deletes it, but it can still be read"
        );
        assert_eq!(findings[0].location, Some(line(12)));
    }

    #[test]
    fn what_the_base_or_a_red_hat_package_brings_only_warns() {
        let warned = |image, trace| matches!(assess(image, vec![trace]), Verdict::Warning(_));
        assert!(warned(Image::good(), trace("/etc/pki/x.key", 1, false)));
        let owned = || Image::good().package("x", RED_HAT, &["/usr/share/x.key"]);
        assert!(warned(owned(), trace("/usr/share/x.key", 3, false)));
        let changed = owned().problem("/usr/share/x.key", "S.5......", ' ', true);
        assert!(!warned(changed, trace("/usr/share/x.key", 3, false)));
        // what is there in the end is the package's, what was there in between is not
        assert!(!warned(owned(), trace("/usr/share/x.key", 3, true)));
        let partner = Image::good().package("x", "VendorX", &["/usr/share/x.key"]);
        assert!(!warned(partner, trace("/usr/share/x.key", 3, false)));
    }

    #[test]
    fn no_trace_passes() {
        assert!(matches!(
            assess(Image::good(), Vec::new()),
            Verdict::Passed { .. }
        ));
    }
}
