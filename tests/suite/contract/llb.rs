//! `--dump-llb`: a real BuildKit solves what is dumped, and gives the files of the embedded engine.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use plimsoll::{
    engine::{BuildPlan, Cancel, Engine as _, embedded::Embedded},
    registry::RegistryOptions,
    secret::Secret,
};

use super::{Quiet, bases, tree};
use crate::support::skipped;

const GRAPHS: &[(&str, &str)] = &[
    (
        "copies",
        "FROM scratch\nWORKDIR /w/x\nCOPY d /d/\nCOPY --exclude=*.o d e* /n/\nCOPY --link d/a /l/\n\
         COPY d/a rel\nCOPY <<EOF <<FOO /docs/\none\nEOF\ntwo\nFOO\n",
    ),
    (
        "root by name",
        "FROM scratch\nUSER root\nWORKDIR /a\nUSER 0\nWORKDIR b\nUSER 0:root\nCOPY d .\n",
    ),
    (
        "steps",
        "FROM scratch AS build\nCOPY busybox /bin/busybox\nENV PATH=/bin A=b\nUSER 0:0\n\
         WORKDIR /src\n\
         RUN [\"busybox\", \"sh\", \"-c\", \"echo $A > out && busybox ln -s out l && busybox chmod 700 out\"]\n\
         RUN --network=none --mount=type=cache,target=/c,id=llb [\"busybox\", \"touch\", \"/c/x\", \"made\"]\n\
         FROM scratch\nCOPY --from=build /src /\n",
    ),
    (
        "secrets and mounts",
        "FROM scratch AS data\nCOPY d /\nFROM scratch\nCOPY busybox /bin/busybox\n\
         RUN --mount=type=secret,id=s [\"/bin/busybox\", \"wc\", \"-c\", \"/run/secrets/s\"]\n\
         RUN --mount=from=data,target=/data,rw [\"/bin/busybox\", \"cp\", \"/data/a\", \"/copied\"]\n",
    ),
    (
        "stages",
        "FROM scratch AS one\nCOPY d/a /\nFROM one AS two\nCOPY d/b.o /\nFROM scratch\n\
         COPY --from=one / /1/\nCOPY --from=two /b* /a /2/\nCOPY --link --from=two / /3/\n",
    ),
];

/// `buildctl`, if there is one.
pub(super) fn buildctl() -> Option<String> {
    let named = std::env::var("PLIMSOLL_CONTRACT_BUILDCTL").ok();
    let program = named.unwrap_or_else(|| "buildctl".to_owned());
    let found = Command::new(&program).arg("--version").output().is_ok();
    found.then_some(program)
}

fn context(dir: &Path, busybox: &[u8], dockerfile: &str) -> BuildPlan {
    use std::os::unix::fs::PermissionsExt as _;
    let root = dir.join("context");
    fs::create_dir_all(root.join("d/sub")).unwrap();
    for (path, text) in [
        ("d/a", "a\n"),
        ("d/b.o", "b\n"),
        ("d/sub/c", "c\n"),
        ("e1", "e\n"),
    ] {
        fs::write(root.join(path), text).unwrap();
    }
    fs::write(root.join("busybox"), busybox).unwrap();
    fs::set_permissions(root.join("busybox"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(root.join("Dockerfile"), dockerfile).unwrap();
    let mut plan = BuildPlan {
        dockerfile: root.join("Dockerfile"),
        context: root.clone(),
        root,
        output: dir.join("out"),
        cache_dir: dir.join("cache"),
        dump_llb: Some(dir.join("llb")),
        ..BuildPlan::default()
    };
    let secret = Secret::new(b"hidden".to_vec());
    plan.secrets.insert("s".to_owned(), secret);
    plan
}

#[test]
fn buildkit_solves_what_is_dumped_to_the_same_files() {
    let test = "buildkit_solves_what_is_dumped_to_the_same_files";
    let Ok(host) = std::env::var("PLIMSOLL_CONTRACT_BUILDKIT_HOST") else {
        eprintln!("SKIPPED {test}: PLIMSOLL_CONTRACT_BUILDKIT_HOST names no BuildKit");
        return;
    };
    let (Some(buildctl), Some(busybox)) = (buildctl(), bases::busybox()) else {
        return skipped(test, "buildctl or busybox-static is not installed");
    };
    let binary = Path::new(env!("CARGO_BIN_EXE_plimsoll"));
    let engine = Embedded::new(RegistryOptions::default()).with_binary(binary.to_owned());
    for (name, dockerfile) in GRAPHS {
        let dir = tempfile::tempdir().unwrap();
        let plan = context(dir.path(), &busybox, dockerfile);
        let built = engine
            .build(&plan, &mut Quiet, &Cancel::new())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let here = tree::files_of(&built.layout);
        let (secret, solved) = (dir.path().join("secret"), dir.path().join("solved"));
        fs::write(&secret, "hidden").unwrap();
        let output = Command::new(&buildctl)
            .args(["--addr", &host, "build", "--no-cache", "--local"])
            .arg(format!("context={}", plan.context.display()))
            .arg("--secret")
            .arg(format!("id=s,src={}", secret.display()))
            .arg("--output")
            .arg(format!("type=oci,tar=false,dest={}", solved.display()))
            .stdin(Stdio::from(fs::File::open(dir.path().join("llb")).unwrap()))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let there = tree::files_of(&solved);
        assert!(!here.is_empty());
        assert_eq!(here, there, "{name}");
    }
}
