//! What the session leaves behind: the exported archive, and faults of this side in plain words,
//! because the daemon wraps, shortens or swallows them.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use indexmap::IndexMap;

/// Handles kept by the caller of [`super::router`]; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handles {
    /// the archive that the exporter sent
    pub(crate) exported: ExportReceipt,
    /// what went wrong on this side
    pub(crate) troubles: Troubles,
}

/// Tells whether, and what, the exporter sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExportReceipt(Arc<Mutex<Option<Exported>>>);

/// A complete archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exported {
    /// the file
    pub(crate) path: PathBuf,
    /// its size in bytes
    pub(crate) bytes: u64,
    /// `exporter-md-*` metadata, without the prefix (`containerimage.digest`, …)
    pub(crate) metadata: IndexMap<String, String>,
}

impl ExportReceipt {
    /// The archive, once it came whole.
    pub(crate) fn get(&self) -> Option<Exported> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set(&self, exported: Exported) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(exported);
    }
}

/// Faults of this side, in the order they happened.
#[derive(Debug, Clone, Default)]
pub(crate) struct Troubles(Arc<Mutex<Vec<String>>>);

impl Troubles {
    /// All so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn add(&self, trouble: impl Into<String>) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = trouble.into();
        if list.len() < 100 && !list.contains(&trouble) {
            list.push(trouble);
        }
    }

    /// How many keep this list; each part of a running transfer is one.
    #[cfg(test)]
    pub(super) fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}
