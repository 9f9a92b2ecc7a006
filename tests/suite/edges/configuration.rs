//! Configuration, command line and places that cannot be meant.

use std::{fs, os::unix::fs::symlink, path::Path};

use super::{Project, assert_error};
use crate::support::Ran;

const FROM: &str = "FROM registry.access.redhat.com/ubi9\n";

#[test]
fn a_dockerfile_or_context_that_is_not_there_or_outside_is_a_fault_of_usage() {
    let outside = Project::new(&[("Dockerfile", FROM), ("secret", "x")]);
    let project = Project::new(&[("in/Dockerfile", FROM), ("plain", ""), ("dir/x", "")]);
    symlink(outside.path(), project.path().join("out")).unwrap();
    symlink(
        outside.path().join("Dockerfile"),
        project.path().join("Linked"),
    )
    .unwrap();
    let far = outside.path().to_str().unwrap();
    let before = (project.files(), outside.files());
    for command in ["check", "run", "build"] {
        for (args, words) in [
            (&[][..], "no Dockerfile"),
            (&["--file", "nope"], "no Dockerfile `nope`"),
            (&["--file", "dir"], "no Dockerfile `dir`"),
            (
                &["--file", "Linked"],
                "Dockerfile `Linked` lies outside the repository",
            ),
            (&["--context", "nope"], "context `nope`: does not exist"),
            (&["--context", "plain"], "context `plain` is no directory"),
            (
                &["--context", ".."],
                "context `..` lies outside the repository",
            ),
            (
                &["--context", "/"],
                "context `/` lies outside the repository",
            ),
            (&["--context", far], "lies outside the repository"),
            (
                &["--context", "out"],
                "context `out` lies outside the repository",
            ),
            (&["--context", "in/../.."], "lies outside the repository"),
            (&["--context", "in", "--file", "../../x"], "no Dockerfile"),
        ] {
            let args = [&[command][..], args].concat();
            assert_error(&project.run(&args), 2, &[words, "hint: "]);
        }
    }
    for text in [
        "context: ..",
        "context: out",
        "context: /etc",
        "dockerfile: Linked",
    ] {
        project.write("plimsoll.yaml", format!("build:\n  {text}\n").as_bytes());
        let ran = project.run(&["check"]);
        assert_eq!(ran.code, 2, "{ran}");
        assert!(ran.stderr.contains("lies outside the repository"), "{ran}");
        assert!(ran.stderr.contains("plimsoll.yaml:2:"), "{ran}");
    }
    fs::remove_file(project.path().join("plimsoll.yaml")).unwrap();
    assert_eq!((project.files(), outside.files()), before);
}

#[test]
fn a_dockerfile_that_is_no_text_is_no_crash() {
    let cases: [(&[u8], i32); 5] = [
        (b"", 3),
        (b"\xff\xfe\x00F", 3),
        (b"FROM", 3),
        (b"RUN \\\n\\\n\\\n", 3),
        (&[0; 4096], 3),
    ];
    for (bytes, code) in cases {
        let project = Project::new(&[]);
        project.write("Dockerfile", bytes);
        let ran = project.run(&["check"]);
        assert_eq!(ran.code, code, "{bytes:?}: {ran}");
        assert!(ran.stdout.contains("Dockerfile"), "{ran}");
    }
    let project = Project::new(&[]);
    project.write("Dockerfile", &vec![b'#'; 9 << 20]);
    assert_error(&project.run(&["check"]), 2, &["Dockerfile", "8 MiB"]);
}

/// Message and `file:line:column` of each fault.
fn faults(ran: &Ran) -> Vec<(String, String)> {
    let lines: Vec<&str> = ran.stderr.lines().collect();
    let mut found = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        if let Some(message) = line.strip_prefix("error: ") {
            let place = lines.get(n + 1).and_then(|next| next.split("--> ").nth(1));
            found.push((message.to_owned(), place.unwrap_or_default().to_owned()));
        }
    }
    found
}

#[test]
fn every_fault_of_a_file_is_told_at_once_with_its_place_and_a_caret() {
    let text = "image:\n  tag: [1.0, 1.0]\n  tag: a b\nbuild:\n  pull: maybe\n  contxt: .\nscan:\n  only: [has_licence]\n  exceptions:\n  - rule: good_tags\n    reason: old\n    expires: 2020-02-02\nreport: [tabel]\n";
    let project = Project::new(&[("Dockerfile", FROM), ("plimsoll.yaml", text)]);
    let ran = project.run(&["check"]);
    assert_eq!(ran.code, 2, "{ran}");
    assert_eq!(ran.stdout, "");
    let found = faults(&ran);
    for (words, place) in [
        ("tag", "plimsoll.yaml:3:3"),
        ("pull", "plimsoll.yaml:5:9"),
        ("unknown key `contxt`", "plimsoll.yaml:6:3"),
        ("`has_licence` is no rule", "plimsoll.yaml:8:10"),
        ("expired on 2020-02-02", "plimsoll.yaml:12:14"),
        ("`tabel` is no report format", "plimsoll.yaml:13:10"),
    ] {
        let there = found
            .iter()
            .any(|(message, at)| message.contains(words) && at == place);
        assert!(there, "{words} at {place}: {found:#?}\n{ran}");
    }
    assert!(ran.stderr.contains("^^^"), "{ran}");
    assert!(ran.stderr.contains("did you mean `has_licenses`?"), "{ran}");
}

#[test]
fn files_that_are_no_configuration_are_refused() {
    let large = format!("# {}\n", "x".repeat(2 << 20));
    let deep = format!("image: {}1{}", "[".repeat(50_000), "]".repeat(50_000));
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nimage: *c\n";
    for (text, words) in [
        (large.as_str(), "larger than"),
        ("image: {tag: 1}\n---\nimage: {tag: 2}\n", "document"),
        ("image: {tag: 1}\nimage: {tag: 2}\n", "image"),
        (deep.as_str(), ""),
        (bomb, ""),
        ("\u{0}", ""),
        ("- a\n- b\n", "mapping"),
        ("image:\n\ttag: 1\n", "tab"),
        ("image: {tag: \"\u{1b}[31m\"}", ""),
    ] {
        let project = Project::new(&[("Dockerfile", FROM), ("plimsoll.yaml", text)]);
        let ran = project.run(&["check"]);
        assert_eq!(ran.code, 2, "{words}: {ran}");
        assert!(ran.stderr.contains(words), "{words}: {ran}");
        assert!(ran.stderr.starts_with("error: "), "{ran}");
        assert!(!ran.stderr.contains('\u{1b}'), "{ran}");
        assert!(ran.stderr.len() < 20_000, "{}", ran.stderr.len());
    }
    let project = Project::new(&[("Dockerfile", FROM)]);
    project.write("plimsoll.yaml", b"image: {tag: \"\xff\"}\n");
    let ran = project.run(&["check"]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.stderr.contains("UTF-8"), "{ran}");
    let nowhere = project.run(&["check", "--config", "nope.yaml"]);
    assert_error(
        &nowhere,
        2,
        &["cannot read nope.yaml", "caused by: ", "hint: "],
    );
    let device = project.run(&["check", "--config", "/dev/zero"]);
    assert_error(&device, 2, &["/dev/zero", "not a regular file"]);
}

#[test]
fn unknown_words_are_told_with_what_is_known() {
    let project = Project::new(&[("Dockerfile", FROM)]);
    for (args, words) in [
        (
            &["check", "--only", "has_licences"][..],
            "did you mean `has_licenses`?",
        ),
        (&["check", "--require", "zzz"], "`zzz` is no rule"),
        (&["check", "--skip", "has_licenses"], "no reason is given"),
        (&["check", "--skip", "has_licenses= "], "no reason is given"),
        (&["check", "--skip", "nope=why"], "`nope` is no rule"),
        (&["check", "--profile", "rot"], "did you mean `root`?"),
        (&["check", "--format", "srif"], "did you mean `sarif`?"),
        (&["check", "--tag", "a b"], "a b"),
        (&["check", "--tag", &"9".repeat(33)], "32"),
        (&["check", "--image", "NOT/Valid"], "NOT/Valid"),
        (&["run", "nope"], "nope"),
        (&["run", "scan"], "the stage scan needs the stage build"),
        (&["build"], "--output"),
        (&["run", "--secret", "id=x,env=NOT_THERE"], "NOT_THERE"),
        (&["run", "--secret", "id=x,src=not-there"], "not-there"),
        (&["run", "--mirror", "nonsense"], "nonsense"),
        (&["run", "--platform", "windows"], "windows"),
        (&["explain", "has_licence"], "did you mean `HasLicense`?"),
    ] {
        assert_error(&project.run(args), 2, &[words]);
    }
    // clap words these
    for args in [
        &["frobnicate"][..],
        &["check", "--frobnicate"],
        &[],
        &["scan"],
        &["run", "-q", "-v"],
    ] {
        let ran = project.run(args);
        assert_eq!(ran.code, 2, "{ran}");
        assert!(ran.stderr.contains("Usage: plimsoll"), "{ran}");
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn an_expired_exception_excuses_nothing() {
    let text =
        "scan:\n  exceptions:\n  - rule: good_tags\n    reason: old\n    expires: 2020-02-02\n";
    let project = Project::new(&[("Dockerfile", FROM), ("plimsoll.yaml", text)]);
    let ran = project.run(&["check"]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(
        ran.stderr.contains("the exception expired on 2020-02-02"),
        "{ran}"
    );
    assert!(ran.stderr.contains("plimsoll.yaml:5:14"), "{ran}");
}

#[test]
fn preflight_s_name_stands_for_all_its_rules() {
    let labels = [
        "vendor",
        "release",
        "version",
        "name",
        "summary",
        "description",
        "maintainer",
    ];
    let project = Project::new(&[("Dockerfile", "FROM scratch\n")]);
    let names = |ran: &Ran, of: &str| -> Vec<String> {
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let all = report["assessments"].as_array().unwrap();
        let those = all.iter().filter(|a| of.is_empty() || a["exception"] == of);
        those
            .map(|a| a["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let seven: Vec<String> = labels.iter().map(|l| format!("{l}_label_exists")).collect();
    let only = project.run(&["check", "--only", "HasRequiredLabel", "--format", "json"]);
    assert_eq!(names(&only, ""), seven, "{only}");
    assert_eq!(only.code, 1, "{only}");
    let skip = project.run(&[
        "check",
        "--only",
        "HasRequiredLabel",
        "--skip",
        "HasRequiredLabel=case 7",
        "--format",
        "json",
    ]);
    assert_eq!(names(&skip, "case 7"), seven, "{skip}");
    assert_eq!(skip.code, 0, "{skip}");
    project.write("plimsoll.yaml", b"scan:\n  only: [HasRequiredLabel]\n  exceptions:\n  - {rule: HasRequiredLabel, reason: filed}\n");
    let file = project.run(&["check", "--format", "json"]);
    assert_eq!(names(&file, "filed"), seven, "{file}");
    let dry = project.run(&["run", "-n", "--require", "HasRequiredLabel"]);
    assert!(dry.stdout.contains("7 rules"), "{dry}");
}

#[test]
fn a_dry_run_says_what_comes_from_where_and_does_nothing() {
    let project = Project::new(&[
        ("Dockerfile", FROM),
        (
            "plimsoll.yaml",
            "image:\n  registry: quay.io\n  repository: a/b\n  tag: 1.10\nreport: [json=r.json]\n",
        ),
    ]);
    let before = project.files();
    let variables = [("PLIMSOLL_PROFILE", "root")];
    let ran = project.run_with(&["run", "--dry-run", "-v", "--target", "x"], &variables);
    assert_eq!(ran.code, 0, "{ran}");
    for words in [
        "image.tag: 1.10  (plimsoll.yaml:4:8)",
        "scan.profile: root  (PLIMSOLL_PROFILE)",
        "build.target: x  (--target)",
        "(default)",
        "r.json",
    ] {
        assert!(ran.stdout.contains(words), "no `{words}` in {ran}");
    }
    assert_eq!(project.files(), before);
    let real = project.run_with(&["check", "-v"], &variables);
    assert!(
        real.stderr
            .contains("scan.profile: root  (PLIMSOLL_PROFILE)"),
        "{real}"
    );
    assert!(!project.run(&["check"]).stderr.contains("scan.profile"));
    assert!(Path::new(&project.path().join("r.json")).exists());
}

#[test]
fn every_dockerfile_of_the_collection_is_checked_without_a_crash() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dockerfiles");
    let mut count = 0;
    for entry in fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        let files = if path.is_dir() {
            fs::read_dir(&path)
                .unwrap()
                .map(|e| e.unwrap().path())
                .collect()
        } else {
            vec![path]
        };
        for file in files {
            let Ok(bytes) = fs::read(&file) else { continue };
            let project = Project::new(&[]);
            project.write("Dockerfile", &bytes);
            let ran = project.run(&["check", "--format", "json"]);
            assert!([0, 1, 3].contains(&ran.code), "{}: {ran}", file.display());
            let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
            assert_eq!(report["passed"], ran.code == 0, "{}: {ran}", file.display());
            count += 1;
        }
    }
    assert!(count >= 20, "{count}");
}

#[test]
fn what_the_build_would_stumble_over_is_told_before_it() {
    let project = Project::new(&[
        ("Dockerfile", "FROM scratch AS one\nFROM one AS two\n"),
        (".dockerignore", "# fine\n\n[z-\n"),
        ("full/x", "precious"),
        ("login/config.json", "{garbage"),
    ]);
    for command in ["check", "run"] {
        let ran = project.run(&[command]);
        assert_error(
            &ran,
            2,
            &[".dockerignore: line 3: pattern `[z-` is malformed"],
        );
    }
    project.write(".dockerignore", b"*.md\n");
    for command in ["check", "run"] {
        let ran = project.run(&[command, "--target", "three"]);
        assert_error(
            &ran,
            2,
            &[
                "there is no stage `three`; the stages are one, two",
                "hint: ",
            ],
        );
    }
    let before = project.files();
    for output in [".", "full", "Dockerfile", "full/x"] {
        for command in ["run", "build"] {
            let ran = project.run(&[command, "--output", output]);
            assert_error(
                &ran,
                2,
                &["--output: output `", "hint: name a new or empty directory"],
            );
        }
    }
    let folder = project.path().join("login");
    let variables = [("DOCKER_CONFIG", folder.to_str().unwrap())];
    let ran = project.run_with(&["run"], &variables);
    assert_error(&ran, 2, &["config.json", "not JSON", "hint: "]);
    let ran = project.run_with(&["check"], &variables);
    assert_eq!((ran.code, &*ran.stderr), (1, ""), "{ran}");
    assert_eq!(project.files(), before);
}

#[test]
fn a_directory_that_is_gone_is_said_so() {
    let project = Project::new(&[]);
    let binary = project.command(&[]).get_program().to_owned();
    let mut shell = crate::support::command("sh");
    let script = "rmdir \"$PWD\" && exec \"$0\" check";
    let gone = tempfile::tempdir().unwrap();
    let gone = gone.keep();
    shell.current_dir(&gone).arg("-c").arg(script).arg(binary);
    let ran = Ran::of(&shell.output().unwrap());
    assert_error(
        &ran,
        2,
        &[
            "the current directory cannot be read",
            "caused by: ",
            "hint: ",
        ],
    );
}
