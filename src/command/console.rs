//! What a run shows while it works: how, for whom, and what is hidden from it.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::Process;
use crate::{
    ci::Ci,
    config::{
        Cli, Environment,
        cli::{ColorChoice, ProgressChoice},
    },
    engine::BuildError,
    error::Error,
    progress::{Console, Mode, Redactor},
    secret::Secret,
};

/// Whether to colour.
pub(super) fn colored(choice: ColorChoice, environment: &Environment, terminal: bool) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => terminal && !environment.no_color(),
    }
}

/// The CI whose log this is.
fn ci(environment: &Environment) -> Ci {
    if environment.github().is_some() {
        Ci::GitHub
    } else if environment.gitlab().is_some() {
        Ci::GitLab
    } else if environment.is_azure() {
        Ci::Azure
    } else {
        Ci::Plain
    }
}

/// What is said before there is a console: without the secrets of the environment, and without what
/// the CI would obey.
pub(super) fn quotable(text: &str, environment: &Environment) -> String {
    let redactor = Redactor::new(environment.secrets());
    ci(environment).harmless(&redactor.redact(text))
}

/// The failed step's last words, then the error itself.
pub(super) fn failure(console: &Console, error: &Error, color: bool) -> String {
    let mut text = String::new();
    if let Error::Build(BuildError::Dockerfile(failure)) = error {
        for line in &failure.log {
            text.push_str("  | ");
            text.push_str(&console.clean(line));
            text.push('\n');
        }
        if let Some(at) = &failure.location {
            let _ = writeln!(text, "  at {}:{}", at.file, at.line);
        }
    }
    text + &console.redact(&error.render(color))
}

/// What the run shows while it works; `given` are secrets beside those of the environment.
pub(super) fn console(
    cli: &Cli,
    environment: &Environment,
    given: Vec<Secret>,
    process: &Process<'_>,
) -> Console {
    let plain = if process.stderr_is_terminal && !environment.is_ci() {
        Mode::Tty
    } else {
        Mode::Plain
    };
    let mode = match (cli.global.quiet, cli.global.progress) {
        (2.., _) => Mode::Silent,
        (1, _) | (_, ProgressChoice::None) => Mode::None,
        (_, ProgressChoice::Tty) => Mode::Tty,
        (_, ProgressChoice::Plain) => Mode::Plain,
        (_, ProgressChoice::Auto) => plain,
    };
    let ci = ci(environment);
    let mut secrets = environment.secrets();
    secrets.extend(given);
    if let Some((user, password)) = environment.login() {
        // As a login is written into headers and files.
        let pair = [user.as_bytes(), b":", password.expose()].concat();
        secrets.push(Secret::new(STANDARD.encode(pair)));
    }
    // One value may stand in several places.
    let mut seen: Vec<Secret> = Vec::new();
    for secret in secrets {
        if !seen.iter().any(|other| other.expose() == secret.expose()) {
            seen.push(secret);
        }
    }
    let secrets = seen;
    let console = Console::new(
        process.stderr.clone(),
        mode,
        ci,
        Redactor::new(secrets.clone()),
        || jiff_now().as_second(),
    );
    console.mask(&secrets);
    match cli.global.verbose {
        0 => {}
        1 => console.show_events(tracing::Level::INFO),
        _ => console.show_events(tracing::Level::DEBUG),
    }
    console
}

#[expect(clippy::disallowed_methods, reason = "the clock is read at the edge")]
fn jiff_now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
