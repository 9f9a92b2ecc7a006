//! The image does not ask for power over its host.

use super::{Check, Need, passed};
use crate::{
    finding::{Finding, Verdict},
    oci::privileges::{Demand, demands},
    rule::Rule,
    subject::Subject,
};

crate::rule! {
    /// # What it requires
    /// No label that holds a command to run the image with (`run`, `install`, `uninstall`, `stop`,
    /// `upgrade`, `debug` and the like, in any case, `org.label-schema.docker.cmd…`) asks for power
    /// over the host: `--privileged`, the host's network, process, IPC or user namespace, added
    /// capabilities, devices, security options switched off, or directories of the host.
    ///
    /// What a container is really started with, an image cannot show; this rule reads what the image
    /// asks for. Where the project is marked privileged, the rule does not apply.
    ///
    /// # Why
    /// On OpenShift containers run without privileges unless an administrator grants them. An image
    /// that needs them is reviewed by hand and its project must be marked privileged.
    ///
    /// # How to fix
    /// Remove the option from the label. When a base image sets the label, set it anew:
    ///
    /// ```dockerfile
    /// LABEL run="podman run -d ${IMAGE}"
    /// ```
    ///
    /// If the image cannot do without, mark the project as privileged (`project.privileged`) and
    /// document why.
    ///
    /// # References
    /// - [Policy guide, requirements for container images](https://access.redhat.com/documentation/en-us/red_hat_software_certification/2026/html-single/red_hat_openshift_software_certification_policy_guide/index#assembly-requirements-for-container-images_openshift-sw-cert-policy-introduction)
    /// - openshift-preflight has no such check; there the project's setting counts
    static NOT_RUNNING_PRIVILEGED = {
        id: "not_running_privileged",
        title: "a label asks to run the image with power over its host",
        aliases: [],
        level: Required,
        origin: Service,
        since: "0.1.0",
        security_severity: "7.0",
    }
}

pub(super) struct NotRunningPrivileged;

impl Check for NotRunningPrivileged {
    fn rule(&self) -> &'static Rule {
        &NOT_RUNNING_PRIVILEGED
    }

    fn needs(&self) -> &'static [Need] {
        &[]
    }

    fn assess(&self, subject: &Subject) -> Verdict {
        if subject.privileged {
            return Verdict::NotApplicable(
                "the project is marked privileged, which is reviewed by hand".to_owned(),
            );
        }
        let labels = subject
            .config
            .config
            .as_ref()
            .and_then(|config| config.labels.as_ref());
        let findings: Vec<_> = labels
            .into_iter()
            .flatten()
            .flat_map(|(label, value)| {
                demands(label, value)
                    .into_iter()
                    .map(move |demand| finding(subject, label, &demand))
            })
            .collect();
        if findings.is_empty() {
            return passed(
                "no label asks for privileges; what a container is started with, an image cannot show",
            );
        }
        Verdict::Failed(findings)
    }
}

fn finding(subject: &Subject, label: &str, demand: &Demand) -> Finding {
    Finding::new(
        format!("{label} {}", demand.option),
        format!(
            "label `{label}` asks for {} with `{}`",
            demand.what, demand.option
        ),
    )
    .at(subject.at_label(label))
    .remedy("remove the option from the label, or mark the project as privileged and say why")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Image, line};

    #[test]
    fn findings_lie_at_the_label_and_a_privileged_project_is_not_concerned() {
        let image = || {
            Image::good().label(
                "run",
                "docker run -d --privileged --net=host -v /:/host -e HOST=/host ${IMAGE}",
            )
        };
        let mut subject = image().build();
        subject.origins.labels.insert("run".to_owned(), line(9));
        let Verdict::Failed(findings) = NotRunningPrivileged.assess(&subject) else {
            panic!("not failed");
        };
        let said: Vec<_> = findings.iter().map(|f| f.message.as_str()).collect();
        assert_eq!(
            said,
            [
                "label `run` asks for all privileges with `--privileged`",
                "label `run` asks for the host's network with `--net=host`",
                "label `run` asks for files of the host with `-v /:/host`",
            ]
        );
        assert!(findings.iter().all(|f| f.location == Some(line(9))));
        subject.privileged = true;
        assert!(matches!(
            NotRunningPrivileged.assess(&subject),
            Verdict::NotApplicable(_)
        ));
    }
}
