//! The processes of the embedded engine: this binary, run anew under a hidden first argument.
//!
//! ```text
//! plimsoll ─▶ setup (user namespace unless root, mount and pid namespaces)
//!               └─▶ init (pid 1: /proc, reaps orphans) ─▶ worker (the build) ─▶ step ─▶ command
//! ```
//!
//! Everybody dies with its parent (`PR_SET_PDEATHSIG`), and everything below init with init: whoever is
//! killed, no process and no mount is left. The request goes to the worker's standard input, the only
//! way that secrets take; events come back on its standard output, one JSON line each. The end of the
//! input means that the user wants to stop.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

mod detect;
mod ground;
mod idmap;
pub(super) mod parent;
mod pipe;
mod protocol;
mod prune;
mod serve;
mod setup;

pub use prune::prune;

/// Hidden first arguments. They are no commands: without the other end they do nothing.
const SETUP: &str = "@embedded-setup";
const INIT: &str = "@embedded-init";
const WORKER: &str = "@embedded-worker";
/// the process that becomes a container
pub(super) const STEP: &str = "@embedded-step";
/// the process that watches over a step without namespaces
pub(super) const PLAIN_STEP: &str = "@embedded-plain-step";
/// the process that enters a container and takes devices away
pub(super) const DEVICES: &str = "@embedded-devices";
/// the process that becomes a command without namespaces
pub(super) const ROOT: &str = "@embedded-root";

/// This binary, also when its file was replaced meanwhile.
pub(super) fn this_binary() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

/// Becomes one of the engine's processes when the arguments say so; called before there are threads.
pub fn entered(args: &[OsString]) -> Option<ExitCode> {
    let word = |index: usize| args.get(index).and_then(|word| word.to_str());
    let code = match word(1)? {
        SETUP => setup::setup(word(2)),
        INIT => setup::init(word(2)),
        WORKER => serve::main(word(2)),
        STEP => super::run::step::main(false),
        PLAIN_STEP => super::run::step::main(true),
        DEVICES => super::run::devices::main(word(2)),
        ROOT => super::run::plain::main(),
        _ => return None,
    };
    Some(ExitCode::from(code))
}
