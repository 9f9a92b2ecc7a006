//! Everything about one advisory or one vulnerability.

use std::fmt::Write as _;

use super::usage;
use crate::{
    advisory::{Named, Statement, database::Database},
    error::Error,
    report::printable,
};

pub(super) fn show(database: &Database<'_>, id: &str) -> Result<String, Error> {
    let id = &*id.to_ascii_uppercase();
    let text = if id.starts_with("CVE-") {
        vulnerability(database, id)
    } else {
        advisory(database, id)
    }?;
    // Names and products stand in documents, too.
    let lines = text.lines().map(|line| printable(line) + "\n");
    Ok(lines.collect())
}

fn vulnerability(database: &Database<'_>, id: &str) -> Result<String, Error> {
    let fixes: Vec<_> = database
        .advisories()
        .filter(|advisory| advisory.cves.contains(&id))
        .collect();
    let own = database.vulnerability(id);
    if own.is_none() && fixes.is_empty() {
        return Err(usage(
            format!(
                "the advisory database of {} says nothing of `{id}`",
                database.as_of()
            ),
            "documents of vulnerabilities come with `plimsoll advisories update --vex`",
        ));
    }
    let mut text = String::new();
    match &own {
        None => {
            let _ = writeln!(text, "{id}\ndocument  none was taken over (`--vex`)");
        }
        Some(own) => {
            let severity = own
                .severity
                .map_or("its document was deleted", |severity| severity.as_str());
            let _ = writeln!(
                text,
                "{id}: {}\nseverity  {severity}\npublished {}\nrevised   {}",
                printable(own.title),
                own.published,
                own.revised
            );
            if !own.workaround.is_empty() {
                let _ = writeln!(
                    text,
                    "meanwhile {}",
                    own.workaround.replace('\n', "\n          ")
                );
            }
        }
    }
    let _ = writeln!(
        text,
        "see       https://access.redhat.com/security/cve/{id}"
    );
    for fix in fixes {
        let _ = writeln!(
            text,
            "fixed by  {} ({}, {}): {}",
            fix.id,
            fix.severity,
            fix.released,
            printable(fix.title)
        );
    }
    statements(&mut text, database.statements_about(id));
    Ok(text)
}

fn statements(text: &mut String, mut statements: Vec<Statement>) {
    statements.sort_by(|one, other| (&one.cpe, one).cmp(&(&other.cpe, other)));
    let mut product = String::new();
    for own in statements {
        if own.cpe != product {
            let _ = writeln!(text, "\n{}", own.cpe);
            product.clone_from(&own.cpe);
        }
        let source = match own.named {
            Named::Source => " (source)",
            Named::Binary | Named::Either => "",
        };
        let module = own
            .module
            .map_or_else(String::new, |module| format!(" ({module})"));
        let until = own
            .until
            .map_or_else(String::new, |evr| format!(" up to {evr}"));
        let why = own.stance.justification();
        let why = why.map_or_else(String::new, |why| format!(" ({})", why.replace('_', " ")));
        let _ = writeln!(
            text,
            "  {}{source}{module}{until}  {}{why}, {}",
            own.name,
            own.stance.as_str(),
            own.severity
        );
    }
}

fn advisory(database: &Database<'_>, id: &str) -> Result<String, Error> {
    let Some(advisory) = database.advisory(id) else {
        return Err(usage(
            format!(
                "the advisory database of {} does not hold `{id}`",
                database.as_of()
            ),
            "ids look like `RHSA-2024:0010` or `CVE-2024-6923`",
        ));
    };
    let mut text = format!(
        "{}: {}\nseverity  {}\nshipped   {}\nfixes     {}\nsee       https://access.redhat.com/errata/{}\n",
        advisory.id,
        printable(advisory.title),
        advisory.severity,
        advisory.released,
        advisory.cves.join(", "),
        advisory.id,
    );
    let mut product = String::new();
    let mut rows = database.rows_of_advisory(id);
    rows.sort_by(|one, other| (&one.cpe, &one.name).cmp(&(&other.cpe, &other.name)));
    for row in rows {
        if *row.cpe != product {
            let _ = writeln!(text, "\n{}", row.cpe);
            product = row.cpe.to_string();
        }
        let module = row
            .module
            .map_or_else(String::new, |module| format!(" ({module})"));
        let arches: Vec<_> = row.arches.names().collect();
        let arches = arches.join(" ");
        let _ = writeln!(text, "  {} {}{module}  {arches}", row.name, row.fixed);
    }
    Ok(text)
}
