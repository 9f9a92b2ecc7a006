//! Every secret by every road, with each engine: it reaches the step that it is for, and is in no log,
//! report, comment, layer, cache, registry or process list. Hostile values come out as they went in.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{
    FORMATS, Ran, docker_is_there, docker_registry::Registry, example_base, forge::GitHub,
    plimsoll_command, skipped,
};

/// Secrets of the build: by input, variable, file of an input, variable and file of the file.
const BUILD: [(&str, &str); 5] = [
    ("a", "s3cret-inline-in-an-input"),
    ("b", "s3cret-variable-named-by-an-input"),
    ("c", "s3cret-file-named-by-an-input"),
    ("d", "s3cret-variable-named-by-the-file"),
    ("e", "s3cret-file-named-by-the-file"),
];
/// The password of the registry, by input.
const PASSWORD: &str = "s3cret-password-of-the-registry";
/// The token of GitHub, by input.
const TOKEN: &str = "ghs_s3cretTokenOfTheWorkflow0123456789";
/// Tokens that only lie in the environment.
const LYING: [(&str, &str); 3] = [
    ("GITHUB_TOKEN", "ghs_s3cretOfTheEnvironment0123456789ab"),
    ("ACTIONS_RUNTIME_TOKEN", "s3cret-runtime-token-of-actions"),
    ("GITLAB_TOKEN", "glpat-s3cret0123456789"),
];
/// Text that shells, runners and Markdown would obey.
const HOSTILE: &str = "$(touch /tmp/pwned)`touch /tmp/pwned`\"; '::set-output name=passed::hacked' ##[error]x & <b>ünïcödé</b> \\";
/// All of them, as they are and as headers and files write a login.
fn secrets() -> Vec<String> {
    let mut all: Vec<String> = BUILD.iter().map(|(_, value)| (*value).to_owned()).collect();
    all.extend([PASSWORD.to_owned(), TOKEN.to_owned()]);
    all.extend(LYING.iter().map(|(_, value)| (*value).to_owned()));
    all.push(STANDARD.encode(format!("user:{PASSWORD}")));
    all
}

fn held_by(bytes: &[u8]) -> Option<String> {
    let mut secrets = secrets().into_iter();
    secrets.find(|secret| {
        let mut windows = bytes.windows(secret.len());
        windows.any(|window| window == secret.as_bytes())
    })
}

/// The example with one more step, which takes the secrets, shows them, and looks for those that it was
/// not given.
fn project(engine: &str, registry: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cinder-plugin");
    for part in ["licenses", "vendorx"] {
        for file in walkdir::WalkDir::new(example.join(part)) {
            let file = file.unwrap();
            let to = folder
                .path()
                .join(file.path().strip_prefix(&example).unwrap());
            if file.file_type().is_dir() {
                fs::create_dir_all(to).unwrap();
            } else {
                fs::copy(file.path(), to).unwrap();
            }
        }
    }
    let mut step = "ARG EVIL\nRUN ".to_owned();
    for (id, _) in BUILD {
        step += &format!("--mount=type=secret,id={id} ");
    }
    step += "set -e";
    for (id, value) in BUILD {
        // Split, so that the Dockerfile itself does not hold it.
        let (head, tail) = value.split_at(6);
        step += &format!("; test \"$(cat /run/secrets/{id})\" = \"{head}\"\"{tail}\"");
    }
    // The patterns do not match themselves.
    step += "; cat /run/secrets/*; echo \"x$(cat /run/secrets/a)y\" >&2; echo \"$EVIL\"; sleep 1; \
             if cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -v EVIL | grep -E 's3cret-[p]ass|s3cret-[r]untime|gh[s]_s3|g[l]pat'; then exit 9; fi\n";
    let dockerfile = fs::read_to_string(example.join("Dockerfile")).unwrap();
    let dockerfile = dockerfile.replace("\nUSER cinder", &format!("\n{step}USER cinder"));
    assert!(dockerfile.contains(&step) && held_by(dockerfile.as_bytes()).is_none());
    fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    let base = example_base();
    let config = format!(
        "build:\n  engine: {engine}\n  cache-dir: cache\n  output: out\n  mirrors:\n    \
         registry.redhat.io/rhosp-rhel8/openstack-cinder-volume:16.2: oci:{}:16.2\n  secrets:\n    \
         d: {{env: D_TOKEN}}\n    e: {{src: keys/e}}\nimage:\n  registry: {registry}\n  \
         repository: p/{engine}\n  tag: 1.0-1\n",
        base.display()
    );
    fs::write(folder.path().join("plimsoll.yaml"), config).unwrap();
    fs::create_dir(folder.path().join("keys")).unwrap();
    fs::write(folder.path().join("keys/c"), BUILD[2].1).unwrap();
    fs::write(folder.path().join("keys/e"), BUILD[4].1).unwrap();
    fs::write(folder.path().join(".dockerignore"), "keys\nout\ncache\n").unwrap();
    folder
}

/// The environment of a step on GitHub, the inputs as the action hands them over.
fn environment(folder: &Path, github: &GitHub, ca: &Path) -> BTreeMap<String, String> {
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let reports: Vec<String> = FORMATS.iter().map(|f| format!("{f}=reports/{f}")).collect();
    let inputs = json!({
        "secrets": format!("a={}", BUILD[0].1),
        "secret-envs": "b=B_TOKEN",
        "secret-files": "c=keys/c",
        "build-args": format!("EVIL={HOSTILE}"),
        "labels": format!("evil={HOSTILE}"),
        "username": "user", "password": PASSWORD, "token": TOKEN,
        "push": "true", "comment": "true", "check-run": "true", "status": "true",
        "report": reports.join("\n"), "no-cache": "true", "engine": "",
    });
    let event = json!({ "pull_request": {
        "number": 7, "head": { "sha": "2".repeat(40), "repo": { "full_name": "octo/app" } },
    } });
    fs::write(folder.join("event.json"), event.to_string()).unwrap();
    let mut variables: BTreeMap<String, String> = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_REPOSITORY", "octo/app"),
        ("GITHUB_EVENT_NAME", "pull_request"),
        ("GITHUB_REF", "refs/pull/7/merge"),
        ("GITHUB_ACTOR", "mona"),
        ("B_TOKEN", BUILD[1].1),
        ("D_TOKEN", BUILD[3].1),
    ]
    .into_iter()
    .chain(LYING)
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    for (name, value) in [
        ("GITHUB_SHA", "1".repeat(40)),
        ("GITHUB_API_URL", github.url()),
        ("GITHUB_EVENT_PATH", path("event.json")),
        ("GITHUB_OUTPUT", path("output")),
        ("GITHUB_STEP_SUMMARY", path("summary.md")),
        ("PLIMSOLL_INPUTS", inputs.to_string()),
        ("HOME", path("home")),
        ("TMPDIR", path("tmp")),
        ("SSL_CERT_FILE", ca.to_string_lossy().into_owned()),
    ] {
        variables.insert(name.to_owned(), value);
    }
    fs::create_dir_all(folder.join("home")).unwrap();
    fs::create_dir_all(folder.join("tmp")).unwrap();
    variables
}

/// Looks at the command line of every process until it is told to stop: what was found, and how often
/// it looked.
fn watch(stop: &Arc<AtomicBool>) -> thread::JoinHandle<(Vec<String>, usize)> {
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        let (mut found, mut looks) = (Vec::new(), 0);
        while !stop.load(Ordering::SeqCst) {
            for entry in fs::read_dir("/proc").unwrap().flatten() {
                let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                // The step names its own secrets in pieces; whole ones stand nowhere.
                found.extend(held_by(&line));
            }
            looks += 1;
            thread::sleep(Duration::from_millis(30));
        }
        (found, looks)
    })
}

/// Whatever lies below, unpacked, but for the files that hold secrets by right.
fn search(root: &Path, by_right: &[&str]) -> usize {
    let mut packed = 0;
    for entry in walkdir::WalkDir::new(root) {
        let entry = entry.unwrap();
        let inside = entry.path().strip_prefix(root).unwrap();
        if !entry.file_type().is_file() || by_right.iter().any(|own| inside == Path::new(own)) {
            continue;
        }
        let mut bytes = fs::read(entry.path()).unwrap();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut unpacked = Vec::new();
            let mut gzip = flate2::read::MultiGzDecoder::new(&*bytes);
            gzip.read_to_end(&mut unpacked).unwrap();
            bytes = unpacked;
            packed += 1;
        }
        assert_eq!(held_by(&bytes), None, "in {}", entry.path().display());
    }
    packed
}

fn run(folder: &Path, variables: &BTreeMap<String, String>) -> (Ran, usize) {
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = watch(&stop);
    let mut command = plimsoll_command(folder, &["run", "-vv"]);
    command.envs(variables).stdin(Stdio::null());
    let ran = Ran::of(&command.output().unwrap());
    stop.store(true, Ordering::SeqCst);
    let (found, looks) = watcher.join().unwrap();
    assert_eq!(found, Vec::<String>::new(), "in the process list");
    (ran, looks)
}

/// A step that fails after it showed what it was given: its last words are in the error and in the
/// reports.
fn fails_as_silently(folder: &Path, variables: &BTreeMap<String, String>) {
    let path = folder.join("Dockerfile");
    let dockerfile = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        dockerfile.replace("sleep 1;", "cat /run/secrets/*; exit 3;"),
    )
    .unwrap();
    fs::remove_dir_all(folder.join("out")).unwrap();
    let (ran, _) = run(folder, variables);
    assert_eq!(ran.code, 3, "{ran}");
    let masks = |line: &&str| !line.starts_with("::add-mask::");
    let shown: String = ran.stderr.lines().filter(masks).collect();
    assert_eq!(held_by((shown + &ran.stdout).as_bytes()), None, "{ran}");
    search(folder, &["keys/c", "keys/e"]);
}

/// The configuration of the image that was pushed, from the registry's own store.
fn label(registry: &Registry, name: &str) -> Option<String> {
    let store = walkdir::WalkDir::new(registry.dir.path().join("data")).into_iter();
    let files = store.flatten().filter(|entry| entry.file_type().is_file());
    files
        .filter_map(|file| serde_json::from_slice::<Value>(&fs::read(file.path()).unwrap()).ok())
        .find_map(|value| Some(value["config"]["Labels"][name].as_str()?.to_owned()))
}

#[test]
fn no_secret_is_anywhere_whichever_road_it_came_and_whoever_builds() {
    let Some(registry) = Registry::guarded(PASSWORD, "") else {
        return skipped("leaks", "no docker-registry, openssl or htpasswd");
    };
    for engine in ["embedded", "docker"] {
        if engine == "docker" && !docker_is_there() {
            continue;
        }
        let github = GitHub::start();
        let folder = project(engine, &registry.address);
        let variables = environment(folder.path(), &github, &registry.dir.path().join("ca.crt"));
        let (ran, looks) = run(folder.path(), &variables);
        let shown: String = ran
            .stderr
            .lines()
            .filter(|line| !line.starts_with("::add-mask::"))
            .collect();
        assert_eq!(
            held_by((shown + &ran.stdout).as_bytes()),
            None,
            "{engine}: {ran}"
        );
        assert_eq!(ran.code, 0, "{engine}: {ran}");
        assert!(looks > 10, "the processes were looked at {looks} times");
        assert!(
            ran.stderr.contains("x***y"),
            "{engine}: it was printed: {ran}"
        );
        for secret in secrets() {
            let mask = format!("::add-mask::{secret}");
            assert!(
                ran.stderr.lines().any(|line| line == mask),
                "{engine}: {secret} is not masked"
            );
        }
        let layers = search(folder.path(), &["keys/c", "keys/e"]);
        assert!(layers > 1, "{engine}: {layers} layers");
        for format in FORMATS {
            // Without advisories there is no statement to make, and so no file.
            let written = folder.path().join("reports").join(format).is_file();
            assert_eq!(written, format != "openvex", "{engine}: {format}: {ran}");
        }
        let calls = github.requests();
        assert!(calls.len() >= 5, "{engine}: {:?}", github.calls());
        for seen in calls {
            assert_eq!(held_by(&seen.body), None, "{engine}: {}", seen.path);
            assert_eq!(held_by(seen.path.as_bytes()), None, "{engine}");
            assert_eq!(seen.authorization, Some(format!("Bearer {TOKEN}")));
        }
        assert_eq!(
            label(&registry, "evil").as_deref(),
            Some(HOSTILE),
            "{engine}: {ran}"
        );
        assert!(!Path::new("/tmp/pwned").exists());
        let output = fs::read_to_string(folder.path().join("output")).unwrap();
        fails_as_silently(folder.path(), &variables);
        assert!(
            output.contains("passed<<") && !output.contains("hacked"),
            "{output}"
        );
    }
    assert!(
        search(registry.dir.path(), &[]) > 1,
        "what the registry keeps"
    );
}
