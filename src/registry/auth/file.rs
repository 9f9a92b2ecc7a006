//! One login file: docker's `config.json` or podman's `auth.json`, which differ in their keys only.

use std::{
    fs::File,
    io::{self, Read as _},
    path::PathBuf,
};

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use indexmap::IndexMap;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{AuthError, Login, helper::Helpers, scope::Scope};
use crate::secret::Secret;

/// The largest login file, in bytes.
pub(super) const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Files are written with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Debug, Clone)]
pub(super) struct AuthFile {
    path: PathBuf,
    entries: Vec<(String, Scope, Entry)>,
    helpers: Vec<(Scope, String)>,
    store: Option<String>,
}

#[derive(Deserialize)]
struct Json {
    auths: Option<IndexMap<String, Option<EntryJson>>>,
    #[serde(rename = "credHelpers")]
    cred_helpers: Option<IndexMap<String, String>>,
    #[serde(rename = "credsStore")]
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct EntryJson {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

#[derive(Debug, Clone)]
enum Entry {
    /// `user:password` in base64
    Encoded(Secret),
    Basic {
        username: String,
        password: Secret,
    },
    IdentityToken(Secret),
    /// a bearer token
    RegistryToken,
}

impl AuthFile {
    pub(super) fn read(path: PathBuf) -> Result<Self, AuthError> {
        let bytes = match read_limited(&path) {
            Ok(bytes) => bytes,
            Err(fault) => return Err(AuthError::Unreadable { file: path, fault }),
        };
        if bytes.len() as u64 > MAX_FILE {
            return Err(AuthError::TooLarge {
                file: path,
                limit: MAX_FILE,
            });
        }
        // docker takes an empty file for one without logins.
        if bytes.trim_ascii().is_empty() {
            return Ok(Self {
                path,
                entries: Vec::new(),
                helpers: Vec::new(),
                store: None,
            });
        }
        match serde_json::from_slice::<Json>(&bytes) {
            Ok(json) => Ok(Self::new(path, json)),
            Err(fault) => Err(json_error(path, &fault)),
        }
    }

    fn new(path: PathBuf, json: Json) -> Self {
        let entries = json.auths.unwrap_or_default().into_iter();
        let helpers = json.cred_helpers.unwrap_or_default().into_iter();
        Self {
            path,
            entries: entries
                .filter_map(|(key, entry)| {
                    let scope = Scope::parse(&key);
                    Some((key, scope, entry?.into_entry()?))
                })
                .collect(),
            helpers: helpers
                .filter(|(_, helper)| !helper.is_empty())
                .map(|(key, helper)| (Scope::parse(&key), helper))
                .collect(),
            store: json.creds_store.filter(|store| !store.is_empty()),
        }
    }

    /// The registry's own helper, then the entries, then the store for all registries.
    pub(super) fn login_for(
        &self,
        wanted: &Scope,
        helpers: &Helpers,
    ) -> Result<Option<Login>, AuthError> {
        let own = self
            .helpers
            .iter()
            .filter(|(scope, _)| scope.covers(wanted));
        if let Some((_, helper)) = own.max_by_key(|(scope, _)| scope.depth())
            && let Some(login) = helpers.ask(helper, wanted.server())?
        {
            return Ok(Some(login));
        }
        let entries = self
            .entries
            .iter()
            .filter(|(_, scope, _)| scope.covers(wanted));
        // `rev`, because of equals the last would be taken.
        if let Some((key, _, entry)) = entries.rev().max_by_key(|(_, scope, _)| scope.depth()) {
            return entry.login().map(Some).map_err(|fault| AuthError::Entry {
                file: self.path.clone(),
                key: key.clone(),
                fault,
            });
        }
        match &self.store {
            Some(store) => helpers.ask(store, wanted.server()),
            None => Ok(None),
        }
    }

    pub(super) fn scopes(&self) -> impl Iterator<Item = Scope> {
        self.entries.iter().map(|(_, scope, _)| scope.clone())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "login files are the registry's own input"
)]
fn read_limited(path: &PathBuf) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The parser's own words can quote a value; only the place is kept.
pub(super) fn json_error(file: PathBuf, fault: &serde_json::Error) -> AuthError {
    AuthError::Json {
        file,
        line: fault.line(),
        column: fault.column(),
        fault: match fault.classify() {
            serde_json::error::Category::Data => "a value of another kind is expected here",
            serde_json::error::Category::Eof => "the file ends in the middle",
            _ => "not JSON",
        },
    }
}

impl EntryJson {
    /// `None` when it holds no login: docker leaves empty entries for what its store keeps.
    fn into_entry(self) -> Option<Entry> {
        let filled = |value: Option<String>| value.filter(|value| !value.is_empty());
        if let Some(token) = filled(self.identitytoken) {
            return Some(Entry::IdentityToken(Secret::new(token)));
        }
        if let Some(encoded) = filled(self.auth) {
            return Some(Entry::Encoded(Secret::new(encoded)));
        }
        if let (Some(username), Some(password)) = (filled(self.username), filled(self.password)) {
            let password = Secret::new(password);
            return Some(Entry::Basic { username, password });
        }
        filled(self.registrytoken).map(|_| Entry::RegistryToken)
    }
}

impl Entry {
    fn login(&self) -> Result<Login, &'static str> {
        match self {
            Self::IdentityToken(token) => Ok(Login::IdentityToken(token.clone())),
            Self::Basic { username, password } => Ok(Login::Basic {
                username: username.clone(),
                password: password.clone(),
            }),
            Self::Encoded(encoded) => decode(encoded),
            Self::RegistryToken => {
                Err("has only a `registrytoken`, which is not supported; log in with a password")
            }
        }
    }
}

fn decode(encoded: &Secret) -> Result<Login, &'static str> {
    let decoded = BASE64
        .decode(encoded.expose().trim_ascii())
        .map_err(|_| "has an `auth` that is not base64")?;
    let decoded = Zeroizing::new(decoded);
    let text = std::str::from_utf8(&decoded).map_err(|_| "has an `auth` that is not UTF-8")?;
    let (username, password) = text
        .split_once(':')
        .ok_or("has an `auth` that is not `user:password`")?;
    if username.is_empty() {
        return Err("has an `auth` without a user name");
    }
    Ok(Login::Basic {
        username: username.to_owned(),
        // Old versions of docker padded it.
        password: Secret::new(password.trim_matches('\0')),
    })
}
