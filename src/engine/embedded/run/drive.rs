//! A step from the runner's side: starts the step process, passes its output on, watches the clock,
//! the limits and the user's wish to stop, and makes sure that nothing of it is left.

use std::{
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal},
};

use super::{
    limits::Watch,
    processes,
    wire::{self, Said, Task},
};
use crate::engine::{
    Cancel,
    embedded::step::{Exit, RunError},
};

/// How often clock, limits and cancellation are looked at.
const TICK: Duration = Duration::from_millis(20);
/// Between the request to end and the end.
const GRACE: Duration = Duration::from_secs(2);
/// How long output is waited for once the command has ended: nobody is left to write.
const DRAIN: Duration = Duration::from_secs(1);
/// How long a step process is given to tell how its command ended after that was killed.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Setting up takes milliseconds; a step process that is silent for so long is stuck.
const SETUP: Duration = Duration::from_mins(2);

/// What watches over a step.
pub(super) struct Overseer<'a> {
    pub(super) binary: &'a Path,
    /// hidden argument of the step process
    pub(super) role: &'static str,
    pub(super) timeout: Option<Duration>,
    pub(super) watch: Watch,
    pub(super) cancel: &'a Cancel,
}

struct Running<'a, 'b> {
    child: Child,
    socket: UnixStream,
    answers: Vec<u8>,
    output: &'b mut dyn FnMut(bool, &[u8]),
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    command: Option<OwnedFd>,
    said: Option<Said>,
    closed: bool,
    overseer: &'a mut Overseer<'b>,
}

fn host(what: &str, source: io::Error) -> RunError {
    RunError::Host {
        what: what.to_owned(),
        hint: None,
        source: Some(source),
    }
}

impl<'b> Overseer<'b> {
    /// Runs a task to its end.
    pub(super) fn run(
        mut self,
        task: &Task,
        output: &'b mut dyn FnMut(bool, &[u8]),
    ) -> Result<Exit, RunError> {
        let fault = |source| host("run the step process", source);
        let (ours, theirs) = UnixStream::pair().map_err(fault)?;
        let mut child = self.spawn(theirs).map_err(fault)?;
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        let mut running = Running {
            child,
            socket: ours,
            answers: Vec::new(),
            output,
            stdout,
            stderr,
            command: None,
            said: None,
            closed: false,
            overseer: &mut self,
        };
        let outcome = running.go(task);
        running.finish();
        outcome
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the step process is this binary, run anew"
    )]
    fn spawn(&mut self, socket: UnixStream) -> io::Result<Child> {
        std::process::Command::new(self.binary)
            .arg0("plimsoll")
            .arg(self.role)
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(socket)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }
}

impl Running<'_, '_> {
    fn go(&mut self, task: &Task) -> Result<Exit, RunError> {
        let fault = |source| host("hand over the step", source);
        self.overseer
            .watch
            .add(self.child.id())
            .map_err(|source| host("control group of the step", source))?;
        let line = wire::line(task).map_err(fault)?;
        self.socket.write_all(&line).map_err(fault)?;
        drop(line);
        self.socket.set_nonblocking(true).map_err(fault)?;
        let started = Instant::now();
        loop {
            self.turn()?;
            if let Some(said) = self.said.take() {
                self.drain();
                return self.verdict(said);
            }
            if self.closed {
                self.drain();
                return Err(self.vanished());
            }
            if let Some(error) = self.overdue(started) {
                return Err(self.end(error));
            }
        }
    }

    /// Why the step must end now.
    fn overdue(&mut self, started: Instant) -> Option<RunError> {
        let passed = started.elapsed();
        if self.overseer.cancel.is_cancelled() {
            return Some(RunError::Interrupted);
        }
        if self.command.is_none() {
            return (passed > SETUP).then(|| RunError::Host {
                what: "the step process does not get ready".to_owned(),
                hint: None,
                source: None,
            });
        }
        if let Some(timeout) = self.overseer.timeout.filter(|&timeout| passed > timeout) {
            let what = format!(
                "the step passed its time limit of {} s (build.limits.timeout)",
                timeout.as_secs()
            );
            return Some(RunError::Limit { what });
        }
        let what = self.overseer.watch.passed(self.child.id())?;
        Some(RunError::Limit { what })
    }

    /// Asks the processes to end, waits, and ends them.
    fn end(&mut self, error: RunError) -> RunError {
        // A limit that was passed is passed at once again by who is given time.
        if matches!(error, RunError::Interrupted) {
            for pid in processes::descendants(self.child.id()) {
                signal(pid, Signal::TERM);
            }
            self.listen(GRACE);
        }
        self.kill();
        self.listen(LAST_WORDS);
        error
    }

    fn kill(&self) {
        if let Some(command) = &self.command {
            let _ = pidfd_send_signal(command, Signal::KILL);
        }
        for pid in processes::descendants(self.child.id()) {
            signal(pid, Signal::KILL);
        }
    }

    /// Passes output on until the step process has said its last word, at most for so long.
    fn listen(&mut self, most: Duration) {
        let end = Instant::now() + most;
        while self.said.is_none() && !self.closed && Instant::now() < end {
            if self.turn().is_err() {
                return;
            }
        }
    }

    /// Passes on what is still in the pipes.
    fn drain(&mut self) {
        let end = Instant::now() + DRAIN;
        while (self.stdout.is_some() || self.stderr.is_some()) && Instant::now() < end {
            if self.turn().is_err() {
                return;
            }
        }
    }

    /// One look at socket and pipes.
    fn turn(&mut self) -> Result<(), RunError> {
        let fault = |source: rustix::io::Errno| host("wait for the step", source.into());
        let ready = |revents: PollFlags| !revents.is_empty();
        let (mut socket, mut out, mut err) = (false, false, false);
        {
            let mut fds = Vec::with_capacity(3);
            if !self.closed {
                fds.push((0, PollFd::new(&self.socket, PollFlags::IN)));
            }
            if let Some(fd) = &self.stdout {
                fds.push((1, PollFd::new(fd, PollFlags::IN)));
            }
            if let Some(fd) = &self.stderr {
                fds.push((2, PollFd::new(fd, PollFlags::IN)));
            }
            let mut list: Vec<PollFd<'_>> = fds.iter().map(|(_, fd)| fd.clone()).collect();
            let tick = Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(TICK.subsec_nanos()),
            };
            match poll(&mut list, Some(&tick)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(fault(error)),
            }
            for ((which, _), fd) in fds.iter().zip(&list) {
                match which {
                    0 => socket = ready(fd.revents()),
                    1 => out = ready(fd.revents()),
                    _ => err = ready(fd.revents()),
                }
            }
        }
        if out {
            pass_on(&mut self.stdout, false, self.output);
        }
        if err {
            pass_on(&mut self.stderr, true, self.output);
        }
        if socket {
            self.hear()?;
        }
        Ok(())
    }

    /// Takes in what the step process says.
    fn hear(&mut self) -> Result<(), RunError> {
        let mut piece = [0; 4096];
        match self.socket.read(&mut piece) {
            Ok(0) => self.closed = true,
            Ok(count) => self
                .answers
                .extend_from_slice(piece.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.closed = true,
        }
        while let Some(end) = self.answers.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.answers.drain(..=end).collect();
            let said: Said = serde_json::from_slice(&line)
                .map_err(|error| host("understand the step process", error.into()))?;
            match said {
                Said::Ready(pid) => self.start(pid)?,
                last => self.said = Some(last),
            }
        }
        Ok(())
    }

    /// The command is held by a descriptor before it starts, so that its number cannot come to mean
    /// another process.
    fn start(&mut self, pid: i32) -> Result<(), RunError> {
        let fault = |source| host("start the step", source);
        let pid = Pid::from_raw(pid).ok_or_else(|| fault(io::ErrorKind::InvalidData.into()))?;
        let held = pidfd_open(pid, PidfdFlags::empty());
        self.command = Some(held.map_err(|error| fault(error.into()))?);
        self.socket.write_all(b"g").map_err(fault)
    }

    fn verdict(&mut self, said: Said) -> Result<Exit, RunError> {
        let limit = self.overseer.watch.ended(&said);
        if let Some(what) = limit {
            return Err(RunError::Limit { what });
        }
        match said {
            Said::Code(code) => Ok(Exit::Code(code)),
            Said::Signal(signal) => Ok(Exit::Signal(signal)),
            Said::Wrong(why) => Err(RunError::Step(why)),
            Said::Broken(what) => Err(RunError::Host {
                what,
                hint: None,
                source: None,
            }),
            Said::Ready(_) => Err(self.vanished()),
        }
    }

    fn vanished(&mut self) -> RunError {
        // Out of memory, the kernel may choose the step process itself.
        if let Some(what) = self
            .overseer
            .watch
            .ended(&Said::Signal(Signal::KILL.as_raw()))
        {
            return RunError::Limit { what };
        }
        let status = self.child.wait().map(|status| status.to_string());
        RunError::Host {
            what: format!(
                "the step process went away ({})",
                status.unwrap_or_else(|error| error.to_string())
            ),
            hint: None,
            source: None,
        }
    }

    /// Nothing of the step remains.
    fn finish(&mut self) {
        self.kill();
        let end = Instant::now() + DRAIN;
        while Instant::now() < end {
            match self.child.try_wait() {
                Ok(Some(_)) | Err(_) => return,
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pass_on(pipe: &mut Option<OwnedFd>, errors: bool, output: &mut dyn FnMut(bool, &[u8])) {
    let mut piece = vec![0; 32 << 10];
    let Some(fd) = pipe else { return };
    match rustix::io::read(fd.as_fd(), &mut piece) {
        Ok(0) => *pipe = None,
        Ok(count) => output(errors, piece.get(..count).unwrap_or_default()),
        Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
        Err(_) => *pipe = None,
    }
}

fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}
