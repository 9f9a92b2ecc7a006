//! A context whose names are no text: BuildKit can be given it as an archive only.

use std::{
    ffi::OsStr,
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::Path,
    process::Command,
};

use plimsoll::{
    engine::{BuildPlan, Cancel, Engine as _, embedded::Embedded},
    registry::RegistryOptions,
};

use super::{Quiet, llb::buildctl, tree};
use crate::support::skipped;

fn context(root: &Path) {
    let name = |bytes: &'static [u8]| root.join("d").join(OsStr::from_bytes(bytes));
    fs::create_dir_all(name(b"sub\xfe")).unwrap();
    fs::write(name(b"\xff\xfe"), "bytes\n").unwrap();
    fs::write(name(b"\xc3"), "half\n").unwrap();
    fs::write(name(b"sub\xfe/\x80"), "deep\n").unwrap();
    symlink(OsStr::from_bytes(b"\xff\xfe"), name(b"l")).unwrap();
    let text = "FROM scratch\nCOPY d /d\nCOPY d/* /e/\nCOPY --parents d/*/* /p/\n";
    fs::write(root.join("Dockerfile"), text).unwrap();
}

/// Serves one file to whoever asks.
fn served(content: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/context.tar", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let Ok(count) = stream.read(&mut request) else {
                continue;
            };
            let length = content.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            if !request[..count].starts_with(b"HEAD") {
                let _ = stream.write_all(&content);
            }
        }
    });
    address
}

#[test]
fn names_that_are_no_text_are_copied_as_buildkit_copies_them_from_an_archive() {
    let test = "names_that_are_no_text_are_copied_as_buildkit_copies_them_from_an_archive";
    let Ok(host) = std::env::var("PLIMSOLL_CONTRACT_BUILDKIT_HOST") else {
        eprintln!("SKIPPED {test}: PLIMSOLL_CONTRACT_BUILDKIT_HOST names no BuildKit");
        return;
    };
    let Some(buildctl) = buildctl() else {
        return skipped(test, "buildctl is not installed");
    };
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("context");
    context(&root);
    let plan = BuildPlan {
        dockerfile: root.join("Dockerfile"),
        context: root.clone(),
        root: root.clone(),
        output: dir.path().join("out"),
        cache_dir: dir.path().join("cache"),
        ..BuildPlan::default()
    };
    let binary = Path::new(env!("CARGO_BIN_EXE_plimsoll"));
    let engine = Embedded::new(RegistryOptions::default()).with_binary(binary.to_owned());
    let built = engine.build(&plan, &mut Quiet, &Cancel::new()).unwrap();
    let tar = Command::new("tar")
        .arg("-C")
        .arg(&root)
        .args(["--format=gnu", "-c", "."])
        .output()
        .unwrap();
    assert!(tar.status.success());
    let solved = dir.path().join("solved");
    let output = Command::new(buildctl)
        .args(["--addr", &host, "build", "--no-cache"])
        .args(["--frontend", "dockerfile.v0", "--opt"])
        .arg(format!("context={}", served(tar.stdout)))
        .arg("--output")
        .arg(format!("type=oci,tar=false,dest={}", solved.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let undated = |files: tree::Files| -> tree::Files {
        let line = |line: String| line.split(" @").next().unwrap().to_owned();
        files
            .into_iter()
            .map(|(path, text)| (path, line(text)))
            .collect()
    };
    let here = undated(tree::files_of(&built.layout));
    assert!(here.contains_key("/e/\\xff\\xfe"), "{here:?}");
    assert_eq!(here, undated(tree::files_of(&solved)));
}
