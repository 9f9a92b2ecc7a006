//! Ways to a BuildKit daemon. Where none is at hand, the BuildKit inside a Docker Engine with
//! containerd's store stands in for it: the same protocol behind a small relay.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
};

use plimsoll::{
    engine::{
        BuildError, Engine, EngineChoice, EngineEnvironment,
        buildkit::BuildKit,
        connect,
        dial::{Address, TlsFiles},
    },
    registry::{RegistryOptions, auth::AuthStore},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{Project, docker};

const DOCKERFILE: &str = "FROM BASE\nCOPY a /a\nRUN echo \"$(cat /a)-built\" > /b\n";

/// The socket of a Docker Engine whose BuildKit can do all that a daemon of its own can.
fn docker_socket() -> Option<PathBuf> {
    let docker = docker().filter(|docker| docker.facts().containerd_store);
    let Some(docker) = docker else {
        eprintln!(
            "SKIPPED: no Docker Engine with containerd's image store to stand in for buildkitd"
        );
        return None;
    };
    match docker.address() {
        Address::Unix(path) => Some(path.clone()),
        _ => None,
    }
}

/// A stream on which the engine's BuildKit speaks at once, as a daemon of its own does.
fn buildkit_stream(socket: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(socket).unwrap();
    let ask = b"POST /grpc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    stream.write_all(ask).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    stream
}

fn pump(mut from: impl Read + Send + 'static, mut to: UnixStream) {
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
}

fn relay_unix(at: &Path, socket: PathBuf) {
    let listener = UnixListener::bind(at).unwrap();
    thread::spawn(move || {
        for ours in listener.incoming().flatten() {
            let theirs = buildkit_stream(&socket);
            pump(ours.try_clone().unwrap(), theirs.try_clone().unwrap());
            pump(theirs, ours);
        }
    });
}

fn builds(engine: &dyn Engine) {
    let project = Project::new(DOCKERFILE);
    project.file("a", "text");
    let image = project.built(engine);
    assert_eq!(image.file("b").as_deref(), Some("text-built\n"));
    let failure = Project::new("FROM BASE\nRUN exit 7\n").failure(engine);
    assert_eq!(failure.exit_code, Some(7));
    assert_eq!(failure.location.unwrap().line, 2);
}

fn buildkit_at(host: &str, tls: Option<TlsFiles>) -> Result<Box<dyn Engine>, BuildError> {
    let environment = EngineEnvironment {
        buildkit_host: Some(host.to_owned()),
        buildkit_tls: tls,
        ..EngineEnvironment::default()
    };
    connect(
        EngineChoice::Auto,
        &environment,
        &RegistryOptions::default(),
    )
}

#[test]
fn a_daemon_on_a_unix_socket_builds() {
    let Some(socket) = docker_socket() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("buildkitd.sock");
    relay_unix(&at, socket);
    let engine = buildkit_at(&format!("unix://{}", at.display()), None).unwrap();
    assert!(
        engine.describe().starts_with("BuildKit "),
        "{}",
        engine.describe()
    );
    builds(engine.as_ref());
}

/// Docker 29 and newer: gRPC and REST on one socket, told apart by their first bytes. The engine
/// behind is an older one, so the version in paths and headers is exchanged.
fn relay_direct(at: &Path, socket: PathBuf) {
    let listener = UnixListener::bind(at).unwrap();
    thread::spawn(move || {
        for ours in listener.incoming().flatten() {
            let socket = socket.clone();
            thread::spawn(move || serve_direct(ours, &socket));
        }
    });
}

fn serve_direct(mut ours: UnixStream, socket: &Path) {
    let mut first = vec![0; 16 << 10];
    let n = ours.read(&mut first).unwrap();
    first.truncate(n);
    if first.starts_with(b"PRI * HTTP/2.0") {
        let mut theirs = buildkit_stream(socket);
        theirs.write_all(&first).unwrap();
        pump(ours.try_clone().unwrap(), theirs.try_clone().unwrap());
        pump(theirs, ours);
        return;
    }
    let request = String::from_utf8(first)
        .unwrap()
        .replace("/v1.53/", "/v1.51/");
    assert!(!request.contains("/grpc"), "{request}");
    let mut theirs = UnixStream::connect(socket).unwrap();
    theirs.write_all(request.as_bytes()).unwrap();
    let mut answer = vec![0; 64 << 10];
    let n = theirs.read(&mut answer).unwrap();
    answer.truncate(n);
    let answer = String::from_utf8(answer)
        .unwrap()
        .replace("Api-Version: 1.51", "Api-Version: 1.53");
    ours.write_all(answer.as_bytes()).unwrap();
    pump(theirs, ours);
}

#[test]
fn a_docker_engine_that_speaks_grpc_without_an_upgrade_builds() {
    let Some(socket) = docker_socket() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("docker.sock");
    relay_direct(&at, socket);
    let environment = EngineEnvironment {
        docker_host: Some(format!("unix://{}", at.display())),
        ..EngineEnvironment::default()
    };
    let engine = connect(
        EngineChoice::Docker,
        &environment,
        &RegistryOptions::default(),
    )
    .unwrap();
    builds(engine.as_ref());
}

#[test]
fn a_daemon_behind_a_program_builds() {
    let Some(socket) = docker_socket() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("buildkitd.sock");
    relay_unix(&at, socket);
    let script = "import socket,sys,threading,os\n\
        s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n\
        def out():\n while True:\n  d=s.recv(65536)\n  if not d: os._exit(0)\n  os.write(1,d)\n\
        threading.Thread(target=out,daemon=True).start()\n\
        while True:\n d=os.read(0,65536)\n if not d: break\n s.sendall(d)\n";
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: no python3 to join standard input and output to a socket");
        return;
    }
    let at = at.display().to_string();
    let address = Address::Program {
        command: ["python3", "-c", script, &at].map(str::to_owned).to_vec(),
        name: "docker-container://test".to_owned(),
    };
    let engine = BuildKit::alone(address, Arc::new(AuthStore::new())).unwrap();
    builds(&engine);
}

#[test]
fn a_daemon_on_tcp_with_mutual_tls_builds_and_strangers_are_refused() {
    let Some(socket) = docker_socket() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let Some(certificates) = Certificates::make(dir.path()) else {
        return;
    };
    let port = relay_tls(&certificates, socket);
    let host = format!("tcp://127.0.0.1:{port}");
    let engine = buildkit_at(&host, Some(certificates.client())).unwrap();
    builds(engine.as_ref());

    let stranger = TlsFiles {
        cert: None,
        key: None,
        ..certificates.client()
    };
    let error = buildkit_at(&host, Some(stranger)).err().unwrap();
    assert!(matches!(error, BuildError::Engine { .. }), "{error}");
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let other = Certificates::make(&other).unwrap();
    let error = buildkit_at(&host, Some(other.client())).err().unwrap();
    assert!(
        error.to_string().to_lowercase().contains("certificate"),
        "{error}"
    );
    assert!(buildkit_at(&host, None).is_err());
}

struct Certificates(PathBuf);

impl Certificates {
    /// A CA, a server certificate for 127.0.0.1 and a client certificate, by the host's openssl.
    fn make(dir: &Path) -> Option<Self> {
        let openssl = |arguments: &[&str]| {
            let output = Command::new("openssl")
                .args(arguments)
                .current_dir(dir)
                .output()
                .ok()?;
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            Some(())
        };
        let made = openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-days",
            "2",
            "-subj",
            "/CN=test-ca",
        ]);
        if made.is_none() {
            eprintln!("SKIPPED: no openssl to make certificates with");
            return None;
        }
        for (name, extension) in [
            ("server", "subjectAltName=IP:127.0.0.1"),
            ("client", "extendedKeyUsage=clientAuth"),
        ] {
            let (key, out) = (format!("{name}.key"), format!("{name}.pem"));
            openssl(&[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-keyout",
                &key,
                "-out",
                &out,
                "-days",
                "2",
                "-subj",
                "/CN=test",
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
                "-addext",
                extension,
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ])?;
        }
        Some(Self(dir.to_owned()))
    }

    fn client(&self) -> TlsFiles {
        TlsFiles {
            ca: self.0.join("ca.pem"),
            cert: Some(self.0.join("client.pem")),
            key: Some(self.0.join("client.key")),
            server_name: None,
        }
    }

    fn server_config(&self) -> rustls::ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(self.0.join("ca.pem")).unwrap())
            .unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&provider),
        );
        let chain = vec![CertificateDer::from_pem_file(self.0.join("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.0.join("server.key")).unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

fn relay_tls(certificates: &Certificates, socket: PathBuf) -> u16 {
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(certificates.server_config()));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, socket) = (acceptor.clone(), socket.clone());
                tokio::spawn(async move {
                    let Ok(mut ours) = acceptor.accept(stream).await else {
                        return;
                    };
                    let theirs = tokio::task::spawn_blocking(move || buildkit_stream(&socket));
                    let theirs = theirs.await.unwrap();
                    theirs.set_nonblocking(true).unwrap();
                    let mut theirs = tokio::net::UnixStream::from_std(theirs).unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await;
                });
            }
        });
    });
    port
}
