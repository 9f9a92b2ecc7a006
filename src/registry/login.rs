//! Answers a registry's challenge with the login at hand.

use reqwest::{Response, StatusCode, header::CONTENT_TYPE};

use super::{
    auth::Login,
    client::{Body, Client},
    http::{describe, with_basic},
    retry::Tries,
    token::{
        Authorization, Challenge, MAX_TOKEN, TokenRequest, challenge, parse_token, token_request,
    },
};
use crate::{oci::SourceError, secret::Secret};

impl Client {
    /// Answers the challenge of a `401`.
    pub(super) async fn log_in(
        &self,
        response: &Response,
        scheme: &str,
        tries: &mut Tries,
    ) -> Result<(), SourceError> {
        let denied = |reason: String| SourceError::Denied {
            what: self.what(),
            reason,
        };
        let found = challenge(response.headers())
            .map_err(|reason| denied(format!("the registry wants a login, but {reason}")))?;
        let authorization = match found {
            Challenge::Basic if matches!(self.login, Some(Login::Basic { .. })) => {
                Authorization::Basic
            }
            Challenge::Basic => {
                let why = "the registry wants a user name and password, and none is stored";
                return Err(denied(why.to_owned()));
            }
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => {
                if scheme == "https" && realm.scheme() != "https" {
                    return Err(denied(format!(
                        "the registry sends logins to `{realm}`, which is not encrypted"
                    )));
                }
                let pull = || format!("repository:{}:pull", self.reference.repository);
                let scope = scope.unwrap_or_else(pull);
                let login = self.login.as_ref();
                let request = token_request(&realm, service.as_deref(), &scope, login);
                Authorization::Bearer(self.token(&request, tries).await?)
            }
        };
        let mut current = self
            .authorization
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *current = Some(authorization);
        Ok(())
    }

    async fn token(
        &self,
        request: &TokenRequest,
        tries: &mut Tries,
    ) -> Result<Secret, SourceError> {
        let what = self.what();
        loop {
            let builder = match (request, &self.login) {
                (TokenRequest::Get(url), Some(login)) => {
                    with_basic(self.http.get(url.clone()), login)
                }
                (TokenRequest::Get(url), None) => self.http.get(url.clone()),
                (TokenRequest::Post(url, body), _) => self
                    .http
                    .post(url.clone())
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(body.expose().to_vec()),
            };
            match builder.send().await {
                Ok(response) if response.status() == StatusCode::OK => {
                    match self.small_body(response, MAX_TOKEN as u64).await {
                        Ok(body) => return parse_token(&what, &body),
                        Err(Body::Fatal(error)) => return Err(error),
                        Err(Body::Broken(reason)) => self.pause(tries, None, reason).await?,
                    }
                }
                Ok(response) => self.failed(response, tries).await?,
                Err(error) => {
                    let reason = format!("token service: {}", describe(&error));
                    self.pause(tries, None, reason).await?;
                }
            }
        }
    }
}
