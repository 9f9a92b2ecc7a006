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
    json_list(text)?
        .into_iter()
        .map(|value| match value {
            serde_json::Value::String(text) => Some(text),
            _ => None,
        })
        .collect()
}

/// The elements of a JSON array, if the text is one. Half a surrogate pair is U+FFFD, as Go reads it.
pub fn json_list(text: &str) -> Option<Vec<serde_json::Value>> {
    let text = text.trim();
    if !text.starts_with('[') {
        return None;
    }
    serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(&paired(text)))
        .ok()
}

/// JSON with `\ufffd` for each half of a surrogate pair that stands alone.
fn paired(text: &str) -> String {
    let code = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let length = match (c, code(at)) {
            ('\\', Some(0xd800..0xdc00)) if matches!(code(at + 6), Some(0xdc00..0xe000)) => 12,
            ('\\', Some(0xd800..0xe000)) => {
                out.push_str("\\ufffd");
                at += 6;
                continue;
            }
            ('\\', _) => 1 + text.get(at + 1..).map_or(0, first_length),
            _ => c.len_utf8(),
        };
        out.push_str(text.get(at..at + length).unwrap_or_default());
        at += length;
    }
    out
}

fn first_length(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
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
        let halves = r#"["\ud83d\ude00\ud800", "\udc00x\\ud800"]"#;
        let whole = vec!["\u{1f600}\u{fffd}".into(), "\u{fffd}x\\ud800".into()];
        assert_eq!(json(halves), Some(whole));
        for shell in ["[ -e x ]", "['a']", "[1]", "echo", "[\"a\"] x"] {
            assert_eq!(json(shell), None, "{shell}");
        }
    }
}
