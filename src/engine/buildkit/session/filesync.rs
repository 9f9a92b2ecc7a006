//! `FileSync`: sends a context by `fsutil`'s protocol.
//!
//! Three parties that never wait in a circle: the walk announces every entry, the reader takes the
//! daemon's requests into an unbounded queue, the senders answer them. Only the walk and the senders
//! wait for the daemon to read.

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bollard_buildkit_proto::{
    fsutil::types::{Packet, Stat, packet::PacketType},
    moby::filesync::packet::file_sync_server,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    context::{Content, ContextError, Filter, Source, walk},
    handles::Troubles,
    metadata::SyncRequest,
};

/// Bytes of a file in one packet.
const CHUNK: usize = 32 * 1024;
/// Packets that wait for the connection.
const BACKLOG: usize = 64;
/// Files that are read at the same time.
const SENDERS: usize = 4;

type Outgoing = mpsc::Sender<Result<Packet, Status>>;

/// The directories that may be read.
#[derive(Debug)]
pub(super) struct FileSync {
    pub(super) dirs: Vec<(String, PathBuf)>,
    pub(super) troubles: Troubles,
}

#[tonic::async_trait]
impl file_sync_server::FileSync for FileSync {
    type DiffCopyStream = ReceiverStream<Result<Packet, Status>>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let wanted = SyncRequest::read(request.metadata())?;
        let Some((_, root)) = self.dirs.iter().find(|(name, _)| *name == wanted.dir) else {
            let dir = &wanted.dir;
            return Err(Status::not_found(format!(
                "no access allowed to dir {dir:?}"
            )));
        };
        let (out, packets) = mpsc::channel(BACKLOG);
        let transfer = Arc::new(Transfer {
            root: root.clone(),
            open: Mutex::default(),
            out,
            troubles: self.troubles.clone(),
        });
        start(transfer, wanted, request.into_inner());
        Ok(Response::new(ReceiverStream::new(packets)))
    }

    type TarStreamStream = ReceiverStream<Result<Packet, Status>>;

    async fn tar_stream(
        &self,
        _: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("contexts are sent by DiffCopy"))
    }
}

/// One running transfer; ends when the last of its parties drops it.
struct Transfer {
    root: PathBuf,
    /// what was announced and not yet requested
    open: Mutex<HashMap<u32, Source>>,
    out: Outgoing,
    troubles: Troubles,
}

fn start(transfer: Arc<Transfer>, wanted: SyncRequest, requests: Streaming<Packet>) {
    let (queue, queued) = mpsc::unbounded_channel();
    let queued = Arc::new(Mutex::new(queued));
    for _ in 0..SENDERS {
        let (transfer, queued) = (Arc::clone(&transfer), Arc::clone(&queued));
        tokio::task::spawn_blocking(move || transfer.answer(&queued));
    }
    let walker = Arc::clone(&transfer);
    tokio::task::spawn_blocking(move || {
        if let Err(fault) = walker.announce(wanted) {
            walker.fail(&fault);
        }
    });
    tokio::spawn(async move { transfer.listen(requests, queue).await });
}

impl Transfer {
    fn announce(&self, wanted: SyncRequest) -> Result<(), ContextError> {
        let root = fs::canonicalize(&self.root).map_err(|fault| ContextError::Root {
            path: self.root.clone(),
            fault,
        })?;
        let filter = Filter::new(
            &root,
            wanted.include,
            &wanted.exclude,
            wanted.follow.as_deref(),
        )?;
        let mut id = 0_u32;
        walk(&root, &filter, |stat, source| {
            if let Some(source) = source {
                self.open().insert(id, source);
            }
            id = id.wrapping_add(1);
            self.send(stat_packet(Some(stat)))
        })?;
        self.send(stat_packet(None))
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Source>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, packet: Packet) -> Result<(), ContextError> {
        self.out
            .blocking_send(Ok(packet))
            .map_err(|_| ContextError::Cancelled)
    }

    /// Tells the daemon, by the protocol and by the call's status, and whoever reads the troubles.
    fn fail(&self, fault: &ContextError) {
        if matches!(fault, ContextError::Cancelled) {
            return;
        }
        let message = fault.to_string();
        self.troubles.add(&message);
        let packet = Packet {
            r#type: PacketType::PacketErr.into(),
            data: message.clone().into_bytes(),
            ..Packet::default()
        };
        if self.send(packet).is_ok() {
            let _ = self
                .out
                .blocking_send(Err(Status::failed_precondition(message)));
        }
    }

    /// Sends the queued files until the queue is closed.
    fn answer(&self, queued: &Mutex<mpsc::UnboundedReceiver<(u32, Source)>>) {
        loop {
            let next = queued
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .blocking_recv();
            let Some((id, source)) = next else { return };
            if let Err(fault) = self.send_file(id, source) {
                self.fail(&fault);
                return;
            }
        }
    }

    fn send_file(&self, id: u32, source: Source) -> Result<(), ContextError> {
        let mut content = Content::open(&self.root, source)?;
        loop {
            let mut data = vec![0; CHUNK];
            let count = content.read(&mut data)?;
            data.truncate(count);
            self.send(Packet {
                r#type: PacketType::PacketData.into(),
                id,
                data,
                ..Packet::default()
            })?;
            if count == 0 {
                return Ok(());
            }
        }
    }

    async fn listen(
        &self,
        mut requests: Streaming<Packet>,
        queue: mpsc::UnboundedSender<(u32, Source)>,
    ) {
        while let Ok(Some(packet)) = requests.message().await {
            match packet.r#type() {
                PacketType::PacketReq => {
                    let source = self.open().remove(&packet.id);
                    let Some(source) = source else {
                        let message = format!("invalid file id {}", packet.id);
                        let _ = self.out.send(Err(Status::invalid_argument(message))).await;
                        return;
                    };
                    if queue.send((packet.id, source)).is_err() {
                        return;
                    }
                }
                PacketType::PacketFin => {
                    let _ = self.out.send(Ok(fin_packet())).await;
                    return;
                }
                PacketType::PacketErr => {
                    let message = String::from_utf8_lossy(&packet.data);
                    self.troubles
                        .add(format!("the engine stopped taking the context: {message}"));
                    let _ = self.out.send(Err(Status::aborted(message))).await;
                    return;
                }
                PacketType::PacketStat | PacketType::PacketData => {}
            }
        }
    }
}

fn stat_packet(stat: Option<Stat>) -> Packet {
    Packet {
        r#type: PacketType::PacketStat.into(),
        stat,
        ..Packet::default()
    }
}

fn fin_packet() -> Packet {
    Packet {
        r#type: PacketType::PacketFin.into(),
        ..Packet::default()
    }
}
