//! Real builds that fail, are stopped, or lose their engine; and Dockerfiles in odd shapes.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::net::UnixListener,
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{Project, assert_error, error_of, signal};
use crate::support::{
    Ran, Relay, command, docker_is_there, example_base,
    image::{Image, Layer},
};

/// A project whose `FROM BASE` is the example's base image under a name of its own.
pub(super) fn project(name: &str, dockerfile: &str) -> Option<Project> {
    if !docker_is_there() {
        return None;
    }
    let base = format!("edges.example.com/{name}:1");
    let project = Project::new(&[("licenses/EULA", "terms")]);
    project.write("Dockerfile", dockerfile.replace("BASE", &base).as_bytes());
    mirror(&project, name, &format!("oci:{}", example_base().display()));
    Some(project)
}

fn mirror(project: &Project, name: &str, to: &str) {
    let mirrors = format!("build:\n  mirrors:\n    edges.example.com/{name}:1: {to}\n");
    project.write("plimsoll.yaml", mirrors.as_bytes());
}

/// Names of images that are in the engine for one of these tests.
fn images(name: &str) -> BTreeSet<String> {
    let listed = command("docker")
        .args(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"])
        .output()
        .unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    text.lines()
        .filter(|line| line.contains(name))
        .map(str::to_owned)
        .collect()
}

fn runs(word: &str) -> bool {
    let is_it = |path: &Path| {
        fs::read(path.join("cmdline")).is_ok_and(|line| {
            String::from_utf8_lossy(&line)
                .replace('\0', " ")
                .contains(word)
        })
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .any(|entry| is_it(&entry.path()))
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{what} did not happen"
        );
        thread::sleep(Duration::from_millis(50));
    }
}

/// Starts a build that sleeps, waits until it does, does something, and gives what it came to.
fn while_building(
    name: &str,
    variables: &[(&str, &str)],
    then: impl FnOnce(&Child),
) -> Option<(Project, Ran)> {
    // Shown by nothing else on the machine, and in no cache.
    let nap = format!(
        "sleep 333.{}{}",
        std::process::id(),
        Instant::now().elapsed().as_nanos()
    );
    let project = project(name, &format!("FROM BASE\nRUN {nap}\n"))?;
    let mut run = project.command(&["run", "--no-cache", "-f", "json=r.json"]);
    run.envs(variables.iter().copied());
    let child = run
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the step", || runs(&nap));
    then(&child);
    let start = Instant::now();
    let ran = project.end(child);
    assert!(start.elapsed() < Duration::from_secs(20), "{ran}");
    wait_until("the end of the step", || !runs(&nap));
    assert_eq!(images(name), BTreeSet::new());
    Some((project, ran))
}

#[test]
fn ctrl_c_and_sigterm_stop_the_build_and_leave_nothing() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let project = format!("stopped{}", name.to_lowercase());
        let Some((project, ran)) = while_building(&project, &[], |child| signal(child, name))
        else {
            return;
        };
        assert_error(
            &ran,
            code,
            &[if code == 130 {
                "interrupted"
            } else {
                "terminated"
            }],
        );
        assert!(!project.path().join("r.json").exists(), "{ran}");
    }
}

#[test]
fn a_second_signal_ends_what_does_not_stop_at_the_first() {
    let project = Project::new(&[("Dockerfile", "FROM scratch\n")]);
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("silent.sock");
    let silent = UnixListener::bind(&at).unwrap();
    let mut run = project.command(&["run"]);
    run.env("DOCKER_HOST", format!("unix://{}", at.display()));
    let mut child = run.stderr(Stdio::null()).spawn().unwrap();
    let _connection = silent.accept().unwrap();
    thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    signal(&child, "-TERM");
    thread::sleep(Duration::from_millis(200));
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(start.elapsed() < Duration::from_mins(1));
}

#[test]
fn an_engine_that_goes_away_is_told_with_a_hint_and_exit_code_4() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("relay.sock");
    let socket = std::env::var("DOCKER_HOST").unwrap_or_default();
    let socket = socket
        .strip_prefix("unix://")
        .unwrap_or("/var/run/docker.sock");
    let relay = Relay::start(&at, Path::new(socket));
    let host = format!("unix://{}", at.display());
    let variables = [("DOCKER_HOST", host.as_str())];
    // The base image could not be taken back from an engine that is gone.
    let tidy = |name: &str| {
        for image in images(name) {
            command("docker")
                .args(["image", "rm", &image])
                .output()
                .unwrap();
        }
    };
    let gone = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        while_building_gone("gone", &variables, &relay)
    }));
    tidy("edges.example.com/gone");
    let Ok(Some(ran)) = gone else { return };
    assert_error(&ran, 4, &["connection was lost", "hint: "]);
}

fn while_building_gone(name: &str, variables: &[(&str, &str)], relay: &Relay) -> Option<Ran> {
    let nap = format!("sleep 334.{}", std::process::id());
    let project = project(name, &format!("FROM BASE\nRUN {nap}\n"))?;
    let mut run = project.command(&["run", "--no-cache"]);
    run.envs(variables.iter().copied());
    let child = run
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the step", || runs(&nap));
    relay.vanish();
    let start = Instant::now();
    let ran = project.end(child);
    assert!(start.elapsed() < Duration::from_secs(20), "{ran}");
    wait_until("the end of the step", || !runs(&nap));
    Some(ran)
}

#[test]
fn a_base_image_that_cannot_be_had_is_told_at_its_line() {
    for (name, to, words) in [
        ("nowhere", "oci:nowhere", "nowhere"),
        ("garbage", "oci:garbage", "garbage"),
        ("untagged", "oci:cut:9", "cut"),
        ("cut", "oci:cut", "sha256:"),
        ("silent", "127.0.0.1:1/x/y:1", "127.0.0.1:1"),
    ] {
        let Some(project) = project(name, "FROM BASE\n") else {
            return;
        };
        project.write("garbage/oci-layout", b"{}");
        project.write("garbage/index.json", b"garbage");
        let layer = Layer::from("dir /etc\nfile /etc/cut 0644 \"edges\"");
        let half = layer.bytes()[..60].to_vec();
        Image::new()
            .layer(layer.stored_as(half))
            .write(&project.path().join("cut"), "1");
        mirror(&project, name, to);
        let ran = project.run(&["run"]);
        assert_error(&ran, 3, &[words]);
        assert!(ran.stderr.contains("at Dockerfile:1"), "{ran}");
        assert_eq!(
            images(&format!("edges.example.com/{name}")),
            BTreeSet::new()
        );
    }
}

/// `(rule or lint, file, line)` of each finding.
fn findings(report: &serde_json::Value) -> Vec<(String, String, u64)> {
    let all = report["assessments"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let of_rules = all.iter().flat_map(|a| {
        let findings = a["findings"].as_array().cloned().unwrap_or_default();
        findings.into_iter().map(|f| {
            (
                a["name"].as_str().unwrap().to_owned(),
                f["location"].clone(),
            )
        })
    });
    of_rules
        .map(|(rule, at)| {
            (
                rule,
                at["file"].as_str().unwrap_or_default().to_owned(),
                at["line"].as_u64().unwrap_or_default(),
            )
        })
        .collect()
}

#[test]
fn findings_are_on_the_right_line_of_dockerfiles_in_odd_shapes() {
    let crlf = "\u{feff}# comment\r\nFROM BASE\r\nRUN echo a \\\r\n  b\r\nUSER 0\r\n";
    let heredoc = "FROM BASE\nCOPY <<EOF /licenses/EULA\nUSER 5\nterms\nEOF\nUSER 0\n";
    let syntax = "# escape=`\nFROM BASE\nRUN echo a `\n  b\n\nUSER 0\n";
    for (name, text, line) in [
        ("crlf", crlf, 5),
        ("heredoc", heredoc, 6),
        ("escape", syntax, 6),
    ] {
        let Some(project) = project(name, text) else {
            return;
        };
        let ran = project.run(&[
            "run",
            "--only",
            "not_running_as_root",
            "-f",
            "json=r.json",
            "-f",
            "sarif=r.sarif",
            "-f",
            "github",
        ]);
        if name == "heredoc" && ran.code == 3 {
            // A here-document needs a newer frontend than old engines have; it is said where.
            assert!(ran.stderr.contains("Dockerfile:"), "{ran}");
            continue;
        }
        assert_eq!(ran.code, 1, "{name}: {ran}");
        let want = (
            "not_running_as_root".to_owned(),
            "Dockerfile".to_owned(),
            line,
        );
        assert_eq!(findings(&project.json("r.json")), [want], "{name}: {ran}");
        assert!(
            ran.stdout.contains(&format!("file=Dockerfile,line={line}")),
            "{ran}"
        );
        let sarif = project.json("r.sarif");
        let at = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
        assert_eq!(at["region"]["startLine"], line, "{ran}");
    }
}

#[test]
fn a_dockerfile_elsewhere_is_named_relative_to_the_repository() {
    let Some(project) = project("elsewhere", "") else {
        return;
    };
    fs::remove_file(project.path().join("Dockerfile")).unwrap();
    project.write(
        "docker/Dockerfile.prod",
        b"FROM edges.example.com/elsewhere:1\nCOPY licenses /licenses\nUSER 0\n",
    );
    // what makes it a repository, so that its root is found from below
    project.write(".git/HEAD", b"ref: refs/heads/main\n");
    let deep = project.path().join("docker");
    let only = ["--only", "has_licenses,not_running_as_root", "-f", "json"];
    let ways: [(&Path, &[&str]); 3] = [
        (
            project.path(),
            &["--file", "docker/Dockerfile.prod", "--context", "."],
        ),
        (&deep, &["--file", "Dockerfile.prod", "--context", ".."]),
        (
            project.path(),
            &["--file", "./docker/../docker/Dockerfile.prod"],
        ),
    ];
    for (directory, args) in ways {
        for command in ["run", "check"] {
            let args = [&[command], args, &only].concat();
            let output = project
                .command(&args)
                .current_dir(directory)
                .output()
                .unwrap();
            let ran = Ran::of(&output);
            assert_eq!(ran.code, 1, "{args:?}: {ran}");
            let report = serde_json::from_str(&ran.stdout).unwrap();
            let want = (
                "not_running_as_root".to_owned(),
                "docker/Dockerfile.prod".to_owned(),
                3,
            );
            assert_eq!(findings(&report), [want], "{args:?}: {ran}");
        }
    }
    project.write(
        "docker/Dockerfile.prod",
        b"FROM edges.example.com/elsewhere:1\n\nRUN exit 7\n",
    );
    let ran = project.run(&["run", "--file", "docker/Dockerfile.prod"]);
    let error = error_of(&ran, 3);
    assert!(
        ran.stderr.contains("at docker/Dockerfile.prod:3"),
        "{error}: {ran}"
    );
}

#[test]
fn github_and_gitlab_fold_the_log_and_a_build_commands_neither() {
    let dockerfile = "FROM BASE\nRUN echo ::error::injected; echo '##[error]injected'; echo ::stop-commands::x; exit 9\n";
    let Some(project) = project("folded", dockerfile) else {
        return;
    };
    project.write("token", b"mask-me-please\n");
    let args = ["run", "--no-cache", "--secret", "id=t,src=token"];
    let ran = project.run_with(&args, &[("GITHUB_ACTIONS", "true")]);
    assert_eq!(ran.code, 3, "{ran}");
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(lines[0], "::add-mask::mask-me-please", "{ran}");
    assert!(!lines[1..].concat().contains("mask-me"), "{ran}");
    let group = lines
        .iter()
        .position(|l| l.starts_with("::group::"))
        .unwrap();
    let stop = lines[group + 1]
        .strip_prefix("::stop-commands::")
        .unwrap_or_else(|| panic!("{ran}"));
    let go = lines
        .iter()
        .position(|l| *l == format!("::{stop}::"))
        .unwrap();
    assert_eq!(lines[go + 1], "::endgroup::", "{ran}");
    assert!(
        lines[group + 2..go].iter().any(|l| l.contains("injected")),
        "{ran}"
    );
    // What is quoted after the fence commands nothing: neither the new form at the start of a line
    // nor the old one anywhere in it.
    for line in lines[go + 2..]
        .iter()
        .chain(&ran.stdout.lines().collect::<Vec<_>>())
    {
        let ours = line.starts_with("::error file=Dockerfile,line=");
        assert!(
            (ours || !line.trim_start().starts_with("::")) && !line.contains("##["),
            "`{line}` in {ran}"
        );
    }
    let ran = project.run_with(&["run", "--no-cache"], &[("GITLAB_CI", "true")]);
    for edge in ["start", "end"] {
        let found = ran
            .stderr
            .lines()
            .filter(|l| l.contains(&format!("section_{edge}:")))
            .count();
        assert_eq!(found, 1, "{ran}");
    }
}

#[test]
fn a_log_is_shown_while_it_grows() {
    let Some(project) = project("live", "FROM BASE\nRUN echo first; sleep 2; echo second\n") else {
        return;
    };
    let start = Instant::now();
    let mut child = project.start(&["run", "--no-cache", "--only", "has_licenses"]);
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.ends_with(" first\n") {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0);
    }
    let first = start.elapsed();
    reader.read_to_string(&mut line).unwrap();
    assert!(start.elapsed() > first + Duration::from_secs(1), "{line}");
    assert!(line.contains(" second"), "{line}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
