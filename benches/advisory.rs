//! The advisory database: reading documents beside the floor (going over the same JSON without
//! keeping anything), the size of the file, and opening, matching and grading an image.
//!
//! Documents come from the shared data (`PLIMSOLL_SHARED`, else beside the repository), or those few
//! that ship with the tests. A second database holds the same rows many times over under made-up ids,
//! some 1.2 million of them: as many as all advisories are thought to have.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark reads its own environment and files and has nobody to return an error to"
)]

use std::{env, fs, hint::black_box, path::PathBuf, time::Instant};

use criterion::Criterion;
use plimsoll::{
    advisory::{
        Advisory, csaf,
        database::{Contents, Coverage, Database},
        feed,
        grade::{AsOf, Data, health},
        known_ends_of_life,
        matching::{Detail, Evidence, Installed, LayerEvidence, matches},
    },
    oci::LayerIndex,
    rpm::Nevra,
};
use serde::de::IgnoredAny;

fn shared() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    env::var_os("PLIMSOLL_SHARED")
        .map_or_else(beside, PathBuf::from)
        .join("data")
}

fn documents() -> Vec<Vec<u8>> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/advisory");
    let real = shared().join("csaf");
    let folder = if real.is_dir() { real } else { here };
    let files = walkdir::WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .map(Result::unwrap);
    let packed = files.filter(|file| file.path().extension().is_some_and(|end| end == "zst"));
    packed
        .map(|file| zstd::decode_all(fs::File::open(file.path()).unwrap()).unwrap())
        .collect()
}

fn contents(documents: &[Advisory], times: u32) -> Contents {
    let mut contents = Contents::default();
    for time in 0..times {
        for (number, advisory) in (1_u32..).zip(documents) {
            let id = match time {
                0 => advisory.id.clone(),
                _ => format!("RHSA-2099:{}", time * 100_000 + number)
                    .parse()
                    .unwrap(),
            };
            contents.offer(
                Advisory {
                    id,
                    ..advisory.clone()
                },
                [0; 32],
            );
        }
    }
    let map = shared().join("redhat/repository-to-cpe/repository-to-cpe-2025.json.zst");
    if let Ok(file) = fs::File::open(map) {
        contents.set_repositories(feed::repositories(&zstd::decode_all(file).unwrap()).unwrap());
    }
    contents.set_ends_of_life(known_ends_of_life().unwrap());
    contents
        .advance("2026-01-01T00:00:00Z".parse().unwrap(), "benchmark")
        .unwrap();
    contents
}

/// 500 packages: those that advisories name, most of them up to date, and others.
fn image(documents: &[Advisory]) -> (Evidence, Vec<Installed>) {
    let rows: Vec<_> = documents
        .iter()
        .flat_map(|advisory| &advisory.rows)
        .collect();
    let step = rows.len().div_ceil(500).max(1);
    let package = |number: usize| {
        let row = rows[number * step % rows.len()];
        let release = if number.is_multiple_of(10) {
            format!("{}~", row.fixed.release)
        } else {
            row.fixed.release.clone()
        };
        Installed {
            nevra: Nevra {
                name: row.name.to_string(),
                epoch: Some(row.fixed.epoch),
                version: row.fixed.version.clone(),
                release,
                arch: Some("x86_64".to_owned()),
            },
            vendor: None,
            signing_key: Some("199e2f91fd431d51".to_owned()),
            source: None,
            module: row.module.as_ref().map(|module| format!("{module}:8000:0")),
            layer: LayerIndex(u32::from(number.is_multiple_of(2))),
            repository: None,
        }
    };
    let sets = [
        "rhel-8-for-x86_64-baseos-rpms",
        "rhel-8-for-x86_64-appstream-rpms",
    ]
    .map(str::to_owned);
    let layer = LayerEvidence {
        content_sets: sets.to_vec(),
        ..LayerEvidence::default()
    };
    let evidence = Evidence {
        os: Some("rhel".to_owned()),
        version: Some("8.9".to_owned()),
        layers: vec![layer.clone(), layer],
        streams: Vec::new(),
    };
    (evidence, (0..500).map(package).collect())
}

fn image_against(
    criterion: &mut Criterion,
    name: &str,
    contents: &Contents,
    (evidence, packages): (&Evidence, &[Installed]),
) {
    let start = Instant::now();
    let file = contents.to_bytes().unwrap();
    let written = start.elapsed();
    let database = Database::open(&file).unwrap();
    let counts = database.counts();
    let packed = zstd::encode_all(&file[..], 3).unwrap().len();
    println!(
        "{name}: {} advisories, {} rows, {} bytes, {} a row, {packed} packed; written in {written:?}",
        counts.advisories,
        counts.rows,
        file.len(),
        file.len() / counts.rows,
    );
    let found = matches(&database, evidence, packages, Detail::Missing);
    let lacking = found.missing.iter().map(|it| it.packages.len());
    println!(
        "{name}: {} advisories missing, of {} packages together",
        found.missing.len(),
        lacking.sum::<usize>()
    );
    criterion.bench_function(&format!("{name}/open"), |bench| {
        bench.iter(|| Database::open(black_box(&file)).unwrap().counts());
    });
    criterion.bench_function(&format!("{name}/match"), |bench| {
        bench.iter(|| {
            matches(&database, evidence, packages, Detail::Missing)
                .missing
                .len()
        });
    });
    criterion.bench_function(
        &format!("{name}/open, match 500 packages, grade"),
        |bench| {
            bench.iter(|| {
                let database = Database::open(black_box(&file)).unwrap();
                let matched = matches(&database, evidence, packages, Detail::Missing);
                health(
                    evidence,
                    &matched,
                    Some(Data {
                        of: database.as_of(),
                        coverage: Coverage::Declared,
                        limit: Some(7),
                    }),
                    AsOf::Instant(database.as_of()),
                )
            });
        },
    );
}

fn main() {
    let json = documents();
    let parsed: Vec<Advisory> = json
        .iter()
        .filter_map(|json| Some(csaf::parse(json).ok()?.advisory))
        .collect();
    let (evidence, packages) = image(&parsed);
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    let bytes: usize = json.iter().map(Vec::len).sum();
    println!(
        "{} documents, {} advisories, {} MB of JSON",
        json.len(),
        parsed.len(),
        bytes / 1_000_000
    );
    criterion.bench_function("documents/floor", |bench| {
        bench.iter(|| {
            json.iter()
                .filter(|json| serde_json::from_slice::<IgnoredAny>(json).is_ok())
                .count()
        });
    });
    criterion.bench_function("documents/load", |bench| {
        bench.iter(|| {
            let mut contents = Contents::default();
            for advisory in json.iter().filter_map(|json| csaf::parse(json).ok()) {
                contents.offer(advisory.advisory, [0; 32]);
            }
            contents.to_bytes().unwrap().len()
        });
    });
    let rows: usize = contents(&parsed, 1)
        .documents()
        .filter_map(|(_, document)| document.advisory.as_ref())
        .map(|advisory| advisory.rows.len())
        .sum();
    for (name, times) in [("real", 1), ("whole", 1_200_000_usize.div_ceil(rows))] {
        let contents = contents(&parsed, u32::try_from(times).unwrap());
        image_against(&mut criterion, name, &contents, (&evidence, &packages));
    }
    criterion.final_summary();
}
