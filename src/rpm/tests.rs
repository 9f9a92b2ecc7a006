//! Headers made by hand: regions, what overrides what, and what is refused.

use proptest::prelude::*;

use super::{HeaderError, Package};

const STRING: u32 = 6;
const BINARY: u32 = 7;
const STRINGS: u32 = 8;
const INT16: u32 = 3;
const INT32: u32 = 4;

/// A tag's number, type, count and data.
type Tag = (u32, u32, u32, Vec<u8>);

fn text(tag: u32, value: &str) -> Tag {
    (tag, STRING, 1, [value.as_bytes(), &[0]].concat())
}

fn texts(tag: u32, values: &[&str]) -> Tag {
    let count = u32::try_from(values.len()).expect("few");
    let data = values
        .iter()
        .flat_map(|value| [value.as_bytes(), &[0]].concat());
    (tag, STRINGS, count, data.collect())
}

fn ints(tag: u32, values: &[u32]) -> Tag {
    let count = u32::try_from(values.len()).expect("few");
    let data = values.iter().flat_map(|value| value.to_be_bytes());
    (tag, INT32, count, data.collect())
}

fn base() -> Vec<Tag> {
    vec![text(1000, "tool"), text(1001, "1"), text(1002, "2")]
}

fn words(values: [u32; 4]) -> Vec<u8> {
    values.into_iter().flat_map(u32::to_be_bytes).collect()
}

/// Tags inside a region of number `region` (none: a header of rpm 3) and tags after it.
fn blob(region: Option<u32>, inside: &[Tag], after: &[Tag]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    let add = |tag: &Tag, index: &mut Vec<u8>, data: &mut Vec<u8>| {
        let width = match tag.1 {
            INT16 => 2,
            INT32 => 4,
            _ => 1,
        };
        data.resize(data.len().next_multiple_of(width), 0);
        let at = u32::try_from(data.len()).expect("small");
        index.extend(words([tag.0, tag.1, at, tag.2]));
        data.extend(&tag.3);
    };
    for tag in inside {
        add(tag, &mut index, &mut data);
    }
    if let Some(region) = region {
        let at = u32::try_from(data.len()).expect("small");
        let size = u32::try_from(index.len() + 16).expect("small");
        index.splice(0..0, words([region, BINARY, at, 16]));
        data.extend(words([region, BINARY, size.wrapping_neg(), 16]));
    }
    for tag in after {
        add(tag, &mut index, &mut data);
    }
    let il = u32::try_from(index.len() / 16)
        .expect("small")
        .to_be_bytes();
    let dl = u32::try_from(data.len()).expect("small").to_be_bytes();
    [&il[..], &dl, &index, &data].concat()
}

fn paths(package: &Package) -> Vec<String> {
    package
        .files
        .iter()
        .map(|file| file.path.to_string())
        .collect()
}

#[test]
fn headers_read_with_every_region_and_without() {
    for region in [None, Some(61), Some(62), Some(63)] {
        let package = Package::parse(&blob(region, &base(), &[])).expect("header is valid");
        assert_eq!(package.nevra.to_string(), "tool-1-2", "{region:?}");
    }
}

#[test]
fn entries_after_the_region_replace_those_inside() {
    let after = [text(1001, "9"), ints(1008, &[77]), text(1001, "10")];
    let package = Package::parse(&blob(Some(63), &base(), &after)).expect("header is valid");
    assert_eq!(package.nevra.version, "10");
    assert_eq!(package.install_time, Some(77));
}

#[test]
fn absent_epoch_is_not_zero() {
    let with = |epoch| blob(Some(63), &base(), &[ints(1003, &[epoch])]);
    let epoch = |blob: &[u8]| Package::parse(blob).expect("header is valid").nevra.epoch;
    assert_eq!(epoch(&with(0)), Some(0));
    assert_eq!(epoch(&with(4)), Some(4));
    assert_eq!(epoch(&blob(Some(63), &base(), &[])), None);
}

#[test]
fn old_file_names_are_read_and_base_names_win() {
    let mut inside = base();
    inside.push(texts(1027, &["/old/a", "/old/b"]));
    let old = blob(Some(61), &inside, &[]);
    assert_eq!(
        paths(&Package::parse(&old).expect("valid")),
        ["/old/a", "/old/b"]
    );
    let names = [
        ints(1116, &[1, 0]),
        texts(1117, &["a", ""]),
        texts(1118, &["/x/", "/y/"]),
    ];
    let new = blob(Some(61), &inside, &names);
    assert_eq!(paths(&Package::parse(&new).expect("valid")), ["/y/a", "/x"]);
}

#[test]
fn empty_strings_keep_their_place() {
    let mut inside = base();
    inside.push(texts(1027, &["/a", "/b", "/c"]));
    inside.push(texts(1036, &["", "target", ""]));
    let package = Package::parse(&blob(None, &inside, &[])).expect("valid");
    let links: Vec<&[u8]> = package
        .files
        .iter()
        .map(|file| &*file.link_target)
        .collect();
    assert_eq!(links, [&b""[..], b"target", b""]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn damaged_headers_are_refused_with_the_reason() {
    let good = blob(Some(63), &base(), &[]);
    let with = |at: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        bytes
    };
    let files = |extra: Tag| {
        let tags = [
            ints(1116, &[0]),
            texts(1117, &["a"]),
            texts(1118, &["/"]),
            extra,
        ];
        blob(Some(63), &base(), &tags)
    };
    let unterminated = (1011, STRING, 1, b"no end".to_vec());
    let long = texts(1027, &["x".repeat(5000).as_str()]);
    for (name, bytes, want) in [
        ("empty", Vec::new(), "call for"),
        ("no entries", vec![0; 8], "0 index entries"),
        ("too many entries", with(0, 0x1_0000), "65536 index entries"),
        (
            "too much data",
            with(4, 0x1000_0000),
            "268435456 bytes of data",
        ),
        ("one byte more", [&good[..], &[0]].concat(), "call for"),
        ("cut", good[..good.len() - 1].to_vec(), "call for"),
        ("region of another type", with(12, STRING), "region 63"),
        ("region outside the data", with(16, 9999), "region 63"),
        ("region of another length", with(20, 17), "region 63"),
        ("unknown type", with(28, 10), "its type does not exist"),
        (
            "offset outside the data",
            with(32, 9999),
            "ends outside the data",
        ),
        (
            "negative offset",
            with(32, u32::MAX),
            "ends outside the data",
        ),
        ("no value", with(36, 0), "no value"),
        ("string with a count", with(36, 2), "string with a count"),
        ("reserved tag", with(24, 63), "not allowed here"),
        (
            "number that is a text",
            blob(None, &[text(1000, "a"), ints(1001, &[1])], &[]),
            "has type",
        ),
        (
            "string without end",
            blob(None, &base(), &[unterminated]),
            "do not end",
        ),
        (
            "no name",
            blob(None, &base()[1..], &[]),
            "tag 1000 is missing",
        ),
        (
            "other number of modes",
            files((1030, INT16, 2, vec![0; 4])),
            "2 elements for 1",
        ),
        (
            "digest that is none",
            files(texts(1035, &["xyz"])),
            "not hexadecimal",
        ),
        (
            "directory that is none",
            files(ints(1116, &[7])),
            "not in the list",
        ),
        (
            "path too long",
            blob(None, &base(), &[long]),
            "longer than 4096",
        ),
    ] {
        let error = Package::parse(&bytes).expect_err(name).to_string();
        assert!(error.contains(want), "{name}: {error}");
    }
}

#[test]
fn trailer_of_a_region_must_fit() {
    let good = blob(Some(63), &base(), &[]);
    let trailer = good.len() - 16;
    for (at, value) in [
        (0, 61),
        (4, 6),
        (8, 16),
        (8, 0),
        (8, (-17_i32).cast_unsigned()),
        (12, 1),
    ] {
        let mut bytes = good.clone();
        bytes[trailer + at..trailer + at + 4].copy_from_slice(&u32::to_be_bytes(value));
        let error = Package::parse(&bytes).expect_err("trailer is damaged");
        assert!(
            matches!(error, HeaderError::Region { tag: 63, .. }),
            "{at}: {error}"
        );
    }
}

#[test]
fn small_headers_cannot_ask_for_long_paths() {
    let directory = format!("/{}/", "d".repeat(4000));
    let count = 2000;
    let tags = [
        ints(1116, &vec![0; count]),
        texts(1117, &vec!["f"; count]),
        texts(1118, &[&directory]),
    ];
    let error = Package::parse(&blob(None, &base(), &tags)).expect_err("over the budget");
    assert!(error.to_string().contains("64 times"), "{error}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_end_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Package::parse(&bytes);
        for magic in [&b"SQLite format 3\0"[..], b"RpmP"] {
            let _ = super::read(&[magic, &bytes].concat(), Some(&bytes));
        }
    }

    #[test]
    fn changed_headers_end_without_panic(at in 0_usize..400, value: u32) {
        let tags = [ints(1116, &[0, 1]), texts(1117, &["a", "b"]), texts(1118, &["/", "/x/"])];
        let mut bytes = blob(Some(63), &base(), &tags);
        let at = at % (bytes.len() - 4);
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        let _ = Package::parse(&bytes);
    }
}
