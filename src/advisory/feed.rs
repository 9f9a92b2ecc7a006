//! The small files beside the advisories: the map of repositories to products, and the lists of
//! changed and deleted documents.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;

use super::{AdvisoryId, CveId};

/// Repositories with their CPEs, as [`super::database::Contents::set_repositories`] takes them.
pub type Repositories = BTreeMap<String, BTreeSet<String>>;

/// A file that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// the map
    #[error("the map of repositories to products cannot be read: {0}")]
    Repositories(String),
    /// a list
    #[error(
        "line {line} is not a document's path and a time, such as `\"2024/rhsa-2024_0010.json\",\"2025-02-18T14:28:08+00:00\"`"
    )]
    Line {
        /// from 1
        line: usize,
    },
}

#[derive(Deserialize)]
struct Map {
    data: BTreeMap<String, Cpes>,
}

#[derive(Deserialize)]
struct Cpes {
    #[serde(default)]
    cpes: BTreeSet<String>,
}

/// Reads `repository-to-cpe.json`.
pub fn repositories(json: &[u8]) -> Result<Repositories, FeedError> {
    let map: Map =
        serde_json::from_slice(json).map_err(|error| FeedError::Repositories(error.to_string()))?;
    Ok(map
        .data
        .into_iter()
        .map(|(name, entry)| (name, entry.cpes))
        .collect())
}

/// A line of `changes.csv` or `deletions.csv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// as written, `2024/rhsa-2024_0010.json`
    pub path: String,
    /// the advisory; `None` for documents of other kinds
    pub id: Option<AdvisoryId>,
    /// the vulnerability; `None` for documents of other kinds
    pub cve: Option<CveId>,
    /// when
    pub at: Timestamp,
}

/// Reads `changes.csv` or `deletions.csv`.
pub fn changes(csv: &str) -> Result<Vec<Changed>, FeedError> {
    let lines = (1..)
        .zip(csv.lines())
        .filter(|(_, line)| !line.trim().is_empty());
    let read = |(line, text): (usize, &str)| {
        let (path, at) = text.split_once(',').ok_or(FeedError::Line { line })?;
        let [path, at] = [path, at].map(|field| field.trim().trim_matches('"'));
        let at = at.parse().map_err(|_| FeedError::Line { line })?;
        if path.is_empty() {
            return Err(FeedError::Line { line });
        }
        Ok(Changed {
            path: path.to_owned(),
            id: id_of_path(path),
            cve: cve_of_path(path),
            at,
        })
    };
    lines.map(read).collect()
}

/// The advisory that a document's path names: `2024/rhsa-2024_0010.json` is `RHSA-2024:0010`.
pub fn id_of_path(path: &str) -> Option<AdvisoryId> {
    let name = path.rsplit('/').next()?.strip_suffix(".json")?;
    name.to_ascii_uppercase().replacen('_', ":", 1).parse().ok()
}

/// The vulnerability that a document's path names: `2024/cve-2024-6923.json` is `CVE-2024-6923`.
pub fn cve_of_path(path: &str) -> Option<CveId> {
    let name = path.rsplit('/').next()?.strip_suffix(".json")?;
    name.to_ascii_uppercase().parse().ok()
}

/// The day of a whole archive, by its name: `csaf_advisories_2025-02-15.tar.zst`, from midnight UTC.
pub fn archive_date(name: &str) -> Option<Timestamp> {
    let day = name
        .strip_prefix("csaf_advisories_")
        .or_else(|| name.strip_prefix("csaf_vex_"))?
        .strip_suffix(".tar.zst")?;
    let day: jiff::civil::Date = day.parse().ok().filter(|_| day.len() == 10)?;
    Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// The name is that of a whole archive.
pub fn is_archive(name: &str) -> bool {
    archive_date(name).is_some()
}

/// Reads a checksum file as `sha256sum` writes it; 64 hex digits in lower case.
pub fn checksum(text: &str) -> Option<String> {
    let sum = text.split_ascii_whitespace().next()?;
    let good = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then(|| sum.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_is_read() {
        let map = repositories(br#"{"data": {"b": {"cpes": ["cpe:/o:redhat:x:1"], "repo_relative_urls": ["u"]}, "a": {}}}"#)
            .expect("a map");
        assert_eq!(map["b"].len(), 1);
        assert!(map["a"].is_empty());
        for bad in [
            "",
            "{}",
            r#"{"data": []}"#,
            r#"{"data": {"a": {"cpes": "x"}}}"#,
        ] {
            assert!(repositories(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_archives_have_a_day() {
        let day = archive_date("csaf_advisories_2025-02-15.tar.zst").expect("a day");
        assert_eq!(day.to_string(), "2025-02-15T00:00:00Z");
        for bad in [
            "csaf_advisories_2025-02-30.tar.zst",
            "csaf_advisories_2025-02-15.tar",
            "../csaf_advisories_2025-02-15.tar.zst",
            "csaf_advisories_2025-02-15T10:00.tar.zst",
            "<html>",
        ] {
            assert!(!is_archive(bad), "{bad}");
        }
    }

    #[test]
    fn checksum_files_are_read_strictly() {
        let sum = "AB".repeat(32);
        let text = format!("{sum}  a.json\n");
        assert_eq!(checksum(&text), Some(sum.to_lowercase()));
        for bad in ["", "<html>", &sum[1..], &"x".repeat(64)] {
            assert_eq!(checksum(bad), None, "{bad}");
        }
    }

    #[test]
    fn lists_of_changes_are_read_strictly() {
        let list = changes("\"2024/rhsa-2024_0010.json\",\"2025-02-18T14:28:08+00:00\"\n\n2024/cve-2024-1.json,2025-02-18T14:28:08Z\n")
            .expect("a list");
        assert_eq!(
            list[0].id.as_ref().map(AdvisoryId::as_str),
            Some("RHSA-2024:0010")
        );
        assert_eq!((list[1].id.as_ref(), list[1].at), (None, list[0].at));
        assert_eq!(list[0].cve, None);
        assert_eq!(
            cve_of_path("2024/cve-2024-6923.json").map(|cve| cve.to_string()),
            Some("CVE-2024-6923".to_owned())
        );
        for bad in [
            "x",
            "\"a\",\"yesterday\"",
            ",2025-02-18T14:28:08Z",
            "<html>",
        ] {
            assert_eq!(
                changes(&format!("\n{bad}")),
                Err(FeedError::Line { line: 2 }),
                "{bad}"
            );
        }
    }
}
