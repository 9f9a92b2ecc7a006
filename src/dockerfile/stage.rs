//! A Dockerfile as stages of instructions.

use std::collections::HashMap;

use super::{
    fault::ParseFault,
    instruction::{Arguments, Instruction, Keyword},
    lines::{self, LogicalLine},
    read,
    source::Source,
    words::Word,
};
use crate::finding::Location;

/// Files above this are refused: no Dockerfile is that long.
const MAX_BYTES: usize = 1 << 20;

/// `# key=value` lines at the head of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// the frontend, such as `docker/dockerfile:1`
    pub syntax: Option<String>,
    /// `\` or `` ` ``
    pub escape: Option<char>,
    /// configuration of the build checks
    pub check: Option<String>,
}

/// One stage: a `FROM` and what follows it.
#[derive(Debug, Clone)]
pub struct Stage {
    /// bytes of the file of the `FROM`
    pub from: Instruction,
    /// image reference or stage, as written
    pub image: Word,
    /// `AS name`
    pub name: Option<String>,
    /// in order, without the `FROM`
    pub instructions: Vec<Instruction>,
}

/// A Dockerfile.
#[derive(Debug, Clone)]
pub struct Dockerfile {
    pub(super) source: Source,
    pub(super) escape: char,
    /// logical lines, kept for what lints tell of them
    pub(super) lines: Vec<LogicalLine>,
    /// parser directives
    pub directives: Directives,
    /// `ARG` before the first `FROM`
    pub global_args: Vec<Instruction>,
    /// at least one
    pub stages: Vec<Stage>,
}

impl Dockerfile {
    /// Reads a Dockerfile; `file` is its path relative to the repository.
    ///
    /// # Errors
    ///
    /// Every fault of the text, in the order of its lines; never empty.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<ParseFault>> {
        match Self::read(file, text) {
            (Some(dockerfile), faults) if faults.is_empty() => Ok(dockerfile),
            (_, faults) => Err(faults),
        }
    }

    /// Reads what can be read, and says what could not be. An instruction that a dangling
    /// continuation swallows is taken as the instruction it was meant to be. `None` when there is
    /// no stage; the faults are then not empty.
    pub fn read(file: &str, text: &str) -> (Option<Self>, Vec<ParseFault>) {
        let source = Source::new(file, text);
        if text.len() > MAX_BYTES {
            let message = format!(
                "the Dockerfile has {} bytes, at most {MAX_BYTES} are read",
                text.len()
            );
            return (
                None,
                vec![ParseFault::at(&source, 0..0, message, "shorten it")],
            );
        }
        let (directives, mut faults) = directives(&source);
        let escape = directives.escape.unwrap_or('\\');
        let (lines, more) = lines::join(&source, escape);
        faults.extend(more);
        let (mut global_args, mut stages) = (Vec::new(), Vec::<Stage>::new());
        for line in &lines {
            let instruction = match read::parse(&source, line, escape) {
                Ok(instruction) => instruction,
                Err(fault) => {
                    faults.push(fault);
                    continue;
                }
            };
            match (&instruction.arguments, stages.last_mut()) {
                (Arguments::From { image, name }, _) => stages.push(Stage {
                    image: image.clone(),
                    name: name.as_ref().map(|name| name.text.to_lowercase()),
                    from: instruction,
                    instructions: Vec::new(),
                }),
                (_, Some(stage)) => stage.instructions.push(instruction),
                (_, None) if instruction.keyword == Keyword::Arg => global_args.push(instruction),
                (_, None) => faults.push(ParseFault::at(
                    &source,
                    instruction.span.clone(),
                    format!("{} stands before the first FROM", instruction.keyword),
                    "start the Dockerfile with FROM; only ARG may stand before it",
                )),
            }
        }
        faults.extend(duplicate_names(&source, &stages));
        if stages.is_empty() && faults.is_empty() {
            faults.push(ParseFault::at(
                &source,
                0..0,
                "the Dockerfile has no FROM",
                "name the base image with FROM",
            ));
        }
        faults.sort_by_key(|fault| fault.location.line);
        let dockerfile = (!stages.is_empty()).then_some(Self {
            source,
            escape,
            lines,
            directives,
            global_args,
            stages,
        });
        (dockerfile, faults)
    }

    /// Path relative to the repository.
    pub fn file(&self) -> &str {
        self.source.file()
    }

    /// The text, without a byte order mark.
    pub fn text(&self) -> &str {
        self.source.text()
    }

    /// The character that continues lines and escapes: `\` or `` ` ``.
    pub fn escape(&self) -> char {
        self.escape
    }

    /// Lines of an instruction.
    pub fn location(&self, instruction: &Instruction) -> Location {
        self.source.location(&instruction.span)
    }

    /// Line and columns of a word.
    pub fn word_location(&self, word: &Word) -> Location {
        self.source.location(&word.span)
    }

    /// The last stage of that name, in any case. A number names no target, as BuildKit has it.
    pub fn stage_index(&self, name: &str) -> Option<usize> {
        let name = name.to_lowercase();
        self.stages
            .iter()
            .rposition(|stage| stage.name.as_deref() == Some(name.as_str()))
    }
}

/// Reads `# key=value` lines until the first line that is none.
fn directives(source: &Source) -> (Directives, Vec<ParseFault>) {
    let (mut found, mut faults) = (Directives::default(), Vec::new());
    for index in 0.. {
        let Some((key, value)) = source.line(index).and_then(directive) else {
            break;
        };
        let twice = match key.to_ascii_lowercase().as_str() {
            "syntax" => found.syntax.replace(value.to_owned()).is_some(),
            "check" => found.check.replace(value.to_owned()).is_some(),
            "escape" => match value {
                "\\" | "`" => found
                    .escape
                    .replace(if value == "`" { '`' } else { '\\' })
                    .is_some(),
                _ => {
                    faults.push(directive_fault(
                        source,
                        index,
                        format!("the escape directive names `{value}`, it may be \\ or `"),
                    ));
                    false
                }
            },
            // What is no directive is a comment, and no directive may stand behind a comment.
            _ => break,
        };
        if twice {
            let message = format!("the directive `{key}` stands twice");
            faults.push(directive_fault(source, index, message));
        }
    }
    (found, faults)
}

fn directive(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.strip_prefix('#')?.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let named = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.bytes().all(|b| b.is_ascii_alphanumeric());
    (named && !value.is_empty()).then_some((key, value))
}

fn directive_fault(source: &Source, index: usize, message: String) -> ParseFault {
    let start = source.line_start(index);
    let end = start + source.line(index).map_or(0, str::len);
    ParseFault::at(source, start..end, message, "take the line away")
}

fn duplicate_names(source: &Source, stages: &[Stage]) -> Vec<ParseFault> {
    let mut seen = HashMap::new();
    let mut faults = Vec::new();
    for stage in stages {
        let Some(name) = &stage.name else { continue };
        if let Some(first) = seen.insert(name.as_str(), stage) {
            let line = source.location(&first.from.span).line;
            faults.push(ParseFault {
                tolerated: true,
                ..ParseFault::at(
                    source,
                    stage.from.span.clone(),
                    format!("the stage name `{name}` is taken by line {line}"),
                    "give each stage a name of its own",
                )
            });
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Arguments, Dockerfile, Instruction, Keyword};

    fn faults(text: &str) -> Vec<(u32, Option<u32>, String)> {
        let found = Dockerfile::parse("Dockerfile", text).unwrap_err();
        let place = |f: super::ParseFault| (f.location.line, f.location.column, f.message);
        found.into_iter().map(place).collect()
    }

    #[test]
    fn all_faults_are_told_at_once_with_line_and_column() {
        let text = "RUN early\nFROM a\nFOO bar\n  ENV\nLABEL x\nCOPY one\nSHELL /bin/sh\nCMD --x y\n\
                    FROM a b c d\nFROM b AS n\nFROM c AS N\nONBUILD FROM x\nLABEL a=b \\\n  oops\n";
        let found = faults(text);
        let places: Vec<(u32, u32)> = found.iter().map(|f| (f.0, f.1.unwrap())).collect();
        assert_eq!(
            places,
            [
                (1, 1),
                (3, 1),
                (4, 3),
                (5, 1),
                (6, 6),
                (7, 7),
                (8, 5),
                (9, 6),
                (11, 1),
                (12, 9),
                (14, 3)
            ],
            "{found:?}"
        );
    }

    #[test]
    fn a_file_without_a_stage_is_a_fault() {
        for text in ["", "\n# only\n", "ARG x=1\n", "\u{feff}", "FROM"] {
            assert!(!faults(text).is_empty(), "{text:?}");
        }
        assert!(
            faults("FROM a\nRUN <<EOF\nx\n")[0]
                .2
                .contains("`EOF` has no end")
        );
    }

    #[test]
    fn directives_stand_at_the_head_alone() {
        let text = "# syntax = docker/dockerfile:1\n# check=skip=all\n# escape=`\nFROM a\nRUN x `\n y\\\nUSER 1\n";
        let file = Dockerfile::parse("D", text).unwrap();
        assert_eq!(
            file.directives.syntax.as_deref(),
            Some("docker/dockerfile:1")
        );
        assert_eq!(file.directives.check.as_deref(), Some("skip=all"));
        assert_eq!(file.stages[0].instructions[0].text(), "x  y\\");
        let late = Dockerfile::parse("D", "\n# escape=`\nFROM a\nRUN x `\nUSER 1\n").unwrap();
        assert_eq!(late.directives.escape, None);
        assert!(faults("# escape=x\nFROM a\n")[0].2.contains("`x`"));
        assert!(
            faults("# escape=`\n# escape=`\nFROM a\n")[0]
                .2
                .contains("twice")
        );
    }

    #[test]
    fn a_swallowed_instruction_is_a_fault_and_read_as_it_was_meant() {
        let text =
            "FROM a\nLABEL a=b \\\n      c=d \\\n\n# licences\nCOPY licenses /licenses\nUSER 1\n";
        let (file, faults) = Dockerfile::read("D", text);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].rule, "dockerfile/dangling-continuation");
        assert_eq!(
            (faults[0].location.line, faults[0].location.column),
            (3, Some(7))
        );
        assert!(
            faults[0].message.contains("COPY of line 6"),
            "{}",
            faults[0].message
        );
        let file = file.unwrap();
        let keywords: Vec<Keyword> = file.stages[0]
            .instructions
            .iter()
            .map(|i| i.keyword)
            .collect();
        assert_eq!(keywords, [Keyword::Label, Keyword::Copy, Keyword::User]);
        assert_eq!(file.location(&file.stages[0].instructions[1]).line, 6);
    }

    #[test]
    fn each_pair_knows_its_own_line() {
        let text = "FROM a\r\nLABEL \"one two\"='x y' \\\r\n  # c\r\n  b=\"p \\\r\n q\" c=\r\nENV old the rest\r\n";
        let file = Dockerfile::parse("D", text).unwrap();
        let [label, env] = &file.stages[0].instructions[..] else {
            panic!()
        };
        let lines: Vec<u32> = label
            .pairs()
            .iter()
            .map(|p| file.word_location(&p.key).line)
            .collect();
        assert_eq!(lines, [2, 4, 5]);
        assert_eq!(label.pairs()[0].key.text, "\"one two\"");
        assert_eq!(env.pairs()[0].value.as_deref(), Some("the rest"));
        let at = file.location(label);
        assert_eq!((at.line, at.end_line), (2, 5));
    }

    fn spans(instruction: &Instruction, out: &mut Vec<std::ops::Range<usize>>) {
        out.push(instruction.span.clone());
        match &instruction.arguments {
            Arguments::From { image, name } => {
                out.push(image.span.clone());
                out.extend(name.iter().map(|n| n.span.clone()));
            }
            Arguments::Pairs(pairs) => out.extend(pairs.iter().map(|p| p.key.span.clone())),
            Arguments::Copy {
                sources,
                destination,
            } => {
                out.extend(sources.iter().map(|s| s.span.clone()));
                out.push(destination.span.clone());
            }
            Arguments::Words(words) => out.extend(words.iter().map(|w| w.span.clone())),
            Arguments::Text(word) => out.push(word.span.clone()),
            Arguments::Onbuild(inner) => spans(inner, out),
            Arguments::Exec(_) => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn arbitrary_text_never_panics_and_spans_lie_inside(
            text in proptest::collection::vec(
                prop_oneof![
                    "(?s).{0,12}",
                    proptest::sample::select(vec![
                        "FROM a AS b\n", "FROM scratch\n", "LABEL a=b \\\n", "COPY ", "RUN cat <<EOF\n",
                        "EOF\n", "\\\n", "# x\n", "\r\n", "ENV A=${A:-b}$A ", "USER ", "ONBUILD ", "[\"a\"]",
                        "é", "'", "\"", "ARG X=1\n", "RUN ", "--from=b ", "/licenses ", "`", " \\ \n",
                    ]).prop_map(str::to_owned),
                ],
                0..40,
            )
        ) {
            let text = text.concat();
            let (file, faults) = Dockerfile::read("D", &text);
            let lines = u32::try_from(text.split('\n').count()).unwrap();
            for fault in &faults {
                prop_assert!(fault.location.line >= 1 && fault.location.end_line <= lines);
            }
            prop_assert!(file.is_some() || !faults.is_empty());
            if let Some(file) = file {
                let mut all = Vec::new();
                for stage in &file.stages {
                    spans(&stage.from, &mut all);
                    stage.instructions.iter().for_each(|i| spans(i, &mut all));
                }
                for span in all {
                    prop_assert!(file.text().get(span.clone()).is_some(), "{:?}", span);
                }
                let _ = super::super::lints(&file);
                for target in [None, Some("b"), Some("0")] {
                    let _ = file.resolve(target, &indexmap::IndexMap::new());
                }
            }
        }
    }
}
