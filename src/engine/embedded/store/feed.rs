//! Layers decompressed and verified by threads of their own, the next one while one is being unpacked.

use std::{
    fs::File,
    io::{self, Read, Write},
    sync::mpsc,
    thread::{Scope, ScopedJoinHandle},
};

use super::{Store, blobs::Layer, error::StoreError};
use crate::{
    layout::decompress,
    oci::{BlobHasher, LayerFormat, MAX_LAYER, SourceError, VerifyingReader},
};

/// Bytes that the thread which decompresses hands over at a time.
const PIECE: usize = 256 << 10;
/// Pieces that wait to be taken: 8 MiB of each of two layers.
const WAITING: usize = 32;

type Handed = io::Result<Vec<u8>>;

/// A layer that is being decompressed; it ends when nobody takes the pieces.
pub(super) struct Feed<'s> {
    from: mpsc::Receiver<Handed>,
    reader: ScopedJoinHandle<'s, Result<(), SourceError>>,
    layer: String,
}

impl Store {
    /// Begins to decompress a layer.
    pub(super) fn feed<'s>(
        &self,
        scope: &'s Scope<'s, '_>,
        layer: &'s Layer,
    ) -> Result<Feed<'s>, StoreError> {
        let blob = self.open_blob(&layer.digest)?;
        let (give, from) = mpsc::sync_channel(WAITING);
        Ok(Feed {
            from,
            reader: scope.spawn(move || decompress_to(layer, blob, &give)),
            layer: layer.diff_id.to_string(),
        })
    }
}

/// The layers of a tree in order, one of them decompressed ahead.
pub(super) struct Ahead<'s, 'e> {
    store: &'e Store,
    scope: &'s Scope<'s, 'e>,
    layers: &'e [Layer],
    next: Option<(usize, Feed<'s>)>,
}

impl<'s, 'e> Ahead<'s, 'e> {
    pub(super) fn new(store: &'e Store, scope: &'s Scope<'s, 'e>, layers: &'e [Layer]) -> Self {
        Self {
            store,
            scope,
            layers,
            next: None,
        }
    }

    /// The layer at a place; the one after it is begun when it `follows`.
    pub(super) fn take(
        &mut self,
        at: usize,
        follows: bool,
    ) -> Result<(&'e Layer, Feed<'s>), StoreError> {
        let begun = self.next.take().filter(|(place, _)| *place == at);
        let layer = self.layer(at)?;
        let feed = match begun {
            Some((_, feed)) => feed,
            None => self.store.feed(self.scope, layer)?,
        };
        if follows && let Ok(layer) = self.layer(at + 1) {
            self.next = Some((at + 1, self.store.feed(self.scope, layer)?));
        }
        Ok((layer, feed))
    }

    fn layer(&self, at: usize) -> Result<&'e Layer, StoreError> {
        self.layers.get(at).ok_or_else(|| {
            SourceError::NotFound {
                what: format!("layer {at} of a tree"),
                source: None,
            }
            .into()
        })
    }
}

impl<'s> Feed<'s> {
    /// The uncompressed layer as a stream; `tee` gets it too.
    pub(super) fn pieces<'t>(self, tee: &'t mut (dyn Write + Send)) -> Pieces<'s, 't> {
        Pieces {
            feed: self,
            tee,
            piece: Vec::new(),
            at: 0,
            done: false,
        }
    }
}

/// Decompresses and verifies a layer, piece by piece, for as long as somebody takes the pieces.
fn decompress_to(
    layer: &Layer,
    blob: File,
    give: &mpsc::SyncSender<io::Result<Vec<u8>>>,
) -> Result<(), SourceError> {
    let what = format!("layer {}", layer.digest);
    let descriptor = layer.descriptor();
    let format =
        LayerFormat::of(descriptor.media_type()).map_err(|reason| SourceError::Unsupported {
            what: what.clone(),
            reason,
        })?;
    let verified = VerifyingReader::new(blob, &descriptor)?;
    let mut plain = decompress(format, verified, MAX_LAYER)
        .map_err(|error| SourceError::from_read(what.as_str(), error))?;
    let mut hasher = BlobHasher::default();
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = io::Read::by_ref(&mut plain)
            .take(PIECE as u64)
            .read_to_end(&mut piece);
        if let Err(error) = read {
            let ended = io::Error::other("the layer cannot be read to its end");
            let _ = give.send(Err(ended));
            return Err(SourceError::from_read(what, error));
        }
        if piece.is_empty() {
            break;
        }
        hasher.update(&piece);
        if give.send(Ok(piece)).is_err() {
            return Ok(());
        }
    }
    let actual = hasher.finish();
    if actual == layer.diff_id.0 {
        return Ok(());
    }
    Err(SourceError::Mismatch {
        what,
        expected: format!("diff id {}", layer.diff_id),
        actual: format!("diff id {actual}"),
    })
}

/// The pieces as a stream.
pub(super) struct Pieces<'s, 't> {
    feed: Feed<'s>,
    tee: &'t mut (dyn Write + Send),
    piece: Vec<u8>,
    at: usize,
    done: bool,
}

impl Pieces<'_, '_> {
    /// Nothing more is taken: whether the layer was the one that it should be.
    pub(super) fn end(self) -> Result<(), SourceError> {
        let Feed {
            from,
            reader,
            layer,
        } = self.feed;
        drop(from);
        reader.join().unwrap_or_else(|_| {
            Err(SourceError::Io {
                what: format!("layer {layer}"),
                source: io::Error::other("the thread that decompresses ended early"),
            })
        })
    }
}

impl Read for Pieces<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.piece.len() {
            if self.done {
                return Ok(0);
            }
            match self.feed.from.recv() {
                Ok(piece) => {
                    self.piece = piece?;
                    self.tee.write_all(&self.piece)?;
                    self.at = 0;
                }
                Err(_) => self.done = true,
            }
        }
        let n = self.piece.get(self.at..).unwrap_or_default().read(buf)?;
        self.at += n;
        Ok(n)
    }
}
