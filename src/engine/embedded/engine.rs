//! [`Embedded`]: this binary as an engine.

use std::{path::PathBuf, sync::Arc};

use super::{
    store::KeptFacts,
    worker::{parent, this_binary},
};
use crate::{
    engine::{BuildError, BuildEvents, BuildPlan, Built, Cancel, Engine},
    inventory::LayerMemory,
    registry::RegistryOptions,
};

/// Builds in a worker process of this binary; nothing is needed but a kernel.
#[derive(Debug)]
pub struct Embedded {
    registry: RegistryOptions,
    binary: PathBuf,
    why: Option<String>,
}

impl Embedded {
    /// An engine that pulls base images with these logins.
    pub fn new(registry: RegistryOptions) -> Self {
        Self {
            registry,
            binary: this_binary(),
            why: None,
        }
    }

    /// Why it was taken although nobody asked for it.
    #[must_use]
    pub fn because(mut self, why: String) -> Self {
        self.why = Some(why);
        self
    }

    /// The `plimsoll` that becomes the worker, when this process is another program.
    #[must_use]
    pub fn with_binary(mut self, binary: PathBuf) -> Self {
        self.binary = binary;
        self
    }
}

impl Engine for Embedded {
    fn describe(&self) -> String {
        match &self.why {
            Some(why) => format!("the {} ({why})", parent::NAME),
            None => format!("the {}", parent::NAME),
        }
    }

    fn build(
        &self,
        plan: &BuildPlan,
        events: &mut dyn BuildEvents,
        cancel: &Cancel,
    ) -> Result<Built, BuildError> {
        if plan.cache_dir.as_os_str().is_empty() {
            return Err(BuildError::Engine {
                engine: parent::NAME.to_owned(),
                reason: "no cache directory: neither HOME nor XDG_CACHE_HOME is set".to_owned(),
                hint: Some("name one with --cache-dir".to_owned()),
            });
        }
        parent::build(&self.binary, plan, &self.registry, events, cancel)
    }

    fn memory(&self, plan: &BuildPlan) -> Option<Arc<dyn LayerMemory>> {
        Some(Arc::new(KeptFacts::of(&plan.cache_dir)))
    }
}
