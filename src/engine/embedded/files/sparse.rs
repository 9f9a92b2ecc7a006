//! A file's content: holes stay holes, and a shared extent is made where the file system can.

use std::{
    fs::File,
    io::{self, Read as _},
};

use rustix::fs::{SeekFrom, Stat};

use super::Options;

/// Bytes between two looks at whether the user wants to stop.
const PIECE: u64 = 64 << 20;

/// Copies a file into an empty one.
pub(super) fn copy(from: &File, to: &File, stat: &Stat, options: &Options) -> io::Result<()> {
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let held = u64::try_from(stat.st_blocks)
        .unwrap_or(0)
        .saturating_mul(512);
    if held >= size {
        return piecewise(from, to, u64::MAX, options).map(drop);
    }
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => break,
            // A file system that knows no holes.
            Err(rustix::io::Errno::INVAL) if at == 0 => {
                return piecewise(from, to, u64::MAX, options).map(drop);
            }
            Err(fault) => return Err(fault.into()),
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(start))?.min(size);
        rustix::fs::seek(from, SeekFrom::Start(start))?;
        rustix::fs::seek(to, SeekFrom::Start(start))?;
        if piecewise(from, to, end.saturating_sub(start), options)? == 0 {
            break;
        }
        at = end;
    }
    to.set_len(size)
}

fn piecewise(from: &File, to: &File, length: u64, options: &Options) -> io::Result<u64> {
    let mut done = 0;
    while done < length {
        if options.cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let piece = PIECE.min(length - done);
        let mut to = to;
        // The standard library copies in the kernel where it can.
        let copied = io::copy(&mut from.take(piece), &mut to)?;
        done += copied;
        if copied < piece {
            break;
        }
    }
    Ok(done)
}
