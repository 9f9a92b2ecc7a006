//! The advisory database as a fact of an image.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use super::{PackageCache, PackageList};
use crate::{
    advisory::{
        Severity,
        database::Database,
        grade::{AsOf, Data, health},
        matching::{Detail, matches},
    },
    subject::{AdvisoryFacts, Fact},
};

/// A database holds some 20 MB; whatever is larger than this is none, bytes.
const MAX_DATABASE: u64 = 1 << 30;

/// Leaves out vulnerabilities that no advisory mends, and notes how many.
pub(super) fn leave_out_unfixed(facts: &mut Fact<AdvisoryFacts>) {
    if let Fact::Known(facts) = facts
        && !facts.matched.unfixed.is_empty()
    {
        let count = std::mem::take(&mut facts.matched.unfixed).len();
        let note = format!("{count} vulnerabilities that no advisory mends are left out");
        facts.matched.notes.push(note);
    }
}

/// The advisories that images are laid beside.
pub struct Advisories {
    /// bytes of the database, or why there are none
    pub file: Fact<Vec<u8>>,
    /// the time that grades are asked for
    pub as_of: AsOf,
    /// where package lists are kept
    pub cache: PackageCache,
    /// whether a report wants the applied ones too
    pub detail: Detail,
}

impl Advisories {
    /// Reads the database at a path.
    pub fn read(path: Option<&Path>, as_of: AsOf, cache: PackageCache, detail: Detail) -> Self {
        let file = match path.map(|path| (path, read(path))) {
            Some((_, Ok(file))) => Fact::Known(file),
            Some((path, Err(error))) if error.kind() == io::ErrorKind::NotFound => Fact::Unmet(format!(
                "there is no advisory database at {}; make one with `plimsoll advisories update`",
                path.display()
            )),
            Some((path, Err(error))) => Fact::Unmet(format!("advisory database {}: {error}", path.display())),
            None => Fact::Unmet("there is no advisory database: neither `XDG_DATA_HOME` nor `HOME` says where it lies".to_owned()),
        };
        Self {
            file,
            as_of,
            cache,
            detail,
        }
    }

    /// Lays an image beside them; the data may be `limit` days older than the time asked for, and the
    /// image fails by what is `least` or worse.
    pub fn facts(
        &self,
        list: Fact<PackageList>,
        limit: i64,
        least: Severity,
    ) -> Fact<AdvisoryFacts> {
        let (file, list) = match (&self.file, list) {
            (Fact::Known(file), Fact::Known(list)) => (file, list),
            (Fact::Unmet(reason), _) => return Fact::Unmet(reason.clone()),
            (_, Fact::Unmet(reason)) => return Fact::Unmet(reason),
        };
        let PackageList {
            evidence, unread, ..
        } = &list;
        let database = match Database::open(file) {
            Ok(database) => database,
            Err(error) => return Fact::Unmet(error.to_string()),
        };
        let mut matched = matches(&database, evidence, &list.installed, self.detail);
        matched.notes.extend(unread.iter().cloned());
        // a day that was asked for may lie ahead: that is a look into the future, not old data
        let limit = matches!(self.as_of, AsOf::Instant(_)).then_some(limit);
        let origin = database.origin();
        if let Some((path, why)) = origin.unread.first_key_value() {
            let count = origin.unread.len();
            matched.notes.push(format!(
                "{count} documents of the advisory feed could not be read when the database was made, `{path}` among them: {why}"
            ));
        }
        let data = (database.counts().advisories > 0).then(|| Data {
            of: database.as_of(),
            coverage: origin.coverage,
            limit,
        });
        Fact::Known(AdvisoryFacts {
            health: health(evidence, &matched, data, self.as_of),
            matched,
            fails_from: least,
            as_of: self.as_of,
            data: database.as_of(),
            advisories: database.counts().advisories,
            source: database.source().to_owned(),
            base: Fact::Unmet("it was not looked up".to_owned()),
        })
    }
}

/// Reads the database's file.
///
/// # Errors
/// When it cannot be read or is larger than 1 GiB.
#[expect(
    clippy::disallowed_methods,
    reason = "gather reads the advisory database for pipeline and commands"
)]
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(MAX_DATABASE + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_DATABASE {
        return Err(io::Error::other("it is larger than 1 GiB"));
    }
    Ok(bytes)
}
