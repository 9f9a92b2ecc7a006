//! One build at a time puts stand-ins for base images into an engine's store: there they have the
//! names that the Dockerfiles say, and names are shared by everyone who uses the engine.

use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    thread,
    time::Duration,
};

use crate::{engine::Cancel, oci::sha256};

/// How often a waiting build looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The turn of this build; given up when dropped, also by a process that is killed.
#[derive(Debug)]
pub(crate) struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits until no other build on this machine has its turn at the engine. `None` when the lock
    /// cannot be had at all: then builds are as good as alone, or the
    /// engine will say that an image is gone.
    pub(crate) fn wait(
        engine: &str,
        cancel: &Cancel,
        mut told: impl FnMut(String),
    ) -> Option<Self> {
        let name = format!(
            "plimsoll-bases-{}.lock",
            &sha256(engine.as_bytes()).digest()[..16]
        );
        let lock = open(&name)?;
        let mut waiting = false;
        while !cancel.is_cancelled() {
            match lock.try_lock() {
                Ok(()) => return Some(Self { _lock: lock }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(_)) => return None,
            }
            if !waiting {
                told(format!(
                    "waiting for another build that puts base images into {engine}"
                ));
                waiting = true;
            }
            thread::sleep(LOOK_AGAIN);
        }
        None
    }
}

/// The lock's file, in a place that all builds on this machine share: a directory for temporary
/// files is often one job's own. It stays; to remove it would let two have their turn at once.
fn open(name: &str) -> Option<File> {
    let places = ["/run/lock".into(), "/tmp".into(), std::env::temp_dir()];
    places.into_iter().find_map(|place: PathBuf| {
        let path = place.join(name);
        let ours = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o666)
            .open(&path);
        // Another user's can be read, which is enough to lock it.
        let opened = ours.or_else(|_| OpenOptions::new().read(true).open(&path));
        opened.ok()
    })
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::Turn;
    use crate::engine::Cancel;

    #[test]
    fn the_second_waits_for_the_first_and_a_cancelled_one_goes_away() {
        let engine = format!("test engine {}", std::process::id());
        let cancel = Cancel::new();
        let first = Turn::wait(&engine, &cancel, |_| panic!("nobody has it")).unwrap();
        let (told, hears) = mpsc::channel();
        let (name, stop) = (engine.clone(), cancel.clone());
        let second =
            thread::spawn(move || Turn::wait(&name, &stop, |text| told.send(text).unwrap()));
        assert!(
            hears
                .recv_timeout(Duration::from_secs(20))
                .unwrap()
                .contains(&engine)
        );
        drop(first);
        assert!(second.join().unwrap().is_some());
        let first = Turn::wait(&engine, &cancel, |_| {}).unwrap();
        cancel.cancel();
        assert!(Turn::wait(&engine, &cancel, |_| {}).is_none());
        drop(first);
        assert!(Turn::wait("another engine", &Cancel::new(), |_| panic!("its own turn")).is_some());
    }
}
