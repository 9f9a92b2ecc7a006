//! `-v` and `-vv`: what is asked of whom, from our own events alone. Libraries are left out, because
//! some log headers, and headers hold logins.

use std::io::{self, Write};

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    Layer as _, filter::filter_fn, fmt::MakeWriter, layer::SubscriberExt as _,
};

use super::Console;

impl Console {
    /// Shows events of this crate up to `level` from now on, in all threads. Only the first call of
    /// a process counts.
    pub fn show_events(&self, level: Level) {
        let _ = tracing::subscriber::set_global_default(events(self.clone(), level));
    }
}

fn events(console: Console, level: Level) -> impl Subscriber {
    let ours = move |metadata: &Metadata<'_>| {
        metadata.target().starts_with(env!("CARGO_CRATE_NAME")) && *metadata.level() <= level
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Lines(console))
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_filter(filter_fn(ours));
    tracing_subscriber::registry().with(lines)
}

struct Lines(Console);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            console: self.0.clone(),
            text: Vec::new(),
        }
    }
}

/// One event; shown whole, so that no secret slips through between two pieces.
struct Line {
    console: Console,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        if !text.trim().is_empty() {
            self.console.line(text.trim());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::Level;

    use super::events;
    use crate::{
        ci::Ci,
        progress::{Console, Mode, Redactor},
        secret::Secret,
    };

    #[test]
    fn events_are_shown_by_level_without_secrets_and_ours_alone() {
        let out = Arc::new(Mutex::new(Vec::new()));
        let redactor = Redactor::new([Secret::new("hunter2")]);
        let console = Console::new(out.clone(), Mode::Plain, Ci::Plain, redactor, || 0);
        tracing::subscriber::with_default(events(console, Level::INFO), || {
            tracing::info!(url = "https://u:hunter2@example.com", "asking");
            tracing::debug!("too much");
            tracing::info!(target: "hyper", "authorization: x");
        });
        let text = String::from_utf8(out.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("asking") && text.contains("***") && !text.contains("hunter2"));
    }
}
