//! The Dockerfile as the engine's words refer to it: which instruction a step's name means, and
//! which images it starts from. Only for engines that do not say the line themselves, and for
//! mirrors; what a Dockerfile *means* is the business of `dockerfile`.

use indexmap::IndexMap;

use super::{expand::expand, names::ImageName};
use crate::{
    dockerfile::{Dockerfile, Instruction, Keyword},
    finding::Location,
};

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
        let (parsed, faults) = Dockerfile::read(&source.file, &source.text);
        if let Some(parsed) = parsed
            && faults.iter().all(|fault| fault.tolerated)
        {
            source.read(&parsed, args);
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

    fn read(&mut self, file: &Dockerfile, args: &IndexMap<String, String>) {
        let mut known: IndexMap<String, String> = IndexMap::new();
        for arg in &file.global_args {
            self.step(file, arg, 0, None);
            for pair in arg.pairs() {
                let default = pair.value.as_deref().unwrap_or_default();
                define(&pair.key.text, default, args, &mut known);
            }
        }
        let mut stages: Vec<Option<String>> = Vec::new();
        for (index, stage) in file.stages.iter().enumerate() {
            let image = expand(&stage.image.text, &known);
            self.use_image(&image, &stages, file.location(&stage.from));
            stages.push(stage.name.clone());
            self.step(file, &stage.from, index, stage.name.clone());
            for instruction in &stage.instructions {
                for image in foreign_images(instruction) {
                    let image = expand(&image, &known);
                    self.use_image(&image, &stages, file.location(instruction));
                }
                self.step(file, instruction, index, stage.name.clone());
            }
        }
    }

    fn step(
        &mut self,
        file: &Dockerfile,
        instruction: &Instruction,
        stage: usize,
        stage_name: Option<String>,
    ) {
        self.heredocs |= !instruction.heredocs.is_empty();
        let place = file.location(instruction);
        let words = instruction.code.split_once(char::is_whitespace);
        self.steps.push(Step {
            stage,
            stage_name,
            keyword: instruction.keyword.name(),
            first: place.line,
            last: place.end_line,
            words: flatten(words.unwrap_or_default().1),
        });
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

fn define(
    name: &str,
    default: &str,
    args: &IndexMap<String, String>,
    known: &mut IndexMap<String, String>,
) {
    let default = default.trim_matches(['"', '\'']);
    let value = args
        .get(name)
        .cloned()
        .unwrap_or_else(|| expand(default, known));
    known.insert(name.to_owned(), value);
}

fn foreign_images(instruction: &Instruction) -> Vec<String> {
    let values = |name: &'static str| {
        let flags = instruction.flags.iter();
        flags
            .filter(move |flag| flag.name == name)
            .filter_map(|flag| flag.value.clone())
    };
    match instruction.keyword {
        Keyword::Copy => values("from").collect(),
        Keyword::Run => values("mount")
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
