//! Everything merged: precedence, paths, secrets, several images, and the plan that comes of it.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the repositories of these tests are made on disk, and a test may panic"
)]

use std::{ffi::OsString, path::Path};

use plimsoll::{
    config::{Cli, Config, ConfigError, Environment, Stage, Words, load},
    error::{Error, ExitCode},
    plan::{describe, plan},
    policy::Profile,
};
use tempfile::TempDir;

const TODAY: jiff::civil::Date = jiff::civil::date(2026, 11, 22);

const WORDS: Words = Words {
    rule: |name| match name {
        "has_licenses" | "HasLicense" => vec!["has_licenses"],
        "good_tags" | "HasUniqueTag" => vec!["good_tags"],
        _ => Vec::new(),
    },
    rules: &["has_licenses", "good_tags"],
    formats: &["table", "json", "sarif", "junit"],
};

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(
        variables
            .iter()
            .map(|(name, value)| (name.into(), value.into())),
    )
}

/// A repository of these files; a name that ends with `/` is a directory.
fn repository(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (name, content) in files {
        let path = directory.path().join(name);
        if name.ends_with('/') {
            std::fs::create_dir_all(path).unwrap();
            continue;
        }
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    directory
}

fn cli(args: &str) -> Cli {
    let args = std::iter::once("plimsoll")
        .chain(args.split_whitespace())
        .map(OsString::from);
    Cli::from_args(args, "").unwrap()
}

fn configure(cwd: &Path, args: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load(&cli(args), &environment(variables), cwd, TODAY, &WORDS)
}

/// The error as printed, with the temporary directory called `/repo`.
fn refused(repository: &TempDir, args: &str, variables: &[(&str, &str)]) -> String {
    let error = configure(repository.path(), args, variables).unwrap_err();
    let root = repository.path().canonicalize().unwrap();
    Error::from(error)
        .render(false)
        .replace(root.to_str().unwrap(), "/repo")
}

#[test]
fn command_line_goes_before_environment_before_file_before_default() {
    let repo = repository(&[
        ("Dockerfile", ""),
        (
            "plimsoll.yaml",
            "build: {target: file, args: {A: file, F: file}}\n",
        ),
    ]);
    let target = |args, variables: &[_]| {
        let config = configure(repo.path(), args, variables).unwrap();
        let target = config.images[0]
            .settings
            .build
            .clone()
            .unwrap()
            .value
            .target
            .unwrap();
        (target.value, target.origin.to_string())
    };
    let variables = [("PLIMSOLL_TARGET", "env")];
    assert_eq!(
        target("run --target flag", &variables),
        ("flag".into(), "--target".into())
    );
    assert_eq!(
        target("run", &variables),
        ("env".into(), "PLIMSOLL_TARGET".into())
    );
    assert_eq!(
        target("run", &[]),
        ("file".into(), "plimsoll.yaml:1:17".into())
    );
    let config = configure(
        repo.path(),
        "run --build-arg A=flag --build-arg B=flag",
        &[("PLIMSOLL_BUILD_ARGS", "A=env\nE=env")],
    )
    .unwrap();
    let build = plan(&config).remove(0).build.unwrap();
    let args: Vec<(&str, &str)> = build
        .args
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(
        args,
        [("A", "flag"), ("F", "file"), ("E", "env"), ("B", "flag")]
    );
}

#[test]
fn the_file_is_looked_for_upwards_as_far_as_the_checkout() {
    let repo = repository(&[
        (".git/", ""),
        ("plimsoll.yml", ""),
        ("a/b/Dockerfile", ""),
        ("Dockerfile", ""),
    ]);
    let config = configure(&repo.path().join("a/b"), "run", &[]).unwrap();
    assert_eq!(config.root, repo.path().canonicalize().unwrap());
    let repo = repository(&[
        ("plimsoll.yaml", ""),
        ("a/.git/", ""),
        ("a/b/", ""),
        ("a/Dockerfile", ""),
    ]);
    let config = configure(&repo.path().join("a/b"), "run", &[]).unwrap();
    assert_eq!(
        (config.file, config.root),
        (None, repo.path().join("a").canonicalize().unwrap())
    );
}

#[test]
fn several_files_are_named() {
    let repo = repository(&[("plimsoll.yaml", ""), (".plimsoll.yaml", "")]);
    insta::assert_snapshot!(refused(&repo, "run", &[]), @r"
    error: /repo has several configuration files: plimsoll.yaml, .plimsoll.yaml
    hint: keep one, or name one with `--config`
    ");
    assert!(refused(&repo, "run --config nowhere.yaml", &[]).contains("cannot read nowhere.yaml"));
}

#[test]
fn paths_that_do_not_work_are_all_named() {
    let repo = repository(&[
        (
            "plimsoll.yaml",
            "images:\n- name: a\n  build: {context: sub, dockerfile: none.Dockerfile}\n- name: b\n  build: {context: ..}\n- name: c\n  build: {context: nowhere}\n- name: d\n  build: {context: link}\n- name: e\n  build: {dockerfile: ../outside}\n",
        ),
        ("sub/", ""),
    ]);
    std::os::unix::fs::symlink("/usr", repo.path().join("link")).unwrap();
    let parent = repo
        .path()
        .canonicalize()
        .unwrap()
        .parent()
        .unwrap()
        .display()
        .to_string();
    let said = refused(&repo, "run", &[])
        .replace(&parent, "/parent")
        .replace(repo.path().file_name().unwrap().to_str().unwrap(), "repo");
    insta::assert_snapshot!(said, @r"
    error: no Dockerfile `none.Dockerfile`: there is neither `sub/none.Dockerfile` nor `none.Dockerfile`
     --> plimsoll.yaml:3:37
      |
    3 |   build: {context: sub, dockerfile: none.Dockerfile}
      |                                     ^^^^^^^^^^^^^^^
      |
      = hint: name it with `--file` or `build.dockerfile`

    error: context `..` lies outside the repository
     --> plimsoll.yaml:5:20
      |
    5 |   build: {context: ..}
      |                    ^^
      |
      = hint: it is /parent, the repository root is /repo; move it in, or put plimsoll.yaml further up

    error: context `nowhere`: does not exist
     --> plimsoll.yaml:7:20
      |
    7 |   build: {context: nowhere}
      |                    ^^^^^^^
      |
      = hint: looked for /repo/nowhere

    error: context `link` lies outside the repository
     --> plimsoll.yaml:9:20
      |
    9 |   build: {context: link}
      |                    ^^^^
      |
      = hint: it is /usr, the repository root is /repo; move it in, or put plimsoll.yaml further up

    error: no Dockerfile `../outside`: there is no `../outside`
      --> plimsoll.yaml:11:23
       |
    11 |   build: {dockerfile: ../outside}
       |                       ^^^^^^^^^^
       |
       = hint: name it with `--file` or `build.dockerfile`
    ");
}

#[test]
fn a_dockerfile_that_links_out_of_the_repository_is_refused() {
    let outside = repository(&[("Dockerfile", "")]);
    let repo = repository(&[("plimsoll.yaml", "")]);
    std::os::unix::fs::symlink(
        outside.path().join("Dockerfile"),
        repo.path().join("Dockerfile"),
    )
    .unwrap();
    let said = refused(&repo, "run", &[]);
    assert!(
        said.contains("Dockerfile") && said.contains("lies outside the repository"),
        "{said}"
    );
}

#[test]
fn the_dockerfile_is_looked_for_in_the_context_first() {
    let repo = repository(&[
        ("plimsoll.yaml", ""),
        ("ctx/a.Dockerfile", ""),
        ("a.Dockerfile", ""),
        ("b.Dockerfile", ""),
        ("ctx/sub/Dockerfile", ""),
        ("c/Containerfile", ""),
    ]);
    let root = repo.path().canonicalize().unwrap();
    for (args, found) in [
        ("run --context ctx --file a.Dockerfile", "ctx/a.Dockerfile"),
        (
            "run --context ctx --dockerfile b.Dockerfile",
            "b.Dockerfile",
        ),
        ("run --context ctx --file sub", "ctx/sub/Dockerfile"),
        ("check --context c", "c/Containerfile"),
    ] {
        let config = configure(repo.path(), args, &[]).unwrap();
        assert_eq!(
            config.images[0].dockerfile.as_ref().unwrap().value,
            root.join(found),
            "{args}"
        );
    }
    insta::assert_snapshot!(refused(&repo, "run --context ctx --file x", &[]), @r"
    error: --file: no Dockerfile `x`: there is neither `ctx/x` nor `x`
    hint: name it with `--file` or `build.dockerfile`
    ");
    insta::assert_snapshot!(refused(&repo, "run", &[]), @r"
    error: no Dockerfile: there is neither `Dockerfile` nor `Containerfile`
    hint: name it with `--file` or `build.dockerfile`
    ");
}

#[test]
fn paths_of_the_command_line_start_where_the_user_stands() {
    let repo = repository(&[
        (
            "plimsoll.yaml",
            "build: {output: out, mirrors: {x: 'oci:base'}}\nreport: [json=r.json]\n",
        ),
        ("sub/Dockerfile", ""),
        ("Dockerfile", ""),
    ]);
    let root = repo.path().canonicalize().unwrap();
    let sub = repo.path().join("sub");
    let config = configure(
        &sub,
        "run --config ../plimsoll.yaml --context . --report sarif=s.sarif",
        &[],
    )
    .unwrap();
    assert_eq!(config.root, root);
    assert_eq!(config.images[0].context.value, root.join("sub"));
    assert_eq!(config.images[0].output, Some(root.join("out")));
    assert_eq!(
        config.images[0].mirrors["x"],
        format!("oci:{}", root.join("base").display())
    );
    let paths: Vec<_> = config
        .reports
        .iter()
        .map(|r| r.value.path.clone().unwrap())
        .collect();
    assert_eq!(paths, [root.join("r.json"), root.join("sub/s.sarif")]);
}

#[test]
fn secrets_are_read_from_where_the_user_says() {
    let repo = repository(&[
        ("Dockerfile", ""),
        ("key", "from a file"),
        (
            "plimsoll.yaml",
            "build: {secrets: {a: {src: key}, b: {env: B}, d: {src: key}}}\n",
        ),
    ]);
    let variables = [
        ("B", "from b"),
        ("C", "from c"),
        ("INPUT_SECRETS", "d=inline\n"),
    ];
    let config = configure(repo.path(), "run --secret id=c,env=C", &variables).unwrap();
    let build = plan(&config).remove(0).build.unwrap();
    let mut secrets: Vec<_> = build
        .secrets
        .iter()
        .map(|(id, s)| (id.as_str(), s.expose_str().unwrap()))
        .collect();
    secrets.sort_unstable();
    assert_eq!(
        secrets,
        [
            ("a", "from a file"),
            ("b", "from b"),
            ("c", "from c"),
            ("d", "inline")
        ]
    );
    assert!(!format!("{config:?}").contains("inline"));
    insta::assert_snapshot!(refused(&repo, "run --secret id=x,src=nowhere --secret id=y --ssh default", &[]), @r"
    error: --secret: a secret wants one source: src or env
    hint: write id=ID,src=FILE or id=ID,env=NAME; a secret itself never goes here

    error: secret `b`: the environment has no `B`
     --> plimsoll.yaml:1:43
      |
    1 | build: {secrets: {a: {src: key}, b: {env: B}, d: {src: key}}}
      |                                           ^
      |
      = hint: set it in the CI's secrets and hand it to this step

    error: --secret: secret `x`: cannot read nowhere: No such file or directory (os error 2)

    error: --ssh: ssh `default`: no agent, `SSH_AUTH_SOCK` is not set
    hint: start `ssh-agent`, or name a key: ID=PATH
    ");
    // What is only looked at needs no secrets.
    configure(repo.path(), "check", &[]).unwrap();
}

#[test]
fn faults_of_all_levels_are_shown_together() {
    let repo = repository(&[
        ("Dockerfile", ""),
        ("plimsoll.yaml", "build: {contxt: .}\n"),
    ]);
    insta::assert_snapshot!(refused(&repo, "run scan --tag a/b --format pdf --skip has_licenses", &[("PLIMSOLL_PULL", "x"), ("SOURCE_DATE_EPOCH", "soon")]), @r"
    error: unknown key `contxt`
     --> plimsoll.yaml:1:9
      |
    1 | build: {contxt: .}
      |         ^^^^^^
      |
      = hint: did you mean `context`?

    error: --tag: `a/b`: character 2, `/`, is not a letter, digit, `_`, `.` or `-` of ASCII
    hint: a good tag is `1.0-1`: version and number of the build

    error: --skip: no reason is given for skipping `has_licenses`
    hint: write RULE=REASON: the reason goes into the reports

    error: --format: `pdf` is no report format
    hint: one of `table`, `json`, `sarif`, `junit`

    error: PLIMSOLL_PULL: `x` is neither true nor false

    error: SOURCE_DATE_EPOCH: `soon` is no number of seconds since 1970

    error: STAGE: the stage scan needs the stage build
    hint: to assess an image that exists, use `plimsoll scan IMAGE`
    ");
}

#[test]
fn a_scan_takes_no_dockerfile_that_was_not_named() {
    let repo = repository(&[("Dockerfile", "")]);
    let config = configure(repo.path(), "scan oci:x", &[]).unwrap();
    assert_eq!(config.images[0].dockerfile, None);
    assert_eq!(plan(&config)[0].scan.image.as_deref(), Some("oci:x"));
    let config = configure(repo.path(), "scan oci:x --file Dockerfile", &[]).unwrap();
    assert!(config.images[0].dockerfile.is_some());
}

#[test]
fn a_build_wants_to_know_where_the_image_goes() {
    let repo = repository(&[("Dockerfile", "")]);
    assert!(refused(&repo, "build", &[]).contains("--output"));
    configure(repo.path(), "build --output out", &[]).unwrap();
}

#[test]
fn several_images_make_several_plans() {
    let repo = repository(&[
        (
            "plimsoll.yaml",
            "build: {pull: true, output: out}\nimage: {registry: r.example.com, repository: t/app}\nimages:\n- name: a\n  build: {dockerfile: a.Dockerfile, target: final}\n  image: {tag: 1.10}\n- name: b\n  build: {dockerfile: b.Dockerfile, pull: false}\n  scan:\n    exceptions: [{rule: HasLicense, reason: granted}]\nreport: [table]\n",
        ),
        ("a.Dockerfile", ""),
        ("b.Dockerfile", ""),
    ]);
    let config = configure(repo.path(), "run", &[]).unwrap();
    let plans = plan(&config);
    assert_eq!(
        plans[0].build.as_ref().unwrap().names,
        ["r.example.com/t/app:1.10"]
    );
    assert!(plans[0].build.as_ref().unwrap().pull && !plans[1].build.as_ref().unwrap().pull);
    assert_eq!(
        plans[1].stages.value,
        [Stage::Check, Stage::Build, Stage::Scan]
    );
    insta::assert_snapshot!(describe(&plans, &config.reports, true), @r"
    a:
      check   read a.Dockerfile
      build   build a.Dockerfile in . with the first engine within reach (default), stage final, as r.example.com/t/app:1.10, into out/a
      scan    assess every rule under the profile container, tags 1.10
      values:
        build.context: .  (default)
        build.dockerfile: a.Dockerfile  (plimsoll.yaml:5:23)
        build.target: final  (plimsoll.yaml:5:45)
        build.no-cache: false  (default)
        build.pull: true  (plimsoll.yaml:1:15)
        build.engine: auto  (default)
        build.output: out  (plimsoll.yaml:1:29)
        image.registry: r.example.com  (plimsoll.yaml:2:19)
        image.repository: t/app  (plimsoll.yaml:2:46)
        image.tag: 1.10  (plimsoll.yaml:6:16)
        scan.profile: container  (default)
        report[0]: table  (plimsoll.yaml:11:9)
        stages[0]: check  (default)
        stages[1]: build  (default)
        stages[2]: scan  (default)
    b:
      check   read b.Dockerfile
      build   build b.Dockerfile in . with the first engine within reach (default), into out/b
      scan    assess every rule under the profile container, no tag to judge, has_licenses excepted (granted)
      values:
        build.context: .  (default)
        build.dockerfile: b.Dockerfile  (plimsoll.yaml:8:23)
        build.no-cache: false  (default)
        build.pull: false  (plimsoll.yaml:8:43)
        build.engine: auto  (default)
        build.output: out  (plimsoll.yaml:1:29)
        image.registry: r.example.com  (plimsoll.yaml:2:19)
        image.repository: t/app  (plimsoll.yaml:2:46)
        scan.profile: container  (default)
        scan.exceptions[0].rule: has_licenses  (plimsoll.yaml:10:25)
        scan.exceptions[0].reason: granted  (plimsoll.yaml:10:45)
        report[0]: table  (plimsoll.yaml:11:9)
        stages[0]: check  (default)
        stages[1]: build  (default)
        stages[2]: scan  (default)
    report table to standard output  (plimsoll.yaml:11:9)
    ");
    assert!(refused(&repo, "run --file a.Dockerfile", &[]).contains("several images"));
}

#[test]
fn the_name_of_the_image_is_a_reference() {
    let repo = repository(&[("Dockerfile", "")]);
    configure(repo.path(), "run --image localhost:5000/team/app", &[]).unwrap();
    for (image, said) in [
        ("registry.example.com/Team/app", "not an image reference"),
        (
            "registry.example.com/app:1.0",
            "the tag goes into `image.tag`",
        ),
        ("app", "names no registry"),
    ] {
        let shown = refused(&repo, &format!("run --image {image}"), &[]);
        assert!(
            shown.starts_with("error: --image: ") && shown.contains(said),
            "{shown}"
        );
    }
    let repo = repository(&[
        ("Dockerfile", ""),
        ("plimsoll.yaml", "image: {repository: a/b}\n"),
    ]);
    assert!(refused(&repo, "run", &[]).contains("`image.registry` is missing"));
}

#[test]
fn exceptions_of_all_levels_hold_together() {
    let text = "scan: {exceptions: [{rule: good_tags, reason: file}]}\n";
    let repo = repository(&[("Dockerfile", ""), ("plimsoll.yaml", text)]);
    let config = configure(repo.path(), "run --skip HasLicense=flag", &[]).unwrap();
    let exceptions = plan(&config).remove(0).scan.exceptions;
    let rules: Vec<&str> = exceptions.iter().map(|it| it.rule.as_str()).collect();
    assert_eq!(rules, ["has_licenses", "good_tags"]);
}

#[test]
fn what_the_file_says_of_its_image_does_not_concern_another() {
    let text = "build: {platforms: [linux/arm64]}\nimage: {tag: 1.0-1}\n";
    let repo = repository(&[("plimsoll.yaml", text)]);
    let scan = plan(&configure(repo.path(), "scan oci:x", &[]).unwrap())
        .remove(0)
        .scan;
    assert_eq!(
        (scan.platforms.len(), scan.tags.len(), scan.tags_given),
        (0, 1, false)
    );
    let args = "scan oci:x --platform linux/s390x --tag 2.0-1";
    let scan = plan(&configure(repo.path(), args, &[]).unwrap())
        .remove(0)
        .scan;
    assert_eq!((scan.platforms.len(), scan.tags_given), (1, true));
}

#[test]
fn two_reports_cannot_go_to_the_same_place() {
    let repo = repository(&[
        ("Dockerfile", ""),
        ("plimsoll.yaml", "report: [table, json=a]\n"),
    ]);
    for args in [
        "run --report json",
        "run --report sarif=a",
        "run -f table -f json",
    ] {
        let shown = refused(&repo, args, &[]);
        assert!(shown.contains("both go to"), "{shown}");
    }
    let config = configure(repo.path(), "run -f json -f sarif=a --report table=b", &[]).unwrap();
    let formats: Vec<&str> = config
        .reports
        .iter()
        .map(|it| it.value.format.as_str())
        .collect();
    assert_eq!(formats, ["json", "sarif", "table"]);
}

#[test]
fn a_scan_of_one_image_leaves_the_list_of_images_alone() {
    let text = "scan: {profile: root}\nimages:\n- name: a\n- name: b\n";
    let repo = repository(&[("plimsoll.yaml", text)]);
    let config = configure(repo.path(), "scan oci:x", &[("PLIMSOLL_TGA", "1")]).unwrap();
    assert_eq!((config.images.len(), config.warnings.len()), (1, 2));
    assert_eq!(plan(&config)[0].scan.profile, Profile::Root);
}

#[test]
fn a_fault_of_the_configuration_is_a_usage_error() {
    let repo = repository(&[("plimsoll.yaml", "surprise: 1\n")]);
    let error = Error::from(configure(repo.path(), "check", &[]).unwrap_err());
    assert_eq!(error.exit_code(), ExitCode::Usage);
}
