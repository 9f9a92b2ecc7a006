//! The base images of the cases, and servers for remote sources.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use indexmap::IndexMap;
use serde_json::json;
use tempfile::TempDir;

use crate::support::image::{Image, Layer};

const APPLETS: &[&str] = &[
    "sh", "ls", "cat", "mkdir", "id", "env", "touch", "rm", "rmdir", "ln", "chmod", "chown",
    "stat", "mkfifo", "sleep", "echo", "test", "grep", "sort", "head", "wc", "printf", "pwd",
    "whoami", "tar", "find", "readlink", "sed", "tr", "cut", "seq", "true", "false", "cp", "mv",
    "hostname", "awk", "df", "mount", "dd", "kill", "ulimit", "umask", "setfattr", "nproc",
    "xargs", "tail", "basename",
];

const TREE: &str = r#"
dir     /bin            0755 0:0
dir     /etc            0755 0:0
file    /etc/passwd     0644 0:0 "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv/web:/bin/sh\nlone:x:40:40::/:/bin/sh\n"
file    /etc/group      0644 0:0 "root:x:0:\nwww:x:34:\nstaff:x:50:web\naudio:x:63:web,lone\n"
dir     /root           0700 0:0
dir     /srv            0755 0:0
dir     /srv/web        0750 33:34
dir     /tmp            1777 0:0
dir     /data           0755 5:6
file    /data/old       0600 5:6 "old\n"
file    /data/other     0644 5:6 "other\n"
dir     /data/sub       0700 7:8
file    /data/sub/deep  0640 7:8 "deep\n"
symlink /link           data
symlink /abs            /data/sub
symlink /out            ../../../data
symlink /dangling       nowhere/there
symlink /data/filelink  old
file    /plain          0644 0:0 "plain\n"
dir     /sticky         1770 9:9
dir     /setgid         2775 0:50
file    /suid           4755 0:0 "suid\n"
file    /hard1          0644 3:3 "hard\n"
hardlink /hard2         hard1
fifo    /pipe           0622
file    /capable        0755 0:0 "capable\n" security.capability=0100000200200000000000000000000000000000
"#;

/// What cases start from.
pub(super) struct Bases {
    dir: TempDir,
    http: String,
    git: Option<(Child, u16)>,
}

impl Drop for Bases {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.git {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A shell without libraries, if this machine has one.
pub(super) fn busybox() -> Option<Vec<u8>> {
    ["/bin/busybox", "/usr/bin/busybox"]
        .iter()
        .find_map(|path| std::fs::read(path).ok())
}

impl Bases {
    pub(super) fn new(busybox: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut lines = TREE.to_owned();
        for applet in APPLETS {
            lines.push_str(&format!("symlink /bin/{applet} busybox\n"));
        }
        let layer = Layer::from(lines.as_str()).file("/bin/busybox", 0o755, busybox);
        let machine = match std::env::consts::ARCH {
            "aarch64" => "arm64",
            _ => "amd64",
        };
        let base = Image::new()
            .platform("linux", machine)
            .layer(layer)
            .set("history", json!([{ "created_by": "base" }]))
            .set_config("Env", json!(["PATH=/bin"]))
            .set_config("Cmd", json!(["sh"]));
        base.write(&dir.path().join("base"), "1");
        base.clone()
            .set_config(
                "Env",
                json!(["PATH=/bin", "INHERITED=from base", "SECOND=2"]),
            )
            .set_config("User", json!("web"))
            .set_config("WorkingDir", json!("/srv/web"))
            .set_config("Labels", json!({ "kept": "yes", "replaced": "base" }))
            .set_config("ExposedPorts", json!({ "80/tcp": {} }))
            .set_config("Volumes", json!({ "/data": {} }))
            .set_config("Entrypoint", json!(["/bin/sh", "-c"]))
            .set_config("Cmd", json!(["env"]))
            .set_config("StopSignal", json!("SIGUSR1"))
            .set_config(
                "Healthcheck",
                json!({ "Test": ["CMD", "true"], "Interval": 5_000_000_000_i64 }),
            )
            .set_config("Shell", json!(["/bin/sh", "-ec"]))
            .set("author", json!("somebody"))
            .write(&dir.path().join("config"), "1");
        base.set_config(
            "OnBuild",
            json!([
                "ENV TRIGGERED=yes",
                "COPY a.txt /triggered",
                "RUN echo ran > /ran"
            ]),
        )
        .write(&dir.path().join("onbuild"), "1");
        let git = git(&dir.path().join("git"));
        Self {
            dir,
            http: http(),
            git,
        }
    }

    pub(super) fn has_git(&self) -> bool {
        self.git.is_some()
    }

    pub(super) fn layout(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn mirrors(&self) -> IndexMap<String, String> {
        ["base", "config", "onbuild"]
            .into_iter()
            .map(|name| (image(name), format!("oci:{}", self.layout(name).display())))
            .collect()
    }

    pub(super) fn filled(&self, text: &str) -> String {
        let mut text = text.replace("@http@", &self.http);
        if let Some((_, port)) = &self.git {
            text = text.replace("@git@", &format!("git://127.0.0.1:{port}"));
        }
        for name in ["base", "config", "onbuild"] {
            text = text.replace(&format!("@{name}@"), &image(name));
        }
        text
    }

    /// Takes out again what depends on the run.
    pub(super) fn emptied(&self, text: &str) -> String {
        let mut text = text.replace(&self.http, "@http@");
        if let Some((_, port)) = &self.git {
            text = text.replace(&format!("git://127.0.0.1:{port}"), "@git@");
        }
        text
    }
}

fn image(name: &str) -> String {
    format!("registry.example.com/contract-{name}:1")
}

/// Serves files, archives, redirects and names in headers; anything else is not found.
fn http() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let member = Layer::from("file member.txt 0640 1:2 \"member\\n\"\n");
    let (archive, plain) = (member.bytes(), member.tar().to_vec());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let (archive, plain) = (archive.clone(), plain.clone());
            std::thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut buffer) {
                        Ok(count) if count > 0 => request.extend_from_slice(&buffer[..count]),
                        _ => return,
                    }
                }
                let request = String::from_utf8_lossy(&request);
                let mut words = request.split(' ');
                let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
                let dated = "Last-Modified: Sun, 13 Sep 2020 12:26:40 GMT\r\n";
                let (status, headers, body): (_, _, &[u8]) = match path.split('?').next().unwrap() {
                    "/file.txt" => ("200 OK", dated, b"from http\n"),
                    "/dir/archive.tar.gz" => ("200 OK", dated, &archive),
                    "/undated" => ("200 OK", "", b"undated\n"),
                    "/" => (
                        "200 OK",
                        "Content-Disposition: attachment; filename=\"named.bin\"\r\n",
                        b"root\n",
                    ),
                    "/redirect" => ("302 Found", "Location: /file.txt\r\n", b""),
                    "/redirect/away" => ("301 Moved", "Location: /undated\r\n", b""),
                    "/redirect/loop" => ("302 Found", "Location: /redirect/loop\r\n", b""),
                    "/plain.tar" => ("200 OK", dated, &plain),
                    "/a%20b.txt" | "/empty/" => ("200 OK", "", b""),
                    "/disposed/up" => (
                        "200 OK",
                        "Content-Disposition: attachment; filename=\"../up.bin\"\r\n",
                        b"up\n",
                    ),
                    "/disposed/star" => (
                        "200 OK",
                        "Content-Disposition: attachment; filename*=UTF-8''st%C3%A4r\r\n",
                        b"star\n",
                    ),
                    "/disposed/bare" => (
                        "200 OK",
                        "Content-Disposition: inline; filename=bare.txt\r\n",
                        b"bare\n",
                    ),
                    "/disposed/bad" => ("200 OK", "Content-Disposition: ;;=\r\n", b"bad\n"),
                    "/dated/badly" => ("200 OK", "Last-Modified: yesterday\r\n", b"badly\n"),
                    "/nothing" => ("204 No Content", "", b""),
                    _ => ("404 Not Found", "", b"no such file\n"),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes());
                if method != "HEAD" {
                    let _ = stream.write_all(body);
                }
            });
        }
    });
    address
}

/// `rich`: submodules, a program, an annotated tag, a branch with a slash, attributes, a commit
/// that is on no branch.
fn second(dir: &Path) {
    const SCRIPT: &str = r#"
        set -eu
        mkdir rich; cd rich
        git init -q -b trunk
        printf 'foo\n' > foo
        printf '#!/bin/sh\n' > program; chmod 755 program
        mkdir -p deep/er .hidden; printf 'deep\n' > deep/er/file; printf 'h\n' > .hidden/file
        ln -s ../foo deep/link
        printf 'text\r\n' > crlf.txt; printf '*.txt text eol=lf\nsecret export-ignore\n' > .gitattributes
        printf 'x\n' > secret; printf 'secret\n' > .gitignore
        git add -f .; git commit -qm first
        git tag -a -m annotated v2
        printf '[submodule "mod"]\n\tpath = mod\n\turl = ../repo\n' > .gitmodules
        git add .gitmodules
        git update-index --add --cacheinfo "160000,$(git -C ../repo rev-parse v1),mod"
        git commit -qm 'with a submodule'
        git branch feature/one
        git checkout -q v2 2> /dev/null
        printf 'aside\n' > aside; git add aside; git commit -qm aside
        git update-ref refs/pull/7/head HEAD
        git checkout -q trunk 2> /dev/null
        git config uploadpack.allowAnySHA1InWant true
    "#;
    let status = Command::new("sh")
        .current_dir(dir)
        .args(["-c", SCRIPT])
        .envs([
            ("GIT_AUTHOR_NAME", "a"),
            ("GIT_AUTHOR_EMAIL", "a@example.com"),
            ("GIT_COMMITTER_NAME", "a"),
            ("GIT_COMMITTER_EMAIL", "a@example.com"),
            ("GIT_AUTHOR_DATE", "1600000000 +0000"),
            ("GIT_COMMITTER_DATE", "1600000000 +0000"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ])
        .status();
    assert!(status.is_ok_and(|status| status.success()));
}

/// A repository behind `git daemon`, with fixed dates and so fixed commits.
fn git(dir: &Path) -> Option<(Child, u16)> {
    std::fs::create_dir_all(dir.join("repo")).unwrap();
    let run = |arguments: &[&str]| {
        let status = Command::new("git")
            .current_dir(dir.join("repo"))
            .args([
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@example.com",
                "-c",
                "init.defaultBranch=main",
            ])
            .args(arguments)
            .envs([
                ("GIT_AUTHOR_DATE", "1600000000 +0000"),
                ("GIT_COMMITTER_DATE", "1600000000 +0000"),
                ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    };
    if !run(&["init", "-q"]) {
        return None;
    }
    let write = |path: &str, text: &str| {
        let path = dir.join("repo").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("readme", "one\n");
    write("sub/inner", "inner\n");
    std::os::unix::fs::symlink("sub/inner", dir.join("repo/link")).unwrap();
    assert!(run(&["add", "."]) && run(&["commit", "-qm", "one"]) && run(&["tag", "v1"]));
    write("readme", "two\n");
    assert!(run(&["commit", "-qam", "two"]) && run(&["branch", "other"]));
    second(dir);
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let child = Command::new("git")
        .args([
            "daemon",
            "--reuseaddr",
            "--export-all",
            "--listen=127.0.0.1",
        ])
        .arg(format!("--port={port}"))
        .arg(format!("--base-path={}", dir.display()))
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    for _ in 0..100 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some((child, port));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}
