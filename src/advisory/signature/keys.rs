//! Public keys, and from when to when each of them could sign.

use std::io::Read;

use jiff::Timestamp;
use pgp::{
    composed::{Deserializable as _, SignedPublicKey, SignedPublicSubKey},
    crypto::hash::HashAlgorithm,
    packet::{
        KeyFlags, PublicKey, PublicSubkey, RevocationCode, Signature, SignatureType, SubpacketData,
    },
    types::{Fingerprint, KeyDetails as _, KeyId, KeyVersion, Tag},
};

use super::day;

/// The key of Red Hat Product Security, which signs its documents
/// (<https://access.redhat.com/security/team/contact>).
pub const RED_HAT: &[u8] = include_bytes!("redhat-product-security.asc");

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
/// Most keys of a file; those of Red Hat's releases have up to four.
const MAX_KEYS: usize = 100;

/// Why a file gives no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// nothing in it is a key
    #[error("there is no OpenPGP public key in it{}", why.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    NoKey {
        /// what the reader says
        why: Option<String>,
    },
    /// none of its keys can sign
    #[error("no key of it can be used: {0}")]
    Unusable(String),
}

/// Keys that signatures are checked by.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    signers: Vec<Signer>,
}

impl Keys {
    /// Adds the keys of a file, armoured (one block or several) or binary, as they stand at a time.
    /// Keys that are of no use are named; the others count.
    ///
    /// # Errors
    /// When none is of use.
    pub fn add(&mut self, file: &[u8], now: Timestamp) -> Result<Vec<String>, KeyError> {
        let (mut found, mut left_out, mut why) = (0, Vec::new(), None);
        let text = std::str::from_utf8(file).ok();
        let blocks: Vec<&[u8]> = match text.filter(|text| text.contains(BEGIN)) {
            Some(text) => {
                let starts = text.match_indices(BEGIN).map(|(at, _)| &text[at..]);
                starts.map(str::as_bytes).collect()
            }
            None => vec![file],
        };
        for block in blocks.into_iter().take(MAX_KEYS) {
            let keys = match SignedPublicKey::from_reader_many_buf(block) {
                Ok((keys, _)) => keys,
                Err(error) => {
                    why = Some(error.to_string());
                    continue;
                }
            };
            for key in keys.take(MAX_KEYS) {
                match key.map_err(|error| error.to_string()) {
                    Ok(key) => match signers(&key, now) {
                        Ok(signers) => {
                            found += 1;
                            self.signers.extend(signers);
                        }
                        Err(reason) => left_out.push(format!("{:X}: {reason}", key.fingerprint())),
                    },
                    Err(error) => left_out.push(error),
                }
            }
        }
        match (found, left_out.is_empty()) {
            (0, true) => Err(KeyError::NoKey { why }),
            (0, false) => Err(KeyError::Unusable(left_out.join("; "))),
            _ => Ok(left_out),
        }
    }

    /// Those that may have made a signature; all, when it does not say whose it is.
    pub(super) fn signers_of(&self, signature: &Signature) -> impl Iterator<Item = &Signer> {
        let ids: Vec<KeyId> = signature.issuer_key_id().into_iter().copied().collect();
        let prints = signature.issuer_fingerprint().into_iter().cloned();
        let prints: Vec<Fingerprint> = prints.collect();
        let anyone = ids.is_empty() && prints.is_empty();
        let may = move |signer: &&Signer| {
            anyone || ids.contains(&signer.id) || prints.contains(&signer.fingerprint)
        };
        self.signers.iter().filter(may)
    }
}

#[derive(Debug, Clone)]
enum Material {
    Primary(PublicKey),
    Sub(PublicSubkey),
}

/// When a key was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Revoked {
    /// it may have been in other hands all the time
    Always,
    /// it was given up at this second
    At(i64),
}

/// One key that can sign.
#[derive(Debug, Clone)]
pub(super) struct Signer {
    material: Material,
    id: KeyId,
    fingerprint: Fingerprint,
    /// fingerprint of the main key
    pub(super) certificate: String,
    from: i64,
    until: Option<i64>,
    revoked: Option<Revoked>,
}

impl Signer {
    /// Whether it was good at a second.
    pub(super) fn could_sign(&self, at: i64) -> Result<(), String> {
        let made = day(at);
        if at < self.from {
            let from = day(self.from);
            return Err(format!("it was made on {made}, before its key, of {from}"));
        }
        if let Some(until) = self.until.filter(|until| at >= *until) {
            let until = day(until);
            return Err(format!(
                "it was made on {made}, and its key expired on {until}"
            ));
        }
        match self.revoked {
            Some(Revoked::Always) => Err("its key was revoked".to_owned()),
            Some(Revoked::At(end)) if at >= end => {
                let end = day(end);
                Err(format!(
                    "it was made on {made}, and its key was revoked on {end}"
                ))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn verify(
        &self,
        signature: &Signature,
        content: impl Read,
    ) -> Result<(), pgp::errors::Error> {
        match &self.material {
            Material::Primary(key) => signature.verify(key, content),
            Material::Sub(key) => signature.verify(key, content),
        }
    }
}

/// The keys of a certificate that can sign.
fn signers(key: &SignedPublicKey, now: Timestamp) -> Result<Vec<Signer>, String> {
    let primary = &key.primary_key;
    if !matches!(primary.version(), KeyVersion::V4 | KeyVersion::V6) {
        return Err("it is of an old format without protection".to_owned());
    }
    let newest = newest(own_signatures(key), now).ok_or("it has no valid signature of its own")?;
    let created = i64::from(primary.created_at().as_secs());
    let until = expiry(newest, created);
    let revocations = key.details.revocation_signatures.iter();
    let revoked = revoked(revocations.filter(|one| one.verify_key(primary).is_ok()));
    let certificate = format!("{:X}", primary.fingerprint());
    let mut found = Vec::new();
    if flags(newest).is_none_or(|flags| flags.sign()) {
        found.push(Signer {
            material: Material::Primary(primary.clone()),
            id: primary.legacy_key_id(),
            fingerprint: primary.fingerprint(),
            certificate: certificate.clone(),
            from: created,
            until,
            revoked,
        });
    }
    for sub in &key.public_subkeys {
        let Some((own_until, own_revoked)) = subkey(sub, primary, now) else {
            continue;
        };
        found.push(Signer {
            material: Material::Sub(sub.key.clone()),
            id: sub.key.legacy_key_id(),
            fingerprint: sub.key.fingerprint(),
            certificate: certificate.clone(),
            from: i64::from(sub.key.created_at().as_secs()),
            until: until.into_iter().chain(own_until).min(),
            revoked: revoked.into_iter().chain(own_revoked).min(),
        });
    }
    (!found.is_empty())
        .then_some(found)
        .ok_or_else(|| "it is not for signing".to_owned())
}

/// What the key says of itself and proves by itself: on names that it has not taken back, and alone.
fn own_signatures(key: &SignedPublicKey) -> Vec<&Signature> {
    let primary = &key.primary_key;
    let mut own = Vec::new();
    for user in &key.details.users {
        let valid = |one: &&Signature| {
            is_firm(one)
                && one
                    .verify_certification(primary, Tag::UserId, &user.id)
                    .is_ok()
        };
        let (back, fresh): (Vec<_>, Vec<_>) = user
            .signatures
            .iter()
            .filter(valid)
            .partition(|one| one.typ() == Some(SignatureType::CertRevocation));
        let back = back.into_iter().map(Signature::created).max();
        own.extend(
            fresh
                .into_iter()
                .filter(|one| back.is_none_or(|back| one.created() > back)),
        );
    }
    let alone = key.details.direct_signatures.iter();
    own.extend(alone.filter(|one| is_firm(one) && one.verify_key(primary).is_ok()));
    own
}

/// Old keys signed themselves by SHA-1, and a chosen prefix does not help to forge that; MD5 is out.
fn is_firm(signature: &Signature) -> bool {
    let hash = signature.hash_alg().unwrap_or(HashAlgorithm::None);
    hash == HashAlgorithm::Sha1 || !super::is_weak(hash)
}

/// The newest that holds at a time.
fn newest(list: Vec<&Signature>, now: Timestamp) -> Option<&Signature> {
    let made = |one: &Signature| one.created().map(|at| i64::from(at.as_secs()));
    let holds = |one: &&Signature| {
        let lasts = one.signature_expiration_time();
        let lasts = lasts.map_or(0, |lasts| i64::from(lasts.as_secs()));
        made(one).is_some_and(|at| lasts == 0 || at + lasts > now.as_second())
    };
    list.into_iter().filter(holds).max_by_key(|one| made(one))
}

/// When a signing subkey ends and was revoked; `None` when it is not for signing.
fn subkey(
    sub: &SignedPublicSubKey,
    primary: &PublicKey,
    now: Timestamp,
) -> Option<(Option<i64>, Option<Revoked>)> {
    let valid =
        |one: &&Signature| is_firm(one) && one.verify_subkey_binding(primary, &sub.key).is_ok();
    let (revocations, bindings): (Vec<_>, Vec<_>) = sub
        .signatures
        .iter()
        .filter(valid)
        .partition(|one| one.typ() == Some(SignatureType::SubkeyRevocation));
    let newest = newest(bindings, now)?;
    // without the subkey's own consent anyone could take it over
    let back = newest.embedded_signature()?;
    let agreed = back.verify_primary_key_binding(&sub.key, primary).is_ok();
    (agreed && flags(newest)?.sign()).then(|| {
        let created = i64::from(sub.key.created_at().as_secs());
        (expiry(newest, created), revoked(revocations.into_iter()))
    })
}

fn expiry(own: &Signature, created: i64) -> Option<i64> {
    let lasts = i64::from(own.key_expiration_time()?.as_secs());
    (lasts != 0).then_some(created + lasts)
}

/// What a key is for, when it says so.
fn flags(own: &Signature) -> Option<KeyFlags> {
    let says = |data: &SubpacketData| matches!(data, SubpacketData::KeyFlags(_));
    let mut packets = own.config()?.hashed_subpackets();
    packets
        .any(|packet| says(&packet.data))
        .then(|| own.key_flags())
}

fn revoked<'a>(list: impl Iterator<Item = &'a Signature>) -> Option<Revoked> {
    let one = |signature: &Signature| {
        let soft = matches!(
            signature.revocation_reason_code(),
            Some(RevocationCode::KeySuperseded | RevocationCode::KeyRetired)
        );
        match signature.created().filter(|_| soft) {
            Some(at) => Revoked::At(i64::from(at.as_secs())),
            None => Revoked::Always,
        }
    };
    list.map(one).min()
}
