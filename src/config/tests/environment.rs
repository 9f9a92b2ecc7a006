//! What the environment says, and what is never printed of it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use super::WORDS;
use crate::config::{Environment, Faults, Origin, Settings, given::Given};

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(
        variables
            .iter()
            .map(|(name, value)| (name.into(), value.into())),
    )
}

fn settings(variables: &[(&str, &str)]) -> (Settings, Faults) {
    let environment = environment(variables);
    let mut faults = Faults::default();
    let given = Given::from_environment(&environment, &mut faults);
    (given.settings(&WORDS, &environment, &mut faults), faults)
}

#[test]
fn every_spelling_of_a_name_is_understood() {
    for (name, origin) in [
        ("PLIMSOLL_NO_CACHE", "PLIMSOLL_NO_CACHE"),
        ("INPUT_NO-CACHE", "INPUT_NO-CACHE"),
        ("INPUT_NO_CACHE", "INPUT_NO_CACHE"),
    ] {
        let (settings, _) = settings(&[(name, "true")]);
        let no_cache = settings.build.unwrap().value.no_cache.unwrap();
        assert!(no_cache.value);
        assert_eq!(no_cache.origin, Origin::Variable(origin.to_owned()));
    }
    let (settings, _) = settings(&[(
        "PLIMSOLL_INPUTS",
        r#"{"no-cache": true, "dockerfile": "x"}"#,
    )]);
    let build = settings.build.unwrap().value;
    assert!(build.no_cache.unwrap().value);
    let dockerfile = build.dockerfile.unwrap();
    assert_eq!(dockerfile.value.to_str(), Some("x"));
    assert_eq!(dockerfile.origin.to_string(), "input dockerfile");
}

#[test]
fn an_empty_input_counts_as_unset() {
    let (settings, faults) = settings(&[("INPUT_TARGET", ""), ("PLIMSOLL_TARGET", "final")]);
    assert!(faults.list().is_empty());
    let target = settings.build.unwrap().value.target.unwrap();
    assert_eq!(
        (target.value.as_str(), target.origin.to_string().as_str()),
        ("final", "PLIMSOLL_TARGET")
    );
}

#[test]
fn lists_are_split_as_the_actions_split_them() {
    let (settings, faults) = settings(&[
        ("INPUT_BUILD-ARGS", "A=1, with a comma\n\nB=x=y\nFROM_ENV\n"),
        ("FROM_ENV", "e"),
        ("INPUT_TAGS", "1.0-1, 1.0\nlatest"),
        ("INPUT_PLATFORMS", "linux/amd64,linux/arm64"),
        ("INPUT_SECRET-ENVS", "a=TOKEN"),
        ("INPUT_SECRET-FILES", "b=./f"),
        ("PLIMSOLL_SKIP", "HasLicense=granted, case 1"),
        ("PLIMSOLL_IMAGE", "localhost:5000/a/b"),
    ]);
    assert!(faults.list().is_empty(), "{}", faults.render(false));
    let build = settings.build.unwrap().value;
    let args: Vec<(String, String)> = build
        .args
        .unwrap()
        .value
        .into_iter()
        .map(|(k, v)| (k, v.value))
        .collect();
    let expected = [("A", "1, with a comma"), ("B", "x=y"), ("FROM_ENV", "e")];
    assert_eq!(args, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    assert_eq!(build.platforms.unwrap().value.len(), 2);
    assert_eq!(build.secrets.unwrap().value.len(), 2);
    let image = settings.image.unwrap().value;
    assert_eq!(image.tag.unwrap().value.0.len(), 3);
    assert_eq!(image.registry.unwrap().value, "localhost:5000");
    assert_eq!(image.repository.unwrap().value, "a/b");
    let exceptions = settings.scan.unwrap().value.exceptions.unwrap().value.0;
    assert_eq!(
        exceptions[0].rule.as_ref().unwrap().value.ids,
        ["has_licenses"]
    );
    assert_eq!(
        exceptions[0].reason.as_ref().unwrap().value,
        "granted, case 1"
    );
}

#[test]
fn faults_name_the_variable() {
    let mut variables = vec![
        (OsString::from("PLIMSOLL_ENGINE"), OsString::from("dockr")),
        ("PLIMSOLL_TAG".into(), "bad tag!".into()),
        ("PLIMSOLL_BUILD_ARGS".into(), "NOT_SET_ANYWHERE".into()),
        ("PLIMSOLL_PULL".into(), "perhaps".into()),
        ("PLIMSOLL_INPUTS".into(), "{".into()),
    ];
    variables.push(("PLIMSOLL_TARGET".into(), OsString::from_vec(vec![0xff])));
    let environment = Environment::new(variables);
    let mut faults = Faults::default();
    let given = Given::from_environment(&environment, &mut faults);
    given.settings(&WORDS, &environment, &mut faults);
    insta::assert_snapshot!(faults.render(false), @r"
    error: PLIMSOLL_INPUTS: not a JSON object (line 1, column 1)

    error: PLIMSOLL_TARGET: not UTF-8

    error: PLIMSOLL_TAG: `tag!`: character 4, `!`, is not a letter, digit, `_`, `.` or `-` of ASCII
    hint: a good tag is `1.0-1`: version and number of the build

    error: PLIMSOLL_BUILD_ARGS: the environment has no `NOT_SET_ANYWHERE`
    hint: set it, or write KEY=VALUE

    error: PLIMSOLL_PULL: `perhaps` is neither true nor false

    error: PLIMSOLL_ENGINE: `dockr` is no engine
    hint: did you mean `docker`?
    ");
}

#[test]
fn no_secret_is_ever_printed() {
    let environment = environment(&[
        ("PLIMSOLL_PASSWORD", "hunter2"),
        ("INPUT_SECRETS", "hunter2"),
        ("GITHUB_TOKEN", "hunter2"),
        ("PLIMSOLL_SECRET", "id=x,value=hunter2"),
        ("PLIMSOLL_INPUTS", r#"{"token": "hunter2"}"#),
    ]);
    let mut faults = Faults::default();
    let given = Given::from_environment(&environment, &mut faults);
    given.settings(&WORDS, &environment, &mut faults);
    assert!(!faults.list().is_empty());
    let printed = format!(
        "{environment:?} {:#?} {}",
        environment.secrets(),
        faults.render(false)
    );
    assert!(!printed.contains("hunter2"), "{printed}");
    assert_eq!(environment.secrets().len(), 4);
    assert_eq!(environment.login().unwrap().0, "unused");
    assert_eq!(environment.token().unwrap().expose_str(), Some("hunter2"));
}

#[test]
fn slips_of_the_pen_are_noticed() {
    let environment = environment(&[
        ("PLIMSOLL_TGA", "x"),
        ("PLIMSOLL_TAG", "x"),
        ("PLIMSOLL_PLATFORM", "x"),
        ("TGA", "x"),
    ]);
    assert_eq!(environment.unknown(), ["PLIMSOLL_TGA"]);
}

#[test]
fn the_ci_is_recognised() {
    let environment = environment(&[
        ("CI", "true"),
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_REPOSITORY", "a/b"),
        ("DOCKER_HOST", "tcp://h:2376"),
        ("DOCKER_TLS_VERIFY", "1"),
        ("NO_COLOR", "1"),
    ]);
    assert!(environment.is_ci() && environment.no_color());
    assert_eq!(
        environment.github().unwrap().repository.as_deref(),
        Some("a/b")
    );
    assert_eq!(environment.gitlab(), None);
    assert_eq!(environment.docker().host.as_deref(), Some("tcp://h:2376"));
    assert!(environment.docker().tls_verify);
}
