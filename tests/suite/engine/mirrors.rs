//! Base images that come from elsewhere.

use super::{Project, base_layout, docker, engine};

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
