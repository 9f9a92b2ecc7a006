//! What a run tells the forge and the CI: the section `ci` and its effective values.

use std::path::PathBuf;

use schemars::{Schema, SchemaGenerator, json_schema};

use super::{
    Words,
    cli::Command,
    decode::{Decoder, Leaf, Problem, Value, push},
    load::read_at_most,
    resolve::Resolver,
    section::section,
    sourced::{Listed, Origin, Setting, Sourced},
    texts::boolean,
    tree::{Kind, Node},
};
use crate::secret::Secret;

/// Largest file with a token, in bytes.
const MAX_TOKEN: u64 = 64 * 1024;

/// Whether to do something that may not be possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// if it can be done, silently not otherwise
    #[default]
    Auto,
    /// in any case; what stands in its way is a warning
    Always,
    /// never
    Never,
}

impl Leaf for When {
    fn parse(text: &str, _: &Words) -> Result<Self, Problem> {
        match (text, boolean(text)) {
            ("auto", _) => Ok(Self::Auto),
            (_, Ok(true)) => Ok(Self::Always),
            (_, Ok(false)) => Ok(Self::Never),
            (_, Err(_)) => {
                let message = format!("`{}` is none of auto, true, false", text.escape_debug());
                let help = "what an image says of itself goes by `labels`".to_owned();
                Err(Problem::new(message).help(text.contains('=').then_some(help)))
            }
        }
    }
    fn leaf_shape() -> Schema {
        json_schema!({ "enum": ["auto", true, false] })
    }
    fn show(&self) -> String {
        match self {
            Self::Auto => "auto",
            Self::Always => "true",
            Self::Never => "false",
        }
        .to_owned()
    }
}

/// A word or a boolean, so that no quotes are needed.
impl Value for When {
    fn decode(node: &Node, cx: &mut Decoder<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar { text, plain: true } if text.eq_ignore_ascii_case("true") => {
                Some(Self::Always)
            }
            Kind::Scalar { text, plain: true } if text.eq_ignore_ascii_case("false") => {
                Some(Self::Never)
            }
            _ => cx.parsed(node, Self::parse),
        }
    }

    fn shape(_: &mut SchemaGenerator) -> Schema {
        Self::leaf_shape()
    }

    fn list(&self, path: &str, origin: &Origin, out: &mut Vec<Listed>) {
        push(path, self.show(), origin, out);
    }
}

section! {
    /// What the forge and the CI are told of a run.
    pub struct Ci {
        /// Whether results go to GitHub's code scanning: `auto`, `true` or `false`
        "upload-sarif" upload_sarif: When,
        /// Wait until GitHub has taken the results in
        "wait-for-processing" wait_for_processing: bool,
        /// What the results are filed under; `plimsoll/` and the path of the Dockerfile when absent
        "category" category: String,
        /// Directory of the checkout, which locations in reports are relative to; the top of the git
        /// checkout when absent
        "checkout-path" checkout_path: PathBuf,
        /// Ref that the results are of; only with `sha`
        "ref" reference: String,
        /// Commit that the results are of; only with `ref`
        "sha" sha: String,
        /// Create a check run with annotations on the commit (`checks: write`)
        "check-run" check_run: bool,
        /// Keep one comment on the pull request, or one note on the merge request, up to date
        "comment" comment: bool,
        /// Set the status of the commit (`statuses: write`)
        "status" status: bool,
        /// Whether findings are printed as commands that the CI shows beside the lines: `auto`,
        /// `true` or `false`
        "annotations" annotations: When,
        /// Write the summary of the job
        "job-summary" job_summary: bool,
        /// File that holds the token of the forge
        "token-file" token_file: PathBuf,
        /// File for the outputs as lines NAME=VALUE
        "dotenv" dotenv: PathBuf,
        /// Directory for the outputs as a small file each
        "results-dir" results_dir: PathBuf,
        /// Audience of the workflow's identity that the registry of the image takes for a password
        "registry-oidc" registry_oidc: String,
        /// Show the calls to the forge instead of making them
        "dry-run" dry_run: bool,
    } required []
}

/// The section `ci`, complete.
#[derive(Debug, Clone, Default)]
pub struct CiConfig {
    /// results go to code scanning
    pub upload_sarif: When,
    /// wait until they were taken in
    pub wait_for_processing: bool,
    /// what they are filed under
    pub category: Option<String>,
    /// ref and commit, when the user named them
    pub commit: Option<(String, String)>,
    /// create a check run
    pub check_run: bool,
    /// keep a comment or note up to date
    pub comment: bool,
    /// set the status of the commit
    pub status: bool,
    /// print findings as commands of the CI
    pub annotations: When,
    /// write the summary of the job
    pub job_summary: bool,
    /// token of GitHub
    pub token: Option<Secret>,
    /// token of GitLab that may write
    pub gitlab_token: Option<Secret>,
    /// file for the outputs, absolute
    pub dotenv: Option<PathBuf>,
    /// directory for the outputs, absolute
    pub results_dir: Option<PathBuf>,
    /// audience of the identity that is the registry's password
    pub registry_oidc: Option<String>,
    /// show the calls instead of making them
    pub dry_run: bool,
}

impl CiConfig {
    /// The secrets in it.
    pub fn secrets(&self) -> impl Iterator<Item = Secret> {
        self.token.iter().chain(&self.gitlab_token).cloned()
    }
}

impl Resolver<'_> {
    /// The section, complete. Only `run` does by itself what it can; the other commands do what they
    /// were asked for.
    pub(super) fn ci(&mut self, ci: Setting<Ci>) -> CiConfig {
        let ci = ci.map(|ci| ci.value).unwrap_or_default();
        let alone = match (&ci.reference, &ci.sha) {
            (Some(alone), None) => Some((alone, "sha")),
            (None, Some(alone)) => Some((alone, "ref")),
            _ => None,
        };
        if let Some((alone, other)) = alone {
            let message = format!("`{other}` is missing beside this");
            self.faults.push(alone.origin.clone(), message, None);
        }
        let runs = match &self.cli.command {
            Command::Run(_) => true,
            Command::Scan(scan) => scan.ci.by_itself,
            _ => return CiConfig::default(),
        };
        let by_itself = if runs { When::Auto } else { When::Never };
        let when = |setting: &Setting<When>| setting.as_ref().map_or(by_itself, |it| it.value);
        let is = |setting: &Setting<bool>, default| setting.as_ref().map_or(default, |it| it.value);
        let path = |path: &Setting<PathBuf>| Some(self.bases.absolute(path.as_ref()?));
        let token_file = ci.token_file.as_ref();
        let commit = ci.reference.as_ref().zip(ci.sha.as_ref());
        let mut config = CiConfig {
            upload_sarif: when(&ci.upload_sarif),
            wait_for_processing: is(&ci.wait_for_processing, true),
            category: ci.category.as_ref().map(|it| it.value.clone()),
            commit: commit.map(|(at, sha)| (at.value.clone(), sha.value.clone())),
            check_run: is(&ci.check_run, false),
            comment: is(&ci.comment, false),
            status: is(&ci.status, false),
            annotations: when(&ci.annotations),
            job_summary: is(&ci.job_summary, runs),
            token: self.environment.token(),
            gitlab_token: self.environment.gitlab_token(),
            dotenv: path(&ci.dotenv),
            results_dir: path(&ci.results_dir),
            registry_oidc: ci.registry_oidc.as_ref().map(|it| it.value.clone()),
            dry_run: is(&ci.dry_run, false),
        };
        if let Some(file) = token_file {
            config.token = self.token_of(file);
            if self.environment.gitlab().is_some() {
                config.gitlab_token.clone_from(&config.token);
            }
        }
        config
    }

    fn token_of(&mut self, file: &Sourced<PathBuf>) -> Option<Secret> {
        let message = match read_at_most(&self.bases.absolute(file), MAX_TOKEN) {
            Err(error) => format!("cannot read {}: {error}", file.value.display()),
            Ok(bytes) if bytes.trim_ascii().is_empty() => {
                format!("{} is empty", file.value.display())
            }
            Ok(bytes) => return Some(Secret::new(bytes.trim_ascii())),
        };
        self.faults.push(file.origin.clone(), message, None);
        None
    }
}
