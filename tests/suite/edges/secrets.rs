//! What is given as a secret is nowhere: not in streams, reports or layers.

use std::fs;

use super::builds::project;

const FROM_ENV: &str = "s3cret-of-the-environment";
const FROM_FILE: &str = "s3cret-of-a-file";

#[test]
fn secrets_reach_the_build_and_nothing_else() {
    let dockerfile = "FROM BASE\nUSER root\nRUN --mount=type=secret,id=a --mount=type=secret,id=b \\\n  test \"$(cat /run/secrets/a)\" = s3cret-of-the-\"env\"ironment \\\n  && cat /run/secrets/a /run/secrets/b && echo \"x$(cat /run/secrets/b)y\" >&2 FAIL\n";
    for (fail, code) in [("", 1), ("&& cat /run/secrets/a && exit 3", 3)] {
        let Some(project) = project("secrets", &dockerfile.replace("FAIL", fail)) else {
            return;
        };
        project.write("keys/b", FROM_FILE.as_bytes());
        project.write(".dockerignore", b"keys\n");
        let mut args = vec![
            "run",
            "-vv",
            "--no-cache",
            "--output",
            "out",
            "--secret",
            "id=a,env=A_TOKEN",
            "--secret",
            "id=b,src=keys/b",
        ];
        let formats = [
            "json",
            "sarif",
            "junit",
            "markdown",
            "github",
            "gitlab",
            "preflight",
            "table",
        ];
        let reports = formats.map(|format| format!("{format}=reports/{format}"));
        for report in &reports {
            args.extend(["--format", report]);
        }
        for ci in ["", "GITLAB_CI"] {
            let _ = fs::remove_dir_all(project.path().join("out"));
            let ran = project.run_with(
                &args,
                &[
                    ("A_TOKEN", FROM_ENV),
                    (if ci.is_empty() { "X" } else { ci }, "true"),
                ],
            );
            assert_eq!(ran.code, code, "{ran}");
            for secret in [FROM_ENV, FROM_FILE] {
                assert!(
                    !ran.stdout.contains(secret) && !ran.stderr.contains(secret),
                    "{ran}"
                );
            }
            assert!(ran.stderr.contains("x***y"), "the step has seen it: {ran}");
            let mut blobs = 0;
            for (name, mut bytes) in project.files() {
                if name == "keys/b" || name == "Dockerfile" {
                    continue;
                }
                if bytes.starts_with(&[0x1f, 0x8b]) {
                    let mut unpacked = Vec::new();
                    std::io::copy(
                        &mut flate2::read::MultiGzDecoder::new(&*bytes),
                        &mut unpacked,
                    )
                    .unwrap();
                    bytes = unpacked;
                    blobs += 1;
                }
                for secret in [FROM_ENV, FROM_FILE] {
                    let found = bytes
                        .windows(secret.len())
                        .any(|window| window == secret.as_bytes());
                    assert!(!found, "{name} holds {secret}");
                }
            }
            assert_eq!(blobs > 0, code == 1, "layers were looked at");
            assert_eq!(
                fs::read_dir(project.path().join("reports"))
                    .unwrap()
                    .count(),
                formats.len()
            );
        }
    }
}
