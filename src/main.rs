//! The binary: hands arguments, environment, streams and the clock to the library.

use std::{
    io::{self, IsTerminal as _},
    process,
    sync::{Arc, Mutex},
};

use plimsoll::{command, engine::embedded::worker, error::ExitCode};

#[expect(clippy::disallowed_methods, reason = "this is the edge of the process")]
fn main() -> process::ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    if let Some(code) = worker::entered(&args) {
        return code;
    }
    let stdout = io::stdout();
    let run = || {
        command::run(command::Process {
            args: args.clone(),
            variables: std::env::vars_os().collect(),
            directory: std::env::current_dir().unwrap_or_else(|_| ".".into()),
            stdout_is_terminal: stdout.is_terminal(),
            stderr_is_terminal: io::stderr().is_terminal(),
            stdout: &mut stdout.lock(),
            stderr: Arc::new(Mutex::new(io::stderr())),
            now: jiff::Timestamp::now,
        })
    };
    // The message of a panic is on standard error by then; the code says whose fault it is.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run))
        .unwrap_or(ExitCode::Bug)
        .into()
}
