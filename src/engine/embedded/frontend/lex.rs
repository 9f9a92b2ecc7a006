//! Quotes, escapes and variables of a word, exactly as `BuildKit`'s shell lexer takes them, its
//! faults included.

use std::{iter::Peekable, str::Chars};

pub(super) use super::env::{Budget, Env};
use super::pattern;

/// Words above this are refused: a value that doubles from line to line would grow without end.
const MAX_WORD: usize = 1 << 20;
/// Nesting of `${a:-${b:-…}}` above this is refused.
const MAX_DEPTH: usize = 64;
/// How words are taken apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lexer<'a> {
    /// `\` or `` ` ``
    pub(super) escape: char,
    /// quotes stay in the text
    pub(super) raw_quotes: bool,
    /// quotes are text
    pub(super) skip_quotes: bool,
    /// variables that are not set stay as they are written
    pub(super) skip_unset: bool,
    pub(super) budget: &'a Budget,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(escape: char, budget: &'a Budget) -> Self {
        Self {
            escape,
            raw_quotes: false,
            skip_quotes: false,
            skip_unset: false,
            budget,
        }
    }

    /// The text with quotes taken off and variables put in.
    pub(super) fn word(&self, text: &str, env: &Env) -> Result<String, String> {
        self.scan(text, env).map(|found| found.text)
    }

    /// The words that the text is after variables were put in.
    pub(super) fn words(&self, text: &str, env: &Env) -> Result<Vec<String>, String> {
        self.scan(text, env).map(|found| found.words.done())
    }

    fn scan(&self, text: &str, env: &Env) -> Result<Found, String> {
        self.budget.spend(text.len())?;
        let mut scan = Scan {
            lexer: self,
            env,
            rest: text.chars().peekable(),
            raw_escapes: false,
            depth: 0,
        };
        let found = scan.until(None, false);
        found.map_err(|fault| format!("{fault} in `{}`", shortened(text)))
    }
}

/// A text for a message.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or("")),
        None => text.to_owned(),
    }
}

#[derive(Default)]
struct Found {
    text: String,
    words: Words,
}

#[derive(Default)]
struct Words {
    done: Vec<String>,
    word: String,
}

impl Words {
    fn plain(&mut self, c: char) {
        if !c.is_whitespace() {
            self.word.push(c);
        } else if !self.word.is_empty() {
            self.done.push(std::mem::take(&mut self.word));
        }
    }

    fn done(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.done.push(self.word);
        }
        self.done
    }
}

struct Scan<'a> {
    lexer: &'a Lexer<'a>,
    env: &'a Env,
    rest: Peekable<Chars<'a>>,
    raw_escapes: bool,
    depth: usize,
}

impl Scan<'_> {
    /// Takes everything up to `stop`, which is consumed.
    fn until(&mut self, stop: Option<char>, raw_escapes: bool) -> Result<Found, String> {
        let before = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        self.depth += 1;
        let found = if self.depth > MAX_DEPTH {
            Err("variables are nested too deep".to_owned())
        } else {
            self.take(stop)
        };
        self.depth -= 1;
        self.raw_escapes = before;
        found
    }

    fn take(&mut self, stop: Option<char>) -> Result<Found, String> {
        let mut found = Found::default();
        while let Some(c) = self.rest.next() {
            match c {
                c if Some(c) == stop => return Ok(found),
                '$' => {
                    let value = self.dollar()?;
                    self.lexer.budget.spend(value.len())?;
                    value.chars().for_each(|c| found.words.plain(c));
                    found.text.push_str(&value);
                }
                '\'' | '"' if !self.lexer.skip_quotes => {
                    let quoted = if c == '"' {
                        self.double()
                    } else {
                        self.single()
                    }?;
                    found.words.word.push_str(&quoted);
                    found.text.push_str(&quoted);
                }
                '<' => self.arrows(&mut found),
                c if c == self.lexer.escape => self.escaped(c, &mut found),
                c => {
                    found.words.plain(c);
                    found.text.push(c);
                }
            }
            bounded(&found.text)?;
        }
        match stop {
            Some(stop) => Err(format!("`{stop}` is missing")),
            None => Ok(found),
        }
    }

    fn escaped(&mut self, escape: char, found: &mut Found) {
        let kept = self.raw_escapes.then_some(escape);
        for c in kept.into_iter().chain(self.rest.next()) {
            found.words.word.push(c);
            found.text.push(c);
        }
    }

    /// `<<` keeps the space behind it: what may be a here-document is one word.
    fn arrows(&mut self, found: &mut Found) {
        let mut text = "<".to_owned();
        if self.rest.next_if_eq(&'<').is_some() {
            text.push('<');
            while let Some(c) = self.rest.next_if(|c| matches!(c, '\t' | '\r' | ' ')) {
                text.push(c);
            }
        }
        found.words.word.push_str(&text);
        found.text.push_str(&text);
    }

    fn quote(&self, quote: char) -> String {
        if self.lexer.raw_quotes {
            quote.to_string()
        } else {
            String::new()
        }
    }

    fn single(&mut self) -> Result<String, String> {
        let mut text = self.quote('\'');
        loop {
            match self.rest.next() {
                Some('\'') => return Ok(text + &self.quote('\'')),
                Some(c) => text.push(c),
                None => return Err("a single quote has no end".to_owned()),
            }
        }
    }

    fn double(&mut self) -> Result<String, String> {
        let mut text = self.quote('"');
        loop {
            match self.rest.next() {
                Some('"') => return Ok(text + &self.quote('"')),
                Some('$') => {
                    let value = self.dollar()?;
                    self.lexer.budget.spend(value.len())?;
                    text.push_str(&value);
                }
                Some(c) if c == self.lexer.escape => {
                    if self.raw_escapes {
                        text.push(c);
                    }
                    let special = |next: &char| matches!(next, '"' | '$') || *next == c;
                    match self.rest.peek() {
                        None => {}
                        Some(next) if special(next) => text.extend(self.rest.next()),
                        Some(_) => text.push(c),
                    }
                }
                Some(c) => text.push(c),
                None => return Err("a double quote has no end".to_owned()),
            }
            bounded(&text)?;
        }
    }

    /// Behind a `$`.
    fn dollar(&mut self) -> Result<String, String> {
        if self.rest.next_if_eq(&'{').is_some() {
            return self.braced();
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        Ok(match self.env.get(&name) {
            Some(value) => value.to_owned(),
            None if self.lexer.skip_unset => format!("${name}"),
            None => String::new(),
        })
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.rest.peek() {
            Some(c) if c.is_numeric() => {
                while let Some(c) = self.rest.next_if(|c| c.is_numeric()) {
                    name.push(c);
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => name.extend(self.rest.next()),
            _ => {
                let part = |c: &char| c.is_alphanumeric() || *c == '_';
                while let Some(c) = self.rest.next_if(part) {
                    name.push(c);
                }
            }
        }
        name
    }

    /// Behind `${`.
    fn braced(&mut self) -> Result<String, String> {
        match self.rest.peek() {
            None => return Err("`}` is missing".to_owned()),
            Some('{' | '}' | ':') => return Err("bad substitution".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        match self.rest.next() {
            Some('}') => Ok(match self.env.get(&name) {
                Some(value) => value.to_owned(),
                None if self.lexer.skip_unset => format!("${{{name}}}"),
                None => String::new(),
            }),
            Some(':') => {
                let modifier = self.rest.next();
                match modifier {
                    Some(modifier @ ('-' | '+' | '?')) => self.default(&name, modifier, true),
                    other => Err(unsupported(":", other)),
                }
            }
            Some(modifier @ ('-' | '+' | '?')) => self.default(&name, modifier, false),
            Some(modifier @ ('#' | '%')) => self.stripped(&name, modifier),
            Some('/') => self.replaced(&name),
            other => Err(unsupported("", other)),
        }
    }

    /// `:-`, `:+`, `:?`; without the colon an empty value counts as one.
    fn default(&mut self, name: &str, modifier: char, colon: bool) -> Result<String, String> {
        let word = self.until(Some('}'), false)?.text;
        let value = self.env.get(name);
        if value.is_none() && self.lexer.skip_unset {
            let colon = if colon { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{modifier}{word}}}"));
        }
        let there = value.filter(|value| !(colon && value.is_empty()));
        match (modifier, there) {
            ('-', None) | ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value.to_owned()),
            (_, None) if !word.is_empty() => Err(format!("{name}: {word}")),
            (_, None) => {
                let how = if value.is_some() { "empty" } else { "unset" };
                Err(format!(
                    "the variable {name} is {how}, which it must not be,"
                ))
            }
        }
    }

    fn stripped(&mut self, name: &str, modifier: char) -> Result<String, String> {
        let word = self.until(Some('}'), true)?.text;
        let Some(value) = self.env.get(name).or(self.unset()) else {
            return Ok(format!("${{{name}{modifier}{word}}}"));
        };
        self.lexer.budget.spend(value.len())?;
        let (longest, pattern) = match word.strip_prefix(modifier) {
            Some(pattern) => (true, pattern),
            None => (false, word.as_str()),
        };
        pattern::strip(value, pattern, modifier == '#', longest)
    }

    fn replaced(&mut self, name: &str) -> Result<String, String> {
        let all = self.rest.next_if_eq(&'/').is_some();
        let old = self.until(Some('/'), true)?.text;
        let new = self.until(Some('}'), true)?.text;
        let Some(value) = self.env.get(name).or(self.unset()) else {
            return Ok(format!("${{{name}/{old}/{new}}}"));
        };
        let most = (value.len() + 1).saturating_mul(new.len() + 1);
        if most > 16 * MAX_WORD {
            return Err("a replaced value grows too long".to_owned());
        }
        self.lexer.budget.spend(value.len())?;
        pattern::replace(value, &old, &new, all)
    }

    /// What a variable is that is not set: nothing, or left as it is.
    fn unset(&self) -> Option<&'static str> {
        (!self.lexer.skip_unset).then_some("")
    }
}

fn unsupported(colon: &str, modifier: Option<char>) -> String {
    match modifier {
        Some(modifier) => format!("the modifier `{colon}{modifier}` is not supported"),
        None => "`}` is missing".to_owned(),
    }
}

fn bounded(text: &str) -> Result<(), String> {
    if text.len() > MAX_WORD {
        return Err(format!("a value is longer than {MAX_WORD} bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Budget, Env, Lexer};

    fn env() -> Env {
        let mut env = Env::default();
        for (name, value) in [("a", "foo"), ("p", "foo.tar.gz"), ("e", ""), ("s", "x  y")] {
            env.set(name, value);
        }
        env
    }

    #[test]
    fn words_expand_as_buildkit_expands_them() {
        let budget = Budget::default();
        let lexer = Lexer::new('\\', &budget);
        for (word, want) in [
            ("$a-${a}", "foo-foo"),
            ("'$a' \"$a\" \"\\$a\" \\$a", "$a foo $a $a"),
            ("\"a\\b\\\"\"", "a\\b\""),
            ("$u|${u}|$|a\\", "||$|a"),
            ("${u:-x} ${e:-x} ${e-x} ${u-x} ${a:-x}", "x x  x foo"),
            ("${a:+x}${e:+y}${e+z}${u+w}", "xz"),
            ("${u:-${a:-no}} ${u:-'q }'} ${u:-\\}}", "foo q } }"),
            ("${p#*.} ${p##*.} ${p%.*} ${p%%.*}", "tar.gz gz foo.tar foo"),
            (
                "${p/./-} ${p//./-} ${p/t?r/x} ${p//o/\\/}",
                "foo-tar.gz foo-tar-gz foo.x.gz f\\/\\/.tar.gz",
            ),
            ("${p#zzz} ${u#x} ${p/\\./_}", "foo.tar.gz  "),
            ("${a:?no} $1$9x$@$*", "foo x"),
            ("é${é:-ü}", "éü"),
        ] {
            let found = lexer.word(word, &env());
            if word.contains("\\.") {
                assert!(found.unwrap_err().contains("`\\.`"), "{word}");
            } else {
                assert_eq!(found.as_deref(), Ok(want), "{word}");
            }
        }
        assert_eq!(
            Lexer::new('`', &budget).word("C:\\x `$a", &env()).unwrap(),
            "C:\\x $a"
        );
    }

    #[test]
    fn what_buildkit_refuses_is_refused() {
        let budget = Budget::default();
        let lexer = Lexer::new('\\', &budget);
        for (word, want) in [
            ("'a", "single quote"),
            ("\"a", "double quote"),
            ("${a", "`}`"),
            ("${a:-b", "`}`"),
            ("${}", "bad substitution"),
            ("${{a}", "bad substitution"),
            ("${a^^}", "`^`"),
            ("${a:#x}", "`:#`"),
            ("${u:?give it}", "u: give it"),
            ("${e:?}", "e is empty"),
            ("${u?}", "u is unset"),
        ] {
            let fault = lexer.word(word, &env()).unwrap_err();
            assert!(fault.contains(want), "{word}: {fault}");
        }
    }

    #[test]
    fn names_keep_quotes_and_variables_that_are_not_set() {
        let budget = Budget::default();
        let lexer = Lexer {
            raw_quotes: true,
            skip_unset: true,
            ..Lexer::new('\\', &budget)
        };
        let found = lexer.word("\"$a\" '$a' $u ${u} ${u:-x} ${u#y}", &env());
        assert_eq!(found.unwrap(), "\"foo\" '$a' $u ${u} ${u:-x} ${u#y}");
    }

    #[test]
    fn values_are_split_into_words_after_expansion() {
        let budget = Budget::default();
        let lexer = Lexer::new('\\', &budget);
        let found = lexer.words("1 $s \"$s\" a\\ b", &env()).unwrap();
        assert_eq!(found, ["1", "x", "y", "x  y", "a b"]);
    }

    #[test]
    fn growth_and_nesting_are_bounded() {
        let budget = Budget::default();
        let lexer = Lexer::new('\\', &budget);
        let mut env = Env::default();
        env.set("a", "x".repeat(60_000));
        assert!(lexer.word(&"$a".repeat(1000), &env).is_err());
        assert!(lexer.word(&"${b:-".repeat(10_000), &env).is_err());
        assert!(lexer.word("${a//x/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789}", &env).is_err());
        let many = (0..10_000).try_for_each(|_| lexer.word("$a", &env).map(drop));
        assert!(many.is_err());
    }

    proptest! {
        #[test]
        fn any_word_expands_without_a_panic(word in "[${}a-e:+?#%/*'\"\\\\ é-]{0,40}") {
            let budget = Budget::default();
            for (raw_quotes, skip_unset) in [(false, false), (true, true)] {
                let lexer = Lexer { raw_quotes, skip_unset, ..Lexer::new('\\', &budget) };
                let _ = lexer.words(&word, &env());
            }
        }
    }
}
