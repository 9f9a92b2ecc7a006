//! The rpm database readers against what librpm says of the same databases.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test reads its data, says what it skips and stops at the first surprise"
)]

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use plimsoll::rpm::{self, FileState, Format, Package};

/// Data that lies beside the repository and is too large to ship in it.
fn shared() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let root = std::env::var_os("PLIMSOLL_SHARED").map_or_else(beside, PathBuf::from);
    let data = root.join("data/rpmdb");
    if data.is_dir() {
        return Some(data);
    }
    eprintln!(
        "SKIPPED: {} is not there (set PLIMSOLL_SHARED)",
        data.display()
    );
    None
}

pub(super) fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rpmdb")
}

pub(super) fn unpack(path: &Path) -> Vec<u8> {
    let file = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut decoder = zstd::Decoder::new(&*file).unwrap();
    decoder.window_log_max(31).unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut decoder, &mut bytes).unwrap();
    bytes
}

/// A database and its write-ahead log.
type Database = (Vec<u8>, Option<Vec<u8>>);

/// The database in a folder, and the write-ahead log beside it.
fn database(folder: &Path) -> Database {
    let names = ["rpmdb.sqlite", "Packages.db", "Packages"];
    let mut paths = names
        .map(|name| folder.join(format!("{name}.zst")))
        .into_iter();
    let main = paths.find(|path| path.exists()).unwrap();
    let wal = folder.join("rpmdb.sqlite-wal.zst");
    (unpack(&main), wal.exists().then(|| unpack(&wal)))
}

fn read(folder: &Path) -> Vec<Package> {
    let (bytes, wal) = database(folder);
    rpm::read(&bytes, wal.as_deref())
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "(none)".to_owned(), |value| value.to_string())
}

/// Columns as `SOURCES.md` of the data lists them, the four signatures folded into the key id.
fn package_rows(packages: &[Package]) -> Vec<String> {
    let row = |p: &Package| {
        let n = &p.nevra;
        [
            n.name.clone(),
            or_none(n.epoch),
            n.version.clone(),
            n.release.clone(),
            or_none(n.arch.as_ref()),
            or_none(p.vendor.as_ref()),
            or_none(p.source_rpm.as_ref()),
            or_none(p.license.as_ref()),
            p.size.to_string(),
            or_none(p.install_time),
            or_none(p.build_time),
            or_none(p.module.as_ref()),
            or_none(p.sig_md5.as_ref()),
            or_none(p.sha1_header.as_ref()),
            or_none(p.sha256_header.as_ref()),
            or_none(p.signing_key.as_ref()),
            p.file_digest_algo.to_string(),
            or_none(p.build_host.as_ref()),
            or_none(p.summary.as_ref()),
        ]
        .join("\t")
    };
    sorted(packages.iter().map(row).collect())
}

/// The same columns out of what `rpm -qa --qf` printed.
fn expected_package_rows(tsv: &[u8]) -> Vec<String> {
    let fold = |line: &str| {
        let mut columns: Vec<String> = line.split('\t').map(str::to_owned).collect();
        assert_eq!(columns.len(), 22, "{line}");
        let pgp: Vec<String> = columns.drain(15..19).collect();
        let key = |text: &String| text.rsplit_once("Key ID ").map(|(_, id)| id.to_owned());
        // RSAHEADER, DSAHEADER, SIGPGP, SIGGPG
        let key = [1, 2, 0, 3].into_iter().find_map(|at: usize| key(&pgp[at]));
        columns.insert(15, or_none(key));
        if columns[16] == "(none)" {
            "1".clone_into(&mut columns[16]);
        }
        columns.join("\t")
    };
    sorted(lines(tsv).iter().map(|line| fold(line)).collect())
}

fn file_rows(packages: &[Package]) -> Vec<String> {
    let mut rows = Vec::new();
    for package in packages {
        let nevra = package.nevra.to_string();
        for f in &package.files {
            let digest = hex(&f.digest);
            let path = String::from_utf8_lossy(f.path.as_bytes());
            let link = String::from_utf8_lossy(&f.link_target);
            let state = match f.state {
                FileState::Normal => "0",
                FileState::Replaced => "1",
                FileState::NotInstalled => "2",
                FileState::NetShared => "3",
                FileState::WrongColor => "4",
                FileState::Missing => "(none)",
            };
            rows.push(format!(
                "{nevra}\t/{path}\t{}\t{:o}\t{}\t{digest}\t{link}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{state}",
                f.size, f.mode, f.mtime, f.flags, f.verify_flags, f.user, f.group, f.rdev, f.inode, f.color,
            ));
        }
    }
    sorted(rows)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

fn provide_rows(packages: &[Package]) -> Vec<String> {
    let mut rows = Vec::new();
    for package in packages {
        for p in &package.provides {
            rows.push(format!(
                "{}\t{}\t{}\t{}",
                package.nevra, p.name, p.flags, p.version
            ));
        }
    }
    sorted(rows)
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

fn lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    sorted(text.lines().map(str::to_owned).collect())
}

fn assert_same(what: &str, ours: &[String], theirs: &[String]) {
    let differences: Vec<String> = (ours.iter().filter(|row| theirs.binary_search(row).is_err()))
        .map(|row| format!("+ {row}"))
        .chain(
            (theirs.iter().filter(|row| ours.binary_search(row).is_err()))
                .map(|row| format!("- {row}")),
        )
        .collect();
    let shown: Vec<&String> = differences.iter().take(10).collect();
    assert!(
        differences.is_empty(),
        "{what}: {} differences, first {shown:#?}",
        differences.len()
    );
    assert_eq!(ours.len(), theirs.len(), "{what}");
}

/// Compares a database with `NAME.packages.tsv.zst`, `.files.tsv.zst`, `.provides.tsv.zst`.
fn compare(name: &str, packages: &[Package], expected: &Path) {
    let tsv = |kind: &str| unpack(&expected.join(format!("{name}.{kind}.tsv.zst")));
    assert_same(
        name,
        &package_rows(packages),
        &expected_package_rows(&tsv("packages")),
    );
    // No color and color 0 are one to rpm.
    let colors = |line: &String| line.replace("\t(none)\t", "\t0\t");
    let files = lines(&tsv("files")).iter().map(colors).collect();
    assert_same(name, &file_rows(packages), &sorted(files));
    assert_same(name, &provide_rows(packages), &lines(&tsv("provides")));
}

#[test]
fn own_databases_of_every_format_read_as_rpm_lists_them() {
    let (folder, expected) = (own().join("db"), own().join("expected"));
    for (name, list, format) in [
        ("sqlite", "sqlite", Format::Sqlite),
        ("sqlite-wal", "sqlite-wal", Format::Sqlite),
        ("ndb", "sqlite", Format::Ndb),
        ("bdb", "sqlite", Format::Bdb),
        ("bdb-big-endian", "sqlite", Format::Bdb),
    ] {
        let (bytes, _) = database(&folder.join(name));
        assert_eq!(Format::detect(&bytes), Some(format), "{name}");
        compare(list, &read(&folder.join(name)), &expected);
    }
}

#[test]
fn pages_only_in_the_write_ahead_log_count() {
    let (bytes, wal) = database(&own().join("db/sqlite-wal"));
    let count = |wal: Option<&[u8]>| rpm::read(&bytes, wal).unwrap().len();
    let wal = wal.unwrap();
    assert_eq!(count(Some(&wal)) + 1, count(None));
    // Damage in the first frame makes SQLite drop it and everything after it.
    let mut damaged = wal.clone();
    damaged[32 + 24] ^= 1;
    assert_eq!(count(Some(&damaged)), count(None));
    assert_eq!(count(Some(&wal[..31])), count(None));
}

#[test]
fn every_shared_database_reads_as_librpm_reads_it() {
    let Some(data) = shared() else { return };
    let mut seen = 0;
    for entry in fs::read_dir(data.join("db")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "sle15-bci" {
            continue;
        }
        compare(&name, &read(&folder), &data.join("expected"));
        seen += 1;
    }
    assert_eq!(seen, 9);
}

#[test]
fn ndb_database_reads_as_go_rpmdb_reads_it() {
    let Some(data) = shared() else { return };
    let packages = read(&data.join("db/sle15-bci"));
    let table = fs::read_to_string(data.join("expected/sle15-bci.gorpmdb.ndjson")).unwrap();
    let rows = |p: &Package| {
        serde_json::json!({
            "Epoch": p.nevra.epoch, "Name": p.nevra.name, "Version": p.nevra.version,
            "Release": p.nevra.release, "Arch": p.nevra.arch.clone().unwrap_or_default(),
            "SourceRpm": p.source_rpm.clone().unwrap_or_default(), "Size": p.size,
            "License": p.license.clone().unwrap_or_default(),
            "Vendor": p.vendor.clone().unwrap_or_default(),
            "Modularitylabel": p.module.clone().unwrap_or_default(),
            "Summary": p.summary.clone().unwrap_or_default(),
            "SigMD5": p.sig_md5.clone().unwrap_or_default(),
        })
        .to_string()
    };
    let theirs = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value.to_string()
    };
    assert_same(
        "sle15-bci",
        &sorted(packages.iter().map(rows).collect()),
        &sorted(table.lines().map(theirs).collect()),
    );
    assert_eq!(packages.iter().map(|p| p.files.len()).sum::<usize>(), 2_837);
}

#[test]
fn hostile_databases_end_in_an_error_that_says_what_is_wrong() {
    let Some(data) = shared() else { return };
    for (name, want) in [
        ("bdb-overflow-cycle.Packages", "is used twice"),
        (
            "bdb-overflow-page-wrong-type.Packages",
            "which does not belong there",
        ),
        ("bdb-page-size-zero.Packages", "the page size is 0"),
        ("bdb-truncated.Packages", "a value is longer than the file"),
        ("ndb-huge-blob.Packages.db", "not as long as its slot says"),
        ("sqlite-truncated.sqlite", "lies beyond the end of the file"),
    ] {
        let bytes = unpack(&data.join("hostile").join(format!("{name}.zst")));
        let error = rpm::read(&bytes, None).unwrap_err();
        assert!(error.to_string().contains(want), "{name}: {error}");
    }
}

/// Databases of the project's own with their write-ahead logs, read once.
static OWN: LazyLock<Vec<Database>> = LazyLock::new(|| {
    let names = ["sqlite", "sqlite-wal", "ndb", "bdb", "bdb-big-endian"];
    names
        .map(|name| database(&own().join("db").join(name)))
        .into()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_databases_end_soon_and_without_panic(
        which in 0_usize..5,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<[u8; 4]>()), 1..12),
        structure: bool,
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (mut bytes, wal) = OWN[which].clone();
        for (at, value) in &damage {
            // Half of the cases hit the first pages, where the structure is.
            let end = if structure { bytes.len().min(9000) } else { bytes.len() };
            let at = at.index(end - 4);
            bytes[at..at + 4].copy_from_slice(value);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let begin = Instant::now();
        if let Ok(packages) = rpm::read(&bytes, wal.as_deref()) {
            prop_assert!(packages.len() <= 16);
        }
        prop_assert!(begin.elapsed() < Duration::from_secs(5));
    }
}
