//! Outputs of a run that ended before it had anything to tell: later steps find `passed` and
//! `exit-code` all the same.

use std::{ffi::OsString, path::Path};

use crate::{
    ci::{
        self, files,
        outputs::{Counts, Outputs},
    },
    config::{Cli, Environment, cli::Command},
    error::ExitCode,
};

/// Commands that have outputs.
const COMMANDS: [&str; 5] = ["run", "check", "build", "scan", "push"];

/// Writes them for a command that an error ended. The configuration may be what is wrong, so that
/// paths are relative to `directory`.
pub(in crate::command) fn early(
    cli: &Cli,
    environment: &Environment,
    (directory, when): (&Path, jiff::Timestamp),
    code: ExitCode,
) {
    let ci = match &cli.command {
        Command::Run(run) => Some(&run.ci),
        Command::Scan(scan) => Some(&scan.ci),
        Command::Check(_) | Command::Build(_) | Command::Push(_) => None,
        _ => return,
    };
    let flags = ci.map(|ci| (ci.dotenv.as_deref(), ci.results_dir.as_deref()));
    write(
        environment,
        (directory, when),
        flags.unwrap_or_default(),
        code,
    );
}

/// Writes them for a command line that could not be read.
pub(in crate::command) fn unread(
    args: &[OsString],
    environment: &Environment,
    place: (&Path, jiff::Timestamp),
) {
    let named = |arg: &OsString| COMMANDS.iter().any(|command| arg == command);
    if args.iter().skip(1).any(named) {
        write(environment, place, (None, None), ExitCode::Usage);
    }
}

fn write(
    environment: &Environment,
    (directory, when): (&Path, jiff::Timestamp),
    (dotenv, results): (Option<&str>, Option<&str>),
    code: ExitCode,
) {
    let meaning = ExitCode::TABLE.iter().find(|(known, _)| *known == code);
    let outputs = Outputs {
        exit_code: code as u8,
        summary: meaning
            .map_or("ended early", |(_, meaning)| meaning)
            .to_owned(),
        ..Outputs::default()
    };
    let place = |flag: Option<&str>, name| {
        let set = flag
            .map(str::to_owned)
            .or_else(|| environment.file_for(name));
        set.map(|path| directory.join(path))
    };
    // Whatever cannot be written here: the error that ended the run is the one to be read.
    if let Some(path) = environment.github().and_then(|run| run.output) {
        let _ = files::append(&path, &outputs.for_github(&ci::unguessable()));
    }
    if let Some(path) = place(dotenv, "dotenv") {
        let _ = files::write(&path, &outputs.for_dotenv().0);
    }
    if let Some(folder) = place(results, "results-dir") {
        for (name, value) in outputs.for_results(Counts::default(), when.as_second()) {
            let _ = files::write(&folder.join(name), &value);
        }
    }
}
