//! The session against the Docker Engine of this machine, if there is one: the daemon's own
//! frontend reads `.dockerignore`, asks for the files, and sends back the image's root.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::Path,
    process::Command,
};

use bollard_buildkit_proto::moby::buildkit::v1::{
    BytesMessage, SolveRequest, control_client::ControlClient,
};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::mpsc,
    time::timeout,
};
use tokio_stream::{StreamExt as _, once, pending, wrappers::ReceiverStream};
use tonic::{
    Request, Status,
    transport::{Channel, Endpoint, Server},
};

use super::{Handles, LIMIT, SessionPlan, plan, router};

const SOCKET: &str = "/var/run/docker.sock";

/// A gRPC connection by the engine's `/grpc` upgrade; `None` where there is no such engine.
async fn dial() -> Option<Channel> {
    let stream = UnixStream::connect(SOCKET).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .ok()?;
    tokio::spawn(connection.with_upgrades());
    let request = hyper::Request::post("/grpc")
        .header("host", "docker")
        .header("connection", "Upgrade")
        .header("upgrade", "h2c")
        .body(http_body_util::Empty::<&[u8]>::new())
        .ok()?;
    let response = sender.send_request(request).await.ok()?;
    let mut upgraded = Some(hyper::upgrade::on(response).await.ok()?);
    Endpoint::from_static("http://docker")
        .connect_with_connector(tower::service_fn(move |_| {
            let io = upgraded.take().ok_or(std::io::ErrorKind::NotConnected);
            async move { io.map_err(std::io::Error::from) }
        }))
        .await
        .ok()
}

/// Serves the session on a stream of the control connection.
fn attach(mut control: ControlClient<Channel>, id: &str, plan: SessionPlan) -> Handles {
    let (routes, methods, handles) = router(plan);
    let (ours, theirs) = tokio::io::duplex(1024 * 1024);
    let incoming = once(Ok::<_, std::io::Error>(ours)).chain(pending());
    tokio::spawn(
        Server::builder()
            .add_routes(routes)
            .serve_with_incoming(incoming),
    );
    let (mut read, mut write) = tokio::io::split(theirs);
    let (send, stream) = mpsc::channel(16);
    tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            let data = buffer[..count].to_vec();
            if send.send(BytesMessage { data }).await.is_err() {
                return;
            }
        }
    });
    let mut request = Request::new(ReceiverStream::new(stream));
    let metadata = request.metadata_mut();
    metadata.insert("x-docker-expose-session-uuid", id.parse().unwrap());
    metadata.insert("x-docker-expose-session-name", "test".parse().unwrap());
    for method in methods {
        let method = method.parse().unwrap();
        metadata.append("x-docker-expose-session-grpc-method", method);
    }
    tokio::spawn(async move {
        let mut stream = control.session(request).await.unwrap().into_inner();
        while let Ok(Some(message)) = stream.message().await {
            if write.write_all(&message.data).await.is_err() {
                return;
            }
        }
    });
    handles
}

fn tree(root: &Path) {
    for name in [
        "a/b/c",
        "a/b/e",
        "a/x.txt",
        "src/main.go",
        "src/main_test.go",
        "src/sub/x_test.go",
        "node_modules/p/i.js",
        "src/node_modules/q/i.js",
        "tmp/keep/me",
        "tmp/drop/me",
        "é/ü.txt",
        "é/keep.md",
        "[x]",
        "a b",
        "README.md",
        "README-secret.md",
        "docs/a.md",
        "x*y",
        "Z",
        "z",
    ] {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name.repeat(9000)).unwrap();
    }
    fs::create_dir(root.join("empty")).unwrap();
    symlink("a/b", root.join("link")).unwrap();
    symlink("/etc/passwd", root.join("out")).unwrap();
    fs::hard_link(root.join("a/b/c"), root.join("second")).unwrap();
    fs::write(root.join("Dockerfile"), "FROM scratch\nCOPY . /\n").unwrap();
}

const IGNORE: &str = "\u{feff}# comment\n*.md\n!README*.md\n  README-secret.md  \n**/node_modules/\n\
    tmp/*\n!/tmp/keep\n/é/?.txt\n\\[x\\]\n**/*_test.go\nx\\*y\n./docs/../docs\n[a-y]/b/e\n";

/// Worked out by hand from the rules.
const ARRIVED: [&str; 22] = [
    ".dockerignore",
    "Dockerfile",
    "README.md",
    "Z",
    "a",
    "a b",
    "a/b",
    "a/b/c",
    "a/x.txt",
    "empty",
    "link",
    "out",
    "second",
    "src",
    "src/main.go",
    "src/sub",
    "tmp",
    "tmp/keep",
    "tmp/keep/me",
    "z",
    "é",
    "é/keep.md",
];

fn attributes(pairs: &[(&str, &str)]) -> std::collections::HashMap<String, String> {
    let own = |text: &str| text.to_owned();
    pairs
        .iter()
        .map(|(key, value)| (own(key), own(value)))
        .collect()
}

/// Builds `root`'s Dockerfile; `None` where there is no engine. `name` tells builds apart.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
async fn build(name: &str, root: &Path, archive: &Path) -> Option<(Result<(), Status>, Handles)> {
    let Some(channel) = dial().await else {
        eprintln!("skipped: no Docker Engine with /grpc on {SOCKET}");
        return None;
    };
    let id = format!("plimsoll-test-{name}-{}", std::process::id());
    let session = SessionPlan {
        local_dirs: ["context", "dockerfile"]
            .map(|name| (name.to_owned(), root.to_owned()))
            .to_vec(),
        export_to: Some(archive.to_owned()),
        ..plan()
    };
    let mut control = ControlClient::new(channel);
    let handles = attach(control.clone(), &id, session);
    let solve = SolveRequest {
        r#ref: id.clone(),
        session: id,
        frontend: "dockerfile.v0".to_owned(),
        frontend_attrs: attributes(&[("filename", "Dockerfile"), ("no-cache", "")]),
        // Old engines read only this field.
        exporter_deprecated: "tar".to_owned(),
        ..SolveRequest::default()
    };
    let solved = timeout(LIMIT, control.solve(solve)).await;
    Some((solved.expect("no answer").map(|_| ()), handles))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_daemon_is_told_why_a_context_cannot_be_sent() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("context");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("Dockerfile"), "FROM scratch\nCOPY . /\n").unwrap();
    fs::write(root.join(OsStr::from_bytes(b"\xFF")), "").unwrap();
    let archive = dir.path().join("root.tar");
    let Some((solved, handles)) = build("name", &root, &archive).await else {
        return;
    };
    let expected = r#"file name "\xFF" is not UTF-8"#;
    let troubles = handles.troubles.all().join("\n");
    assert!(troubles.starts_with(expected), "{troubles}");
    let said = solved.unwrap_err();
    assert!(said.message().contains(expected), "{said}");

    fs::write(root.join(".dockerignore"), "a\n[z-\n").unwrap();
    let Some((solved, handles)) = build("pattern", &root, &archive).await else {
        return;
    };
    assert!(solved.is_err(), "{solved:?}");
    let troubles = handles.troubles.all().join("\n");
    assert!(
        troubles.starts_with(".dockerignore: pattern `[z-` is malformed"),
        "{troubles}"
    );
    assert!(!archive.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_daemon_takes_the_context_and_sends_the_image() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("context");
    fs::create_dir(&root).unwrap();
    tree(&root);
    fs::write(root.join(".dockerignore"), IGNORE).unwrap();
    let archive = dir.path().join("root.tar");
    let Some((solved, handles)) = build("whole", &root, &archive).await else {
        return;
    };
    assert!(solved.is_ok(), "{solved:?} {:?}", handles.troubles.all());
    assert_eq!(handles.troubles.all(), Vec::<String>::new());
    assert_eq!(
        handles.exported.get().unwrap().bytes,
        fs::metadata(&archive).unwrap().len()
    );

    let unpacked = dir.path().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let tar = Command::new("tar")
        .arg("xf")
        .arg(&archive)
        .arg("-C")
        .arg(&unpacked)
        .status();
    assert!(tar.unwrap().success());
    let arrived: BTreeSet<_> = walkdir::WalkDir::new(&unpacked)
        .min_depth(1)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .map(|path| {
            path.strip_prefix(&unpacked)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(arrived, BTreeSet::from(ARRIVED.map(str::to_owned)));
    assert_eq!(
        fs::read_to_string(unpacked.join("second")).unwrap(),
        "a/b/c".repeat(9000)
    );
    assert_eq!(
        fs::read_link(unpacked.join("out")).unwrap(),
        Path::new("/etc/passwd")
    );
}
