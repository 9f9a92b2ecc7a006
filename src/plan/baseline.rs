//! What an image is compared with.

use std::path::PathBuf;

use crate::config::{Config, Origin, Scan};

/// What an image is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaselinePlan {
    /// as it was named
    pub name: String,
    /// where it is, when it is a file
    pub file: PathBuf,
}

/// A relative path of the configuration file is one of the repository, others are of where the
/// program was started.
pub(super) fn plan(config: &Config, scan: &Scan) -> Option<BaselinePlan> {
    let named = scan.baseline.as_ref()?;
    let name = named.value.clone();
    let file = match &named.origin {
        Origin::File(_) => config.root.join(&name),
        _ => PathBuf::from(&name),
    };
    Some(BaselinePlan { name, file })
}
