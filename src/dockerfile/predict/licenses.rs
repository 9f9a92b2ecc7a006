//! Whether something will lie under `/licenses`.

use super::{Case, ContextPath, base::KnownBase, failed, passed, shell, unknown};
use crate::{
    dockerfile::{Keyword, Step},
    finding::{Finding, Outcome},
    oci::ImagePath,
};

const REMEDY: &str =
    "put the licence texts into a directory of the context and COPY it to /licenses";

/// What a step does to `/licenses`.
enum Effect {
    /// puts something with content there
    Fills(String),
    /// it cannot be told whether it does
    May(String),
    /// it was meant to, and will not
    Misses(Finding),
    /// takes it away
    Removes(Finding),
}

pub(super) fn has_licenses(case: &Case<'_>) -> Outcome {
    let (mut filled, mut may, mut missed, mut removed) = (None, None, Vec::new(), None);
    for step in &case.resolved.steps {
        match effect(case, step) {
            Some(Effect::Fills(how)) => (filled, removed) = (Some(how), None),
            Some(Effect::May(why)) => may = Some(why),
            Some(Effect::Misses(finding)) => missed.push(finding),
            Some(Effect::Removes(finding)) => (filled, removed) = (None, Some(finding)),
            None => {}
        }
    }
    if let Some(finding) = removed {
        return failed(finding);
    }
    if let Some(how) = filled {
        return passed(how);
    }
    if let Some(finding) = missed.into_iter().next() {
        return failed(finding);
    }
    if let Some(why) = may {
        return unknown(why);
    }
    match case.base {
        KnownBase::Scratch | KnownBase::Platform => {
            let message = "no instruction puts anything under /licenses";
            failed(
                Finding::new("/licenses", message)
                    .at(Some(case.resolved.from.clone()))
                    .on_path(ImagePath::from("/licenses"))
                    .remedy(REMEDY)
                    .patch("COPY licenses /licenses"),
            )
        }
        _ => unknown(format!(
            "no instruction puts anything under /licenses; whether the base image {} does is not known",
            case.base_name()
        )),
    }
}

fn effect(case: &Case<'_>, step: &Step) -> Option<Effect> {
    match step.instruction.keyword {
        Keyword::Copy | Keyword::Add => copy(case, step),
        Keyword::Run => run(case, step),
        _ => None,
    }
}

fn line(case: &Case<'_>, step: &Step) -> u32 {
    case.file.location(&step.instruction).line
}

fn copy(case: &Case<'_>, step: &Step) -> Option<Effect> {
    let (destination, sources) = step.words.split_last()?;
    let keyword = step.instruction.keyword;
    let line = line(case, step);
    let licenses = ImagePath::from("/licenses");
    let target = ImagePath::from(step.workdir.as_str()).join(destination);
    let below = target.is_under(&licenses);
    let above = target.as_bytes().is_empty();
    if !below && !above {
        return None;
    }
    if !step.known {
        return Some(Effect::May(format!(
            "{keyword} of line {line} depends on variables that are not known"
        )));
    }
    if let Some(stage) = step.instruction.flag("from") {
        let how = format!("{keyword} of line {line} takes it from {stage}");
        return Some(if below {
            Effect::Fills(how)
        } else {
            Effect::May(how)
        });
    }
    let mut best = None;
    for source in sources {
        let found = copied(case, step, source, below);
        match found {
            Some(Effect::Fills(_)) => return found,
            Some(Effect::May(_)) => best = found,
            Some(_) if best.is_none() => best = found,
            _ => {}
        }
    }
    best
}

fn copied(case: &Case<'_>, step: &Step, source: &str, below: bool) -> Option<Effect> {
    let keyword = step.instruction.keyword;
    let line = line(case, step);
    let what = format!("{keyword} {source} of line {line}");
    if let Some(name) = source.strip_prefix("<<") {
        let name = name.trim_start_matches('-');
        let body = step.instruction.heredocs.iter().find(|h| h.name == name);
        let content = body.is_some_and(|body| !body.content.trim().is_empty());
        return (below && content).then_some(Effect::Fills(what));
    }
    if source.contains("://") {
        return below.then_some(Effect::Fills(what));
    }
    let path = source.trim_start_matches("./").trim_matches('/');
    let path = if below {
        path.to_owned()
    } else {
        format!("{path}/licenses")
            .trim_matches('/')
            .replace("./", "")
    };
    let Some(files) = case.context.files else {
        return Some(if below {
            Effect::Fills(what)
        } else {
            Effect::May(what)
        });
    };
    let misses = |why: &str, remedy: &str| {
        let message = format!("{keyword} puts {source} under /licenses, but {why}");
        let finding = Finding::new("/licenses", message)
            .at(Some(case.file.location(&step.instruction)))
            .on_path(ImagePath::from("/licenses"))
            .remedy(remedy);
        below.then_some(Effect::Misses(finding))
    };
    match files.look(&path) {
        ContextPath::Present => Some(Effect::Fills(what)),
        ContextPath::Unknown => Some(Effect::May(format!(
            "{what}: the context could not be looked at"
        ))),
        ContextPath::Missing => misses("the context has no such path", REMEDY),
        ContextPath::Empty => misses("it has no content", REMEDY),
        ContextPath::Ignored => misses(
            ".dockerignore keeps it out of the build",
            "take the path out of .dockerignore, or add an exception with !",
        ),
    }
}

fn run(case: &Case<'_>, step: &Step) -> Option<Effect> {
    let line = line(case, step);
    let mut found = None;
    for command in shell::commands(step) {
        let names = command.iter().any(|word| word_is_licenses(word));
        let program = command.first().map_or("", String::as_str);
        let program = program.rsplit('/').next().unwrap_or(program);
        match program {
            _ if !names => {}
            "rm" if command
                .iter()
                .any(|word| word.trim_end_matches('/') == "/licenses") =>
            {
                let message = format!("RUN of line {line} removes /licenses");
                found = Some(Effect::Removes(
                    Finding::new("/licenses", message)
                        .at(Some(case.file.location(&step.instruction)))
                        .remedy("keep /licenses in the image"),
                ));
            }
            "mkdir" | "chmod" | "chown" | "chgrp" | "ls" | "rm" | "rmdir" | "test" | "["
            | "find" => {}
            "install" if command.iter().any(|word| word == "-d") => {}
            _ => found = Some(Effect::Fills(format!("RUN {program} of line {line}"))),
        }
    }
    found
}

fn word_is_licenses(word: &str) -> bool {
    word.starts_with('/') && ImagePath::from(word).is_under(&ImagePath::from("/licenses"))
}
