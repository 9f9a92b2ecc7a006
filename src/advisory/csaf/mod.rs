//! Reads Red Hat's advisories in the Common Security Advisory Framework, 2.0 and 2.1: one document,
//! one erratum.
//!
//! Of its products only those that are `fixed` count, and of those the binary rpms; source packages
//! are left aside, other content is counted, what cannot be read is listed. The documents of single
//! vulnerabilities (VEX) are read by [`parse_vex`].

mod component;
mod document;
mod tree;
mod vex;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;

pub(super) use self::component::module_of;
pub use self::vex::{ParsedVex, parse_vex};
use self::{
    component::Component,
    document::{Csaf, Head, Text},
    tree::{Products, shortened},
};
use super::{Advisory, AdvisoryId, ArchSet, Row, Severity};

/// The largest document that is read, in bytes; the largest published one has some 35 MB.
pub const MAX_DOCUMENT: usize = 256 << 20;

/// More rows than this in one document are not believed.
pub const MAX_ROWS: usize = 1 << 18;

/// Why a document is no advisory that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// larger than [`MAX_DOCUMENT`]
    #[error("the document has {bytes} bytes, more than the {MAX_DOCUMENT} that are read")]
    TooLarge {
        /// its size
        bytes: usize,
    },
    /// not JSON, or not of CSAF's shape
    #[error("line {line}, column {column}, at `{path}`: {reason}")]
    Shape {
        /// where in the document, such as `document.tracking.id`
        path: String,
        /// from 1
        line: usize,
        /// from 1
        column: usize,
        /// what is wrong
        reason: String,
    },
    /// a version of the standard that is not known
    #[error("`document.csaf_version` is `{found}`, and 2.0 and 2.1 are read")]
    Version {
        /// what it says
        found: String,
    },
    /// about a vulnerability or something else
    #[error("`document.tracking.id` is `{id}`, which is no Red Hat advisory")]
    NotAnAdvisory {
        /// its id
        id: String,
    },
    /// about an advisory or something else
    #[error("`document.tracking.id` is `{id}`, which is no vulnerability")]
    NotAVulnerability {
        /// its id
        id: String,
    },
    /// a field that must be there is not
    #[error("`{path}` is missing")]
    Missing {
        /// the field
        path: &'static str,
    },
    /// a field holds something unexpected
    #[error("`{path}` is `{value}`, which is no {expected}")]
    Value {
        /// the field
        path: String,
        /// what it holds
        value: String,
        /// what was expected
        expected: &'static str,
    },
    /// more than [`MAX_ROWS`]
    #[error("the document has more than {MAX_ROWS} fixed packages")]
    TooManyRows,
}

/// Something in a document that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// the product's id, shortened
    pub product: String,
    /// what is wrong with it
    pub reason: String,
}

/// What a document says, and what of it was not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// the advisory
    pub advisory: Advisory,
    /// source packages
    pub aside: usize,
    /// fixed products that are no rpms: images, archives, modules
    pub other: usize,
    /// fixed products that could not be read, by id
    pub faults: Vec<Fault>,
}

/// Reads one document.
pub fn parse(json: &[u8]) -> Result<Parsed, ParseError> {
    if json.len() > MAX_DOCUMENT {
        return Err(ParseError::TooLarge { bytes: json.len() });
    }
    let csaf: Csaf<'_> =
        serde_json::from_slice(json).map_err(|error| shape::<Csaf<'_>>(json, &error))?;
    let head = &csaf.document;
    version(head)?;
    let id: AdvisoryId = head
        .tracking
        .id
        .parse()
        .map_err(|_| ParseError::NotAnAdvisory {
            id: shortened(&head.tracking.id),
        })?;
    let initial = date(
        head.tracking.initial_release_date.as_deref(),
        "document.tracking.initial_release_date",
    )?;
    let revised = date(
        head.tracking.current_release_date.as_deref(),
        "document.tracking.current_release_date",
    )?;
    let cves = csaf
        .vulnerabilities
        .iter()
        .filter_map(|of| of.cve.as_deref());
    let title = head.title.as_deref().unwrap_or_default();
    let mut parsed = Parsed {
        advisory: Advisory {
            severity: severity(&csaf)?,
            released: shipped(&csaf)?.unwrap_or(initial),
            revised,
            title: without_kind(title, &id),
            cves: cves.map(shortened).collect(),
            rows: Vec::new(),
            id,
        },
        aside: 0,
        other: 0,
        faults: Vec::new(),
    };
    rows(&csaf, &modules_in(title), &mut parsed)?;
    Ok(parsed)
}

fn version(head: &Head<'_>) -> Result<(), ParseError> {
    match head.csaf_version.as_deref() {
        Some("2.0" | "2.1") => Ok(()),
        found => Err(ParseError::Version {
            found: shortened(found.unwrap_or("missing")),
        }),
    }
}

/// Says where the shape is wrong. It reads the document once more, because keeping track of the place
/// is slower than reading.
fn shape<'a, T: serde::Deserialize<'a>>(json: &'a [u8], first: &serde_json::Error) -> ParseError {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let path = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(error) => error.path().to_string(),
        Ok(_) => ".".to_owned(),
    };
    ParseError::Shape {
        path: shortened(&path),
        line: first.line(),
        column: first.column(),
        reason: shortened(&first.to_string()),
    }
}

fn date(text: Option<&str>, path: &'static str) -> Result<Timestamp, ParseError> {
    let text = text.ok_or(ParseError::Missing { path })?;
    text.parse().map_err(|_| ParseError::Value {
        path: path.to_owned(),
        value: shortened(text),
        expected: "date and time with offset",
    })
}

/// The aggregate severity, when the document has one.
fn aggregate(head: &Head<'_>) -> Result<Option<Severity>, ParseError> {
    let aggregate = head.aggregate_severity.as_ref();
    let Some(text) = aggregate.and_then(|severity| severity.text.as_deref()) else {
        return Ok(None);
    };
    let known = Severity::parse(text).ok_or_else(|| ParseError::Value {
        path: "document.aggregate_severity.text".to_owned(),
        value: shortened(text),
        expected: "severity such as `Important`",
    });
    known.map(Some)
}

/// The aggregate severity grades. A few documents have none; then the worst impact does.
fn severity(csaf: &Csaf<'_>) -> Result<Severity, ParseError> {
    if let Some(severity) = aggregate(&csaf.document)? {
        return Ok(severity);
    }
    let threats = csaf.vulnerabilities.iter().flat_map(|of| &of.threats);
    let impacts = threats.filter(|threat| &*threat.category == "impact");
    let known = impacts.filter_map(|impact| Severity::parse(impact.details.as_deref()?));
    Ok(known.max().unwrap_or(Severity::None))
}

/// The earliest date of a fix. Many documents date none.
fn shipped(csaf: &Csaf<'_>) -> Result<Option<Timestamp>, ParseError> {
    let mut dates = HashSet::new();
    for remediation in csaf.vulnerabilities.iter().flat_map(|of| &of.remediations) {
        if &*remediation.category == "vendor_fix" {
            dates.extend(remediation.date.as_deref());
        }
    }
    let path = "vulnerabilities[].remediations[].date";
    let read = dates.into_iter().map(|text| date(Some(text), path));
    read.collect::<Result<BTreeSet<_>, _>>()
        .map(|dates| dates.first().copied())
}

/// `Red Hat Security Advisory: ` and `RHSA-2019:3583: ` say nothing that the id does not.
fn without_kind(title: &str, id: &AdvisoryId) -> String {
    let known = title
        .split_once(": ")
        .filter(|(kind, _)| kind.ends_with(" Advisory") || *kind == id.as_str());
    known
        .map_or(title, |(_, rest)| rest)
        .chars()
        .take(300)
        .collect()
}

/// Documents of 2020 name a module in their title alone: `virt:rhel security and bug fix update`.
fn modules_in(title: &str) -> Vec<String> {
    let words = title.split([' ', ',', ';']);
    let labels = words.filter(|word| {
        word.split_once(':').is_some_and(|(name, stream)| {
            let good = |part: &str| {
                !part.is_empty()
                    && part
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte))
            };
            good(name) && good(stream)
        })
    });
    let labels: BTreeSet<_> = labels.map(str::to_owned).collect();
    labels.into_iter().take(8).collect()
}

fn rows(csaf: &Csaf<'_>, title_modules: &[String], to: &mut Parsed) -> Result<(), ParseError> {
    let products = Products::of(&csaf.product_tree);
    let mut seen: HashSet<&Text<'_>> = HashSet::new();
    let mut folded: BTreeMap<Row, ArchSet> = BTreeMap::new();
    for id in csaf
        .vulnerabilities
        .iter()
        .flat_map(|of| &of.product_status.fixed)
    {
        if !seen.insert(id) {
            continue;
        }
        for row in rows_of(&products, id, title_modules, to) {
            let arches = row.arches;
            let set = folded
                .entry(Row {
                    arches: ArchSet::default(),
                    ..row
                })
                .or_default();
            *set = set.union(arches);
        }
        if folded.len() > MAX_ROWS {
            return Err(ParseError::TooManyRows);
        }
    }
    let unfold = |(row, arches)| Row { arches, ..row };
    to.advisory.rows = folded.into_iter().map(unfold).collect();
    Ok(())
}

/// The rows of one fixed product: none or one, or one for each module that the title names.
fn rows_of(
    products: &Products<'_>,
    id: &str,
    title_modules: &[String],
    to: &mut Parsed,
) -> Vec<Row> {
    let mut fault = |reason: String| {
        to.faults.push(Fault {
            product: shortened(id),
            reason,
        });
        Vec::new()
    };
    let resolved = match products.resolve(id) {
        Ok(resolved) => resolved,
        Err(why) => return fault(why.to_string()),
    };
    let rpm = match resolved.component {
        Some(Component::Rpm(rpm)) => rpm,
        Some(Component::Aside) => {
            to.aside += 1;
            return Vec::new();
        }
        Some(Component::Other | Component::Module(_)) | None => {
            to.other += 1;
            return Vec::new();
        }
    };
    let Some(cpe) = resolved.cpe else {
        return fault("no product with a CPE has it".to_owned());
    };
    let modules = match rpm.module.or(resolved.module) {
        Some(module) => vec![Some(module)],
        None if !rpm.fixed.release.contains(".module") => vec![None],
        None if title_modules.is_empty() => {
            return fault("its release is a module's, and no module is named".to_owned());
        }
        None => title_modules.iter().cloned().map(Some).collect(),
    };
    let row = |module| Row {
        name: rpm.name.clone(),
        module,
        cpe: shortened(cpe),
        fixed: rpm.fixed.clone(),
        arches: rpm.arches,
    };
    modules.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests;
