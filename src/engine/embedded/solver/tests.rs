#![expect(clippy::disallowed_methods, reason = "tests make and read files")]

use std::{
    fs,
    num::NonZeroUsize,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;

use super::{Job, build};
use crate::{
    engine::{
        BuildError, BuildEvent, BuildEvents, BuildPlan, Built, Cancel, StepState,
        embedded::{
            step::{Exit, RunError, Runner, Step, StepMountKind},
            store::{LayerCompression, SnapshotMode},
        },
    },
    layout::LayoutSource,
    oci::{ImageSource as _, Platform, resolve},
    registry::RegistryOptions,
    secret::Secret,
};

/// Runs steps of a few words, by hand: `write PATH TEXT`, `seen PATH`, `wait`, `fail CODE`, split by
/// `;`. A path outside the root is one of a mount.
#[derive(Default)]
struct Words {
    /// scripts that ran
    ran: Mutex<Vec<String>>,
    /// steps that wait, and the most of them at once
    waiting: AtomicUsize,
    most: AtomicUsize,
}

impl Words {
    fn ran(&self) -> Vec<String> {
        let mut ran = self.ran.lock().unwrap().clone();
        ran.sort();
        ran
    }
}

fn real(step: &Step, path: &str) -> std::path::PathBuf {
    for mount in &step.mounts {
        if let StepMountKind::Bind { source, .. } = &mount.what
            && let Some(rest) = path.strip_prefix(&mount.target)
        {
            return if rest.is_empty() {
                source.clone()
            } else {
                source.join(rest.trim_start_matches('/'))
            };
        }
    }
    step.root.join(path.trim_start_matches('/'))
}

impl Runner for Words {
    fn describe(&self) -> String {
        "words".to_owned()
    }

    fn run(
        &self,
        step: &Step,
        output: &mut dyn FnMut(bool, &[u8]),
        cancel: &Cancel,
    ) -> Result<Exit, RunError> {
        let script = step.args.last().unwrap();
        self.ran.lock().unwrap().push(script.clone());
        for command in script.split(';') {
            let words: Vec<&str> = command.split_whitespace().collect();
            match words.as_slice() {
                ["write", path, text] => {
                    let path = real(step, path);
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, text).unwrap();
                }
                ["seen", path] => {
                    let Ok(text) = fs::read(real(step, path)) else {
                        output(true, format!("{path} is missing\n").as_bytes());
                        return Ok(Exit::Code(1));
                    };
                    output(false, &text);
                }
                ["wait"] => {
                    let now = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
                    self.most.fetch_max(now, Ordering::SeqCst);
                    for _ in 0..40 {
                        if cancel.is_cancelled() {
                            return Err(RunError::Interrupted);
                        }
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    self.waiting.fetch_sub(1, Ordering::SeqCst);
                }
                ["fail", code] => {
                    output(true, b"first\nlast words");
                    return Ok(Exit::Code(code.parse().unwrap()));
                }
                ["uses-secret"] => {
                    let has = step
                        .mounts
                        .iter()
                        .any(|mount| matches!(mount.what, StepMountKind::Secret { .. }));
                    assert!(has);
                }
                other => panic!("{other:?}"),
            }
        }
        Ok(Exit::Code(0))
    }
}

#[derive(Default)]
struct Seen(Vec<BuildEvent>);

impl BuildEvents for Seen {
    fn event(&mut self, event: BuildEvent) {
        self.0.push(event);
    }
}

struct Project {
    dir: TempDir,
    plan: BuildPlan,
    mode: SnapshotMode,
    threads: usize,
    outputs: usize,
}

impl Project {
    fn new(dockerfile: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("project");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("Dockerfile"), dockerfile).unwrap();
        let plan = BuildPlan {
            context: root.clone(),
            dockerfile: root.join("Dockerfile"),
            cache_dir: dir.path().join("cache"),
            root,
            ..BuildPlan::default()
        };
        Self {
            dir,
            plan,
            mode: SnapshotMode::Copy,
            threads: 2,
            outputs: 0,
        }
    }

    fn file(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.plan.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn job(&mut self) -> Job {
        self.outputs += 1;
        let mut plan = self.plan.clone();
        plan.output = self.dir.path().join(format!("out{}", self.outputs));
        Job {
            cache_dir: plan.cache_dir.clone(),
            plan,
            platform: Platform {
                os: "linux".to_owned(),
                architecture: "amd64".to_owned(),
                variant: None,
            },
            snapshots: self.mode,
            compression: LayerCompression::default(),
            registry: RegistryOptions::default(),
            threads: NonZeroUsize::new(self.threads).unwrap(),
            engine: "test".to_owned(),
        }
    }

    fn build(&mut self, runner: &Words) -> (Result<Built, BuildError>, Vec<BuildEvent>) {
        let mut seen = Seen::default();
        let built = build(&self.job(), runner, &mut seen, &Cancel::new());
        (built, seen.0)
    }

    fn digest(&mut self, runner: &Words) -> String {
        let (built, _) = self.build(runner);
        let built = built.unwrap();
        check(&built.layout);
        built.digest.to_string()
    }
}

/// The layout is whole: every blob is there and is the one it should be.
fn check(layout: &Path) {
    let source = LayoutSource::open(layout, None).unwrap();
    let image = resolve(&source, None).unwrap().images.remove(0);
    for layer in image.manifest.layers() {
        std::io::copy(&mut source.blob(layer).unwrap(), &mut std::io::sink()).unwrap();
    }
    let layers = image.config.history.unwrap();
    let layers = layers.iter().filter(|entry| !entry.empty_layer).count();
    assert_eq!(layers, image.manifest.layers().len());
}

fn states(events: &[BuildEvent], of: &str) -> Vec<String> {
    events
        .iter()
        .filter_map(|event| match event {
            BuildEvent::Step { name, state, .. } if name.contains(of) => Some(match state {
                StepState::Started => "started".to_owned(),
                StepState::Cached => "cached".to_owned(),
                StepState::Done(_) => "done".to_owned(),
                StepState::Failed(_) => "failed".to_owned(),
                StepState::Canceled => "canceled".to_owned(),
            }),
            _ => None,
        })
        .collect()
}

const STAGES: &str = "FROM scratch AS one\nCOPY a /a\nRUN write /one 1\n\
    FROM scratch AS unused\nRUN write /unused 1\n\
    FROM scratch\nCOPY b /b\nCOPY --from=one /one /one\nRUN seen /one\nENV X=1\n";

#[test]
fn only_what_is_needed_and_not_known_is_done() {
    let mut project = Project::new(STAGES).file("a", "a").file("b", "b");
    let runner = Words::default();
    let (first, events) = project.build(&runner);
    let first = first.unwrap();
    check(&first.layout);
    assert_eq!(runner.ran(), ["seen /one", "write /one 1"]);
    assert_eq!(states(&events, "RUN write /one"), ["started", "done"]);
    // The build wrote nothing of its own to the cache that the second one could stumble over.
    let (second, events) = project.build(&runner);
    let second = second.unwrap();
    check(&second.layout);
    assert_eq!(second.digest, first.digest);
    assert_eq!(runner.ran().len(), 2);
    assert_eq!(states(&events, "RUN write /one"), ["cached"]);
    assert_eq!(states(&events, "RUN write /unused"), [""; 0]);
    // A file that no step takes changes nothing.
    project.write("c", "c");
    assert_eq!(project.digest(&runner), first.digest.to_string());
    assert_eq!(runner.ran().len(), 2);
    // One that is taken does, and what does not depend on it stays.
    project.write("b", "other");
    assert_ne!(project.digest(&runner), first.digest.to_string());
    assert_eq!(runner.ran(), ["seen /one", "seen /one", "write /one 1"]);
    project.plan.no_cache = true;
    project.digest(&runner);
    assert_eq!(runner.ran().len(), 5);
}

#[test]
fn a_step_over_an_equal_tree_is_known_however_the_tree_came_to_be() {
    let mut project = Project::new(STAGES).file("a", "a").file("b", "b");
    let runner = Words::default();
    let first = project.digest(&runner);
    // The stage is another, the file that is copied from it is the same.
    project.write("a", "changed");
    assert_eq!(project.digest(&runner), first);
    assert_eq!(runner.ran(), ["seen /one", "write /one 1", "write /one 1"]);
}

#[test]
fn steps_that_do_not_need_each_other_run_at_once() {
    let dockerfile = "FROM scratch AS a\nRUN wait;write /a 1\nFROM scratch AS b\nRUN wait;write /b 1\n\
        FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n";
    let runner = Words::default();
    Project::new(dockerfile).digest(&runner);
    assert_eq!(runner.most.load(Ordering::SeqCst), 2);
}

#[test]
fn a_failure_has_its_line_and_stops_the_rest() {
    let dockerfile = "FROM scratch AS a\nRUN wait;wait;wait;wait;wait\nFROM scratch AS b\n\n\
        RUN fail 7\nFROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n";
    let started = std::time::Instant::now();
    let (built, events) = Project::new(dockerfile).build(&Words::default());
    let Err(BuildError::Dockerfile(failure)) = built else {
        panic!("{built:?}")
    };
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(failure.exit_code, Some(7));
    assert_eq!(failure.log, ["first", "last words"]);
    assert!(failure.message.ends_with("exit code: 7"), "{failure:?}");
    assert_eq!(failure.location.unwrap().line, 5);
    assert_eq!(states(&events, "RUN fail"), ["started", "failed"]);
    assert_eq!(states(&events, "RUN wait"), ["started", "canceled"]);
}

#[test]
fn a_missing_file_fails_before_anything_runs() {
    let runner = Words::default();
    let (built, _) = Project::new("FROM scratch\nRUN write /a 1\nCOPY nothing /\n").build(&runner);
    let Err(BuildError::Dockerfile(failure)) = built else {
        panic!("{built:?}")
    };
    assert!(failure.message.contains("nothing"), "{failure:?}");
    assert_eq!(failure.location.unwrap().line, 3);
    assert!(runner.ran().is_empty());
}

#[test]
fn a_secret_is_in_no_file_of_the_cache() {
    let mut project = Project::new(
        "FROM scratch\nRUN --mount=type=secret,id=s,required=true uses-secret;write /a 1\n",
    );
    let value = "correct horse battery";
    let secrets = &mut project.plan.secrets;
    secrets.insert("s".to_owned(), Secret::new(value));
    let first = project.digest(&Words::default());
    for entry in walkdir::WalkDir::new(project.dir.path()) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            let found = bytes
                .windows(value.len())
                .any(|part| part == value.as_bytes());
            assert!(!found, "{}", entry.path().display());
        }
    }
    // Nor does it decide what is known.
    let secrets = &mut project.plan.secrets;
    secrets.insert("s".to_owned(), Secret::new("another"));
    let runner = Words::default();
    assert_eq!(project.digest(&runner), first);
    assert!(runner.ran().is_empty());
    project.plan.secrets.clear();
    project.plan.no_cache = true;
    let (built, _) = project.build(&runner);
    assert!(
        built
            .unwrap_err()
            .to_string()
            .contains("secret s: not found")
    );
}

#[test]
fn mounts_show_trees_and_keep_caches() {
    let dockerfile = "FROM scratch AS a\nRUN write /d/a stage\n\
        FROM scratch\nRUN --mount=type=bind,from=a,source=/d,target=/m --mount=type=bind,source=sub,target=/ctx \
        --mount=type=cache,target=/cache seen /m/a;seen /ctx/f;write /cache/kept 1\n\
        RUN --mount=type=cache,target=/cache seen /cache/kept;write /out 1\n";
    let mut project = Project::new(dockerfile)
        .file("sub/f", "f")
        .file("sub/hidden", "h")
        .file(".dockerignore", "sub/hidden\n");
    let runner = Words::default();
    project.digest(&runner);
    assert_eq!(runner.ran().len(), 3);
    // Files that a mount of the context shows count, those that are hidden do not.
    project.write("sub/hidden", "other");
    project.digest(&runner);
    assert_eq!(runner.ran().len(), 3);
    project.write("sub/f", "other");
    project.digest(&runner);
    assert_eq!(runner.ran().len(), 4);
}

#[test]
fn a_cache_that_a_step_names_twice_is_one_directory() {
    for sharing in ["shared", "private", "locked"] {
        let mount = format!("--mount=type=cache,id=c,sharing={sharing},target=");
        let mut project = Project::new(&format!(
            "FROM scratch\nRUN {mount}/a {mount}/b write /a/f 1;seen /b/f\n"
        ));
        project.digest(&Words::default());
    }
}

#[test]
fn a_cache_starts_anew_when_what_it_starts_with_changes() {
    let dockerfile = |text: &str| {
        format!(
            "FROM scratch AS a\nRUN write /d/{text} 1\nFROM scratch\n\
             RUN --mount=type=cache,id=c,from=a,source=/d,target=/c seen /c/{text}\n"
        )
    };
    let mut project = Project::new(&dockerfile("one"));
    let runner = Words::default();
    project.digest(&runner);
    project.write("Dockerfile", &dockerfile("two"));
    project.digest(&runner);
}

#[test]
fn a_cache_elsewhere_is_as_good_as_ones_own() {
    let mut project = Project::new(STAGES).file("a", "a").file("b", "b");
    let elsewhere = project.dir.path().join("elsewhere");
    let words = |key: &str| format!("type=local,{key}={}", elsewhere.display());
    project.plan.cache_from = vec![words("src")];
    project.plan.cache_to = vec![words("dest")];
    let runner = Words::default();
    let (first, events) = project.build(&runner);
    let first = first.unwrap().digest;
    let told = |event: &BuildEvent| matches!(event, BuildEvent::Note(text) if text.contains("is not used"));
    assert!(events.iter().any(told));
    assert_eq!(runner.ran().len(), 2);
    fs::remove_dir_all(&project.plan.cache_dir).unwrap();
    assert_eq!(project.digest(&runner), first.to_string());
    assert_eq!(runner.ran().len(), 2);
    project.plan.cache_to = vec!["type=registry,ref=r.example.com/c:1".to_owned()];
    let (built, _) = project.build(&runner);
    assert!(built.unwrap_err().to_string().contains("type=registry"));
}

#[test]
fn the_same_inputs_make_the_same_image_anywhere() {
    let image = |threads, mode, epoch| {
        let mut project = Project::new(STAGES).file("a", "a").file("b", "b");
        project.threads = threads;
        project.mode = mode;
        project.plan.source_date_epoch = epoch;
        project.digest(&Words::default())
    };
    let epoch = Some(1_700_000_000);
    let first = image(1, SnapshotMode::Copy, epoch);
    assert_eq!(image(4, SnapshotMode::Copy, epoch), first);
    assert_ne!(image(4, SnapshotMode::Copy, Some(1)), first);
}

#[test]
fn two_builds_share_a_cache_directory() {
    let mut project = Project::new(STAGES).file("a", "a").file("b", "b");
    let jobs: Vec<Job> = (0..4).map(|_| project.job()).collect();
    std::thread::scope(|scope| {
        for job in &jobs {
            scope.spawn(move || {
                let runner = Words::default();
                let built = build(job, &runner, &mut Seen::default(), &Cancel::new()).unwrap();
                check(&built.layout);
            });
        }
    });
    let runner = Words::default();
    project.digest(&runner);
    assert!(runner.ran().is_empty());
}

#[test]
fn a_link_copy_does_not_depend_on_what_is_below() {
    let dockerfile = |text: &str| {
        format!(
            "FROM scratch AS a\nRUN write /f 1\nFROM scratch\nRUN write /x {text}\nCOPY --link --from=a /f /f\nRUN seen /f;seen /x\n"
        )
    };
    let mut project = Project::new(&dockerfile("1"));
    let runner = Words::default();
    project.digest(&runner);
    project.write("Dockerfile", &dockerfile("2"));
    let (built, events) = project.build(&runner);
    check(&built.unwrap().layout);
    assert_eq!(states(&events, "COPY --link"), ["cached"]);
    assert_eq!(runner.ran().len(), 5);
}

#[test]
fn damage_is_repaired() {
    let mut project = Project::new(STAGES).file("a", "a").file("b", "b");
    let runner = Words::default();
    project.digest(&runner);
    for kind in ["blobs/sha256", "records/steps", "records/trees-copy-all"] {
        let Ok(entries) = fs::read_dir(project.plan.cache_dir.join(kind)) else {
            continue;
        };
        for entry in entries.flatten() {
            // Not through the hard link that an image holds.
            let path = entry.path();
            let mut bytes = fs::read(&path).unwrap();
            bytes.truncate(bytes.len() / 2);
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
        }
        project.digest(&runner);
        project.digest(&runner);
    }
    assert!(runner.ran().len() > 2);
}
