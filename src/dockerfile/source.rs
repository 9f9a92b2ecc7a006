//! The text of a Dockerfile with its lines: byte offsets to lines and columns.

use std::ops::Range;

use crate::finding::Location;

/// A file's text, without its byte order mark, and where its lines start.
#[derive(Debug, Clone)]
pub(super) struct Source {
    file: String,
    text: String,
    starts: Vec<usize>,
}

impl Source {
    pub(super) fn new(file: &str, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            file: file.to_owned(),
            text,
            starts,
        }
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// A line counted from 0, without its ending; `None` behind the end. The empty piece after
    /// the last line ending is no line.
    pub(super) fn line(&self, index: usize) -> Option<&str> {
        let start = *self.starts.get(index)?;
        let end = self.starts.get(index + 1).copied();
        let line = self.text.get(start..end.unwrap_or(self.text.len()))?;
        if end.is_none() && line.is_empty() {
            return None;
        }
        Some(line.trim_end_matches(['\n', '\r']))
    }

    /// A line counted from 0 with its ending; empty behind the end.
    pub(super) fn whole_line(&self, index: usize) -> &str {
        let start = self.line_start(index);
        let end = self.starts.get(index + 1).copied();
        let range = start..end.unwrap_or(self.text.len());
        self.text.get(range).unwrap_or("")
    }

    /// Offset of a line counted from 0.
    pub(super) fn line_start(&self, index: usize) -> usize {
        self.starts.get(index).copied().unwrap_or(self.text.len())
    }

    /// The line, counted from 0, that holds an offset.
    fn line_of(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset) - 1
    }

    /// Lines and columns of a range of bytes.
    pub(super) fn location(&self, span: &Range<usize>) -> Location {
        let (line, column) = self.position(span.start);
        let (end_line, end_column) = self.position(span.end.max(span.start));
        Location {
            file: self.file.clone(),
            line,
            end_line,
            column: Some(column),
            end_column: Some(end_column),
        }
    }

    /// The whole of a line counted from 0.
    pub(super) fn line_location(&self, index: usize) -> Location {
        let start = self.line_start(index);
        let text = self.line(index).unwrap_or("");
        let indent = text.len() - text.trim_start().len();
        self.location(&(start + indent..start + text.len()))
    }

    fn position(&self, offset: usize) -> (u32, u32) {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.line_of(offset);
        let before = self.text.get(self.line_start(line)..offset).unwrap_or("");
        (number(line), number(before.chars().count()))
    }
}

/// Counted from 0 to counted from 1.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn lines_end_in_lf_or_crlf_and_a_mark_is_no_text() {
        let source = Source::new("D", "\u{feff}a\r\nbé\n\nd");
        let lines: Vec<&str> = (0..).map_while(|index| source.line(index)).collect();
        assert_eq!(lines, ["a", "bé", "", "d"]);
        let at = source.location(&(4..6));
        assert_eq!((at.line, at.column, at.end_column), (2, Some(2), Some(3)));
        assert_eq!(source.location(&(900..901)).line, 4);
    }
}
