//! Texts and versions that rows share: there are more than a million rows, of some ten thousand texts.

use std::{collections::HashSet, sync::Arc};

use crate::advisory::{FixedEvr, Row};

/// One of each that was seen. It is no part of what a database says.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    texts: HashSet<Arc<str>>,
    evrs: HashSet<Arc<FixedEvr>>,
}

impl PartialEq for Pool {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Pool {}

impl Pool {
    /// The shared one of a text.
    pub(super) fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&new));
        new
    }

    /// The shared one of a version.
    pub(super) fn evr(&mut self, evr: &FixedEvr) -> Arc<FixedEvr> {
        if let Some(known) = self.evrs.get(evr) {
            return Arc::clone(known);
        }
        let new = Arc::new(evr.clone());
        self.evrs.insert(Arc::clone(&new));
        new
    }

    /// Lets a row share what is known.
    pub(super) fn share(&mut self, row: &mut Row) {
        row.name = self.text(&row.name);
        row.module = row.module.as_deref().map(|module| self.text(module));
        row.cpe = self.text(&row.cpe);
        row.fixed = self.evr(&row.fixed);
    }
}
