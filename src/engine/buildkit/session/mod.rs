//! The session: the services that BuildKit calls back on while it builds. Files of the context,
//! registry credentials, secrets, ssh agents, and the place where the built image is written.
//!
//! It does not dial, solve or show progress; the transport hands [`router`]'s routes to a gRPC server.

use std::{path::PathBuf, sync::Arc};

use bollard_buildkit_proto::{
    health::health_server::HealthServer,
    moby::{
        buildkit::secrets::v1::secrets_server::SecretsServer,
        filesync::{
            packet::file_sync_server::FileSyncServer,
            v1::{auth_server::AuthServer, file_send_server::FileSendServer},
        },
        sshforward::v1::ssh_server::SshServer,
    },
};
use indexmap::IndexMap;
use tonic::service::Routes;

use self::{
    export::FileSend,
    filesync::FileSync,
    services::{Auth, Health, Secrets},
    ssh::Ssh,
};
use crate::{registry::auth::AuthStore, secret::Secret};

mod context;
mod export;
mod filesync;
mod handles;
mod metadata;
mod services;
pub(in crate::engine) mod ssh;

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

/// The largest message taken, in bytes; the daemon's own limit.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// The services over `plan`: routes for a gRPC server, the method names to expose to the daemon
/// (`/moby.filesync.v1.FileSync/DiffCopy`, …; one `x-docker-expose-session-grpc-method` each), and
/// the handles that tell afterwards what came and what went wrong.
///
/// Must be served on a runtime with a thread pool for blocking work.
pub(crate) fn router(plan: SessionPlan) -> (Routes, Vec<String>, Handles) {
    let handles = Handles::default();
    let troubles = || handles.troubles.clone();
    let files = FileSync {
        dirs: plan.local_dirs,
        troubles: troubles(),
    };
    let auth = Auth {
        store: plan.auth,
        troubles: troubles(),
    };
    let ssh = Ssh {
        agents: plan.ssh,
        troubles: troubles(),
    };
    let secrets = Secrets {
        secrets: plan.secrets,
    };
    let mut routes = Routes::new(HealthServer::new(Health))
        .add_service(FileSyncServer::new(files))
        .add_service(AuthServer::new(auth))
        .add_service(SecretsServer::new(secrets))
        .add_service(SshServer::new(ssh));
    let mut methods = METHODS.map(str::to_owned).to_vec();
    if let Some(path) = plan.export_to {
        let export = FileSend::new(path, handles.exported.clone(), troubles());
        let export = FileSendServer::new(export).max_decoding_message_size(MAX_MESSAGE);
        routes = routes.add_service(export);
        methods.push("/moby.filesync.v1.FileSend/DiffCopy".to_owned());
    }
    (routes, methods, handles)
}

/// What is always offered. The daemon asks for tokens whether or not that is listed.
const METHODS: [&str; 7] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.sshforward.v1.SSH/CheckAgent",
    "/moby.sshforward.v1.SSH/ForwardAgent",
];

#[cfg(test)]
mod tests;
