//! Amounts with their unit: bytes, spans of time, counts; and the bounds on steps made of them.

use std::{path::PathBuf, time::Duration};

use schemars::{Schema, json_schema};

use super::{
    Environment, Words,
    cli::Command,
    decode::{Leaf, Problem},
    file::{Build, StepLimits},
    paths::Bases,
    section::leaf,
};
use crate::engine;

leaf!(Bytes, Span, Count);

const BYTES: [(&str, u64); 5] = [
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("b", 1),
];
const SECONDS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3600)];

/// Bytes, written `512m` (units of 1024, as docker has them).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// A span of time, written `90s`, `30m` or `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

/// How many, one at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u64);

/// A number and its unit; at least one unit.
fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let mut units = units.iter();
    let (number, factor) =
        units.find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))?;
    let number: u64 = number.parse().ok().filter(|&number| number > 0)?;
    number.checked_mul(factor)
}

/// The largest unit that leaves no rest.
fn shown(value: u64, units: &[(&str, u64)]) -> String {
    let whole = units
        .iter()
        .filter(|(_, factor)| value.is_multiple_of(*factor));
    let largest = whole.max_by_key(|(_, factor)| *factor);
    largest.map_or_else(
        || value.to_string(),
        |(unit, factor)| format!("{}{unit}", value / factor),
    )
}

/// Bytes of an option.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{}` is no size such as 512m or 4g", text.escape_debug());
    amount(text, &BYTES).ok_or_else(wrong)
}

/// Bytes in the largest unit that makes one at least, rounded down.
pub fn amount_of_bytes(bytes: u64) -> String {
    let whole = BYTES.iter().filter(|(_, factor)| *factor <= bytes);
    let largest = whole.max_by_key(|(_, factor)| *factor);
    largest.map_or_else(
        || format!("{bytes}b"),
        |(unit, factor)| format!("{}{unit}", bytes / factor),
    )
}

impl Leaf for Bytes {
    fn parse(text: &str, _: &Words) -> Result<Self, Problem> {
        amount(text, &BYTES).map(Self).ok_or_else(|| {
            Problem::new(format!("`{}` is no size", text.escape_debug())).help(Some(
                "write it with its unit: `512m`, `4g`; b, k, m, g, t".to_owned(),
            ))
        })
    }
    fn leaf_shape() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+[bkmgtBKMGT]$" })
    }
    fn show(&self) -> String {
        shown(self.0, &BYTES)
    }
}

impl Leaf for Span {
    fn parse(text: &str, _: &Words) -> Result<Self, Problem> {
        let seconds = amount(text, &SECONDS);
        seconds
            .map(|seconds| Self(Duration::from_secs(seconds)))
            .ok_or_else(|| {
                Problem::new(format!("`{}` is no span of time", text.escape_debug())).help(Some(
                    "write it with its unit: `90s`, `30m`, `2h`".to_owned(),
                ))
            })
    }
    fn leaf_shape() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+[smhSMH]$" })
    }
    fn show(&self) -> String {
        shown(self.0.as_secs(), &SECONDS)
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.show())
    }
}

impl Leaf for Count {
    fn parse(text: &str, _: &Words) -> Result<Self, Problem> {
        let count = text.parse().ok().filter(|&count| count > 0);
        count
            .map(Self)
            .ok_or_else(|| Problem::new(format!("`{}` is no number above 0", text.escape_debug())))
    }
    fn leaf_shape() -> Schema {
        json_schema!({ "type": ["integer", "string"], "minimum": 1 })
    }
    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl StepLimits {
    /// As the engine takes them.
    pub fn bounds(&self) -> engine::Limits {
        engine::Limits {
            memory: self.memory.as_ref().map(|memory| memory.value.0),
            pids: self.pids.as_ref().map(|pids| pids.value.0),
            timeout: self.timeout.as_ref().map(|timeout| timeout.value.0),
            disk: self.disk.as_ref().map(|disk| disk.value.0),
        }
    }
}

/// The directory of the embedded engine's cache: what was set, else `plimsoll` in the user's cache
/// directory (XDG Base Directory Specification).
pub(super) fn cache_dir(
    build: &Build,
    bases: &Bases,
    environment: &Environment,
) -> Option<PathBuf> {
    if let Some(directory) = &build.cache_dir {
        return Some(bases.absolute(directory));
    }
    environment.cache_dir()
}

impl Environment {
    /// `plimsoll` in the user's cache directory (XDG Base Directory Specification).
    pub fn cache_dir(&self) -> Option<PathBuf> {
        let absolute = |path: &PathBuf| path.is_absolute();
        let cache = self.path("XDG_CACHE_HOME").filter(absolute);
        let home = || Some(self.path("HOME").filter(absolute)?.join(".cache"));
        Some(cache.or_else(home)?.join("plimsoll"))
    }
}

/// Where the graph of a build goes; of several images, `NAME.FILE` each.
pub(super) fn dump_llb(command: &Command, bases: &Bases, name: Option<&str>) -> Option<PathBuf> {
    let Command::Build(args) = command else {
        return None;
    };
    let path = bases.cwd.join(args.dump_llb.as_ref()?);
    Some(match (name, path.file_name()) {
        (Some(name), Some(file)) => {
            let file = format!("{name}.{}", file.to_string_lossy());
            path.with_file_name(file)
        }
        _ => path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_options_need_a_unit_and_are_told_in_the_largest() {
        assert_eq!(bytes("4g"), Ok(4 << 30));
        assert!(bytes("4").is_err());
        assert!(bytes("-4g").is_err());
        let told = [0, 1023, 1536, 5 << 30].map(amount_of_bytes);
        assert_eq!(told, ["0b", "1023b", "1k", "5g"]);
    }

    #[test]
    fn amounts_have_units_and_are_shown_as_they_are_written() {
        for (text, bytes) in [
            ("1b", 1),
            ("512m", 512 << 20),
            ("4G", 4 << 30),
            ("1500k", 1500 << 10),
        ] {
            assert_eq!(amount(text, &BYTES), Some(bytes), "{text}");
            assert_eq!(shown(bytes, &BYTES), text.to_ascii_lowercase());
        }
        for text in ["", "5", "m", "-1m", "0m", "1.5g", "99999999999t", "1mb"] {
            assert_eq!(amount(text, &BYTES), None, "{text}");
        }
        assert_eq!(amount("30m", &SECONDS), Some(1800));
        assert_eq!(shown(1800, &SECONDS), "30m");
        assert_eq!(shown(90, &SECONDS), "90s");
    }
}
