//! Pushing: to a registry in this process that answers well or badly, and to a real one.

mod honest;
mod hostile;
mod logins;
mod real;
mod stage;

use std::{path::PathBuf, sync::Mutex, time::Duration};

use plimsoll::{
    advisory::{grade::AsOf, matching::Detail},
    check,
    engine::EngineEnvironment,
    gather::{self, Advisories, PackageCache, Reach, Request},
    inventory::{ScanOptions, ScanProgress},
    layout::{LayoutSource, Select},
    oci::{ImageSource, LayerIndex, Reference, resolve},
    policy::{self, Accepted, Policy},
    registry::{
        RegistryOptions, Retry,
        push::{PushError, PushEvent, PushOptions, PushProgress, Pushed, Pusher},
    },
    subject::Fact,
};

use crate::support::{
    image::{Image, Layer, Packed},
    registry::{Double, Reply, Seen},
    uploads::Uploads,
};

/// Bytes that do not compress.
pub(crate) fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes_of: Vec<u8> = (0..=bytes / 8).flat_map(|_| next()).collect();
    bytes_of.truncate(bytes);
    bytes_of
}

/// Two layers, one of them so large that it goes in three pieces.
fn image(large: usize) -> Image {
    Image::new()
        .layer(Layer::from("dir /etc").file("noise", 0o644, &noise(large, 1)))
        .layer("file /a 0644 \"small\"")
        .label("name", "team/app")
}

/// An image in a layout on disk.
struct Laid {
    dir: tempfile::TempDir,
    packed: Packed,
}

impl Laid {
    fn new(packed: Packed) -> Self {
        let dir = tempfile::tempdir().unwrap();
        packed.write(dir.path(), "1.0-1");
        Self { dir, packed }
    }

    fn source(&self) -> LayoutSource {
        let select = Select::Tag("1.0-1".to_owned());
        LayoutSource::open(self.dir.path(), Some(&select)).unwrap()
    }

    fn digest(&self) -> String {
        self.packed.digest().to_string()
    }

    fn blob(&self, digest: &str) -> PathBuf {
        let name = digest.strip_prefix("sha256:").unwrap();
        self.dir.path().join("blobs/sha256").join(name)
    }

    /// Digest of the first layer.
    fn large(&self) -> String {
        let manifest: serde_json::Value = serde_json::from_slice(self.packed.document()).unwrap();
        manifest["layers"][0]["digest"].as_str().unwrap().to_owned()
    }

    fn accepted(&self) -> Accepted {
        accepted(&self.source())
    }
}

struct Silent;

impl ScanProgress for Silent {
    fn layer(&self, _: LayerIndex, _: u64, _: u64) {}
}

/// Scans every image of a source, as the program does, by a policy of one rule that it keeps.
fn accepted(source: &dyn ImageSource) -> Accepted {
    let policy = Policy {
        only: vec!["name_label_exists".to_owned()],
        ..Policy::default()
    };
    let now = "2026-11-22T00:00:00Z".parse().unwrap();
    let advisories = Advisories::read(
        None,
        AsOf::Instant(now),
        PackageCache::default(),
        Detail::Missing,
    );
    let reach = Reach {
        registry: RegistryOptions::default(),
        engine: EngineEnvironment::default(),
    };
    let request = Request {
        display_name: "test".to_owned(),
        reference: None,
        tags: Fact::Unmet("none".to_owned()),
        dockerfile: None,
        build: None,
        base: None,
        privileged: false,
        advisories: &advisories,
        max_age: 7,
        fails_from: plimsoll::advisory::Severity::Important,
        only_fixed: false,
        current_base: false,
    };
    let options = ScanOptions::default();
    let accept = |image| {
        let subject = gather::subject(source, image, &request, &reach, &options, &Silent).unwrap();
        let assessments = check::assess(&subject, |rule| policy.selects(rule));
        let today = "2026-11-22".parse().unwrap();
        let judgement = policy::judge_image(&subject, assessments, &policy, today);
        judgement.accept().unwrap()
    };
    let images = resolve(source, None).unwrap().images;
    let all = images.iter().map(accept);
    all.reduce(Accepted::and).unwrap()
}

fn options() -> RegistryOptions {
    RegistryOptions {
        read_timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(2),
        retry: Retry {
            attempts: 4,
            first_wait: Duration::from_millis(5),
            total_wait: Duration::from_secs(4),
        },
        ..RegistryOptions::default()
    }
}

fn tags(tags: &[&str]) -> PushOptions {
    PushOptions {
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..PushOptions::default()
    }
}

fn pusher(double: &Double, mounts: &[&str], options: &RegistryOptions) -> Pusher {
    let to: Reference = format!("{}/p/x", double.host()).parse().unwrap();
    let mounts: Vec<String> = mounts.iter().map(|mount| (*mount).to_owned()).collect();
    Pusher::open(&to, &mounts, options).unwrap()
}

fn push(double: &Double, laid: &Laid, how: &PushOptions) -> Result<Pushed, PushError> {
    let pusher = pusher(double, &[], &options());
    pusher.push(&laid.source(), &laid.accepted(), how, &())
}

/// An honest registry, but for what `bend` answers.
fn bent(
    uploads: &Uploads,
    bend: impl Fn(&Seen, &Uploads) -> Option<Reply> + Send + Sync + 'static,
) -> Double {
    let uploads = uploads.clone();
    Double::start(move |seen| bend(seen, &uploads).unwrap_or_else(|| uploads.answer(seen)))
}

/// The registry holds the image whole, under these tags.
fn assert_whole(uploads: &Uploads, laid: &Laid, tags: &[&str]) {
    let held = uploads.blobs();
    for (digest, bytes) in &laid.packed.blobs {
        let there = held.get(digest).is_some_and(|blob| blob == bytes);
        assert!(there || uploads.manifests().contains(digest), "{digest}");
    }
    for tag in tags {
        assert_eq!(uploads.tags().get(*tag), Some(&laid.digest()), "{tag}");
    }
}

/// Requests that change the registry.
fn changing(double: &Double) -> Vec<String> {
    double
        .requests()
        .iter()
        .filter(|seen| !matches!(seen.method.as_str(), "GET" | "HEAD"))
        .map(|seen| format!("{} {}", seen.method, seen.path))
        .collect()
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Remembers what was told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl PushProgress for Told {
    fn event(&self, event: &PushEvent<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}
