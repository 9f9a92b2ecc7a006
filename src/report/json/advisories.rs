//! The part of the contract that comes from the advisory database.

use schemars::JsonSchema;
use serde::Serialize;

use super::LocationDocument;
use crate::{
    advisory::{
        AdvisoryKind,
        grade::{Health, Span},
        matching::{Affected, Basis, Concerned, Missing, Unmended},
    },
    report::{
        Change, ImageReport, Report,
        errata::{self, Erratum, Lacking, day, errata},
    },
    subject::{AdvisoryFacts, Fact},
};

#[derive(Serialize, JsonSchema, Default)]
pub(super) struct Graded {
    /// Container Health Index `A` to `F`, `Unknown`, or null when it was not assessed
    grade: Option<String>,
    /// why the grade is `Unknown`
    grade_reason: Option<String>,
    /// date the grade is of, `YYYY-MM-DD`, UTC
    grade_as_of: Option<String>,
    /// the next drop of the grade if nothing is done; null when none is known
    next_drop: Option<Drop>,
    /// grades to come if nothing is done
    timeline: Vec<GradeSpan>,
    /// advisories that are not applied, of every severity; Critical and Important ones count
    advisories: Vec<AdvisoryDocument>,
    /// vulnerabilities that concern installed packages and that no advisory mends, the worst first; they
    /// do not lower the grade
    unfixed: Vec<Unfixed>,
    /// advisories of the main stream for what the image's own stream (EUS and its like) has no advisory
    /// for, the worst first; they do not lower the grade
    main_stream: Vec<MainStream>,
    /// what was judged by; null when it was not assessed
    advisory_data: Option<Data>,
    /// the base image as it is today; null when advisories were not assessed
    current_base: Option<CurrentBase>,
    /// grade and advisories beside those of the baseline; null without one
    advisory_baseline: Option<Before>,
}

#[derive(Serialize, JsonSchema)]
struct GradeSpan {
    grade: String,
    /// first day, `YYYY-MM-DD`
    from: String,
    /// first day of the next grade, or null
    until: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Drop {
    grade: String,
    /// first day, `YYYY-MM-DD`
    on: String,
}

#[derive(Serialize, JsonSchema)]
struct AdvisoryDocument {
    id: String,
    /// `security`, `bugfix` or `enhancement`
    kind: &'static str,
    severity: String,
    /// when the fix was shipped, RFC 3339, UTC
    released: String,
    /// whole days from then to the day of the grade; negative for one that is not out yet by then
    age_days: i64,
    title: String,
    /// Red Hat's page about it
    url: String,
    cves: Vec<String>,
    packages: Vec<AdvisoryPackage>,
    /// `new` or `unchanged` against the baseline; null without one
    change: Option<&'static str>,
}

#[derive(Serialize, JsonSchema)]
struct AdvisoryPackage {
    name: String,
    arch: Option<String>,
    /// `[epoch:]version-release`
    installed: String,
    /// the first build with the fix
    fixed: String,
    layer: Option<u32>,
    /// the line that brought the package
    location: Option<LocationDocument>,
    /// CPE of the product that ships the fix
    product: String,
    /// whether the current base image has the fix: `fixed`, `not_fixed`, `not_installed`, `unknown`
    current_base: &'static str,
}

#[derive(Serialize, JsonSchema)]
struct Unfixed {
    id: String,
    severity: String,
    /// when it became public, RFC 3339, UTC
    published: String,
    title: String,
    /// Red Hat's page about it
    url: String,
    /// what can be done without a fix, or null
    workaround: Option<String>,
    packages: Vec<UnfixedPackage>,
}

#[derive(Serialize, JsonSchema)]
struct UnfixedPackage {
    name: String,
    arch: Option<String>,
    /// `[epoch:]version-release`
    installed: String,
    layer: u32,
    /// `affected`, `fix deferred`, `will not fix`, `out of support scope`, `under investigation`
    status: &'static str,
    /// CPE of the product it is said of
    product: String,
}

#[derive(Serialize, JsonSchema)]
struct MainStream {
    id: String,
    severity: String,
    /// when the fix was shipped, RFC 3339, UTC
    released: String,
    title: String,
    /// Red Hat's page about it
    url: String,
    cves: Vec<String>,
    packages: Vec<MainStreamPackage>,
}

#[derive(Serialize, JsonSchema)]
struct MainStreamPackage {
    name: String,
    arch: Option<String>,
    /// `[epoch:]version-release`
    installed: String,
    /// the first build of the main stream with the fix
    fixed: String,
    layer: u32,
    /// CPE of the product that ships the fix
    product: String,
}

#[derive(Serialize, JsonSchema)]
struct Data {
    /// the time that the data is of, RFC 3339, UTC
    as_of: String,
    source: String,
    /// how many advisories there are
    advisories: usize,
    packages_scanned: usize,
    /// packages that are not Red Hat's
    packages_not_scanned: usize,
    /// what the packages come from
    products: Vec<ProductDocument>,
    /// life-cycle dates of what is in use
    ends_of_life: Vec<End>,
    /// what was unclear
    notes: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct ProductDocument {
    cpe: String,
    /// nothing in the image says so
    assumed: bool,
}

#[derive(Serialize, JsonSchema)]
struct End {
    name: String,
    /// last day on which it is supported, `YYYY-MM-DD`
    last_day: String,
}

#[derive(Serialize, JsonSchema, Default)]
struct CurrentBase {
    reference: Option<String>,
    digest: Option<String>,
    /// the image is built on it
    built_on: Option<bool>,
    /// why it is not known
    reason: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Before {
    grade: Option<String>,
    /// advisories that the baseline had applied or that did not exist yet
    new: Vec<String>,
    /// advisories that are applied by now
    fixed: Vec<String>,
}

pub(super) fn graded(report: &Report, image: &ImageReport) -> Graded {
    let Some(facts) = &image.advisories else {
        return Graded::default();
    };
    let (grade, reason, timeline) = match &facts.health {
        Health::Graded { grade, timeline } => (grade.to_string(), None, timeline.as_slice()),
        Health::Unknown(why) => ("Unknown".to_owned(), Some(why.to_string()), [].as_slice()),
    };
    let span = |span: &Span| GradeSpan {
        grade: span.grade.to_string(),
        from: day(span.start).to_string(),
        until: span.end.map(|end| day(end).to_string()),
    };
    let errata = errata(report, image);
    Graded {
        grade: Some(grade),
        grade_reason: reason,
        grade_as_of: Some(day(facts.as_of.timestamp()).to_string()),
        next_drop: facts.health.next_drop().map(|(at, grade)| Drop {
            grade: grade.to_string(),
            on: day(at).to_string(),
        }),
        timeline: timeline.iter().map(span).collect(),
        advisory_data: Some(data(facts)),
        current_base: Some(current_base(facts)),
        advisory_baseline: before(report, image, &errata),
        advisories: errata.iter().map(advisory).collect(),
        unfixed: facts.matched.unfixed.iter().map(unfixed).collect(),
        main_stream: facts.matched.main_stream.iter().map(main_stream).collect(),
    }
}

fn main_stream(own: &Missing) -> MainStream {
    let package = |it: &Affected| MainStreamPackage {
        name: it.installed.name.clone(),
        arch: it.installed.arch.clone(),
        installed: errata::evr(&it.installed),
        fixed: it.fixed.to_string(),
        layer: it.layer.0,
        product: it.product.clone(),
    };
    MainStream {
        id: own.id.clone(),
        severity: own.severity.to_string(),
        released: own.released.to_string(),
        title: own.title.clone(),
        url: errata::page(&own.id),
        cves: own.cves.clone(),
        packages: own.packages.iter().map(package).collect(),
    }
}

fn unfixed(own: &Unmended) -> Unfixed {
    let package = |it: &Concerned| UnfixedPackage {
        name: it.installed.name.clone(),
        arch: it.installed.arch.clone(),
        installed: errata::evr(&it.installed),
        layer: it.layer.0,
        status: it.stance.as_str(),
        product: it.product.clone(),
    };
    Unfixed {
        id: own.id.clone(),
        severity: own.severity.to_string(),
        published: own.published.to_string(),
        title: own.title.clone(),
        url: errata::cve_page(&own.id),
        workaround: Some(own.workaround.clone()).filter(|text| !text.is_empty()),
        packages: own.packages.iter().map(package).collect(),
    }
}

fn data(facts: &AdvisoryFacts) -> Data {
    let matched = &facts.matched;
    Data {
        as_of: facts.data.to_string(),
        source: facts.source.clone(),
        advisories: facts.advisories,
        packages_scanned: matched.scanned,
        packages_not_scanned: matched.not_scanned.len(),
        products: matched
            .products
            .iter()
            .map(|product| ProductDocument {
                cpe: product.cpe.clone(),
                assumed: product.basis == Basis::Assumed,
            })
            .collect(),
        ends_of_life: matched
            .ends_of_life
            .iter()
            .map(|end| End {
                name: end.name.clone(),
                last_day: end.last_day.to_string(),
            })
            .collect(),
        notes: matched.notes.clone(),
    }
}

fn current_base(facts: &AdvisoryFacts) -> CurrentBase {
    match &facts.base {
        Fact::Known(base) => CurrentBase {
            reference: Some(base.reference.clone()),
            digest: Some(base.digest.to_string()),
            built_on: Some(base.built_on),
            reason: None,
        },
        Fact::Unmet(reason) => CurrentBase {
            reason: Some(reason.clone()),
            ..CurrentBase::default()
        },
    }
}

fn before(report: &Report, image: &ImageReport, errata: &[Erratum<'_>]) -> Option<Before> {
    let baseline = report.baseline.as_ref()?;
    let new = errata
        .iter()
        .filter(|erratum| erratum.change == Some(Change::New))
        .map(|erratum| erratum.missing.id.clone());
    let fixed = baseline.applied(image, report).into_iter();
    Some(Before {
        grade: baseline.grade(image, report).map(str::to_owned),
        new: new.collect(),
        fixed: fixed.map(str::to_owned).collect(),
    })
}

fn advisory(erratum: &Erratum<'_>) -> AdvisoryDocument {
    let missing = erratum.missing;
    AdvisoryDocument {
        id: missing.id.clone(),
        kind: kind(missing.kind),
        severity: missing.severity.to_string(),
        released: missing.released.to_string(),
        age_days: erratum.age,
        title: missing.title.clone(),
        url: errata::page(&missing.id),
        cves: missing.cves.clone(),
        packages: erratum.packages.iter().map(package).collect(),
        change: erratum.change.map(Change::as_str),
    }
}

fn package(lacking: &Lacking<'_>) -> AdvisoryPackage {
    let affected = lacking.affected;
    AdvisoryPackage {
        name: affected.installed.name.clone(),
        arch: affected.installed.arch.clone(),
        installed: lacking.installed(),
        fixed: affected.fixed.to_string(),
        layer: Some(affected.layer.0),
        location: lacking.location.as_ref().map(LocationDocument::of),
        product: affected.product.clone(),
        current_base: lacking.base_code(),
    }
}

fn kind(kind: AdvisoryKind) -> &'static str {
    match kind {
        AdvisoryKind::Security => "security",
        AdvisoryKind::Bugfix => "bugfix",
        AdvisoryKind::Enhancement => "enhancement",
    }
}
