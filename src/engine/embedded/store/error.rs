//! What can go wrong with layers and the cache.

use std::{io, path::Path};

use crate::oci::SourceError;

/// Why a layer or an entry of the cache could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// local files
    #[error("{what}")]
    Io {
        /// path, and what was tried
        what: String,
        /// cause
        #[source]
        source: io::Error,
    },
    /// a layer says something that must not or cannot be done
    #[error("layer {layer}: `{path}`: {reason}")]
    Layer {
        /// its diff id
        layer: String,
        /// the entry
        path: String,
        /// what is wrong with it
        reason: String,
    },
    /// a step left something behind that a layer cannot hold
    #[error("`{path}`: {reason}")]
    Tree {
        /// in the tree
        path: String,
        /// what it is
        reason: String,
    },
    /// reading an image failed
    #[error(transparent)]
    Source(#[from] SourceError),
    /// this machine cannot do it
    #[error("{what}: {reason}")]
    Host {
        /// what was tried
        what: String,
        /// why not, and what to do
        reason: String,
    },
}

impl StoreError {
    /// An error on a path of this machine.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = path.display().to_string();
        move |source| Self::Io { what, source }
    }

    /// An error on something inside a tree.
    pub(crate) fn inside(path: &[u8]) -> impl FnOnce(io::Error) -> Self {
        let what = shown(path);
        move |source| Self::Io { what, source }
    }
}

/// A path in a tree as messages show it, from its root; of a long one both ends.
pub(crate) fn shown(path: &[u8]) -> String {
    const MOST: usize = 200;
    let text = String::from_utf8_lossy(path);
    let length = text.chars().count();
    if length <= MOST {
        return format!("/{text}");
    }
    let start: String = text.chars().take(MOST / 2).collect();
    let end: String = text.chars().skip(length - MOST / 2).collect();
    format!("/{start}…{end}")
}
