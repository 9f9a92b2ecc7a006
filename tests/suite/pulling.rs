//! Pulling from a registry that answers well, badly, late or not at all.

use std::{
    io::Read as _,
    time::{Duration, Instant},
};

use plimsoll::{
    oci::{ImageSource, Platform, Reference, SourceError, resolve},
    registry::{
        RegistryOptions, RegistrySource, Retry,
        auth::{AuthStore, Login},
    },
    secret::Secret,
};
use serde_json::Value;

use crate::support::{
    image::{Image, Layer, Packed},
    registry::{Double, Reply, Seen, Store},
};

/// 200 KB that do not compress, so that a blob has several pieces.
fn noise() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..25_000).flat_map(|_| next()).collect()
}

fn image() -> Packed {
    Image::new()
        .layer(Layer::from("dir /etc").file("noise", 0o644, &noise()))
        .label("name", "x")
        .pack()
}

fn layer_path(packed: &Packed) -> String {
    let manifest: Value = serde_json::from_slice(packed.document()).unwrap();
    format!(
        "/v2/p/x/blobs/{}",
        manifest["layers"][0]["digest"].as_str().unwrap()
    )
}

fn options() -> RegistryOptions {
    RegistryOptions {
        read_timeout: Duration::from_millis(400),
        connect_timeout: Duration::from_secs(2),
        retry: Retry {
            attempts: 3,
            first_wait: Duration::from_millis(10),
            total_wait: Duration::from_secs(3),
        },
        ..RegistryOptions::default()
    }
}

fn source(double: &Double, rest: &str) -> RegistrySource {
    let reference: Reference = format!("{}/p/x{rest}", double.host()).parse().unwrap();
    RegistrySource::open(reference, &options()).unwrap()
}

fn pull(source: &RegistrySource) -> Result<Vec<u8>, SourceError> {
    let resolved = resolve(source, None)?;
    let mut bytes = Vec::new();
    for layer in resolved.images[0].manifest.layers() {
        source
            .blob(layer)?
            .read_to_end(&mut bytes)
            .map_err(|e| SourceError::from_read("layer", e))?;
    }
    Ok(bytes)
}

/// An honest registry, but for what `bend` answers.
fn bent(
    packed: &Packed,
    bend: impl Fn(&Seen, &Store) -> Option<Reply> + Send + Sync + 'static,
) -> Double {
    let store = Store::new(packed, "1.0-1");
    Double::start(move |seen| bend(seen, &store).unwrap_or_else(|| store.answer(seen)))
}

fn kind(error: &SourceError) -> &'static str {
    match error {
        SourceError::NotFound { .. } => "not found",
        SourceError::Denied { .. } => "denied",
        SourceError::Unavailable { .. } => "unavailable",
        SourceError::Malformed { .. } => "malformed",
        SourceError::Mismatch { .. } => "mismatch",
        SourceError::TooLarge { .. } => "too large",
        SourceError::Unsupported { .. } => "unsupported",
        SourceError::NoPlatform { .. } => "no platform",
        SourceError::Io { .. } => "io",
    }
}

#[test]
fn an_image_is_pulled_by_tag_by_digest_and_by_platform() {
    let amd = image();
    let arm = Image::new()
        .layer("file /a 0644 \"1\"")
        .platform("linux", "arm64")
        .pack();
    let index = Packed::index(&[arm, amd.clone()], &[]);
    let double = bent(&index, |_, _| None);
    let blob = &amd.blobs[layer_path(&amd).rsplit('/').next().unwrap()];
    let amd64: Platform = "linux/amd64".parse().unwrap();
    for rest in [
        ":1.0-1".to_owned(),
        format!("@{}", index.digest()),
        format!(":other@{}", index.digest()),
    ] {
        let source = source(&double, &rest);
        let resolved = resolve(&source, Some(&amd64)).unwrap();
        assert_eq!(resolved.digest, index.digest());
        assert!(resolved.is_index);
        let mut bytes = Vec::new();
        let layer = &resolved.images[0].manifest.layers()[0];
        source.blob(layer).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(&bytes, blob);
    }
    assert_eq!(
        pull(&source(&double, &format!("@{}", amd.digest()))).unwrap(),
        *blob
    );
}

#[test]
fn statuses_end_as_the_right_error_after_as_many_tries_as_make_sense() {
    for (status, want, tries) in [
        (401, "denied", 1),
        (403, "denied", 1),
        (404, "not found", 1),
        (418, "unavailable", 1),
        (429, "unavailable", 3),
        (500, "unavailable", 3),
        (503, "unavailable", 3),
    ] {
        let double = bent(&image(), move |seen, _| {
            let words = r#"{"errors":[{"code":"X","message":"in its words"}]}"#;
            seen.path
                .contains("/p/x/")
                .then(|| Reply::new(status, words))
        });
        let error = source(&double, ":1.0-1").manifest().unwrap_err();
        assert_eq!(kind(&error), want, "{status}");
        if status != 401 {
            assert!(error.to_string().contains("in its words"), "{error}");
        }
        assert!(error.hint().is_some(), "{status}");
        let asked = double
            .requests()
            .iter()
            .filter(|s| s.path.contains("/p/x/"))
            .count();
        assert_eq!(asked, tries, "{status}");
    }
}

#[test]
fn a_registry_that_recovers_is_asked_again_no_sooner_than_it_says() {
    for (status, after) in [(500, None), (503, Some("1")), (429, Some("1"))] {
        let packed = image();
        let double = bent(&packed, move |seen, _| {
            let reply = Reply::new(status, "busy");
            let reply = match after {
                Some(seconds) => reply.header("retry-after", seconds),
                None => reply,
            };
            (seen.path.contains("/p/x/") && seen.nth == 0).then_some(reply)
        });
        let begun = Instant::now();
        assert_eq!(
            source(&double, ":1.0-1").manifest().unwrap().digest,
            packed.digest()
        );
        let least = after.map_or(0, |s| s.parse().unwrap());
        assert!(begun.elapsed() >= Duration::from_secs(least), "{status}");
    }
}

#[test]
fn a_registry_that_asks_for_too_long_a_wait_is_given_up_at_once() {
    let double = bent(&image(), |seen, _| {
        let busy = Reply::new(429, "").header("retry-after", "3600");
        seen.path.contains("/p/x/").then_some(busy)
    });
    let begun = Instant::now();
    let error = source(&double, ":1.0-1").manifest().unwrap_err();
    assert!(error.to_string().contains("limits how often"), "{error}");
    // Not after the hour that it asked for.
    assert!(begun.elapsed() < Duration::from_mins(1));
}

#[test]
fn a_token_is_fetched_once_and_used_for_everything() {
    let packed = image();
    let double = bent(&packed, |seen, _| {
        if seen.path.starts_with("/token?") {
            return Some(Reply::new(200, r#"{"token":"t0ken"}"#));
        }
        let known = seen.authorization.as_deref() == Some("Bearer t0ken");
        let realm = format!(
            r#"Bearer realm="http://{}/token",service="double",scope="repository:p/x:pull""#,
            seen.host
        );
        let wanted = seen.path.contains("/p/x/") && !known;
        wanted.then(|| Reply::new(401, "").header("www-authenticate", realm))
    });
    pull(&source(&double, ":1.0-1")).unwrap();
    let requests = double.requests();
    let tokens: Vec<&Seen> = requests
        .iter()
        .filter(|s| s.path.starts_with("/token"))
        .collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(
        tokens[0].path,
        "/token?service=double&scope=repository%3Ap%2Fx%3Apull"
    );
}

#[test]
fn logins_that_fail_say_why() {
    for (challenge, token, reason) in [
        (None, 200, "which login"),
        (Some("Basic realm=\"x\""), 200, "none is stored"),
        (Some("Bearer realm=\"http://HOST/token\""), 401, "401"),
        (Some("Bearer realm=\"http://HOST/token\""), 404, "404"),
        (Some("Bearer realm=\"http://HOST/token\""), 200, "401"),
    ] {
        let double = bent(&image(), move |seen, _| {
            if seen.path.starts_with("/token") {
                return Some(Reply::new(token, r#"{"token":"wrong"}"#));
            }
            let reply = Reply::new(401, "");
            let reply = match challenge {
                Some(text) => reply.header("www-authenticate", text.replace("HOST", &seen.host)),
                None => reply,
            };
            seen.path.contains("/p/x/").then_some(reply)
        });
        let error = source(&double, ":1.0-1").manifest().unwrap_err();
        assert!(
            error.to_string().contains(reason),
            "{challenge:?} {token}: {error}"
        );
        assert!(double.requests().len() < 8);
    }
}

#[test]
fn a_blob_that_breaks_off_is_resumed_where_it_broke() {
    let packed = image();
    for ranges in [true, false] {
        let path = layer_path(&packed);
        let double = bent(&packed, move |seen, store| {
            let mut seen = seen.clone();
            if seen.path != path {
                return None;
            }
            if !ranges {
                seen.range = None; // ignored, as a registry may
            }
            let reply = store.answer(&seen);
            Some(if seen.nth < 2 {
                reply.cut_at(60_000 + 40_000 * seen.nth)
            } else {
                reply
            })
        });
        let blob = &packed.blobs[layer_path(&packed).rsplit('/').next().unwrap()];
        assert_eq!(pull(&source(&double, ":1.0-1")).unwrap(), *blob);
        let asked: Vec<Option<u64>> = double
            .requests()
            .iter()
            .filter(|s| s.path == layer_path(&packed))
            .map(|s| s.range)
            .collect();
        assert_eq!(asked.len(), 3);
        assert_eq!(asked[0], None);
        assert!(
            asked[1].unwrap() > 0 && asked[2].unwrap() > asked[1].unwrap(),
            "{asked:?}"
        );
    }
}

#[test]
fn a_blob_that_always_breaks_off_ends() {
    let packed = image();
    let path = layer_path(&packed);
    let double = bent(&packed, move |seen, store| {
        (seen.path == path).then(|| store.answer(seen).cut_at(0))
    });
    let error = pull(&source(&double, ":1.0-1")).unwrap_err();
    assert_eq!(kind(&error), "unavailable", "{error}");
    let asked = double
        .requests()
        .iter()
        .filter(|s| s.path == layer_path(&packed))
        .count();
    assert_eq!(asked, 3);
}

#[test]
fn blobs_that_are_not_the_announced_ones_are_refused() {
    type Bend = fn(Vec<u8>) -> Reply;
    let packed = image();
    let cases: [(&str, Bend); 5] = [
        ("flipped", |mut b| {
            b[1000] ^= 1;
            Reply::new(200, b)
        }),
        ("short", |b| Reply::new(200, &b[..b.len() - 1])),
        ("long", |b| Reply::new(200, [b.as_slice(), b"x"].concat())),
        ("short, unannounced", |b| {
            Reply::new(200, &b[..b.len() - 1]).chunked()
        }),
        ("long, unannounced", |b| {
            Reply::new(200, [b.as_slice(), b"x"].concat()).chunked()
        }),
    ];
    for (name, bend) in cases {
        let path = layer_path(&packed);
        let blob = packed.blobs[path.rsplit('/').next().unwrap()].clone();
        let double = bent(&packed, move |seen, _| {
            (seen.path == path).then(|| bend(blob.clone()))
        });
        let error = pull(&source(&double, ":1.0-1")).unwrap_err();
        assert_eq!(kind(&error), "mismatch", "{name}: {error}");
    }
}

#[test]
fn manifests_that_are_wrong_are_refused() {
    let other = Image::new().label("name", "other").pack();
    let cases: Vec<(&str, Reply, &str)> = vec![
        ("garbage", Reply::new(200, "<html>"), "malformed"),
        ("empty", Reply::new(200, ""), "malformed"),
        (
            "huge",
            Reply::new(200, vec![b' '; (4 << 20) + 1]),
            "too large",
        ),
        (
            "huge, unannounced",
            Reply::new(200, vec![b' '; (4 << 20) + 1]).chunked(),
            "too large",
        ),
        (
            "other",
            Reply::new(200, other.document())
                .header("docker-content-digest", image().digest().to_string()),
            "mismatch",
        ),
        (
            "schema 1",
            Reply::new(200, r#"{"schemaVersion":1}"#),
            "unsupported",
        ),
    ];
    for (name, reply, want) in cases {
        let double = bent(&image(), move |seen, _| {
            seen.path.contains("/manifests/").then(|| reply.clone())
        });
        let error = resolve(&source(&double, ":1.0-1"), None).unwrap_err();
        assert_eq!(kind(&error), want, "{name}: {error}");
    }
    let double = bent(&image(), move |seen, _| {
        seen.path
            .contains("/manifests/")
            .then(|| Reply::new(200, other.document()))
    });
    let pinned = format!("@{}", image().digest());
    let error = source(&double, &pinned).manifest().unwrap_err();
    assert_eq!(kind(&error), "mismatch", "{error}");
}

#[test]
fn a_silent_registry_is_given_up_in_time() {
    let packed = image();
    let late = bent(&packed, |seen, _| {
        seen.path
            .contains("/p/x/")
            .then(|| Reply::new(200, "").after(Duration::from_secs(20)))
    });
    let path = layer_path(&packed);
    let stalled = bent(&packed, move |seen, store| {
        (seen.path == path).then(|| store.answer(seen).stall_at(0, Duration::from_secs(20)))
    });
    for double in [late, stalled] {
        let begun = Instant::now();
        let error = pull(&source(&double, ":1.0-1"))
            .map(|b| b.len())
            .unwrap_err();
        assert!(error.to_string().contains("timed out"), "{error}");
        assert!(
            begun.elapsed() < Duration::from_secs(15),
            "{:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn a_blob_that_stalls_is_resumed() {
    let packed = image();
    let path = layer_path(&packed);
    let blob = packed.blobs[path.rsplit('/').next().unwrap()].clone();
    let double = bent(&packed, move |seen, store| {
        (seen.path == path).then(|| store.answer(seen).stall_at(50_000, Duration::from_secs(20)))
    });
    assert!(pull(&source(&double, ":1.0-1")).unwrap() == blob);
}

#[test]
fn a_registry_that_is_not_there_is_told_with_both_attempts() {
    let reference: Reference = "127.0.0.1:9/p/x:1".parse().unwrap();
    let error = RegistrySource::open(reference, &options())
        .unwrap()
        .manifest()
        .unwrap_err();
    assert_eq!(kind(&error), "unavailable");
    assert!(error.to_string().contains("without TLS"), "{error}");
}

#[test]
fn plain_http_is_not_spoken_beyond_loopback_unless_allowed() {
    let reference: Reference = "plimsoll.invalid:80/p/x:1".parse().unwrap();
    let error = RegistrySource::open(reference.clone(), &options())
        .unwrap()
        .manifest()
        .unwrap_err();
    assert!(!error.to_string().contains("without TLS"), "{error}");
    let insecure = RegistryOptions {
        insecure: vec![reference.registry.clone()],
        ..options()
    };
    let error = RegistrySource::open(reference, &insecure)
        .unwrap()
        .manifest()
        .unwrap_err();
    assert!(error.to_string().contains("without TLS"), "{error}");
}

#[test]
fn a_reader_that_is_dropped_early_does_not_hang() {
    let packed = image();
    let double = bent(&packed, |_, _| None);
    let source = source(&double, ":1.0-1");
    let resolved = resolve(&source, None).unwrap();
    let layer = &resolved.images[0].manifest.layers()[0];
    let mut byte = [0];
    source.blob(layer).unwrap().read_exact(&mut byte).unwrap();
    drop(source);
}

fn login(double: &Double, login: Login) -> RegistrySource {
    let reference: Reference = format!("{}/p/x:1.0-1", double.host()).parse().unwrap();
    let auth = AuthStore::new().with_login(&double.host(), login);
    RegistrySource::open(reference, &RegistryOptions { auth, ..options() }).unwrap()
}

fn user() -> Login {
    Login::Basic {
        username: "user".to_owned(),
        password: Secret::new("s3cret"),
    }
}

/// `user:s3cret`
const BASIC: &str = "Basic dXNlcjpzM2NyZXQ=";

#[test]
fn a_password_is_sent_only_after_it_was_asked_for() {
    let packed = image();
    let double = bent(&packed, |seen, _| {
        let known = seen.authorization.as_deref() == Some(BASIC);
        let wanted = seen.path.contains("/p/x/") && !known;
        wanted.then(|| Reply::new(401, "").header("www-authenticate", "Basic realm=\"x\""))
    });
    pull(&login(&double, user())).unwrap();
    let requests = double.requests();
    let bare = requests
        .iter()
        .filter(|s| s.authorization.is_none() && s.path.contains("/p/x/"));
    assert_eq!(bare.count(), 1, "asked once, then remembered");
}

#[test]
fn a_password_or_identity_token_buys_a_token_and_is_sent_nowhere_else() {
    for identity in [false, true] {
        let packed = image();
        let double = bent(&packed, move |seen, _| {
            if seen.path.starts_with("/token") {
                let good = if identity {
                    let body = String::from_utf8_lossy(&seen.body);
                    seen.method == "POST" && body.contains("refresh_token=ident1ty")
                } else {
                    seen.authorization.as_deref() == Some(BASIC)
                };
                let refused = Reply::new(401, r#"{"errors":[{"message":"wrong password"}]}"#);
                return Some(if good {
                    Reply::new(200, r#"{"access_token":"t0ken"}"#)
                } else {
                    refused
                });
            }
            let known = seen.authorization.as_deref() == Some("Bearer t0ken");
            let realm = format!(r#"Bearer realm="http://{}/token",service="s""#, seen.host);
            let wanted = seen.path.contains("/p/x/") && !known;
            wanted.then(|| Reply::new(401, "").header("www-authenticate", realm))
        });
        let good = if identity {
            Login::IdentityToken(Secret::new("ident1ty"))
        } else {
            user()
        };
        pull(&login(&double, good)).unwrap();
        for seen in double
            .requests()
            .iter()
            .filter(|s| s.path.starts_with("/v2"))
        {
            let sent = seen.authorization.as_deref();
            assert!(matches!(sent, None | Some("Bearer t0ken")), "{sent:?}");
        }
        let bad = Login::Basic {
            username: "user".to_owned(),
            password: Secret::new("no"),
        };
        let error = login(&double, bad).manifest().unwrap_err();
        assert_eq!(kind(&error), "denied");
        assert!(error.to_string().contains("wrong password"), "{error}");
    }
}

#[test]
fn a_token_that_expires_is_renewed() {
    let packed = image();
    let path = layer_path(&packed);
    let double = bent(&packed, move |seen, _| {
        if seen.path.starts_with("/token") {
            return Some(Reply::new(200, format!(r#"{{"token":"t{}"}}"#, seen.nth)));
        }
        let current = if seen.path == path {
            "Bearer t1"
        } else {
            "Bearer t0"
        };
        let known = seen.authorization.as_deref() == Some(current);
        let realm = format!(r#"Bearer realm="http://{}/token""#, seen.host);
        let wanted = seen.path.contains("/p/x/") && !known;
        wanted.then(|| Reply::new(401, "").header("www-authenticate", realm))
    });
    pull(&source(&double, ":1.0-1")).unwrap();
    let tokens = double
        .requests()
        .iter()
        .filter(|s| s.path.starts_with("/token"))
        .count();
    assert_eq!(tokens, 2);
}

#[test]
fn a_redirect_to_another_host_gets_no_login() {
    let packed = image();
    let store = Store::new(&packed, "1.0-1");
    let cdn = Double::start(move |seen| store.answer(seen));
    let (path, there) = (layer_path(&packed), cdn.host());
    let double = bent(&packed, move |seen, _| {
        if seen.path.contains("/p/x/") && seen.authorization.as_deref() != Some(BASIC) {
            return Some(Reply::new(401, "").header("www-authenticate", "Basic realm=\"x\""));
        }
        let target = format!("http://{there}{path}");
        (seen.path == path).then(|| Reply::new(307, "").header("location", target))
    });
    pull(&login(&double, user())).unwrap();
    let requests = cdn.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].authorization, None);
}
