//! The one table of exit codes, and errors as users read them.
//!
//! An error prints as one `error:` line, then `caused by:` lines, then `hint:` lines. Findings are
//! no errors; a report decides their exit code.

use std::{error::Error as StdError, fmt::Write as _};

use crate::{
    config::ConfigError,
    engine::BuildError,
    inventory::{LayerError, ScanError},
    oci::SourceError,
    registry::{LoginError, push::PushError},
    report::printable,
};

/// Where a bug is reported.
const BUGS: &str = concat!(
    "this is a bug in plimsoll ",
    env!("CARGO_PKG_VERSION"),
    ": please report it with the command line and what was printed"
);

/// Exit codes. One table; no output format changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// all that was asked succeeded
    Success = 0,
    /// assessed and rejected: a blocking assessment failed
    Rejected = 1,
    /// usage or configuration
    Usage = 2,
    /// the build failed in the user's Dockerfile
    BuildFailed = 3,
    /// could not assess: a required rule lacked its facts
    NotAssessed = 4,
    /// push failed
    PushFailed = 5,
    /// publish, unpublish, remove or rebuild request failed
    PublishFailed = 6,
    /// a bug in Plimsoll
    Bug = 70,
    /// interrupted by SIGINT
    Interrupted = 130,
    /// terminated by SIGTERM, or by the limit on the whole run
    Terminated = 143,
}

impl ExitCode {
    /// Every code and what it means: the text of `--help` and of the README.
    pub const TABLE: &'static [(Self, &'static str)] = &[
        (Self::Success, "all that was asked succeeded"),
        (Self::Rejected, "rejected: a blocking assessment failed"),
        (Self::Usage, "usage or configuration"),
        (Self::BuildFailed, "the build failed in the Dockerfile"),
        (
            Self::NotAssessed,
            "could not assess: a required rule lacked its facts, or the image or engine was out of reach",
        ),
        (Self::PushFailed, "push failed"),
        (
            Self::PublishFailed,
            "publish, unpublish, remove or rebuild request failed",
        ),
        (Self::Bug, "a bug in plimsoll"),
        (Self::Interrupted, "interrupted (SIGINT)"),
        (
            Self::Terminated,
            "terminated (SIGTERM), or longer than `timeout`",
        ),
    ];

    /// [`Self::TABLE`] as lines for `--help`.
    pub fn help() -> String {
        let line = |(code, meaning): &(Self, &str)| format!("  {:>3}  {meaning}", *code as u8);
        Self::TABLE.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// [`Self::TABLE`] as a Markdown table for the README.
    pub fn markdown() -> String {
        let row = |(code, meaning): &(Self, &str)| format!("| {} | {meaning} |\n", *code as u8);
        let rows: String = Self::TABLE.iter().map(row).collect();
        format!("| code | meaning |\n| ---: | --- |\n{rows}")
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// An error that knows what to do about it.
pub trait Hint {
    /// One sentence each; lower case, no full stop.
    fn hints(&self) -> Vec<String>;
}

/// What ends a run early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// command line, environment or `plimsoll.yaml`
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// there is no image
    #[error(transparent)]
    Build(#[from] BuildError),
    /// an image could not be read
    #[error(transparent)]
    Source(#[from] SourceError),
    /// an image was not pushed
    #[error(transparent)]
    Push(Box<PushError>),
    /// a login could not be stored, checked or removed
    #[error(transparent)]
    Login(#[from] LoginError),
    /// the layers of an image could not be read
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// what was asked makes no sense here
    #[error("{what}")]
    Usage {
        /// what
        what: String,
        /// what to do
        hint: Option<String>,
    },
    /// a report could not be written
    #[error("cannot write {what}")]
    Report {
        /// format and path
        what: String,
        /// cause
        #[source]
        source: std::io::Error,
    },
    /// stopped by a signal
    #[error("{}", if *.terminated { "terminated" } else { "interrupted" })]
    Interrupted {
        /// by SIGTERM, else by SIGINT
        terminated: bool,
    },
    /// stopped by the limit on the whole run
    #[error("the run took longer than {limit}")]
    Late {
        /// the limit, as it is written
        limit: String,
    },
    /// a bug
    #[error("internal error: {0}")]
    Bug(String),
}

impl From<PushError> for Error {
    fn from(error: PushError) -> Self {
        Self::Push(Box::new(error))
    }
}

impl Error {
    /// The code that the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_)
            | Self::Usage { .. }
            | Self::Report { .. }
            | Self::Build(BuildError::Unsupported { .. }) => ExitCode::Usage,
            Self::Login(error) if !error.is_remote() => ExitCode::Usage,
            Self::Scan(ScanError::Cancelled) => ExitCode::Interrupted,
            Self::Scan(_) | Self::Login(_) => ExitCode::NotAssessed,
            Self::Push(error) => match **error {
                PushError::Interrupted { .. } => ExitCode::Interrupted,
                _ => ExitCode::PushFailed,
            },
            Self::Build(BuildError::Dockerfile(_)) => ExitCode::BuildFailed,
            Self::Build(BuildError::Engine { .. } | BuildError::Io { .. }) | Self::Source(_) => {
                ExitCode::NotAssessed
            }
            Self::Build(BuildError::Interrupted) | Self::Interrupted { terminated: false } => {
                ExitCode::Interrupted
            }
            Self::Interrupted { terminated: true } | Self::Late { .. } => ExitCode::Terminated,
            Self::Bug(_) => ExitCode::Bug,
        }
    }

    /// The whole error as standard error shows it, without a line end.
    pub fn render(&self, color: bool) -> String {
        if let Self::Config(ConfigError::Faults(faults)) = self {
            return faults.render(color);
        }
        let (red, bold, off) = if color {
            ("\u{1b}[1;31m", "\u{1b}[1m", "\u{1b}[0m")
        } else {
            ("", "", "")
        };
        // Registries, engines and files have their words in this: nothing of theirs steers a terminal.
        let mut out = format!("{red}error:{off} {}", printable(&self.to_string()));
        // A transparent variant is its inner error: the chain starts below it.
        let mut cause = StdError::source(self);
        let mut last = self.to_string();
        while let Some(error) = cause {
            let text = error.to_string();
            if !last.ends_with(&text) {
                let _ = write!(out, "\n{bold}caused by:{off} {}", printable(&text));
            }
            last = text;
            cause = error.source();
        }
        for hint in self.hints() {
            let _ = write!(out, "\n{bold}hint:{off} {}", printable(&hint));
        }
        out
    }
}

impl Hint for Error {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Config(error) => error.hints(),
            Self::Build(error) => error.hints(),
            Self::Source(error) => error.hints(),
            Self::Push(error) => error.hint().into_iter().collect(),
            Self::Login(error) => error.hint().into_iter().collect(),
            Self::Bug(_) => vec![BUGS.to_owned()],
            Self::Usage { hint, .. } => hint.iter().cloned().collect(),
            Self::Scan(error) => error.hints(),
            Self::Report { .. } => {
                vec!["name a file that can be written: FORMAT=PATH".to_owned()]
            }
            Self::Late { .. } => vec!["raise the limit (`--timeout`, `timeout`)".to_owned()],
            Self::Interrupted { .. } => Vec::new(),
        }
    }
}

impl Hint for BuildError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Engine { hint, .. } | Self::Unsupported { hint, .. } => {
                hint.iter().cloned().collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The hint of the source error that a scan ran into, however deep it lies.
fn source_hint(error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(source) = error.downcast_ref::<SourceError>() {
            return source.hints();
        }
        // A reader hands its error over inside an I/O error, whose `source` skips it.
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(|error| error.get_ref()?.downcast_ref::<SourceError>());
        if let Some(source) = inner {
            return source.hints();
        }
        next = error.source();
    }
    Vec::new()
}

/// For bytes that are not what an image is made of.
const DAMAGED: &str = "the image is damaged or was changed underway: fetch or build it anew";

impl Hint for ScanError {
    fn hints(&self) -> Vec<String> {
        let Self::Layer { source, .. } = self else {
            return Vec::new();
        };
        match &**source {
            LayerError::Source(_) | LayerError::Read(_) => source_hint(self),
            LayerError::Limit(_) => {
                vec!["an image of this size is not scanned: see what the layer holds".to_owned()]
            }
            _ => vec![DAMAGED.to_owned()],
        }
    }
}

impl Hint for SourceError {
    fn hints(&self) -> Vec<String> {
        self.hint().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{BuildError, Error, ExitCode, SourceError};

    #[test]
    fn an_error_is_followed_by_its_causes_and_hints() {
        let source = io::Error::new(io::ErrorKind::NotFound, "no such file");
        let what = "context".to_owned();
        let error = Error::from(BuildError::Io { what, source });
        assert_eq!(
            error.render(false),
            "error: context\ncaused by: no such file"
        );
        let error = Error::from(BuildError::Engine {
            engine: "unix:///var/run/docker.sock".to_owned(),
            reason: "connection refused".to_owned(),
            hint: Some("start the daemon".to_owned()),
        });
        assert_eq!(
            error.render(false),
            "error: unix:///var/run/docker.sock: connection refused\nhint: start the daemon"
        );
        assert!(
            error
                .render(true)
                .starts_with("\u{1b}[1;31merror:\u{1b}[0m ")
        );
    }

    #[test]
    fn a_bug_says_where_to_report_it() {
        let shown = Error::Bug("index out of order".to_owned()).render(false);
        assert!(
            shown.starts_with("error: internal error: index out of order\nhint: this is a bug")
        );
    }

    #[test]
    fn every_error_has_the_code_of_the_table() {
        let (what, reason) = (String::new(), String::new());
        for (error, code) in [
            (Error::from(BuildError::Dockerfile(Box::default())), 3),
            (BuildError::Interrupted.into(), 130),
            (Error::Interrupted { terminated: true }, 143),
            (SourceError::Denied { what, reason }.into(), 4),
            (Error::Bug(String::new()), 70),
        ] {
            assert_eq!(error.exit_code() as u8, code, "{error:?}");
        }
    }

    #[test]
    fn the_table_is_complete_and_in_order() {
        let codes: Vec<u8> = ExitCode::TABLE
            .iter()
            .map(|(code, _)| *code as u8)
            .collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 70, 130, 143]);
        assert_eq!(ExitCode::help().lines().count(), codes.len());
        assert_eq!(ExitCode::markdown().lines().count(), codes.len() + 2);
    }
}
