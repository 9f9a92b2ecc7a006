//! `ADD` of a repository, by the `git` program: nothing of this machine's configuration, no hooks,
//! no prompts, and no protocol but https, http, ssh and git, also for submodules.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use std::os::unix::process::CommandExt as _;

use super::{
    FetchError, FetchOptions, environment, redacted,
    refs::{self, Meant, is_commit},
};
use crate::engine::embedded::{files::open_plain_directory, graph::GitSource};

/// Bytes of output that are kept.
const MAX_OUTPUT: u64 = 4 << 20;
const POLL: Duration = Duration::from_millis(10);

/// The commit that a source means now; asks the server unless the source names a commit.
///
/// # Errors
/// When git is not installed, the server cannot be reached, or has no such reference.
pub fn commit(source: &GitSource, options: &FetchOptions) -> Result<String, FetchError> {
    let git = Git::new(source, options);
    git.allowed()?;
    git.meant().map(|meant| meant.commit)
}

/// Fetches a source into an empty directory; the answer is its commit.
///
/// # Errors
/// As [`commit`], and when the directory in the repository is missing.
pub fn git(source: &GitSource, into: &Path, options: &FetchOptions) -> Result<String, FetchError> {
    let git = Git::new(source, options);
    git.allowed()?;
    let meant = git.meant()?;
    let subdir = source.subdir.as_deref().map(|path| path.trim_matches('/'));
    match subdir.filter(|path| !path.is_empty() && *path != ".") {
        None => {
            git.checkout(&meant, into)?;
            if !source.keep_git_dir {
                let path = into.join(".git");
                fs::remove_dir_all(&path).map_err(FetchError::io("taking .git away"))?;
            }
        }
        Some(subdir) => {
            let parent = into.parent().unwrap_or(into);
            let whole = tempfile::Builder::new()
                .prefix("git-")
                .tempdir_in(parent)
                .map_err(FetchError::io("making a directory for the checkout"))?;
            git.checkout(&meant, whole.path())?;
            git.take(whole.path(), subdir, into)?;
        }
    }
    Ok(meant.commit)
}

struct Git<'a> {
    source: &'a GitSource,
    what: String,
    options: &'a FetchOptions,
}

impl<'a> Git<'a> {
    fn new(source: &'a GitSource, options: &'a FetchOptions) -> Self {
        Self {
            source,
            what: redacted(&source.remote),
            options,
        }
    }

    fn refused(&self, reason: impl Into<String>) -> FetchError {
        FetchError::Refused {
            what: self.what.clone(),
            reason: reason.into(),
        }
    }

    /// Addresses and references that git could take for options, or that lead to this machine.
    fn allowed(&self) -> Result<(), FetchError> {
        let remote = &self.source.remote;
        let scheme = remote.split_once("://").map(|(scheme, _)| scheme);
        let known = match scheme {
            Some(scheme) => matches!(scheme, "https" | "http" | "ssh" | "git"),
            // user@host:path
            None => remote.split_once(':').is_some_and(|(host, path)| {
                host.contains('@') && !host.contains('/') && !path.is_empty()
            }),
        };
        if !known || remote.starts_with('-') {
            return Err(self.refused("only https, http, ssh and git addresses are fetched"));
        }
        let reference = self.source.reference.as_deref().unwrap_or("HEAD");
        if reference.is_empty()
            || reference.starts_with('-')
            || reference.contains([':', '\n', ' '])
        {
            return Err(self.refused(format!("`{reference}` is no reference")));
        }
        Ok(())
    }

    fn meant(&self) -> Result<Meant, FetchError> {
        let reference = self.source.reference.as_deref().unwrap_or("HEAD");
        let meant = if is_commit(reference) {
            Meant {
                commit: reference.to_owned(),
                tag: None,
                name: None,
            }
        } else {
            self.remote(reference)?
        };
        let Some(wanted) = &self.source.checksum else {
            return Ok(meant);
        };
        let fits = |id: &String| id.starts_with(wanted.as_str());
        if fits(&meant.commit) || meant.tag.as_ref().is_some_and(fits) {
            return Ok(meant);
        }
        Err(FetchError::Checksum {
            what: self.what.clone(),
            expected: wanted.clone(),
            actual: meant.commit,
        })
    }

    fn remote(&self, reference: &str) -> Result<Meant, FetchError> {
        let peeled = format!("{reference}^{{}}");
        let remote = &self.source.remote;
        let listed = self.run(
            None,
            &["ls-remote", "--symref", "--", remote, reference, &peeled],
        )?;
        refs::meant(&listed, reference).ok_or_else(|| FetchError::Remote {
            what: self.what.clone(),
            reason: format!("repository does not contain ref {reference}"),
        })
    }

    fn checkout(&self, meant: &Meant, into: &Path) -> Result<(), FetchError> {
        let here = Some(into);
        let commit = meant.commit.as_str();
        self.run(here, &["init", "--quiet", "--template="])?;
        self.run(
            here,
            &["remote", "add", "origin", "--", &self.source.remote],
        )?;
        let shallow = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--depth=1",
            "--",
            "origin",
            commit,
        ];
        let mut fetched = self.run(here, &shallow);
        if matches!(fetched, Err(FetchError::Remote { .. })) {
            // A server that hands out neither single commits nor parts of a history.
            let all = "+refs/*:refs/remotes/origin/*";
            fetched = self.run(
                here,
                &["fetch", "--quiet", "--no-tags", "--", "origin", all],
            );
        }
        fetched?;
        if let (true, Some(name)) = (self.source.keep_git_dir, &meant.name) {
            self.named(meant, name, into)?;
        }
        self.run(
            here,
            &[
                "-c",
                "advice.detachedHead=false",
                "checkout",
                "--quiet",
                "--detach",
                commit,
                "--",
            ],
        )?;
        let modules = [
            "submodule",
            "--quiet",
            "update",
            "--init",
            "--recursive",
            "--depth=1",
        ];
        if !self.source.skip_submodules && into.join(".gitmodules").exists() {
            self.run(here, &modules)?;
        }
        self.run(here, &["reflog", "expire", "--all", "--expire=now"])?;
        if let Some(clean) = self.without_password() {
            self.run(here, &["remote", "set-url", "origin", "--", &clean])?;
        }
        match fs::remove_file(into.join(".git/FETCH_HEAD")) {
            Err(fault) if fault.kind() != io::ErrorKind::NotFound => {
                Err(FetchError::io("taking FETCH_HEAD away")(fault))
            }
            _ => Ok(()),
        }
    }

    /// A kept repository knows the branch or the tag that it was taken by.
    fn named(&self, meant: &Meant, name: &str, into: &Path) -> Result<(), FetchError> {
        let here = Some(into);
        if meant.tag.is_none() {
            let short = ["refs/heads/", "refs/tags/"]
                .iter()
                .find_map(|prefix| name.strip_prefix(prefix));
            // BuildKit fetches by the short name, which then is both a branch and a tag.
            let names = match short {
                Some(short) => vec![format!("refs/heads/{short}"), format!("refs/tags/{short}")],
                None => vec![name.to_owned()],
            };
            for name in names {
                self.run(here, &["update-ref", "--", &name, &meant.commit])?;
            }
            return Ok(());
        }
        let both = format!("{name}:{name}");
        let fetch = ["fetch", "--quiet", "--no-tags", "--depth=1", "--", "origin"];
        let fetch: Vec<&str> = fetch.into_iter().chain([both.as_str()]).collect();
        self.run(here, &fetch).map(drop)
    }

    /// A password in the address must not stay in a kept `.git`.
    fn without_password(&self) -> Option<String> {
        let mut url = url::Url::parse(&self.source.remote).ok()?;
        url.password()?;
        let _ = url.set_password(None);
        let _ = url.set_username("");
        Some(url.to_string())
    }

    /// Moves what is in a directory of the checkout; a link on the way is an error.
    fn take(&self, whole: &Path, subdir: &str, into: &Path) -> Result<(), FetchError> {
        let names = open_plain_directory(whole, Path::new(subdir))
            .map_err(|fault| self.refused(format!("invalid subdir {subdir}: {fault}")))?;
        let from = whole.join(subdir);
        for name in names {
            fs::rename(from.join(&name), into.join(&name))
                .map_err(FetchError::io("moving the checkout"))?;
        }
        Ok(())
    }

    fn run(&self, directory: Option<&Path>, arguments: &[&str]) -> Result<String, FetchError> {
        let mut child = self
            .command(directory, arguments)
            .spawn()
            .map_err(|fault| {
                if fault.kind() == io::ErrorKind::NotFound {
                    return FetchError::NoGit {
                        what: self.what.clone(),
                    };
                }
                FetchError::io("running git")(fault)
            })?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let read = |from: Option<Box<dyn io::Read + Send>>| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                if let Some(mut from) = from {
                    let _ = (&mut from).take(MAX_OUTPUT).read_to_end(&mut text);
                    let _ = io::copy(&mut from, &mut io::sink());
                }
                String::from_utf8_lossy(&text).into_owned()
            })
        };
        let out = read(out.map(|pipe| Box::new(pipe) as _));
        let err = read(err.map(|pipe| Box::new(pipe) as _));
        let status = self.wait(&mut child)?;
        let (out, err) = (
            out.join().unwrap_or_default(),
            err.join().unwrap_or_default(),
        );
        if status.success() {
            return Ok(out);
        }
        let reason = err
            .lines()
            .find(|line| line.starts_with("fatal:") || line.starts_with("error:"))
            .or_else(|| err.lines().last())
            .unwrap_or("git failed");
        Err(FetchError::Remote {
            what: self.what.clone(),
            reason: reason.replace(&self.source.remote, &self.what),
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "git is the engine's program to run"
    )]
    fn command(&self, directory: Option<&Path>, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.env_clear();
        for setting in [
            "protocol.allow=never",
            "protocol.https.allow=always",
            "protocol.http.allow=always",
            "protocol.ssh.allow=always",
            "protocol.git.allow=always",
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "init.defaultBranch=master",
            "gc.auto=0",
            "safe.directory=*",
        ] {
            command.args(["-c", setting]);
        }
        command.args(arguments);
        if let Some(directory) = directory {
            command.current_dir(directory);
            command.env(
                "GIT_CEILING_DIRECTORIES",
                directory.parent().unwrap_or(directory),
            );
        }
        let path = self
            .options
            .path
            .clone()
            .or_else(|| environment::variable("PATH"));
        command
            .env(
                "PATH",
                path.unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".to_owned()),
            )
            .env("HOME", "/dev/null")
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "true")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_SSH_COMMAND", "ssh -F /dev/null -o BatchMode=yes")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        command.envs(environment::proxies(environment::variable));
        if let Some(agent) = &self.options.ssh_agent {
            command.env("SSH_AUTH_SOCK", agent);
        }
        command
    }

    fn wait(&self, child: &mut Child) -> Result<std::process::ExitStatus, FetchError> {
        loop {
            match child
                .try_wait()
                .map_err(FetchError::io("waiting for git"))?
            {
                Some(status) => return Ok(status),
                None if self.options.cancel.is_cancelled() => {
                    // With its helpers: they are in its process group.
                    let group = nix::unistd::Pid::from_raw(child.id().cast_signed());
                    let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
                    let _ = child.wait();
                    return Err(FetchError::Interrupted);
                }
                None => std::thread::sleep(POLL),
            }
        }
    }
}
