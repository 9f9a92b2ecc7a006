//! Registries that fail, lie, lose things and send elsewhere: tried again or refused, and never half
//! a tag.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use plimsoll::{
    oci::SourceError,
    registry::{
        RegistryOptions,
        auth::{AuthStore, Login},
        push::PushError,
    },
    secret::Secret,
};

use super::{Laid, assert_whole, bent, chain, changing, image, options, push, pusher, tags};
use crate::support::{
    registry::{Double, Reply, Seen},
    uploads::Uploads,
};

const LARGE: usize = 20 << 20;

/// Fails with these words, and no tag is there.
fn refused(uploads: &Uploads, double: &Double, laid: &Laid, words: &[&str]) -> PushError {
    let error = push(double, laid, &tags(&["1.0-1"])).unwrap_err();
    let text = chain(&error);
    for word in words {
        assert!(text.contains(word), "no `{word}` in {text}");
    }
    assert!(uploads.tags().is_empty(), "{text}");
    error
}

#[test]
fn every_third_answer_may_be_500() {
    let uploads = Uploads::default();
    // Every third request, and that once: requests run side by side, and one that met the third
    // answer each time it is tried again would be given up rightly.
    let known = Mutex::new(Vec::new());
    let double = bent(&uploads, move |seen, _| {
        let range = seen.headers.get("content-range").cloned();
        let request = (seen.method.clone(), seen.path.clone(), range);
        let mut known = known.lock().unwrap();
        let new = !known.contains(&request);
        if new {
            known.push(request);
        }
        (new && known.len() % 3 == 0 && seen.path.len() > 4).then(|| Reply::new(500, "<html>"))
    });
    let laid = Laid::new(image(LARGE).pack());
    push(&double, &laid, &tags(&["1.0-1", "1.0"])).unwrap();
    assert_whole(&uploads, &laid, &["1.0-1", "1.0"]);
}

#[test]
fn a_piece_that_breaks_off_is_resumed_where_the_registry_stopped() {
    let uploads = Uploads::default();
    let (handler, cuts) = (uploads.clone(), AtomicUsize::new(0));
    // The second piece ends after 3 MiB, twice.
    let double = Double::cutting(
        move |seen| handler.answer(seen),
        move |seen| {
            let large = seen.method == "PATCH" && seen.headers["content-range"] != "0-8388607";
            (large && cuts.fetch_add(1, Ordering::Relaxed) < 2).then_some(3 << 20)
        },
    );
    let laid = Laid::new(image(LARGE).pack());
    push(&double, &laid, &tags(&["1.0-1"])).unwrap();
    assert_whole(&uploads, &laid, &["1.0-1"]);
    let requests = double.requests();
    let starts: Vec<&str> = requests
        .iter()
        .filter(|seen| seen.method == "PATCH")
        .map(|seen| seen.headers["content-range"].split('-').next().unwrap())
        .collect();
    assert_eq!(starts[..2], ["0", "8388608"]);
    let third: usize = starts[2].parse().unwrap();
    assert!(third >= (8 << 20) + (3 << 20), "{starts:?}");
    let sessions = requests.iter().filter(|seen| seen.method == "POST").count();
    assert_eq!(sessions, 3, "one upload a blob: {starts:?}");
}

#[test]
fn connections_that_break_without_an_answer_are_tried_again() {
    let uploads = Uploads::default();
    let seen_before = Mutex::new(Vec::new());
    let double = bent(&uploads, move |seen, uploads| {
        let key = format!("{} {}", seen.method, seen.path);
        let mut before = seen_before.lock().unwrap();
        if before.contains(&key) {
            return None;
        }
        before.push(key);
        // What was asked was done; only the answer is lost.
        let _ = uploads.answer(seen);
        Some(Reply::reset())
    });
    let laid = Laid::new(image(9 << 20).pack());
    push(&double, &laid, &tags(&["1.0-1"])).unwrap();
    assert_whole(&uploads, &laid, &["1.0-1"]);
}

#[test]
fn a_registry_that_asks_for_patience_gets_it() {
    let uploads = Uploads::default();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let times = Arc::clone(&asked);
    let double = bent(&uploads, move |seen, _| {
        if seen.method != "PUT" || !seen.path.contains("/manifests/") {
            return None;
        }
        let mut times = times.lock().unwrap();
        times.push(Instant::now());
        (times.len() == 1).then(|| Reply::new(429, "").header("retry-after", "1"))
    });
    let laid = Laid::new(image(10).pack());
    push(&double, &laid, &tags(&["1.0-1"])).unwrap();
    let times = asked.lock().unwrap();
    assert!(times[1] - times[0] >= Duration::from_secs(1));
    assert_whole(&uploads, &laid, &["1.0-1"]);
}

#[test]
fn a_registry_that_asks_for_an_hour_or_fails_for_good_is_given_up() {
    type Bend = fn(&Seen) -> Option<Reply>;
    let cases: [(Bend, &[&str]); 4] = [
        (
            |seen| {
                (seen.method == "POST").then(|| Reply::new(429, "").header("retry-after", "3600"))
            },
            &["429", "sending blob"],
        ),
        (
            |seen| (seen.method == "PUT").then(|| Reply::new(503, "")),
            &["503", "4 tries"],
        ),
        (
            |seen| {
                (seen.method == "POST")
                    .then(|| Reply::new(403, r#"{"errors":[{"code":"DENIED","message":"quota"}]}"#))
            },
            &["403", "quota"],
        ),
        (
            |seen| {
                (seen.method == "PUT" && seen.path.contains("manifests")).then(|| {
                    Reply::new(
                        400,
                        r#"{"errors":[{"code":"MANIFEST_INVALID","message":"too odd"}]}"#,
                    )
                })
            },
            &["400", "too odd", "putting manifest"],
        ),
    ];
    for (bend, words) in cases {
        let uploads = Uploads::default();
        let double = bent(&uploads, move |seen, _| bend(seen));
        let started = Instant::now();
        refused(&uploads, &double, &Laid::new(image(10).pack()), words);
        assert!(started.elapsed() < Duration::from_secs(8));
    }
}

/// A registry with tokens that hold for a few requests each.
fn with_tokens(uploads: &Uploads, uses: usize) -> (Double, Arc<Mutex<Vec<String>>>) {
    let scopes = Arc::new(Mutex::new(Vec::new()));
    // Uses that are left of each.
    let (asked, issued) = (Arc::clone(&scopes), Mutex::new(Vec::<usize>::new()));
    let double = bent(uploads, move |seen, _| {
        let mut issued = issued.lock().unwrap();
        if seen.path.starts_with("/token") {
            let login = seen.authorization.as_deref();
            assert_eq!(login, Some("Basic dXNlcjpzM2NyZXQ="), "{seen:?}");
            asked.lock().unwrap().push(seen.path.clone());
            issued.push(uses);
            let number = issued.len() - 1;
            return Some(Reply::new(200, format!(r#"{{"token":"t{number}"}}"#)));
        }
        let token = seen.authorization.as_deref();
        let number = token.and_then(|token| token.strip_prefix("Bearer t")?.parse().ok());
        if let Some(left @ 1..) = number.and_then(|number: usize| issued.get_mut(number)) {
            *left -= 1;
            return None;
        }
        let challenge = format!(
            "Bearer realm=\"http://{}/token\",service=\"s\",scope=\"repository:p/x:pull\"",
            seen.host
        );
        Some(Reply::new(401, "").header("www-authenticate", challenge))
    });
    (double, scopes)
}

fn logged_in(double: &Double) -> RegistryOptions {
    let login = Login::Basic {
        username: "user".to_owned(),
        password: Secret::new("s3cret"),
    };
    RegistryOptions {
        auth: AuthStore::new().with_login(&double.host(), login),
        ..options()
    }
}

#[test]
fn a_token_that_runs_out_midway_is_renewed_and_asks_for_what_a_push_needs() {
    let uploads = Uploads::default();
    let (double, scopes) = with_tokens(&uploads, 4);
    let laid = Laid::new(image(LARGE).pack());
    let mut one_at_a_time = logged_in(&double);
    one_at_a_time.retry.attempts = 10;
    pusher(&double, &["p/base"], &one_at_a_time)
        .push(&laid.source(), &laid.accepted(), &tags(&["1.0-1"]), &())
        .unwrap();
    assert_whole(&uploads, &laid, &["1.0-1"]);
    let scopes = scopes.lock().unwrap();
    assert!(scopes.len() > 2, "{scopes:?}");
    for asked in scopes.iter() {
        let url: url::Url = format!("http://x{asked}").parse().unwrap();
        let asked: Vec<String> = url
            .query_pairs()
            .filter(|(key, _)| key == "scope")
            .map(|(_, value)| value.into_owned())
            .collect();
        assert_eq!(
            asked,
            ["repository:p/x:pull,push", "repository:p/base:pull"]
        );
    }
}

#[test]
fn a_login_that_may_not_push_is_told_so() {
    let uploads = Uploads::default();
    let (double, _) = with_tokens(&uploads, 0);
    let laid = Laid::new(image(10).pack());
    let error = pusher(&double, &[], &logged_in(&double))
        .push(&laid.source(), &laid.accepted(), &tags(&["1.0-1"]), &())
        .unwrap_err();
    let hint = error.hint().unwrap();
    assert!(hint.contains("plimsoll login 127.0.0.1:"), "{hint}");
    assert!(!chain(&error).contains("s3cret"));
    assert!(uploads.tags().is_empty());
}

#[test]
fn wrong_digests_are_noticed_wherever_the_registry_tells_one() {
    const WRONG: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    type Is = fn(&Seen) -> bool;
    let cases: [(Is, &str); 4] = [
        (
            |seen| seen.method == "PUT" && seen.path.contains("/uploads/"),
            "blob sha256:",
        ),
        (
            |seen| seen.method == "HEAD" && seen.path.contains("/blobs/"),
            "blob sha256:",
        ),
        (
            |seen| seen.method == "PUT" && seen.path.contains("manifests/sha256:"),
            "manifest sha256:",
        ),
        (
            |seen| seen.method == "PUT" && seen.path.contains("manifests/1.0"),
            "manifest 1.0-1",
        ),
    ];
    for (is, words) in cases {
        let uploads = Uploads::default();
        let double = Double::start({
            let uploads = uploads.clone();
            move |seen| {
                if is(seen) {
                    let status = if seen.method == "HEAD" { 200 } else { 201 };
                    return Reply::new(status, "").header("docker-content-digest", WRONG);
                }
                uploads.answer(seen)
            }
        });
        refused(
            &uploads,
            &double,
            &Laid::new(image(10).pack()),
            &[words, WRONG],
        );
    }
}

#[test]
fn a_tag_that_reads_back_as_another_image_fails_the_push() {
    let uploads = Uploads::default();
    let double = bent(&uploads, |seen, uploads| {
        (seen.method == "HEAD"
            && seen.path.ends_with("manifests/1.0-1")
            && !uploads.tags().is_empty())
        .then(|| {
            Reply::new(200, "").header(
                "docker-content-digest",
                format!("sha256:{}", "1".repeat(64)),
            )
        })
    });
    let laid = Laid::new(image(10).pack());
    let error = push(&double, &laid, &tags(&["1.0-1"])).unwrap_err();
    assert!(matches!(error, PushError::WrongDigest { .. }), "{error}");
    assert!(error.to_string().contains("tag 1.0-1"), "{error}");
}

#[test]
fn a_registry_that_lies_about_what_it_holds_is_refused() {
    for lie in ["0-99999999", "0-5", "0-0"] {
        let uploads = Uploads::default();
        let double = bent(&uploads, move |seen, uploads| {
            if seen.method != "PATCH" {
                return None;
            }
            let reply = uploads.answer(seen);
            if uploads.held(seen) < 9 << 20 {
                return Some(reply);
            }
            let lying = Reply::new(202, "").header("location", seen.path.clone());
            Some(lying.header("range", lie))
        });
        let words = ["the registry says that it holds", "does not take the blob"];
        refused(&uploads, &double, &Laid::new(image(LARGE).pack()), &words);
    }
}

#[test]
fn a_registry_that_forgets_an_upload_gets_another() {
    let uploads = Uploads::default();
    let forgot = AtomicUsize::new(0);
    let double = bent(&uploads, move |seen, uploads| {
        (seen.method == "PATCH"
            && uploads.held(seen) > 0
            && forgot.fetch_add(1, Ordering::Relaxed) == 0)
            .then(|| Reply::new(404, r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#))
    });
    let laid = Laid::new(image(LARGE).pack());
    push(&double, &laid, &tags(&["1.0-1"])).unwrap();
    assert_whole(&uploads, &laid, &["1.0-1"]);
}

#[test]
fn an_upload_elsewhere_is_made_without_the_login() {
    let uploads = Uploads::default();
    let store = uploads.clone();
    let elsewhere = Double::start(move |seen| store.answer(seen));
    let other = elsewhere.host();
    let double = bent(&uploads, move |seen, uploads| {
        if seen.authorization.as_deref() != Some("Basic dXNlcjpzM2NyZXQ=") {
            let challenge = "Basic realm=\"x\"";
            return Some(Reply::new(401, "").header("www-authenticate", challenge));
        }
        (seen.method == "POST").then(|| {
            let _ = uploads.answer(seen);
            let id = format!("u{}", uploads.opened());
            let at = format!("http://{other}/v2/p/x/blobs/uploads/{id}");
            Reply::new(202, "").header("location", at)
        })
    });
    let laid = Laid::new(image(9 << 20).pack());
    pusher(&double, &[], &logged_in(&double))
        .push(&laid.source(), &laid.accepted(), &tags(&["1.0-1"]), &())
        .unwrap();
    assert_whole(&uploads, &laid, &["1.0-1"]);
    let requests = elsewhere.requests();
    assert!(requests.iter().any(|seen| seen.method == "PATCH"));
    for seen in requests {
        assert_eq!(seen.authorization, None, "{} {}", seen.method, seen.path);
    }
}

#[test]
fn a_challenge_from_elsewhere_is_not_answered() {
    let uploads = Uploads::default();
    let elsewhere = Double::start(|_| {
        Reply::new(401, "").header("www-authenticate", "Basic realm=\"give it to me\"")
    });
    let other = elsewhere.host();
    let double = bent(&uploads, move |seen, _| {
        (seen.method == "POST")
            .then(|| Reply::new(202, "").header("location", format!("http://{other}/take")))
    });
    let laid = Laid::new(image(10).pack());
    let error = pusher(&double, &[], &logged_in(&double))
        .push(&laid.source(), &laid.accepted(), &tags(&["1.0-1"]), &())
        .unwrap_err();
    assert!(chain(&error).contains("401"), "{}", chain(&error));
    for seen in elsewhere.requests() {
        assert_eq!(seen.authorization, None);
    }
    assert!(uploads.tags().is_empty());
}

#[test]
fn redirects_in_a_circle_end_at_once() {
    for method in ["HEAD", "POST", "PATCH", "PUT"] {
        let uploads = Uploads::default();
        let double = bent(&uploads, move |seen, _| {
            (seen.method == method && seen.path.starts_with("/v2/p/"))
                .then(|| Reply::new(307, "").header("location", seen.path.clone()))
        });
        let started = Instant::now();
        let laid = Laid::new(image(9 << 20).pack());
        refused(&uploads, &double, &laid, &["redirects"]);
        assert!(started.elapsed() < Duration::from_secs(10), "{method}");
    }
}

#[test]
fn an_upload_without_an_address_is_refused() {
    for location in [None, Some("ftp://x/"), Some("http://"), Some("\u{7f}")] {
        let uploads = Uploads::default();
        let double = bent(&uploads, move |seen, _| {
            (seen.method == "POST").then(|| match location {
                Some("\u{7f}") | None => Reply::new(202, ""),
                Some(location) => Reply::new(202, "").header("location", location),
            })
        });
        refused(
            &uploads,
            &double,
            &Laid::new(image(10).pack()),
            &["Location"],
        );
    }
}

#[test]
fn a_blob_that_changed_after_the_scan_is_never_closed() {
    let uploads = Uploads::default();
    let double = bent(&uploads, |_, _| None);
    for size in [10, LARGE] {
        let laid = Laid::new(image(size).pack());
        let accepted = laid.accepted();
        let path = laid.blob(&laid.large());
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = pusher(&double, &[], &options())
            .push(&laid.source(), &accepted, &tags(&["1.0-1"]), &())
            .unwrap_err();
        let PushError::Image(SourceError::Mismatch { .. }) = error else {
            panic!("{error:?}");
        };
        assert!(!uploads.blobs().contains_key(&laid.large()));
    }
    assert!(uploads.tags().is_empty());
    let manifests = changing(&double);
    assert!(
        !manifests.iter().any(|line| line.contains("manifests")),
        "{manifests:#?}"
    );
}

#[test]
fn a_registry_that_keeps_its_tags_says_so() {
    for status in [409, 412] {
        let uploads = Uploads::default();
        let double = bent(&uploads, move |seen, _| {
            (seen.method == "PUT" && seen.path.ends_with("manifests/1.0-1"))
                .then(|| Reply::new(status, r#"{"errors":[{"message":"tag is immutable"}]}"#))
        });
        let laid = Laid::new(image(10).pack());
        let error = refused(&uploads, &double, &laid, &["tag is immutable", "p/x:1.0-1"]);
        assert!(error.hint().unwrap().contains("another tag"));
    }
}

#[test]
fn a_push_can_be_stopped() {
    let uploads = Uploads::default();
    let options = options();
    let cancel = options.cancel.clone();
    let double = bent(&uploads, move |seen, _| {
        (seen.method == "PATCH").then(|| {
            cancel.cancel();
            Reply::new(202, "").after(Duration::from_secs(30))
        })
    });
    let laid = Laid::new(image(LARGE).pack());
    let started = Instant::now();
    let error = pusher(&double, &[], &options)
        .push(&laid.source(), &laid.accepted(), &tags(&["1.0-1"]), &())
        .unwrap_err();
    assert!(matches!(error, PushError::Interrupted { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(15));
    assert!(uploads.tags().is_empty());
}
