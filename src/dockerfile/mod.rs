//! The Dockerfile as text with line spans: stages, labels, USER, and which instruction made which
//! layer. Pure: text in, facts out; building is the engine's business.
//!
//! Lines are joined and words are split as BuildKit's parser does it, here-documents anywhere in
//! an instruction included. Every fault of a file is told, not the first alone; what can be read
//! in spite of faults is read ([`Dockerfile::read`]), so that predictions are made all the same.

mod expand;
mod fault;
mod heredoc;
mod history;
mod instruction;
mod lines;
mod lint;
mod predict;
mod read;
mod resolve;
mod resolved;
mod source;
mod stage;
mod words;

use indexmap::IndexMap;

pub use fault::ParseFault;
pub use history::origins;
pub use instruction::{Arguments, Flag, Instruction, Keyword, Pair};
pub use lines::Heredoc;
pub use lint::lints;
pub use predict::{ContextFiles, ContextPath, PredictContext, Prediction, Predictions, predict};
pub use resolved::{Base, Resolved, Setting, Step, TargetError};
pub use stage::{Directives, Dockerfile, Stage};
pub use words::{Word, json_list};

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
    /// labels that the Dockerfile sets, though the image has another value: given with the build, or
    /// it is not this Dockerfile's image
    pub others: Vec<String>,
    /// for each layer of the image: the instruction that made it; `None` for layers of the base
    pub layers: Vec<Option<Location>>,
}
