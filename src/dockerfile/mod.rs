//! The Dockerfile as text with line spans: stages, labels, USER, and which instruction made which
//! layer. Pure: text in, facts out; building is the engine's business.

use indexmap::IndexMap;

use crate::finding::Location;

/// Where things of the *image* come from in the Dockerfile: computed from the final stage (and the
/// stages it is built on) and the image's history, read by checks through [`crate::subject::Subject`].
#[derive(Debug, Clone, Default)]
pub struct Origins {
    /// repository-relative path of the Dockerfile
    pub file: String,
    /// the last stage's `FROM`
    pub from: Option<Location>,
    /// the base image reference that `FROM` names, ARGs expanded, when it can be told
    pub base_reference: Option<String>,
    /// the `USER` that counts
    pub user: Option<Location>,
    /// for each label that the Dockerfile sets: the line of that key
    pub labels: IndexMap<String, Location>,
    /// for each layer of the image: the instruction that made it; `None` for layers of the base
    pub layers: Vec<Option<Location>>,
}
