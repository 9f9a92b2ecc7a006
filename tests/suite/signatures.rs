//! Signatures of archives and documents: Red Hat's own, those of keys made here, and those of a real
//! `gpg`.

use std::{fs, path::Path};

use jiff::Timestamp;
use pgp::{
    composed::{ArmorOptions, DetachedSignature, KeyType, SecretKeyParamsBuilder, SignedSecretKey},
    crypto::hash::HashAlgorithm,
    ser::Serialize as _,
    types::Password,
};
use plimsoll::advisory::{
    database::Coverage,
    signature::{Checked, Keys, MAX_SIGNATURE, RED_HAT, SignatureError},
};
use rand08::rngs::OsRng;

use crate::{
    feeds::{ARCHIVE, Feed, document, ids, path},
    support::{Ran, command, has_program, plimsoll, skipped},
};

/// A real document of Red Hat's with its signature, byte for byte as published.
const DOCUMENT: &[u8] = include_bytes!("../data/signatures/cve-2026-0006.json");
const SIGNATURE: &[u8] = include_bytes!("../data/signatures/cve-2026-0006.json.asc");
const RED_HAT_KEY: &str = "77E79ABE93673533ED09EBE2DCE3823597F5EAC4";

fn now() -> Timestamp {
    Timestamp::now()
}

fn keys(files: &[&[u8]]) -> Keys {
    let mut keys = Keys::default();
    for file in files {
        keys.add(file, now()).unwrap();
    }
    keys
}

fn check(keys: &Keys, signature: &[u8], content: &[u8]) -> Result<Checked, SignatureError> {
    let content = content.to_vec();
    let mut open = || Ok(Box::new(std::io::Cursor::new(content.clone())) as Box<dyn std::io::Read>);
    keys.check(signature, &mut open, now())
}

/// A key made for one test.
struct Key(SignedSecretKey);

impl Key {
    fn new() -> Self {
        let made = SecretKeyParamsBuilder::default()
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .can_sign(true)
            .primary_user_id("nobody <nobody@example.com>".to_owned())
            .build()
            .unwrap()
            .generate(OsRng)
            .unwrap();
        Self(made)
    }

    fn public(&self) -> String {
        let public = self.0.to_public_key();
        public.to_armored_string(ArmorOptions::default()).unwrap()
    }

    fn detached(&self, content: &[u8], hash: HashAlgorithm) -> DetachedSignature {
        let key = &self.0.primary_key;
        DetachedSignature::sign_binary_data(OsRng, key, &Password::empty(), hash, content).unwrap()
    }

    fn sign(&self, content: &[u8]) -> String {
        let signature = self.detached(content, HashAlgorithm::Sha256);
        signature
            .to_armored_string(ArmorOptions::default())
            .unwrap()
    }
}

#[test]
fn red_hats_own_signature_holds_for_its_document_alone() {
    let keys = keys(&[RED_HAT]);
    let good = Checked::Good(RED_HAT_KEY.to_owned());
    assert_eq!(check(&keys, SIGNATURE, DOCUMENT), Ok(good.clone()));
    for at in (0..DOCUMENT.len()).step_by(131) {
        let mut other = DOCUMENT.to_vec();
        other[at] ^= 1;
        let checked = check(&keys, SIGNATURE, &other);
        assert!(
            matches!(checked, Err(SignatureError::Wrong { .. })),
            "{at}: {checked:?}"
        );
    }
    let checked = check(&keys, SIGNATURE, &DOCUMENT[..DOCUMENT.len() - 1]);
    assert!(
        matches!(checked, Err(SignatureError::Wrong { .. })),
        "{checked:?}"
    );
    // without the key it says nothing, and is not taken for good
    let other = Key::new();
    let without = self::keys(&[other.public().as_bytes()]);
    let unknown = Checked::Unknown(["DCE3823597F5EAC4".to_owned()].into());
    assert_eq!(check(&without, SIGNATURE, DOCUMENT), Ok(unknown));
}

#[test]
fn a_damaged_signature_never_holds() {
    let key = Key::new();
    let keys = keys(&[key.public().as_bytes()]);
    let signature = key.detached(b"content", HashAlgorithm::Sha512);
    let binary = signature.to_bytes().unwrap();
    assert!(matches!(
        check(&keys, &binary, b"content"),
        Ok(Checked::Good(_))
    ));
    for at in 0..binary.len() {
        for bit in 0..8 {
            let mut other = binary.clone();
            other[at] ^= 1 << bit;
            let checked = check(&keys, &other, b"content");
            // the key it names is a hint outside of what is signed
            let hint = matches!(&checked, Ok(Checked::Good(_)))
                && check(&keys, &other, b"c0ntent").is_err();
            assert!(
                hint || !matches!(checked, Ok(Checked::Good(_))),
                "{at}.{bit}"
            );
        }
        let checked = check(&keys, &binary[..at], b"content");
        assert!(checked.is_err(), "cut at {at}: {checked:?}");
    }
    let armoured = key.sign(b"content");
    for at in 0..armoured.len() {
        let checked = check(&keys, &armoured.as_bytes()[..at], b"content");
        // checksum and last line do not belong to the signature
        let whole = at > armoured.rfind("\n=").unwrap();
        assert!(checked.is_err() || whole, "cut at {at}: {checked:?}");
    }
    for noise in [
        &b""[..],
        b"\n",
        b"<html>404</html>",
        &[0x80; 100],
        &[0xff; 1000],
    ] {
        let checked = check(&keys, noise, b"content");
        assert!(
            matches!(checked, Err(SignatureError::Unreadable(_))),
            "{checked:?}"
        );
    }
    let huge = [armoured.as_bytes(), &vec![b' '; MAX_SIGNATURE]].concat();
    assert_eq!(
        check(&keys, &huge, b"content"),
        Err(SignatureError::TooLarge)
    );
    let many = binary.repeat(9);
    assert!(matches!(
        check(&keys, &many, b"content"),
        Err(SignatureError::Unreadable(_))
    ));
}

#[test]
fn every_signature_by_a_known_key_must_hold_and_one_is_enough() {
    let (one, other) = (Key::new(), Key::new());
    let of = |key: &Key, content: &[u8]| {
        key.detached(content, HashAlgorithm::Sha256)
            .to_bytes()
            .unwrap()
    };
    let known = keys(&[one.public().as_bytes()]);
    let both = [of(&other, b"content"), of(&one, b"content")].concat();
    assert!(matches!(
        check(&known, &both, b"content"),
        Ok(Checked::Good(_))
    ));
    let wrong = [of(&one, b"content"), of(&one, b"other")].concat();
    assert!(check(&known, &wrong, b"content").is_err());
}

#[test]
fn a_file_without_a_key_gives_none() {
    let told = |file: &[u8]| Keys::default().add(file, now()).unwrap_err().to_string();
    for file in [&b""[..], b"no key", b"\x99\x00", SIGNATURE] {
        assert!(
            told(file).starts_with("there is no OpenPGP public key in it"),
            "{}",
            told(file)
        );
    }
    // text around blocks, several blocks, and a damaged one among them
    let (one, other) = (Key::new().public(), Key::new().public());
    let file = format!("release keys\n{one}\nnext\n{}\n{other}\n", &one[..200]);
    let mut keys = Keys::default();
    keys.add(file.as_bytes(), now()).unwrap();
    let cut = &one[..one.len() * 2 / 3];
    assert!(Keys::default().add(cut.as_bytes(), now()).is_err());
}

impl Feed {
    /// Writes a key beside the database, for `--key`.
    fn key(&self, name: &str, key: &Key) {
        fs::write(self.folder.path().join(name), key.public()).unwrap();
    }

    fn sign(&self, path: &str, key: &Key) {
        self.put(&format!("{path}.asc"), key.sign(&self.file(path)));
    }
}

#[test]
fn a_signed_archive_and_signed_documents_are_checked_and_counted() {
    let (feed, key) = (Feed::start(|_| None), Key::new());
    feed.key("key", &key);
    for path in [ARCHIVE.to_owned(), path(2), path(4)] {
        feed.sign(&path, &key);
    }
    let ran = feed.update_with(&["--key", "key", "--require-signature"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(feed.held(), (ids(&[1, 2, 4]), Coverage::Whole));
    assert!(
        feed.status().contains("; 3 by a signature of "),
        "{}",
        feed.status()
    );
    assert!(!ran.stderr.contains("signed by"), "{ran}");
}

#[test]
fn an_archive_whose_signature_does_not_hold_is_refused() {
    let (key, other) = (Key::new(), Key::new());
    let good = |feed: &Feed| key.sign(&feed.file(ARCHIVE));
    type Bend<'a> = Box<dyn Fn(&Feed) -> Vec<u8> + 'a>;
    let cases: [(&str, Bend<'_>, &str); 6] = [
        (
            "other content",
            Box::new(|_| key.sign(b"other").into()),
            "it is of other content",
        ),
        (
            "other key",
            Box::new(|feed| other.sign(&feed.file(ARCHIVE)).into()),
            "none of those named with `--key`",
        ),
        (
            "cut armour",
            Box::new(|feed| good(feed).into_bytes()[..150].to_vec()),
            "its signature cannot be read",
        ),
        (
            "another line",
            Box::new(|feed| {
                let text = good(feed);
                let at = text.find("\n\n").unwrap() + 40;
                let other = if &text[at..=at] == "A" { "B" } else { "A" };
                format!("{}{other}{}", &text[..at], &text[at + 1..]).into()
            }),
            "its signature",
        ),
        ("huge", Box::new(|_| vec![b'x'; 1 << 20]), "65536 bytes"),
        (
            "no signature",
            Box::new(|_| b"<html>".to_vec()),
            "its signature cannot be read",
        ),
    ];
    for (name, bend, needle) in cases {
        let feed = Feed::start(|_| None);
        feed.key("key", &key);
        feed.put(&format!("{ARCHIVE}.asc"), bend(&feed));
        let ran = feed.update_with(&["--key", "key"]);
        assert_eq!(ran.code, 4, "{name}: {ran}");
        assert!(ran.stderr.contains(needle), "{name}: {ran}");
        let left: Vec<_> = feed.beside().into_iter().collect();
        assert_eq!(left, ["a.db.lock", "key"], "{name}");
        // and the next run is well
        feed.sign(ARCHIVE, &key);
        let ran = feed.update_with(&["--key", "key"]);
        assert_eq!(ran.code, 0, "{name}: {ran}");
    }
}

#[test]
fn a_document_whose_signature_does_not_hold_is_skipped_and_fetched_again() {
    let (feed, key) = (Feed::start(|_| None), Key::new());
    feed.key("key", &key);
    feed.put(&format!("{}.asc", path(2)), key.sign(b"other"));
    feed.put(&format!("{}.asc", path(4)), vec![b'x'; 1 << 20]);
    let first = feed.update_with(&["--key", "key"]);
    assert_eq!(first.code, 0, "{first}");
    let told = "skipped 2024/rhsa-2024_2.json: its signature by key";
    assert!(first.stderr.contains(told), "{first}");
    assert!(
        first.stderr.contains("skipped 2024/rhsa-2024_4.json: "),
        "{first}"
    );
    assert_eq!(
        feed.held().0,
        ids(&[1, 2]),
        "the archive's own version stays"
    );
    feed.sign(&path(2), &key);
    feed.sign(&path(4), &key);
    let second = feed.update_with(&["--key", "key"]);
    assert!(
        second.stdout.contains("1 advisories added, 1 replaced"),
        "{second}"
    );
    assert!(!feed.status().contains("unread"), "{}", feed.status());
}

#[test]
fn a_signature_without_its_key_is_told_once_and_refused_where_one_is_required() {
    let (feed, key) = (Feed::start(|_| None), Key::new());
    for path in [ARCHIVE.to_owned(), path(2), path(4)] {
        feed.sign(&path, &key);
    }
    let strict = feed.update_with(&["--require-signature"]);
    assert_eq!(strict.code, 4, "{strict}");
    assert!(
        strict.stderr.contains("not at hand; name it with `--key`"),
        "{strict}"
    );
    let ran = feed.update();
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(ran.stderr.matches("not at hand").count(), 1, "{ran}");
    assert!(ran.stderr.contains("3 files are signed by keys"), "{ran}");
    let status = feed.status();
    assert!(
        status.contains("; none by a signature, 3 with a signature and no key to check it with ("),
        "{status}"
    );
}

#[test]
fn where_a_signature_is_required_nothing_without_one_is_taken() {
    let (feed, key) = (Feed::start(|_| None), Key::new());
    feed.key("key", &key);
    let strict = ["--key", "key", "--require-signature"];
    let ran = feed.update_with(&strict);
    assert_eq!(ran.code, 4, "{ran}");
    assert!(ran.stderr.contains("it has no signature"), "{ran}");
    feed.sign(ARCHIVE, &key);
    let ran = feed.update_with(&strict);
    assert_ne!(ran.code, 0, "{ran}");
    assert!(
        ran.stderr
            .contains("2024/rhsa-2024_4.json: it has no signature"),
        "{ran}"
    );
    for number in [2, 4] {
        feed.sign(&path(number), &key);
    }
    let ran = feed.update_with(&strict);
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(feed.held().0, ids(&[1, 2, 4]));
}

#[test]
fn files_on_disk_are_checked_by_the_signatures_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let key = Key::new();
    fs::write(at("key"), key.public()).unwrap();
    fs::create_dir_all(at("feed/2024")).unwrap();
    for number in [1, 2] {
        let content = document(number, "2025-02-01T00:00:00Z");
        fs::write(at("feed").join(path(number)), &content).unwrap();
        let signed = if number == 1 {
            content
        } else {
            "other".to_owned()
        };
        fs::write(
            at(&format!("feed/{}.asc", path(number))),
            key.sign(signed.as_bytes()),
        )
        .unwrap();
    }
    fs::write(at("feed/repository-to-cpe.json"), "{\"data\": {}}").unwrap();
    let update = |from: &str, more: &[&str]| {
        let own = [
            "advisories",
            "update",
            "--from",
            from,
            "--database",
            "a.db",
            "--key",
            "key",
        ];
        plimsoll(folder.path(), &[&own[..], more].concat())
    };
    let ran = update("feed", &[]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.stdout.contains("1 advisories added"), "{ran}");
    assert!(
        ran.stderr
            .contains("skipped 2024/rhsa-2024_2.json: its signature by key"),
        "{ran}"
    );
    let strict = update("feed", &["--require-signature"]);
    assert_eq!(strict.code, 2, "{strict}");
    fs::remove_file(at(&format!("feed/{}.asc", path(2)))).unwrap();
    fs::remove_file(at("feed").join(path(2))).unwrap();
    let strict = update("feed", &["--require-signature"]);
    assert_eq!(strict.code, 0, "{strict}");

    let packed = crate::feeds::archive(&[(path(3), document(3, "2025-02-01T00:00:00Z"))]);
    fs::write(at(ARCHIVE), &packed).unwrap();
    fs::write(at(&format!("{ARCHIVE}.asc")), key.sign(b"other")).unwrap();
    let ran = update(ARCHIVE, &[]);
    assert!(
        ran.code == 2 && ran.stderr.contains("it is of other content"),
        "{ran}"
    );
    fs::write(at(&format!("{ARCHIVE}.asc")), key.sign(&packed)).unwrap();
    let ran = update(ARCHIVE, &["--require-signature"]);
    assert!(
        ran.code == 0 && ran.stdout.contains("1 advisories added"),
        "{ran}"
    );
}

#[test]
fn red_hats_documents_are_checked_by_its_key_that_is_built_in() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("vex/2026")).unwrap();
    fs::create_dir_all(at("none")).unwrap();
    fs::write(at("none").join("changes.csv"), "").unwrap();
    fs::write(at("vex/2026/cve-2026-0006.json"), DOCUMENT).unwrap();
    fs::write(at("vex/2026/cve-2026-0006.json.asc"), SIGNATURE).unwrap();
    let update = || {
        let own = [
            "advisories",
            "update",
            "--from",
            "none",
            "--vex",
            "vex",
            "--database",
            "a.db",
        ];
        plimsoll(folder.path(), &own)
    };
    let ran = update();
    assert_eq!(ran.code, 0, "{ran}");
    let status = plimsoll(
        folder.path(),
        &["advisories", "status", "--database", "a.db"],
    );
    let line = format!("; 1 by a signature of {RED_HAT_KEY}");
    assert!(status.stdout.contains(&line), "{status}");
    fs::remove_file(at("a.db")).unwrap();
    let mut other = DOCUMENT.to_vec();
    other.push(b'\n');
    fs::write(at("vex/2026/cve-2026-0006.json"), other).unwrap();
    let ran = update();
    assert!(
        ran.stderr
            .contains("its signature by key DCE3823597F5EAC4 does not hold"),
        "{ran}"
    );
}

#[test]
fn the_configuration_names_feed_keys_and_what_is_required() {
    let (feed, key) = (Feed::start(|_| None), Key::new());
    let folder = feed.folder.path();
    let update = |more: &[&str]| -> Ran {
        let own = ["advisories", "update", "--database", "a.db"];
        plimsoll(folder, &[&own, more].concat())
    };
    let configure = |more: &str| {
        let source = feed.url();
        let text = format!("scan:\n  advisories:\n    source: {source}\n{more}");
        fs::write(folder.join("plimsoll.yaml"), text).unwrap();
    };
    configure("");
    let ran = update(&[]);
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(feed.held(), (ids(&[1, 2, 4]), Coverage::Whole));
    fs::remove_file(folder.join("a.db")).unwrap();
    fs::create_dir(folder.join("keys")).unwrap();
    feed.key("keys/one", &key);
    configure("    keys: [keys/one]\n    require-signature: true\n");
    let ran = update(&[]);
    assert!(
        ran.code == 4 && ran.stderr.contains("it has no signature"),
        "{ran}"
    );
    for path in [ARCHIVE.to_owned(), path(2), path(4)] {
        feed.sign(&path, &key);
    }
    assert_eq!(update(&[]).code, 0);
    // the option wins over the file
    fs::create_dir(folder.join("empty")).unwrap();
    fs::write(folder.join("empty/changes.csv"), "").unwrap();
    let asked = feed.double.requests().len();
    let ran = update(&["--from", "empty"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(feed.double.requests().len(), asked);
}

/// `gpg` with a home of its own.
struct Gpg(tempfile::TempDir);

impl Gpg {
    fn start(test: &str) -> Option<Self> {
        if !has_program("gpg") {
            skipped(test, "gpg is not installed");
            return None;
        }
        Some(Self(tempfile::tempdir().unwrap()))
    }

    fn run(&self, arguments: &[&str]) -> std::process::Output {
        let mut gpg = command("gpg");
        gpg.arg("--homedir").arg(self.0.path());
        gpg.args([
            "--batch",
            "--yes",
            "--quiet",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
        ]);
        gpg.args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    fn must(&self, arguments: &[&str]) -> Vec<u8> {
        let ran = self.run(arguments);
        let told = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "gpg {arguments:?}: {told}");
        ran.stdout
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// `gpg`'s own opinion.
    fn verifies(&self) -> bool {
        self.run(&["--verify", "content.asc", "content"])
            .status
            .success()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let mut stop = command("gpgconf");
        let _ = stop
            .arg("--homedir")
            .arg(self.0.path())
            .args(["--kill", "gpg-agent"])
            .output();
    }
}

#[test]
fn signatures_of_gpg_hold_as_gpg_says() {
    let Some(gpg) = Gpg::start("signatures of gpg") else {
        return;
    };
    let content = b"line one\r\nline two\n\xff\n".repeat(1000);
    fs::write(gpg.path().join("content"), &content).unwrap();
    let kinds = [
        ("rsa2048", vec!["sign"], vec![]),
        ("ed25519", vec!["sign"], vec![]),
        ("nistp256", vec!["sign"], vec![]),
        ("dsa2048", vec!["sign"], vec![]),
        ("ed25519", vec!["cert"], vec!["ed25519", "sign"]),
        ("rsa2048", vec!["cert"], vec!["rsa2048", "sign"]),
    ];
    for (number, (kind, usage, sub)) in kinds.iter().enumerate() {
        let name = format!("k{number}@example.com");
        let usage = usage.join(",");
        gpg.must(&["--quick-gen-key", &name, kind, &usage, "never"]);
        let listed = gpg.must(&["--with-colons", "--list-keys", &name]);
        let listed = String::from_utf8(listed).unwrap();
        let print = listed.lines().find_map(|line| line.strip_prefix("fpr:"));
        let print = print.unwrap().trim_matches(':').to_owned();
        if let [kind, usage] = sub[..] {
            gpg.must(&["--quick-add-key", &print, kind, usage, "never"]);
        }
        let armoured = gpg.must(&["--armor", "--export", &name]);
        let binary = gpg.must(&["--export", &name]);
        for (key, more) in [
            (&armoured, &["--detach-sign", "--armor"][..]),
            (&binary, &["--detach-sign"]),
            (
                &binary,
                &["--detach-sign", "--armor", "--digest-algo", "SHA512"],
            ),
            (&binary, &["--detach-sign", "--armor", "--textmode"]),
        ] {
            let out = ["--local-user", &name, "--output", "content.asc"];
            gpg.must(&[&out, more, &["content"]].concat());
            let signature = fs::read(gpg.path().join("content.asc")).unwrap();
            assert!(gpg.verifies());
            let keys = keys(&[key]);
            let good = Ok(Checked::Good(print.clone()));
            assert_eq!(check(&keys, &signature, &content), good, "{kind} {more:?}");
            let checked = check(&keys, &signature, &content[1..]);
            assert!(
                matches!(checked, Err(SignatureError::Wrong { .. })),
                "{checked:?}"
            );
        }
        if kind.starts_with("rsa") || kind.starts_with("ed") {
            let out = [
                "--local-user",
                &name,
                "--output",
                "content.asc",
                "--digest-algo",
                "SHA1",
            ];
            gpg.must(&[&out[..], &["--detach-sign", "content"]].concat());
            let signature = fs::read(gpg.path().join("content.asc")).unwrap();
            let told = check(&keys(&[&binary]), &signature, &content)
                .unwrap_err()
                .to_string();
            assert!(told.contains("SHA1, which is broken"), "{told}");
        }
    }
}

#[test]
fn keys_that_had_expired_or_were_revoked_sign_nothing() {
    let Some(gpg) = Gpg::start("expired keys") else {
        return;
    };
    fs::write(gpg.path().join("content"), "content").unwrap();
    let at = |day: &str| format!("--faked-system-time={day}T000000!");
    let (made, during, after) = (at("20200101"), at("20200201"), at("20210601"));
    gpg.must(&[
        &made,
        "--quick-gen-key",
        "brief@example.com",
        "ed25519",
        "sign",
        "1y",
    ]);
    let key = gpg.must(&["--export", "brief@example.com"]);
    let sign = |time: &str| {
        let own = [
            time,
            "--local-user",
            "brief@example.com",
            "--output",
            "content.asc",
        ];
        gpg.run(&[&own[..], &["--detach-sign", "content"]].concat());
        fs::read(gpg.path().join("content.asc")).unwrap()
    };
    let known = keys(&[&key]);
    assert!(matches!(
        check(&known, &sign(&during), b"content"),
        Ok(Checked::Good(_))
    ));
    // gpg refuses to sign by an expired key, so its life is prolonged, and the old state is what counts
    let listed = gpg.must(&["--with-colons", "--list-keys", "brief@example.com"]);
    let listed = String::from_utf8(listed).unwrap();
    let print = listed
        .lines()
        .find_map(|line| line.strip_prefix("fpr:"))
        .unwrap();
    let print = print.trim_matches(':').to_owned();
    gpg.must(&[&at("20200301"), "--quick-set-expire", &print, "10y"]);
    let late = sign(&after);
    let told = check(&known, &late, b"content").unwrap_err().to_string();
    assert!(
        told.contains("made on 2021-06-01, and its key expired on 2020-12-31"),
        "{told}"
    );
    let prolonged = gpg.must(&["--export", "brief@example.com"]);
    assert!(matches!(
        check(&keys(&[&prolonged]), &late, b"content"),
        Ok(Checked::Good(_))
    ));

    // before the key was there, and in the future
    let told = |keys: &Keys, signature: &[u8], day: &str| {
        let mut open = || Ok(Box::new(&b"content"[..]) as Box<dyn std::io::Read>);
        let now = day.parse().unwrap();
        keys.check(signature, &mut open, now)
            .map_err(|error| error.to_string())
    };
    let before = told(&keys(&[&prolonged]), &late, "2021-05-01T00:00:00Z").unwrap_err();
    assert!(before.contains("in the future"), "{before}");

    // revoked: without a reason that says otherwise every signature is lost
    let script = gpg.path().join(format!("openpgp-revocs.d/{print}.rev"));
    let revocation = fs::read_to_string(&script)
        .unwrap()
        .replace(":-----BEGIN", "-----BEGIN");
    fs::write(&script, revocation).unwrap();
    gpg.must(&["--import", script.to_str().unwrap()]);
    let revoked = gpg.must(&["--export", "brief@example.com"]);
    let told = check(&keys(&[&revoked]), &late, b"content")
        .unwrap_err()
        .to_string();
    assert!(told.contains("its key was revoked"), "{told}");
}
