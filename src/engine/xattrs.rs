//! Extended attributes of a path; a link at its end is not followed.

use std::ffi::{CStr, CString};

use rustix::{buffer::spare_capacity, io::Errno, path::Arg};

/// Attributes grow while they are read at most to what the kernel allows.
const MAX_XATTR: usize = 64 * 1024;

/// Names, in the order of the file system.
pub(super) fn list(path: impl Arg + Copy) -> Result<Vec<CString>, Errno> {
    let names = grown(|buffer| rustix::fs::llistxattr(path, spare_capacity(buffer)))?;
    let names = names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    // There is no NUL in what stands between two.
    Ok(names.flat_map(CString::new).collect())
}

/// The value of one.
pub(super) fn get(path: impl Arg + Copy, name: &CStr) -> Result<Vec<u8>, Errno> {
    grown(|buffer| rustix::fs::lgetxattr(path, name, spare_capacity(buffer)))
}

/// Reads with a buffer that grows until the answer fits.
fn grown(mut read: impl FnMut(&mut Vec<u8>) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut capacity = 256;
    loop {
        let mut buffer = Vec::with_capacity(capacity);
        match read(&mut buffer) {
            Ok(_) => return Ok(buffer),
            Err(Errno::RANGE) if capacity < MAX_XATTR => capacity *= 4,
            Err(fault) => return Err(fault),
        }
    }
}
