//! One upload of a blob: opened, filled piece by piece or at once, closed with the digest
//! (distribution-spec, "Pushing blobs"). The registry's word on how much it holds is checked.

use hyper::body::Bytes;
use reqwest::{
    Method, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, RANGE},
};
use tokio::sync::mpsc::{Sender, channel};
use url::Url;

use super::{Line, PushError, blob::Reader};
use crate::{
    oci::{Descriptor, SourceError},
    registry::{
        answer,
        ask::{Ask, Trouble},
        http::stated_digest,
        retry::Tries,
    },
};

/// Bytes of one piece. Above the least that object stores want (5 MiB), below what proxies refuse.
pub(super) const PIECE: u64 = 8 << 20;
/// Pieces after a proxy refused larger ones.
const SMALL_PIECE: u64 = 512 << 10;
/// A registry that wants larger pieces gets the blob at once: pieces are held in memory.
const LARGEST_PIECE: u64 = 64 << 20;
/// Pieces of a blob that is sent at once, in memory at a time.
const AHEAD: usize = 4;
/// Bytes of each.
const STREAMED: u64 = 256 << 10;
/// How much longer than for another answer is waited while a registry puts a blob together.
const ASSEMBLY: u32 = 20;
/// How often the status of one upload is asked for.
const MAX_RESUMES: u32 = 50;

const MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// An upload that the registry opened.
pub(super) struct Session {
    url: Url,
    /// bytes of a piece that the registry wants at least
    least: u64,
}

/// How filling an upload ended.
pub(super) enum End {
    Complete,
    /// this upload is of no use any more; another may do
    Lost(String),
    /// the registry takes no pieces
    WantsWhole(String),
    /// the pieces are too large for something on the way
    TooLarge(String),
}

impl Session {
    pub(super) fn of(line: &Line<'_>, response: &Response) -> Result<Self, SourceError> {
        let least = response.headers().get(MIN_LENGTH);
        let least = least.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Ok(Self {
            url: line.client().location(response)?,
            least: least.unwrap_or(0),
        })
    }
}

impl Line<'_> {
    /// Opens an upload.
    pub(super) fn begin(&self) -> Result<Session, SourceError> {
        let client = self.client();
        let tries = &mut Tries::new(client.retry);
        self.wait(async {
            let repository = &client.reference.repository;
            let url = client.place(repository, "blobs/uploads/", tries).await?;
            let ask = Ask::new(Method::POST, url).header(CONTENT_LENGTH, "0");
            let response = client.send(&ask, tries).await?;
            match response.status() {
                StatusCode::ACCEPTED => Session::of(self, &response),
                _ => Err(answer::error(&client.what(), response, tries.count()).await),
            }
        })
    }

    /// Sends a blob piece by piece, going on where the registry says that it stopped.
    pub(super) fn in_pieces(
        &self,
        mut session: Session,
        of: &Descriptor,
        piece: u64,
        tries: &mut Tries,
    ) -> Result<End, PushError> {
        let length = piece.max(session.least);
        if length > LARGEST_PIECE {
            let least = session.least;
            return Ok(End::WantsWhole(format!("pieces of {least} bytes at least")));
        }
        let mut reader = Reader::open(self.source, of)?;
        let mut resumes = 0;
        while reader.at() < of.size() {
            let start = reader.at();
            let bytes = reader.read(length)?;
            let end = start + bytes.len() as u64;
            let held = match self.piece(&session, start, bytes, tries) {
                Ok(response) => match self.after_piece(&mut session, start, end, response)? {
                    Ok(held) => held,
                    Err(lost) => return Ok(lost),
                },
                Err(Trouble::Fatal(error)) => return Err(self.failed(sending(of))(error)),
                Err(Trouble::Again { reason, after }) => {
                    self.tell(of, &reason);
                    resumes += 1;
                    if resumes > MAX_RESUMES {
                        return Ok(End::Lost(format!("it broke off {MAX_RESUMES} times")));
                    }
                    let client = self.client();
                    self.wait(client.pause(tries, after, reason))
                        .map_err(self.failed(sending(of)))?;
                    match self.held(&mut session).map_err(self.failed(sending(of)))? {
                        Some(held) => held,
                        None => return Ok(End::Lost("the registry forgot the upload".to_owned())),
                    }
                }
            };
            if held < start || held > end {
                return Ok(End::Lost(format!(
                    "the registry says that it holds {held} bytes; it was sent {end} and had \
                     confirmed {start}"
                )));
            }
            if held > start {
                tries.progress();
            }
            reader.seek(held)?;
            self.sent(of, held);
        }
        self.close(&session, of, Bytes::new(), tries)
    }

    fn piece(
        &self,
        session: &Session,
        start: u64,
        bytes: Bytes,
        tries: &mut Tries,
    ) -> Result<Response, Trouble> {
        let last = (start + bytes.len() as u64).saturating_sub(1);
        let ask = Ask::new(Method::PATCH, session.url.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_RANGE, &format!("{start}-{last}"))
            .body(bytes);
        let client = self.client();
        self.wait_for(client.once(&ask, tries))
    }

    /// What the registry holds after a piece, or why the upload goes on otherwise.
    fn after_piece(
        &self,
        session: &mut Session,
        start: u64,
        end: u64,
        response: Response,
    ) -> Result<Result<u64, End>, PushError> {
        let status = response.status();
        let told = |source| self.failed("sending a piece of a blob")(source);
        if matches!(
            status,
            StatusCode::ACCEPTED | StatusCode::NO_CONTENT | StatusCode::CREATED
        ) {
            if response.headers().contains_key(reqwest::header::LOCATION) {
                session.url = self.client().location(&response).map_err(told)?;
            }
            return Ok(Ok(range_end(response.headers()).unwrap_or(end)));
        }
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let client = self.client();
            let error = self.wait(async { Ok(answer::error(&client.what(), response, 1).await) });
            return Err(told(error.unwrap_or_else(|error| error)));
        }
        let reason = self.reason(response);
        Ok(Err(match status {
            StatusCode::PAYLOAD_TOO_LARGE => End::TooLarge(reason),
            StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::LENGTH_REQUIRED
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::RANGE_NOT_SATISFIABLE
            | StatusCode::NOT_IMPLEMENTED
                if start == 0 =>
            {
                End::WantsWhole(reason)
            }
            _ => End::Lost(reason),
        }))
    }

    /// How many bytes the registry holds; `None` when it does not know the upload any more.
    fn held(&self, session: &mut Session) -> Result<Option<u64>, SourceError> {
        let client = self.client();
        let tries = &mut Tries::new(client.retry);
        self.wait(async {
            let ask = Ask::new(Method::GET, session.url.clone());
            let response = client.send(&ask, tries).await?;
            if response.headers().contains_key(reqwest::header::LOCATION) {
                session.url = client.location(&response)?;
            }
            match response.status() {
                StatusCode::NO_CONTENT | StatusCode::ACCEPTED | StatusCode::OK => {
                    Ok(Some(range_end(response.headers()).unwrap_or(0)))
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    Err(answer::error(&client.what(), response, tries.count()).await)
                }
                _ => Ok(None),
            }
        })
    }

    /// Sends a small blob with the request that closes the upload.
    pub(super) fn in_one(
        &self,
        session: &Session,
        of: &Descriptor,
        tries: &mut Tries,
    ) -> Result<End, PushError> {
        let bytes = Reader::open(self.source, of)?.read(of.size())?;
        self.close(session, of, bytes, tries)
    }

    fn close(
        &self,
        session: &Session,
        of: &Descriptor,
        bytes: Bytes,
        tries: &mut Tries,
    ) -> Result<End, PushError> {
        let ask = Ask::new(Method::PUT, closing(session, of))
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(bytes)
            .patiently(ASSEMBLY);
        let client = self.client();
        loop {
            match self.wait_for(client.once(&ask, tries)) {
                Ok(response) => return self.closed(of, response),
                Err(Trouble::Fatal(error)) => return Err(self.failed(sending(of))(error)),
                Err(Trouble::Again { reason, after }) => {
                    self.tell(of, &reason);
                    self.wait(client.pause(tries, after, reason))
                        .map_err(self.failed(sending(of)))?;
                    // The answer may have been lost, not the blob.
                    if self.exists(&client.reference.repository, of)? {
                        return Ok(End::Complete);
                    }
                }
            }
        }
    }

    fn closed(&self, of: &Descriptor, response: Response) -> Result<End, PushError> {
        let status = response.status();
        if matches!(status, StatusCode::CREATED | StatusCode::NO_CONTENT) {
            return match stated_digest(&response) {
                Some(found)
                    if &found != of.digest() && of.digest().algorithm() == found.algorithm() =>
                {
                    Err(self.wrong(
                        format!("blob {}", of.digest()),
                        found.to_string(),
                        of.digest(),
                    ))
                }
                _ => Ok(End::Complete),
            };
        }
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let client = self.client();
            let error = self.wait(async { Ok(answer::error(&client.what(), response, 1).await) });
            return Err(self.failed(sending(of))(
                error.unwrap_or_else(|error| error),
            ));
        }
        let reason = self.reason(response);
        Ok(match status {
            StatusCode::PAYLOAD_TOO_LARGE => End::TooLarge(reason),
            _ => End::Lost(reason),
        })
    }

    /// Sends a blob of any size with the request that closes the upload.
    pub(super) fn at_once(
        &self,
        session: &Session,
        of: &Descriptor,
        tries: &mut Tries,
    ) -> Result<End, PushError> {
        let (sender, mut receiver) = channel::<std::io::Result<Bytes>>(AHEAD);
        let client = self.client();
        let stream = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
        let request = client
            .request(Method::PUT, &closing(session, of))
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, of.size())
            .body(reqwest::Body::wrap_stream(stream));
        let interrupted = || self.failed(sending(of))(client.unavailable("interrupted"));
        let handle = self.pusher.runtime.handle().ok_or_else(interrupted)?;
        let cancel = self.cancel.clone();
        // Sent aside, because this thread reads the blob meanwhile.
        let sending_task =
            handle.spawn(async move { cancel.run_until_cancelled(request.send()).await });
        let read = self.feed(of, &sender);
        drop(sender);
        let sent = handle.block_on(sending_task);
        read?;
        let Ok(Some(sent)) = sent else {
            return Err(interrupted());
        };
        let usable = async { client.usable(client.answered(sent)?).await };
        match self.wait_for(usable) {
            Ok(response) if response.status() == StatusCode::UNAUTHORIZED => {
                // The token ran out while the blob was on its way.
                let renewed = client.log_in(&response, session.url.scheme(), tries);
                self.wait(renewed).map_err(self.failed(sending(of)))?;
                Ok(End::Lost("the registry wants a new token".to_owned()))
            }
            Ok(response) => self.closed(of, response),
            Err(Trouble::Fatal(error)) => Err(self.failed(sending(of))(error)),
            Err(Trouble::Again { reason, after }) => {
                self.tell(of, &reason);
                self.wait(client.pause(tries, after, reason.clone()))
                    .map_err(self.failed(sending(of)))?;
                Ok(End::Lost(reason))
            }
        }
    }

    fn feed(&self, of: &Descriptor, to: &Sender<std::io::Result<Bytes>>) -> Result<(), PushError> {
        let mut reader = Reader::open(self.source, of)?;
        while reader.at() < of.size() {
            let bytes = match reader.read(STREAMED) {
                Ok(bytes) => bytes,
                Err(error) => {
                    // The registry must not take the part for the whole.
                    let broken = std::io::Error::other("the image cannot be read");
                    let _ = to.blocking_send(Err(broken));
                    return Err(error);
                }
            };
            // Nobody takes it: the answer says why.
            if to.blocking_send(Ok(bytes)).is_err() {
                return Ok(());
            }
            self.sent(of, reader.at());
        }
        Ok(())
    }

    /// Waits for an answer that may be of use.
    fn wait_for<T>(&self, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        self.wait(async { Ok(work.await) })
            .unwrap_or_else(|error| Err(Trouble::Fatal(error)))
    }

    pub(super) fn reason(&self, response: Response) -> String {
        let reason = self.wait(async { Ok(answer::reason(response).await) });
        reason.unwrap_or_else(|error| error.to_string())
    }
}

pub(super) fn sending(of: &Descriptor) -> String {
    format!("sending blob {}", of.digest())
}

/// The address that closes an upload; what it carries already is kept.
fn closing(session: &Session, of: &Descriptor) -> Url {
    let mut url = session.url.clone();
    url.query_pairs_mut()
        .append_pair("digest", of.digest().as_ref());
    url
}

/// Bytes held, by `Range: 0-LAST`. `0-0` is what registries write for none and for one byte; it
/// counts as none.
fn range_end(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RANGE)?.to_str().ok()?.trim();
    let text = text.strip_prefix("bytes=").unwrap_or(text);
    let (first, last) = text.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    match (first, last) {
        (0, 0) => Some(0),
        (0, last) => last.checked_add(1),
        _ => None,
    }
}

/// Pieces for a way that refused larger ones; `None` when they are as small as they get.
pub(super) fn smaller(piece: u64) -> Option<u64> {
    (piece > SMALL_PIECE).then_some(SMALL_PIECE)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue, RANGE};

    use super::range_end;

    #[test]
    fn what_a_registry_holds_is_read_from_its_range() {
        for (text, want) in [
            ("0-0", Some(0)),
            ("0-1", Some(2)),
            ("bytes=0-8388607", Some(8_388_608)),
            ("0-18446744073709551615", None),
            ("5-9", None),
            ("-1", None),
            ("", None),
            ("0-x", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, HeaderValue::from_static(text));
            assert_eq!(range_end(&headers), want, "{text}");
        }
        assert_eq!(range_end(&HeaderMap::new()), None);
    }
}
