//! `sarif`: SARIF 2.1.0 by GitHub's ingestion rules (code scanning), also read by GitLab, Azure and
//! Jenkins: one run, a category per Dockerfile, line-hash fingerprints, help text, security severity.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    io,
};

use sarif::sarif as model;

mod advisory;

use super::{Report, Reporter, line_hash::line_hashes, notes::with_notes, view};
use crate::{
    advisory::matching::{Missing, Unmended},
    finding::Location,
    rule::Rule,
};
use view::{Item, Weight};

/// `--format sarif`
pub struct Sarif;

/// GitHub keeps 5,000 results of a run, the most severe first, and refuses more than 25,000.
const MAX_RESULTS: usize = 25_000;
/// GitHub's limit on descriptions, characters.
const MAX_DESCRIPTION: usize = 1024;
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

impl Reporter for Sarif {
    fn name(&self) -> &'static str {
        "sarif"
    }

    fn caveat(&self, report: &Report) -> Option<String> {
        let items = with_notes(report);
        let astray =
            |item: &&Item<'_>| item.finding.location.is_none() && fallback(report, item).is_none();
        let count = items.iter().filter(astray).count();
        (count > 0).then(|| {
            format!("GitHub shows no alert without a place, and {count} results have none: name the Dockerfile of the image with `--file`, or put a `plimsoll.yaml` into the repository")
        })
    }

    fn write(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, &document(report))?;
        writeln!(out)
    }
}

fn document(report: &Report) -> model::Sarif {
    let mut items = with_notes(report);
    items.sort_by_key(|item| item.weight);
    items.truncate(MAX_RESULTS);
    let (rules, index) = rules(report, &items);
    let hashes: HashMap<&str, Vec<String>> = report
        .sources
        .iter()
        .map(|s| (s.file.as_str(), line_hashes(&s.text)))
        .collect();
    let results = items
        .iter()
        .map(|item| result(report, item, &index, &hashes))
        .collect::<Vec<_>>();
    let driver = model::ToolComponent::builder()
        .name("Plimsoll")
        .semantic_version(view::VERSION)
        .version(view::VERSION)
        .information_uri(view::HOME)
        .rules(rules)
        .build();
    let category = report.dockerfile.as_deref().unwrap_or("image");
    let run = model::Run::builder()
        .tool(model::Tool::builder().driver(driver).build())
        .automation_details(
            model::RunAutomationDetails::builder()
                .id(format!("{}/{}/", view::TOOL, uri(category)))
                .build(),
        )
        .column_kind("unicodeCodePoints")
        .invocations(vec![
            model::Invocation::builder()
                .execution_successful(true)
                .end_time_utc(report.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
                .build(),
        ])
        .results(results)
        .build();
    model::Sarif::builder()
        .schema(SCHEMA)
        .version("2.1.0")
        .runs(vec![run])
        .build()
}

/// The rule table: the assessments' own rules, then one per lint; and where each id stands in it.
fn rules(
    report: &Report,
    items: &[Item<'_>],
) -> (Vec<model::ReportingDescriptor>, HashMap<String, i64>) {
    let mut table = Vec::new();
    let mut index = HashMap::new();
    let mut put = |id: &str, make: &dyn Fn() -> model::ReportingDescriptor| {
        if !index.contains_key(id) {
            index.insert(
                id.to_owned(),
                i64::try_from(table.len()).unwrap_or(i64::MAX),
            );
            table.push(make());
        }
    };
    for assessment in report.images.iter().flat_map(|image| &image.assessments) {
        put(assessment.rule.id, &|| assessment_rule(assessment.rule));
    }
    for item in items {
        put(rule_id(item), &|| match told(item) {
            Some(Told::Missing(missing)) => advisory::rule(missing),
            Some(Told::Unfixed(own)) => advisory::unfixed_rule(own),
            None => lint_rule(item),
        });
    }
    (table, index)
}

/// Alerts on one line are told apart by their rule alone, so each advisory is a rule of its own, and
/// each vulnerability without one.
fn rule_id<'a>(item: &'a Item<'_>) -> &'a str {
    match told(item) {
        Some(Told::Missing(missing)) => &missing.id,
        Some(Told::Unfixed(own)) => &own.id,
        None => item.rule,
    }
}

/// What the advisories say of a finding.
enum Told<'a> {
    Missing(&'a Missing),
    Unfixed(&'a Unmended),
}

fn told<'a>(item: &'a Item<'_>) -> Option<Told<'a>> {
    let matched = &item.image?.advisories.as_ref()?.matched;
    let id = item.finding.advisory.as_deref()?;
    let missing = matched.missing.iter().find(|own| own.id == id);
    let unfixed = || matched.unfixed.iter().find(|own| own.id == id);
    missing
        .map(Told::Missing)
        .or_else(|| unfixed().map(Told::Unfixed))
}

fn assessment_rule(rule: &Rule) -> model::ReportingDescriptor {
    let security = rule.security_severity.is_some();
    let mut properties = BTreeMap::from([("precision".to_owned(), "very-high".into())]);
    if let Some(severity) = rule.security_severity {
        properties.insert("security-severity".to_owned(), severity.into());
    } else {
        properties.insert("problem.severity".to_owned(), level_name(rule.level).into());
    }
    let tags = ["container-certification", "security"];
    let tags = tags
        .iter()
        .take(1 + usize::from(security))
        .map(ToString::to_string);
    let mut builder = descriptor(rule.id, rule.title, &view::rule_page(rule.id), rule.page);
    builder.properties = Some(bag(tags.collect(), properties));
    builder.default_configuration = Some(
        model::ReportingConfiguration::builder()
            .level(level_name(rule.level))
            .build(),
    );
    builder
}

fn level_name(level: crate::rule::Level) -> &'static str {
    match level {
        crate::rule::Level::Required => "error",
        crate::rule::Level::Warning => "warning",
    }
}

fn lint_rule(item: &Item<'_>) -> model::ReportingDescriptor {
    let help = item
        .help_uri
        .clone()
        .unwrap_or_else(|| view::HOME.to_owned());
    let text = format!("{}\n\nSee {help}", item.title);
    let mut builder = descriptor(item.rule, item.title, &help, &text);
    let severity = match item.weight {
        Weight::Error => "error",
        Weight::Warning => "warning",
        Weight::Note => "recommendation",
    };
    let properties = BTreeMap::from([
        ("precision".to_owned(), "high".into()),
        ("problem.severity".to_owned(), severity.into()),
    ]);
    builder.properties = Some(bag(vec!["dockerfile".to_owned()], properties));
    builder
}

fn bag(tags: Vec<String>, additional: BTreeMap<String, serde_json::Value>) -> model::PropertyBag {
    model::PropertyBag::builder()
        .tags(tags)
        .additional_properties(additional)
        .build()
}

fn descriptor(id: &str, title: &str, help_uri: &str, help: &str) -> model::ReportingDescriptor {
    // SARIF2012/GH: a name is the id in PascalCase; descriptions end with a full stop.
    let name: String = id
        .split(|c: char| !c.is_ascii_alphanumeric())
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| {
                first.to_uppercase().chain(letters).collect()
            })
        })
        .collect();
    let sentence = sentence(title);
    model::ReportingDescriptor::builder()
        .id(id)
        .name(cut(&name, 255))
        .short_description(text(&sentence))
        .full_description(text(&sentence))
        .help(
            model::MultiformatMessageString::builder()
                .text(help.trim())
                .markdown(help.trim())
                .build(),
        )
        .help_uri(help_uri)
        .build()
}

fn text(text: &str) -> model::MultiformatMessageString {
    model::MultiformatMessageString::builder()
        .text(cut(text, MAX_DESCRIPTION))
        .build()
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// Upper-case first letter and a full stop, as viewers of SARIF expect; its words are unchanged.
fn sentence(text: &str) -> String {
    let mut letters = text.trim_end_matches('.').chars();
    let first = letters
        .next()
        .map(|c| c.to_uppercase().to_string())
        .unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

fn result(
    report: &Report,
    item: &Item<'_>,
    rules: &HashMap<String, i64>,
    hashes: &HashMap<&str, Vec<String>>,
) -> model::Result {
    // A result without a location is not shown, so the first line of the Dockerfile, or of the
    // configuration, is the last resort.
    let location = item
        .finding
        .location
        .clone()
        .or_else(|| fallback(report, item));
    let mut fingerprints = BTreeMap::from([("plimsoll/v1".to_owned(), item.fingerprint.clone())]);
    if let Some(hash) = location.as_ref().and_then(|at| {
        hashes
            .get(at.file.as_str())?
            .get(usize::try_from(at.line.checked_sub(1)?).ok()?)
    }) {
        fingerprints.insert("primaryLocationLineHash".to_owned(), hash.clone());
    }
    let mut result = model::Result::builder()
        .rule_id(rule_id(item))
        .rule_index(rules.get(rule_id(item)).copied().unwrap_or(-1))
        .level(match item.weight {
            Weight::Error => model::ResultLevel::Error,
            Weight::Warning => model::ResultLevel::Warning,
            Weight::Note => model::ResultLevel::Note,
        })
        .message(model::Message::builder().text(message(item)).build())
        .partial_fingerprints(fingerprints)
        .build();
    result.locations = location.map(|at| vec![physical(&at)]);
    result.properties = properties(item);
    result.baseline_state = item.change.map(|change| change.as_str().into());
    result
}

pub(super) fn fallback(report: &Report, item: &Item<'_>) -> Option<Location> {
    item.image
        .and_then(|image| image.fallback.clone())
        .or_else(|| {
            let file = report.dockerfile.clone().or_else(|| report.anchor.clone());
            file.map(|file| Location {
                file,
                line: 1,
                end_line: 1,
                column: None,
                end_column: None,
            })
        })
}

/// The first sentence is the title that GitHub shows, so the finding comes first.
fn message(item: &Item<'_>) -> String {
    let finding = &item.finding;
    let mut message = sentence(&view::printable(&finding.message));
    for (what, value) in [
        (
            "Image",
            item.image.map(|image| image.image.reference.clone()),
        ),
        (
            "Path in the image",
            finding.path.as_ref().map(ToString::to_string),
        ),
        ("Layer", finding.layer.map(|layer| layer.to_string())),
        ("Package", finding.package.clone()),
        (
            match told(item) {
                Some(Told::Unfixed(_)) => "Vulnerability",
                _ => "Advisory",
            },
            finding.advisory.clone(),
        ),
    ] {
        if let Some(value) = value {
            let _ = write!(message, "\n{what}: {}", view::printable(&value));
        }
    }
    if let Some(remedy) = &finding.remedy {
        let _ = write!(message, "\n{}", sentence(&view::printable(remedy)));
    }
    if let Some(patch) = &finding.patch {
        let _ = write!(message, "\nSuggested: {patch}");
    }
    message
}

fn properties(item: &Item<'_>) -> Option<model::PropertyBag> {
    let image = item.image?;
    let mut values = BTreeMap::from([("image".to_owned(), image.image.reference.clone().into())]);
    if let Some(digest) = &image.image.digest {
        values.insert("digest".to_owned(), digest.to_string().into());
    }
    if let Some(platform) = &image.image.platform {
        values.insert("platform".to_owned(), platform.to_string().into());
    }
    Some(
        model::PropertyBag::builder()
            .additional_properties(values)
            .build(),
    )
}

fn physical(at: &Location) -> model::Location {
    let mut region = model::Region::builder()
        .start_line(i64::from(at.line))
        .end_line(i64::from(at.end_line.max(at.line)))
        .build();
    region.start_column = Some(i64::from(at.column.unwrap_or(1)));
    region.end_column = at.end_column.map(i64::from);
    let physical = model::PhysicalLocation::builder()
        .artifact_location(
            model::ArtifactLocation::builder()
                .uri(uri(&at.file))
                .build(),
        )
        .region(region)
        .build();
    model::Location::builder()
        .physical_location(physical)
        .build()
}

/// A repository-relative path as a URI reference (RFC 3986): no `./`, what is not allowed escaped.
fn uri(path: &str) -> String {
    let path = path.trim_start_matches("./");
    path.bytes()
        .fold(String::with_capacity(path.len()), |mut uri, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~/@+=,$!&'()*;".contains(&byte) {
                uri.push(char::from(byte));
            } else {
                let _ = write!(uri, "%{byte:02X}");
            }
            uri
        })
}
