//! Where reports go, what the streams carry, and the exit code that no format changes.

use std::{
    fs,
    io::Read as _,
    os::unix::fs::{FileTypeExt as _, symlink},
    process::Stdio,
};

use super::{Project, assert_error};
use crate::support::{FORMATS, Ran, command, image::Image};

const GOOD: &str = "dir /licenses\nfile /licenses/EULA 0644 \"terms\"";

/// A project with an image that has licences and one that has none.
fn project() -> Project {
    let project = Project::new(&[("Dockerfile", "FROM scratch\n")]);
    Image::new()
        .layer(GOOD)
        .write(&project.path().join("good"), "1");
    Image::new()
        .layer("dir /etc")
        .write(&project.path().join("bad"), "1");
    project
}

#[test]
fn the_exit_code_is_the_same_for_every_format() {
    let project = project();
    project.write("Broken", b"FROM scratch\nRUM x\n");
    let only = ["--only", "has_licenses"];
    for format in FORMATS {
        let advisories = [
            "--only",
            "free_of_critical_vulnerabilities,has_licenses",
            "--require",
            "free_of_critical_vulnerabilities",
        ];
        let cases: [(&[&str], &[&str], i32); 7] = [
            (&["scan", "oci:good"], &only, 0),
            (&["scan", "oci:bad"], &only, 1),
            (
                &["scan", "oci:bad"],
                &["--only", "has_licenses", "--exit-zero"],
                0,
            ),
            (
                &["scan", "oci:good"],
                &["--only", "has_licenses", "--tag", "a b"],
                2,
            ),
            (&["check"], &["--file", "Broken"], 3),
            (&["scan", "oci:good"], &advisories, 4),
            (&["scan", "oci:bad"], &advisories, 1),
        ];
        for (command, more, code) in cases {
            let args = [command, more, &["--format", format]].concat();
            let ran = project.run(&args);
            assert_eq!(ran.code, code, "{args:?}: {ran}");
            let path = format!("{format}=out.txt");
            let ran = project.run(&[command, more, &["--format", &path]].concat());
            assert_eq!(ran.code, code, "{args:?}: {ran}");
            assert_eq!(ran.stdout, "", "{args:?}");
        }
    }
    for (args, code) in [
        (&["scan", "oci:nowhere", "--exit-zero"][..], 0),
        (&["check", "--file", "Broken", "--exit-zero"], 3),
        (&["check", "--file", "nope", "--exit-zero"], 2),
    ] {
        let ran = project.run(args);
        assert_eq!(ran.code, code, "{args:?}: {ran}");
    }
}

#[test]
fn without_a_word_about_reports_the_table_is_shown() {
    let project = project();
    for args in [
        &["check"][..],
        &["scan", "oci:good"],
        &["check", "--report", "json=r.json"],
    ] {
        let ran = project.run(args);
        assert!(ran.stdout.contains("has_licenses"), "{ran}");
    }
    let ran = project.run(&["check", "--report", "json"]);
    assert!(ran.stdout.starts_with('{'), "{ran}");
    let ran = project.run(&["check", "--report", "json", "--format", "table"]);
    assert_error(&ran, 2, &["both go to standard output"]);
}

#[test]
fn a_report_that_cannot_be_written_is_an_error_and_keeps_no_other_from_being() {
    let project = project();
    fs::create_dir(project.path().join("taken")).unwrap();
    for place in ["taken", "/proc/plimsoll/x.json", "Dockerfile/x.json"] {
        let first = format!("json={place}");
        let ran = project.run(&["check", "-f", &first, "-f", "sarif=r.sarif", "-f", "table"]);
        assert_error(
            &ran,
            2,
            &["cannot write the report json to", "caused by: ", "hint: "],
        );
        assert!(ran.stdout.contains("has_licenses"), "{ran}");
        assert!(project.read("r.sarif").contains("2.1.0"));
        fs::remove_file(project.path().join("r.sarif")).unwrap();
    }
    assert_eq!(project.read("Dockerfile"), "FROM scratch\n");
}

#[test]
fn what_is_no_plain_file_is_written_to_and_never_replaced() {
    let project = project();
    project.write("real/r.json", b"old");
    symlink("real/r.json", project.path().join("link.json")).unwrap();
    project.run(&["check", "-f", "json=link.json"]);
    assert!(project.path().join("link.json").is_symlink());
    assert!(project.read("real/r.json").starts_with('{'));

    let pipe = project.path().join("pipe");
    assert!(command("mkfifo").arg(&pipe).status().unwrap().success());
    let child = project.start(&["check", "-f", "json=pipe"]);
    let mut text = String::new();
    fs::File::open(&pipe)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    let ran = project.end(child);
    assert!(text.starts_with('{'), "{ran}");
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());

    let full = project.path().join("full");
    symlink("/dev/full", &full).unwrap();
    let ran = project.run(&["check", "-f", "json=full"]);
    assert_error(&ran, 2, &["report json to", "No space left"]);
}

#[test]
fn two_reports_to_one_file_are_refused() {
    let project = project();
    for second in ["sarif=a.json", "sarif=./a.json", "sarif=good/../a.json"] {
        let ran = project.run(&["check", "-f", "json=a.json", "-f", second]);
        assert_error(
            &ran,
            2,
            &["the reports json and sarif both go to", "hint: "],
        );
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is() {
    let project = project();
    for args in [
        &["check", "-f", "sarif"][..],
        &["explain"],
        &["schema", "report"],
        &["man"],
    ] {
        let mut child = project.start(args);
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let ran = Ran::of(&output);
        let want = i32::from(args[0] == "check");
        assert_eq!(
            (ran.code, ran.stderr.contains("error")),
            (want, false),
            "{args:?} {ran}"
        );
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let child = project
            .command(args)
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let ran = project.end(child);
        assert_error(&ran, 2, &["to standard output", "No space left"]);
    }
    // closed rather than gone
    let binary = project.command(&[]).get_program().to_owned();
    for closed in [
        "check >&-",
        "check 2>&-",
        "check -f json=r.json >&- 2>&-",
        "scan oci:bad <&- >&- 2>&-",
    ] {
        let script = format!("exec \"$0\" {closed}");
        let mut shell = command("sh");
        shell
            .current_dir(project.path())
            .arg("-c")
            .arg(script)
            .arg(&binary);
        let ran = Ran::of(&shell.output().unwrap());
        assert_eq!(ran.code, 1, "{closed}: {ran}");
    }
}

#[test]
fn quiet_progress_and_colour_are_as_asked() {
    let project = project();
    project.write("plimsoll.yaml", b"scan: {only: [has_licenses]}\n");
    let odd = [("PLIMSOLL_FROBNICATE", "1")];
    let scan = |more: &[&str]| project.run_with(&[&["scan", "oci:bad"], more].concat(), &odd);
    let usual = scan(&[]);
    assert!(
        usual.stderr.contains("warning: `PLIMSOLL_FROBNICATE`"),
        "{usual}"
    );
    assert!(usual.stderr.contains("scanned sha256:"), "{usual}");
    let quiet = scan(&["-q"]);
    assert_eq!(quiet.stderr.lines().count(), 1, "{quiet}");
    assert_eq!(scan(&["-qq"]).stderr, "");
    assert_eq!(scan(&["--progress", "none"]).stderr, quiet.stderr);
    for ran in [&usual, &quiet, &scan(&["-qq"])] {
        assert_eq!((ran.code, &ran.stdout), (1, &usual.stdout));
    }
    assert!(!usual.stdout.contains('\u{1b}'), "{usual}");
    let colored = scan(&["--color", "always"]);
    assert!(colored.stdout.contains("\u{1b}[31m✗"), "{colored}");
    assert!(!scan(&["--color", "never"]).stdout.contains('\u{1b}'));
    let error = project.run(&["scan", "oci:nowhere", "--color", "always"]);
    assert!(error.stderr.contains("\u{1b}[1;31merror:"), "{error}");
}
