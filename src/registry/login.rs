//! Answers a registry's challenge with the login at hand.

use std::sync::atomic::Ordering;

use reqwest::{Response, StatusCode, header::CONTENT_TYPE};
use url::Url;

use super::{
    auth::Login,
    client::{Body, Client, DOCUMENT_TIME},
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
                self.check_realm(scheme, &realm)?;
                let scopes = self.wanted_scopes(scope.as_deref());
                let token = self
                    .bearer(&realm, service.as_deref(), &scopes, tries)
                    .await?;
                Authorization::Bearer(token)
            }
        };
        let mut current = self
            .authorization
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *current = Some(authorization);
        self.logins.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// A login that came over TLS does not go on without.
    pub(super) fn check_realm(&self, scheme: &str, realm: &Url) -> Result<(), SourceError> {
        if scheme != "https" || realm.scheme() == "https" {
            return Ok(());
        }
        Err(SourceError::Denied {
            what: self.what(),
            reason: format!("the registry sends logins to `{realm}`, which is not encrypted"),
        })
    }

    /// What the challenge asks for, and what this client will need besides.
    fn wanted_scopes(&self, challenged: Option<&str>) -> Vec<String> {
        let mut scopes = self.scopes.clone();
        let repository = |scope: &str| scope.rsplit_once(':').map(|(name, _)| name.to_owned());
        for scope in challenged.iter().flat_map(|scope| scope.split_whitespace()) {
            let same = |own: &String| repository(own) == repository(scope);
            if !scopes.iter().any(same) {
                scopes.push(scope.to_owned());
            }
        }
        if scopes.is_empty() && challenged.is_none() {
            scopes.push(format!("repository:{}:pull", self.reference.repository));
        }
        scopes
    }

    async fn bearer(
        &self,
        realm: &Url,
        service: Option<&str>,
        scopes: &[String],
        tries: &mut Tries,
    ) -> Result<Secret, SourceError> {
        let login = self.login.as_ref();
        let all = token_request(realm, service, &scopes.join(" "), login);
        match (self.token(&all, tries).await, scopes) {
            // A source to mount from that the account may not read is no reason to fail.
            (Err(SourceError::Denied { .. }), [first, _, ..]) if !self.scopes.is_empty() => {
                let one = token_request(realm, service, first, login);
                self.token(&one, tries).await
            }
            (result, _) => result,
        }
    }

    pub(super) async fn token(
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
            match builder.timeout(DOCUMENT_TIME).send().await {
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
