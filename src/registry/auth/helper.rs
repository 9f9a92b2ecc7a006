//! Credential helpers: `docker-credential-NAME get`, the registry on standard input, the login as
//! JSON on standard output; `store` takes the login on standard input, `erase` the registry.

use std::{
    io::{self, Read, Write as _},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{AuthError, Login};
use crate::secret::Secret;

/// The largest answer, in bytes.
const MAX_ANSWER: u64 = 1024 * 1024;
/// How often a running helper is looked at.
const PAUSE: Duration = Duration::from_millis(5);
/// How long its output may end after the helper itself, at least.
const GRACE: Duration = Duration::from_secs(1);
/// What a helper prints, before it exits with 1, when it has no login.
const NOT_FOUND: [&str; 3] = [
    "credentials not found in native keychain",
    "no credentials server URL",
    "no credentials username",
];
/// The user name that marks an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Debug, Clone)]
pub(super) struct Helpers {
    pub(super) dirs: Vec<PathBuf>,
    pub(super) limit: Duration,
}

impl Default for Helpers {
    fn default() -> Self {
        Self {
            dirs: Vec::new(),
            limit: Duration::from_mins(1),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl Helpers {
    pub(super) fn ask(&self, name: &str, registry: &str) -> Result<Option<Login>, AuthError> {
        let program = format!("docker-credential-{name}");
        self.run(name, &program, registry)
            .map_err(|fault| AuthError::Helper {
                helper: program,
                registry: registry.to_owned(),
                fault,
            })
    }

    /// `store` or `erase`, with `input` on standard input.
    pub(super) fn tell(
        &self,
        name: &str,
        action: &str,
        input: &[u8],
        registry: &str,
    ) -> Result<(), AuthError> {
        let program = format!("docker-credential-{name}");
        let done = self.call(name, &program, action, input);
        let done = done.and_then(|(status, said)| {
            if status.success() {
                return Ok(());
            }
            Err(format!("{status}: {}", message(&said)))
        });
        done.map_err(|fault| AuthError::Helper {
            helper: program,
            registry: registry.to_owned(),
            fault,
        })
    }

    fn run(&self, name: &str, program: &str, registry: &str) -> Result<Option<Login>, String> {
        let (status, answer) = self.call(name, program, "get", registry.as_bytes())?;
        read_answer(status, &answer)
    }

    fn call(
        &self,
        name: &str,
        program: &str,
        action: &str,
        input: &[u8],
    ) -> Result<(ExitStatus, Zeroizing<Vec<u8>>), String> {
        if name.contains(['/', '\\', '\0']) {
            return Err("the name of a helper cannot be a path".to_owned());
        }
        let path = self.find(program)?;
        let mut child = spawn(&path, action).map_err(|fault| match fault.kind() {
            io::ErrorKind::NotFound => not_installed(),
            _ => fault.to_string(),
        })?;
        let answer = answer_of(&mut child);
        if let Some(mut stdin) = child.stdin.take() {
            // A helper that does not read its input fails by its answer.
            let _ = stdin.write_all(input);
        }
        let until = Instant::now() + self.limit;
        let status = wait(&mut child, until)
            .map_err(|fault| fault.to_string())?
            .ok_or_else(|| format!("no answer within {} s", self.limit.as_secs_f32()))?;
        // Something the helper started may still hold its output open.
        let left = until.saturating_duration_since(Instant::now()).max(GRACE);
        let answer = answer
            .recv_timeout(left)
            .map_err(|_| "its output does not end".to_owned())?;
        Ok((status, answer))
    }

    fn find(&self, program: &str) -> Result<PathBuf, String> {
        if self.dirs.is_empty() {
            return Ok(PathBuf::from(program));
        }
        self.dirs
            .iter()
            .map(|dir| dir.join(program))
            .find(|path| path.is_file())
            .ok_or_else(not_installed)
    }
}

fn not_installed() -> String {
    "is not installed; install it, or log in anew without it".to_owned()
}

#[expect(
    clippy::disallowed_methods,
    reason = "credential helpers are programs by docker's design"
)]
fn spawn(program: &PathBuf, action: &str) -> io::Result<Child> {
    Command::new(program)
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
}

/// Reads the output aside, so that a helper that writes much does not stand still.
fn answer_of(child: &mut Child) -> mpsc::Receiver<Zeroizing<Vec<u8>>> {
    let (send, receive) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || {
            let mut answer = Zeroizing::new(Vec::new());
            let _ = stdout.take(MAX_ANSWER).read_to_end(&mut answer);
            let _ = send.send(answer);
        });
    }
    receive
}

/// `None` when the time is up; the helper is killed then.
fn wait(child: &mut Child, until: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            let _ = child.kill();
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(PAUSE);
    }
}

/// An error message is a line of text; anything else may hold a secret.
fn message(answer: &[u8]) -> String {
    let said = String::from_utf8_lossy(answer);
    match said.trim().lines().next() {
        Some(line) if !line.contains(['{', '"']) => line.chars().take(200).collect(),
        _ => "no message".to_owned(),
    }
}

fn read_answer(status: ExitStatus, answer: &[u8]) -> Result<Option<Login>, String> {
    if !status.success() {
        let said = String::from_utf8_lossy(answer);
        let said = said.trim();
        if NOT_FOUND.iter().any(|message| said.contains(message)) {
            return Ok(None);
        }
        return Err(format!("{status}: {}", message(answer)));
    }
    let answer: Answer = serde_json::from_slice(answer)
        .map_err(|_| "its answer is not a login in JSON".to_owned())?;
    let secret = Secret::new(answer.secret);
    Ok(Some(match answer.username.as_str() {
        TOKEN_USER => Login::IdentityToken(secret),
        _ => Login::Basic {
            username: answer.username,
            password: secret,
        },
    }))
}
