//! What an instruction says, before variables are put in.

use super::{health::Health, problem::Problem};
use crate::finding::Location;

/// An instruction on its way into the graph.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) command: Command,
    /// the joined line, for names
    pub(super) code: String,
    /// where faults of it are told
    pub(super) location: Location,
    /// it comes from the base image
    pub(super) onbuild: bool,
}

/// The instructions of a stage.
#[derive(Debug, Clone)]
pub(super) enum Command {
    Arg(Vec<(String, Option<String>)>),
    Env(Vec<(String, String)>),
    Label(Vec<(String, String)>),
    Run(Box<Run>),
    Copy(Box<CopyCommand>),
    Workdir(String),
    User(String),
    Cmd(CommandLine),
    Entrypoint(CommandLine),
    Healthcheck(Health),
    Expose(Vec<String>),
    Volume(Vec<String>),
    Stopsignal(String),
    Shell(Vec<String>),
    Onbuild(String),
    Maintainer(String),
}

/// Shell form or a JSON array.
#[derive(Debug, Clone)]
pub(super) enum CommandLine {
    Shell(String),
    Exec(Vec<String>),
}

/// `RUN`.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) line: CommandLine,
    pub(super) heredocs: Vec<Document>,
    /// values of `--mount`
    pub(super) mounts: Vec<String>,
    pub(super) network: RunNetwork,
    /// `--security=insecure`
    pub(super) insecure: bool,
    /// value of `--device`
    pub(super) device: Option<String>,
}

/// `--network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunNetwork {
    /// the build's
    Default,
    Host,
    None,
}

/// `COPY`, `ADD`.
#[derive(Debug, Clone, Default)]
pub(super) struct CopyCommand {
    pub(super) add: bool,
    pub(super) from: Option<String>,
    pub(super) sources: Vec<String>,
    pub(super) documents: Vec<Document>,
    pub(super) destination: String,
    pub(super) chown: String,
    pub(super) chmod: String,
    pub(super) checksum: String,
    pub(super) link: bool,
    pub(super) parents: bool,
    pub(super) keep_git_dir: Option<bool>,
    pub(super) unpack: Option<bool>,
    pub(super) exclude: Vec<String>,
}

/// A here-document.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) name: String,
    pub(super) expand: bool,
    /// as it stands in the file
    pub(super) raw: String,
    /// leading tabs taken off when `<<-` asks for it
    pub(super) content: String,
}

impl Step {
    /// What other stages and images it reads from, as written.
    pub(super) fn sources(&self) -> Vec<(String, bool)> {
        match &self.command {
            Command::Copy(copy) => copy.from.iter().map(|from| (from.clone(), true)).collect(),
            Command::Run(run) => {
                let from = |text: &String| super::mount::parse(text, None).ok()?.from;
                let froms = run.mounts.iter().filter_map(from);
                froms.map(|from| (from, false)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The result of reading something.
pub(super) type Read<T> = Result<T, Problem>;
