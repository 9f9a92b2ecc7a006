//! From the tree to typed values, collecting every fault on the way. What stands in the
//! configuration is a [`Value`]; what is written as one text is a [`Leaf`].

use indexmap::IndexMap;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::{
    Words,
    fault::{Faults, nearest, quoted},
    sourced::{Listed, Mark, Origin, Setting, Sourced},
    tree::{Kind, Node},
};

/// What is wrong with a text, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// what is wrong; the key or option is named before it
    pub message: String,
    /// what to do about it
    pub help: Option<String>,
}

impl Problem {
    /// A problem that speaks for itself.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
        }
    }

    /// Adds what to do about it.
    pub(super) fn help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }
}

/// What decoders know besides the tree.
pub(super) struct Decoder<'a> {
    pub(super) words: &'a Words,
    pub(super) today: jiff::civil::Date,
    pub(super) faults: Faults,
    /// key being decoded, for messages
    key: String,
}

/// Something that stands in the configuration.
pub(super) trait Value: Sized {
    /// Decodes it; `None` when a fault was noted.
    fn decode(node: &Node, cx: &mut Decoder<'_>) -> Option<Self>;
    /// Its JSON Schema.
    fn shape(generator: &mut SchemaGenerator) -> Schema;
    /// Lays it over the value of a lower level; sections and maps join, all else replaces.
    #[must_use]
    fn over(self, _below: Self) -> Self {
        self
    }
    /// Lists it for `run --dry-run -v`.
    fn list(&self, path: &str, origin: &Origin, out: &mut Vec<Listed>);
    /// Whether the key alone, with nothing after it, is as good as no key.
    const NULLABLE: bool = false;
}

/// A value that is written as one text, the same in the file, the environment and on the command
/// line.
pub(super) trait Leaf: Sized {
    /// Reads the text.
    fn parse(text: &str, words: &Words) -> Result<Self, Problem>;
    /// Its JSON Schema.
    fn leaf_shape() -> Schema;
    /// The text again.
    fn show(&self) -> String;
}

impl<'a> Decoder<'a> {
    pub(super) fn new(words: &'a Words, today: jiff::civil::Date, text: &str) -> Self {
        Self {
            words,
            today,
            faults: Faults::of(text),
            key: "the configuration".to_owned(),
        }
    }

    /// Notes a fault at a node.
    pub(super) fn fault(&mut self, at: &Mark, message: String, help: Option<String>) {
        self.faults.push(Origin::File(at.clone()), message, help);
    }

    /// Notes that something else was wanted.
    pub(super) fn wrong_type(&mut self, node: &Node, wanted: &str, help: Option<String>) {
        let message = format!("`{}` wants {wanted}, not {}", self.key, found(node));
        self.fault(&node.mark, message, help);
    }

    /// A mapping, its keys among `keys`; unknown ones are noted.
    pub(super) fn fields<'n>(&mut self, node: &'n Node, keys: &[&str]) -> Option<Fields<'n>> {
        if node.is_null() {
            return Some(Fields(Vec::new()));
        }
        let Kind::Mapping(entries) = &node.kind else {
            self.wrong_type(
                node,
                "a mapping",
                Some(format!("with the keys {}", quoted(keys))),
            );
            return None;
        };
        let mut fields = Vec::new();
        for (key, value) in entries {
            // A key that is no text was noted when the tree was read.
            let Kind::Scalar { text, .. } = &key.kind else {
                continue;
            };
            if keys.contains(&text.as_str()) {
                fields.push((text.as_str(), value));
            } else {
                self.unknown_key(text, key, keys);
            }
        }
        Some(Fields(fields))
    }

    fn unknown_key(&mut self, text: &str, key: &Node, keys: &[&str]) {
        let other_name = OTHER_NAMES
            .iter()
            .find(|(other, ours)| *other == text && keys.contains(ours))
            .map(|(_, ours)| *ours);
        let help = match other_name.or_else(|| nearest(text, keys.iter().copied())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the keys here are {}", quoted(keys)),
        };
        self.fault(&key.mark, format!("unknown key `{text}`"), Some(help));
    }

    /// A text. Numbers keep the digits they were written with; `true` and the like are no texts.
    pub(super) fn text<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n str> {
        match &node.kind {
            Kind::Scalar { text, plain } if !plain || !(node.is_null() || is_bool(text)) => {
                Some(text)
            }
            Kind::Scalar { text, .. } => {
                let help = match text.as_str() {
                    "" => "give it a value, or remove the key".to_owned(),
                    text => format!("if the text is meant, quote it: \"{text}\""),
                };
                self.wrong_type(node, wanted, Some(help));
                None
            }
            _ => {
                self.wrong_type(node, wanted, None);
                None
            }
        }
    }

    /// A text that `read` understands.
    pub(super) fn parsed<T>(
        &mut self,
        node: &Node,
        read: impl FnOnce(&str, &Words) -> Result<T, Problem>,
    ) -> Option<T> {
        let text = self.text(node, "text")?;
        match read(text, self.words) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.fault(
                    &node.mark,
                    format!("`{}`: {}", self.key, problem.message),
                    problem.help,
                );
                None
            }
        }
    }
}

/// Names that other tools use for our keys.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("file", "dockerfile"),
    ("containerfile", "dockerfile"),
    ("tags", "tag"),
    ("build-args", "args"),
    ("build-arg", "args"),
    ("env", "args"),
    ("extra-hosts", "add-hosts"),
    ("ignore", "exceptions"),
    ("skip", "exceptions"),
    ("allowlist", "exceptions"),
    ("policy", "profile"),
    ("name", "repository"),
    ("branch", "ref"),
    ("git", "url"),
    ("format", "report"),
    ("formats", "report"),
    ("reports", "report"),
];

/// The known keys of a mapping.
pub(super) struct Fields<'n>(Vec<(&'n str, &'n Node)>);

impl Fields<'_> {
    /// Decodes the value of a key, when it is there.
    pub(super) fn take<T: Value>(&mut self, key: &str, cx: &mut Decoder<'_>) -> Setting<T> {
        // Of duplicates the first counts; the others were noted.
        let (_, node) = self.0.iter().find(|(name, _)| *name == key)?;
        if T::NULLABLE && node.is_null() {
            return None;
        }
        let outer = std::mem::replace(&mut cx.key, key.to_owned());
        let value = T::decode(node, cx);
        cx.key = outer;
        Some(Sourced::new(value?, Origin::File(node.mark.clone())))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(name, _)| *name == key)
    }
}

fn is_bool(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}

fn found(node: &Node) -> String {
    match &node.kind {
        _ if node.is_null() => "nothing".to_owned(),
        Kind::Sequence(_) => "a list".to_owned(),
        Kind::Mapping(_) => "a mapping".to_owned(),
        Kind::Scalar { text, plain } => {
            let short: String = text.chars().take(40).collect();
            let kind = if *plain && is_bool(text) {
                "the boolean"
            } else {
                "the text"
            };
            format!("{kind} `{}`", short.escape_debug())
        }
    }
}

impl Value for bool {
    fn decode(node: &Node, cx: &mut Decoder<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar { text, plain: true } if is_bool(text) => {
                Some(text.eq_ignore_ascii_case("true"))
            }
            _ => {
                cx.wrong_type(node, "true or false", None);
                None
            }
        }
    }

    fn shape(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "boolean" })
    }

    fn list(&self, path: &str, origin: &Origin, out: &mut Vec<Listed>) {
        push(path, self.to_string(), origin, out);
    }
}

impl<T: Value> Value for Vec<T> {
    fn decode(node: &Node, cx: &mut Decoder<'_>) -> Option<Self> {
        let Kind::Sequence(items) = &node.kind else {
            let help = match &node.kind {
                Kind::Scalar { text, .. } if !node.is_null() => Some(format!("write `[{text}]`")),
                _ => None,
            };
            cx.wrong_type(node, "a list", help);
            return None;
        };
        // Every item is read, so that every fault is found.
        let read: Vec<Option<T>> = items.iter().map(|item| T::decode(item, cx)).collect();
        read.into_iter().collect()
    }

    fn shape(generator: &mut SchemaGenerator) -> Schema {
        let items = T::shape(generator);
        json_schema!({ "type": "array", "items": items })
    }

    fn list(&self, path: &str, origin: &Origin, out: &mut Vec<Listed>) {
        for (index, item) in self.iter().enumerate() {
            item.list(&format!("{path}[{index}]"), origin, out);
        }
    }
}

/// Values by name, each with its own origin; levels join, key by key.
pub type Map<T> = IndexMap<String, Sourced<T>>;

impl<T: Value> Value for Map<T> {
    const NULLABLE: bool = true;

    fn decode(node: &Node, cx: &mut Decoder<'_>) -> Option<Self> {
        let Kind::Mapping(entries) = &node.kind else {
            cx.wrong_type(node, "a mapping of names to values", None);
            return None;
        };
        let mut map = Self::new();
        let mut whole = true;
        for (key, value) in entries {
            let Kind::Scalar { text, .. } = &key.kind else {
                continue;
            };
            let outer = std::mem::replace(&mut cx.key, text.clone());
            match T::decode(value, cx) {
                Some(read) => {
                    let origin = Origin::File(value.mark.clone());
                    map.entry(text.clone())
                        .or_insert(Sourced::new(read, origin));
                }
                None => whole = false,
            }
            cx.key = outer;
        }
        whole.then_some(map)
    }

    fn shape(generator: &mut SchemaGenerator) -> Schema {
        let values = T::shape(generator);
        json_schema!({ "type": ["object", "null"], "additionalProperties": values })
    }

    fn over(self, mut below: Self) -> Self {
        below.extend(self);
        below
    }

    fn list(&self, path: &str, _: &Origin, out: &mut Vec<Listed>) {
        for (key, value) in self {
            value
                .value
                .list(&format!("{path}.{key}"), &value.origin, out);
        }
    }
}

/// Lays a setting over that of a lower level.
pub(super) fn over<T: Value>(above: Setting<T>, below: Setting<T>) -> Setting<T> {
    match (above, below) {
        (Some(above), Some(below)) => {
            Some(Sourced::new(above.value.over(below.value), above.origin))
        }
        (above, below) => above.or(below),
    }
}

pub(super) fn push(path: &str, value: String, origin: &Origin, out: &mut Vec<Listed>) {
    out.push(Listed {
        path: path.to_owned(),
        value,
        origin: origin.clone(),
    });
}
