//! Documents of single vulnerabilities (VEX): both generations read, held against what the documents
//! say when read plainly, and what comes of them on the command line.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use plimsoll::{
    advisory::{
        Stance,
        csaf::parse_vex,
        database::{Contents, Database},
        matching::{Detail, Evidence, Installed, LayerEvidence, matches},
    },
    oci::LayerIndex,
    rpm::Nevra,
};
use serde_json::Value;

use crate::advisories;
use crate::support::{Ran, plimsoll};

/// Products of a tree, each with its CPE.
const PRODUCTS: &str = r#"
    {"category": "product_name", "product": {"product_id": "rhel9", "product_identification_helper": {"cpe": "cpe:/o:redhat:enterprise_linux:9"}}},
    {"category": "product_name", "product": {"product_id": "eus", "product_identification_helper": {"cpe": "cpe:/o:redhat:rhel_eus:9.4"}}},
    {"category": "product_name", "product": {"product_id": "rhel8", "product_identification_helper": {"cpe": "cpe:/o:redhat:enterprise_linux:8"}}}"#;

/// A made-up document; `components` are ids with package URLs, `statuses` the rest of the
/// vulnerability. Ids of products are `PRODUCT:COMPONENT`.
fn document(id: &str, revised: &str, components: &[(&str, &str)], rest: &str) -> String {
    let mut tree = PRODUCTS.to_owned();
    let mut relationships = Vec::new();
    for (component, purl) in components {
        let helper = if purl.is_empty() {
            String::new()
        } else {
            format!(r#", "product_identification_helper": {{"purl": "{purl}"}}"#)
        };
        tree += &format!(
            r#", {{"category": "product_version", "product": {{"product_id": "{component}"{helper}}}}}"#
        );
        for product in ["rhel9", "eus", "rhel8"] {
            relationships.push(format!(
                r#"{{"full_product_name": {{"product_id": "{product}:{component}"}}, "product_reference": "{component}", "relates_to_product_reference": "{product}"}}"#
            ));
        }
    }
    format!(
        r#"{{"document": {{"aggregate_severity": {{"text": "Moderate"}}, "category": "csaf_vex", "csaf_version": "2.0", "title": "made up",
        "tracking": {{"id": "{id}", "initial_release_date": "2024-01-01T00:00:00Z", "current_release_date": "{revised}"}}}},
        "product_tree": {{"branches": [{{"category": "vendor", "branches": [{tree}]}}], "relationships": [{}]}},
        "vulnerabilities": [{{"cve": "{id}", "title": "a flaw", {rest}}}]}}"#,
        relationships.join(", ")
    )
}

const REVISED: &str = "2025-02-01T00:00:00Z";

fn installed(name: &str, source: &str, evr: &str) -> Installed {
    let (version, release) = evr.split_once('-').unwrap();
    Installed {
        nevra: Nevra {
            name: name.to_owned(),
            epoch: None,
            version: version.to_owned(),
            release: release.to_owned(),
            arch: Some("x86_64".to_owned()),
        },
        vendor: Some("Red Hat, Inc.".to_owned()),
        signing_key: None,
        module: None,
        source: Some(source.to_owned()),
        layer: LayerIndex(0),
        repository: None,
    }
}

fn image(cpe: &str) -> Evidence {
    Evidence {
        os: Some("rhel".to_owned()),
        version: Some("9.4".to_owned()),
        layers: vec![LayerEvidence {
            cpe: Some(cpe.to_owned()),
            ..LayerEvidence::default()
        }],
        streams: Vec::new(),
    }
}

/// What is told of an image: vulnerability, package, stance.
fn told(documents: &[String], evidence: &Evidence, packages: &[Installed]) -> Vec<String> {
    let mut contents = Contents::default();
    for (number, json) in (1..).zip(documents) {
        let parsed = parse_vex(json.as_bytes()).unwrap();
        assert_eq!(parsed.faults, [], "{json}");
        contents.offer_vulnerability(parsed.vulnerability, [number; 32]);
    }
    let file = contents.to_bytes().unwrap();
    let database = Database::open(&file).unwrap();
    assert!(
        database.contents() == contents,
        "what is read back is what was given"
    );
    let matched = matches(&database, evidence, packages, Detail::Missing);
    assert!(matched.missing.is_empty());
    let all = matched.unfixed.iter().chain(&matched.not_affected);
    all.flat_map(|own| {
        let each = own.packages.iter();
        each.map(|it| format!("{} {} {}", own.id, it.installed.name, it.stance.as_str()))
    })
    .collect()
}

const MAIN: &str = "cpe:/o:redhat:enterprise_linux:9::baseos";

#[test]
fn both_generations_say_the_same_of_an_image() {
    let packages = [
        installed("sqlite-libs", "sqlite", "3.34-1.el9"),
        installed("tar", "tar", "1.34-1.el9"),
    ];
    let status = |id: &str| {
        format!(
            r#""product_status": {{"known_affected": ["rhel9:{id}"]}}, "remediations": [{{"category": "no_fix_planned", "details": "Will not fix", "product_ids": ["rhel9:{id}"]}}]"#
        )
    };
    for (component, purl) in [
        ("sqlite-libs", "pkg:rpm/redhat/sqlite-libs"),
        ("sqlite.src", "pkg:rpm/redhat/sqlite?arch=src"),
        ("sqlite", ""),
    ] {
        let one = document(
            "CVE-2024-0001",
            REVISED,
            &[(component, purl)],
            &status(component),
        );
        assert_eq!(
            told(&[one], &image(MAIN), &packages),
            ["CVE-2024-0001 sqlite-libs will not fix"],
            "{component} {purl}"
        );
    }
    // a binary package of that name is not the source package
    let other = document(
        "CVE-2024-0001",
        REVISED,
        &[("sqlite", "pkg:rpm/redhat/sqlite")],
        &status("sqlite"),
    );
    assert!(told(&[other], &image(MAIN), &packages).is_empty());
}

#[test]
fn products_versions_and_streams_decide_what_is_told() {
    let tar = [
        ("tar", "pkg:rpm/redhat/tar"),
        ("tar@1", "pkg:rpm/redhat/tar@1.34-5.el9?arch=src"),
    ];
    let package = |evr| [installed("tar", "tar", evr)];
    let of = |rest: &str| [document("CVE-2024-0002", REVISED, &tar, rest)];
    let affected = |id: &str| {
        of(&format!(
            r#""product_status": {{"known_affected": ["{id}"]}}"#
        ))
    };
    let eus = image("cpe:/o:redhat:rhel_eus:9.4::baseos");
    let one = ["CVE-2024-0002 tar affected"];
    for (documents, evidence, evr, wanted) in [
        (affected("rhel9:tar"), image(MAIN), "1.34-1.el9", &one[..]),
        (affected("rhel8:tar"), image(MAIN), "1.34-1.el9", &[]),
        (affected("eus:tar"), image(MAIN), "1.34-1.el9", &[]),
        (affected("eus:tar"), eus.clone(), "1.34-1.el9", &one),
        (affected("rhel9:tar"), eus.clone(), "1.34-1.el9", &one),
        (affected("rhel9:tar@1"), image(MAIN), "1.34-5.el9", &one),
        (affected("rhel9:tar@1"), image(MAIN), "1.34-6.el9", &[]),
        (
            of(
                r#""product_status": {"known_affected": ["rhel9:tar"], "known_not_affected": ["eus:tar"]}"#,
            ),
            eus.clone(),
            "1.34-1.el9",
            &["CVE-2024-0002 tar not affected"],
        ),
        (
            of(r#""product_status": {"under_investigation": ["rhel9:tar"]}"#),
            image(MAIN),
            "1.34-1.el9",
            &["CVE-2024-0002 tar under investigation"],
        ),
    ] {
        assert_eq!(
            told(&documents, &evidence, &package(evr)),
            wanted,
            "{documents:?}"
        );
    }
}

/// An advisory for `tar` of RHEL 9 that fixes CVE-2024-0002.
const ADVISORY: &str = r#"{"document": {"aggregate_severity": {"text": "Important"}, "csaf_version": "2.0", "title": "made up",
    "tracking": {"id": "RHSA-2024:1", "initial_release_date": "2024-01-01T00:00:00Z", "current_release_date": "2024-01-01T00:00:00Z"}},
    "product_tree": {"branches": [
        {"product": {"product_id": "9", "product_identification_helper": {"cpe": "cpe:/o:redhat:enterprise_linux:9::baseos"}}},
        {"product": {"product_id": "tar-1.34-9.el9.x86_64"}}],
      "relationships": [{"full_product_name": {"product_id": "9:o"}, "product_reference": "tar-1.34-9.el9.x86_64", "relates_to_product_reference": "9"}]},
    "vulnerabilities": [{"cve": "CVE-2024-0002", "product_status": {"fixed": ["9:o"]}}]}"#;

#[test]
fn statements_never_take_an_advisory_away_and_repeat_none() {
    for status in ["known_affected", "known_not_affected"] {
        let mut contents = Contents::default();
        let parsed = plimsoll::advisory::csaf::parse(ADVISORY.as_bytes()).unwrap();
        contents.offer(parsed.advisory, [1; 32]);
        let json = document(
            "CVE-2024-0002",
            REVISED,
            &[("tar", "pkg:rpm/redhat/tar")],
            &format!(r#""product_status": {{"{status}": ["rhel9:tar"]}}"#),
        );
        let parsed = parse_vex(json.as_bytes()).unwrap();
        contents.offer_vulnerability(parsed.vulnerability, [2; 32]);
        let file = contents.to_bytes().unwrap();
        let database = Database::open(&file).unwrap();
        for (evr, missing) in [("1.34-1.el9", 1), ("1.34-9.el9", 0)] {
            let matched = matches(
                &database,
                &image(MAIN),
                &[installed("tar", "tar", evr)],
                Detail::Missing,
            );
            assert_eq!(matched.missing.len(), missing, "{status} {evr}");
            assert!(matched.unfixed.is_empty() && matched.not_affected.is_empty());
        }
    }
}

#[test]
fn a_damaged_database_with_statements_is_never_read_as_a_good_one() {
    let json = document(
        "CVE-2024-0002",
        REVISED,
        &[("tar", "pkg:rpm/redhat/tar@1-1?arch=src")],
        r#""product_status": {"known_affected": ["rhel9:tar"]}"#,
    );
    let mut contents = Contents::default();
    let parsed = parse_vex(json.as_bytes()).unwrap();
    contents.offer_vulnerability(parsed.vulnerability, [2; 32]);
    contents.delete_vulnerability("CVE-2024-0003".parse().unwrap(), REVISED.parse().unwrap());
    let file = contents.to_bytes().unwrap();
    assert!(Database::open(&file).unwrap().contents() == contents);
    for at in 0..file.len() {
        let mut bytes = file.clone();
        bytes[at] ^= 1;
        assert!(Database::open(&bytes).is_err(), "bit of byte {at}");
        assert!(Database::open(&file[..at]).is_err(), "cut at {at}");
    }
}

/// What a document says of rpms without a fix, read plainly: ids whose last part is no versioned one.
fn plainly(json: &Value) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for status in [
        "known_affected",
        "known_not_affected",
        "under_investigation",
    ] {
        let of = &json["vulnerabilities"][0]["product_status"][status];
        let ids: BTreeSet<&str> = of
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        counts.insert(status.to_owned(), ids.len());
    }
    counts
}

#[test]
fn all_real_documents_of_vulnerabilities_are_read() {
    let Some(data) = advisories::data("documents of vulnerabilities") else {
        return;
    };
    let mut contents = Contents::default();
    let (mut read, mut affected) = (0, 0);
    for entry in walkdir::WalkDir::new(data.join("csaf/vex")).sort_by_file_name() {
        let entry = entry.unwrap();
        if !entry.file_type().is_file() {
            continue;
        }
        let json = zstd::decode_all(fs::File::open(entry.path()).unwrap()).unwrap();
        let parsed =
            parse_vex(&json).unwrap_or_else(|why| panic!("{}: {why}", entry.path().display()));
        assert_eq!(parsed.faults, [], "{}", entry.path().display());
        let plain = plainly(&serde_json::from_slice(&json).unwrap());
        let own = &parsed.vulnerability.statements;
        let most: usize = plain.values().sum();
        assert!(
            own.len() + parsed.aside <= most,
            "{}",
            entry.path().display()
        );
        let of = |wanted: fn(&Stance) -> bool| own.iter().filter(|it| wanted(&it.stance)).count();
        assert!(of(|it| !it.is_not_affected()) <= plain["known_affected"]);
        affected += of(|it| !it.is_not_affected());
        read += 1;
        contents.offer_vulnerability(parsed.vulnerability, [read; 32]);
    }
    assert_eq!(read, 72, "as SOURCES.md counts");
    assert!(affected > 600, "{affected}");
    let file = contents.to_bytes().unwrap();
    let database = Database::open(&file).unwrap();
    assert!(database.contents() == contents);
    // cve-2024-6923 is of the flat generation: source packages, streams, versions
    let own = database.statements_about("CVE-2024-6923");
    let line = |name: &str, cpe: &str| {
        let found = own.iter().filter(|it| it.name == name && it.cpe == cpe);
        found.map(|it| it.stance).collect::<Vec<_>>()
    };
    assert_eq!(
        line("python3.12", "cpe:/o:redhat:enterprise_linux:10.0"),
        [Stance::Affected]
    );
    assert_eq!(
        line("python", "cpe:/o:redhat:rhel_els:7"),
        [Stance::WillNotFix]
    );
    // cve-2025-29087 is of the nested one
    let own = database.statements_about("CVE-2025-29087");
    let libs = own.iter().filter(|it| it.name == "sqlite-libs");
    let libs: BTreeMap<&str, Stance> = libs.map(|it| (it.cpe.as_str(), it.stance)).collect();
    assert_eq!(libs["cpe:/o:redhat:enterprise_linux:10"], Stance::Deferred);
}

fn update(folder: &Path, more: &[&str]) -> Ran {
    let args = [
        "advisories",
        "update",
        "--from",
        "feed",
        "--database",
        "a.db",
        "--complete",
    ];
    plimsoll(folder, &[&args, more].concat())
}

#[test]
fn documents_of_vulnerabilities_are_taken_over_and_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir_all(path.join("feed")).unwrap();
    fs::create_dir_all(path.join("vex/2024")).unwrap();
    fs::write(path.join("feed/rhsa-2024_1.json"), ADVISORY).unwrap();
    let of = |id: &str, status: &str| {
        document(
            id,
            REVISED,
            &[("tar", "pkg:rpm/redhat/tar")],
            &format!(
                r#""product_status": {{"{status}": ["rhel9:tar"]}}, "flags": [{{"label": "vulnerable_code_not_present", "product_ids": ["rhel9:tar"]}}],
                "remediations": [{{"category": "workaround", "details": "do not open archives", "product_ids": ["rhel9:tar"]}}]"#
            ),
        )
    };
    let put =
        |name: &str, content: &str| fs::write(path.join("vex/2024").join(name), content).unwrap();
    put("cve-2024-0002.json", &of("CVE-2024-0002", "known_affected"));
    put(
        "cve-2024-0003.json",
        &of("CVE-2024-0003", "known_not_affected"),
    );
    put("cve-2024-0004.json", "{\"document\": 1");
    put("rhsa-2024_1.json", ADVISORY);
    let ran = update(path, &["--vex", "vex"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(
        ran.stdout.contains("2 documents of vulnerabilities added")
            && ran
                .stdout
                .contains("1 documents skipped, 1 about advisories left out"),
        "{ran}"
    );
    assert!(
        ran.stderr
            .contains("skipped 2024/cve-2024-0004.json: line 1"),
        "{ran}"
    );
    let tell = |args: &[&str]| plimsoll(path, &[args, &["--database", "a.db"]].concat());
    let status = tell(&["advisories", "status"]).stdout;
    for line in [
        "vex documents   2 with 2 statements",
        "unread          2024/cve-2024-0004.json",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let shown = tell(&["advisories", "show", "CVE-2024-0002"]).stdout;
    for line in [
        "CVE-2024-0002: a flaw",
        "meanwhile do not open archives",
        "fixed by  RHSA-2024:1",
        "  tar  affected, Moderate",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let shown = tell(&["advisories", "show", "CVE-2024-0003"]).stdout;
    assert!(
        shown.contains("not affected (vulnerable code not present)"),
        "{shown}"
    );
    let none = tell(&["advisories", "show", "CVE-2024-9999"]);
    assert!(none.code == 2 && none.stderr.contains("--vex"), "{none}");
    // an update of the advisories alone keeps them, and an older version changes nothing
    assert_eq!(update(path, &[]).code, 0);
    put(
        "cve-2024-0002.json",
        &of("CVE-2024-0002", "known_not_affected").replace(REVISED, "2025-01-01T00:00:00Z"),
    );
    let ran = update(path, &["--vex", "vex"]);
    assert!(ran.stdout.contains("1 unchanged, 1 older"), "{ran}");
    let status = tell(&["advisories", "status"]).stdout;
    assert!(status.contains("vex documents   2 with"), "{status}");
}

#[test]
fn a_workaround_that_says_that_there_is_none_is_none() {
    let workaround = |texts: &[&str]| {
        let each = texts.iter().map(|text| {
            format!(
                r#"{{"category": "workaround", "details": "{text}", "product_ids": ["rhel9:tar"]}}"#
            )
        });
        let rest = format!(
            r#""product_status": {{"known_affected": ["rhel9:tar"]}}, "remediations": [{}]"#,
            each.collect::<Vec<_>>().join(", ")
        );
        let json = document("CVE-2024-0001", REVISED, &[("tar", "")], &rest);
        parse_vex(json.as_bytes()).unwrap().vulnerability.workaround
    };
    let none = "Mitigation for this issue is either not available or the currently available options do not meet the criteria.";
    for (texts, want) in [
        (&[none][..], ""),
        (
            &["There is no mitigation available for this vulnerability."],
            "",
        ),
        (&["do not open archives"], "do not open archives"),
        (&[none, "do not open archives"], "do not open archives"),
    ] {
        assert_eq!(workaround(texts), want);
    }
}
