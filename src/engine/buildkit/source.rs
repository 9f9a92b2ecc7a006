//! The Dockerfile as the engine's words refer to it: which instruction a step's name means, and
//! which images it starts from. Only for engines that do not say the line themselves, and for
//! mirrors; what a Dockerfile *means* is the business of `dockerfile`.

use indexmap::IndexMap;
use parse_dockerfile::{Flag, Instruction};

use super::{expand::expand, names::ImageName};
use crate::finding::Location;

/// A Dockerfile with its place in the repository.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    /// path relative to the repository
    pub(crate) file: String,
    /// file name alone, which is all that the engine is told
    pub(crate) base_name: String,
    /// whole content
    pub(crate) text: String,
    steps: Vec<Step>,
    images: Vec<ImageUse>,
    heredocs: bool,
}

/// An image that the Dockerfile takes something from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageUse {
    /// completed
    pub(crate) name: ImageName,
    /// where
    pub(crate) location: Location,
}

#[derive(Debug, Clone)]
struct Step {
    stage: usize,
    stage_name: Option<String>,
    keyword: &'static str,
    first: u32,
    last: u32,
    /// everything after the keyword on one line, without quotes and escapes
    words: String,
}

impl Source {
    /// Reads the text; one that does not parse has no steps, and the engine says why.
    pub(crate) fn new(
        file: String,
        base_name: String,
        text: String,
        args: &IndexMap<String, String>,
    ) -> Self {
        let mut source = Self {
            file,
            base_name,
            text,
            ..Self::default()
        };
        let text = source.text.clone();
        if let Ok(parsed) = parse_dockerfile::parse(&text) {
            source.read(&parsed.instructions, args);
        }
        source
    }

    /// Images of `FROM`, `COPY --from` and `--mount=from=`, each once.
    pub(crate) fn images(&self) -> &[ImageUse] {
        &self.images
    }

    /// Whether a `RUN`, `COPY` or `ADD` has here-documents.
    pub(crate) fn has_heredocs(&self) -> bool {
        self.heredocs
    }

    /// Lines of this file as a location, clamped to it.
    pub(crate) fn lines(&self, first: u32, last: u32) -> Location {
        let count = u32::try_from(self.text.lines().count())
            .unwrap_or(u32::MAX)
            .max(1);
        let first = first.clamp(1, count);
        Location {
            file: self.file.clone(),
            line: first,
            end_line: last.clamp(first, count),
            column: None,
            end_column: None,
        }
    }

    /// The instruction at a line, whole.
    pub(crate) fn instruction_at(&self, line: u32) -> Location {
        self.steps
            .iter()
            .find(|step| (step.first..=step.last).contains(&line))
            .map_or_else(
                || self.lines(line, line),
                |step| self.lines(step.first, step.last),
            )
    }

    /// The instruction that the engine calls `[build 2/5] RUN make`.
    pub(crate) fn instruction_of(&self, step_name: &str) -> Option<Location> {
        let (label, words) = step_name.strip_prefix('[')?.split_once(']')?;
        if let Some(image) = label.strip_prefix("context ") {
            return self.image_use(image);
        }
        if let Some(image) = words.trim().strip_prefix("load metadata for ") {
            return self.image_use(image);
        }
        let (keyword, words) = words.trim().split_once(' ')?;
        let mut label: Vec<&str> = label.split(' ').collect();
        let (position, _) = label.pop()?.split_once('/')?;
        let position: usize = position.parse().ok()?;
        let stage = label.pop().filter(|word| !word.contains('/'));
        let of_stage: Vec<&Step> = self.steps.iter().filter(|step| step.is_of(stage)).collect();
        let wanted = flatten(words);
        let mut alike = of_stage.iter().filter(|step| {
            step.keyword.eq_ignore_ascii_case(keyword) && matches(&step.words, &wanted)
        });
        let found = match (alike.next(), alike.next()) {
            (Some(only), None) => Some(*only),
            // Several alike, or none because of expansion: the engine counts those that make a layer.
            _ => of_stage
                .iter()
                .filter(|step| ["FROM", "RUN", "COPY", "ADD", "WORKDIR"].contains(&step.keyword))
                .nth(position.checked_sub(1)?)
                .filter(|step| step.keyword.eq_ignore_ascii_case(keyword))
                .copied(),
        };
        found.map(|step| self.lines(step.first, step.last))
    }

    /// The `COPY` or `ADD` that names `path`.
    pub(crate) fn copy_of(&self, path: &str) -> Option<Location> {
        let path = path.trim_matches('/');
        let names = |step: &&Step| {
            step.words
                .split(' ')
                .any(|word| word.trim_start_matches("./").trim_matches('/') == path)
        };
        self.steps
            .iter()
            .filter(|step| ["COPY", "ADD"].contains(&step.keyword))
            .find(names)
            .map(|step| self.lines(step.first, step.last))
    }

    fn image_use(&self, name: &str) -> Option<Location> {
        let name = ImageName::complete(name)?;
        self.images
            .iter()
            .find(|used| used.name == name)
            .map(|used| used.location.clone())
    }

    fn read(&mut self, instructions: &[Instruction<'_>], args: &IndexMap<String, String>) {
        let starts: Vec<usize> = instructions.iter().map(|i| head(i).1.start).collect();
        let lines = Lines::of(&self.text);
        let mut known: IndexMap<String, String> = IndexMap::new();
        let mut stages: Vec<Option<String>> = Vec::new();
        for (index, instruction) in instructions.iter().enumerate() {
            let (keyword, span) = head(instruction);
            let first = lines.at(span.start);
            let next = starts
                .get(index + 1)
                .map_or(lines.count() + 1, |&start| lines.at(start));
            let last = lines.last_of(&self.text, first, next);
            if let Instruction::Arg(arg) = instruction
                && stages.is_empty()
            {
                define(&arg.arguments.value, args, &mut known);
            }
            if let Instruction::From(from) = instruction {
                let image = expand(&from.image.value, &known);
                self.use_image(&image, &stages, self.lines(first, last));
                stages.push(
                    from.as_
                        .as_ref()
                        .map(|(_, name)| name.value.to_ascii_lowercase()),
                );
            }
            self.heredocs |= has_heredocs(instruction);
            for image in foreign_images(instruction) {
                self.use_image(&expand(&image, &known), &stages, self.lines(first, last));
            }
            self.steps.push(Step {
                stage: stages.len().saturating_sub(1),
                stage_name: stages.last().cloned().flatten(),
                keyword,
                first,
                last,
                words: flatten(&lines.joined(&self.text, span.end, last)),
            });
        }
    }

    fn use_image(&mut self, image: &str, stages: &[Option<String>], location: Location) {
        let is_stage = stages
            .iter()
            .flatten()
            .any(|name| name.eq_ignore_ascii_case(image))
            || image
                .parse::<usize>()
                .is_ok_and(|index| index < stages.len());
        if is_stage || image == "scratch" || image == "context" {
            return;
        }
        if let Some(name) = ImageName::complete(image)
            && !self.images.iter().any(|used| used.name == name)
        {
            self.images.push(ImageUse { name, location });
        }
    }
}

impl Step {
    fn is_of(&self, stage: Option<&str>) -> bool {
        match (stage, &self.stage_name) {
            (None, _) => true,
            (Some(wanted), Some(name)) => wanted.eq_ignore_ascii_case(name),
            (Some(wanted), None) => wanted == format!("stage-{}", self.stage),
        }
    }
}

fn define(arguments: &str, args: &IndexMap<String, String>, known: &mut IndexMap<String, String>) {
    for word in arguments.split_whitespace() {
        let (name, default) = word.split_once('=').unwrap_or((word, ""));
        let default = default.trim_matches(['"', '\'']);
        let value = args
            .get(name)
            .cloned()
            .unwrap_or_else(|| expand(default, known));
        known.insert(name.to_owned(), value);
    }
}

fn has_heredocs(instruction: &Instruction<'_>) -> bool {
    let is_document = |source: &parse_dockerfile::Source<'_>| {
        matches!(source, parse_dockerfile::Source::HereDoc(_))
    };
    match instruction {
        Instruction::Run(run) => !run.here_docs.is_empty(),
        Instruction::Copy(copy) => copy.src.iter().any(is_document),
        Instruction::Add(add) => add.src.iter().any(is_document),
        _ => false,
    }
}

fn foreign_images(instruction: &Instruction<'_>) -> Vec<String> {
    let value = |flag: &Flag<'_>| flag.value.as_ref().map(|v| v.value.to_string());
    match instruction {
        Instruction::Copy(copy) => copy
            .options
            .iter()
            .filter(|flag| flag.name.value == "from")
            .filter_map(value)
            .collect(),
        Instruction::Run(run) => run
            .options
            .iter()
            .filter(|flag| flag.name.value == "mount")
            .filter_map(value)
            .filter_map(|mount| {
                let from = mount
                    .split(',')
                    .find_map(|part| part.strip_prefix("from="))?;
                Some(from.to_owned())
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn head(instruction: &Instruction<'_>) -> (&'static str, std::ops::Range<usize>) {
    use Instruction as I;
    let (keyword, span) = match instruction {
        I::Add(i) => ("ADD", &i.add.span),
        I::Arg(i) => ("ARG", &i.arg.span),
        I::Cmd(i) => ("CMD", &i.cmd.span),
        I::Copy(i) => ("COPY", &i.copy.span),
        I::Entrypoint(i) => ("ENTRYPOINT", &i.entrypoint.span),
        I::Env(i) => ("ENV", &i.env.span),
        I::Expose(i) => ("EXPOSE", &i.expose.span),
        I::From(i) => ("FROM", &i.from.span),
        I::Healthcheck(i) => ("HEALTHCHECK", &i.healthcheck.span),
        I::Label(i) => ("LABEL", &i.label.span),
        I::Maintainer(i) => ("MAINTAINER", &i.maintainer.span),
        I::Onbuild(i) => ("ONBUILD", &i.onbuild.span),
        I::Run(i) => ("RUN", &i.run.span),
        I::Shell(i) => ("SHELL", &i.shell.span),
        I::Stopsignal(i) => ("STOPSIGNAL", &i.stopsignal.span),
        I::User(i) => ("USER", &i.user.span),
        I::Volume(i) => ("VOLUME", &i.volume.span),
        I::Workdir(i) => ("WORKDIR", &i.workdir.span),
        _ => ("", &(0..0)),
    };
    (keyword, span.clone())
}

struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        Self(
            std::iter::once(0)
                .chain(breaks.map(|(at, _)| at + 1))
                .collect(),
        )
    }

    fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    fn at(&self, offset: usize) -> u32 {
        u32::try_from(self.0.partition_point(|&start| start <= offset)).unwrap_or(u32::MAX)
    }

    fn line<'a>(&self, text: &'a str, number: u32) -> &'a str {
        let index = number.saturating_sub(1) as usize;
        let start = self.0.get(index).copied().unwrap_or(text.len());
        let end = self.0.get(index + 1).copied().unwrap_or(text.len());
        text.get(start..end).unwrap_or_default()
    }

    /// The last line before `next` that is neither blank nor a comment.
    fn last_of(&self, text: &str, first: u32, next: u32) -> u32 {
        let is_blank = |&number: &u32| {
            let line = self.line(text, number).trim();
            line.is_empty() || line.starts_with('#')
        };
        (first..next)
            .rev()
            .find(|number| !is_blank(number))
            .unwrap_or(first)
    }

    /// From `offset` to the end of line `last`, continuations joined, comments left out.
    fn joined(&self, text: &str, offset: usize, last: u32) -> String {
        let first = self.at(offset);
        let mut words = String::new();
        for number in first..=last {
            let line = if number == first {
                let end = self.0.get(first as usize).copied().unwrap_or(text.len());
                text.get(offset..end).unwrap_or_default()
            } else {
                self.line(text, number)
            };
            let line = line.trim_end();
            if line.trim_start().starts_with('#') {
                continue;
            }
            words.push_str(line.strip_suffix(['\\', '`']).unwrap_or(line));
            if !line.ends_with(['\\', '`']) {
                break;
            }
        }
        words
    }
}

/// One space between words, no quotes, no escapes: engines of different age keep different ones.
fn flatten(text: &str) -> String {
    let bare = text.replace(['"', '\'', '\\'], "");
    bare.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the engine's words may be `pattern` with its variables replaced.
fn matches(pattern: &str, words: &str) -> bool {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('$') {
        pieces.push(before);
        rest = match after.strip_prefix('{') {
            Some(inside) => inside.split_once('}').map_or("", |(_, after)| after),
            None => after.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_'),
        };
    }
    if pieces.is_empty() {
        return pattern == words;
    }
    let Some(mut at) = pieces.first().and_then(|first| words.strip_prefix(first)) else {
        return false;
    };
    for piece in pieces.iter().skip(1) {
        match at.split_once(piece) {
            Some((_, after)) => at = after,
            None => return false,
        }
    }
    at.ends_with(rest)
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
