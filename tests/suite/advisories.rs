//! Advisories against real documents and independent judges: Red Hat's own documents, `oscap`'s
//! answer for a real package list, and librpm's comparisons.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, civil::Date};
use plimsoll::{
    advisory::{
        Advisory, AdvisoryId, FixedEvr, Severity,
        csaf::{self, ParseError},
        database::{Change, Contents, Coverage, Database, Origin},
        feed,
        grade::{AsOf, Data, Health, grade, health},
        known_ends_of_life,
        matching::{Detail, Evidence, Installed, LayerEvidence, Matched, matches},
    },
    oci::LayerIndex,
    rpm::Nevra,
};
use sha2::{Digest as _, Sha256};

use crate::support::{command, has_program, plimsoll, plimsoll_with, shared, skipped};

pub(crate) fn data(test: &str) -> Option<PathBuf> {
    let data = shared()
        .map(|shared| shared.join("data"))
        .filter(|data| data.join("csaf").is_dir());
    if data.is_none() {
        skipped(test, "the shared data (PLIMSOLL_SHARED) is not there");
    }
    data
}

fn unpacked(path: &Path) -> Vec<u8> {
    zstd::decode_all(fs::File::open(path).unwrap()).unwrap()
}

/// Documents below a folder, by path.
fn documents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let files = walkdir::WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .map(Result::unwrap);
    let packed = files.filter(|file| file.path().extension().is_some_and(|end| end == "zst"));
    packed
        .map(|file| {
            let path = file.path().strip_prefix(folder).unwrap();
            (path.to_str().unwrap().to_owned(), unpacked(file.path()))
        })
        .collect()
}

pub(crate) fn derived(data: &Path) -> Vec<Vec<u8>> {
    let tar = unpacked(&data.join("csaf-derived-rhel8/derived-rhel8.tar.zst"));
    let mut files = Vec::new();
    let mut at = 0;
    while let Some(header) = tar.get(at..at + 512).filter(|header| header[0] != 0) {
        let size = std::str::from_utf8(&header[124..135]).unwrap();
        let size = usize::from_str_radix(size.trim_matches(['\0', ' ']), 8).unwrap();
        if header[156] == b'0' {
            files.push(tar[at + 512..at + 512 + size].to_vec());
        }
        at += 512 + size.next_multiple_of(512);
    }
    files
}

fn offer(contents: &mut Contents, json: &[u8]) -> Change {
    let parsed = csaf::parse(json).unwrap();
    contents.offer(parsed.advisory, Sha256::digest(json).into())
}

/// A database of the derived set, as of the day it ends, with the real map of repositories.
pub(crate) fn rhel8(data: &Path) -> Vec<u8> {
    let mut contents = Contents::default();
    for json in derived(data) {
        offer(&mut contents, &json);
    }
    let map = unpacked(&data.join("redhat/repository-to-cpe/repository-to-cpe-2025.json.zst"));
    contents.set_repositories(feed::repositories(&map).unwrap());
    contents.set_ends_of_life(known_ends_of_life().unwrap());
    contents
        .advance("2020-03-19T00:00:00Z".parse().unwrap(), "derived")
        .unwrap();
    contents.to_bytes().unwrap()
}

/// The package list of the golden example: name, epoch, version, release, architecture, key.
pub(crate) fn golden_list(data: &Path) -> Vec<Installed> {
    let list = fs::read_to_string(data.join("golden-example/mod-httpd.tsv")).unwrap();
    let streams = fs::read_to_string(data.join("golden-example/mod-httpd.mods")).unwrap();
    let stream = streams.trim().replace(' ', ":");
    let package = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, epoch, version, release, arch, key] = fields[..] else {
            panic!("{line}")
        };
        Installed {
            nevra: Nevra {
                name: name.to_owned(),
                epoch: Some(epoch.parse().unwrap()),
                version: version.to_owned(),
                release: release.to_owned(),
                arch: Some(arch.to_owned()),
            },
            vendor: None,
            signing_key: Some(key.to_owned()),
            source: None,
            module: release
                .contains(".module")
                .then(|| format!("{stream}:8000020190405071959:55190bc5")),
            layer: LayerIndex(0),
            repository: None,
        }
    };
    list.lines().map(package).collect()
}

pub(crate) fn ubi8() -> Evidence {
    let sets = ["ubi-8-baseos-rpms", "ubi-8-appstream-rpms"]
        .map(str::to_owned)
        .to_vec();
    Evidence {
        os: Some("rhel".to_owned()),
        version: Some("8.0".to_owned()),
        layers: vec![LayerEvidence {
            content_sets: sets,
            ..LayerEvidence::default()
        }],
        streams: Vec::new(),
    }
}

fn flaws(matched: &Matched) -> Vec<(Severity, Timestamp)> {
    matched
        .missing
        .iter()
        .map(|missing| (missing.severity, missing.released))
        .collect()
}

#[test]
fn the_golden_image_lacks_what_openscap_says_and_has_its_grades() {
    let Some(data) = data("golden example") else {
        return;
    };
    let file = rhel8(&data);
    let database = Database::open(&file).unwrap();
    assert_eq!(database.counts().advisories, 181);
    let matched = matches(&database, &ubi8(), &golden_list(&data), Detail::Missing);
    let missing: BTreeSet<String> = matched
        .missing
        .iter()
        .map(|missing| {
            let day = missing.released.to_zoned(jiff::tz::TimeZone::UTC).date();
            format!("{}\t{}\t{day}", missing.id, missing.severity)
        })
        .collect();
    let golden =
        fs::read_to_string(data.join("golden-example/golden-mod-httpd-rhel-8.oval.tsv")).unwrap();
    assert_eq!(missing, golden.lines().map(str::to_owned).collect());
    assert_eq!((matched.is_assumed(), matched.notes.len()), (false, 0));

    let grades = fs::read_to_string(data.join("golden-example/expected-grades.tsv")).unwrap();
    let mut last = None;
    for line in grades.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let day: Date = fields[2].parse().unwrap();
        let as_of =
            |day| grade(&flaws(&matched), &matched.ends_of_life, AsOf::Day(day)).to_string();
        assert_eq!(as_of(day), fields[3], "{day}");
        if let Some(last) = last {
            assert_eq!(
                as_of(day.yesterday().unwrap()),
                last,
                "the day before {day}"
            );
        }
        last = Some(fields[3]);
    }
}

#[test]
fn the_golden_list_signed_by_someone_else_has_no_grade() {
    let Some(data) = data("foreign key") else {
        return;
    };
    let file = rhel8(&data);
    let database = Database::open(&file).unwrap();
    let mut list = golden_list(&data);
    for package in &mut list {
        package.signing_key = Some("05b555b38483c65d".to_owned());
    }
    let matched = matches(&database, &ubi8(), &list, Detail::Missing);
    assert_eq!((matched.missing.len(), matched.scanned), (0, 0));
    let as_of = AsOf::Day("2020-03-19".parse().unwrap());
    let data = Data {
        of: database.as_of(),
        coverage: Coverage::Declared,
        limit: Some(7),
    };
    let health = health(&ubi8(), &matched, Some(data), as_of);
    assert!(matches!(health, Health::Unknown(_)));
}

/// The answer worked out the plain way, from the documents and not from the database: every row of
/// every document against every package.
fn plainly(documents: &[Advisory], list: &[Installed]) -> BTreeSet<String> {
    let lacks = |advisory: &Advisory, package: &Installed| {
        let module = package
            .module
            .as_deref()
            .map(|label| label.split(':').take(2).collect::<Vec<_>>().join(":"));
        advisory.rows.iter().any(|row| {
            let fixed = Nevra {
                epoch: Some(row.fixed.epoch),
                version: row.fixed.version.clone(),
                release: row.fixed.release.clone(),
                ..package.nevra.clone()
            };
            *row.name == package.nevra.name
                && row.module.as_deref() == module.as_deref()
                && row.arches.contains(package.nevra.arch.as_deref().unwrap())
                && package.nevra.evr_cmp(&fixed).is_lt()
        })
    };
    let lacking = documents
        .iter()
        .filter(|advisory| list.iter().any(|package| lacks(advisory, package)));
    lacking.map(|advisory| advisory.id.to_string()).collect()
}

#[test]
fn varied_package_lists_get_the_plain_answer() {
    let Some(data) = data("varied lists") else {
        return;
    };
    let file = rhel8(&data);
    let database = Database::open(&file).unwrap();
    let documents: Vec<Advisory> = derived(&data)
        .iter()
        .map(|json| csaf::parse(json).unwrap().advisory)
        .collect();
    let rows: Vec<_> = documents
        .iter()
        .flat_map(|advisory| &advisory.rows)
        .collect();
    // packages at, just below and above the fixed versions, some of them of another module stream
    for start in 0..40 {
        let list: Vec<Installed> = rows
            .iter()
            .skip(start * 7)
            .step_by(53)
            .enumerate()
            .map(|(number, row)| {
                let release = match number % 3 {
                    0 => row.fixed.release.clone(),
                    1 => format!("{}~1", row.fixed.release),
                    _ => format!("{}.1", row.fixed.release),
                };
                let module = row.module.as_ref().map(|module| {
                    format!("{module}{}:8000:0", if number % 11 == 0 { "x" } else { "" })
                });
                Installed {
                    nevra: Nevra {
                        name: row.name.to_string(),
                        epoch: (row.fixed.epoch != 0).then_some(row.fixed.epoch),
                        version: row.fixed.version.clone(),
                        release,
                        arch: row
                            .arches
                            .names()
                            .nth(start % 2)
                            .or(row.arches.names().next())
                            .map(str::to_owned),
                    },
                    vendor: Some("Red Hat, Inc.".to_owned()),
                    signing_key: None,
                    source: None,
                    module,
                    layer: LayerIndex(0),
                    repository: None,
                }
            })
            .collect();
        let matched = matches(&database, &ubi8(), &list, Detail::Missing);
        let missing: BTreeSet<String> = matched
            .missing
            .iter()
            .map(|missing| missing.id.clone())
            .collect();
        assert_eq!(missing, plainly(&documents, &list));
        assert!(!missing.is_empty());
    }
}

#[test]
fn all_real_documents_are_read_or_listed_with_a_reason() {
    let Some(data) = data("real documents") else {
        return;
    };
    let mut read = 0;
    let mut vulnerabilities = 0;
    for (path, json) in documents(&data.join("csaf")) {
        match csaf::parse(&json) {
            Ok(parsed) => {
                read += 1;
                let name = path.rsplit('/').next().unwrap();
                let name = name
                    .trim_end_matches(".zst")
                    .split(['@', '-'])
                    .take(2)
                    .collect::<Vec<_>>()
                    .join("-");
                let name = format!("{}.json", name.split(".json").next().unwrap());
                let named = feed::id_of_path(&name).map(|id| id.to_string());
                let own = parsed.advisory.id.to_string();
                assert!(
                    named.is_none_or(|named| own.starts_with(&named)),
                    "{path}: {own}"
                );
                // what is made up on purpose may have faults
                assert!(
                    path.starts_with("edited/") || parsed.faults.is_empty(),
                    "{path}: {:?}",
                    parsed.faults.first()
                );
                let used = parsed.advisory.rows.len() + parsed.aside + parsed.other;
                assert!(
                    used > 0 || path.contains("rhsa-2021_5217") || path.starts_with("edited/"),
                    "{path}"
                );
            }
            Err(ParseError::NotAnAdvisory { id }) => {
                vulnerabilities += 1;
                assert!(id.starts_with("CVE-"), "{path}: {id}");
            }
            Err(error) => assert!(path.starts_with("edited/"), "{path}: {error}"),
        }
    }
    assert!(read >= 42 + 3 + 13, "{read}");
    assert!(vulnerabilities > 100, "{vulnerabilities}");
}

#[test]
fn versions_applied_in_order_equal_a_rebuild() {
    let Some(data) = data("versions") else { return };
    let csaf = data.join("csaf");
    let old = documents(&csaf.join("versions"));
    let new = documents(&csaf.join("advisories"));
    let mut all: Vec<(Timestamp, &[u8])> = old
        .iter()
        .chain(&new)
        .filter_map(|(_, json)| Some((csaf::parse(json).ok()?.advisory.revised, json.as_slice())))
        .collect();
    all.sort_by_key(|(revised, _)| *revised);

    let mut file = Contents::default().to_bytes().unwrap();
    for piece in all.chunks(7) {
        // each update starts from the last one's file, as a real one does
        let mut contents = Database::open(&file).unwrap().contents();
        for (_, json) in piece {
            offer(&mut contents, json);
        }
        file = contents.to_bytes().unwrap();
    }
    let mut rebuilt = Contents::default();
    for (_, json) in &new {
        assert_eq!(offer(&mut rebuilt, json), Change::Added);
    }
    assert!(file == rebuilt.to_bytes().unwrap(), "the files differ");
    for (_, json) in &old {
        if csaf::parse(json).is_ok() {
            assert!(matches!(
                offer(&mut rebuilt, json),
                Change::Older | Change::Unchanged
            ));
        }
    }
}

#[test]
fn known_traps_of_real_documents_are_read_right() {
    let Some(data) = data("traps") else { return };
    let read = |path: &str| {
        csaf::parse(&unpacked(&data.join("csaf/advisories").join(path)))
            .unwrap()
            .advisory
    };
    let ruby = read("2024/rhsa-2024_1431.json.zst");
    assert_eq!(
        ruby.released.to_string(),
        "2024-03-19T18:46:43Z",
        "not the day of the last revision"
    );
    assert!(
        ruby.rows
            .iter()
            .all(|row| row.module.as_deref() == Some("ruby:3.1"))
    );
    assert_eq!(
        read("2024/rhsa-2024_0041.json.zst").severity,
        Severity::Critical
    );
    assert_eq!(
        read("2024/rhba-2024_0599.json.zst").severity,
        Severity::Important
    );
    assert_eq!(
        read("2025/rhea-2025_2418.json.zst").severity,
        Severity::Important
    );
    let virt = read("2020/rhsa-2020_1358.json.zst");
    assert!(!virt.rows.is_empty());
    assert!(
        virt.rows.iter().all(|row| row.module.is_some()),
        "the title names the module"
    );
    let python = read("2025/rhsa-2025_0002.json.zst");
    assert!(
        python
            .rows
            .iter()
            .all(|row| row.module.as_deref() == Some("python36:3.6"))
    );
    let cpes: BTreeSet<_> = python.rows.iter().map(|row| &*row.cpe).collect();
    assert_eq!(cpes.len(), 3, "{cpes:?}");
    assert!(
        read("2023/rhsa-2023_7438.json.zst")
            .rows
            .iter()
            .all(|row| &*row.cpe == "cpe:/a:redhat:openstack:17.1::el9")
    );
}

#[test]
fn renderings_in_another_version_of_the_standard_say_the_same() {
    let Some(data) = data("CSAF 2.1") else { return };
    let csaf = data.join("csaf");
    let mut compared = 0;
    for (path, json) in documents(&csaf.join("csaf-2.1")) {
        let newer = csaf::parse(&json).unwrap().advisory;
        let name = path.split('-').take(2).collect::<Vec<_>>().join("-");
        let year = newer.id.as_str()[5..9].to_owned();
        let older = unpacked(
            &csaf
                .join("advisories")
                .join(year)
                .join(format!("{name}.json.zst")),
        );
        assert_eq!(csaf::parse(&older).unwrap().advisory, newer, "{path}");
        compared += 1;
    }
    assert_eq!(compared, 3);
}

#[test]
fn versions_compare_as_librpm_says() {
    let Some(data) = data("version pairs") else {
        return;
    };
    let folder = data.join("vercmp");
    let mut pairs =
        String::from_utf8_lossy(&unpacked(&folder.join("librpm-4.18-pairs.tsv.zst"))).into_owned();
    for name in ["vec-rpm.tsv", "vec-claircore.tsv"] {
        pairs.push_str(&fs::read_to_string(folder.join(name)).unwrap());
    }
    let nevra = |version: &str| Nevra {
        name: "x".to_owned(),
        epoch: None,
        version: version.to_owned(),
        release: String::new(),
        arch: None,
    };
    let mut compared = 0;
    for line in pairs.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [one, sign, other] = fields[..] else {
            panic!("{line}")
        };
        let wanted = match sign {
            "-1" | "<" => -1,
            "0" | "==" | "=" => 0,
            _ => 1,
        };
        assert_eq!(nevra(one).evr_cmp(&nevra(other)) as i32, wanted, "{line}");
        compared += 1;
        let fixed = |version: &str| FixedEvr {
            epoch: 0,
            version: version.to_owned(),
            release: "1".to_owned(),
        };
        assert_eq!(fixed(one).cmp_evr(&fixed(other)) as i32, wanted, "{line}");
    }
    assert!(compared > 14_000, "{compared}");
}

#[test]
fn the_map_of_repositories_is_read_in_both_ages() {
    let Some(data) = data("map of repositories") else {
        return;
    };
    for (age, count) in [("2023", 8_564), ("2025", 10_590)] {
        let path = data.join(format!(
            "redhat/repository-to-cpe/repository-to-cpe-{age}.json.zst"
        ));
        let map = feed::repositories(&unpacked(&path)).unwrap();
        assert_eq!(map.len(), count);
        let mut contents = Contents::default();
        contents.set_repositories(map);
        let file = contents.to_bytes().unwrap();
        let database = Database::open(&file).unwrap();
        let cpes = database
            .repository("rhel-8-for-x86_64-baseos-rpms")
            .unwrap();
        assert!(cpes.contains(&"cpe:/o:redhat:enterprise_linux:8::baseos"));
        assert_eq!(database.contents(), contents);
    }
}

/// What ships with the project: three real documents, so that this ground is covered everywhere.
#[test]
fn documents_that_come_along_are_read_and_matched() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/advisory");
    let mut contents = Contents::default();
    for (_, json) in documents(&folder) {
        assert_eq!(offer(&mut contents, &json), Change::Added);
    }
    let file = contents.to_bytes().unwrap();
    let database = Database::open(&file).unwrap();
    assert_eq!(database.counts().advisories, 3);
    let id: AdvisoryId = "RHSA-2024:0010".parse().unwrap();
    assert!(
        database
            .rows_of_advisory(id.as_str())
            .iter()
            .any(|row| &*row.name == "tigervnc")
    );
    let package = |release: &str| Installed {
        nevra: Nevra {
            name: "tigervnc".to_owned(),
            epoch: None,
            version: "1.13.1".to_owned(),
            release: release.to_owned(),
            arch: Some("x86_64".to_owned()),
        },
        vendor: None,
        signing_key: Some("199e2f91fd431d51".to_owned()),
        source: None,
        module: None,
        layer: LayerIndex(0),
        repository: None,
    };
    let evidence = Evidence {
        version: Some("9.3".to_owned()),
        os: Some("rhel".to_owned()),
        layers: Vec::new(),
        streams: Vec::new(),
    };
    let missing = |release: &str| {
        matches(&database, &evidence, &[package(release)], Detail::Missing)
            .missing
            .into_iter()
            .map(|missing| missing.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(missing("1.el9"), ["RHSA-2024:0010"]);
    assert_eq!(missing("999.el9"), [] as [String; 0]);
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/advisory")
}

#[test]
fn a_database_is_made_from_a_directory_and_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let from = shipped();
    let update = [
        "advisories",
        "update",
        "--from",
        from.to_str().unwrap(),
        "--database",
        "advisories.db",
    ];
    let made = plimsoll(folder.path(), &update);
    assert_eq!(made.code, 0, "{made}");
    assert!(made.stdout.contains("3 advisories added"), "{made}");
    let first = fs::read(folder.path().join("advisories.db")).unwrap();
    let again = plimsoll(folder.path(), &update);
    assert!(
        again
            .stdout
            .contains("0 advisories added, 0 replaced, 3 unchanged"),
        "{again}"
    );
    assert!(
        first == fs::read(folder.path().join("advisories.db")).unwrap(),
        "the file changed"
    );

    let status = plimsoll(
        folder.path(),
        &["advisories", "status", "--database", "advisories.db"],
    );
    assert!(
        status.stdout.contains("advisories      3, 0 deleted"),
        "{status}"
    );
    let shown = plimsoll(
        folder.path(),
        &[
            "advisories",
            "show",
            "RHSA-2024:0010",
            "--database",
            "advisories.db",
        ],
    );
    assert!(
        shown
            .stdout
            .contains("cpe:/a:redhat:enterprise_linux:9::appstream"),
        "{shown}"
    );
    assert!(
        shown.stdout.contains("tigervnc 1.13.1-3.el9_3.3"),
        "{shown}"
    );
    let unknown = plimsoll(
        folder.path(),
        &[
            "advisories",
            "show",
            "RHSA-1999:1",
            "--database",
            "advisories.db",
        ],
    );
    assert_eq!(unknown.code, 2, "{unknown}");
    let nowhere = plimsoll(folder.path(), &["advisories", "status"]);
    assert!(
        nowhere.code == 2 && nowhere.stderr.contains("--database"),
        "{nowhere}"
    );
}

#[test]
fn an_archive_gives_the_same_database_as_its_directory() {
    let folder = tempfile::tempdir().unwrap();
    if !has_program("tar") {
        skipped("archive", "there is no tar");
        return;
    }
    let packed = command("tar")
        .arg("-C")
        .arg(shipped())
        .args(["-cf"])
        .arg(folder.path().join("feed.tar"))
        .arg(".")
        .status()
        .unwrap();
    assert!(packed.success());
    let tar = fs::read(folder.path().join("feed.tar")).unwrap();
    fs::write(
        folder.path().join("feed.tar.zst"),
        zstd::encode_all(&tar[..], 3).unwrap(),
    )
    .unwrap();
    let contents = |from: &str, database: &str| {
        let ran = plimsoll(
            folder.path(),
            &[
                "advisories",
                "update",
                "--from",
                from,
                "--database",
                database,
            ],
        );
        assert_eq!(ran.code, 0, "{ran}");
        let file = fs::read(folder.path().join(database)).unwrap();
        let mut contents = Database::open(&file).unwrap().contents();
        contents.advance(contents.as_of(), "same").unwrap();
        assert_eq!(contents.origin().coverage, Coverage::Partial);
        *contents.origin_mut() = Origin::default();
        contents
    };
    let of_directory = contents(shipped().to_str().unwrap(), "directory.db");
    assert_eq!(of_directory.documents().count(), 3);
    assert!(of_directory == contents("feed.tar", "tar.db"));
    assert!(of_directory == contents("feed.tar.zst", "zst.db"));
    // cut off anywhere, the archive is refused and the database stays
    let before = fs::read(folder.path().join("zst.db")).unwrap();
    fs::write(folder.path().join("cut.tar"), &tar[..tar.len() / 2]).unwrap();
    let cut = plimsoll(
        folder.path(),
        &[
            "advisories",
            "update",
            "--from",
            "cut.tar",
            "--database",
            "zst.db",
        ],
    );
    assert_eq!(cut.code, 2, "{cut}");
    assert!(before == fs::read(folder.path().join("zst.db")).unwrap());
}

#[test]
fn damaged_documents_are_listed_and_the_rest_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let feed = folder.path().join("feed");
    fs::create_dir(&feed).unwrap();
    for (name, json) in documents(&shipped()) {
        let name = name.trim_end_matches(".zst");
        fs::write(feed.join(name), json).unwrap();
    }
    fs::write(feed.join("rhsa-2024_0010.json"), "{\"document\": 1").unwrap();
    fs::write(feed.join("broken.json.zst"), "no zstd").unwrap();
    fs::write(
        feed.join("deletions.csv"),
        "\"2025/rhea-2025_2418.json\",\"2030-01-01T00:00:00+00:00\"\n",
    )
    .unwrap();
    let ran = plimsoll(
        folder.path(),
        &[
            "advisories",
            "update",
            "--from",
            "feed",
            "--database",
            "a.db",
        ],
    );
    assert_eq!(ran.code, 0, "{ran}");
    assert!(
        ran.stderr.contains("skipped rhsa-2024_0010.json: line 1"),
        "{ran}"
    );
    assert!(ran.stderr.contains("skipped broken.json.zst"), "{ran}");
    assert!(ran.stdout.contains("2 documents skipped"), "{ran}");
    let file = fs::read(folder.path().join("a.db")).unwrap();
    let database = Database::open(&file).unwrap();
    // deletions.csv comes before the documents: the deleted one is not taken
    assert_eq!(
        (database.counts().advisories, database.counts().deleted),
        (1, 1)
    );
}

#[test]
fn a_damaged_database_is_told_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let from = shipped();
    fs::write(folder.path().join("a.db"), "something else").unwrap();
    let ran = plimsoll(
        folder.path(),
        &[
            "advisories",
            "update",
            "--from",
            from.to_str().unwrap(),
            "--database",
            "a.db",
        ],
    );
    assert!(
        ran.code == 2 && ran.stderr.contains("no advisory database"),
        "{ran}"
    );
    assert_eq!(
        fs::read(folder.path().join("a.db")).unwrap(),
        b"something else"
    );
}

/// A made-up advisory for `openssl-libs` of RHEL 9, as old as said; the ids are nobody's.
fn made_up(id: &str, severity: &str, days: i64, evr: &str) -> String {
    let now = Timestamp::now();
    let released = Timestamp::from_second(now.as_second() - days * 86_400).unwrap();
    format!(
        r#"{{"document": {{"aggregate_severity": {{"text": "{severity}"}}, "csaf_version": "2.0", "title": "fixture",
        "tracking": {{"id": "{id}", "initial_release_date": "{released}", "current_release_date": "{now}"}}}},
        "product_tree": {{"branches": [
            {{"product": {{"product_id": "9", "product_identification_helper": {{"cpe": "cpe:/o:redhat:enterprise_linux:9::baseos"}}}}}},
            {{"product": {{"product_id": "openssl-libs-{evr}.x86_64"}}}}],
          "relationships": [{{"full_product_name": {{"product_id": "9:o"}}, "product_reference": "openssl-libs-{evr}.x86_64", "relates_to_product_reference": "9"}}]}},
        "vulnerabilities": [{{"cve": "CVE-0000-0001", "product_status": {{"fixed": ["9:o"]}}}}]}}"#
    )
}

/// The JSON report of a scan that requires the rule, its exit code, and the rule's assessment.
fn scanned(
    folder: &Path,
    layout: &str,
    more: &[&str],
) -> (i32, serde_json::Value, serde_json::Value) {
    const RULE: &str = "free_of_critical_vulnerabilities";
    let args = [
        &["scan", layout, "--format", "json", "--require", RULE],
        more,
    ]
    .concat();
    let home = folder.to_str().unwrap();
    let ran = plimsoll_with(folder, &args, &[("XDG_DATA_HOME", home)]);
    let report: serde_json::Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}\n{ran}"));
    let all = report["assessments"].as_array().unwrap();
    let rule = all.iter().find(|a| a["name"] == RULE).unwrap().clone();
    (ran.code, report, rule)
}

#[test]
fn a_scan_grades_by_the_database_and_fails_on_what_is_missing() {
    let images = std::env::var_os("FIXTURE_IMAGES").map(PathBuf::from);
    let Some(image) = images
        .map(|images| images.join("oci/critical-vuln"))
        .filter(|image| image.is_dir())
    else {
        skipped(
            "scan with advisories",
            "the fixture images (FIXTURE_IMAGES) are not there",
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap();
    let feed = folder.path().join("feed");
    fs::create_dir(&feed).unwrap();
    fs::write(
        feed.join("b.json"),
        made_up("RHSA-0000:0002", "Important", 400, "1:1.0.0-1.el9"),
    )
    .unwrap();
    let layout = format!("oci:{}:3.7-1", image.display());
    let (code, without, rule) = scanned(folder.path(), &layout, &[]);
    assert_eq!(code, 4);
    assert_eq!(rule["outcome"], "not_assessed");
    assert!(without["grade"].is_null(), "{without}");

    let update = |more: &[&str]| {
        let args = [&["advisories", "update", "--from", "feed"], more].concat();
        let updated = plimsoll_with(folder.path(), &args, &[("XDG_DATA_HOME", home)]);
        assert_eq!(updated.code, 0, "{updated}");
    };
    // one advisory, which is applied: that says nothing of the others, so it is no A
    update(&[]);
    let (code, part, rule) = scanned(folder.path(), &layout, &[]);
    assert_eq!((code, &rule["outcome"]), (4, &"not_assessed".into()));
    assert_eq!(part["grade"], "Unknown", "{part}");
    assert!(
        rule.to_string()
            .contains("some of Red Hat's advisories alone"),
        "{rule}"
    );
    update(&["--complete"]);
    let (code, all, rule) = scanned(folder.path(), &layout, &[]);
    assert_eq!(
        (code, &all["grade"], &rule["outcome"]),
        (0, &"A".into(), &"passed".into())
    );
    fs::write(
        feed.join("a.json"),
        made_up("RHSA-0000:0001", "Critical", 40, "1:3.0.1-43.el9_0"),
    )
    .unwrap();
    update(&["--complete"]);
    let (code, with, assessment) = scanned(folder.path(), &layout, &[]);
    assert_eq!(code, 1);
    assert_eq!(assessment["outcome"], "failed", "{assessment}");
    let finding = &assessment["findings"][0];
    assert_eq!(finding["advisory"], "RHSA-0000:0001");
    assert!(
        finding["message"].as_str().unwrap().contains("40 days old"),
        "{finding}"
    );
    assert_eq!(
        assessment["findings"].as_array().unwrap().len(),
        1,
        "the other one is applied"
    );
    assert_eq!(
        (&with["grade"], with["timeline"].as_array().unwrap().len()),
        (&"D".into(), 3),
        "{}",
        with["timeline"]
    );
    let (_, later, _) = scanned(folder.path(), &layout, &["--as-of", "2099-01-01"]);
    assert_eq!(
        (&later["grade"], &later["grade_as_of"]),
        (&"F".into(), &"2099-01-01".into())
    );
    assert_eq!(
        with["advisories"][0]["packages"][0]["fixed"],
        "1:3.0.1-43.el9_0"
    );
}

/// sqlite3 reads the same histories: every package's last repository.
#[test]
fn histories_of_dnf_name_the_repositories_that_sqlite_reads() {
    let Some(data) = data("dnf histories") else {
        return;
    };
    if !has_program("sqlite3") {
        skipped("dnf histories", "there is no sqlite3");
        return;
    }
    let plain = "SELECT r.name, r.epoch, r.version, r.release, r.arch, p.repoid FROM trans_item t
        JOIN rpm r ON r.item_id = t.item_id JOIN repo p ON p.id = t.repo_id WHERE t.action IN (1, 2, 4, 6, 9) AND t.state != 2 ORDER BY t.id";
    let modern = "SELECT n.name, r.epoch, r.version, r.release, a.name, p.repoid FROM trans_item t
        JOIN rpm r ON r.item_id = t.item_id JOIN repo p ON p.id = t.repo_id JOIN pkg_name n ON n.id = r.name_id JOIN arch a ON a.id = r.arch_id
        WHERE t.action_id IN (1, 2, 3, 4) AND t.state_id != 3 ORDER BY t.id";
    for (name, query, least) in [
        ("dnf4-history", plain, 50),
        ("custom-dnf-history", plain, 5),
        ("matching-dnf-history", plain, 3),
        ("dnf5-transaction_history", modern, 5),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history.sqlite");
        let bytes = fs::read(data.join(format!("redhat/dnf-history/{name}.sqlite"))).unwrap();
        fs::write(&file, &bytes).unwrap();
        let answer = command("sqlite3").arg(&file).arg(query).output().unwrap();
        let answer = String::from_utf8(answer.stdout).unwrap();
        let wanted: BTreeSet<String> = answer.lines().map(str::to_owned).collect();
        let own: BTreeSet<String> = plimsoll::rpm::history(&bytes, None)
            .unwrap()
            .into_iter()
            .map(|one| {
                let nevra = one.nevra;
                format!(
                    "{}|{}|{}|{}|{}|{}",
                    nevra.name,
                    nevra.epoch.unwrap(),
                    nevra.version,
                    nevra.release,
                    nevra.arch.unwrap(),
                    one.repository
                )
            })
            .collect();
        assert!(own.len() >= least, "{name}: {}", own.len());
        assert_eq!(own, wanted, "{name}");
        for cut in [100, 4096, bytes.len() / 2] {
            // a piece gives an error or fewer packages, never a panic
            let _ = plimsoll::rpm::history(&bytes[..cut], None);
        }
    }
}
