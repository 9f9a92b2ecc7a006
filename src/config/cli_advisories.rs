//! The command line of `plimsoll advisories`.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

use super::cli_compare::ForArgs;

/// `plimsoll advisories`.
#[derive(Debug, Clone, Subcommand)]
pub enum AdvisoriesCommand {
    /// Take over Red Hat's CSAF advisories; older versions of what is held are never taken
    Update {
        /// Address of a feed, or a directory or archive (`.tar`, `.tar.zst`) with documents and beside
        /// them, when there are any, `repository-to-cpe.json`, `changes.csv`, `deletions.csv`,
        /// `lifecycle.tsv`; Red Hat's own feed when absent
        #[arg(long, value_name = "URL|DIR|ARCHIVE", value_hint = ValueHint::AnyPath)]
        from: Option<PathBuf>,
        /// The files given are all advisories that count; without this, or an archive or list that
        /// shows it, no image gets a grade by them
        #[arg(long)]
        complete: bool,
        /// Database file; `plimsoll/advisories.db` in the user's data directory when absent
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        database: Option<PathBuf>,
    },
    /// Tell the age, the source and the size of the database
    Status {
        /// Database file; `plimsoll/advisories.db` in the user's data directory when absent
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        database: Option<PathBuf>,
    },
    /// Tell everything about one advisory
    Show {
        /// Id, such as `RHSA-2024:0010`
        id: String,
        /// Database file; `plimsoll/advisories.db` in the user's data directory when absent
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        database: Option<PathBuf>,
    },
    /// List the advisories that an image lacks, with its grade and when it will drop; `--format
    /// json` for programs
    For(Box<ForArgs>),
}
