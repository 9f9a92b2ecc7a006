//! Faults of the configuration: all of them at once, each with the line and a caret below it.

use std::{
    fmt::{self, Write as _},
    ops::Range,
    sync::Arc,
};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::sourced::{Mark, Origin};
use crate::report::printable;

/// So many faults are shown in full; the rest is counted.
const SHOWN: usize = 50;

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// what is wrong, with the offending value
    pub message: String,
    /// who set it
    pub origin: Origin,
    /// what to do about it
    pub help: Option<String>,
    /// another place that has to do with it: where, and what is there
    pub also: Option<(Mark, &'static str)>,
}

/// Every fault of the configuration, and the file that some of them point into.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    pub(super) text: Arc<str>,
    pub(super) list: Vec<Fault>,
}

impl Faults {
    /// No faults yet, in a file of this content.
    pub(super) fn of(text: &str) -> Self {
        Self {
            text: text.into(),
            list: Vec::new(),
        }
    }

    /// Adds one.
    pub(super) fn push(&mut self, origin: Origin, message: String, help: Option<String>) {
        self.list.push(Fault {
            message,
            origin,
            help,
            also: None,
        });
    }

    /// The faults: those of the file in the order of its lines, then the others.
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    pub(super) fn sort(&mut self) {
        self.list.sort_by_key(|fault| match &fault.origin {
            Origin::File(mark) => mark.span.0,
            _ => usize::MAX,
        });
    }

    /// All of them as a terminal shows them, each with its line of the file.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut out: Vec<String> = self
            .list
            .iter()
            .take(SHOWN)
            .map(|fault| self.render_one(fault, &renderer))
            .collect();
        if let Some(more) = self.list.len().checked_sub(SHOWN).filter(|n| *n > 0) {
            out.push(format!("… and {more} more faults"));
        }
        out.join("\n\n")
    }

    fn render_one(&self, fault: &Fault, renderer: &Renderer) -> String {
        // Values and names of files stand in these as they were given.
        let message = printable(&fault.message);
        let help = fault.help.as_deref().map(printable);
        let Origin::File(mark) = &fault.origin else {
            let title = match &fault.origin {
                Origin::Default => message,
                origin => format!("{origin}: {message}"),
            };
            let mut out = renderer.render(&[Group::with_title(Level::ERROR.primary_title(title))]);
            if let Some(help) = help {
                let _ = write!(out, "\nhint: {help}");
            }
            return out;
        };
        let file = printable(&mark.file);
        let also = fault.also.as_ref();
        let first = also.map_or(
            mark,
            |(also, _)| if also.span < mark.span { also } else { mark },
        );
        let last = also.map_or(
            mark,
            |(also, _)| if also.span > mark.span { also } else { mark },
        );
        let window = self.lines(first.span.0, last.span.0);
        let within = |mark: &Mark| self.first_line(mark, &window);
        let mut snippet = Snippet::source(self.text.get(window.clone()).unwrap_or_default())
            .line_start(first.line)
            .path(&*file)
            .annotation(AnnotationKind::Primary.span(within(mark)));
        if let Some((also, label)) = also {
            snippet = snippet.annotation(AnnotationKind::Context.span(within(also)).label(*label));
        }
        let group = Level::ERROR.primary_title(&*message).element(snippet);
        let hint = || Level::HELP.with_name(Some("hint"));
        let help = help.iter().map(|help| hint().message(&**help));
        renderer.render(&[group.elements(help)])
    }

    /// The whole lines from the one that holds byte `from` to the one that holds byte `to`.
    fn lines(&self, from: usize, to: usize) -> Range<usize> {
        let before = self.text.get(..from).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let after = self.text.get(to..).unwrap_or_default();
        let end = after.find('\n').map_or(self.text.len(), |at| to + at);
        start..end.max(start)
    }

    /// The part of a value that stands on its first line, counted within `window`.
    fn first_line(&self, mark: &Mark, window: &Range<usize>) -> Range<usize> {
        let (start, end) = mark.span;
        let end = self.lines(start, start).end.min(end).max(start);
        start.saturating_sub(window.start)..end.saturating_sub(window.start)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.list {
            [one] => f.write_str(&one.message),
            list => write!(f, "{} faults in the configuration", list.len()),
        }
    }
}

/// The candidate that `text` is most likely a slip of.
pub(super) fn nearest<'a>(text: &str, among: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Long texts are no slips, and the comparison is quadratic.
    if text.len() > 64 {
        return None;
    }
    let folded = text.to_ascii_lowercase().replace('_', "-");
    among
        .into_iter()
        .map(|candidate| {
            let other = candidate.to_ascii_lowercase().replace('_', "-");
            (strsim::jaro_winkler(&folded, &other), candidate)
        })
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?` when something comes near, else the whole list.
pub(super) fn suggest(text: &str, among: &[&str]) -> Option<String> {
    match nearest(text, among.iter().copied()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if among.is_empty() => None,
        None => Some(format!("one of {}", quoted(among))),
    }
}

/// `` `a`, `b` `` .
pub(super) fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}
