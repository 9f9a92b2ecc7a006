//! `LICENSE` of an rpm header: an SPDX expression in packages of today, free text in those of old.

use std::collections::BTreeSet;

use spdx::{Expression, LicenseItem};

/// A licence as a package names it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Licence<'a> {
    /// a valid SPDX expression, and the licences in it that are not on SPDX's list
    Expression(&'a str, BTreeSet<String>),
    /// free text, such as `GPLv2+ and MIT`
    Text(&'a str),
}

impl<'a> Licence<'a> {
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let Ok(expression) = Expression::parse(text) else {
            return Some(Self::Text(text));
        };
        let own =
            expression
                .requirements()
                .filter_map(|requirement| match &requirement.req.license {
                    LicenseItem::Other(_) => Some(requirement.req.license.to_string()),
                    LicenseItem::Spdx { .. } => None,
                });
        Some(Self::Expression(text, own.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::{BTreeSet, Licence};

    #[test]
    fn expressions_are_told_from_the_texts_of_old() {
        let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        for (text, want) in [
            ("MIT", Some(Licence::Expression("MIT", BTreeSet::new()))),
            (
                " GPL-2.0-or-later AND (MIT OR BSD-3-Clause) ",
                Some(Licence::Expression(
                    "GPL-2.0-or-later AND (MIT OR BSD-3-Clause)",
                    BTreeSet::new(),
                )),
            ),
            (
                "GPL-2.0-only WITH Classpath-exception-2.0 AND LicenseRef-Fedora-Public-Domain",
                Some(Licence::Expression(
                    "GPL-2.0-only WITH Classpath-exception-2.0 AND LicenseRef-Fedora-Public-Domain",
                    own(&["LicenseRef-Fedora-Public-Domain"]),
                )),
            ),
            ("GPLv2+ and MIT", Some(Licence::Text("GPLv2+ and MIT"))),
            ("ASL 2.0", Some(Licence::Text("ASL 2.0"))),
            ("  ", None),
        ] {
            assert_eq!(Licence::of(text), want, "{text}");
        }
    }
}
