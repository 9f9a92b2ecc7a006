//! Where an image's bytes come from, and the reader that nobody can go round.

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

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use proptest::prelude::*;

    use super::{SourceError, VerifyingReader, sha256};
    use crate::oci::{Descriptor, Digest, MediaType};

    const SHA512_ABC: &str = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
    const SHA256_ABC: &str =
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn read(data: &[u8], digest: &str, size: u64) -> Result<Vec<u8>, SourceError> {
        let of = Descriptor::new(
            MediaType::ImageLayer,
            size,
            digest.parse::<Digest>().unwrap(),
        );
        let mut out = Vec::new();
        VerifyingReader::new(data, &of)?
            .read_to_end(&mut out)
            .map_err(|error| SourceError::from_read("test", error))?;
        Ok(out)
    }

    #[test]
    fn the_digest_of_known_bytes() {
        assert_eq!(sha256(b"abc").to_string(), SHA256_ABC);
    }

    #[test]
    fn right_bytes_pass_with_both_algorithms() {
        assert_eq!(read(b"abc", SHA256_ABC, 3).unwrap(), b"abc");
        assert_eq!(read(b"abc", SHA512_ABC, 3).unwrap(), b"abc");
        assert_eq!(read(b"", sha256(b"").as_ref(), 0).unwrap(), b"");
    }

    #[test]
    fn wrong_bytes_fail_and_say_what_was_expected() {
        for (data, digest, size, expected, actual) in [
            (&b"ab"[..], SHA256_ABC, 3, "3 bytes", "2 bytes"),
            (b"abcd", SHA256_ABC, 3, "3 bytes", "more"),
            (b"abd", SHA256_ABC, 3, SHA256_ABC, "sha256:"),
            (b"abd", SHA512_ABC, 3, SHA512_ABC, "sha512:"),
            (b"", SHA256_ABC, 0, SHA256_ABC, "sha256:e3b0c442"),
            (
                b"x",
                "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                0,
                "0 bytes",
                "more",
            ),
        ] {
            match read(data, digest, size).unwrap_err() {
                SourceError::Mismatch {
                    expected: e,
                    actual: a,
                    ..
                } => {
                    assert_eq!(e, expected);
                    assert!(a.starts_with(actual), "{a}");
                }
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn algorithms_that_cannot_be_verified_are_refused_by_name() {
        for algorithm in ["md5", "sha384", "blake3", "multihash+base58"] {
            let digest = format!("{algorithm}:{}", "0".repeat(96));
            let error = read(b"abc", &digest, 3).unwrap_err().to_string();
            assert!(error.contains(&format!("`{algorithm}`")), "{error}");
        }
    }

    #[test]
    fn a_failure_is_repeated_and_never_becomes_an_end() {
        let of = Descriptor::new(
            MediaType::ImageLayer,
            3u64,
            SHA256_ABC.parse::<Digest>().unwrap(),
        );
        let mut reader = VerifyingReader::new(&b"abd"[..], &of).unwrap();
        let mut buf = [0; 8];
        assert!(reader.read(&mut buf).is_err());
        assert!(reader.read(&mut buf).is_err());
        assert!(!reader.verified());
    }

    #[test]
    fn the_last_byte_is_held_back_until_the_digest_is_known() {
        let of = Descriptor::new(
            MediaType::ImageLayer,
            3u64,
            SHA256_ABC.parse::<Digest>().unwrap(),
        );
        let mut reader = VerifyingReader::new(&b"abd"[..], &of).unwrap();
        let mut two = [0; 2];
        reader.read_exact(&mut two).unwrap();
        assert!(reader.read(&mut [0]).is_err());
    }

    #[test]
    fn an_endless_stream_is_left_at_the_stated_size() {
        let of = Descriptor::new(
            MediaType::ImageLayer,
            1u64 << 20,
            SHA256_ABC.parse::<Digest>().unwrap(),
        );
        let mut reader = VerifyingReader::new(io::repeat(0), &of).unwrap();
        assert!(io::copy(&mut reader, &mut io::sink()).is_err());
    }

    /// Hands on at most so many bytes at once.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = buf.len().min(self.1);
            self.0.read(&mut buf[..n])
        }
    }

    proptest! {
        #[test]
        fn bytes_pass_when_and_only_when_they_are_the_described_ones(
            data in prop::collection::vec(any::<u8>(), 0..300),
            other in prop::collection::vec(any::<u8>(), 0..300),
            piece in 1..64usize,
        ) {
            let of = Descriptor::new(MediaType::ImageLayer, data.len() as u64, sha256(&data));
            for given in [&data, &other] {
                let mut out = Vec::new();
                let pieces = Pieces(given, piece);
                let read = VerifyingReader::new(pieces, &of).unwrap().read_to_end(&mut out);
                prop_assert_eq!(read.is_ok(), *given == data);
                prop_assert!(out.len() <= data.len());
            }
        }
    }
}
