mod products;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::advisory::{Advisory, ArchSet, Row, database::Contents, known_ends_of_life};

const KEY: &str = "199e2f91fd431d51";

/// `name module cpe evr arches`, with `-` for no module.
fn row(text: &str) -> Row {
    let fields: Vec<&str> = text.split(' ').collect();
    let [name, module, cpe, evr, arches] = fields[..] else {
        panic!("{text}");
    };
    let arches = arches.split(',').map(|arch| ArchSet::of(arch).expect(arch));
    Row {
        name: name.into(),
        module: (module != "-").then(|| module.into()),
        cpe: format!("cpe:/{cpe}").into(),
        fixed: FixedEvr::parse(evr).expect(evr).into(),
        arches: arches.fold(ArchSet::default(), ArchSet::union),
    }
}

/// As in Red Hat's map.
const REPOSITORIES: &[(&str, &[&str])] = &[
    (
        "ubi-8-baseos-rpms",
        &["o:redhat:enterprise_linux:8::baseos"],
    ),
    (
        "rhel-9-for-x86_64-baseos-rpms",
        &["o:redhat:enterprise_linux:9::baseos"],
    ),
    (
        "rhel-9-for-x86_64-baseos-eus-rpms",
        &[
            "o:redhat:rhel_eus:9.2::baseos",
            "o:redhat:rhel_eus:9.4::baseos",
        ],
    ),
    (
        "rhel-9-for-x86_64-baseos-eus-rpms__9_DOT_4",
        &["o:redhat:rhel_eus:9.4::baseos"],
    ),
    (
        "rhel-8-for-x86_64-baseos-e4s-rpms",
        &[
            "o:redhat:enterprise_linux:8::baseos",
            "o:redhat:rhel_e4s:8.4::baseos",
            "o:redhat:rhel_e4s:8.6::baseos",
        ],
    ),
    (
        "rhel-8-for-x86_64-baseos-tus-rpms",
        &[
            "o:redhat:rhel_tus:8.4::baseos",
            "o:redhat:rhel_tus:8.6::baseos",
        ],
    ),
    (
        "rhel-8-for-x86_64-baseos-aus-rpms",
        &[
            "o:redhat:rhel_aus:8.4::baseos",
            "o:redhat:rhel_aus:8.6::baseos",
        ],
    ),
    (
        "openstack-16-for-rhel-8-x86_64-rpms",
        &["a:redhat:openstack:16::el8"],
    ),
    (
        "openstack-16.1-for-rhel-8-x86_64-rpms",
        &["a:redhat:openstack:16.1::el8"],
    ),
    (
        "openstack-16.2-for-rhel-8-x86_64-rpms",
        &["a:redhat:openstack:16.2::el8"],
    ),
    (
        "openstack-17.1-for-rhel-9-x86_64-rpms",
        &["a:redhat:openstack:17.1::el9"],
    ),
];

/// Advisories as `(id, severity, day, rows)`; each fixes a vulnerability with its own number.
fn database(advisories: &[(&str, Severity, &str, &[&str])]) -> Vec<u8> {
    let mut contents = Contents::default();
    for (id, severity, day, rows) in advisories {
        let mut rows: Vec<Row> = rows.iter().map(|text| row(text)).collect();
        rows.sort();
        let released: Timestamp = format!("{day}T12:00:00Z").parse().expect("a day");
        let cve = format!(
            "CVE-{}",
            id.split(['-', ':']).skip(1).collect::<Vec<_>>().join("-")
        );
        contents.offer(
            Advisory {
                id: id.parse().expect("an id"),
                severity: *severity,
                released,
                revised: released,
                title: String::new(),
                cves: BTreeSet::from([cve]),
                rows,
            },
            [1; 32],
        );
    }
    let map = REPOSITORIES.iter().map(|(name, cpes)| {
        (
            (*name).to_owned(),
            cpes.iter().map(|cpe| format!("cpe:/{cpe}")).collect(),
        )
    });
    contents.set_repositories(map.collect::<BTreeMap<_, _>>());
    contents.set_ends_of_life(known_ends_of_life().expect("the table"));
    contents.to_bytes().expect("a file")
}

fn installed(nevra: &str) -> Installed {
    let (rest, arch) = nevra.rsplit_once('.').expect("an arch");
    let (rest, release) = rest.rsplit_once('-').expect("a release");
    let (name, version) = rest.rsplit_once('-').expect("a version");
    let (epoch, version) = version
        .split_once(':')
        .map_or((None, version), |(epoch, version)| (Some(epoch), version));
    Installed {
        nevra: Nevra {
            name: name.to_owned(),
            epoch: epoch.map(|epoch| epoch.parse().expect("an epoch")),
            version: version.to_owned(),
            release: release.to_owned(),
            arch: Some(arch.to_owned()),
        },
        vendor: Some("Red Hat, Inc.".to_owned()),
        signing_key: Some(KEY.to_owned()),
        source: None,
        module: None,
        layer: LayerIndex(0),
        repository: None,
    }
}

fn evidence(version: &str, layers: &[&[&str]]) -> Evidence {
    let layer = |sets: &&[&str]| LayerEvidence {
        content_sets: sets.iter().map(|&set| set.to_owned()).collect(),
        ..LayerEvidence::default()
    };
    Evidence {
        os: Some("rhel".to_owned()),
        version: Some(version.to_owned()),
        layers: layers.iter().map(layer).collect(),
        streams: Vec::new(),
    }
}

fn missing(list: &[Missing]) -> Vec<&str> {
    list.iter().map(|missing| missing.id.as_str()).collect()
}

const BASEOS8: &[&[&str]] = &[&["ubi-8-baseos-rpms"]];

/// One advisory with one row against one package.
fn hits(row: &str, evidence: &Evidence, package: &Installed) -> bool {
    let file = database(&[("RHSA-2024:1", Severity::Important, "2024-01-01", &[row])]);
    let database = Database::open(&file).expect("a database");
    let matched = matches(
        &database,
        evidence,
        std::slice::from_ref(package),
        Detail::Applied,
    );
    !matched.missing.is_empty()
}

const VERSIONS: &[(&str, &str, bool)] = &[
    (
        "tar - o:redhat:enterprise_linux:8::baseos 2:1.30-5.el8 x86_64",
        "tar-2:1.30-4.el8.x86_64",
        true,
    ),
    (
        "tar - o:redhat:enterprise_linux:8::baseos 2:1.30-5.el8 x86_64",
        "tar-2:1.30-5.el8.x86_64",
        false,
    ),
    (
        "tar - o:redhat:enterprise_linux:8::baseos 2:1.30-5.el8 x86_64",
        "tar-9.9-1.el8.x86_64",
        true,
    ),
    (
        "tar - o:redhat:enterprise_linux:8::baseos 1.30-5.el8 x86_64",
        "tar-0:1.30-5.el8.x86_64",
        false,
    ),
    (
        "tar - o:redhat:enterprise_linux:8::baseos 1.30-5.el8 x86_64",
        "tar-1.30~rc1-9.el8.x86_64",
        true,
    ),
    (
        "tar - o:redhat:enterprise_linux:8::baseos 1.30^git1-5.el8 x86_64",
        "tar-1.30-9.el8.x86_64",
        true,
    ),
    (
        "tar - o:redhat:enterprise_linux:8::baseos 1.30-5.el8 x86_64",
        "tar-1.30^git1-1.el8.x86_64",
        false,
    ),
    (
        "tar - o:redhat:enterprise_linux:8::baseos 2:1.30-5.el8 x86_64,s390x",
        "tar-2:1.30-4.el8.s390x",
        true,
    ),
    (
        "tar - o:redhat:enterprise_linux:8::baseos 2:1.30-5.el8 x86_64,s390x",
        "tar-2:1.30-4.el8.aarch64",
        false,
    ),
    (
        "tar - o:redhat:enterprise_linux:8::baseos 2:1.30-5.el8 x86_64",
        "tar-2:1.30-4.el8.noarch",
        true,
    ),
    (
        "tar - o:redhat:enterprise_linux:8::baseos 2:1.30-5.el8 noarch",
        "tar-2:1.30-4.el8.noarch",
        true,
    ),
    (
        "star - o:redhat:enterprise_linux:8::baseos 2:1.30-5.el8 x86_64",
        "tar-2:1.30-4.el8.x86_64",
        false,
    ),
    (
        "tar - o:redhat:enterprise_linux:9::baseos 2:1.30-5.el8 x86_64",
        "tar-2:1.30-4.el8.x86_64",
        false,
    ),
    (
        "tar - a:redhat:enterprise_linux:8::appstream 2:1.30-5.el8 x86_64",
        "tar-2:1.30-4.el8.x86_64",
        true,
    ),
];

#[test]
fn versions_and_architectures_decide() {
    for (row, package, wanted) in VERSIONS.iter().copied() {
        assert_eq!(
            hits(row, &evidence("8.9", BASEOS8), &installed(package)),
            wanted,
            "{row} | {package}"
        );
    }
}

#[test]
fn a_package_of_a_module_whose_stream_nobody_tells_is_named() {
    let modular = "ruby ruby:2.5 a:redhat:enterprise_linux:8::appstream 2.5.9-2.module+el8 x86_64";
    let file = database(&[("RHSA-2024:1", Severity::Important, "2024-01-01", &[modular])]);
    let database = Database::open(&file).expect("a database");
    let package = [installed("ruby-2.5.1-1.module+el8.x86_64")];
    for (enabled, named, count) in [
        (&[][..], true, 0),
        (&["nodejs:18"], true, 0),
        // of another stream, which no advisory is about
        (&["nodejs:18", "ruby:3.3"], false, 0),
        (&["ruby:2.5"], false, 1),
    ] {
        let mut evidence = evidence("8.4", &[&["rhel-8-for-x86_64-appstream-rpms"]]);
        evidence.streams = enabled.iter().map(|&one| one.to_owned()).collect();
        let matched = matches(&database, &evidence, &package, Detail::Missing);
        let notes = matched.notes.join("\n");
        assert_eq!(
            notes.contains("looked up for them: ruby"),
            named,
            "{enabled:?}: {notes}"
        );
        assert_eq!(matched.missing.len(), count, "{enabled:?}");
    }
}

#[test]
fn module_streams_never_cross() {
    let modular = "ruby ruby:2.5 a:redhat:enterprise_linux:8::appstream 2.5.9-2.module+el8 x86_64";
    let plain = "ruby - a:redhat:enterprise_linux:8::appstream 2.5.9-2.el8 x86_64";
    for (row, label, wanted) in [
        (modular, Some("ruby:2.5:8090020230627084142:b46abd14"), true),
        (
            modular,
            Some("ruby:2.6:8090020230627084142:b46abd14"),
            false,
        ),
        (modular, None, false),
        (plain, Some("ruby:2.5:8090020230627084142:b46abd14"), false),
        (plain, None, true),
    ] {
        let mut package = installed("ruby-2.5.1-1.module+el8.x86_64");
        package.module = label.map(str::to_owned);
        assert_eq!(
            hits(row, &evidence("8.9", BASEOS8), &package),
            wanted,
            "{row} | {label:?}"
        );
    }
}

#[test]
fn an_advisory_is_applied_when_every_package_of_it_has_its_fix_and_is_listed_when_asked_for() {
    let of = |package: &str, fixed: &str| {
        format!("{package} - o:redhat:enterprise_linux:8::baseos {fixed} x86_64")
    };
    let both = [of("bash", "0:5-1"), of("tar", "0:2-2")];
    let newer = [of("bash", "0:5-2"), of("tar", "0:2-3")];
    let both: Vec<&str> = both.iter().map(String::as_str).collect();
    let newer: Vec<&str> = newer.iter().map(String::as_str).collect();
    let file = database(&[
        ("RHSA-2024:1", Severity::Important, "2024-01-01", &both),
        ("RHSA-2024:2", Severity::Important, "2024-02-01", &newer),
    ]);
    let database = Database::open(&file).expect("a database");
    let packages = [installed("bash-5-1.x86_64"), installed("tar-2-3.x86_64")];
    let asked = |detail| matches(&database, &evidence("8.9", BASEOS8), &packages, detail);
    let matched = asked(Detail::Applied);
    assert_eq!(missing(&matched.missing), ["RHSA-2024:2"]);
    let applied = |matched: &Matched| {
        let line = |applied: &Applied| {
            let packages = applied.packages.iter().map(ToString::to_string);
            format!("{}: {}", applied.id, packages.collect::<Vec<_>>().join(" "))
        };
        matched.applied.iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(
        applied(&matched),
        ["RHSA-2024:1: bash-5-1.x86_64 tar-2-3.x86_64"]
    );
    let short = asked(Detail::Missing);
    assert_eq!(applied(&short), [] as [&str; 0]);
    assert_eq!(short.missing, matched.missing);
}

#[test]
fn what_is_not_red_hats_is_not_scanned() {
    let file = database(&[(
        "RHSA-2024:1",
        Severity::Critical,
        "2024-01-01",
        &["tar - o:redhat:enterprise_linux:8::baseos 2-9 x86_64"],
    )]);
    let database = Database::open(&file).expect("a database");
    for (key, vendor, scanned) in [
        (Some(KEY), None, 1),
        (Some("05b555b38483c65d"), Some("CentOS"), 0),
        (Some("05b555b38483c65d"), Some("Red Hat, Inc."), 1),
        (None, Some("Red Hat, Inc."), 1),
        (None, Some("CentOS"), 0),
        (None, None, 0),
    ] {
        let package = Installed {
            signing_key: key.map(str::to_owned),
            vendor: vendor.map(str::to_owned),
            ..installed("tar-1-1.x86_64")
        };
        let key = installed("gpg-pubkey-1-1.x86_64");
        let matched = matches(
            &database,
            &evidence("8.9", BASEOS8),
            &[package, key],
            Detail::Missing,
        );
        assert_eq!(
            (
                matched.scanned,
                matched.missing.len(),
                matched.not_scanned.len()
            ),
            (scanned, scanned, 1 - scanned)
        );
    }
}

#[test]
fn every_missing_advisory_is_kept_the_worst_and_oldest_first() {
    let rows = |evr: &str| format!("tar - o:redhat:enterprise_linux:8::baseos {evr} x86_64");
    let (old, new, newest, other) = (rows("1-2"), rows("1-3"), rows("1-4"), rows("1-5"));
    let file = database(&[
        ("RHEA-2024:4", Severity::Important, "2024-04-01", &[&newest]),
        ("RHSA-2024:1", Severity::Important, "2024-01-01", &[&old]),
        ("RHBA-2024:2", Severity::Critical, "2024-02-01", &[&new]),
        ("RHSA-2024:3", Severity::Low, "2023-01-01", &[&other]),
    ]);
    let database = Database::open(&file).expect("a database");
    let packages = [installed("tar-1-1.x86_64")];
    let matched = matches(
        &database,
        &evidence("8.9", BASEOS8),
        &packages,
        Detail::Missing,
    );
    assert_eq!(
        missing(&matched.missing),
        ["RHBA-2024:2", "RHSA-2024:1", "RHEA-2024:4", "RHSA-2024:3"]
    );
    assert_eq!(matched.missing[0].kind, AdvisoryKind::Bugfix);
    assert_eq!(matched.missing[0].packages[0].fixed.to_string(), "1-3");
    let packages = [installed("tar-1-3.x86_64")];
    let matched = matches(
        &database,
        &evidence("8.9", BASEOS8),
        &packages,
        Detail::Missing,
    );
    assert_eq!(missing(&matched.missing), ["RHEA-2024:4", "RHSA-2024:3"]);
}
