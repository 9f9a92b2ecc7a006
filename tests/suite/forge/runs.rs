//! Whole runs of the binary in the environment of a CI: what is shown, sent and written, and that the
//! exit code is the findings' alone.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{HEAD, MERGE, TOKEN};
use crate::support::{
    FORMATS, Ran,
    forge::{FORBIDDEN, GitHub, NO_COMMIT, RATE_LIMITED, TOO_LARGE, UNAVAILABLE},
    image::Image,
    plimsoll_command,
    registry::Reply,
};

/// A job: a checkout with an image beside it, and the files that the runner makes.
struct Job {
    folder: TempDir,
    variables: BTreeMap<&'static str, String>,
}

/// A name that is legal for a file and means something to shells, runners and Markdown.
const ODD: &str = "odd,a:b%0A$(id)`id`;]'<b>é.dockerfile";

impl Job {
    /// Of a pull request whose head lies in `from`.
    fn of(github: &GitHub, from: &str) -> Self {
        let mut job = Self::plain();
        let event = json!({ "pull_request": {
            "number": 7, "head": { "sha": HEAD, "repo": { "full_name": from } },
        } });
        fs::write(job.path("event.json"), event.to_string()).unwrap();
        for (name, value) in [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_REPOSITORY", "octo/app"),
            ("GITHUB_EVENT_NAME", "pull_request"),
            ("GITHUB_REF", "refs/pull/7/merge"),
            ("GITHUB_SHA", MERGE),
            ("GITHUB_ACTOR", "mona"),
            ("GITHUB_RUN_ID", "99"),
            ("GITHUB_SERVER_URL", "https://github.example.com"),
            ("GITHUB_TOKEN", TOKEN),
        ] {
            job.variables.insert(name, value.to_owned());
        }
        job.variables.insert("GITHUB_API_URL", github.url());
        for (name, file) in [
            ("GITHUB_EVENT_PATH", "event.json"),
            ("GITHUB_OUTPUT", "output"),
            ("GITHUB_STEP_SUMMARY", "summary.md"),
        ] {
            let path = job.path(file).to_string_lossy().into_owned();
            job.variables.insert(name, path);
        }
        job
    }

    /// In no CI.
    fn plain() -> Self {
        let job = Self {
            folder: tempfile::tempdir().unwrap(),
            variables: BTreeMap::new(),
        };
        fs::write(job.path("Dockerfile"), "FROM scratch\nUSER 0\n").unwrap();
        let config = json!({ "User": "0", "Labels": { "name": format!("redhat-{TOKEN}") } });
        let image = Image::new()
            .layer("file /etc/os-release 0644 0:0 \"ID=other\\n\"\n")
            .set("config", config);
        image.write(&job.path("image"), "1.0-1");
        job
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn run(&self, args: &[&str]) -> Ran {
        let mut command = plimsoll_command(self.folder.path(), args);
        Ran::of(&command.envs(&self.variables).output().unwrap())
    }

    /// `scan` with everything that a run does by itself, and `more`.
    fn scan(&self, more: &[&str]) -> Ran {
        let mut args = vec![
            "scan",
            "oci:image",
            "--file",
            "Dockerfile",
            "--upload-sarif",
            "auto",
            "--annotations",
            "auto",
            "--job-summary",
            "true",
            "--wait-for-processing",
            "false",
        ];
        args.extend_from_slice(more);
        self.run(&args)
    }

    fn outputs(&self) -> BTreeMap<String, String> {
        outputs(&self.read("output"))
    }
}

/// What the runner reads from the file of outputs.
fn outputs(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let (name, delimiter) = line.split_once("<<").unwrap();
        let value: Vec<&str> = lines
            .by_ref()
            .take_while(|line| *line != delimiter)
            .collect();
        found.insert(name.to_owned(), value.join("\n"));
    }
    found
}

#[test]
fn an_image_without_a_name_is_not_called_by_its_dockerfile() {
    let job = Job::of(&GitHub::start(), "octo/app");
    fs::write(job.path("Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
    let cache = ["--engine", "embedded", "--cache-dir", "cache"];
    let run = |command: &'static str, more: &[&str], want: &str| {
        let _ = fs::remove_file(job.path("output"));
        let ran = job.run(&[&[command], more].concat());
        assert_eq!(ran.code, 1, "{ran}");
        let outputs = job.outputs();
        assert_eq!(outputs["image"], want, "{ran}");
        assert_eq!(outputs["image-with-tag"], want, "{ran}");
        outputs["digest"].clone()
    };
    let digest = run("run", &cache, "");
    assert!(digest.starts_with("sha256:"), "{digest}");
    run("check", &[], "");
    let named = ["--image", "quay.io/org/app", "--tag", "1.0-1"];
    run("check", &named, "quay.io/org/app:1.0-1");
    run(
        "run",
        &[&cache[..], &named].concat(),
        "quay.io/org/app:1.0-1",
    );
    run("check", &named[..2], "quay.io/org/app");
}

/// Lines that the runner obeys.
fn commands(ran: &Ran) -> Vec<&str> {
    let lines = ran.stderr.lines().chain(ran.stdout.lines());
    lines.filter(|line| line.starts_with("::")).collect()
}

fn annotations(ran: &Ran) -> usize {
    commands(ran)
        .iter()
        .filter(|line| line.starts_with("::error "))
        .count()
}

#[test]
fn a_pull_request_is_told_everything_that_was_asked_for() {
    let github = GitHub::start();
    let job = Job::of(&github, "octo/app");
    let ran = job.scan(&[
        "--check-run",
        "--comment",
        "--status",
        "--report",
        "sarif=out/a.sarif",
        "--report",
        "json=out/a.json",
    ]);
    assert_eq!(ran.code, 1, "{ran}");
    assert_eq!(
        github.calls(),
        [
            "POST /repos/octo/app/code-scanning/sarifs",
            "POST /repos/octo/app/check-runs",
            "GET /repos/octo/app/issues/7/comments?per_page=100&page=1",
            "POST /repos/octo/app/issues/7/comments",
            &format!("POST /repos/octo/app/statuses/{HEAD}"),
        ],
        "{ran}"
    );
    assert_eq!(annotations(&ran), 0, "they are shown already: {ran}");
    let outputs = job.outputs();
    for (name, value) in [
        ("passed", "false"),
        ("exit-code", "1"),
        ("sarif", "out/a.sarif"),
        ("json", "out/a.json"),
        ("published", "false"),
    ] {
        assert_eq!(outputs[name], value, "{name}");
    }
    assert!(
        outputs["digest"].starts_with("sha256:") && outputs["summary"].starts_with("rejected: ")
    );
    let comment = github.comments()[0]["body"].as_str().unwrap().to_owned();
    assert!(
        comment.contains("Plimsoll: rejected") && comment.contains("actions/runs/99"),
        "{comment}"
    );
    assert!(job.read("summary.md").contains("Plimsoll: rejected"));
    let status: Value = serde_json::from_slice(&github.requests()[4].body).unwrap();
    assert_eq!(
        (&status["state"], &status["context"]),
        (&"failure".into(), &"plimsoll/Dockerfile".into())
    );
    // A second run writes over the comment.
    job.scan(&["--comment"]);
    assert_eq!(github.comments().len(), 1);
}

#[test]
fn a_fork_whose_token_reads_only_is_annotated_and_keeps_its_exit_code() {
    let github = GitHub::bent(|_| Some(Reply::new(403, FORBIDDEN)));
    let job = Job::of(&github, "evil/app");
    let ran = job.scan(&["--check-run", "--comment", "--status"]);
    assert_eq!(
        ran.code,
        Job::plain()
            .run(&["scan", "oci:image", "--file", "Dockerfile"])
            .code
    );
    assert_eq!(ran.code, 1, "{ran}");
    assert_eq!(
        github.calls(),
        ["POST /repos/octo/app/code-scanning/sarifs"]
    );
    assert!(annotations(&ran) > 3, "{ran}");
    assert!(ran.stderr.contains("security-events: write"), "{ran}");
    assert!(
        ran.stderr
            .contains("check run: left out, the token of a pull request from a fork"),
        "{ran}"
    );
    assert_eq!(job.outputs()["exit-code"], "1");
    let summary = job.read("summary.md");
    assert!(
        summary.contains("security-events: write") && summary.contains("Plimsoll: rejected"),
        "{summary}"
    );
}

#[test]
fn no_answer_of_the_forge_changes_the_verdict() {
    for (status, body) in [
        (403, FORBIDDEN),
        (413, TOO_LARGE),
        (422, NO_COMMIT),
        (429, RATE_LIMITED),
        (503, UNAVAILABLE),
    ] {
        let github = GitHub::bent(move |_| {
            // A wait that is longer than anybody has.
            Some(Reply::new(status, body).header("retry-after", "4000"))
        });
        let job = Job::of(&github, "octo/app");
        let ran = job.scan(&["--comment", "--check-run", "--status"]);
        assert_eq!(ran.code, 1, "{status}: {ran}");
        assert!(annotations(&ran) > 3, "{status}: {ran}");
        for what in [
            "SARIF upload",
            "check run",
            "pull request comment",
            "commit status",
        ] {
            assert!(
                ran.stderr.contains(&format!("warning: {what}: ")),
                "{status} {what}: {ran}"
            );
        }
        assert_eq!(job.outputs()["passed"], "false");
    }
}

#[test]
fn a_job_that_is_not_what_it_says_is_told_so_and_keeps_its_verdict() {
    let github = GitHub::start();
    for (name, value) in [
        ("GITHUB_EVENT_PATH", "/nowhere/event.json"),
        ("GITHUB_REPOSITORY", "../../x"),
        ("GITHUB_SHA", "HEAD"),
        ("GITHUB_REF", "refs/notes/x"),
        ("GITHUB_API_URL", "not an address"),
        ("GITHUB_OUTPUT", "/nowhere/output"),
        ("GITHUB_STEP_SUMMARY", "/nowhere/summary"),
    ] {
        let mut job = Job::of(&github, "octo/app");
        job.variables.insert(name, value.to_owned());
        let ran = job.scan(&[]);
        assert_eq!(ran.code, 1, "{name}: {ran}");
        assert!(ran.stderr.contains("warning: "), "{name}: {ran}");
    }
}

#[test]
fn odd_names_reach_commands_and_files_as_text() {
    let github = GitHub::bent(|_| Some(Reply::new(403, FORBIDDEN)));
    let job = Job::of(&github, "octo/app");
    fs::write(job.path(ODD), "FROM scratch\nUSER 0\n").unwrap();
    let ran = job.run(&[
        "scan",
        "oci:image",
        "--file",
        ODD,
        "--upload-sarif",
        "auto",
        "--annotations",
        "auto",
        "--job-summary",
        "true",
    ]);
    assert_eq!(ran.code, 1, "{ran}");
    for line in commands(&ran) {
        let known = [
            "::add-mask::",
            "::group::",
            "::endgroup::",
            "::error ",
            "::warning ",
            "::notice ",
        ];
        assert!(known.iter().any(|known| line.starts_with(known)), "{line}");
        assert!(!line.contains('\u{1b}'), "{line}");
    }
    let named = commands(&ran)
        .into_iter()
        .find(|line| line.contains("dockerfile"));
    let named = named.unwrap_or_else(|| panic!("{ran}"));
    assert!(
        named.contains("file=odd%2Ca%3Ab%250A$(id)`id`;]'<b>é.dockerfile,line="),
        "{named}"
    );
    assert_eq!(job.outputs()["exit-code"], "1");
    let summary = job.read("summary.md");
    let unquoted = summary.replace("`` odd,a:b%0A$(id)`id`;]'<b>é.dockerfile:", "");
    assert!(
        !unquoted.contains("<b>") && summary.len() > unquoted.len(),
        "{summary}"
    );
}

#[test]
fn the_token_appears_nowhere_but_in_the_mask_and_the_header() {
    for refused in [false, true] {
        let github = GitHub::bent(move |_| {
            // A forge that repeats what it was sent.
            let body = format!(r#"{{"message":"no: Bearer {TOKEN}"}}"#);
            refused.then(|| Reply::new(403, body))
        });
        let job = Job::of(&github, "octo/app");
        let reports = FORMATS.map(|format| format!("{format}=out/{format}"));
        let mut args = vec!["--check-run", "--comment", "--status", "-vv"];
        for report in &reports {
            args.extend(["--report", report]);
        }
        let ran = job.scan(&args);
        assert_eq!(ran.code, 1, "{ran}");
        let masks = ran
            .stderr
            .lines()
            .filter(|line| *line == format!("::add-mask::{TOKEN}"));
        assert_eq!(masks.count(), 1, "{ran}");
        assert_eq!(
            ran.stderr.lines().next(),
            Some(&*format!("::add-mask::{TOKEN}"))
        );
        let rest = ran.stderr.replacen(TOKEN, "", 1) + &ran.stdout;
        assert!(!rest.contains(TOKEN), "{ran}");
        for file in walkdir::WalkDir::new(job.folder.path()) {
            let file = file.unwrap();
            // The image itself was given so.
            if file.file_type().is_file() && !file.path().starts_with(job.path("image")) {
                assert!(!holds(file.path(), TOKEN), "{}", file.path().display());
            }
        }
        for seen in github.requests() {
            let body = String::from_utf8_lossy(&seen.body).into_owned();
            assert!(
                !body.contains(TOKEN) && !seen.path.contains(TOKEN),
                "{}",
                seen.path
            );
            assert_eq!(seen.authorization, Some(format!("Bearer {TOKEN}")));
        }
    }
}

/// Whether a file holds a text, as it is or as Markdown escapes it.
fn holds(path: &Path, text: &str) -> bool {
    let bytes = fs::read(path).unwrap();
    let content = String::from_utf8_lossy(&bytes);
    content.contains(text) || content.contains(&text.replace('_', "\\_"))
}

#[test]
fn a_run_annotates_by_itself_where_it_has_no_token() {
    let github = GitHub::start();
    let mut job = Job::of(&github, "octo/app");
    job.variables.remove("GITHUB_TOKEN");
    let ran = job.run(&["run", "check"]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(
        annotations(&ran) > 0 && ran.stderr.contains("no token for GitHub"),
        "{ran}"
    );
    assert!(github.requests().is_empty());
    assert!(job.read("summary.md").contains("Plimsoll: rejected"));
    let ran = job.run(&[
        "run",
        "check",
        "--annotations",
        "false",
        "--job-summary",
        "false",
    ]);
    assert_eq!((ran.code, annotations(&ran)), (1, 0), "{ran}");
    // A prediction is no result: it would close the alerts of the last scan.
    let job = Job::of(&github, "octo/app");
    let ran = job.run(&["run", "check"]);
    assert!(
        github.requests().is_empty() && annotations(&ran) > 0,
        "{ran}"
    );
    // Who asks for annotations on standard output has them once.
    let ran = job.run(&["run", "check", "--format", "github"]);
    let shown = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with("::error"))
        .count();
    assert_eq!(shown, 0, "{ran}");
}

#[test]
fn scan_tells_nobody_unless_it_is_asked_to() {
    let github = GitHub::start();
    let job = Job::of(&github, "octo/app");
    let ran = job.run(&["scan", "oci:image", "--file", "Dockerfile"]);
    assert_eq!((ran.code, annotations(&ran)), (1, 0), "{ran}");
    assert!(github.requests().is_empty() && job.read("summary.md").is_empty());
    assert_eq!(job.outputs()["exit-code"], "1");
}

#[test]
fn the_calls_are_shown_before_and_instead_of_being_made() {
    let github = GitHub::start();
    let job = Job::of(&github, "octo/app");
    let ran = job.run(&["run", "--dry-run", "--comment", "--check-run", "--status"]);
    assert_eq!(ran.code, 0, "{ran}");
    let base = format!("{}/repos/octo/app", github.url());
    for call in [
        format!("call POST {base}/code-scanning/sarifs  (refs/pull/7/merge at {MERGE})"),
        format!("call POST {base}/check-runs  ({HEAD})"),
        format!("call POST or PATCH {base}/issues/7/comments"),
        format!("call POST {base}/statuses/{HEAD}"),
    ] {
        assert!(ran.stdout.contains(&call), "{call}: {ran}");
    }
    let ran = job.scan(&["--comment", "--check-run", "--status", "--ci-dry-run"]);
    assert_eq!(ran.code, 1, "{ran}");
    let shown: Vec<&str> = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with("would call: "))
        .collect();
    assert_eq!(shown.len(), 5, "{ran}");
    assert!(
        shown[0].starts_with(&format!("would call: POST {base}/code-scanning/sarifs (")),
        "{ran}"
    );
    assert!(github.requests().is_empty());
}

#[test]
fn the_token_may_come_from_a_file_or_a_variable_of_its_own() {
    for (name, value, args) in [
        ("PLIMSOLL_GITHUB_TOKEN", "from-variable", vec![]),
        ("PLIMSOLL_TOKEN_FILE", "token", vec![]),
        ("X", "", vec!["--token-file", "token"]),
    ] {
        let github = GitHub::start();
        let mut job = Job::of(&github, "octo/app");
        fs::write(job.path("token"), "from-file\n").unwrap();
        job.variables.insert(name, value.to_owned());
        let ran = job.scan(&args);
        let sent = github.requests()[0].authorization.clone().unwrap();
        let want = if value == "from-variable" {
            "Bearer from-variable"
        } else {
            "Bearer from-file"
        };
        assert_eq!(sent, want, "{ran}");
        assert!(
            ran.stderr
                .contains(&want.replace("Bearer ", "::add-mask::")),
            "{ran}"
        );
    }
    let job = Job::plain();
    let ran = job.scan(&["--token-file", "nowhere"]);
    assert!(
        ran.code == 2 && ran.stderr.contains("--token-file"),
        "{ran}"
    );
}

#[test]
fn settings_of_the_file_count_and_are_listed_with_their_origin() {
    let github = GitHub::start();
    let job = Job::of(&github, "octo/app");
    let text =
        "ci:\n  upload-sarif: false\n  status: true\n  category: mine\n  annotations: true\n";
    fs::write(job.path("plimsoll.yaml"), text).unwrap();
    let ran = job.run(&["scan", "oci:image", "--file", "Dockerfile"]);
    assert_eq!(
        github.calls(),
        [format!("POST /repos/octo/app/statuses/{HEAD}")],
        "{ran}"
    );
    assert!(annotations(&ran) > 0, "{ran}");
    let status: Value = serde_json::from_slice(&github.requests()[0].body).unwrap();
    assert_eq!(status["context"], "mine");
    let ran = job.run(&["run", "--dry-run", "-v", "--upload-sarif", "true"]);
    assert!(
        ran.stdout
            .contains("ci.upload-sarif: true  (--upload-sarif)"),
        "{ran}"
    );
    assert!(
        ran.stdout.contains("ci.status: true  (plimsoll.yaml:3:11)"),
        "{ran}"
    );
    fs::write(
        job.path("plimsoll.yaml"),
        "ci:\n  upload-sarif: perhaps\n  sha: abc\n",
    )
    .unwrap();
    let ran = job.run(&["run", "--dry-run"]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(
        ran.stderr
            .contains("`perhaps` is none of auto, true, false"),
        "{ran}"
    );
}

#[test]
fn other_cis_are_told_in_their_own_words() {
    let mut job = Job::plain();
    job.variables.insert("TF_BUILD", "True".to_owned());
    job.variables.insert("SYSTEM_ACCESSTOKEN", "x".to_owned());
    let ran = job.scan(&["--dotenv", "out/build.env", "--results-dir", "out/results"]);
    assert_eq!(ran.code, 1, "{ran}");
    let issues = ran.stderr.lines().filter(|l| {
        l.starts_with("##vso[task.logissue type=error;sourcepath=Dockerfile;linenumber=")
    });
    assert!(issues.count() > 3, "{ran}");
    assert!(
        ran.stderr
            .contains("##vso[task.setvariable variable=exit_code;isOutput=true]1"),
        "{ran}"
    );
    assert!(ran.stderr.contains("##[group]scan"), "{ran}");
    let dotenv = job.read("out/build.env");
    assert!(
        dotenv.contains("\nexit_code=1\n") && dotenv.contains("\npassed=false\n"),
        "{dotenv}"
    );
    assert_eq!(job.read("out/results/exit-code"), "1");
    let test: Value = serde_json::from_str(&job.read("out/results/TEST_OUTPUT")).unwrap();
    assert_eq!(test["result"], "FAILURE");
    assert!(job.read("out/results/IMAGE_DIGEST").starts_with("sha256:"));
}

#[test]
fn gitlab_gets_its_note_where_a_token_may_write_one() {
    let forge = crate::support::registry::Double::start(|seen| {
        Reply::new(
            200,
            if seen.path.ends_with("/user") {
                r#"{"id":5}"#
            } else {
                "[]"
            },
        )
    });
    let mut job = Job::plain();
    for (name, value) in [
        ("GITLAB_CI", "true"),
        ("CI_MERGE_REQUEST_IID", "8"),
        ("CI_PROJECT_ID", "3"),
        ("CI_JOB_TOKEN", "job-token-value"),
        ("CI_JOB_URL", "https://gitlab.example.com/j/1"),
    ] {
        job.variables.insert(name, value.to_owned());
    }
    let api = format!("http://{}/api/v4", forge.host());
    job.variables.insert("CI_API_V4_URL", api);
    let ran = job.scan(&["--comment"]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(
        ran.stderr.contains("GITLAB_TOKEN") && forge.requests().is_empty(),
        "{ran}"
    );
    job.variables
        .insert("GITLAB_TOKEN", "glpat-secret".to_owned());
    let ran = job.scan(&["--comment"]);
    assert_eq!(ran.code, 1, "{ran}");
    let requests = forge.requests();
    let last = requests.last().unwrap();
    assert_eq!(
        last.path, "/api/v4/projects/3/merge_requests/8/notes",
        "{ran}"
    );
    assert!(String::from_utf8_lossy(&last.body).contains("Plimsoll: rejected"));
    assert!(!ran.stderr.contains("glpat-secret"), "{ran}");
}

#[test]
fn a_run_that_ends_before_it_begins_has_its_outputs_all_the_same() {
    let github = GitHub::start();
    for (config, args, code) in [
        ("nonsense: [", &["run"][..], "2"),
        ("{}", &["run", "--no-such-option"], "2"),
        ("build: {dockerfile: nowhere}", &["run"], "2"),
    ] {
        let mut job = Job::of(&github, "octo/app");
        fs::write(job.path("plimsoll.yaml"), config).unwrap();
        let results = job.path("results").to_string_lossy().into_owned();
        job.variables.insert("PLIMSOLL_RESULTS_DIR", results);
        job.variables
            .insert("PLIMSOLL_DOTENV", "build.env".to_owned());
        let ran = job.run(args);
        assert_eq!(ran.code, 2, "{ran}");
        let outputs = job.outputs();
        assert_eq!(
            (&*outputs["exit-code"], &*outputs["passed"]),
            (code, "false"),
            "{ran}"
        );
        assert_eq!(outputs["summary"], "usage or configuration");
        assert!(job.read("build.env").contains("exit_code=2"), "{ran}");
        let test: Value = serde_json::from_str(&job.read("results/TEST_OUTPUT")).unwrap();
        assert_eq!(test["result"], "ERROR");
    }
    let job = Job::of(&github, "octo/app");
    job.run(&["explain", "--no-such-option"]);
    assert_eq!(job.read("output"), "", "no command with outputs");
}

#[test]
fn a_configuration_below_the_checkout_has_locations_and_paths_that_others_can_use() {
    let github = GitHub::start();
    let mut job = Job::of(&github, "octo/app");
    let service = job.path("services/api");
    fs::create_dir_all(job.path(".git")).unwrap();
    fs::create_dir_all(&service).unwrap();
    fs::write(service.join("Dockerfile"), "FROM scratch\nUSER 0\n").unwrap();
    fs::write(
        service.join("plimsoll.yaml"),
        "report: [json=r.json, sarif=r.sarif]\n",
    )
    .unwrap();
    job.variables.insert(
        "GITHUB_WORKSPACE",
        job.folder.path().to_string_lossy().into_owned(),
    );
    let ran = {
        let mut command = plimsoll_command(&service, &["run", "check", "--annotations", "true"]);
        Ran::of(&command.envs(&job.variables).output().unwrap())
    };
    assert_eq!(ran.code, 1, "{ran}");
    let outputs = job.outputs();
    assert_eq!(
        outputs["sarif"], "services/api/r.sarif",
        "relative to where steps begin"
    );
    assert_eq!(
        (&outputs["json"], &outputs["results"]),
        (&"services/api/r.json".to_owned(), &outputs["json"])
    );
    assert!(
        commands(&ran)
            .iter()
            .any(|line| line.contains("file=services/api/Dockerfile,line=")),
        "{ran}"
    );
    let sarif: Value = serde_json::from_str(&job.read("services/api/r.sarif")).unwrap();
    let uri = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
        ["uri"];
    assert_eq!(uri, "services/api/Dockerfile");
}

#[test]
fn a_run_that_takes_too_long_is_ended_and_says_so() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let github = GitHub::start();
    let job = Job::of(&github, "octo/app");
    let image = format!("docker://{address}/a:1");
    let ran = job.run(&["scan", &image, "--timeout", "1s"]);
    assert_eq!(ran.code, 143, "{ran}");
    assert!(ran.stderr.contains("longer than 1s"), "{ran}");
    assert_eq!(job.outputs()["exit-code"], "143");
    let ran = job.run(&["scan", &image, "--timeout", "soon"]);
    assert!(ran.code == 2 && ran.stderr.contains("30m"), "{ran}");
}

#[test]
fn a_run_that_takes_too_long_still_tells_the_forge() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let github = GitHub::start();
    let job = Job::of(&github, "octo/app");
    let image = format!("docker://{}/a:1", silent.local_addr().unwrap());
    let args = ["--check-run", "--comment", "--status", "--timeout", "1s"];
    let ran = job.run(&[&["scan", &image][..], &args].concat());
    assert_eq!(ran.code, 143, "{ran}");
    assert!(!ran.stderr.contains("interrupted"), "{ran}");
    let told = |path: &str| {
        let requests = github.requests();
        let found = requests
            .iter()
            .find(|seen| seen.method == "POST" && seen.path.contains(path));
        let found = found.unwrap_or_else(|| panic!("nothing at {path}: {ran}"));
        serde_json::from_slice::<Value>(&found.body).unwrap()
    };
    assert_eq!(told("/check-runs")["conclusion"], "failure", "{ran}");
    assert_eq!(told("/statuses/")["state"], "error", "{ran}");
    let comment = told("/issues/7/comments");
    assert!(
        comment["body"].as_str().unwrap().contains("timeout"),
        "{comment}"
    );
    assert_eq!(job.outputs()["exit-code"], "143");
}

#[test]
fn a_signal_while_the_forge_is_told_ends_the_run_at_once() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut job = Job::of(&GitHub::start(), "octo/app");
    let address = format!("http://{}/api/v3", silent.local_addr().unwrap());
    job.variables.insert("GITHUB_API_URL", address);
    // Already late or not: who asks for an end gets it.
    for more in [&[][..], &["--timeout", "1s"]] {
        let args = ["scan", "oci:image", "--check-run"];
        let mut command = plimsoll_command(job.folder.path(), &[&args[..], more].concat());
        command.envs(&job.variables);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let calling = silent.accept().unwrap();
        std::thread::sleep(Duration::from_millis(1200));
        let begun = Instant::now();
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let ran = Ran::of(&child.wait_with_output().unwrap());
        assert!(begun.elapsed() < Duration::from_secs(10), "{ran}");
        assert!(ran.stderr.contains("interrupted"), "{ran}");
        assert_eq!(job.outputs()["exit-code"], ran.code.to_string(), "{ran}");
        drop(calling);
    }
}

#[test]
fn no_input_commands_the_runner_however_wrong_it_is() {
    let action = include_str!("../../../action.yml");
    let inputs = action.split("\noutputs:").next().unwrap().lines();
    let names = inputs.filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
    let names: Vec<&str> = names.filter(|name| !name.starts_with([' ', '#'])).collect();
    assert!(names.len() > 90, "{names:?}");
    let evil = "x\n  ::set-output name=passed::hacked\r::error::y\n#\u{7}#[error]z\u{1b}[31m";
    let github = GitHub::bent(|_| Some(Reply::new(403, FORBIDDEN)));
    for name in names {
        let mut job = Job::of(&github, "evil/app");
        let inputs = json!({ name: evil }).to_string();
        job.variables.insert("PLIMSOLL_INPUTS", inputs);
        let ran = job.run(&["run", "check", "--annotations", "true"]);
        let said = format!("{}\n{}", ran.stdout, ran.stderr);
        // A mask holds what is to be masked, as it is.
        let lines = said.split(['\n', '\r']);
        for line in lines.filter(|line| !line.starts_with("::add-mask::")) {
            let obeyed = ["::set-output", "::error::y"];
            let obeyed = obeyed
                .iter()
                .any(|command| line.trim_start().starts_with(command));
            assert!(!obeyed && !line.contains("##["), "{name}: {line}");
            assert!(
                !line.contains('\u{1b}') && !line.contains('\u{7}'),
                "{name}: {line:?}"
            );
        }
        let outputs = job.outputs();
        assert_eq!(outputs["exit-code"], ran.code.to_string(), "{name}: {ran}");
        assert_ne!(outputs["passed"], "hacked", "{name}");
    }
}
