//! Detached OpenPGP signatures of documents and archives, and the keys they are checked by.
//!
//! Pure: signatures, keys, content and the time come in as values. Where keys lie, and what becomes
//! of a file without a signature, is not decided here. There is no web of trust: a key counts because
//! it was given.

mod keys;

use std::{
    collections::BTreeSet,
    io::{self, Read},
};

use jiff::Timestamp;
use pgp::{
    composed::{Deserializable as _, DetachedSignature},
    crypto::hash::HashAlgorithm,
    packet::{Signature, SignatureType},
};

use self::keys::Signer;
pub use self::keys::{KeyError, Keys, RED_HAT};

/// Largest file with a signature, bytes; those of Red Hat have 801.
pub const MAX_SIGNATURE: usize = 64 << 10;
/// Most signatures in one file.
const MAX_SIGNATURES: usize = 8;
/// Clocks differ by so much, seconds.
const SKEW: i64 = 24 * 3600;

/// What a signature says of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// It is whole, by one of the keys: the fingerprint of the main key, upper-case hex digits.
    Good(String),
    /// It was signed by keys that are not at hand, by id or fingerprint.
    Unknown(BTreeSet<String>),
}

/// Why a file is not what was signed, or cannot be shown to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// no signature
    #[error("its signature cannot be read: {0}")]
    Unreadable(String),
    /// no signature that this program makes out
    #[error("its signature is larger than {MAX_SIGNATURE} bytes")]
    TooLarge,
    /// a signature by a key that is at hand does not hold
    #[error("its signature by key {by} does not hold: {reason}")]
    Wrong {
        /// id or fingerprint of the key
        by: String,
        /// what is wrong
        reason: String,
    },
}

/// Opens the content that was signed, once for each signature.
pub type Content<'a> = dyn FnMut() -> io::Result<Box<dyn Read + 'a>> + 'a;

impl Keys {
    /// Checks a signature, armoured or binary. Every signature by a key that is at hand must hold.
    ///
    /// # Errors
    /// When one does not hold, or the file is none.
    pub fn check(
        &self,
        signature: &[u8],
        content: &mut Content<'_>,
        now: Timestamp,
    ) -> Result<Checked, SignatureError> {
        let (mut good, mut unknown) = (None, BTreeSet::new());
        for signature in read(signature)? {
            let by: Vec<&Signer> = self.signers_of(&signature).collect();
            if by.is_empty() {
                unknown.insert(issuer(&signature));
                continue;
            }
            let mut checked = Err(String::new());
            for signer in by {
                checked = check_one(&signature, signer, content, now);
                if checked.is_ok() {
                    good = Some(signer.certificate.clone());
                    break;
                }
            }
            checked.map_err(|reason| SignatureError::Wrong {
                by: issuer(&signature),
                reason,
            })?;
        }
        Ok(good.map_or(Checked::Unknown(unknown), Checked::Good))
    }
}

fn read(bytes: &[u8]) -> Result<Vec<Signature>, SignatureError> {
    if bytes.len() > MAX_SIGNATURE {
        return Err(SignatureError::TooLarge);
    }
    let unreadable = |error: pgp::errors::Error| SignatureError::Unreadable(error.to_string());
    let (found, _) = DetachedSignature::from_reader_many_buf(bytes).map_err(unreadable)?;
    let found = found.take(MAX_SIGNATURES + 1);
    let found: Vec<Signature> = found
        .map(|one| one.map(|one| one.signature))
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    match found.len() {
        0 => Err(SignatureError::Unreadable("there is none in it".to_owned())),
        1..=MAX_SIGNATURES => Ok(found),
        _ => Err(SignatureError::Unreadable(format!(
            "there are more than {MAX_SIGNATURES} in it"
        ))),
    }
}

/// Who made it, by its own account; that is a hint and proves nothing.
fn issuer(signature: &Signature) -> String {
    let by_print = signature.issuer_fingerprint().into_iter().next();
    let by_id = signature.issuer_key_id().into_iter().next();
    by_print
        .map(|print| format!("{print:X}"))
        .or_else(|| by_id.map(|id| id.to_string().to_uppercase()))
        .unwrap_or_else(|| "that it does not name".to_owned())
}

fn check_one(
    signature: &Signature,
    signer: &Signer,
    content: &mut Content<'_>,
    now: Timestamp,
) -> Result<(), String> {
    if !matches!(
        signature.typ(),
        Some(SignatureType::Binary | SignatureType::Text)
    ) {
        return Err("it is no signature of a file".to_owned());
    }
    let hash = signature.hash_alg().unwrap_or(HashAlgorithm::None);
    if is_weak(hash) {
        return Err(format!("it goes by {hash}, which is broken"));
    }
    let made = signature.created().map(|at| i64::from(at.as_secs()));
    let made = made.ok_or("it does not say when it was made")?;
    if made > now.as_second().saturating_add(SKEW) {
        return Err(format!("it was made on {}, in the future", day(made)));
    }
    let lasts = signature.signature_expiration_time();
    let lasts = lasts.map_or(0, |lasts| i64::from(lasts.as_secs()));
    if lasts != 0 && made + lasts < now.as_second() {
        return Err(format!("it expired on {}", day(made + lasts)));
    }
    signer.could_sign(made)?;
    let content = content().map_err(|error| error.to_string())?;
    let verified = signer.verify(signature, content);
    verified.map_err(|error| format!("it is of other content, or damaged ({error})"))
}

/// Content can be made to fit a hash of these.
pub(super) fn is_weak(hash: HashAlgorithm) -> bool {
    !matches!(
        hash,
        HashAlgorithm::Sha224
            | HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512
    )
}

/// The day of a second.
pub(super) fn day(second: i64) -> String {
    let at = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
    at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}
