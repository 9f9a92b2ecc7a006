//! What a run shows while it works, on standard error: bars on a terminal, numbered lines and
//! foldable groups in a CI, nothing when asked to be quiet. Never the report.

mod build;
mod bytes;
mod log;
mod push;
mod redact;
mod scan;

pub use build::BuildProgress;
pub use bytes::ByteBar;
pub use push::PushBars;
pub use redact::Redactor;
pub use scan::ScanBars;

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::{ci::Ci, secret::Secret};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// bars that redraw themselves
    Tty,
    /// lines
    Plain,
    /// warnings and errors only
    None,
    /// errors only
    Silent,
}

impl Mode {
    /// Whether progress is shown at all.
    fn shows(self) -> bool {
        matches!(self, Self::Tty | Self::Plain)
    }
}

/// The standard error of a run. Cheap to clone.
#[derive(Clone)]
pub struct Console {
    mode: Mode,
    ci: Ci,
    redactor: Redactor,
    out: Arc<Mutex<dyn Write + Send>>,
    bars: MultiProgress,
    clock: fn() -> i64,
}

impl Console {
    /// Shows progress on `out`; bars are drawn on the process's own standard error. `clock` gives
    /// seconds since 1970, which GitLab's section markers need.
    pub fn new(
        out: Arc<Mutex<dyn Write + Send>>,
        mode: Mode,
        ci: Ci,
        redactor: Redactor,
        clock: fn() -> i64,
    ) -> Self {
        let target = match mode {
            Mode::Tty => ProgressDrawTarget::stderr(),
            Mode::Plain | Mode::None | Mode::Silent => ProgressDrawTarget::hidden(),
        };
        Self {
            mode,
            ci,
            redactor,
            out,
            bars: MultiProgress::with_draw_target(target),
            clock,
        }
    }

    /// A line that is shown unless the run is quiet.
    pub fn note(&self, text: &str) {
        if self.mode.shows() {
            self.line(text);
        }
    }

    /// A line that is shown unless errors alone are.
    pub fn warn(&self, text: &str) {
        if self.mode != Mode::Silent {
            self.line(&format!("warning: {text}"));
        }
    }

    /// Text of others as it may be shown: secrets hidden, nothing that steers a terminal. What goes
    /// away may have stood within a secret or a command, so that both are looked for afterwards too.
    pub fn clean(&self, text: &str) -> String {
        self.redact(&clean(&self.hide(text)))
    }

    /// Text of ours that may quote others: secrets hidden, nothing that the CI obeys, colours kept.
    pub fn redact(&self, text: &str) -> String {
        self.ci.harmless(&self.redactor.redact(text))
    }

    /// Text without secrets, and nothing else changed.
    pub fn hide(&self, text: &str) -> String {
        self.redactor.redact(text)
    }

    /// A command for the CI, already escaped: shown however quiet the run is.
    pub fn command(&self, command: &str) {
        self.raw(&clean(&self.hide(command)));
    }

    /// Hides these values from now on; the CI is asked to do so as well.
    pub fn learn(&self, secrets: &[Secret]) {
        self.redactor.add(secrets.iter().cloned());
        self.mask(secrets);
    }

    /// Asks the CI to hide these values, before anything else is printed: line by line, as a log
    /// has them.
    pub fn mask(&self, secrets: &[Secret]) {
        for secret in secrets {
            let mut lines = redact::lines(secret);
            if lines.is_empty() {
                lines.push(secret.clone());
            }
            for command in lines.iter().filter_map(|line| self.ci.mask(line)) {
                self.raw(&command);
            }
        }
    }

    /// Runs one stage inside a group of its own.
    pub fn stage<T>(&self, name: &str, title: &str, run: impl FnOnce() -> T) -> T {
        if self.mode == Mode::Plain {
            match self.ci.open(name, title, (self.clock)()) {
                Some(marker) => self.raw(&marker),
                None => self.line(title),
            }
        }
        let result = run();
        if self.mode == Mode::Plain
            && let Some(marker) = self.ci.close(name, (self.clock)())
        {
            self.raw(&marker);
        }
        result
    }

    /// Shows a build.
    pub fn build(&self) -> BuildProgress {
        BuildProgress::new(self.clone())
    }

    /// Shows a scan.
    pub fn scan(&self) -> ScanBars {
        ScanBars::new(self)
    }

    /// Shows a push.
    pub fn push(&self) -> PushBars {
        PushBars::new(self)
    }

    /// Shows how far something long is.
    pub fn bytes(&self, what: &'static str) -> ByteBar {
        ByteBar::new(self, what)
    }

    fn line(&self, text: &str) {
        self.raw(&self.clean(text));
    }

    /// Progress is best effort: a closed standard error must not end the run.
    fn raw(&self, text: &str) {
        self.bars.suspend(|| {
            let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = writeln!(out, "{text}").and_then(|()| out.flush());
        });
    }
}

/// Without escape sequences and control characters: what a build prints must not steer a terminal.
fn clean(text: &str) -> String {
    anstream::adapter::strip_str(text)
        .to_string()
        .chars()
        .filter(|c| !c.is_control() || *c == '\t' || *c == '\n')
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::{Console, Mode, Redactor};
    use crate::{
        ci::Ci,
        engine::{BuildEvent, BuildEvents as _, StepState},
        secret::Secret,
    };

    fn shown(mode: Mode, ci: Ci, run: impl FnOnce(&Console)) -> String {
        let out = Arc::new(Mutex::new(Vec::new()));
        let redactor = Redactor::new([Secret::new("hunter2")]);
        run(&Console::new(out.clone(), mode, ci, redactor, || 7));
        String::from_utf8(out.lock().unwrap().clone()).unwrap()
    }

    fn build(console: &Console) {
        console.stage("build", "Build", || {
            let mut events = console.build();
            let step = |state| BuildEvent::Step {
                id: "a".to_owned(),
                name: "[1/2] RUN echo hunter2".to_owned(),
                state,
            };
            events.event(step(StepState::Started));
            for chunk in [
                "pass hun",
                "ter2\n::error::x\n\u{1b}[31mred\u{1b}[0m\u{7}",
                " tail\nhun\u{7}ter2 #\u{7}#[error]x",
            ] {
                events.event(BuildEvent::Log {
                    id: "a".to_owned(),
                    data: chunk.into(),
                    stderr: false,
                });
            }
            events.event(step(StepState::Done(1.25)));
        });
    }

    #[test]
    fn a_plain_log_numbers_its_steps_hides_secrets_and_drops_control_characters() {
        assert_eq!(
            shown(Mode::Plain, Ci::Plain, build),
            "Build\n#1 [1/2] RUN echo ***\n#1 pass ***\n#1 ::error::x\n#1 red tail\n#1 *** ##[error]x\n#1 done in 1.2 s\n"
        );
    }

    #[test]
    fn output_of_a_build_cannot_command_the_runner() {
        let text = shown(Mode::Plain, Ci::GitHub, build);
        let lines: Vec<&str> = text.lines().collect();
        let token = lines[1].strip_prefix("::stop-commands::").unwrap();
        assert_eq!(lines[0], "::group::Build");
        assert_eq!(
            lines[lines.len() - 2..],
            [&format!("::{token}::"), "::endgroup::"]
        );
        assert!(
            lines[2..lines.len() - 2]
                .iter()
                .all(|line| line.starts_with('#')),
            "{text}"
        );
        assert!(!text.contains("##[") && !text.contains("hunter2"), "{text}");
        let quoted = |console: &Console| console.warn("path x\n\u{7} ::error::y\n::stop");
        assert_eq!(
            shown(Mode::Plain, Ci::GitHub, quoted),
            "warning: path x\n : :error::y\n: :stop\n"
        );
        assert_ne!(
            shown(Mode::Plain, Ci::GitHub, build),
            text,
            "the token differs by run"
        );
    }

    #[test]
    fn quiet_shows_warnings_alone() {
        let text = shown(Mode::None, Ci::GitHub, |console| {
            build(console);
            console.note("unseen");
            console.warn("seen");
        });
        assert_eq!(text, "warning: seen\n");
    }
}
