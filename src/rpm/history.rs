//! dnf's history: which repository each package was installed from. Tables of `history.sqlite` (dnf)
//! and `transaction_history.sqlite` (dnf5), read by the same pages as rpm's database.

use std::collections::BTreeMap;

use super::{
    database::{DatabaseError, Fault, Format, MAX_PACKAGES},
    package::Nevra,
    sqlite::{self, Table, Value},
};

/// A package that dnf installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// identity; an epoch that is not there is 0
    pub nevra: Nevra,
    /// id of the repository, such as `ubi-9-baseos-rpms`
    pub repository: String,
}

/// Actions by which a package comes in: install, downgrade, obsolete, upgrade, reinstall.
const DNF: [i64; 5] = [1, 2, 4, 6, 9];
/// dnf5: install, upgrade, downgrade, reinstall.
const DNF5: [i64; 4] = [1, 2, 3, 4];
/// States of steps that failed. Those that were begun alone may have gone well: dnf5 leaves them so in
/// images, and what is installed is told by rpm's own database.
const FAILED: (i64, i64) = (2, 3);

/// Reads a history. `wal` is the content of the `-wal` file beside it. Of several installations of
/// the same package the last one counts; what came from no repository is left out.
///
/// # Errors
/// When it is no SQLite database or is damaged, or has none of the tables.
pub fn history(bytes: &[u8], wal: Option<&[u8]>) -> Result<Vec<Installation>, DatabaseError> {
    read(bytes, wal.unwrap_or_default()).map_err(|fault| DatabaseError::Damaged {
        format: Format::Sqlite,
        fault,
    })
}

fn read(bytes: &[u8], wal: &[u8]) -> Result<Vec<Installation>, Fault> {
    let names = ["repo", "rpm", "trans_item", "pkg_name", "arch"];
    let [repositories, packages, items, names, arches] =
        sqlite::tables(bytes, wal, names, MAX_PACKAGES)?;
    let (Some(repositories), Some(packages), Some(items)) = (repositories, packages, items) else {
        return Err(Fault::NoHistory);
    };
    let modern = names.is_some();
    let (names, arches) = (names.unwrap_or_default(), arches.unwrap_or_default());
    let of_item: BTreeMap<i64, Nevra> = packages
        .values()
        .filter_map(|row| Some((row.first()?.number()?, nevra(row, modern, &names, &arches)?)))
        .collect();
    let mut last = BTreeMap::new();
    // in the order of their numbers, which is that of the transactions
    for row in items.values() {
        let [_, _, item, repository, action, _, state, ..] = row.as_slice() else {
            continue;
        };
        let (Some(item), Some(action), Some(state)) =
            (item.number(), action.number(), state.number())
        else {
            continue;
        };
        let came = if modern {
            DNF5.contains(&action) && state != FAILED.1
        } else {
            DNF.contains(&action) && state != FAILED.0
        };
        if !came {
            continue;
        }
        let name = repository
            .number()
            .and_then(|id| repositories.get(&id)?.get(1)?.text());
        last.insert(item, name);
    }
    let installation = |(item, name): (i64, Option<&str>)| {
        let repository = name.filter(|name| !name.is_empty() && !name.starts_with('@'))?;
        Some(Installation {
            nevra: of_item.get(&item)?.clone(),
            repository: repository.to_owned(),
        })
    };
    Ok(last.into_iter().filter_map(installation).collect())
}

/// Item, name, epoch, version, release, architecture; dnf5 keeps names and architectures in tables.
fn nevra(row: &[Value], modern: bool, names: &Table, arches: &Table) -> Option<Nevra> {
    let [_, name, epoch, version, release, arch, ..] = row else {
        return None;
    };
    let text = |value: &Value, table: &Table| {
        if modern {
            Some(table.get(&value.number()?)?.get(1)?.text()?.to_owned())
        } else {
            Some(value.text()?.to_owned())
        }
    };
    Some(Nevra {
        name: text(name, names)?,
        epoch: u32::try_from(epoch.number()?).ok(),
        version: version.text()?.to_owned(),
        release: release.text()?.to_owned(),
        arch: Some(text(arch, arches)?),
    })
}

#[cfg(test)]
mod tests {
    use super::history;

    #[test]
    fn other_databases_have_no_history() {
        for bytes in [&b""[..], b"SQLite format 3\0", &[0; 5000]] {
            assert!(history(bytes, None).is_err());
        }
    }
}
