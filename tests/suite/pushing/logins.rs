//! `login` and `logout` against a registry in this process.

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, process::Stdio};

use crate::support::{
    Ran, command, has_program, plimsoll_command,
    registry::{Double, Reply},
    skipped,
};

const KEY: &str = "s3cret-key";
/// `unused:s3cret-key`
const UNUSED: &str = "dW51c2VkOnMzY3JldC1rZXk=";

/// Takes the key of `unused`, by a token when `bearer`.
fn registry(bearer: bool) -> Double {
    Double::start(move |seen| {
        let basic = seen.authorization == Some(format!("Basic {UNUSED}"));
        if seen.path.starts_with("/token") {
            assert!(!seen.path.contains("scope="), "{}", seen.path);
            let status = if basic { 200 } else { 401 };
            return Reply::new(status, r#"{"token":"t"}"#);
        }
        let token = bearer && seen.authorization.as_deref() == Some("Bearer t");
        if token || (basic && !bearer) {
            return Reply::new(200, "{}");
        }
        let challenge = if bearer {
            format!("Bearer realm=\"http://{}/token\",service=\"s\"", seen.host)
        } else {
            "Basic realm=\"x\"".to_owned()
        };
        Reply::new(401, "").header("www-authenticate", challenge)
    })
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn run(&self, args: &[&str], variables: &[(&str, &str)], input: &str) -> Ran {
        let mut command = plimsoll_command(self.0.path(), args);
        command
            .env("HOME", self.0.path())
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let ran = Ran::of(&child.wait_with_output().unwrap());
        assert!(!format!("{ran}").contains(KEY), "{ran}");
        ran
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap_or_default()
    }
}

#[test]
fn a_key_that_the_registry_takes_is_stored_and_removed_again() {
    for bearer in [false, true] {
        let (double, home) = (registry(bearer), Home::new());
        let host = double.host();
        let ran = home.run(&["login", &host, "--password-stdin"], &[], "s3cret-key\n");
        assert_eq!(ran.code, 0, "{ran}");
        let file = home.0.path().join(".docker/config.json");
        assert!(ran.stderr.contains(&file.display().to_string()), "{ran}");
        assert!(ran.stderr.contains("as unused"), "{ran}");
        let json: serde_json::Value =
            serde_json::from_str(&home.text(".docker/config.json")).unwrap();
        assert_eq!(json["auths"][&host]["auth"], UNUSED);
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(&home.0.path().join(".docker")), 0o700);
        let ran = home.run(&["logout", &host], &[], "");
        assert_eq!(ran.code, 0, "{ran}");
        assert!(!home.text(".docker/config.json").contains(UNUSED));
        let ran = home.run(&["logout", &host], &[], "");
        assert!(ran.stderr.contains("there is no login"), "{ran}");
    }
}

#[test]
fn a_key_that_the_registry_refuses_is_not_stored() {
    for bearer in [false, true] {
        let (double, home) = (registry(bearer), Home::new());
        let args = ["login", &double.host(), "-u", "other", "--password-stdin"];
        let ran = home.run(&args, &[], KEY);
        assert_eq!(ran.code, 2, "{ran}");
        assert!(ran.stderr.contains("does not take this login"), "{ran}");
        assert!(!home.0.path().join(".docker").exists());
    }
    let home = Home::new();
    let ran = home.run(&["login", "127.0.0.1:1", "--password-stdin"], &[], KEY);
    assert_eq!(ran.code, 4, "{ran}");
    let unguarded = Double::start(|_| Reply::new(200, "{}"));
    let args = ["login", &unguarded.host(), "--password-stdin"];
    let ran = home.run(&args, &[], KEY);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.stderr.contains("asks for no login"), "{ran}");
}

#[test]
fn bad_ways_to_hand_over_a_key_are_refused() {
    let (double, home) = (registry(false), Home::new());
    let host = double.host();
    for (args, words) in [
        (vec!["login", &host], "no password was given"),
        (
            vec!["login", &host, "--password", KEY],
            "unexpected argument '--password'",
        ),
        (vec!["login", &host, "--password-file", "absent"], "absent"),
        (vec!["login", &host, "--password-stdin"], "empty"),
        (
            vec!["login", "quay.io/UPPER", "--password-stdin"],
            "is not a registry",
        ),
        (
            vec!["login", &host, "-u", "a:b", "--password-stdin"],
            "no `:`",
        ),
    ] {
        let mut command = plimsoll_command(home.0.path(), &args);
        command.stdin(Stdio::null()).env("HOME", home.0.path());
        let ran = Ran::of(&command.output().unwrap());
        assert_eq!(ran.code, 2, "{ran}");
        assert!(ran.stderr.contains(words), "{ran}");
    }
    let ran = home.run(&["login", &host], &[("PLIMSOLL_PASSWORD", KEY)], "");
    assert_eq!(ran.code, 0, "{ran}");
}

#[test]
fn the_file_is_the_one_that_docker_and_podman_look_into() {
    let double = registry(false);
    let host = double.host();
    let podman = "run/containers/auth.json";
    type Case<'a> = (
        &'a [&'a str],
        &'a [(&'a str, &'a str)],
        &'a [&'a str],
        &'a str,
    );
    let cases: [Case<'_>; 6] = [
        (&[], &[], &[], ".docker/config.json"),
        (&[], &[("DOCKER_CONFIG", "dc")], &[], "dc/config.json"),
        (
            &[],
            &[("DOCKER_CONFIG", "dc"), ("REGISTRY_AUTH_FILE", "ra.json")],
            &[],
            "ra.json",
        ),
        (
            &["--auth-file", "af.json"],
            &[("REGISTRY_AUTH_FILE", "ra.json")],
            &[],
            "af.json",
        ),
        (&[], &[("XDG_RUNTIME_DIR", "run")], &[podman], podman),
        (
            &[],
            &[("XDG_RUNTIME_DIR", "run")],
            &[podman, ".docker/config.json"],
            ".docker/config.json",
        ),
    ];
    for (more, variables, there, want) in cases {
        let home = Home::new();
        for file in there {
            let path = home.0.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "{}").unwrap();
        }
        let root = home.0.path().display().to_string();
        let variables: Vec<(&str, String)> = variables
            .iter()
            .map(|(name, value)| (*name, format!("{root}/{value}")))
            .collect();
        let variables: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let args = [&["login", host.as_str(), "--password-stdin"], more].concat();
        let ran = home.run(&args, &variables, KEY);
        assert_eq!(ran.code, 0, "{ran}");
        assert!(home.text(want).contains(UNUSED), "{want}: {ran}");
        let stored = walkdir::WalkDir::new(home.0.path())
            .into_iter()
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_file())
            .filter(|entry| fs::read_to_string(entry.path()).unwrap().contains(UNUSED));
        assert_eq!(stored.count(), 1, "{want}");
    }
}

#[test]
fn skopeo_finds_the_login_and_its_own_is_found_here() {
    if !has_program("skopeo") {
        return skipped("skopeo_finds_the_login", "no skopeo");
    }
    let (double, home) = (registry(false), Home::new());
    let host = double.host();
    let ran = home.run(&["login", &host, "--password-stdin"], &[], KEY);
    assert_eq!(ran.code, 0, "{ran}");
    let skopeo = |args: &[&str]| {
        let output = command("skopeo")
            .args(args)
            .env("HOME", home.0.path())
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("REGISTRY_AUTH_FILE")
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let (found, user) = skopeo(&["login", "--get-login", &host]);
    assert!(found && user.trim() == "unused", "{user}");
    let ran = home.run(&["logout", &host], &[], "");
    assert_eq!(ran.code, 0, "{ran}");
    assert!(!skopeo(&["login", "--get-login", &host]).0);
}
