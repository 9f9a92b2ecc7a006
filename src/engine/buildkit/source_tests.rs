use indexmap::IndexMap;

use super::*;

fn source(text: &str) -> Source {
    Source::new(
        "images/Dockerfile".into(),
        "Dockerfile".into(),
        text.into(),
        &IndexMap::new(),
    )
}

fn line_of(source: &Source, step: &str) -> Option<(u32, u32)> {
    source.instruction_of(step).map(|at| (at.line, at.end_line))
}

const TWO_STAGES: &str = r#"ARG BASE=r.example.com/ubi9
FROM ${BASE}:9 AS build
ARG V=1
RUN echo "$V" && \
    # why
    make
COPY a b /src/

# a comment that belongs to nothing
RUN make
RUN make
FROM scratch
WORKDIR /x
COPY --from=build /src /dst
RUN <<EOF
# inside
true
EOF
COPY --from=r.example.com/tools:1 /t /t
"#;

#[test]
fn a_step_is_found_by_its_words_whatever_was_expanded() {
    let source = source(TWO_STAGES);
    for (step, lines) in [
        ("[build 2/5] RUN echo \"1\" &&     make", Some((4, 6))),
        ("[build 3/5] COPY a b /src/", Some((7, 7))),
        (
            "[build 1/5] FROM r.example.com/ubi9:9@sha256:00",
            Some((2, 2)),
        ),
        ("[stage-1 3/5] COPY --from=build /src /dst", Some((14, 14))),
        ("[stage-1 4/5] RUN <<EOF (# inside...)", Some((15, 18))),
        ("[linux/amd64 build 3/5] COPY a b /src/", Some((7, 7))),
        ("[internal] load build context", None),
        ("[build 9/5] RUN something else", None),
        ("exporting to image", None),
    ] {
        assert_eq!(line_of(&source, step), lines, "{step}");
    }
}

#[test]
fn among_equal_steps_the_engines_count_decides() {
    let source = source(TWO_STAGES);
    assert_eq!(line_of(&source, "[build 4/5] RUN make"), Some((10, 10)));
    assert_eq!(line_of(&source, "[build 5/5] RUN make"), Some((11, 11)));
}

#[test]
fn images_are_those_that_are_no_stage() {
    let source = source(TWO_STAGES);
    let names: Vec<_> = source
        .images()
        .iter()
        .map(|used| used.name.full())
        .collect();
    assert_eq!(names, ["r.example.com/ubi9:9", "r.example.com/tools:1"]);
    assert_eq!(
        line_of(
            &source,
            "[internal] load metadata for r.example.com/tools:1"
        ),
        Some((19, 19))
    );
    let replaced =
        "[context r.example.com/tools:1] load metadata for r.example.com/tools:1@sha256:00";
    assert_eq!(line_of(&source, replaced), Some((19, 19)));
}

#[test]
fn arguments_of_the_build_replace_defaults() {
    let args = [("BASE".to_owned(), "other".to_owned())].into();
    let source = Source::new("D".into(), "D".into(), TWO_STAGES.into(), &args);
    assert_eq!(source.images()[0].name.full(), "docker.io/library/other:9");
}

#[test]
fn a_missing_file_is_found_by_its_name() {
    let source = source(TWO_STAGES);
    assert_eq!(source.copy_of("/b").unwrap().line, 7);
    assert_eq!(source.copy_of("/nothing"), None);
}

#[test]
fn lines_never_leave_the_file() {
    let source = source("FROM a\n");
    assert_eq!(source.lines(0, 0).line, 1);
    let far = source.lines(70, 90);
    assert_eq!((far.line, far.end_line), (1, 1));
    assert_eq!(super::Source::default().lines(5, 9).line, 1);
}

#[test]
fn what_does_not_parse_has_no_steps() {
    let source = source("FROM a\nFOO bar\n");
    assert!(source.images().is_empty());
    assert_eq!(source.instruction_at(2).line, 2);
}

#[test]
fn what_the_engine_reads_is_read() {
    // Forms that other readers of Dockerfiles refuse.
    for rest in [
        "ENTRYPOINT []",
        "CMD [ ]",
        "RUN cat > /x <<EOF\nhello $PATH\nEOF",
        "RUN cat <<A - <<B\na\nA\nb\nB",
        "HEALTHCHECK NONE",
        "LABEL a=b \\\n\n  c=d",
    ] {
        let text = format!("FROM r.example.com/a:1\n{rest}\nCOPY --from=r.example.com/b:1 / /\n");
        let source = source(&text);
        let names: Vec<_> = source
            .images()
            .iter()
            .map(|used| used.name.full())
            .collect();
        assert_eq!(names, ["r.example.com/a:1", "r.example.com/b:1"], "{rest}");
        assert_eq!(source.instruction_at(2).line, 2, "{rest}");
    }
}
