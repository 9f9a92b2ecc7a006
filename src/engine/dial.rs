//! How to reach a daemon: a byte stream over a Unix socket, TCP, TLS, or a program's standard
//! input and output. What is spoken on the stream is the business of the caller.

use std::{
    fmt, io,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes kept of what a program says on its standard error.
const SAID: usize = 4096;
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Certificates for a TLS connection, as PEM files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// certificate authority that signed the daemon's certificate
    pub ca: PathBuf,
    /// client certificate, for mutual TLS
    pub cert: Option<PathBuf>,
    /// key of the client certificate
    pub key: Option<PathBuf>,
    /// name in the daemon's certificate, when it is not the host's
    pub server_name: Option<String>,
}

/// Where a daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Unix socket
    Unix(PathBuf),
    /// TCP, with TLS when certificates are given
    Tcp {
        /// host name or address
        host: String,
        /// port
        port: u16,
        /// certificates
        tls: Option<TlsFiles>,
    },
    /// a program that joins its standard input and output to the daemon
    Program {
        /// program and arguments
        command: Vec<String>,
        /// what the user calls the address
        name: String,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, .. } if host.contains(':') => {
                write!(f, "tcp://[{host}]:{port}")
            }
            Self::Tcp { host, port, .. } => write!(f, "tcp://{host}:{port}"),
            Self::Program { name, .. } => f.write_str(name),
        }
    }
}

/// A connection to a daemon.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection of any kind.
pub(crate) type BoxedStream = Box<dyn Stream>;

impl Address {
    /// Opens a connection. `alpn` is the protocol offered when there is TLS.
    pub(crate) async fn dial(&self, alpn: &[u8]) -> io::Result<BoxedStream> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.dial_now(alpn)).await {
            Ok(stream) => stream,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()),
            )),
        }
    }

    async fn dial_now(&self, alpn: &[u8]) -> io::Result<BoxedStream> {
        match self {
            Self::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
            Self::Tcp { host, port, tls } => {
                let stream = tokio::net::TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                // A daemon that vanishes without a word would hold the build for ever.
                let keepalive = socket2::TcpKeepalive::new()
                    .with_time(KEEPALIVE)
                    .with_interval(KEEPALIVE / 3);
                socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
                match tls {
                    None => Ok(Box::new(stream)),
                    Some(files) => secure(stream, host, files, alpn).await,
                }
            }
            Self::Program { command, .. } => Ok(Box::new(Pipe::start(command)?)),
        }
    }
}

async fn secure(
    stream: tokio::net::TcpStream,
    host: &str,
    files: &TlsFiles,
    alpn: &[u8],
) -> io::Result<BoxedStream> {
    let mut config = client_config(files)?;
    config.alpn_protocols = vec![alpn.to_vec()];
    let name = files.server_name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    Ok(Box::new(connector.connect(name, stream).await?))
}

fn client_config(files: &TlsFiles) -> io::Result<rustls::ClientConfig> {
    let pem = |path: &PathBuf, error: rustls::pki_types::pem::Error| {
        io::Error::other(format!("{}: {error}", path.display()))
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(&files.ca).map_err(|error| pem(&files.ca, error))?
    {
        let certificate = certificate.map_err(|error| pem(&files.ca, error))?;
        roots.add(certificate).map_err(io::Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let (Some(cert), Some(key)) = (&files.cert, &files.key) else {
        return Ok(config.with_no_client_auth());
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem(cert, error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| pem(key, error))?;
    config
        .with_client_auth_cert(chain, key)
        .map_err(io::Error::other)
}

/// A running program as a stream; the program ends with it. What it says on its standard error is
/// the error of the stream when it ends.
struct Pipe {
    _child: tokio::process::Child,
    input: tokio::process::ChildStdin,
    output: tokio::process::ChildStdout,
    errors: Option<tokio::process::ChildStderr>,
    said: Vec<u8>,
}

impl Pipe {
    #[expect(
        clippy::disallowed_methods,
        reason = "docker exec and ssh are the transports of buildx containers and ssh contexts"
    )]
    fn start(command: &[String]) -> io::Result<Self> {
        let missing = || io::Error::other("no program to run");
        let (program, arguments) = command.split_first().ok_or_else(missing)?;
        let mut command = std::process::Command::new(program);
        command.args(arguments);
        let mut child = tokio::process::Command::from(command)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
        Ok(Self {
            input: child.stdin.take().ok_or_else(missing)?,
            output: child.stdout.take().ok_or_else(missing)?,
            errors: child.stderr.take(),
            said: Vec::new(),
            _child: child,
        })
    }

    /// Keeps standard error empty, so that the program never waits for it; ready at its end.
    fn poll_errors(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut piece = [0; 1024];
        while let Some(errors) = &mut self.errors {
            let mut buf = ReadBuf::new(&mut piece);
            match Pin::new(errors).poll_read(cx, &mut buf) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    let room = SAID.saturating_sub(self.said.len());
                    let filled = buf.filled();
                    self.said
                        .extend_from_slice(filled.get(..room).unwrap_or(filled));
                }
                Poll::Ready(_) => self.errors = None,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let errors = self.poll_errors(cx);
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.output).poll_read(cx, buf))?;
        if buf.filled().len() > before || buf.capacity() == before {
            return Poll::Ready(Ok(()));
        }
        std::task::ready!(errors);
        let said = String::from_utf8_lossy(&self.said).trim().to_owned();
        Poll::Ready(if said.is_empty() {
            Ok(())
        } else {
            Err(io::Error::other(said))
        })
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_program_is_a_stream_and_ends_with_it() {
        let address = Address::Program {
            command: vec!["cat".to_owned()],
            name: "cat".to_owned(),
        };
        let mut stream = address.dial(b"h2").await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        stream.flush().await.unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"hello");
    }

    #[tokio::test]
    async fn a_program_that_fails_says_why() {
        let address = Address::Program {
            command: ["sh", "-c", "echo no such container >&2; exit 1"]
                .map(str::to_owned)
                .into(),
            name: "sh".to_owned(),
        };
        let mut stream = address.dial(b"h2").await.unwrap();
        let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.to_string(), "no such container");
    }

    #[tokio::test]
    async fn a_program_that_talks_much_on_the_side_is_not_held_up() {
        let script = "head -c 1000000 /dev/zero >&2; echo done";
        let address = Address::Program {
            command: ["sh", "-c", script].map(str::to_owned).into(),
            name: "sh".to_owned(),
        };
        let mut stream = address.dial(b"h2").await.unwrap();
        let mut line = [0; 5];
        stream.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"done\n");
    }

    #[tokio::test]
    async fn a_missing_socket_or_program_is_an_error_that_says_so() {
        let gone = Address::Unix("/nonexistent/engine.sock".into());
        let error = gone.dial(b"h2").await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let program = Address::Program {
            command: vec!["no-such-program-here".to_owned()],
            name: "x".to_owned(),
        };
        let error = program.dial(b"h2").await.err().unwrap();
        assert!(error.to_string().contains("no-such-program-here"));
    }
}
