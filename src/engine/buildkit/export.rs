//! The built image becomes the OCI layout that was asked for.

use std::{collections::HashMap, path::Path};

use super::{Daemon, io_error, request::Export, session::Exported};
use crate::{
    engine::{BuildError, BuildPlan, docker::chain},
    layout::{import_docker_archive, unpack_oci_archive},
    oci::{Digest, SourceError},
};

/// A solve that ended well.
pub(super) struct Finished<'a> {
    pub(super) daemon: &'a Daemon,
    pub(super) plan: &'a BuildPlan,
    /// where archives go
    pub(super) archive: &'a Path,
    /// what the exporter said
    pub(super) response: &'a HashMap<String, String>,
    /// what came over the session
    pub(super) sent: Option<Exported>,
}

impl Finished<'_> {
    /// Fetches the image, unless it came already, and writes the layout.
    pub(super) async fn into_layout(self, export: &Export) -> Result<Digest, BuildError> {
        let output = self.plan.output.clone();
        if let (Export::Store { .. }, Daemon::Docker(engine)) = (export, self.daemon) {
            let id = self
                .said("containerimage.config.digest")
                .or(self.said("containerimage.digest"))
                .ok_or_else(|| self.fault("the engine did not say which image it made"))?;
            engine.save_to(&id, self.archive).await?;
            let (archive, names) = (self.archive.to_owned(), self.plan.names.clone());
            return self
                .blocking(move || import_docker_archive(&archive, &output, &names))
                .await;
        }
        let sent = self.sent.as_ref();
        let sent = sent.ok_or_else(|| self.fault("the engine sent no image"))?;
        let archive = sent.path.clone();
        let digest = self
            .blocking(move || unpack_oci_archive(&archive, &output))
            .await?;
        match self.said("containerimage.digest") {
            Some(said) if said != digest.to_string() => Err(self.fault(&format!(
                "the engine said it made {said}, but sent {digest}"
            ))),
            _ => Ok(digest),
        }
    }

    fn said(&self, key: &str) -> Option<String> {
        self.response
            .get(key)
            .filter(|value| !value.is_empty())
            .cloned()
    }

    async fn blocking(
        &self,
        work: impl FnOnce() -> Result<Digest, SourceError> + Send + 'static,
    ) -> Result<Digest, BuildError> {
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(digest)) => Ok(digest),
            Ok(Err(SourceError::Io { what, source })) => Err(io_error(what, source)),
            Ok(Err(error)) => Err(self.fault(&format!("the image it made: {}", chain(&error)))),
            Err(error) => Err(self.fault(&format!("the image could not be unpacked: {error}"))),
        }
    }

    fn fault(&self, reason: &str) -> BuildError {
        BuildError::Engine {
            engine: self.daemon.label(),
            reason: reason.to_owned(),
            hint: None,
        }
    }
}

/// A directory beside `output` for what is only passing through; gone when dropped.
pub(super) fn scratch(output: &Path) -> Result<tempfile::TempDir, BuildError> {
    let parent = output.parent().unwrap_or(output);
    std::fs::create_dir_all(parent).map_err(|error| io_error(parent.display(), error))?;
    tempfile::Builder::new()
        .prefix(".plimsoll-build-")
        .tempdir_in(parent)
        .map_err(|error| io_error(parent.display(), error))
}
