//! A file's content, certain to be that of the file that was announced.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use rustix::fs::{Mode, OFlags};

use super::{ContextError, Source};

/// Reads a [`Source`] in pieces.
#[derive(Debug)]
pub(in super::super) struct Content {
    source: Source,
    /// `None`: it has no bytes
    file: Option<File>,
    left: u64,
}

impl Content {
    /// Opens the file, if it is still the one that was seen.
    pub(in super::super) fn open(root: &Path, source: Source) -> Result<Self, ContextError> {
        if !source.plain {
            return Ok(Self {
                source,
                file: None,
                left: 0,
            });
        }
        // Were it by now a link or a pipe, neither is followed nor waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(root.join(&source.path), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::LOOP) => return Err(changed(&source, "became a link")),
            Err(fault) => return Err(ContextError::io("opening", &source.path, fault.into())),
        };
        let content = Self {
            left: source.size,
            source,
            file: Some(file),
        };
        content.compare()?;
        Ok(content)
    }

    /// The next piece of at most `buffer.len()` bytes, 0 at the end.
    pub(in super::super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ContextError> {
        let Some(file) = &mut self.file else {
            return Ok(0);
        };
        let count = loop {
            match file.read(buffer) {
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) => return Err(ContextError::io("reading", &self.source.path, fault)),
                Ok(count) => break count,
            }
        };
        match self.left.checked_sub(count as u64) {
            None => Err(changed(&self.source, "grew")),
            Some(left) if count == 0 && left > 0 => Err(changed(&self.source, "shrank")),
            Some(left) => {
                self.left = left;
                if count == 0 {
                    self.compare()?;
                }
                Ok(count)
            }
        }
    }

    fn compare(&self) -> Result<(), ContextError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let metadata = file
            .metadata()
            .map_err(|fault| ContextError::io("reading", &self.source.path, fault))?;
        let now = Source::new(&self.source.path, &metadata);
        if now == self.source {
            return Ok(());
        }
        let same_file =
            now.plain && (now.device, now.inode) == (self.source.device, self.source.inode);
        Err(changed(
            &self.source,
            if same_file {
                "was written to"
            } else {
                "was replaced"
            },
        ))
    }
}

fn changed(source: &Source, how: &'static str) -> ContextError {
    ContextError::Changed {
        path: source.path.clone(),
        how,
    }
}
