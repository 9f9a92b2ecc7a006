//! The Dockerfile of a plan, read once for all stages.

use std::path::Path;

use super::Tools;
use crate::{
    dockerfile::{Dockerfile, ParseFault, lints},
    error::Error,
    finding::{Lint, Location},
    gather,
    plan::Plan,
    report::{Report, ReportKind, SourceText},
};

/// The Dockerfile of a plan as text, and as far as it could be read.
pub(super) struct Recipe {
    pub(super) file: Option<String>,
    text: String,
    pub(super) dockerfile: Option<Dockerfile>,
    lints: Vec<Lint>,
    anchor: Option<String>,
    from: Option<Location>,
}

impl Recipe {
    pub(super) fn read(plan: &Plan) -> Result<Self, Error> {
        let Some(build) = &plan.build else {
            return Ok(Self {
                file: None,
                text: String::new(),
                dockerfile: None,
                lints: Vec::new(),
                anchor: plan.scan.anchor.clone(),
                from: None,
            });
        };
        let file = relative(&build.dockerfile, build.top());
        let bytes = gather::read_file(&build.dockerfile).map_err(|error| Error::Usage {
            what: format!("Dockerfile {file}: {error}"),
            hint: Some("name another with `--file` or `build.dockerfile`".to_owned()),
        })?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (dockerfile, faults) = Dockerfile::read(&file, &text);
        if let Some((path, fault)) = gather::malformed_ignore(&build.context, &build.dockerfile) {
            return Err(Error::Usage {
                what: format!("{}: {fault}", relative(&path, build.top())),
                hint: None,
            });
        }
        if let (Some(dockerfile), [], Some(target)) = (&dockerfile, &*faults, &build.target) {
            let resolved = dockerfile.resolve(Some(target), &build.args);
            resolved.map_err(|error| Error::Usage {
                what: error.to_string(),
                hint: Some("name one with `--target` or `build.target`".to_owned()),
            })?;
        }
        let mut found: Vec<Lint> = faults.iter().map(ParseFault::lint).collect();
        found.extend(dockerfile.iter().flat_map(lints));
        let from = dockerfile.as_ref().and_then(|dockerfile| {
            let resolved = dockerfile.resolve(build.target.as_deref(), &build.args);
            Some(resolved.ok()?.from)
        });
        Ok(Self {
            from,
            anchor: None,
            file: Some(file),
            text,
            dockerfile,
            lints: dedup(found),
        })
    }

    /// The `FROM` of the stage that is built.
    pub(super) fn from(&self) -> Option<Location> {
        self.from.clone()
    }

    pub(super) fn report(&self, kind: ReportKind, tools: &Tools<'_>) -> Report {
        let source = |file: &String| SourceText {
            file: file.clone(),
            text: self.text.clone(),
        };
        Report {
            kind,
            passed: false,
            images: Vec::new(),
            lints: self.lints.clone(),
            sources: self.file.iter().map(source).collect(),
            dockerfile: self.file.clone(),
            anchor: self.anchor.clone(),
            pushed: None,
            created: tools.now,
            documented: tools.documented,
            baseline: None,
        }
    }
}

pub(super) fn dedup(lints: Vec<Lint>) -> Vec<Lint> {
    let mut kept: Vec<Lint> = Vec::with_capacity(lints.len());
    for lint in lints {
        if !kept
            .iter()
            .any(|it| it.rule == lint.rule && it.finding == lint.finding)
        {
            kept.push(lint);
        }
    }
    kept
}

/// Path as reports write it: relative to the repository, `/` between components.
pub(super) fn relative(path: &Path, root: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    inside.to_string_lossy().replace('\\', "/")
}
