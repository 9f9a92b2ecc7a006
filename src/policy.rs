//! Profiles (rule × profile), exceptions, and the judgement over all assessments.
//!
//! Which rules block is decided here and nowhere else; what is true of an image is the checks'
//! business. No clock: the caller says which day it is.

use jiff::civil::Date;

use crate::{
    finding::{Assessment, Finding, Outcome, Verdict},
    oci::Digest,
    rule::{Level, Rule},
    subject::Subject,
};

mod profile;

use profile::Weight::{Block, BlockKnown, Off, Warn};
pub use profile::{Profile, UnknownProfile, Weight, weight};

/// A granted exception: this rule does not block until `expires`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// rule id (aliases already resolved)
    pub rule: String,
    /// why it was granted
    pub reason: String,
    /// last day it holds, `YYYY-MM-DD`, UTC
    pub expires: Option<Date>,
    /// only findings whose key or path matches this (`*` stands for any text); everything when absent
    pub matching: Option<String>,
}

impl Exception {
    /// Whether its last day is over.
    pub fn expired(&self, today: Date) -> bool {
        self.expires.is_some_and(|last| last < today)
    }

    fn covers(&self, finding: &Finding) -> bool {
        let Some(pattern) = &self.matching else {
            return true;
        };
        let path = finding.path.as_ref().map(ToString::to_string);
        matches(pattern, &finding.key) || path.is_some_and(|path| matches(pattern, &path))
    }
}

/// `*` stands for any text, the empty one too. Linear in the text for each part of the pattern.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some(at) = text.find(part) else {
            return false;
        };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

/// What the configuration asks for.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// the column of the table
    pub profile: Profile,
    /// ids of rules that block whatever the profile says
    pub required: Vec<String>,
    /// ids of the only rules to assess; all when empty
    pub only: Vec<String>,
    /// granted exceptions
    pub exceptions: Vec<Exception>,
}

impl Policy {
    /// Whether the rule is to be assessed at all. Rules that the profile does not ask for are, so
    /// that each of the service's thirteen stands in the report.
    pub fn selects(&self, rule: &Rule) -> bool {
        self.only.is_empty() || self.only.iter().any(|id| id == rule.id)
    }

    /// What the rule weighs: the profile's word, unless it is marked required.
    pub fn weight(&self, rule: &Rule) -> Weight {
        if self.required.iter().any(|id| id == rule.id) {
            Block
        } else {
            weight(rule, self.profile)
        }
    }
}

/// Weighs assessments by a policy. `today` is the day in UTC; an exception that has expired counts
/// for nothing and is listed by [`Judgement::expired`].
pub fn judge(assessments: Vec<Assessment>, policy: &Policy, today: Date) -> Judgement {
    let assessments: Vec<_> = assessments
        .into_iter()
        .filter(|assessment| policy.selects(assessment.rule))
        .map(|assessment| weigh(assessment, policy, today))
        .collect();
    let concerned = |exception: &&Exception| {
        assessments.iter().any(|assessment| {
            assessment.rule.id == exception.rule
                && assessment.blocking
                && (is_failed(&assessment.outcome) || is_unassessed(&assessment.outcome))
        })
    };
    let expired = policy
        .exceptions
        .iter()
        .filter(|exception| exception.expired(today))
        .filter(concerned)
        .cloned()
        .collect();
    Judgement {
        assessments,
        expired,
        digest: None,
    }
}

/// [`judge`], bound to the image that was assessed: what comes of it may be pushed, when accepted.
pub fn judge_image(
    subject: &Subject,
    assessments: Vec<Assessment>,
    policy: &Policy,
    today: Date,
) -> Judgement {
    Judgement {
        digest: Some(subject.digest.clone()),
        ..judge(assessments, policy, today)
    }
}

fn weigh(mut assessment: Assessment, policy: &Policy, today: Date) -> Assessment {
    let rule = assessment.rule;
    let weight = policy.weight(rule);
    assessment.blocking = match weight {
        Block => true,
        BlockKnown => !is_unassessed(&assessment.outcome),
        Warn | Off => false,
    };
    assessment.exception = None;
    assessment.outcome = match (assessment.outcome, weight) {
        (_, Off) => Outcome::Assessed(Verdict::NotApplicable(format!(
            "the profile {} does not ask for it",
            policy.profile
        ))),
        (Outcome::Assessed(Verdict::Failed(findings)), Warn) => {
            Outcome::Assessed(Verdict::Warning(findings))
        }
        // A rule that can but warn was marked required: then its warnings are what is meant.
        (Outcome::Assessed(Verdict::Warning(findings)), Block) if rule.level == Level::Warning => {
            Outcome::Assessed(Verdict::Failed(findings))
        }
        (outcome, _) => outcome,
    };
    if assessment.blocking
        && let Some(reason) = excused(&assessment, policy, today)
    {
        assessment.blocking = false;
        assessment.exception = Some(reason);
    }
    assessment
}

fn is_failed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Assessed(Verdict::Failed(_)))
}

fn is_unassessed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotAssessed(_))
}

/// The reasons of the exceptions that together cover everything that would block; `None` when there
/// is nothing to excuse or something is left.
fn excused(assessment: &Assessment, policy: &Policy, today: Date) -> Option<String> {
    let granted: Vec<&Exception> = policy
        .exceptions
        .iter()
        .filter(|exception| exception.rule == assessment.rule.id && !exception.expired(today))
        .collect();
    let used: Vec<&Exception> = match &assessment.outcome {
        Outcome::Assessed(Verdict::Failed(findings)) => {
            let covering = |finding| granted.iter().copied().find(|e| e.covers(finding));
            findings.iter().map(covering).collect::<Option<_>>()?
        }
        // Nothing was found that a pattern could match.
        Outcome::NotAssessed(_) => {
            let whole = granted.iter().copied().find(|e| e.matching.is_none());
            whole.into_iter().collect()
        }
        Outcome::Assessed(_) => Vec::new(),
    };
    let mut reasons: Vec<&str> = Vec::new();
    for exception in used {
        if !reasons.contains(&exception.reason.as_str()) {
            reasons.push(&exception.reason);
        }
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// What all assessments together come to. Made by [`judge`] alone.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// service's thirteen first, in the service's order, then ours
    pub assessments: Vec<Assessment>,
    /// Private, so that no other module makes up a judgement.
    expired: Vec<Exception>,
    /// manifest of the image; `None` for a prediction, which is about no image
    digest: Option<Digest>,
}

impl Judgement {
    /// Over nothing: never accepted.
    pub fn none() -> Self {
        Self {
            assessments: Vec::new(),
            expired: Vec::new(),
            digest: None,
        }
    }

    /// Exceptions that would have counted had they not expired.
    pub fn expired(&self) -> &[Exception] {
        &self.expired
    }

    /// Some blocking assessment failed.
    pub fn rejected(&self) -> bool {
        self.blocking(is_failed).next().is_some()
    }

    /// Some blocking assessment lacked its facts, or no rule said anything at all.
    pub fn unassessed(&self) -> bool {
        self.silent() || self.blocking(is_unassessed).next().is_some()
    }

    /// No rule passed, warned or failed: nothing was judged.
    fn silent(&self) -> bool {
        !self.assessments.iter().any(|assessment| {
            matches!(
                assessment.outcome,
                Outcome::Assessed(
                    Verdict::Passed { .. } | Verdict::Warning(_) | Verdict::Failed(_)
                )
            )
        })
    }

    /// The only way to an [`Accepted`]: at least one rule was assessed, none that blocks failed, and
    /// none that blocks lacked its facts.
    pub fn accept(self) -> Result<Accepted, Rejected> {
        let failed = self.names(is_failed);
        let unassessed = self.names(is_unassessed);
        if self.silent() || !failed.is_empty() || !unassessed.is_empty() {
            return Err(Rejected {
                judgement: self,
                failed,
                unassessed,
            });
        }
        Ok(Accepted {
            judgements: vec![self],
        })
    }

    fn blocking(&self, of: impl Fn(&Outcome) -> bool) -> impl Iterator<Item = &Assessment> {
        self.assessments
            .iter()
            .filter(move |assessment| assessment.blocking && of(&assessment.outcome))
    }

    fn names(&self, of: impl Fn(&Outcome) -> bool) -> Vec<&'static str> {
        self.blocking(of)
            .map(|assessment| assessment.rule.id)
            .collect()
    }
}

/// Images that may be pushed. Only [`Judgement::accept`] makes one, so that what was not accepted
/// has no way to a registry.
#[derive(Debug)]
pub struct Accepted {
    /// one at least
    judgements: Vec<Judgement>,
}

impl Accepted {
    /// What they were accepted by.
    pub fn judgements(&self) -> &[Judgement] {
        &self.judgements
    }

    /// The images of an index, each of which was accepted.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.judgements.extend(other.judgements);
        self
    }

    /// Whether the image with this manifest is one of them.
    pub fn covers(&self, manifest: &Digest) -> bool {
        self.judgements
            .iter()
            .any(|judgement| judgement.digest.as_ref() == Some(manifest))
    }
}

/// An image that may not be pushed.
#[derive(Debug)]
pub struct Rejected {
    /// the whole judgement
    pub judgement: Judgement,
    /// blocking rules that failed
    pub failed: Vec<&'static str>,
    /// blocking rules that lacked their facts
    pub unassessed: Vec<&'static str>,
}

impl std::fmt::Display for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.failed.as_slice(), self.unassessed.as_slice()) {
            ([], []) => f.write_str("no rule was assessed"),
            ([], unassessed) => write!(f, "could not assess {}", unassessed.join(", ")),
            (failed, []) => write!(f, "failed {}", failed.join(", ")),
            (failed, unassessed) => write!(
                f,
                "failed {}; could not assess {}",
                failed.join(", "),
                unassessed.join(", ")
            ),
        }
    }
}

impl std::error::Error for Rejected {}

#[cfg(test)]
mod tests;
