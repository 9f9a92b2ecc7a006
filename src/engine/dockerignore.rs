//! `.dockerignore`: reading the file, and matching paths exactly as `BuildKit` does.
//!
//! The rules are those of Go's `moby/patternmatcher` (which translates a pattern to a regular
//! expression of Go's dialect, quirks included), because a path more or less in the context is a
//! file more or less in somebody's image. Pure: no file is touched. Which files exist, and which
//! directories need not be entered, is the walker's matter.

use std::fmt;

mod follow;
mod glob;
mod go_path;
mod go_regex;

pub(crate) use follow::{Links, follow_links, has_wildcard, without_children};
pub(crate) use glob::glob_match;
pub(crate) use go_path::{clean, join};

/// The longest line that `BuildKit` reads, in bytes without the line feed.
const MAX_LINE: usize = 64 * 1024 - 1;

/// One pattern of a `.dockerignore` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreLine {
    /// 1-based
    pub line: usize,
    /// the pattern, cleaned as `BuildKit` cleans it; `!` in front makes it an exception
    pub pattern: String,
}

/// What is wrong with a `.dockerignore` file or a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// `!` with nothing behind it
    #[error("exception `!` names no path")]
    EmptyException,
    /// the pattern's syntax
    #[error("pattern `{pattern}` is malformed: {reason}")]
    Malformed {
        /// as written
        pattern: String,
        /// what is wrong with it
        reason: String,
    },
    /// longer than `BuildKit` reads
    #[error("line {line} is {length} bytes long, more than the {MAX_LINE} that are read")]
    LineTooLong {
        /// 1-based
        line: usize,
        /// in bytes
        length: usize,
    },
    /// not UTF-8
    #[error("line {line} is not UTF-8")]
    NotUtf8 {
        /// 1-based
        line: usize,
    },
}

/// The patterns of a `.dockerignore` file in order: comments, blank lines, a byte order mark and
/// surrounding white space are gone, paths are cleaned, a leading `/` is dropped.
pub fn read(text: &[u8]) -> Result<Vec<IgnoreLine>, PatternError> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    let mut patterns = Vec::new();
    for (index, bytes) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = index + 1;
        if bytes.len() > MAX_LINE {
            return Err(PatternError::LineTooLong {
                line,
                length: bytes.len(),
            });
        }
        if bytes.starts_with(b"#") {
            continue;
        }
        let content = std::str::from_utf8(bytes).map_err(|_| PatternError::NotUtf8 { line })?;
        if let Some(pattern) = normalize(content) {
            patterns.push(IgnoreLine { line, pattern });
        }
    }
    Ok(patterns)
}

fn normalize(line: &str) -> Option<String> {
    let line = line.trim();
    if line.is_empty() {
        return None;
    }
    let (mark, path) = match line.strip_prefix('!') {
        Some(path) => ("!", path.trim()),
        None => ("", line),
    };
    if path.is_empty() {
        return Some(mark.to_owned());
    }
    let path = clean(path);
    let path = match path.strip_prefix('/') {
        Some(rest) if !rest.is_empty() => rest,
        _ => &path,
    };
    Some(format!("{mark}{path}"))
}

/// An ordered list of patterns; the last one that matches decides.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    patterns: Vec<Pattern>,
}

/// Which patterns matched a directory: what its entries inherit.
#[derive(Debug, Clone, Default)]
pub struct ParentMatches(Vec<bool>);

impl Matcher {
    /// Reads the patterns. Errors where Go's `patternmatcher.New` does; a pattern that it takes but
    /// cannot translate fails when it is first needed, as there.
    pub fn new<I>(patterns: I) -> Result<Self, PatternError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut list = Vec::new();
        for pattern in patterns {
            let trimmed = pattern.as_ref().trim();
            if !trimmed.is_empty() {
                list.push(Pattern::parse(trimmed)?);
            }
        }
        Ok(Self { patterns: list })
    }

    /// The patterns in order.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Is `path` (relative, cleaned, `/` between components) or a directory above it matched?
    pub fn is_match(&self, path: &str) -> Result<bool, PatternError> {
        Ok(self.step(path, None)?.0)
    }

    /// The same for a walk from the top: `parent` is what the directory above answered. Equal to
    /// [`Matcher::is_match`] at a fraction of the price.
    pub fn step(
        &self,
        path: &str,
        parent: Option<&ParentMatches>,
    ) -> Result<(bool, ParentMatches), PatternError> {
        let mut matched = false;
        let mut hits = Vec::with_capacity(self.patterns.len());
        for (index, pattern) in self.patterns.iter().enumerate() {
            let inherited = parent.is_some_and(|parent| parent.0.get(index) == Some(&true));
            let hit = if inherited {
                true
            } else if pattern.exception == matched {
                pattern.matches(path)? || (parent.is_none() && pattern.matches_above(path))
            } else {
                // An exception has nothing to take back, or a pattern nothing to add.
                false
            };
            hits.push(hit);
            if hit {
                matched = !pattern.exception;
            }
        }
        Ok((matched, ParentMatches(hits)))
    }
}

/// One pattern, cleaned.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    exception: bool,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Exact,
    Prefix(String),
    Suffix(String),
    Regex(regex::bytes::Regex),
    /// Go takes the pattern, but not the regular expression it becomes.
    Broken(String),
}

impl Pattern {
    fn parse(trimmed: &str) -> Result<Self, PatternError> {
        let cleaned = clean(trimmed);
        let (exception, text) = match cleaned.strip_prefix('!') {
            Some("") => return Err(PatternError::EmptyException),
            Some(rest) => (true, rest),
            None => (false, cleaned.as_str()),
        };
        glob_match(text, ".").map_err(|fault| PatternError::Malformed {
            pattern: text.to_owned(),
            reason: fault.to_string(),
        })?;
        Ok(Self {
            text: text.to_owned(),
            exception,
            test: compile(text),
        })
    }

    /// The pattern without its `!`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Does it take back what earlier patterns matched?
    pub fn is_exception(&self) -> bool {
        self.exception
    }

    /// The pattern without a last `/**` and a last `/*`: a literal prefix of all it can match,
    /// unless [`Pattern::has_inner_wildcard`].
    pub fn base(&self) -> &str {
        let base = self.text.strip_suffix("/**").unwrap_or(&self.text);
        base.strip_suffix("/*").unwrap_or(base)
    }

    /// Is there a wildcard in [`Pattern::base`]?
    pub fn has_inner_wildcard(&self) -> bool {
        self.base().contains(['*', '[', ']', '?', '^', '\\'])
    }

    fn matches(&self, path: &str) -> Result<bool, PatternError> {
        match &self.test {
            Test::Exact => Ok(path == self.text),
            Test::Prefix(prefix) => Ok(path.starts_with(prefix)),
            Test::Suffix(suffix) => {
                Ok(path.ends_with(suffix) || suffix.strip_prefix('/') == Some(path))
            }
            Test::Regex(regex) => Ok(regex.is_match(path.as_bytes())),
            Test::Broken(reason) => Err(PatternError::Malformed {
                pattern: self.text.clone(),
                reason: reason.clone(),
            }),
        }
    }

    fn matches_above(&self, path: &str) -> bool {
        path.match_indices('/')
            .any(|(end, _)| self.matches(&path[..end]).unwrap_or(false))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.exception {
            f.write_str("!")?;
        }
        f.write_str(&self.text)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Exact,
    Prefix,
    Suffix,
    Regex,
}

/// The translation of `patternmatcher`'s `compile`, step by step: what is simple is compared as
/// text, all else becomes a regular expression of Go's dialect.
fn compile(pattern: &str) -> Test {
    let mut regex = String::from("^");
    let mut kind = Kind::Exact;
    // Go's scanner drops a byte order mark.
    let scanned = pattern.strip_prefix('\u{FEFF}').unwrap_or(pattern);
    let mut chars = scanned.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                if chars.peek().is_some() {
                    regex.push_str("(.*/)?");
                    kind = Kind::Regex;
                } else if kind == Kind::Exact {
                    kind = Kind::Prefix;
                } else {
                    regex.push_str(".*");
                    kind = Kind::Regex;
                }
                if first {
                    kind = Kind::Suffix;
                }
            }
            '*' => {
                regex.push_str("[^/]*");
                kind = Kind::Regex;
            }
            '?' => {
                regex.push_str("[^/]");
                kind = Kind::Regex;
            }
            // `patternmatcher` means to escape `{`, `|` and `}` too; its table is too small for them.
            '.' | '+' | '(' | ')' | '$' => {
                regex.push('\\');
                regex.push(c);
            }
            '\\' => {
                regex.push('\\');
                if let Some(escaped) = chars.next() {
                    regex.push(escaped);
                    kind = Kind::Regex;
                }
            }
            '[' | ']' => {
                regex.push(c);
                kind = Kind::Regex;
            }
            _ => regex.push(c),
        }
        first = false;
    }
    match kind {
        Kind::Exact => Test::Exact,
        Kind::Prefix => Test::Prefix(pattern.strip_suffix("**").unwrap_or(pattern).to_owned()),
        Kind::Suffix => Test::Suffix(pattern.strip_prefix("**").unwrap_or(pattern).to_owned()),
        Kind::Regex => {
            regex.push('$');
            match go_regex::compile(&regex) {
                Ok(regex) => Test::Regex(regex),
                Err(fault) => Test::Broken(fault.to_string()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
