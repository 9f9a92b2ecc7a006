//! What the lock file may hold: one TLS stack, one HTTP stack, one runtime, one registry.

use std::{collections::BTreeMap, fs, path::Path};

/// Crates that would bring a second stack, or need more than a C compiler to build.
const BANNED: &[(&str, &str)] = &[
    ("openssl-sys", "TLS is rustls"),
    ("native-tls", "TLS is rustls"),
    (
        "aws-lc-sys",
        "the provider of rustls is ring, which needs no cmake",
    ),
    ("async-std", "the runtime is tokio"),
    ("smol", "the runtime is tokio"),
    ("isahc", "HTTP is hyper and reqwest"),
    ("ureq", "HTTP is hyper and reqwest"),
    ("curl-sys", "HTTP is hyper and reqwest"),
    (
        "libsqlite3-sys",
        "package databases are read by our own reader",
    ),
    ("cmake", "a build needs no cmake"),
    ("protobuf-src", "a build needs no protoc"),
];

/// Crates of which there is one version only.
const SINGLE: &[&str] = &[
    "hyper", "reqwest", "rustls", "tokio", "tonic", "h2", "ring", "zstd-sys",
];

fn packages() -> BTreeMap<String, Vec<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let text = fs::read_to_string(file).unwrap();
    let mut packages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(value) = line.strip_prefix("name = ") {
            value.trim_matches('"').clone_into(&mut name);
        } else if let Some(value) = line.strip_prefix("version = ") {
            packages
                .entry(name.clone())
                .or_default()
                .push(value.trim_matches('"').to_owned());
        }
    }
    packages
}

#[test]
fn nothing_brings_a_second_stack_or_another_build_tool() {
    let packages = packages();
    let found: Vec<_> = BANNED
        .iter()
        .filter(|(name, _)| packages.contains_key(*name))
        .collect();
    assert!(found.is_empty(), "{found:?}");
    for name in SINGLE {
        assert_eq!(packages[*name].len(), 1, "{name}: {:?}", packages[*name]);
    }
}

#[test]
fn everything_comes_from_the_registry() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let text = fs::read_to_string(file).unwrap();
    let astray: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("source = ") && !line.contains("\"registry+"))
        .collect();
    assert!(astray.is_empty(), "{astray:?}");
}
