//! Values that are written as one text: in the file, the environment and on the command line alike.

use std::path::PathBuf;

use jiff::civil::Date;
use schemars::{Schema, json_schema};

use super::{
    Words,
    decode::{Leaf, Problem},
    fault::suggest,
    section::leaf,
};
use crate::{
    oci::{Platform, Tag},
    policy::Profile,
};

leaf!(
    String,
    PathBuf,
    Tag,
    Platform,
    Profile,
    Date,
    RuleName,
    EngineChoice,
    Stage,
    ReportTo,
    Tree,
    Catalog,
    Days,
    Port,
    KeyValue,
    Network,
    FailOn
);

impl Leaf for String {
    fn parse(text: &str, _: &Words) -> Result<Self, Problem> {
        Ok(text.to_owned())
    }
    fn leaf_shape() -> Schema {
        // A number keeps the digits it was written with.
        json_schema!({ "type": ["string", "number"] })
    }
    fn show(&self) -> String {
        self.clone()
    }
}

impl Leaf for PathBuf {
    fn parse(text: &str, _: &Words) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(Problem::new("an empty path"));
        }
        if text.contains('\0') {
            return Err(Problem::new("a path with a NUL in it"));
        }
        Ok(Self::from(text))
    }
    fn leaf_shape() -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Leaf for Tag {
    fn parse(text: &str, _: &Words) -> Result<Self, Problem> {
        text.parse().map_err(|_| {
            let broken = Self::violations(text);
            let reasons: Vec<&str> = broken.iter().map(|error| error.reason.as_str()).collect();
            let message = format!("`{}`: {}", text.escape_debug(), reasons.join("; "));
            Problem::new(message).help(Some(
                "a good tag is `1.0-1`: version and number of the build".to_owned(),
            ))
        })
    }
    fn leaf_shape() -> Schema {
        json_schema!({
            "type": ["string", "number"],
            "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$",
        })
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Leaf for Platform {
    fn parse(text: &str, _: &Words) -> Result<Self, Problem> {
        text.parse()
            .map_err(|error: crate::oci::PlatformError| Problem::new(error.to_string()))
    }
    fn leaf_shape() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[^/]+/[^/]+(/[^/]+)?$", "examples": ["linux/amd64"] })
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

/// A leaf that is one of a few words.
pub(super) fn one_of<T: Copy>(what: &str, text: &str, words: &[(&str, T)]) -> Result<T, Problem> {
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Problem::new(format!("`{}` is no {what}", text.escape_debug()))
                .help(suggest(text, &known))
        })
}

macro_rules! words {
    ($type:ty, $what:literal, $table:ident, { $($word:literal => $value:expr),+ $(,)? }) => {
        const $table: &[(&str, $type)] = &[$(($word, $value)),+];
        impl Leaf for $type {
            fn parse(text: &str, _: &Words) -> Result<Self, Problem> {
                one_of($what, text, $table)
            }
            fn leaf_shape() -> Schema {
                json_schema!({ "enum": [$($word),+] })
            }
            fn show(&self) -> String {
                let word = $table.iter().find(|(_, value)| value == self);
                word.map_or_else(String::new, |(word, _)| (*word).to_owned())
            }
        }
    };
}

/// What builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineChoice {
    /// a reachable BuildKit, else the embedded builder
    #[default]
    Auto,
    /// `BUILDKIT_HOST` or a buildx container
    Buildkit,
    /// the Docker Engine's own BuildKit
    Docker,
    /// no daemon
    Embedded,
}

/// A stage of `run`; the words are the log's too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// configuration, tags and Dockerfile, read statically
    Check,
    /// Dockerfile to image
    Build,
    /// every assessment of the image
    Scan,
    /// the accepted image to its registry
    Push,
}

/// Where the source of the image is kept, as the catalog asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    /// in the vendor's tree
    In,
    /// outside
    Out,
}

/// Where images are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catalog {
    /// beside the image in the registry
    Registry,
    /// Red Hat's catalog
    Redhat,
}

/// Network of `RUN` steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// the engine's own
    Default,
    /// none but loopback
    None,
    /// the host's
    Host,
}

/// What makes a run fail that has a baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailOn {
    /// whatever blocks
    #[default]
    Any,
    /// what blocks and the baseline did not have
    New,
}

words!(FailOn, "condition", FAIL_ON, { "any" => FailOn::Any, "new" => FailOn::New });
words!(Network, "network", NETWORKS, {
    "default" => Network::Default, "none" => Network::None, "host" => Network::Host,
});
words!(EngineChoice, "engine", ENGINES, {
    "auto" => EngineChoice::Auto, "buildkit" => EngineChoice::Buildkit,
    "docker" => EngineChoice::Docker, "embedded" => EngineChoice::Embedded,
});
words!(Stage, "stage", STAGES, {
    "check" => Stage::Check, "build" => Stage::Build, "scan" => Stage::Scan,
    "push" => Stage::Push,
});
words!(Tree, "tree", TREES, { "in" => Tree::In, "out" => Tree::Out });
words!(Catalog, "catalog", CATALOGS, {
    "registry" => Catalog::Registry, "redhat" => Catalog::Redhat,
});
words!(Profile, "profile", PROFILES, {
    "container" => Profile::Container, "root" => Profile::Root,
    "scratch-nonroot" => Profile::ScratchNonroot, "scratch-root" => Profile::ScratchRoot,
    "konflux" => Profile::Konflux,
});

impl Leaf for Date {
    fn parse(text: &str, _: &Words) -> Result<Self, Problem> {
        // jiff reads more forms than the one that is documented.
        let date = (text.len() == 10).then(|| text.parse().ok()).flatten();
        date.ok_or_else(|| {
            Problem::new(format!("`{}` is no date", text.escape_debug()))
                .help(Some("write YYYY-MM-DD, such as `2026-12-31`".to_owned()))
        })
    }
    fn leaf_shape() -> Schema {
        json_schema!({ "type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" })
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

/// A rule, or the several that one of openshift-preflight's names stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleName {
    /// ids of the rules; at least one
    pub ids: Vec<&'static str>,
}

impl Leaf for RuleName {
    fn parse(text: &str, words: &Words) -> Result<Self, Problem> {
        let ids = (words.rule)(text);
        if ids.is_empty() {
            let help = super::fault::nearest(text, words.rules.iter().copied()).map_or_else(
                || "`plimsoll explain` lists them".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            let message = format!("`{}` is no rule", text.escape_debug());
            return Err(Problem::new(message).help(Some(help)));
        }
        Ok(Self { ids })
    }
    fn leaf_shape() -> Schema {
        json_schema!({ "type": "string", "examples": ["has_licenses"] })
    }
    fn show(&self) -> String {
        self.ids.join(", ")
    }
}

/// A report: `FORMAT` to standard output, or `FORMAT=PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportTo {
    /// name of the format
    pub format: String,
    /// file; standard output when absent
    pub path: Option<PathBuf>,
}

impl Leaf for ReportTo {
    fn parse(text: &str, words: &Words) -> Result<Self, Problem> {
        let (format, path) = match text.split_once('=') {
            Some((format, path)) => (format, Some(PathBuf::parse(path, words)?)),
            None => (text, None),
        };
        if words.formats.contains(&format) {
            let format = format.to_owned();
            return Ok(Self { format, path });
        }
        let help = suggest(format, words.formats);
        Err(Problem::new(format!("`{}` is no report format", format.escape_debug())).help(help))
    }
    fn leaf_shape() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z-]+(=.+)?$", "examples": ["sarif=plimsoll.sarif"] })
    }
    fn show(&self) -> String {
        match &self.path {
            Some(path) => format!("{}={}", self.format, path.display()),
            None => self.format.clone(),
        }
    }
}

/// A span of whole days, written `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(pub u32);

impl Leaf for Days {
    fn parse(text: &str, _: &Words) -> Result<Self, Problem> {
        let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
        days.map(Self).ok_or_else(|| {
            Problem::new(format!("`{}` is no number of days", text.escape_debug()))
                .help(Some("write it with its unit: `7d`".to_owned()))
        })
    }
    fn leaf_shape() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+d$" })
    }
    fn show(&self) -> String {
        format!("{}d", self.0)
    }
}

/// A TCP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port(pub u16);

impl Leaf for Port {
    fn parse(text: &str, _: &Words) -> Result<Self, Problem> {
        let port = text.parse().ok().filter(|port| *port > 0);
        port.map(Self).ok_or_else(|| {
            Problem::new(format!("`{}` is no port, 1 to 65535", text.escape_debug()))
        })
    }
    fn leaf_shape() -> Schema {
        json_schema!({ "type": ["integer", "string"], "minimum": 1, "maximum": 65535 })
    }
    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// `KEY=VALUE`, or `KEY` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// before the first `=`
    pub key: String,
    /// after it
    pub value: Option<String>,
}

impl Leaf for KeyValue {
    fn parse(text: &str, _: &Words) -> Result<Self, Problem> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        if key.trim().is_empty() {
            return Err(Problem::new(format!(
                "`{}` has no name before the `=`",
                text.escape_debug()
            )));
        }
        let key = key.trim().to_owned();
        Ok(Self { key, value })
    }
    fn leaf_shape() -> Schema {
        json_schema!({ "type": "string" })
    }
    fn show(&self) -> String {
        match &self.value {
            Some(value) => format!("{}={value}", self.key),
            None => self.key.clone(),
        }
    }
}
