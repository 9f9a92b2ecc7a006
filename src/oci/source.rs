//! Where an image's bytes come from, and the reader that nobody can go round.

#[cfg(test)]
mod tests;

use std::io::{self, Read};

use sha2::{Digest as _, Sha256, Sha512};

use oci_spec::image::Sha256Digest;

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
    /// understood, but not done here
    #[error("{what}: {reason}")]
    Unsupported {
        /// which image, layer or archive
        what: String,
        /// what it is, and what to do instead
        reason: String,
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

impl SourceError {
    /// An error from reading: the one that a [`VerifyingReader`] or a source put inside, else
    /// [`SourceError::Io`] on `what`.
    pub fn from_read(what: impl Into<String>, error: io::Error) -> Self {
        let what = what.into();
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(source) => Self::Io { what, source },
        }
    }

    /// What the user can do about it, when that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } => Some(
                "check the name, and that the image was built or pushed; a registry may also say \
                 this when a login is missing"
                    .to_owned(),
            ),
            Self::Denied { what, .. } => {
                let registry = what.split('/').next().unwrap_or(what);
                Some(format!(
                    "log in with `docker login {registry}` or `podman login {registry}`, or check \
                     that the account may pull this repository"
                ))
            }
            Self::Unavailable { .. } => Some(
                "check the address, the proxy and the network, then try again".to_owned(),
            ),
            Self::Mismatch { .. } => Some(
                "the stored bytes are damaged or were replaced: pull, build or save the image again"
                    .to_owned(),
            ),
            Self::NoPlatform { .. } => {
                Some("choose one of the platforms listed with `--platform`".to_owned())
            }
            Self::Malformed { .. }
            | Self::Unsupported { .. }
            | Self::TooLarge { .. }
            | Self::Io { .. } => None,
        }
    }
}

impl From<SourceError> for io::Error {
    fn from(error: SourceError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// The sha256 digest of bytes at hand.
///
/// # Panics
/// Never: 64 hexadecimal digits always are a digest.
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut hasher = BlobHasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// Computes a sha256 digest and counts, while bytes go by.
#[derive(Debug, Clone, Default)]
pub struct BlobHasher {
    hasher: Sha256,
    size: u64,
}

impl BlobHasher {
    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// Bytes seen so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The digest of all bytes seen.
    pub fn finish(self) -> Digest {
        let digest: Result<Sha256Digest, _> = hex(&self.hasher.finalize()).parse();
        digest.map_or_else(|_| unreachable!("64 hexadecimal digits"), Digest::from)
    }
}

enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

/// Passes bytes through and fails unless digest and size are the descriptor's.
///
/// The check is made with the last byte that the descriptor announces: the read that would deliver
/// it fails instead, so a consumer that stops early at the end of an inner format (a gzip member, a
/// tar end marker) has still been told, as long as it took all bytes. Never more than `size` bytes
/// are passed on, and an error is given again on every later read.
pub struct VerifyingReader<R> {
    inner: R,
    hasher: Option<Hasher>,
    expected: Digest,
    size: u64,
    seen: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Reading,
    Verified,
    Failed,
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
                return Err(SourceError::Unsupported {
                    what: format!("blob {}", of.digest()),
                    reason: format!(
                        "digest algorithm `{other}` cannot be verified; sha256 and sha512 can"
                    ),
                });
            }
        };
        Ok(Self {
            inner,
            hasher: Some(hasher),
            expected: of.digest().clone(),
            size: of.size(),
            seen: 0,
            state: State::Reading,
        })
    }

    /// All bytes announced were seen, and they are the right ones.
    pub fn verified(&self) -> bool {
        self.state == State::Verified
    }

    fn step(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.seen == self.size {
            return self.end();
        }
        let room = usize::try_from(self.size - self.seen).unwrap_or(usize::MAX);
        let room = room.min(buf.len());
        let n = self.inner.read(&mut buf[..room])?;
        if n == 0 {
            return Err(self.mismatch(
                format!("{} bytes", self.size),
                format!("{} bytes", self.seen),
            ));
        }
        match &mut self.hasher {
            Some(Hasher::Sha256(h)) => h.update(&buf[..n]),
            Some(Hasher::Sha512(h)) => h.update(&buf[..n]),
            None => {}
        }
        self.seen += n as u64;
        if self.seen == self.size {
            self.check_digest()?;
        }
        Ok(n)
    }

    /// Everything announced is here: nothing may follow.
    fn end(&mut self) -> io::Result<usize> {
        if self.hasher.is_some() {
            self.check_digest()?;
        }
        match self.inner.read(&mut [0])? {
            0 => {
                self.state = State::Verified;
                Ok(0)
            }
            _ => Err(self.mismatch(format!("{} bytes", self.size), "more".to_owned())),
        }
    }

    fn check_digest(&mut self) -> io::Result<()> {
        let actual = match self.hasher.take() {
            Some(Hasher::Sha256(h)) => hex(&h.finalize()),
            Some(Hasher::Sha512(h)) => hex(&h.finalize()),
            None => return Ok(()),
        };
        if actual == self.expected.digest() {
            return Ok(());
        }
        let algorithm = self.expected.algorithm();
        let found = format!("{algorithm}:{actual}");
        Err(self.mismatch(self.expected.to_string(), found))
    }

    fn mismatch(&self, expected: String, actual: String) -> io::Error {
        SourceError::Mismatch {
            what: format!("blob {}", self.expected),
            expected,
            actual,
        }
        .into()
    }
}

impl<R: Read> Read for VerifyingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        match self.state {
            State::Verified => Ok(0),
            State::Failed => Err(self.mismatch(
                "a blob that is read to its end".to_owned(),
                "a failure before it".to_owned(),
            )),
            State::Reading => match self.step(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
                Err(error) => {
                    self.state = State::Failed;
                    Err(error)
                }
                ok => ok,
            },
        }
    }
}

/// Bytes as hexadecimal digits in lower case.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
        .collect()
}
