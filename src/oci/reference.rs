//! Image references: `registry/repository[:tag][@digest]` (distribution-spec grammar).
//!
//! Strict: nothing is filled in. Defaulting (`docker.io/library`, `latest`) is a named function
//! called at the edge of the command line.

use std::fmt;

use super::Digest;

/// `registry/repository[:tag][@digest]`, every part as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// host name with optional port
    pub registry: String,
    /// path below the registry
    pub repository: String,
    /// tag, at most 128 characters
    pub tag: Option<String>,
    /// digest of the manifest
    pub digest: Option<Digest>,
}

/// Why a text is not an image reference.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not an image reference: {reason}")]
pub struct ReferenceError {
    /// what was given
    pub text: String,
    /// what is wrong with it
    pub reason: String,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest
            .iter()
            .try_for_each(|digest| write!(f, "@{digest}"))
    }
}
