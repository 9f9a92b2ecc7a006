//! `--mount=type=ssh`: a socket of our own in front of the user's agent, with the mode and owner that
//! the Dockerfile asks for. Only listing keys and signing get through, as with `docker build`.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::engine::buildkit::session::ssh::{ALLOWED, FAILURE, MAX_MESSAGE};

/// Connections served at once.
const MOST: usize = 64;
/// A signature may wait for a touch of a key.
const PATIENCE: Duration = Duration::from_mins(2);

/// A socket that is served until dropped.
#[derive(Debug)]
pub(super) struct Agent {
    path: PathBuf,
    stop: Arc<AtomicBool>,
}

impl Agent {
    /// Serves `socket`, passing on to `agent`.
    pub(super) fn serve(
        socket: &Path,
        agent: &Path,
        mode: u32,
        owner: (u32, u32),
    ) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        chown(socket, Some(owner.0), Some(owner.1))?;
        fs::set_permissions(socket, fs::Permissions::from_mode(mode))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, agent) = (Arc::clone(&stop), agent.to_owned());
        std::thread::Builder::new()
            .name("ssh agent".to_owned())
            .spawn(move || accept(&listener, &agent, &stopped))?;
        Ok(Self {
            path: socket.to_owned(),
            stop,
        })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread up.
        let _ = UnixStream::connect(&self.path);
        let _ = fs::remove_file(&self.path);
    }
}

fn accept(listener: &UnixListener, agent: &Path, stop: &AtomicBool) {
    let alive = Arc::new(());
    for stream in listener.incoming() {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if Arc::strong_count(&alive) > MOST {
            continue;
        }
        let (agent, token) = (agent.to_owned(), Arc::clone(&alive));
        // A connection that cannot be served is closed, which is all that a client can be told.
        let _ = std::thread::Builder::new()
            .name("ssh agent".to_owned())
            .spawn(move || {
                let _ = forward(stream, &agent);
                drop(token);
            });
    }
}

/// One message after the other.
fn forward(mut client: UnixStream, agent: &Path) -> io::Result<()> {
    let mut agent = UnixStream::connect(agent)?;
    for stream in [&client, &agent] {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
    }
    loop {
        let request = message(&mut client)?;
        let allowed = request.get(4).is_some_and(|kind| ALLOWED.contains(kind));
        if allowed {
            agent.write_all(&request)?;
            client.write_all(&message(&mut agent)?)?;
        } else {
            client.write_all(&FAILURE)?;
        }
    }
}

/// A message with its length in front.
fn message(from: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut head = [0; 4];
    from.read_exact(&mut head)?;
    let length = u32::from_be_bytes(head) as usize;
    if length > MAX_MESSAGE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "too long a message",
        ));
    }
    let mut message = head.to_vec();
    message.resize(4 + length, 0);
    from.read_exact(message.get_mut(4..).unwrap_or_default())?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_listed_and_never_added() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        let listener = UnixListener::bind(&real).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while let Ok(request) = message(&mut stream) {
                stream.write_all(&[0, 0, 0, 2, 99, request[4]]).unwrap();
            }
        });
        let path = dir.path().join("agent");
        let owner = (
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw(),
        );
        let agent = Agent::serve(&path, &real, 0o600, owner).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(&[0, 0, 0, 1, 11]).unwrap();
        assert_eq!(message(&mut client).unwrap(), [0, 0, 0, 2, 99, 11]);
        client.write_all(&[0, 0, 0, 1, 17]).unwrap();
        assert_eq!(message(&mut client).unwrap(), FAILURE);
        drop(agent);
        assert!(!path.exists());
    }
}
