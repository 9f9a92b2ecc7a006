//! `plimsoll advisories for --packages` against a judge of its own: every fixed package of every
//! document beside every package of the list, straight from the JSON, with a comparison of versions
//! written anew after rpm's description. Nothing here comes from the matching code.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use serde_json::Value;

use crate::{
    advisories::{data, derived},
    support::{Ran, plimsoll},
};

/// rpm's order of two versions or releases.
fn vercmp(one: &str, other: &str) -> Ordering {
    let (mut a, mut b) = (one.as_bytes(), other.as_bytes());
    loop {
        let skip = |text: &mut &[u8]| {
            while let [first, rest @ ..] = *text {
                if first.is_ascii_alphanumeric() || b"~^".contains(first) {
                    break;
                }
                *text = rest;
            }
        };
        skip(&mut a);
        skip(&mut b);
        let starts = |mark: u8| (a.first() == Some(&mark), b.first() == Some(&mark));
        match (starts(b'~'), starts(b'^')) {
            ((true, true), _) | (_, (true, true)) => {
                (a, b) = (&a[1..], &b[1..]);
                continue;
            }
            // a tilde is before everything, even the end
            ((true, false), _) => return Ordering::Less,
            ((false, true), _) => return Ordering::Greater,
            // a caret is before everything but the end
            (_, (true, false)) => {
                return if b.is_empty() {
                    Ordering::Greater
                } else {
                    Ordering::Less
                };
            }
            (_, (false, true)) => {
                return if a.is_empty() {
                    Ordering::Less
                } else {
                    Ordering::Greater
                };
            }
            _ => {}
        }
        if a.is_empty() || b.is_empty() {
            return a.len().min(1).cmp(&b.len().min(1));
        }
        let is_number = a[0].is_ascii_digit();
        let piece = |text: &mut &[u8]| {
            let of_kind = |byte: &u8| {
                if is_number {
                    byte.is_ascii_digit()
                } else {
                    byte.is_ascii_alphabetic()
                }
            };
            let end = text
                .iter()
                .position(|byte| !of_kind(byte))
                .unwrap_or(text.len());
            let (piece, rest) = text.split_at(end);
            *text = rest;
            piece.to_vec()
        };
        let (mine, yours) = (piece(&mut a), piece(&mut b));
        if yours.is_empty() {
            return if is_number {
                Ordering::Greater
            } else {
                Ordering::Less
            };
        }
        let ordered = if is_number {
            let plain = |digits: Vec<u8>| {
                let start = digits.iter().position(|digit| *digit != b'0');
                digits[start.unwrap_or(digits.len())..].to_vec()
            };
            let (mine, yours) = (plain(mine), plain(yours));
            mine.len().cmp(&yours.len()).then(mine.cmp(&yours))
        } else {
            mine.cmp(&yours)
        };
        if ordered.is_ne() {
            return ordered;
        }
    }
}

#[test]
fn the_judge_compares_versions_as_rpm_does() {
    for (one, order, other) in [
        ("1.0", Ordering::Less, "1.1"),
        ("1.0", Ordering::Equal, "1_0"),
        ("1.0~rc1", Ordering::Less, "1.0"),
        ("1.0^git1", Ordering::Greater, "1.0"),
        ("1.0^git1", Ordering::Less, "1.0.1"),
        ("10", Ordering::Greater, "9"),
        ("1a", Ordering::Less, "11"),
        ("01", Ordering::Equal, "1"),
    ] {
        assert_eq!(vercmp(one, other), order, "{one} {other}");
        assert_eq!(vercmp(other, one), order.reverse(), "{other} {one}");
    }
    let Some(data) = data("version pairs") else {
        return;
    };
    let pairs = fs::read_to_string(data.join("vercmp/vec-rpm.tsv")).unwrap();
    for line in pairs.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [one, order, other] = fields[..] else {
            panic!("{line}")
        };
        let ascii = one.is_ascii() && other.is_ascii();
        let order: i32 = order.parse().unwrap();
        assert!(!ascii || vercmp(one, other) as i32 == order, "{line}");
    }
}

/// One fixed package of a document.
#[derive(Debug, Clone)]
struct Fix {
    advisory: usize,
    name: String,
    epoch: u64,
    version: String,
    release: String,
    arch: String,
    module: Option<String>,
}

#[derive(Debug)]
struct Document {
    id: String,
    severity: String,
    /// `YYYY-MM-DD`
    day: String,
}

struct Judge {
    documents: Vec<Document>,
    fixes: Vec<Fix>,
    by_name: BTreeMap<String, Vec<usize>>,
}

impl Judge {
    fn new(data: &Path) -> Self {
        let mut judge = Self {
            documents: Vec::new(),
            fixes: Vec::new(),
            by_name: BTreeMap::new(),
        };
        for json in derived(data) {
            judge.read(&serde_json::from_slice(&json).unwrap());
        }
        judge
    }

    fn read(&mut self, json: &Value) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let head = &json["document"];
        self.documents.push(Document {
            id: text(&head["tracking"]["id"]),
            severity: text(&head["aggregate_severity"]["text"]),
            day: text(&head["tracking"]["initial_release_date"])[..10].to_owned(),
        });
        let mut purls = BTreeMap::new();
        collect(&json["product_tree"]["branches"], &mut purls);
        let mut parts = BTreeMap::new();
        for one in json["product_tree"]["relationships"].as_array().unwrap() {
            let id = text(&one["full_product_name"]["product_id"]);
            parts.insert(id, text(&one["product_reference"]));
        }
        let mut seen = BTreeSet::new();
        for vulnerability in json["vulnerabilities"].as_array().unwrap() {
            for id in vulnerability["product_status"]["fixed"].as_array().unwrap() {
                let purl = &purls[&parts[id.as_str().unwrap()]];
                if seen.insert(purl.clone())
                    && let Some(fix) = fix(purl, self.documents.len() - 1)
                {
                    let place = self.by_name.entry(fix.name.clone()).or_default();
                    place.push(self.fixes.len());
                    self.fixes.push(fix);
                }
            }
        }
    }

    fn fixes_of(&self, name: &str) -> impl Iterator<Item = &Fix> {
        let places = self.by_name.get(name).into_iter().flatten();
        places.map(|place| &self.fixes[*place])
    }

    /// The documents that a list lacks.
    fn missing(&self, list: &[Line], streams: &[String]) -> Vec<&Document> {
        let mut found = BTreeSet::new();
        for line in list.iter().filter(|line| line.key == Some(RED_HAT)) {
            let label = line
                .label
                .as_ref()
                .map(|label| label.split(':').take(2).collect::<Vec<_>>().join(":"));
            let shipped = |stream: &String| {
                self.fixes_of(&line.name)
                    .any(|fix| fix.module.as_ref() == Some(stream))
            };
            let of: Vec<Option<String>> = match label {
                Some(label) => vec![Some(label)],
                None if line.release.contains(".module") => {
                    let of: Vec<_> = streams
                        .iter()
                        .filter(|own| shipped(own))
                        .cloned()
                        .map(Some)
                        .collect();
                    if of.is_empty() { vec![None] } else { of }
                }
                None => vec![None],
            };
            for fix in self.fixes_of(&line.name) {
                let arch = line.arch == "noarch" || line.arch == fix.arch;
                let older = line
                    .epoch
                    .unwrap_or(0)
                    .cmp(&fix.epoch)
                    .then_with(|| vercmp(&line.version, &fix.version))
                    .then_with(|| vercmp(&line.release, &fix.release))
                    .is_lt();
                if arch && older && of.contains(&fix.module) {
                    found.insert(fix.advisory);
                }
            }
        }
        found.into_iter().map(|at| &self.documents[at]).collect()
    }
}

fn collect(branches: &Value, purls: &mut BTreeMap<String, String>) {
    for branch in branches.as_array().into_iter().flatten() {
        collect(&branch["branches"], purls);
        let product = &branch["product"];
        let purl = product["product_identification_helper"]["purl"].as_str();
        if let (Some(id), Some(purl)) = (product["product_id"].as_str(), purl) {
            purls.insert(id.to_owned(), purl.to_owned());
        }
    }
}

fn fix(purl: &str, advisory: usize) -> Option<Fix> {
    let decode = |text: &str| {
        let mut parts = text.split('%');
        let mut out = parts.next().unwrap().to_owned();
        for part in parts {
            let (code, rest) = part.split_at(2);
            out.push(char::from(u8::from_str_radix(code, 16).unwrap()));
            out.push_str(rest);
        }
        out
    };
    let (path, query) = purl.strip_prefix("pkg:rpm/redhat/")?.split_once('?')?;
    let (name, evr) = path.split_once('@')?;
    let evr = decode(evr);
    let (version, release) = evr.rsplit_once('-')?;
    let get = |key: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(own, _)| *own == key)
            .map(|(_, value)| decode(value))
    };
    Some(Fix {
        advisory,
        name: decode(name),
        epoch: get("epoch").map_or(0, |epoch| epoch.parse().unwrap()),
        version: version.to_owned(),
        release: release.to_owned(),
        arch: get("arch")?,
        module: get("rpmmod"),
    })
}

const RED_HAT: &str = "199e2f91fd431d51";
const CENTOS: &str = "05b555b38483c65d";

/// A line of a list.
#[derive(Debug, Clone)]
struct Line {
    name: String,
    epoch: Option<u64>,
    version: String,
    release: String,
    arch: String,
    key: Option<&'static str>,
    label: Option<String>,
}

/// Numbers that come again from the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

fn golden(data: &Path) -> Vec<Line> {
    let text = fs::read_to_string(data.join("golden-example/mod-httpd.tsv")).unwrap();
    let line = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        Line {
            name: fields[0].to_owned(),
            epoch: Some(fields[1].parse().unwrap()),
            version: fields[2].to_owned(),
            release: fields[3].to_owned(),
            arch: fields[4].to_owned(),
            key: Some(RED_HAT),
            label: None,
        }
    };
    text.lines().map(line).collect()
}

/// A list and enabled streams like none before.
fn vary(judge: &Judge, golden: &[Line], dice: &mut Dice) -> (Vec<Line>, Vec<String>) {
    let mut streams: BTreeMap<&str, &String> = BTreeMap::new();
    for module in judge.fixes.iter().filter_map(|fix| fix.module.as_ref()) {
        if dice.below(judge.fixes.len()) < 400 {
            streams.insert(module.split(':').next().unwrap(), module);
        }
    }
    let streams: Vec<String> = streams.into_values().cloned().collect();
    let mut list: Vec<Line> = golden
        .iter()
        .filter(|_| dice.below(8) > 0)
        .cloned()
        .collect();
    for _ in 0..dice.below(150) {
        let fix = dice.of(&judge.fixes);
        list.push(Line {
            name: fix.name.clone(),
            epoch: Some(fix.epoch),
            version: fix.version.clone(),
            release: fix.release.clone(),
            arch: fix.arch.clone(),
            key: Some(RED_HAT),
            label: fix
                .module
                .as_ref()
                .map(|module| format!("{module}:8000020190405:0")),
        });
    }
    for line in &mut list {
        let others: Vec<&Fix> = judge.fixes_of(&line.name).collect();
        match dice.below(14) {
            0 => line.release.push_str("~1"),
            1 => line.release.push_str(".1"),
            2 => "0".clone_into(&mut line.version),
            3 => line.version.insert(0, '9'),
            4 => line.epoch = None,
            5 => line.epoch = Some(line.epoch.unwrap_or(0) + 1),
            6 => line.arch = (*dice.of(&["aarch64", "s390x", "i686", "noarch"])).to_owned(),
            7 => line.key = *dice.of(&[None, Some(CENTOS)]),
            8 if !others.is_empty() => {
                let other = *dice.of(&others);
                line.version.clone_from(&other.version);
                line.release.clone_from(&other.release);
                line.epoch = Some(other.epoch);
            }
            9 | 10 => line.label = None,
            11 if line.label.is_some() => line.label = Some("nodejs:99:1:2".to_owned()),
            _ => {}
        }
    }
    (list, streams)
}

fn write(list: &[Line], with_labels: bool) -> String {
    let mut text = String::new();
    for line in list {
        let epoch = line
            .epoch
            .map_or("(none)".to_owned(), |epoch| epoch.to_string());
        let key = line.key.unwrap_or("(none)");
        let Line {
            name,
            version,
            release,
            arch,
            ..
        } = line;
        let _ = write!(text, "{name}\t{epoch}\t{version}\t{release}\t{arch}\t{key}");
        if with_labels {
            let label = line.label.as_deref().unwrap_or("(none)");
            let _ = write!(text, "\t{label}");
        }
        text.push('\n');
    }
    text
}

/// Days from one day to another.
fn days(from: &str, to: &str) -> i64 {
    // by the count of days of the Gregorian calendar
    let number = |day: &str| {
        let parts: Vec<i64> = day.split('-').map(|part| part.parse().unwrap()).collect();
        let (year, month) = if parts[1] > 2 {
            (parts[0], parts[1])
        } else {
            (parts[0] - 1, parts[1] + 12)
        };
        365 * year + year / 4 - year / 100 + year / 400 + (153 * (month - 3) + 2) / 5 + parts[2]
    };
    number(to) - number(from)
}

/// The grade by the table of the Container Health Index.
fn grade(missing: &[&Document], day: &str) -> char {
    let one = |document: &&Document| {
        let age = days(&document.day, day);
        match (document.severity.as_str(), age) {
            (_, ..0) => 'A',
            ("Critical", 0..=7) | ("Important", 0..=30) => 'B',
            ("Critical", 8..=30) | ("Important", 31..=90) => 'C',
            ("Critical", 31..=90) | ("Important", 91..=365) => 'D',
            ("Critical", 91..=365) => 'E',
            ("Critical" | "Important", _) => 'F',
            _ => 'A',
        }
    };
    missing.iter().map(one).max().unwrap_or('A')
}

struct Place(tempfile::TempDir);

impl Place {
    /// A folder with a database of the derived set, made by the program.
    fn new(data: &Path) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let from = data.join("csaf-derived-rhel8/derived-rhel8.tar.zst");
        let ran = place.run(&["update", "--from", from.to_str().unwrap(), "--complete"]);
        assert_eq!(ran.code, 0, "{ran}");
        place
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let own = [&["advisories"], arguments, &["--database", "a.db"]];
        plimsoll(self.0.path(), &own.concat())
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let own = ["for", "--packages", "list", "--format", "json"];
        let ran = self.run(&[&own, arguments].concat());
        assert_eq!(ran.code, 0, "{ran}");
        serde_json::from_str(&ran.stdout).unwrap()
    }
}

fn ids(image: &Value) -> Vec<&str> {
    let list = image["advisories"].as_array().unwrap();
    let mut ids: Vec<&str> = list.iter().map(|one| one["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn the_golden_list_gets_the_golden_answer_from_the_command_line() {
    let Some(data) = data("golden list") else {
        return;
    };
    let place = Place::new(&data);
    let list = fs::read_to_string(data.join("golden-example/mod-httpd.tsv")).unwrap();
    place.put("list", &list);
    let mods = fs::read_to_string(data.join("golden-example/mod-httpd.mods")).unwrap();
    place.put("mods", &mods);
    let golden = data.join("golden-example/golden-mod-httpd-rhel-8.oval.tsv");
    let golden = fs::read_to_string(golden).unwrap();
    let golden: BTreeSet<&str> = golden
        .lines()
        .map(|line| line.split('\t').next().unwrap())
        .collect();
    let grades = fs::read_to_string(data.join("golden-example/expected-grades.tsv")).unwrap();
    for line in grades.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let image = place.json(&["--modules", "mods", "--as-of", fields[2]]);
        assert_eq!(image["grade"], fields[3], "{line}");
        assert_eq!(ids(&image), golden.iter().copied().collect::<Vec<_>>());
    }
    let own = [
        "for",
        "--packages",
        "list",
        "--modules",
        "mods",
        "--as-of",
        "2019-05-01",
    ];
    let table = place.run(&own);
    let told = "A as of 2019-05-01, drops to B on 2019-05-07, drops to C on 2019-06-07, drops to D on 2019-08-06";
    assert!(table.stdout.contains(told), "{table}");
    // without the list of streams the packages of the module are named
    let image = place.json(&["--as-of", "2020-03-19"]);
    let notes = image["advisory_data"]["notes"].to_string();
    assert!(
        notes.contains("httpd, httpd-filesystem") || notes.contains("mod_ssl"),
        "{notes}"
    );
}

#[test]
fn lists_of_every_kind_get_the_answer_of_the_judge() {
    let Some(data) = data("varied lists") else {
        return;
    };
    let (place, judge, golden) = (Place::new(&data), Judge::new(&data), golden(&data));
    assert_eq!(
        (judge.documents.len(), judge.fixes.len() > 5_000),
        (181, true)
    );
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let mut grades = BTreeMap::new();
    for number in 0..120 {
        let (mut list, streams) = vary(&judge, &golden, &mut dice);
        let with_labels = number % 2 == 0;
        if !with_labels {
            for line in &mut list {
                line.label = None;
            }
        }
        place.put("list", &write(&list, with_labels));
        place.put(
            "mods",
            &streams
                .join("\n")
                .replace(':', if number % 3 == 0 { " " } else { ":" }),
        );
        let day = format!(
            "20{}-{:02}-{:02}",
            19 + dice.below(2),
            1 + dice.below(12),
            1 + dice.below(28)
        );
        let mut arguments = vec!["--release", "8.0", "--as-of", &day];
        if !streams.is_empty() {
            arguments.extend(["--modules", "mods"]);
        }
        let image = place.json(&arguments);
        let missing = judge.missing(&list, &streams);
        let mut want: Vec<&str> = missing
            .iter()
            .map(|document| document.id.as_str())
            .collect();
        want.sort_unstable();
        assert_eq!(ids(&image), want, "list {number}");
        let want = grade(&missing, &day).to_string();
        assert_eq!(image["grade"], want.as_str(), "list {number} on {day}");
        // every later grade is that of its day, and so is the day before it
        for span in image["timeline"].as_array().unwrap() {
            let from = span["from"].as_str().unwrap();
            if from < "2021-01-01" {
                let on = grade(&missing, from).to_string();
                assert_eq!(span["grade"], on.as_str(), "list {number} on {from}");
            }
        }
        *grades.entry(want).or_insert(0) += 1;
    }
    // the lists are of many kinds
    assert!(grades.len() >= 4, "{grades:?}");
}

#[test]
fn lists_of_other_hands_are_read() {
    let Some(data) = data("lists of other hands") else {
        return;
    };
    let place = Place::new(&data);
    // what `rpm -qa` prints by itself says nothing of keys
    place.put("list", "redhat-release-8.0-0.44.el8.x86_64\nvim-minimal-2:8.0.1763-10.el8.x86_64\ngpg-pubkey-fd431d51-4ae0493b\n");
    let image = place.json(&["--as-of", "2020-03-19"]);
    assert_eq!(image["grade"], "Unknown");
    let image = place.json(&["--as-of", "2020-03-19", "--assume-signed"]);
    assert_eq!(ids(&image), ["RHSA-2019:1619"]);
    assert_eq!(image["packages_count"], 2);
    // from standard input, and what rpm prints of signatures
    let line = "vim-minimal\t2\t8.0.1763\t10.el8\tx86_64\tRSA/SHA256, Tue 19 Mar 2019 12:00:00 AM UTC, Key ID 199e2f91fd431d51\t(none)\tRed Hat, Inc.\tvim-8.0.1763-10.el8.src.rpm\n";
    place.put("list", line);
    let ran = place.run(&["for", "--packages", "list"]);
    assert!(ran.code == 2 && ran.stderr.contains("--release"), "{ran}");
    let image = place.json(&["--as-of", "2020-03-19", "--release", "8.0"]);
    assert_eq!(ids(&image), ["RHSA-2019:1619"]);
    // another stream has no such row, and an image of another release neither
    let eus = [
        "--as-of",
        "2020-03-19",
        "--cpe",
        "cpe:/o:redhat:rhel_eus:8.1::baseos",
    ];
    let image = place.json(&eus);
    assert_eq!(ids(&image), [""; 0]);
    assert_eq!(image["main_stream"][0]["id"], "RHSA-2019:1619", "{image}");
    let image = place.json(&["--as-of", "2020-03-19", "--release", "9.0"]);
    assert_eq!(ids(&image), [""; 0]);
    place.put("list", "vim-minimal\ttwo\t8\t1\tx86_64\n");
    let ran = place.run(&["for", "--packages", "list", "--release", "8.0"]);
    assert!(
        ran.code == 2 && ran.stderr.contains("list: line 1: the epoch `two`"),
        "{ran}"
    );
}
