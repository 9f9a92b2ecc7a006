//! What can go wrong with a push, and what to do about it.

use crate::oci::{Digest, Reference, SourceError};

/// Why an image was not pushed. No variant carries a credential.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// the image, or one in the index, was never judged, or not accepted
    #[error("{digest} was not accepted, so nothing was pushed to {repository}")]
    NotAccepted {
        /// manifest that was not accepted
        digest: Digest,
        /// where it was to go
        repository: Reference,
    },
    /// a tag that names one image for good names another one
    #[error("{reference} names another image: {found}, not {wanted}")]
    TagTaken {
        /// with the tag
        reference: Reference,
        /// digest that it names
        found: Digest,
        /// digest that was to be pushed
        wanted: Digest,
    },
    /// the registry does not let this tag be set
    #[error("the registry does not take the tag {reference}: {reason}")]
    TagRefused {
        /// with the tag
        reference: Reference,
        /// the registry's words
        reason: String,
    },
    /// the registry refused, or is out of reach
    #[error("{what} to {repository}")]
    Registry {
        /// what was being done
        what: String,
        /// where to
        repository: Reference,
        /// cause
        #[source]
        source: SourceError,
    },
    /// the registry says that it holds something else than what was sent
    #[error("{what} in {repository}: the registry says {found}, sent was {wanted}")]
    WrongDigest {
        /// which blob, manifest or tag
        what: String,
        /// where
        repository: Reference,
        /// what the registry says
        found: String,
        /// what it should say
        wanted: Digest,
    },
    /// the image cannot be read
    #[error("the image cannot be read")]
    Image(#[source] SourceError),
    /// the run was stopped
    #[error("the push to {repository} was interrupted; no tag was set unless told above")]
    Interrupted {
        /// where to
        repository: Reference,
    },
}

impl PushError {
    pub(super) fn registry(what: &str, repository: &Reference, source: SourceError) -> Self {
        Self::Registry {
            what: what.to_owned(),
            repository: repository.clone(),
            source,
        }
    }

    /// What the user can do about it, when that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotAccepted { .. } => Some(
                "push the whole image that was scanned; every platform of an index has to be \
                 accepted"
                    .to_owned(),
            ),
            Self::TagTaken { reference, .. } => Some(format!(
                "a tag such as `{}` names one image for good: take the next build number, or move \
                 it with `--force`",
                reference.tag.as_deref().unwrap_or("1.0-1")
            )),
            Self::TagRefused { .. } => {
                Some("the repository keeps its tags: take another tag".to_owned())
            }
            Self::WrongDigest { .. } => Some(
                "what the registry holds cannot be trusted; look at what stands between it and \
                 this machine, then push again"
                    .to_owned(),
            ),
            Self::Image(source) => source.hint(),
            Self::Registry {
                repository, source, ..
            } => match source {
                SourceError::Denied { .. } => Some(format!(
                    "log in with `plimsoll login {}`, and check that the account may push to `{}`",
                    repository.registry, repository.repository
                )),
                SourceError::NotFound { .. } => Some(format!(
                    "create the repository `{}` in the registry first, or check its name",
                    repository.repository
                )),
                other => other.hint(),
            },
            Self::Interrupted { .. } => None,
        }
    }
}
