//! Layouts and archives as sources, and the ways between them.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use plimsoll::{
    layout::{
        ArchiveSource, LayoutSource, LayoutWriter, Pick, Select, Transport, export_docker_archive,
        import_docker_archive, unpack_oci_archive,
    },
    oci::{Digest, ImageSource, Platform, SourceError, resolve, sha256},
};
use serde_json::{Value, json};
use tar_core::EntryType;
use tempfile::TempDir;

use crate::support::image::{Format, Image, Layer, Packed, archive, link};

fn small() -> Image {
    Image::new()
        .layer("dir /etc\nfile /etc/os-release 0644 0:0 \"ID=rhel\\n\"")
        .layer(Layer::from("file /app 0755 1001:0 \"binary\"").format(Format::Zstd))
        .layer(Layer::from("whiteout /etc/os-release").format(Format::Plain))
        .label("name", "x")
}

fn open(dir: &Path) -> LayoutSource {
    LayoutSource::open(dir, None).unwrap()
}

fn read_all(source: &dyn ImageSource) -> Result<usize, SourceError> {
    let mut count = 0;
    for image in resolve(source, None)?.images {
        for layer in image.manifest.layers() {
            std::io::copy(&mut source.blob(layer)?, &mut std::io::sink())
                .map_err(|e| SourceError::from_read("layer", e))?;
            count += 1;
        }
    }
    Ok(count)
}

fn file(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// What `docker save` of an old engine writes, with a layer that is there twice as a link.
fn legacy_archive(image: &Image, layers: &[Layer]) -> Vec<u8> {
    let packed = image.pack();
    let manifest: Value = serde_json::from_slice(packed.document()).unwrap();
    let id = manifest["config"]["digest"].as_str().unwrap();
    let config = &packed.blobs[id];
    let config_name = format!("{}.json", id.trim_start_matches("sha256:"));
    let mut names = Vec::new();
    let mut tar = Vec::new();
    for (at, layer) in layers.iter().enumerate() {
        let name = format!("{at:064x}/layer.tar");
        if let Some(first) = layers[..at].iter().position(|l| l.tar() == layer.tar()) {
            let target = format!("../{first:064x}/layer.tar");
            link(&mut tar, EntryType::Symlink, &name, &target);
        } else {
            let one = archive(&[(&name, layer.tar())]);
            tar.extend_from_slice(&one[..one.len() - 1024]);
        }
        names.push(name);
    }
    let list = json!([{ "Config": config_name, "RepoTags": ["a:1"], "Layers": names }]);
    tar.extend(archive(&[
        (&config_name, config),
        ("manifest.json", list.to_string().as_bytes()),
    ]));
    tar
}

#[test]
fn a_layout_is_resolved_and_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    for image in [small(), small().docker_types()] {
        let packed = image.pack();
        let source = open(&packed.write(&dir.path().join(packed.digest().digest()), "1.0-1"));
        let resolved = resolve(&source, None).unwrap();
        assert_eq!(resolved.digest, packed.digest());
        assert!(!resolved.is_index);
        assert_eq!(resolved.images[0].config.label("name"), Some("x"));
        assert_eq!(resolved.images[0].platform.to_string(), "linux/amd64");
        assert_eq!(read_all(&source).unwrap(), 3);
    }
}

#[test]
fn images_of_a_layout_are_chosen_by_tag_or_digest() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (small().pack(), small().label("name", "y").pack());
    a.write(dir.path(), "a");
    b.write(dir.path(), "b");
    let mut entries = vec![a.descriptor.clone(), b.descriptor.clone()];
    for (entry, name) in entries.iter_mut().zip(["a", "b"]) {
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
    }
    let index = json!({ "schemaVersion": 2, "manifests": entries });
    std::fs::write(dir.path().join("index.json"), index.to_string()).unwrap();
    let tag = |tag: &str| LayoutSource::open(dir.path(), Some(&Select::Tag(tag.to_owned())));
    assert_eq!(tag("b").unwrap().manifest().unwrap().digest, b.digest());
    let by_digest = LayoutSource::open(dir.path(), Some(&Select::Digest(a.digest()))).unwrap();
    assert_eq!(by_digest.manifest().unwrap().digest, a.digest());
    let error = tag("c").unwrap_err().to_string();
    assert!(error.contains("a, b"), "{error}");
    let error = LayoutSource::open(dir.path(), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("2 images: a, b"), "{error}");
    let unknown = Select::Digest(sha256(b"unknown"));
    let error = LayoutSource::open(dir.path(), Some(&unknown)).unwrap_err();
    assert!(matches!(error, SourceError::NotFound { .. }), "{error}");
}

#[test]
fn an_index_gives_each_image_or_the_one_for_a_platform() {
    let dir = tempfile::tempdir().unwrap();
    let amd = small().pack();
    let arm = small()
        .platform("linux", "arm64")
        .set("variant", json!("v8"))
        .pack();
    let attestation = small().platform("unknown", "unknown").pack();
    let index = Packed::index(&[amd.clone(), arm.clone(), attestation], &[]);
    let nested = Packed::index(&[index.clone(), amd.clone()], &[]);
    for (at, packed) in [index, nested].iter().enumerate() {
        let source = open(&packed.write(&dir.path().join(at.to_string()), "t"));
        let all = resolve(&source, None).unwrap();
        assert!(all.is_index);
        let digests: Vec<&Digest> = all.images.iter().map(|i| i.descriptor.digest()).collect();
        assert_eq!(digests, [&amd.digest(), &arm.digest()]);
        assert_eq!(all.other.len(), 1);
        for (platform, want) in [
            ("linux/arm64", &arm),
            ("linux/arm64/v8", &arm),
            ("linux/amd64", &amd),
        ] {
            let platform: Platform = platform.parse().unwrap();
            let one = resolve(&source, Some(&platform)).unwrap();
            assert_eq!(one.images.len(), 1);
            assert_eq!(*one.images[0].descriptor.digest(), want.digest());
        }
        let platform: Platform = "linux/s390x".parse().unwrap();
        let error = resolve(&source, Some(&platform)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("linux/s390x") && text.contains("linux/amd64, linux/arm64"),
            "{text}"
        );
        assert!(matches!(error, SourceError::NoPlatform { .. }));
    }
}

#[test]
fn documents_that_are_wrong_are_refused_with_the_reason() {
    let good = || small().pack();
    let layers = |n: usize| {
        move |m: &mut Value| {
            let layer = m["layers"][0].clone();
            m["layers"] = json!(vec![layer; n]);
        }
    };
    let cases: Vec<(Packed, &str)> = vec![
        (good().change(layers(2)), "2 layers"),
        (good().change(layers(600)), "512 layers"),
        (good().change(|m| m["schemaVersion"] = json!(1)), "format 1"),
        (
            good().change(|m| m["schemaVersion"] = json!(3)),
            "schemaVersion",
        ),
        (good().change(|m| m["manifests"] = json!([])), "at once"),
        (
            good().change(|m| m["layers"][0]["size"] = json!(-1)),
            "invalid",
        ),
        (
            good().change(|m| m["layers"][0]["urls"] = json!(["http://x/y"])),
            "urls",
        ),
        (
            good().change(|m| {
                m["config"]["mediaType"] = json!("application/vnd.cncf.helm.config.v1+json");
            }),
            "not a container image",
        ),
        (
            good().change(|m| m["config"]["size"] = json!(5 << 20)),
            "4194304 bytes",
        ),
        (
            good().change(|m| m["mediaType"] = json!("application/vnd.oci.image.index.v1+json")),
            "does not fit",
        ),
        (good().change(|m| *m = json!([])), "schemaVersion"),
        (
            good().change(|m| *m = json!({ "schemaVersion": 2 })),
            "neither",
        ),
        (
            Image::new()
                .layer(
                    Layer::from("")
                        .media_type("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
                )
                .pack(),
            "kept elsewhere",
        ),
        (
            Image::new()
                .layer(Layer::from("").media_type("text/html"))
                .pack(),
            "`text/html` is not",
        ),
        (
            Image::new().set("rootfs", json!("x")).pack(),
            "invalid type",
        ),
        (Packed::index(&[], &[]), "no container image"),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (at, (packed, reason)) in cases.iter().enumerate() {
        let source = open(&packed.write(&dir.path().join(at.to_string()), "t"));
        let error = resolve(&source, None).unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn indexes_within_indexes_and_long_indexes_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut deep = small().pack();
    for _ in 0..6 {
        deep = Packed::index(&[deep], &[]);
    }
    let entry = |n: u32| {
        let digest = sha256(&n.to_be_bytes()).to_string();
        let platform = json!({ "os": "linux", "architecture": "s390x" });
        json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 2, "platform": platform })
    };
    let long = Packed::index(&[], &(0..2000).map(entry).collect::<Vec<_>>());
    let amd64: Platform = "linux/amd64".parse().unwrap();
    for (name, packed, limit) in [("deep", deep, "3 indexes"), ("long", long, "1024 entries")] {
        let source = open(&packed.write(&dir.path().join(name), "t"));
        let error = resolve(&source, Some(&amd64)).unwrap_err();
        assert!(matches!(error, SourceError::TooLarge { .. }), "{error}");
        assert!(error.to_string().contains(limit), "{error}");
    }
}

#[test]
fn blobs_that_are_not_what_they_should_be_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let packed = small().pack();
    let manifest: Value = serde_json::from_slice(packed.document()).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
    let bytes = packed.blobs[&layer].clone();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    for (name, stored) in [
        ("short", Some(bytes[..bytes.len() - 1].to_vec())),
        ("long", Some([bytes.as_slice(), b"x"].concat())),
        ("flipped", Some(flipped)),
        ("gone", None),
    ] {
        let mut bad = packed.clone();
        bad.blobs.remove(&layer);
        bad.blobs
            .extend(stored.map(|stored| (layer.clone(), stored)));
        let source = open(&bad.write(&dir.path().join(name), "t"));
        match read_all(&source) {
            Err(SourceError::NotFound { .. }) if name == "gone" => {}
            Err(SourceError::Mismatch { .. }) if name != "gone" => {}
            other => panic!("{name}: {other:?}"),
        }
    }
    let mut bad = packed.clone();
    let document = bad.document().to_vec();
    let digest = bad.digest().to_string();
    bad.blobs
        .insert(digest, document.iter().rev().copied().collect());
    let source = open(&bad.write(&dir.path().join("manifest"), "t"));
    assert!(matches!(
        source.manifest(),
        Err(SourceError::Mismatch { .. })
    ));
}

#[test]
fn what_is_no_layout_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let error = LayoutSource::open(dir.path(), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("not an OCI layout"), "{error}");
    let missing = dir.path().join("missing");
    let error = LayoutSource::open(&missing, None).unwrap_err();
    assert!(matches!(error, SourceError::NotFound { .. }));
    assert!(error.hint().is_some());
    small().write(dir.path(), "t");
    for (name, text, reason) in [
        ("oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#, "2.0.0"),
        ("oci-layout", "x", "imageLayoutVersion"),
        ("index.json", "{", "index.json"),
    ] {
        small().write(dir.path(), "t");
        std::fs::write(dir.path().join(name), text).unwrap();
        let error = LayoutSource::open(dir.path(), None)
            .unwrap_err()
            .to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_legacy_docker_archive_becomes_a_layout_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let layers: Vec<Layer> = ["file /a 0644 \"1\"", "", "file /b 0644 \"2\"", ""]
        .map(Layer::from)
        .into();
    let image = layers
        .iter()
        .fold(Image::new().label("k", "v"), |i, l| i.layer(l.clone()));
    let saved = file(&dir, "saved.tar", &legacy_archive(&image, &layers));
    let out = dir.path().join("layout");
    let names = ["localhost:5000/x/y:1.0-1".to_owned(), "odd name".to_owned()];
    let digest = import_docker_archive(&saved, &out, &names).unwrap();
    let again = import_docker_archive(&saved, &dir.path().join("again"), &names).unwrap();
    assert_eq!(digest, again, "the same archive gives the same image");

    let source = LayoutSource::open(&out, Some(&Select::Tag("1.0-1".to_owned()))).unwrap();
    assert!(LayoutSource::open(&out, Some(&Select::Tag("odd name".to_owned()))).is_ok());
    assert!(LayoutSource::open(&out, Some(&Select::Tag(names[0].clone()))).is_ok());
    let resolved = resolve(&source, None).unwrap();
    assert_eq!(resolved.digest, digest);
    assert_eq!(read_all(&source).unwrap(), 4);
    let id = resolved.images[0].manifest.config().digest().clone();
    let packed: Value = serde_json::from_slice(image.pack().document()).unwrap();
    assert_eq!(
        packed["config"]["digest"],
        id.to_string(),
        "the image id is kept"
    );
    let stored = &resolved.images[0].manifest.layers();
    assert_eq!(stored[1], stored[3]);
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(source.blob(&stored[0]).unwrap())
        .read_to_end(&mut plain)
        .unwrap();
    assert_eq!(plain, layers[0].tar());

    let mut exported = Vec::new();
    export_docker_archive(&source, None, &["a:1".to_owned()], &mut exported).unwrap();
    let exported = file(&dir, "exported.tar", &exported);
    let third = import_docker_archive(&exported, &dir.path().join("third"), &names).unwrap();
    assert_eq!(third, digest, "export and import are inverse");
    for archive in [&saved, &exported] {
        let direct = ArchiveSource::open_docker(archive, &Pick::Only).unwrap();
        let found = resolve(&direct, None).unwrap();
        assert_eq!(*found.images[0].manifest.config().digest(), id);
        assert_eq!(read_all(&direct).unwrap(), 4);
    }
}

#[test]
fn an_archive_with_compressed_layers_keeps_its_own_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let image = Image::new()
        .layer("file /a 0644 \"1\"")
        .layer(Layer::from("file /b 0644 \"2\"").format(Format::Zstd));
    let packed = image.pack();
    let manifest: Value = serde_json::from_slice(packed.document()).unwrap();
    let place = |d: &Value| {
        d["digest"]
            .as_str()
            .unwrap()
            .replace("sha256:", "blobs/sha256/")
    };
    let list = json!([{
        "Config": place(&manifest["config"]),
        "RepoTags": ["a:1"],
        "Layers": [place(&manifest["layers"][0]), place(&manifest["layers"][1])],
    }]);
    let index = json!({ "schemaVersion": 2, "manifests": [packed.descriptor] }).to_string();
    let list = list.to_string();
    let blobs: Vec<(String, &[u8])> = packed
        .blobs
        .iter()
        .map(|(d, b)| (d.replace("sha256:", "blobs/sha256/"), b.as_slice()))
        .collect();
    let mut files: Vec<(&str, &[u8])> = blobs.iter().map(|(n, b)| (n.as_str(), *b)).collect();
    files.push(("index.json", index.as_bytes()));
    files.push(("manifest.json", list.as_bytes()));
    files.push(("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#));
    let saved = file(&dir, "saved.tar", &archive(&files));
    let digest = import_docker_archive(&saved, &dir.path().join("a"), &[]).unwrap();
    assert_eq!(digest, packed.digest());
    assert_eq!(
        unpack_oci_archive(&saved, &dir.path().join("b")).unwrap(),
        packed.digest()
    );
    for source in [
        Box::new(open(&dir.path().join("a"))) as Box<dyn ImageSource>,
        Box::new(open(&dir.path().join("b"))),
        Box::new(ArchiveSource::open_oci(&saved, None).unwrap()),
        Box::new(ArchiveSource::open_docker(&saved, &Pick::Only).unwrap()),
    ] {
        assert_eq!(read_all(source.as_ref()).unwrap(), 2);
    }

    files.retain(|(name, _)| *name != place(&manifest["layers"][0]));
    let cut = file(&dir, "cut.tar", &archive(&files));
    let error = unpack_oci_archive(&cut, &dir.path().join("c")).unwrap_err();
    assert!(matches!(error, SourceError::NotFound { .. }), "{error}");
    assert!(!dir.path().join("c/index.json").exists(), "no half image");
}

#[test]
fn archives_that_are_wrong_are_refused_with_the_reason() {
    let outer = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir_in(outer.path()).unwrap();
    let layers = [Layer::from("file /a 0644 \"1\"")];
    let image = Image::new().layer(layers[0].clone());
    let good = legacy_archive(&image, &layers);
    let other = [Layer::from("file /a 0644 \"2\"")];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &good).unwrap();
    let escape = |name: &str| archive(&[(name, b"x"), ("manifest.json", b"[]")]);
    let mut looped = Vec::new();
    link(&mut looped, EntryType::Symlink, "manifest.json", "b");
    link(&mut looped, EntryType::Symlink, "b", "manifest.json");
    looped.resize(looped.len() + 1024, 0);
    let two =
        json!([{ "Config": "a", "RepoTags": ["a:1"] }, { "Config": "b", "RepoTags": ["b:1"] }]);
    let many: Vec<(String, &[u8])> = (0..20_001).map(|n| (n.to_string(), &b""[..])).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(n, b)| (n.as_str(), *b)).collect();
    for (name, bytes, reason) in [
        ("compressed", gzip.finish().unwrap(), "gunzip"),
        ("empty", Vec::new(), "manifest.json"),
        ("not tar", vec![b'x'; 4096], "tar header at byte 0"),
        ("truncated", good[..700].to_vec(), "ends within"),
        ("cut header", good[..300].to_vec(), "ends within"),
        ("wrong layer", legacy_archive(&image, &other), "expected sha256:"),
        ("dots", escape("../x"), "leads out"),
        ("inner dots", escape("a/../../x"), "leads out"),
        ("absolute", escape("/etc/x"), "leads out"),
        ("no image", archive(&[("manifest.json", b"[]")]), "not one image but 0"),
        ("loop", looped, "no file `manifest.json`"),
        ("two", archive(&[("manifest.json", two.to_string().as_bytes())]), "a:1, b:1"),
        ("garbage", archive(&[("manifest.json", b"{")]), "manifest.json"),
        ("many", archive(&many), "20000 files"),
        ("no layers", archive(&[("manifest.json", br#"[{"Config":"c"}]"#), ("c", br#"{"architecture":"a","os":"l","rootfs":{"diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}"#)]), "0 layers"),
    ] {
        let path = file(&dir, name, &bytes);
        let out = dir.path().join(format!("{name}.out"));
        let error = import_docker_archive(&path, &out, &[]).unwrap_err().to_string();
        assert!(error.contains(reason), "{name}: {error}");
        assert!(!out.join("index.json").exists());
        let direct = ArchiveSource::open_docker(&path, &Pick::Only).map(|s| read_all(&s));
        assert!(!matches!(direct, Ok(Ok(_))), "{name}");
        assert!(unpack_oci_archive(&path, &out).is_err());
    }
    assert!(!outer.path().join("x").exists());
}

#[test]
fn a_layer_bomb_in_an_export_is_measured_without_memory() {
    let dir = tempfile::tempdir().unwrap();
    let image = Image::new().layer("zeros /big 0644 33554432");
    let source = open(&image.write(dir.path(), "t"));
    let mut sink = std::io::sink();
    export_docker_archive(&source, None, &[], &mut sink).unwrap();
    let wrong =
        Image::new().layer(Layer::from("file /a 0644 \"1\"").stored_as(b"not gzip".to_vec()));
    let source = open(&wrong.write(&dir.path().join("wrong"), "t"));
    assert!(export_docker_archive(&source, None, &[], &mut sink).is_err());
}

#[test]
fn a_failed_copy_leaves_no_blob_and_no_index() {
    let dir = tempfile::tempdir().unwrap();
    let writer = LayoutWriter::create(dir.path()).unwrap();
    let of =
        plimsoll::oci::Descriptor::new(plimsoll::oci::MediaType::ImageLayer, 3u64, sha256(b"abc"));
    assert!(writer.copy(&b"abd"[..], &of).is_err());
    drop(writer.blob().unwrap());
    let left = walkdir::WalkDir::new(dir.path())
        .into_iter()
        .filter(|e| e.as_ref().unwrap().file_type().is_file())
        .count();
    assert_eq!(left, 1, "only oci-layout");
    writer.copy(&b"abc"[..], &of).unwrap();
    assert_eq!(
        writer
            .bytes(plimsoll::oci::MediaType::ImageLayer, b"abc")
            .unwrap(),
        of
    );
}

#[test]
fn transports_open_what_lies_in_files() {
    let dir = tempfile::tempdir().unwrap();
    small().write(&dir.path().join("l"), "1.0-1");
    let open = |text: String| text.parse::<Transport>().unwrap().open_files();
    let layout = format!("oci:{}:1.0-1", dir.path().join("l").display());
    assert_eq!(
        read_all(open(layout).unwrap().unwrap().as_ref()).unwrap(),
        3
    );
    assert!(open(format!("oci:{}:2", dir.path().join("l").display())).is_err());
    assert!(open(format!("oci-archive:{}", dir.path().join("none").display())).is_err());
    assert!(open("docker://localhost/x".to_owned()).unwrap().is_none());
}
