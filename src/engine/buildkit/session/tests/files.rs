use std::{collections::BTreeMap, fs, os::unix::ffi::OsStringExt as _, path::Path};

use bollard_buildkit_proto::{
    fsutil::types::{Packet, Stat, packet::PacketType},
    moby::filesync::packet::file_sync_client::FileSyncClient,
};
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Request, Status, Streaming};

use super::{Handles, LIMIT, context, serve, wait_until};

/// The daemon's side of a transfer.
struct Receiver {
    requests: mpsc::UnboundedSender<Packet>,
    packets: Streaming<Packet>,
    handles: Handles,
    /// holders of the troubles before the transfer
    idle: usize,
}

type Metadata<'m> = &'m [(&'static str, &'m str)];

async fn open(dir: &TempDir, metadata: Metadata<'_>) -> Result<Receiver, Status> {
    let (channel, handles) = serve(context(dir)).await;
    let idle = handles.troubles.holders();
    let (requests, stream) = mpsc::unbounded_channel();
    let mut request = Request::new(UnboundedReceiverStream::new(stream));
    for (key, value) in metadata {
        request.metadata_mut().append(*key, value.parse().unwrap());
    }
    let packets = FileSyncClient::new(channel).diff_copy(request).await?;
    Ok(Receiver {
        requests,
        packets: packets.into_inner(),
        handles,
        idle,
    })
}

impl Receiver {
    fn say(&self, kind: PacketType, id: u32) {
        let packet = Packet {
            r#type: kind.into(),
            id,
            data: b"no space left".to_vec(),
            ..Packet::default()
        };
        self.requests.send(packet).unwrap();
    }

    async fn next(&mut self) -> Result<Option<Packet>, Status> {
        timeout(LIMIT, self.packets.message())
            .await
            .expect("the session stands still")
    }

    async fn stats(&mut self) -> Result<Vec<Stat>, Status> {
        let mut stats = Vec::new();
        while let Some(packet) = self.next().await? {
            assert_eq!(packet.r#type(), PacketType::PacketStat, "{packet:?}");
            match packet.stat {
                Some(stat) => stats.push(stat),
                None => return Ok(stats),
            }
        }
        panic!("ended before the last entry");
    }

    /// Contents by id, of as many files as were asked for.
    async fn contents(&mut self, mut files: usize) -> Result<BTreeMap<u32, Vec<u8>>, Status> {
        let mut contents: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        while files > 0 {
            let packet = self.next().await?.expect("ended before the last file");
            assert_eq!(packet.r#type(), PacketType::PacketData);
            assert!(packet.data.len() <= 32 * 1024);
            files -= usize::from(packet.data.is_empty());
            contents.entry(packet.id).or_default().extend(packet.data);
        }
        Ok(contents)
    }

    async fn finish(mut self) {
        self.say(PacketType::PacketFin, 0);
        let packet = self.next().await.unwrap().unwrap();
        assert_eq!(packet.r#type(), PacketType::PacketFin);
        assert_eq!(self.next().await.unwrap(), None);
        assert_eq!(self.handles.troubles.all(), Vec::<String>::new());
    }

    /// Reads to the end; what the protocol and the call say went wrong.
    async fn failure(&mut self) -> (String, Status) {
        let mut said = String::new();
        loop {
            match self.next().await {
                Ok(Some(packet)) if packet.r#type() == PacketType::PacketErr => {
                    said = String::from_utf8(packet.data).unwrap();
                }
                Ok(Some(_)) => {}
                Ok(None) => panic!("ended without a failure"),
                Err(status) => return (said, status),
            }
        }
    }
}

/// Bytes that differ from file to file and from place to place.
fn pattern(seed: usize, length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at * 31 + at / 251 + seed * 7).to_le_bytes()[0])
        .collect()
}

fn write(dir: &TempDir, name: &str, content: &[u8]) {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

#[tokio::test]
async fn a_context_arrives_whole() {
    let dir = TempDir::new().unwrap();
    let lengths = [0, 1, 32 * 1024, 32 * 1024 + 1, 300_000];
    for (index, length) in lengths.into_iter().enumerate() {
        write(&dir, &format!("d{index}/file"), &pattern(index, length));
    }
    write(&dir, "skipped/file", b"x");
    let metadata = [("dir-name", "context"), ("exclude-patterns", "skipped")];
    let mut receiver = open(&dir, &metadata).await.unwrap();
    let stats = receiver.stats().await.unwrap();
    let paths: Vec<_> = stats.iter().map(|stat| stat.path.as_str()).collect();
    let expected = [
        "d0", "d0/file", "d1", "d1/file", "d2", "d2/file", "d3", "d3/file", "d4", "d4/file",
    ];
    assert_eq!(paths, expected);
    for id in [9, 1, 5, 3, 7] {
        receiver.say(PacketType::PacketReq, id);
    }
    let contents = receiver.contents(5).await.unwrap();
    for (index, length) in lengths.into_iter().enumerate() {
        let id = u32::try_from(2 * index + 1).unwrap();
        assert_eq!(contents[&id], pattern(index, length), "{length}");
    }
    receiver.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_taken_while_nothing_is_read() {
    let dir = TempDir::new().unwrap();
    let files = 2000;
    for index in 0..files {
        write(&dir, &format!("f{index:05}"), &pattern(index, 40_000));
    }
    let mut receiver = open(&dir, &[("dir-name", "context")]).await.unwrap();
    assert_eq!(receiver.stats().await.unwrap().len(), files);
    for id in 0..files {
        receiver.say(PacketType::PacketReq, u32::try_from(id).unwrap());
    }
    // The pipe holds 64 KiB: had the reader to wait for the senders, the requests would pile up.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let contents = receiver.contents(files).await.unwrap();
    assert!((0..files).all(|id| contents[&u32::try_from(id).unwrap()] == pattern(id, 40_000)));
    receiver.finish().await;
}

#[tokio::test]
async fn patterns_may_be_url_encoded() {
    let dir = TempDir::new().unwrap();
    for name in ["é+ü", "a b", "plain"] {
        write(&dir, name, b"");
    }
    let metadata = [
        ("dir-name", "context"),
        ("exclude-patterns", "%C3%A9%2B%C3%BC"),
        ("exclude-patterns", "a+b"),
        ("exclude-patterns-encoded", "1"),
    ];
    let mut receiver = open(&dir, &metadata).await.unwrap();
    let stats = receiver.stats().await.unwrap();
    assert_eq!(
        stats.iter().map(|stat| &stat.path).collect::<Vec<_>>(),
        ["plain"]
    );
    receiver.finish().await;
}

#[tokio::test]
async fn followed_paths_bring_their_links() {
    let dir = TempDir::new().unwrap();
    write(&dir, "real/file", b"");
    write(&dir, "other", b"");
    std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
    let metadata = [("dir-name", "context"), ("followpaths", "link/file")];
    let mut receiver = open(&dir, &metadata).await.unwrap();
    let stats = receiver.stats().await.unwrap();
    let paths: Vec<_> = stats.iter().map(|stat| &stat.path).collect();
    assert_eq!(paths, ["link", "real", "real/file"]);
    receiver.finish().await;
}

#[tokio::test]
async fn a_directory_that_was_not_offered_is_refused() {
    let dir = TempDir::new().unwrap();
    let status = open(&dir, &[("dir-name", "/etc")]).await.err().unwrap();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), r#"no access allowed to dir "/etc""#);
}

#[tokio::test]
async fn a_file_that_vanishes_ends_the_transfer_with_its_name() {
    let dir = TempDir::new().unwrap();
    write(&dir, "a", b"content");
    let mut receiver = open(&dir, &[("dir-name", "context")]).await.unwrap();
    receiver.stats().await.unwrap();
    fs::remove_file(dir.path().join("a")).unwrap();
    receiver.say(PacketType::PacketReq, 0);
    let (said, status) = receiver.failure().await;
    assert!(
        said.starts_with("a vanished while the context was read"),
        "{said}"
    );
    assert_eq!(status.message(), said);
    assert_eq!(receiver.handles.troubles.all(), [said]);
}

#[tokio::test]
async fn a_context_that_cannot_be_said_ends_with_the_reason() {
    let dir = TempDir::new().unwrap();
    let name = std::ffi::OsString::from_vec(b"\xFF".to_vec());
    fs::write(dir.path().join(Path::new(&name)), "").unwrap();
    let mut receiver = open(&dir, &[("dir-name", "context")]).await.unwrap();
    let (said, _) = receiver.failure().await;
    assert!(
        said.starts_with(r#"file name "\xFF" is not UTF-8"#),
        "{said}"
    );

    let metadata = [("dir-name", "context"), ("exclude-patterns", "[")];
    let mut receiver = open(&dir, &metadata).await.unwrap();
    let (said, _) = receiver.failure().await;
    assert!(
        said.starts_with(".dockerignore: pattern `[` is malformed"),
        "{said}"
    );
}

#[tokio::test]
async fn an_id_that_was_not_announced_or_twice_asked_for_is_refused() {
    let dir = TempDir::new().unwrap();
    write(&dir, "d/a", b"content");
    // The directory, the file a second time, nothing at all.
    for ids in [&[0][..], &[1, 1], &[7]] {
        let mut receiver = open(&dir, &[("dir-name", "context")]).await.unwrap();
        receiver.stats().await.unwrap();
        for id in ids {
            receiver.say(PacketType::PacketReq, *id);
        }
        let (_, status) = receiver.failure().await;
        assert_eq!(status.code(), Code::InvalidArgument, "{ids:?}");
    }
}

#[tokio::test]
async fn the_daemons_own_failure_is_kept() {
    let dir = TempDir::new().unwrap();
    write(&dir, "a", b"content");
    let mut receiver = open(&dir, &[("dir-name", "context")]).await.unwrap();
    receiver.stats().await.unwrap();
    receiver.say(PacketType::PacketErr, 0);
    let (_, status) = receiver.failure().await;
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(
        receiver.handles.troubles.all(),
        ["the engine stopped taking the context: no space left"]
    );
}

#[tokio::test]
async fn a_daemon_that_goes_away_leaves_nothing_running() {
    let dir = TempDir::new().unwrap();
    for index in 0..500 {
        write(&dir, &format!("f{index}"), &pattern(index, 40_000));
    }
    let mut receiver = open(&dir, &[("dir-name", "context")]).await.unwrap();
    let stats = receiver.stats().await.unwrap();
    for id in 0..stats.len() {
        receiver.say(PacketType::PacketReq, u32::try_from(id).unwrap());
    }
    let handles = receiver.handles.clone();
    let idle = receiver.idle;
    assert_eq!(
        handles.troubles.holders(),
        idle + 2,
        "this clone and the transfer"
    );
    drop(receiver);
    // The transfer holds the troubles while any of its parties lives.
    wait_until(|| handles.troubles.holders() == idle).await;
    assert_eq!(handles.troubles.all(), Vec::<String>::new());
}
