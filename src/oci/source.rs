//! Where an image's bytes come from, and the reader that nobody can go round.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256, Sha512};

use super::{Descriptor, Digest, MediaType};

/// A manifest or index as stored, with the media type it was served as.
#[derive(Debug, Clone)]
pub struct RawManifest {
    /// media type as served or as the descriptor says
    pub media_type: MediaType,
    /// digest of `bytes`
    pub digest: Digest,
    /// the document
    pub bytes: Vec<u8>,
}

/// A place that holds one image (or one index of images).
pub trait ImageSource: Send + Sync {
    /// The manifest or index that the reference names.
    fn manifest(&self) -> Result<RawManifest, SourceError>;

    /// A manifest that an index names.
    fn child(&self, of: &Descriptor) -> Result<RawManifest, SourceError>;

    /// The bytes of a blob, verified: the reader fails at the end when digest or size differ.
    fn blob(&self, of: &Descriptor) -> Result<Box<dyn Read + Send + '_>, SourceError>;
}

/// What can go wrong with reading an image.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// the reference or path names nothing
    #[error("no image at {what}")]
    NotFound {
        /// reference or path
        what: String,
        /// cause
        #[source]
        source: Option<io::Error>,
    },
    /// the registry refused the credentials, or wants some
    #[error("{what}: access denied: {reason}")]
    Denied {
        /// reference
        what: String,
        /// the registry's words
        reason: String,
    },
    /// the registry or daemon could not be reached or answered with an error
    #[error("{what}: {reason}")]
    Unavailable {
        /// reference or address
        what: String,
        /// status or transport error
        reason: String,
    },
    /// a document is not what the specification says
    #[error("{what}: {reason}")]
    Malformed {
        /// which document, of which image
        what: String,
        /// what is wrong, and where
        reason: String,
    },
    /// bytes that are not the ones the descriptor names
    #[error("{what}: expected {expected}, got {actual}")]
    Mismatch {
        /// which blob
        what: String,
        /// digest or size wanted
        expected: String,
        /// digest or size found
        actual: String,
    },
    /// no such platform in the index
    #[error("{what}: no image for platform {platform}; it has {available}")]
    NoPlatform {
        /// reference
        what: String,
        /// wanted
        platform: String,
        /// what there is
        available: String,
    },
    /// a stated limit was passed
    #[error("{what}: more than {limit}")]
    TooLarge {
        /// what
        what: String,
        /// limit with unit
        limit: String,
    },
    /// reading failed
    #[error("{what}")]
    Io {
        /// path or reference
        what: String,
        /// cause
        #[source]
        source: io::Error,
    },
}

enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

/// Passes bytes through and fails at the end unless digest and size are the descriptor's. Reading
/// past the stated size fails at once, so a lying server cannot fill memory or time.
pub struct VerifyingReader<R> {
    inner: R,
    hasher: Option<Hasher>,
    expected: Digest,
    size: u64,
    seen: u64,
}

impl<R: Read> VerifyingReader<R> {
    /// Wraps the raw bytes of the blob that `of` describes.
    ///
    /// # Errors
    /// When the digest's algorithm is neither sha256 nor sha512 (image-spec, descriptor.md).
    pub fn new(inner: R, of: &Descriptor) -> Result<Self, SourceError> {
        let hasher = match of.digest().algorithm().as_ref() {
            "sha256" => Hasher::Sha256(Sha256::new()),
            "sha512" => Hasher::Sha512(Sha512::new()),
            other => {
                return Err(SourceError::Malformed {
                    what: of.digest().to_string(),
                    reason: format!("digest algorithm `{other}` is not supported"),
                });
            }
        };
        Ok(Self {
            inner,
            hasher: Some(hasher),
            expected: of.digest().clone(),
            size: of.size(),
            seen: 0,
        })
    }

    fn finish(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else {
            return Ok(());
        };
        if self.seen != self.size {
            return Err(mismatch(
                &self.expected,
                format!("{} bytes", self.size),
                format!("{} bytes", self.seen),
            ));
        }
        let actual = match hasher {
            Hasher::Sha256(h) => hex(&h.finalize()),
            Hasher::Sha512(h) => hex(&h.finalize()),
        };
        if actual == self.expected.digest() {
            Ok(())
        } else {
            let algorithm = self.expected.algorithm();
            Err(mismatch(
                &self.expected,
                self.expected.to_string(),
                format!("{algorithm}:{actual}"),
            ))
        }
    }
}

fn mismatch(what: &Digest, expected: String, actual: String) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        SourceError::Mismatch {
            what: format!("blob {what}"),
            expected,
            actual,
        },
    )
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

impl<R: Read> Read for VerifyingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let n = self.inner.read(buf)?;
        if n == 0 {
            self.finish()?;
            return Ok(0);
        }
        self.seen += n as u64;
        if self.seen > self.size {
            return Err(mismatch(
                &self.expected,
                format!("{} bytes", self.size),
                "more".to_owned(),
            ));
        }
        match &mut self.hasher {
            Some(Hasher::Sha256(h)) => h.update(&buf[..n]),
            Some(Hasher::Sha512(h)) => h.update(&buf[..n]),
            None => {}
        }
        Ok(n)
    }
}
