//! One file of one layer, read again: for the rare database whose write-ahead log lies in another
//! layer than the database itself. Its layer has been verified, and its bytes were not held.

use sha2::{Digest as _, Sha256};

use super::{
    blob::LayerReader,
    content::Role,
    database::Sha,
    error::LayerError,
    options::Limits,
    tar::{Sink, TarEntry, TarKind, TarStream},
};
use crate::oci::{Descriptor, ImagePath, ImageSource};

/// The content of a layer's file by its name and digest; `None` when there is none.
pub(super) fn fetch(
    source: &dyn ImageSource,
    of: &Descriptor,
    limits: &Limits,
    role: Role,
    sha256: Sha,
) -> Result<Option<Vec<u8>>, LayerError> {
    let wanted = Wanted {
        name: role.file_name().as_bytes(),
        sha256,
        limit: limits.database,
        passing: None,
        found: None,
    };
    Ok(read_again(source, of, limits, wanted)?.found)
}

/// Passes a layer that has been verified to another sink.
pub(super) fn read_again<S: Sink>(
    source: &dyn ImageSource,
    of: &Descriptor,
    limits: &Limits,
    sink: S,
) -> Result<S, LayerError> {
    let mut reader = LayerReader::open(source, of, limits.zstd_window_log)?;
    let mut tar = TarStream::new(sink, limits.clone());
    let mut piece = vec![0; 256 << 10];
    loop {
        let length = reader.fill(&mut piece)?;
        tar.feed(piece.get(..length).unwrap_or_default())?;
        if length < piece.len() {
            return tar.finish();
        }
    }
}

struct Wanted {
    name: &'static [u8],
    sha256: Sha,
    limit: u64,
    /// the file that is passing, if it has the name
    passing: Option<Vec<u8>>,
    found: Option<Vec<u8>>,
}

impl Sink for Wanted {
    fn entry(&mut self, entry: TarEntry<'_>) -> Result<(), LayerError> {
        let wanted = matches!(entry.kind, TarKind::File(size) if size <= self.limit)
            && ImagePath::new(entry.path).file_name() == Some(self.name);
        self.passing = wanted.then(Vec::new);
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        if let Some(content) = &mut self.passing {
            content.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn hole(&mut self, bytes: u64) -> Result<(), LayerError> {
        if let Some(content) = &mut self.passing {
            // Within the limit by the size that its entry stated.
            let more = usize::try_from(bytes).unwrap_or_default();
            content.resize(content.len() + more, 0);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), LayerError> {
        let content = self.passing.take();
        if let Some(content) = content.filter(|c| *Sha256::digest(c) == self.sha256) {
            self.found = Some(content);
        }
        Ok(())
    }
}
