//! Images that lie, that are damaged, or that want more than their share: each ends in a clear
//! error, in bounded time and memory.

#![expect(clippy::unwrap_used, reason = "a test's own data is known to be right")]

use plimsoll::{
    inventory::{LayerError, LimitError, ScanError},
    oci::{Descriptor, Digest, ImagePath, MediaType},
    subject::EntryKind,
};
use proptest::prelude::*;

use crate::layers::{GZIP, Image, PLAIN, Tar, ZSTD, digest, gzip, sha256};

fn small() -> Vec<u8> {
    Tar::default().dir("etc/").file("etc/motd", "hello").end()
}

fn error_of(tar: Vec<u8>) -> String {
    Image::of([tar]).error().1
}

#[test]
fn every_compression_gives_the_same_tree() {
    let tar = small();
    let (front, back) = tar.split_at(700);
    let skippable = [&b"\x52\x2a\x4d\x18\x05\0\0\0extra"[..], &zstd(&tar)].concat();
    let frames = [zstd(front), zstd(back), skippable[..13].to_vec()].concat();
    let members = [gzip(front), gzip(back)].concat();
    for (media_type, blob) in [
        (GZIP, gzip(&tar)),
        (GZIP, members),
        (ZSTD, zstd(&tar)),
        (ZSTD, skippable),
        (ZSTD, frames),
        (PLAIN, tar.clone()),
        (
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            gzip(&tar),
        ),
        ("application/vnd.docker.image.rootfs.diff.tar", tar.clone()),
    ] {
        let image = Image::default().layer(media_type, blob, &tar);
        let mut image = image;
        for trickles in [false, true] {
            image.trickles = trickles;
            let want = ["/etc dir @0", "/etc/motd file 5 @0"];
            assert_eq!(image.tree(), want, "{media_type}");
        }
    }
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

#[test]
fn media_type_and_content_must_agree() {
    let tar = small();
    for (media_type, blob) in [
        (GZIP, tar.clone()),
        (GZIP, zstd(&tar)),
        (ZSTD, gzip(&tar)),
        (PLAIN, gzip(&tar)),
    ] {
        let (error, text) = Image::default().layer(media_type, blob, &tar).error();
        assert!(matches!(error, LayerError::Magic { .. }), "{text}");
    }
    let (_, text) = Image::default()
        .layer(
            "application/vnd.oci.image.layer.v1.tar+encrypted",
            tar.clone(),
            &tar,
        )
        .error();
    assert!(text.contains("+encrypted"), "{text}");
}

#[test]
fn a_layer_that_is_not_the_one_named_is_refused() {
    let tar = small();
    let other = Tar::default().file("etc/motd", "other").end();
    let (error, text) = Image::default().layer(GZIP, gzip(&tar), &other).error();
    assert!(matches!(error, LayerError::DiffId { .. }), "{text}");

    // Every kind of damage to the blob is told as a wrong digest or size, whatever breaks first.
    let blob = gzip(&tar);
    let damage: [fn(&mut Vec<u8>); 4] = [
        |blob| blob.truncate(blob.len() / 2),
        |blob| blob[0] = 0,
        |blob| blob[30] ^= 0xff,
        |blob| blob.push(0),
    ];
    for (n, damage) in damage.into_iter().enumerate() {
        let mut image = Image::default().layer(GZIP, blob.clone(), &tar);
        image.blobs.values_mut().for_each(damage);
        let (error, text) = image.error();
        assert!(matches!(error, LayerError::Read(_)), "{n}: {text}");
        assert!(text.contains("expected"), "{n}: {text}");
    }
    let mut image = Image::default().layer(GZIP, blob, &tar);
    image.blobs.clear();
    assert!(matches!(image.error().0, LayerError::Source(_)));
}

#[test]
fn damaged_compression_is_an_error() {
    let tar = small();
    let blob = gzip(&tar);
    let mut wrong_sum = blob.clone();
    let length = wrong_sum.len();
    wrong_sum[length - 6] ^= 1;
    for (media_type, blob) in [
        (GZIP, blob[..length - 3].to_vec()),
        (GZIP, wrong_sum),
        (GZIP, [&blob[..], b"trailing"].concat()),
        (GZIP, vec![0x1f, 0x8b]),
        (ZSTD, zstd(&tar)[..20].to_vec()),
        (ZSTD, [&zstd(&tar)[..], b"trailing"].concat()),
    ] {
        let (error, text) = Image::default().layer(media_type, blob, &tar).error();
        assert!(matches!(error, LayerError::Compressed { .. }), "{text}");
    }
}

#[test]
fn a_zstd_window_of_2_gib_is_refused() {
    // Frame header: no single segment, window descriptor 0xa8 is exponent 21, 2 GiB (RFC 8878 3.1.1.1.2).
    let blob = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0, 0];
    let (error, text) = Image::default().layer(ZSTD, blob, &[]).error();
    assert!(matches!(error, LayerError::Compressed { .. }), "{text}");
    assert!(text.contains("memory"), "{text}");
}

#[test]
fn archives_that_end_too_early_or_too_late_are_refused() {
    let whole = small();
    for (tar, want) in [
        (whole[..600].to_vec(), "within a header"),
        (whole[..1026].to_vec(), "within `etc/motd`"),
        (whole[..1100].to_vec(), "within `etc/motd`"),
        (
            [&whole[..], b"garbage"].concat(),
            "goes on after its end mark",
        ),
        (
            [&whole[..], &small()[..]].concat(),
            "goes on after its end mark",
        ),
        (vec![b'x'; 2048], "header"),
    ] {
        let text = error_of(tar);
        assert!(text.contains(want), "{want}: {text}");
    }
    // Builders pad to a record of 10 KiB.
    let padded = [&whole[..], &[0; 8192][..]].concat();
    assert!(Image::of([padded]).scan().is_ok());
    // Some leave the end mark out, or half of it; runtimes take such layers.
    for cut in [whole.len() - 1024, whole.len() - 512, 0] {
        assert!(Image::of([whole[..cut].to_vec()]).scan().is_ok(), "{cut}");
    }
}

#[test]
fn names_that_climb_are_refused() {
    for name in ["../etc/passwd", "a/../../b", "..", "a/..", "./../x"] {
        let text = error_of(Tar::default().file(name, "x").end());
        assert!(
            text.contains("`..` component") && text.contains(name),
            "{text}"
        );
    }
    let nul = Tar::default().pax(&[("path", b"a\0b")]).file("x", "").end();
    assert!(error_of(nul).contains("NUL"));
    // Two dots are a name like any other when something else is beside them.
    let fine = Tar::default().file("..data", "x").end();
    assert_eq!(Image::of([fine]).tree(), ["/..data file 1 @0"]);
}

#[test]
fn absolute_names_and_links_stay_in_the_image() {
    let image = Image::of([
        Tar::default()
            .symlink("out", "/../../../../outside")
            .symlink("up", "../../../..")
            .file("/abs/file", "x")
            .end(),
        Tar::default().file("out/a", "x").file("up/b", "x").end(),
    ]);
    assert_eq!(
        image.tree(),
        [
            "/abs dir @0",
            "/abs/file file 1 @0",
            "/b file 1 @1",
            "/out -> /../../../../outside @0",
            "/outside dir @1",
            "/outside/a file 1 @1",
            "/up -> ../../../.. @0",
        ]
    );
}

#[test]
fn link_loops_end() {
    let text = error_of(
        Tar::default()
            .symlink("a", "b")
            .symlink("b", "a")
            .file("a/x", "x")
            .end(),
    );
    assert!(text.contains("symbolic links"), "{text}");
    for tar in [
        Tar::default().hardlink("a", "b").hardlink("b", "a").end(),
        Tar::default().hardlink("a", "a").end(),
        Tar::default().file("a", "").hardlink("a", "a").end(),
        Tar::default().dir("d").hardlink("a", "d").end(),
        Tar::default().hardlink("a", "/").end(),
        Tar::default().hardlink("a", "").end(),
    ] {
        let (error, text) = Image::of([tar]).error();
        assert!(matches!(error, LayerError::HardLink { .. }), "{text}");
    }
}

#[test]
fn an_entry_below_a_file_is_refused() {
    let (error, text) = Image::of([Tar::default().file("a", "x").file("a/b", "x").end()]).error();
    assert!(matches!(error, LayerError::Parent { .. }), "{text}");
}

#[test]
fn a_whiteout_of_nothing_is_no_harm_and_one_without_a_name_is() {
    let image = Image::of([Tar::default().file("a/.wh.b", "").file(".wh.c", "").end()]);
    assert_eq!(image.tree(), Vec::<String>::new());
    for name in [".wh.", "a/.wh.", ".wh..", ".wh..."] {
        let (error, text) = Image::of([Tar::default().file(name, "").end()]).error();
        assert!(matches!(error, LayerError::Tar { .. }), "{name} {text}");
    }
}

#[test]
fn types_that_no_layer_holds_are_refused() {
    for kind in *b"VMDNcZ\xff" {
        let text = error_of(Tar::default().entry(kind, "x", 0o644, "").end());
        assert!(text.contains("entry type"), "{text}");
    }
}

#[test]
fn malformed_pax_records_are_refused() {
    let raw = |body: &[u8]| {
        Tar::default()
            .raw(&Tar::header(b'x', b"p", body.len() as u64, 0, b""))
            .raw(body)
            .file("x", "x")
            .end()
    };
    for body in [
        &b"30 path=truncated"[..],
        b"garbage",
        b"5 a=b",
        b"0 path=a\n",
        b"+9 path=a\n",
        b"99999999999999999999 path=a\n",
        b"11 size=-5\n",
        b"10 uid=x1\n",
        b"12 path\n",
    ] {
        let text = error_of(raw(body));
        assert!(text.contains("PAX"), "{}: {text}", body.escape_ascii());
    }
    let many = (0..40).fold(Tar::default(), |tar, _| tar.pax(&[("path", b"x")]));
    assert!(error_of(many.file("x", "").end()).contains("duplicate"));
}

#[test]
fn numbers_that_readers_take_differently_are_refused() {
    for field in [
        [0xff; 12],
        [0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5],
        [0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5],
        *b"\x00000000012\0\0",
    ] {
        let mut header = Tar::header(b'0', b"x", 5, 0o644, b"");
        header[124..136].copy_from_slice(&field);
        Tar::seal(&mut header);
        let (error, text) = Image::of([Tar::default().raw(&header).raw(b"12345").end()]).error();
        assert!(matches!(error, LayerError::Tar { .. }), "{text}");
    }
    let mut header = Tar::header(b'0', b"x", 5, 0o644, b"");
    header[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
    Tar::seal(&mut header);
    let image = Image::of([Tar::default().raw(&header).raw(b"12345").end()]);
    assert_eq!(image.tree(), ["/x file 5 @0"]);
}

#[test]
fn endless_names_are_refused() {
    let long = vec![b'a'; 5000];
    let (error, _) = Image::of([Tar::default().long_name(&long).file("x", "").end()]).error();
    assert!(matches!(error, LayerError::Limit(LimitError::Path { .. })));
    let (error, _) =
        Image::of([Tar::default().pax(&[("path", &long)]).file("x", "").end()]).error();
    assert!(matches!(error, LayerError::Limit(LimitError::Path { .. })));
    let huge = vec![b'a'; 2 << 20];
    let (error, _) = Image::of([Tar::default().long_name(&huge).file("x", "").end()]).error();
    assert!(matches!(
        error,
        LayerError::Limit(LimitError::Metadata { .. })
    ));
    // A header that promises more than there is of anything.
    let promise = Tar::default()
        .raw(&Tar::header(b'x', b"p", 7 << 30, 0, b""))
        .end();
    assert!(matches!(
        Image::of([promise]).error().0,
        LayerError::Limit(_)
    ));
}

#[test]
fn names_of_deep_directories_are_counted() {
    let mut image = Image::of([Tar::default().long_name(&b"d/".repeat(2000)).dir("x").end()]);
    image.options.limits.name_bytes = 1 << 20;
    assert!(matches!(
        image.error().0,
        LayerError::Limit(LimitError::Names(_))
    ));
}

#[test]
fn non_utf8_names_are_names() {
    let image = Image::of([Tar::default().file(b"caf\xe9", "x").end()]);
    assert_eq!(image.tree(), ["/caf\\xe9 file 1 @0"]);
}

#[test]
fn limits_over_all_layers_are_kept() {
    let layer = || Tar::default().file("a", "x").file("b", "x").end();
    let mut image = Image::of([layer(), layer()]);
    image.options.limits.entries = 3;
    assert!(matches!(
        image.error().0,
        LayerError::Limit(LimitError::Entries(3))
    ));
    image.options.limits.entries = 4;
    image.options.limits.uncompressed = 4000;
    assert!(matches!(
        image.error().0,
        LayerError::Limit(LimitError::Uncompressed(_))
    ));
    image.options.limits.uncompressed = 1 << 20;
    assert!(image.scan().is_ok());
    image.options.limits.layers = 1;
    assert!(matches!(image.scan(), Err(ScanError::TooManyLayers { .. })));
    image.diff_ids.pop();
    assert!(matches!(image.scan(), Err(ScanError::LayerCount { .. })));
}

#[test]
fn large_files_of_interest_are_refused_not_held() {
    for (path, is_wanted) in [
        ("etc/os-release", true),
        ("var/lib/rpm/rpmdb.sqlite", true),
        ("usr/bin/x", false),
    ] {
        let mut image = Image::of([Tar::default().file(path, [b'x'; 100]).end()]);
        image.options.limits.kept_file = 99;
        image.options.limits.database = 99;
        assert_eq!(image.scan().is_err(), is_wanted, "{path}");
    }
    let mut image = Image::of([Tar::default()
        .file("root/buildinfo/a", [b'x'; 60])
        .file("root/buildinfo/b", [b'x'; 60])
        .end()]);
    image.options.limits.kept = 100;
    assert!(matches!(
        image.error().0,
        LayerError::Limit(LimitError::Kept(100))
    ));
}

#[test]
fn a_bomb_ends_at_the_limit() {
    let mut image = Image::of([{
        let mut tar = Tar::default().raw(&Tar::header(b'0', b"zeros", 64 << 20, 0o644, b""));
        tar.0.resize(tar.0.len() + (64 << 20), 0);
        tar.end()
    }]);
    image.options.limits.uncompressed = 1 << 20;
    assert!(matches!(
        image.error().0,
        LayerError::Limit(LimitError::Uncompressed(_))
    ));
}

#[test]
fn a_layer_of_100_000_entries_passes() {
    let tar = (0..100_000).fold(Tar::default(), |tar, n| {
        tar.file(format!("d{}/{n}", n % 100), "")
    });
    let found = Image::of([tar.end()]).scan().unwrap();
    assert_eq!(found.tree.len(), 100_101);
    assert_eq!(found.layers[0].entries, 100_000);
}

/// Old GNU sparse header: regions of offset and length, the size with its holes.
fn sparse_header(regions: &[(u64, u64)], real: u64) -> [u8; 512] {
    let stored = regions.iter().map(|(_, length)| length).sum();
    let mut header = Tar::header(b'S', b"sparse", stored, 0o644, b"");
    header[257..265].copy_from_slice(b"ustar  \0");
    for (n, (offset, length)) in regions.iter().enumerate() {
        let at = 386 + n * 24;
        header[at..at + 11].copy_from_slice(format!("{offset:011o}").as_bytes());
        header[at + 12..at + 23].copy_from_slice(format!("{length:011o}").as_bytes());
    }
    let size = 483..494;
    if real < 1 << 33 {
        header[size].copy_from_slice(format!("{real:011o}").as_bytes());
    } else {
        header[483] = 0x80;
        header[487..495].copy_from_slice(&real.to_be_bytes());
    }
    Tar::seal(&mut header);
    header
}

#[test]
fn sparse_files_have_the_size_and_digest_that_they_unpack_to() {
    let mut content = vec![0; 3000];
    content[1000..1003].copy_from_slice(b"abc");
    content[2000..2512].fill(b'x');
    let stored = [&content[1000..1003], &content[2000..2512]].concat();
    let map = b"2\n1000\n3\n2000\n512\n";
    let version_1 = [&map[..], &[0; 512 - 18][..], &stored].concat();
    let sizes = |name: &'static str| (name, b"3000".as_slice());
    let archives = [
        Tar::default()
            .raw(&sparse_header(&[(1000, 3), (2000, 512)], 3000))
            .raw(&stored),
        Tar::default()
            .pax(&[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.name", b"sparse"),
                sizes("GNU.sparse.realsize"),
            ])
            .file("GNUSparseFile.1/sparse", &version_1),
        Tar::default()
            .pax(&[
                ("GNU.sparse.map", b"1000,3,2000,512"),
                ("GNU.sparse.name", b"sparse"),
                sizes("GNU.sparse.size"),
            ])
            .file("GNUSparseFile.1/sparse", &stored),
    ];
    for (n, tar) in archives.into_iter().enumerate() {
        let found = Image::of([tar.file("after", "x").end()]).scan().unwrap();
        let entry = &found.tree[&ImagePath::from("sparse")];
        let want = EntryKind::File {
            size: 3000,
            sha256: sha256(&content),
        };
        assert_eq!(entry.kind, want, "format {n}");
        assert!(found.tree.contains_key(&ImagePath::from("after")));
    }
}

#[test]
fn sparse_files_that_contradict_themselves_are_refused() {
    for (regions, real) in [
        (&[(1000, 3), (500, 3)][..], 3000),
        (&[(1000, 3), (1002, 3)][..], 3000),
        (&[(1000, 3)][..], 1001),
    ] {
        let text = error_of(
            Tar::default()
                .raw(&sparse_header(regions, real))
                .raw(&[0; 6])
                .end(),
        );
        assert!(text.contains("sparse map"), "{text}");
    }
    let version = Tar::default()
        .pax(&[("GNU.sparse.major", b"7"), ("GNU.sparse.minor", b"0")])
        .file("x", "x")
        .end();
    assert!(error_of(version).contains("sparse format"));
}

#[test]
fn holes_are_limited() {
    let tar = Tar::default()
        .raw(&sparse_header(&[(0, 1)], 10 << 30))
        .raw(b"x")
        .end();
    let mut image = Image::of([tar]);
    image.options.limits.holes = 1 << 30;
    assert!(matches!(
        image.error().0,
        LayerError::Limit(LimitError::Holes(_))
    ));
    // Within the default limit a file of 10 GB ends too: 64 MiB here, for the same code.
    let tar = Tar::default()
        .raw(&sparse_header(&[(0, 1)], 64 << 20))
        .raw(b"x")
        .end();
    let found = Image::of([tar]).scan().unwrap();
    let mut content = vec![0; 64 << 20];
    content[0] = b'x';
    let want = EntryKind::File {
        size: 64 << 20,
        sha256: sha256(&content),
    };
    assert_eq!(found.tree[&ImagePath::from("sparse")].kind, want);
}

#[test]
fn a_cancelled_scan_stops() {
    let image = Image::of([small()]);
    image.options.cancel.cancel();
    assert!(matches!(image.scan(), Err(ScanError::Cancelled)));
}

#[test]
fn a_digest_of_an_unknown_algorithm_is_refused() {
    let mut image = Image::of([small()]);
    image.diff_ids = vec!["blake3:00".to_owned()];
    assert!(matches!(image.error().0, LayerError::DiffIdAlgorithm(_)));
    let of =
        |digest: &str| Descriptor::new(MediaType::from(GZIP), 1, digest.parse::<Digest>().unwrap());
    let mut image = Image::of([small()]);
    image.layers = vec![of("blake3:00")];
    assert!(image.scan().is_err());
    assert!(digest(b"").starts_with("sha256:e3b0c442"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        for media_type in [PLAIN, GZIP, ZSTD] {
            let _ = Image::default().layer(media_type, bytes.clone(), &bytes).scan();
        }
    }

    #[test]
    fn damaged_archives_never_panic(
        changes in prop::collection::vec((0_usize..6000, any::<u8>()), 1..8),
        seal in any::<bool>(),
    ) {
        let mut tar = Tar::default()
            .dir("a")
            .pax(&[("path", b"a/long"), ("SCHILY.xattr.security.capability", b"\x01\0\0\x02")])
            .file("x", "content")
            .raw(&sparse_header(&[(10, 3)], 300))
            .raw(b"abc")
            .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"9")])
            .file("s", "0\n")
            .hardlink("b", "a/long")
            .symlink("c", "a")
            .file("c/.wh..wh..opq", "")
            .end();
        for (at, byte) in changes {
            let length = tar.len();
            tar[at % length] = byte;
        }
        if seal {
            for block in tar.as_chunks_mut::<512>().0 {
                if block[257..262] == *b"ustar" {
                    Tar::seal(block);
                }
            }
        }
        let _ = Image::default().layer(PLAIN, tar.clone(), &tar).scan();
    }
}
