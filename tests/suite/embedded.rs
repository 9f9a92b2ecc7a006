//! The embedded engine end to end: what a step sees and cannot reach, limits, users without
//! privileges, containers without privileges, and what is left when something is killed.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test makes files, runs programs and may panic"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::support::{Ran, docker_is_there, has_program, plimsoll_command, skipped};

const APPLETS: &[&str] = &[
    "cat", "chmod", "dd", "echo", "env", "false", "grep", "head", "hostname", "id", "kill", "ln",
    "ls", "mkdir", "mknod", "mount", "ps", "pwd", "rm", "setsid", "sh", "sleep", "stat", "test",
    "touch", "tr", "true", "wc", "yes",
];

/// A repository with a shell to start from, a cache of its own, and a place for the image.
struct Project {
    dir: TempDir,
    /// every process of a build can be told by it
    mark: String,
}

fn busybox() -> Option<PathBuf> {
    let places = ["/bin/busybox", "/usr/bin/busybox"];
    places
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists())
}

impl Project {
    fn new(test: &str, steps: &str) -> Option<Self> {
        let Some(busybox) = busybox() else {
            skipped(test, "no static busybox");
            return None;
        };
        let dir = tempfile::Builder::new()
            .prefix("plimsoll-embedded-")
            .tempdir()
            .unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let bin = dir.path().join("bb/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir(dir.path().join("bb/etc")).unwrap();
        fs::create_dir(dir.path().join(".git")).unwrap();
        fs::copy(busybox, bin.join("busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", bin.join(applet)).unwrap();
        }
        let passwd = "root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\n";
        fs::write(dir.path().join("bb/etc/passwd"), passwd).unwrap();
        fs::write(
            dir.path().join("bb/etc/group"),
            "root:x:0:\nextra:x:2000:bob\n",
        )
        .unwrap();
        let mark = dir.path().file_name().unwrap().to_str().unwrap().to_owned();
        let project = Self { dir, mark };
        project.dockerfile(steps);
        Some(project)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn dockerfile(&self, steps: &str) {
        fs::write(
            self.path("Dockerfile"),
            format!("FROM scratch\nCOPY bb /\n{steps}"),
        )
        .unwrap();
    }

    fn limits(&self, limits: &str) {
        fs::write(
            self.path("plimsoll.yaml"),
            format!("build:\n  limits: {{ {limits} }}\n"),
        )
        .unwrap();
    }

    fn command(&self) -> Command {
        let cache = self.path("cache");
        let _ = fs::remove_dir_all(self.path("out"));
        let mut command = plimsoll_command(self.dir.path(), &["build", "--engine", "embedded"]);
        command
            .arg("--cache-dir")
            .arg(cache)
            .args(["--output", "out", "--progress", "plain"]);
        command
    }

    fn build(&self) -> Ran {
        Ran::of(&self.command().output().unwrap())
    }

    /// Paths in all layers together, and whiteouts.
    fn paths(&self) -> Vec<String> {
        let blobs = self.path("out/blobs/sha256");
        let mut paths = Vec::new();
        for blob in fs::read_dir(blobs).unwrap() {
            let listed = Command::new("tar")
                .arg("tf")
                .arg(blob.unwrap().path())
                .output()
                .unwrap();
            if listed.status.success() {
                let text = String::from_utf8(listed.stdout).unwrap();
                paths.extend(
                    text.lines()
                        .map(|line| line.trim_end_matches('/').to_owned()),
                );
            }
        }
        paths
    }

    /// Nothing of a build is left: no process, no mount, nothing half done.
    fn assert_nothing_is_left(&self, when: &str) {
        let end = Instant::now() + Duration::from_secs(5);
        let mut processes = self.processes();
        while !processes.is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
            processes = self.processes();
        }
        assert!(processes.is_empty(), "{when}: {processes:?}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&self.mark), "{when}: {mounts}");
    }

    /// Processes that have the project's directory among their arguments, environment or mounts.
    fn processes(&self) -> Vec<(i32, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let read = |name: &str| {
                let bytes = fs::read(entry.path().join(name)).unwrap_or_default();
                String::from_utf8_lossy(&bytes).replace('\0', " ")
            };
            let command = read("cmdline");
            let ours = [&command, &read("mountinfo"), &read("environ")];
            if ours.iter().any(|text| text.contains(&self.mark)) {
                found.push((pid, command));
            }
        }
        found
    }
}

fn root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skipped(test, "only root can do this");
    }
    root
}

#[test]
fn a_step_sees_what_docker_build_shows_it() {
    let steps = r#"RUN test "$(id -u):$(id -g)" = 0:0 && test "$HOME" = /root && test "$(pwd)" = /
RUN test "$(hostname)" = buildkitsandbox && grep -q buildkitsandbox /etc/hosts
RUN test "$(stat -c %a /dev/shm)" = 1777 && test -c /dev/null && test -e /dev/pts/ptmx
RUN grep -q '^NoNewPrivs:.0' /proc/self/status && grep -q '^CapEff:.00000000a80425fb' /proc/self/status
RUN test "$(grep -c . /proc/self/status)" -gt 5 && test "$(ls -d /proc/[0-9]* | wc -l)" -lt 9
USER bob
RUN test "$(id -u) $(id -G)" = "1000 1000 2000" && test "$HOME" = /home/bob
RUN grep -q '^CapEff:.0000000000000000' /proc/self/status
USER 1234
WORKDIR /made/here
RUN test "$(id -u):$(id -g)" = 1234:0 && test "$HOME" = / && test "$(pwd)" = /made/here
USER root
RUN --network=none test "$(grep -c : /proc/net/dev)" = 1 && grep -q lo: /proc/net/dev
"#;
    let Some(project) = Project::new("step", steps) else {
        return;
    };
    let ran = project.build();
    assert_eq!(ran.code, 0, "{ran}");
    project.assert_nothing_is_left("after a build");
    let paths = project.paths();
    for stub in ["etc/hosts", "etc/resolv.conf", "dev/null", "dev/shm"] {
        assert!(!paths.iter().any(|path| path == stub), "{stub} stayed");
    }
}

#[test]
fn mount_points_are_not_left_in_the_image_and_caches_are_kept() {
    let steps = "RUN --mount=type=cache,target=/c/d touch /c/d/kept\n\
        RUN --mount=type=cache,target=/c/d --mount=type=tmpfs,target=/t/m test -f /c/d/kept && touch /t/m/x\n\
        RUN --mount=type=secret,id=word,target=/s/word test \"$(cat /s/word)\" = hunter'22' && ! echo x > /s/word\n\
        RUN --mount=type=secret,id=word,env=WORD test \"$WORD\" = hunter'22'\n";
    let Some(project) = Project::new("mounts", steps) else {
        return;
    };
    fs::write(project.path("word"), "hunter22").unwrap();
    let output = project
        .command()
        .args(["--secret", "id=word,src=word"])
        .output()
        .unwrap();
    let ran = Ran::of(&output);
    assert_eq!(ran.code, 0, "{ran}");
    for path in project.paths() {
        let first = path.split('/').next().unwrap();
        assert!(!["c", "s", "t"].contains(&first), "{path} stayed");
    }
    // The history holds the commands; they do not spell the word as it is.
    for place in ["cache", "out"] {
        let found = Command::new("grep")
            .args(["-rlF", "hunter22"])
            .arg(project.path(place))
            .output();
        let found = String::from_utf8(found.unwrap().stdout).unwrap();
        assert_eq!(found, "", "the secret lies in {place}");
    }
}

#[test]
fn a_step_reaches_nothing_of_the_machine() {
    let steps = r"RUN ! cat /proc/1/root/MARKER
RUN ! echo b > /proc/sysrq-trigger
RUN ! mount -t tmpfs none /tmp
RUN ! ls /MARKER
RUN cat /etc/resolv.conf
RUN ln -s /../../../out /link
RUN --mount=type=cache,target=/link/x touch /link/x/y
RUN (setsid sleep 987 &) ; echo started
RUN head -c 20000000 /dev/zero | tr '\0' x
";
    let Some(project) = Project::new("hostile", steps) else {
        return;
    };
    symlink("/../../outside", project.path("bb/etc/resolv.conf")).unwrap();
    fs::write(project.path("secret-of-the-host"), "x").unwrap();
    let marker = project.path("secret-of-the-host").display().to_string();
    project.dockerfile(&steps.replace("/MARKER", &marker));
    let started = Instant::now();
    let ran = project.build();
    assert_eq!(ran.code, 0, "exit {}", ran.code);
    assert!(started.elapsed() < Duration::from_mins(5));
    project.assert_nothing_is_left("after a daemon");
    assert!(!Path::new("/outside").exists() && !Path::new("/out").exists());
    assert!(
        !project
            .paths()
            .iter()
            .any(|path| path == "outside" || path.starts_with("out/"))
    );
}

#[test]
fn a_key_in_a_file_is_an_agent_to_the_step_and_stays_out_of_the_image() {
    let test = "a_key_in_a_file_is_an_agent_to_the_step_and_stays_out_of_the_image";
    let steps = "RUN --mount=type=ssh,required=true test -S \"$SSH_AUTH_SOCK\"\n\
                 RUN ! test -e \"$SSH_AUTH_SOCK\"\n";
    let Some(project) = Project::new(test, steps) else {
        return;
    };
    let key = project.path("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    if !made.is_ok_and(|status| status.success()) {
        return skipped(test, "no ssh-keygen");
    }
    let mut command = project.command();
    command
        .arg("--ssh")
        .arg(format!("default={}", key.display()));
    let ran = Ran::of(&command.output().unwrap());
    assert_eq!(ran.code, 0, "{ran}");
    assert!(!project.paths().iter().any(|path| path.contains("key")));
    project.assert_nothing_is_left("after a key");
}

#[test]
fn a_cache_directory_in_the_context_is_not_copied_into_itself() {
    let test = "a_cache_directory_in_the_context_is_not_copied_into_itself";
    let steps = "COPY . /all/\nRUN --mount=type=bind,target=/b test -e /b/Dockerfile && \
                 ! test -e /b/cache\n";
    let Some(project) = Project::new(test, steps) else {
        return;
    };
    // As deep as it gets by names that are resolved one by one.
    let mut deep = project.path("deep");
    for _ in 0..300 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    for _ in 0..2 {
        let ran = project.build();
        assert_eq!(ran.code, 0, "{ran}");
        assert!(ran.stderr.contains("no part of the context"), "{ran}");
        let paths = project.paths();
        assert!(paths.iter().any(|path| path == "all/Dockerfile"));
        assert!(!paths.iter().any(|path| path.starts_with("all/cache")));
    }
    let ran = Ran::of(
        &plimsoll_command(project.dir.path(), &["build", "--engine", "embedded"])
            .args(["--cache-dir", ".", "--output", "out"])
            .output()
            .unwrap(),
    );
    assert!(ran.stderr.contains("is the context"), "{ran}");
}

#[test]
fn a_tree_that_is_deeper_than_descriptors_reach_leaves_nothing_behind() {
    let test = "a_tree_that_is_deeper_than_descriptors_reach_leaves_nothing_behind";
    let steps = "RUN test $(ulimit -n) = 300\n\
                 RUN i=0; while test $i -lt 900; do mkdir d && cd d && i=$((i+1)); done\n";
    let Some(project) = Project::new(test, steps) else {
        return;
    };
    let limited = |limits: &str| {
        let build = project.command();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limits} && exec \"$0\" \"$@\"")]);
        command.arg(build.get_program()).args(build.get_args());
        for (name, value) in build.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(project.dir.path());
        Ran::of(&command.output().unwrap())
    };
    let ran = limited("ulimit -Sn 300");
    assert_eq!(ran.code, 0, "{ran}");
    fs::remove_dir_all(project.path("cache/records/steps")).unwrap();
    let ran = limited("ulimit -n 300");
    assert_ne!(ran.code, 0, "{ran}");
    assert!(ran.stderr.contains("Too many open files"), "{ran}");
    assert!(ran.stderr.len() < 8192, "{ran}");
    let left: Vec<_> = fs::read_dir(project.path("cache/tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_cache_directory_that_is_full_or_cannot_be_written_is_no_fault_of_the_dockerfile() {
    let test = "a_cache_directory_that_is_full_or_cannot_be_written_is_no_fault_of_the_dockerfile";
    let steps = "COPY large /large\n";
    let Some(project) = Project::new(test, steps) else {
        return;
    };
    if !root(test) {
        return;
    }
    fs::write(project.path("large"), vec![b'x'; 9 << 20]).unwrap();
    let (cache, build) = (project.path("cache"), project.command());
    fs::create_dir(&cache).unwrap();
    let mounted = |options: &str| {
        let script = format!(
            "mount -t tmpfs -o {options} none {} && exec \"$@\"",
            cache.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sh"]);
        command.arg(build.get_program()).args(build.get_args());
        command.envs(
            build
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        command.current_dir(project.dir.path());
        Ran::of(&command.output().unwrap())
    };
    for (options, words, hint) in [
        ("size=8m", "No space left on device", "prune"),
        ("ro", "cannot be used", "--cache-dir"),
    ] {
        let ran = mounted(options);
        assert_eq!(ran.code, 4, "{options}: {ran}");
        assert!(
            ran.stderr.contains(words) && ran.stderr.contains(hint),
            "{ran}"
        );
        assert!(!ran.stdout.contains("build/failed"), "{ran}");
    }
    project.assert_nothing_is_left("a full disk");
}

#[test]
fn a_device_that_a_step_makes_is_of_no_use_to_it() {
    let test = "a_device_that_a_step_makes_is_of_no_use_to_it";
    // What reads endlessly where it can be read at all.
    let steps = r"RUN mknod /x c 1 5 && ! head -c 1 /x && rm /x
RUN mknod /dev/x c 1 5 && ! head -c 1 /dev/x
RUN --mount=type=cache,target=/c mknod /c/x c 1 5 && ! head -c 1 /c/x && rm /c/x
RUN --mount=type=tmpfs,target=/t mknod /t/x c 1 5 && ! head -c 1 /t/x
RUN --mount=type=bind,target=/b,rw mknod /b/x c 1 5 && ! head -c 1 /b/x
RUN mknod /dev/shm/x c 1 5 && ! head -c 1 /dev/shm/x
RUN ! mount -o remount,dev / && ! mount -o remount,bind,dev /dev
RUN head -c 1 /dev/zero >/dev/null && head -c 1 /dev/urandom >/dev/null && echo x >/dev/null
";
    if !root(test) {
        return;
    }
    let Some(project) = Project::new(test, steps) else {
        return;
    };
    let ran = project.build();
    assert_eq!(ran.code, 0, "{ran}");
    // One that stays is refused, because no layer may hold it.
    project.dockerfile("RUN mknod /x c 1 5\n");
    let ran = project.build();
    assert!(
        ran.stderr.contains("layers with devices are refused"),
        "{ran}"
    );
    project.assert_nothing_is_left("after devices");
}

#[test]
fn a_step_that_passes_a_limit_ends_with_its_name() {
    let Some(project) = Project::new("limits", "") else {
        return;
    };
    for (limit, step, word) in [
        ("timeout: 2s", "RUN sleep 600", "build.limits.timeout"),
        ("disk: 20m", "RUN yes > /full", "build.limits.disk"),
        (
            "disk: 20m",
            "RUN i=0; while true; do i=$((i+1)); head -c 1000000 /dev/zero > /f$i; done",
            "build.limits.disk",
        ),
        (
            "pids: 40",
            "RUN f() { f | f & }; f; sleep 600",
            "build.limits.pids",
        ),
    ] {
        project.limits(limit);
        project.dockerfile(step);
        let started = Instant::now();
        let ran = project.build();
        assert_ne!(ran.code, 0, "{limit}: {ran}");
        assert!(ran.stderr.contains(word), "{limit}: {ran}");
        assert!(
            started.elapsed() < Duration::from_mins(1),
            "{limit}: {:?}",
            started.elapsed()
        );
        project.assert_nothing_is_left(limit);
    }
}

#[test]
fn a_step_that_takes_memory_without_end_ends_with_the_name_of_the_limit() {
    let test = "a_step_that_takes_memory_without_end_ends_with_the_name_of_the_limit";
    let Some(project) = Project::new(test, "RUN true") else {
        return;
    };
    project.limits("memory: 64m");
    let ran = project.build();
    assert_eq!(ran.code, 0, "{ran}");
    if ran.stderr.contains("build.limits.memory cannot be held") {
        return skipped(test, "this host lets no control group with memory be made");
    }
    for step in [
        "RUN x=aaaaaaaa; while true; do x=$x$x; done",
        // Each of them stays below the limit.
        "RUN f() { x=aaaaaaaa; while test ${#x} -lt 12000000; do x=$x$x; done; sleep 600; }; \
         f & f & f & f & f & f & f & f & wait",
    ] {
        project.dockerfile(step);
        let started = Instant::now();
        let ran = project.build();
        assert_ne!(ran.code, 0, "{step}: {ran}");
        assert!(
            ran.stderr
                .contains("passed its limit of 67108864 bytes of memory (build.limits.memory)"),
            "{step}: {ran}"
        );
        assert!(started.elapsed() < Duration::from_mins(1), "{step}");
        project.assert_nothing_is_left(step);
    }
    // What fits is left alone.
    project.dockerfile("RUN x=aaaaaaaa; while test ${#x} -lt 4000000; do x=$x$x; done");
    let ran = project.build();
    assert_eq!(ran.code, 0, "{ran}");
}

/// Files below a directory that hold `text`, as they are or unpacked.
fn holding(dir: &Path, text: &str) -> Vec<PathBuf> {
    let holds = |bytes: &[u8]| {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    let unpacked = |bytes: &[u8]| {
        let mut out = Vec::new();
        match bytes.get(..4) {
            Some([0x1f, 0x8b, ..]) => {
                let _ = flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out);
            }
            Some([0x28, 0xb5, 0x2f, 0xfd]) => out = zstd::decode_all(bytes).unwrap_or_default(),
            _ => {}
        }
        out
    };
    walkdir::WalkDir::new(dir)
        .into_iter()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().is_file())
        .filter(|entry| {
            let bytes = fs::read(entry.path()).unwrap();
            holds(&bytes) || holds(&unpacked(&bytes))
        })
        .map(walkdir::DirEntry::into_path)
        .collect()
}

#[test]
fn secrets_are_in_no_layer_in_no_cache_and_in_no_log() {
    const VALUE: &str = "s3cret-8d1f0c2a";
    let Some(project) = Project::new("secrets", "") else {
        return;
    };
    let read = "RUN --mount=type=secret,id=s cat /run/secrets/s && \\\n  wc -c </run/secrets/s >/size\n\
                RUN --mount=type=secret,id=s,target=/etc/token,mode=0444 test -s /etc/token\n\
                RUN --mount=type=secret,id=s,env=TOKEN echo $TOKEN && echo ${#TOKEN} >/length\n\
                RUN test ! -e /run/secrets/s && test ! -e /etc/token && test -z \"$TOKEN\"\n";
    for (limits, steps, succeeds) in [
        ("disk: 1g", read, true),
        (
            "disk: 1g",
            "RUN --mount=type=secret,id=s cat /run/secrets/s >&2; false\n",
            false,
        ),
        (
            "timeout: 2s",
            "RUN --mount=type=secret,id=s,env=TOKEN sleep 600\n",
            false,
        ),
    ] {
        project.limits(limits);
        project.dockerfile(steps);
        let mut command = project.command();
        command
            .args(["--secret", "id=s,env=GIVEN_TO_THE_BUILD"])
            .env("GIVEN_TO_THE_BUILD", VALUE);
        let ran = Ran::of(&command.output().unwrap());
        assert_eq!(ran.code == 0, succeeds, "{ran}");
        assert!(!ran.stdout.contains(VALUE), "{ran}");
        assert!(!ran.stderr.contains(VALUE), "{ran}");
        let holding = holding(project.dir.path(), VALUE);
        assert!(holding.is_empty(), "{holding:?}");
        project.assert_nothing_is_left(steps);
        if succeeds {
            let paths = project.paths();
            assert!(paths.iter().any(|path| path == "size"), "{paths:?}");
            assert!(
                !paths.iter().any(|path| path.contains("secrets")),
                "{paths:?}"
            );
        }
    }
}

#[test]
fn the_graph_is_written_as_llb_or_what_llb_cannot_say_is_refused_by_line() {
    let Some(project) = Project::new("dump-llb", "RUN echo hello >/hello\n") else {
        return;
    };
    let dumped = project.path("graph.llb");
    let dump = |project: &Project| {
        let mut command = project.command();
        command.args(["--dump-llb", "graph.llb"]);
        Ran::of(&command.output().unwrap())
    };
    let ran = dump(&project);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let bytes = fs::read(&dumped).unwrap();
    let holds = |text: &str| {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    assert!(holds("local://context") && holds("echo hello >/hello"));
    fs::remove_file(&dumped).unwrap();
    project.dockerfile("COPY --chown=7:8 bb /more\n");
    let ran = dump(&project);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("Dockerfile:3: --chown cannot be written as LLB"),
        "{}",
        ran.stderr
    );
    assert!(!dumped.exists());
    assert!(!project.path("out").exists());
}

#[test]
fn a_pruned_cache_is_empty_and_the_next_build_gives_the_same_image() {
    let Some(project) = Project::new("prune", "RUN echo hello >/hello\n") else {
        return;
    };
    let build = |project: &Project| {
        let mut command = project.command();
        let ran = Ran::of(&command.env("SOURCE_DATE_EPOCH", "1").output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        fs::read(project.path("out/index.json")).unwrap()
    };
    let prune = |options: &[&str]| {
        let mut command = plimsoll_command(project.dir.path(), &["cache", "prune"]);
        command.args(["--cache-dir", "cache"]).args(options);
        let ran = Ran::of(&command.output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stderr
    };
    let first = build(&project);
    let kept = prune(&["--older-than", "1", "--max-size", "4g"]);
    assert!(kept.contains("removed 0 entries"), "{kept}");
    let blobs = || {
        fs::read_dir(project.path("cache/blobs/sha256"))
            .unwrap()
            .count()
    };
    assert!(blobs() > 0);
    let told = prune(&[]);
    assert!(
        told.contains("from ") && !told.contains("removed 0"),
        "{told}"
    );
    assert_eq!(blobs(), 0);
    assert_eq!(build(&project), first);
}

/// Starts a build and waits until a step says `here`.
fn started(project: &Project) -> std::process::Child {
    let mut child = project
        .command()
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let said = lines
        .by_ref()
        .map_while(Result::ok)
        .any(|line| line.ends_with("here"));
    assert!(said, "the step never started");
    // Nobody reads the rest, but the pipe must stay open.
    std::thread::spawn(move || lines.count());
    child
}

#[test]
fn who_interrupts_waits_for_seconds_at_most_and_leaves_nothing() {
    let Some(project) = Project::new(
        "interrupt",
        "RUN trap '' TERM; echo here; sleep 600; sleep 600",
    ) else {
        return;
    };
    let mut child = started(&project);
    let began = Instant::now();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{status}");
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    project.assert_nothing_is_left("after an interrupt");
}

#[test]
fn whoever_is_killed_nothing_is_left_and_the_next_build_is_right() {
    let steps = "RUN echo one > /one\nRUN echo here; sleep 0.3; echo two > /two\nRUN sleep 0.2; echo three > /three\n";
    let Some(project) = Project::new("killed", steps) else {
        return;
    };
    let rounds = std::env::var("PLIMSOLL_KILLS")
        .ok()
        .and_then(|text| text.parse().ok());
    let rounds: u64 = rounds.unwrap_or(4);
    for round in 0..rounds {
        project.dockerfile(&format!("ENV ROUND={round}\n{steps}"));
        let mut child = project
            .command()
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(20 + (round * 137) % 1500));
        // The engine itself, or one of the processes below it.
        let victims = project.processes();
        let pick = usize::try_from(round).unwrap() % victims.len().max(1);
        let victim = victims
            .get(pick)
            .map_or(child.id().try_into().unwrap(), |(pid, _)| *pid);
        let pid = rustix::process::Pid::from_raw(victim).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        child.wait().unwrap();
        project.assert_nothing_is_left(&format!("round {round}, {victims:?}, killed {victim}"));
        let ran = project.build();
        assert_eq!(ran.code, 0, "round {round}: {ran}");
        let paths = project.paths();
        for file in ["one", "two", "three"] {
            let count = paths.iter().filter(|path| *path == file).count();
            assert_eq!(count, 1, "round {round}: {file}");
        }
        let entries = |path: &str| -> Vec<String> {
            let found = fs::read_dir(project.path(path)).unwrap().flatten();
            found
                .map(|entry| entry.file_name().into_string().unwrap())
                .collect()
        };
        let mut left = entries("cache/tmp");
        let litter = |name: &String| name.starts_with(".probe-") || name.starts_with(".run-");
        left.extend(entries("cache").into_iter().filter(litter));
        assert!(left.is_empty(), "round {round}: {left:?}");
    }
}

/// The binary where everybody can run it.
fn public_binary(dir: &Path) -> PathBuf {
    let binary = dir.join("plimsoll");
    fs::copy(env!("CARGO_BIN_EXE_plimsoll"), &binary).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    binary
}

fn as_user(project: &Project, id: u32) -> Ran {
    let build = [
        "build",
        "--engine",
        "embedded",
        "--output",
        "out",
        "--progress",
        "plain",
    ];
    user_runs(project, id, &build)
}

fn user_runs(project: &Project, id: u32, args: &[&str]) -> Ran {
    let binary = public_binary(project.dir.path());
    let mut command = Command::new("setpriv");
    command
        .args([
            format!("--reuid={id}"),
            format!("--regid={id}"),
            "--clear-groups".to_owned(),
        ])
        .arg("--")
        .arg(binary)
        .args(args)
        .arg("--cache-dir")
        .arg(project.path("cache"))
        .current_dir(project.dir.path())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
    Ran::of(&command.output().unwrap())
}

/// Namespaces may be forbidden to users; then that must be said.
fn allowed(ran: &Ran) -> bool {
    if ran.code == 0 {
        return true;
    }
    assert!(
        ran.stderr.contains("does not let it isolate steps"),
        "{ran}"
    );
    assert!(ran.stderr.contains("hint:"), "{ran}");
    false
}

#[test]
fn a_user_without_privileges_and_without_subordinate_ids_builds_what_needs_one_id() {
    if !root("single id") || !has_program("setpriv") {
        return;
    }
    let steps = "RUN test \"$(id -u)\" = 0 && echo built > /built\n";
    let Some(project) = Project::new("single id", steps) else {
        return;
    };
    let ran = as_user(&project, 54_321);
    if allowed(&ran) {
        assert!(ran.stderr.contains("one user id"), "{ran}");
        assert!(project.paths().iter().any(|path| path == "built"));
        // Layers of a build that knows no other owner are none of a build that does.
        let ran = project.build();
        assert!(ran.code == 0 && !ran.stderr.contains("(cached)"), "{ran}");
    }
    project.assert_nothing_is_left("as a user");
}

#[test]
fn a_user_with_subordinate_ids_builds_with_other_owners() {
    if !root("subordinate ids") || !has_program("setpriv") || !has_program("newuidmap") {
        return;
    }
    let steps = "RUN touch /owned && chmod 600 /owned && mkdir -m 777 /shared\nUSER bob\n\
                 RUN test \"$(id -u)\" = 1000 && mkdir -m 700 /shared/own && touch /shared/own/x\n";
    let Some(project) = Project::new("subordinate ids", steps) else {
        return;
    };
    let name = "plimsoll-test";
    let made = Command::new("useradd")
        .args(["--no-create-home", "--uid", "54322", name])
        .status();
    assert!(made.unwrap().success());
    let ran = as_user(&project, 54_322);
    let pruned = user_runs(&project, 54_322, &["cache", "prune"]);
    let gone = Command::new("userdel").arg(name).status();
    assert!(gone.unwrap().success());
    if allowed(&ran) {
        assert!(!ran.stderr.contains("one user id"), "{ran}");
        // Also what belongs to ids that are not the user's own.
        assert_eq!(pruned.code, 0, "{pruned}");
        assert!(!pruned.stderr.contains("could not be removed"), "{pruned}");
        let trees = fs::read_dir(project.path("cache/trees")).unwrap();
        let left: Vec<_> = trees
            .flat_map(|kind| fs::read_dir(kind.unwrap().path()).unwrap())
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
    project.assert_nothing_is_left("as a user");
}

/// A container image with a shell and what the binary is linked with, in the Docker Engine.
fn bare_image(project: &Project) -> String {
    let root = project.path("bare");
    for directory in ["bin", "etc", "tmp", "proc", "sys", "dev", "lib64"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    let linked = Command::new("ldd")
        .arg(env!("CARGO_BIN_EXE_plimsoll"))
        .output()
        .unwrap();
    let linked = String::from_utf8(linked.stdout).unwrap();
    for library in linked
        .split_ascii_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        let place = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(library, place).unwrap();
    }
    let archive = project.path("bare.tar");
    let packed = Command::new("tar")
        .arg("cf")
        .arg(&archive)
        .arg("-C")
        .arg(&root)
        .arg(".")
        .status();
    assert!(packed.unwrap().success());
    let name = format!("plimsoll-test-{}:1", std::process::id());
    let imported = Command::new("docker")
        .arg("import")
        .arg(archive)
        .arg(&name)
        .output()
        .unwrap();
    assert!(imported.status.success());
    name
}

#[test]
fn in_a_container_without_privileges_steps_run_in_a_chroot_or_it_says_what_is_missing() {
    if !docker_is_there() {
        return;
    }
    let steps = "RUN test \"$(id -u)\" = 0 && test -f /etc/hosts && echo built > /built\n\
        RUN --mount=type=cache,target=/c/d --mount=type=tmpfs,target=/t touch /c/d/kept /t/x && echo x > /dev/null\n\
        RUN --mount=type=cache,target=/c/d --mount=type=secret,id=word test -f /c/d/kept && test \"$(cat /run/secrets/word)\" = hunter22\n\
        RUN (setsid sleep 600 &); echo left\nUSER bob\nWORKDIR /w/x\nRUN test \"$(id -u) $(pwd)\" = \"1000 /w/x\"\n";
    let Some(project) = Project::new("container", steps) else {
        return;
    };
    fs::write(project.path("word"), "hunter22").unwrap();
    public_binary(project.dir.path());
    let image = bare_image(&project);
    let build = |user: &str| {
        let mut command = Command::new("docker");
        command.args(["run", "--rm", "--user", user, "--workdir", "/w", "--volume"]);
        command
            .arg(format!("{}:/w", project.dir.path().display()))
            .arg(&image);
        command.args([
            "/w/plimsoll",
            "build",
            "--engine",
            "embedded",
            "--cache-dir",
            "/w/cache",
        ]);
        command.args([
            "--output",
            "out",
            "--progress",
            "plain",
            "--secret",
            "id=word,src=word",
        ]);
        Ran::of(&command.output().unwrap())
    };
    let (root, user) = (build("0"), build("1000"));
    let _ = Command::new("docker")
        .args(["rmi", "--force", &image])
        .output();
    assert_eq!(root.code, 0, "{root}");
    assert!(root.stderr.contains("isolation is weaker"), "{root}");
    let paths = project.paths();
    assert!(paths.iter().any(|path| path == "built"), "{paths:?}");
    for path in &paths {
        let first = path.split('/').next().unwrap();
        assert!(
            !["c", "t", "run"].contains(&first) && path != "dev/null",
            "{path} stayed"
        );
    }
    assert_ne!(user.code, 0, "{user}");
    assert!(
        user.stderr.contains("does not let it isolate steps") && user.stderr.contains("hint:"),
        "{user}"
    );
    let left: Vec<_> = fs::read_dir(project.path("cache/tmp"))
        .unwrap()
        .flatten()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
