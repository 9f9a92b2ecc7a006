//! The scan of an image that the embedded engine just built reads none of its layers, and says what a
//! scan says that reads them all.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test makes files, runs programs and may panic"
)]

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use indexmap::IndexMap;
use plimsoll::{
    engine::{BuildEvent, BuildEvents, BuildPlan, Cancel, Engine as _, embedded::Embedded},
    inventory::{self, LayerMemory, Quiet, ScanOptions},
    layout::LayoutSource,
    oci::{Descriptor, ImageSource, RawManifest, SourceError, resolve},
    registry::RegistryOptions,
    subject::{Fact, Inventory},
};

use crate::support::{Ran, example_base, plimsoll};

const BASE: &str = "registry.example.com/base:1";

/// Changes, removals, a secret, a hard link, a new database: all that a scan looks at.
const DOCKERFILE: &str = "\
FROM registry.example.com/base:1 AS build
USER root
RUN mkdir -p /out && echo made >/out/made && ln /out/made /out/again && ln -s made /out/link

FROM registry.example.com/base:1
USER root
COPY licenses /licenses
COPY --from=build /out /opt/out
COPY --link key.pem /opt/
RUN echo changed >>/etc/os-release && rm -f /etc/redhat-release && chmod 4755 /usr/bin/coreutils
RUN true
WORKDIR /opt
RUN rm -rf /opt/out && mkdir /opt/out && echo new >/opt/out/new
USER 1001
";

struct Project(tempfile::TempDir);

impl Project {
    fn new(dockerfile: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("Dockerfile"), dockerfile).unwrap();
        fs::create_dir_all(dir.path().join("licenses")).unwrap();
        fs::write(dir.path().join("licenses/LICENSE"), "Apache-2.0").unwrap();
        let key =
            "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n";
        fs::write(dir.path().join("key.pem"), key).unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn plan(&self, output: &str) -> BuildPlan {
        let base = format!("oci:{}:16.2", example_base().display());
        BuildPlan {
            root: self.0.path().to_owned(),
            context: self.0.path().to_owned(),
            dockerfile: self.path("Dockerfile"),
            mirrors: IndexMap::from([(BASE.to_owned(), base)]),
            output: self.path(output),
            cache_dir: self.path("cache"),
            ..BuildPlan::default()
        }
    }

    /// Builds; what the engine knows of the layers.
    fn build(&self, output: &str) -> Arc<dyn LayerMemory> {
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_plimsoll"));
        let engine = Embedded::new(RegistryOptions::default()).with_binary(binary);
        let plan = self.plan(output);
        engine.build(&plan, &mut Quietly, &Cancel::new()).unwrap();
        engine.memory(&plan).unwrap()
    }
}

struct Quietly;

impl BuildEvents for Quietly {
    fn event(&mut self, _: BuildEvent) {}
}

/// An image whose layers are counted when they are opened.
struct Counting {
    image: LayoutSource,
    layers: AtomicUsize,
}

impl Counting {
    fn open(layout: &Path) -> Self {
        Self {
            image: LayoutSource::open(layout, None).unwrap(),
            layers: AtomicUsize::new(0),
        }
    }

    fn scan(&self, memory: Option<Arc<dyn LayerMemory>>) -> Inventory {
        let image = resolve(self, None).unwrap().images.remove(0);
        let options = ScanOptions {
            memory,
            ..ScanOptions::default()
        };
        inventory::scan(
            self,
            image.manifest.layers(),
            &image.config,
            &options,
            &Quiet,
        )
        .unwrap()
    }

    fn opened(&self) -> usize {
        self.layers.load(Ordering::Relaxed)
    }
}

impl ImageSource for Counting {
    fn manifest(&self) -> Result<RawManifest, SourceError> {
        self.image.manifest()
    }

    fn child(&self, of: &Descriptor) -> Result<RawManifest, SourceError> {
        self.image.child(of)
    }

    fn blob(&self, of: &Descriptor) -> Result<Box<dyn Read + Send + '_>, SourceError> {
        let layer = of.media_type().to_string().contains("layer");
        self.layers.fetch_add(usize::from(layer), Ordering::Relaxed);
        self.image.blob(of)
    }
}

#[test]
fn no_layer_of_what_was_just_built_is_opened_and_nothing_is_missed() {
    let project = Project::new(DOCKERFILE);
    let memory = project.build("out");
    let image = Counting::open(&project.path("out"));
    let known = image.scan(Some(Arc::clone(&memory)));
    assert_eq!(image.opened(), 0);
    let read = image.scan(None);
    assert_eq!(image.opened(), read.layers.len());
    assert_eq!(format!("{known:?}"), format!("{read:?}"));
    assert!(matches!(&read.packages, Fact::Known(packages) if !packages.list.is_empty()));
    assert!(matches!(&read.modified, Fact::Known(problems) if !problems.is_empty()));
    assert_eq!(read.secrets.len(), 1);
    // Built again out of the cache.
    let memory = project.build("again");
    let image = Counting::open(&project.path("again"));
    assert_eq!(
        format!("{:?}", image.scan(Some(memory))),
        format!("{read:?}")
    );
    assert_eq!(image.opened(), 0);
}

#[test]
fn what_was_damaged_in_the_cache_is_read_from_the_layers() {
    let project = Project::new(DOCKERFILE);
    let memory = project.build("out");
    let image = Counting::open(&project.path("out"));
    let read = format!("{:?}", image.scan(None));
    let before = image.opened();
    for entry in fs::read_dir(project.path("cache/facts")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x40;
        fs::write(&path, bytes).unwrap();
    }
    let scanned = format!("{:?}", image.scan(Some(Arc::clone(&memory))));
    assert_eq!(scanned, read);
    assert_eq!(image.opened(), 2 * before);
    // And was noted again by that scan.
    assert_eq!(format!("{:?}", image.scan(Some(memory))), read);
    assert_eq!(image.opened(), 2 * before);
}

#[test]
fn a_base_that_no_step_needed_is_noted_by_the_first_scan() {
    let project = Project::new("FROM registry.example.com/base:1\nLABEL a=b\n");
    let memory = project.build("out");
    let image = Counting::open(&project.path("out"));
    let first = image.scan(Some(Arc::clone(&memory)));
    assert_eq!(image.opened(), first.layers.len());
    let second = image.scan(Some(memory));
    assert_eq!(image.opened(), first.layers.len());
    assert_eq!(format!("{second:?}"), format!("{first:?}"));
    assert_eq!(fs::read_dir(project.path("cache/tmp")).unwrap().count(), 0);
}

/// The report without what the clock says.
fn report(project: &Project, ran: &Ran) -> String {
    let text = fs::read_to_string(project.path("report.json")).unwrap_or_else(|_| panic!("{ran}"));
    let lines = text.lines();
    let lines = lines.filter(|line| !line.contains("_seconds\"") && !line.contains("\"created\""));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_report_of_a_run_is_the_same_byte_for_byte() {
    let project = Project::new(DOCKERFILE);
    let base = example_base();
    let mirror = format!("{BASE}=oci:{}:16.2", base.display());
    let run = || {
        let ran = plimsoll(
            project.0.path(),
            &[
                "run",
                "--engine",
                "embedded",
                "--cache-dir",
                "cache",
                "--mirror",
                &mirror,
                "--tag",
                "1.0-1",
                "--report",
                "json=report.json",
                "--progress",
                "plain",
            ],
        );
        // The image breaks rules on purpose.
        assert!(matches!(ran.code, 1 | 4), "{ran}");
        report(&project, &ran)
    };
    let first = run();
    assert!(first.contains("private key"), "{first}");
    assert_eq!(run(), first);
    fs::remove_dir_all(project.path("cache/facts")).unwrap();
    assert_eq!(run(), first);
}
