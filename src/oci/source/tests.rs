use std::io::{self, Read};

use proptest::prelude::*;

use super::{SourceError, VerifyingReader, sha256};
use crate::oci::{Descriptor, Digest, MediaType};

const SHA512_ABC: &str = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
const SHA256_ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

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
