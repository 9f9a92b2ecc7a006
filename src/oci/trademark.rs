//! The trademark rule for names, vendors and maintainers: a product may be *for* Red Hat, it may
//! not be called Red Hat (openshift-preflight's `trademark_validator`, judged alike).

/// Whether a text uses the trademark in a way the certification policy forbids.
///
/// Lower-cased, it violates when it *starts* with `red…hat` (anything that is no letter or digit
/// may stand before and between), or when `red…hat` occurs more often than one `for…red…hat`
/// excuses. There are no word boundaries: `shredhat` counts as an occurrence.
pub fn violates(text: &str) -> bool {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let starts = match_at(&text, skip_separators(&text, 0), "redhat").is_some();
    starts || occurrences(&text, "redhat") > usize::from(occurrences(&text, "forredhat") > 0)
}

fn is_separator(c: char) -> bool {
    !c.is_ascii_lowercase() && !c.is_ascii_digit()
}

fn skip_separators(text: &[char], mut at: usize) -> usize {
    while text.get(at).copied().is_some_and(is_separator) {
        at += 1;
    }
    at
}

/// Matches the words of `phrase` (one of the two the rule knows) with separators between them.
fn match_at(text: &[char], mut at: usize, phrase: &str) -> Option<usize> {
    let words: &[&str] = if phrase == "forredhat" {
        &["for", "red", "hat"]
    } else {
        &["red", "hat"]
    };
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            at = skip_separators(text, at);
        }
        for wanted in word.chars() {
            if text.get(at) != Some(&wanted) {
                return None;
            }
            at += 1;
        }
    }
    Some(at)
}

fn occurrences(text: &[char], phrase: &str) -> usize {
    let (mut count, mut at) = (0, 0);
    while at < text.len() {
        if let Some(end) = match_at(text, at, phrase) {
            count += 1;
            at = end;
        } else {
            at += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::violates;

    #[test]
    fn the_truth_table_of_preflight_holds() {
        for (text, want) in [
            ("Red Hat", true),
            ("Red-Hat", true),
            ("Red_Hat", true),
            ("redhat", true),
            ("RED\t\tHAT", true),
            ("  - red hat, inc.", true),
            ("Red Hat, Inc.", true),
            ("Something for Red Hat OpenShift", false),
            ("For-Red-Hat", false),
            ("For_Red_Hat", false),
            ("for redhat", false),
            ("something by red hat for red hat", true),
            ("red hat product for red hat", true),
            ("for red hat and for red hat", true),
            ("covered hats", true),
            ("shredhat", true),
            ("VendorX", false),
            ("vendorx/plugin", false),
            ("hat red", false),
            ("", false),
        ] {
            assert_eq!(violates(text), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged_and_case_never_counts(text in "(?s).{0,60}") {
            prop_assert_eq!(violates(&text.to_ascii_uppercase()), violates(&text.to_ascii_lowercase()));
        }

        #[test]
        fn starting_with_the_trademark_always_violates(gap in "[^a-zA-Z0-9]{0,5}", rest in ".{0,20}") {
            let text = format!("{gap}red{gap}hat{rest}");
            prop_assert!(violates(&text));
        }
    }
}
