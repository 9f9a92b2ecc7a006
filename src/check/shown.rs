//! Words of an image in messages: labels, names of packages and the like may hold anything, so what
//! would leave its line or drive a terminal is escaped, and what is endless is cut.

use crate::finding::{Finding, Verdict};

/// Characters of one message.
const LONGEST: usize = 1000;

/// Findings of one rule; a `chmod -R` can change every file there is.
const MOST: usize = 1000;

/// Escapes and cuts whatever a check says. Keys stay as they are: they are compared, not read.
pub(super) fn clean(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Passed { note } => Verdict::Passed {
            note: note.map(|note| line(&note)),
        },
        Verdict::Warning(findings) => Verdict::Warning(all(findings)),
        Verdict::Failed(findings) => Verdict::Failed(all(findings)),
        Verdict::NotApplicable(reason) => Verdict::NotApplicable(line(&reason)),
    }
}

fn all(findings: Vec<Finding>) -> Vec<Finding> {
    let more = findings.len().saturating_sub(MOST);
    let mut findings: Vec<_> = findings.into_iter().take(MOST).map(finding).collect();
    if more > 0 {
        findings.push(
            Finding::new(
                "more",
                format!("{more} more findings of this rule are not listed"),
            )
            .remedy("mend those that are listed first"),
        );
    }
    findings
}

fn finding(mut finding: Finding) -> Finding {
    finding.message = line(&finding.message);
    finding.package = finding.package.map(|package| line(&package));
    finding.remedy = finding.remedy.map(|remedy| line(&remedy));
    // A line that had to be escaped would not mend anything.
    finding.patch = finding.patch.filter(|patch| *patch == line(patch));
    finding
}

/// One line of printable text, at most [`LONGEST`] characters.
pub(super) fn line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(LONGEST));
    for (count, c) in text.chars().enumerate() {
        if count == LONGEST {
            shown.push('…');
            break;
        }
        if c.is_control() || turns(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Invisible characters that change the direction of text, so that it reads as other text.
fn turns(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::check::{assess, testing::Image};

    #[test]
    fn a_hostile_label_cannot_leave_its_line_or_drive_a_terminal() {
        let value = "Red Hat\n::error::x\u{1b}[2J\u{202e}";
        let subject = Image::good().label("vendor", value).build();
        let assessments = assess(&subject, |rule| rule.id == "has_no_prohibited_labels");
        assert_eq!(
            assessments[0].findings()[0].message,
            "label `vendor` is `Red Hat\\n::error::x\\u{1b}[2J\\u{202e}`, which uses Red Hat's trademark"
        );
    }

    #[test]
    fn long_texts_are_cut_and_patches_that_would_be_changed_are_not_offered() {
        assert_eq!(line(&"é".repeat(5000)).chars().count(), LONGEST + 1);
        assert_eq!(line("naïve – ok"), "naïve – ok");
        let clean = finding(Finding::new("k", "m").patch("a\nb"));
        assert_eq!(clean.patch, None);
    }

    #[test]
    fn findings_without_end_are_cut_and_counted() {
        let many = |count| {
            (0..count)
                .map(|n| Finding::new(n.to_string(), "m"))
                .collect()
        };
        assert_eq!(all(many(1000)).len(), 1000);
        let cut = all(many(1234));
        assert_eq!(cut.len(), 1001);
        assert_eq!(
            cut[1000].message,
            "234 more findings of this rule are not listed"
        );
    }

    proptest! {
        #[test]
        fn every_text_becomes_one_printable_line(text in any::<String>()) {
            let shown = line(&text);
            prop_assert!(!shown.chars().any(|c| c.is_control() || turns(c)));
        }
    }
}
