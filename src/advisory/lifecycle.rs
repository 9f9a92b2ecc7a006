//! When products and module streams go out of life.

use std::collections::BTreeSet;

use jiff::civil::Date;

/// Dates with their sources, as data.
const TABLE: &str = include_str!("lifecycle.tsv");

/// The last day of something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndOfLife {
    /// `redhat:openstack:16.0`, as [`super::Cpe::key`] writes it; or for a module stream the major
    /// version of RHEL and the label, `el8/ruby:2.5`
    pub product: String,
    /// what people call it
    pub name: String,
    /// last day on which it is supported
    pub last_day: Date,
    /// where the date comes from
    pub source: String,
}

/// A line of a life-cycle table that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line} of the life-cycle table is not `product, name, YYYY-MM-DD, source`, separated by tabs"
)]
pub struct NotALifeCycle {
    /// from 1
    pub line: usize,
}

/// The dates that come with this version.
pub fn known_ends_of_life() -> Result<BTreeSet<EndOfLife>, NotALifeCycle> {
    ends_of_life(TABLE)
}

/// Reads a table: tab-separated product, name, last day, source; `#` begins a comment line.
pub fn ends_of_life(table: &str) -> Result<BTreeSet<EndOfLife>, NotALifeCycle> {
    let lines = (1..)
        .zip(table.lines())
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let read = |(number, line): (usize, &str)| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [product, name, last_day, source] = fields[..] else {
            return Err(NotALifeCycle { line: number });
        };
        Ok(EndOfLife {
            product: product.to_owned(),
            name: name.to_owned(),
            last_day: last_day
                .parse()
                .map_err(|_| NotALifeCycle { line: number })?,
            source: source.to_owned(),
        })
    };
    lines.map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_that_comes_along_is_readable_and_names_each_product_once() {
        let ends = known_ends_of_life().expect("the table");
        let products: BTreeSet<_> = ends.iter().map(|end| &end.product).collect();
        assert_eq!(products.len(), ends.len());
        assert!(ends.iter().all(|end| end.source.starts_with("https://")));
    }

    #[test]
    fn broken_lines_are_told() {
        for bad in [
            "x",
            "a\tb\t2024-13-01\thttps://x",
            "a\tb\tMay 2024\thttps://x",
            "# c\n\na\tb\t2024-01-01",
        ] {
            assert!(ends_of_life(bad).is_err(), "{bad}");
        }
        assert_eq!(ends_of_life("# c\n\nbad").expect_err("a bad line").line, 3);
    }
}
