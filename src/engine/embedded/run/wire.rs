//! What goes over the socket between the runner and the process that becomes a step: one line of JSON
//! each. The socket is the only way that secrets take.

use std::{
    io::{self, Read},
    path::PathBuf,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Longest line taken, in bytes: arguments and environment of a process are shorter.
const LONGEST: usize = 16 << 20;

/// A secret on its way to another process of ours; base64, wiped when dropped.
#[derive(Debug, Clone)]
pub(in crate::engine::embedded) struct Sealed(pub(in crate::engine::embedded) Secret);

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(BASE64_STANDARD.encode(self.0.expose()));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = BASE64_STANDARD.decode(text.as_bytes());
        let bytes = bytes.map_err(|_| serde::de::Error::custom("not base64"))?;
        Ok(Self(Secret::new(bytes)))
    }
}

/// All that a step process needs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    /// tree to run in
    pub(super) root: PathBuf,
    /// directory of this step alone
    pub(super) scratch: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) secret_env: Vec<(String, Sealed)>,
    pub(super) cwd: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) mounts: Vec<TaskMount>,
    /// a network namespace of its own, with nothing but loopback
    pub(super) alone: bool,
    /// most bytes of one file
    pub(super) file_size: Option<u64>,
    /// open files, soft and hard limit
    pub(super) open_files: Option<(u64, u64)>,
    pub(super) hostname: Option<String>,
}

/// A mount at a path that exists and has no links in it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TaskMount {
    pub(super) target: PathBuf,
    pub(super) what: TaskMountKind,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum TaskMountKind {
    Bind {
        source: PathBuf,
        read_only: bool,
        /// nothing in it is a program or a device
        inert: bool,
    },
    Tmpfs {
        size: Option<u64>,
    },
}

/// What the step process says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// everything is set up; the command waits for a word, under this id
    Ready(i32),
    /// the command ended by itself
    Code(i32),
    /// the command was ended
    Signal(i32),
    /// the Dockerfile's fault
    Wrong(String),
    /// the machine's fault
    Broken(String),
}

/// Reads up to the end of the line, byte by byte so that nothing behind it is taken; the buffer is
/// wiped because secrets pass through it.
pub(in crate::engine::embedded) fn read_line(
    from: &mut impl Read,
    longest: usize,
) -> io::Result<Zeroizing<Vec<u8>>> {
    // Growing would leave copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(longest.min(64 << 10)));
    let mut byte = Zeroizing::new([0]);
    loop {
        match from.read(byte.as_mut_slice()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) if byte[0] == b'\n' => return Ok(line),
            Ok(_) if line.len() >= longest => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the line is too long",
                ));
            }
            Ok(_) => {
                if line.len() == line.capacity() {
                    let mut larger = Zeroizing::new(Vec::with_capacity(line.len() * 2));
                    larger.extend_from_slice(&line);
                    line = larger;
                }
                line.push(byte[0]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads a task.
pub(super) fn read_task(from: &mut impl Read) -> io::Result<Task> {
    // The socket gives one byte as cheaply as many only through a buffer; a task is all that is sent
    // before the runner waits for an answer, so that nothing behind it is lost.
    let mut from = io::BufReader::new(from);
    let line = read_line(&mut from, LONGEST)?;
    serde_json::from_slice(&line).map_err(io::Error::other)
}

/// One line.
pub(in crate::engine::embedded) fn line(of: &impl Serialize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(64 << 10));
    serde_json::to_writer(&mut *line, of).map_err(io::Error::other)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_goes_through_a_line_and_is_not_readable_in_it() {
        let sealed = Sealed(Secret::new(b"hunter2\n\xff".to_vec()));
        let line = line(&sealed).unwrap();
        assert!(!line.windows(7).any(|window| window == b"hunter2"));
        let back: Sealed = serde_json::from_slice(&line).unwrap();
        assert_eq!(back.0.expose(), b"hunter2\n\xff");
    }

    #[test]
    fn lines_end_where_they_end_and_have_a_limit() {
        let mut input: &[u8] = b"one\ntwo\n";
        assert_eq!(&**read_line(&mut input, 10).unwrap(), b"one");
        assert_eq!(input, b"two\n");
        assert!(read_line(&mut &b"too long\n"[..], 3).is_err());
        assert!(read_line(&mut &b"cut off"[..], 30).is_err());
    }
}
