//! What the suite shares: the binary in a clean environment, and real parts that may be missing.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// What a run of the binary came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "exit {}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}

/// Runs the binary in `folder` with nothing of the caller's environment but what finds programs and
/// engines.
pub(crate) fn plimsoll(folder: &Path, args: &[&str]) -> Ran {
    Ran::of(&plimsoll_command(folder, args).output().unwrap())
}

/// [`plimsoll`] with variables of the environment on top.
pub(crate) fn plimsoll_with(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = plimsoll_command(folder, args);
    Ran::of(&command.envs(variables.iter().copied()).output().unwrap())
}

/// [`plimsoll`], not yet started.
pub(crate) fn plimsoll_command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command
        .current_dir(folder)
        .args(args)
        .env_clear()
        .env("NO_COLOR", "1");
    for name in ["PATH", "DOCKER_HOST", "TMPDIR"] {
        if let Some(value) = env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

impl Ran {
    /// What a finished process left.
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Whether a Docker Engine answers.
pub(crate) fn docker_is_there() -> bool {
    let there = Command::new("docker")
        .arg("version")
        .output()
        .is_ok_and(|o| o.status.success());
    if !there {
        super::skipped("engine", "no Docker Engine answers");
    }
    there
}

/// The base image of the examples, made once.
pub(crate) fn example_base() -> PathBuf {
    static MADE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    MADE.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let base = root.join("target/example-base");
        let made = Command::new(root.join("examples/base/make-base.sh"))
            .arg(&base)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        base
    })
    .clone()
}
