//! What `plimsoll.yaml` means, and what is said of its faults.

use insta::assert_snapshot;

use super::{bad, good};
use crate::config::{Settings, schema};

fn example() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/plimsoll.yaml");
    #[expect(
        clippy::disallowed_methods,
        reason = "the example is a file of the repository"
    )]
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn an_empty_file_is_the_default() {
    for text in [
        "",
        "\n\n",
        "# nothing\n",
        "---\n",
        "--- # x\n...\n",
        "\u{feff}",
        "{}",
        "~",
        "build:\nscan:\n",
    ] {
        assert_eq!(good(text), Settings::default(), "{text:?}");
    }
}

#[test]
fn text_keeps_the_digits_it_was_written_with() {
    for written in [
        "1.10",
        "0123",
        "1e3",
        "0x1F",
        "1_000",
        ".5",
        "2026-01-01",
        "1.10-1",
    ] {
        let settings = good(&format!(
            "project: {{product-version: {written}}}\nbuild:\n  args:\n    V: {written}\n"
        ));
        assert_eq!(
            settings
                .project
                .unwrap()
                .value
                .product_version
                .unwrap()
                .value,
            written
        );
        assert_eq!(
            settings.build.unwrap().value.args.unwrap().value["V"].value,
            written
        );
    }
    let image = good("image:\n  tag: 1.10\n  version: 1.10\n")
        .image
        .unwrap()
        .value;
    assert_eq!(image.tag.unwrap().value.0[0].to_string(), "1.10");
    assert_eq!(image.version.unwrap().value.to_string(), "1.10");
}

#[test]
fn quotes_make_a_text_of_anything() {
    for (written, meant) in [
        ("\"true\"", "true"),
        ("'null'", "null"),
        ("!!str true", "true"),
        ("''", ""),
    ] {
        let args = good(&format!("build: {{args: {{A: {written}}}}}"))
            .build
            .unwrap()
            .value
            .args
            .unwrap();
        assert_eq!(args.value["A"].value, meant, "{written}");
    }
}

#[test]
fn anchors_and_aliases_are_followed() {
    let settings = good("build:\n  args: &a {A: one}\n  labels: *a\n");
    let build = settings.build.unwrap().value;
    assert_eq!(build.labels.unwrap().value["A"].value, "one");
}

#[test]
#[expect(clippy::too_many_lines, reason = "the snapshot is long")]
fn every_fault_is_shown_at_once_with_its_line() {
    assert_snapshot!(bad("\
build:
  contxt: .
  no-cache: yes please
  target: true
  target: [a]
image:
  tag: -bad-
scan:
  profile: containr
  exceptions:
    - rule: HasLicence
      reason: later
      expires: 2026-11-21
    - rule: good_tags
surprise: 1
"), @r#"
    error: unknown key `contxt`
     --> plimsoll.yaml:2:3
      |
    2 |   contxt: .
      |   ^^^^^^
      |
      = hint: did you mean `context`?

    error: `no-cache` wants true or false, not the text `yes please`
     --> plimsoll.yaml:3:13
      |
    3 |   no-cache: yes please
      |             ^^^^^^^^^^

    error: `target` wants text, not the boolean `true`
     --> plimsoll.yaml:4:11
      |
    4 |   target: true
      |           ^^^^
      |
      = hint: if the text is meant, quote it: "true"

    error: `target` is set twice
     --> plimsoll.yaml:5:3
      |
    4 |   target: true
      |   ------ first set here
    5 |   target: [a]
      |   ^^^^^^
      |
      = hint: keep one of the two

    error: `tag`: `-bad-`: character 1, `-`, may not start a tag
     --> plimsoll.yaml:7:8
      |
    7 |   tag: -bad-
      |        ^^^^^
      |
      = hint: a good tag is `1.0-1`: version and number of the build

    error: `profile`: `containr` is no profile
     --> plimsoll.yaml:9:12
      |
    9 |   profile: containr
      |            ^^^^^^^^
      |
      = hint: did you mean `container`?

    error: `rule`: `HasLicence` is no rule
      --> plimsoll.yaml:11:13
       |
    11 |     - rule: HasLicence
       |             ^^^^^^^^^^
       |
       = hint: did you mean `has_licenses`?

    error: the exception expired on 2026-11-21 (today is 2026-11-22 UTC)
      --> plimsoll.yaml:13:16
       |
    13 |       expires: 2026-11-21
       |                ^^^^^^^^^^
       |
       = hint: mend what it excuses and remove it, or have it granted anew

    error: `reason` is missing here
      --> plimsoll.yaml:14:7
       |
    14 |     - rule: good_tags
       |       ^^^^^^^^^^^^^^^

    error: unknown key `surprise`
      --> plimsoll.yaml:15:1
       |
    15 | surprise: 1
       | ^^^^^^^^
       |
       = hint: the keys here are `project`, `company`, `contacts`, `source`, `build`, `image`, `scan`, `report`, `publish`, `rebuild`, `notify`, `ci`, `checklist`, `stages`, `push`, `timeout`, `images`
    "#);
}

#[test]
#[expect(clippy::too_many_lines, reason = "the snapshot is long")]
fn wrong_types_say_what_was_found() {
    assert_snapshot!(bad("\
build:
  args: [A=1]
  platforms: linux/amd64
  network: bridge
  secrets:
    token:
      src: a
      env: B
image:
  tag:
  version: {a: b}
scan: true
report: [pdf=x, json=]
notify:
  smtp: {port: 0}
"), @r"
    error: `args` wants a mapping of names to values, not a list
     --> plimsoll.yaml:2:9
      |
    2 |   args: [A=1]
      |         ^^^^^

    error: `platforms` wants a list, not the text `linux/amd64`
     --> plimsoll.yaml:3:14
      |
    3 |   platforms: linux/amd64
      |              ^^^^^^^^^^^
      |
      = hint: write `[linux/amd64]`

    error: `network`: `bridge` is no network
     --> plimsoll.yaml:4:12
      |
    4 |   network: bridge
      |            ^^^^^^
      |
      = hint: one of `default`, `none`, `host`

    error: a secret with two sources
     --> plimsoll.yaml:7:12
      |
    7 |       src: a
      |            ^
      |
      = hint: keep `src` or `env`

    error: `tag` wants text, not nothing
      --> plimsoll.yaml:10:6
       |
    10 |   tag:
       |      ^
       |
       = hint: give it a value, or remove the key

    error: `version` wants text, not a mapping
      --> plimsoll.yaml:11:12
       |
    11 |   version: {a: b}
       |            ^^^^^^

    error: `scan` wants a mapping, not the boolean `true`
      --> plimsoll.yaml:12:7
       |
    12 | scan: true
       |       ^^^^
       |
       = hint: with the keys `profile`, `only`, `required`, `exceptions`, `base`, `baseline`, `fail-on`, `advisories`

    error: `report`: `pdf` is no report format
      --> plimsoll.yaml:13:10
       |
    13 | report: [pdf=x, json=]
       |          ^^^^^
       |
       = hint: one of `table`, `json`, `sarif`, `junit`

    error: `report`: an empty path
      --> plimsoll.yaml:13:17
       |
    13 | report: [pdf=x, json=]
       |                 ^^^^^

    error: `host` is missing here
      --> plimsoll.yaml:15:9
       |
    15 |   smtp: {port: 0}
       |         ^^^^^^^^^

    error: `port`: `0` is no port, 1 to 65535
      --> plimsoll.yaml:15:16
       |
    15 |   smtp: {port: 0}
       |                ^
    ");
}

#[test]
fn a_second_document_is_a_fault() {
    assert_snapshot!(bad("build:\n  pull: true\n---\nbuild: {}\n"), @r"
    error: a second document in the same file
     --> plimsoll.yaml:3:1
      |
    3 | ---
      | ^^^
      |
      = hint: keep one document: remove this `---` and what follows
    ");
}

#[test]
fn tabs_are_named() {
    assert_snapshot!(bad("build:\n\tpull: true\n"), @r"
    error: not YAML: tabs disallowed within this context (block indentation)
     --> plimsoll.yaml:2:2
      |
    2 |     pull: true
      |     ^
      |
      = hint: indent with spaces: YAML forbids tabs
    ");
}

#[test]
fn broken_yaml_points_at_the_place() {
    assert_snapshot!(bad("build: {pull: true\nimage: x\n"), @r"
    error: not YAML: while parsing a flow mapping, did not find expected ',' or '}'
     --> plimsoll.yaml:2:6
      |
    2 | image: x
      |      ^
    ");
}

#[test]
fn tags_and_complex_keys_are_faults() {
    assert_snapshot!(bad("build: !secret {pull: true}\n? [a]\n: b\n<<: {}\n"), @r"
    error: YAML tags have no meaning here
     --> plimsoll.yaml:1:8
      |
    1 | build: !secret {pull: true}
      |        ^^^^^^^^^
      |
      = hint: remove the `!…` before this value

    error: a key must be a text
     --> plimsoll.yaml:2:3
      |
    2 | ? [a]
      |   ^^^

    error: unknown key `<<`
     --> plimsoll.yaml:4:1
      |
    4 | <<: {}
      | ^^
      |
      = hint: the keys here are `project`, `company`, `contacts`, `source`, `build`, `image`, `scan`, `report`, `publish`, `rebuild`, `notify`, `ci`, `checklist`, `stages`, `push`, `timeout`, `images`
    ");
}

#[test]
fn several_images_share_what_is_above_them() {
    let settings =
        good("build: {pull: true}\nimages:\n- name: a\n  build: {target: x}\n- name: b\n");
    assert_eq!(settings.images.unwrap().value.len(), 2);
    assert_snapshot!(bad("images:\n- build: {}\n"), @r"
    error: `name` is missing here
     --> plimsoll.yaml:2:3
      |
    2 | - build: {}
      |   ^^^^^^^^^
    ");
}

#[test]
fn the_example_is_valid_and_matches_the_schema() {
    good(&example());
    let value: serde_json::Value = serde_yaml::from_str(&example()).unwrap();
    let schema = serde_json::to_value(schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(&value)
        .map(|e| format!("{} at {}", e, e.instance_path()))
        .collect();
    assert_eq!(errors, Vec::<String>::new());
}

#[test]
fn the_example_uses_every_key() {
    // A key that the example leaves out is one that nobody finds.
    let value: serde_json::Value = serde_yaml::from_str(&example()).unwrap();
    let schema = serde_json::to_value(schema()).unwrap();
    let mut missing = Vec::new();
    unused(&schema, &value, "", &mut missing);
    missing.retain(|path| !path.starts_with("/images/"));
    assert_eq!(missing, Vec::<String>::new());
}

fn unused(
    schema: &serde_json::Value,
    value: &serde_json::Value,
    path: &str,
    out: &mut Vec<String>,
) {
    if let Some(properties) = schema["properties"].as_object() {
        for (key, inner) in properties {
            let path = format!("{path}/{key}");
            // Of a secret's two sources one is given.
            match value.get(key) {
                Some(value) => unused(inner, value, &path, out),
                None if path.ends_with("/src") => {}
                None => out.push(path),
            }
        }
    }
    if let (items @ serde_json::Value::Object(_), Some(list)) = (&schema["items"], value.as_array())
    {
        let whole: serde_json::Map<_, _> = list
            .iter()
            .filter_map(|v| v.as_object())
            .flat_map(Clone::clone)
            .collect();
        if !whole.is_empty() {
            unused(items, &whole.into(), path, out);
        }
    }
}

#[test]
fn the_schema_refuses_what_the_decoder_refuses() {
    let schema = serde_json::to_value(schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for text in [
        "surprise: 1",
        "build: {contxt: .}",
        "build: {pull: 'yes'}",
        "image: {tag: -x}",
        "image: {tag: true}",
        "scan: {profile: x}",
        "scan: {exceptions: [{rule: good_tags}]}",
        "images: [{}]",
        "build: {args: [a]}",
        "build: {platforms: linux/amd64}",
        "stages: [publish]",
        "notify: {smtp: {host: a, port: 70000}}",
        "checklist: [{item: a, who: b, when: tomorrow}]",
    ] {
        bad(text);
        let value: serde_json::Value = serde_yaml::from_str(text).unwrap();
        assert!(!validator.is_valid(&value), "{text}");
    }
    for text in [
        "{}",
        "build: {pull: true, args: {A: 1.10}}",
        "image: {tag: [1.0-1, latest]}",
    ] {
        good(text);
        let value: serde_json::Value = serde_yaml::from_str(text).unwrap();
        assert!(validator.is_valid(&value), "{text}");
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the schema that is shipped is a file"
)]
fn the_shipped_schema_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/plimsoll.schema.json");
    let fresh = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &fresh).unwrap();
    }
    let shipped = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        shipped == fresh,
        "{path} is stale: run the tests with UPDATE=1"
    );
}
