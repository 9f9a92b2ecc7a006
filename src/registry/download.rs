//! A blob as a blocking reader: downloaded ahead by a few pieces, resumed where it broke off.

use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use hyper::body::Bytes;
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_RANGE, HeaderMap},
};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::Instant,
};

use super::{client::Client, http::describe, retry::Tries};
use crate::oci::{Descriptor, SourceError};

/// Pieces that may wait for their reader; one is some 16 KiB to 64 KiB.
const AHEAD: usize = 16;
/// A registry that takes longer than this and is slower than [`MIN_RATE`] is given up.
const PATIENCE: Duration = Duration::from_mins(2);
/// Bytes a second.
const MIN_RATE: u64 = 8 << 10;
/// How often one blob is resumed.
const MAX_RESUMES: u32 = 50;

type Piece = Result<Bytes, SourceError>;

/// Starts the download; the first failure is told by the first read.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the same shape as the other ways to open a blob"
)]
pub(super) fn start(
    runtime: &tokio::runtime::Handle,
    client: Arc<Client>,
    of: &Descriptor,
) -> Result<BlobStream, SourceError> {
    let (sender, receiver) = channel(AHEAD);
    let of = of.clone();
    runtime.spawn(async move {
        let work = run(&client, &of, &sender);
        if let Err(error) = client.unless_cancelled(work).await {
            // Nobody reads any more: then nobody wants the error either.
            let _ = sender.send(Err(error)).await;
        }
    });
    Ok(BlobStream {
        receiver,
        current: Bytes::new(),
    })
}

async fn run(client: &Client, of: &Descriptor, to: &Sender<Piece>) -> Result<(), SourceError> {
    let path = format!("blobs/{}", of.digest());
    let mut tries = Tries::new(client.retry);
    let mut progress = Progress::default();
    for _ in 0..MAX_RESUMES {
        let before = progress.received;
        let offset = (before > 0).then_some(before);
        let response = client.get(&path, offset, &mut tries).await?;
        let skip = check_start(client, of, &response, before)?;
        let reason = match pump(client, of, response, skip, to, &mut progress).await? {
            End::Complete | End::Unwanted => return Ok(()),
            End::Broken(reason) => reason,
        };
        if progress.received > before {
            tries.progress();
        }
        client.pause(&mut tries, None, reason).await?;
    }
    Err(client.unavailable(format!(
        "blob {} broke off {MAX_RESUMES} times",
        of.digest()
    )))
}

#[derive(Default)]
struct Progress {
    received: u64,
    waited: Duration,
}

enum End {
    Complete,
    Broken(String),
    Unwanted,
}

/// Bytes to leave out: a registry may ignore `Range` and start over.
fn check_start(
    client: &Client,
    of: &Descriptor,
    response: &Response,
    offset: u64,
) -> Result<u64, SourceError> {
    let length = response.content_length();
    if response.status() == StatusCode::PARTIAL_CONTENT {
        if range_start(response.headers()) == Some(offset) {
            return Ok(0);
        }
        return Err(client.unavailable(format!(
            "blob {}: the registry answers with another range than the one asked for",
            of.digest()
        )));
    }
    match length {
        Some(length) if length != of.size() => Err(SourceError::Mismatch {
            what: format!("blob {} in {}", of.digest(), client.what()),
            expected: format!("{} bytes", of.size()),
            actual: format!("{length} bytes"),
        }),
        _ => Ok(offset),
    }
}

/// First byte of a partial answer.
pub(crate) fn range_start(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (start, _) = text.strip_prefix("bytes ")?.split_once('-')?;
    start.trim().parse().ok()
}

async fn pump(
    client: &Client,
    of: &Descriptor,
    mut response: Response,
    mut skip: u64,
    to: &Sender<Piece>,
    progress: &mut Progress,
) -> Result<End, SourceError> {
    loop {
        let asked = Instant::now();
        let piece = response.chunk().await;
        // Only waiting for the registry counts; a slow reader is not its fault.
        progress.waited += asked.elapsed();
        let mut piece = match piece {
            Ok(Some(piece)) => piece,
            // A clean end: when it comes too early, the verifying reader says so.
            Ok(None) => return Ok(End::Complete),
            Err(error) => return Ok(End::Broken(describe(&error))),
        };
        if too_slow(progress) {
            return Err(client.unavailable(format!(
                "blob {}: only {} bytes came in {} s",
                of.digest(),
                progress.received,
                progress.waited.as_secs()
            )));
        }
        let cut = skip.min(piece.len() as u64);
        skip -= cut;
        let piece = piece.split_off(usize::try_from(cut).unwrap_or(piece.len()));
        if piece.is_empty() {
            continue;
        }
        progress.received += piece.len() as u64;
        if to.send(Ok(piece)).await.is_err() {
            return Ok(End::Unwanted);
        }
        // The reader refuses whatever is beyond the size, so there is no use in fetching it.
        if progress.received > of.size() {
            return Ok(End::Complete);
        }
    }
}

fn too_slow(progress: &Progress) -> bool {
    let beyond = progress.waited.checked_sub(PATIENCE);
    beyond.is_some_and(|beyond| beyond.as_secs().saturating_mul(MIN_RATE) > progress.received)
}

/// The downloaded bytes, not yet verified.
pub(super) struct BlobStream {
    receiver: Receiver<Piece>,
    current: Bytes,
}

impl Read for BlobStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(Ok(piece)) => self.current = piece,
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(0),
            }
        }
        let n = buf.len().min(self.current.len());
        let piece = self.current.split_to(n);
        buf[..n].copy_from_slice(&piece);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue};

    use super::{Progress, range_start, too_slow};

    #[test]
    fn a_trickle_is_given_up_and_a_slow_line_is_not() {
        for (seconds, received, want) in [
            (0, 0, false),
            (119, 0, false),
            (121, 0, true),
            (121, 1 << 20, false),
            (3600, 1 << 20, true),
            (3600, 1 << 30, false),
            (u64::MAX, u64::MAX, false),
        ] {
            let waited = Duration::from_secs(seconds);
            assert_eq!(
                too_slow(&Progress { received, waited }),
                want,
                "{seconds} {received}"
            );
        }
    }

    #[test]
    fn the_start_of_a_range_is_read() {
        for (text, want) in [
            ("bytes 60000-211071/211072", Some(60000)),
            ("bytes 0-1/*", Some(0)),
            ("bytes */211072", None),
            ("items 1-2/3", None),
            ("bytes -1-2/3", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, HeaderValue::from_static(text));
            assert_eq!(range_start(&headers), want, "{text}");
        }
    }
}
