#![expect(clippy::disallowed_methods, reason = "tests make what they serve")]

use std::{path::PathBuf, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use indexmap::IndexMap;
use tokio::{io::copy_bidirectional, task::AbortHandle};
use tokio_stream::{StreamExt as _, once, pending};
use tonic::transport::{Channel, Endpoint, Server};

use super::{Handles, SessionPlan, router};
use crate::registry::auth::AuthStore;

mod daemon;
mod export;
mod files;
mod services;

/// No test waits longer.
const LIMIT: Duration = Duration::from_mins(1);

fn plan() -> SessionPlan {
    SessionPlan {
        local_dirs: Vec::new(),
        secrets: IndexMap::new(),
        ssh: IndexMap::new(),
        auth: Arc::new(AuthStore::new()),
        export_to: None,
    }
}

fn context(dir: &tempfile::TempDir) -> SessionPlan {
    SessionPlan {
        local_dirs: vec![("context".to_owned(), PathBuf::from(dir.path()))],
        ..plan()
    }
}

/// Serves the session over a pipe in memory; the daemon's end.
async fn serve(plan: SessionPlan) -> (Channel, Handles) {
    let (channel, handles, _) = serve_by_relay(plan).await;
    (channel, handles)
}

/// The same, with the relay that carries it: aborting that cuts the connection.
async fn serve_by_relay(plan: SessionPlan) -> (Channel, Handles, AbortHandle) {
    let (routes, methods, handles) = router(plan);
    assert!(methods.iter().all(|method| method.starts_with('/')));
    let (ours, mut near) = tokio::io::duplex(64 * 1024);
    let (mut far, theirs) = tokio::io::duplex(64 * 1024);
    let relay = tokio::spawn(async move { copy_bidirectional(&mut near, &mut far).await });
    let incoming = once(Ok::<_, std::io::Error>(ours)).chain(pending());
    tokio::spawn(
        Server::builder()
            .add_routes(routes)
            .serve_with_incoming(incoming),
    );
    let mut theirs = Some(TokioIo::new(theirs));
    let channel = Endpoint::from_static("http://session")
        .connect_with_connector(tower::service_fn(move |_| {
            let io = theirs.take().ok_or(std::io::ErrorKind::NotConnected);
            async move { io.map_err(std::io::Error::from) }
        }))
        .await
        .unwrap();
    (channel, handles, relay.abort_handle())
}

async fn wait_until(done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting)
        .await
        .expect("waited in vain");
}
