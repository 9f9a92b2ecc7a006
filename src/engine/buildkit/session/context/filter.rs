//! Which paths of a context are wanted: `fsutil`'s filter.

use std::path::Path;

use super::{ContextError, links::OnDisk};
use crate::engine::dockerignore::{
    Matcher, ParentMatches, PatternError, follow_links, without_children,
};

/// What the daemon asked for.
#[derive(Debug, Default)]
pub(in super::super) struct Filter {
    include: Option<Side>,
    exclude: Option<Side>,
}

/// Include or exclude patterns.
#[derive(Debug)]
struct Side {
    matcher: Matcher,
    /// The patterns that lead into otherwise unwanted directories have no wildcard before their
    /// end, so that a directory off their way need not be entered.
    literal: bool,
}

/// What is known of a directory when its entries are judged.
#[derive(Debug, Clone, Default)]
pub(super) struct Inherited {
    include: Option<ParentMatches>,
    exclude: Option<ParentMatches>,
}

/// What to do with one entry.
#[derive(Debug)]
pub(super) enum Judgement {
    /// send it, and enter it
    Send(Inherited),
    /// do not send it, but something below may be wanted
    Enter(Inherited),
    /// nothing here
    Skip,
}

impl Filter {
    /// `follow` are paths whose symbolic links are resolved into include patterns.
    pub(in super::super) fn new(
        root: &Path,
        mut include: Vec<String>,
        exclude: &[String],
        follow: Option<&[String]>,
    ) -> Result<Self, ContextError> {
        if let Some(follow) = follow
            && let Some(targets) = follow_links(&OnDisk(root), follow)?
        {
            include.extend(targets);
            include = without_children(include).unwrap_or_default();
        }
        let include = Side::new(&include, false).map_err(|fault| ContextError::Pattern {
            origin: "paths the engine asked for",
            fault,
        })?;
        let exclude = Side::new(exclude, true).map_err(excluded)?;
        Ok(Self { include, exclude })
    }

    /// Judges `path`, whose directory was judged before.
    pub(super) fn judge(
        &self,
        path: &str,
        is_dir: bool,
        parent: &Inherited,
    ) -> Result<Judgement, ContextError> {
        let mut inherited = Inherited::default();
        let mut wanted = true;
        if let Some(side) = &self.include {
            let (hit, matches) =
                side.matcher
                    .step(path, parent.include.as_ref())
                    .map_err(|fault| ContextError::Pattern {
                        origin: "paths the engine asked for",
                        fault,
                    })?;
            inherited.include = Some(matches);
            if !hit {
                if is_dir && side.literal && !side.leads_below(path, false) {
                    return Ok(Judgement::Skip);
                }
                wanted = false;
            }
        }
        if let Some(side) = &self.exclude {
            let (hit, matches) = side
                .matcher
                .step(path, parent.exclude.as_ref())
                .map_err(excluded)?;
            inherited.exclude = Some(matches);
            if hit {
                if is_dir && side.literal && !side.leads_below(path, true) {
                    return Ok(Judgement::Skip);
                }
                wanted = false;
            }
        }
        Ok(match (wanted, is_dir) {
            (true, _) => Judgement::Send(inherited),
            (false, true) => Judgement::Enter(inherited),
            (false, false) => Judgement::Skip,
        })
    }
}

fn excluded(fault: PatternError) -> ContextError {
    ContextError::Pattern {
        origin: ".dockerignore",
        fault,
    }
}

impl Side {
    /// `exceptions`: it is the exceptions that lead back into a directory.
    fn new(patterns: &[String], exceptions: bool) -> Result<Option<Self>, PatternError> {
        if patterns.is_empty() {
            return Ok(None);
        }
        let matcher = Matcher::new(patterns)?;
        let literal = !matcher
            .patterns()
            .iter()
            .any(|pattern| pattern.is_exception() == exceptions && pattern.has_inner_wildcard());
        Ok(Some(Self { matcher, literal }))
    }

    fn leads_below(&self, path: &str, exceptions: bool) -> bool {
        self.matcher.patterns().iter().any(|pattern| {
            pattern.is_exception() == exceptions
                && pattern
                    .base()
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}
