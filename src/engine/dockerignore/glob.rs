//! Go's `filepath.Match`: decides which patterns are malformed, and matches single path components.

/// What `filepath.Match` finds wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GlobError {
    /// nothing after the last backslash
    #[error("backslash at the end")]
    TrailingBackslash,
    /// `[` without its `]`, an empty class, or a `-` out of place
    #[error("character class is not closed or has a misplaced `-` or `]`")]
    Class,
}

/// Does all of `name` match `pattern`? `*` and `?` stop at `/`. As in Go, a fault behind the place
/// where the match is decided goes unnoticed.
pub(crate) fn glob_match(pattern: &str, name: &str) -> Result<bool, GlobError> {
    let mut pattern = pattern.as_bytes();
    let mut name = name.as_bytes();
    'pattern: while !pattern.is_empty() {
        let (star, chunk, rest) = scan_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Ok(!name.contains(&b'/'));
        }
        if let Some(left) = match_chunk(chunk, name)?
            && (left.is_empty() || !pattern.is_empty())
        {
            name = left;
            continue;
        }
        if star {
            for skip in 0..name.len() {
                if name[skip] == b'/' {
                    break;
                }
                if let Some(left) = match_chunk(chunk, &name[skip + 1..])? {
                    if pattern.is_empty() && !left.is_empty() {
                        continue;
                    }
                    name = left;
                    continue 'pattern;
                }
            }
        }
        return Ok(false);
    }
    Ok(name.is_empty())
}

/// Leading stars, the piece up to the next star, and the rest.
fn scan_chunk(pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
    let pattern = &pattern[stars..];
    let mut in_class = false;
    let mut at = 0;
    while at < pattern.len() {
        match pattern[at] {
            b'\\' => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => break,
            _ => {}
        }
        at += 1;
    }
    let (chunk, rest) = pattern.split_at(at.min(pattern.len()));
    (stars > 0, chunk, rest)
}

/// What is left of `text` behind `chunk`; the chunk's syntax is checked to its end in any case.
fn match_chunk<'t>(mut chunk: &[u8], mut text: &'t [u8]) -> Result<Option<&'t [u8]>, GlobError> {
    let mut failed = false;
    while let Some((&op, rest)) = chunk.split_first() {
        failed = failed || text.is_empty();
        match op {
            b'[' => {
                let mut c = None;
                if !failed {
                    let (first, length) = decode(text);
                    c = Some(first);
                    text = &text[length..];
                }
                let (matched, behind) = match_class(rest, c)?;
                failed = failed || !matched;
                chunk = behind;
            }
            b'?' => {
                if !failed {
                    failed = text[0] == b'/';
                    text = &text[decode(text).1..];
                }
                chunk = rest;
            }
            _ => {
                let (literal, behind) = if op == b'\\' {
                    let (first, behind) = rest.split_first().ok_or(GlobError::TrailingBackslash)?;
                    (*first, behind)
                } else {
                    (op, rest)
                };
                if !failed {
                    failed = text[0] != literal;
                    text = &text[1..];
                }
                chunk = behind;
            }
        }
    }
    Ok((!failed).then_some(text))
}

/// Reads a class from behind its `[`; is `c` in it?
fn match_class(chunk: &[u8], c: Option<char>) -> Result<(bool, &[u8]), GlobError> {
    let (negated, mut chunk) = match chunk.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, chunk),
    };
    let mut matched = false;
    let mut ranges = 0;
    loop {
        if ranges > 0
            && let Some(rest) = chunk.strip_prefix(b"]")
        {
            return Ok((matched != negated, rest));
        }
        let (low, rest) = class_char(chunk)?;
        let (high, rest) = match rest.strip_prefix(b"-") {
            Some(rest) => class_char(rest)?,
            None => (low, rest),
        };
        matched = matched || c.is_some_and(|c| low <= c && c <= high);
        chunk = rest;
        ranges += 1;
    }
}

fn class_char(chunk: &[u8]) -> Result<(char, &[u8]), GlobError> {
    let chunk = match chunk.first() {
        None | Some(b'-' | b']') => return Err(GlobError::Class),
        Some(b'\\') => &chunk[1..],
        Some(_) => chunk,
    };
    if chunk.is_empty() {
        return Err(GlobError::Class);
    }
    let (c, length) = decode(chunk);
    let rest = &chunk[length..];
    if (c == char::REPLACEMENT_CHARACTER && length == 1) || rest.is_empty() {
        return Err(GlobError::Class);
    }
    Ok((c, rest))
}

/// The first character and its length; a byte that is not UTF-8 counts as U+FFFD of length 1. A star
/// skips bytes, so that `text` may start within a character.
fn decode(text: &[u8]) -> (char, usize) {
    let head = &text[..text.len().min(4)];
    match head
        .utf8_chunks()
        .next()
        .and_then(|chunk| chunk.valid().chars().next())
    {
        Some(c) => (c, c.len_utf8()),
        None => (char::REPLACEMENT_CHARACTER, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::{GlobError, glob_match};

    #[test]
    fn components_match_as_in_go() {
        for (pattern, name, expected) in [
            ("a*", "abc", Ok(true)),
            ("a*", "ab/c", Ok(false)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Ok(true)),
            ("[^a]", "ä", Ok(true)),
            ("[a-c]d", "bd", Ok(true)),
            ("a\\*b", "a*b", Ok(true)),
            ("[", "a", Err(GlobError::Class)),
            ("[]a]", "a", Err(GlobError::Class)),
            ("[-]", "-", Err(GlobError::Class)),
            ("a\\", "a", Err(GlobError::TrailingBackslash)),
            ("b*a[", "x", Ok(false)),
        ] {
            assert_eq!(glob_match(pattern, name), expected, "{pattern} {name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_matched_without_a_panic(pattern in "\\PC{0,12}", name in "\\PC{0,12}") {
            let _ = glob_match(&pattern, &name);
        }
    }
}
