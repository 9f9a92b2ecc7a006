//! `$NAME`, `${NAME}`, `${NAME:-word}` and `${NAME:+word}` in a `FROM`, with the values that are
//! known before the build.

use indexmap::IndexMap;

/// Defaults within defaults deeper than this are left out: a Dockerfile must not exhaust the stack.
const DEPTH: usize = 32;

/// Replaces variables; one that is not known becomes empty, as the engine does.
pub(crate) fn expand(text: &str, known: &IndexMap<String, String>) -> String {
    within(text, known, DEPTH)
}

fn within(text: &str, known: &IndexMap<String, String>, depth: usize) -> String {
    if depth == 0 {
        return String::new();
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(inside) = after.strip_prefix('{') {
            let (body, after) = split_brace(inside);
            out.push_str(&braced(body, known, depth - 1));
            rest = after;
            continue;
        }
        let end = after.find(|c: char| !is_name(c)).unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        if name.is_empty() {
            out.push('$');
        }
        out.push_str(known.get(name).map_or("", String::as_str));
        rest = after;
    }
    out.push_str(rest);
    out
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What is inside the brace that closes, and what follows; nested braces belong inside.
fn split_brace(text: &str) -> (&str, &str) {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (&text[..at], &text[at + 1..]);
        }
    }
    (text, "")
}

fn braced(body: &str, known: &IndexMap<String, String>, depth: usize) -> String {
    let end = body
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(body.len());
    let (name, operation) = body.split_at(end);
    let value = known.get(name);
    let filled = value.filter(|value| !value.is_empty());
    if let Some(word) = operation.strip_prefix(":-") {
        return filled
            .cloned()
            .unwrap_or_else(|| within(word, known, depth));
    }
    if let Some(word) = operation.strip_prefix('-') {
        return value.cloned().unwrap_or_else(|| within(word, known, depth));
    }
    if let Some(word) = operation.strip_prefix(":+") {
        return filled
            .map(|_| within(word, known, depth))
            .unwrap_or_default();
    }
    value.cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::expand;

    #[test]
    fn variables_are_replaced_as_the_engine_does() {
        let known: IndexMap<String, String> = [("A", "1"), ("EMPTY", "")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        for (text, expanded) in [
            ("plain", "plain"),
            ("x:$A", "x:1"),
            ("x:${A}-y", "x:1-y"),
            ("${B:-r.example.com/u}:$A", "r.example.com/u:1"),
            ("${EMPTY:-d}${EMPTY-e}", "d"),
            ("${A:+set}${EMPTY:+set}", "set"),
            ("${B:-${A}}", "1"),
            ("$B", ""),
            ("${A", "1"),
            ("a$", "a$"),
        ] {
            assert_eq!(expand(text, &known), expanded, "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded_by_the_text() {
        let deep = "${A:-".repeat(200_000);
        assert_eq!(expand(&deep, &IndexMap::new()), "");
    }
}
