//! SIGINT and SIGTERM: the first asks the stages to stop and lets them clean up.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    engine::Cancel,
    error::{Error, ExitCode},
};

/// Watches for signals until dropped.
pub(super) struct Signals {
    cancel: Cancel,
    received: Arc<AtomicU8>,
    // dropped last: ends the watching task
    _runtime: tokio::runtime::Runtime,
}

const INTERRUPT: u8 = 1;
const TERMINATE: u8 = 2;

impl Signals {
    pub(super) fn watch() -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("signals")
            .enable_all()
            .build()
            .map_err(|error| Error::Bug(format!("no thread for signals: {error}")))?;
        let (cancel, received) = (Cancel::new(), Arc::new(AtomicU8::new(0)));
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
        let (token, seen) = (cancel.clone(), received.clone());
        runtime.spawn(async move {
            let which = tokio::select! {
                _ = watch.0.recv() => INTERRUPT,
                _ = watch.1.recv() => TERMINATE,
            };
            seen.store(which, Ordering::SeqCst);
            token.cancel();
        });
        Ok(Self {
            cancel,
            received,
            _runtime: runtime,
        })
    }

    /// Cancelled at the first signal.
    pub(super) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// The code to end with when a signal came.
    pub(super) fn received(&self) -> Option<ExitCode> {
        match self.received.load(Ordering::SeqCst) {
            INTERRUPT => Some(ExitCode::Interrupted),
            TERMINATE => Some(ExitCode::Terminated),
            _ => None,
        }
    }
}
