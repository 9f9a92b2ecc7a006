//! Files that mean harm end in a fault, soon and without much memory.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{TODAY, WORDS, bad, read};
use crate::config::{MAX_FILE, decode};

fn soon<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let out = work();
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{what} took {:?}",
        start.elapsed()
    );
    out
}

#[test]
fn billion_laughs_end_in_a_fault() {
    let mut text = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..12 {
        let below = format!("*a{}, ", level - 1).repeat(9);
        writeln!(text, "a{level}: &a{level} [{below}]").unwrap();
    }
    let said = soon("a bomb", || bad(&text));
    assert!(
        said.contains("more than 20000 values once aliases are followed"),
        "{said}"
    );
}

#[test]
fn deep_nesting_ends_in_a_fault() {
    let flow = format!("build: {}{}", "[".repeat(10_000), "]".repeat(10_000));
    let dashes = format!("build:\n  {}x", "- ".repeat(10_000));
    let mut block = String::new();
    for depth in 0..1_200 {
        writeln!(block, "{}k:", " ".repeat(depth)).unwrap();
    }
    for text in [flow, dashes, block] {
        let said = soon("nesting", || bad(&text));
        assert!(said.contains("nested deeper than 32 levels"), "{said}");
    }
}

#[test]
fn an_alias_within_its_own_value_ends_in_a_fault() {
    let said = bad("build: &a\n  args: *a\n");
    assert!(said.contains("alias"), "{said}");
}

#[test]
fn two_megabytes_end_in_a_fault() {
    let text = "# comment\n".repeat(200_000);
    let said = bad(&text);
    assert!(said.contains("larger than 1048576 bytes (1 MiB)"), "{said}");
}

#[test]
fn a_megabyte_of_anything_is_read_in_time() {
    let limit = usize::try_from(MAX_FILE).unwrap() - 1;
    for unit in [
        "a: 1\n", "- x\n", "a", "\"", "{", "[a,", "? ", "&a ", "*a ", "#", "'", "|\n", "é: ü\n",
        "\n ", "!a ",
    ] {
        let text: String = unit.chars().cycle().take(limit / 2).collect();
        soon(unit, || read(&text));
    }
}

#[test]
fn what_is_not_utf8_is_pointed_at() {
    let (_, faults) = decode(
        "plimsoll.yaml",
        b"build:\n  target: \xff\xfe\n",
        &WORDS,
        TODAY,
    );
    insta::assert_snapshot!(faults.render(false), @r"
    error: not UTF-8
     --> plimsoll.yaml:2:11
      |
    2 |   target: ��
      |           ^
      |
      = hint: save the file as UTF-8
    ");
    let utf16: Vec<u8> = "build: {}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let (_, faults) = decode("plimsoll.yaml", &utf16, &WORDS, TODAY);
    assert_eq!(faults.list().len(), 1);
}

#[test]
fn a_nul_does_not_hide_what_follows() {
    let said = bad("build: {}\n\0\nsurprise: 1\n");
    assert!(said.contains("control character U+0000"), "{said}");
}

#[test]
fn many_faults_are_counted() {
    let text = (0..500)
        .map(|n| format!("key{n}: 1"))
        .collect::<Vec<_>>()
        .join("\n");
    let said = bad(&text);
    assert!(said.ends_with("… and 450 more faults"), "{said}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (_, faults) = decode("x", &bytes, &WORDS, TODAY);
        let _ = faults.render(true);
    }

    #[test]
    fn arbitrary_text_never_panics(text in "[ -~\\n\\t{}\\[\\]:,&*!|>'\"%@`#?é\u{85}-]{0,120}") {
        let (_, faults) = read(&text);
        let _ = faults.render(false);
    }

    #[test]
    fn arbitrary_yaml_never_panics(
        lines in proptest::collection::vec(
            ("( ){0,6}", "(build|image|scan|tag|args|secrets|exceptions|report|images|- |name|&a|\\*a)?",
             "(: |:|: \\[|: \\{)?", "[a-z0-9.\\[\\]{}\"', &*-]{0,8}"), 0..12)
    ) {
        let lines = lines.into_iter().map(|(a, b, c, d)| format!("{a}{b}{c}{d}"));
        let text = lines.collect::<Vec<_>>().join("\n");
        let (_, faults) = read(&text);
        let _ = faults.render(false);
    }
}
