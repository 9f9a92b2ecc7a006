//! The command line of `plimsoll advisories`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::cli_for::ForArgs;

/// Where the advisory database lies.
#[derive(Debug, Clone, Default, Args)]
pub struct DatabaseArgs {
    /// Database file; `plimsoll/advisories.db` in the user's data directory when absent
    #[arg(long = "database", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
}

/// `plimsoll advisories`.
#[derive(Debug, Clone, Subcommand)]
pub enum AdvisoriesCommand {
    /// Take over Red Hat's CSAF advisories; older versions of what is held are never taken
    Update {
        /// Address of a feed, or a directory or archive (`.tar`, `.tar.zst`) with documents and beside
        /// them, when there are any, `repository-to-cpe.json`, `changes.csv`, `deletions.csv`,
        /// `lifecycle.tsv`; the key `scan.advisories.source` of plimsoll.yaml or Red Hat's own feed when
        /// absent
        #[arg(long, value_name = "URL|DIR|ARCHIVE", value_hint = ValueHint::AnyPath)]
        from: Option<PathBuf>,
        /// Take over documents of single vulnerabilities (CSAF VEX, of either generation) as well: what
        /// has no fix yet is told, and changes no grade; from a feed, directory or archive as above,
        /// Red Hat's own feed when none is named
        #[arg(long, value_name = "URL|DIR|ARCHIVE", value_hint = ValueHint::AnyPath,
              num_args = 0..=1, default_missing_value = "")]
        vex: Option<PathBuf>,
        /// The files given are all advisories that count; without this, or an archive or list that
        /// shows it, no image gets a grade by them
        #[arg(long)]
        complete: bool,
        /// File with OpenPGP keys, armoured or binary, that signatures (`.asc` beside archives and
        /// documents) are checked by, and no others; repeatable; the key of Red Hat Product Security
        /// and those in `/etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release` when absent
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        key: Vec<PathBuf>,
        /// End the update at an archive or document that has no signature that holds
        #[arg(long)]
        require_signature: bool,
        /// where it lies
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Tell the age, the source and the size of the database
    Status {
        /// where it lies
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Tell everything about one advisory or vulnerability
    Show {
        /// Id, such as `RHSA-2024:0010` or `CVE-2024-6923`
        id: String,
        /// where it lies
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// List the advisories that an image or a list of packages lacks, with the grade and when it will
    /// drop; `--format json` for programs
    For(Box<ForArgs>),
}
