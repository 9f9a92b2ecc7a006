//! `--mount=type=ssh`: passes the build's requests on to an ssh agent.
//!
//! Only what a build needs gets through: listing keys and signing. Adding, removing and locking keys
//! is refused, as `docker build` does. Keys in files are behind an agent by now (`engine::serve_keys`).

use std::{
    io,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use bollard_buildkit_proto::moby::sshforward::v1::{
    BytesMessage, CheckAgentRequest, CheckAgentResponse, ssh_server,
};
use indexmap::IndexMap;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::mpsc,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::handles::Troubles;

/// The id of `--mount=type=ssh` without one.
const DEFAULT_ID: &str = "default";
/// The longest message of the agent protocol that OpenSSH takes, in bytes.
pub(in crate::engine) const MAX_MESSAGE: usize = 256 * 1024;
/// An agent on this machine answers at once.
const DIAL_LIMIT: Duration = Duration::from_secs(2);

/// `SSH_AGENTC_REQUEST_IDENTITIES` and `SSH_AGENTC_SIGN_REQUEST` (RFC 9987, section 6.1).
pub(in crate::engine) const ALLOWED: [u8; 2] = [11, 13];
/// `SSH_AGENT_FAILURE`, with its length.
pub(in crate::engine) const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];

/// The agents by id.
#[derive(Debug)]
pub(super) struct Ssh {
    pub(super) agents: IndexMap<String, PathBuf>,
    pub(super) troubles: Troubles,
}

impl Ssh {
    fn agent(&self, id: &str) -> Result<&Path, Status> {
        let id = if id.is_empty() { DEFAULT_ID } else { id };
        let path = self
            .agents
            .get(id)
            .ok_or_else(|| Status::not_found(format!("unset ssh forward key {id}")))?;
        check(path).map_err(|reason| {
            let message = format!("ssh `{id}`: {}: {reason}", path.display());
            self.troubles.add(&message);
            Status::failed_precondition(message)
        })?;
        Ok(path)
    }
}

fn check(path: &Path) -> Result<(), String> {
    let metadata = path.metadata().map_err(|fault| fault.to_string())?;
    if metadata.file_type().is_socket() {
        return Ok(());
    }
    Err(
        "not the socket of an ssh agent; a key file cannot be given to the build, \
         load it into an agent with `ssh-add` and name the agent's socket"
            .to_owned(),
    )
}

#[tonic::async_trait]
impl ssh_server::Ssh for Ssh {
    async fn check_agent(
        &self,
        request: Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        self.agent(&request.get_ref().id)?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    type ForwardAgentStream = ReceiverStream<Result<BytesMessage, Status>>;

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request.metadata().get("buildkit.ssh.id");
        let id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
        let path = self.agent(id)?;
        let agent = dial(path).await.map_err(|fault| {
            let message = format!("ssh agent {}: {fault}", path.display());
            self.troubles.add(&message);
            Status::unavailable(message)
        })?;
        let (answers, stream) = mpsc::channel(4);
        let requests = request.into_inner();
        tokio::spawn(async move {
            if let Err(status) = forward(requests, agent, &answers).await {
                let _ = answers.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

async fn dial(path: &Path) -> io::Result<UnixStream> {
    timeout(DIAL_LIMIT, UnixStream::connect(path))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// One message after the other, as the agent protocol has it.
async fn forward(
    mut requests: Streaming<BytesMessage>,
    mut agent: UnixStream,
    answers: &mpsc::Sender<Result<BytesMessage, Status>>,
) -> Result<(), Status> {
    let mut pending = Vec::new();
    while let Some(message) = requests.message().await? {
        pending.extend_from_slice(&message.data);
        while let Some(request) = take_message(&mut pending)? {
            let allowed = request.get(4).is_some_and(|kind| ALLOWED.contains(kind));
            let data = if allowed {
                exchange(&mut agent, &request)
                    .await
                    .map_err(|fault| Status::unavailable(format!("ssh agent: {fault}")))?
            } else {
                FAILURE.to_vec()
            };
            if answers.send(Ok(BytesMessage { data })).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The first whole message, its length included.
fn take_message(pending: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Status> {
    let Some(length) = pending.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_MESSAGE {
        return Err(Status::invalid_argument(
            "message to the ssh agent is too long",
        ));
    }
    if pending.len() < 4 + length {
        return Ok(None);
    }
    let rest = pending.split_off(4 + length);
    Ok(Some(std::mem::replace(pending, rest)))
}

async fn exchange(agent: &mut UnixStream, request: &[u8]) -> io::Result<Vec<u8>> {
    agent.write_all(request).await?;
    let length = agent.read_u32().await?;
    if length as usize > MAX_MESSAGE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "its answer is too long",
        ));
    }
    let mut answer = vec![0; 4 + length as usize];
    let (head, body) = answer.split_at_mut(4);
    head.copy_from_slice(&length.to_be_bytes());
    agent.read_exact(body).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::{MAX_MESSAGE, take_message};

    #[test]
    fn messages_are_taken_whole_however_they_arrive() {
        let mut pending = vec![0, 0, 0, 2, 11];
        assert_eq!(take_message(&mut pending).unwrap(), None);
        pending.extend([7, 0, 0, 0, 0, 1]);
        assert_eq!(
            take_message(&mut pending).unwrap(),
            Some(vec![0, 0, 0, 2, 11, 7])
        );
        assert_eq!(take_message(&mut pending).unwrap(), Some(vec![0, 0, 0, 0]));
        assert_eq!(take_message(&mut pending).unwrap(), None);
        assert_eq!(pending, [1]);
    }

    #[test]
    fn a_message_beyond_the_limit_is_refused_before_it_is_held() {
        let length = u32::try_from(MAX_MESSAGE + 1).unwrap();
        assert!(take_message(&mut length.to_be_bytes().to_vec()).is_err());
    }
}
