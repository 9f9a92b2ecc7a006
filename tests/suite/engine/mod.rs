//! The BuildKit engine against a real daemon: a Docker Engine at `PLIMSOLL_TEST_DOCKER_HOST` or the
//! usual socket, or a BuildKit at `PLIMSOLL_TEST_BUILDKIT_HOST`. Skipped, and said so, when there is
//! none, unless `PLIMSOLL_TEST_DOCKER=1` insists on it.

mod builds;
mod faults;
mod interrupted;
mod mirrors;
mod options;
mod transports;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, LazyLock, Mutex},
};

use plimsoll::{
    engine::{
        BuildError, BuildEvent, BuildEvents, BuildPlan, Built, Cancel, Engine, EngineChoice,
        EngineEnvironment, StepFailure, StepState, connect, docker::DockerEngine, docker_address,
    },
    layout::{LayoutSource, LayoutWriter},
    oci::{Descriptor, MediaType, ResolvedImage, resolve},
    registry::{RegistryOptions, auth::AuthStore},
};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// What the base image is called in the Dockerfiles: `BASE` is replaced by a name of the test's own.
const BASE: &str = "BASE";

fn environment() -> EngineEnvironment {
    EngineEnvironment {
        docker_host: std::env::var("PLIMSOLL_TEST_DOCKER_HOST").ok(),
        buildkit_host: std::env::var("PLIMSOLL_TEST_BUILDKIT_HOST").ok(),
        auth: Arc::new(AuthStore::new()),
        ..EngineEnvironment::default()
    }
}

/// The engine to test, or a loud word that there is none.
fn engine() -> Option<Box<dyn Engine>> {
    match connect(
        EngineChoice::Auto,
        &environment(),
        &RegistryOptions::default(),
    ) {
        Ok(engine) => Some(engine),
        Err(error) => {
            let insisted = std::env::var("PLIMSOLL_TEST_DOCKER").is_ok_and(|value| value == "1");
            assert!(!insisted, "no engine: {error}");
            eprintln!("SKIPPED: no engine to build with: {error}");
            None
        }
    }
}

/// The Docker Engine itself, when that is what is tested.
fn docker() -> Option<DockerEngine> {
    let environment = environment();
    if environment.buildkit_host.is_some() {
        return None;
    }
    DockerEngine::connect(docker_address(&environment).unwrap()).ok()
}

/// Docker 20.10: no typed errors, no here-documents, no build checks.
fn is_old() -> bool {
    docker().is_some_and(|docker| docker.facts().api < (1, 42))
}

/// A repository and what is asked of the engine.
struct Project {
    dir: TempDir,
    plan: BuildPlan,
}

impl Project {
    /// A repository with one Dockerfile; the base image is a layout of this machine's own shell.
    fn new(dockerfile: &str) -> Self {
        Self::at("Dockerfile", dockerfile)
    }

    fn at(path: &str, dockerfile: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = base_name();
        let root = dir.path().join("repository");
        let plan = BuildPlan {
            context: root.clone(),
            dockerfile: root.join(path),
            output: dir.path().join("out"),
            mirrors: [(base.clone(), format!("oci:{}", base_layout().display()))].into(),
            root,
            ..BuildPlan::default()
        };
        let project = Self { dir, plan };
        project.file(path, &dockerfile.replace(BASE, &base));
        project
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.plan.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn build(&self, engine: &dyn Engine) -> (Result<Built, BuildError>, Events) {
        let mut events = Events::default();
        let result = engine.build(&self.plan, &mut events, &Cancel::new());
        (result, events)
    }

    fn built(&self, engine: &dyn Engine) -> Image {
        let (result, events) = self.build(engine);
        match result {
            Ok(built) => Image::open(built),
            Err(error) => panic!("{error}\n{error:#?}\n{}", events.text()),
        }
    }

    fn failure(&self, engine: &dyn Engine) -> StepFailure {
        let (result, events) = self.build(engine);
        assert!(!self.plan.output.join("index.json").exists());
        match result {
            Err(BuildError::Dockerfile(failure)) => *failure,
            other => panic!("{other:#?}\n{}", events.text()),
        }
    }
}

/// Events as they came.
#[derive(Default, Clone)]
struct Events(Arc<Mutex<Vec<BuildEvent>>>);

impl BuildEvents for Events {
    fn event(&mut self, event: BuildEvent) {
        self.0.lock().unwrap().push(event);
    }
}

impl Events {
    fn text(&self) -> String {
        format!("{:#?}", self.0.lock().unwrap())
    }

    fn log(&self) -> String {
        let events = self.0.lock().unwrap();
        let mut bytes = Vec::new();
        for event in events.iter() {
            if let BuildEvent::Log { data, .. } = event {
                bytes.extend_from_slice(data);
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    fn states_of(&self, name_part: &str) -> Vec<StepState> {
        let events = self.0.lock().unwrap();
        let state = |event: &BuildEvent| match event {
            BuildEvent::Step { name, state, .. } if name.contains(name_part) => Some(state.clone()),
            _ => None,
        };
        events.iter().filter_map(state).collect()
    }
}

/// What was built, read back with the host's `tar`.
struct Image {
    built: Built,
    image: ResolvedImage,
}

impl Image {
    fn open(built: Built) -> Self {
        let source = LayoutSource::open(&built.layout, None).unwrap();
        assert_eq!(source.descriptor().digest(), &built.digest);
        let mut resolved = resolve(&source, None).unwrap();
        assert_eq!(resolved.images.len(), 1);
        let image = resolved.images.remove(0);
        Self { built, image }
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.image.config.label(name)
    }

    fn layers(&self) -> Vec<PathBuf> {
        let blob = |of: &Descriptor| {
            let digest = of.digest();
            self.built
                .layout
                .join(format!("blobs/{}/{}", digest.algorithm(), digest.digest()))
        };
        self.image.manifest.layers().iter().map(blob).collect()
    }

    /// Content of a file in the topmost layer that has it.
    fn file(&self, path: &str) -> Option<String> {
        self.layers().iter().rev().find_map(|layer| {
            let output = Command::new("tar")
                .arg("-xOf")
                .arg(layer)
                .arg(path)
                .output()
                .unwrap();
            output
                .status
                .success()
                .then(|| String::from_utf8(output.stdout).unwrap())
        })
    }

    fn contains_bytes(&self, needle: &str) -> bool {
        self.layers().iter().any(|layer| {
            let output = Command::new("tar").arg("-xOf").arg(layer).output().unwrap();
            output
                .stdout
                .windows(needle.len())
                .any(|window| window == needle.as_bytes())
        })
    }
}

fn base_name() -> String {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("registry.example.com/base-{}-{count}:1", std::process::id())
}

/// A base image made of this machine's own shell and a few tools.
fn base_layout() -> &'static Path {
    static LAYOUT: LazyLock<PathBuf> = LazyLock::new(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("engine-base");
        let _ = fs::remove_dir_all(&dir);
        let root = dir.join("root");
        copy_program("/bin/sh", &root.join("bin/sh"), &root);
        for tool in ["cat", "ls", "mkdir", "sleep"] {
            copy_program(&format!("/bin/{tool}"), &root.join("bin").join(tool), &root);
        }
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n").unwrap();
        fs::create_dir_all(root.join("tmp")).unwrap();
        write_layout(&root, &dir.join("layout"));
        dir.join("layout")
    });
    &LAYOUT
}

fn copy_program(from: &str, to: &Path, root: &Path) {
    let copy = |from: &Path, to: &Path| {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    };
    copy(Path::new(from), to);
    let libraries = Command::new("ldd").arg(from).output().unwrap();
    for word in String::from_utf8(libraries.stdout)
        .unwrap()
        .split_whitespace()
    {
        if word.starts_with('/') {
            copy(Path::new(word), &root.join(word.trim_start_matches('/')));
        }
    }
}

fn write_layout(root: &Path, layout: &Path) {
    let tar = Command::new("tar")
        .args([
            "--sort=name",
            "--mtime=@0",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "-C",
        ])
        .arg(root)
        .args(["-cf", "-", "."])
        .output()
        .unwrap();
    assert!(tar.status.success());
    let diff_id = format!("sha256:{:x}", HexDigest(&tar.stdout));
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = format!(
        r#"{{"architecture":"{machine}","os":"linux","config":{{"Env":["PATH=/bin"],"Labels":{{"base":"yes"}}}},"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}},"history":[{{"created_by":"base"}}]}}"#
    );
    let writer = LayoutWriter::create(layout).unwrap();
    let layer = writer.bytes(MediaType::ImageLayer, &tar.stdout).unwrap();
    let config = writer
        .bytes(MediaType::ImageConfig, config.as_bytes())
        .unwrap();
    let entry = |of: &Descriptor| {
        format!(
            r#"{{"mediaType":"{}","digest":"{}","size":{}}}"#,
            of.media_type(),
            of.digest(),
            of.size()
        )
    };
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
        MediaType::ImageManifest,
        entry(&config),
        entry(&layer)
    );
    let manifest = writer
        .bytes(MediaType::ImageManifest, manifest.as_bytes())
        .unwrap();
    writer.finish(&manifest, &[]).unwrap();
}

struct HexDigest<'a>(&'a [u8]);

impl std::fmt::LowerHex for HexDigest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Sha256::digest(self.0)
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
