//! `--name[=value]`: quotes off, values checked.

use crate::dockerfile::Instruction;

use super::problem::Problem;

/// The flags of one instruction.
#[derive(Debug, Default)]
pub(super) struct Flags(Vec<(String, Option<String>)>);

/// Flags that may stand more than once.
const REPEATED: [&str; 3] = ["mount", "exclude", "device"];
/// Flags that need no value.
const SWITCHES: [&str; 4] = ["link", "parents", "keep-git-dir", "unpack"];

impl Flags {
    pub(super) fn read(instruction: &Instruction, escape: char) -> Result<Self, Problem> {
        let mut flags = Self::default();
        for flag in &instruction.flags {
            let name = flag.name.as_str();
            let value = flag.value.as_deref().map(|value| unquoted(value, escape));
            if flags.value(name).is_some() && !REPEATED.contains(&name) {
                return Err(Problem::fault(
                    format!("the flag --{name} stands twice"),
                    "take one of them away",
                ));
            }
            flags.0.push((name.to_owned(), checked(name, value)?));
        }
        Ok(flags)
    }

    fn value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value.as_deref().unwrap_or(""))
    }

    /// Its value, empty when it is absent.
    pub(super) fn text(&self, name: &str) -> String {
        self.value(name).unwrap_or("").to_owned()
    }

    /// All its values.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let named = self.0.iter().filter(|(known, _)| known == name);
        named.filter_map(|(_, value)| value.clone()).collect()
    }

    /// Whether it is on; `None` when it is absent.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.value(name)
            .map(|value| !value.eq_ignore_ascii_case("false"))
    }
}

fn checked(name: &str, value: Option<String>) -> Result<Option<String>, Problem> {
    if SWITCHES.contains(&name) {
        let known = ["true", "false"];
        return match value {
            Some(value) if !known.contains(&value.to_ascii_lowercase().as_str()) => {
                Err(Problem::fault(
                    format!("--{name} is `{value}`, it may be true or false"),
                    format!("write --{name}, or --{name}=false"),
                ))
            }
            value => Ok(value),
        };
    }
    match value {
        None => Err(Problem::fault(
            format!("--{name} has no value"),
            format!("write --{name}=VALUE"),
        )),
        value => Ok(value),
    }
}

/// Quotes are taken off and escapes carried out, inside quotes too.
fn unquoted(text: &str, escape: char) -> String {
    let (mut out, mut quote) = (String::new(), None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (_, c) if c == escape => out.extend(chars.next()),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => out.push(c),
        }
    }
    out
}
