//! Configuration: command line, environment, `plimsoll.yaml`, defaults, in this order; each value
//! knows its origin. The only reader of the environment.
//!
//! Every fault is reported at once, with line, column and caret. Nothing here builds, scans or
//! talks to a network; what the values mean together is the business of [`crate::plan`].

use std::{io, path::PathBuf};

mod amounts;
mod ci;
pub mod cli;
mod cli_advisories;
mod cli_cache;
mod cli_choices;
mod cli_ci;
mod cli_compare;
mod cli_for;
mod cli_help;
mod cli_init;
mod cli_push;
mod conventions;
mod decode;
mod effective;
mod environment;
mod fault;
mod feeds;
mod file;
mod given;
mod lists;
mod load;
mod paths;
mod reports;
mod resolve;
mod schema;
mod secrets;
mod section;
mod severity;
mod sourced;
mod stages;
mod switches;
mod texts;
mod tree;
mod values;

pub use amounts::{Span, amount_of_bytes};
pub use ci::{Ci, CiConfig, When};
pub use cli::Cli;
pub use decode::Map;
pub use effective::{Config, ImageConfig};
pub use environment::{Docker, Environment, GitHub, GitLab};
pub use fault::{Fault, Faults};
pub use feeds::{Feeds, feeds};
pub use file::{
    Advisories, Attestation, Build, Company, Contact, Entry, Exemption, Image, Notify, Project,
    Publish, Rebuild, Scan, SecretSource, Settings, Smtp, Source,
};
pub use lists::{Joined, Tags};
pub use load::{FILE_NAMES, MAX_FILE, decode};
pub use resolve::load;
pub use schema::schema;
pub use severity::Severity;
pub use sourced::{Listed, Mark, Origin, Setting, Sourced};
pub use switches::unverified;
pub use values::{
    Catalog, Days, EngineChoice, FailOn, KeyValue, Network, Port, ReportTo, RuleName, Stage, Tree,
};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// faults of the file, the environment or the command line: all of them
    #[error("{0}")]
    Faults(Box<Faults>),
    /// several configuration files beside each other
    #[error("{} has several configuration files: {}", .directory.display(), .names.join(", "))]
    Several {
        /// where
        directory: PathBuf,
        /// which
        names: Vec<String>,
    },
    /// the current directory is gone or may not be read
    #[error("the current directory cannot be read")]
    Directory(#[source] io::Error),
    /// the file could not be read
    #[error("cannot read {}", .path.display())]
    Read {
        /// which
        path: PathBuf,
        /// cause
        #[source]
        source: io::Error,
    },
    /// the file is too large
    #[error("{} is larger than {MAX_FILE} bytes (1 MiB)", .path.display())]
    TooLarge {
        /// which
        path: PathBuf,
    },
}

impl ConfigError {
    /// What to do about it; faults carry their own help.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Faults(_) => return Vec::new(),
            Self::Several { .. } => "keep one, or name one with `--config`",
            Self::Directory(_) => "change to a directory that is there",
            Self::Read { .. } => "name the file with `--config`",
            Self::TooLarge { .. } => "a configuration is a few KiB; is this the right file?",
        };
        vec![hint.to_owned()]
    }
}

/// Words that the configuration may use and other modules define.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// the ids of the rules that an id or an alias stands for; none when there is no such rule
    pub rule: fn(&str) -> Vec<&'static str>,
    /// ids of all rules
    pub rules: &'static [&'static str],
    /// names of the report formats
    pub formats: &'static [&'static str],
}

#[cfg(test)]
mod tests;
