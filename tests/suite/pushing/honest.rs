//! A registry that keeps to the specification.

use plimsoll::{oci::Reference, registry::push::Pusher};

use super::{
    Laid, Told, accepted, assert_whole, bent, changing, image, noise, options, push, pusher, tags,
};
use crate::support::{
    image::{Image, Layer, Packed},
    registry::{Double, Reply},
    uploads::Uploads,
};

const PIECE: usize = 8 << 20;

#[test]
fn an_image_arrives_whole_and_a_second_push_sends_nothing() {
    let uploads = Uploads::default();
    let double = bent(&uploads, |_, _| None);
    let laid = Laid::new(image(20 << 20).pack());
    let pushed = push(&double, &laid, &tags(&["1.0-1", "latest"])).unwrap();
    assert_whole(&uploads, &laid, &["1.0-1", "latest"]);
    assert_eq!(pushed.digest.to_string(), laid.digest());
    assert_eq!(pushed.uploaded, 3);
    let bodies = double.requests();
    let pieces: Vec<usize> = bodies
        .iter()
        .filter(|seen| seen.method == "PATCH")
        .map(|seen| seen.body.len())
        .collect();
    assert_eq!(pieces.len(), 3, "{pieces:?}");
    assert_eq!(pieces[0], PIECE);

    let before = double.requests().len();
    let again = push(&double, &laid, &tags(&["1.0-1", "latest"])).unwrap();
    assert_eq!((again.uploaded, again.existing), (0, 3));
    let second = &double.requests()[before..];
    assert!(!second.is_empty());
    for seen in second {
        assert!(matches!(seen.method.as_str(), "GET" | "HEAD"), "{seen:?}");
    }
}

#[test]
fn an_index_goes_after_its_images_and_tags_go_last() {
    let uploads = Uploads::default();
    let double = bent(&uploads, |_, _| None);
    let amd = image(1000).pack();
    let arm = Image::new()
        .layer(Layer::from("dir /etc").file("noise", 0o644, &noise(2000, 7)))
        .label("name", "team/app")
        .platform("linux", "arm64")
        .pack();
    let laid = Laid::new(Packed::index(&[amd.clone(), arm.clone()], &[]));
    push(&double, &laid, &tags(&["1.0-1", "1.0"])).unwrap();
    assert_whole(&uploads, &laid, &["1.0-1", "1.0"]);
    let log = changing(&double);
    let at = |end: &str| {
        let found = log.iter().position(|line| line.ends_with(end));
        found.unwrap_or_else(|| panic!("no {end} in {log:#?}"))
    };
    let last_blob = log
        .iter()
        .rposition(|line| line.contains("/blobs/"))
        .unwrap();
    for child in [&amd, &arm] {
        let child = at(&format!("manifests/{}", child.digest()));
        assert!(last_blob < child && child < at(&format!("manifests/{}", laid.digest())));
    }
    assert!(at(&format!("manifests/{}", laid.digest())) < at("manifests/1.0-1"));
    assert_eq!(at("manifests/1.0"), log.len() - 1, "{log:#?}");
}

#[test]
fn what_was_not_accepted_does_not_reach_the_registry() {
    let uploads = Uploads::default();
    let double = bent(&uploads, |_, _| None);
    let (one, other) = (Laid::new(image(10).pack()), Laid::new(image(20).pack()));
    let error = pusher(&double, &[], &options())
        .push(&one.source(), &other.accepted(), &tags(&["1.0-1"]), &())
        .unwrap_err();
    assert!(error.to_string().contains(&one.digest()), "{error}");
    // One image of the index was judged, the other was not.
    let arm = image(30).platform("linux", "arm64").pack();
    let index = Laid::new(Packed::index(&[one.packed.clone(), arm.clone()], &[]));
    let error = pusher(&double, &[], &options())
        .push(&index.source(), &one.accepted(), &tags(&["1.0-1"]), &())
        .unwrap_err();
    assert!(
        error.to_string().contains(&arm.digest().to_string()),
        "{error}"
    );
    assert_eq!(double.requests().len(), 0);
}

#[test]
fn a_tag_of_one_image_is_not_moved_and_one_that_floats_is() {
    let uploads = Uploads::default();
    let double = bent(&uploads, |_, _| None);
    let laid = Laid::new(image(1000).pack());
    let taken = uploads.set_tag("1.0-1");
    uploads.set_tag("latest");
    let mut how = tags(&["latest", "1.0-1"]);
    how.movable = vec!["latest".to_owned()];
    let error = push(&double, &laid, &how).unwrap_err();
    assert!(error.to_string().contains(&taken), "{error}");
    assert!(error.hint().unwrap().contains("next build number"));
    assert_eq!(changing(&double), Vec::<String>::new());
    assert_eq!(uploads.tags()["1.0-1"], taken);
    assert_ne!(uploads.tags()["latest"], laid.digest());

    how.tags = vec!["latest".to_owned(), "1.0-2".to_owned()];
    push(&double, &laid, &how).unwrap();
    assert_whole(&uploads, &laid, &["latest", "1.0-2"]);
    how.tags = vec!["1.0-1".to_owned()];
    how.force = true;
    push(&double, &laid, &how).unwrap();
    assert_whole(&uploads, &laid, &["1.0-1"]);
}

#[test]
fn layers_are_taken_from_another_repository_where_that_is_possible() {
    let laid = Laid::new(image(1000).pack());
    let from = "p/base";
    for refuses in [false, true] {
        let uploads = Uploads::default();
        uploads.hold_elsewhere(from, &laid.packed.blobs[&laid.large()]);
        let double = bent(&uploads, move |seen, uploads| {
            // 202: send it yourself.
            let plain = seen.path.split('?').next().unwrap().to_owned();
            (refuses && seen.path.contains("mount=")).then(|| {
                uploads.answer(&crate::support::registry::Seen {
                    path: plain,
                    ..seen.clone()
                })
            })
        });
        let pusher = pusher(&double, &["p/other", from], &options());
        let pushed = pusher
            .push(&laid.source(), &laid.accepted(), &tags(&["1.0-1"]), &())
            .unwrap();
        let log = changing(&double);
        let mounts = log.iter().filter(|line| line.contains("mount=")).count();
        assert_eq!(mounts, 1, "{log:#?}");
        if refuses {
            assert_eq!((pushed.mounted, pushed.uploaded), (0, 3));
            assert_whole(&uploads, &laid, &["1.0-1"]);
            let opened = log.iter().filter(|line| line.starts_with("POST")).count();
            assert_eq!(opened, 3, "the upload that was opened is used: {log:#?}");
        } else {
            assert_eq!((pushed.mounted, pushed.uploaded), (1, 2));
            assert_whole(&uploads, &laid, &["1.0-1"]);
        }
    }
}

#[test]
fn the_least_length_of_a_piece_is_kept_to() {
    let uploads = Uploads::default();
    let double = bent(&uploads, |seen, uploads| {
        let reply = uploads.answer(seen);
        Some(if seen.method == "POST" {
            reply.header("OCI-Chunk-Min-Length", (12 << 20).to_string())
        } else {
            reply
        })
    });
    let laid = Laid::new(image(20 << 20).pack());
    push(&double, &laid, &tags(&["1.0-1"])).unwrap();
    assert_whole(&uploads, &laid, &["1.0-1"]);
    let requests = double.requests();
    let first = requests.iter().find(|seen| seen.method == "PATCH").unwrap();
    assert_eq!(first.body.len(), 12 << 20);
}

#[test]
fn a_registry_that_takes_no_pieces_gets_the_blob_at_once() {
    for status in [400, 405, 411, 416, 501] {
        let uploads = Uploads::default();
        let double = bent(&uploads, move |seen, _| {
            (seen.method == "PATCH").then(|| Reply::new(status, ""))
        });
        let laid = Laid::new(image(9 << 20).pack());
        push(&double, &laid, &tags(&["1.0-1"])).unwrap();
        assert_whole(&uploads, &laid, &["1.0-1"]);
        let refused = double
            .requests()
            .iter()
            .filter(|s| s.method == "PATCH")
            .count();
        assert!(refused <= 4, "{status}: {refused}");
    }
}

#[test]
fn a_proxy_that_refuses_large_pieces_gets_smaller_ones() {
    let uploads = Uploads::default();
    let double = bent(&uploads, |seen, _| {
        (seen.body.len() > 1 << 20).then(|| Reply::new(413, "<html>"))
    });
    let laid = Laid::new(image(9 << 20).pack());
    push(&double, &laid, &tags(&["1.0-1"])).unwrap();
    assert_whole(&uploads, &laid, &["1.0-1"]);
    let small = Laid::new(image(3 << 20).pack());
    push(&double, &small, &tags(&["1.0-2"])).unwrap();
    assert_whole(&uploads, &small, &["1.0-2"]);
}

#[test]
fn progress_is_told() {
    let uploads = Uploads::default();
    let double = bent(&uploads, |_, _| None);
    let laid = Laid::new(image(20 << 20).pack());
    let told = Told::default();
    pusher(&double, &[], &options())
        .push(
            &laid.source(),
            &accepted(&laid.source()),
            &tags(&["1.0-1"]),
            &told,
        )
        .unwrap();
    let told = told.0.into_inner().unwrap();
    assert!(told[0].starts_with("Planned { blobs: 3"), "{told:#?}");
    let count = |word: &str| told.iter().filter(|line| line.starts_with(word)).count();
    assert_eq!(
        (count("Uploaded"), count("Manifest"), count("Tagged")),
        (3, 1, 1)
    );
    assert!(count("Sent") >= 3, "{told:#?}");
}

#[test]
fn tags_are_listed_page_after_page() {
    let double = Double::start(|seen| match seen.path.as_str() {
        "/v2/p/x/tags/list" => Reply::new(200, r#"{"tags":["1.0-1","1.0-2"]}"#)
            .header("link", "</v2/p/x/tags/list?last=1.0-2>; rel=\"next\""),
        "/v2/p/x/tags/list?last=1.0-2" => Reply::new(200, r#"{"tags":["1.0-3"]}"#),
        path if path.starts_with("/v2/p/") => Reply::new(404, ""),
        _ => Reply::new(200, "{}"),
    });
    let listed = pusher(&double, &[], &options()).tags().unwrap();
    assert_eq!(listed, ["1.0-1", "1.0-2", "1.0-3"]);
    let to: Reference = format!("{}/p/new", double.host()).parse().unwrap();
    let unknown = Pusher::open(&to, &[], &options()).unwrap();
    assert_eq!(unknown.tags().unwrap(), Vec::<String>::new());
}
