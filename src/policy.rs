//! Profiles (rule × profile), exceptions, and the judgement over all assessments.

use crate::finding::{Assessment, Outcome, Verdict};

/// Which policy an image is held to; openshift-preflight's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// UBI-based, not root
    #[default]
    Container,
    /// UBI-based, privileged in the project
    Root,
    /// from scratch, not root
    ScratchNonroot,
    /// from scratch, privileged in the project
    ScratchRoot,
    /// Konflux
    Konflux,
}

/// A granted exception: this rule does not block until `expires`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// rule id (aliases already resolved)
    pub rule: String,
    /// why it was granted
    pub reason: String,
    /// last day it holds, `YYYY-MM-DD`, UTC
    pub expires: Option<jiff::civil::Date>,
    /// only findings whose key or path matches this; everything when absent
    pub matching: Option<String>,
}

/// What all assessments together come to.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// service's thirteen first, in the service's order, then ours
    pub assessments: Vec<Assessment>,
}

impl Judgement {
    /// Some blocking assessment failed.
    pub fn rejected(&self) -> bool {
        self.assessments
            .iter()
            .any(|a| a.blocking && matches!(a.outcome, Outcome::Assessed(Verdict::Failed(_))))
    }

    /// Some blocking assessment lacked its facts.
    pub fn unassessed(&self) -> bool {
        self.assessments
            .iter()
            .any(|a| a.blocking && matches!(a.outcome, Outcome::NotAssessed(_)))
    }
}
