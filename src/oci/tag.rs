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
