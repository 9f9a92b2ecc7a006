//! Blobs of OCI layouts for the daemon to read over the session: containerd's content service, the
//! reading half. That is how `BuildKit` takes a base image from a directory of the client.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::ready,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::http,
    server::{Grpc, NamedService, ServerStreamingService, UnaryService},
};
use tonic_prost::ProstCodec;

use crate::oci::Digest;

/// Methods that the session has to announce.
pub(crate) const METHODS: &[&str] = &[
    "/containerd.services.content.v1.Content/Info",
    "/containerd.services.content.v1.Content/Read",
];

const STORE_KEY: &str = "buildkit-attachable-store-id";
const CHUNK: usize = 1 << 20;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Serves the layouts it was given, each under a name that the daemon is told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    stores: Arc<HashMap<String, PathBuf>>,
}

impl Content {
    /// Layout directories by store name.
    pub(crate) fn new(stores: impl IntoIterator<Item = (String, PathBuf)>) -> Self {
        let stores = stores
            .into_iter()
            .map(|(name, dir)| (format!("oci:{name}"), dir));
        Self {
            stores: Arc::new(stores.collect()),
        }
    }

    fn blob(
        &self,
        request: &tonic::metadata::MetadataMap,
        digest: &str,
    ) -> Result<PathBuf, Status> {
        let store = request.get(STORE_KEY).and_then(|value| value.to_str().ok());
        let dir = store
            .and_then(|store| self.stores.get(store))
            .ok_or_else(|| Status::not_found(format!("no store {store:?}")))?;
        blob_path(dir, digest)
    }
}

/// Only a well-formed digest becomes a path, so nothing outside the layout can be asked for.
fn blob_path(dir: &Path, digest: &str) -> Result<PathBuf, Status> {
    let digest: Digest = digest
        .parse()
        .map_err(|error| Status::invalid_argument(format!("digest `{digest}`: {error}")))?;
    let encoded = digest.digest();
    if !encoded.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Status::invalid_argument(format!(
            "digest `{digest}` is not hexadecimal"
        )));
    }
    Ok(dir
        .join("blobs")
        .join(digest.algorithm().as_ref())
        .join(encoded))
}

#[derive(Clone, PartialEq, prost::Message)]
struct InfoRequest {
    #[prost(string, tag = "1")]
    digest: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Info {
    #[prost(string, tag = "1")]
    digest: String,
    #[prost(int64, tag = "2")]
    size: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct InfoResponse {
    #[prost(message, optional, tag = "1")]
    info: Option<Info>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReadContentRequest {
    #[prost(string, tag = "1")]
    digest: String,
    #[prost(int64, tag = "2")]
    offset: i64,
    /// 0 means to the end
    #[prost(int64, tag = "3")]
    size: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReadContentResponse {
    #[prost(int64, tag = "1")]
    offset: i64,
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
}

struct InfoMethod(Content);

impl UnaryService<InfoRequest> for InfoMethod {
    type Response = InfoResponse;
    type Future = BoxFuture<Result<Response<InfoResponse>, Status>>;

    fn call(&mut self, request: Request<InfoRequest>) -> Self::Future {
        let path = self.0.blob(request.metadata(), &request.get_ref().digest);
        Box::pin(async move {
            let metadata = tokio::fs::metadata(path?)
                .await
                .map_err(|error| Status::not_found(error.to_string()))?;
            let info = Info {
                digest: request.into_inner().digest,
                size: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
            };
            Ok(Response::new(InfoResponse { info: Some(info) }))
        })
    }
}

struct ReadMethod(Content);

type Chunks = ReceiverStream<Result<ReadContentResponse, Status>>;

impl ServerStreamingService<ReadContentRequest> for ReadMethod {
    type Response = ReadContentResponse;
    type ResponseStream = Chunks;
    type Future = BoxFuture<Result<Response<Chunks>, Status>>;

    fn call(&mut self, request: Request<ReadContentRequest>) -> Self::Future {
        let path = self.0.blob(request.metadata(), &request.get_ref().digest);
        let range = request.into_inner();
        Box::pin(async move {
            let path = path?;
            let (sender, receiver) = tokio::sync::mpsc::channel(4);
            tokio::task::spawn_blocking(move || {
                let send = |message| sender.blocking_send(message).is_ok();
                if let Err(error) = read(&path, &range, &mut |chunk| send(Ok(chunk))) {
                    send(Err(Status::internal(format!(
                        "{}: {error}",
                        path.display()
                    ))));
                }
            });
            Ok(Response::new(ReceiverStream::new(receiver)))
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the daemon reads blobs of base images from here"
)]
fn read(
    path: &Path,
    range: &ReadContentRequest,
    send: &mut dyn FnMut(ReadContentResponse) -> bool,
) -> std::io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    let mut offset = u64::try_from(range.offset).map_err(std::io::Error::other)?;
    file.seek(SeekFrom::Start(offset))?;
    let size = u64::try_from(range.size).ok().filter(|&size| size > 0);
    let mut rest = file.take(size.unwrap_or(u64::MAX));
    loop {
        let mut data = Vec::new();
        rest.by_ref().take(CHUNK as u64).read_to_end(&mut data)?;
        let read = data.len() as u64;
        let response = ReadContentResponse {
            offset: i64::try_from(offset).unwrap_or(i64::MAX),
            data,
        };
        if read == 0 || !send(response) {
            return Ok(());
        }
        offset += read;
    }
}

impl NamedService for Content {
    const NAME: &'static str = "containerd.services.content.v1.Content";
}

impl tower::Service<http::Request<Body>> for Content {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let content = self.clone();
        match request.uri().path() {
            "/containerd.services.content.v1.Content/Info" => Box::pin(async move {
                let mut grpc = Grpc::new(ProstCodec::default());
                Ok(grpc.unary(InfoMethod(content), request).await)
            }),
            "/containerd.services.content.v1.Content/Read" => Box::pin(async move {
                let mut grpc = Grpc::new(ProstCodec::default());
                Ok(grpc.server_streaming(ReadMethod(content), request).await)
            }),
            other => {
                let status = Status::unimplemented(format!("{other} is not offered"));
                Box::pin(ready(Ok(status.into_http())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digests_become_paths() {
        let dir = Path::new("/layout");
        let digest = format!("sha256:{}", "ab".repeat(32));
        let path = blob_path(dir, &digest).unwrap();
        assert_eq!(path, dir.join("blobs/sha256").join("ab".repeat(32)));
        for hostile in [
            "",
            "sha256:../../etc/passwd",
            "../x:00",
            "sha256:",
            "a/b:00",
        ] {
            assert!(blob_path(dir, hostile).is_err(), "{hostile}");
        }
    }

    #[test]
    fn a_range_is_sent_in_chunks_with_offsets() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("blob");
        std::io::Write::write_all(
            &mut std::fs::OpenOptions::new()
                .create_new(true)
                .write(true)
                .open(&path)
                .unwrap(),
            &vec![7; CHUNK + 10],
        )
        .unwrap();
        let sizes = |offset, size| {
            let mut sizes = Vec::new();
            let range = ReadContentRequest {
                offset,
                size,
                ..ReadContentRequest::default()
            };
            read(&path, &range, &mut |chunk| {
                sizes.push((chunk.offset, chunk.data.len()));
                true
            })
            .unwrap();
            sizes
        };
        let chunk = i64::try_from(CHUNK).unwrap();
        assert_eq!(sizes(0, 0), [(0, CHUNK), (chunk, 10)]);
        assert_eq!(sizes(5, 3), [(5, 3)]);
        assert_eq!(sizes(chunk + 20, 0), []);
    }
}
