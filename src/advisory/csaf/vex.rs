//! Reads the documents of single vulnerabilities (VEX), of both generations Red Hat has published:
//! nested by family and architecture with binary packages, and flat by minor stream with source
//! packages. Nothing here asks which one it is.
//!
//! What is fixed is left to the advisories. Of the rest only rpms count; builds that are named not
//! affected because they were shipped beside a fix say nothing of a product, and are left aside.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;

use super::{
    MAX_DOCUMENT, MAX_ROWS, ParseError,
    component::concerned,
    date,
    document::{Head, Text, Threat, Tree},
    tree::{Products, shortened},
};
use crate::advisory::{CveId, Named, Severity, Stance, Statement, Vulnerability};

/// Longest text about what to do that is kept, characters.
const MAX_WORKAROUND: usize = 2_000;

#[derive(Deserialize)]
struct Vex<'a> {
    #[serde(borrow)]
    document: Head<'a>,
    #[serde(borrow, default)]
    product_tree: Tree<'a>,
    #[serde(borrow, default)]
    vulnerabilities: Vec<About<'a>>,
}

#[derive(Deserialize)]
struct About<'a> {
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow, default)]
    product_status: Status<'a>,
    #[serde(borrow, default)]
    remediations: Vec<Remedy<'a>>,
    #[serde(borrow, default)]
    flags: Vec<Flag<'a>>,
    #[serde(borrow, default)]
    threats: Vec<Impact<'a>>,
}

#[derive(Deserialize, Default)]
struct Status<'a> {
    #[serde(borrow, default)]
    known_affected: Vec<Text<'a>>,
    #[serde(borrow, default)]
    known_not_affected: Vec<Text<'a>>,
    #[serde(borrow, default)]
    under_investigation: Vec<Text<'a>>,
}

#[derive(Deserialize)]
struct Remedy<'a> {
    #[serde(borrow)]
    category: Text<'a>,
    #[serde(borrow)]
    details: Option<Text<'a>>,
    #[serde(borrow, default)]
    product_ids: Vec<Text<'a>>,
}

#[derive(Deserialize)]
struct Flag<'a> {
    #[serde(borrow)]
    label: Text<'a>,
    #[serde(borrow, default)]
    product_ids: Vec<Text<'a>>,
}

#[derive(Deserialize)]
struct Impact<'a> {
    #[serde(borrow, flatten)]
    threat: Threat<'a>,
    #[serde(borrow, default)]
    product_ids: Vec<Text<'a>>,
}

/// What a document says, and what of it was not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedVex {
    /// the vulnerability
    pub vulnerability: Vulnerability,
    /// products that are no rpms, debuginfo packages, builds beside a fix
    pub aside: usize,
    /// products that could not be read, by id
    pub faults: Vec<super::Fault>,
}

/// Reads one document.
pub fn parse_vex(json: &[u8]) -> Result<ParsedVex, ParseError> {
    if json.len() > MAX_DOCUMENT {
        return Err(ParseError::TooLarge { bytes: json.len() });
    }
    let vex: Vex<'_> =
        serde_json::from_slice(json).map_err(|error| super::shape::<Vex<'_>>(json, &error))?;
    let head = &vex.document;
    super::version(head)?;
    let tracking = &head.tracking;
    let id: CveId = tracking
        .id
        .parse()
        .map_err(|_| ParseError::NotAVulnerability {
            id: shortened(&tracking.id),
        })?;
    let published = date(
        tracking.initial_release_date.as_deref(),
        "document.tracking.initial_release_date",
    )?;
    let revised = date(
        tracking.current_release_date.as_deref(),
        "document.tracking.current_release_date",
    )?;
    let abouts = &vex.vulnerabilities;
    let title = abouts.iter().find_map(|about| about.title.as_deref());
    let title = title.or(head.title.as_deref()).unwrap_or_default();
    let mut parsed = ParsedVex {
        vulnerability: Vulnerability {
            severity: severity(&vex)?,
            published,
            revised,
            title: title.chars().take(300).collect(),
            workaround: workaround(abouts),
            statements: Vec::new(),
            id,
        },
        aside: 0,
        faults: Vec::new(),
    };
    let products = Products::of(&vex.product_tree);
    let mut found = BTreeSet::new();
    for about in abouts {
        statements(about, &products, &mut parsed, &mut found)?;
    }
    parsed.vulnerability.statements = found.into_iter().collect();
    Ok(parsed)
}

fn severity(vex: &Vex<'_>) -> Result<Severity, ParseError> {
    if let Some(severity) = super::aggregate(&vex.document)? {
        return Ok(severity);
    }
    let impacts = vex.vulnerabilities.iter().flat_map(|about| &about.threats);
    let known = impacts.filter_map(impact);
    Ok(known.max().unwrap_or(Severity::None))
}

fn impact(of: &Impact<'_>) -> Option<Severity> {
    let about = &*of.threat.category == "impact";
    Severity::parse(of.threat.details.as_deref().filter(|_| about)?)
}

fn workaround(abouts: &[About<'_>]) -> String {
    let all = abouts.iter().flat_map(|about| &about.remediations);
    let own: BTreeSet<&str> = all
        .filter(|remedy| &*remedy.category == "workaround")
        .filter_map(|remedy| remedy.details.as_deref())
        .filter(|text| !tells_of_none(text))
        .collect();
    let own: Vec<&str> = own.into_iter().collect();
    own.join("\n").chars().take(MAX_WORKAROUND).collect()
}

/// Half of Red Hat's workarounds say that there is none.
fn tells_of_none(text: &str) -> bool {
    const BEGINNINGS: [&str; 4] = [
        "Mitigation for this issue is either not available",
        "There is no mitigation",
        "There is currently no known mitigation",
        "No mitigation is currently available",
    ];
    let text = text.trim_start();
    BEGINNINGS.iter().any(|none| text.starts_with(none))
}

/// What the document says of each product besides its status.
struct Said<'a> {
    outlook: HashMap<&'a str, Stance>,
    flags: HashMap<&'a str, Stance>,
    severities: BTreeMap<&'a str, Severity>,
}

impl<'a> Said<'a> {
    fn of(about: &'a About<'a>) -> Self {
        let mut said = Self {
            outlook: HashMap::new(),
            flags: HashMap::new(),
            severities: BTreeMap::new(),
        };
        for remedy in &about.remediations {
            if let Some(stance) = outlook(remedy) {
                let ids = remedy.product_ids.iter().map(|id| (&**id, stance));
                said.outlook.extend(ids);
            }
        }
        for flag in &about.flags {
            let stance = Stance::of_flag(&flag.label);
            said.flags
                .extend(flag.product_ids.iter().map(|id| (&**id, stance)));
        }
        for of in &about.threats {
            if let Some(severity) = impact(of) {
                let ids = of.product_ids.iter().map(|id| (&**id, severity));
                said.severities.extend(ids);
            }
        }
        said
    }
}

/// Categories are CSAF's, details are Red Hat's.
fn outlook(remedy: &Remedy<'_>) -> Option<Stance> {
    let details = remedy.details.as_deref().unwrap_or_default();
    match (&*remedy.category, details) {
        ("no_fix_planned", "Out of support scope") => Some(Stance::OutOfSupport),
        ("no_fix_planned", _) => Some(Stance::WillNotFix),
        ("none_available" | "fix_planned", "Fix deferred") => Some(Stance::Deferred),
        ("none_available" | "fix_planned", _) => Some(Stance::Affected),
        _ => None,
    }
}

fn statements(
    about: &About<'_>,
    products: &Products<'_>,
    parsed: &mut ParsedVex,
    found: &mut BTreeSet<Statement>,
) -> Result<(), ParseError> {
    let said = Said::of(about);
    let status = &about.product_status;
    let affected = status.known_affected.iter().map(|id| {
        let outlook = said.outlook.get(&**id).copied();
        (id, outlook.unwrap_or(Stance::Affected))
    });
    let not = status.known_not_affected.iter().map(|id| {
        let flag = said.flags.get(&**id).copied();
        (id, flag.unwrap_or(Stance::NotAffected))
    });
    let open = status.under_investigation.iter();
    let open = open.map(|id| (id, Stance::Investigated));
    for (id, stance) in affected.chain(not).chain(open) {
        let aggregate = parsed.vulnerability.severity;
        let severity = said.severities.get(&**id).copied().unwrap_or(aggregate);
        match statement(id, stance, severity, products) {
            Ok(Some(statement)) => {
                found.insert(statement);
            }
            Ok(None) => parsed.aside += 1,
            Err(reason) => parsed.faults.push(super::Fault {
                product: shortened(id),
                reason,
            }),
        }
        if found.len() > MAX_ROWS {
            return Err(ParseError::TooManyRows);
        }
    }
    Ok(())
}

fn statement(
    id: &str,
    stance: Stance,
    severity: Severity,
    products: &Products<'_>,
) -> Result<Option<Statement>, String> {
    let parts = products.parts(id).map_err(|why| why.to_string())?;
    let Some(concerned) = concerned(parts.purl, parts.leaf)
        .map_err(|_| format!("`{}` is no readable name of an rpm", shortened(id)))?
    else {
        return Ok(None);
    };
    if stance.is_not_affected() && concerned.until.is_some() && concerned.named == Named::Binary {
        return Ok(None);
    }
    let Some(cpe) = parts.cpe else {
        return Err("no product with a CPE has it".to_owned());
    };
    Ok(Some(Statement {
        name: concerned.name,
        named: concerned.named,
        module: concerned.module.or(parts.module),
        cpe: shortened(cpe),
        stance,
        severity,
        until: concerned.until,
    }))
}
