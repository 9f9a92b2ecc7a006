//! SIGINT and SIGTERM: the first asks whatever runs to stop and lets it clean up, the second ends the
//! process there and then. A limit on the whole run asks the stages as the first does; what came of
//! them is still told, for a bounded time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    engine::Cancel,
    error::{Error, ExitCode},
    registry::RegistryOptions,
};

/// Time for a question that was interrupted to end by itself.
const GRACE: Duration = Duration::from_millis(200);

/// Time after the limit in which the CI and the forge are told what came of the run.
const LAST_WORDS: Duration = Duration::from_mins(1);

/// Watches for signals until dropped.
pub(super) struct Signals {
    cancel: Cancel,
    silence: Cancel,
    received: Arc<AtomicU8>,
    late: Arc<AtomicBool>,
    // dropped last: ends the watching task
    _runtime: tokio::runtime::Runtime,
}

/// SIGTERM before SIGINT when both are there: a question that any signal interrupts sends itself the
/// second.
async fn next((interrupt, terminate): &mut (Signal, Signal)) -> ExitCode {
    tokio::select! {
        biased;
        _ = terminate.recv() => ExitCode::Terminated,
        _ = interrupt.recv() => ExitCode::Interrupted,
    }
}

#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "who asks twice does not want to wait for the tidying"
)]
fn end(code: ExitCode) {
    std::process::exit(code as i32);
}

impl Signals {
    /// Watches; after `limit` it asks as a signal does.
    pub(super) fn watch(limit: Option<Duration>) -> Result<Self, Error> {
        Self::start(limit, LAST_WORDS, false)
    }

    /// Watches while somebody is asked: a question waits for a key and for nothing else, so the first
    /// signal ends the process, unless the question saw it too and ends by itself.
    pub(super) fn watch_questions() -> Result<Self, Error> {
        Self::start(None, LAST_WORDS, true)
    }

    fn start(
        limit: Option<Duration>,
        last_words: Duration,
        questions: bool,
    ) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("signals")
            .enable_all()
            .build()
            .map_err(|error| Error::Bug(format!("no thread for signals: {error}")))?;
        let (cancel, silence) = (Cancel::new(), Cancel::new());
        let received = Arc::new(AtomicU8::new(0));
        let mut watch = {
            let _inside = runtime.enter();
            let install = |kind| {
                signal(kind).map_err(|error| Error::Bug(format!("no handler for signals: {error}")))
            };
            (
                install(SignalKind::interrupt())?,
                install(SignalKind::terminate())?,
            )
        };
        let (token, hush, seen) = (cancel.clone(), silence.clone(), received.clone());
        runtime.spawn(async move {
            let which = next(&mut watch).await;
            seen.store(which as u8, Ordering::SeqCst);
            token.cancel();
            hush.cancel();
            if questions {
                tokio::time::sleep(GRACE).await;
                // A question hides the cursor.
                let _ = dialoguer::console::Term::stderr().show_cursor();
                end(which);
            }
            end(next(&mut watch).await);
        });
        let late = Arc::new(AtomicBool::new(false));
        if let Some(limit) = limit {
            let (token, hush, passed) = (cancel.clone(), silence.clone(), late.clone());
            runtime.spawn(async move {
                tokio::time::sleep(limit).await;
                passed.store(true, Ordering::SeqCst);
                token.cancel();
                tokio::time::sleep(last_words).await;
                hush.cancel();
            });
        }
        Ok(Self {
            cancel,
            silence,
            received,
            late,
            _runtime: runtime,
        })
    }

    /// Whether the time has gone by.
    pub(super) fn is_late(&self) -> bool {
        self.late.load(Ordering::SeqCst)
    }

    /// Cancelled at the first signal, or when the time has gone by.
    pub(super) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// `http` for telling others what came of the run: cancelled at the first signal, or a minute
    /// after the time has gone by.
    pub(super) fn for_last_words(&self, http: &RegistryOptions) -> RegistryOptions {
        RegistryOptions {
            cancel: self.silence.clone(),
            ..http.clone()
        }
    }

    /// The code of a question that was interrupted, which may know before the watch does; on a busy
    /// machine long before.
    pub(super) fn await_one(&self) -> Option<ExitCode> {
        let wait = || std::thread::sleep(Duration::from_millis(5));
        (0..400).find_map(|_| {
            self.received().or_else(|| {
                wait();
                None
            })
        })
    }

    /// The code to end with when a signal came.
    pub(super) fn received(&self) -> Option<ExitCode> {
        match self.received.load(Ordering::SeqCst) {
            0 => None,
            code if code == ExitCode::Terminated as u8 => Some(ExitCode::Terminated),
            _ => Some(ExitCode::Interrupted),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{RegistryOptions, Signals};

    #[test]
    fn after_the_limit_there_is_a_bounded_time_for_last_words() {
        let (limit, more) = (Duration::from_millis(50), Duration::from_millis(300));
        let begun = Instant::now();
        let signals = Signals::start(Some(limit), more, false).unwrap();
        let until = |asked: &dyn Fn() -> bool| {
            while !asked() {
                assert!(begun.elapsed() < Duration::from_secs(30));
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        until(&|| signals.cancel().is_cancelled());
        assert!(signals.is_late() && begun.elapsed() >= limit);
        let told = signals.for_last_words(&RegistryOptions::default()).cancel;
        until(&|| told.is_cancelled());
        assert!(begun.elapsed() >= limit + more);
        assert_eq!(signals.received(), None);
    }
}
