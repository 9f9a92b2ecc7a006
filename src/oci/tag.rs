//! The tag of an image by the service's rule and the `<version>-<n>` convention.

use std::{fmt, str::FromStr};

/// The longest tag the service takes, in characters.
pub const MAX_TAG_LENGTH: usize = 32;

/// Tags that are moved from image to image, so that they never name one image.
const FLOATING: [&str; 8] = [
    "latest", "stable", "edge", "nightly", "main", "master", "dev", "current",
];

/// A tag that keeps the service's rule: ASCII letters, digits, `_ . -`, not starting with `.` or
/// `-`, at most 32 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag(String);

/// Why a text is not a [`Tag`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tag `{tag}`: {reason}")]
pub struct TagError {
    /// what was given
    pub tag: String,
    /// which character or rule
    pub reason: String,
}

impl Tag {
    /// Every way in which a text breaks the rule, in the order of the text; empty for a good tag.
    /// Characters are counted from 1.
    pub fn violations(text: &str) -> Vec<TagError> {
        let mut reasons = Vec::new();
        if text.is_empty() {
            reasons.push("it is empty".to_owned());
        }
        for (index, c) in text.chars().enumerate() {
            if index == 0 && matches!(c, '.' | '-') {
                reasons.push(format!("character 1, `{c}`, may not start a tag"));
            } else if !is_tag_character(c) {
                reasons.push(format!(
                    "character {}, {}, is not a letter, digit, `_`, `.` or `-` of ASCII",
                    index + 1,
                    shown(c)
                ));
            }
        }
        let length = text.chars().count();
        if length > MAX_TAG_LENGTH {
            reasons.push(format!(
                "it has {length} characters, at most {MAX_TAG_LENGTH} are allowed"
            ));
        }
        reasons
            .into_iter()
            .map(|reason| TagError {
                tag: text.to_owned(),
                reason,
            })
            .collect()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the tag is one that moves from image to image, such as `latest`.
    pub fn is_floating(&self) -> bool {
        Self::floats(&self.0)
    }

    /// [`Tag::is_floating`] for a text that need not keep the rule.
    pub fn floats(text: &str) -> bool {
        FLOATING.iter().any(|name| text.eq_ignore_ascii_case(name))
    }

    /// The parts of `<version>-<build number>`; `None` for tags outside the convention. The build
    /// number is decimal, without leading zeros, from 1.
    pub fn version_and_build(&self) -> Option<(&str, u64)> {
        let (version, build) = self.0.rsplit_once('-')?;
        Some((version, build_number(build)?)).filter(|(version, _)| !version.is_empty())
    }

    /// The tag of the next build of a version: the highest build number among `existing` tags
    /// `<version>-<n>` + 1, or `-1` for the first. An element of `existing` may hold several tags
    /// separated by commas, as the catalog's old interface listed them (`1.0-1, latest`).
    ///
    /// # Errors
    ///
    /// Every violation of the rule by the resulting tag: a bad or too long version.
    pub fn next_build<I, S>(version: &str, existing: I) -> Result<Self, Vec<TagError>>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let highest = existing
            .into_iter()
            .filter_map(|list| highest_build(version, list.as_ref()))
            .max()
            .unwrap_or(0);
        let Some(next) = highest.checked_add(1) else {
            return Err(vec![TagError {
                tag: format!("{version}-{highest}"),
                reason: "there is no higher build number".to_owned(),
            }]);
        };
        format!("{version}-{next}").parse()
    }
}

/// The highest `n` of tags `<version>-<n>` in one comma-separated list.
fn highest_build(version: &str, list: &str) -> Option<u64> {
    list.split(',')
        .filter_map(|tag| tag.trim().strip_prefix(version)?.strip_prefix('-'))
        .filter_map(build_number)
        .max()
}

fn build_number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    (digits && !text.starts_with('0'))
        .then(|| text.parse().ok())
        .flatten()
}

fn is_tag_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

/// A character as a message shows it: itself when it prints, else its code point.
fn shown(c: char) -> String {
    if c.is_ascii_graphic() || c.is_alphanumeric() {
        format!("`{c}`")
    } else if c == ' ' {
        "a space".to_owned()
    } else {
        format!("U+{:04X}", u32::from(c))
    }
}

impl FromStr for Tag {
    type Err = Vec<TagError>;

    fn from_str(text: &str) -> Result<Self, Vec<TagError>> {
        let violations = Self::violations(text);
        if violations.is_empty() {
            Ok(Self(text.to_owned()))
        } else {
            Err(violations)
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Tag {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Tag;

    fn reasons(text: &str) -> Vec<String> {
        Tag::violations(text)
            .into_iter()
            .map(|e| e.reason)
            .collect()
    }

    #[test]
    fn every_violation_is_told_by_character_or_rule() {
        for good in [
            "1.0-1",
            "16.2",
            "v3_7",
            "_x",
            "1",
            "a.b-c_D",
            &"a".repeat(32),
        ] {
            assert_eq!(reasons(good), [""; 0], "{good}");
        }
        for (bad, wants) in [
            ("", &["it is empty"][..]),
            (".x", &["character 1, `.`, may not start a tag"]),
            ("-x", &["character 1, `-`, may not start a tag"]),
            ("1.0 1", &["character 4, a space, is"]),
            (
                "1/0:é",
                &["character 2, `/`", "character 4, `:`", "character 5, `é`"],
            ),
            ("a\tb", &["character 2, U+0009"]),
            ("+", &["character 1, `+`, is not"]),
            (&"a".repeat(33), &["33 characters, at most 32"]),
            (
                &format!("-{}+", "a".repeat(40)),
                &["character 1", "character 42", "42 characters"],
            ),
        ] {
            let found = reasons(bad);
            assert_eq!(found.len(), wants.len(), "{bad}: {found:?}");
            for (reason, want) in found.iter().zip(wants) {
                assert!(reason.contains(want), "{bad}: {reason}");
            }
        }
    }

    #[test]
    fn the_convention_is_version_then_build_number() {
        for (text, want) in [
            ("1.0-1", Some(("1.0", 1))),
            ("3.7-rc1-12", Some(("3.7-rc1", 12))),
            ("1.0", None),
            ("1.0-", None),
            ("1.0-01", None),
            ("1.0-0", None),
            ("1.0-rc1", None),
            ("1.0-99999999999999999999999", None),
        ] {
            let tag: Tag = text.parse().unwrap();
            assert_eq!(tag.version_and_build(), want, "{text}");
        }
    }

    #[test]
    fn the_next_build_is_one_above_the_highest() {
        for (version, existing, want) in [
            ("1.0", vec![], "1.0-1"),
            ("1.0", vec!["1.0-1"], "1.0-2"),
            (
                "1.0",
                vec!["1.0-1, latest", "1.0-9,1.0-10", "1.0.1-44"],
                "1.0-11",
            ),
            ("1.0", vec!["1.0", "1.0-rc7", "11.0-9", "1.0-3-8"], "1.0-1"),
            ("1.0-3", vec!["1.0-3-8"], "1.0-3-9"),
        ] {
            let next = Tag::next_build(version, &existing).unwrap();
            assert_eq!(next.as_str(), want, "{version} {existing:?}");
        }
        assert!(Tag::next_build("1.0", ["1.0-18446744073709551615"]).is_err());
        assert!(Tag::next_build("bad version", [""; 0]).is_err());
        assert!(Tag::next_build(&"9".repeat(31), [""; 0]).is_err());
    }

    #[test]
    fn floating_tags_are_recognised_in_any_case() {
        assert!(Tag::floats("latest") && Tag::floats("Latest"));
        assert!(!Tag::floats("1.0-1") && !Tag::floats("latest-1"));
        assert!("latest".parse::<Tag>().unwrap().is_floating());
    }

    proptest! {
        #[test]
        fn what_parses_keeps_the_rule_and_nothing_else_does(text in "(?s).{0,40}") {
            let legal = regex::Regex::new(r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,31}\z").unwrap();
            prop_assert_eq!(text.parse::<Tag>().is_ok(), legal.is_match(&text));
        }

        #[test]
        fn tags_of_the_alphabet_parse_and_print_back(text in "[A-Za-z0-9_][A-Za-z0-9._-]{0,31}") {
            prop_assert_eq!(text.parse::<Tag>().unwrap().to_string(), text);
        }

        #[test]
        fn the_next_build_is_new_and_in_the_convention(
            version in "[0-9]{1,3}(\\.[0-9]{1,3}){0,2}",
            builds in proptest::collection::vec(1_u64..100_000, 0..20),
        ) {
            let existing: Vec<String> = builds.iter().map(|n| format!("{version}-{n}")).collect();
            let next = Tag::next_build(&version, &existing).unwrap();
            prop_assert!(!existing.contains(&next.to_string()));
            let highest = builds.iter().max().copied().unwrap_or(0);
            prop_assert_eq!(next.version_and_build(), Some((version.as_str(), highest + 1)));
        }
    }
}
