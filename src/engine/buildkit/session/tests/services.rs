use std::{fs, io::Read as _, io::Write as _, os::unix::net::UnixListener, sync::Arc};

use bollard_buildkit_proto::{
    health::{HealthCheckRequest, health_client::HealthClient},
    moby::{
        buildkit::secrets::v1::{GetSecretRequest, secrets_client::SecretsClient},
        filesync::v1::{
            CredentialsRequest, FetchTokenRequest, GetTokenAuthorityRequest,
            auth_client::AuthClient,
        },
        sshforward::v1::{BytesMessage, CheckAgentRequest, ssh_client::SshClient},
    },
};
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Request};

use super::{LIMIT, SessionPlan, plan, serve};
use crate::{
    registry::auth::{AuthStore, Login},
    secret::Secret,
};

fn basic(username: &str) -> Login {
    Login::Basic {
        username: username.to_owned(),
        password: Secret::new("pw"),
    }
}

#[tokio::test]
async fn credentials_come_from_the_store_and_tokens_are_left_to_the_daemon() {
    let store = AuthStore::new()
        .with_login("docker.io", basic("hub"))
        .with_login("token.io", Login::IdentityToken(Secret::new("tok")))
        .with_login("one.io/team", basic("team"))
        .with_login("two.io/a", basic("a"))
        .with_login("two.io/b", basic("b"));
    let plan = SessionPlan {
        auth: Arc::new(store),
        ..plan()
    };
    let (channel, handles) = serve(plan).await;
    let mut client = AuthClient::new(channel);
    for (host, username, secret) in [
        ("registry-1.docker.io", "hub", "pw"),
        ("token.io", "", "tok"),
        ("one.io", "team", "pw"),
        ("two.io", "", ""),
        ("other.io", "", ""),
    ] {
        let host = host.to_owned();
        let answer = client
            .credentials(CredentialsRequest { host })
            .await
            .unwrap();
        let answer = answer.into_inner();
        assert_eq!(
            (answer.username.as_str(), answer.secret.as_str()),
            (username, secret)
        );
    }
    let troubles = handles.troubles.all();
    assert_eq!(troubles.len(), 1);
    assert!(
        troubles[0].starts_with("there are logins for a, b of two.io"),
        "{troubles:?}"
    );

    let status = client
        .get_token_authority(GetTokenAuthorityRequest::default())
        .await;
    assert_eq!(status.unwrap_err().code(), Code::Unimplemented);
    let status = client.fetch_token(FetchTokenRequest::default()).await;
    assert_eq!(status.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_login_that_cannot_be_read_fails_with_its_file() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("config.json");
    fs::write(&file, r#"{"auths": {"q.io": {"auth": "%"}}}"#).unwrap();
    let plan = SessionPlan {
        auth: Arc::new(AuthStore::new().with_file(&file).unwrap()),
        ..plan()
    };
    let (channel, handles) = serve(plan).await;
    let host = "q.io".to_owned();
    let status = AuthClient::new(channel)
        .credentials(CredentialsRequest { host })
        .await
        .unwrap_err();
    assert!(
        status.message().contains(&file.display().to_string()),
        "{status}"
    );
    assert_eq!(handles.troubles.all(), [status.message()]);
}

#[tokio::test]
async fn secrets_are_found_by_id() {
    let mut plan = plan();
    plan.secrets
        .insert("a".to_owned(), Secret::new(b"\x00\xFF".to_vec()));
    plan.secrets
        .insert("big".to_owned(), Secret::new(vec![0; 512_001]));
    plan.secrets
        .insert("max".to_owned(), Secret::new(vec![0; 512_000]));
    let (channel, _) = serve(plan).await;
    let mut client = SecretsClient::new(channel);
    let mut get = async |id: &str| {
        let request = GetSecretRequest {
            id: id.to_owned(),
            ..GetSecretRequest::default()
        };
        let answer = client.get_secret(request).await;
        answer
            .map(|answer| answer.into_inner().data)
            .map_err(|status| status.code())
    };
    assert_eq!(get("a").await, Ok(b"\x00\xFF".to_vec()));
    assert_eq!(get("max").await.map(|data| data.len()), Ok(512_000));
    assert_eq!(get("b").await, Err(Code::NotFound));
    assert_eq!(get("big").await, Err(Code::InvalidArgument));
}

#[tokio::test]
async fn the_session_is_alive() {
    let (channel, _) = serve(plan()).await;
    let mut client = HealthClient::new(channel);
    let answer = client.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().status, 1);
    let mut watch = client
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
}

/// An agent that answers each message with its kind, and tells all it was asked.
fn fake_agent(listener: UnixListener) -> std::sync::mpsc::Receiver<Vec<u8>> {
    let (tell, hears) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut length = [0; 4];
        while stream.read_exact(&mut length).is_ok() {
            let mut message = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut message).unwrap();
            stream.write_all(&[0, 0, 0, 2, 99, message[0]]).unwrap();
            tell.send(message).unwrap();
        }
    });
    hears
}

#[tokio::test]
async fn an_agent_is_asked_to_list_and_sign_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("agent");
    let hears = fake_agent(UnixListener::bind(&socket).unwrap());
    let mut plan = plan();
    plan.ssh.insert("default".to_owned(), socket);
    let (channel, _) = serve(plan).await;
    let mut client = SshClient::new(channel);
    client
        .check_agent(CheckAgentRequest::default())
        .await
        .unwrap();

    let (requests, stream) = mpsc::unbounded_channel();
    let mut request = Request::new(UnboundedReceiverStream::new(stream));
    request
        .metadata_mut()
        .insert("buildkit.ssh.id", "default".parse().unwrap());
    let mut answers = client.forward_agent(request).await.unwrap().into_inner();
    // List; add (17), torn in two messages; sign; an empty one; remove all (19); an extension (27).
    for data in [
        &[0, 0, 0, 1, 11][..],
        &[0, 0, 0, 3],
        &[17, 1, 2, 0, 0, 0, 2, 13, 7],
        &[0, 0, 0, 0, 0, 0, 0, 1, 19],
        &[0, 0, 0, 1, 27],
    ] {
        let data = data.to_vec();
        requests.send(BytesMessage { data }).unwrap();
    }
    drop(requests);
    let mut said = Vec::new();
    while let Some(answer) = timeout(LIMIT, answers.message()).await.unwrap().unwrap() {
        said.push(answer.data);
    }
    let refused = vec![0, 0, 0, 1, 5];
    let expected = [
        vec![0, 0, 0, 2, 99, 11],
        refused.clone(),
        vec![0, 0, 0, 2, 99, 13],
        refused.clone(),
        refused.clone(),
        refused,
    ];
    assert_eq!(said, expected);
    assert_eq!(hears.iter().collect::<Vec<_>>(), [vec![11], vec![13, 7]]);
}

#[tokio::test]
async fn what_is_no_agent_is_refused_with_the_way_out() {
    let dir = TempDir::new().unwrap();
    let key = dir.path().join("id_ed25519");
    fs::write(&key, "-----BEGIN OPENSSH PRIVATE KEY-----").unwrap();
    let dead = dir.path().join("dead");
    drop(UnixListener::bind(&dead).unwrap());
    let mut plan = plan();
    plan.ssh.insert("default".to_owned(), key);
    plan.ssh.insert("dead".to_owned(), dead);
    plan.ssh.insert("gone".to_owned(), dir.path().join("gone"));
    let (channel, handles) = serve(plan).await;
    let mut client = SshClient::new(channel);
    for (id, code, said) in [
        (
            "",
            Code::FailedPrecondition,
            "load it into an agent with `ssh-add`",
        ),
        ("gone", Code::FailedPrecondition, "No such file"),
        ("other", Code::NotFound, "unset ssh forward key other"),
    ] {
        let id = id.to_owned();
        let status = client
            .check_agent(CheckAgentRequest { id })
            .await
            .unwrap_err();
        assert_eq!(status.code(), code);
        assert!(status.message().contains(said), "{status}");
    }
    let (_requests, stream) = mpsc::unbounded_channel();
    let mut request = Request::new(UnboundedReceiverStream::new(stream));
    request
        .metadata_mut()
        .insert("buildkit.ssh.id", "dead".parse().unwrap());
    let status = client.forward_agent(request).await.err().unwrap();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(handles.troubles.all().len(), 3);
}
