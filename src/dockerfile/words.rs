//! Words of a logical line: separated by white space, quotes and escapes kept, as BuildKit's
//! `parseWords` does it; and JSON arrays.

use std::ops::Range;

/// A word as written, quotes and escapes included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// as written
    pub text: String,
    /// where: bytes of the logical line while it is read, of the file afterwards
    pub span: Range<usize>,
}

/// Splits `text` from byte `from` on.
pub(super) fn split(text: &str, from: usize, escape: char) -> Vec<Word> {
    let mut words = Vec::new();
    let (mut start, mut quote, mut escaped) = (None, None, false);
    for (at, c) in text.char_indices().filter(|(at, _)| *at >= from) {
        if quote.is_none() && !escaped && c.is_whitespace() {
            words.extend(start.take().map(|begin| word(text, begin..at)));
            continue;
        }
        start.get_or_insert(at);
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('\''), '\'') => quote = None,
            (Some('\''), _) => {}
            (_, c) if c == escape => escaped = true,
            (Some('"'), '"') => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            _ => {}
        }
    }
    words.extend(start.map(|begin| word(text, begin..text.len())));
    words
}

/// Splits at white space alone, as the arguments of `COPY`, `EXPOSE` and `VOLUME` are.
pub(super) fn split_plain(text: &str, from: usize) -> Vec<Word> {
    let rest = text.get(from..).unwrap_or("");
    rest.split_whitespace()
        .map(|part| {
            let start = from + (part.as_ptr() as usize - rest.as_ptr() as usize);
            word(text, start..start + part.len())
        })
        .collect()
}

fn word(text: &str, span: Range<usize>) -> Word {
    Word {
        text: text.get(span.clone()).unwrap_or("").to_owned(),
        span,
    }
}

/// The strings of a JSON array; `None` when it is none, and the text is then in shell form.
pub(super) fn json(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    text.starts_with('[')
        .then(|| serde_json::from_str(text).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::{json, split, split_plain};

    #[test]
    fn words_keep_their_quotes_and_know_their_place() {
        let found = split("LABEL a=\"b c\" d='e \\' f=g\\ h", 6, '\\');
        let texts: Vec<&str> = found.iter().map(|w| w.text.as_str()).collect();
        assert_eq!(texts, ["a=\"b c\"", "d='e \\'", "f=g\\ h"]);
        assert_eq!(found[1].span, 14..21);
        assert_eq!(split_plain("COPY a  /b", 4)[1].span, 8..10);
        assert!(split("", 0, '\\').is_empty());
    }

    #[test]
    fn only_arrays_of_strings_are_json() {
        assert_eq!(
            json(" [\"a\", \"b c\"] "),
            Some(vec!["a".into(), "b c".into()])
        );
        for shell in ["[ -e x ]", "['a']", "[1]", "echo", "[\"a\"] x"] {
            assert_eq!(json(shell), None, "{shell}");
        }
    }
}
