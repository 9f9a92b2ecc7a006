//! YAML as a tree whose every node knows its place. Bounded in size, depth and aliases; duplicate
//! keys, second documents and tags are faults. What a scalar means is decided by who reads it, so
//! `1.10` stays the text `1.10`.

use std::{collections::HashMap, sync::Arc};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::{
    fault::{Fault, Faults},
    sourced::{Mark, Origin},
};

/// Deepest nesting; the configuration itself needs eight.
const MAX_DEPTH: usize = 32;
/// Most nodes, those that aliases repeat counted again.
const MAX_NODES: usize = 20_000;

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) mark: Mark,
    /// nodes in it, itself included
    size: usize,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// a text; `plain` when it was written without quotes
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// An empty plain scalar, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

/// A collection that is not closed yet.
struct Open {
    /// keys and values in turn, or the items
    nodes: Vec<Node>,
    mapping: bool,
    mark: Mark,
    anchor: usize,
}

/// Reads the one document of a file; `None` when it is empty or when `faults` say why not.
pub(super) fn parse(file: &Arc<str>, text: &str, faults: &mut Faults) -> Option<Node> {
    let mut tree = Tree {
        file,
        text,
        offsets: text.char_indices().map(|(at, _)| at).collect(),
        faults,
        stack: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        root: None,
    };
    if tree.has_control_characters() {
        return None;
    }
    let mut parser = Parser::new(StrInput::new(text));
    let mut documents = 0_u32;
    while let Some(event) = parser.next_event() {
        match event {
            Err(error) => {
                tree.scan_error(&error);
                return None;
            }
            Ok((Event::DocumentStart(_), span)) => {
                documents += 1;
                if documents > 1 {
                    tree.fault(
                        span,
                        "a second document in the same file",
                        "keep one document: remove this `---` and what follows",
                    );
                    return None;
                }
            }
            Ok((event, span)) => tree.event(event, span).ok()?,
        }
    }
    tree.root
}

/// The fault is in the list; reading further makes no sense.
struct Stop;

struct Tree<'a> {
    file: &'a Arc<str>,
    text: &'a str,
    /// byte of each character
    offsets: Vec<usize>,
    faults: &'a mut Faults,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
}

impl Tree<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text = text.into_owned();
                let plain = style == ScalarStyle::Plain && !self.is_text_tag(tag.as_deref(), span);
                let mark = self.mark(span.start, span.end);
                let kind = Kind::Scalar { text, plain };
                self.add(
                    Node {
                        kind,
                        mark,
                        size: 1,
                    },
                    anchor,
                    span,
                )
            }
            Event::SequenceStart(anchor, tag) => self.open(false, anchor, tag.as_deref(), span),
            Event::MappingStart(anchor, tag) => self.open(true, anchor, tag.as_deref(), span),
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id) else {
                    self.fault(
                        span,
                        "an alias within the value that it stands for",
                        "write the value out",
                    );
                    return Err(Stop);
                };
                // Its size is counted before it is copied: this is what stops a bomb.
                self.count(node.size, span)?;
                let mut node = self.anchors.get(&id).cloned().ok_or(Stop)?;
                node.mark = self.mark(span.start, span.end);
                self.place(node);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        mapping: bool,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Stop> {
        if self.stack.len() >= MAX_DEPTH {
            self.too_deep(span);
            return Err(Stop);
        }
        self.is_text_tag(tag, span);
        let mark = self.mark(span.start, span.end);
        self.stack.push(Open {
            nodes: Vec::new(),
            mapping,
            mark,
            anchor,
        });
        Ok(())
    }

    fn close(&mut self, span: Span) -> Result<(), Stop> {
        let open = self.stack.pop().ok_or(Stop)?;
        let mut mark = open.mark;
        mark.span.1 = self.byte(span.end).max(mark.span.1);
        let size = 1 + open.nodes.iter().map(|node| node.size).sum::<usize>();
        let kind = if open.mapping {
            let mut entries = Vec::with_capacity(open.nodes.len() / 2);
            let mut nodes = open.nodes.into_iter();
            while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
                entries.push((key, value));
            }
            self.find_duplicates(&entries);
            Kind::Mapping(entries)
        } else {
            Kind::Sequence(open.nodes)
        };
        let node = Node { kind, mark, size };
        // The nodes within were counted when they came.
        self.add(node, open.anchor, span)
    }

    fn add(&mut self, node: Node, anchor: usize, span: Span) -> Result<(), Stop> {
        self.count(1, span)?;
        if anchor != 0 {
            // The copy is bounded as the text is: anchors nest at most `MAX_DEPTH` deep.
            self.anchors.insert(anchor, node.clone());
        }
        self.place(node);
        Ok(())
    }

    fn count(&mut self, size: usize, span: Span) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(size);
        if self.nodes > MAX_NODES {
            self.fault(
                span,
                &format!("more than {MAX_NODES} values once aliases are followed"),
                "write the values out, or split the file",
            );
            return Err(Stop);
        }
        Ok(())
    }

    fn place(&mut self, node: Node) {
        match self.stack.last_mut() {
            Some(open) => open.nodes.push(node),
            None => self.root = Some(node),
        }
    }

    fn find_duplicates(&mut self, entries: &[(Node, Node)]) {
        let mut seen: HashMap<&str, &Mark> = HashMap::new();
        for (key, _) in entries {
            let Kind::Scalar { text, .. } = &key.kind else {
                self.faults.push(
                    Origin::File(key.mark.clone()),
                    "a key must be a text".to_owned(),
                    None,
                );
                continue;
            };
            if let Some(first) = seen.insert(text, &key.mark) {
                self.faults.list.push(Fault {
                    message: format!("`{text}` is set twice"),
                    origin: Origin::File(key.mark.clone()),
                    help: Some("keep one of the two".to_owned()),
                    also: Some((first.clone(), "first set here")),
                });
            }
        }
    }

    /// `!!str` makes a text of what follows; other tags are faults.
    fn is_text_tag(&mut self, tag: Option<&Tag>, span: Span) -> bool {
        let Some(tag) = tag else { return false };
        let text = tag.is_yaml_core_schema() && tag.suffix == "str";
        if !text && !tag.suffix.is_empty() {
            self.fault(
                span,
                "YAML tags have no meaning here",
                "remove the `!…` before this value",
            );
        }
        text
    }

    /// The parser takes a NUL for the end of the file, which would hide whatever follows.
    fn has_control_characters(&mut self) -> bool {
        let is_bad = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}');
        let Some((at, bad)) = self.text.char_indices().find(|(_, c)| is_bad(*c)) else {
            return false;
        };
        let mark = mark_at(self.file, self.text, at, at + bad.len_utf8());
        self.faults.push(
            Origin::File(mark),
            format!("control character U+{:04X}", u32::from(bad)),
            Some("remove it; in a quoted text write it as an escape, such as `\\x00`".to_owned()),
        );
        true
    }

    fn scan_error(&mut self, error: &ScanError) {
        let marker = *error.marker();
        if error.info() == "recursion limit exceeded" {
            // The parser looks ahead and meets its own limit before ours.
            self.too_deep(Span::empty(marker));
            return;
        }
        let at = self.byte(marker).min(self.text.len());
        let line = self.text.get(..at).unwrap_or_default();
        let line = line
            .get(line.rfind('\n').map_or(0, |at| at + 1)..)
            .unwrap_or_default();
        let rest = self.text.get(at..).unwrap_or_default();
        let rest = rest
            .get(..rest.find('\n').unwrap_or(rest.len()))
            .unwrap_or_default();
        let whole = format!("{line}{rest}");
        let indent = &whole[..whole.len() - whole.trim_start().len()];
        let help = indent
            .contains('\t')
            .then(|| "indent with spaces: YAML forbids tabs".to_owned());
        let mark = self.mark(marker, marker);
        self.faults.push(
            Origin::File(mark),
            format!("not YAML: {}", error.info()),
            help,
        );
    }

    fn too_deep(&mut self, span: Span) {
        let message = format!("nested deeper than {MAX_DEPTH} levels");
        self.fault(span, &message, "the configuration needs eight");
    }

    fn fault(&mut self, span: Span, message: &str, help: &str) {
        let mark = self.mark(span.start, span.end);
        self.faults.push(
            Origin::File(mark),
            message.to_owned(),
            Some(help.to_owned()),
        );
    }

    fn byte(&self, marker: Marker) -> usize {
        self.offsets
            .get(marker.index())
            .copied()
            .unwrap_or(self.text.len())
    }

    fn mark(&self, start: Marker, end: Marker) -> Mark {
        let from = self.byte(start);
        Mark {
            file: Arc::clone(self.file),
            line: start.line(),
            column: start.col() + 1,
            span: (from, self.byte(end).max(from)),
        }
    }
}

/// The mark of a range of bytes, for faults found before the parser runs.
pub(super) fn mark_at(file: &Arc<str>, text: &str, from: usize, to: usize) -> Mark {
    let before = text.get(..from).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    Mark {
        file: Arc::clone(file),
        line: before.matches('\n').count() + 1,
        column,
        span: (from, to),
    }
}
