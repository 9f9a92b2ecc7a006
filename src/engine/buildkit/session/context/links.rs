//! The links of a context, for the paths that the daemon wants followed. Nothing outside the root is
//! looked at.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::ContextError;
use crate::engine::dockerignore::Links;

/// A context on disk.
pub(super) struct OnDisk<'r>(pub(super) &'r Path);

impl Links for OnDisk<'_> {
    type Error = ContextError;

    fn target(&self, path: &str) -> Result<Option<String>, ContextError> {
        let on_disk = self.0.join(path);
        match fs::symlink_metadata(&on_disk) {
            Ok(metadata) if metadata.is_symlink() => {}
            Ok(_) => return Ok(None),
            Err(fault) if is_absent(&fault) => return Ok(None),
            Err(fault) => return Err(ContextError::io("reading", Path::new(path), fault)),
        }
        let target = fs::read_link(&on_disk)
            .map_err(|fault| ContextError::io("reading link", Path::new(path), fault))?;
        match target.into_os_string().into_string() {
            Ok(target) => Ok(Some(target)),
            Err(_) => Err(ContextError::NotUtf8 {
                what: "the target of link",
                path: PathBuf::from(path),
            }),
        }
    }

    fn names(&self, directory: &str) -> Result<Vec<String>, ContextError> {
        let fail = |fault| ContextError::io("listing", Path::new(directory), fault);
        let entries = match fs::read_dir(self.0.join(directory)) {
            Ok(entries) => entries,
            Err(fault) if is_absent(&fault) => return Ok(Vec::new()),
            Err(fault) => return Err(fail(fault)),
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not text cannot be asked for by a pattern.
            if let Ok(name) = entry.map_err(fail)?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

fn is_absent(fault: &io::Error) -> bool {
    matches!(
        fault.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
