//! Secrets and ssh agents of a build: read from where the configuration says they are.

use std::path::PathBuf;

use indexmap::IndexMap;

use super::{
    decode::Problem,
    file::{Build, SecretSource},
    load::read_at_most,
    resolve::Resolver,
    sourced::{Origin, Sourced},
    values::KeyValue,
};
use crate::secret::Secret;

/// Largest secret that BuildKit takes, in bytes: 500 KiB.
const MAX_SECRET: u64 = 500 * 1024;

impl Resolver<'_> {
    /// Values of the secrets, by id.
    pub(super) fn secrets(&mut self, build: &Build) -> IndexMap<String, Secret> {
        let mut secrets = self.inline_secrets();
        for (id, source) in build.secrets.iter().flat_map(|secrets| &secrets.value) {
            let above = matches!(source.origin, Origin::Flag(_) | Origin::Variable(_));
            if secrets.contains_key(id) && !above {
                continue;
            }
            match self.secret(id, source) {
                Ok(secret) => {
                    secrets.insert(id.clone(), secret);
                }
                Err((origin, problem)) => {
                    let message = format!("secret `{id}`: {}", problem.message);
                    self.faults.push(origin, message, problem.help);
                }
            }
        }
        secrets
    }

    fn secret(
        &self,
        id: &str,
        source: &Sourced<SecretSource>,
    ) -> Result<Secret, (Origin, Problem)> {
        if let Some(path) = &source.value.src {
            let fault = |message| (path.origin.clone(), Problem::new(message));
            let bytes = read_at_most(&self.bases.absolute(path), MAX_SECRET + 1)
                .map_err(|error| fault(format!("cannot read {}: {error}", path.value.display())))?;
            if bytes.len() as u64 > MAX_SECRET {
                return Err(fault(format!("larger than {MAX_SECRET} bytes (500 KiB)")));
            }
            return Ok(Secret::new(bytes));
        }
        let Some(name) = &source.value.env else {
            let help = format!("add `src` or `env` to `{id}`");
            let problem = Problem::new("has no source").help(Some(help));
            return Err((source.origin.clone(), problem));
        };
        self.environment
            .secret(&name.value)
            .cloned()
            .ok_or_else(|| {
                let help = "set it in the CI's secrets and hand it to this step".to_owned();
                let problem = Problem::new(format!("the environment has no `{}`", name.value));
                (name.origin.clone(), problem.help(Some(help)))
            })
    }

    /// Secrets that an input carries itself: `ID=VALUE` a line.
    fn inline_secrets(&mut self) -> IndexMap<String, Secret> {
        let mut secrets = IndexMap::new();
        let Some((name, value)) = self.environment.setting("secrets") else {
            return secrets;
        };
        let lines = value.expose().split(|byte| *byte == b'\n');
        for (number, line) in lines
            .enumerate()
            .filter(|(_, line)| !line.trim_ascii().is_empty())
        {
            let mut parts = line.splitn(2, |byte| *byte == b'=');
            let id = parts
                .next()
                .and_then(|id| std::str::from_utf8(id.trim_ascii()).ok());
            if let (Some(id), Some(value)) = (id.filter(|id| !id.is_empty()), parts.next()) {
                secrets.insert(id.to_owned(), Secret::new(value.trim_ascii_end()));
            } else {
                // The line is not shown: it may be a secret.
                let message = format!("line {} is not ID=VALUE", number + 1);
                self.faults
                    .push(Origin::Variable(name.clone()), message, None);
            }
        }
        secrets
    }

    /// Sockets of agents or key files, by id.
    pub(super) fn ssh(&mut self, build: &Build) -> IndexMap<String, PathBuf> {
        let mut ssh = IndexMap::new();
        let Some(wanted) = &build.ssh else { return ssh };
        for KeyValue { key, value } in &wanted.value {
            let path = match value {
                Some(path) => Some(self.bases.of(&wanted.origin).join(path)),
                None => self.environment.path("SSH_AUTH_SOCK"),
            };
            match path {
                Some(path) if path.exists() => {
                    ssh.insert(key.clone(), path);
                }
                Some(path) => {
                    let message = format!("ssh `{key}`: {} does not exist", path.display());
                    self.faults.push(wanted.origin.clone(), message, None);
                }
                None => {
                    let message = format!("ssh `{key}`: no agent, `SSH_AUTH_SOCK` is not set");
                    let help = "start `ssh-agent`, or name a key: ID=PATH".to_owned();
                    self.faults.push(wanted.origin.clone(), message, Some(help));
                }
            }
        }
        ssh
    }
}
