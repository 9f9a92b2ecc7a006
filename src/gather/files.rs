//! Files that a person names: read whole, within a limit.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

/// A Dockerfile is text written by hand; whatever is larger is not one, bytes.
const MAX_DOCKERFILE: u64 = 8 << 20;

/// Reads a Dockerfile.
///
/// # Errors
/// When it cannot be read or is larger than 8 MiB.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, MAX_DOCKERFILE)
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// When it cannot be read or is larger.
#[expect(
    clippy::disallowed_methods,
    reason = "gather reads the Dockerfile and the baseline for the pipeline"
)]
pub fn read_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(limit + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let mib = limit >> 20;
        return Err(io::Error::other(format!("it is larger than {mib} MiB")));
    }
    Ok(bytes)
}
