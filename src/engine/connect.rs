//! From the choice of an engine to the engine.

use std::sync::Arc;

use super::{
    BuildError, Engine, EngineChoice, EngineEnvironment, Place, buildkit::BuildKit,
    embedded::Embedded, place,
};
use crate::registry::RegistryOptions;

/// Connects to the engine that was chosen. Without a choice the embedded engine is taken where no
/// BuildKit answers; `registry` is how that one pulls base images.
///
/// # Errors
/// When the environment cannot be understood, or nothing answers at the engine that was chosen.
pub fn connect(
    choice: EngineChoice,
    environment: &EngineEnvironment,
    registry: &RegistryOptions,
) -> Result<Box<dyn Engine>, BuildError> {
    let auth = Arc::clone(&environment.auth);
    let reached = match place(choice, environment)? {
        Place::Docker(address) => BuildKit::in_docker(address, auth),
        Place::BuildKit(address) => BuildKit::alone(address, auth),
        Place::Embedded => return Ok(Box::new(Embedded::new(registry.clone()))),
    };
    match reached {
        Ok(engine) => Ok(Box::new(engine)),
        Err(BuildError::Engine { engine, reason, .. }) if choice == EngineChoice::Auto => {
            let why = format!("no BuildKit in reach: {engine}: {reason}");
            Ok(Box::new(Embedded::new(registry.clone()).because(why)))
        }
        Err(error) => Err(error),
    }
}
