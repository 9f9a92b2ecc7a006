//! Keys in files for `--mount=type=ssh`: served by an agent of OpenSSH's own, which knows every kind of
//! key, started for one build and stopped after it. A key with a passphrase is refused, as `docker build`
//! does: nobody is there to be asked.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{BuildError, BuildPlan};

/// Agents that live as long as this value.
#[derive(Debug, Default)]
pub struct KeyAgents {
    /// the command below each agent, and the agent
    agents: Vec<(Child, Option<Pid>)>,
    directory: Option<tempfile::TempDir>,
}

impl Drop for KeyAgents {
    fn drop(&mut self) {
        for (command, agent) in &mut self.agents {
            if let Some(agent) = agent {
                let _ = kill(*agent, Signal::SIGTERM);
            }
            let _ = command.kill();
            let _ = command.wait();
        }
    }
}

/// Puts an agent in the place of each key file of the plan.
///
/// # Errors
/// When OpenSSH is not installed, or a key cannot be used.
pub fn serve_keys(plan: &mut BuildPlan) -> Result<KeyAgents, BuildError> {
    let mut served = KeyAgents::default();
    for (id, path) in &mut plan.ssh {
        if !path.metadata().is_ok_and(|data| data.is_file()) {
            continue;
        }
        *path = served.add(path).map_err(|reason| BuildError::Engine {
            engine: format!("ssh `{id}`"),
            reason: format!("{}: {reason}", path.display()),
            hint: Some(
                "give a key without a passphrase that its owner alone can read, with OpenSSH's \
                 ssh-agent and ssh-add installed; or load it into an agent and name its socket"
                    .to_owned(),
            ),
        })?;
    }
    Ok(served)
}

#[expect(
    clippy::disallowed_methods,
    reason = "keys are OpenSSH's business: its agent and its way to load them"
)]
impl KeyAgents {
    /// The socket of a new agent that has the key.
    fn add(&mut self, key: &Path) -> Result<PathBuf, String> {
        let directory = match self.directory.take() {
            Some(directory) => directory,
            None => tempfile::Builder::new()
                .prefix("plimsoll-ssh-")
                .tempdir()
                .map_err(|error| error.to_string())?,
        };
        let socket = directory
            .path()
            .join(format!("agent-{}", self.agents.len()));
        self.directory = Some(directory);
        // It ends with the command below it, which ends with this process, however that ends.
        let mut agent = Command::new("ssh-agent")
            .arg("-a")
            .arg(&socket)
            .args(["sh", "-c", "echo \"$SSH_AGENT_PID\"; exec cat >/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("ssh-agent: {error}"))?;
        let mut line = String::new();
        let out = agent.stdout.take();
        let number = out.and_then(|out| BufReader::new(out.take(64)).read_line(&mut line).ok());
        let pid = number.and_then(|_| line.trim().parse().ok());
        self.agents.push((agent, pid.map(Pid::from_raw)));
        if pid.is_none() {
            return Err("ssh-agent does not start".to_owned());
        }
        let added = Command::new("ssh-add")
            .arg("-q")
            .arg(key)
            .env("SSH_AUTH_SOCK", &socket)
            .env("SSH_ASKPASS_REQUIRE", "never")
            .env_remove("DISPLAY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()
            .map_err(|error| format!("ssh-add: {error}"))?;
        if added.status.success() {
            return Ok(socket);
        }
        let said = String::from_utf8_lossy(&added.stderr);
        let said = said.lines().rfind(|line| !line.trim().is_empty());
        Err(format!(
            "ssh-add: {}",
            said.unwrap_or("the key is not taken")
        ))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests make keys and ask agents")]

    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn key(at: &Path, passphrase: &str) -> bool {
        let made = Command::new("ssh-keygen")
            .args([
                "-q", "-t", "ed25519", "-C", "the key", "-N", passphrase, "-f",
            ])
            .arg(at)
            .status();
        made.is_ok_and(|status| status.success())
    }

    fn listed(socket: &Path) -> String {
        let listed = Command::new("ssh-add")
            .arg("-l")
            .env("SSH_AUTH_SOCK", socket)
            .output()
            .unwrap();
        String::from_utf8(listed.stdout).unwrap()
    }

    fn plan(path: &Path) -> BuildPlan {
        BuildPlan {
            ssh: [("default".to_owned(), path.to_owned())].into(),
            ..BuildPlan::default()
        }
    }

    #[test]
    fn a_key_in_a_file_is_served_until_the_end_and_one_with_a_passphrase_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        if !key(&path, "") {
            assert!(std::env::var_os("PLIMSOLL_TEST_STRICT").is_none());
            return;
        }
        let mut with_key = plan(&path);
        let agents = serve_keys(&mut with_key).unwrap();
        let socket = with_key.ssh["default"].clone();
        assert!(listed(&socket).contains("the key"));
        // What is a socket already stays.
        let mut again = with_key.clone();
        serve_keys(&mut again).unwrap();
        assert_eq!(again.ssh["default"], socket);
        drop(agents);
        assert!(!socket.exists() && listed(&socket).is_empty());

        let locked = dir.path().join("locked");
        assert!(key(&locked, "secret words"));
        let error = serve_keys(&mut plan(&locked)).unwrap_err().to_string();
        assert!(
            error.contains("ssh `default`") && error.contains("locked"),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(serve_keys(&mut plan(&path)).is_err());
        let missing = dir.path().join("missing");
        let mut gone = plan(&missing);
        serve_keys(&mut gone).unwrap();
        assert_eq!(gone.ssh["default"], missing);
    }
}
