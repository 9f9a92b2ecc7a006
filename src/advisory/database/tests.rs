use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::advisory::{
    Advisory, ArchSet, FixedEvr, Named, Row, Severity, Stance, Statement, Vulnerability,
    known_ends_of_life,
};

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn row(name: &str, module: Option<&str>, evr: &str, arch: &str) -> Row {
    Row {
        name: name.to_owned(),
        module: module.map(str::to_owned),
        cpe: "cpe:/o:redhat:enterprise_linux:8::baseos".to_owned(),
        fixed: FixedEvr::parse(evr).expect("an evr"),
        arches: ArchSet::of(arch).expect("an arch"),
    }
}

fn advisory(id: &str, revised: &str, mut rows: Vec<Row>) -> Advisory {
    rows.sort();
    Advisory {
        id: id.parse().expect("an id"),
        severity: Severity::Important,
        released: at("2024-01-02T08:58:34Z"),
        revised: at(revised),
        title: "tigervnc security update".to_owned(),
        cves: ["CVE-2023-6377", "CVE-2023-6478"].map(str::to_owned).into(),
        rows,
    }
}

#[expect(clippy::too_many_lines, reason = "one table")]
fn sample() -> Contents {
    let mut contents = Contents::default();
    let tigervnc = vec![
        row("tigervnc", None, "1.13.1-2.el8_9.4", "x86_64"),
        row("tigervnc-license", None, "1.13.1-2.el8_9.4", "noarch"),
    ];
    let ruby = vec![row(
        "ruby",
        Some("ruby:3.1"),
        "3.1.4-142.module+el8",
        "x86_64",
    )];
    contents.offer(
        advisory("RHSA-2024:0010", "2024-11-23T02:54:26Z", tigervnc),
        [1; 32],
    );
    contents.offer(
        advisory("RHBA-2024:0599", "2024-11-23T02:54:26Z", ruby),
        [2; 32],
    );
    contents.offer(
        advisory("RHSA-2023:10000", "2024-11-23T02:54:26Z", Vec::new()),
        [3; 32],
    );
    contents.delete(
        "RHSA-2024:2106".parse().expect("an id"),
        at("2024-12-01T21:27:56Z"),
    );
    contents
        .advance(
            at("2025-02-15T00:00:00Z"),
            "csaf_advisories_2025-02-15.tar.zst",
        )
        .expect("newer");
    let cpes = |list: &[&str]| {
        list.iter()
            .map(|cpe| (*cpe).to_owned())
            .collect::<BTreeSet<_>>()
    };
    contents.set_repositories(BTreeMap::from([
        (
            "ubi-8-baseos-rpms".to_owned(),
            cpes(&["cpe:/o:redhat:enterprise_linux:8::baseos"]),
        ),
        (
            "ubi-8-appstream-rpms".to_owned(),
            cpes(&["cpe:/a:redhat:enterprise_linux:8::appstream"]),
        ),
        ("nothing-rpms".to_owned(), cpes(&[])),
    ]));
    contents.set_ends_of_life(known_ends_of_life().expect("the table"));
    let statement = Statement {
        name: "ruby".to_owned(),
        named: Named::Source,
        module: Some("ruby:3.1".to_owned()),
        cpe: "cpe:/o:redhat:enterprise_linux:9".to_owned(),
        stance: Stance::WillNotFix,
        severity: Severity::Low,
        until: FixedEvr::parse("3.1-1"),
    };
    contents.offer_vulnerability(
        Vulnerability {
            id: "CVE-2024-0002".parse().expect("an id"),
            severity: Severity::Moderate,
            published: at("2024-01-01T00:00:00Z"),
            revised: at("2024-02-01T00:00:00Z"),
            title: "a flaw".to_owned(),
            workaround: String::new(),
            statements: vec![statement],
        },
        [5; 32],
    );
    let text = |text: &str| text.to_owned();
    *contents.origin_mut() = Origin {
        coverage: Coverage::Whole,
        feed: Some(text("https://example.com/csaf/")),
        archive: Some(text("csaf_advisories_2025-02-15.tar.zst")),
        position: Some(at("2025-02-15T00:00:00Z")),
        etags: [(text("changes.csv"), text("\"1\""))].into(),
        verified: Verified {
            sha256: 1,
            unnamed: 2,
            signed: 1,
            unchecked: 1,
        },
        signers: [text("A")].into(),
        unknown_signers: [text("B")].into(),
        vex: None,
        unread: [(text("2024/rhsa-2024_1.json"), text("line 1"))].into(),
    };
    contents
}

#[test]
fn what_was_written_is_read_back() {
    let contents = sample();
    let file = contents.to_bytes().expect("a file");
    let database = Database::open(&file).expect("a database");
    assert_eq!(database.contents(), contents);
    assert_eq!(database.contents().to_bytes().expect("a file"), file);
    let counts = database.counts();
    assert_eq!(
        (counts.advisories, counts.deleted, counts.rows, counts.names),
        (3, 1, 3, 3)
    );
    assert_eq!(database.source(), "csaf_advisories_2025-02-15.tar.zst");
    let found = database.advisory("RHSA-2023:10000").expect("there");
    assert_eq!((found.id, found.cves.len()), ("RHSA-2023:10000", 2));
    assert_eq!(database.advisory("RHSA-2024:2106"), None, "deleted");
    assert_eq!(database.advisory("RHSA-2024:9999"), None);
    assert_eq!(database.rows_of_advisory("RHSA-2024:0010").len(), 2);
    assert_eq!(database.repository("nothing-rpms"), Some(vec![]));
    assert_eq!(database.repository("nothing"), None);
    let rows: Vec<_> = database.rows_of("tigervnc").collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(database.rows_of("tiger").count(), 0);
    let newer = |version| rows[0].evr >= database.first_newer((0, version, "2.el8_9.4"));
    assert!(newer("1.13.0") && newer("1.13.1~rc1") && !newer("1.13.1") && !newer("1.13.1^a"));
}

#[test]
fn an_empty_database_opens() {
    let file = Contents::default().to_bytes().expect("a file");
    let database = Database::open(&file).expect("a database");
    assert_eq!(database.counts().advisories, 0);
    assert_eq!(database.rows_of("bash").count(), 0);
    assert_eq!(database.contents(), Contents::default());
}

#[test]
fn documents_are_replaced_by_newer_ones_and_never_by_older_ones() {
    let mut contents = sample();
    let of = |revised| {
        advisory(
            "RHSA-2024:0010",
            revised,
            vec![row("tigervnc", None, "9-9", "x86_64")],
        )
    };
    assert_eq!(
        contents.offer(of("2024-11-23T02:54:25Z"), [9; 32]),
        Change::Older
    );
    assert_eq!(
        contents.offer(of("2024-11-23T02:54:26Z"), [1; 32]),
        Change::Unchanged
    );
    assert_eq!(contents, sample());
    assert_eq!(
        contents.offer(of("2024-11-23T02:54:27Z"), [9; 32]),
        Change::Replaced
    );
    let file = contents.to_bytes().expect("a file");
    let database = Database::open(&file).expect("a database");
    assert_eq!(
        database.rows_of("tigervnc-license").count(),
        0,
        "no row of the old version stays"
    );
    assert_eq!(
        database
            .evr(database.rows_of("tigervnc").next().expect("a row").evr)
            .to_string(),
        "9-9"
    );
}

#[test]
fn deleted_documents_stay_deleted_until_written_anew() {
    let mut contents = sample();
    let of = |revised| advisory("RHSA-2024:2106", revised, Vec::new());
    assert_eq!(
        contents.offer(of("2024-12-01T21:27:56Z"), [9; 32]),
        Change::Older
    );
    assert_eq!(
        contents.offer(of("2024-12-02T00:00:00Z"), [9; 32]),
        Change::Replaced
    );
    let id = || "RHSA-2024:2106".parse().expect("an id");
    assert_eq!(
        contents.delete(id(), at("2024-12-01T22:00:00Z")),
        Change::Older
    );
    assert_eq!(
        contents.delete(id(), at("2024-12-03T22:00:00Z")),
        Change::Deleted
    );
    assert_eq!(
        contents.delete(id(), at("2024-12-03T22:00:00Z")),
        Change::Unchanged
    );
}

#[test]
fn the_date_of_the_data_never_goes_back() {
    let mut contents = sample();
    let error = contents
        .advance(at("2025-02-14T23:59:59Z"), "older")
        .expect_err("older");
    assert!(
        error.to_string().contains("never goes back in time"),
        "{error}"
    );
    assert_eq!(contents, sample());
    assert!(contents.advance(at("2025-02-15T00:00:00Z"), "same").is_ok());
}

#[test]
fn every_flipped_bit_is_noticed() {
    let file = sample().to_bytes().expect("a file");
    let mut file = file.clone();
    for at in 0..file.len() {
        for bit in [1, 0x80] {
            file[at] ^= bit;
            let error = Database::open(&file).expect_err("damaged").to_string();
            assert!(error.contains("database"), "{error}");
            file[at] ^= bit;
        }
    }
    assert!(Database::open(&file).is_ok());
}

#[test]
fn every_truncation_and_addition_is_noticed() {
    let mut file = sample().to_bytes().expect("a file");
    for len in 0..file.len() {
        assert!(Database::open(&file[..len]).is_err(), "{len}");
    }
    file.push(0);
    assert!(matches!(
        Database::open(&file),
        Err(DatabaseError::Length { .. })
    ));
}

#[test]
fn newer_formats_and_other_files_are_told_apart() {
    let mut file = sample().to_bytes().expect("a file");
    file[8] = 4;
    assert_eq!(
        Database::open(&file).expect_err("newer"),
        DatabaseError::Newer { found: 4, known: 3 }
    );
    file[8] = 1;
    assert_eq!(
        Database::open(&file).expect_err("older"),
        DatabaseError::Older { found: 1 }
    );
    assert_eq!(
        Database::open(b"").expect_err("empty"),
        DatabaseError::NotADatabase
    );
    assert_eq!(
        Database::open(b"SQLite format 3\0").expect_err("another"),
        DatabaseError::NotADatabase
    );
}

/// Uses everything that a database offers.
fn use_all(database: &Database<'_>) {
    let contents = database.contents();
    let _ = contents.to_bytes();
    for stored in database.advisories() {
        let _ = database.rows_of_advisory(stored.id);
    }
    for name in ["", "tigervnc", "ruby", "zzz"] {
        for row in database.rows_of(name) {
            let _ = (database.evr(row.evr), database.stored(row.advisory));
        }
        let _ = database.repository(name);
        for own in database.statements_of(name) {
            let _ = (
                own.until.map(|evr| database.evr(evr)),
                database.cpe(own.cpe),
            );
            let _ = database.vulnerability_at(own.vulnerability as usize);
        }
    }
    let _ = (
        database.vulnerability("CVE-2024-0002"),
        database.statements_about("CVE-2024-0002"),
        database.first_newer((0, "1", "1")),
        database.cpes().count(),
        database.modules().count(),
    );
}

/// Gives a changed file good checksums.
fn mend(file: &mut [u8]) {
    for number in 0..format::SECTIONS {
        let place = format::TABLE + number * format::PLACE;
        let number = |at| usize::try_from(bytes::u64_at(file, place + at)).unwrap_or(usize::MAX);
        let (offset, len) = (number(0), number(8));
        if let Some(section) = file.get(offset..offset.saturating_add(len)) {
            let sum = crc32fast::hash(section).to_le_bytes();
            file[place + 16..place + 20].copy_from_slice(&sum);
        }
    }
    let sum = writer::checksum(&file[..format::HEADER]);
    file[format::CHECKSUM].copy_from_slice(&sum);
}

proptest! {
    /// A file that someone made on purpose, with a good checksum.
    #[test]
    fn damage_under_a_good_checksum_ends_without_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        big in any::<bool>(),
    ) {
        let mut file = sample().to_bytes().expect("a file");
        for (at, byte) in changes {
            // the section table is where most can go wrong
            let end = if big { format::HEADER } else { file.len() };
            let at = format::TABLE + at.index(end - format::TABLE);
            file[at] = byte;
        }
        mend(&mut file);
        if let Ok(database) = Database::open(&file) {
            use_all(&database);
        }
    }

    #[test]
    fn the_order_of_documents_does_not_matter(order in Just((0..3).collect::<Vec<usize>>()).prop_shuffle()) {
        let versions = ["2024-01-01T00:00:00Z", "2024-06-01T00:00:00Z", "2024-09-01T00:00:00Z"];
        let of = |number: usize| {
            let evr = format!("{}-1", number + 1);
            advisory("RHSA-2024:0010", versions[number], vec![row("bash", None, &evr, "x86_64")])
        };
        let sum = |number: usize| [u8::try_from(number).expect("small"); 32];
        let mut shuffled = Contents::default();
        for number in order {
            shuffled.offer(of(number), sum(number));
        }
        let mut last = Contents::default();
        last.offer(of(2), sum(2));
        prop_assert_eq!(shuffled.to_bytes(), last.to_bytes());
    }
}
