//! Quotes, escapes and variables of a word, as BuildKit's shell lexer takes them.

use std::iter::Peekable;

/// Text above this is not expanded: values that double from line to line would grow without end.
const MAX_BYTES: usize = 64 << 10;
/// Nesting of `${a:-${b:-…}}` above this is not followed.
const MAX_DEPTH: usize = 32;
/// Patterns above this number in one word are not followed, and each costs so many bytes of the
/// budget: matching is the one thing here that is not linear.
const MAX_PATTERNS: usize = 16;
const PATTERN_COST: usize = 64 << 10;
/// Values longer than this are not matched against patterns.
const MAX_PATTERN_VALUE: usize = 2 << 10;

/// What is known of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Variable {
    /// its value
    Set(String),
    /// it has none: expands to nothing
    Unset,
    /// the base image or the builder may set it
    Unknown,
}

/// A word after expansion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    /// the text; unknown variables are left as written
    pub(super) text: String,
    /// what kept it from being known whole
    pub(super) unknown: Vec<String>,
    /// what it took, in bytes of work
    pub(super) cost: usize,
}

/// Expands one word.
pub(super) fn expand(word: &str, escape: char, lookup: &dyn Fn(&str) -> Variable) -> Expanded {
    let mut expander = Expander {
        rest: word.chars().peekable(),
        escape,
        lookup,
        out: Expanded::default(),
        depth: 0,
        patterns: 0,
    };
    let text = expander.until(None);
    Expanded {
        cost: text.len() + expander.patterns * PATTERN_COST,
        text,
        unknown: expander.out.unknown,
    }
}

struct Expander<'a, I: Iterator<Item = char>> {
    rest: Peekable<I>,
    escape: char,
    lookup: &'a dyn Fn(&str) -> Variable,
    out: Expanded,
    depth: usize,
    patterns: usize,
}

impl<I: Iterator<Item = char>> Expander<'_, I> {
    /// Takes everything up to `stop`, which is consumed.
    fn until(&mut self, stop: Option<char>) -> String {
        let mut text = String::new();
        while let Some(c) = self.rest.next() {
            match c {
                c if Some(c) == stop => return text,
                '\'' => text.extend(self.rest.by_ref().take_while(|c| *c != '\'')),
                '"' => self.double_quoted(&mut text),
                '$' => {
                    let value = self.variable();
                    text.push_str(&value);
                }
                c if c == self.escape => text.extend(self.rest.next()),
                c => text.push(c),
            }
            if text.len() > MAX_BYTES {
                self.unknown("a value that is too long");
                text.truncate(text.floor_char_boundary(MAX_BYTES));
                return text;
            }
        }
        text
    }

    fn double_quoted(&mut self, text: &mut String) {
        while let Some(c) = self.rest.next() {
            match c {
                '"' => return,
                '$' => {
                    let value = self.variable();
                    text.push_str(&value);
                }
                c if c == self.escape => {
                    let special = |next: &char| matches!(next, '"' | '$') || *next == self.escape;
                    match self.rest.peek() {
                        Some(next) if special(next) => text.extend(self.rest.next()),
                        _ => text.push(c),
                    }
                }
                c => text.push(c),
            }
            if text.len() > MAX_BYTES {
                return;
            }
        }
    }

    fn unknown(&mut self, what: &str) {
        if !self.out.unknown.iter().any(|known| known == what) {
            self.out.unknown.push(what.to_owned());
        }
    }

    /// Behind a `$`.
    fn variable(&mut self) -> String {
        match self.rest.peek() {
            Some('{') => {
                self.rest.next();
                self.braced()
            }
            Some(c) if c.is_ascii_alphabetic() || *c == '_' => {
                let name = self.name();
                self.value(&name)
            }
            Some(c) if c.is_ascii_digit() || "@*#?!".contains(*c) => {
                self.rest.next();
                String::new()
            }
            _ => "$".to_owned(),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self
            .rest
            .next_if(|c| c.is_ascii_alphanumeric() || *c == '_')
        {
            name.push(c);
        }
        name
    }

    fn value(&mut self, name: &str) -> String {
        match (self.lookup)(name) {
            Variable::Set(value) => value,
            Variable::Unset => String::new(),
            Variable::Unknown => {
                self.unknown(name);
                format!("${{{name}}}")
            }
        }
    }

    /// Behind `${`.
    fn braced(&mut self) -> String {
        let name = self.name();
        self.depth += 1;
        let text = if self.depth > MAX_DEPTH {
            self.unknown("a variable nested too deep");
            String::new()
        } else {
            self.modified(&name)
        };
        self.depth -= 1;
        text
    }

    fn modified(&mut self, name: &str) -> String {
        let found = (self.lookup)(name);
        match self.rest.next() {
            Some('}') | None => self.value(name),
            Some(':') => {
                let modifier = self.rest.next();
                let word = self.until(Some('}'));
                let empty = matches!(&found, Variable::Set(value) if value.is_empty());
                let found = if empty { Variable::Unset } else { found };
                self.default(name, found, modifier, word)
            }
            Some(modifier @ ('-' | '+' | '?')) => {
                let word = self.until(Some('}'));
                self.default(name, found, Some(modifier), word)
            }
            Some(modifier @ ('#' | '%')) => {
                let longest = self.rest.next_if_eq(&modifier).is_some();
                let pattern = self.until(Some('}'));
                self.patterned(name, found, |value| {
                    strip(value, &pattern, modifier == '#', longest)
                })
            }
            Some('/') => {
                let all = self.rest.next_if_eq(&'/').is_some();
                let pattern = self.until(Some('/'));
                let with = self.until(Some('}'));
                self.patterned(name, found, |value| replace(value, &pattern, &with, all))
            }
            Some(other) => {
                self.until(Some('}'));
                self.unknown(&format!("${{{name}{other}…}}"));
                String::new()
            }
        }
    }

    /// `:-`, `:+`, `:?` and their forms without the colon; `found` is already unset when empty
    /// counts as unset.
    fn default(
        &mut self,
        name: &str,
        found: Variable,
        modifier: Option<char>,
        word: String,
    ) -> String {
        match (modifier, found) {
            (_, Variable::Unknown) => self.value(name),
            (Some('-'), Variable::Unset) | (Some('+'), Variable::Set(_)) => word,
            (Some('-' | '?'), Variable::Set(value)) => value,
            (Some('+'), Variable::Unset) => String::new(),
            (Some('?'), Variable::Unset) => {
                self.unknown(&format!("{name}, which must be given"));
                String::new()
            }
            _ => {
                self.unknown(&format!("${{{name}…}}"));
                String::new()
            }
        }
    }

    fn patterned(
        &mut self,
        name: &str,
        found: Variable,
        change: impl Fn(&str) -> String,
    ) -> String {
        match found {
            Variable::Set(value)
                if value.len() <= MAX_PATTERN_VALUE && self.patterns < MAX_PATTERNS =>
            {
                self.patterns += 1;
                change(&value)
            }
            Variable::Unset => String::new(),
            _ => {
                self.unknown(name);
                format!("${{{name}}}")
            }
        }
    }
}

fn strip(value: &str, pattern: &str, prefix: bool, longest: bool) -> String {
    let Some(regex) = pattern_regex(pattern, true) else {
        return value.to_owned();
    };
    let mut cuts: Vec<usize> = (0..=value.len())
        .filter(|at| value.is_char_boundary(*at))
        .collect();
    if prefix == longest {
        cuts.reverse();
    }
    let part = |cut: usize, front: bool| {
        let range = if front {
            value.get(..cut)
        } else {
            value.get(cut..)
        };
        range.unwrap_or("")
    };
    let cut = cuts
        .into_iter()
        .find(|cut| regex.is_match(part(*cut, prefix)));
    cut.map_or(value, |cut| part(cut, !prefix)).to_owned()
}

fn replace(value: &str, pattern: &str, with: &str, all: bool) -> String {
    let Some(regex) = pattern_regex(pattern, false).filter(|_| !pattern.is_empty()) else {
        return value.to_owned();
    };
    let with = regex::NoExpand(with);
    if all {
        regex.replace_all(value, with).into_owned()
    } else {
        regex.replace(value, with).into_owned()
    }
}

/// A shell pattern as a regular expression: `*`, `?` and `\`.
fn pattern_regex(pattern: &str, whole: bool) -> Option<regex::Regex> {
    let mut regex = String::from(if whole { "(?s)^" } else { "(?s)" });
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '\\' => regex.push_str(&regex::escape(&chars.next()?.to_string())),
            c => regex.push_str(&regex::escape(&c.to_string())),
        }
    }
    if whole {
        regex.push('$');
    }
    regex::RegexBuilder::new(&regex)
        .size_limit(1 << 20)
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Variable, expand};

    fn look(name: &str) -> Variable {
        match name {
            "a" => Variable::Set("foo".into()),
            "p" => Variable::Set("foo.tar.gz".into()),
            "e" => Variable::Set(String::new()),
            "base" => Variable::Unknown,
            _ => Variable::Unset,
        }
    }

    #[test]
    fn words_expand_as_buildkit_expands_them() {
        for (word, want) in [
            ("$a-${a}", "foo-foo"),
            ("'$a' \"$a\" \"\\$a\" \\$a", "$a foo $a $a"),
            ("\"a\\b\\\"\"", "a\\b\""),
            ("$u|${u}|$", "||$"),
            ("${u:-x} ${e:-x} ${e-x} ${u-x} ${a:-x}", "x x  x foo"),
            ("${a:+x}${e:+y}${e+z}${u+w}", "xz"),
            ("${u:-${a:-no}} ${u:-'q }'}", "foo q }"),
            ("${p#*.} ${p##*.} ${p%.*} ${p%%.*}", "tar.gz gz foo.tar foo"),
            (
                "${p/./-} ${p//./-} ${p/t?r/x}",
                "foo-tar.gz foo-tar-gz foo.x.gz",
            ),
            ("${p#zzz} ${u#x}", "foo.tar.gz "),
            ("a b", "a b"),
        ] {
            let found = expand(word, '\\', &look);
            assert_eq!(
                (found.text.as_str(), found.unknown.len()),
                (want, 0),
                "{word}"
            );
        }
        assert_eq!(expand("C:\\x `$a", '`', &look).text, "C:\\x $a");
    }

    #[test]
    fn what_the_base_may_set_is_unknown() {
        for word in ["$base", "${base:-x}", "x${base#y}", "${u:?must}", "${a^^}"] {
            assert_eq!(expand(word, '\\', &look).unknown.len(), 1, "{word}");
        }
    }

    #[test]
    fn growth_and_nesting_are_bounded() {
        let big = |_: &str| Variable::Set("x".repeat(60_000));
        let found = expand(&"$a".repeat(1000), '\\', &big);
        assert!(found.text.len() <= super::MAX_BYTES && !found.unknown.is_empty());
        assert!(
            !expand(&"${a:-".repeat(10_000), '\\', &look)
                .unknown
                .is_empty()
        );
    }

    proptest! {
        #[test]
        fn any_word_expands_without_a_panic(word in "[${}a-e:+?#%/*'\"\\\\ é-]{0,40}") {
            let _ = expand(&word, '\\', &look);
        }
    }
}
