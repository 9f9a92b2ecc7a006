//! `Packages.db`: rpm's own package store (`lib/backend/ndb/rpmpkg.c`), little-endian: a header,
//! pages of slots, and blobs in blocks of 16 bytes between a head and a tail.

use super::{
    bytes::{index, le32, slice},
    database::{Blob, Fault, push},
};

pub(super) const MAGIC: &[u8] = b"RpmP";
const BLOCK: usize = 16;
const SLOT: usize = 16;
const PAGE: usize = 4096;
/// The first two slots of the first page are the file's header.
const FIRST_SLOT: usize = 32;
const HEAD: usize = 16;
const TAIL: usize = 12;

pub(super) fn headers(bytes: &[u8]) -> Result<Vec<Blob<'_>>, Fault> {
    let field = |at| le32(bytes, at).ok_or(Fault::Short(bytes.len()));
    let version = field(4)?;
    if version != 0 {
        return Err(Fault::Field {
            field: "the version",
            value: version.into(),
        });
    }
    let pages = field(12)?;
    let slots = index(pages)
        .checked_mul(PAGE)
        .and_then(|end| bytes.get(FIRST_SLOT..end))
        .ok_or(Fault::Field {
            field: "the number of slot pages",
            value: pages.into(),
        })?;
    // Slots that share blocks would let a small file stand for any number of packages.
    let mut left = bytes.len();
    let mut blobs = Vec::new();
    for slot in slots.chunks_exact(SLOT) {
        let part = |at| le32(slot, at).unwrap_or(0);
        let (package, block, count) = (part(4), part(8), part(12));
        let damaged = |what| Fault::Slot { package, what };
        if !slot.starts_with(b"Slot") {
            return Err(damaged("its slot has no mark"));
        }
        if block == 0 {
            continue;
        }
        if package == 0 || index(block) < index(pages) * (PAGE / BLOCK) {
            return Err(damaged("its slot points into the slots"));
        }
        let blob = blob(bytes, package, index(block), index(count)).map_err(damaged)?;
        left = left
            .checked_sub(blob.len())
            .ok_or_else(|| damaged("it shares its blocks with another"))?;
        push(&mut blobs, package, blob)?;
    }
    Ok(blobs)
}

/// The content of the blob at a block, when head, tail and lengths agree.
fn blob(bytes: &[u8], package: u32, block: usize, count: usize) -> Result<&[u8], &'static str> {
    let area = block
        .checked_mul(BLOCK)
        .zip(count.checked_mul(BLOCK))
        .and_then(|(start, len)| slice(bytes, start, len))
        .ok_or("its blocks lie beyond the end of the file")?;
    if area.len() < HEAD + TAIL || !area.starts_with(b"BlbS") || le32(area, 4) != Some(package) {
        return Err("its blob does not begin as one");
    }
    let len = le32(area, 12).map_or(0, index);
    if len > area.len() - HEAD - TAIL || (HEAD + len + TAIL).div_ceil(BLOCK) != count {
        return Err("its blob is not as long as its slot says");
    }
    let tail = area.len() - TAIL;
    if le32(area, tail + 4).map(index) != Some(len) || !area.ends_with(b"BlbE") {
        return Err("its blob does not end as one");
    }
    slice(area, HEAD, len).ok_or("its blob is not as long as its slot says")
}
