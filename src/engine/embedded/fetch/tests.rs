use super::{FetchError, FetchOptions, commit, git, redacted};
use crate::engine::embedded::graph::GitSource;

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
