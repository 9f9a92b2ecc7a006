use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
};

use super::{FetchError, FetchOptions, commit, git, http, redacted};
use crate::engine::embedded::graph::{GitSource, HttpSource};

fn source(remote: &str, reference: Option<&str>) -> GitSource {
    GitSource {
        remote: remote.to_owned(),
        reference: reference.map(ToOwned::to_owned),
        subdir: None,
        keep_git_dir: false,
        checksum: None,
        skip_submodules: false,
    }
}

#[test]
fn addresses_of_this_machine_and_options_are_refused() {
    let options = FetchOptions::default();
    for (remote, reference) in [
        ("file:///etc", None),
        ("/etc", None),
        ("ext::sh -c id", None),
        ("--upload-pack=id", None),
        ("-x@host:path", None),
        ("https://host/x.git", Some("--upload-pack=id")),
        ("https://host/x.git", Some("a:b")),
    ] {
        let error = commit(&source(remote, reference), &options).unwrap_err();
        assert!(
            matches!(error, FetchError::Refused { .. }),
            "{remote}: {error}"
        );
    }
}

#[test]
fn a_missing_git_is_named() {
    let options = FetchOptions {
        path: Some("/nonexistent".to_owned()),
        ..FetchOptions::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let error = git(
        &source("https://host.invalid/x.git", None),
        dir.path(),
        &options,
    )
    .unwrap_err();
    assert!(error.to_string().contains("install git"), "{error}");
}

#[test]
fn passwords_are_not_shown() {
    assert_eq!(
        redacted("https://me:secret@host/x"),
        "https://me:xxxxx@host/x"
    );
    assert_eq!(redacted("git@host:x"), "git@host:x");
}

/// Answers one request: 304 when it has a condition, else the text.
fn answer(mut stream: TcpStream, text: &str) -> bool {
    let mut asked = false;
    for line in BufReader::new(&stream).lines() {
        let line = line.unwrap().to_ascii_lowercase();
        asked |= line.starts_with("if-none-match:");
        if line.is_empty() {
            break;
        }
    }
    let reply = if asked {
        "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".to_owned()
    } else {
        format!(
            "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        )
    };
    stream.write_all(reply.as_bytes()).unwrap();
    asked
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test looks at what is kept")]
fn a_kept_download_holds_no_password_and_is_fetched_anew_when_it_is_damaged() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || -> Vec<bool> {
        let streams = listener.incoming().take(4);
        streams
            .map(|stream| answer(stream.unwrap(), "text"))
            .collect()
    });
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("downloads");
    let options = FetchOptions {
        cache: Some(cache.clone()),
        ..FetchOptions::default()
    };
    let source = HttpSource {
        url: format!("http://me:hunter22@{address}/file"),
        checksum: None,
        filename: "file".to_owned(),
    };
    let fetch = |name: &str| {
        let run = dir.path().join(name);
        let into = run.join("into");
        fs::create_dir_all(&into).unwrap();
        http(&source, &into, &options).unwrap();
        assert_eq!(fs::read(into.join("file")).unwrap(), b"text", "{name}");
        assert_eq!(fs::read_dir(&run).unwrap().count(), 1, "{name}");
    };
    let kept = || -> Vec<_> {
        let entries = fs::read_dir(&cache).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    fetch("first");
    fetch("unchanged");
    for path in kept() {
        let held = String::from_utf8(fs::read(&path).unwrap()).unwrap();
        assert!(!held.contains("hunter22"), "{}: {held}", path.display());
        if path.extension() != Some(Path::new("json").as_os_str()) {
            fs::write(&path, "damaged").unwrap();
        }
    }
    fetch("damaged");
    assert_eq!(server.join().unwrap(), [false, true, true, false]);
}
