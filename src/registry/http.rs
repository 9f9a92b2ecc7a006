//! The HTTP client, and what is read from and written into headers.

use std::net::IpAddr;

use reqwest::{
    Response,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
    redirect,
};

use super::{RegistryOptions, auth::Login, certificates::Certificates};
use crate::{
    oci::{DOCKER_INDEX, DOCKER_MANIFEST, Digest, MediaType},
    secret::Secret,
};

const MAX_REDIRECTS: usize = 5;

pub(crate) fn http_client(
    registry: &str,
    options: &RegistryOptions,
    plain_allowed: bool,
) -> Result<reqwest::Client, String> {
    client_builder(registry, options, plain_allowed)?
        .redirect(redirect::Policy::limited(MAX_REDIRECTS))
        .build()
        .map_err(|error| causes(&error))
}

/// A client for a forge's API: the registries' proxies, certificates and time limits; a redirect is
/// an answer like any other, so that no token follows it. Its certificate is checked whatever is said
/// of registries.
pub(crate) fn forge_client(
    host: &str,
    options: &RegistryOptions,
) -> Result<reqwest::Client, String> {
    let checked = RegistryOptions {
        insecure: Vec::new(),
        ..options.clone()
    };
    client_builder(host, &checked, is_loopback(host))?
        .redirect(redirect::Policy::none())
        .build()
        .map_err(|error| causes(&error))
}

/// `host[:port]` of an address.
pub(crate) fn authority(url: &url::Url) -> Option<String> {
    let host = url.host_str()?;
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

fn client_builder(
    registry: &str,
    options: &RegistryOptions,
    plain_allowed: bool,
) -> Result<reqwest::ClientBuilder, String> {
    let certificates = Certificates::read(registry, &options.certificate_dirs)?;
    // Another part of the program may have set it before; it is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut roots = Vec::new();
    for pem in options.extra_roots.iter().chain(&certificates.roots) {
        let some = reqwest::Certificate::from_pem_bundle(pem);
        roots.extend(some.map_err(|error| format!("certificate to trust: {}", causes(&error)))?);
    }
    let mut builder = reqwest::Client::builder();
    if let Some(pem) = &certificates.identity {
        let identity = reqwest::Identity::from_pem(pem.expose());
        builder =
            builder.identity(identity.map_err(|error| {
                format!("client certificate for {registry}: {}", causes(&error))
            })?);
    }
    if options.insecure.iter().any(|insecure| insecure == registry) {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    if is_loopback(registry) {
        builder = builder.no_proxy(); // a proxy would look for the registry on its own machine
    }
    Ok(builder
        .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.read_timeout)
        .https_only(!plain_allowed)
        .tls_certs_merge(roots))
}

/// An error and its causes on one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

pub(super) fn with_bearer(
    request: reqwest::RequestBuilder,
    token: &Secret,
) -> reqwest::RequestBuilder {
    let mut bytes = b"Bearer ".to_vec();
    bytes.extend_from_slice(token.expose());
    match HeaderValue::from_bytes(&bytes) {
        Ok(mut value) => {
            value.set_sensitive(true);
            request.header(AUTHORIZATION, value)
        }
        // Not sendable; the registry will say that it wants a login.
        Err(_) => request,
    }
}

pub(super) fn with_basic(
    request: reqwest::RequestBuilder,
    login: &Login,
) -> reqwest::RequestBuilder {
    match login {
        Login::Basic { username, password } => request.basic_auth(username, password.expose_str()),
        Login::IdentityToken(_) => request,
    }
}

pub(super) fn accept() -> String {
    [
        MediaType::ImageManifest.to_string().as_str(),
        MediaType::ImageIndex.to_string().as_str(),
        DOCKER_MANIFEST,
        DOCKER_INDEX,
    ]
    .join(", ")
}

pub(super) fn media_type(response: &Response) -> Option<MediaType> {
    let value = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let value = value.split(';').next().unwrap_or(value).trim();
    Some(MediaType::from(value))
}

/// `Docker-Content-Digest`, when it can be checked.
pub(super) fn stated_digest(response: &Response) -> Option<Digest> {
    let value = response.headers().get("docker-content-digest")?;
    let digest: Digest = value.to_str().ok()?.parse().ok()?;
    (digest.algorithm().as_ref() == "sha256").then_some(digest)
}

/// `localhost`, 127.0.0.0/8 and `::1`, with any port.
pub(crate) fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => registry.split(':').next().unwrap_or(registry),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The registry speaks TLS, but its certificate is not trusted: trying again cannot help.
pub(crate) fn is_untrusted(error: &reqwest::Error) -> bool {
    let mut cause: &dyn std::error::Error = error;
    loop {
        if cause.to_string().contains("invalid peer certificate") {
            return true;
        }
        match cause.source() {
            Some(next) => cause = next,
            None => return false,
        }
    }
}

/// Trying again cannot help: the certificate is not trusted, or redirects lead in a circle.
pub(super) fn is_hopeless(error: &reqwest::Error) -> bool {
    is_untrusted(error) || error.is_redirect()
}

/// The innermost cause says most; the outer ones repeat the address.
pub(crate) fn describe(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    if is_untrusted(error) {
        return format!(
            "its certificate is not trusted ({cause}); add the authority that signed it to the \
             certificates of the system, name their file in SSL_CERT_FILE, or lay it as ca.crt \
             into /etc/docker/certs.d/HOST:PORT"
        );
    }
    if error.is_redirect() {
        return format!("more than {MAX_REDIRECTS} redirects, one after the other");
    }
    let kind = if error.is_connect() {
        "cannot connect"
    } else {
        "connection broken"
    };
    format!("{kind}: {cause}")
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_loopback_is_loopback() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.example.com",
            "10.0.0.1:5000",
            "127.example.com",
            "[::2]",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
