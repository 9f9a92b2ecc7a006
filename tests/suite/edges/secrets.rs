//! What is given as a secret is nowhere: not in streams, reports or layers.

use std::{fs, io::Read as _};

use super::{Project, builds::project};
use crate::support::{FORMATS, Ran};

const FROM_ENV: &str = "s3cret-of-the-environment";
const FROM_FILE: &str = "s3cret-of-a-file";

/// The second secret is printed amid other text, the first proves that it arrived.
const DOCKERFILE: &str = r#"FROM BASE
USER root
RUN --mount=type=secret,id=a --mount=type=secret,id=b \
  test "$(cat /run/secrets/a)" = s3cret-of-the-"env"ironment \
  && cat /run/secrets/a /run/secrets/b && echo "x$(cat /run/secrets/b)y" >&2 FAIL
"#;

fn run(project: &Project, ci: &str) -> Ran {
    let reports = FORMATS.map(|format| format!("{format}=reports/{format}"));
    let mut args = vec!["run", "-vv", "--no-cache", "--output", "out"];
    args.extend([
        "--secret",
        "id=a,env=A_TOKEN",
        "--secret",
        "id=b,src=keys/b",
    ]);
    for report in &reports {
        args.extend(["--format", report]);
    }
    project.run_with(&args, &[("A_TOKEN", FROM_ENV), (ci, "true")])
}

/// Looks through every file of the project but those that hold the secrets by right; gives how many
/// layers were among them.
fn search(project: &Project) -> usize {
    let mut layers = 0;
    for (name, mut bytes) in project.files() {
        if name == "keys/b" || name == "Dockerfile" {
            continue;
        }
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut unpacked = Vec::new();
            let mut gzip = flate2::read::MultiGzDecoder::new(&*bytes);
            gzip.read_to_end(&mut unpacked).unwrap();
            bytes = unpacked;
            layers += 1;
        }
        for secret in [FROM_ENV, FROM_FILE] {
            let mut windows = bytes.windows(secret.len());
            let found = windows.any(|window| window == secret.as_bytes());
            assert!(!found, "{name} holds {secret}");
        }
    }
    layers
}

#[test]
fn secrets_reach_the_build_and_nothing_else() {
    for (fail, code) in [("", 1), ("&& cat /run/secrets/a && exit 3", 3)] {
        let Some(project) = project("secrets", &DOCKERFILE.replace("FAIL", fail)) else {
            return;
        };
        project.write("keys/b", FROM_FILE.as_bytes());
        project.write(".dockerignore", b"keys\n");
        for ci in ["NO_CI", "GITLAB_CI"] {
            let _ = fs::remove_dir_all(project.path().join("out"));
            let ran = run(&project, ci);
            assert_eq!(ran.code, code, "{ran}");
            for secret in [FROM_ENV, FROM_FILE] {
                let said = ran.stdout.contains(secret) || ran.stderr.contains(secret);
                assert!(!said, "{ran}");
            }
            assert!(ran.stderr.contains("x***y"), "it was printed: {ran}");
            assert_eq!(search(&project) > 0, code == 1, "{ran}");
            let reports = fs::read_dir(project.path().join("reports")).unwrap();
            // Without advisories there is no statement for OpenVEX, whose documents hold at least one.
            assert_eq!(reports.count(), FORMATS.len() - 1);
        }
    }
}
