//! `scan docker://…` of a registry that answers badly, late or not at all.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Project, assert_error, signal};
use crate::support::{
    image::{Image, Packed},
    registry::{Double, Reply, Seen, Store},
};

fn packed() -> Packed {
    Image::new()
        .layer("dir /licenses\nfile /licenses/EULA 0644 \"terms\"")
        .pack()
}

fn layer_of(packed: &Packed) -> String {
    let manifest: Value = serde_json::from_slice(packed.document()).unwrap();
    manifest["layers"][0]["digest"].as_str().unwrap().to_owned()
}

fn place(double: &Double) -> String {
    format!("docker://{}/p/x:1.0-1", double.host())
}

type Bend = fn(&Seen, &str, &Store) -> Option<Reply>;

/// An honest registry, but for what `bend` answers; it is given the digest of the layer.
fn bent(bend: Bend) -> Double {
    let packed = packed();
    let (store, layer) = (Store::new(&packed, "1.0-1"), layer_of(&packed));
    Double::start(move |seen| bend(seen, &layer, &store).unwrap_or_else(|| store.answer(seen)))
}

/// Each fault, the words of its error, and the words of its hint.
const FAULTS: &[(&str, Bend, &[&str])] = &[
    (
        "401",
        |_, _, _| Some(Reply::new(401, "").header("www-authenticate", "Basic realm=\"x\"")),
        &["p/x:1.0-1", "hint: log in with `docker login 127.0.0.1:"],
    ),
    (
        "403",
        |seen, _, _| seen.path.contains("/p/x/").then(|| Reply::new(403, "")),
        &["p/x:1.0-1", "hint: log in with `docker login 127.0.0.1:"],
    ),
    (
        "404",
        |seen, _, store| {
            Some(store.answer(&Seen {
                path: seen.path.replace("1.0-1", "9"),
                ..seen.clone()
            }))
        },
        &["no image at", "p/x:1.0-1", "not known here"],
    ),
    (
        "500",
        |seen, _, _| {
            seen.path
                .contains("/p/x/")
                .then(|| Reply::new(500, "<html>oops</html>"))
        },
        &["p/x:1.0-1", "500", "5 tries", "hint: "],
    ),
    (
        "terminal",
        |seen, _, _| {
            let body = "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"\\u001b[2J\\u001b]0;x\\u0007\\n::error::no\"}]}";
            seen.path.contains("/p/x/").then(|| Reply::new(403, body))
        },
        &["p/x:1.0-1"],
    ),
    (
        "a page instead of a manifest",
        |seen, _, _| {
            let page = Reply::new(200, "<html>log in</html>").header("content-type", "text/html");
            seen.path.contains("/manifests/").then_some(page)
        },
        &["manifest", "not JSON"],
    ),
    (
        "wrong digest",
        |seen, layer, store| {
            let blob = store.answer(seen);
            seen.path.ends_with(layer).then(|| blob.flipped())
        },
        &[
            "layer 0",
            "expected sha256:",
            "hint: the stored bytes are damaged",
        ],
    ),
    (
        "truncated",
        |seen, layer, store| {
            let blob = store.answer(seen);
            seen.path.ends_with(layer).then(|| blob.truncated())
        },
        &["layer 0", "bytes", "hint: "],
    ),
    (
        "reset, again and again",
        |seen, layer, store| {
            let blob = store.answer(seen);
            seen.path.ends_with(layer).then(|| blob.cut_at(0))
        },
        &["layer 0", "(5 tries)", "hint: "],
    ),
    (
        "no such blob",
        |seen, layer, _| seen.path.ends_with(layer).then(|| Reply::new(404, "")),
        &["layer 0"],
    ),
];

#[test]
fn every_fault_of_a_registry_is_told_with_exit_code_4() {
    // The tries of each take some seconds.
    thread::scope(|scope| {
        for (name, bend, words) in FAULTS {
            scope.spawn(move || {
                let project = Project::new(&[]);
                let double = bent(*bend);
                let ran = project.run(&["scan", &place(&double), "--format", "json=r.json"]);
                assert_error(&ran, 4, words);
                let odd = |c: char| c.is_control() && c != '\n';
                assert!(!ran.stderr.contains(odd), "{name}: {ran}");
                assert!(
                    ran.stderr.lines().all(|line| !line.starts_with("::")),
                    "{ran}"
                );
                assert!(project.files().is_empty(), "{name}: {ran}");
            });
        }
    });
}

#[test]
fn a_registry_that_recovers_or_is_slow_is_waited_for() {
    let project = Project::new(&[]);
    let double = bent(|seen, layer, store| match seen.nth {
        0 if seen.path.contains("/manifests/") => Some(Reply::new(503, "")),
        0 if seen.path.ends_with(layer) => Some(store.answer(seen).cut_at(10)),
        1 => Some(store.answer(seen).after(Duration::from_secs(1))),
        _ => None,
    });
    let ran = project.run(&["scan", &place(&double), "--only", "has_licenses,good_tags"]);
    assert_eq!(ran.code, 0, "{ran}");
}

#[test]
fn a_scan_of_a_silent_registry_can_be_interrupted() {
    let stalls: [(Bend, &str, i32); 3] = [
        (
            |_, _, _| Some(Reply::new(200, "").after(Duration::from_secs(100))),
            "-INT",
            130,
        ),
        (
            |seen, _, store| {
                let document = store.answer(seen);
                let stalled = document.stall_at(0, Duration::from_secs(100));
                seen.path.contains("/manifests/").then_some(stalled)
            },
            "-TERM",
            143,
        ),
        (
            |seen, layer, store| {
                let blob = store.answer(seen);
                let stalled = blob.stall_at(0, Duration::from_secs(100));
                seen.path.ends_with(layer).then_some(stalled)
            },
            "-INT",
            130,
        ),
    ];
    for (bend, name, code) in stalls {
        let project = Project::new(&[]);
        let double = bent(bend);
        let child = project.start(&["scan", &place(&double)]);
        thread::sleep(Duration::from_secs(1));
        let start = Instant::now();
        signal(&child, name);
        let ran = project.end(child);
        assert_error(&ran, code, &["error: "]);
        assert!(start.elapsed() < Duration::from_mins(1), "{ran}");
    }
}

#[test]
fn nobody_who_listens_is_said_so() {
    let project = Project::new(&[]);
    let ran = project.run(&["scan", "docker://127.0.0.1:1/p/x:1"]);
    assert_error(
        &ran,
        4,
        &["127.0.0.1:1/p/x:1", "Connection refused", "hint: "],
    );
}
