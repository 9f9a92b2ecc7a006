//! Gives an engine the stand-ins of base images: as named contexts where it knows them, else by
//! putting the image under the name of the `FROM` into its store for the time of the build.

use base64::Engine as _;
use indexmap::IndexMap;

use super::{
    Daemon,
    channel::random_id,
    content::Content,
    mirror::{Mirrored, StandIn, selections},
    names::ImageName,
};
use crate::{
    engine::{
        BuildError, StepFailure,
        docker::{DockerEngine, DockerError, Upload},
    },
    layout::{LayoutSource, export_docker_archive},
    oci::{Platform, SourceError, resolve},
    registry::auth::{AuthStore, Login},
};

/// What a build needs so that its base images are found.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// attributes of the frontend
    pub(crate) contexts: IndexMap<String, String>,
    /// layouts that the daemon reads over the session
    pub(crate) content: Option<Content>,
    /// images were put into the engine's store, where pulling anew would not find them
    pub(crate) stored: bool,
    /// what was done, for the user
    pub(crate) notes: Vec<String>,
}

/// Something that was changed in the engine and is to be taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Undo {
    /// take a name away
    Name(String),
    /// give a name back to the image that had it
    Restore {
        /// image
        id: String,
        /// its name
        name: ImageName,
    },
    /// remove an image that has no name
    Unnamed(String),
}

/// Everything that the steps of preparing share.
pub(crate) struct Bases<'a> {
    /// where
    pub(crate) daemon: &'a Daemon,
    /// logins for registries
    pub(crate) auth: &'a AuthStore,
    /// platform of the build, when there is one
    pub(crate) platform: Option<&'a Platform>,
    /// filled before each change, so that a build that is stopped leaves nothing either
    pub(crate) undo: &'a mut Vec<Undo>,
}

impl Bases<'_> {
    /// Makes every stand-in reachable.
    pub(crate) async fn prepare(&mut self, mirrored: &[Mirrored]) -> Result<Prepared, BuildError> {
        let mut prepared = Prepared::default();
        let mut stores = Vec::new();
        for one in mirrored {
            let name = one.used.name.full();
            match &one.stand_in {
                StandIn::Layout { dir, .. } => {
                    prepared
                        .notes
                        .push(format!("base image {name} is taken from {}", dir.display()));
                    self.layout(one, &mut prepared, &mut stores).await?;
                }
                StandIn::Image(other) => {
                    prepared
                        .notes
                        .push(format!("base image {name} is taken from {}", other.full()));
                    self.image(one, other, &mut prepared).await?;
                }
            }
        }
        if !stores.is_empty() {
            prepared.content = Some(Content::new(stores));
        }
        Ok(prepared)
    }

    async fn layout(
        &mut self,
        one: &Mirrored,
        prepared: &mut Prepared,
        stores: &mut Vec<(String, std::path::PathBuf)>,
    ) -> Result<(), BuildError> {
        let source = open(one).map_err(|error| base_error(one, &error))?;
        let digest = source.descriptor().digest().to_string();
        if let Some(pinned) = one
            .used
            .name
            .digest
            .as_ref()
            .filter(|&pinned| *pinned != digest)
        {
            let reason = format!("the mirror holds {digest}, not the pinned {pinned}");
            return Err(base_failure(one, &reason));
        }
        let StandIn::Layout { dir, .. } = &one.stand_in else {
            return Ok(());
        };
        match self.daemon {
            Daemon::Docker(engine) if !engine.facts().containerd_store => {
                prepared.stored = true;
                self.load(engine, one, source, &mut prepared.contexts).await
            }
            daemon if daemon.reads_layouts() => {
                let store = random_id();
                let context = format!("oci-layout://{store}@{digest}");
                prepared
                    .contexts
                    .insert(context_attribute(&one.used.name), context);
                stores.push((store, dir.clone()));
                Ok(())
            }
            daemon => Err(BuildError::Unsupported {
                engine: daemon.label(),
                what: format!("base images from an OCI layout ({})", dir.display()),
                hint: Some("use BuildKit 0.11 or newer, or a registry as the mirror".to_owned()),
            }),
        }
    }

    async fn image(
        &mut self,
        one: &Mirrored,
        other: &ImageName,
        prepared: &mut Prepared,
    ) -> Result<(), BuildError> {
        let key = context_attribute(&one.used.name);
        match self.daemon {
            Daemon::Docker(engine) if !self.daemon.knows_contexts() => {
                self.pull(engine, one, other).await?;
                prepared.stored = true;
            }
            _ => {
                prepared
                    .contexts
                    .insert(key, format!("docker-image://{}", other.full()));
            }
        }
        Ok(())
    }

    async fn load(
        &mut self,
        engine: &DockerEngine,
        one: &Mirrored,
        source: LayoutSource,
        contexts: &mut IndexMap<String, String>,
    ) -> Result<(), BuildError> {
        let platform = self.platform.or(engine.facts().platform.as_ref()).cloned();
        let resolved =
            resolve(&source, platform.as_ref()).map_err(|error| base_error(one, &error))?;
        let Some(image) = resolved.images.first() else {
            return Err(base_failure(one, "the layout's index names no image"));
        };
        let image = Stored {
            id: image.manifest.config().digest().to_string(),
            source: std::sync::Arc::new(source),
            platform,
        };
        if self.daemon.knows_contexts() {
            // A name of its own: builds side by side must not take each other's base away.
            let name = ImageName {
                tag: Some(random_id()),
                ..temporary()
            };
            self.undo.push(Undo::Name(name.full()));
            put(engine, one, &image, &name).await?;
            let context = format!("docker-image://{}", name.full());
            contexts.insert(context_attribute(&one.used.name), context);
            return Ok(());
        }
        if self.take_name(engine, one, &image.id).await? {
            put(engine, one, &image, &one.used.name).await?;
        }
        Ok(())
    }

    async fn pull(
        &mut self,
        engine: &DockerEngine,
        one: &Mirrored,
        other: &ImageName,
    ) -> Result<(), BuildError> {
        let full = other.full();
        let login = self
            .auth
            .login_for(&other.registry, Some(&other.repository));
        let login = login.map_err(|error| base_failure(one, &error.to_string()))?;
        if engine.image(&full).await?.is_none() {
            self.undo.push(Undo::Name(full.clone()));
        }
        let version = other.digest.as_ref().or(other.tag.as_ref());
        let version = version.map_or("latest", String::as_str);
        let login = login.map(|login| registry_header(&login, &other.registry));
        engine
            .pull(&other.path(), version, login)
            .await
            .map_err(|error| base_failure(one, &error.to_string()))?;
        let Some(image) = engine.image(&full).await? else {
            return Err(base_failure(
                one,
                &format!("{full} was pulled but is not there"),
            ));
        };
        if self.take_name(engine, one, &image.id).await? {
            let tag = one.used.name.tag.as_deref().unwrap_or("latest");
            engine.tag(&image.id, &one.used.name.path(), tag).await?;
        }
        Ok(())
    }

    /// Notes what has to be taken back when image `id` gets the name of the `FROM`; `false` when it
    /// has it already.
    async fn take_name(
        &mut self,
        engine: &DockerEngine,
        one: &Mirrored,
        id: &str,
    ) -> Result<bool, BuildError> {
        let name = &one.used.name;
        if name.digest.is_some() {
            return Err(BuildError::Unsupported {
                engine: self.daemon.label(),
                what: format!(
                    "a mirror for `{}`, which is named by its digest",
                    name.full()
                ),
                hint: Some(
                    "name the base image by a tag, or use Docker Engine 23 or newer".to_owned(),
                ),
            });
        }
        match engine.image(&name.full()).await? {
            Some(image) if image.id == id => return Ok(false),
            Some(image) => {
                self.undo.push(Undo::Unnamed(id.to_owned()));
                self.undo.push(Undo::Restore {
                    id: image.id,
                    name: name.clone(),
                });
            }
            None => self.undo.push(Undo::Name(name.full())),
        }
        Ok(true)
    }
}

/// A layout's image on its way into an engine's store.
struct Stored {
    id: String,
    source: std::sync::Arc<LayoutSource>,
    platform: Option<Platform>,
}

/// Gives the image its name, and brings it first when the engine has it not, or no more.
async fn put(
    engine: &DockerEngine,
    one: &Mirrored,
    image: &Stored,
    name: &ImageName,
) -> Result<(), BuildError> {
    let tag = name.tag.as_deref().unwrap_or("latest");
    match engine.tag(&image.id, &name.path(), tag).await {
        Err(error) if error.is_not_found() => {}
        other => return Ok(other?),
    }
    let (tell, told) = tokio::sync::oneshot::channel();
    let (source, platform) = (std::sync::Arc::clone(&image.source), image.platform.clone());
    // Loaded under its name, never without: somebody else's tidying would take it away.
    let names = [name.full()];
    let upload = Upload::archive(move |out| {
        let written = export_docker_archive(&*source, platform.as_ref(), &names, out);
        let result = written.as_ref().map(|&()| ());
        let result = result.map_err(|error| std::io::Error::other(error.to_string()));
        let _ = tell.send(written.err());
        result
    });
    let loaded = engine.load(upload).await;
    if let Ok(Some(error)) = told.await {
        return Err(base_error(one, &error));
    }
    Ok(loaded?)
}

fn temporary() -> ImageName {
    ImageName {
        registry: "docker.io".to_owned(),
        repository: "library/plimsoll-base".to_owned(),
        tag: None,
        digest: None,
    }
}

/// Takes back what a build changed in the engine, last change first. What cannot be taken back is said.
pub(crate) async fn take_back(engine: &DockerEngine, undo: Vec<Undo>) -> Vec<String> {
    let mut notes = Vec::new();
    for change in undo.into_iter().rev() {
        if let Err(error) = take_back_one(engine, change).await {
            notes.push(format!("could not tidy up: {error}"));
        }
    }
    notes
}

async fn take_back_one(engine: &DockerEngine, change: Undo) -> Result<(), DockerError> {
    match change {
        Undo::Name(name) => engine.remove(&name).await,
        Undo::Restore { id, name } => {
            let tag = name.tag.as_deref().unwrap_or("latest");
            engine.tag(&id, &name.path(), tag).await
        }
        Undo::Unnamed(id) => match engine.image(&id).await? {
            Some(image) if image.repo_tags.iter().flatten().next().is_none() => {
                match engine.remove(&id).await {
                    // Another build still stands on it, and tidies up itself.
                    Err(error) if error.is_conflict() => Ok(()),
                    other => other,
                }
            }
            _ => Ok(()),
        },
    }
}

fn open(one: &Mirrored) -> Result<LayoutSource, SourceError> {
    let StandIn::Layout { dir, select } = &one.stand_in else {
        return Err(SourceError::NotFound {
            what: one.used.name.full(),
            source: None,
        });
    };
    let mut last = None;
    for select in selections(select.as_ref(), &one.used.name) {
        match LayoutSource::open(dir, select.as_ref()) {
            Ok(source) => return Ok(source),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| SourceError::NotFound {
        what: dir.display().to_string(),
        source: None,
    }))
}

fn context_attribute(name: &ImageName) -> String {
    format!("context:{}", name.context_key())
}

fn base_error(one: &Mirrored, error: &SourceError) -> BuildError {
    base_failure(one, &crate::engine::docker::chain(error))
}

/// A base image that cannot be had fails the `FROM` that wants it.
fn base_failure(one: &Mirrored, reason: &str) -> BuildError {
    BuildError::Dockerfile(Box::new(StepFailure {
        message: format!("base image {}: {reason}", one.used.name.full()),
        location: Some(one.used.location.clone()),
        ..StepFailure::default()
    }))
}

fn registry_header(login: &Login, registry: &str) -> String {
    let json = match login {
        Login::Basic { username, password } => serde_json::json!({
            "username": username,
            "password": password.expose_str().unwrap_or_default(),
            "serveraddress": registry,
        }),
        Login::IdentityToken(token) => serde_json::json!({
            "identitytoken": token.expose_str().unwrap_or_default(),
            "serveraddress": registry,
        }),
    };
    base64::engine::general_purpose::URL_SAFE.encode(json.to_string())
}
