//! Dockerfile → [`Graph`]: the steps of the target, the image configuration and the history, as
//! `BuildKit`'s own frontend makes them.
//!
//! Words are expanded here, with the variables of the base image's configuration; users, wildcards
//! and links are not: those need the tree. Nothing is run or copied, and the one thing asked of the
//! outside is what an image reference is ([`ResolveImage`]). Every fault is told, not the first
//! alone, and what `BuildKit` can do and this engine cannot is refused by name and line.
//!
//! `# syntax=docker/dockerfile:…` of any version is read by this frontend: it knows the instructions
//! and flags of docker/dockerfile 1.23, `--parents`, `--exclude` and here-documents among them.
//! Expansion is not that of [`crate::dockerfile`]: that one guesses where a builder must be exact.

mod command;
mod copy;
mod dump;
mod env;
mod flags;
mod git;
mod health;
mod image;
mod lex;
mod mount;
mod names;
mod parse;
mod pattern;
mod platform;
mod ports;
mod problem;
mod reach;
mod run;
mod settings;
mod stages;
mod walk;
mod words;

pub use dump::dump_llb;

use indexmap::IndexMap;

use super::graph::Graph;
use crate::{
    dockerfile::{Dockerfile, ParseFault},
    finding::Location,
    oci::{Digest, Platform},
};

/// What the frontend needs to know of a build.
#[derive(Debug, Clone)]
pub struct FrontendRequest<'a> {
    /// path of the Dockerfile relative to the repository, for messages
    pub file: &'a str,
    /// its text
    pub text: &'a str,
    /// stage to build; the last when absent or empty
    pub target: Option<&'a str>,
    /// `ARG` values, `SOURCE_DATE_EPOCH` among them when the build has one
    pub args: &'a IndexMap<String, String>,
    /// labels put on top of the Dockerfile's
    pub labels: &'a IndexMap<String, String>,
    /// platform of the image, which is the host's
    pub platform: &'a Platform,
    /// network of the build: `default`, `host`, `none`
    pub network: Option<&'a str>,
    /// host name → address
    pub add_hosts: &'a IndexMap<String, String>,
    /// a `# syntax` line that names another frontend is passed over
    pub ignore_syntax: bool,
}

/// Says what an image reference is.
pub trait ResolveImage {
    /// Looks up a reference as the Dockerfile names it (`alpine`, `quay.io/x/y@sha256:…`).
    ///
    /// # Errors
    /// When there is no such image, none for the platform, or it cannot be reached.
    fn resolve(
        &mut self,
        reference: &str,
        platform: &Platform,
    ) -> Result<ResolvedBase, ResolveError>;
}

/// An image that was looked up.
#[derive(Debug, Clone)]
pub struct ResolvedBase {
    /// digest of the platform's manifest
    pub manifest: Digest,
    /// the image configuration, raw JSON
    pub config: Vec<u8>,
}

/// Why an image reference could not be resolved.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ResolveError {
    /// what was tried, and how it went
    pub message: String,
    /// what to do
    pub remedy: Option<String>,
}

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// the Dockerfile's: `BuildKit` does not build it either
    Fault,
    /// this engine does not do it
    Unsupported,
    /// an image could not be looked up
    Image,
}

/// A place of the Dockerfile that keeps the build from starting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", location.as_ref().map(|at| format!("{}:{}: ", at.file, at.line)).unwrap_or_default())]
pub struct Refusal {
    /// what is wrong; lower case, no full stop
    pub message: String,
    /// what to do
    pub remedy: String,
    /// where; absent when it is not the Dockerfile's text (the target)
    pub location: Option<Location>,
    /// whose fault it is
    pub kind: RefusalKind,
}

impl From<ParseFault> for Refusal {
    fn from(fault: ParseFault) -> Self {
        Self {
            message: fault.message,
            remedy: fault.remedy,
            location: Some(fault.location),
            kind: RefusalKind::Fault,
        }
    }
}

/// Dockerfile to graph.
///
/// # Errors
/// Everything that keeps the target from being built, in the order of lines; never empty.
pub fn lower(
    request: &FrontendRequest<'_>,
    images: &mut dyn ResolveImage,
) -> Result<Graph, Vec<Refusal>> {
    let (file, faults) = Dockerfile::read(request.file, request.text);
    let faults = faults.into_iter().filter(|fault| !fault.tolerated);
    let mut refusals: Vec<Refusal> = faults.map(Refusal::from).collect();
    let Some(file) = file else {
        return Err(refusals);
    };
    refusals.extend(other_frontend(&file, request));
    refusals.extend(strict_checks(&file, request));
    let budget = lex::Budget::default();
    let stages = match stages::Stages::read(&file, request, &budget) {
        Ok(stages) if refusals.is_empty() => stages,
        Ok(_) => return Err(refusals),
        Err(more) => {
            refusals.extend(more);
            refusals.sort_by_key(|refusal| refusal.location.as_ref().map(|at| at.line));
            return Err(refusals);
        }
    };
    let target = stages.target(request.target, request.file);
    let target = target.map_err(|refusal| vec![refusal])?;
    walk::Walk::new(request, &stages, file.escape(), &budget).graph(target, images)
}

/// Frontends that this one stands in for.
const OWN: [&str; 4] = [
    "docker/dockerfile",
    "docker/dockerfile-upstream",
    "docker.io/docker/dockerfile",
    "docker.io/docker/dockerfile-upstream",
];

/// A `# syntax` line, or the argument that stands for one, that names another frontend.
fn other_frontend(file: &Dockerfile, request: &FrontendRequest<'_>) -> Option<Refusal> {
    let argument = request.args.get("BUILDKIT_SYNTAX");
    let named = argument.or(file.directives.syntax.as_ref())?;
    let image = named.split_whitespace().next().unwrap_or("");
    let image = image.split('@').next().unwrap_or("");
    let name = match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    };
    if request.ignore_syntax || OWN.contains(&name) {
        return None;
    }
    let what = format!("the frontend `{named}`");
    Some(of_directive(
        file,
        request,
        argument.is_none().then_some(named.as_str()),
        what,
    ))
}

/// A `# check` line, or the argument that stands for one, that wants a build to fail by BuildKit's
/// build checks, which are not made here, or that says what nobody knows.
fn strict_checks(file: &Dockerfile, request: &FrontendRequest<'_>) -> Option<Refusal> {
    let argument = request.args.get("BUILDKIT_DOCKERFILE_CHECK");
    let named = argument.or(file.directives.check.as_ref())?;
    let (mut all_skipped, mut refused) = (false, false);
    for option in named.split(';') {
        match option
            .split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()))
        {
            Some(("skip", skipped)) => all_skipped |= skipped.eq_ignore_ascii_case("all"),
            Some(
                ("error", "false" | "False" | "FALSE" | "f" | "F" | "0") | ("experimental", _),
            ) => {}
            Some(("error", "true" | "True" | "TRUE" | "t" | "T" | "1")) => refused = true,
            _ => return Some(checks(file, request, argument.is_none(), named)),
        }
    }
    (refused && !all_skipped).then(|| checks(file, request, argument.is_none(), named))
}

fn checks(file: &Dockerfile, request: &FrontendRequest<'_>, in_file: bool, named: &str) -> Refusal {
    let what = format!("the build checks `{named}`");
    of_directive(file, request, in_file.then_some(named), what)
}

/// A refusal at the line of a directive that holds these words; at the first line without them.
fn of_directive(
    file: &Dockerfile,
    request: &FrontendRequest<'_>,
    words: Option<&str>,
    what: String,
) -> Refusal {
    let mut lines = file.text().lines();
    let line = words.and_then(|words| lines.position(|line| line.contains(words)));
    let number = line
        .and_then(|line| u32::try_from(line + 1).ok())
        .unwrap_or(1);
    problem::Problem::unsupported(what).at(&Location {
        file: request.file.to_owned(),
        line: number,
        end_line: number,
        column: None,
        end_column: None,
    })
}
