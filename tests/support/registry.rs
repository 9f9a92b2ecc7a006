//! A registry in this process, whose every answer a test may bend.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame, Incoming},
    service::service_fn,
};

use super::image::Packed;

/// A request as a test sees it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// `GET`, `POST`
    pub(crate) method: String,
    /// path and query
    pub(crate) path: String,
    /// `Authorization`
    pub(crate) authorization: Option<String>,
    /// first byte of `Range`
    pub(crate) range: Option<u64>,
    /// `If-Range`
    pub(crate) if_range: Option<String>,
    /// `If-None-Match`
    pub(crate) if_none_match: Option<String>,
    /// how many requests for the same path came before
    pub(crate) nth: usize,
    /// body
    pub(crate) body: Vec<u8>,
    /// address of this registry, `host:port`
    pub(crate) host: String,
    /// names in lower case
    pub(crate) headers: HashMap<String, String>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    pause: Duration,
    /// send so many bytes, then break the connection
    cut: Option<usize>,
    /// after so many bytes, wait so long
    stall: Option<(usize, Duration)>,
    /// without Content-Length
    chunked: bool,
    /// no answer at all: the connection ends
    reset: bool,
}

impl Reply {
    /// Status and body.
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            pause: Duration::ZERO,
            cut: None,
            stall: None,
            chunked: false,
            reset: false,
        }
    }

    /// No answer: the connection breaks.
    pub(crate) fn reset() -> Self {
        Self {
            reset: true,
            ..Self::new(500, "")
        }
    }

    /// The body is that of a request with `Range`.
    pub(crate) fn part_of(whole: &[u8], from: u64) -> Self {
        let start = usize::try_from(from).unwrap();
        let range = format!("bytes {from}-{}/{}", whole.len() - 1, whole.len());
        Self::new(206, &whole[start..]).header("content-range", range)
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Waits before answering.
    pub(crate) fn after(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Announces the whole body, sends `bytes` of it and breaks the connection.
    pub(crate) fn cut_at(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }

    /// One bit of the body is another.
    pub(crate) fn flipped(mut self) -> Self {
        let middle = self.body.len() / 2;
        self.body[middle] ^= 1;
        self
    }

    /// Half of the body, as if that were all.
    pub(crate) fn truncated(mut self) -> Self {
        self.body.truncate(self.body.len() / 2);
        self.chunked()
    }

    /// Sends `bytes`, then nothing for a while.
    pub(crate) fn stall_at(mut self, bytes: usize, pause: Duration) -> Self {
        self.stall = Some((bytes, pause));
        self
    }

    /// Does not announce the length.
    pub(crate) fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }
}

type Cutter = dyn Fn(&Seen) -> Option<usize> + Send + Sync;
type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

/// A running registry; stops when dropped.
pub(crate) struct Double {
    address: SocketAddr,
    log: Arc<Mutex<Vec<Seen>>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Double {
    /// Starts on a free port of 127.0.0.1.
    pub(crate) fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::cutting(handler, |_| None)
    }

    /// After so many bytes of the body of a request that `cut` picks, the handler is given those and
    /// the connection breaks, whatever it answers.
    pub(crate) fn cutting(
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
        cut: impl Fn(&Seen) -> Option<usize> + Send + Sync + 'static,
    ) -> Self {
        let cut: Arc<Cutter> = Arc::new(cut);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let handler: Arc<Handler> = Arc::new(handler);
        let requests = Arc::clone(&log);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (handler, log) = (Arc::clone(&handler), Arc::clone(&requests));
                let cut = Arc::clone(&cut);
                let service = service_fn(move |request| {
                    let (handler, cut) = (Arc::clone(&handler), Arc::clone(&cut));
                    answer(request, handler, cut, Arc::clone(&log), address)
                });
                let io = hyper_util::rt::TokioIo::new(stream);
                let served = hyper::server::conn::http1::Builder::new();
                tokio::spawn(async move { served.serve_connection(io, service).await });
            }
        });
        Self {
            address,
            log,
            runtime: Some(runtime),
        }
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    handler: Arc<Handler>,
    cut: Arc<Cutter>,
    log: Arc<Mutex<Vec<Seen>>>,
    address: SocketAddr,
) -> Result<Response<BoxBody<Bytes, std::io::Error>>, std::io::Error> {
    let header = |name: &str| {
        let value = request.headers().get(name)?;
        Some(value.to_str().unwrap_or_default().to_owned())
    };
    let range = header("range").and_then(|range| {
        let range = range.strip_prefix("bytes=")?.strip_suffix('-')?.to_owned();
        range.parse().ok()
    });
    let mut seen = Seen {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        authorization: header("authorization"),
        range,
        if_range: header("if-range"),
        if_none_match: header("if-none-match"),
        nth: 0,
        body: Vec::new(),
        host: address.to_string(),
        headers: HashMap::new(),
    };
    for (name, value) in request.headers() {
        let value = value.to_str().unwrap_or_default().to_owned();
        seen.headers.insert(name.to_string(), value);
    }
    let end = cut(&seen);
    let mut incoming = request.into_body();
    while seen.body.len() < end.unwrap_or(usize::MAX) {
        match incoming.frame().await {
            Some(Ok(frame)) => seen
                .body
                .extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
            _ => break,
        }
    }
    {
        let mut log = log.lock().unwrap();
        seen.nth = log.iter().filter(|other| other.path == seen.path).count();
        log.push(seen.clone());
    }
    let reply = handler(&seen);
    if end.is_some() || reply.reset {
        return Err(std::io::ErrorKind::ConnectionReset.into());
    }
    tokio::time::sleep(reply.pause).await;
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    if !reply.chunked {
        response = response.header("content-length", reply.body.len());
    }
    Ok(response.body(body(reply)).unwrap())
}

/// Pieces of 8 KiB, then perhaps a pause or a break.
fn body(reply: Reply) -> BoxBody<Bytes, std::io::Error> {
    let end = reply.cut.unwrap_or(reply.body.len()).min(reply.body.len());
    let state = (reply, 0usize, end);
    let pieces = stream::unfold(state, |(reply, at, end)| async move {
        if at >= end {
            reply.cut?;
            // Let the bytes before be sent.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            return Some((Err(broken), (Reply { cut: None, ..reply }, end, end)));
        }
        if let Some((from, pause)) = reply.stall
            && at >= from
        {
            tokio::time::sleep(pause).await;
        }
        let next = end.min(at + 8192);
        let piece = Bytes::copy_from_slice(&reply.body[at..next]);
        Some((Ok(Frame::data(piece)), (reply, next, end)))
    });
    StreamBody::new(pieces).boxed()
}

/// What an honest registry would answer for one repository.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    blobs: HashMap<String, Vec<u8>>,
    manifests: HashMap<String, (String, String)>,
}

impl Store {
    /// Serves an image or index under `tag`, and everything in it by digest.
    pub(crate) fn new(packed: &Packed, tag: &str) -> Self {
        let mut manifests = HashMap::new();
        for (digest, bytes) in &packed.blobs {
            let document: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
            if let Some(media_type) = document["mediaType"].as_str() {
                manifests.insert(digest.clone(), (media_type.to_owned(), digest.clone()));
            }
        }
        let digest = packed.digest().to_string();
        let media_type = packed.descriptor["mediaType"].as_str().unwrap().to_owned();
        manifests.insert(tag.to_owned(), (media_type, digest));
        Self {
            blobs: packed.blobs.clone().into_iter().collect(),
            manifests,
        }
    }

    /// Answers like a registry that keeps to the specification.
    pub(crate) fn answer(&self, seen: &Seen) -> Reply {
        let path = seen.path.split('?').next().unwrap_or_default();
        let (kind, name) = match path.rsplit_once('/') {
            Some((rest, name)) => (rest.rsplit('/').next().unwrap_or_default(), name),
            None => ("", ""),
        };
        let missing = || {
            Reply::new(
                404,
                r#"{"errors":[{"code":"UNKNOWN","message":"not known here"}]}"#,
            )
        };
        match kind {
            "manifests" => match self.manifests.get(name) {
                Some((media_type, digest)) => Reply::new(200, self.blobs[digest].clone())
                    .header("content-type", media_type)
                    .header("docker-content-digest", digest),
                None => missing(),
            },
            "blobs" => match (self.blobs.get(name), seen.range) {
                (Some(blob), None) => Reply::new(200, blob.clone()),
                (Some(blob), Some(from)) => {
                    let start = usize::try_from(from).unwrap();
                    let last = blob.len() - 1;
                    let range = format!("bytes {from}-{last}/{}", blob.len());
                    Reply::new(206, &blob[start..]).header("content-range", range)
                }
                (None, _) => missing(),
            },
            _ => Reply::new(200, "{}"),
        }
    }
}
