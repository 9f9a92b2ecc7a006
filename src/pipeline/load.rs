//! `load`: what was built goes to the Docker Engine too, under its names.

use std::io;

use super::Tools;
use crate::{
    engine::{
        BuildError, Built,
        docker::{DockerEngine, DockerError, chain},
        docker_address,
    },
    error::Error,
    gather,
    layout::export_docker_archive,
    oci::resolve,
};

/// Gives the image to the engine that the environment points at. Of several platforms it is that
/// engine's own.
pub(super) fn load(made: &Built, names: &[String], tools: &Tools<'_>) -> Result<(), Error> {
    let address = docker_address(&tools.reach.engine)?;
    let shown = address.to_string();
    let opened = gather::open_layout(&made.layout)?;
    let several = resolve(opened.source(), None)?.images.len() > 1;
    let given = tools
        .console
        .stage("load", &format!("load into {shown}"), || {
            let engine = DockerEngine::connect(address)?;
            let platform = engine.facts().platform.clone().filter(|_| several);
            let names = names.to_vec();
            engine.load_archive(move |out| {
                export_docker_archive(opened.source(), platform.as_ref(), &names, out)
                    .map_err(io::Error::other)
            })
        });
    given.map_err(|error: DockerError| BuildError::Engine {
        engine: shown.clone(),
        reason: format!("the image was built, but not loaded: {}", chain(&error)),
        hint: Some(
            "is a Docker Engine there? `docker-host` names one; or leave out `load`".to_owned(),
        ),
    })?;
    for name in names {
        tools.console.note(&format!("loaded {name} into {shown}"));
    }
    Ok(())
}
