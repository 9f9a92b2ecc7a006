use std::fs;

use bollard_buildkit_proto::moby::filesync::v1::{BytesMessage, file_send_client::FileSendClient};
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Request, Status, Streaming, transport::Channel};

use super::{LIMIT, SessionPlan, plan, serve, serve_by_relay, wait_until};

type Sender = mpsc::UnboundedSender<BytesMessage>;

fn exporting(dir: &TempDir) -> SessionPlan {
    SessionPlan {
        export_to: Some(dir.path().join("image.tar")),
        ..plan()
    }
}

async fn send(channel: &Channel) -> Result<(Sender, Streaming<BytesMessage>), Status> {
    let (sender, stream) = mpsc::unbounded_channel();
    let mut request = Request::new(UnboundedReceiverStream::new(stream));
    let digest = "sha256:feed".parse().unwrap();
    request
        .metadata_mut()
        .insert("exporter-md-containerimage.digest", digest);
    let answers = FileSendClient::new(channel.clone())
        .diff_copy(request)
        .await?;
    Ok((sender, answers.into_inner()))
}

async fn end(mut answers: Streaming<BytesMessage>) -> Result<Option<BytesMessage>, Status> {
    timeout(LIMIT, answers.message())
        .await
        .expect("no end of the export")
}

#[tokio::test]
async fn an_archive_is_on_disk_when_its_call_ends() {
    let dir = TempDir::new().unwrap();
    let (channel, handles) = serve(exporting(&dir)).await;
    let (sender, answers) = send(&channel).await.unwrap();
    assert_eq!(handles.exported.get(), None);
    // The largest message the daemon makes, and small ones.
    for data in [vec![1; 3 * 1024 * 1024], vec![2; 10], Vec::new(), vec![3]] {
        sender.send(BytesMessage { data }).unwrap();
    }
    drop(sender);
    assert_eq!(end(answers).await.unwrap(), None);
    let exported = handles.exported.get().unwrap();
    assert_eq!(exported.bytes, 3 * 1024 * 1024 + 11);
    assert_eq!(exported.metadata["containerimage.digest"], "sha256:feed");
    let archive = fs::read(exported.path).unwrap();
    assert_eq!(archive.len() as u64, exported.bytes);
    assert_eq!(
        archive[archive.len() - 12..],
        [1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3]
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    let status = send(&channel).await.err().unwrap();
    assert_eq!(status.code(), Code::AlreadyExists);
}

#[tokio::test]
async fn a_torn_archive_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let (channel, handles, relay) = serve_by_relay(exporting(&dir)).await;
    let (sender, _answers) = send(&channel).await.unwrap();
    let data = vec![1; 2_000_000];
    sender.send(BytesMessage { data }).unwrap();
    let partial = dir.path().join("image.tar.partial");
    wait_until(|| partial.exists()).await;
    relay.abort();
    wait_until(|| !handles.troubles.all().is_empty()).await;
    assert_eq!(handles.exported.get(), None);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_archive_that_cannot_be_written_names_the_file_and_may_be_sent_again() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("absent/image.tar");
    let plan = SessionPlan {
        export_to: Some(path.clone()),
        ..plan()
    };
    let (channel, handles) = serve(plan).await;
    let (_sender, answers) = send(&channel).await.unwrap();
    assert_eq!(end(answers).await.unwrap_err().code(), Code::Internal);
    let trouble = handles.troubles.all().join("");
    let expected = format!("receiving the image into {}: No such file", path.display());
    assert!(trouble.starts_with(&expected), "{trouble}");

    fs::create_dir(dir.path().join("absent")).unwrap();
    let (sender, answers) = send(&channel).await.unwrap();
    drop(sender);
    assert_eq!(end(answers).await.unwrap(), None);
    assert_eq!(handles.exported.get().unwrap().bytes, 0);
}

#[tokio::test]
async fn without_a_place_to_go_an_export_is_not_offered() {
    let (channel, _) = serve(plan()).await;
    let status = send(&channel).await.err().unwrap();
    assert_eq!(status.code(), Code::Unimplemented);
    let (_, methods, _) = super::router(plan());
    assert!(!methods.iter().any(|method| method.contains("FileSend")));
}
