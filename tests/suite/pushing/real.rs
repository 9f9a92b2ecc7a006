//! Debian's `docker-registry` with TLS and passwords, read by skopeo.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use super::{image, noise};
use crate::support::{
    FORMATS, Ran, command,
    docker_registry::Registry,
    has_program,
    image::{Image, Layer, Packed},
    plimsoll_command, skipped,
};

const PASSWORD: &str = "s3cret-of-the-registry";

/// Everything that the small images of these tests do not keep.
const SKIPS: [&str; 15] = [
    "has_licenses",
    "rpm_list_successful",
    "rpm_verify_successful",
    "is_rhel",
    "vendor_label_exists",
    "free_of_critical_vulnerabilities",
    "good_layer_count",
    "release_label_exists",
    "not_running_as_root",
    "version_label_exists",
    "summary_label_exists",
    "description_label_exists",
    "maintainer_label_exists",
    "has_no_prohibited_packages",
    "has_no_setuid_surprises",
];

struct Place {
    registry: Registry,
    home: tempfile::TempDir,
}

impl Place {
    fn new(test: &str, more_tls: &str) -> Option<Self> {
        if !has_program("skopeo") {
            skipped(test, "no skopeo");
            return None;
        }
        let Some(registry) = Registry::guarded(PASSWORD, more_tls) else {
            skipped(test, "no docker-registry, openssl or htpasswd");
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("key"), format!("{PASSWORD}\n")).unwrap();
        Some(Self { registry, home })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.registry.dir.path().join(name)
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = plimsoll_command(self.home.path(), args);
        command
            .env("HOME", self.home.path())
            .env("SSL_CERT_FILE", self.file("ca.crt"));
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }

    fn login(&self) -> Ran {
        let args = [
            "login",
            &self.registry.address,
            "-u",
            "user",
            "--password-file",
            "key",
        ];
        let ran = self.run(&args);
        assert_eq!(ran.code, 0, "{ran}");
        ran
    }

    fn push(&self, source: &str, more: &[&str]) -> Ran {
        let image = format!("{}/p/x", self.registry.address);
        let skips = SKIPS.map(|rule| format!("{rule}=a small image of a test"));
        let mut args = vec!["push", source, "--image", &image];
        args.extend(skips.iter().flat_map(|skip| ["--skip", skip]));
        args.extend(more);
        self.run(&args)
    }

    /// Digest and manifest of a tag, by skopeo with the login that was stored here.
    fn skopeo(&self, tag: &str) -> (String, Vec<u8>) {
        let image = format!("docker://{}/p/x:{tag}", self.registry.address);
        let run = |args: &[&str]| {
            let certs = self.file("certs");
            fs::create_dir_all(&certs).unwrap();
            fs::copy(self.file("ca.crt"), certs.join("ca.crt")).unwrap();
            let output = command("skopeo")
                .args(["inspect", "--cert-dir"])
                .arg(certs)
                .args(args)
                .arg(&image)
                .env("HOME", self.home.path())
                .env_remove("XDG_RUNTIME_DIR")
                .env_remove("REGISTRY_AUTH_FILE")
                .output()
                .unwrap();
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{words}");
            output.stdout
        };
        let digest = run(&["--no-tags", "--format", "{{.Digest}}"]);
        (
            String::from_utf8(digest).unwrap().trim().to_owned(),
            run(&["--raw"]),
        )
    }

    /// Every file of the registry's store and its size.
    fn store(&self) -> BTreeMap<PathBuf, u64> {
        walkdir::WalkDir::new(self.file("data"))
            .into_iter()
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| (entry.path().to_owned(), entry.metadata().unwrap().len()))
            .collect()
    }
}

fn layout(dir: &Path, packed: &Packed) -> String {
    format!("oci:{}:1.0-1", packed.write(dir, "1.0-1").display())
}

#[test]
fn skopeo_reads_what_was_pushed_and_a_second_push_sends_nothing() {
    let Some(place) = Place::new("skopeo_reads_what_was_pushed", "") else {
        return;
    };
    place.login();
    let dir = tempfile::tempdir().unwrap();
    let packed = image(20 << 20).pack();
    let source = layout(dir.path(), &packed);
    let ran = place.push(&source, &["--tag", "1.0-1,latest", "--format", "json"]);
    assert_eq!(ran.code, 0, "{ran}");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let digest = packed.digest().to_string();
    assert_eq!(
        report["pushed"],
        serde_json::json!({
            "reference": format!("{}/p/x", place.registry.address),
            "digest": digest,
            "tags": ["1.0-1", "latest"],
        })
    );
    assert_eq!(report["image"]["digest"], digest.as_str());
    for tag in ["1.0-1", "latest"] {
        let (found, raw) = place.skopeo(tag);
        assert_eq!(found, digest);
        assert_eq!(raw, packed.document());
    }
    let changes = |requests: &[String]| {
        let changing = requests.iter().filter(|line| {
            ["POST", "PUT", "PATCH"]
                .iter()
                .any(|method| line.starts_with(method))
        });
        changing.count()
    };
    let before = place.registry.requests();
    assert!(changes(&before) >= 8, "{before:#?}");
    let again = place.push(&source, &["--tag", "1.0-1,latest"]);
    assert_eq!(again.code, 0, "{again}");
    let after = place.registry.requests();
    assert!(after.len() > before.len());
    assert_eq!(changes(&after[before.len()..]), 0, "{after:#?}");
    assert!(again.stderr.contains("sent 0 blobs"), "{again}");

    // Another image does not take the tag.
    let other = tempfile::tempdir().unwrap();
    let source = layout(other.path(), &image(10).pack());
    let ran = place.push(&source, &["--tag", "1.0-1"]);
    assert_eq!(ran.code, 5, "{ran}");
    assert!(ran.stderr.contains("names another image"), "{ran}");
    assert_eq!(place.skopeo("1.0-1").0, digest);
}

#[test]
fn an_index_arrives_with_every_platform() {
    let Some(place) = Place::new("an_index_arrives_with_every_platform", "") else {
        return;
    };
    place.login();
    let arm = image(3000).platform("linux", "arm64").pack();
    let index = Packed::index(&[image(2000).pack(), arm], &[]);
    let dir = tempfile::tempdir().unwrap();
    let ran = place.push(&layout(dir.path(), &index), &["--tag", "1.0-1"]);
    assert_eq!(ran.code, 0, "{ran}");
    let (_, raw) = place.skopeo("1.0-1");
    assert_eq!(raw, index.document());
    let copy = place.home.path().join("copy");
    let output = command("skopeo")
        .args(["--insecure-policy", "copy", "--all", "-q", "--src-cert-dir"])
        .arg(place.file("certs"))
        .arg(format!("docker://{}/p/x:1.0-1", place.registry.address))
        .arg(format!("dir:{}", copy.display()))
        .env("HOME", place.home.path())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
}

#[test]
fn a_rejected_image_leaves_the_registry_untouched() {
    let Some(place) = Place::new("a_rejected_image_leaves_the_registry_untouched", "") else {
        return;
    };
    place.login();
    let good = tempfile::tempdir().unwrap();
    let ran = place.push(&layout(good.path(), &image(10).pack()), &["--tag", "1.0-1"]);
    assert_eq!(ran.code, 0, "{ran}");
    let (store, requests) = (place.store(), place.registry.requests().len());
    // No label `name`, which nothing excuses.
    let bad = tempfile::tempdir().unwrap();
    let nameless = Image::new()
        .layer(Layer::from("dir /etc").file("noise", 0o644, &noise(99, 3)))
        .pack();
    let arm = image(30).platform("linux", "arm64").pack();
    let half = tempfile::tempdir().unwrap();
    let index = Packed::index(&[arm, nameless.clone()], &[]);
    for source in [layout(bad.path(), &nameless), layout(half.path(), &index)] {
        for zero in [&[][..], &["--exit-zero"], &["--force"]] {
            let ran = place.push(&source, &[&["--tag", "1.0-2"], zero].concat());
            let code = i32::from(!zero.contains(&"--exit-zero"));
            assert_eq!(ran.code, code, "{ran}");
            assert!(
                ran.stderr
                    .contains("nothing is pushed: failed name_label_exists"),
                "{ran}"
            );
        }
        // A scan of some rules is no scan.
        let ran = place.push(&source, &["--tag", "1.0-2", "--only", "good_tags"]);
        assert_eq!(ran.code, 2, "{ran}");
    }
    assert_eq!(place.store(), store);
    assert_eq!(place.registry.requests().len(), requests);
}

#[test]
fn docker_archives_and_images_of_the_registry_are_pushed_as_they_were_scanned() {
    let Some(place) = Place::new("docker_archives_are_pushed", "") else {
        return;
    };
    place.login();
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(&dir.path().join("l"), &image(1 << 20).pack());
    let archive = dir.path().join("saved.tar");
    let to = format!(
        "docker-archive:{}:example.com/team/app:1.0-1",
        archive.display()
    );
    let copied = command("skopeo")
        .args(["--insecure-policy", "copy", "-q", &layout, &to])
        .status()
        .unwrap();
    assert!(copied.success());
    let source = format!("docker-archive:{}", archive.display());
    let ran = place.push(&source, &["--tag", "1.0-1", "--format", "json"]);
    assert_eq!(ran.code, 0, "{ran}");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let (digest, raw) = place.skopeo("1.0-1");
    assert_eq!(report["image"]["digest"], digest.as_str());
    assert!(
        String::from_utf8_lossy(&raw).contains("tar+gzip"),
        "compressed"
    );

    // From one repository to another of the registry: nothing is sent.
    let before = place.registry.requests().len();
    let from = format!("docker://{}/p/x:1.0-1", place.registry.address);
    let image = format!("{}/released/app", place.registry.address);
    let ran = place.push(&from, &["--image", &image, "--tag", "1.0-1"]);
    assert_eq!(ran.code, 2, "two --image: {ran}");
    let skips = SKIPS.map(|rule| format!("{rule}=a small image of a test"));
    let mut args = vec!["push", &from, "--image", &image, "--tag", "1.0-1,stable"];
    args.extend(skips.iter().flat_map(|skip| ["--skip", skip]));
    let ran = place.run(&args);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.stderr.contains("sent 0 blobs"), "{ran}");
    let requests = place.registry.requests();
    let sent = requests[before..]
        .iter()
        .filter(|line| line.contains("PATCH"));
    assert_eq!(sent.count(), 0, "{requests:#?}");
}

#[test]
fn passwords_are_nowhere_to_be_seen() {
    let Some(place) = Place::new("passwords_are_nowhere_to_be_seen", "") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let source = layout(dir.path(), &image(30 << 20).pack());
    let encoded = "dXNlcjpzM2NyZXQtb2YtdGhlLXJlZ2lzdHJ5";
    let image = format!("{}/p/x", place.registry.address);
    let skips = SKIPS.map(|rule| format!("{rule}=a small image of a test"));
    let reports = FORMATS.map(|format| format!("{format}=reports/{format}"));
    for (name, value) in [
        ("PLIMSOLL_PASSWORD", PASSWORD),
        ("INPUT_PASSWORD", PASSWORD),
    ] {
        let mut args = vec!["push", &source, "--image", &image, "--tag", "1.0-1", "-vv"];
        args.extend(skips.iter().flat_map(|skip| ["--skip", skip]));
        args.extend(reports.iter().flat_map(|report| ["--format", report]));
        let mut command = place.command(&args);
        command.env(name, value).env("PLIMSOLL_USERNAME", "user");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let id = child.id();
        let watch = std::thread::spawn(move || {
            let mut seen = 0;
            // Empty until the program runs, and when it has ended.
            for _ in 0..2000 {
                let Ok(line) = fs::read_to_string(format!("/proc/{id}/cmdline")) else {
                    break;
                };
                if line.is_empty() && seen > 0 {
                    break;
                }
                assert!(!line.contains(PASSWORD));
                seen += usize::from(line.contains("--image"));
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            seen
        });
        let ran = Ran::of(&child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran}");
        assert!(watch.join().unwrap() > 0);
        let mut texts = vec![ran.stdout, ran.stderr];
        for entry in walkdir::WalkDir::new(place.home.path()) {
            let entry = entry.unwrap();
            if entry.file_type().is_file() && entry.file_name() != "key" {
                texts.push(String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned());
            }
        }
        assert!(texts.len() > 8);
        for text in texts {
            assert!(
                !text.contains(PASSWORD) && !text.contains(encoded),
                "{text}"
            );
        }
        // The next round pushes anew.
        let _ = fs::remove_dir_all(place.file("data"));
    }
}

#[test]
fn certificates_of_a_registry_lie_where_docker_and_podman_look() {
    let mutual = ", clientcas: [DIR/ca.crt]";
    let Some(place) = Place::new("certificates_of_a_registry", mutual) else {
        return;
    };
    let args = [
        "login",
        &place.registry.address,
        "-u",
        "user",
        "--password-file",
        "key",
    ];
    let login = |place: &Place| {
        let mut command = place.command(&args);
        Ran::of(&command.env_remove("SSL_CERT_FILE").output().unwrap())
    };
    let ran = login(&place);
    assert_eq!(ran.code, 4, "{ran}");
    assert!(ran.stderr.contains("certs.d"), "{ran}");
    let certs = place.home.path().join(".config/containers/certs.d");
    let certs = certs.join(&place.registry.address);
    fs::create_dir_all(&certs).unwrap();
    fs::copy(place.file("ca.crt"), certs.join("ca.crt")).unwrap();
    let ran = login(&place);
    assert_eq!(ran.code, 4, "the registry wants a certificate: {ran}");
    fs::copy(place.file("client.crt"), certs.join("client.cert")).unwrap();
    let ran = login(&place);
    assert!(
        ran.stderr.contains("client.cert has no client.key"),
        "{ran}"
    );
    fs::copy(place.file("client.key"), certs.join("client.key")).unwrap();
    let ran = login(&place);
    assert_eq!(ran.code, 0, "{ran}");
    let dir = tempfile::tempdir().unwrap();
    let source = layout(dir.path(), &image(10).pack());
    let ran = place.push(&source, &["--tag", "1.0-1"]);
    assert_eq!(ran.code, 0, "{ran}");
}

#[test]
fn a_proxy_is_used_for_registries_that_are_not_here() {
    let Some(place) = Place::new("a_proxy_is_used", "") else {
        return;
    };
    let port = place.registry.address.rsplit(':').next().unwrap();
    let (proxy, asked) = proxy(place.registry.address.clone());
    let registry = format!("registry.test:{port}");
    let args = ["login", &registry, "-u", "user", "--password-file", "key"];
    let run = |no_proxy: &str| {
        let mut command = place.command(&args);
        command
            .env("HTTPS_PROXY", format!("http://{proxy}"))
            .env("NO_PROXY", no_proxy);
        Ran::of(&command.output().unwrap())
    };
    let ran = run("");
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(
        asked.lock().unwrap()[0],
        format!("CONNECT {registry} HTTP/1.1")
    );
    let count = asked.lock().unwrap().len();
    let ran = run("registry.test");
    assert_eq!(ran.code, 4, "{ran}");
    assert_eq!(asked.lock().unwrap().len(), count);
}

type Asked = std::sync::Arc<std::sync::Mutex<Vec<String>>>;

/// A proxy that takes every host to be `to`.
fn proxy(to: String) -> (String, Asked) {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Asked::default();
    let log = std::sync::Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut reader = BufReader::new(client.try_clone().unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) < 3 {
                    break;
                }
                lines.push(line.trim().to_owned());
            }
            log.lock().unwrap().extend(lines.first().cloned());
            let server = std::net::TcpStream::connect(&to).unwrap();
            client.write_all(b"HTTP/1.1 200 ok\r\n\r\n").unwrap();
            let (mut a, mut b) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut a, &mut b));
            let (mut a, mut b) = (server, client);
            std::thread::spawn(move || std::io::copy(&mut a, &mut b));
        }
    });
    (address, asked)
}

#[test]
fn without_checks_a_registry_of_no_known_authority_serves_and_with_them_it_does_not() {
    let Some(mut place) = Place::new("tls_verify", "") else {
        return;
    };
    // Nobody knows the authority that signed the registry's certificate.
    fs::rename(place.file("ca.crt"), place.file("unknown.crt")).unwrap();
    fs::write(
        place.file("ca.crt"),
        fs::read("/etc/ssl/certs/ca-certificates.crt").unwrap(),
    )
    .unwrap();
    let address = place.registry.address.clone();
    let login = ["login", &address, "-u", "user", "--password-file", "key"];
    let ran = place.run(&login);
    assert_eq!(ran.code, 4, "{ran}");
    assert!(
        ran.stderr.contains("its certificate is not trusted"),
        "{ran}"
    );
    let ran = place.run(&[&login[..], &["--tls-verify", "perhaps"]].concat());
    assert_eq!(ran.code, 2, "{ran}");
    let ran = place.run(&[&login[..], &["--tls-verify=false"]].concat());
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.stderr.contains("is not checked"), "{ran}");

    let dir = tempfile::tempdir().unwrap();
    let source = layout(dir.path(), &image(1 << 20).pack());
    let ran = place.push(&source, &["--tag", "1.0-1"]);
    assert_eq!(ran.code, 5, "{ran}");
    assert!(
        ran.stderr.contains("its certificate is not trusted"),
        "{ran}"
    );
    let ran = place.push(&source, &["--tag", "1.0-1", "--tls-verify", "false"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.stderr.contains("is not checked"), "{ran}");
    let named = format!("docker://{address}/p/x:1.0-1");
    for (verify, code) in [("true", 4), ("false", 1)] {
        let mut command = place.command(&["scan", &named]);
        let ran = Ran::of(&command.env("PLIMSOLL_TLS_VERIFY", verify).output().unwrap());
        assert_eq!(ran.code, code, "{verify}: {ran}");
    }
    let ran = place.run(&["logout", &address, "--tls-verify=false"]);
    assert_eq!(ran.code, 0, "{ran}");
    fs::rename(place.file("unknown.crt"), place.file("ca.crt")).unwrap();
    place.home = tempfile::tempdir().unwrap();
}
