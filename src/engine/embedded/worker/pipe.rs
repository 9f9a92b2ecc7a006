//! What the worker says, as it comes.

use std::os::fd::{AsFd as _, OwnedFd};

/// Takes what is in a pipe; one that has ended is `None`.
pub(super) fn take(pipe: &mut Option<OwnedFd>, into: &mut Vec<u8>) {
    let mut piece = vec![0; 64 << 10];
    let Some(fd) = pipe else { return };
    match rustix::io::read(fd.as_fd(), &mut piece) {
        Ok(0) => *pipe = None,
        Ok(count) => into.extend_from_slice(piece.get(..count).unwrap_or_default()),
        Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
        Err(_) => *pipe = None,
    }
}
