//! A layer's blob as a stream of uncompressed bytes: media type and first bytes must agree, every
//! gzip member and zstd frame is checked, and the blob is read to its end so that its digest is.

use std::{
    error::Error,
    fmt,
    io::{self, BufRead, BufReader, Read},
};

use flate2::bufread::MultiGzDecoder;

use super::error::LayerError;
use crate::oci::{Descriptor, ImageSource, MediaType};

/// Bytes read from the source at a time.
const INPUT: usize = 128 << 10;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    Plain,
    Gzip,
    Zstd,
}

impl Compression {
    /// By media type (image-spec, media-types.md; Docker's image manifest v2).
    fn stated(media_type: &MediaType) -> Result<Self, LayerError> {
        let text = media_type.to_string();
        match text.as_str() {
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar" => Ok(Self::Plain),
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Ok(Self::Gzip),
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd"
            | "application/vnd.docker.image.rootfs.diff.tar+zstd" => Ok(Self::Zstd),
            _ => Err(LayerError::MediaType(text)),
        }
    }

    /// By the first bytes (RFC 1952 2.3.1; RFC 8878 3.1.1 and 3.1.2).
    fn found(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain tar",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Marks errors of the blob, to tell them from those of the compressed stream.
#[derive(Debug)]
struct BlobError(io::Error);

impl fmt::Display for BlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for BlobError {}

struct Blob<'s> {
    inner: Box<dyn Read + Send + 's>,
    seen: u64,
}

impl Read for Blob<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            return match self.inner.read(buf) {
                Ok(n) => {
                    self.seen += n as u64;
                    Ok(n)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(io::Error::new(error.kind(), BlobError(error))),
            };
        }
    }
}

type Input<'s> = BufReader<Blob<'s>>;

enum Stream<'s> {
    Plain(Input<'s>),
    Gzip(Box<MultiGzDecoder<Input<'s>>>),
    Zstd(zstd::stream::read::Decoder<'static, Input<'s>>),
}

impl<'s> Stream<'s> {
    fn input(&mut self) -> &mut Input<'s> {
        match self {
            Self::Plain(input) => input,
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
        }
    }
}

/// The uncompressed bytes of one layer.
pub(super) struct LayerReader<'s> {
    stream: Stream<'s>,
    compression: Compression,
}

impl<'s> LayerReader<'s> {
    /// Opens the blob and looks at its first bytes.
    pub(super) fn open(
        source: &'s dyn ImageSource,
        of: &Descriptor,
        zstd_window_log: u32,
    ) -> Result<Self, LayerError> {
        let compression = Compression::stated(of.media_type())?;
        let mut inner = source.blob(of)?;
        let start = start(&mut inner).map_err(LayerError::Read)?;
        let found = Compression::found(&start);
        let blob = Blob {
            inner: Box::new(io::Cursor::new(start).chain(inner)),
            seen: 0,
        };
        let mut input = BufReader::with_capacity(INPUT, blob);
        if found != compression {
            // A blob that is not the one named is the likelier cause, and the better message.
            drain(&mut input)?;
            return Err(LayerError::Magic {
                stated: compression.name(),
                found: found.name(),
            });
        }
        let stream = match compression {
            Compression::Plain => Stream::Plain(input),
            Compression::Gzip => Stream::Gzip(Box::new(MultiGzDecoder::new(input))),
            Compression::Zstd => {
                let damaged = |source| LayerError::Compressed {
                    codec: "zstd",
                    source,
                };
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(input).map_err(damaged)?;
                decoder.window_log_max(zstd_window_log).map_err(damaged)?;
                Stream::Zstd(decoder)
            }
        };
        Ok(Self {
            stream,
            compression,
        })
    }

    /// Bytes of the blob read so far.
    pub(super) fn seen(&mut self) -> u64 {
        self.stream.input().get_ref().seen
    }

    /// Fills `chunk`; less only at the end of the layer, where the blob has been read to its end
    /// and found to be the one its descriptor names.
    pub(super) fn fill(&mut self, chunk: &mut [u8]) -> Result<usize, LayerError> {
        let mut filled = 0;
        while let Some(rest) = chunk.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let read = match &mut self.stream {
                Stream::Plain(input) => input.read(rest),
                Stream::Gzip(decoder) => decoder.read(rest),
                Stream::Zstd(decoder) => decoder.read(rest),
            };
            match read {
                Ok(0) => {
                    drain(self.stream.input())?;
                    break;
                }
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(error)),
            }
        }
        Ok(filled)
    }

    fn error(&mut self, error: io::Error) -> LayerError {
        if error
            .get_ref()
            .is_some_and(<dyn Error + Send + Sync>::is::<BlobError>)
        {
            return LayerError::Read(unmark(error));
        }
        // Damage of the blob itself is the better message, and known only at its end.
        if let Err(error) = drain(self.stream.input()) {
            return error;
        }
        LayerError::Compressed {
            codec: self.compression.name(),
            source: error,
        }
    }
}

/// The first four bytes, fewer when there are no more.
fn start(blob: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(4);
    blob.take(4).read_to_end(&mut start)?;
    Ok(start)
}

fn fill<'a>(input: &'a mut Input<'_>) -> Result<&'a [u8], LayerError> {
    input
        .fill_buf()
        .map_err(|error| LayerError::Read(unmark(error)))
}

fn drain(input: &mut Input<'_>) -> Result<(), LayerError> {
    loop {
        match fill(input)?.len() {
            0 => return Ok(()),
            n => input.consume(n),
        }
    }
}

fn unmark(error: io::Error) -> io::Error {
    match error.downcast::<BlobError>() {
        Ok(BlobError(inner)) => inner,
        Err(error) => error,
    }
}
