//! The registry over HTTP: credentials, pulling (an [`crate::oci::ImageSource`]), pushing.
//!
//! Written on `reqwest` rather than on `oci-client`: a registry is not trusted, and that client
//! reads manifests without a limit, hides `Retry-After` and the reason of a failed login, does not
//! know identity tokens and client certificates, does not resume an upload, and takes the legal
//! answer 202 to a mount for an error.

mod answer;
mod ask;
pub mod auth;
mod certificates;
mod client;
mod download;
mod http;
mod login;
pub mod push;
mod retry;
mod token;
mod verify;

pub use verify::{LoginError, Tried, try_login};

use std::{io::Read, path::PathBuf, sync::Arc, time::Duration};

pub(crate) use self::{
    download::range_start,
    http::{describe, http_client, is_loopback, is_untrusted},
    retry::{Tries, worth_retrying},
};

use client::Client;
pub(crate) use http::{authority, forge_client};
pub(crate) use retry::retry_after;
use tokio_util::sync::CancellationToken;

use self::auth::AuthStore;
use crate::oci::{
    Descriptor, ImageSource, MAX_MANIFEST, RawManifest, Reference, SourceError, VerifyingReader,
};

/// How registries are talked to; built once by `config`.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// logins
    pub auth: AuthStore,
    /// registries (`host[:port]`) whose certificates go unchecked and that may be used without TLS;
    /// loopback may always be used without
    pub insecure: Vec<String>,
    /// certificates to trust besides the system's, PEM
    pub extra_roots: Vec<Vec<u8>>,
    /// directories as docker's `certs.d`: `HOST:PORT/*.crt` are trusted, `NAME.cert` with `NAME.key`
    /// is shown to the registry; the first that knows the registry counts
    pub certificate_dirs: Vec<PathBuf>,
    /// to be connected
    pub connect_timeout: Duration,
    /// between two pieces of an answer
    pub read_timeout: Duration,
    /// how often and how long a request is tried again
    pub retry: Retry,
    /// cancelled when nobody waits for an answer any more
    pub cancel: CancellationToken,
}

/// Bounds on trying again after 408, 429, 5xx, a reset or a timeout.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// tries in all
    pub attempts: u32,
    /// wait before the second try; doubled for each further one
    pub first_wait: Duration,
    /// time spent waiting between tries in all, also when a registry asks for more
    pub total_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_wait: Duration::from_millis(500),
            total_wait: Duration::from_secs(90),
        }
    }
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            auth: AuthStore::default(),
            insecure: Vec::new(),
            extra_roots: Vec::new(),
            certificate_dirs: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            retry: Retry::default(),
            cancel: CancellationToken::new(),
        }
    }
}

/// An image in a registry.
///
/// The seam is synchronous: do not call it on a thread that drives a tokio runtime.
pub struct RegistrySource {
    client: Arc<Client>,
    runtime: Runtime,
}

/// Ends without waiting for downloads that nobody reads any more.
struct Runtime(Option<tokio::runtime::Runtime>);

impl Runtime {
    fn start() -> std::io::Result<Self> {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("registry")
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
    }

    fn handle(&self) -> Option<&tokio::runtime::Handle> {
        self.0.as_ref().map(tokio::runtime::Runtime::handle)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl RegistrySource {
    /// Prepares pulling; nothing is sent yet.
    ///
    /// # Errors
    /// When the login for the registry cannot be read, or TLS cannot be set up.
    pub fn open(reference: Reference, options: &RegistryOptions) -> Result<Self, SourceError> {
        let what = reference.to_string();
        let runtime = Runtime::start().map_err(|source| SourceError::Io { what, source })?;
        Ok(Self {
            client: Arc::new(Client::new(reference, options)?),
            runtime,
        })
    }

    fn handle(&self) -> Result<&tokio::runtime::Handle, SourceError> {
        self.runtime
            .handle()
            .ok_or_else(|| self.client.unavailable("the connection is being closed"))
    }
}

impl ImageSource for RegistrySource {
    fn manifest(&self) -> Result<RawManifest, SourceError> {
        let client = &self.client;
        let manifest = client.unless_cancelled(client.manifest(None));
        self.handle()?.block_on(manifest)
    }

    fn child(&self, of: &Descriptor) -> Result<RawManifest, SourceError> {
        if of.size() > MAX_MANIFEST {
            return Err(SourceError::TooLarge {
                what: format!("manifest {}", of.digest()),
                limit: format!("{MAX_MANIFEST} bytes"),
            });
        }
        let client = &self.client;
        let manifest = client.unless_cancelled(client.manifest(Some(of)));
        self.handle()?.block_on(manifest)
    }

    fn blob(&self, of: &Descriptor) -> Result<Box<dyn Read + Send + '_>, SourceError> {
        let stream = download::start(self.handle()?, Arc::clone(&self.client), of)?;
        Ok(Box::new(VerifyingReader::new(stream, of)?))
    }
}
