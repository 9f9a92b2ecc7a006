//! The image does not ask for power over its host.

use super::{Check, Need, passed};
use crate::{
    finding::{Finding, Verdict},
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

/// Labels whose value is a command that starts the image, compared without case.
const COMMANDS: [&str; 10] = [
    "run",
    "install",
    "uninstall",
    "start",
    "stop",
    "upgrade",
    "update",
    "debug",
    "test",
    "shell",
];

/// Prefix of label-schema.org's labels with commands.
const LABEL_SCHEMA: &str = "org.label-schema.docker.cmd";

/// Options that share a namespace with the host when their value is `host`.
const NAMESPACES: [(&str, &str); 7] = [
    ("--net", "network"),
    ("--network", "network"),
    ("--pid", "process namespace"),
    ("--ipc", "IPC namespace"),
    ("--uts", "host name namespace"),
    ("--userns", "user namespace"),
    ("--cgroupns", "control group namespace"),
];

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
                asked(label, value)
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

/// An option and what it gives.
#[derive(Debug)]
struct Demand {
    option: String,
    what: String,
}

fn asked(label: &str, value: &str) -> Vec<Demand> {
    let name = label.to_ascii_lowercase();
    if COMMANDS.contains(&name.as_str()) || name.starts_with(LABEL_SCHEMA) {
        return demands(value);
    }
    let marked = (name.starts_with("io.openshift.") || name.starts_with("io.k8s."))
        && name.ends_with(".privileged")
        && is_true(value);
    let marked = marked.then(|| Demand {
        option: value.to_owned(),
        what: "all privileges".to_owned(),
    });
    marked.into_iter().collect()
}

fn is_true(value: &str) -> bool {
    matches!(
        value.trim().to_ascii_lowercase().as_str(),
        "true" | "1" | "yes"
    )
}

/// Reads the options of `docker run` and `podman run`: `--name=value`, `--name value`, `-v value`.
fn demands(command: &str) -> Vec<Demand> {
    let words: Vec<&str> = command
        .split_whitespace()
        .map(|word| word.trim_matches(['"', '\'']))
        .collect();
    words
        .iter()
        .enumerate()
        .filter_map(|(at, word)| {
            let (name, given) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => short_volume(word).unwrap_or((word, None)),
            };
            let value = given.or_else(|| words.get(at + 1).copied());
            let value = value.unwrap_or_default().trim_matches(['"', '\'']);
            let what = demand(name, value, given.is_some())?;
            let option = match given {
                None if name != "--privileged" => format!("{word} {value}"),
                _ => (*word).to_owned(),
            };
            Some(Demand { option, what })
        })
        .collect()
}

/// `-v/host:/inside` in one word.
fn short_volume(word: &str) -> Option<(&str, Option<&str>)> {
    let value = word.strip_prefix("-v")?;
    (!value.is_empty()).then_some(("-v", Some(value)))
}

/// What an option with its value asks for.
fn demand(name: &str, value: &str, attached: bool) -> Option<String> {
    match name {
        // A flag: only `--privileged=…` has a value.
        "--privileged" => (!attached || is_true(value)).then(|| "all privileges".to_owned()),
        "--cap-add" => Some(format!("the capability {value}")),
        "--device" => Some("a device of the host".to_owned()),
        "-v" | "--volume" => of_host(value).then(|| "files of the host".to_owned()),
        "--mount" => mounts_host(value).then(|| "files of the host".to_owned()),
        "--security-opt" => lowers_guard(value).then(|| "less confinement".to_owned()),
        _ => {
            let (_, what) = NAMESPACES.iter().find(|(option, _)| *option == name)?;
            (value == "host").then(|| format!("the host's {what}"))
        }
    }
}

/// A volume is named by a word; everything else is a path or a variable that holds one.
fn of_host(volume: &str) -> bool {
    volume.contains(':')
        && volume
            .trim_start_matches('\\')
            .starts_with(['/', '~', '.', '$'])
}

fn mounts_host(mount: &str) -> bool {
    mount.split(',').any(|part| part == "type=bind")
}

fn lowers_guard(option: &str) -> bool {
    let option = option.replace(':', "=");
    matches!(
        option.as_str(),
        "label=disable" | "seccomp=unconfined" | "apparmor=unconfined" | "unmask=ALL"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Image, line};

    fn options(label: &str, value: &str) -> Vec<String> {
        asked(label, value).into_iter().map(|d| d.option).collect()
    }

    #[test]
    fn options_that_ask_for_power_are_found_in_every_form() {
        for (command, want) in [
            ("docker run --privileged x", &["--privileged"][..]),
            ("docker run --privileged=true x", &["--privileged=true"]),
            ("docker run --privileged=false x", &[]),
            ("podman run --net=host x", &["--net=host"]),
            ("podman run --network host x", &["--network host"]),
            ("podman run --network mine x", &[]),
            (
                "podman run --pid=host --ipc=host x",
                &["--pid=host", "--ipc=host"],
            ),
            ("podman run --userns=keep-id x", &[]),
            ("podman run --cap-add=SYS_ADMIN x", &["--cap-add=SYS_ADMIN"]),
            ("podman run --cap-add NET_ADMIN x", &["--cap-add NET_ADMIN"]),
            ("podman run --cap-drop=ALL x", &[]),
            ("podman run -v /:/host x", &["-v /:/host"]),
            ("podman run -v/:/host x", &["-v/:/host"]),
            ("podman run -v data:/data x", &[]),
            ("podman run -v /data x", &[]),
            (
                "podman run --volume=/run:/run:ro x",
                &["--volume=/run:/run:ro"],
            ),
            ("atomic -v ${DATADIR}/data:/d x", &["-v ${DATADIR}/data:/d"]),
            (
                "podman run --mount type=bind,src=/,dst=/h x",
                &["--mount type=bind,src=/,dst=/h"],
            ),
            ("podman run --mount type=volume,src=d,dst=/h x", &[]),
            ("podman run --device=/dev/sda x", &["--device=/dev/sda"]),
            (
                "podman run --security-opt label=disable x",
                &["--security-opt label=disable"],
            ),
            (
                "podman run --security-opt label:disable x",
                &["--security-opt label:disable"],
            ),
            ("podman run --security-opt no-new-privileges x", &[]),
            ("podman run \"--privileged\" x", &["--privileged"]),
            ("podman run -d x", &[]),
            ("--cap-add", &["--cap-add "]),
            ("", &[]),
        ] {
            assert_eq!(options("run", command), want, "{command}");
        }
    }

    #[test]
    fn only_labels_that_hold_commands_are_read() {
        for (label, want) in [
            ("run", true),
            ("RUN", true),
            ("INSTALL", true),
            ("uninstall", true),
            ("org.label-schema.docker.cmd.debug", true),
            ("description", false),
            ("runner", false),
        ] {
            assert_eq!(
                !options(label, "x --privileged").is_empty(),
                want,
                "{label}"
            );
        }
        assert_eq!(options("io.openshift.privileged", "true"), ["true"]);
        assert!(options("io.openshift.privileged", "false").is_empty());
        assert!(options("io.openshift.tags", "privileged").is_empty());
    }

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
