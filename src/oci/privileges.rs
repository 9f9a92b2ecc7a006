//! Labels that ask for privileges: commands that start the image (`run`, `install`, …) and what their
//! options give the container of its host.

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

/// An option and what it gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// as the label writes it
    pub option: String,
    /// in words
    pub what: String,
}

/// What a label asks for beyond an ordinary container. Only labels that hold commands are read, and
/// those that say so by their name.
pub fn demands(label: &str, value: &str) -> Vec<Demand> {
    let name = label.to_ascii_lowercase();
    if COMMANDS.contains(&name.as_str()) || name.starts_with(LABEL_SCHEMA) {
        return options(value);
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
fn options(command: &str) -> Vec<Demand> {
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
    use super::demands;

    fn asked(label: &str, value: &str) -> Vec<String> {
        demands(label, value)
            .into_iter()
            .map(|d| d.option)
            .collect()
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
            assert_eq!(asked("run", command), want, "{command}");
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
            assert_eq!(!asked(label, "x --privileged").is_empty(), want, "{label}");
        }
        assert_eq!(asked("io.openshift.privileged", "true"), ["true"]);
        assert!(asked("io.openshift.privileged", "false").is_empty());
        assert!(asked("io.openshift.tags", "privileged").is_empty());
    }
}
