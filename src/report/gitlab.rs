//! `gitlab`: a code quality report, which GitLab shows in merge requests on every tier.

use std::io;

use serde::Serialize;

use super::{Report, Reporter, view};
use view::Weight;

/// `--format gitlab`
pub struct GitLab;

#[derive(Serialize)]
struct Entry<'a> {
    description: String,
    check_name: &'a str,
    fingerprint: &'a str,
    severity: &'static str,
    location: Place,
}

#[derive(Serialize)]
struct Place {
    path: String,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: u32,
}

impl Reporter for GitLab {
    fn name(&self) -> &'static str {
        "gitlab"
    }

    fn write(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
        let items = view::items(report);
        let entries: Vec<Entry<'_>> = items.iter().map(|item| entry(report, item)).collect();
        serde_json::to_writer_pretty(&mut *out, &entries)?;
        writeln!(out)
    }
}

fn entry<'a>(report: &Report, item: &'a view::Item<'_>) -> Entry<'a> {
    // An entry without a path is dropped by GitLab, so it always names the Dockerfile.
    let (path, begin) = match &item.finding.location {
        Some(location) => (location.file.clone(), location.line),
        None => (
            report
                .dockerfile
                .clone()
                .unwrap_or_else(|| "Dockerfile".to_owned()),
            1,
        ),
    };
    Entry {
        description: view::printable(&item.finding.message),
        check_name: item.rule,
        fingerprint: &item.fingerprint,
        severity: match item.weight {
            Weight::Error => "critical",
            Weight::Warning => "minor",
            Weight::Note => "info",
        },
        location: Place {
            path,
            lines: Lines { begin },
        },
    }
}
