//! Writes logins where docker and podman look for them: into one of their files, or through the
//! credential helper that the file names.
//!
//! Everything else in the file is kept, keys that are not known here too. The file is replaced as a
//! whole and is readable by its owner alone.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{
    AuthError, AuthStore, Login,
    file::{MAX_FILE, json_error},
    scope::Scope,
};

/// Where a login is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// in this file
    File(PathBuf),
    /// by this helper, which the file names
    Helper(String, PathBuf),
}

impl AuthStore {
    /// Stores a user name and password for `scope` (`registry` or `registry/namespace`) in `file`,
    /// or with the credential helper that it names for the registry.
    ///
    /// # Errors
    /// When the file is no login file or cannot be written, or the helper fails.
    pub fn store(
        &self,
        file: &Path,
        scope: &str,
        username: &str,
        login: &Login,
    ) -> Result<Kept, AuthError> {
        let Login::Basic { password, .. } = login else {
            return Err(AuthError::Entry {
                file: file.to_owned(),
                key: scope.to_owned(),
                fault: "can hold a user name and password only",
            });
        };
        let wanted = Scope::parse(scope);
        let document = Document::open(file)?;
        let mut json = document.json.clone();
        Document::forget(&mut json, &wanted);
        if let Some(helper) = document.helper(&wanted) {
            let secret = password.expose_str().unwrap_or_default();
            let request = json!({
                "ServerURL": wanted.server(), "Username": username, "Secret": secret,
            });
            let request = Zeroizing::new(request.to_string());
            self.helpers
                .tell(&helper, "store", request.as_bytes(), wanted.server())?;
            document.write_if_changed(&json)?;
            return Ok(Kept::Helper(helper, document.path));
        }
        let mut pair = Zeroizing::new(username.as_bytes().to_vec());
        pair.push(b':');
        pair.extend_from_slice(password.expose());
        let entry = json!({ "auth": BASE64_STANDARD.encode(&*pair) });
        let auths = json.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        if let Value::Object(auths) = auths {
            auths.insert(wanted.key(), entry);
        }
        document.write(&json)?;
        Ok(Kept::File(document.path))
    }

    /// Removes what was stored for `scope`; `None` when there was nothing.
    ///
    /// # Errors
    /// As [`AuthStore::store`].
    pub fn remove(&self, file: &Path, scope: &str) -> Result<Option<Kept>, AuthError> {
        let wanted = Scope::parse(scope);
        let document = Document::open(file)?;
        let mut json = document.json.clone();
        let forgotten = Document::forget(&mut json, &wanted);
        document.write_if_changed(&json)?;
        if let Some(helper) = document.helper(&wanted) {
            let known = self.helpers.ask(&helper, wanted.server())?.is_some();
            if known {
                let server = wanted.server();
                self.helpers
                    .tell(&helper, "erase", server.as_bytes(), server)?;
                return Ok(Some(Kept::Helper(helper, document.path)));
            }
        }
        Ok(forgotten.then_some(Kept::File(document.path)))
    }

    /// Whether a file has an entry of its own for `scope`.
    pub fn has_entry(&self, scope: &str) -> bool {
        let wanted = Scope::parse(scope);
        self.files
            .iter()
            .any(|file| file.scopes().any(|scope| scope == wanted))
    }
}

/// A login file, locked against others of our kind while it is changed.
struct Document {
    /// links followed
    path: PathBuf,
    json: Map<String, Value>,
    _lock: File,
}

impl Document {
    fn open(file: &Path) -> Result<Self, AuthError> {
        // A link stays one: what it leads to is replaced.
        let path = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let lock = lock(dir).map_err(|fault| unwritable(&path, fault))?;
        let json = match read(&path) {
            Ok(bytes) if bytes.len() as u64 > MAX_FILE => {
                let limit = MAX_FILE;
                return Err(AuthError::TooLarge { file: path, limit });
            }
            Ok(bytes) if bytes.trim_ascii().is_empty() => Map::new(),
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(json) => json,
                Err(fault) => return Err(json_error(path, &fault)),
            },
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Map::new(),
            Err(fault) => return Err(AuthError::Unreadable { file: path, fault }),
        };
        Ok(Self {
            path,
            json,
            _lock: lock,
        })
    }

    /// The helper that keeps the logins of a registry. Helpers know no namespaces.
    fn helper(&self, wanted: &Scope) -> Option<String> {
        if !wanted.is_whole() {
            return None;
        }
        let own = self.json.get("credHelpers").and_then(Value::as_object);
        let own = own.and_then(|helpers| {
            let mut helpers = helpers.iter();
            let (_, helper) = helpers.find(|(key, _)| Scope::parse(key) == *wanted)?;
            helper.as_str()
        });
        own.or_else(|| self.json.get("credsStore")?.as_str())
            .filter(|helper| !helper.is_empty())
            .map(str::to_owned)
    }

    /// Takes out every entry for just this scope, however it is written.
    fn forget(json: &mut Map<String, Value>, wanted: &Scope) -> bool {
        let Some(Value::Object(auths)) = json.get_mut("auths") else {
            return false;
        };
        let before = auths.len();
        auths.retain(|key, _| Scope::parse(key) != *wanted);
        auths.len() != before
    }

    fn write_if_changed(&self, json: &Map<String, Value>) -> Result<(), AuthError> {
        if *json == self.json {
            return Ok(());
        }
        self.write(json)
    }

    fn write(&self, json: &Map<String, Value>) -> Result<(), AuthError> {
        replace(&self.path, json).map_err(|fault| unwritable(&self.path, fault))
    }
}

fn unwritable(path: &Path, fault: io::Error) -> AuthError {
    AuthError::Unwritable {
        file: path.to_owned(),
        fault,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "login files are the registry's own matter"
)]
fn lock(dir: &Path) -> io::Result<File> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)?;
    let lock = File::open(dir)?;
    // Not every file system can; then the whole file is still put in place at once.
    let _ = lock.lock();
    Ok(lock)
}

#[expect(
    clippy::disallowed_methods,
    reason = "login files are the registry's own matter"
)]
fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Puts the file in place whole, readable by its owner alone, which is how temporary files are made.
fn replace(path: &Path, json: &Map<String, Value>) -> io::Result<()> {
    let mut text = Zeroizing::new(Vec::new());
    // As docker writes it.
    let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut writer = serde_json::Serializer::with_formatter(&mut *text, tabs);
    serde::Serialize::serialize(json, &mut writer)?;
    text.push(b'\n');
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .prefix(".plimsoll-login-")
        .tempfile_in(dir.unwrap_or(Path::new(".")))?;
    file.write_all(&text)?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|failed| failed.error)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests look at files")]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use serde_json::{Value, json};

    use super::{AuthStore, Kept, Login};
    use crate::secret::Secret;

    fn login(password: &str) -> Login {
        Login::Basic {
            username: "robot".to_owned(),
            password: Secret::new(password),
        }
    }

    fn json(path: &Path) -> Value {
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    /// A helper that keeps what it is told in a file beside it.
    fn helper(dir: &Path) -> AuthStore {
        let path = dir.join("docker-credential-keep");
        let script = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho \"$1\" >> calls\ncase $1 in\n\
            store) cat > kept;;\nget) test -s kept || { echo 'credentials not found in native \
            keychain'; exit 1; }; cat kept;;\nerase) cat > erased; rm kept;;\nesac\n";
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        AuthStore::new().with_helper_dirs(vec![dir.to_owned()])
    }

    #[test]
    fn what_is_stored_is_found_again_and_everything_else_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/config.json");
        fs::create_dir(dir.path().join("new")).unwrap();
        let before = json!({
            "HttpHeaders": { "X": "y" },
            "auths": { "https://quay.io/v2/": { "auth": "b2xkOm9sZA==" }, "other": { "auth": "eDp5" } },
            "detachKeys": "ctrl-e,e",
        });
        fs::write(&path, before.to_string()).unwrap();
        let store = AuthStore::new();
        let kept = store
            .store(&path, "quay.io", "robot", &login("pa:ss"))
            .unwrap();
        assert_eq!(kept, Kept::File(path.clone()));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let after = json(&path);
        assert_eq!(after["HttpHeaders"], before["HttpHeaders"]);
        assert_eq!(after["detachKeys"], before["detachKeys"]);
        let keys: Vec<&String> = after["auths"].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["other", "quay.io"], "the old spelling is replaced");
        assert_eq!(after["auths"]["quay.io"]["auth"], "cm9ib3Q6cGE6c3M=");
        let found = AuthStore::new().with_file(&path).unwrap();
        match found.login_for("quay.io", None).unwrap().unwrap() {
            Login::Basic { username, password } => {
                assert_eq!(
                    (username.as_str(), password.expose()),
                    ("robot", &b"pa:ss"[..])
                );
            }
            Login::IdentityToken(_) => panic!("not basic"),
        }
        assert_eq!(store.remove(&path, "quay.io").unwrap(), Some(kept));
        assert_eq!(store.remove(&path, "quay.io").unwrap(), None);
        assert_eq!(json(&path)["auths"], json!({ "other": { "auth": "eDp5" } }));
    }

    #[test]
    fn namespaces_and_docker_hub_are_stored_as_docker_and_podman_write_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        let store = AuthStore::new();
        for scope in [
            "docker.io",
            "quay.io/team",
            "https://r.example:5000/",
            "quay.io",
        ] {
            store.store(&path, scope, "robot", &login("x")).unwrap();
        }
        let after = json(&path);
        let keys: Vec<&String> = after["auths"].as_object().unwrap().keys().collect();
        let want = [
            "https://index.docker.io/v1/",
            "quay.io/team",
            "r.example:5000",
            "quay.io",
        ];
        assert_eq!(keys, want);
    }

    #[test]
    fn a_helper_that_is_configured_keeps_the_login_and_the_file_does_not() {
        for config in [
            json!({ "credsStore": "keep", "auths": { "quay.io": { "auth": "b2xkOm9sZA==" } } }),
            json!({ "credHelpers": { "quay.io": "keep" } }),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("config.json");
            fs::write(&path, config.to_string()).unwrap();
            let store = helper(dir.path());
            let kept = store
                .store(&path, "quay.io", "robot", &login("s3cret"))
                .unwrap();
            assert_eq!(kept, Kept::Helper("keep".to_owned(), path.clone()));
            let text = fs::read_to_string(&path).unwrap();
            assert!(!text.contains("auth\""), "{text}");
            let told = json(&dir.path().join("kept"));
            let want = json!({ "ServerURL": "quay.io", "Username": "robot", "Secret": "s3cret" });
            assert_eq!(told, want);
            assert_eq!(store.remove(&path, "quay.io").unwrap(), Some(kept));
            let erased = fs::read_to_string(dir.path().join("erased")).unwrap();
            assert_eq!(erased, "quay.io");
            assert_eq!(store.remove(&path, "quay.io").unwrap(), None);
        }
    }

    #[test]
    fn a_link_stays_a_link_and_a_broken_file_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real.json"), dir.path().join("link.json"));
        fs::write(&real, "{}").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        AuthStore::new()
            .store(&link, "r.example", "u", &login("x"))
            .unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(json(&real)["auths"]["r.example"].is_object());
        for broken in ["{", "[]", "\"x\""] {
            fs::write(&real, broken).unwrap();
            let error = AuthStore::new().store(&link, "r.example", "u", &login("x"));
            assert!(error.unwrap_err().to_string().contains("line 1"));
            assert_eq!(fs::read_to_string(&real).unwrap(), broken);
        }
    }
}
