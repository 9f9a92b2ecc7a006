//! `${name#pattern}`, `${name%pattern}`, `${name/pattern/new}`: shell patterns as `BuildKit` takes
//! them, by regular expressions.

use regex::Regex;

/// Takes a prefix (or suffix) off that matches, the shortest or the longest.
pub(super) fn strip(
    value: &str,
    pattern: &str,
    prefix: bool,
    longest: bool,
) -> Result<String, String> {
    if prefix {
        return Ok(strip_prefix(value, pattern, longest)?.to_owned());
    }
    // A leftmost search finds the shortest suffix only from the other end.
    let value: String = value.chars().rev().collect();
    let rest = strip_prefix(&value, &reversed(pattern), longest)?;
    Ok(rest.chars().rev().collect())
}

fn strip_prefix<'a>(value: &'a str, pattern: &str, longest: bool) -> Result<&'a str, String> {
    let regex = compile(pattern, longest, true)?;
    let end = regex.find(value).map_or(0, |found| found.end());
    Ok(value.get(end..).unwrap_or(""))
}

/// Puts `new` in the place of what matches.
pub(super) fn replace(value: &str, old: &str, new: &str, all: bool) -> Result<String, String> {
    let regex = compile(old, true, false)?;
    Ok(if all {
        regex.replace_all(value, new).into_owned()
    } else {
        regex.replacen(value, 1, regex::NoExpand(new)).into_owned()
    })
}

/// An escaped character stays behind its escape.
fn reversed(pattern: &str) -> String {
    let mut pieces: Vec<String> = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let mut piece = c.to_string();
        if c == '\\' {
            piece.extend(chars.next());
        }
        pieces.push(piece);
    }
    pieces.into_iter().rev().collect()
}

fn compile(pattern: &str, longest: bool, anchored: bool) -> Result<Regex, String> {
    let mut text = String::from(if anchored { "^" } else { "" });
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => text.push_str(if longest { ".*" } else { ".*?" }),
            '?' => text.push('.'),
            // Inside `${}` these two have to be escaped, and the escape is no part of the pattern.
            '\\' if matches!(chars.peek(), Some('}' | '/')) => {}
            '\\' => match chars.next() {
                Some(next @ ('*' | '?' | '\\')) => {
                    text.push('\\');
                    text.push(next);
                }
                next => {
                    let next = next.map(String::from).unwrap_or_default();
                    return Err(format!("the pattern escapes `\\{next}`, which needs none,"));
                }
            },
            c => text.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex::RegexBuilder::new(&text)
        .size_limit(1 << 20)
        .build()
        .map_err(|_| "a pattern is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{replace, strip};

    #[test]
    fn patterns_match_from_either_end() {
        let strip = |value, pattern, prefix, longest| strip(value, pattern, prefix, longest);
        assert_eq!(strip("a.b.c", "*.", true, false).unwrap(), "b.c");
        assert_eq!(strip("a.b.c", ".*", false, true).unwrap(), "a");
        assert_eq!(strip("a*b*", "\\**", false, true).unwrap(), "a");
        assert_eq!(strip("a/b", "*\\/", true, false).unwrap(), "b");
        assert_eq!(strip("é+é", "?", false, false).unwrap(), "é+");
        assert!(strip("a", "\\a", true, false).is_err());
        assert!(strip("a", "a\\", true, false).is_err());
    }

    #[test]
    fn replacing_all_takes_group_references_as_go_does_and_replacing_one_does_not() {
        assert_eq!(replace("a.a", "a", "$0$0", true).unwrap(), "aa.aa");
        assert_eq!(replace("a.a", "a", "$0", false).unwrap(), "$0.a");
        assert_eq!(replace("a+(b", "+(", "|", false).unwrap(), "a|b");
    }
}
