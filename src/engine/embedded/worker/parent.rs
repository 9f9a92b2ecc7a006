//! The engine's side: starts the worker in the best isolation that this machine allows, hands it the
//! request, answers its questions, passes its events on, and ends it.

use std::{
    io::{self, Write as _},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use nix::unistd::Uid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    SETUP, WORKER, detect, idmap,
    pipe::take,
    protocol::{Answer, LONGEST, Message, Request, SealedLogin},
    setup::{PLAIN, ROOT, USER},
};
use crate::{
    engine::{
        BuildError, BuildEvents, BuildPlan, Built, Cancel,
        embedded::run::wire::{self, Sealed},
    },
    registry::RegistryOptions,
};

/// As messages name the engine.
pub(in crate::engine::embedded) const NAME: &str = "embedded engine";
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};
/// For the worker to end its steps and tidy up once it was told to.
const GRACE: Duration = Duration::from_secs(15);
/// Bytes kept of what the worker says on its standard error: a panic, if anything.
const SAID: usize = 4096;

/// A worker that answers.
pub(super) struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<OwnedFd>,
    errors: Option<OwnedFd>,
    held: Vec<u8>,
    said: Vec<u8>,
}

/// Why a worker is not to be had.
pub(super) enum Refusal {
    /// the kernel does not let it
    Kernel { what: String, error: io::Error },
    /// something else
    Other(BuildError),
}

/// How a build is done.
struct Way {
    namespaces: bool,
    note: Option<String>,
}

/// Builds in a worker.
pub(in crate::engine::embedded) fn build(
    binary: &Path,
    plan: &BuildPlan,
    registry: &RegistryOptions,
    events: &mut dyn BuildEvents,
    cancel: &Cancel,
) -> Result<Built, BuildError> {
    let (mut worker, way) = start(binary)?;
    let secrets = plan.secrets.iter();
    let request = Request {
        plan: plan.clone(),
        secrets: secrets
            .map(|(id, secret)| (id.clone(), Sealed(secret.clone())))
            .collect(),
        insecure: registry.insecure.clone(),
        extra_roots: registry.extra_roots.clone(),
        namespaces: way.namespaces,
        note: way.note,
        prune: None,
    };
    worker.send(&request).map_err(|source| BuildError::Io {
        what: "the request to the worker".to_owned(),
        source,
    })?;
    let outcome = worker.follow(plan, registry, events, cancel);
    worker.end();
    if cancel.is_cancelled() && outcome.is_err() {
        return Err(BuildError::Interrupted);
    }
    outcome
}

/// The best worker to be had.
fn start(binary: &Path) -> Result<(Worker, Way), BuildError> {
    let root = Uid::effective().is_root();
    let modes: &[&str] = if root { &[ROOT, USER] } else { &[USER] };
    let mut refusal = None;
    for mode in modes {
        match Worker::start(binary, Some(mode)) {
            Ok((worker, note)) => {
                let way = Way {
                    namespaces: true,
                    note,
                };
                return Ok((worker, way));
            }
            Err(Refusal::Kernel { what, error }) => refusal = Some((what, error)),
            Err(Refusal::Other(error)) => return Err(error),
        }
    }
    let (what, error) =
        refusal.unwrap_or_else(|| ("namespaces".to_owned(), io::ErrorKind::Other.into()));
    let chroot = caps::has_cap(
        None,
        caps::CapSet::Effective,
        caps::Capability::CAP_SYS_CHROOT,
    );
    if !root || !chroot.unwrap_or(false) {
        return Err(BuildError::Engine {
            engine: NAME.to_owned(),
            reason: format!("this machine does not let it isolate steps: {what}: {error}"),
            hint: Some(detect::advice()),
        });
    }
    let note = format!(
        "isolation is weaker: no namespaces ({what}: {error}), steps run in a chroot; {}",
        detect::advice()
    );
    match Worker::start(binary, None) {
        Ok((worker, _)) => Ok((
            worker,
            Way {
                namespaces: false,
                note: Some(note),
            },
        )),
        Err(Refusal::Kernel { what, error }) => Err(BuildError::Io {
            what,
            source: error,
        }),
        Err(Refusal::Other(error)) => Err(error),
    }
}

impl Worker {
    #[expect(
        clippy::disallowed_methods,
        reason = "the worker is this binary, run anew"
    )]
    fn spawn(binary: &Path, mode: Option<&str>) -> io::Result<Self> {
        let mut command = Command::new(binary);
        command.arg0("plimsoll");
        match mode {
            Some(mode) => command.args([SETUP, mode]),
            None => command.args([WORKER, PLAIN]),
        };
        // Ctrl-C at a terminal is for this process; the worker is told by the end of its input.
        let mut child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self {
            input: child.stdin.take(),
            output: child.stdout.take().map(OwnedFd::from),
            errors: child.stderr.take().map(OwnedFd::from),
            child,
            held: Vec::new(),
            said: Vec::new(),
        })
    }

    /// A worker that waits for its request, and what there is to say about its ids.
    pub(super) fn start(
        binary: &Path,
        mode: Option<&str>,
    ) -> Result<(Self, Option<String>), Refusal> {
        let mut worker = Self::spawn(binary, mode).map_err(|source| {
            Refusal::Other(BuildError::Io {
                what: format!("the worker of the embedded engine ({})", binary.display()),
                source,
            })
        })?;
        let mut note = None;
        loop {
            match worker.next(&mut || false) {
                Ok(Some(Message::Map)) => {
                    let mapped = idmap::write(worker.child.id());
                    note = mapped.map_err(|error| Refusal::Kernel {
                        what: "ids of the user namespace".to_owned(),
                        error,
                    })?;
                    worker
                        .tell(b"m")
                        .map_err(|_| Refusal::Other(worker.crashed()))?;
                }
                Ok(Some(Message::Ready)) => return Ok((worker, note)),
                Ok(Some(Message::Refused { what, errno })) => {
                    return Err(Refusal::Kernel {
                        what,
                        error: io::Error::from_raw_os_error(errno),
                    });
                }
                Ok(_) => return Err(Refusal::Other(worker.crashed())),
                Err(error) => return Err(Refusal::Other(error)),
            }
        }
    }

    fn tell(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.input {
            Some(input) => input.write_all(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    pub(super) fn send(&mut self, what: &impl serde::Serialize) -> io::Result<()> {
        let line = wire::line(what)?;
        self.tell(&line)
    }

    /// Passes on what the worker says until its last word.
    fn follow(
        &mut self,
        plan: &BuildPlan,
        registry: &RegistryOptions,
        events: &mut dyn BuildEvents,
        cancel: &Cancel,
    ) -> Result<Built, BuildError> {
        let mut deadline = None;
        loop {
            let mut told = false;
            let message = {
                let mut stop = || {
                    told = cancel.is_cancelled();
                    match deadline {
                        None => told,
                        Some(end) => Instant::now() > end,
                    }
                };
                self.next(&mut stop)?
            };
            let Some(message) = message else {
                if deadline.is_some() || !told {
                    return Err(BuildError::Interrupted);
                }
                // The end of its input tells the worker to stop.
                self.input = None;
                deadline = Some(Instant::now() + GRACE);
                continue;
            };
            match message {
                Message::Event(event) => events.event(event),
                Message::Login {
                    registry: host,
                    repository,
                } => {
                    let login = registry.auth.login_for(&host, repository.as_deref());
                    let login = login.map_err(|error| error.to_string());
                    let answer = Answer::Login(login.map(|login| login.map(SealedLogin::from)));
                    // A worker that went away is noticed when it is listened to.
                    let _ = self.send(&answer);
                }
                Message::Built { digest, engine } => {
                    return Ok(Built {
                        layout: plan.output.clone(),
                        digest,
                        engine,
                        lints: Vec::new(),
                    });
                }
                Message::Failed(failure) => return Err(failure.into()),
                Message::Map | Message::Refused { .. } | Message::Ready | Message::Pruned(_) => {
                    return Err(self.crashed());
                }
            }
        }
    }

    /// The next message; `None` when `stop` says so first.
    pub(super) fn next(
        &mut self,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Message>, BuildError> {
        let mut looked = 0;
        loop {
            let unseen = self.held.get(looked..).unwrap_or_default();
            if let Some(end) = unseen.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.held.drain(..=looked + end).collect();
                return match serde_json::from_slice(&line) {
                    Ok(message) => Ok(Some(message)),
                    Err(_) => Err(self.crashed()),
                };
            }
            looked = self.held.len();
            if self.output.is_none() || looked > LONGEST {
                return Err(self.crashed());
            }
            if stop() {
                return Ok(None);
            }
            self.listen();
        }
    }

    /// Waits a little for output of either kind.
    fn listen(&mut self) {
        let (mut out, mut err) = (false, false);
        {
            let mut fds = Vec::with_capacity(2);
            let pipes = [&self.output, &self.errors];
            for pipe in pipes.into_iter().flatten() {
                fds.push(PollFd::new(pipe, PollFlags::IN));
            }
            let _ = poll(&mut fds, Some(&TICK));
            let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
            if self.output.is_some() {
                out = ready.next().unwrap_or(false);
            }
            if self.errors.is_some() {
                err = ready.next().unwrap_or(false);
            }
        }
        if out {
            take(&mut self.output, &mut self.held);
        }
        if err {
            take(&mut self.errors, &mut self.said);
            let beyond = self.said.len().saturating_sub(SAID);
            self.said.drain(..beyond);
        }
    }

    /// The worker ended without its last word.
    fn crashed(&mut self) -> BuildError {
        self.input = None;
        let end = Instant::now() + Duration::from_secs(2);
        let mut status = None;
        while status.is_none() && Instant::now() < end {
            status = self.child.try_wait().ok().flatten();
            if self.errors.is_some() {
                self.listen();
            } else if status.is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let _ = self.child.kill();
        let how = status.map_or_else(|| "it fell silent".to_owned(), |status| status.to_string());
        let said = String::from_utf8_lossy(&self.said).trim().to_owned();
        let said = if said.is_empty() {
            String::new()
        } else {
            format!(": {said}")
        };
        BuildError::Engine {
            engine: NAME.to_owned(),
            reason: format!("the worker ended before the build did ({how}){said}"),
            hint: Some(
                "build again: the cache holds what was done; out of memory is the usual reason"
                    .to_owned(),
            ),
        }
    }

    /// Nothing of the worker is left.
    pub(super) fn end(mut self) {
        self.input = None;
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
