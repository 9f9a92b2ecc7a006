//! Which here-documents a line opens: BuildKit takes the line apart as its shell lexer does, with
//! quotes and escapes kept, and looks for `<<` at the beginning of the words.

use std::{iter::Peekable, ops::Range, str::CharIndices};

use super::lines::Heredoc;

/// Nesting of `${a:-${b}}` beyond this opens nothing.
const MAX_DEPTH: usize = 64;

/// A word of a line, quotes and escapes kept, and where it is.
type Words = Vec<(Range<usize>, String)>;

/// The here-documents that an `ADD`, `COPY` or `RUN` line opens, with the range of the opening.
pub(super) fn openings(text: &str) -> Vec<(Range<usize>, Heredoc)> {
    if !text.contains("<<") {
        return Vec::new();
    }
    let mut keywords = text.split_whitespace().map(str::to_ascii_uppercase);
    let mut keyword = keywords.next();
    if keyword.as_deref() == Some("ONBUILD") {
        keyword = keywords.next();
    }
    if !matches!(keyword.as_deref(), Some("ADD" | "COPY" | "RUN")) {
        return Vec::new();
    }
    let mut lexer = Lexer::new(text);
    // A line that cannot be taken apart opens nothing.
    let words = lexer.words().unwrap_or_default();
    words
        .into_iter()
        .filter_map(|(span, word)| Some((span, opening(&word)?)))
        .collect()
}

/// `<<NAME`, `<<-NAME`, `3<<"NAME"`, `<< NAME`; never `<<<`.
pub(super) fn opening(word: &str) -> Option<Heredoc> {
    let rest = word
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .strip_prefix("<<")?;
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let (name, quotes) = unquoted(rest)?;
    Some(Heredoc {
        expand: quotes == 0,
        name,
        chomp,
        content: String::new(),
        raw: String::new(),
    })
}

/// A name with its quotes and escapes taken off, and how many quotes those were; `None` when it is
/// no single word.
fn unquoted(text: &str) -> Option<(String, usize)> {
    let (mut name, mut quotes, mut quote) = (String::new(), 0, None);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (None, '\'' | '"') => {
                quote = Some(c);
                quotes += 1;
            }
            (Some(open), c) if c == open => {
                quote = None;
                quotes += 1;
            }
            (None, '\\') => name.extend(rest.next()),
            (Some('"'), '\\') => {
                let special = rest.next_if(|next| matches!(next, '"' | '$' | '\\'));
                name.push(special.unwrap_or('\\'));
            }
            (None, c) if c.is_whitespace() => return None,
            (_, c) => name.push(c),
        }
    }
    (quote.is_none() && !name.is_empty()).then_some((name, quotes))
}

struct Lexer<'t> {
    text: &'t str,
    rest: Peekable<CharIndices<'t>>,
}

impl<'t> Lexer<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            rest: text.char_indices().peekable(),
        }
    }

    fn next_if(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        self.rest.next_if(|(_, c)| wanted(*c)).map(|(_, c)| c)
    }

    fn words(&mut self) -> Option<Words> {
        let mut words = Words::new();
        let mut start = None;
        while let Some((at, c)) = self.rest.next() {
            if c.is_whitespace() {
                self.finish(&mut words, &mut start, at);
                continue;
            }
            start.get_or_insert(at);
            match c {
                '\'' | '"' => self.quoted(c)?,
                '\\' => drop(self.rest.next()),
                '$' => self.dollar(0)?,
                // The space behind it belongs to it, so that the name is in the same word.
                '<' if self.next_if(|c| c == '<').is_some() => {
                    while self.next_if(|c| matches!(c, '\t' | '\r' | ' ')).is_some() {}
                }
                _ => {}
            }
        }
        let end = self.text.len();
        self.finish(&mut words, &mut start, end);
        Some(words)
    }

    fn finish(&self, words: &mut Words, start: &mut Option<usize>, end: usize) {
        let Some(begin) = start.take() else { return };
        let word = self.text.get(begin..end).unwrap_or_default();
        words.push((begin..end, word.to_owned()));
    }

    fn quoted(&mut self, quote: char) -> Option<()> {
        loop {
            match self.rest.next()?.1 {
                c if c == quote => return Some(()),
                '\\' if quote == '"' => {
                    let _ = self.next_if(|c| matches!(c, '"' | '$' | '\\'));
                }
                '$' if quote == '"' => self.dollar(0)?,
                _ => {}
            }
        }
    }

    /// Behind a `$`; `None` where BuildKit finds a fault.
    fn dollar(&mut self, depth: usize) -> Option<()> {
        if self.next_if(|c| c == '{').is_none() {
            self.name();
            return Some(());
        }
        if depth > MAX_DEPTH || matches!(self.rest.peek()?.1, '{' | '}' | ':') {
            return None;
        }
        self.name();
        match self.rest.next()?.1 {
            '}' => Some(()),
            ':' => {
                self.next_if(|c| matches!(c, '-' | '+' | '?'))?;
                self.until('}', depth + 1)
            }
            '-' | '+' | '?' | '#' | '%' => self.until('}', depth + 1),
            '/' => {
                let _ = self.next_if(|c| c == '/');
                self.until('/', depth + 1)?;
                self.until('}', depth + 1)
            }
            _ => None,
        }
    }

    fn name(&mut self) {
        let special = |c| matches!(c, '@' | '*' | '#' | '?' | '-' | '$' | '!');
        if self.next_if(special).is_none() {
            while self.next_if(|c| c.is_alphanumeric() || c == '_').is_some() {}
        }
    }

    fn until(&mut self, stop: char, depth: usize) -> Option<()> {
        loop {
            match self.rest.next()?.1 {
                c if c == stop => return Some(()),
                '\\' => drop(self.rest.next()),
                c @ ('\'' | '"') => self.quoted(c)?,
                '$' => self.dollar(depth)?,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::openings;

    fn names(line: &str) -> Vec<String> {
        let found = openings(line).into_iter();
        found.map(|(_, heredoc)| heredoc.name).collect()
    }

    #[test]
    fn lines_open_what_buildkit_says_they_open() {
        for (line, want) in [
            ("RUN <<EOF", vec!["EOF"]),
            ("RUN <<-EOF", vec!["EOF"]),
            ("RUN << EOF cat", vec!["EOF"]),
            ("RUN << -EOF", vec!["-EOF"]),
            ("RUN <<- EOF", vec![]),
            ("RUN <<'EOF' 4<<EOF2", vec!["EOF", "EOF2"]),
            (
                "RUN <<eo'f' <<eo\\'f <<'e'o\\'f",
                vec!["eof", "eo'f", "eo'f"],
            ),
            ("RUN <<'one two'", vec!["one two"]),
            ("RUN <<$EOF", vec!["$EOF"]),
            ("RUN '<<EOF' \"<<EOF\" x<<EOF <<<EOF", vec![]),
            ("RUN echo $(( 1 << 2 ))", vec!["2"]),
            ("RUN echo it's <<EOF", vec![]),
            ("RUN echo ${x^^} <<EOF", vec![]),
            ("RUN echo ${x:-${y}} ${z/a/b} <<EOF", vec!["EOF"]),
            ("ONBUILD COPY <<a <<\"b\" /", vec!["a", "b"]),
            ("CMD <<EOF", vec![]),
            ("RUN <<\"\"", vec![]),
        ] {
            assert_eq!(names(line), want, "{line}");
        }
        let expand: Vec<bool> = openings("RUN <<a <<'b' <<c\"\" <<d\\'e")
            .into_iter()
            .map(|(_, heredoc)| heredoc.expand)
            .collect();
        assert_eq!(expand, [true, false, false, true]);
    }

    proptest! {
        #[test]
        fn any_line_is_taken_apart(text in "RUN [<${}a:/\\\\'\" é-]{0,60}") {
            for (span, _) in openings(&text) {
                prop_assert!(text.get(span).is_some());
            }
        }
    }
}
