//! A feed in one archive.

use std::io::{self, Read};

use tar_core::parse::{Limits, ParseEvent, Parser};

use super::intake::is_known;
use crate::advisory::csaf::MAX_DOCUMENT;

/// The files of a tar stream that belong to a feed.
pub(super) fn entries(from: &mut dyn Read, each: &mut dyn FnMut(&str, &[u8])) -> io::Result<()> {
    let mut parser = Parser::new(Limits::default());
    let mut held: Vec<u8> = Vec::new();
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
                let missing = padded.saturating_sub(held.len() as u64);
                if size > MAX_DOCUMENT as u64 {
                    return Err(io::Error::other(format!(
                        "{name} is larger than a document may be"
                    )));
                }
                from.take(missing).read_to_end(&mut held)?;
                let (size, padded) = (usize::try_from(size), usize::try_from(padded));
                let (Ok(size), Ok(padded)) = (size, padded) else {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                };
                let content = held.get(..size).ok_or(io::ErrorKind::UnexpectedEof)?;
                if is_known(&name) {
                    each(&name, content);
                }
                held.drain(..padded.min(held.len()));
            }
            ParseEvent::End { .. } => return Ok(()),
            ParseEvent::GlobalExtensions { consumed, .. }
            | ParseEvent::SparseEntry { consumed, .. } => {
                held.drain(..consumed);
            }
        }
    }
}
