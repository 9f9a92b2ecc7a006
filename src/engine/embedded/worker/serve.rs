//! The worker: reads the request, finds out what this machine allows, builds, and tells what happens.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    num::NonZeroUsize,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver},
    },
    time::Duration,
};

use nix::{
    mount::{MsFlags, mount},
    sys::prctl,
};
use zeroize::Zeroizing;

use super::{
    detect::{self, Snapshots},
    protocol::{Answer, Event, Failure, LONGEST, Message, Request, Said},
    setup::{self, say},
};
use crate::{
    engine::{
        BuildError, BuildEvent, BuildEvents, Built, Cancel,
        embedded::{
            graph::Network,
            run::{Isolation, StepRunner},
            solver::{self, Job},
            step::Runner as _,
            store::{LayerCompression, SnapshotMode},
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
/// Directories in the cache directory that belong to one run.
const RUN: &str = ".run";
const RUN_PREFIX: &str = ".run-";

/// Entry of the process.
pub(super) fn main(mode: Option<&str>) -> u8 {
    let plain = mode == Some(setup::PLAIN);
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
    let last = match build(request, input) {
        Ok(built) => Message::Built {
            digest: built.digest.to_string(),
            engine: built.engine,
            lints: built.lints.iter().map(Said::from).collect(),
        },
        Err(error) => Message::Failed(Failure::from(error)),
    };
    u8::from(say(&last).is_err())
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
        let mut piece = Zeroizing::new([0_u8; 64 << 10]);
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
        let _ = say(&Message::Event(Event::from(event)));
    }
}

fn build(request: Request, mut input: Input) -> Result<Built, BuildError> {
    let cancel = Cancel::new();
    let (answers, answered) = mpsc::channel();
    let stop = cancel.clone();
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
        .map_err(io_error("a thread for requests"))?;
    let logins = Arc::new(Logins(Mutex::new(answered)));
    let registry = RegistryOptions {
        auth: AuthStore::new().with_source(Arc::new(move |registry, repository| {
            logins.ask(registry, repository)
        })),
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
    fs::create_dir_all(&plan.cache_dir).map_err(io_error(plan.cache_dir.display()))?;
    sweep(&plan.cache_dir);
    let snapshots = if request.namespaces {
        detect::snapshots(&plan.cache_dir)
    } else {
        Snapshots::Copy {
            why: "nothing can be mounted".to_owned(),
        }
    };
    let scratch = Scratch::new(&plan.cache_dir, request.namespaces)?;
    let isolation = if request.namespaces {
        Isolation::Namespaces
    } else {
        Isolation::Chroot
    };
    let (snapshots, words) = match snapshots {
        Snapshots::Overlay { userxattr } => {
            (SnapshotMode::Overlay { userxattr }, "overlay".to_owned())
        }
        Snapshots::Copy { why } => (SnapshotMode::Copy, format!("copies ({why})")),
    };
    let network = match plan.network.as_deref() {
        Some("none") => Network::None,
        _ => Network::Host,
    };
    let runner = StepRunner::new(isolation, scratch.path.clone(), plan.limits)
        .with_words(words)
        .with_network(network);
    if let Some(note) = runner.unheld() {
        events.event(BuildEvent::Note(note));
    }
    let engine = format!("embedded engine ({})", runner.describe());
    events.event(BuildEvent::Note(format!(
        "steps run in {}",
        runner.describe()
    )));
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let job = Job {
        platform: this_platform(),
        cache_dir: plan.cache_dir.clone(),
        plan,
        snapshots,
        compression: LayerCompression::default(),
        registry,
        threads,
        engine,
    };
    solver::build(&job, &runner, &mut events, &cancel)
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

fn io_error<E: Into<io::Error>>(what: impl ToString) -> impl FnOnce(E) -> BuildError {
    let what = what.to_string();
    move |error| BuildError::Io {
        what,
        source: error.into(),
    }
}

/// Where steps keep their files: in memory where something can be mounted, else in the cache
/// directory, removed at the end.
struct Scratch {
    path: PathBuf,
    /// locked as long as this process lives
    lock: Option<File>,
}

impl Scratch {
    fn new(cache: &Path, namespaces: bool) -> Result<Self, BuildError> {
        if namespaces {
            let path = cache.join(RUN);
            fs::create_dir_all(&path).map_err(io_error(path.display()))?;
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
            let options = Some("mode=711");
            mount(Some("tmpfs"), &path, Some("tmpfs"), flags, options)
                .map_err(io_error(path.display()))?;
            return Ok(Self { path, lock: None });
        }
        let made = tempfile::Builder::new()
            .prefix(RUN_PREFIX)
            .tempdir_in(cache);
        let path = made.map_err(io_error(cache.display()))?.keep();
        let locked = || -> io::Result<File> {
            let lock = lock_file(&path)?;
            lock.lock()?;
            Ok(lock)
        };
        let lock = locked().map_err(io_error(path.display()))?;
        Ok(Self {
            path,
            lock: Some(lock),
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.lock.is_some() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn lock_file(directory: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join("lock"))
}

/// Removes what runs that were killed have left in the cache directory.
fn sweep(cache: &Path) {
    let Ok(entries) = fs::read_dir(cache) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let old = || {
            let age = entry.metadata().ok()?.modified().ok()?.elapsed().ok()?;
            Some(age > Duration::from_mins(1))
        };
        let dead = if name.starts_with(RUN_PREFIX) {
            old() == Some(true)
                && lock_file(&entry.path()).is_ok_and(|lock| lock.try_lock().is_ok())
        } else {
            name.starts_with(detect::PROBE) && old() == Some(true)
        };
        if dead {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
