//! What is asked beside the Dockerfile, and what an engine refuses.

use std::path::PathBuf;

use plimsoll::{
    engine::BuildError,
    layout::LayoutSource,
    oci::{Platform, resolve},
};

use super::{Project, docker, engine};

/// The engine hands out OCI archives: BuildKit alone, or a Docker Engine with containerd's store.
fn has_archives() -> bool {
    docker().is_none_or(|docker| docker.facts().containerd_store)
}

#[test]
fn several_platforms_become_one_index_or_are_refused() {
    let Some(engine) = engine() else { return };
    let mut project = Project::new("FROM scratch\nCOPY a /a\n");
    project.file("a", "a");
    let platforms: Vec<Platform> = ["linux/amd64", "linux/arm64"]
        .map(|p| p.parse().unwrap())
        .into();
    project.plan.platforms.clone_from(&platforms);
    let (result, _) = project.build(engine.as_ref());
    if !has_archives() {
        let Err(BuildError::Unsupported { what, hint, .. }) = result else {
            panic!("{result:?}")
        };
        assert!(what.contains("platforms") && hint.is_some());
        return;
    }
    let built = result.unwrap();
    let source = LayoutSource::open(&built.layout, None).unwrap();
    let images = resolve(&source, None).unwrap();
    assert!(images.is_index);
    assert_eq!(images.digest, built.digest);
    let found: Vec<Platform> = images
        .images
        .iter()
        .map(|image| image.platform.clone())
        .collect();
    assert_eq!(found, platforms);
}

#[test]
fn another_platform_alone_is_built_everywhere() {
    let Some(engine) = engine() else { return };
    let mut project = Project::new("FROM scratch\nCOPY a /a\n");
    project.file("a", "a");
    project.plan.platforms = vec!["linux/s390x".parse().unwrap()];
    let image = project.built(engine.as_ref());
    assert_eq!(image.image.platform.to_string(), "linux/s390x");
}

#[test]
fn a_fixed_time_makes_builds_equal() {
    let Some(engine) = engine() else { return };
    if !has_archives() {
        eprintln!("SKIPPED: this engine cannot rewrite time stamps");
        return;
    }
    let mut project = Project::new("FROM BASE\nRUN echo x > /x\n");
    project.plan.no_cache = true;
    project.plan.source_date_epoch = Some(1_700_000_000);
    let first = project.built(engine.as_ref());
    project.plan.output = project.dir.path().join("again");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let second = project.built(engine.as_ref());
    assert_eq!(first.built.digest, second.built.digest);
    assert_eq!(
        first.image.config.created.as_deref(),
        Some("2023-11-14T22:13:20Z")
    );
}

#[test]
fn an_inline_cache_is_written_everywhere_and_others_only_where_they_can_be() {
    let Some(engine) = engine() else { return };
    let mut project = Project::new("FROM BASE\nRUN echo cache > /x\n");
    project.plan.cache_to = vec!["type=inline".to_owned()];
    project.built(engine.as_ref());
    project.plan.cache_to = vec!["type=local,dest=/nowhere".to_owned()];
    let (result, _) = project.build(engine.as_ref());
    assert!(
        matches!(result, Err(BuildError::Unsupported { .. })),
        "{result:?}"
    );
    if !has_archives() {
        project.plan.cache_to = vec!["registry.invalid/cache:1".to_owned()];
        let (result, _) = project.build(engine.as_ref());
        assert!(
            matches!(result, Err(BuildError::Unsupported { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn a_cache_that_cannot_be_reached_does_not_stop_the_build() {
    let Some(engine) = engine() else { return };
    let mut project = Project::new("FROM BASE\nRUN echo no-cache > /x\n");
    project.plan.cache_from = vec!["127.0.0.1:1/cache:1".to_owned()];
    assert_eq!(
        project.built(engine.as_ref()).file("x").as_deref(),
        Some("no-cache\n")
    );
}

#[test]
fn a_network_of_the_host_is_given_or_refused_by_name() {
    let Some(engine) = engine() else { return };
    let mut project = Project::new("FROM BASE\nRUN ls /sys/class/net > /net\n");
    project.plan.network = Some("host".to_owned());
    let (result, events) = project.build(engine.as_ref());
    match result {
        Ok(built) => assert!(
            super::Image::open(built)
                .file("net")
                .unwrap()
                .contains("lo")
        ),
        Err(BuildError::Unsupported { what, .. }) => {
            assert!(what.contains("network.host"), "{what}");
        }
        Err(other) => panic!("{other:?}\n{}", events.text()),
    }
    project.plan.network = Some("container:x".to_owned());
    let (result, _) = project.build(engine.as_ref());
    let Err(BuildError::Unsupported { what, .. }) = result else {
        panic!("{result:?}")
    };
    assert!(what.contains("container:x"), "{what}");
}

#[test]
fn files_that_are_not_there_are_named() {
    let Some(engine) = engine() else { return };
    let mut project = Project::new("FROM BASE\nCOPY a /a\n");
    project.plan.context = project.dir.path().join("no-such-context");
    let (result, _) = project.build(engine.as_ref());
    let text = result.unwrap_err().to_string();
    assert!(text.contains("no-such-context"), "{text}");
    project.plan.dockerfile = project.plan.root.join("no-such-Dockerfile");
    let (result, _) = project.build(engine.as_ref());
    let Err(BuildError::Io { what, .. }) = result else {
        panic!("{result:?}")
    };
    assert!(what.contains("no-such-Dockerfile"), "{what}");
}

#[test]
fn a_base_that_is_pinned_by_its_digest_is_that_one_or_none() {
    let Some(engine) = engine() else { return };
    let base = LayoutSource::open(super::base_layout(), None).unwrap();
    let digest = base.descriptor().digest().to_string();
    let layout = format!("oci:{}", super::base_layout().display());
    let pinned = |digest: &str| {
        let mut project = Project::new(&format!("FROM registry.example.com/pinned@{digest}\n"));
        project.plan.mirrors = [("registry.example.com".to_owned(), layout.clone())].into();
        project
    };
    let (result, events) = pinned(&digest).build(engine.as_ref());
    if super::is_old() {
        let Err(BuildError::Unsupported { what, .. }) = result else {
            panic!("{result:?}")
        };
        assert!(what.contains("digest"), "{what}");
    } else {
        assert!(result.is_ok(), "{result:?}\n{}", events.text());
    }
    let other = format!("sha256:{}", "ab".repeat(32));
    let failure = pinned(&other).failure(engine.as_ref());
    assert_eq!(failure.location.unwrap().line, 1);
    assert!(failure.message.contains(&other), "{}", failure.message);
}

#[test]
fn a_rhel_like_base_of_the_fixtures_builds() {
    let Some(engine) = engine() else { return };
    let images = std::env::var_os("FIXTURE_IMAGES").unwrap_or_else(|| "/tmp/fixture-images".into());
    let layout = PathBuf::from(images).join("oci/ubi-like-minimal");
    if !layout.join("index.json").is_file() {
        eprintln!("SKIPPED: no fixture image at {}", layout.display());
        return;
    }
    let text = "FROM registry.access.redhat.com/ubi9/ubi-minimal:9.5\nRUN rpm -q bash > /bash\nUSER 1001\n";
    let mut project = Project::new(text);
    let mirror = format!("oci:{}", layout.display());
    project.plan.mirrors = [("registry.access.redhat.com".to_owned(), mirror)].into();
    let start = std::time::Instant::now();
    let image = project.built(engine.as_ref());
    eprintln!("built in {:?}", start.elapsed());
    assert!(image.file("bash").unwrap().starts_with("bash-"));
}
