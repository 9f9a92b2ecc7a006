//! The stage push of `run`: asked for, planned, refused, done.

use std::fs;

use crate::support::{Ran, plimsoll, plimsoll_with};

fn project(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("Dockerfile"),
        "FROM scratch\nLABEL name=a/b\n",
    )
    .unwrap();
    fs::write(dir.path().join("plimsoll.yaml"), text).unwrap();
    dir
}

fn dry(text: &str, more: &[&str], variables: &[(&str, &str)]) -> Ran {
    let dir = project(text);
    plimsoll_with(
        dir.path(),
        &[&["run", "--dry-run"], more].concat(),
        variables,
    )
}

const IMAGE: &str = "image: {registry: r.example, repository: team/app, tag: [1.0-1]";

#[test]
fn a_push_is_planned_only_when_somebody_asks_for_it() {
    let quiet = dry(&format!("{IMAGE}}}"), &[], &[]);
    assert_eq!(quiet.code, 0, "{quiet}");
    assert!(!quiet.stdout.contains("push"), "{quiet}");
    let want = "push    push the accepted bytes to r.example/team/app as 1.0-1";
    for (text, more, variables, origin) in [
        (format!("{IMAGE}}}"), &["--push"][..], &[][..], "--push"),
        (
            format!("{IMAGE}}}\npush: true"),
            &[],
            &[],
            "plimsoll.yaml:2",
        ),
        (
            format!("{IMAGE}}}"),
            &[],
            &[("PLIMSOLL_PUSH", "true")],
            "PLIMSOLL_PUSH",
        ),
        (
            format!("{IMAGE}}}"),
            &["check,build,scan,push"],
            &[],
            "STAGE",
        ),
    ] {
        let ran = dry(&text, more, variables);
        assert_eq!(ran.code, 0, "{ran}");
        assert!(ran.stdout.contains(want), "{ran}");
        assert!(ran.stdout.contains(origin), "{origin}: {ran}");
        assert!(
            ran.stdout.contains("not when a tag names another image"),
            "{ran}"
        );
    }
    let text = format!("{IMAGE}, floating-tags: [latest], mount-from: [team/base]}}");
    let ran = dry(&text, &["--push", "--force"], &[]);
    for words in [
        "layers from team/base",
        "are moved",
        "after publication moves latest",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {ran}");
    }
    let version = "image: {registry: r.example, repository: team/app, version: '1.0'}";
    let ran = dry(version, &["--push"], &[]);
    assert!(
        ran.stdout.contains("the next free tag of version 1.0"),
        "{ran}"
    );
}

#[test]
fn a_push_that_lacks_something_is_refused_before_anything_is_done() {
    for (text, more, words) in [
        ("{}", &["--push"][..], "nowhere to go"),
        ("{}", &["--push"], "has no tag"),
        (
            &format!("{IMAGE}}}"),
            &["build,push"],
            "the stage push needs the stage scan",
        ),
        (
            &format!("{IMAGE}}}"),
            &["--push", "--only", "good_tags"],
            "every rule was assessed",
        ),
    ] {
        let ran = dry(text, more, &[]);
        assert_eq!(ran.code, 2, "{ran}");
        assert!(ran.stderr.contains(words), "{words}: {ran}");
    }
    let dir = tempfile::tempdir().unwrap();
    let ran = plimsoll(dir.path(), &["push", "oci:absent", "--only", "good_tags"]);
    assert_eq!(ran.code, 2, "{ran}");
}
