//! The rpm database readers. `RPMDB=FILE` measures a database of one's own beside the shipped ones.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark reads its data and stops at the first surprise"
)]

use std::{fs, hint::black_box};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plimsoll::rpm;

fn databases() -> Vec<(String, Vec<u8>)> {
    let shipped = ["sqlite/rpmdb.sqlite", "ndb/Packages.db", "bdb/Packages"].map(|name| {
        let root = env!("CARGO_MANIFEST_DIR");
        let packed = fs::read(format!("{root}/tests/data/rpmdb/db/{name}.zst")).unwrap();
        (name.to_owned(), zstd::decode_all(&*packed).unwrap())
    });
    let own = std::env::var("RPMDB").ok();
    let own = own.map(|path| ("own".to_owned(), fs::read(path).unwrap()));
    shipped.into_iter().chain(own).collect()
}

fn rpmdb(criterion: &mut Criterion) {
    for (name, bytes) in databases() {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function("headers", |bencher| {
            bencher.iter(|| rpm::headers(black_box(&bytes), None).unwrap());
        });
        group.bench_function("packages and files", |bencher| {
            bencher.iter(|| rpm::read(black_box(&bytes), None).unwrap());
        });
        group.finish();
    }
}

criterion_group!(benches, rpmdb);
criterion_main!(benches);
