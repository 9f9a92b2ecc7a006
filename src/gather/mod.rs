//! Fetches the facts that checks need, and turns what could not be had into unmet needs.

mod advisories;
mod context;
mod evidence;

pub use advisories::{Advisories, read as read_database};
pub use context::Context;

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use tempfile::TempDir;

use crate::{
    dockerfile::{self, Dockerfile, Origins},
    engine::{
        BuildPlan, EngineEnvironment, buildkit::mirror, docker::DockerEngine, docker_address,
    },
    inventory::{self, ScanError, ScanOptions, ScanProgress},
    layout::{ArchiveSource, LayoutSource, Pick, Transport, TransportError},
    oci::{ImageSource, Platform, Reference, ResolvedImage, SourceError, resolve},
    registry::{RegistryOptions, RegistrySource},
    subject::{BaseImage, Fact, Subject},
};

/// How places outside this process are reached.
pub struct Reach {
    /// registries
    pub registry: RegistryOptions,
    /// the Docker Engine
    pub engine: EngineEnvironment,
}

/// An image source, and the temporary file it may read from.
pub struct Opened {
    source: Box<dyn ImageSource>,
    _scratch: Option<TempDir>,
}

impl Opened {
    /// The source.
    pub fn source(&self) -> &dyn ImageSource {
        &*self.source
    }
}

/// Opens an image wherever it is.
///
/// # Errors
/// When there is no image, it cannot be reached, or it is not readable.
pub fn open(transport: &Transport, reach: &Reach) -> Result<Opened, SourceError> {
    if let Some(source) = transport.open_files()? {
        return Ok(Opened {
            source,
            _scratch: None,
        });
    }
    match transport {
        Transport::Registry(reference) => {
            let source = RegistrySource::open(reference.clone(), &reach.registry)?;
            Ok(Opened {
                source: Box::new(source),
                _scratch: None,
            })
        }
        Transport::DockerDaemon(image) => {
            let io = |source| SourceError::Io {
                what: "temporary directory".to_owned(),
                source,
            };
            let scratch = tempfile::tempdir().map_err(io)?;
            let archive = scratch.path().join("image.tar");
            save(&image.to_string(), &archive, reach)?;
            let source = ArchiveSource::open_docker(&archive, &Pick::Only)?;
            Ok(Opened {
                source: Box::new(source),
                _scratch: Some(scratch),
            })
        }
        other => Err(SourceError::NotFound {
            what: other.to_string(),
            source: None,
        }),
    }
}

fn save(image: &str, archive: &Path, reach: &Reach) -> Result<(), SourceError> {
    let what = || format!("docker-daemon:{image}");
    let address = docker_address(&reach.engine).map_err(|error| SourceError::Unavailable {
        what: what(),
        reason: chain(&error),
    })?;
    let saved = DockerEngine::connect(address).and_then(|engine| engine.save(image, archive));
    saved.map_err(|error| {
        if error.is_not_found() {
            SourceError::NotFound {
                what: what(),
                source: None,
            }
        } else {
            SourceError::Unavailable {
                what: what(),
                reason: chain(&error),
            }
        }
    })
}

/// Opens the layout that a build left, at the image it made.
///
/// # Errors
/// When the layout is not readable.
pub fn open_layout(directory: &Path) -> Result<Opened, SourceError> {
    Ok(Opened {
        source: Box::new(LayoutSource::open(directory, None)?),
        _scratch: None,
    })
}

/// What is known of an image before its layers are read.
pub struct Request<'a> {
    /// as the user wrote it, or as it will be pushed
    pub display_name: String,
    /// as it will be pushed
    pub reference: Option<Reference>,
    /// tags to judge; none means that there is nothing to judge, and why
    pub tags: Fact<Vec<String>>,
    /// the Dockerfile
    pub dockerfile: Option<&'a Dockerfile>,
    /// which of its stages was built, with which `ARG`s, from which mirrors
    pub build: Option<&'a BuildPlan>,
    /// base image, when the user says so
    pub base: Option<&'a str>,
    /// the project is marked privileged
    pub privileged: bool,
    /// the advisories
    pub advisories: &'a Advisories,
    /// most days that they may be old
    pub max_age: i64,
}

/// Reads the layers of one image and gathers everything else that checks ask for.
///
/// # Errors
/// When the layers cannot be read; everything less is an unmet need of the subject.
pub fn subject(
    source: &dyn ImageSource,
    image: &ResolvedImage,
    request: &Request<'_>,
    reach: &Reach,
    options: &ScanOptions,
    progress: &dyn ScanProgress,
) -> Result<Subject, ScanError> {
    let layers = image.manifest.layers();
    let inventory = inventory::scan(source, layers, &image.config, options, progress)?;
    let origins = match (request.dockerfile, request.build) {
        (Some(dockerfile), Some(build)) => dockerfile::origins(
            dockerfile,
            build.target.as_deref(),
            &build.args,
            &image.config,
        ),
        _ => Origins::default(),
    };
    let base = base(image, &origins, request, reach);
    let advisories = request.advisories.facts(&inventory, request.max_age);
    Ok(Subject {
        reference: request.reference.clone(),
        display_name: request.display_name.clone(),
        tags: request.tags.clone(),
        digest: image.descriptor.digest().clone(),
        config_digest: image.manifest.config().digest().clone(),
        platform: image.platform.clone(),
        config: image.config.clone(),
        inventory,
        advisories,
        base,
        origins,
        privileged: request.privileged,
    })
}

/// Where an image may say what it was built on (image-spec, annotations.md).
const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// The base image: named by the user, by the Dockerfile, or by the image itself.
fn base(
    image: &ResolvedImage,
    origins: &Origins,
    request: &Request<'_>,
    reach: &Reach,
) -> Fact<BaseImage> {
    let annotation = image
        .manifest
        .annotations()
        .as_ref()
        .and_then(|all| all.get(BASE_NAME));
    let annotation = annotation
        .map(String::as_str)
        .or_else(|| image.config.label(BASE_NAME));
    let named = request
        .base
        .or(origins.base_reference.as_deref())
        .or(annotation);
    let Some(named) = named.filter(|name| *name != "scratch") else {
        return Fact::Unmet("the base image is not known: name it with `--base`".to_owned());
    };
    match base_image(named, &image.platform, request, reach) {
        Ok(base) => Fact::Known(base),
        Err(error) => Fact::Unmet(format!("base image {named}: {}", chain(&error))),
    }
}

fn base_image(
    named: &str,
    platform: &Platform,
    request: &Request<'_>,
    reach: &Reach,
) -> Result<BaseImage, SourceError> {
    let mirror = match request.build {
        Some(build) => mirror::place(named, &build.mirrors, &build.root),
        None => Ok(None),
    };
    let mirror = mirror.map_err(|error| SourceError::Malformed {
        what: named.to_owned(),
        reason: error.to_string(),
    })?;
    let transport = match mirror {
        Some(mirror) => mirror,
        None => named
            .parse()
            .map_err(|error: TransportError| SourceError::Malformed {
                what: named.to_owned(),
                reason: error.reason,
            })?,
    };
    let opened = open(&transport, reach)?;
    let images = resolve(opened.source(), Some(platform))?;
    let base = images.images.first().ok_or_else(|| SourceError::NotFound {
        what: named.to_owned(),
        source: None,
    })?;
    Ok(BaseImage {
        reference: named.to_owned(),
        diff_ids: base.config.rootfs.diff_ids.clone(),
        digest: Some(base.descriptor.digest().clone()),
        source: transport.to_string(),
    })
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// A Dockerfile is text written by hand; whatever is larger is not one, bytes.
const MAX_DOCKERFILE: u64 = 8 << 20;

/// Reads a Dockerfile.
///
/// # Errors
/// When it cannot be read or is larger than 8 MiB.
#[expect(
    clippy::disallowed_methods,
    reason = "gather reads the Dockerfile for the pipeline"
)]
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(MAX_DOCKERFILE + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_DOCKERFILE {
        return Err(io::Error::other("it is larger than 8 MiB"));
    }
    Ok(bytes)
}
