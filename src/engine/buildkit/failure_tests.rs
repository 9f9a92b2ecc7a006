use bollard_buildkit_proto::{
    google::protobuf::{Any, Timestamp},
    moby::buildkit::v1::{StatusResponse, Vertex},
};
use indexmap::IndexMap;

use super::*;

const DOCKERFILE: &str = "FROM r.example.com/base AS build\nRUN one && \\\n    two\nCOPY missing /x\nFROM scratch\nCOPY --from=build /x /y\n";

fn source() -> Source {
    Source::new(
        "images/Dockerfile".into(),
        "Dockerfile".into(),
        DOCKERFILE.into(),
        &IndexMap::new(),
    )
}

fn failed_step(name: &str, error: &str) -> Progress {
    let mut progress = Progress::default();
    progress.fold(StatusResponse {
        vertexes: vec![Vertex {
            digest: "sha256:1".into(),
            name: name.into(),
            started: Some(Timestamp::default()),
            completed: Some(Timestamp::default()),
            error: error.into(),
            ..Vertex::default()
        }],
        ..StatusResponse::default()
    });
    progress
}

fn typed(message: &str, details: &[(&str, &str)]) -> Status {
    let details = rpc::Status {
        code: 2,
        message: message.into(),
        details: details
            .iter()
            .map(|(kind, json)| Any {
                type_url: format!("github.com/moby/buildkit/{kind}"),
                value: json.as_bytes().to_vec(),
            })
            .collect(),
    };
    Status::with_details(Code::Unknown, message, details.encode_to_vec().into())
}

fn explained(status: &Status, progress: &Progress) -> BuildError {
    let source = source();
    let refusal = Refusal {
        engine: "engine 1",
        source: &source,
        progress,
        troubles: Vec::new(),
    };
    explain(status, &refusal)
}

fn failure(status: &Status, progress: &Progress) -> StepFailure {
    match explained(status, progress) {
        BuildError::Dockerfile(failure) => *failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn typed_details_give_lines_exit_code_and_step() {
    let status = typed(
        "failed to solve: process \"/bin/sh -c one\" did not complete successfully: exit code: 3",
        &[
            ("errdefs.Vertex+json", r#"{"digest":"sha256:1"}"#),
            (
                "errdefs.Source+json",
                r#"{"info":{"filename":"Dockerfile"},"ranges":[{"start":{"line":2},"end":{"line":2}},{"start":{"line":3},"end":{"line":3}}]}"#,
            ),
            ("gatewayapi.ExitMessage+json", r#"{"Code":3}"#),
        ],
    );
    let failure = failure(
        &status,
        &failed_step("[build 2/3] RUN one &&     two", "exit code: 3"),
    );
    let at = failure.location.unwrap();
    assert_eq!(
        (at.file.as_str(), at.line, at.end_line),
        ("images/Dockerfile", 2, 3)
    );
    assert_eq!(failure.exit_code, Some(3));
    assert_eq!(failure.step.unwrap(), "[build 2/3] RUN one &&     two");
    assert!(
        failure.message.starts_with("process \"/bin/sh"),
        "{}",
        failure.message
    );
}

#[test]
fn an_old_engines_words_are_matched_with_the_dockerfile() {
    let words = "executor failed running [/bin/sh -c one &&     two]: exit code: 127";
    let status = Status::unknown(format!(
        "failed to solve with frontend dockerfile.v0: failed to build LLB: {words}"
    ));
    let failure = failure(
        &status,
        &failed_step("[build 2/3] RUN one &&     two", words),
    );
    assert_eq!(failure.location.unwrap().line, 2);
    assert_eq!(failure.exit_code, Some(127));
    assert_eq!(failure.message, words);
}

#[test]
fn parse_errors_name_their_line_without_a_step() {
    for words in [
        "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 4: unknown instruction: COPPY",
        "failed to solve: dockerfile parse error on line 4: unknown instruction: COPPY",
    ] {
        let failure = failure(&Status::unknown(words), &Progress::default());
        assert_eq!(failure.location.unwrap().line, 4);
        assert_eq!(failure.exit_code, None);
    }
}

#[test]
fn a_missing_file_is_found_without_a_step() {
    let status = Status::unknown("failed to compute cache key: \"/missing\" not found: not found");
    let failure = failure(&status, &failed_step("[build 3/3] strange words", "x"));
    assert_eq!(failure.location.unwrap().line, 4);
}

#[test]
fn details_of_another_file_are_not_mistaken_for_this_one() {
    let detail = r#"{"info":{"filename":"other.Dockerfile"},"ranges":[{"start":{"line":2},"end":{"line":2}}]}"#;
    let status = typed("target stage x", &[("errdefs.Source+json", detail)]);
    assert_eq!(failure(&status, &Progress::default()).location, None);
    for broken in [
        "",
        "{}",
        "[]",
        r#"{"ranges":[{}]}"#,
        r#"{"ranges":[{"start":{}}]}"#,
    ] {
        let status = typed("target stage x", &[("errdefs.Source+json", broken)]);
        assert_eq!(
            failure(&status, &Progress::default()).location,
            None,
            "{broken}"
        );
    }
}

#[test]
fn the_engines_own_faults_are_not_the_dockerfiles() {
    let exporter = Status::unknown("exporter \"oci\" could not be found");
    assert!(matches!(
        explained(&exporter, &Progress::default()),
        BuildError::Unsupported { .. }
    ));
    let full = Status::unknown("failed to solve: write: no space left on device");
    let progress = failed_step("exporting to oci image format", "no space left on device");
    assert!(matches!(
        explained(&full, &progress),
        BuildError::Engine { .. }
    ));
}

#[test]
fn a_lost_connection_is_no_build_failure() {
    let mut broken = Status::unknown("h2 protocol error");
    broken.set_source(std::sync::Arc::new(std::io::Error::other("broken pipe")));
    let error = explained(&broken, &failed_step("[build 2/3] RUN one", "x"));
    let BuildError::Engine { reason, .. } = error else {
        panic!("{error:?}")
    };
    let lost = "the connection was lost during the build: h2 protocol error: broken pipe";
    assert_eq!(reason, lost);
    for status in [
        Status::unavailable("closing"),
        Status::cancelled("x"),
        Status::unknown("failed to solve: context canceled"),
    ] {
        let error = explained(
            &status,
            &failed_step("[build 2/3] RUN one", "context canceled"),
        );
        assert!(matches!(error, BuildError::Engine { .. }), "{error:?}");
    }
}

#[test]
fn a_registry_that_is_unavailable_is_not_the_engine() {
    let status = Status::unavailable("r.example.com/base: 503 Service Unavailable");
    let progress = failed_step(
        "[internal] load metadata for r.example.com/base:latest",
        "503",
    );
    assert_eq!(failure(&status, &progress).location.unwrap().line, 1);
}
