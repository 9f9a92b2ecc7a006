//! `github`: workflow commands, so that a run annotates without any permission at all.

use std::io;

use super::{Change, Report, Reporter, view};
use view::Weight;

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
        let items = view::by_weight(report);
        for (weight, command) in [
            (Weight::Error, "error"),
            (Weight::Warning, "warning"),
            (Weight::Note, "notice"),
        ] {
            let of_weight: Vec<_> = items.iter().filter(|item| item.weight == weight).collect();
            let shown = if of_weight.len() > PER_LEVEL {
                PER_LEVEL - 1
            } else {
                PER_LEVEL
            };
            for item in of_weight.iter().take(shown) {
                write_command(command, item, out)?;
            }
            if of_weight.len() > PER_LEVEL {
                let rest = of_weight.len() - shown;
                writeln!(out, "::{command} title=plimsoll::{rest} more in the report")?;
            }
        }
        Ok(())
    }
}

fn write_command(command: &str, item: &view::Item<'_>, out: &mut dyn io::Write) -> io::Result<()> {
    let mut properties = Vec::new();
    if let Some(location) = &item.finding.location {
        properties.push(format!("file={}", escape_property(&location.file)));
        properties.push(format!("line={}", location.line));
        properties.push(format!("endLine={}", location.end_line));
    }
    properties.push(format!("title={}", escape_property(item.rule)));
    let remedy = item
        .finding
        .remedy
        .as_ref()
        .map(|r| format!("\n{r}"))
        .unwrap_or_default();
    let new = match item.change {
        Some(Change::New) => "new: ",
        _ => "",
    };
    let message: String = format!("{new}{}{remedy}", item.finding.message)
        .chars()
        .take(MESSAGE)
        .collect();
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
