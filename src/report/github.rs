//! `github`: workflow commands, so that a run annotates without any permission at all.

use std::io;

use super::{Annotation, AnnotationLevel, Report, Reporter, annotations};

/// `--format github`
pub struct GitHub;

/// The runner keeps ten annotations per level and step (`_maxCountPerIssueType`).
const PER_LEVEL: usize = 10;
/// The runner cuts a message at this many characters.
const MESSAGE: usize = 4096;

impl Reporter for GitHub {
    fn name(&self) -> &'static str {
        "github"
    }

    fn write(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
        write_commands(&annotations(&[report]), out)
    }
}

/// Workflow commands for the annotations of one step, under the runner's limits.
pub(crate) fn write_commands(
    annotations: &[Annotation],
    out: &mut dyn io::Write,
) -> io::Result<()> {
    for (level, command) in [
        (AnnotationLevel::Failure, "error"),
        (AnnotationLevel::Warning, "warning"),
        (AnnotationLevel::Notice, "notice"),
    ] {
        let of_level: Vec<_> = annotations.iter().filter(|a| a.level == level).collect();
        let shown = if of_level.len() > PER_LEVEL {
            PER_LEVEL - 1
        } else {
            PER_LEVEL
        };
        for annotation in of_level.iter().take(shown) {
            write_command(command, annotation, out)?;
        }
        if of_level.len() > PER_LEVEL {
            let rest = of_level.len() - shown;
            writeln!(out, "::{command} title=plimsoll::{rest} more in the report")?;
        }
    }
    Ok(())
}

fn write_command(
    command: &str,
    annotation: &Annotation,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let mut properties = Vec::new();
    if let Some(location) = &annotation.location {
        properties.push(format!("file={}", escape_property(&location.file)));
        properties.push(format!("line={}", location.line));
        properties.push(format!("endLine={}", location.end_line));
    }
    properties.push(format!("title={}", escape_property(&annotation.title)));
    let message: String = annotation.message.chars().take(MESSAGE).collect();
    writeln!(
        out,
        "::{command} {}::{}",
        properties.join(","),
        escape_data(&message)
    )
}

/// Escapes the data of a workflow command (actions/toolkit, `escapeData`).
pub(crate) fn escape_data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes a property of a workflow command (actions/toolkit, `escapeProperty`).
pub(crate) fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{escape_data, escape_property};

    /// The runner's own decoding, in its order.
    fn unescape(text: &str) -> String {
        text.replace("%0D", "\r")
            .replace("%0A", "\n")
            .replace("%3A", ":")
            .replace("%2C", ",")
            .replace("%25", "%")
    }

    proptest! {
        #[test]
        fn an_escaped_command_stays_on_its_line_and_decodes_to_the_text(text in ".*") {
            let data = escape_data(&text);
            prop_assert!(!data.contains('\n') && !data.contains('\r'));
            prop_assert_eq!(unescape(&data), text.clone());
            let property = escape_property(&text);
            prop_assert!(!property.contains([':', ',', '\n', '\r']));
            prop_assert_eq!(unescape(&property), text);
        }
    }
}
