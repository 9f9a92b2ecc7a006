//! Builds that succeed.

use plimsoll::{engine::StepState, secret::Secret};

use super::{Project, docker, engine, is_old};

const EVERYTHING: &str = "\
ARG TAG=1
FROM BASE AS build
ARG GREETING=unset
COPY . /src/
RUN --mount=type=secret,id=key cat /run/secrets/key > /dev/null && \\
    mkdir /made && echo \"$GREETING\" > /made/greeting && ls -a /src > /made/list
RUN --mount=type=cache,target=/cache echo cached > /cache/x && ls /cache > /made/cache
FROM BASE AS middle
RUN echo middle > /middle
FROM BASE
LABEL from=dockerfile kept=dockerfile
COPY --from=build /made /made
USER 1001
";

fn everything() -> Project {
    let mut project = Project::new(EVERYTHING);
    project.file("a.txt", "a");
    project.file("b.log", "b");
    project.file("keep.log", "k");
    project.file("deep/c.log", "c");
    project.file("deep/d.txt", "d");
    project.file(".dockerignore", "**/*.log\n!keep.log\nDockerfile\n");
    project.plan.args = [("GREETING".to_owned(), "hello, world".to_owned())].into();
    project.plan.labels = [("from".to_owned(), "command line".to_owned())].into();
    project.plan.secrets = [("key".to_owned(), Secret::new("hunter2-secret-value"))].into();
    project
}

#[test]
fn a_dockerfile_becomes_a_layout_with_all_that_was_asked() {
    let Some(engine) = engine() else { return };
    let project = everything();
    let (result, events) = project.build(engine.as_ref());
    assert!(result.is_ok(), "{result:#?}\n{}", events.text());
    let image = super::Image::open(result.unwrap());
    assert_eq!(
        image.file("made/greeting").as_deref(),
        Some("hello, world\n")
    );
    assert_eq!(
        image.file("made/list").as_deref(),
        Some(".\n..\n.dockerignore\na.txt\ndeep\nkeep.log\n")
    );
    assert_eq!(image.file("made/cache").as_deref(), Some("x\n"));
    assert_eq!(image.file("middle"), None);
    assert_eq!(image.label("from"), Some("command line"));
    assert_eq!(image.label("kept"), Some("dockerfile"));
    assert_eq!(image.label("base"), Some("yes"));
    assert_eq!(image.image.config.user(), "1001");
    assert!(!image.contains_bytes("hunter2-secret-value"));
    assert!(
        image
            .built
            .engine
            .contains(if is_old() { "20.10" } else { "" })
    );
    let run = events.states_of("RUN --mount=type=secret");
    assert_eq!(run.first(), Some(&StepState::Started), "{}", events.text());
    assert!(matches!(
        run.last(),
        Some(StepState::Done(_) | StepState::Cached)
    ));
}

#[test]
fn the_same_build_gives_the_same_digest() {
    let Some(engine) = engine() else { return };
    let mut project = everything();
    let first = project.built(engine.as_ref());
    project.plan.output = project.dir.path().join("again");
    let second = project.built(engine.as_ref());
    assert_eq!(first.built.digest, second.built.digest);
}

#[test]
fn a_target_is_built_alone() {
    let Some(engine) = engine() else { return };
    let mut project = everything();
    project.plan.target = Some("middle".to_owned());
    let image = project.built(engine.as_ref());
    assert_eq!(image.file("middle").as_deref(), Some("middle\n"));
    assert_eq!(image.file("made/greeting"), None);
}

#[test]
fn output_of_steps_arrives() {
    let Some(engine) = engine() else { return };
    let mut project = Project::new("FROM BASE\nRUN echo to-stdout; echo to-stderr >&2\n");
    project.plan.no_cache = true;
    let (result, events) = project.build(engine.as_ref());
    result.unwrap();
    assert!(events.log().contains("to-stdout") && events.log().contains("to-stderr"));
}

#[test]
fn here_documents_are_built_or_refused_with_the_reason() {
    let Some(engine) = engine() else { return };
    let project = Project::new("FROM BASE\nRUN <<EOF\necho one > /one\nEOF\nUSER 1\n");
    if is_old() {
        let failure = project.failure(engine.as_ref());
        assert!(failure.message.contains("here-documents"), "{failure:?}");
        // Its parser takes the document's first line for an instruction.
        assert_eq!(failure.location.unwrap().file, "Dockerfile");
    } else {
        let image = project.built(engine.as_ref());
        assert_eq!(image.file("one").as_deref(), Some("one\n"));
    }
}

#[test]
fn the_frontend_of_the_engine_serves_when_a_syntax_line_would_need_the_network() {
    let Some(engine) = engine() else { return };
    let text = "# syntax=registry.invalid/dockerfile:9\nFROM BASE\nRUN echo x > /x\n";
    let mut project = Project::new(text);
    project.plan.ignore_syntax = true;
    assert_eq!(
        project.built(engine.as_ref()).file("x").as_deref(),
        Some("x\n")
    );
}

#[test]
fn hosts_and_network_are_as_asked() {
    let Some(engine) = engine() else { return };
    let mut project =
        Project::new("FROM BASE\nRUN cat /etc/hosts > /hosts; ls /sys/class/net > /net\n");
    project.plan.add_hosts = [("database".to_owned(), "10.1.2.3".to_owned())].into();
    project.plan.network = Some("none".to_owned());
    let image = project.built(engine.as_ref());
    assert!(image.file("hosts").unwrap().contains("10.1.2.3"));
    assert_eq!(image.file("net").as_deref(), Some("lo\n"));
}

#[test]
fn names_stay_in_the_engine_only_when_asked_for() {
    let Some(engine) = engine() else { return };
    let Some(docker) = docker() else { return };
    let mut project = Project::new("FROM BASE\nRUN echo named > /x\n");
    let name = format!("localhost/plimsoll-test:{}", std::process::id());
    project.plan.names = vec![name.clone()];
    let built = project.built(engine.as_ref());
    let saved = docker.save(&name, &project.dir.path().join("saved.tar"));
    docker.remove_image(&name).unwrap();
    saved.unwrap();
    let index = std::fs::read_to_string(built.built.layout.join("index.json")).unwrap();
    assert!(index.contains(&name), "{index}");
    let error = docker
        .save(&name, &project.dir.path().join("gone.tar"))
        .unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

#[test]
fn build_checks_become_lints_on_their_line() {
    let Some(engine) = engine() else { return };
    let project = Project::at(
        "docker/app.Dockerfile",
        "\n\nFROM BASE AS Loud\nRUN echo 1\n",
    );
    let image = project.built(engine.as_ref());
    let lints = &image.built.lints;
    if is_old() {
        assert!(lints.is_empty(), "{lints:?}");
        return;
    }
    let lint = lints
        .iter()
        .find(|lint| lint.rule == "build/StageNameCasing");
    let lint = lint.unwrap_or_else(|| panic!("{lints:?}"));
    let at = lint.finding.location.clone().unwrap();
    assert_eq!((at.file.as_str(), at.line), ("docker/app.Dockerfile", 3));
    assert!(
        lint.help_uri
            .as_deref()
            .is_some_and(|uri| uri.starts_with("https://"))
    );
}

#[test]
fn an_independent_reader_agrees_on_the_digest() {
    let Some(engine) = engine() else { return };
    let project = Project::new("FROM BASE\nRUN echo oracle > /x\n");
    let built = project.built(engine.as_ref()).built;
    let image = format!("oci:{}", built.layout.display());
    let Ok(output) = std::process::Command::new("skopeo")
        .args(["inspect", &image])
        .output()
    else {
        eprintln!("SKIPPED: no skopeo to compare with");
        return;
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let answer = String::from_utf8(output.stdout).unwrap();
    assert!(answer.contains(&built.digest.to_string()), "{answer}");
}
