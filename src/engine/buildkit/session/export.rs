//! `FileSend`: takes the exporter's archive into a file.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bollard_buildkit_proto::moby::filesync::v1::{BytesMessage, file_send_server};
use indexmap::IndexMap;
use tokio::{
    fs,
    io::{AsyncWriteExt as _, BufWriter},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::handles::{ExportReceipt, Exported, Troubles};
use super::metadata::exporter_metadata;

/// Bytes gathered before they are written; messages can be as small as 4 KiB.
const BUFFER: usize = 1024 * 1024;

/// Where the archive goes.
#[derive(Debug)]
pub(super) struct FileSend {
    target: Arc<Target>,
}

#[derive(Debug)]
struct Target {
    path: PathBuf,
    /// an archive comes or came
    taken: AtomicBool,
    receipt: ExportReceipt,
    troubles: Troubles,
}

impl FileSend {
    pub(super) fn new(path: PathBuf, receipt: ExportReceipt, troubles: Troubles) -> Self {
        Self {
            target: Arc::new(Target {
                path,
                taken: AtomicBool::new(false),
                receipt,
                troubles,
            }),
        }
    }
}

#[tonic::async_trait]
impl file_send_server::FileSend for FileSend {
    type DiffCopyStream = ReceiverStream<Result<BytesMessage, Status>>;

    /// The answer's headers go out at once, its end says that the archive is on disk.
    async fn diff_copy(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        if self.target.taken.swap(true, Ordering::SeqCst) {
            return Err(Status::already_exists("an archive was already received"));
        }
        let metadata = exporter_metadata(request.metadata());
        let (answer, answers) = mpsc::channel(1);
        let target = Arc::clone(&self.target);
        tokio::spawn(async move {
            if let Err(status) = target.receive(request.into_inner(), metadata).await {
                let _ = answer.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

impl Target {
    async fn receive(
        &self,
        archive: Streaming<BytesMessage>,
        metadata: IndexMap<String, String>,
    ) -> Result<(), Status> {
        let partial = self.partial();
        match store(archive, &partial, &self.path).await {
            Ok(bytes) => {
                self.receipt.set(Exported {
                    path: self.path.clone(),
                    bytes,
                    metadata,
                });
                Ok(())
            }
            Err(status) => {
                let _ = fs::remove_file(&partial).await;
                self.troubles.add(format!(
                    "receiving the image into {}: {}",
                    self.path.display(),
                    status.message()
                ));
                self.taken.store(false, Ordering::SeqCst);
                Err(status)
            }
        }
    }

    fn partial(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".partial");
        name.into()
    }
}

/// Writes the archive aside and moves it into place once it is whole; its size in bytes.
async fn store(
    mut archive: Streaming<BytesMessage>,
    partial: &Path,
    path: &Path,
) -> Result<u64, Status> {
    let on_disk = |fault: io::Error| Status::internal(fault.to_string());
    let file = fs::File::create(partial).await.map_err(on_disk)?;
    let mut file = BufWriter::with_capacity(BUFFER, file);
    let mut bytes = 0;
    while let Some(message) = archive.message().await? {
        file.write_all(&message.data).await.map_err(on_disk)?;
        bytes += message.data.len() as u64;
    }
    file.flush().await.map_err(on_disk)?;
    fs::rename(partial, path).await.map_err(on_disk)?;
    Ok(bytes)
}
