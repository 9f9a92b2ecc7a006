//! The worker: reads the request, finds out what this machine allows, builds, and tells what happens.

use std::{
    fs::File,
    io::{self, Read as _},
    num::NonZeroUsize,
    os::fd::AsFd as _,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver},
    },
    time::Duration,
};

use nix::sys::{
    prctl,
    resource::{Resource, getrlimit, setrlimit},
};
use zeroize::Zeroizing;

use super::{
    ground::{Ground, io_error},
    protocol::{Answer, Failure, LONGEST, Message, Prune, Request},
    setup::{self, say},
};
use crate::{
    engine::{
        BuildError, BuildEvent, BuildEvents, Built, Cancel,
        embedded::{
            graph::Network,
            run::StepRunner,
            solver::{self, Job},
            step::Runner as _,
            store::{self, LayerCompression},
        },
    },
    oci::Platform,
    registry::{
        RegistryOptions,
        auth::{AuthStore, Login},
    },
    secret::Secret,
};

/// A helper of the user may ask for a password.
const LOGIN: Duration = Duration::from_mins(5);
/// Entry of the process.
pub(super) fn main(mode: Option<&str>) -> u8 {
    let plain = mode == Some(setup::PLAIN);
    let open_files = raise_open_files();
    if setup::tie().is_err() || (plain && prctl::set_child_subreaper(true).is_err()) {
        return 1;
    }
    if say(&Message::Ready).is_err() {
        return 1;
    }
    let Ok(mut input) = Input::open() else {
        return 1;
    };
    // The end of the input before a request: the engine has gone.
    let Some(request) = input.request() else {
        return 0;
    };
    if let Some(prune) = request.prune {
        return u8::from(say(&pruned(&request.plan.cache_dir, prune)).is_err());
    }
    let last = match build(request, input, open_files) {
        Ok(built) => Message::Built {
            digest: built.digest,
            engine: built.engine,
        },
        Err(error) => Message::Failed(Failure::from(error)),
    };
    u8::from(say(&last).is_err())
}

/// Walks of deep trees over many layers keep many directories open. The limits before are those of
/// steps.
fn raise_open_files() -> Option<(u64, u64)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).ok()?;
    Some((soft, hard))
}

/// As root of a user namespace, files of subordinate ids can be removed.
fn pruned(root: &Path, prune: Prune) -> Message {
    match store::prune(root, prune.options, prune.now) {
        Ok(pruned) => Message::Pruned(pruned),
        Err(error) => Message::Failed(Failure::Io {
            what: error.to_string(),
            errno: None,
            text: String::new(),
        }),
    }
}

/// Standard input by lines. What it holds is wiped.
struct Input {
    file: File,
    held: Zeroizing<Vec<u8>>,
}

impl Input {
    fn open() -> io::Result<Self> {
        let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        Ok(Self {
            file,
            held: Zeroizing::new(Vec::new()),
        })
    }

    /// The next line; `None` at the end.
    fn line(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        let mut piece = Zeroizing::new(vec![0_u8; 64 << 10]);
        let mut looked = 0;
        loop {
            let end = self
                .held
                .get(looked..)?
                .iter()
                .position(|&byte| byte == b'\n');
            if let Some(end) = end.map(|end| looked + end) {
                let line = Zeroizing::new(self.held.get(..end)?.to_vec());
                let rest = Zeroizing::new(self.held.get(end + 1..)?.to_vec());
                self.held = rest;
                return Some(line);
            }
            looked = self.held.len();
            let count = match self.file.read(piece.as_mut_slice()) {
                Ok(0) => return None,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return None,
            };
            if looked + count > LONGEST {
                return None;
            }
            // Growing in place would leave copies behind.
            let mut grown = Zeroizing::new(Vec::with_capacity((looked + count) * 2));
            grown.extend_from_slice(&self.held);
            grown.extend_from_slice(piece.get(..count)?);
            self.held = grown;
        }
    }

    fn request(&mut self) -> Option<Request> {
        serde_json::from_slice(&self.line()?).ok()
    }
}

/// Asks the engine for logins; one question at a time.
struct Logins(Mutex<Receiver<Answer>>);

impl Logins {
    fn ask(&self, registry: &str, repository: Option<&str>) -> Result<Option<Login>, String> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let question = Message::Login {
            registry: registry.to_owned(),
            repository: repository.map(str::to_owned),
        };
        say(&question).map_err(|error| error.to_string())?;
        match answers.recv_timeout(LOGIN) {
            Ok(Answer::Login(login)) => login.map(|login| login.map(Login::from)),
            Err(error) => Err(format!("no answer: {error}")),
        }
    }
}

/// Tells the engine what happens.
struct Events;

impl BuildEvents for Events {
    fn event(&mut self, event: BuildEvent) {
        // Nobody to tell is a build that is being stopped.
        let _ = say(&Message::Event(event));
    }
}

fn build(
    request: Request,
    input: Input,
    open_files: Option<(u64, u64)>,
) -> Result<Built, BuildError> {
    let cancel = Cancel::new();
    let auth = ask_for_logins(input, cancel.clone())?;
    let registry = RegistryOptions {
        auth,
        insecure: request.insecure,
        extra_roots: request.extra_roots,
        cancel: cancel.clone(),
        ..RegistryOptions::default()
    };
    let mut plan = request.plan;
    let unsealed = request.secrets.into_iter();
    plan.secrets = unsealed
        .map(|(id, sealed)| (id, Secret::clone(&sealed.0)))
        .collect();
    let mut events = Events;
    if let Some(note) = request.note {
        events.event(BuildEvent::Note(note));
    }
    let ground = Ground::find(&plan.cache_dir, request.namespaces)?;
    let network = match plan.network.as_deref() {
        Some("none") => Network::None,
        _ => Network::Host,
    };
    let runner = StepRunner::new(ground.isolation, ground.scratch.path.clone(), plan.limits)
        .with_words(ground.words)
        .with_open_files(open_files)
        .with_network(network);
    if let Some(note) = runner.unheld() {
        events.event(BuildEvent::Note(note));
    }
    let described = runner.describe();
    events.event(BuildEvent::Note(format!("steps run in {described}")));
    let job = Job {
        platform: this_platform(),
        cache_dir: plan.cache_dir.clone(),
        plan,
        snapshots: ground.snapshots,
        compression: LayerCompression::default(),
        registry,
        threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        engine: ground.engine,
    };
    solver::build(&job, &runner, &mut events, &cancel)
}

/// Listens to the engine: its answers, and the end, which cancels.
fn ask_for_logins(mut input: Input, stop: Cancel) -> Result<AuthStore, BuildError> {
    let (answers, answered) = mpsc::channel();
    std::thread::Builder::new()
        .name("requests".to_owned())
        .spawn(move || {
            while let Some(line) = input.line() {
                let answer = serde_json::from_slice(&line);
                if !answer.is_ok_and(|answer| answers.send(answer).is_ok()) {
                    break;
                }
            }
            stop.cancel();
        })
        .map_err(io_error(&"a thread for requests"))?;
    let logins = Logins(Mutex::new(answered));
    Ok(
        AuthStore::new().with_source(Arc::new(move |registry, repository| {
            logins.ask(registry, repository)
        })),
    )
}

/// In the words of images.
fn this_platform() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    };
    Platform {
        os: std::env::consts::OS.to_owned(),
        architecture: architecture.to_owned(),
        variant: None,
    }
}
