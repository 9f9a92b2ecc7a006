//! The checks: one file a rule, one slice that lists them, one runner. Checks do no I/O, know no
//! clock and cannot fail; what they need is in the [`Subject`].

use crate::{finding::Verdict, rule::Rule, subject::Subject};

/// A fact that a check needs; the runner answers *not assessed* when it is unmet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// [`Subject::tags`]
    Tags,
    /// `Subject::inventory.packages`
    Packages,
    /// `Subject::inventory.modified`
    ModifiedFiles,
    /// the advisory database
    Advisories,
}

/// Decides one rule on one image.
pub trait Check: Sync {
    /// the rule it decides
    fn rule(&self) -> &'static Rule;
    /// facts without which it cannot say anything
    fn needs(&self) -> &'static [Need];
    /// judges; pure
    fn assess(&self, subject: &Subject) -> Verdict;
}
