//! The tag of an image by the service's rule and the `<version>-<n>` convention.

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

impl std::str::FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let refuse = |reason: String| {
            Err(TagError {
                tag: text.to_owned(),
                reason,
            })
        };
        if text.is_empty() {
            return refuse("is empty".to_owned());
        }
        if let Some(first) = text.chars().next().filter(|c| matches!(c, '.' | '-')) {
            return refuse(format!("starts with `{first}`"));
        }
        let bad = |c: &char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | '-');
        if let Some(other) = text.chars().find(bad) {
            return refuse(format!(
                "`{}` is none of letters, digits, `_`, `.` and `-`",
                other.escape_default()
            ));
        }
        if text.len() > 32 {
            return refuse(format!("{} characters long, 32 at most", text.len()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
