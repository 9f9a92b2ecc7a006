//! Severities of advisories, and the least one that fails an image.

use schemars::{Schema, json_schema};

use super::{
    Words,
    decode::{Leaf, Problem},
    section::leaf,
    values::one_of,
};

leaf!(Severity);

/// Severity of an advisory, in Red Hat's words or those of scanners; the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Low
    Low,
    /// Moderate
    Moderate,
    /// Important
    Important,
    /// Critical
    Critical,
}

impl Severity {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Moderate, Self::Important, Self::Critical];
}

impl Leaf for Severity {
    fn parse(text: &str, _: &Words) -> Result<Self, Problem> {
        one_of("severity", &text.to_ascii_lowercase(), SEVERITIES)
    }
    fn leaf_shape() -> Schema {
        let words: Vec<&str> = SEVERITIES.iter().map(|(word, _)| *word).collect();
        json_schema!({ "enum": words })
    }
    fn show(&self) -> String {
        let word = SEVERITIES.iter().find(|(_, value)| value == self);
        word.map_or_else(String::new, |(word, _)| (*word).to_owned())
    }
}

/// Red Hat's word for each comes first.
const SEVERITIES: &[(&str, Severity)] = &[
    ("critical", Severity::Critical),
    ("important", Severity::Important),
    ("moderate", Severity::Moderate),
    ("low", Severity::Low),
    ("high", Severity::Important),
    ("medium", Severity::Moderate),
];

/// The least severity of a list of severities, which must hold all above it.
pub(super) fn cutoff(texts: &[String], words: &Words) -> Result<Severity, Problem> {
    let mut given = Vec::new();
    for text in texts {
        given.push(Severity::parse(text, words)?);
    }
    let least = given.iter().min().copied();
    let least = least.ok_or_else(|| Problem::new("no severity is named"))?;
    let gap = Severity::ALL
        .iter()
        .find(|severity| **severity > least && !given.contains(severity));
    if let (Some(gap), true) = (gap, given.len() > 1) {
        let (least, gap) = (least.show(), gap.show());
        let message = format!("`{least}` without `{gap}`, which is worse");
        let help = format!("name the least severity alone: `{least}`");
        return Err(Problem::new(message).help(Some(help)));
    }
    Ok(least)
}

#[cfg(test)]
mod tests {
    use super::{Severity, cutoff};
    use crate::config::tests::WORDS;

    fn cut(texts: &[&str]) -> Result<Severity, String> {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        cutoff(&texts, &WORDS).map_err(|problem| problem.message)
    }

    #[test]
    fn the_least_severity_is_named_alone_or_with_all_above_it() {
        assert_eq!(cut(&["critical"]), Ok(Severity::Critical));
        assert_eq!(cut(&["HIGH"]), Ok(Severity::Important));
        assert_eq!(cut(&["CRITICAL", "HIGH"]), Ok(Severity::Important));
        assert_eq!(cut(&["medium"]), Ok(Severity::Moderate));
        assert!(cut(&["CRITICAL", "LOW"]).is_err(), "what is between?");
        for none in ["negligible", "unknown", "UNKNOWN,LOW", ""] {
            assert!(cut(&[none]).is_err(), "{none}");
        }
    }
}
