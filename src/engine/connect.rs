//! From the choice of an engine to the engine.

use std::sync::Arc;

use super::{
    BuildError, Engine, EngineChoice, EngineEnvironment, Place, buildkit::BuildKit,
    embedded::Embedded, place,
};
use crate::registry::RegistryOptions;

/// Connects to the engine that was chosen. When nothing was chosen, neither by option nor by the
/// environment, and no Docker Engine answers at its usual place, the embedded engine is taken;
/// `registry` is how that one pulls base images.
///
/// # Errors
/// When the environment cannot be understood, or nothing answers at the engine that was chosen.
pub fn connect(
    choice: EngineChoice,
    environment: &EngineEnvironment,
    registry: &RegistryOptions,
) -> Result<Box<dyn Engine>, BuildError> {
    let auth = Arc::clone(&environment.auth);
    let place = place(choice, environment)?;
    // An engine that the environment names is a choice too: without it the build would be another.
    let free = choice == EngineChoice::Auto && place.is_default();
    let reached = match place {
        Place::Docker(address) => BuildKit::in_docker(address, auth),
        Place::BuildKit(address) => BuildKit::alone(address, auth),
        Place::Embedded => return Ok(Box::new(Embedded::new(registry.clone()))),
    };
    match reached {
        Ok(engine) => Ok(Box::new(engine)),
        Err(BuildError::Engine { engine, reason, .. }) if free => {
            let why = format!("no BuildKit in reach: {engine}: {reason}");
            Ok(Box::new(Embedded::new(registry.clone()).because(why)))
        }
        Err(error) => Err(error),
    }
}
