//! The command line of `plimsoll cache`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::amounts::bytes;

/// `plimsoll cache`.
#[derive(Debug, Clone, Subcommand)]
pub enum CacheCommand {
    /// Remove what builds left in the cache directory; without an option all of it
    Prune(PruneArgs),
}

/// `plimsoll cache prune`.
#[derive(Debug, Clone, Default, Args)]
pub struct PruneArgs {
    /// Remove what was of no use for so many days
    #[arg(long, value_name = "DAYS")]
    pub older_than: Option<u32>,
    /// Remove what was longest of no use until the cache is no larger, such as `512m` or `4g`
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub max_size: Option<u64>,
    /// Directory of the cache; `plimsoll` in the user's cache directory when absent
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache_dir: Option<PathBuf>,
}
