//! The part of Go's regular expressions that patterns turn into, rewritten for the `regex` crate.
//!
//! `patternmatcher` copies character classes and escapes into the expression as they stand. The two
//! dialects read some of them differently (nested classes, `&&`, `\<`, Unicode `\d`), hence nothing
//! is passed through: every class and literal is written out anew. Groups cannot come out of a
//! pattern, except for the one that `**/` becomes.

use std::fmt::Write as _;

use regex::bytes::Regex;

/// Why Go would not take the expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RegexError {
    /// `\q`
    #[error("invalid escape sequence")]
    Escape,
    /// `[` without its `]`
    #[error("missing closing `]`")]
    OpenClass,
    /// `[z-a]`, `[[:nothing:]]`, `\pX`
    #[error("invalid character range")]
    Range,
    /// `{2,1}`, `{1001}`
    #[error("invalid repeat count")]
    Count,
    /// a repetition with nothing to repeat, or a stray parenthesis
    #[error("misplaced `{0}`")]
    Operator(char),
    /// too large once compiled
    #[error("pattern is too large")]
    TooLarge,
}

/// Compiles an expression of Go's dialect.
pub(super) fn compile(expression: &str) -> Result<Regex, RegexError> {
    Regex::new(&translate(expression)?).map_err(|fault| match fault {
        regex::Error::CompiledTooBig(_) => RegexError::TooLarge,
        // All that is handed through unread is the name of a Unicode group.
        _ => RegexError::Range,
    })
}

/// The group that `**/` becomes.
const ANY_DIRECTORIES: &str = "(.*/)?";

/// The largest count Go repeats.
const MAX_REPEAT: u32 = 1000;

/// What stands in front of the next token: decides whether that may repeat it.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Atom,
    Repeat,
}

fn translate(expression: &str) -> Result<String, RegexError> {
    let mut out = String::new();
    let mut rest = expression;
    let mut before = Before::Nothing;
    while let Some(c) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix(ANY_DIRECTORIES) {
            out.push_str("(?:.*/)?");
            rest = behind;
            before = Before::Repeat;
            continue;
        }
        let repeat = parse_repeat(rest)?;
        if let Some((operator, behind)) = repeat {
            if before != Before::Atom {
                return Err(RegexError::Operator(c));
            }
            out.push_str(&operator);
            rest = behind;
            before = Before::Repeat;
            continue;
        }
        let behind = &rest[c.len_utf8()..];
        before = if c == '|' {
            Before::Nothing
        } else {
            Before::Atom
        };
        rest = match c {
            '\\' => translate_escape(rest, &mut out)?,
            '[' => translate_class(rest, &mut out)?,
            '?' | '+' | '(' | ')' => return Err(RegexError::Operator(c)),
            _ => {
                match c {
                    '^' => out.push_str(r"\A"),
                    '$' => out.push_str(r"\z"),
                    '.' | '|' => out.push(c),
                    _ => literal(c, &mut out),
                }
                behind
            }
        };
    }
    Ok(out)
}

/// `*`, `{2}`, `{2,}` or `{2,3}`; braces of another form are text.
fn parse_repeat(rest: &str) -> Result<Option<(String, &str)>, RegexError> {
    if let Some(behind) = rest.strip_prefix('*') {
        return Ok(Some(("*".to_owned(), behind)));
    }
    let Some((counts, behind)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'))
    else {
        return Ok(None);
    };
    let (low, high) = counts.split_once(',').unwrap_or((counts, counts));
    if !is_count(low) || !(high.is_empty() || is_count(high)) {
        return Ok(None);
    }
    let number = |digits: &str| {
        let number: Option<u32> = digits.parse().ok();
        number.filter(|number| *number <= MAX_REPEAT)
    };
    let least = number(low).ok_or(RegexError::Count)?;
    let most = match high {
        "" => None,
        _ => Some(number(high).ok_or(RegexError::Count)?),
    };
    if most.is_some_and(|most| most < least) {
        return Err(RegexError::Count);
    }
    Ok(Some((format!("{{{counts}}}"), behind)))
}

/// Digits without a zero in front.
fn is_count(digits: &str) -> bool {
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'))
}

fn literal(c: char, out: &mut String) {
    out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
}

/// An escape outside a class; `rest` starts with the backslash.
fn translate_escape<'r>(rest: &'r str, out: &mut String) -> Result<&'r str, RegexError> {
    let anchor = match rest.as_bytes().get(1) {
        Some(b'A') => r"\A",
        Some(b'z') => r"\z",
        Some(b'b') => r"(?-u:\b)",
        Some(b'B') => r"(?-u:\B)",
        Some(b'Q') => {
            let quoted = &rest[2..];
            let (quoted, behind) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            out.push_str(&regex::escape(quoted));
            return Ok(behind);
        }
        _ => {
            if let Some((class, behind)) = named_escape(rest)? {
                out.push_str(&class);
                return Ok(behind);
            }
            let (c, behind) = escaped_char(rest)?;
            literal(c, out);
            return Ok(behind);
        }
    };
    out.push_str(anchor);
    Ok(&rest[2..])
}

/// `\pL`, `\d` and the like, as a class of the `regex` crate that can stand alone or in brackets.
fn named_escape(rest: &str) -> Result<Option<(String, &str)>, RegexError> {
    let mut chars = rest.chars().skip(1);
    let class = match chars.next() {
        Some('d') => "[0-9]",
        Some('D') => "[^0-9]",
        Some('s') => r"[\t\n\x0C\r ]",
        Some('S') => r"[^\t\n\x0C\r ]",
        Some('w') => "[0-9A-Za-z_]",
        Some('W') => "[^0-9A-Za-z_]",
        Some('p' | 'P') => return unicode_group(rest).map(Some),
        _ => return Ok(None),
    };
    Ok(Some((class.to_owned(), &rest[2..])))
}

/// `\pL`, `\p{Greek}`, `\P{L}`, `\p{^L}`.
fn unicode_group(rest: &str) -> Result<(String, &str), RegexError> {
    let (escape, behind) = rest.split_at(2);
    let (name, behind) = match behind.strip_prefix('{') {
        Some(braced) => braced.split_once('}').ok_or(RegexError::Range)?,
        None => behind.split_at(behind.chars().next().map_or(0, char::len_utf8)),
    };
    let (negated, name) = match name.strip_prefix('^') {
        Some(name) => (true, name),
        None => (false, name),
    };
    let known = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '-' | ' ');
    if name.is_empty() || !name.chars().all(known) {
        return Err(RegexError::Range);
    }
    let p = if (escape == r"\P") == negated {
        'p'
    } else {
        'P'
    };
    Ok((format!(r"\{p}{{{name}}}"), behind))
}

/// `\` and what it stands for, when that is one character.
fn escaped_char(rest: &str) -> Result<(char, &str), RegexError> {
    let mut chars = rest.chars();
    chars.next();
    let c = chars.next().ok_or(RegexError::Escape)?;
    let behind = chars.as_str();
    let value = match c {
        'a' => '\x07',
        'f' => '\x0C',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0B',
        'x' => return hex_char(behind),
        '0'..='7' => return octal_char(c, behind),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
        _ => return Err(RegexError::Escape),
    };
    Ok((value, behind))
}

fn hex_char(digits: &str) -> Result<(char, &str), RegexError> {
    let (digits, behind) = match digits.strip_prefix('{') {
        Some(braced) => braced.split_once('}').ok_or(RegexError::Escape)?,
        None => digits.split_at_checked(2).ok_or(RegexError::Escape)?,
    };
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(RegexError::Escape);
    }
    let code = u32::from_str_radix(digits, 16).map_err(|_| RegexError::Escape)?;
    let c = char::from_u32(code).ok_or(RegexError::Escape)?;
    Ok((c, behind))
}

fn octal_char(first: char, behind: &str) -> Result<(char, &str), RegexError> {
    let more = behind
        .bytes()
        .take(2)
        .take_while(|byte| (b'0'..=b'7').contains(byte))
        .count();
    // A single digit would be a reference to a group.
    if more == 0 && first != '0' {
        return Err(RegexError::Escape);
    }
    let code = behind[..more]
        .chars()
        .fold(first.to_digit(8).unwrap_or(0), |code, digit| {
            code * 8 + digit.to_digit(8).unwrap_or(0)
        });
    let c = char::from_u32(code).ok_or(RegexError::Escape)?;
    Ok((c, &behind[more..]))
}

/// A class; `rest` starts with its `[`.
fn translate_class<'r>(rest: &'r str, out: &mut String) -> Result<&'r str, RegexError> {
    let mut rest = &rest[1..];
    out.push('[');
    if let Some(behind) = rest.strip_prefix('^') {
        out.push('^');
        rest = behind;
    }
    let mut first = true;
    loop {
        if !first && let Some(behind) = rest.strip_prefix(']') {
            out.push(']');
            return Ok(behind);
        }
        first = false;
        if let Some((name, behind)) = posix_name(rest) {
            if !is_posix_class(name) {
                return Err(RegexError::Range);
            }
            let _ = write!(out, "[:{name}:]");
            rest = behind;
        } else if rest.starts_with('\\')
            && let Some((class, behind)) = named_escape(rest)?
        {
            out.push_str(&class);
            rest = behind;
        } else {
            rest = translate_range(rest, out)?;
        }
    }
}

fn translate_range<'r>(rest: &'r str, out: &mut String) -> Result<&'r str, RegexError> {
    let (low, mut rest) = class_char(rest)?;
    let mut high = low;
    if let Some(behind) = rest.strip_prefix('-')
        && !behind.is_empty()
        && !behind.starts_with(']')
    {
        (high, rest) = class_char(behind)?;
        if high < low {
            return Err(RegexError::Range);
        }
    }
    let _ = write!(
        out,
        r"\x{{{:X}}}-\x{{{:X}}}",
        u32::from(low),
        u32::from(high)
    );
    Ok(rest)
}

fn class_char(rest: &str) -> Result<(char, &str), RegexError> {
    match rest.chars().next() {
        None => Err(RegexError::OpenClass),
        Some('\\') => escaped_char(rest),
        Some(c) => Ok((c, &rest[c.len_utf8()..])),
    }
}

/// The name in `[:name:]`, and what follows.
fn posix_name(rest: &str) -> Option<(&str, &str)> {
    rest.strip_prefix("[:")?.split_once(":]")
}

fn is_posix_class(name: &str) -> bool {
    let name = name.strip_prefix('^').unwrap_or(name);
    POSIX_CLASSES.contains(&name)
}

const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];
