//! `plimsoll advisories for`: what one image or list of packages lacks, its grade, and when that will
//! drop.
//!
//! Layers are read only when the package list of this very image is not kept in the cache directory.

use std::{io::Read as _, path::Path};

use super::{list, update::open};
use crate::{
    advisory::{
        Severity,
        grade::{AsOf, Grade, Health},
        matching::{Detail, Evidence, LayerEvidence},
    },
    config::{Environment, cli::ForArgs},
    error::Error,
    gather::{self, Advisories, PackageCache, PackageList, Reach},
    inventory::{Quiet, ScanOptions},
    layout::Transport,
    oci::{Platform, PlatformError, ResolvedImage, resolve},
    progress::Console,
    report::{ImageIdentity, ImageReport, Json, Report, ReportKind, Reporter, Table},
    subject::Fact,
};

/// What was asked.
pub(in crate::command) struct For<'a> {
    pub(in crate::command) args: &'a ForArgs,
    /// `--format`
    pub(in crate::command) format: &'a [String],
    pub(in crate::command) directory: &'a Path,
    pub(in crate::command) as_of: AsOf,
    pub(in crate::command) color: bool,
    pub(in crate::command) now: jiff::Timestamp,
    /// what was unclear is told here
    pub(in crate::command) console: &'a Console,
}

/// The list, for standard output.
pub(in crate::command) fn for_image(
    wanted: &For<'_>,
    environment: &Environment,
    reach: &Reach,
) -> Result<Vec<u8>, Error> {
    let table = Table {
        color: wanted.color,
    };
    let reporter: &dyn Reporter = match wanted.format {
        [] => &table,
        [only] if only == "table" => &table,
        [only] if only == "json" => &Json,
        _ => {
            return Err(super::usage(
                "`advisories for` writes one list, as `table` or `json`",
                "`plimsoll scan` writes every other format",
            ));
        }
    };
    let named = wanted.args.database.file.as_ref();
    let path = named.map(|path| wanted.directory.join(path));
    let path = path.or_else(|| super::database_path(environment));
    let cache = if wanted.args.no_cache {
        PackageCache::default()
    } else {
        super::package_cache(environment)
    };
    let advisories = Advisories::read(path.as_deref(), wanted.as_of, cache, Detail::Missing);
    if let Fact::Unmet(reason) = &advisories.file {
        return Err(super::usage(reason.clone(), ""));
    }
    let images = match &wanted.args.list.packages {
        Some(path) => vec![listed(wanted, path, &advisories)?],
        None => images(wanted, &advisories, reach)?,
    };
    for facts in images.iter().filter_map(|image| image.advisories.as_ref()) {
        for note in &facts.matched.notes {
            wanted.console.warn(note);
        }
    }
    let is_a = |image: &ImageReport| {
        let facts = image.advisories.as_ref();
        facts.is_some_and(
            |facts| matches!(&facts.health, Health::Graded { grade, .. } if *grade == Grade::A),
        )
    };
    let report = Report {
        kind: ReportKind::Advisories,
        passed: images.iter().all(is_a),
        images,
        lints: Vec::new(),
        sources: Vec::new(),
        dockerfile: None,
        pushed: None,
        created: wanted.now,
        documented: wanted.as_of.timestamp(),
        baseline: None,
        anchor: None,
    };
    let mut text = Vec::new();
    reporter
        .write(&report, &mut text)
        .map_err(|source| Error::Report {
            what: "to standard output".to_owned(),
            source,
        })?;
    Ok(text)
}

fn images(
    wanted: &For<'_>,
    advisories: &Advisories,
    reach: &Reach,
) -> Result<Vec<ImageReport>, Error> {
    let usage = |text: String| super::usage(text, "");
    let name = wanted.args.image.as_deref().unwrap_or_default();
    let transport: Transport = name
        .parse()
        .map_err(|error: crate::layout::TransportError| usage(error.to_string()))?;
    let opened = gather::open(&transport, reach)?;
    let platforms = wanted.args.platform.iter().map(|text| text.parse());
    let platforms: Vec<Platform> = platforms
        .collect::<Result<_, PlatformError>>()
        .map_err(|error| usage(error.to_string()))?;
    let mut found: Vec<ResolvedImage> = Vec::new();
    if platforms.is_empty() {
        found = resolve(opened.source(), None)?.images;
    }
    for platform in &platforms {
        found.extend(resolve(opened.source(), Some(platform))?.images);
    }
    let options = ScanOptions {
        cancel: reach.registry.cancel.clone(),
        ..ScanOptions::default()
    };
    let report = |image: &ResolvedImage| {
        let list = PackageList::read(opened.source(), image, &advisories.cache, &options, &Quiet)?;
        let count = match &list {
            Fact::Known(list) => list.packages(),
            Fact::Unmet(reason) => return Err(usage(format!("{name}: {reason}"))),
        };
        let identity = ImageIdentity {
            reference: name.to_owned(),
            digest: Some(image.descriptor.digest().clone()),
            config_digest: Some(image.manifest.config().digest().clone()),
            platform: Some(image.platform.clone()),
            tag: transport.tag(),
        };
        judged(identity, list, count, advisories)
    };
    found.iter().map(report).collect()
}

/// A package list beside the advisories.
fn judged(
    image: ImageIdentity,
    list: Fact<PackageList>,
    count: usize,
    advisories: &Advisories,
) -> Result<ImageReport, Error> {
    match advisories.facts(list, MAX_AGE, Severity::Important) {
        Fact::Known(facts) => Ok(ImageReport {
            image,
            assessments: Vec::new(),
            packages_count: Some(count),
            advisories: Some(facts),
            contents: None,
            base: None,
            fallback: None,
            timings: Vec::new(),
        }),
        Fact::Unmet(reason) => Err(super::usage(reason, "")),
    }
}

/// The packages of a list.
fn listed(wanted: &For<'_>, path: &Path, advisories: &Advisories) -> Result<ImageReport, Error> {
    let args = &wanted.args.list;
    let name = path.display().to_string();
    let wrong = |why: String| super::usage(format!("{name}: {why}"), "");
    let defaults = list::Defaults {
        arch: args.arch.as_deref(),
        assume_signed: args.assume_signed,
    };
    let installed = list::packages(&read(wanted, path)?, &defaults).map_err(wrong)?;
    let mut streams = Vec::new();
    for path in &args.modules {
        streams.extend(gather::streams(&read(wanted, path)?));
    }
    let named = args
        .release
        .as_deref()
        .or_else(|| list::release(&installed));
    if named.is_none() && args.repository.is_empty() && args.cpe.is_none() {
        return Err(super::usage(
            format!(
                "{name} has no package `redhat-release`, so that nothing says of which release it is"
            ),
            "name it with `--release`, such as `--release 8.6`",
        ));
    }
    let layer = LayerEvidence {
        cpe: args.cpe.clone(),
        content_sets: args.repository.clone(),
        ..LayerEvidence::default()
    };
    let evidence = Evidence {
        os: Some("rhel".to_owned()),
        version: named.map(str::to_owned),
        layers: vec![layer],
        streams,
    };
    let list = PackageList::given(evidence, installed);
    let count = list.packages();
    let identity = ImageIdentity {
        reference: name,
        digest: None,
        config_digest: None,
        platform: None,
        tag: None,
    };
    judged(identity, Fact::Known(list), count, advisories)
}

/// Largest list of packages, bytes; 10,000 packages take some 1 MB.
const MAX_LIST: u64 = 64 << 20;

/// A text file, or standard input by the name `-`.
fn read(wanted: &For<'_>, path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin()
            .take(MAX_LIST + 1)
            .read_to_string(&mut text)
    } else {
        let path = wanted.directory.join(path);
        open(&path).and_then(|file| file.take(MAX_LIST + 1).read_to_string(&mut text))
    };
    read.map_err(|error| super::io_error(path, &error))?;
    if text.len() as u64 > MAX_LIST {
        let what = format!("{} is larger than {MAX_LIST} bytes", path.display());
        return Err(super::usage(what, ""));
    }
    Ok(text)
}

/// Days that the data may be old for a grade, as in a scan without configuration.
const MAX_AGE: i64 = crate::plan::DEFAULT_MAX_AGE;
