//! The engine contract: the same cases on the embedded engine and on a real BuildKit give the same
//! image: configuration, history, and files with type, mode, owner, size, digest, link, attributes,
//! hard links and (where BuildKit keeps them) times.
//!
//! Cases are text in `tests/contract/cases`; BuildKit's answers are recorded in
//! `tests/contract/expected`, so that they can be compared where no BuildKit is. `tests/contract.sh`
//! records them again.

mod archive;
mod bases;
mod case;
mod hostile;
mod llb;
mod tree;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use plimsoll::{
    engine::{
        BuildError, BuildEvent, BuildEvents, BuildPlan, Cancel, Engine, EngineChoice,
        EngineEnvironment, connect, embedded::Embedded,
    },
    registry::{RegistryOptions, auth::AuthStore},
};
use serde_json::{Value, json};

use self::{bases::Bases, case::Case, tree::Files};
use crate::support::skipped;

/// Answers by case.
type Answers = BTreeMap<String, Value>;

#[derive(Default)]
struct Quiet;

impl BuildEvents for Quiet {
    fn event(&mut self, _event: BuildEvent) {}
}

/// Builds a case; an engine that refuses it answers `error`.
fn build(
    case: &Case,
    engine: &dyn Engine,
    bases: &Bases,
    base: &Files,
    change: &dyn Fn(&mut BuildPlan),
) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = case.plan(dir.path(), bases);
    change(&mut plan);
    match engine.build(&plan, &mut Quiet, &Cancel::new()) {
        Ok(built) => {
            let started = if case.dockerfile().contains("@base@")
                || case.dockerfile().contains("@config@")
                || case.dockerfile().contains("@onbuild@")
            {
                base.clone()
            } else {
                Files::new()
            };
            let answer = tree::answer(&built.layout, &started).to_string();
            serde_json::from_str(&bases.emptied(&answer)).unwrap()
        }
        Err(BuildError::Dockerfile(failure)) => {
            json!({ "error": bases.emptied(failure.message.lines().next().unwrap_or("")) })
        }
        Err(BuildError::Unsupported { what, .. }) => json!({ "error": what, "refused": true }),
        Err(error) => json!({ "error": error.to_string(), "engine": true }),
    }
}

/// All cases on engines of their own, some at once.
fn run(
    cases: &[Case],
    bases: &Bases,
    threads: usize,
    engine: &(dyn Fn() -> Box<dyn Engine> + Sync),
    change: &(dyn Fn(&mut BuildPlan) + Sync),
) -> Answers {
    let base = tree::files_of(&bases.layout("base"));
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(Answers::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let engine = engine();
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = build(case, engine.as_ref(), bases, &base, change);
                    answers.lock().unwrap().insert(case.name.clone(), answer);
                }
            });
        }
    });
    answers.into_inner().unwrap()
}

fn expected() -> Answers {
    let mut answers = Answers::new();
    for entry in fs::read_dir(case::directory("expected")).unwrap() {
        let text = fs::read(entry.unwrap().path()).unwrap();
        answers.extend(serde_json::from_slice::<Answers>(&text).unwrap());
    }
    answers
}

/// Lines on what differs; none when the answers are the same. Two engines that both refuse agree.
fn differences(expected: &Value, actual: &Value, base: &Files) -> Vec<String> {
    if expected.get("error").is_some() && actual.get("error").is_some() {
        return Vec::new();
    }
    let mut lines = Vec::new();
    compare("", expected, actual, base, &mut lines);
    lines
}

/// BuildKit leaves another time on a directory in which it made a mount point; here it is as before.
fn mount_point(at: &str, value: &Value, base: &Files) -> bool {
    let before = at.strip_prefix("/files/").and_then(|path| base.get(path));
    before.is_some_and(|line| undated(value) == undated(&json!(line)))
}

/// BuildKit keeps one copy of the context for all builds, which changes times of its directories.
fn undated(value: &Value) -> Value {
    match value.as_str() {
        Some(line) if line.starts_with("dir ") => {
            json!(line.split(" @").next().unwrap_or_default())
        }
        _ => value.clone(),
    }
}

fn compare(at: &str, expected: &Value, actual: &Value, base: &Files, lines: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: std::collections::BTreeSet<&String> =
                left.keys().chain(right.keys()).collect();
            for key in keys {
                let null = Value::Null;
                let (left, right) = (
                    left.get(key).unwrap_or(&null),
                    right.get(key).unwrap_or(&null),
                );
                compare(&format!("{at}/{key}"), left, right, base, lines);
            }
        }
        _ if undated(expected) == undated(actual) => {}
        (value, Value::Null) if mount_point(at, value, base) => {}
        _ => lines.push(format!("    {at}: BuildKit {expected}, here {actual}")),
    }
}

fn wanted() -> Vec<Case> {
    let only = std::env::var("PLIMSOLL_CONTRACT_CASE").ok();
    case::all()
        .into_iter()
        .filter(|case| {
            only.as_ref()
                .is_none_or(|only| case.name.contains(only.as_str()))
        })
        .collect()
}

#[test]
fn there_are_enough_cases_and_each_has_an_answer() {
    if case::made_up() {
        return;
    }
    let cases = case::all();
    let names: std::collections::BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
    assert_eq!(names.len(), cases.len(), "two cases have one name");
    assert!(cases.len() >= 1000, "{} cases", cases.len());
    let expected = expected();
    for name in names {
        assert!(expected.contains_key(name), "{name} was not recorded");
    }
}

/// A current BuildKit gives what was recorded; with `PLIMSOLL_CONTRACT_RECORD=1` it is recorded.
#[test]
fn a_real_buildkit_gives_the_recorded_answers() {
    let test = "a_real_buildkit_gives_the_recorded_answers";
    let Ok(host) = std::env::var("PLIMSOLL_CONTRACT_BUILDKIT_HOST") else {
        eprintln!("SKIPPED {test}: PLIMSOLL_CONTRACT_BUILDKIT_HOST names no BuildKit");
        return;
    };
    let Some(busybox) = bases::busybox() else {
        return skipped(test, "busybox-static is not installed");
    };
    let environment = EngineEnvironment {
        buildkit_host: Some(host),
        auth: Arc::new(AuthStore::new()),
        ..EngineEnvironment::default()
    };
    let bases = Bases::new(&busybox);
    let cases = wanted();
    let engine = || {
        let registry = RegistryOptions::default();
        connect(EngineChoice::BuildKit, &environment, &registry).unwrap()
    };
    // Of two builds at once, BuildKit gives one the files of the other when they are alike.
    let threads = if case::made_up() { 4 } else { 1 };
    let answers = run(&cases, &bases, threads, &engine, &|plan| {
        plan.no_cache = true;
    });
    if std::env::var("PLIMSOLL_CONTRACT_RECORD").is_ok_and(|value| value == "1") {
        return record(&cases, &answers);
    }
    let expected = expected();
    let base = tree::files_of(&bases.layout("base"));
    let mut wrong = Vec::new();
    for (name, answer) in &answers {
        let lines = differences(&expected[name], answer, &base);
        if !lines.is_empty() {
            wrong.push(format!("{name}\n{}", lines.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Cases that this engine answers differently, and why that stays.
const KNOWN: &[(&str, &str)] = &[
    (
        "run-device-made",
        "a layer with a device is refused by name",
    ),
    (
        "tree-names-not-utf8",
        "BuildKit's protocol for contexts cannot say such names; of an archive it makes the same, as \
         archive.rs shows",
    ),
];

#[test]
fn the_embedded_engine_makes_the_images_that_buildkit_makes() {
    let test = "the_embedded_engine_makes_the_images_that_buildkit_makes";
    if !rustix::process::geteuid().is_root() {
        return skipped(test, "files of other owners are made as root only");
    }
    let Some(busybox) = bases::busybox() else {
        return skipped(test, "busybox-static is not installed");
    };
    let bases = Bases::new(&busybox);
    let cache = tempfile::tempdir().unwrap();
    let cases: Vec<Case> = wanted()
        .into_iter()
        .filter(|case| bases.has_git() || !case.dockerfile().contains("@git@"))
        .collect();
    let binary = Path::new(env!("CARGO_BIN_EXE_plimsoll"));
    let engine = || -> Box<dyn Engine> {
        Box::new(Embedded::new(RegistryOptions::default()).with_binary(binary.to_owned()))
    };
    let answers = run(&cases, &bases, 3, &engine, &|plan| {
        plan.cache_dir = cache.path().join("cache");
        // The cache does not look at times: it would give a file of another case's date.
        plan.no_cache = true;
    });
    let expected = expected();
    let base = tree::files_of(&bases.layout("base"));
    let (mut equal, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    for (name, answer) in &answers {
        let lines = differences(&expected[name], answer, &base);
        let known = KNOWN.iter().any(|(known, _)| known == name);
        if lines.is_empty() {
            equal += 1;
            assert!(
                !known,
                "{name} is as BuildKit's by now: take it off the list"
            );
        } else if answer.get("refused").is_some() {
            refused.push(format!("{name}: {}", answer["error"]));
        } else if !known {
            wrong.push(format!("{name}\n{}", lines.join("\n")));
        }
    }
    eprintln!(
        "{equal} equal, {} refused, {} different",
        refused.len(),
        wrong.len()
    );
    eprintln!("refused:\n{}", refused.join("\n"));
    if case::made_up() {
        let names: Vec<&str> = wrong
            .iter()
            .filter_map(|text| text.lines().next())
            .collect();
        fs::write(case::directory("different"), names.join("\n")).unwrap();
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn record(cases: &[Case], answers: &Answers) {
    let mut groups: BTreeMap<&str, Answers> = BTreeMap::new();
    for case in cases {
        let group = groups.entry(&case.group).or_insert_with(|| {
            let path = case::directory("expected").join(format!("{}.json", case.group));
            let text = fs::read(path).unwrap_or_default();
            let mut kept: Answers = serde_json::from_slice(&text).unwrap_or_default();
            let names: Vec<_> = case::all().into_iter().map(|case| case.name).collect();
            kept.retain(|name, _| names.contains(name));
            kept
        });
        group.insert(case.name.clone(), answers[&case.name].clone());
    }
    for (group, answers) in groups {
        let mut text = serde_json::to_string_pretty(&answers).unwrap();
        text.push('\n');
        fs::write(
            case::directory("expected").join(format!("{group}.json")),
            text,
        )
        .unwrap();
    }
}
