//! A feed in one archive.

use std::io::{self, Read};

use tar_core::parse::{Limits, ParseEvent, Parser};

use super::intake::is_known;
use crate::advisory::csaf::MAX_DOCUMENT;

/// The files of a tar stream that belong to a feed, `None` for those that are larger than a document may
/// be. Returns how many there are.
pub(super) fn entries(
    from: &mut dyn Read,
    each: &mut dyn FnMut(&str, Option<&[u8]>),
) -> io::Result<usize> {
    let mut parser = Parser::new(Limits::default());
    let mut held: Vec<u8> = Vec::new();
    let mut count = 0;
    loop {
        match parser.parse(&held).map_err(io::Error::other)? {
            ParseEvent::NeedData { .. } => {
                let before = held.len();
                from.take(64 << 10).read_to_end(&mut held)?;
                if held.len() == before {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            ParseEvent::Entry { consumed, entry } => {
                let (size, padded) = (entry.size, entry.padded_size());
                let name = String::from_utf8_lossy(entry.path.as_ref()).into_owned();
                held.drain(..consumed);
                let size = usize::try_from(size).ok();
                let size = size.filter(|size| *size <= MAX_DOCUMENT);
                count += usize::from(is_known(&name));
                if let Some(size) = size.filter(|_| is_known(&name)) {
                    each(&name, Some(content(from, &mut held, padded, size)?));
                } else {
                    if is_known(&name) {
                        each(&name, None);
                    }
                    let missing = padded.saturating_sub(held.len() as u64);
                    if io::copy(&mut from.take(missing), &mut io::sink())? < missing {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                let padded = usize::try_from(padded).unwrap_or(usize::MAX);
                held.drain(..padded.min(held.len()));
            }
            ParseEvent::End { .. } => return Ok(count),
            ParseEvent::GlobalExtensions { consumed, .. }
            | ParseEvent::SparseEntry { consumed, .. } => {
                held.drain(..consumed);
            }
        }
    }
}

/// The content of an entry, at the beginning of what is held; padding is read too.
fn content<'a>(
    from: &mut dyn Read,
    held: &'a mut Vec<u8>,
    padded: u64,
    size: usize,
) -> io::Result<&'a [u8]> {
    let missing = padded.saturating_sub(held.len() as u64);
    from.take(missing).read_to_end(held)?;
    let content = held.get(..size);
    content.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::{MAX_DOCUMENT, Read as _, entries, io};

    fn header(name: &str, size: u64) -> [u8; 512] {
        let mut block = [0; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..107].copy_from_slice(b"0000644");
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[156] = b'0';
        block[257..263].copy_from_slice(b"ustar\0");
        block[263..265].copy_from_slice(b"00");
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block
    }

    #[test]
    fn what_is_larger_than_a_document_is_passed_over_and_the_rest_is_read() {
        let large = (MAX_DOCUMENT as u64 + 1).next_multiple_of(512);
        let plain = |name: &str, text: &str| {
            let mut bytes = header(name, text.len() as u64).to_vec();
            bytes.extend(text.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(512), 0);
            bytes
        };
        let mut parts: Vec<Box<dyn io::Read>> = Vec::new();
        for name in ["2024/large.json", "README"] {
            parts.push(Box::new(io::Cursor::new(header(name, large))));
            parts.push(Box::new(io::repeat(b'x').take(large)));
        }
        parts.push(Box::new(io::Cursor::new(plain("2024/a.json", "{}"))));
        parts.push(Box::new(io::Cursor::new([0; 1024])));
        let all = parts
            .into_iter()
            .reduce(|one, next| Box::new(one.chain(next)));
        let mut seen = Vec::new();
        let count = entries(&mut all.unwrap(), &mut |name, content| {
            seen.push((name.to_owned(), content.map(<[u8]>::to_vec)));
        });
        assert_eq!(count.unwrap(), 2);
        let want = [
            ("2024/large.json".to_owned(), None),
            ("2024/a.json".to_owned(), Some(b"{}".to_vec())),
        ];
        assert_eq!(seen, want);
    }

    #[test]
    fn an_archive_that_ends_early_is_an_error() {
        for (name, size) in [
            ("2024/a.json", 10),
            ("README", 10),
            ("2024/a.json", 0o777_7777_7777),
        ] {
            let mut cut: &[u8] = &header(name, size);
            let ended = entries(&mut cut, &mut |_, _| {}).unwrap_err();
            assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof, "{name}");
        }
    }
}
