//! A logical line to an instruction, as BuildKit's line parsers take it.

use std::ops::Range;

use super::{
    fault::ParseFault,
    instruction::{Arguments, Flag, Instruction, Keyword, Pair},
    lines::LogicalLine,
    source::Source,
    words::{self, Word},
};

/// What cannot be a trigger.
const NO_TRIGGER: [Keyword; 3] = [Keyword::Onbuild, Keyword::From, Keyword::Maintainer];

/// Reads a logical line.
pub(super) fn parse(
    source: &Source,
    line: &LogicalLine,
    escape: char,
) -> Result<Instruction, ParseFault> {
    Reader {
        source,
        line,
        escape,
    }
    .instruction(0)
}

struct Reader<'a> {
    source: &'a Source,
    line: &'a LogicalLine,
    escape: char,
}

impl Reader<'_> {
    fn instruction(&self, from: usize) -> Result<Instruction, ParseFault> {
        let text = &self.line.text;
        let start = self.skip_space(from);
        let end = text
            .get(start..)
            .and_then(|rest| rest.find(char::is_whitespace))
            .map_or(text.len(), |length| start + length);
        let name = text.get(start..end).unwrap_or("");
        let Some(keyword) = Keyword::parse(name) else {
            return Err(self.fault(
                start..end,
                format!("unknown instruction `{name}`"),
                "write one of the instructions of the Dockerfile reference, or end the line \
                 before it by a continuation character",
            ));
        };
        let (flags, rest) = self.flags(keyword, end)?;
        let arguments = self.arguments(keyword, start, rest)?;
        let span = self.line.raw(start..text.len());
        Ok(Instruction {
            keyword,
            span: span.start..self.line.span.end,
            code: text.get(start..).unwrap_or("").trim().to_owned(),
            flags,
            arguments,
            heredocs: self.line.heredocs.clone(),
        })
    }

    fn skip_space(&self, from: usize) -> usize {
        let rest = self.line.text.get(from..).unwrap_or("");
        from + (rest.len() - rest.trim_start().len())
    }

    fn flags(&self, keyword: Keyword, from: usize) -> Result<(Vec<Flag>, usize), ParseFault> {
        let (mut flags, mut rest) = (Vec::new(), self.skip_space(from));
        if keyword == Keyword::Onbuild {
            return Ok((flags, rest));
        }
        for word in words::split(&self.line.text, rest, self.escape) {
            let Some(flag) = word.text.strip_prefix("--") else {
                break;
            };
            rest = self.skip_space(word.span.end);
            if flag.is_empty() {
                break;
            }
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            if !keyword.flags().contains(&name) {
                return Err(self.fault(
                    word.span,
                    format!("{keyword} has no flag --{name}"),
                    "take the flag away, or put the command into a JSON array",
                ));
            }
            flags.push(Flag {
                name: name.to_owned(),
                value,
            });
        }
        Ok((flags, rest))
    }

    fn arguments(
        &self,
        keyword: Keyword,
        start: usize,
        from: usize,
    ) -> Result<Arguments, ParseFault> {
        let text = self.line.text.get(from..).unwrap_or("").trim_end();
        // A shell without a command, as BuildKit has it.
        let may_be_empty = matches!(keyword, Keyword::Cmd | Keyword::Entrypoint | Keyword::Run);
        if text.is_empty() && !may_be_empty {
            return Err(self.fault(
                start..self.line.text.trim_end().len(),
                format!("{keyword} has no argument"),
                "give it one, or take the line away",
            ));
        }
        let whole = Word {
            text: text.to_owned(),
            span: self.line.raw(from..from + text.len()),
        };
        match keyword {
            Keyword::From => self.from(from),
            Keyword::Arg | Keyword::Env | Keyword::Label => self.pairs(keyword, from),
            Keyword::Add | Keyword::Copy => self.copy(keyword, &whole, from),
            Keyword::Run | Keyword::Cmd | Keyword::Entrypoint => {
                Ok(words::json(text).map_or(Arguments::Text(whole), Arguments::Exec))
            }
            Keyword::Volume | Keyword::Expose => Ok(words::json(text).map_or_else(
                || Arguments::Words(self.placed(words::split_plain(&self.line.text, from))),
                Arguments::Exec,
            )),
            Keyword::Shell => words::json(text).map(Arguments::Exec).ok_or_else(|| {
                self.fault(
                    from..from + text.len(),
                    "SHELL takes a JSON array of strings alone",
                    "write it as [\"program\", \"argument\"]",
                )
            }),
            Keyword::Onbuild => self.onbuild(from, whole),
            Keyword::Healthcheck
            | Keyword::Maintainer
            | Keyword::Stopsignal
            | Keyword::User
            | Keyword::Workdir => Ok(Arguments::Text(whole)),
        }
    }

    fn from(&self, from: usize) -> Result<Arguments, ParseFault> {
        let mut found = self
            .placed(words::split_plain(&self.line.text, from))
            .into_iter();
        let (image, by, name) = (found.next(), found.next(), found.next());
        let more = found.next();
        match (image, by, name, more) {
            (Some(image), None, _, _) => Ok(Arguments::From { image, name: None }),
            (Some(image), Some(by), Some(name), None) if by.text.eq_ignore_ascii_case("as") => {
                Ok(Arguments::From {
                    image,
                    name: Some(name),
                })
            }
            _ => Err(self.fault(
                from..self.line.text.trim_end().len(),
                "FROM takes `image` or `image AS name`",
                "write FROM image [AS name], and comments on lines of their own",
            )),
        }
    }

    fn pairs(&self, keyword: Keyword, from: usize) -> Result<Arguments, ParseFault> {
        let found = words::split(&self.line.text, from, self.escape);
        let old_form =
            keyword != Keyword::Arg && found.first().is_some_and(|word| !word.text.contains('='));
        if old_form {
            return self.old_pair(keyword, &found);
        }
        let mut pairs = Vec::with_capacity(found.len());
        for word in found {
            let (key, value) = match word.text.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (word.text.clone(), None),
            };
            if key.is_empty() || (value.is_none() && keyword != Keyword::Arg) {
                return Err(self.fault(
                    word.span,
                    format!("`{}` in {keyword} is not of the form key=value", word.text),
                    "put values with spaces into quotes",
                ));
            }
            let span = word.span.start..word.span.start + key.len();
            pairs.push(Pair {
                key: Word {
                    text: key,
                    span: self.line.raw(span),
                },
                value,
            });
        }
        Ok(Arguments::Pairs(pairs))
    }

    /// `ENV key the rest`: one pair, no `=`.
    fn old_pair(&self, keyword: Keyword, found: &[Word]) -> Result<Arguments, ParseFault> {
        let begin = found.first().map_or(0, |word| word.span.start);
        let rest = self.line.text.get(begin..).unwrap_or("").trim_end();
        // Quotes do not keep the key together here.
        let white = |c: char| matches!(c, ' ' | '\t' | '\u{b}' | '\u{c}' | '\r');
        let Some((key, value)) = rest.split_once(white) else {
            return Err(self.fault(
                0..self.line.text.trim_end().len(),
                format!("{keyword} needs a key and a value"),
                "write key=value",
            ));
        };
        Ok(Arguments::Pairs(vec![Pair {
            key: Word {
                span: self.line.raw(begin..begin + key.len()),
                text: key.to_owned(),
            },
            value: Some(value.trim_start_matches(white).to_owned()),
        }]))
    }

    fn copy(&self, keyword: Keyword, whole: &Word, from: usize) -> Result<Arguments, ParseFault> {
        let mut sources = match words::json(&whole.text) {
            Some(list) => list
                .into_iter()
                .map(|text| Word {
                    text,
                    span: whole.span.clone(),
                })
                .collect(),
            None => self.placed(words::split_plain(&self.line.text, from)),
        };
        match sources.pop() {
            Some(destination) if !sources.is_empty() => Ok(Arguments::Copy {
                sources,
                destination,
            }),
            _ => Err(self.fault(
                from..self.line.text.trim_end().len(),
                format!("{keyword} needs at least one source and a destination"),
                "name the source and the destination",
            )),
        }
    }

    fn onbuild(&self, from: usize, whole: Word) -> Result<Arguments, ParseFault> {
        let mut words = whole.text.split_whitespace();
        let keyword = words.next().and_then(Keyword::parse);
        let bare = words.next().is_none();
        let inner = match (keyword, bare) {
            // BuildKit does not look at a trigger until it is pulled.
            (None, _) => return Ok(Arguments::Text(whole)),
            (Some(keyword), true) if !NO_TRIGGER.contains(&keyword) => {
                return Ok(Arguments::Text(whole));
            }
            (Some(keyword), true) => return Err(self.no_trigger(keyword, from)),
            (Some(keyword), false) if self.flags(keyword, from + keyword.name().len()).is_err() => {
                return Ok(Arguments::Text(whole));
            }
            (Some(_), false) => self.instruction(from)?,
        };
        if NO_TRIGGER.contains(&inner.keyword) {
            return Err(self.no_trigger(inner.keyword, from));
        }
        Ok(Arguments::Onbuild(Box::new(inner)))
    }

    fn no_trigger(&self, keyword: Keyword, from: usize) -> ParseFault {
        self.fault(
            from..self.line.text.trim_end().len(),
            format!("ONBUILD {keyword} is not allowed"),
            "put the instruction into the Dockerfile that builds on this image",
        )
    }

    /// From places in the logical line to places in the file.
    fn placed(&self, words: Vec<Word>) -> Vec<Word> {
        let place = |word: Word| Word {
            span: self.line.raw(word.span),
            text: word.text,
        };
        words.into_iter().map(place).collect()
    }

    fn fault(
        &self,
        range: Range<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ParseFault {
        ParseFault::at(self.source, self.line.raw(range), message, remedy)
    }
}
