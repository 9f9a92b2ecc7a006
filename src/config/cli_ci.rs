//! Options on what a run tells the forge and the CI it stands in.

use clap::{Args, ValueHint};

/// What the forge and the CI are told.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "CI options")]
pub struct CiArgs {
    /// Whether results go to GitHub's code scanning: auto, true or false; `auto` tries in a workflow
    /// that has a token, and annotates by workflow commands when GitHub refuses
    #[arg(long, value_name = "WHEN")]
    pub upload_sarif: Option<String>,
    /// Whether to wait until GitHub has taken the results in: true or false; true when absent
    #[arg(long, value_name = "BOOL")]
    pub wait_for_processing: Option<String>,
    /// What the results are filed under; `plimsoll/` and the path of the Dockerfile when absent
    #[arg(long, value_name = "NAME")]
    pub category: Option<String>,
    /// Directory of the checkout, which locations in reports are relative to; the top of the git
    /// checkout when absent
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub checkout_path: Option<String>,
    /// Ref that the results are of, such as `refs/heads/main`; the workflow's when absent; with
    /// --sha
    #[arg(long = "ref", value_name = "REF", requires = "sha")]
    pub reference: Option<String>,
    /// Commit that the results are of; with --ref
    #[arg(long, value_name = "COMMIT", requires = "reference")]
    pub sha: Option<String>,
    /// Create a check run with annotations on the commit (`checks: write`)
    #[arg(long)]
    pub check_run: bool,
    /// Keep one comment on the pull request up to date (`pull-requests: write`), or one note on the
    /// merge request (`GITLAB_TOKEN` with the scope api)
    #[arg(long)]
    pub comment: bool,
    /// Set the status of the commit (`statuses: write`)
    #[arg(long)]
    pub status: bool,
    /// Whether findings are printed as commands that the CI shows beside the lines: auto, true or
    /// false; `auto` when nothing else shows them there
    #[arg(long, value_name = "WHEN")]
    pub annotations: Option<String>,
    /// Whether the summary of the job is written: true or false; true when absent
    #[arg(long, value_name = "BOOL")]
    pub job_summary: Option<String>,
    /// File that holds the token of the forge; `PLIMSOLL_GITHUB_TOKEN` or `GITHUB_TOKEN` when absent
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub token_file: Option<String>,
    /// File for the outputs as lines NAME=VALUE, for GitLab's `artifacts:reports:dotenv`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub dotenv: Option<String>,
    /// Directory for the outputs as a small file each, such as Tekton's `/tekton/results`
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub results_dir: Option<String>,
    /// Log in to the registry of the image with the workflow's identity, made for this audience; the
    /// user is that of `PLIMSOLL_USERNAME` (`id-token: write`)
    #[arg(long, value_name = "AUDIENCE")]
    pub registry_oidc: Option<String>,
    /// Show the calls to the forge (method, address, size) instead of making them
    #[arg(long)]
    pub ci_dry_run: bool,
    /// Whether it is told by itself what can be; a scan tells only what it was asked to, unless it
    /// stands in the place of a run
    #[arg(skip)]
    pub by_itself: bool,
}

impl CiArgs {
    /// The same for a scan that stands in the place of a run.
    #[must_use]
    pub fn by_itself(&self) -> Self {
        Self {
            by_itself: true,
            ..self.clone()
        }
    }
}
