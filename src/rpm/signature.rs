//! The id of the key that made an `OpenPGP` signature packet (RFC 4880 5.2, RFC 9580 5.2).
//! Nothing is verified: the id says who claims to have signed.

use super::bytes::{array, be16, be32, index, slice};
use crate::oci::hex;

/// The issuer's key id, 16 lower-case hex digits; `None` when it is no signature or names no issuer.
pub(super) fn issuer(packet: &[u8]) -> Option<String> {
    let body = signature_body(packet)?;
    let id: [u8; 8] = match body.first()? {
        // version, length of the hashed part (5), type, time, key id
        2 | 3 => array(body, 7)?,
        4 => issuer_in_subpackets(body, |area, at| be16(area, at).map(usize::from), 2)?,
        5 | 6 => issuer_in_subpackets(body, |area, at| be32(area, at).map(index), 4)?,
        _ => return None,
    };
    Some(hex(&id))
}

/// The body of a packet of tag 2, in the old or the new packet format.
fn signature_body(packet: &[u8]) -> Option<&[u8]> {
    let &first = packet.first()?;
    if first & 0x80 == 0 {
        return None;
    }
    if first & 0x40 != 0 {
        let (len, start) = new_length(packet, 1)?;
        return (first & 0x3f == 2).then(|| slice(packet, start, len))?;
    }
    if (first >> 2) & 0x0f != 2 {
        return None;
    }
    match first & 3 {
        0 => slice(packet, 2, usize::from(*packet.get(1)?)),
        1 => slice(packet, 3, usize::from(be16(packet, 1)?)),
        2 => slice(packet, 5, index(be32(packet, 1)?)),
        _ => packet.get(1..),
    }
}

/// A new-format length at `at`: the length and where what it measures begins.
fn new_length(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let &first = bytes.get(at)?;
    match first {
        0..=191 => Some((usize::from(first), at + 1)),
        192..=223 => {
            let second = usize::from(*bytes.get(at + 1)?);
            Some((((usize::from(first) - 192) << 8) + second + 192, at + 2))
        }
        255 => Some((index(be32(bytes, at + 1)?), at + 5)),
        // partial lengths are for data packets alone
        _ => None,
    }
}

/// The hashed area, then the unhashed one; each begins with its length.
fn issuer_in_subpackets(
    body: &[u8],
    length: impl Fn(&[u8], usize) -> Option<usize>,
    width: usize,
) -> Option<[u8; 8]> {
    let mut at = 4;
    let mut areas = Vec::with_capacity(2);
    for _ in 0..2 {
        let len = length(body, at)?;
        areas.push(slice(body, at + width, len)?);
        at += width + len;
    }
    let mut fingerprint = None;
    for area in areas {
        let mut rest = area;
        while !rest.is_empty() {
            let (len, start) = subpacket_length(rest)?;
            let subpacket = slice(rest, start, len)?;
            let (&kind, value) = subpacket.split_first()?;
            match kind & 0x7f {
                16 => return array(value, 0),
                33 => fingerprint = fingerprint.or_else(|| key_id(value)),
                _ => {}
            }
            rest = rest.get(start + len..)?;
        }
    }
    fingerprint
}

/// RFC 4880 5.2.3.1: like a packet length, but two octets reach up to 254.
fn subpacket_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let &first = bytes.first()?;
    match first {
        0..=191 => Some((usize::from(first), 1)),
        192..=254 => {
            let second = usize::from(*bytes.get(1)?);
            Some((((usize::from(first) - 192) << 8) + second + 192, 2))
        }
        255 => Some((index(be32(bytes, 1)?), 5)),
    }
}

/// The key id that a fingerprint with its version byte stands for.
fn key_id(value: &[u8]) -> Option<[u8; 8]> {
    let (&version, fingerprint) = value.split_first()?;
    match version {
        4 => array(fingerprint, fingerprint.len().checked_sub(8)?),
        _ => array(fingerprint, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::{hex, issuer};

    fn packet(body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(body.len()).expect("short body").to_be_bytes();
        [&[0x89][..], &len, body].concat()
    }

    fn v4(hashed: &[u8], unhashed: &[u8]) -> Vec<u8> {
        let area = |bytes: &[u8]| {
            let len = u16::try_from(bytes.len()).expect("short area");
            [&len.to_be_bytes()[..], bytes].concat()
        };
        packet(&[&[4, 0, 1, 8][..], &area(hashed), &area(unhashed), &[0, 0]].concat())
    }

    #[test]
    fn issuer_is_found_wherever_a_signature_may_name_it() {
        let id = [0x19, 0x9e, 0x2f, 0x91, 0xfd, 0x43, 0x1d, 0x51];
        let subpacket = [&[9, 16][..], &id].concat();
        let time = [5, 2, 0, 0, 0, 0];
        let fingerprint = [&[22, 33, 4][..], &[7; 12], &id].concat();
        let v6 = {
            let print = [&[34, 33, 6][..], &id, &[7; 24]].concat();
            let len = u32::try_from(print.len()).expect("short").to_be_bytes();
            packet(&[&[6, 0, 1, 8][..], &len, &print, &[0; 4]].concat())
        };
        let mut new_format = v4(&subpacket, &[]);
        new_format.splice(
            0..3,
            [0xc2, u8::try_from(new_format.len() - 3).expect("short")],
        );
        for (name, packet) in [
            (
                "v3",
                packet(&[&[3, 5, 0, 0, 0, 0, 0][..], &id, &[1, 8]].concat()),
            ),
            ("v4 hashed", v4(&subpacket, &[])),
            ("v4 unhashed", v4(&time, &subpacket)),
            ("v4 critical", v4(&[&[9, 0x90][..], &id].concat(), &[])),
            ("v4 fingerprint", v4(&fingerprint, &[])),
            ("v6 fingerprint", v6),
            ("new packet format", new_format),
        ] {
            assert_eq!(
                issuer(&packet).as_deref(),
                Some("199e2f91fd431d51"),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_no_signature_has_no_issuer() {
        let cut = v4(&[9, 16, 1, 2], &[]);
        for packet in [
            &[][..],
            &[0x89],
            &[0x99, 0, 1, 4],
            &[0x12; 40],
            &cut,
            &v4(&[], &[]),
        ] {
            assert_eq!(issuer(packet), None, "{}", hex(packet));
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_end_without_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = issuer(&bytes);
            let _ = issuer(&packet(&bytes));
            let _ = issuer(&v4(&bytes, &bytes));
        }
    }
}
