//! Which engine a build uses: what the user chose, else what the environment points at. The
//! environment is handed in; only `config` reads it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{
    BuildError,
    dial::{Address, TlsFiles},
};
use crate::{oci::hex, registry::auth::AuthStore};

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
const DEFAULT_BUILDKIT: &str = "/run/buildkit/buildkitd.sock";
const DOCKER_PORT: u16 = 2375;
const DOCKER_TLS_PORT: u16 = 2376;
const SMALL_FILE: u64 = 4 << 20;

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineChoice {
    /// whatever the environment points at: `BUILDKIT_HOST`, a buildx builder, the Docker Engine; the
    /// embedded engine when it points nowhere and no Docker Engine answers
    #[default]
    Auto,
    /// a BuildKit daemon: `BUILDKIT_HOST`, a buildx builder, or the daemon's usual socket
    BuildKit,
    /// the Docker Engine
    Docker,
    /// this binary
    Embedded,
}

/// What the environment says of engines.
#[derive(Debug, Clone, Default)]
pub struct EngineEnvironment {
    /// `DOCKER_HOST`
    pub docker_host: Option<String>,
    /// `DOCKER_CONTEXT`
    pub docker_context: Option<String>,
    /// `DOCKER_CONFIG`, or `.docker` of the home directory
    pub docker_config: Option<PathBuf>,
    /// `DOCKER_CERT_PATH`
    pub docker_cert_path: Option<PathBuf>,
    /// `DOCKER_TLS_VERIFY` is set and not empty
    pub docker_tls_verify: bool,
    /// `BUILDKIT_HOST`
    pub buildkit_host: Option<String>,
    /// certificates for a `BUILDKIT_HOST` of `tcp://`
    pub buildkit_tls: Option<TlsFiles>,
    /// `BUILDX_BUILDER`
    pub buildx_builder: Option<String>,
    /// `BUILDX_CONFIG`, or `buildx` in the configuration directory of docker
    pub buildx_config: Option<PathBuf>,
    /// logins for registries
    pub auth: Arc<AuthStore>,
}

/// Where a build goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// a Docker Engine
    Docker(Address),
    /// a BuildKit daemon
    BuildKit(Address),
    /// this binary
    Embedded,
}

impl Place {
    /// Where a Docker Engine is when nobody says where.
    pub(super) fn is_default(&self) -> bool {
        matches!(self, Self::Docker(Address::Unix(path)) if path == Path::new(DEFAULT_SOCKET))
    }
}

/// Decides where a build goes, without connecting.
///
/// # Errors
/// When the environment cannot be understood.
pub fn place(choice: EngineChoice, environment: &EngineEnvironment) -> Result<Place, BuildError> {
    if choice == EngineChoice::Embedded {
        return Ok(Place::Embedded);
    }
    if choice != EngineChoice::Docker {
        if let Some(host) = filled(environment.buildkit_host.as_ref()) {
            let address = buildkit_address(host, environment.buildkit_tls.as_ref());
            return Ok(Place::BuildKit(
                address.map_err(|reason| refuse("BUILDKIT_HOST", reason))?,
            ));
        }
        if let Some(builder) = filled(environment.buildx_builder.as_ref())
            && let Some(place) = builder_place(builder, environment)?
        {
            return Ok(place);
        }
    }
    match choice {
        EngineChoice::BuildKit => Ok(Place::BuildKit(Address::Unix(DEFAULT_BUILDKIT.into()))),
        _ => docker_address(environment).map(Place::Docker),
    }
}

/// The Docker Engine that the environment points at.
///
/// # Errors
/// When the environment cannot be understood.
pub fn docker_address(environment: &EngineEnvironment) -> Result<Address, BuildError> {
    if let Some(host) = filled(environment.docker_host.as_ref()) {
        let tls = environment.docker_tls_verify.then(|| {
            let config = environment.docker_config.clone().unwrap_or_default();
            certificates(&environment.docker_cert_path.clone().unwrap_or(config))
        });
        return host_address(host, tls).map_err(|reason| refuse("DOCKER_HOST", reason));
    }
    let chosen = filled(environment.docker_context.as_ref()).map(str::to_owned);
    let chosen = match chosen {
        Some(name) => Some(name),
        None => current_context(environment)?,
    };
    match chosen.as_deref() {
        None | Some("" | "default") => Ok(Address::Unix(DEFAULT_SOCKET.into())),
        Some(name) => context_address(name, environment),
    }
}

fn host_address(host: &str, tls: Option<TlsFiles>) -> Result<Address, String> {
    let (scheme, rest) = host
        .split_once("://")
        .ok_or_else(|| format!("`{host}` has no scheme such as unix:// or tcp://"))?;
    match scheme {
        "unix" => Ok(Address::Unix(PathBuf::from(rest))),
        "tcp" | "http" | "https" => {
            let port = if tls.is_some() {
                DOCKER_TLS_PORT
            } else {
                DOCKER_PORT
            };
            tcp(host, rest, Some(port), tls)
        }
        "ssh" => ssh(host),
        other => Err(format!(
            "the scheme `{other}://` of `{host}` is not supported; use unix://, tcp:// or ssh://"
        )),
    }
}

fn buildkit_address(host: &str, tls: Option<&TlsFiles>) -> Result<Address, String> {
    let (scheme, rest) = host
        .split_once("://")
        .ok_or_else(|| format!("`{host}` has no scheme such as unix:// or tcp://"))?;
    match scheme {
        "unix" => Ok(Address::Unix(PathBuf::from(rest))),
        "tcp" => tcp(host, rest, None, tls.cloned()),
        "docker-container" => Ok(container(
            rest.split(['/', '?']).next().unwrap_or(rest),
            None,
        )),
        other => Err(format!(
            "the scheme `{other}://` of `{host}` is not supported; use unix://, tcp:// or docker-container://"
        )),
    }
}

fn tcp(
    host: &str,
    rest: &str,
    port: Option<u16>,
    tls: Option<TlsFiles>,
) -> Result<Address, String> {
    let wrong = |why: &str| format!("`{host}` is not of the form tcp://HOST:PORT: {why}");
    let url =
        url::Url::parse(&format!("tcp://{rest}")).map_err(|error| wrong(&error.to_string()))?;
    let name = url
        .host_str()
        .filter(|name| !name.is_empty())
        .ok_or_else(|| wrong("no host"))?;
    let port = url.port().or(port).ok_or_else(|| wrong("no port"))?;
    Ok(Address::Tcp {
        host: name.trim_matches(['[', ']']).to_owned(),
        port,
        tls,
    })
}

fn ssh(host: &str) -> Result<Address, String> {
    let url = url::Url::parse(host).map_err(|error| format!("`{host}`: {error}"))?;
    let name = url.host_str().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| format!("`{host}` has no host"))?;
    let mut command = vec![
        "ssh".to_owned(),
        "-T".to_owned(),
        "-o".to_owned(),
        "BatchMode=yes".to_owned(),
    ];
    if !url.username().is_empty() {
        command.extend(["-l".to_owned(), url.username().to_owned()]);
    }
    if let Some(port) = url.port() {
        command.extend(["-p".to_owned(), port.to_string()]);
    }
    command.extend(["--", name, "docker", "system", "dial-stdio"].map(str::to_owned));
    Ok(Address::Program {
        command,
        name: host.to_owned(),
    })
}

/// BuildKit in a container: reached through the docker command, which knows the way to its engine.
fn container(name: &str, docker_host: Option<&str>) -> Address {
    let mut command = vec!["docker".to_owned()];
    if let Some(host) = docker_host {
        command.extend(["--host".to_owned(), host.to_owned()]);
    }
    command.extend(["exec", "-i", name, "buildctl", "dial-stdio"].map(str::to_owned));
    Address::Program {
        command,
        name: format!("docker-container://{name}"),
    }
}

fn certificates(dir: &Path) -> TlsFiles {
    TlsFiles {
        ca: dir.join("ca.pem"),
        cert: Some(dir.join("cert.pem")),
        key: Some(dir.join("key.pem")),
        server_name: None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DockerConfig {
    #[serde(default)]
    current_context: Option<String>,
}

#[derive(Deserialize)]
struct ContextMeta {
    #[serde(rename = "Endpoints", default)]
    endpoints: indexmap::IndexMap<String, ContextEndpoint>,
}

#[derive(Deserialize)]
struct ContextEndpoint {
    #[serde(rename = "Host", default)]
    host: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Builder {
    #[serde(default)]
    driver: String,
    #[serde(default)]
    nodes: Vec<BuilderNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BuilderNode {
    #[serde(default)]
    name: String,
    #[serde(default)]
    endpoint: String,
    #[serde(default)]
    driver_opts: Option<indexmap::IndexMap<String, String>>,
}

fn current_context(environment: &EngineEnvironment) -> Result<Option<String>, BuildError> {
    let Some(dir) = &environment.docker_config else {
        return Ok(None);
    };
    let config: Option<DockerConfig> = read_json(&dir.join("config.json"))?;
    Ok(config.and_then(|config| config.current_context))
}

fn context_address(name: &str, environment: &EngineEnvironment) -> Result<Address, BuildError> {
    let dir = environment
        .docker_config
        .clone()
        .unwrap_or_default()
        .join("contexts");
    let id = hex(&Sha256::digest(name.as_bytes()));
    let meta: Option<ContextMeta> = read_json(&dir.join("meta").join(&id).join("meta.json"))?;
    let what = format!("docker context `{name}`");
    let endpoint = meta.as_ref().and_then(|meta| meta.endpoints.get("docker"));
    let endpoint =
        endpoint.ok_or_else(|| refuse(&what, format!("it is not in {}", dir.display())))?;
    let tls = dir.join("tls").join(&id).join("docker");
    let tls = tls.join("ca.pem").is_file().then(|| certificates(&tls));
    host_address(&endpoint.host, tls).map_err(|reason| refuse(&what, reason))
}

/// Where a buildx builder builds; `None` when it is only a name for the Docker Engine.
fn builder_place(name: &str, environment: &EngineEnvironment) -> Result<Option<Place>, BuildError> {
    let what = format!("buildx builder `{name}`");
    if name == "default" {
        return Ok(None);
    }
    if name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(refuse(&what, "it is not a builder's name".to_owned()));
    }
    let buildx = environment
        .buildx_config
        .clone()
        .or_else(|| Some(environment.docker_config.as_ref()?.join("buildx")));
    let file = buildx.unwrap_or_default().join("instances").join(name);
    let builder: Option<Builder> = read_json(&file)?;
    let builder =
        builder.ok_or_else(|| refuse(&what, format!("{} does not exist", file.display())))?;
    let node = builder.nodes.first();
    let node = node.ok_or_else(|| refuse(&what, "it has no nodes".to_owned()))?;
    match builder.driver.as_str() {
        "docker" => Ok(None),
        "docker-container" => {
            let host = Some(node.endpoint.as_str()).filter(|endpoint| endpoint.contains("://"));
            let container = container(&format!("buildx_buildkit_{}", node.name), host);
            Ok(Some(Place::BuildKit(container)))
        }
        "remote" => {
            let option = |key| {
                node.driver_opts
                    .as_ref()
                    .and_then(|options| options.get(key))
            };
            let tls = option("cacert").map(|ca| TlsFiles {
                ca: PathBuf::from(ca),
                cert: option("cert").map(PathBuf::from),
                key: option("key").map(PathBuf::from),
                server_name: option("servername").cloned(),
            });
            let address = buildkit_address(&node.endpoint, tls.as_ref());
            Ok(Some(Place::BuildKit(
                address.map_err(|reason| refuse(&what, reason))?,
            )))
        }
        other => Err(refuse(
            &what,
            format!(
                "its driver `{other}` is not supported; docker-container, remote and docker are"
            ),
        )),
    }
}

/// A small JSON file; `None` when there is none.
#[expect(
    clippy::disallowed_methods,
    reason = "docker's own configuration says where its engine is"
)]
fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, BuildError> {
    use std::io::Read as _;
    let io = |source| BuildError::Io {
        what: path.display().to_string(),
        source,
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let mut bytes = Vec::new();
    file.take(SMALL_FILE).read_to_end(&mut bytes).map_err(io)?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| io(error.into()))
}

fn filled(value: Option<&String>) -> Option<&str> {
    value.map(String::as_str).filter(|value| !value.is_empty())
}

fn refuse(what: &str, reason: String) -> BuildError {
    BuildError::Engine {
        engine: what.to_owned(),
        reason,
        hint: None,
    }
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
