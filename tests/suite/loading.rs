//! Images go into a Docker Engine and come out of it: `load`, and `push` of what it holds.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::{
    Ran, command, docker_is_there, docker_registry::Registry, plimsoll, plimsoll_command, skipped,
};

/// Takes images out of the engine again.
struct Names(Vec<String>);

impl Drop for Names {
    fn drop(&mut self) {
        let _ = command("docker")
            .args(["image", "rm", "-f"])
            .args(&self.0)
            .output();
    }
}

fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("Dockerfile"),
        "FROM scratch\nCOPY terms /licenses/terms\nLABEL name=a/b release=1\nUSER 1001\n",
    )
    .unwrap();
    fs::write(folder.path().join("terms"), "terms\n").unwrap();
    folder
}

fn build(folder: &Path, engine: &str, more: &[&str]) -> Ran {
    let args = [
        "run",
        "check,build",
        "--engine",
        engine,
        "--cache-dir",
        "cache",
        "--format",
        "json",
    ];
    plimsoll(folder, &[&args[..], more].concat())
}

fn inspect(name: &str) -> Value {
    let output = command("docker")
        .args(["image", "inspect", name])
        .output()
        .unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    found[0].clone()
}

#[test]
fn what_was_built_is_in_the_engine_under_its_names() {
    if !docker_is_there() {
        return;
    }
    let name = "localhost/plimsoll-loading/app";
    let names = Names(vec![format!("{name}:1.0-1"), format!("{name}:stable")]);
    for engine in ["embedded", "docker"] {
        let folder = project();
        let ran = build(
            folder.path(),
            engine,
            &[
                "--load",
                "--image",
                name,
                "--tag",
                "1.0-1,stable",
                "--output",
                "out",
            ],
        );
        assert_eq!(ran.code, 0, "{ran}");
        for name in &names.0 {
            let found = inspect(name);
            assert_eq!(found["Config"]["Labels"]["name"], "a/b", "{found}");
            assert_eq!(found["Config"]["User"], "1001");
        }
        // The engine names an image by its configuration: it is the one that was built.
        let index: Value =
            serde_json::from_slice(&fs::read(folder.path().join("out/index.json")).unwrap())
                .unwrap();
        let digest = index["manifests"][0]["digest"]
            .as_str()
            .unwrap()
            .replace("sha256:", "");
        let manifest = fs::read(folder.path().join("out/blobs/sha256").join(digest)).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(
            inspect(&names.0[0])["Id"],
            manifest["config"]["digest"],
            "{engine}"
        );
    }
}

#[test]
fn an_image_that_cannot_be_loaded_is_no_success() {
    let folder = project();
    let ran = build(folder.path(), "embedded", &["--load"]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.stderr.contains("no name to be loaded under"), "{ran}");
    let args = [
        "run",
        "check,build",
        "--engine",
        "embedded",
        "--cache-dir",
        "cache",
        "--load",
        "--image",
        "localhost/a",
        "--tag",
        "1",
    ];
    let mut command = plimsoll_command(folder.path(), &args);
    let ran = Ran::of(
        &command
            .env("PLIMSOLL_DOCKER_HOST", "unix:///nowhere.sock")
            .output()
            .unwrap(),
    );
    assert_eq!(ran.code, 4, "{ran}");
    assert!(
        ran.stderr.contains("was built, but not loaded") && ran.stderr.contains("docker-host"),
        "{ran}"
    );
}

#[test]
fn images_of_the_engine_and_of_archives_reach_a_registry() {
    if !docker_is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(registry) = Registry::start(folder, "", "") else {
        return skipped("loading", "no docker-registry");
    };
    let name = "localhost/plimsoll-loading/push:1.0-1";
    let _names = Names(vec![name.to_owned()]);
    let folder = project();
    let loaded = build(
        folder.path(),
        "embedded",
        &[
            "--load",
            "--image",
            "localhost/plimsoll-loading/push",
            "--tag",
            "1.0-1",
            "--output",
            "out",
        ],
    );
    assert_eq!(loaded.code, 0, "{loaded}");
    let saved = folder.path().join("saved.tar");
    let save = command("docker")
        .args(["save", "-o"])
        .arg(&saved)
        .arg(name)
        .status()
        .unwrap();
    assert!(save.success());
    let sources = [
        format!("docker-daemon:{name}"),
        format!("docker-archive:{}", saved.display()),
        "oci:out:1.0-1".to_owned(),
    ];
    let mut configs = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let image = format!("{}/p/x{number}", registry.address);
        let rules =
            plimsoll::check::rules().map(|rule| format!("{}=a small image of a test", rule.id));
        let skips: Vec<String> = rules.collect();
        let mut args = vec![
            "push", source, "--image", &image, "--tag", "1.0-1", "--format", "json",
        ];
        args.extend(skips.iter().flat_map(|skip| ["--skip", skip]));
        let ran = plimsoll(folder.path(), &args);
        assert_eq!(ran.code, 0, "{source}: {ran}");
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let scan = plimsoll(
            folder.path(),
            &[
                "scan",
                &format!("docker://{image}:1.0-1"),
                "--format",
                "json",
            ],
        );
        let read: Value = serde_json::from_str(&scan.stdout).unwrap();
        assert_eq!(
            read["image"]["digest"], report["image"]["digest"],
            "{source}"
        );
        configs.push(read["image"]["config_digest"].clone());
    }
    assert!(
        configs.iter().all(|config| *config == configs[0]),
        "one image by three roads: {configs:?}"
    );
}
