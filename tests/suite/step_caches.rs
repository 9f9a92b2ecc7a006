//! `--cache-to` and `--cache-from` of the embedded engine: a layout, a real registry, and caches that
//! mean harm.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test makes files, runs programs and may panic"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use indexmap::IndexMap;
use plimsoll::{
    engine::{
        BuildError, BuildEvent, BuildEvents, BuildPlan, Built, Cancel, Engine as _, StepState,
        embedded::Embedded,
    },
    registry::RegistryOptions,
};
use serde_json::{Value, json};

use crate::{
    layers::digest,
    support::{command, docker_registry::Registry, example_base, skipped},
};

const DOCKERFILE: &str = "\
FROM registry.example.com/base:1 AS build
USER root
RUN mkdir -p /out && echo made >/out/made

FROM registry.example.com/base:1
USER root
COPY --from=build /out /opt/out
RUN echo changed >>/etc/os-release
";

#[derive(Default)]
struct Told {
    done: usize,
    cached: usize,
    notes: Vec<String>,
}

impl BuildEvents for Told {
    fn event(&mut self, event: BuildEvent) {
        match event {
            BuildEvent::Step { state, .. } => match state {
                StepState::Done(_) => self.done += 1,
                StepState::Cached => self.cached += 1,
                _ => {}
            },
            BuildEvent::Note(note) => self.notes.push(note),
            _ => {}
        }
    }
}

struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("Dockerfile"), DOCKERFILE).unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A build with the cache directory `machine`, as if on a machine of that name.
    fn build(
        &self,
        machine: &str,
        to: &[&str],
        from: &[&str],
    ) -> (Result<Built, BuildError>, Told) {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let base = format!("oci:{}:16.2", example_base().display());
        let plan = BuildPlan {
            root: self.0.path().to_owned(),
            context: self.0.path().to_owned(),
            dockerfile: self.path("Dockerfile"),
            mirrors: IndexMap::from([("registry.example.com/base:1".to_owned(), base)]),
            output: self.path(&format!("{machine}-out")),
            cache_dir: self.path(machine),
            cache_to: texts(to),
            cache_from: texts(from),
            ..BuildPlan::default()
        };
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_plimsoll"));
        let engine = Embedded::new(RegistryOptions::default()).with_binary(binary);
        let mut told = Told::default();
        let built = engine.build(&plan, &mut told, &Cancel::new());
        (built, told)
    }

    /// Builds on a machine that knows nothing with nothing but the cache, and wants the same image.
    fn assert_useful(&self, machine: &str, from: &str, want: &Built) {
        let (built, told) = self.build(machine, &[], &[from]);
        assert_eq!(built.unwrap().digest, want.digest, "{:?}", told.notes);
        assert_eq!(told.done, 0, "{:?}", told.notes);
        // And now it is known there.
        let (built, told) = self.build(machine, &[], &[]);
        assert_eq!((built.unwrap().digest, told.done), (want.digest.clone(), 0));
    }
}

#[test]
fn a_cache_in_a_layout_serves_another_machine() {
    let project = Project::new();
    let (built, told) = project.build("one", &["type=local,dest=shared"], &[]);
    let built = built.unwrap();
    assert!(told.done >= 3);
    project.assert_useful("two", "type=local,src=shared", &built);
}

#[test]
fn a_cache_in_a_registry_serves_another_machine() {
    let name = "a_cache_in_a_registry_serves_another_machine";
    let Some(registry) = Registry::start(tempfile::tempdir().unwrap(), "", "") else {
        return skipped(name, "no docker-registry");
    };
    let project = Project::new();
    let place = format!("{}/team/cache:main", registry.address);
    let to = format!("type=registry,ref={place},mode=max");
    let (built, told) = project.build("one", &[&to], &[]);
    let built = built.unwrap();
    assert!(told.done >= 3);
    let sent = told
        .notes
        .iter()
        .any(|note| note.contains("cache written to"));
    assert!(sent, "{:?}", told.notes);
    project.assert_useful("two", &format!("type=registry,ref={place}"), &built);
    project.assert_useful("three", &place, &built);
    // The tag goes with the cache, and layers that are there are not sent again.
    let changed = DOCKERFILE.replace("echo changed", "echo otherwise");
    fs::write(project.path("Dockerfile"), changed).unwrap();
    let before = registry.requests().len();
    let (built, _) = project.build("one", &[&to], &[]);
    let built = built.unwrap();
    let sent = registry.requests().split_off(before);
    let uploads = sent.iter().filter(|line| line.starts_with("POST")).count();
    // The records, and the one layer that is new.
    assert_eq!(uploads, 2, "{sent:#?}");
    project.assert_useful("four", &place, &built);
}

#[test]
fn a_tag_that_names_an_image_is_left_alone() {
    let name = "a_tag_that_names_an_image_is_left_alone";
    let Some(registry) = Registry::start(tempfile::tempdir().unwrap(), "", "") else {
        return skipped(name, "no docker-registry");
    };
    let place = format!("{}/team/app:1.0-1", registry.address);
    let pushed = command("skopeo")
        .args(["copy", "--quiet", "--dest-tls-verify=false"])
        .arg(format!("oci:{}:16.2", example_base().display()))
        .arg(format!("docker://{place}"))
        .output();
    if !pushed.is_ok_and(|output| output.status.success()) {
        return skipped(name, "no skopeo");
    }
    let project = Project::new();
    let to = format!("type=registry,ref={place}");
    let (built, _) = project.build("one", &[&to], &[]);
    let Err(BuildError::Engine { reason, .. }) = built else {
        panic!("{built:?}")
    };
    assert!(reason.contains("names another image"), "{reason}");
    let changed: Vec<String> = registry
        .requests()
        .into_iter()
        .filter(|line| line.starts_with("PUT") && line.contains("1.0-1"))
        .collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    let (built, told) = project.build("one", &[&format!("{to},ignore-error=true")], &[]);
    built.unwrap();
    assert!(
        told.notes
            .iter()
            .any(|note| note.contains("was not written"))
    );
}

#[test]
fn a_registry_that_is_not_there_is_told() {
    let project = Project::new();
    let from = "type=registry,ref=localhost:1/cache:main";
    let (built, told) = project.build("one", &[], &[from]);
    built.unwrap();
    assert!(
        told.notes.iter().any(|note| note.contains("is not used")),
        "{:?}",
        told.notes
    );
    for (to, why) in [
        ("type=registry", "needs `ref=`"),
        ("type=local", "needs `dest=`"),
        ("type=gha", "does not write a cache of `type=gha`"),
        (
            "type=registry,ref=localhost:1/c@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "not a digest",
        ),
    ] {
        let (built, _) = project.build("one", &[to], &[]);
        let Err(BuildError::Unsupported { what, .. }) = built else {
            panic!("{to}: {built:?}")
        };
        assert!(what.contains(why), "{what}");
    }
}

/// A blob that a layout holds, as JSON.
fn read(layout: &Path, of: &Value) -> Value {
    let name = of["digest"].as_str().unwrap().replace("sha256:", "");
    let text = fs::read_to_string(layout.join("blobs/sha256").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn write(layout: &Path, of: &mut Value, what: &Value) {
    let bytes = what.to_string();
    let name = digest(bytes.as_bytes());
    let path = layout.join("blobs").join(name.replace(':', "/"));
    fs::write(path, &bytes).unwrap();
    of["digest"] = json!(name);
    of["size"] = json!(bytes.len());
}

/// Changes the records of a cache, and everything that names them.
fn tamper(layout: &Path, change: impl Fn(&mut Value)) {
    let path = layout.join("index.json");
    let mut index: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let entry = &mut index["manifests"][0];
    let mut manifest = read(layout, entry);
    let mut records = read(layout, &manifest["config"]);
    for step in records["steps"].as_object_mut().unwrap().values_mut() {
        change(&mut step["tree"]);
    }
    write(layout, &mut manifest["config"], &records);
    write(layout, entry, &manifest);
    fs::write(path, index.to_string()).unwrap();
}

fn copied(from: &Path, to: &Path) {
    let done = command("cp").arg("-r").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

#[test]
fn a_cache_that_lies_is_found_out_and_not_remembered() {
    let project = Project::new();
    let (built, _) = project.build("one", &["type=local,dest=shared"], &[]);
    built.unwrap();
    let zeros = format!("sha256:{}", "0".repeat(64));
    let last = |tree: &mut Value, key: &str, value: Value| {
        if let Some(layer) = tree["layers"].as_array_mut().unwrap().last_mut() {
            layer[key] = value;
        }
    };
    // What records say, and whether that is found out when they are read or when they are used.
    let cases: [(&str, Box<dyn Fn(&mut Value)>, bool); 6] = [
        (
            "diff id",
            Box::new(|tree| last(tree, "diff_id", json!(zeros))),
            true,
        ),
        ("size", Box::new(|tree| last(tree, "size", json!(7))), true),
        (
            "made",
            Box::new(|tree| tree["made"] = json!(vec![true; 99])),
            false,
        ),
        (
            "media type",
            Box::new(|tree| last(tree, "media_type", json!("text/plain"))),
            false,
        ),
        (
            "digest",
            Box::new(|tree| last(tree, "digest", json!("sha256:../../x"))),
            false,
        ),
        (
            "algorithm",
            Box::new(|tree| last(tree, "digest", json!("md5:0123"))),
            false,
        ),
    ];
    for (number, (name, change, used)) in cases.iter().enumerate() {
        let (layout, machine) = (format!("lie{number}"), format!("machine{number}"));
        copied(&project.path("shared"), &project.path(&layout));
        tamper(&project.path(&layout), change);
        let from = format!("type=local,src={layout}");
        let (built, told) = project.build(&machine, &[], &[&from]);
        if *used {
            let error = built.unwrap_err();
            let text = format!("{error:?}");
            assert!(
                text.contains("expected") || text.contains("size"),
                "{name}: {text}"
            );
        } else {
            built.unwrap();
            let noted = told.notes.iter().any(|note| note.contains("is not used"));
            assert!(noted && told.done >= 3, "{name}: {:?}", told.notes);
        }
        // Nothing of it is left.
        let (built, told) = project.build(&machine, &[], &[]);
        built.unwrap();
        assert!(!*used || told.done >= 3, "{name}");
    }
}

#[test]
fn a_layer_of_a_cache_that_is_another_or_is_gone_stops_the_build_by_name() {
    let project = Project::new();
    let (built, _) = project.build("one", &["type=local,dest=shared"], &[]);
    let built = built.unwrap();
    let manifest = fs::read_to_string(
        built
            .layout
            .join("blobs")
            .join(built.digest.to_string().replace(':', "/")),
    );
    let manifest: Value = serde_json::from_str(&manifest.unwrap()).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    let last = layers.last().unwrap()["digest"].as_str().unwrap();
    let blob = project.path("shared/blobs").join(last.replace(':', "/"));
    let bytes = fs::read(&blob).unwrap();
    // Not in place: the blob is shared with the cache directory.
    fs::remove_file(&blob).unwrap();
    let from = ["type=local,src=shared"];
    for content in [None, Some([&bytes[..bytes.len() - 1], b"x"].concat())] {
        if let Some(content) = content {
            fs::write(&blob, content).unwrap();
        }
        let (built, _) = project.build("two", &[], &from);
        let text = format!("{:?}", built.unwrap_err());
        assert!(text.contains(&last[7..]), "{text}");
    }
    // The base image is asked before a cache that says it has the base.
    let first = layers.first().unwrap()["digest"].as_str().unwrap();
    fs::write(&blob, bytes).unwrap();
    fs::remove_file(project.path("shared/blobs").join(first.replace(':', "/"))).unwrap();
    project.assert_useful("three", from[0], &built);
}
