//! Options of an assessment: the policy, what the image is compared with, the advisories.

use clap::{Args, ValueHint};

/// How the image is assessed.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Scan options")]
pub struct PolicyArgs {
    /// Policy that the image is held to: container, root, scratch-nonroot, scratch-root or konflux;
    /// container when absent
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// Assess these rules alone, separated by commas; repeatable
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Grant an exception: the rule is assessed and reported but does not block; the reason goes
    /// into the reports; repeatable
    #[arg(long, value_name = "RULE=REASON")]
    pub skip: Vec<String>,
    /// Rules that block although their level does not ask for it; repeatable
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    pub require: Vec<String>,
    /// Base image, when it cannot be told from the Dockerfile
    #[arg(long, value_name = "REF")]
    pub base: Option<String>,
    /// `free_of_critical_vulnerabilities` fails on Critical errata alone, not on Important ones
    #[arg(long)]
    pub critical_only: bool,
    /// Least severity of an erratum that fails `free_of_critical_vulnerabilities`: critical,
    /// important, moderate or low; important when absent
    #[arg(long, value_name = "SEVERITY")]
    pub severity_cutoff: Option<String>,
    /// Leave out vulnerabilities that no advisory mends; they lower no grade and fail nothing
    #[arg(long)]
    pub only_fixed: bool,
    /// what it is compared with
    #[command(flatten)]
    pub compare: CompareArgs,
}

/// What an image is compared with.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Scan options")]
pub struct CompareArgs {
    /// Compare with an earlier report of `--format json`, or with another image, such as the
    /// published one, which is assessed too: findings are told as new, fixed or unchanged
    #[arg(long, value_name = "REPORT|IMAGE", value_hint = ValueHint::FilePath)]
    pub baseline: Option<String>,
    /// What makes the run fail: `any` finding that blocks, which is also what a push goes by, or
    /// those alone that are `new` against the baseline
    #[arg(long, value_name = "any|new")]
    pub fail_on: Option<String>,
}
