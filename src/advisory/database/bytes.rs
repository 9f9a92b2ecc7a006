//! Records and numbers at places of a section.

use jiff::Timestamp;

/// A record; zeros for one that is not there, which the check at opening rules out.
pub(super) fn record<const N: usize>(section: &[u8], at: usize) -> &[u8; N] {
    section.as_chunks::<N>().0.get(at).unwrap_or(&[0; N])
}

pub(super) fn array<const N: usize>(record: &[u8], at: usize) -> [u8; N] {
    let found = record
        .get(at..at + N)
        .and_then(|bytes| bytes.try_into().ok());
    found.unwrap_or([0; N])
}

pub(super) fn u16_at(record: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(record, at))
}

pub(super) fn u32_at(record: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(record, at))
}

pub(super) fn u64_at(record: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(record, at))
}

/// Seconds since 1970.
pub(super) fn time(record: &[u8], at: usize) -> Timestamp {
    Timestamp::from_second(i64::from_le_bytes(array(record, at))).unwrap_or_default()
}

pub(super) fn sha256(record: &[u8], at: usize) -> [u8; 32] {
    array(record, at)
}
