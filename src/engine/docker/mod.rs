//! The Docker Engine's REST interface, as far as a build and `docker-daemon:` need it: what it is,
//! and images in and out. Containers, networks and volumes are not touched.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use hyper::{Method, StatusCode, body::Bytes};
use serde::Deserialize;
use url::form_urlencoded::byte_serialize;

use super::dial::Address;
use crate::oci::Platform;

mod http;

pub(crate) use http::{Upload, chain, upgrade};

/// Small requests are answered at once, or after a moment while the engine removes an image.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// A Docker Engine that answered.
#[derive(Debug, Clone)]
pub struct DockerEngine {
    address: Address,
    /// version of the interface, `1.41`
    api: String,
    facts: Facts,
}

/// What a Docker Engine says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// version of the engine, such as `28.5.2`
    pub version: String,
    /// images are kept in containerd's store, with their manifests
    pub containerd_store: bool,
    /// interface version as numbers
    pub api: (u32, u32),
    /// what it builds for when nothing was said
    pub platform: Option<Platform>,
}

/// An image that the engine holds.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ImageSummary {
    /// digest of its configuration (of its manifest with containerd's store)
    pub(crate) id: String,
    /// its names
    #[serde(default)]
    pub(crate) repo_tags: Option<Vec<String>>,
}

/// What can go wrong between here and a Docker Engine.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// nobody answers, or not in HTTP
    #[error("{engine}: {reason}")]
    Unreachable {
        /// address
        engine: String,
        /// what was tried and how it went
        reason: String,
    },
    /// it answered with an error
    #[error("{engine}: {what}: {message} (status {status})")]
    Refused {
        /// address
        engine: String,
        /// what was asked
        what: String,
        /// HTTP status
        status: u16,
        /// its words
        message: String,
    },
    /// a local file
    #[error("{}", path.display())]
    Io {
        /// which
        path: PathBuf,
        /// cause
        #[source]
        source: io::Error,
    },
}

impl DockerError {
    /// Whether the engine said that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether the engine said that the thing is in use.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    #[serde(default)]
    server_version: String,
    #[serde(default)]
    driver_status: Option<Vec<(String, String)>>,
    #[serde(default, rename = "OSType")]
    os: String,
    #[serde(default)]
    architecture: String,
}

impl DockerEngine {
    /// Asks the engine at `address` who it is.
    ///
    /// # Errors
    /// When nobody answers there.
    pub fn connect(address: Address) -> Result<Self, DockerError> {
        run(Self::open(address))?
    }

    /// Writes the image that `reference` (name or id) names to `archive`, as `docker save` does.
    ///
    /// # Errors
    /// When the engine has no such image, goes away, or the file cannot be written.
    pub fn save(&self, reference: &str, archive: &Path) -> Result<(), DockerError> {
        run(self.save_to(reference, archive))?
    }

    /// Feeds the archive that `write` makes, as `docker load` does.
    ///
    /// # Errors
    /// When the archive cannot be made, or the engine refuses it or goes away.
    pub fn load_archive(
        &self,
        write: impl FnOnce(&mut dyn io::Write) -> io::Result<()> + Send + 'static,
    ) -> Result<(), DockerError> {
        run(async { self.load(Upload::archive(write)).await })?
    }

    /// Takes a name away, and the image with it when that was its last one; no error when it is not
    /// there.
    ///
    /// # Errors
    /// When the engine refuses or goes away.
    pub fn remove_image(&self, name: &str) -> Result<(), DockerError> {
        run(self.remove(name))?
    }

    /// What the engine said of itself.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) async fn open(address: Address) -> Result<Self, DockerError> {
        let api = http::ping(&address).await?;
        let numbers = parse_api(&api).ok_or_else(|| DockerError::Unreachable {
            engine: address.to_string(),
            reason: format!("answers, but not as a Docker Engine does (interface version `{api}`)"),
        })?;
        let mut engine = Self {
            address,
            api,
            facts: Facts::default(),
        };
        let info: Info = engine
            .json(Method::GET, "info", "asked for its facts")
            .await?;
        engine.facts =
            Facts {
                version: info.server_version,
                containerd_store: info.driver_status.unwrap_or_default().iter().any(
                    |(key, value)| key == "driver-type" && value == "io.containerd.snapshotter.v1",
                ),
                api: numbers,
                platform: format!("{}/{}", info.os, goarch(&info.architecture))
                    .parse()
                    .ok(),
            };
        Ok(engine)
    }

    pub(crate) async fn save_to(&self, reference: &str, archive: &Path) -> Result<(), DockerError> {
        let what = format!("saving image `{reference}`");
        let path = format!("images/{}/get", path_segment(reference));
        let response = self
            .request(Method::GET, &path, None, Upload::None, &what)
            .await?;
        http::write_body(response, archive, &self.address).await
    }

    /// Feeds an archive as `docker load` does.
    pub(crate) async fn load(&self, upload: Upload) -> Result<(), DockerError> {
        let what = "loading an image";
        self.report(Method::POST, "images/load?quiet=1", None, upload, what)
            .await
    }

    /// The image of that name or id, if the engine has it.
    pub(crate) async fn image(&self, name: &str) -> Result<Option<ImageSummary>, DockerError> {
        let path = format!("images/{}/json", path_segment(name));
        match self
            .json(Method::GET, &path, &format!("looking up image `{name}`"))
            .await
        {
            Ok(image) => Ok(Some(image)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the image another name; one that had the name loses it.
    pub(crate) async fn tag(
        &self,
        image: &str,
        repository: &str,
        tag: &str,
    ) -> Result<(), DockerError> {
        let path = format!(
            "images/{}/tag?repo={}&tag={}",
            path_segment(image),
            query(repository),
            query(tag)
        );
        let what = format!("tagging `{image}` as `{repository}:{tag}`");
        let request = self.request(Method::POST, &path, None, Upload::None, &what);
        self.soon(&what, request).await.map(drop)
    }

    /// Takes the name away, and the image with it when that was its last name.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), DockerError> {
        let path = format!("images/{}?noprune=1", path_segment(name));
        let what = format!("removing image `{name}`");
        let request = self.request(Method::DELETE, &path, None, Upload::None, &what);
        match self.soon(&what, request).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Pulls; `login` is the value of `X-Registry-Auth`.
    pub(crate) async fn pull(
        &self,
        repository: &str,
        tag_or_digest: &str,
        login: Option<String>,
    ) -> Result<(), DockerError> {
        let path = format!(
            "images/create?fromImage={}&tag={}",
            query(repository),
            query(tag_or_digest)
        );
        let what = format!("pulling `{repository}` `{tag_or_digest}`");
        self.report(Method::POST, &path, login, Upload::None, &what)
            .await
    }

    /// A request whose answer is a stream of JSON messages, an error among them perhaps.
    async fn report(
        &self,
        method: Method,
        path: &str,
        login: Option<String>,
        upload: Upload,
        what: &str,
    ) -> Result<(), DockerError> {
        let response = self.request(method, path, login, upload, what).await?;
        match http::reported_error(response, &self.address).await? {
            None => Ok(()),
            Some(message) => Err(DockerError::Refused {
                engine: self.address.to_string(),
                what: what.to_owned(),
                status: 200,
                message,
            }),
        }
    }

    async fn json<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        what: &str,
    ) -> Result<T, DockerError> {
        let body: Bytes = self
            .soon(what, async {
                let response = self.request(method, path, None, Upload::None, what).await?;
                http::small_body(response, &self.address).await
            })
            .await?;
        serde_json::from_slice(&body).map_err(|error| DockerError::Unreachable {
            engine: self.address.to_string(),
            reason: format!("{what}: the answer is not what a Docker Engine says: {error}"),
        })
    }

    /// A small request, whose answer is not waited for for ever.
    async fn soon<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, DockerError>>,
    ) -> Result<T, DockerError> {
        match tokio::time::timeout(ANSWER_TIMEOUT, work).await {
            Ok(result) => result,
            Err(_) => Err(DockerError::Unreachable {
                engine: self.address.to_string(),
                reason: format!("{what}: no answer within {} s", ANSWER_TIMEOUT.as_secs()),
            }),
        }
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        login: Option<String>,
        upload: Upload,
        what: &str,
    ) -> Result<hyper::Response<hyper::body::Incoming>, DockerError> {
        // The engine normalises paths: such a name would ask for something else.
        if path
            .split(['/', '?'])
            .any(|part| part == "." || part == "..")
        {
            return Err(DockerError::Refused {
                engine: self.address.to_string(),
                what: what.to_owned(),
                status: 400,
                message: "not an image name".to_owned(),
            });
        }
        let path = format!("/v{}/{path}", self.api);
        let response = http::send(&self.address, method, &path, login, upload).await?;
        let status = response.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let body = http::small_body(response, &self.address)
            .await
            .unwrap_or_default();
        Err(DockerError::Refused {
            engine: self.address.to_string(),
            what: what.to_owned(),
            status: status.as_u16(),
            message: http::message(&body),
        })
    }
}

fn run<T>(work: impl Future<Output = T>) -> Result<T, DockerError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| DockerError::Unreachable {
        engine: "docker".to_owned(),
        reason: format!("no thread to talk to it: {error}"),
    })?;
    Ok(runtime.block_on(work))
}

/// The kernel's word for an architecture as Go's.
fn goarch(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn parse_api(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A reference in a path: its slashes stay, as the engine's routes expect.
fn path_segment(text: &str) -> String {
    text.split('/').map(query).collect::<Vec<_>>().join("/")
}

fn query(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_keep_their_slashes_and_lose_nothing_else() {
        assert_eq!(path_segment("a/b:1?x=2&y#z"), "a/b%3A1%3Fx%3D2%26y%23z");
        assert_eq!(path_segment("../../containers"), "../../containers");
        assert_eq!(query("a/b"), "a%2Fb");
    }

    #[test]
    fn interface_versions_are_two_numbers() {
        assert_eq!(parse_api("1.41"), Some((1, 41)));
        assert_eq!(parse_api("1.53"), Some((1, 53)));
        assert_eq!(parse_api(""), None);
        assert_eq!(parse_api("one.two"), None);
    }
}
