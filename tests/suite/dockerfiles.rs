//! Real-life Dockerfiles (`tests/data/dockerfiles`, see `SOURCES.md` there): what is read of each,
//! with lines, and what is predicted. The expectations were written by reading the files.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by a panic, and says aloud what it skips"
)]

use std::fmt::Write as _;

use plimsoll::{
    dockerfile::{
        ContextFiles, ContextPath, Dockerfile, PredictContext, Predictions, lints, predict,
    },
    finding::{Finding, Outcome, Verdict},
};

/// A context with everything that the Dockerfiles copy.
struct Everything;

impl ContextFiles for Everything {
    fn look(&self, _path: &str) -> ContextPath {
        ContextPath::Present
    }
}

macro_rules! file {
    ($name:literal) => {
        ($name, include_str!(concat!("../data/dockerfiles/", $name)))
    };
}

const FILES: [(&str, &str); 23] = [
    file!("rhc4tp-template"),
    file!("rhc4tp-cinder"),
    file!("rhc4tp-neutron"),
    file!("cvol-test"),
    file!("hpe-3par"),
    file!("powermax"),
    file!("pure-antelope"),
    file!("builds-operator"),
    file!("kueue-operator"),
    file!("ingress-go"),
    file!("sources-api"),
    file!("keycloak-micro"),
    file!("openjdk-app"),
    file!("node-multi"),
    file!("syslog-chain"),
    file!("heredocs"),
    file!("heredoc-space"),
    file!("windows-escape"),
    file!("crlf-bom"),
    file!("operator-distroless"),
    file!("tools-inherited"),
    file!("agent-kernel"),
    file!("old-style"),
];

fn at(finding: &Finding) -> String {
    let line = finding.location.as_ref().map_or(0, |at| at.line);
    format!("{}@{line}", finding.key)
}

/// Failing rules as `rule(key@line …)`, in the order of reports.
fn failures(found: &Predictions) -> String {
    let mut out = String::new();
    for rule in &found.rules {
        if let Outcome::Assessed(Verdict::Failed(findings)) = &rule.outcome {
            let places: Vec<String> = findings.iter().map(at).collect();
            write!(out, "{}({}) ", rule.rule, places.join(" ")).unwrap();
        }
    }
    out.trim_end().to_owned()
}

/// Everything that is said of a file, one fact a line.
fn told(text: &str) -> Vec<String> {
    let (file, faults) = Dockerfile::read("Dockerfile", text);
    let mut out: Vec<String> = faults
        .iter()
        .map(|fault| format!("fault {}:{}", fault.location.line, fault.rule))
        .collect();
    let Some(file) = file else { return out };
    let names: Vec<String> = file
        .stages
        .iter()
        .map(|stage| {
            let name = stage.name.as_deref().unwrap_or("-");
            format!("{name}@{}", file.location(&stage.from).line)
        })
        .collect();
    out.push(format!("stages {}", names.join(" ")));
    let tags = ["1.0-1".to_owned()];
    let context = PredictContext {
        tags: &tags,
        files: Some(&Everything),
        ..PredictContext::default()
    };
    let found = predict(&file, &context).unwrap();
    out.push(format!("base {:?}", found.resolved.base));
    let labels: Vec<String> = found
        .resolved
        .labels
        .iter()
        .map(|(key, label)| format!("{key}@{}", label.location.line))
        .collect();
    out.push(format!("labels {}", labels.join(" ")));
    if let Some(user) = &found.resolved.user {
        out.push(format!("user {}@{}", user.value, user.location.line));
    }
    out.push(format!("fails {}", failures(&found)));
    let said: Vec<String> = lints(&file)
        .iter()
        .map(|lint| {
            let line = lint.finding.location.as_ref().map_or(0, |at| at.line);
            format!("{}@{line}", lint.rule.trim_start_matches("dockerfile/"))
        })
        .collect();
    if !said.is_empty() {
        out.push(format!("lints {}", said.join(" ")));
    }
    out
}

#[test]
fn real_life_dockerfiles_are_read_with_the_right_lines() {
    let mut told_of_all = String::new();
    for (name, text) in FILES {
        writeln!(told_of_all, "## {name}").unwrap();
        for line in told(text) {
            writeln!(told_of_all, "{}", line.trim_end()).unwrap();
        }
    }
    let expected = include_str!("../data/dockerfiles/expected.txt");
    assert_eq!(told_of_all, expected, "\n{told_of_all}");
}

/// Keyword and first line of each instruction by another parser; `None` where it finds a fault.
fn second_opinion(text: &str) -> Option<Vec<(String, u32)>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let parsed = parse_dockerfile::parse(text).ok()?;
    let line = |start: usize| {
        let newlines = text.get(..start)?.matches('\n').count();
        u32::try_from(newlines + 1).ok()
    };
    parsed
        .instructions
        .iter()
        .map(|instruction| {
            use parse_dockerfile::Instruction as I;
            let (name, at) = match instruction {
                I::Add(i) => ("ADD", i.add.span.start),
                I::Arg(i) => ("ARG", i.arg.span.start),
                I::Cmd(i) => ("CMD", i.cmd.span.start),
                I::Copy(i) => ("COPY", i.copy.span.start),
                I::Entrypoint(i) => ("ENTRYPOINT", i.entrypoint.span.start),
                I::Env(i) => ("ENV", i.env.span.start),
                I::Expose(i) => ("EXPOSE", i.expose.span.start),
                I::From(i) => ("FROM", i.from.span.start),
                I::Healthcheck(i) => ("HEALTHCHECK", i.healthcheck.span.start),
                I::Label(i) => ("LABEL", i.label.span.start),
                I::Maintainer(i) => ("MAINTAINER", i.maintainer.span.start),
                I::Onbuild(i) => ("ONBUILD", i.onbuild.span.start),
                I::Run(i) => ("RUN", i.run.span.start),
                I::Shell(i) => ("SHELL", i.shell.span.start),
                I::Stopsignal(i) => ("STOPSIGNAL", i.stopsignal.span.start),
                I::User(i) => ("USER", i.user.span.start),
                I::Volume(i) => ("VOLUME", i.volume.span.start),
                I::Workdir(i) => ("WORKDIR", i.workdir.span.start),
                _ => return None,
            };
            Some((name.to_owned(), line(at)?))
        })
        .collect()
}

fn ours(text: &str) -> Option<Vec<(String, u32)>> {
    let file = Dockerfile::parse("Dockerfile", text).ok()?;
    let staged = file
        .stages
        .iter()
        .flat_map(|stage| std::iter::once(&stage.from).chain(&stage.instructions));
    let place = |i| (file.location(i).line, i);
    let all = file.global_args.iter().chain(staged).map(place);
    Some(all.map(|(line, i)| (i.keyword.to_string(), line)).collect())
}

#[test]
fn another_parser_finds_the_same_instructions_on_the_same_lines() {
    let mut compared = 0;
    for (name, text) in FILES {
        let (Some(theirs), Some(ours)) = (second_opinion(text), ours(text)) else {
            continue;
        };
        assert_eq!(ours, theirs, "{name}");
        compared += 1;
    }
    assert!(compared >= 18, "only {compared} files could be compared");
}

/// What the fixture images' own description says of the rules that a Dockerfile can decide.
#[test]
fn predictions_agree_with_the_fixture_images() {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests find their fixtures by the environment"
    )]
    let shared = std::env::var("PLIMSOLL_SHARED")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../shared").to_owned());
    let root = std::path::Path::new(&shared).join("fixtures/variants");
    #[expect(
        clippy::disallowed_methods,
        reason = "fixtures lie outside the repository"
    )]
    let read = |name: &str| std::fs::read_to_string(root.join(name));
    let Ok(expected) = read("expected.json") else {
        println!("skipped: no fixtures at {}", root.display());
        return;
    };
    let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
    let bare = indexmap::IndexMap::new();
    for (name, variant) in expected.as_object().unwrap() {
        let Some(tag) = variant.get("tag").and_then(|tag| tag.as_str()) else {
            continue;
        };
        let fails: Vec<&str> = variant["fails"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|rule| rule.as_str())
            .collect();
        let text = read(&format!("{name}/Dockerfile")).unwrap();
        let file = Dockerfile::parse("Dockerfile", &text).unwrap();
        let tags = [tag.to_owned()];
        let context = PredictContext {
            tags: &tags,
            files: Some(&Everything),
            base_labels: text.contains("nolabels").then_some(&bare),
            ..PredictContext::default()
        };
        for rule in &predict(&file, &context).unwrap().rules[..13] {
            match &rule.outcome {
                Outcome::Assessed(Verdict::Failed(_)) => {
                    assert!(
                        fails.contains(&rule.rule),
                        "{name}: {} is predicted to fail",
                        rule.rule
                    );
                }
                Outcome::Assessed(_) => {
                    assert!(
                        !fails.contains(&rule.rule),
                        "{name}: {} is predicted to pass",
                        rule.rule
                    );
                }
                Outcome::NotAssessed(_) => {}
            }
        }
    }
}
