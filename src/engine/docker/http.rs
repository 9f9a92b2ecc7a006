//! HTTP/1.1 to a Docker Engine: one connection a request, bodies streamed.

use std::{io, path::Path, time::Duration};

use futures_util::StreamExt as _;
use http_body_util::{BodyExt, Empty, Limited, StreamBody, combinators::BoxBody};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Frame, Incoming},
    client::conn::http1::SendRequest,
};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt as _, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::DockerError;
use crate::engine::dial::{Address, BoxedStream};

type Body = BoxBody<Bytes, io::Error>;

const SMALL_BODY: usize = 16 << 20;
const PING_TIMEOUT: Duration = Duration::from_secs(20);
const CHUNK: usize = 256 << 10;

/// What is sent with a request.
#[derive(Debug)]
pub(crate) enum Upload {
    /// nothing
    None,
    /// a tar archive, as it is made
    Archive(mpsc::Receiver<io::Result<Bytes>>),
}

impl Upload {
    /// An archive that `write` makes on another thread while it is sent.
    pub(crate) fn archive(
        write: impl FnOnce(&mut dyn io::Write) -> io::Result<()> + Send + 'static,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(8);
        tokio::task::spawn_blocking(move || {
            let mut writer = io::BufWriter::with_capacity(CHUNK, ChannelWriter(sender.clone()));
            let written = write(&mut writer).and_then(|()| io::Write::flush(&mut writer));
            if let Err(error) = written {
                let _ = sender.blocking_send(Err(error));
            }
        });
        Self::Archive(receiver)
    }

    fn into_body(self) -> Body {
        match self {
            Self::None => Empty::new().map_err(|never| match never {}).boxed(),
            Self::Archive(chunks) => BodyExt::boxed(StreamBody::new(
                ReceiverStream::new(chunks).map(|chunk| chunk.map(Frame::data)),
            )),
        }
    }
}

struct ChannelWriter(mpsc::Sender<io::Result<Bytes>>);

impl io::Write for ChannelWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(buf)))
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends a request over a connection of its own.
pub(super) async fn send(
    address: &Address,
    method: Method,
    path: &str,
    login: Option<String>,
    upload: Upload,
) -> Result<Response<Incoming>, DockerError> {
    tracing::debug!(%address, %method, path, "asking the engine");
    let (mut sender, _) = connect(address).await?;
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "docker")
        .header(
            "user-agent",
            concat!("plimsoll/", env!("CARGO_PKG_VERSION")),
        );
    if matches!(upload, Upload::Archive(_)) {
        request = request.header("content-type", "application/x-tar");
    }
    if let Some(login) = login {
        request = request.header("x-registry-auth", login);
    }
    let request = request
        .body(upload.into_body())
        .map_err(|error| unreachable_engine(address, &error))?;
    sender
        .send_request(request)
        .await
        .map_err(|error| unreachable_engine(address, &error))
}

async fn connect(
    address: &Address,
) -> Result<(SendRequest<Body>, tokio::task::JoinHandle<()>), DockerError> {
    let stream: BoxedStream = address
        .dial(b"http/1.1")
        .await
        .map_err(|error| unreachable_engine(address, &error))?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable_engine(address, &error))?;
    // Ends with the connection: when the response was read or dropped.
    let driver = tokio::spawn(async move {
        let _ = connection.with_upgrades().await;
    });
    Ok((sender, driver))
}

/// The interface version that the engine speaks.
pub(super) async fn ping(address: &Address) -> Result<String, DockerError> {
    let answer = send(address, Method::GET, "/_ping", None, Upload::None);
    let response = tokio::time::timeout(PING_TIMEOUT, answer)
        .await
        .map_err(|_| DockerError::Unreachable {
            engine: address.to_string(),
            reason: format!("no answer within {} s", PING_TIMEOUT.as_secs()),
        })??;
    let version = response.headers().get("api-version");
    Ok(version
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned())
}

/// Turns the connection into a raw stream, as `docker build` does for `BuildKit`.
pub(crate) async fn upgrade(address: &Address, path: &str) -> Result<BoxedStream, DockerError> {
    let (mut sender, _) = connect(address).await?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("host", "docker")
        .header("connection", "Upgrade")
        .header("upgrade", "h2c")
        .body(Upload::None.into_body())
        .map_err(|error| unreachable_engine(address, &error))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| unreachable_engine(address, &error))?;
    if response.status() != hyper::StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status().as_u16();
        let body = small_body(response, address).await.unwrap_or_default();
        return Err(DockerError::Refused {
            engine: address.to_string(),
            what: "asking for BuildKit".to_owned(),
            status,
            message: message(&body),
        });
    }
    let upgraded = hyper::upgrade::on(response)
        .await
        .map_err(|error| unreachable_engine(address, &error))?;
    Ok(Box::new(TokioIo::new(upgraded)))
}

/// A body that is kept in memory, up to a bound.
pub(super) async fn small_body(
    response: Response<Incoming>,
    address: &Address,
) -> Result<Bytes, DockerError> {
    Limited::new(response.into_body(), SMALL_BODY)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| unreachable_engine(address, error.as_ref()))
}

/// Writes a body of any size to a new file.
pub(super) async fn write_body(
    response: Response<Incoming>,
    path: &Path,
    address: &Address,
) -> Result<(), DockerError> {
    let io = |source| DockerError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = tokio::fs::File::create(path).await.map_err(io)?;
    let mut body = response.into_body().into_data_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| unreachable_engine(address, &error))?;
        file.write_all(&chunk).await.map_err(io)?;
    }
    file.flush().await.map_err(io)
}

/// Reads a stream of JSON messages to its end: the error among them, if there is one.
pub(super) async fn reported_error(
    response: Response<Incoming>,
    address: &Address,
) -> Result<Option<String>, DockerError> {
    let mut body = response.into_body().into_data_stream();
    let mut line: Vec<u8> = Vec::new();
    let mut found = None;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| unreachable_engine(address, &error))?;
        for byte in chunk {
            if byte == b'\n' {
                found = found.or_else(|| error_in(&line));
                line.clear();
            } else if line.len() < SMALL_BODY {
                line.push(byte);
            }
        }
    }
    Ok(found.or_else(|| error_in(&line)))
}

fn error_in(line: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    Some(value.get("error")?.as_str()?.to_owned())
}

/// The engine's words in an error answer.
pub(super) fn message(body: &[u8]) -> String {
    let value: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    match value.as_ref().and_then(|v| v.get("message")?.as_str()) {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(body.get(..500).unwrap_or(body))
            .trim()
            .to_owned(),
    }
}

fn unreachable_engine(address: &Address, error: &(dyn std::error::Error + 'static)) -> DockerError {
    DockerError::Unreachable {
        engine: address.to_string(),
        reason: chain(error),
    }
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_in_a_progress_stream_is_found() {
        assert_eq!(error_in(br#"{"status":"Loading"}"#), None);
        assert_eq!(
            error_in(br#"{"errorDetail":{"message":"no space"},"error":"no space"}"#),
            Some("no space".to_owned())
        );
        assert_eq!(error_in(b"garbage"), None);
    }

    #[test]
    fn the_words_of_an_error_answer_are_kept_short() {
        assert_eq!(message(br#"{"message":"no such image"}"#), "no such image");
        assert_eq!(message(b"<html>"), "<html>");
        assert_eq!(message(&[b'x'; 4000]).len(), 500);
    }
}
