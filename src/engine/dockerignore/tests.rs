#![expect(
    clippy::disallowed_methods,
    reason = "the vectors that Go made are files"
)]

use std::{fs, path::Path};

use proptest::prelude::*;
use serde::Deserialize;

use super::{Matcher, ParentMatches, PatternError, read};

fn vectors<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/dockerignore")
        .join(name);
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[derive(Deserialize)]
struct Patterns {
    paths: Vec<String>,
    sets: Vec<Set>,
}

#[derive(Deserialize)]
struct Set {
    patterns: Vec<String>,
    new: bool,
    answers: String,
}

fn letter(answer: &Result<bool, PatternError>) -> char {
    match answer {
        Ok(true) => '1',
        Ok(false) => '0',
        Err(_) => 'E',
    }
}

fn descend(matcher: &Matcher, path: &str) -> Result<bool, PatternError> {
    let mut parent: Option<ParentMatches> = None;
    let mut last = false;
    let ends = path.match_indices('/').map(|(end, _)| end);
    for end in ends.chain([path.len()]) {
        let (hit, hits) = matcher.step(&path[..end], parent.as_ref())?;
        last = hit;
        parent = Some(hits);
    }
    Ok(last)
}

#[test]
fn patterns_match_as_in_go() {
    let vectors: Patterns = vectors("patterns.json");
    let mut wrong = Vec::new();
    for set in &vectors.sets {
        let matcher = Matcher::new(&set.patterns);
        if matcher.is_ok() != set.new {
            wrong.push(format!("{:?}: accepted {}", set.patterns, matcher.is_ok()));
        }
        let Ok(matcher) = matcher else { continue };
        for (path, expected) in vectors.paths.iter().zip(set.answers.chars()) {
            let direct = letter(&matcher.is_match(path));
            let walked = letter(&descend(&matcher, path));
            let answer = match (direct, walked) {
                ('0', '1') => 'a',
                ('1', '0') => 'b',
                ('0', 'E') => 'c',
                ('1', 'E') => 'd',
                ('E', '0') => 'e',
                ('E', '1') => 'f',
                _ => direct,
            };
            if answer != expected {
                wrong.push(format!(
                    "{:?} {path:?}: {answer}, Go {expected}",
                    set.patterns
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(60)].join("\n")
    );
}

#[derive(Deserialize)]
struct File {
    text: String,
    patterns: Vec<String>,
    error: bool,
}

#[test]
fn files_are_read_as_in_go() {
    let long = "x".repeat(65535);
    for file in vectors::<Vec<File>>("read.json") {
        let text = file.text.replace("<65535 x>", &long);
        match read(text.as_bytes()) {
            Err(_) => assert!(file.error, "{:?}", file.text),
            Ok(lines) => {
                let patterns: Vec<_> = lines
                    .into_iter()
                    .map(|line| line.pattern.replace(&long, "<65535 x>"))
                    .collect();
                assert!(!file.error, "{:?}", file.text);
                assert_eq!(patterns, file.patterns, "{:?}", file.text);
            }
        }
    }
}

#[test]
fn lines_are_counted_through_comments_and_blanks() {
    let lines = read(b"# c\n\na\r\n\n!/b/\n").unwrap();
    let lines: Vec<_> = lines.iter().map(|l| (l.line, l.pattern.as_str())).collect();
    assert_eq!(lines, [(3, "a"), (5, "!b")]);
}

#[test]
fn a_line_that_is_not_utf8_is_named() {
    assert_eq!(read(b"a\n\xFF\n"), Err(PatternError::NotUtf8 { line: 2 }));
}

proptest! {
    #[test]
    fn any_pattern_is_read_without_a_panic(
        patterns in prop::collection::vec("[ab*?/\\[\\]^!\\\\.\\-dDwpPLQEx0:& é]{0,10}", 0..4),
        path in "[ab/é\\[\\]\\n]{0,8}",
    ) {
        if let Ok(matcher) = Matcher::new(&patterns) {
            let _ = matcher.is_match(&path);
            let _ = descend(&matcher, &path);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&text);
    }
}
