//! The gRPC connection to `BuildKit`, and the session: a second gRPC connection, turned round, that
//! runs inside a stream of the first.

use std::{io, sync::Mutex};

use bollard_buildkit_proto::moby::buildkit::v1::{BytesMessage, control_client::ControlClient};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{
    Request,
    metadata::MetadataValue,
    service::Routes,
    transport::{Channel, Endpoint, Server},
};

use super::failure::words;
use crate::engine::{
    dial::{Address, BoxedStream},
    docker::{DockerEngine, DockerError, chain, upgrade},
};

/// `BuildKit` sends whole progress states and exporter metadata in one message.
const MESSAGE_LIMIT: usize = 16 << 20;
const PIPE: usize = 1 << 20;
const CHUNK: usize = 32 << 10;
/// Interface version from which a Docker Engine speaks gRPC on its socket without an upgrade.
const DIRECT_SINCE: (u32, u32) = (1, 53);

/// The control service.
pub(crate) type Control = ControlClient<Channel>;

/// Connects to the `BuildKit` inside a Docker Engine.
pub(crate) async fn connect_docker(engine: &DockerEngine) -> Result<Channel, DockerError> {
    if engine.facts().api >= DIRECT_SINCE {
        return connect(engine.address())
            .await
            .map_err(|error| DockerError::Unreachable {
                engine: engine.address().to_string(),
                reason: error.to_string(),
            });
    }
    let stream = upgrade(engine.address(), "/grpc").await?;
    over(stream)
        .await
        .map_err(|error| DockerError::Unreachable {
            engine: engine.address().to_string(),
            reason: error.to_string(),
        })
}

/// Connects to a `BuildKit` daemon.
pub(crate) async fn connect(address: &Address) -> io::Result<Channel> {
    over(address.dial(b"h2").await?).await
}

/// gRPC over a stream that is already there. When it breaks the calls fail: nothing is dialled again.
async fn over(stream: BoxedStream) -> io::Result<Channel> {
    let stream = Mutex::new(Some(TokioIo::new(stream)));
    let connector = tower::service_fn(move |_| {
        let stream = stream.lock().ok().and_then(|mut slot| slot.take());
        async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset)) }
    });
    Endpoint::from_static("http://buildkit")
        .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
        .map_err(io::Error::other)?
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20)
        .connect_with_connector(connector)
        .await
        .map_err(|error| io::Error::other(chain(&error)))
}

/// The control service over a channel.
pub(crate) fn control(channel: Channel) -> Control {
    ControlClient::new(channel)
        .max_decoding_message_size(MESSAGE_LIMIT)
        .max_encoding_message_size(MESSAGE_LIMIT)
}

/// A session that the daemon may call into; it ends when this is dropped.
pub(crate) struct Session {
    /// what the solve names it by
    pub(crate) id: String,
    /// why it ended, once it did
    pub(crate) ended: tokio::sync::oneshot::Receiver<String>,
    _tasks: tokio::task::JoinSet<()>,
}

/// Serves `routes` to the daemon behind `control`.
pub(crate) fn open_session(control: &Control, routes: Routes, methods: &[String]) -> Session {
    let id = random_id();
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let (mut outgoing, mut incoming) = tokio::io::split(ours);
    let (sender, receiver) = tokio::sync::mpsc::channel(16);
    let mut tasks = tokio::task::JoinSet::new();

    tasks.spawn(async move {
        let connection = tokio_stream::once(Ok::<DuplexStream, io::Error>(theirs))
            .chain(tokio_stream::pending());
        let server = Server::builder().add_routes(routes);
        let _ = server.serve_with_incoming(connection).await;
    });
    tasks.spawn(async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(n @ 1..) = outgoing.read(&mut buffer).await {
            let data = buffer.get(..n).unwrap_or_default().to_vec();
            if sender.send(BytesMessage { data }).await.is_err() {
                break;
            }
        }
    });

    let mut request = Request::new(ReceiverStream::new(receiver));
    let metadata = request.metadata_mut();
    if let Ok(value) = MetadataValue::try_from(&id) {
        metadata.insert("x-docker-expose-session-uuid", value);
    }
    metadata.insert(
        "x-docker-expose-session-sharedkey",
        MetadataValue::from_static(""),
    );
    metadata.insert(
        "x-docker-expose-session-name",
        MetadataValue::from_static("plimsoll"),
    );
    for method in methods {
        if let Ok(value) = MetadataValue::try_from(method) {
            metadata.append("x-docker-expose-session-grpc-method", value);
        }
    }
    let (tell, ended) = tokio::sync::oneshot::channel();
    let mut control = control.clone();
    tasks.spawn(async move {
        // The daemon answers only once it has something to say: never wait for it before serving.
        let reason = match control.session(request).await {
            Err(status) => words(&status),
            Ok(response) => {
                let mut stream = response.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(message)) => {
                            if incoming.write_all(&message.data).await.is_err() {
                                break "the session's server ended".to_owned();
                            }
                        }
                        Ok(None) => break "the engine closed the session".to_owned(),
                        Err(status) => break words(&status),
                    }
                }
            }
        };
        let _ = tell.send(reason);
    });
    Session {
        id,
        ended,
        _tasks: tasks,
    }
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// 25 letters and digits, as `BuildKit` makes its own identities; not to be guessed.
pub(crate) fn random_id() -> String {
    let mut bytes = [0u8; 25];
    // Failing to get randomness leaves an id that is merely not unique: the daemon then refuses it.
    let _ = rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes);
    bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::random_id;

    #[test]
    fn ids_are_long_and_differ() {
        let (one, two) = (random_id(), random_id());
        assert_eq!(one.len(), 25);
        assert_ne!(one, two);
    }
}
