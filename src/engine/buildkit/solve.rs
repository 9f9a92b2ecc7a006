//! One build from dialling to the image: session, solve, status, export.

use std::{path::Path, pin::pin, sync::Arc, time::Duration};

use bollard_buildkit_proto::moby::buildkit::v1::{
    InfoRequest, SolveRequest, SolveResponse, StatusRequest, StatusResponse,
};
use tokio::sync::mpsc;
use tonic::{Code, Status};

use super::{
    Daemon,
    bases::{Bases, Undo},
    channel::{self, Control, Session},
    content, export,
    failure::{self, Refusal},
    io_error, lint, mirror,
    progress::Progress,
    request::{self, Export},
    session::{self, Handles, SessionPlan},
    source::Source,
};
use crate::{
    engine::{BuildError, BuildEvent, BuildEvents, BuildPlan, Built, dial::Address},
    registry::auth::AuthStore,
};

/// After a solve the status stream ends by itself; engines that never made the job never end it.
const STATUS_SILENCE: Duration = Duration::from_secs(5);
/// When the session breaks, the solve's own error says more, if it comes.
const LAST_WORDS: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A Dockerfile larger than this is no Dockerfile; the engine's own limit is lower still.
const DOCKERFILE_LIMIT: u64 = 16 << 20;

/// One build.
pub(super) struct Build<'a> {
    pub(super) daemon: &'a Daemon,
    pub(super) plan: &'a BuildPlan,
    pub(super) auth: &'a Arc<AuthStore>,
    pub(super) events: &'a mut dyn BuildEvents,
    /// what has to be taken back in the engine afterwards, however the build ends
    pub(super) undo: &'a mut Vec<Undo>,
}

impl Build<'_> {
    pub(super) async fn run(&mut self) -> Result<Built, BuildError> {
        let plan = self.plan;
        self.refuse_unsupported()?;
        let source = read_source(plan)?;
        let mirrored =
            mirror::choose(source.images(), &plan.mirrors, &plan.root).map_err(|error| {
                BuildError::Engine {
                    engine: self.daemon.label(),
                    reason: error.to_string(),
                    hint: None,
                }
            })?;
        let mut bases = Bases {
            daemon: self.daemon,
            auth: self.auth,
            platform: plan.platforms.first(),
            undo: &mut *self.undo,
        };
        let mut prepared = bases.prepare(&mirrored).await?;
        for note in std::mem::take(&mut prepared.notes) {
            self.note(note);
        }
        if plan.pull && prepared.stored {
            self.note(
                "base images were put into the engine's store: `pull` is left out".to_owned(),
            );
        }

        let scratch = export::scratch(&plan.output)?;
        let archive = scratch.path().join("image.tar");
        let (routes, mut methods, handles) = session::router(self.session_plan(&archive)?);
        let routes = match &prepared.content {
            None => routes,
            Some(content) => {
                methods.extend(content::METHODS.iter().map(|&method| method.to_owned()));
                routes.add_service(content.clone())
            }
        };
        let control = self.connect().await?;
        let session = channel::open_session(&control, routes, &methods);
        let export = self.export();
        let request =
            request::solve_request(plan, &source.base_name, &prepared, &export, &session.id)
                .map_err(|error| BuildError::Unsupported {
                    engine: self.daemon.label(),
                    what: error.to_string(),
                    hint: None,
                })?;
        let mut progress = Progress::default();
        let solved = self.solve(control, request, session, &mut progress).await;
        let response =
            solved.map_err(|status| self.explain(&status, &source, &progress, &handles))?;
        let lints = lint::lints(progress.warnings(), &source);
        let finished = export::Finished {
            daemon: self.daemon,
            plan,
            archive: &archive,
            response: &response.exporter_response,
            sent: handles.exported.get(),
        };
        let digest = finished.into_layout(&export).await?;
        drop(scratch);
        Ok(Built {
            layout: plan.output.clone(),
            digest,
            engine: self.daemon.label(),
            lints,
        })
    }

    fn refuse_unsupported(&self) -> Result<(), BuildError> {
        let refuse = |what: &str, hint: &str| {
            Err(BuildError::Unsupported {
                engine: self.daemon.label(),
                what: what.to_owned(),
                hint: Some(hint.to_owned()),
            })
        };
        let archives = self.daemon.exports_archives();
        if self.plan.platforms.len() > 1 && !archives {
            return refuse(
                "several platforms in one image",
                "turn on Docker's containerd image store, or use a BuildKit daemon",
            );
        }
        let is_inline = |text: &String| text.split(',').any(|field| field.trim() == "type=inline");
        if !archives && !self.plan.cache_to.iter().all(is_inline) {
            return refuse(
                "cache targets other than type=inline",
                "turn on Docker's containerd image store, or use a BuildKit daemon",
            );
        }
        match self.plan.network.as_deref() {
            None | Some("" | "default" | "none" | "host") => Ok(()),
            Some(other) => refuse(
                &format!("the network mode `{other}`"),
                "write `default`, `none` or `host`",
            ),
        }
    }

    fn session_plan(&self, archive: &Path) -> Result<SessionPlan, BuildError> {
        let plan = self.plan;
        let parent = plan.dockerfile.parent().ok_or_else(|| {
            io_error(
                plan.dockerfile.display(),
                std::io::ErrorKind::InvalidInput.into(),
            )
        })?;
        Ok(SessionPlan {
            local_dirs: vec![
                (request::CONTEXT.to_owned(), plan.context.clone()),
                (request::DOCKERFILE.to_owned(), parent.to_owned()),
            ],
            secrets: plan.secrets.clone(),
            ssh: plan.ssh.clone(),
            auth: Arc::clone(self.auth),
            export_to: Some(archive.to_owned()),
        })
    }

    async fn connect(&self) -> Result<Control, BuildError> {
        let connect = async {
            match self.daemon {
                Daemon::Docker(engine) => Ok(channel::connect_docker(engine).await?),
                Daemon::Alone { address, .. } => channel::connect(address)
                    .await
                    .map_err(|error| unreachable(address, &error.to_string())),
            }
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, connect).await {
            Ok(channel) => channel.map(channel::control),
            Err(_) => Err(BuildError::Engine {
                engine: self.daemon.label(),
                reason: format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()),
                hint: None,
            }),
        }
    }

    fn export(&mut self) -> Export {
        let names = &self.plan.names;
        if self.daemon.exports_archives() {
            // Only a Docker Engine has a store that people look into.
            let keep = match self.daemon {
                Daemon::Docker(_) => names.clone(),
                Daemon::Alone { .. } => Vec::new(),
            };
            return Export::Archive { keep };
        }
        if !names.is_empty() {
            return Export::Store {
                names: names.clone(),
            };
        }
        // Under a name of its own the image cannot be taken for another, nor removed with one.
        let name = format!("docker.io/library/plimsoll-build:{}", channel::random_id());
        self.undo.push(Undo::Name(name.clone()));
        Export::Store { names: vec![name] }
    }

    /// Runs the solve, telling events as they come.
    async fn solve(
        &mut self,
        control: Control,
        mut request: SolveRequest,
        mut session: Session,
        progress: &mut Progress,
    ) -> Result<SolveResponse, Status> {
        request.r#ref = channel::random_id();
        let mut status = watch(control.clone(), request.r#ref.clone());
        let mut control = control;
        let mut solve = pin!(control.solve(request));
        let result = loop {
            tokio::select! {
                Some(message) = status.recv() => self.tell(progress, message),
                result = &mut solve => break result,
                reason = &mut session.ended => {
                    let reason = reason.unwrap_or_default();
                    break match tokio::time::timeout(LAST_WORDS, &mut solve).await {
                        Ok(result) => result,
                        Err(_) => Err(Status::unavailable(format!("the session ended: {reason}"))),
                    };
                }
            }
        };
        while let Ok(Some(message)) = tokio::time::timeout(STATUS_SILENCE, status.recv()).await {
            self.tell(progress, message);
        }
        result.map(tonic::Response::into_inner)
    }

    fn tell(&mut self, progress: &mut Progress, message: StatusResponse) {
        for event in progress.fold(message) {
            self.events.event(event);
        }
    }

    fn note(&mut self, text: String) {
        self.events.event(BuildEvent::Note(text));
    }

    fn explain(
        &self,
        status: &Status,
        source: &Source,
        progress: &Progress,
        handles: &Handles,
    ) -> BuildError {
        let label = self.daemon.label();
        let mut error = failure::explain(
            status,
            &Refusal {
                engine: &label,
                source,
                progress,
                troubles: handles.troubles.all(),
            },
        );
        if let BuildError::Dockerfile(failure) = &mut error
            && source.has_heredocs()
            && !self.daemon.knows_heredocs()
        {
            failure.message.push_str(
                "; this engine is older than here-documents: use Docker Engine 23 or newer",
            );
        }
        error
    }
}

/// The status stream on a task of its own: its answer comes only when the daemon has a job.
fn watch(mut control: Control, build: String) -> mpsc::Receiver<StatusResponse> {
    let (sender, receiver) = mpsc::channel(64);
    tokio::spawn(async move {
        let Ok(response) = control.status(StatusRequest { r#ref: build }).await else {
            return;
        };
        let mut stream = response.into_inner();
        while let Ok(Some(message)) = stream.message().await {
            if sender.send(message).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// Asks a daemon of its own for its version; one before 0.11 has none to tell.
pub(super) async fn version(address: &Address) -> Result<Option<String>, BuildError> {
    let ask = async {
        let channel = channel::connect(address)
            .await
            .map_err(|error| error.to_string())?;
        match channel::control(channel).info(InfoRequest {}).await {
            Ok(response) => {
                let version = response.into_inner().buildkit_version;
                Ok(Some(
                    version.map(|version| version.version).unwrap_or_default(),
                ))
            }
            Err(status) if status.code() == Code::Unimplemented => Ok(None),
            Err(status) => Err(failure::words(&status)),
        }
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, ask).await {
        Ok(answer) => answer.map_err(|reason| unreachable(address, &reason)),
        Err(_) => Err(unreachable(address, "no answer within 30 s")),
    }
}

fn unreachable(address: &Address, reason: &str) -> BuildError {
    BuildError::Engine {
        engine: format!("BuildKit at {address}"),
        reason: reason.to_owned(),
        hint: Some("see whether the daemon runs and listens there".to_owned()),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the Dockerfile is read to name its lines"
)]
fn read_source(plan: &BuildPlan) -> Result<Source, BuildError> {
    use std::io::Read as _;
    let shown = plan.dockerfile.display();
    let mut bytes = Vec::new();
    std::fs::File::open(&plan.dockerfile)
        .and_then(|file| file.take(DOCKERFILE_LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|error| io_error(shown, error))?;
    if bytes.len() as u64 > DOCKERFILE_LIMIT {
        let error = std::io::Error::other("a Dockerfile of more than 16 MiB");
        return Err(io_error(plan.dockerfile.display(), error));
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let relative = plan
        .dockerfile
        .strip_prefix(plan.top())
        .unwrap_or(&plan.dockerfile);
    let components = relative
        .components()
        .map(|part| part.as_os_str().to_string_lossy());
    let file = components.collect::<Vec<_>>().join("/");
    let base_name = plan
        .dockerfile
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    Ok(Source::new(file, base_name.into_owned(), text, &plan.args))
}
