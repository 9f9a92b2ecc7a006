//! Fetches the facts that checks need, and turns what could not be had into unmet needs.

mod advisories;
mod context;
mod current_base;
mod evidence;
mod files;
mod packages;

pub use advisories::{Advisories, read as read_database};
pub use context::{Context, malformed_ignore};
pub use evidence::streams;
pub use files::{read_at_most, read_file};
pub use packages::{PackageCache, PackageList};

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::{
    advisory::Severity,
    dockerfile::{self, Dockerfile, Origins},
    engine::{
        BuildPlan, EngineEnvironment, buildkit::mirror, docker::DockerEngine, docker_address,
    },
    inventory::{self, ScanError, ScanOptions, ScanProgress},
    layout::{
        ArchiveSource, LayoutSource, Pick, Transport, TransportError, import_one_of_docker_archive,
    },
    oci::{ImageConfig, ImageSource, Platform, Reference, ResolvedImage, SourceError, resolve},
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
    tracing::info!(image = %transport, "opening");
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

/// Opens an image for a scan and a push of the same bytes: what names it cannot be moved to another
/// image meanwhile, and what has no OCI bytes of its own (docker archives, images of an engine) is
/// turned into an OCI layout, compressed, that is scanned in its stead.
///
/// # Errors
/// When there is no image, it cannot be reached, or it is not readable.
pub fn open_to_push(transport: &Transport, reach: &Reach) -> Result<Opened, SourceError> {
    let io = |source| SourceError::Io {
        what: "temporary directory".to_owned(),
        source,
    };
    match transport {
        Transport::Registry(reference) => {
            let digest = open(transport, reach)?.source().manifest()?.digest;
            let pinned = Reference {
                digest: Some(digest),
                ..reference.clone()
            };
            open(&Transport::Registry(pinned), reach)
        }
        Transport::DockerArchive { file, pick } => {
            let scratch = tempfile::tempdir().map_err(io)?;
            imported(file, pick, scratch)
        }
        Transport::DockerDaemon(image) => {
            tracing::info!(image = %transport, "opening");
            let scratch = tempfile::tempdir().map_err(io)?;
            let archive = scratch.path().join("image.tar");
            save(&image.to_string(), &archive, reach)?;
            let opened = imported(&archive, &Pick::Only, scratch)?;
            fs::remove_file(&archive).map_err(io)?;
            Ok(opened)
        }
        _ => open(transport, reach),
    }
}

fn imported(archive: &Path, pick: &Pick, scratch: TempDir) -> Result<Opened, SourceError> {
    let layout = scratch.path().join("image");
    import_one_of_docker_archive(archive, pick, &layout, &[])?;
    let source = LayoutSource::open(&layout, None)?;
    Ok(Opened {
        source: Box::new(source),
        _scratch: Some(scratch),
    })
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
    /// least severity that fails the image
    pub fails_from: Severity,
    /// leave out vulnerabilities that no advisory mends
    pub only_fixed: bool,
    /// look up whether the base image of today has the fixes that are missing
    pub current_base: bool,
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
        (Some(dockerfile), Some(build)) => {
            let target = build.target.as_deref();
            let mut origins = dockerfile::origins(dockerfile, target, &build.args, &image.config);
            // Labels given with the build go before the Dockerfile's.
            origins
                .labels
                .retain(|name, _| !build.labels.contains_key(name));
            origins.others.extend(build.labels.keys().cloned());
            origins
        }
        _ => Origins::default(),
    };
    let base = base(image, &origins, request, reach);
    match &base {
        Fact::Known(base) => {
            tracing::info!(base = base.reference, from = base.source, "base image");
        }
        Fact::Unmet(reason) => tracing::info!(reason, "base image not known"),
    }
    let mut advisories = request.advisories.facts(
        PackageList::of(image.descriptor.digest(), &inventory),
        request.max_age,
        request.fails_from,
    );
    if request.only_fixed {
        advisories::leave_out_unfixed(&mut advisories);
    }
    if let Fact::Known(facts) = &mut advisories
        && request.current_base
        && !facts.matched.missing.is_empty()
    {
        let annotated = annotated(image);
        let named = named_base(&origins, request).or(annotated.as_deref());
        facts.base = current_base::look_up(named, image, &inventory, request, reach, options);
    }
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
const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// The base image: named by the user, by the Dockerfile, or by the image itself.
fn base(
    image: &ResolvedImage,
    origins: &Origins,
    request: &Request<'_>,
    reach: &Reach,
) -> Fact<BaseImage> {
    let annotated = annotated(image);
    let named = named_base(origins, request).or(annotated.as_deref());
    let Some(named) = named.filter(|name| *name != "scratch") else {
        return Fact::Unmet("the base image is not known: name it with `--base`".to_owned());
    };
    match base_image(named, &image.platform, request, reach) {
        Ok(base) if request.base.is_none() && moved(&base, &image.config) => Fact::Unmet(format!(
            "base image {named}: what its tag names now is not what this image was built on; name it by digest or with `--base`"
        )),
        Ok(base) => Fact::Known(base),
        Err(error) => Fact::Unmet(format!("base image {named}: {}", chain(&error))),
    }
}

/// The base image as the user or the Dockerfile names it.
fn named_base<'a>(origins: &'a Origins, request: &Request<'a>) -> Option<&'a str> {
    request.base.or(origins.base_reference.as_deref())
}

/// What the image says of its base: by digest when it tells that too.
fn annotated(image: &ResolvedImage) -> Option<String> {
    let annotations = image.manifest.annotations().as_ref();
    let said = |key: &str| {
        let annotation = annotations.and_then(|all| all.get(key)).map(String::as_str);
        annotation.or_else(|| image.config.label(key))
    };
    let name = said(BASE_NAME)?;
    match said(BASE_DIGEST) {
        Some(digest) if !name.contains('@') => Some(format!("{name}@{digest}")),
        _ => Some(name.to_owned()),
    }
}

/// Whether a base named by a tag alone cannot be told from one that the tag has left: its layers
/// are not those at the bottom, and the first that is missing is nowhere else either.
fn moved(base: &BaseImage, config: &ImageConfig) -> bool {
    let own = &config.rootfs.diff_ids;
    let missing = base
        .diff_ids
        .iter()
        .enumerate()
        .find(|(n, diff_id)| own.get(*n) != Some(diff_id));
    !base.reference.contains('@') && missing.is_some_and(|(_, diff_id)| !own.contains(diff_id))
}

/// Where a base image is to be had.
fn base_transport(named: &str, request: &Request<'_>) -> Result<Transport, SourceError> {
    let mirror = match request.build {
        Some(build) => mirror::place(named, &build.mirrors, &build.root),
        None => Ok(None),
    };
    let malformed = |reason: String| SourceError::Malformed {
        what: named.to_owned(),
        reason,
    };
    let mirror = mirror.map_err(|error| malformed(error.to_string()))?;
    Ok(match mirror {
        Some(mirror) => mirror,
        None if request.base.is_some() => named
            .parse()
            .map_err(|error: TransportError| malformed(error.reason))?,
        // The user alone may name files and engines of this machine; a Dockerfile or an image that
        // says `oci:1.0` means a registry.
        None => Transport::Registry(
            Reference::parse_familiar(named).map_err(|error| malformed(error.reason))?,
        ),
    })
}

fn base_image(
    named: &str,
    platform: &Platform,
    request: &Request<'_>,
    reach: &Reach,
) -> Result<BaseImage, SourceError> {
    let transport = base_transport(named, request)?;
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

#[cfg(test)]
mod tests {
    use super::{BaseImage, ImageConfig, moved};
    use crate::oci::{DiffId, RootFs};

    fn layers(numbers: &[u8]) -> Vec<DiffId> {
        let digest = |n: &u8| format!("sha256:{n:064x}").parse().unwrap();
        numbers.iter().map(|n| DiffId(digest(n))).collect()
    }

    #[test]
    fn a_tag_that_names_another_image_by_now_is_told_from_layers_in_disorder() {
        let at = format!("registry.example.com/base@sha256:{}", "0".repeat(64));
        for (reference, base, own, want) in [
            (
                "registry.example.com/base:1",
                &[1, 2][..],
                &[1, 2, 3][..],
                false,
            ),
            ("registry.example.com/base:1", &[1, 2], &[8, 9, 3], true),
            ("registry.example.com/base:1", &[1, 2], &[1, 9, 3], true),
            ("registry.example.com/base:1", &[1, 2], &[2, 1, 3], false),
            ("registry.example.com/base:1", &[1, 2], &[3, 1, 2], false),
            (&at, &[1, 2], &[8, 9, 3], false),
        ] {
            let base = BaseImage {
                reference: reference.to_owned(),
                diff_ids: layers(base),
                digest: None,
                source: "registry".to_owned(),
            };
            let config = ImageConfig {
                rootfs: RootFs {
                    diff_ids: layers(own),
                },
                ..ImageConfig::default()
            };
            assert_eq!(moved(&base, &config), want, "{reference} {own:?}");
        }
    }
}
