#![expect(clippy::disallowed_methods, reason = "tests write the files they read")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{AuthStore, Login};
use crate::secret::Secret;

fn written(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

/// `user:password`, `token …`, `none`, or the error.
fn shown(store: &AuthStore, registry: &str, repository: Option<&str>) -> String {
    match store.login_for(registry, repository) {
        Ok(None) => "none".to_owned(),
        Ok(Some(Login::Basic { username, password })) => {
            format!("{username}:{}", password.expose_str().unwrap())
        }
        Ok(Some(Login::IdentityToken(token))) => format!("token {}", token.expose_str().unwrap()),
        Err(fault) => fault.to_string(),
    }
}

// base64 by coreutils: printf 'hub:pw' | base64, and so on
const HUB: &str = "aHViOnB3"; // hub:pw
const TEAM: &str = "dGVhbTpwOnc="; // team:p:w
const TEAM_UNPADDED: &str = "dGVhbTpwOnc";
const REPO: &str = "cmVwbzpwdwAA"; // repo:pw\0\0

#[test]
fn dockers_config_is_read() {
    let dir = TempDir::new().unwrap();
    let file = written(
        &dir,
        "config.json",
        &format!(
            r#"{{"auths": {{
                "https://index.docker.io/v1/": {{"auth": "{HUB}"}},
                "quay.io": {{"auth": "{TEAM}"}},
                "azure.example": {{"auth": "{HUB}", "identitytoken": "tok"}},
                "plain.example:5000": {{"username": "u", "password": "p"}},
                "empty.example": {{}},
                "null.example": null,
                "unpadded.example": {{"auth": "{TEAM_UNPADDED}"}}
            }}, "HttpHeaders": {{"a": "b"}}, "psFormat": "x"}}"#
        ),
    );
    let store = AuthStore::new().with_file(file).unwrap();
    for (registry, expected) in [
        ("docker.io", "hub:pw"),
        ("registry-1.docker.io", "hub:pw"),
        ("quay.io", "team:p:w"),
        ("azure.example", "token tok"),
        ("plain.example:5000", "u:p"),
        ("plain.example", "none"),
        ("empty.example", "none"),
        ("null.example", "none"),
        ("unpadded.example", "team:p:w"),
        ("ghcr.io", "none"),
    ] {
        assert_eq!(shown(&store, registry, Some("a/b")), expected, "{registry}");
    }
}

#[test]
fn the_most_specific_entry_of_podmans_file_is_taken() {
    let dir = TempDir::new().unwrap();
    let file = written(
        &dir,
        "auth.json",
        &format!(
            r#"{{"auths": {{
                "quay.io": {{"auth": "{HUB}"}},
                "quay.io/team": {{"auth": "{TEAM}"}},
                "quay.io/team/app": {{"auth": "{REPO}"}},
                "only.example/team": {{"auth": "{TEAM}"}}
            }}}}"#
        ),
    );
    let store = AuthStore::new().with_file(file).unwrap();
    for (registry, repository, expected) in [
        ("quay.io", None, "hub:pw"),
        ("quay.io", Some("other"), "hub:pw"),
        ("quay.io", Some("teams/app"), "hub:pw"),
        ("quay.io", Some("team/other"), "team:p:w"),
        ("quay.io", Some("team/app"), "repo:pw"),
        ("quay.io", Some("team/app/deep"), "repo:pw"),
        ("only.example", None, "none"),
        ("only.example", Some("team/x"), "team:p:w"),
    ] {
        assert_eq!(
            shown(&store, registry, repository),
            expected,
            "{registry} {repository:?}"
        );
    }
    assert_eq!(store.namespaces("quay.io"), ["team", "team/app"]);
    assert_eq!(store.namespaces("only.example"), ["team"]);
}

#[test]
fn given_logins_go_before_files_and_files_before_later_ones() {
    let dir = TempDir::new().unwrap();
    let entry = |auth| format!(r#"{{"auths": {{"quay.io": {{"auth": "{auth}"}}}}}}"#);
    let first = written(&dir, "1.json", &entry(HUB));
    let second = written(&dir, "2.json", &entry(TEAM));
    let store = AuthStore::new()
        .with_file_if_present(dir.path().join("absent"))
        .unwrap()
        .with_file(first)
        .unwrap()
        .with_file(second)
        .unwrap();
    assert_eq!(shown(&store, "quay.io", None), "hub:pw");
    let login = Login::Basic {
        username: "given".to_owned(),
        password: Secret::new("pw"),
    };
    let store = store.with_login("quay.io/team", login);
    assert_eq!(shown(&store, "quay.io", Some("team/a")), "given:pw");
    assert_eq!(shown(&store, "quay.io", Some("other")), "hub:pw");
}

#[test]
fn faults_name_the_file_and_never_a_value() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    for (name, text, expected) in [
        (
            "a",
            r#"{"auths": {"q.io": {"auth": "hunter2!"}}}"#,
            "entry for `q.io` has an `auth` that is not base64",
        ),
        (
            "b",
            r#"{"auths": {"q.io": {"auth": "aHVudGVyMg=="}}}"#,
            "entry for `q.io` has an `auth` that is not `user:password`",
        ),
        (
            "c",
            r#"{"auths": {"q.io": {"auth": "Omh1bnRlcjI="}}}"#,
            "entry for `q.io` has an `auth` without a user name",
        ),
        (
            "d",
            r#"{"auths": {"q.io": {"auth": "//79"}}}"#,
            "entry for `q.io` has an `auth` that is not UTF-8",
        ),
        (
            "e",
            r#"{"auths": {"q.io": {"registrytoken": "hunter2"}}}"#,
            "entry for `q.io` has only a `registrytoken`, which is not supported; log in with a password",
        ),
    ] {
        let store = AuthStore::new()
            .with_file(written(&dir, name, text))
            .unwrap();
        let file = path(name).display().to_string();
        assert_eq!(
            shown(&store, "q.io", None),
            format!("login file {file}: {expected}")
        );
        assert_eq!(shown(&store, "other.io", None), "none");
    }
    for (text, expected) in [
        (
            r#"{"auths": "hunter2"}"#,
            "line 1, column 19: a value of another kind is expected here",
        ),
        (
            r#"{"auths": {"q.io": {"auth": "hunter2"#,
            "line 1, column 36: the file ends in the middle",
        ),
        ("\nhunter2", "line 2, column 1: not JSON"),
    ] {
        let fault = AuthStore::new()
            .with_file(written(&dir, "f", text))
            .unwrap_err();
        let expected = format!("login file {}, {expected}", path("f").display());
        assert_eq!(fault.to_string(), expected);
        assert!(!format!("{fault:?}").contains("hunter2"));
    }
}

#[test]
fn an_empty_file_has_no_logins_and_a_missing_one_is_named() {
    let dir = TempDir::new().unwrap();
    let store = AuthStore::new()
        .with_file(written(&dir, "a", "\n"))
        .unwrap();
    assert_eq!(shown(&store, "quay.io", None), "none");
    let fault = AuthStore::new()
        .with_file(dir.path().join("b"))
        .unwrap_err();
    assert!(fault.to_string().contains("/b: No such file"), "{fault}");
}

#[test]
fn an_oversized_file_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let fault = AuthStore::new().with_file(path).unwrap_err();
    assert!(
        fault.to_string().ends_with("larger than 4194304 bytes"),
        "{fault}"
    );
}

fn helper(dir: &Path, name: &str, script: &str) {
    let path = dir.join(format!("docker-credential-{name}"));
    // Written by another process: were it open for writing here while a test beside this one forks,
    // it could not be run (`ETXTBSY`).
    let mut writer = Command::new("sh")
        .args(["-c", r#"cat >"$0" && chmod 755 "$0""#])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    write!(writer.stdin.take().unwrap(), "#!/bin/sh\n{script}\n").unwrap();
    assert!(writer.wait().unwrap().success());
}

/// Answers `$server` as user, its only argument as password.
const ECHO: &str = r#"server=$(cat); printf '{"ServerURL":"%s","Username":"%s","Secret":"%s"}' "$server" "$server" "$1""#;

fn with_helpers(dir: &TempDir, config: &str) -> AuthStore {
    let bin = dir.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    helper(&bin, "echo", ECHO);
    helper(
        &bin,
        "token",
        r#"printf '{"Username":"<token>","Secret":"tok"}'"#,
    );
    helper(
        &bin,
        "absent",
        "cat >/dev/null; echo 'credentials not found in native keychain'; exit 1",
    );
    helper(&bin, "locked", "echo 'keychain is locked'; exit 3");
    helper(&bin, "leaky", r#"echo '{"Secret":"hunter2"}'; exit 1"#);
    helper(&bin, "garbage", "echo hunter2");
    helper(&bin, "slow", "exec sleep 30");
    helper(&bin, "orphan", "sleep 30 & exit 0");
    helper(
        &bin,
        "deaf",
        r#"exec 0<&-; printf '{"Username":"u","Secret":"p"}'"#,
    );
    AuthStore::new()
        .with_file(written(dir, "config.json", config))
        .unwrap()
        .with_helper_dirs(vec![dir.path().join("nowhere"), bin])
        .with_helper_limit(Duration::from_millis(700))
}

#[test]
fn helpers_are_asked_for_their_registries_and_the_store_for_all_others() {
    let dir = TempDir::new().unwrap();
    let config = format!(
        r#"{{"auths": {{"file.example": {{"auth": "{HUB}"}}, "stored.example": {{}}, "both.example": {{"auth": "{TEAM}"}}}},
            "credHelpers": {{"token.example": "token", "both.example": "absent", "gone.example": "absent"}},
            "credsStore": "echo"}}"#
    );
    let store = with_helpers(&dir, &config);
    for (registry, expected) in [
        ("token.example", "token tok"),
        ("file.example", "hub:pw"),
        ("both.example", "team:p:w"),
        ("stored.example", "stored.example:get"),
        ("docker.io", "https://index.docker.io/v1/:get"),
        ("gone.example", "gone.example:get"),
    ] {
        assert_eq!(shown(&store, registry, None), expected, "{registry}");
    }
}

#[test]
fn a_helper_that_fails_is_named_without_its_output() {
    let dir = TempDir::new().unwrap();
    let config = r#"{"credHelpers": {"locked.io": "locked", "leaky.io": "leaky", "garbage.io": "garbage",
        "missing.io": "missing", "path.io": "../bin/echo", "deaf.io": "deaf"}}"#;
    let store = with_helpers(&dir, config);
    for (registry, expected) in [
        (
            "locked.io",
            "credential helper `docker-credential-locked` for locked.io: exit status: 3: keychain is locked",
        ),
        (
            "leaky.io",
            "credential helper `docker-credential-leaky` for leaky.io: exit status: 1: no message",
        ),
        (
            "garbage.io",
            "credential helper `docker-credential-garbage` for garbage.io: its answer is not a login in JSON",
        ),
        (
            "missing.io",
            "credential helper `docker-credential-missing` for missing.io: is not installed; install it, or log in anew without it",
        ),
        (
            "path.io",
            "credential helper `docker-credential-../bin/echo` for path.io: the name of a helper cannot be a path",
        ),
        ("deaf.io", "u:p"),
    ] {
        assert_eq!(shown(&store, registry, None), expected, "{registry}");
    }
}

#[test]
fn a_helper_that_hangs_is_ended() {
    let dir = TempDir::new().unwrap();
    let config = r#"{"credHelpers": {"slow.io": "slow", "orphan.io": "orphan"}}"#;
    let store = with_helpers(&dir, config);
    let start = Instant::now();
    assert!(shown(&store, "slow.io", None).ends_with(": no answer within 0.7 s"));
    assert!(shown(&store, "orphan.io", None).ends_with(": its output does not end"));
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
}
