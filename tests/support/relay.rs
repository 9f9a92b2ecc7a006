//! A socket before another one, which a test can take away.

use std::{
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

/// Passes connections on, until it is cut.
#[derive(Clone)]
pub(crate) struct Relay {
    at: PathBuf,
    streams: Arc<Mutex<Vec<UnixStream>>>,
}

impl Relay {
    /// Listens at `at` for the socket `to`.
    pub(crate) fn start(at: &Path, to: &Path) -> Self {
        let relay = Self {
            at: at.to_owned(),
            streams: Arc::default(),
        };
        let listener = UnixListener::bind(at).unwrap();
        let (this, to) = (relay.clone(), to.to_owned());
        thread::spawn(move || {
            for ours in listener.incoming().flatten() {
                let theirs = UnixStream::connect(&to).unwrap();
                for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
                this.streams.lock().unwrap().extend([ours, theirs]);
            }
        });
        relay
    }

    /// Ends every connection and takes no new one.
    pub(crate) fn vanish(&self) {
        let _ = std::fs::remove_file(&self.at);
        self.cut();
    }

    /// Ends every connection; new ones are passed on again.
    pub(crate) fn cut(&self) {
        for stream in self.streams.lock().unwrap().iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
