//! Physical lines to logical lines as BuildKit's parser joins them: directives, continuations,
//! comments and empty lines inside them, here-documents. What a line means is not decided here.

use std::ops::Range;

use super::{fault::ParseFault, heredoc::openings, source::Source};

/// A logical line: one instruction with everything that belongs to it.
#[derive(Debug, Clone)]
pub(super) struct LogicalLine {
    /// the joined text, continuation characters and comments taken out
    pub(super) text: String,
    /// where each piece of `text` lies in the file
    pieces: Vec<Piece>,
    /// bytes of the file from the first character to the end, here-documents included
    pub(super) span: Range<usize>,
    /// here-documents, in order
    pub(super) heredocs: Vec<Heredoc>,
    /// an instruction that a dangling continuation swallowed (or would have)
    pub(super) swallowed: Option<Swallowed>,
    /// physical line (from 0) whose continuation leads to the end of the file
    pub(super) open_end: Option<usize>,
    /// physical lines (from 0) that are empty inside a continuation
    pub(super) empty_lines: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Piece {
    /// offset in `text`
    at: usize,
    /// offset in the file
    raw: usize,
}

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// delimiter
    pub name: String,
    /// variables are expanded: the delimiter was not quoted
    pub expand: bool,
    /// leading tabs are taken off: `<<-`
    pub chomp: bool,
    /// the text between the delimiters
    pub content: String,
    /// the same with its tabs and line endings as they stand in the file
    pub raw: String,
}

/// An instruction that the continuation of the one before it swallowed.
#[derive(Debug, Clone)]
pub(super) struct Swallowed {
    /// physical line (from 0) that ends in the continuation
    pub(super) after: usize,
    /// physical line (from 0) of the instruction
    pub(super) line: usize,
    /// its keyword
    pub(super) keyword: String,
    /// the file cannot mean this: the instruction was taken as one of its own
    pub(super) split: bool,
}

impl LogicalLine {
    /// Bytes of the file that a range of `text` comes from.
    pub(super) fn raw(&self, range: Range<usize>) -> Range<usize> {
        let start = self.raw_offset(range.start);
        let end = if range.end > range.start {
            self.raw_offset(range.end - 1) + 1
        } else {
            start
        };
        start..end.max(start)
    }

    fn raw_offset(&self, offset: usize) -> usize {
        let index = self.pieces.partition_point(|piece| piece.at <= offset);
        index
            .checked_sub(1)
            .and_then(|index| self.pieces.get(index))
            .map_or(self.span.start, |piece| piece.raw + (offset - piece.at))
    }
}

/// How far the end of a here-document that was opened wrongly is looked for, in lines.
const SPACED_LOOK_AHEAD: usize = 1000;
/// Instructions longer than this, in bytes, are not searched for swallowed ones.
const MAX_SEARCHED: usize = 16 << 10;

const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Joins the lines of a file. Faults are here-documents without an end and instructions that a
/// dangling continuation swallows.
pub(super) fn join(source: &Source, escape: char) -> (Vec<LogicalLine>, Vec<ParseFault>) {
    let mut joiner = Joiner {
        source,
        escape,
        next: 0,
        faults: Vec::new(),
    };
    let mut lines = Vec::new();
    while let Some(line) = joiner.logical_line() {
        lines.push(line);
    }
    (lines, joiner.faults)
}

struct Joiner<'a> {
    source: &'a Source,
    escape: char,
    next: usize,
    faults: Vec<ParseFault>,
}

impl Joiner<'_> {
    fn logical_line(&mut self) -> Option<LogicalLine> {
        loop {
            let index = self.next;
            let text = self.source.line(index)?;
            self.next += 1;
            let trimmed = text.trim_start();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let raw = self.source.line_start(index) + (text.len() - trimmed.len());
            let (body, continues) = self.cut_continuation(trimmed);
            if body.is_empty() && !continues {
                continue;
            }
            let mut line = LogicalLine {
                text: body.to_owned(),
                pieces: vec![Piece { at: 0, raw }],
                span: raw..raw + trimmed.len(),
                heredocs: Vec::new(),
                swallowed: None,
                open_end: None,
                empty_lines: Vec::new(),
            };
            if continues {
                self.continuation(&mut line, index);
            }
            self.heredocs(&mut line);
            return Some(line);
        }
    }

    fn continuation(&mut self, line: &mut LogicalLine, mut last: usize) {
        let mut gap = false;
        loop {
            let index = self.next;
            let Some(text) = self.source.line(index) else {
                line.open_end = Some(last);
                return;
            };
            let trimmed = text.trim_start();
            if trimmed.starts_with('#') || trimmed.is_empty() {
                if trimmed.is_empty() {
                    line.empty_lines.push(index);
                }
                gap = true;
                self.next += 1;
                continue;
            }
            if line.swallowed.is_none()
                && let Some(swallowed) = swallowed(&line.text, trimmed, (last, index), gap)
            {
                let split = swallowed.split;
                if split {
                    self.faults
                        .push(ParseFault::dangling(self.source, &line.text, &swallowed));
                }
                line.swallowed = Some(swallowed);
                if split {
                    return;
                }
            }
            self.next += 1;
            let (body, continues) = self.cut_continuation(text);
            line.pieces.push(Piece {
                at: line.text.len(),
                raw: self.source.line_start(index),
            });
            line.text.push_str(body);
            line.span.end = self.source.line_start(index) + text.len();
            if !continues {
                return;
            }
            (last, gap) = (index, false);
        }
    }

    /// The line without its continuation character, and whether it had one.
    fn cut_continuation<'t>(&self, line: &'t str) -> (&'t str, bool) {
        let end = line.trim_end_matches([' ', '\t']);
        match end.strip_suffix(self.escape) {
            Some(body) if !body.ends_with(self.escape) => (body, true),
            _ => (line, false),
        }
    }

    fn heredocs(&mut self, line: &mut LogicalLine) {
        for (start, mut heredoc) in openings(&line.text) {
            loop {
                let index = self.next;
                let Some(text) = self.source.line(index) else {
                    let at = line.raw(start.clone());
                    self.faults.push(ParseFault::at(
                        self.source,
                        at,
                        format!("here-document `{}` has no end", heredoc.name),
                        format!("end it by a line that holds nothing but {}", heredoc.name),
                    ));
                    return;
                };
                self.next += 1;
                line.span.end = self.source.line_start(index) + text.len();
                let whole = self.source.whole_line(index);
                let text = if heredoc.chomp {
                    text.trim_start_matches('\t')
                } else {
                    text
                };
                if text == heredoc.name {
                    break;
                }
                heredoc.content.push_str(text);
                heredoc.content.push('\n');
                heredoc.raw.push_str(whole);
            }
            line.heredocs.push(heredoc);
        }
        self.spaced_heredoc(line);
    }

    /// `<<- EOF`: the space keeps it from being a here-document, so that the lines behind it are
    /// read as instructions. Told once, and the lines are left out, when an end does follow.
    fn spaced_heredoc(&mut self, line: &LogicalLine) {
        let words = super::words::split(&line.text, 0, self.escape);
        let of_run = words
            .first()
            .is_some_and(|word| word.text.eq_ignore_ascii_case("RUN"));
        let opening = words.windows(2).find_map(|pair| match pair {
            [arrows, name] if arrows.text == "<<-" => Some((arrows, name)),
            _ => None,
        });
        let Some((arrows, name)) = opening.filter(|_| of_run) else {
            return;
        };
        let delimiter = name.text.trim_matches(['"', '\'']);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = (self.next..self.next + SPACED_LOOK_AHEAD)
            .map_while(|index| Some((index, self.source.line(index)?)))
            .find(|(_, text)| text.trim_start_matches('\t') == delimiter);
        let (Some((end, _)), true) = (end, delimiter.chars().all(plain)) else {
            return;
        };
        self.next = end + 1;
        self.faults.push(ParseFault::at(
            self.source,
            line.raw(arrows.span.start..name.span.end),
            format!(
                "`{} {}` opens no here-document, so the lines behind it are taken as instructions",
                arrows.text, name.text
            ),
            format!("write {}{} without a space", arrows.text, name.text),
        ));
    }
}

/// Whether a line that a continuation leads to is an instruction that was not meant to be part of
/// the one before: an upper-case keyword with arguments, outside quotes.
fn swallowed(
    before: &str,
    line: &str,
    (after, index): (usize, usize),
    gap: bool,
) -> Option<Swallowed> {
    let (keyword, rest) = line.split_once([' ', '\t'])?;
    if !KEYWORDS.contains(&keyword)
        || rest.trim().is_empty()
        || before.len() > MAX_SEARCHED
        || in_quotes(before)
    {
        return None;
    }
    let first = before.split_whitespace().next()?.to_ascii_uppercase();
    let natural = match first.as_str() {
        "ONBUILD" => before.split_whitespace().nth(1).is_none(),
        "HEALTHCHECK" => keyword == "CMD" && !before.contains(" CMD"),
        _ => false,
    };
    if natural || !KEYWORDS.contains(&first.as_str()) {
        return None;
    }
    let ending = before.trim_end();
    let broken_off = ["&&", "||", ";", "|"].iter().any(|op| ending.ends_with(op));
    Some(Swallowed {
        after,
        line: index,
        keyword: keyword.to_owned(),
        split: first != "RUN" || (broken_off && (gap || keyword != "FROM")),
    })
}

fn in_quotes(text: &str) -> bool {
    let (mut quote, mut escaped) = (None, false);
    for c in text.chars() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('"') | None, '\\') => escaped = true,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), close) if open == close => quote = None,
            _ => {}
        }
    }
    quote.is_some()
}

#[cfg(test)]
mod tests {
    use super::{super::source::Source, LogicalLine, join};

    fn lines(text: &str) -> Vec<LogicalLine> {
        let (lines, faults) = join(&Source::new("Dockerfile", text), '\\');
        assert!(faults.is_empty(), "{faults:?}");
        lines
    }

    #[test]
    fn comments_and_empty_lines_inside_a_continuation_are_left_out() {
        let found = lines("LABEL a=1 \\\n  # no\n\n  b=2\\\n c=3\nUSER 1\n");
        let texts: Vec<&str> = found.iter().map(|l| l.text.as_str()).collect();
        assert_eq!(texts, ["LABEL a=1   b=2 c=3", "USER 1"]);
        assert_eq!(found[0].empty_lines, [2]);
        let b = found[0].text.find("b=2").unwrap();
        assert_eq!(found[0].raw(b..b + 3), 22..25);
    }

    #[test]
    fn an_escaped_backslash_and_text_behind_it_do_not_continue() {
        assert_eq!(lines("RUN a \\\\\nRUN b\\ c\n").len(), 2);
        assert_eq!(lines("RUN a \\ \t\n  b\n").len(), 1);
    }

    #[test]
    fn heredocs_belong_to_their_instruction_wherever_they_open() {
        let found = lines("RUN cat <<A > /x && cat <<-'B'\nUSER 0\nA\n\t$x\n\tB\nUSER 1\n");
        assert_eq!(found.len(), 2);
        let [a, b] = &found[0].heredocs[..] else {
            panic!("{found:?}")
        };
        assert_eq!((a.content.as_str(), a.expand), ("USER 0\n", true));
        assert_eq!((b.content.as_str(), b.expand), ("$x\n", false));
        assert_eq!(
            lines("RUN cat <<< \"A\"\nRUN echo \"<<A\"\nLABEL x=<<A\n").len(),
            3
        );
    }

    #[test]
    fn a_swallowed_instruction_is_told_from_text_that_looks_like_one() {
        for (text, want) in [
            ("LABEL a=b \\\n\n# c\nCOPY x /y\n", Some((0, 3, true))),
            ("RUN a && \\\n# c\nRUN b\n", Some((0, 2, true))),
            ("RUN a \\\nCOPY x /y\n", Some((0, 1, false))),
            ("CMD [\"x\"] \\\nUSER 1\n", Some((0, 1, true))),
            ("HEALTHCHECK --interval=3s \\\n CMD true\n", None),
            ("ONBUILD \\\n RUN x\n", None),
            ("RUN q \"SELECT a \\\n FROM b\"\n", None),
            ("RUN yum install \\\n user\n", None),
            ("LABEL a=b \\\n c=d\n", None),
        ] {
            let (found, _) = join(&Source::new("Dockerfile", text), '\\');
            let got = found[0]
                .swallowed
                .as_ref()
                .map(|s| (s.after, s.line, s.split));
            assert_eq!(got, want, "{text:?}");
        }
    }

    #[test]
    fn a_continuation_that_leads_to_the_end_is_noticed() {
        assert_eq!(lines("USER 1 \\\n# end\n")[0].open_end, Some(0));
        assert_eq!(lines("USER 1\n")[0].open_end, None);
    }
}
