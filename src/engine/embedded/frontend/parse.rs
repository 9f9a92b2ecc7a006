//! An instruction as the reader took it apart → what it says. Faults that need no variables are
//! found here, in every stage, as `BuildKit`'s parser finds them.

use crate::dockerfile::{
    Arguments, Dockerfile, Heredoc, Instruction, Keyword, Pair, Word, json_list,
};

use super::{
    command::{Command, CommandLine, CopyCommand, Document, Read, Run, RunNetwork, Step},
    flags::Flags,
    health,
    lex::{Budget, Env, Lexer},
    mount,
    problem::Problem,
};

/// Reads one instruction of a stage.
pub(super) fn step(file: &Dockerfile, instruction: &Instruction) -> Read<Step> {
    Ok(Step {
        command: command(instruction, file.escape())?,
        code: instruction.code.clone(),
        location: file.location(instruction),
        onbuild: false,
    })
}

/// Reads a trigger of a base image.
pub(super) fn trigger(text: &str) -> Read<Command> {
    let not_one = || {
        Problem::fault(
            format!("the ONBUILD trigger `{text}` of the base image is no instruction"),
            "use another base image",
        )
    };
    let (file, faults) = Dockerfile::read("trigger", &format!("FROM scratch\n{text}\n"));
    let stage = file.as_ref().and_then(|file| file.stages.first());
    let instructions = stage.map_or(&[][..], |stage| &stage.instructions);
    match instructions {
        [one] if faults.is_empty() => Ok(command(one, '\\')?),
        _ => Err(not_one()),
    }
}

fn command(instruction: &Instruction, escape: char) -> Read<Command> {
    let flags = Flags::read(instruction, escape)?;
    let text = instruction.text();
    Ok(match instruction.keyword {
        Keyword::Add | Keyword::Copy => Command::Copy(Box::new(copy(instruction, &flags)?)),
        Keyword::Arg => Command::Arg(args(instruction.pairs())),
        Keyword::Env => Command::Env(pairs(instruction.pairs())),
        Keyword::Label => Command::Label(pairs(instruction.pairs())),
        Keyword::Run => Command::Run(Box::new(run(instruction, &flags)?)),
        Keyword::Cmd => Command::Cmd(line(instruction)?),
        Keyword::Entrypoint => Command::Entrypoint(line(instruction)?),
        Keyword::Healthcheck => Command::Healthcheck(health::parse(text, &flags)?),
        Keyword::Expose => Command::Expose(ports(instruction)?),
        Keyword::Volume => Command::Volume(volumes(instruction)?),
        Keyword::Shell => Command::Shell(shell(instruction)?),
        Keyword::Onbuild => Command::Onbuild(onbuild(instruction)),
        Keyword::Stopsignal => Command::Stopsignal(text.to_owned()),
        Keyword::User => Command::User(text.to_owned()),
        Keyword::Workdir => Command::Workdir(text.to_owned()),
        Keyword::Maintainer => Command::Maintainer(text.to_owned()),
        Keyword::From => {
            return Err(Problem::fault(
                "FROM does not stand in a stage",
                "take it away",
            ));
        }
    })
}

/// The strings of a JSON array, `None` when it is none.
pub(super) fn json(text: &str) -> Read<Option<Vec<String>>> {
    let text = text.trim();
    if !text.starts_with('[') {
        return Ok(None);
    }
    let Some(list) = json_list(text) else {
        return Ok(None);
    };
    let strings: Option<Vec<String>> = list
        .iter()
        .map(|value| value.as_str().map(str::to_owned))
        .collect();
    strings.map(Some).ok_or_else(|| {
        Problem::fault(
            "a JSON array of a Dockerfile holds strings alone",
            "put each element into double quotes",
        )
    })
}

fn line(instruction: &Instruction) -> Read<CommandLine> {
    if let Arguments::Exec(list) = &instruction.arguments {
        return Ok(CommandLine::Exec(list.clone()));
    }
    let text = instruction.text();
    Ok(match json(text)? {
        Some(list) => CommandLine::Exec(list),
        None => CommandLine::Shell(text.to_owned()),
    })
}

fn run(instruction: &Instruction, flags: &Flags) -> Read<Run> {
    let line = line(instruction)?;
    if matches!(&line, CommandLine::Exec(list) if list.is_empty()) {
        return Err(Problem::fault("RUN has no command", "name the command"));
    }
    let mounts = flags.all("mount");
    for text in &mounts {
        mount::parse(text, None)?;
    }
    let heredocs = match line {
        CommandLine::Shell(_) => instruction.heredocs.iter().map(document).collect(),
        CommandLine::Exec(_) => Vec::new(),
    };
    let security = flags.text("security");
    if !matches!(security.as_str(), "" | "sandbox" | "insecure") {
        return Err(Problem::fault(
            format!("--security is `{security}`, it may be sandbox or insecure"),
            "take it away",
        ));
    }
    Ok(Run {
        line,
        heredocs,
        mounts,
        network: network(&flags.text("network"))?,
        insecure: security == "insecure",
        device: flags.all("device").into_iter().next(),
    })
}

fn network(text: &str) -> Read<RunNetwork> {
    match text {
        "" | "default" => Ok(RunNetwork::Default),
        "none" => Ok(RunNetwork::None),
        "host" => Ok(RunNetwork::Host),
        _ => Err(Problem::fault(
            format!("--network is `{text}`, it may be default, none or host"),
            "write one of them",
        )),
    }
}

fn document(heredoc: &Heredoc) -> Document {
    let content = if heredoc.chomp {
        let lines = heredoc.raw.split_inclusive('\n');
        lines.map(|line| line.trim_start_matches('\t')).collect()
    } else {
        heredoc.raw.clone()
    };
    Document {
        name: heredoc.name.clone(),
        expand: heredoc.expand,
        raw: heredoc.raw.clone(),
        content,
    }
}

/// The delimiter of a word that opens a here-document and is nothing else.
pub(super) fn opening(word: &str) -> Option<String> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.strip_prefix("<<")?;
    let rest = rest.strip_prefix('-').unwrap_or(rest).trim_start();
    if rest.contains('<') {
        return None;
    }
    let budget = Budget::default();
    let lexer = Lexer {
        skip_unset: true,
        ..Lexer::new('\\', &budget)
    };
    let mut words = lexer.words(rest, &Env::default()).ok()?.into_iter();
    match (words.next(), words.next()) {
        (Some(name), None) => Some(name),
        _ => None,
    }
}

fn copy(instruction: &Instruction, flags: &Flags) -> Read<CopyCommand> {
    let Arguments::Copy {
        sources,
        destination,
    } = &instruction.arguments
    else {
        return Err(Problem::fault("there is no destination", "name it"));
    };
    not_json(sources.iter().chain([destination]))?;
    if opening(&destination.text).is_some() {
        return Err(Problem::fault(
            format!("{} cannot copy to a here-document", instruction.keyword),
            "name the destination last",
        ));
    }
    let mut command = CopyCommand {
        add: instruction.keyword == Keyword::Add,
        from: Some(flags.text("from")).filter(|from| !from.is_empty()),
        destination: destination.text.clone(),
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        checksum: flags.text("checksum"),
        link: flags.switch("link").unwrap_or(false),
        parents: flags.switch("parents").unwrap_or(false),
        keep_git_dir: flags.switch("keep-git-dir"),
        unpack: flags.switch("unpack"),
        exclude: flags.all("exclude"),
        ..CopyCommand::default()
    };
    for source in sources {
        let Some(name) = opening(&source.text) else {
            command.sources.push(source.text.clone());
            continue;
        };
        let of_name = |heredoc: &&Heredoc| heredoc.name == name;
        let heredoc = instruction.heredocs.iter().rfind(of_name);
        command.documents.push(heredoc.map_or_else(
            || Document {
                name: name.clone(),
                expand: false,
                raw: String::new(),
                content: String::new(),
            },
            document,
        ));
    }
    Ok(command)
}

/// Words that are a JSON array with something else than strings in it.
fn not_json<'a>(words: impl Iterator<Item = &'a Word>) -> Read<()> {
    let texts: Vec<&str> = words.map(|word| word.text.as_str()).collect();
    json(&texts.join(" ")).map(drop)
}

fn args(pairs: &[Pair]) -> Vec<(String, Option<String>)> {
    let pair = |pair: &Pair| (pair.key.text.clone(), pair.value.clone());
    pairs.iter().map(pair).collect()
}

fn pairs(pairs: &[Pair]) -> Vec<(String, String)> {
    let pair = |pair: &Pair| {
        (
            pair.key.text.clone(),
            pair.value.clone().unwrap_or_default(),
        )
    };
    pairs.iter().map(pair).collect()
}

fn words(instruction: &Instruction) -> &[Word] {
    match &instruction.arguments {
        Arguments::Words(words) => words,
        _ => &[],
    }
}

fn ports(instruction: &Instruction) -> Read<Vec<String>> {
    if matches!(instruction.arguments, Arguments::Exec(_)) {
        return Err(Problem::fault(
            "EXPOSE takes no JSON array",
            "write the ports with spaces between them",
        ));
    }
    let text = |word: &Word| word.text.clone();
    let mut ports: Vec<String> = words(instruction).iter().map(text).collect();
    ports.sort();
    Ok(ports)
}

fn volumes(instruction: &Instruction) -> Read<Vec<String>> {
    let volumes: Vec<String> = if let Arguments::Exec(list) = &instruction.arguments {
        list.iter().map(|text| text.trim().to_owned()).collect()
    } else {
        let words = words(instruction);
        not_json(words.iter())?;
        words.iter().map(|word| word.text.clone()).collect()
    };
    if volumes.is_empty() || volumes.iter().any(String::is_empty) {
        return Err(Problem::fault(
            "VOLUME names no path",
            "name the path of each volume",
        ));
    }
    Ok(volumes)
}

fn shell(instruction: &Instruction) -> Read<Vec<String>> {
    match &instruction.arguments {
        Arguments::Exec(list) if !list.is_empty() => Ok(list.clone()),
        _ => Err(Problem::fault(
            "SHELL names no program",
            "write SHELL [\"program\", \"argument\"]",
        )),
    }
}

fn onbuild(instruction: &Instruction) -> String {
    let mut text = match &instruction.arguments {
        Arguments::Onbuild(inner) => inner.code.clone(),
        _ => instruction.text().to_owned(),
    };
    for heredoc in &instruction.heredocs {
        text.push('\n');
        text.push_str(&heredoc.raw);
        text.push_str(&heredoc.name);
    }
    text
}
