//! A build as it happens.

use std::{collections::HashMap, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Console, Mode};
use crate::engine::{BuildEvent, BuildEvents, StepState};

/// A line of output longer than this is shown cut, so that memory stays bounded.
const LONGEST_LINE: usize = 16 * 1024;

/// Shows the steps of a build.
pub struct BuildProgress {
    console: Console,
    steps: HashMap<String, Step>,
    fence: Option<String>,
}

struct Step {
    number: usize,
    name: String,
    bar: Option<ProgressBar>,
    /// output that has no line end yet
    pending: Vec<u8>,
    /// last whole percent shown of a transfer
    percent: u64,
}

impl BuildProgress {
    pub(super) fn new(console: Console) -> Self {
        let mut this = Self {
            console,
            steps: HashMap::new(),
            fence: None,
        };
        if this.console.mode == Mode::Plain {
            let token = crate::ci::unguessable();
            if let Some(line) = this.console.ci.fence(&token) {
                this.console.raw(&line);
                this.fence = Some(token);
            }
        }
        this
    }

    fn step(&mut self, id: &str, name: Option<&str>) -> &mut Step {
        let number = self.steps.len() + 1;
        let step = self.steps.entry(id.to_owned()).or_insert_with(|| Step {
            number,
            name: String::new(),
            bar: None,
            pending: Vec::new(),
            percent: 0,
        });
        if let Some(name) = name {
            name.clone_into(&mut step.name);
        }
        step
    }

    fn state(&mut self, id: &str, name: &str, state: &StepState) {
        let console = self.console.clone();
        let step = self.step(id, Some(name));
        let title = format!("#{} {}", step.number, step.name);
        match state {
            StepState::Started if console.mode == Mode::Tty => {
                if step.bar.is_none() {
                    step.bar = Some(spinner(&console, &title));
                }
            }
            StepState::Started => console.note(&title),
            StepState::Cached => finish(&console, step, &format!("{title} (cached)")),
            StepState::Done(seconds) => {
                let end = if console.mode == Mode::Tty {
                    format!("{title} ({seconds:.1} s)")
                } else {
                    format!("#{} done in {seconds:.1} s", step.number)
                };
                finish(&console, step, &end);
            }
            StepState::Failed(error) => finish(&console, step, &format!("{title} failed: {error}")),
            StepState::Canceled => finish(&console, step, &format!("{title} canceled")),
        }
    }

    fn log(&mut self, id: &str, data: &[u8]) {
        let console = self.console.clone();
        let step = self.step(id, None);
        for &byte in data {
            // A progress bar of some tool inside the build redraws its line with `\r`.
            if byte == b'\n' || byte == b'\r' || step.pending.len() >= LONGEST_LINE {
                flush(&console, step);
            }
            if byte != b'\n' && byte != b'\r' {
                step.pending.push(byte);
            }
        }
    }

    fn progress(&mut self, id: &str, label: &str, current: u64, total: u64) {
        let console = self.console.clone();
        let step = self.step(id, None);
        let percent = current.saturating_mul(100).checked_div(total).unwrap_or(0);
        // A total of 0 is one that the engine does not know.
        let done = if total == 0 {
            String::new()
        } else {
            format!(" {percent} %")
        };
        if let Some(bar) = &step.bar {
            let title = format!("#{} {}", step.number, step.name);
            bar.set_message(console.clean(&format!("{title}  {label}{done}")));
        } else if percent >= step.percent + 25 && percent < 100 {
            step.percent = percent;
            console.note(&format!("#{} {label}{done}", step.number));
        }
    }
}

impl BuildEvents for BuildProgress {
    fn event(&mut self, event: BuildEvent) {
        if !self.console.mode.shows() {
            return;
        }
        match event {
            BuildEvent::Step { id, name, state } => self.state(&id, &name, &state),
            BuildEvent::Progress {
                id,
                label,
                current,
                total,
            } => {
                self.progress(&id, &label, current, total);
            }
            BuildEvent::Log {
                id,
                data,
                stderr: _,
            } => self.log(&id, &data),
            BuildEvent::Note(text) => self.console.note(&text),
        }
    }
}

impl Drop for BuildProgress {
    fn drop(&mut self) {
        for step in self.steps.values_mut().filter(|step| step.bar.is_some()) {
            if let Some(bar) = step.bar.take() {
                bar.finish_and_clear();
            }
        }
        if let Some(line) = self
            .fence
            .take()
            .and_then(|token| self.console.ci.unfence(&token))
        {
            self.console.raw(&line);
        }
    }
}

fn finish(console: &Console, step: &mut Step, text: &str) {
    flush(console, step);
    if let Some(bar) = step.bar.take() {
        bar.finish_and_clear();
    }
    console.note(text);
}

fn flush(console: &Console, step: &mut Step) {
    if step.pending.is_empty() {
        return;
    }
    let line = String::from_utf8_lossy(&std::mem::take(&mut step.pending)).into_owned();
    match &step.bar {
        // One line a step: its title, then the last thing it said.
        Some(bar) => {
            let text = format!("#{} {}  {line}", step.number, step.name);
            bar.set_message(console.clean(&text));
        }
        None => console.note(&format!("#{} {line}", step.number)),
    }
}

fn spinner(console: &Console, title: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = console
        .bars
        .add(ProgressBar::new_spinner().with_style(style));
    bar.set_message(console.clean(title));
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
