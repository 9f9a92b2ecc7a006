//! `plimsoll advisories update` from a server that behaves like the source, also on its bad days, and
//! from a process that is killed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use plimsoll::advisory::database::{Coverage, Database};
use sha2::{Digest as _, Sha256};

use crate::support::{
    Ran, command, has_program, plimsoll, plimsoll_command,
    registry::{Double, Reply, Seen},
    skipped,
};

/// A made-up advisory for a package of RHEL 9; the id is nobody's.
pub(crate) fn document(number: u32, revised: &str) -> String {
    let id = format!("RHSA-2024:{number}");
    let rpm = format!("package{number}-1-{number}.el9.x86_64");
    format!(
        r#"{{"document": {{"aggregate_severity": {{"text": "Important"}}, "csaf_version": "2.0", "title": "made up",
        "tracking": {{"id": "{id}", "initial_release_date": "2024-01-01T00:00:00Z", "current_release_date": "{revised}"}}}},
        "product_tree": {{"branches": [
            {{"product": {{"product_id": "9", "product_identification_helper": {{"cpe": "cpe:/o:redhat:enterprise_linux:9::baseos"}}}}}},
            {{"product": {{"product_id": "{rpm}"}}}}],
          "relationships": [{{"full_product_name": {{"product_id": "9:o"}}, "product_reference": "{rpm}", "relates_to_product_reference": "9"}}]}},
        "vulnerabilities": [{{"cve": "CVE-2024-{number}", "product_status": {{"fixed": ["9:o"]}}}}]}}"#
    )
}

pub(crate) fn path(number: u32) -> String {
    format!("2024/rhsa-2024_{number}.json")
}

/// A tar archive, packed.
pub(crate) fn archive(files: &[(String, String)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, content) in files {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        let size = format!("{:011o}", content.len());
        header[124..135].copy_from_slice(size.as_bytes());
        header[136..147].copy_from_slice(b"00000000000");
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        tar.extend_from_slice(&header);
        tar.extend_from_slice(content.as_bytes());
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    zstd::encode_all(&tar[..], 3).unwrap()
}

pub(crate) fn sum(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

pub(crate) const ARCHIVE: &str = "csaf_advisories_2025-02-15.tar.zst";
const MAP: &str = r#"{"data": {"rhel-9-for-x86_64-baseos-rpms": {"cpes": ["cpe:/o:redhat:enterprise_linux:9::baseos"]}}}"#;

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;
type Bend = dyn Fn(&Seen) -> Option<Reply> + Send + Sync;

/// A feed on a server of this machine, and a folder with a database.
pub(crate) struct Feed {
    pub(crate) double: Double,
    files: Files,
    pub(crate) folder: tempfile::TempDir,
}

impl Feed {
    /// An archive with advisories 1 to 3, and since then: 2 changed, 4 came, 3 went.
    pub(crate) fn start(bend: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let packed: Vec<_> = (1..=3)
            .map(|number| (path(number), document(number, "2025-02-01T00:00:00Z")))
            .collect();
        let packed = archive(&packed);
        let files = BTreeMap::from([
            ("archive_latest.txt".to_owned(), format!("{ARCHIVE}\n").into_bytes()),
            (format!("{ARCHIVE}.sha256"), format!("{}  {ARCHIVE}\n", sum(&packed)).into_bytes()),
            (ARCHIVE.to_owned(), packed),
            (path(2), document(2, "2025-02-16T00:00:00Z").into_bytes()),
            (path(4), document(4, "2025-02-17T00:00:00Z").into_bytes()),
            (
                "changes.csv".to_owned(),
                format!(
                    "\"{}\",\"2025-02-17T00:00:00+00:00\"\n\"{}\",\"2025-02-16T00:00:00+00:00\"\n\"{}\",\"2025-02-01T00:00:00+00:00\"\n",
                    path(4), path(2), path(1)
                ).into_bytes(),
            ),
            (
                "deletions.csv".to_owned(),
                format!("\"{}\",\"2025-02-16T12:00:00+00:00\"\n", path(3)).into_bytes(),
            ),
            ("repository-to-cpe.json".to_owned(), MAP.as_bytes().to_vec()),
        ]);
        Self::of(files, bend)
    }

    fn of(
        files: BTreeMap<String, Vec<u8>>,
        bend: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let files: Files = Arc::new(Mutex::new(files));
        let served = Arc::clone(&files);
        let bend: Box<Bend> = Box::new(bend);
        let double = Double::start(move |seen| bend(seen).unwrap_or_else(|| serve(&served, seen)));
        Self {
            double,
            files,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.files
            .lock()
            .unwrap()
            .insert(path.to_owned(), content.into());
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/csaf/", self.double.host())
    }

    pub(crate) fn update(&self) -> Ran {
        self.update_with(&[])
    }

    pub(crate) fn update_with(&self, more: &[&str]) -> Ran {
        let url = self.url();
        let own = ["advisories", "update", "--from", &url, "--database", "a.db"];
        plimsoll(self.folder.path(), &[&own, more].concat())
    }

    /// What is served.
    pub(crate) fn file(&self, path: &str) -> Vec<u8> {
        self.files.lock().unwrap()[path].clone()
    }

    pub(crate) fn status(&self) -> String {
        plimsoll(
            self.folder.path(),
            &["advisories", "status", "--database", "a.db"],
        )
        .stdout
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.folder.path().join("a.db")).unwrap_or_default()
    }

    /// Ids that are held, and how much of the feed that is.
    pub(crate) fn held(&self) -> (Vec<String>, Coverage) {
        held(&self.bytes())
    }

    /// Paths asked for since the last time.
    pub(crate) fn asked(&self, since: usize) -> Vec<String> {
        let requests = self.double.requests();
        let own = requests.iter().skip(since);
        own.map(|seen| seen.path.trim_start_matches("/csaf/").to_owned())
            .collect()
    }

    /// Files beside the database.
    pub(crate) fn beside(&self) -> BTreeSet<String> {
        let files = fs::read_dir(self.folder.path()).unwrap();
        files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

fn held(file: &[u8]) -> (Vec<String>, Coverage) {
    let database = Database::open(file).unwrap();
    let ids = database
        .advisories()
        .map(|advisory| advisory.id.to_owned())
        .collect();
    (ids, database.origin().coverage)
}

/// An honest server: tags, ranges, and the whole file again when it is another one.
fn serve(files: &Files, seen: &Seen) -> Reply {
    let files = files.lock().unwrap();
    let Some(file) = seen
        .path
        .strip_prefix("/csaf/")
        .and_then(|path| files.get(path))
    else {
        return Reply::new(404, "not here");
    };
    let etag = format!("\"{}\"", &sum(file)[..16]);
    if seen.if_none_match.as_ref() == Some(&etag) {
        return Reply::new(304, "");
    }
    match seen.range {
        Some(from) if seen.if_range.as_ref().is_none_or(|tag| *tag == etag) => {
            Reply::part_of(file, from).header("etag", etag)
        }
        _ => Reply::new(200, file.clone()).header("etag", etag),
    }
}

pub(crate) fn ids(numbers: &[u32]) -> Vec<String> {
    numbers
        .iter()
        .map(|number| format!("RHSA-2024:{number}"))
        .collect()
}

#[test]
fn the_archive_comes_first_and_changes_alone_after_that() {
    let feed = Feed::start(|_| None);
    let first = feed.update();
    assert_eq!(first.code, 0, "{first}");
    assert_eq!(feed.held(), (ids(&[1, 2, 4]), Coverage::Whole), "{first}");
    let file = feed.bytes();
    let database = Database::open(&file).unwrap();
    assert_eq!(database.as_of().to_string(), "2025-02-17T00:00:00Z");
    assert!(
        database
            .repository("rhel-9-for-x86_64-baseos-rpms")
            .is_some()
    );
    assert_eq!(database.counts().deleted, 1);
    assert_eq!(
        feed.beside(),
        ["a.db", "a.db.lock"].map(str::to_owned).into()
    );
    let status = feed.status();
    for line in [
        "the whole feed, since csaf_advisories_2025-02-15.tar.zst",
        "redhat:enterprise_linux:9 3",
    ] {
        assert!(status.contains(line), "{status}");
    }

    let before = feed.double.requests().len();
    let second = feed.update();
    assert!(
        second.code == 0 && second.stdout.contains("nothing new"),
        "{second}"
    );
    assert!(file == feed.bytes(), "the file changed");
    let asked = feed.asked(before);
    assert!(
        !asked.contains(&ARCHIVE.to_owned()) && !asked.contains(&path(4)),
        "{asked:?}"
    );

    feed.put(&path(5), document(5, "2025-02-18T00:00:00Z"));
    feed.put(
        "changes.csv",
        format!(
            "\"{}\",\"2025-02-18T00:00:00+00:00\"\n\"{}\",\"2025-02-17T00:00:00+00:00\"\n",
            path(5),
            path(4)
        ),
    );
    let before = feed.double.requests().len();
    let third = feed.update();
    assert!(
        third.stdout.contains("1 advisories added, 0 replaced"),
        "{third}"
    );
    assert_eq!(feed.held().0, ids(&[1, 2, 4, 5]));
    let asked = feed.asked(before);
    assert!(
        asked.contains(&path(5)) && !asked.contains(&path(4)),
        "{asked:?}"
    );
    assert!(!asked.contains(&ARCHIVE.to_owned()), "{asked:?}");
}

#[test]
fn a_broken_download_is_resumed_by_the_same_run() {
    let feed = Feed::start(|_| None);
    let whole = feed.files.lock().unwrap()[ARCHIVE].clone();
    let etag = format!("\"{}\"", &sum(&whole)[..16]);
    let (third, tag) = (whole.len() / 3, etag.clone());
    let broken = Feed::of(feed.files.lock().unwrap().clone(), move |seen| {
        match (seen.path.ends_with(ARCHIVE), seen.nth, seen.range) {
            (true, 0, None) => Some(
                Reply::new(200, whole.clone())
                    .header("etag", tag.clone())
                    .cut_at(third),
            ),
            (true, 1, Some(from)) => Some(
                Reply::part_of(&whole, from)
                    .header("etag", tag.clone())
                    .cut_at(third),
            ),
            _ => None,
        }
    });
    let ran = broken.update();
    assert_eq!(ran.code, 0, "{ran}");
    let seen: Vec<_> = broken
        .double
        .requests()
        .into_iter()
        .filter(|seen| seen.path.ends_with(ARCHIVE))
        .collect();
    let ranges: Vec<_> = seen.iter().map(|seen| seen.range).collect();
    let third = third as u64;
    assert_eq!(ranges, [None, Some(third), Some(2 * third)]);
    assert_eq!(seen[2].if_range, Some(etag));
    assert_eq!(broken.held().0, ids(&[1, 2, 4]));
}

#[test]
fn what_broke_off_stays_for_the_next_run() {
    let feed = Feed::start(|_| None);
    // the first answer breaks off, and the server refuses to go on
    let whole = feed.files.lock().unwrap()[ARCHIVE].clone();
    let broken = Feed::of(feed.files.lock().unwrap().clone(), {
        let whole = whole.clone();
        let etag = format!("\"{}\"", &sum(&whole)[..16]);
        move |seen| match (seen.path.ends_with(ARCHIVE), seen.nth) {
            (true, 0) => Some(
                Reply::new(200, whole.clone())
                    .header("etag", etag.clone())
                    .cut_at(whole.len() / 2),
            ),
            (true, 1) => Some(Reply::new(403, "go away")),
            _ => None,
        }
    });
    let first = broken.update();
    assert_eq!(first.code, 4, "{first}");
    assert!(first.stderr.contains("403"), "{first}");
    assert!(
        broken.beside().contains("a.db.part"),
        "{:?}",
        broken.beside()
    );
    let second = broken.update();
    assert_eq!(second.code, 0, "{second}");
    let last = broken
        .double
        .requests()
        .into_iter()
        .rfind(|seen| seen.path.ends_with(ARCHIVE))
        .unwrap();
    assert!(last.range.is_some_and(|from| from > 0), "{last:?}");
    assert_eq!(broken.held().0, ids(&[1, 2, 4]));
    assert_eq!(
        broken.beside(),
        ["a.db", "a.db.lock"].map(str::to_owned).into()
    );
}

#[test]
fn another_archive_under_the_same_name_is_begun_anew() {
    for honest in [true, false] {
        let feed = Feed::start(|_| None);
        let whole = feed.files.lock().unwrap()[ARCHIVE].clone();
        let changed = Feed::of(feed.files.lock().unwrap().clone(), move |seen| {
            if !seen.path.ends_with(ARCHIVE) {
                return None;
            }
            match (seen.nth, seen.range) {
                (0, _) => {
                    let mut other = whole.clone();
                    other.reverse();
                    let cut = other.len() / 2;
                    Some(Reply::new(200, other).header("etag", "\"old\"").cut_at(cut))
                }
                // a server that does not know `If-Range` gives a piece of the new file
                (_, Some(from)) if !honest => {
                    Some(Reply::part_of(&whole, from).header("etag", "\"new\""))
                }
                _ => None,
            }
        });
        let ran = changed.update();
        assert_eq!(ran.code, 0, "{honest}: {ran}");
        assert_eq!(changed.held().0, ids(&[1, 2, 4]));
    }
}

#[test]
fn a_server_that_is_busy_is_asked_again_when_it_says() {
    let feed = Feed::start(|seen| {
        let busy = || Reply::new(503, "busy").header("retry-after", "1");
        (seen.nth == 0 && (seen.path.ends_with("changes.csv") || seen.path.ends_with(&path(4))))
            .then(busy)
    });
    let started = Instant::now();
    let ran = feed.update();
    assert_eq!(ran.code, 0, "{ran}");
    assert!(started.elapsed() >= Duration::from_secs(2));
    assert_eq!(feed.held().0, ids(&[1, 2, 4]));
}

#[test]
fn a_truncated_archive_and_a_wrong_checksum_are_refused_and_the_next_run_is_well() {
    for (sums, needle) in [(true, "expected sha256"), (false, "cannot be unpacked")] {
        let feed = Feed::start(|_| None);
        let mut files = feed.files.lock().unwrap().clone();
        if !sums {
            files.remove(&format!("{ARCHIVE}.sha256"));
        }
        let whole = files[ARCHIVE].clone();
        let bad = Feed::of(files, move |seen| {
            (seen.path.ends_with(ARCHIVE) && seen.nth == 0)
                .then(|| Reply::new(200, whole.clone()).truncated())
        });
        let first = bad.update();
        assert!(first.code == 4 && first.stderr.contains(needle), "{first}");
        assert_eq!(bad.beside(), ["a.db.lock".to_owned()].into());
        let second = bad.update();
        assert_eq!(second.code, 0, "{second}");
        assert_eq!(bad.held().0, ids(&[1, 2, 4]));
        let verified = if sums { "1 files by" } else { "0 files by" };
        assert!(bad.status().contains(verified), "{}", bad.status());
    }
}

#[test]
fn damaged_documents_are_listed_and_fetched_again_the_next_time() {
    let feed = Feed::start(|_| None);
    feed.put(&path(4), "{\"document\": 1");
    feed.put(&format!("{}.sha256", path(2)), "0".repeat(64));
    let first = feed.update();
    assert_eq!(first.code, 0, "{first}");
    assert!(
        first
            .stderr
            .contains("skipped 2024/rhsa-2024_4.json: line 1"),
        "{first}"
    );
    assert!(
        first
            .stderr
            .contains("skipped 2024/rhsa-2024_2.json: its SHA-256"),
        "{first}"
    );
    assert_eq!(feed.held(), (ids(&[1, 2]), Coverage::Whole));
    assert!(
        feed.status()
            .contains("unread          2024/rhsa-2024_4.json: line 1"),
        "{}",
        feed.status()
    );
    feed.put(&path(4), document(4, "2025-02-17T00:00:00Z"));
    feed.put(
        &format!("{}.sha256", path(2)),
        sum(document(2, "2025-02-16T00:00:00Z").as_bytes()),
    );
    let second = feed.update();
    assert!(
        second.stdout.contains("1 advisories added, 1 replaced"),
        "{second}"
    );
    assert_eq!(feed.held().0, ids(&[1, 2, 4]));
    assert!(!feed.status().contains("unread"), "{}", feed.status());
}

#[test]
fn documents_older_than_the_list_says_are_told_and_fetched_again_the_next_time() {
    let feed = Feed::start(|_| None);
    feed.put(&path(2), document(2, "2025-02-15T00:00:00Z"));
    let first = feed.update();
    assert_eq!(first.code, 0, "{first}");
    let told = "the list of changes has it of 2025-02-16T00:00:00Z, and the source gives the version of 2025-02-15T00:00:00Z";
    assert!(first.stderr.contains(told), "{first}");
    assert!(feed.status().contains(told), "{}", feed.status());
    feed.put(&path(2), document(2, "2025-02-16T00:00:00Z"));
    let second = feed.update();
    assert!(second.stdout.contains("1 replaced"), "{second}");
    assert!(!feed.status().contains("unread"), "{}", feed.status());
}

#[test]
fn an_older_feed_never_replaces_a_newer_one() {
    let feed = Feed::start(|_| None);
    assert_eq!(feed.update().code, 0);
    let before = feed.bytes();
    let old = "csaf_advisories_2025-01-01.tar.zst";
    feed.put("archive_latest.txt", old);
    feed.put(
        old,
        archive(&[
            (path(1), document(1, "2024-12-01T00:00:00Z")),
            (path(3), document(3, "2024-12-01T00:00:00Z")),
        ]),
    );
    feed.put(
        "changes.csv",
        format!("\"{}\",\"2024-12-01T00:00:00+00:00\"\n", path(1)),
    );
    let older = feed.update();
    assert_eq!(older.code, 0, "{older}");
    assert!(older.stderr.contains("older than what is held"), "{older}");
    assert!(before == feed.bytes(), "the database changed");
    // the same documents from a file: each is older than what is held, one was deleted
    fs::write(
        feed.folder.path().join(old),
        &feed.files.lock().unwrap()[old],
    )
    .unwrap();
    let ran = plimsoll(
        feed.folder.path(),
        &["advisories", "update", "--from", old, "--database", "a.db"],
    );
    assert!(
        ran.stdout
            .contains("0 advisories added, 0 replaced, 0 unchanged, 2 older"),
        "{ran}"
    );
    let (held, coverage) = feed.held();
    assert_eq!((held, coverage), (ids(&[1, 2, 4]), Coverage::Whole));
    let file = feed.bytes();
    assert_eq!(
        Database::open(&file).unwrap().as_of().to_string(),
        "2025-02-17T00:00:00Z"
    );
}

#[test]
fn an_update_that_breaks_off_among_the_changes_keeps_what_came_and_fetches_the_rest() {
    let feed = Feed::start(|seen| {
        (seen.path.ends_with(&path(2)) && seen.nth == 0).then(|| Reply::new(400, "no"))
    });
    let first = feed.update();
    assert_eq!(first.code, 4, "{first}");
    let (held, coverage) = feed.held();
    assert_eq!((held, coverage), (ids(&[1, 2, 4]), Coverage::Whole));
    let file = feed.bytes();
    assert_eq!(
        Database::open(&file).unwrap().as_of().to_string(),
        "2025-02-15T00:00:00Z",
        "the position stays"
    );
    let before = feed.double.requests().len();
    let second = feed.update();
    assert_eq!(second.code, 0, "{second}");
    let asked = feed.asked(before);
    assert!(
        asked.contains(&path(2))
            && !asked.contains(&path(4))
            && !asked.contains(&ARCHIVE.to_owned()),
        "{asked:?}"
    );
    assert!(second.stdout.contains("1 replaced"), "{second}");
}

#[test]
fn a_feed_without_an_archive_is_fetched_document_by_document() {
    let feed = Feed::start(|_| None);
    let mut files = feed.files.lock().unwrap().clone();
    files.remove("archive_latest.txt");
    files.insert(path(1), document(1, "2025-02-01T00:00:00Z").into_bytes());
    let list = format!(
        "\"../../secret.json\",\"2025-02-17T00:00:00Z\"\n\"//evil.example/2024/rhsa-2024_9.json\",\"2025-02-17T00:00:00Z\"\n{}",
        String::from_utf8(files["changes.csv"].clone()).unwrap()
    );
    files.insert("changes.csv".to_owned(), list.into_bytes());
    let plain = Feed::of(files, |_| None);
    let ran = plain.update();
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(plain.held(), (ids(&[1, 2, 4]), Coverage::Whole));
    assert!(ran.stderr.contains("does not lie in the feed"), "{ran}");
    assert!(
        plain
            .double
            .requests()
            .iter()
            .all(|seen| !seen.path.contains("secret"))
    );
    let nothing = Feed::of(BTreeMap::new(), |_| None).update();
    assert!(
        nothing.code == 2 && nothing.stderr.contains("archive_latest.txt"),
        "{nothing}"
    );
}

#[test]
fn two_updates_do_not_meet() {
    let feed = Feed::start(|_| None);
    let lock = fs::File::create(feed.folder.path().join("a.db.lock")).unwrap();
    lock.lock().unwrap();
    let ran = feed.update();
    assert!(
        ran.code == 2 && ran.stderr.contains("another update"),
        "{ran}"
    );
    lock.unlock().unwrap();
    assert_eq!(feed.update().code, 0);
}

#[test]
fn files_are_partial_until_a_list_an_archive_or_the_user_says_that_they_are_all() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("feed");
    fs::create_dir_all(dir.join("2024")).unwrap();
    fs::write(dir.join(path(1)), document(1, "2025-02-01T00:00:00Z")).unwrap();
    let update = |from: &str, more: &[&str]| {
        let args = [
            &["advisories", "update", "--from", from, "--database", "a.db"],
            more,
        ]
        .concat();
        let ran = plimsoll(folder.path(), &args);
        assert_eq!(ran.code, 0, "{ran}");
        let file = fs::read(folder.path().join("a.db")).unwrap();
        fs::remove_file(folder.path().join("a.db")).unwrap();
        (held(&file).1, ran)
    };
    let (coverage, ran) = update("feed", &[]);
    assert_eq!(coverage, Coverage::Partial);
    assert!(ran.stderr.contains("no image gets a grade"), "{ran}");
    assert_eq!(update("feed", &["--complete"]).0, Coverage::Declared);
    let line = |number| format!("\"{}\",\"2025-02-01T00:00:00Z\"\n", path(number));
    fs::write(dir.join("changes.csv"), line(1) + &line(2)).unwrap();
    assert_eq!(
        update("feed", &[]).0,
        Coverage::Partial,
        "one of the list is not there"
    );
    let newer = format!("\"{}\",\"2025-02-01T00:00:01Z\"\n", path(1));
    fs::write(dir.join("changes.csv"), &newer).unwrap();
    let (coverage, ran) = update("feed", &[]);
    assert_eq!(
        coverage,
        Coverage::Partial,
        "it is there in an older version"
    );
    assert!(
        ran.stderr.contains("version of 2025-02-01T00:00:00Z"),
        "{ran}"
    );
    fs::write(dir.join("changes.csv"), newer.replace("01Z", "00.9Z")).unwrap();
    assert_eq!(
        update("feed", &[]).0,
        Coverage::Whole,
        "fractions of a second are not kept"
    );
    fs::write(dir.join("changes.csv"), line(1)).unwrap();
    assert_eq!(update("feed", &[]).0, Coverage::Whole);
    fs::write(
        folder.path().join(ARCHIVE),
        archive(&[(path(1), document(1, "2025-02-01T00:00:00Z"))]),
    )
    .unwrap();
    assert_eq!(update(ARCHIVE, &[]).0, Coverage::Whole);
    fs::write(
        folder.path().join(format!("{ARCHIVE}.sha256")),
        "0".repeat(64),
    )
    .unwrap();
    let ran = plimsoll(
        folder.path(),
        &[
            "advisories",
            "update",
            "--from",
            ARCHIVE,
            "--database",
            "b.db",
        ],
    );
    assert!(
        ran.code == 2 && ran.stderr.contains("its SHA-256 is"),
        "{ran}"
    );
}

#[test]
fn documents_of_vulnerabilities_are_fetched_as_advisories_are() {
    let vex = |number: u32, revised: &str| {
        document(number, revised).replace(
            &format!("RHSA-2024:{number}"),
            &format!("CVE-2024-000{number}"),
        )
    };
    let name = |number: u32| format!("2024/cve-2024-000{number}.json");
    let line = |number, at: &str| format!("\"{}\",\"{at}\"\n", name(number));
    let feed = Feed::start(|_| None);
    let archived = "csaf_vex_2025-02-15.tar.zst";
    let packed = archive(&[(name(1), vex(1, "2025-02-01T00:00:00Z"))]);
    feed.put("vex/archive_latest.txt", archived);
    feed.put(&format!("vex/{archived}.sha256"), sum(&packed));
    feed.put(&format!("vex/{archived}"), packed);
    feed.put(&format!("vex/{}", name(2)), vex(2, "2025-02-16T00:00:00Z"));
    let list = line(2, "2025-02-16T00:00:00Z") + &line(1, "2025-02-01T00:00:00Z");
    feed.put("vex/changes.csv", list.clone());
    let update = || {
        let (url, vex) = (feed.url(), format!("{}vex/", feed.url()));
        let args = ["advisories", "update", "--from", &url, "--vex", &vex];
        let ran = plimsoll(
            feed.folder.path(),
            &[&args[..], &["--database", "a.db"]].concat(),
        );
        assert_eq!(ran.code, 0, "{ran}");
        ran
    };
    let held = || {
        let file = feed.bytes();
        let database = Database::open(&file).unwrap();
        ["CVE-2024-0001", "CVE-2024-0002", "CVE-2024-0003"].map(|id| {
            database
                .vulnerability(id)
                .is_some_and(|it| it.severity.is_some())
        })
    };
    let first = update();
    assert!(
        first
            .stdout
            .contains("2 documents of vulnerabilities added"),
        "{first}"
    );
    assert_eq!(held(), [true, true, false]);
    assert_eq!(feed.held().1, Coverage::Whole);
    assert!(
        feed.status()
            .contains("vex as of       2025-02-16T00:00:00Z"),
        "{}",
        feed.status()
    );
    // changes alone from then on
    let since = feed.double.requests().len();
    let second = update();
    assert!(
        second
            .stdout
            .contains("nothing new at the source of vulnerabilities"),
        "{second}"
    );
    feed.put(&format!("vex/{}", name(3)), vex(3, "2025-02-17T00:00:00Z"));
    feed.put("vex/changes.csv", line(3, "2025-02-17T00:00:00Z") + &list);
    feed.put("vex/deletions.csv", line(1, "2025-02-17T00:00:00Z"));
    let third = update();
    assert!(
        third.stdout.contains("1 documents of vulnerabilities added, 0 replaced, 0 unchanged, 0 older than what is held, 1 deleted"),
        "{third}"
    );
    assert_eq!(held(), [false, true, true]);
    let asked = feed.asked(since);
    assert!(
        !asked.iter().any(|path| path.ends_with(archived)),
        "{asked:?}"
    );
    assert!(
        !asked.iter().any(|path| path.ends_with(&name(2))),
        "{asked:?}"
    );
    let beside = ["a.db", "a.db.lock"].map(str::to_owned);
    assert_eq!(feed.beside(), BTreeSet::from(beside), "no litter");
}

/// The database is the old one or the new one, and what else lies there has a known name.
fn usable(feed: &Feed, wanted: &[Vec<String>], when: &str) {
    let names = [
        "a.db",
        "a.db.lock",
        "a.db.new",
        "a.db.part",
        "a.db.part.json",
    ];
    let strange: Vec<_> = feed
        .beside()
        .into_iter()
        .filter(|name| !names.contains(&name.as_str()))
        .collect();
    assert!(strange.is_empty(), "{when}: {strange:?}");
    if feed.beside().contains("a.db") {
        let (held, _) = feed.held();
        assert!(wanted.contains(&held), "{when}: {held:?}");
    } else {
        assert!(wanted.contains(&Vec::new()), "{when}: the database is gone");
    }
}

#[test]
fn an_update_that_is_killed_anywhere_leaves_a_usable_database_and_no_litter() {
    let feed = Feed::start(|seen| {
        // so that there is a while to be killed in
        let file = seen.path.ends_with(ARCHIVE) || seen.path.ends_with("repository-to-cpe.json");
        std::thread::sleep(Duration::from_millis(if file { 4 } else { 1 }));
        None
    });
    let run = || {
        let url = feed.url();
        plimsoll_command(
            feed.folder.path(),
            &["advisories", "update", "--from", &url, "--database", "a.db"],
        )
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap()
    };
    let started = Instant::now();
    assert!(run().wait().unwrap().success());
    let usual = started.elapsed();
    let mut old = ids(&[1, 2, 4]);
    let mut killed = 0;
    for round in 0..40u32 {
        // every fourth time from nothing, else on top of the last database
        if round % 4 == 0 {
            fs::remove_file(feed.folder.path().join("a.db")).unwrap();
        }
        let number = 100 + round;
        feed.put(&path(number), document(number, "2025-03-01T00:00:00Z"));
        let list = |number: u32| {
            format!(
                "\"{}\",\"2025-03-01T00:{:02}:00Z\"\n",
                path(number),
                number - 100
            )
        };
        let all: String = (100..=number).map(list).collect();
        feed.put(
            "changes.csv",
            all + &format!(
                "\"{}\",\"2025-02-17T00:00:00Z\"\n\"{}\",\"2025-02-16T00:00:00Z\"\n",
                path(4),
                path(2)
            ),
        );
        let mut new = ids(&[1, 2, 4]);
        new.extend(ids(&(100..=number).collect::<Vec<_>>()));
        let mut child = run();
        std::thread::sleep(usual.mul_f64(f64::from(round * 7 % 40) / 36.0));
        let _ = child.kill();
        killed += usize::from(!child.wait().unwrap().success());
        let before = if round % 4 == 0 {
            Vec::new()
        } else {
            old.clone()
        };
        usable(&feed, &[before, new.clone()], &format!("round {round}"));
        assert!(run().wait().unwrap().success(), "round {round}");
        assert_eq!(feed.held().0, new, "round {round}");
        assert_eq!(
            feed.beside(),
            ["a.db", "a.db.lock"].map(str::to_owned).into()
        );
        old = new;
    }
    assert!(killed >= 10, "only {killed} of 40 runs were killed in time");
}

#[test]
fn an_update_that_is_killed_between_writing_and_renaming_leaves_the_old_database() {
    if !has_program("strace") {
        skipped("kill at the rename", "there is no strace");
        return;
    }
    let feed = Feed::start(|_| None);
    assert_eq!(feed.update().code, 0);
    let old = feed.bytes();
    feed.put(&path(5), document(5, "2025-02-18T00:00:00Z"));
    feed.put(
        "changes.csv",
        format!("\"{}\",\"2025-02-18T00:00:00Z\"\n", path(5)),
    );
    let url = feed.url();
    let killed = command("strace")
        .args([
            "-f",
            "-o",
            "/dev/null",
            "-e",
            "trace=rename,renameat,renameat2",
        ])
        .args([
            "-e",
            "inject=rename,renameat,renameat2:signal=KILL:error=EIO",
        ])
        .arg(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["advisories", "update", "--from", &url, "--database", "a.db"])
        .current_dir(feed.folder.path())
        .output()
        .unwrap();
    assert!(!killed.status.success());
    assert!(
        feed.beside().contains("a.db.new"),
        "{:?} {}",
        feed.beside(),
        String::from_utf8_lossy(&killed.stderr)
    );
    assert!(
        old == feed.bytes(),
        "the database changed before the rename"
    );
    assert_eq!(feed.update().code, 0);
    assert_eq!(feed.held().0, ids(&[1, 2, 4, 5]));
    assert_eq!(
        feed.beside(),
        ["a.db", "a.db.lock"].map(str::to_owned).into()
    );
}

#[test]
fn a_feed_that_cannot_be_reached_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let ran = plimsoll(
        folder.path(),
        &[
            "advisories",
            "update",
            "--from",
            "ftp://example.com/",
            "--database",
            "a.db",
        ],
    );
    assert!(
        ran.code == 4 && ran.stderr.contains("ftp://example.com/"),
        "{ran}"
    );
    let exists = |name: &str| Path::new(folder.path()).join(name).exists();
    assert!(!exists("a.db"));
}
