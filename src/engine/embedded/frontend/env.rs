//! Variables, and how much a file may do with them.

use std::cell::Cell;

use indexmap::IndexMap;

/// What all expansions, environments and histories of one build may take together, in bytes.
const BUDGET: usize = 32 << 20;

/// Variables in order; one that is set again moves to the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Env(IndexMap<String, String>);

impl Env {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.shift_remove(name);
        self.0.insert(name.to_owned(), value.into());
    }

    pub(super) fn map(&self) -> &IndexMap<String, String> {
        &self.0
    }

    /// Bytes of names and values.
    pub(super) fn size(&self) -> usize {
        let pairs = self.0.iter();
        pairs.map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// Work that a file may still cause.
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(BUDGET))
    }
}

impl Budget {
    /// # Errors
    /// When it is used up.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), String> {
        match self.0.get().checked_sub(bytes) {
            Some(rest) => {
                self.0.set(rest);
                Ok(())
            }
            None => Err("the variables of the Dockerfile grow without end".to_owned()),
        }
    }
}
