//! Reads a file back into [`Contents`], for updates and for showing a whole advisory.

use std::collections::BTreeSet;

use super::{
    Contents, Database, Document, RowRef,
    bytes::{record, sha256, time, u32_at},
    format::{DELETED, DOCUMENT, Section},
    pool::Pool,
};
use crate::advisory::{Advisory, AdvisoryId, Row};

impl<'a> Database<'a> {
    /// Everything the database holds.
    pub fn contents(&self) -> Contents {
        let mut pool = Pool::default();
        let mut rows = self.rows_by_advisory(&mut pool);
        let mut contents = Contents {
            source: self.source().to_owned(),
            as_of: self.as_of(),
            origin: self.origin(),
            ends: self.ends_of_life().into_iter().collect(),
            pool,
            ..Contents::default()
        };
        let section = self.section(Section::Documents);
        for at in 0..self.len(Section::Documents, DOCUMENT) {
            let own = record::<DOCUMENT>(section, at);
            let Ok(id) = self.text(own, 0).parse::<AdvisoryId>() else {
                continue; // checked when the file was opened
            };
            let revised = time(own, 8);
            let number = u32_at(own, 48);
            let advisory = (number != DELETED).then(|| {
                let stored = self.stored(number);
                let mut rows = rows
                    .get_mut(number as usize)
                    .map(std::mem::take)
                    .unwrap_or_default();
                rows.sort();
                Advisory {
                    id: id.clone(),
                    severity: stored.severity,
                    released: stored.released,
                    revised,
                    title: stored.title.to_owned(),
                    cves: stored.cves.into_iter().map(str::to_owned).collect(),
                    rows,
                }
            });
            let document = Document {
                revised,
                sha256: sha256(own, 16),
                advisory,
            };
            contents.documents.insert(id, document);
        }
        for at in 0..self.counts().repositories {
            let (repository, cpes) = self.repository_at(at);
            let cpes = cpes.into_iter().map(str::to_owned).collect();
            contents.repositories.insert(repository.to_owned(), cpes);
        }
        contents.vulnerabilities = self.vulnerability_documents();
        contents
    }

    /// The fixed packages of one advisory. It looks at every row, so it is for showing one.
    pub fn rows_of_advisory(&self, id: &str) -> Vec<Row> {
        let Some(stored) = self.advisory(id) else {
            return Vec::new();
        };
        let own = self
            .all_rows()
            .filter(|(_, row)| row.advisory == stored.number);
        let mut pool = Pool::default();
        let mut rows: Vec<Row> = own
            .map(|(name, row)| self.row(name, row, &mut pool))
            .collect();
        rows.sort();
        rows
    }

    /// CPE and number of the advisory of every row; it looks at all of them.
    pub fn products(&self) -> BTreeSet<(&'a str, u32)> {
        let rows = self.all_rows().map(|(_, row)| (row.cpe, row.advisory));
        let pairs: BTreeSet<(u16, u32)> = rows.collect();
        pairs
            .into_iter()
            .map(|(cpe, advisory)| (self.cpe(cpe), advisory))
            .collect()
    }

    fn rows_by_advisory(&self, pool: &mut Pool) -> Vec<Vec<Row>> {
        let mut rows = vec![Vec::new(); self.counts().advisories];
        for (name, row) in self.all_rows() {
            if let Some(of_advisory) = rows.get_mut(row.advisory as usize) {
                of_advisory.push(self.row(name, row, pool));
            }
        }
        rows
    }

    fn row(&self, name: &str, row: RowRef, pool: &mut Pool) -> Row {
        Row {
            name: pool.text(name),
            module: self.module(row.module).map(|module| pool.text(module)),
            cpe: pool.text(self.cpe(row.cpe)),
            fixed: pool.evr(&self.evr(row.evr)),
            arches: row.arches,
        }
    }
}
