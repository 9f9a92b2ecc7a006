//! Which instruction made which layer: the image's history is laid beside the instructions, from
//! the end backwards. Where they do not agree nothing is claimed: a layer without an instruction is
//! better than a wrong line.

use indexmap::IndexMap;

use super::{
    Origins,
    instruction::{Arguments, Keyword},
    resolved::{Base, Resolved, Setting, Step},
    stage::Dockerfile,
    words,
};
use crate::{
    finding::Location,
    oci::{History, ImageConfig, ImagePath},
};

/// Maps an image to the Dockerfile it was built from. With a `target` that does not exist, or a
/// history that another file made, only what is certain is filled in.
pub fn origins(
    file: &Dockerfile,
    target: Option<&str>,
    args: &IndexMap<String, String>,
    config: &ImageConfig,
) -> Origins {
    let layers = config.rootfs.diff_ids.len();
    let Ok(resolved) = file.resolve(target, args) else {
        return Origins {
            file: file.file().to_owned(),
            layers: vec![None; layers],
            ..Origins::default()
        };
    };
    let history = config.history.as_deref().unwrap_or_default();
    Origins {
        file: file.file().to_owned(),
        from: Some(resolved.from.clone()),
        base_reference: match &resolved.base {
            Base::Image(reference) => Some(reference.clone()),
            Base::Scratch => Some("scratch".to_owned()),
            Base::Unknown(_) => None,
        },
        user: resolved
            .user
            .as_ref()
            .filter(|user| gives(user, Some(config.user())))
            .map(|user| user.location.clone()),
        labels: resolved
            .labels
            .iter()
            .filter(|(key, label)| gives(label, config.label(key)))
            .map(|(key, label)| (key.clone(), label.location.clone()))
            .collect(),
        others: resolved
            .labels
            .iter()
            .filter(|(key, label)| !gives(label, config.label(key)))
            .map(|(key, _)| key.clone())
            .collect(),
        layers: layer_origins(file, &resolved, history, layers),
    }
}

/// Whether what the image has can be what this line set.
fn gives(setting: &Setting, found: Option<&str>) -> bool {
    found.is_some_and(|found| found == setting.value || !setting.unknown.is_empty())
}

/// What a history entry says was done.
#[derive(Debug)]
enum Event {
    /// `RUN`, or something unheard of: the text, white space made single
    Run(String),
    /// `COPY` or `ADD` as BuildKit writes it: sources and destination
    Copy(Keyword, Vec<String>),
    /// `COPY` or `ADD` as the others write it: the destination
    CopyTo(Keyword, String),
    /// `WORKDIR`
    Workdir(String),
    /// it changes the configuration alone
    Metadata,
}

fn layer_origins(
    file: &Dockerfile,
    resolved: &Resolved,
    history: &[History],
    layers: usize,
) -> Vec<Option<Location>> {
    let made = history.iter().filter(|entry| !entry.empty_layer).count();
    if made != layers {
        return vec![None; layers];
    }
    let events: Vec<Event> = history.iter().map(event).collect();
    let steps = align(&resolved.steps, &events);
    let mut origins = Vec::with_capacity(layers);
    let mut start = 0;
    for (index, entry) in history.iter().enumerate() {
        if entry.empty_layer {
            continue;
        }
        let step = if by_buildkit(entry) {
            steps.get(index).copied().flatten()
        } else {
            only_maker(&events, &steps, start..index + 1)
        };
        start = index + 1;
        let step = step.and_then(|step| resolved.steps.get(step));
        origins.push(step.map(|step| file.location(&step.instruction)));
    }
    origins
}

fn by_buildkit(entry: &History) -> bool {
    entry
        .comment
        .as_deref()
        .is_some_and(|comment| comment.starts_with("buildkit."))
}

/// The one instruction among history entries that share a layer that can have made it: buildah
/// puts a whole stage into one layer and hangs it on the last entry.
fn only_maker(
    events: &[Event],
    steps: &[Option<usize>],
    group: std::ops::Range<usize>,
) -> Option<usize> {
    let makes = |index: &usize| !matches!(events.get(*index), None | Some(Event::Metadata));
    let is_workdir = |index: &usize| matches!(events.get(*index), Some(Event::Workdir(_)));
    let last = group.end.checked_sub(1)?;
    let mut found = group.filter(|index| makes(index) && (*index == last || !is_workdir(index)));
    match (found.next(), found.next()) {
        (Some(only), None) => steps.get(only).copied().flatten(),
        _ => None,
    }
}

/// For each history entry the step that it tells of.
fn align(steps: &[Step], events: &[Event]) -> Vec<Option<usize>> {
    let mut found = vec![None; events.len()];
    let mut left = steps.len();
    'entries: for (event, slot) in events.iter().zip(found.iter_mut()).rev() {
        if matches!(event, Event::Metadata) {
            continue;
        }
        while let Some(step) = left.checked_sub(1).and_then(|index| steps.get(index)) {
            let keyword = step.instruction.keyword;
            let makes = matches!(
                keyword,
                Keyword::Run | Keyword::Copy | Keyword::Add | Keyword::Workdir
            );
            if makes && agree(step, event) {
                left -= 1;
                *slot = Some(left);
                continue 'entries;
            }
            // A builder may leave a WORKDIR out; anything else that does not agree means that
            // this history is not this file's from here on.
            if makes && keyword != Keyword::Workdir {
                break 'entries;
            }
            left -= 1;
        }
        break;
    }
    found
}

fn event(entry: &History) -> Event {
    let text = entry.created_by.as_deref().unwrap_or("");
    let text = text.strip_suffix(" # buildkit").unwrap_or(text);
    let nop = text
        .split_once("#(nop)")
        .filter(|(shell, _)| shell.len() < 64)
        .map(|(_, rest)| rest.trim());
    let plain = by_buildkit(entry).then(|| text.trim());
    let Some(instruction) = nop.or(plain) else {
        return Event::Run(single_spaced(text));
    };
    let (keyword, rest) = instruction
        .split_once(char::is_whitespace)
        .unwrap_or((instruction, ""));
    match Keyword::parse(keyword) {
        Some(Keyword::Run) | None => Event::Run(single_spaced(rest)),
        Some(Keyword::Workdir) => Event::Workdir(rest.trim().to_owned()),
        Some(keyword @ (Keyword::Copy | Keyword::Add)) if nop.is_some() => {
            let to = rest.rsplit_once(" in ").map_or("", |(_, to)| to.trim());
            Event::CopyTo(keyword, to.to_owned())
        }
        Some(keyword @ (Keyword::Copy | Keyword::Add)) => {
            let words = rest
                .split_whitespace()
                .filter(|word| !word.starts_with("--"));
            Event::Copy(keyword, words.map(str::to_owned).collect())
        }
        Some(_) => Event::Metadata,
    }
}

fn agree(step: &Step, event: &Event) -> bool {
    let instruction = &step.instruction;
    match event {
        Event::Metadata => false,
        Event::Run(text) => instruction.keyword == Keyword::Run && runs(step, text),
        Event::Workdir(path) => {
            let written = step.words.first();
            instruction.keyword == Keyword::Workdir
                && (same_path(path, &step.workdir) || written.is_some_and(|w| same_path(path, w)))
        }
        Event::CopyTo(keyword, to) => {
            let written = step.words.last().map_or("", String::as_str);
            instruction.keyword == *keyword
                && (!step.known
                    || same_path(to, written)
                    || same_path(to, &format!("{}/{written}", step.workdir)))
        }
        Event::Copy(keyword, found) => {
            let unmarked = |word: &String| word.replacen("<<-", "<<", 1);
            let wanted: Vec<String> = step
                .words
                .iter()
                .map(unmarked)
                .flat_map(|word| {
                    word.split_whitespace()
                        .map(str::to_owned)
                        .collect::<Vec<_>>()
                })
                .collect();
            instruction.keyword == *keyword
                && if step.known {
                    wanted == *found
                } else {
                    wanted.len() == found.len()
                }
        }
    }
}

fn same_path(a: &str, b: &str) -> bool {
    a == b || ImagePath::from(a) == ImagePath::from(b)
}

/// Whether the command of a `RUN` is the end of a history text; in front of it stand the shell and
/// the build arguments.
fn runs(step: &Step, text: &str) -> bool {
    let instruction = &step.instruction;
    let ends = |command: &str| {
        let command = single_spaced(command);
        text.strip_suffix(&command).is_some_and(|before| {
            !command.is_empty() && (before.is_empty() || before.ends_with(' '))
        })
    };
    match &instruction.arguments {
        Arguments::Exec(list) => {
            let written = text.find('[').and_then(|at| text.get(at..));
            ends(&list.join(" ")) || written.and_then(words::json).as_ref() == Some(list)
        }
        Arguments::Text(word) if instruction.heredocs.is_empty() => ends(&word.text),
        Arguments::Text(word) => {
            let first = instruction.heredocs.first();
            let body = single_spaced(first.map_or("", |heredoc| &heredoc.content));
            let command = single_spaced(&word.text);
            let piped = first.is_some_and(|h| ends(&format!("/dev/pipes/{}", h.name)));
            piped || (!body.is_empty() && text.contains(&body)) || ends(&command)
        }
        _ => false,
    }
}

fn single_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::{super::Dockerfile, origins};
    use crate::oci::ImageConfig;

    const MANY: &str = include_str!("../../tests/data/history/many.Dockerfile");

    fn config(json: &str) -> ImageConfig {
        serde_json::from_str(json).unwrap()
    }

    fn lines(dockerfile: &str, config: &ImageConfig) -> Vec<Option<u32>> {
        let file = Dockerfile::parse("Dockerfile", dockerfile).unwrap();
        let found = origins(&file, None, &IndexMap::new(), config);
        assert_eq!(found.layers.len(), config.rootfs.diff_ids.len());
        found
            .layers
            .iter()
            .map(|l| l.as_ref().map(|l| l.line))
            .collect()
    }

    macro_rules! captured {
        ($name:literal) => {
            config(include_str!(concat!(
                "../../tests/data/history/",
                $name,
                ".json"
            )))
        };
    }

    fn at<const N: usize>(lines: [u32; N]) -> Vec<Option<u32>> {
        [None, None].into_iter().chain(lines.map(Some)).collect()
    }

    #[test]
    fn captured_histories_of_every_builder_map_to_their_lines() {
        let all = at([4, 14, 15, 16, 20, 21, 22]);
        assert_eq!(lines(MANY, &captured!("buildkit")), all);
        assert_eq!(lines(MANY, &captured!("classic")), all);
        assert_eq!(
            lines(MANY, &captured!("buildah-layers")),
            at([4, 15, 16, 20, 21, 22])
        );
    }

    #[test]
    fn a_layer_that_several_instructions_share_is_laid_to_none_of_them() {
        let single = lines(MANY, &captured!("buildah-single"));
        assert_eq!(single, [None, None, Some(4), None, None]);
        assert_eq!(lines(MANY, &captured!("buildah-squash")), [None]);
    }

    #[test]
    fn fixture_images_map_to_their_dockerfiles() {
        let good = include_str!("../../tests/data/history/fixture-good.Dockerfile");
        assert_eq!(lines(good, &captured!("fixture-good")), at([10, 11]));
        let ubi = include_str!("../../tests/data/history/fixture-good-ubi.Dockerfile");
        assert_eq!(
            lines(ubi, &captured!("fixture-good-ubi")),
            at([10, 11, 12, 13])
        );
        let openstack = include_str!("../../tests/data/history/fixture-good-openstack.Dockerfile");
        assert_eq!(
            lines(openstack, &captured!("fixture-good-openstack")),
            [
                None,
                None,
                None,
                None,
                None,
                Some(17),
                Some(18),
                Some(21),
                Some(22)
            ]
        );
        let label = include_str!("../../tests/data/history/fixture-privileged-label.Dockerfile");
        assert_eq!(
            lines(label, &captured!("fixture-privileged-label")),
            at([12])
        );
    }

    #[test]
    fn a_history_of_another_file_gives_no_line() {
        let other = "FROM x\nRUN one\nCOPY a /b\nRUN two\n";
        assert!(
            lines(other, &captured!("buildkit"))
                .iter()
                .all(Option::is_none)
        );
        let good = include_str!("../../tests/data/history/fixture-good.Dockerfile");
        assert!(
            lines(good, &captured!("classic"))
                .iter()
                .all(Option::is_none)
        );
        // The end agrees, what lies before it does not: only the end is claimed.
        let changed = MANY.replace("echo built > /built.txt", "echo rebuilt > /built.txt");
        assert_eq!(
            lines(&changed, &captured!("buildkit")),
            [
                None,
                None,
                None,
                Some(14),
                Some(15),
                Some(16),
                Some(20),
                Some(21),
                Some(22)
            ]
        );
        let mut short = captured!("buildkit");
        short.rootfs.diff_ids.pop();
        assert!(lines(MANY, &short).iter().all(Option::is_none));
        short.history = None;
        assert!(lines(MANY, &short).iter().all(Option::is_none));
    }

    #[test]
    fn heredocs_and_shells_of_buildkit_are_recognised() {
        let text = "FROM a\nSHELL [\"/bin/bash\", \"-ec\"]\nRUN <<EOF\necho one\nEOF\nRUN cat <<E > /x\nbody\nE\nCOPY <<-\"F\" /y\n\tq\nF\n";
        let diff = format!("sha256:{}", "0".repeat(64));
        let entries = [
            "RUN /bin/bash -ec echo one\n # buildkit",
            "RUN |2 A=x y B= /bin/bash -ec cat <<E > /x\nbody\nE # buildkit",
            "COPY --chmod=644 <<F /y # buildkit",
        ];
        let history: Vec<serde_json::Value> = entries
            .iter()
            .map(
                |text| serde_json::json!({"created_by": text, "comment": "buildkit.dockerfile.v0"}),
            )
            .collect();
        let config = serde_json::from_value(serde_json::json!({
            "architecture": "amd64", "os": "linux", "history": history,
            "rootfs": {"type": "layers", "diff_ids": [diff, diff, diff]},
        }));
        assert_eq!(lines(text, &config.unwrap()), [Some(3), Some(6), Some(9)]);
    }

    /// What BuildKit makes of [`MANY`].
    fn built() -> ImageConfig {
        let mut config = captured!("buildkit");
        let labels = [
            ("name", "vendorx/plugin"),
            ("vendor", "VendorX"),
            ("version", "1.0"),
        ];
        config.config = Some(crate::oci::Config {
            user: Some("1001".to_owned()),
            labels: Some(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
            ..crate::oci::Config::default()
        });
        config
    }

    #[test]
    fn labels_user_and_base_are_told_with_their_lines() {
        let file = Dockerfile::parse("docker/Dockerfile", MANY).unwrap();
        let found = origins(&file, None, &IndexMap::new(), &built());
        let labels: Vec<(&str, u32)> = found
            .labels
            .iter()
            .map(|(k, l)| (k.as_str(), l.line))
            .collect();
        assert_eq!(labels, [("name", 8), ("vendor", 10), ("version", 12)]);
        assert_eq!(found.user.unwrap().line, 25);
        assert_eq!(found.from.unwrap().line, 19);
        assert_eq!(found.base_reference.as_deref(), Some("localhost/base:1"));
        assert!(found.others.is_empty());
        let none = origins(
            &file,
            Some("nowhere"),
            &IndexMap::new(),
            &captured!("buildkit"),
        );
        assert!(none.from.is_none() && none.layers.len() == 9);
    }

    #[test]
    fn lines_that_did_not_give_the_image_its_values_are_not_named() {
        let text = MANY
            .replace("vendorx/plugin", "redhat/plugin")
            .replace("USER 1001", "USER 0");
        let file = Dockerfile::parse("Dockerfile", &text).unwrap();
        let found = origins(&file, None, &IndexMap::new(), &built());
        assert!(found.user.is_none());
        assert!(!found.labels.contains_key("name"));
        assert!(found.labels.contains_key("vendor"));
        assert_eq!(found.others, ["name"]);
        let unknown = MANY.replace("USER 1001", "ARG TARGETARCH\nUSER $TARGETARCH");
        let file = Dockerfile::parse("Dockerfile", &unknown).unwrap();
        let found = origins(&file, None, &IndexMap::new(), &built());
        assert_eq!(found.user.unwrap().line, 26);
    }
}
