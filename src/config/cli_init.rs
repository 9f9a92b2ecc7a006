//! The command line of `plimsoll init`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

/// `plimsoll init`.
#[derive(Debug, Clone, Default, Args)]
pub struct InitArgs {
    /// Directory of the repository; that of the git checkout around the current one when absent
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: Option<PathBuf>,
    /// CI to write a job for: github, gitlab, tekton, jenkins, azure or none; told by the repository
    /// when absent; repeatable
    #[arg(long, value_name = "CI", value_delimiter = ',')]
    pub ci: Vec<CiKind>,
    /// Dockerfile, relative to the repository; looked for when absent; repeatable
    #[arg(long, alias = "dockerfile", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Vec<PathBuf>,
    /// Registry and repository of the image, such as `quay.io/org/app`
    #[arg(long, value_name = "REGISTRY/REPOSITORY")]
    pub image: Option<String>,
    /// Tag of the image, at most 32 characters; from the labels of the Dockerfile, else `1.0-1`
    #[arg(long, short, value_name = "TAG")]
    pub tag: Option<String>,
    /// Ask nothing; what is not given is what would have been offered
    #[arg(long, short)]
    pub yes: bool,
    /// Say what would be written and write nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

/// A CI that a job can be written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CiKind {
    /// GitHub Actions
    Github,
    /// GitLab CI
    Gitlab,
    /// Tekton and Konflux
    Tekton,
    /// Jenkins
    Jenkins,
    /// Azure Pipelines
    Azure,
    /// none
    None,
}
