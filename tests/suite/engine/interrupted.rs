//! Builds that are stopped, or whose engine goes away.

use std::{
    io::{Read, Write},
    os::unix::net::UnixListener,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use plimsoll::{
    engine::{
        BuildError, BuildEvent, BuildEvents, BuildPlan, Cancel, EngineChoice, StepState, connect,
    },
    registry::RegistryOptions,
};

use super::{Project, docker, engine, environment};
use crate::support::Relay;

/// Does something once, when a step whose name contains a word has started.
struct When<F: FnMut() + Send> {
    word: String,
    then: Option<F>,
}

impl<F: FnMut() + Send> BuildEvents for When<F> {
    fn event(&mut self, event: BuildEvent) {
        let BuildEvent::Step {
            name,
            state: StepState::Started,
            ..
        } = event
        else {
            return;
        };
        if name.contains(&self.word)
            && let Some(mut then) = self.then.take()
        {
            // The step is announced just before its process is there.
            thread::sleep(Duration::from_millis(500));
            then();
        }
    }
}

fn processes_with(word: &str) -> usize {
    let is_it = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path().join("cmdline");
        let line = std::fs::read(path).ok()?;
        line.windows(word.len())
            .any(|window| window == word.as_bytes())
            .then_some(())
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(is_it)
        .count()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{what} did not happen"
        );
        thread::sleep(Duration::from_millis(100));
    }
}

fn sleeper() -> (Project, String) {
    // Shown by nothing else on the machine, and different in each test, so never shared.
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let seconds = format!("{}.{}{count}", 300 + count, std::process::id());
    let word = format!("sleep\0{seconds}");
    (
        Project::new(&format!("FROM BASE\nRUN sleep {seconds}\n")),
        word,
    )
}

#[test]
fn a_build_that_is_stopped_leaves_nothing_running() {
    let Some(engine) = engine() else { return };
    let (mut project, word) = sleeper();
    project.plan.no_cache = true;
    let cancel = Cancel::new();
    let stop = cancel.clone();
    let seen = Arc::new(AtomicBool::new(false));
    let running = Arc::clone(&seen);
    let watched = word.clone();
    let mut events = When {
        word: "RUN sleep".to_owned(),
        then: Some(move || {
            let running = &running;
            wait_until("the step", || processes_with(&watched) > 0);
            running.store(true, Ordering::Relaxed);
            stop.cancel();
        }),
    };
    let start = Instant::now();
    let result = engine.build(&project.plan, &mut events, &cancel);
    assert!(matches!(result, Err(BuildError::Interrupted)), "{result:?}");
    assert!(seen.load(Ordering::Relaxed));
    assert!(start.elapsed() < Duration::from_mins(1));
    wait_until("the end of the step", || processes_with(&word) == 0);
    assert!(!project.plan.output.join("index.json").exists());
    assert_no_leftovers(&project.plan);
}

#[test]
fn a_build_that_was_stopped_before_it_began_does_nothing() {
    let Some(engine) = engine() else { return };
    let (project, _) = sleeper();
    let cancel = Cancel::new();
    cancel.cancel();
    let mut events = super::Events::default();
    let result = engine.build(&project.plan, &mut events, &cancel);
    assert!(matches!(result, Err(BuildError::Interrupted)), "{result:?}");
}

#[test]
fn an_engine_that_goes_away_is_no_fault_of_the_dockerfile() {
    let Some(docker) = docker() else { return };
    let plimsoll::engine::dial::Address::Unix(socket) = docker.address().clone() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::start(&dir.path().join("relay.sock"), &socket);
    let mut environment = environment();
    environment.docker_host = Some(format!(
        "unix://{}",
        dir.path().join("relay.sock").display()
    ));
    let engine = connect(
        EngineChoice::Docker,
        &environment,
        &RegistryOptions::default(),
    )
    .unwrap();
    let (mut project, word) = sleeper();
    project.plan.no_cache = true;
    let mut events = When {
        word: "RUN sleep".to_owned(),
        then: Some(move || relay.cut()),
    };
    let result = engine.build(&project.plan, &mut events, &Cancel::new());
    let Err(BuildError::Engine { reason, .. }) = result else {
        panic!("{result:#?}");
    };
    assert!(reason.contains("connection was lost"), "{reason}");
    wait_until("the end of the step", || processes_with(&word) == 0);
    // The engine could be reached again for the tidying.
    assert_no_leftovers(&project.plan);
}

#[test]
fn an_engine_that_is_not_there_is_said_so() {
    let mut environment = environment();
    environment.buildkit_host = None;
    environment.docker_host = Some("unix:///nonexistent/docker.sock".to_owned());
    let registry = RegistryOptions::default();
    let error = connect(EngineChoice::Auto, &environment, &registry)
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(text.contains("unix:///nonexistent/docker.sock"), "{text}");
    assert!(matches!(error, BuildError::Engine { hint: Some(_), .. }));
    let embedded = connect(EngineChoice::Embedded, &environment, &registry).unwrap();
    assert_eq!(embedded.describe(), "the embedded engine");
}

#[test]
fn something_else_on_the_socket_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("odd.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"220 mail.example.com ESMTP\r\n");
        }
    });
    let mut environment = environment();
    environment.buildkit_host = None;
    environment.docker_host = Some(format!("unix://{}", socket.display()));
    assert!(
        connect(
            EngineChoice::Docker,
            &environment,
            &RegistryOptions::default()
        )
        .is_err()
    );
    environment.buildkit_host = Some(format!("unix://{}", socket.display()));
    assert!(
        connect(
            EngineChoice::BuildKit,
            &environment,
            &RegistryOptions::default()
        )
        .is_err()
    );
}

/// What was brought for the build is gone from the engine.
fn assert_no_leftovers(plan: &BuildPlan) {
    let Some(docker) = docker() else { return };
    let dir = tempfile::tempdir().unwrap();
    for name in plan.mirrors.keys() {
        let error = docker.save(name, &dir.path().join("x.tar")).unwrap_err();
        assert!(error.is_not_found(), "{error}");
    }
}
