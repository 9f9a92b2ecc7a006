//! Base images that come from elsewhere.

use std::sync::Arc;

use plimsoll::{
    engine::{Engine, EngineChoice, connect},
    registry::{RegistryOptions, auth::AuthStore},
};

use super::{Project, base_layout, docker, engine};
use crate::support::registry::{Double, Reply};

#[test]
fn every_image_that_the_dockerfile_uses_may_be_mirrored() {
    let Some(engine) = engine() else { return };
    let mut project = Project::new(
        "FROM mirrored.example.com/one/app:1\nCOPY --from=mirrored.example.com/two/tools:2 /etc/passwd /copied\n",
    );
    let layout = format!("oci:{}", base_layout().display());
    project.plan.mirrors = [("mirrored.example.com".to_owned(), layout)].into();
    let image = project.built(engine.as_ref());
    assert!(image.file("copied").unwrap().starts_with("root:"));
    let Some(docker) = docker() else { return };
    for name in [
        "mirrored.example.com/one/app:1",
        "mirrored.example.com/two/tools:2",
    ] {
        let error = docker
            .save(name, &project.dir.path().join("x.tar"))
            .unwrap_err();
        assert!(error.is_not_found(), "{name}: {error}");
    }
}

#[test]
fn a_name_that_was_in_use_is_given_back() {
    let Some(engine) = engine() else { return };
    let Some(docker) = docker() else { return };
    let name = format!("localhost/plimsoll-taken:{}", std::process::id());
    let mut first = Project::new("FROM BASE\nRUN echo somebody-elses > /x\n");
    first.plan.names = vec![name.clone()];
    first.built(engine.as_ref());
    let mut second = Project::new(&format!("FROM {name}\nRUN ls / > /list\n"));
    let layout = format!("oci:{}", base_layout().display());
    second.plan.mirrors = [(name.clone(), layout)].into();
    let list = second.built(engine.as_ref()).file("list").unwrap();
    assert!(!list.lines().any(|line| line == "x"), "{list}");
    let archive = second.dir.path().join("given-back.tar");
    docker.save(&name, &archive).unwrap();
    docker.remove_image(&name).unwrap();
    let digest =
        plimsoll::layout::import_docker_archive(&archive, &second.dir.path().join("back"), &[]);
    let built = plimsoll::engine::Built {
        layout: second.dir.path().join("back"),
        digest: digest.unwrap(),
        engine: String::new(),
        lints: Vec::new(),
    };
    assert_eq!(
        super::Image::open(built).file("x").as_deref(),
        Some("somebody-elses\n")
    );
}

#[test]
fn a_mirror_that_holds_no_image_is_found_at_its_from() {
    let Some(engine) = engine() else { return };
    let mut project = Project::new("ARG X\nFROM BASE\n");
    let missing = project.dir.path().join("missing");
    for value in project.plan.mirrors.values_mut() {
        *value = format!("oci:{}", missing.display());
    }
    let failure = project.failure(engine.as_ref());
    assert_eq!(failure.location.unwrap().line, 2);
    assert!(failure.message.contains("missing"), "{}", failure.message);
}

/// A registry that gives the base image to those who log in.
fn registry() -> Double {
    Double::start(|seen| {
        if seen.authorization.as_deref() != Some("Basic dXNlcjprZXk=") {
            let challenge = "Basic realm=\"test\"";
            return Reply::new(401, "{}").header("www-authenticate", challenge);
        }
        let path = seen.path.split('?').next().unwrap();
        let index = std::fs::read_to_string(base_layout().join("index.json")).unwrap();
        let index: serde_json::Value = serde_json::from_str(&index).unwrap();
        let top = index["manifests"][0]["digest"].as_str().unwrap();
        let blob = |digest: &str| {
            let path = base_layout().join("blobs").join(digest.replace(':', "/"));
            std::fs::read(path).ok()
        };
        match path.strip_prefix("/v2/bases/base/") {
            None if path == "/v2/" => Reply::new(200, "{}"),
            Some(rest) => {
                let (kind, name) = rest.split_once('/').unwrap();
                let digest = if name.contains(':') { name } else { top };
                let media_type = match kind {
                    "manifests" => "application/vnd.oci.image.manifest.v1+json",
                    _ => "application/octet-stream",
                };
                match blob(digest) {
                    Some(bytes) => Reply::new(200, bytes)
                        .header("content-type", media_type)
                        .header("docker-content-digest", digest),
                    None => Reply::new(404, "{}"),
                }
            }
            None => Reply::new(404, "{}"),
        }
    })
}

fn engine_with_login(dir: &std::path::Path, host: &str) -> Option<Box<dyn Engine>> {
    super::engine()?;
    let file = dir.join("auth.json");
    let login = format!(r#"{{"auths":{{"{host}":{{"auth":"dXNlcjprZXk="}}}}}}"#);
    std::fs::write(&file, login).unwrap();
    let mut environment = super::environment();
    environment.auth = Arc::new(AuthStore::new().with_file(file).unwrap());
    Some(
        connect(
            EngineChoice::Auto,
            &environment,
            &RegistryOptions::default(),
        )
        .unwrap(),
    )
}

#[test]
fn another_registry_stands_in_with_its_own_login() {
    let registry = registry();
    let mut project = Project::new("FROM BASE\nRUN echo x > /x\n");
    let Some(engine) = engine_with_login(project.dir.path(), &registry.host()) else {
        return;
    };
    for value in project.plan.mirrors.values_mut() {
        *value = format!("{}/bases/base", registry.host());
    }
    let image = project.built(engine.as_ref());
    assert_eq!(image.file("x").as_deref(), Some("x\n"));
    assert_eq!(image.label("base"), Some("yes"));
    let asked = registry.requests();
    assert!(
        asked.iter().any(|seen| seen.path.ends_with("/manifests/1")),
        "{asked:#?}"
    );
    let Some(docker) = docker() else { return };
    let archive = project.dir.path().join("x.tar");
    let stand_in = format!("{}/bases/base:1", registry.host());
    for name in project.plan.mirrors.keys().chain([&stand_in]) {
        let error = docker.save(name, &archive).unwrap_err();
        assert!(error.is_not_found(), "{name}: {error}");
    }
}

#[test]
fn a_registry_that_wants_a_login_is_named_with_the_line() {
    let registry = registry();
    let Some(engine) = engine() else { return };
    let mut project = Project::new("\nFROM BASE\n");
    for value in project.plan.mirrors.values_mut() {
        *value = format!("{}/bases/base", registry.host());
    }
    let failure = project.failure(engine.as_ref());
    assert_eq!(failure.location.clone().unwrap().line, 2, "{failure:#?}");
    assert!(failure.message.contains(&registry.host()), "{failure:#?}");
}

#[test]
fn a_registry_that_is_broken_is_named_with_the_line() {
    let Some(engine) = engine() else { return };
    for (status, words) in [
        (500, r#"{"errors":[{"code":"UNKNOWN","message":"broken"}]}"#),
        (503, "busy"),
        (
            404,
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"none"}]}"#,
        ),
    ] {
        let registry = Double::start(move |seen| match seen.path.as_str() {
            "/v2/" => Reply::new(200, "{}"),
            _ => Reply::new(status, words),
        });
        let mut project = Project::new("\n\nFROM BASE\n");
        for value in project.plan.mirrors.values_mut() {
            *value = format!("{}/bases/base", registry.host());
        }
        let failure = project.failure(engine.as_ref());
        let line = failure.location.clone().map(|at| at.line);
        assert_eq!(line, Some(3), "{status}: {failure:#?}");
    }
}
