//! Which module stream a package is of that has no label.

use std::collections::BTreeSet;

use super::{Installed, Search};

/// Packages that a note names.
const NAMED: usize = 10;

impl<'a> Search<'a> {
    /// The enabled streams that a package of a module without a label may be of: those of which
    /// advisories have packages of that name.
    pub(super) fn streams_of(&mut self, package: &'a Installed, enabled: &[String]) -> Vec<String> {
        let name = &package.nevra.name;
        let rows = self.database.rows_of(name);
        let known: BTreeSet<u16> = rows.map(|row| row.module).filter(|own| *own != 0).collect();
        let is_known = |label: &&String| {
            let number = self.modules.get(label.as_str());
            number.is_some_and(|number| known.contains(number))
        };
        let found: Vec<String> = enabled.iter().filter(is_known).cloned().collect();
        if found.is_empty() && !known.is_empty() && !self.tells_of(enabled, &known) {
            self.unlabelled.insert(name);
        }
        found
    }

    /// Some stream of one of these modules is enabled, if one that no advisory is about.
    fn tells_of(&self, enabled: &[String], modules: &BTreeSet<u16>) -> bool {
        let all = self.modules.iter();
        let named = all.filter(|(_, number)| modules.contains(number));
        let named: BTreeSet<_> = named.filter_map(|(label, _)| name(label)).collect();
        enabled
            .iter()
            .filter_map(|label| name(label))
            .any(|own| named.contains(own))
    }

    pub(super) fn unlabelled_note(&self) -> Option<String> {
        let all = &self.unlabelled;
        let named: Vec<&str> = all.iter().take(NAMED).copied().collect();
        let rest = match all.len().saturating_sub(NAMED) {
            0 => String::new(),
            rest => format!(" and {rest} more"),
        };
        (!all.is_empty()).then(|| {
            format!(
                "no label and no list of enabled streams says of which module stream these packages are, so advisories of modules are not looked up for them: {}{rest}",
                named.join(", ")
            )
        })
    }
}

/// `httpd` of `httpd:2.4`.
fn name(label: &str) -> Option<&str> {
    label.split(':').next()
}
