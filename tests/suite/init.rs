//! `plimsoll init`: the files it writes serve, and nothing that exists is touched.

use std::{fs, path::Path};

use crate::support::plimsoll;

const DOCKERFILE: &str = "FROM registry.access.redhat.com/ubi9\nCOPY app /usr/bin/app\n\
    LABEL name=\"org/tool\" version=\"2.1\" release=\"4\"\nUSER 1001\n";

fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn read(directory: &Path, path: &str) -> String {
    fs::read_to_string(directory.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn a_repository_gets_a_configuration_that_the_program_takes() {
    let directory = repository(&[
        ("images/tool/Dockerfile", DOCKERFILE),
        ("images/tool/app", "x"),
        ("LICENSE", "terms"),
        (
            ".git/config",
            "[remote \"origin\"]\n\turl = git@gitlab.example.com:Org/tool.git\n",
        ),
    ]);
    let done = plimsoll(directory.path(), &["init", "--yes"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let yaml = read(directory.path(), "plimsoll.yaml");
    for part in [
        "context: images/tool",
        "dockerfile: Dockerfile",
        "registry: quay.io",
        "repository: org/tool",
        "tag: 2.1-4",
    ] {
        assert!(yaml.contains(part), "{part} in {yaml}");
    }
    assert!(read(directory.path(), ".gitlab-ci.yml").contains("component:"));
    assert_eq!(read(directory.path(), "licenses/LICENSE"), "terms");
    assert!(done.stdout.contains("vendor=\"\""), "{}", done.stdout);
    assert!(
        done.stdout.contains("COPY licenses /licenses"),
        "{}",
        done.stdout
    );
    let check = plimsoll(directory.path(), &["run", "--dry-run"]);
    assert_eq!(check.code, 0, "{}", check.stderr);
}

#[test]
fn what_exists_is_never_touched() {
    let directory = repository(&[
        ("Dockerfile", DOCKERFILE),
        ("plimsoll.yaml", "stages: [check]\n"),
        (".github/workflows/plimsoll-release.yml", "mine"),
    ]);
    let done = plimsoll(directory.path(), &["init", "--yes"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(read(directory.path(), "plimsoll.yaml"), "stages: [check]\n");
    let release = ".github/workflows/plimsoll-release.yml";
    assert_eq!(read(directory.path(), release), "mine");
    assert!(done.stdout.contains("plimsoll.yaml: kept, it exists"));
    assert!(
        directory
            .path()
            .join(".github/workflows/plimsoll-pull-request.yml")
            .is_file()
    );
}

#[test]
fn a_dry_run_writes_nothing() {
    let directory = repository(&[("Dockerfile", DOCKERFILE)]);
    let done = plimsoll(directory.path(), &["init", "--yes", "--dry-run"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stdout.contains("plimsoll.yaml: would be written"));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn several_dockerfiles_become_several_images() {
    let directory = repository(&[
        ("api/Dockerfile", "FROM scratch\nCOPY main /\n"),
        ("api/main", "x"),
        ("worker/Containerfile", "FROM scratch\nCOPY worker/main /\n"),
        ("worker/main", "x"),
        ("node_modules/dep/Dockerfile", "FROM scratch\n"),
    ]);
    let done = plimsoll(directory.path(), &["init", "--yes", "--ci", "none"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let yaml = read(directory.path(), "plimsoll.yaml");
    assert!(
        yaml.contains("name: api") && yaml.contains("name: worker"),
        "{yaml}"
    );
    assert!(yaml.contains("context: api"), "{yaml}");
    assert!(!yaml.contains("node_modules"), "{yaml}");
    // The worker copies from the root, so that is its context.
    assert!(yaml.contains("dockerfile: worker/Containerfile"), "{yaml}");
    let check = plimsoll(directory.path(), &["run", "--dry-run"]);
    assert_eq!(check.code, 0, "{}", check.stderr);
}

#[test]
fn a_wrong_answer_writes_nothing_and_says_why() {
    let table: &[(&[&str], &str)] = &[
        (&["init", "--yes", "--tag", ".bad"], "may not start a tag"),
        (
            &["init", "--yes", "--image", "quay.io/Org/App"],
            "quay.io/Org/App",
        ),
        (
            &["init", "--yes", "--file", "nowhere/Dockerfile"],
            "no such Dockerfile",
        ),
        (&["init", "--yes", "nowhere"], "no such directory"),
    ];
    for (args, expected) in table {
        let directory = repository(&[("Dockerfile", DOCKERFILE)]);
        let done = plimsoll(directory.path(), args);
        assert_eq!(done.code, 2, "{args:?}: {}", done.stderr);
        assert!(done.stderr.contains(expected), "{args:?}: {}", done.stderr);
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "{args:?}"
        );
    }
}

#[test]
fn without_a_dockerfile_there_is_nothing_to_write_for() {
    let directory = repository(&[("README", "x")]);
    let done = plimsoll(directory.path(), &["init", "--yes"]);
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("no Dockerfile in"), "{}", done.stderr);
}
