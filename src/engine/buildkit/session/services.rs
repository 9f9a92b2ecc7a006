//! The small services: registry credentials, secrets, and the daemon's heartbeat.

use std::sync::Arc;

use bollard_buildkit_proto::{
    health::{
        HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
        health_check_response::ServingStatus, health_server,
    },
    moby::{
        buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse, secrets_server},
        filesync::v1::{
            CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse,
            GetTokenAuthorityRequest, GetTokenAuthorityResponse, VerifyTokenAuthorityRequest,
            VerifyTokenAuthorityResponse, auth_server,
        },
    },
};
use indexmap::IndexMap;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::handles::Troubles;
use crate::{
    registry::auth::{AuthError, AuthStore, Login},
    secret::Secret,
};

/// The largest secret `BuildKit` knows, in bytes.
const MAX_SECRET: usize = 500 * 1024;

/// Logins for the registries that the build pulls from.
#[derive(Debug)]
pub(super) struct Auth {
    pub(super) store: Arc<AuthStore>,
    pub(super) troubles: Troubles,
}

impl Auth {
    /// The registry's login; else that of its only namespace with one, because the daemon asks by
    /// host alone.
    fn login(&self, host: &str) -> Result<Option<Login>, AuthError> {
        if let Some(login) = self.store.login_for(host, None)? {
            return Ok(Some(login));
        }
        match self.store.namespaces(host).as_slice() {
            [] => Ok(None),
            [only] => self.store.login_for(host, Some(only)),
            several => {
                self.troubles.add(format!(
                    "there are logins for {} of {host}, but BuildKit knows one for a whole registry only, \
                     so that none was used; log in to {host} itself",
                    several.join(", ")
                ));
                Ok(None)
            }
        }
    }
}

#[tonic::async_trait]
impl auth_server::Auth for Auth {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let host = request.into_inner().host;
        let this = Self {
            store: Arc::clone(&self.store),
            troubles: self.troubles.clone(),
        };
        // A credential helper blocks.
        let login = tokio::task::spawn_blocking(move || this.login(&host))
            .await
            .map_err(|fault| Status::internal(fault.to_string()))?;
        let login = login.map_err(|fault| {
            self.troubles.add(fault.to_string());
            Status::failed_precondition(fault.to_string())
        })?;
        let (username, secret) = match login {
            None => return Ok(Response::new(CredentialsResponse::default())),
            Some(Login::Basic { username, password }) => (username, password),
            Some(Login::IdentityToken(token)) => (String::new(), token),
        };
        let secret = secret
            .expose_str()
            .ok_or_else(|| Status::failed_precondition("the registry's password is not UTF-8"))?
            .to_owned();
        Ok(Response::new(CredentialsResponse { username, secret }))
    }

    async fn fetch_token(
        &self,
        _: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        Err(tokens_are_the_daemons())
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(tokens_are_the_daemons())
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(tokens_are_the_daemons())
    }
}

/// Makes the daemon fetch tokens itself, with the credentials. An empty answer instead of this
/// status would break registries with bearer tokens.
fn tokens_are_the_daemons() -> Status {
    Status::unimplemented("tokens are fetched by the daemon")
}

/// `--mount=type=secret`.
#[derive(Debug)]
pub(super) struct Secrets {
    pub(super) secrets: IndexMap<String, Secret>,
}

#[tonic::async_trait]
impl secrets_server::Secrets for Secrets {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        let secret = self
            .secrets
            .get(&id)
            .ok_or_else(|| Status::not_found(format!("secret {id}: not found")))?;
        let data = secret.expose().to_vec();
        if data.len() > MAX_SECRET {
            let length = data.len();
            return Err(Status::invalid_argument(format!(
                "secret {id} has {length} bytes, more than the {MAX_SECRET} that BuildKit takes"
            )));
        }
        Ok(Response::new(GetSecretResponse { data }))
    }
}

/// Asked every few seconds; a session that does not answer is given up.
#[derive(Debug)]
pub(super) struct Health;

const SERVING: HealthCheckResponse = HealthCheckResponse {
    status: ServingStatus::Serving as i32,
};

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(SERVING))
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        let statuses = [(String::new(), SERVING)].into();
        Ok(Response::new(HealthListResponse { statuses }))
    }

    type WatchStream = ReceiverStream<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (send, receive) = mpsc::channel(1);
        tokio::spawn(async move {
            if send.send(Ok(SERVING)).await.is_ok() {
                send.closed().await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receive)))
    }
}
