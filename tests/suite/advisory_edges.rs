//! What the advisories say at their edges: sources with nothing in them, documents that are too large,
//! texts of strangers, what is unclear, days that inputs ask for.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Ran, example_base, plimsoll_with};

/// A home of its own with a database of the advisories that come along.
struct Place(TempDir);

impl Place {
    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn new() -> Self {
        let place = Self::empty();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/advisory");
        let made = place.update(&from, &["--complete"]);
        assert_eq!(made.code, 0, "{made}");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn run(&self, args: &[&str], inputs: &Value) -> Ran {
        let home = self.0.path().to_str().unwrap();
        let inputs = inputs.to_string();
        let variables = [
            ("XDG_DATA_HOME", home),
            ("XDG_CACHE_HOME", home),
            ("PLIMSOLL_INPUTS", inputs.as_str()),
        ];
        plimsoll_with(self.0.path(), args, &variables)
    }

    fn advisories(&self, args: &[&str]) -> Ran {
        self.run(&[&["advisories"], args].concat(), &json!({}))
    }

    fn update(&self, from: &Path, more: &[&str]) -> Ran {
        let from = ["update", "--from", from.to_str().unwrap()];
        self.advisories(&[&from[..], more].concat())
    }

    fn database(&self) -> Option<Vec<u8>> {
        fs::read(self.path("plimsoll/advisories.db")).ok()
    }
}

#[test]
fn a_source_with_nothing_of_a_feed_is_an_error_and_changes_nothing() {
    let place = Place::new();
    let before = place.database();
    fs::create_dir(place.path("empty")).unwrap();
    place.put("notes/README.md", "nothing here");
    place.put("archives/mine.tar.zst", "an archive of another name");
    place.put("nothing.tar", [0; 1024]);
    for from in ["empty", "notes", "archives", "nothing.tar"] {
        for more in [&["--complete"][..], &[]] {
            let ran = place.update(Path::new(from), more);
            assert_eq!(ran.code, 2, "{from}: {ran}");
            let told = format!("{from} holds nothing of a feed");
            assert!(ran.stderr.contains(&told), "{ran}");
        }
    }
    assert!(place.database() == before, "the database changed");
}

/// A document of RHSA-2024:4 without products.
fn advisory(title: &str, severity: &str) -> serde_json::Value {
    json!({ "document": {
        "csaf_version": "2.0", "title": title, "aggregate_severity": { "text": severity },
        "tracking": { "id": "RHSA-2024:4", "initial_release_date": "2024-01-01T00:00:00Z",
            "current_release_date": "2024-01-01T00:00:00Z" },
    }})
}

#[test]
fn a_document_that_is_too_large_is_listed_and_the_rest_is_taken() {
    let place = Place::new();
    let good = advisory("Red Hat Security Advisory: ok", "Low");
    place.put("feed/2024/rhsa-2024_4.json", good.to_string());
    place.put("feed/2024/rhsa-2024_5.json", "");
    let large = fs::File::options();
    let large = { large }
        .write(true)
        .open(place.path("feed/2024/rhsa-2024_5.json"));
    large.unwrap().set_len((256 << 20) + 1).unwrap();
    let ran = place.update(Path::new("feed"), &[]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.stdout.contains("1 advisories added"), "{ran}");
    let why = "2024/rhsa-2024_5.json: it is larger than a document may be";
    assert!(ran.stderr.contains(&format!("skipped {why}")), "{ran}");
    let status = place.advisories(&["status"]);
    assert!(status.stdout.contains(why), "{status}");
}

#[test]
fn texts_of_strangers_do_not_steer_the_terminal() {
    let place = Place::new();
    let odd = advisory("a \u{1b}[31m red\nseverity  None", "Critical");
    place.put("feed/2024/rhsa-2024_4.json", odd.to_string());
    place.put("feed/2024/\u{1b}]0;x\u{7}\nadvisories 0.json", "{}");
    let ran = place.update(Path::new("feed"), &[]);
    assert_eq!(ran.code, 0, "{ran}");
    // Ids are found however they are written.
    for args in [&["status"][..], &["show", "rhsa-2024:4"]] {
        let ran = place.advisories(args);
        assert_eq!(ran.code, 0, "{ran}");
        let steers = |c: char| c.is_control() && c != '\n';
        assert!(!ran.stdout.contains(steers), "{ran}");
        let forged = ["severity  None", "advisories 0"];
        let is_forged = |line: &str| forged.iter().any(|text| line.starts_with(text));
        assert!(!ran.stdout.lines().any(is_forged), "{ran}");
    }
}

#[test]
fn what_is_unclear_is_told_beside_the_table() {
    let place = Place::new();
    place.put("list", "bash-4.4-1.el8.x86_64\n");
    let args = [
        "for",
        "--packages",
        "list",
        "--assume-signed",
        "--release",
        "8.0",
    ];
    let more = ["--as-of", "2024-01-05", "--repository", "mine"];
    let ran = place.advisories(&[&args[..], &more].concat());
    assert_eq!(ran.code, 0, "{ran}");
    let note = "repository `mine` is not in Red Hat's map of products";
    assert!(ran.stderr.contains(&format!("warning: {note}\n")), "{ran}");
    assert!(!ran.stdout.contains(note), "{ran}");
}

#[test]
fn the_day_among_the_inputs_dates_the_grade_and_never_a_push() {
    let place = Place::new();
    let image = format!("oci:{}:16.2", example_base().display());
    let inputs = |day: &str| json!({ "image-ref": image, "as-of": day, "format": "json" });
    let ran = place.run(&["run"], &inputs("2024-01-05"));
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran}"));
    assert_eq!(report["grade_as_of"], "2024-01-05", "{ran}");
    let ran = place.run(&["run"], &inputs("tomorrow"));
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.stderr.contains("input as-of: `tomorrow`"), "{ran}");
    place.put("Dockerfile", "FROM scratch\n");
    let push = json!({ "as-of": "2024-01-05", "engine": "embedded", "push": "true",
        "image": "localhost:1/team/app", "tags": "1.0-1" });
    let ran = place.run(&["run"], &push);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.stderr.contains("pushed by its grade of today"), "{ran}");
    assert!(!ran.stderr.contains("built"), "{ran}");
}
