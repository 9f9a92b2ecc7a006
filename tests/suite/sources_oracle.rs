//! Sources against other programs: skopeo, Docker, a real registry, and the fixture images.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
};

use plimsoll::{
    layout::{
        ArchiveSource, LayoutSource, Pick, Select, export_docker_archive, import_docker_archive,
        unpack_oci_archive,
    },
    oci::{ImageSource, LayerFormat, Reference, SourceError, resolve, sha256},
    registry::{
        RegistryOptions, RegistrySource,
        auth::{AuthStore, Login},
    },
    secret::Secret,
};
use serde_json::Value;

use crate::support::{
    command,
    docker_registry::{Registry, certificates},
    has_program,
    image::{Format, Image, Layer},
    skipped,
};

fn small() -> Image {
    Image::new()
        .layer("dir /etc\nfile /etc/os-release 0644 0:0 \"ID=rhel\\n\"")
        .layer(Layer::from("file /app 0755 1001:0 \"binary\"").format(Format::Plain))
        .layer("file /app2 0755 1001:0 \"binary\"")
        .set("created", "2024-01-01T00:00:00Z".into())
        .set("history", serde_json::json!([]))
        .label("name", "x")
}

fn run(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command.output().map_err(|e| e.to_string())?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn skopeo(args: &[&str]) -> Vec<u8> {
    run(command("skopeo").args(["--insecure-policy"]).args(args))
        .unwrap_or_else(|e| panic!("skopeo {args:?}: {e}"))
}

/// Reads every layer and checks its diff id; the configurations' digests.
fn read_layers(source: &dyn ImageSource) -> Result<Vec<String>, SourceError> {
    let mut ids = Vec::new();
    for image in resolve(source, None)?.images {
        for (layer, diff_id) in image
            .manifest
            .layers()
            .iter()
            .zip(&image.config.rootfs.diff_ids)
        {
            let blob = source.blob(layer)?;
            let mut plain: Box<dyn std::io::Read> = match LayerFormat::of(layer.media_type()) {
                Ok(LayerFormat::Tar) => Box::new(blob),
                Ok(LayerFormat::Gzip) => Box::new(flate2::read::MultiGzDecoder::new(blob)),
                _ => Box::new(zstd::Decoder::new(blob).unwrap()),
            };
            let mut hasher = plimsoll::oci::BlobHasher::default();
            let mut buffer = vec![0; 1 << 16];
            loop {
                let n = plain
                    .read(&mut buffer)
                    .map_err(|e| SourceError::from_read("layer", e))?;
                if n == 0 {
                    break;
                }
                hasher.update(&buffer[..n]);
            }
            assert_eq!(hasher.finish(), diff_id.0);
        }
        ids.push(image.manifest.config().digest().to_string());
    }
    Ok(ids)
}

#[test]
fn skopeo_reads_what_is_written_here() {
    if !has_program("skopeo") {
        return skipped("skopeo_reads_what_is_written_here", "no skopeo");
    }
    let dir = tempfile::tempdir().unwrap();
    let layout = small().write(&dir.path().join("l"), "1.0-1");
    let source = LayoutSource::open(&layout, None).unwrap();
    let saved = dir.path().join("saved.tar");
    let mut file = std::fs::File::create(&saved).unwrap();
    let names = ["localhost:5000/x/y:1.0-1".to_owned()];
    export_docker_archive(&source, None, &names, &mut file).unwrap();
    let out = dir.path().join("imported");
    let digest = import_docker_archive(&saved, &out, &names).unwrap();

    let text = |path: &Path, kind: &str, tag: &str| format!("{kind}:{}{tag}", path.display());
    let raw = skopeo(&["inspect", "--raw", &text(&out, "oci", ":1.0-1")]);
    assert_eq!(sha256(&raw), digest);
    let config = resolve(&source, None).unwrap().images[0]
        .manifest
        .config()
        .digest()
        .clone();
    for place in [
        text(&out, "oci", ":1.0-1"),
        text(&saved, "docker-archive", ""),
    ] {
        assert_eq!(
            sha256(&skopeo(&["inspect", "--config", "--raw", &place])),
            config,
            "{place}"
        );
        // Copying makes skopeo verify every blob.
        let copy = dir.path().join("copy");
        skopeo(&["copy", "-q", &place, &text(&copy, "dir", "")]);
    }
}

#[test]
fn what_skopeo_writes_is_read_here() {
    if !has_program("skopeo") {
        return skipped("what_skopeo_writes_is_read_here", "no skopeo");
    }
    let dir = tempfile::tempdir().unwrap();
    let layout = small().write(&dir.path().join("l"), "t");
    let from = format!("oci:{}:t", layout.display());
    let path = |name: &str| dir.path().join(name);
    let to = |kind: &str, name: &str, tag: &str| format!("{kind}:{}{tag}", path(name).display());
    skopeo(&["copy", "-q", &from, &to("oci-archive", "o.tar", ":1.0-1")]);
    skopeo(&[
        "copy",
        "-q",
        &from,
        &to("docker-archive", "d.tar", ":a/b:1"),
    ]);
    skopeo(&[
        "copy",
        "-q",
        "--dest-compress-format",
        "zstd",
        "--dest-compress",
        &from,
        &to("oci", "z", ":t"),
    ]);
    let tag = Select::Tag("1.0-1".to_owned());
    let name = Pick::Name("docker.io/a/b:1".to_owned());
    let sources: [Box<dyn ImageSource>; 3] = [
        Box::new(ArchiveSource::open_oci(&path("o.tar"), Some(&tag)).unwrap()),
        Box::new(ArchiveSource::open_docker(&path("d.tar"), &name).unwrap()),
        Box::new(LayoutSource::open(&path("z"), None).unwrap()),
    ];
    let expected = read_layers(&LayoutSource::open(&layout, None).unwrap()).unwrap();
    for source in sources {
        assert_eq!(read_layers(source.as_ref()).unwrap(), expected);
    }
    let raw = skopeo(&["inspect", "--raw", &to("oci-archive", "o.tar", ":1.0-1")]);
    let out = path("unpacked");
    assert_eq!(
        unpack_oci_archive(&path("o.tar"), &out).unwrap(),
        sha256(&raw)
    );
    assert_eq!(
        read_layers(&LayoutSource::open(&out, None).unwrap()).unwrap(),
        expected
    );
}

#[test]
fn docker_loads_what_is_exported_and_its_save_is_imported() {
    let test = "docker_loads_what_is_exported_and_its_save_is_imported";
    if run(command("docker").arg("version")).is_err() {
        return skipped(test, "no Docker Engine");
    }
    let dir = tempfile::tempdir().unwrap();
    let source = LayoutSource::open(&small().write(&dir.path().join("l"), "t"), None).unwrap();
    let id = read_layers(&source).unwrap();
    let name = format!("plimsoll-test/sources-{}:1", std::process::id());
    let loaded = dir.path().join("load.tar");
    let mut file = std::fs::File::create(&loaded).unwrap();
    export_docker_archive(&source, None, std::slice::from_ref(&name), &mut file).unwrap();
    run(command("docker").args(["load", "-q", "-i"]).arg(&loaded)).unwrap();
    let found = run(command("docker").args(["image", "inspect", "-f", "{{.Id}}", &name]));
    let saved = dir.path().join("save.tar");
    let save = run(command("docker")
        .args(["save", "-o"])
        .arg(&saved)
        .arg(&name));
    run(command("docker").args(["rmi", "-f", &name])).unwrap();
    assert_eq!(String::from_utf8_lossy(&found.unwrap()).trim(), id[0]);
    save.unwrap();
    let out = dir.path().join("imported");
    import_docker_archive(&saved, &out, &[name]).unwrap();
    assert_eq!(
        read_layers(&LayoutSource::open(&out, None).unwrap()).unwrap(),
        id
    );
}

fn fixtures() -> Option<PathBuf> {
    let root =
        std::env::var_os("FIXTURE_IMAGES").map_or("/tmp/fixture-images".into(), PathBuf::from);
    root.join("oci").is_dir().then_some(root)
}

#[test]
fn fixture_images_are_read_alike_from_layout_and_archives() {
    let test = "fixture_images_are_read_alike_from_layout_and_archives";
    let (Some(root), true) = (fixtures(), has_program("skopeo")) else {
        return skipped(test, "no fixture images, or no skopeo");
    };
    let dir = tempfile::tempdir().unwrap();
    for name in ["good", "layers-45", "not-rhel"] {
        let from = format!("oci:{}", root.join("oci").join(name).display());
        let place = |kind: &str| dir.path().join(format!("{name}.{kind}.tar"));
        for kind in ["oci", "docker"] {
            let to = format!("{kind}-archive:{}", place(kind).display());
            skopeo(&["copy", "--quiet", &from, &to]);
        }
        let layout = LayoutSource::open(&root.join("oci").join(name), None).unwrap();
        let expected = read_layers(&layout).unwrap();
        let raw = skopeo(&["inspect", "--raw", &from]);
        assert_eq!(layout.manifest().unwrap().digest, sha256(&raw));
        for source in [
            ArchiveSource::open_oci(&place("oci"), None).unwrap(),
            ArchiveSource::open_docker(&place("docker"), &Pick::Only).unwrap(),
        ] {
            assert_eq!(read_layers(&source).unwrap(), expected, "{name}");
        }
    }
}

#[test]
fn a_real_registry_is_pulled_from() {
    let test = "a_real_registry_is_pulled_from";
    if !has_program("skopeo") {
        return skipped(test, "no skopeo");
    }
    let Some(registry) = Registry::start(tempfile::tempdir().unwrap(), "", "") else {
        return skipped(test, "no docker-registry");
    };
    let dir = tempfile::tempdir().unwrap();
    let layout = small().write(&dir.path().join("l"), "t");
    let from = format!("oci:{}:t", layout.display());
    let expected = read_layers(&LayoutSource::open(&layout, None).unwrap()).unwrap();
    for (tag, format) in [("1.0-1", "oci"), ("1.0-2", "v2s2")] {
        let name = format!("{}/p/x:{tag}", registry.address);
        let to = format!("docker://{name}");
        skopeo(&[
            "copy",
            "-q",
            "--dest-tls-verify=false",
            "-f",
            format,
            &from,
            &to,
        ]);
        let reference: Reference = name.parse().unwrap();
        let options = RegistryOptions::default();
        let source = RegistrySource::open(reference.clone(), &options).unwrap();
        let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &to]);
        assert_eq!(source.manifest().unwrap().digest, sha256(&raw), "{format}");
        let document: Value = serde_json::from_slice(&raw).unwrap();
        assert_eq!(read_layers(&source).unwrap().len(), 1);
        if format == "oci" {
            assert_eq!(read_layers(&source).unwrap(), expected);
        } else {
            assert!(document["mediaType"].as_str().unwrap().contains("docker"));
        }
        let missing = Reference {
            tag: Some("none".to_owned()),
            ..reference
        };
        let error = RegistrySource::open(missing, &options)
            .unwrap()
            .manifest()
            .unwrap_err();
        assert!(matches!(error, SourceError::NotFound { .. }), "{error}");
        assert!(error.to_string().contains("manifest unknown"), "{error}");
    }
}

#[test]
fn a_real_registry_with_tls_and_passwords_is_pulled_from() {
    let test = "a_real_registry_with_tls_and_passwords_is_pulled_from";
    let dir = tempfile::tempdir().unwrap();
    if !has_program("skopeo") || certificates(dir.path()).is_err() {
        return skipped(test, "no skopeo or openssl");
    }
    // `user:s3cret`
    let password = run(command("htpasswd").args(["-Bbn", "user", "s3cret"]));
    let Ok(password) = password else {
        return skipped(test, "no htpasswd");
    };
    std::fs::write(dir.path().join("htpasswd"), password).unwrap();
    let at = dir.path().display().to_string();
    let tls = format!(", tls: {{certificate: {at}/srv.crt, key: {at}/srv.key}}");
    let more = format!("auth: {{htpasswd: {{realm: test, path: {at}/htpasswd}}}}");
    let Some(registry) = Registry::start(dir, &tls, &more) else {
        return skipped(test, "no docker-registry");
    };
    let layout = small().write(&registry.dir.path().join("l"), "t");
    let from = format!("oci:{}:t", layout.display());
    let name = format!("{}/p/x:1.0-1", registry.address);
    let to = format!("docker://{name}");
    let flags = ["--dest-tls-verify=false", "--dest-creds", "user:s3cret"];
    skopeo(&[&["copy", "-q"], &flags[..], &[&from, &to]].concat());

    let reference: Reference = name.parse().unwrap();
    let pull = |auth: AuthStore, roots: Vec<Vec<u8>>| {
        let options = RegistryOptions {
            auth,
            extra_roots: roots,
            ..RegistryOptions::default()
        };
        let source = RegistrySource::open(reference.clone(), &options)?;
        read_layers(&source)
    };
    let ca = std::fs::read(registry.dir.path().join("ca.crt")).unwrap();
    let login = |password: &str| {
        let password = Secret::new(password);
        let login = Login::Basic {
            username: "user".to_owned(),
            password,
        };
        AuthStore::new().with_login(&registry.address, login)
    };
    let expected = read_layers(&LayoutSource::open(&layout, None).unwrap()).unwrap();
    assert_eq!(pull(login("s3cret"), vec![ca.clone()]).unwrap(), expected);
    for auth in [login("wrong"), AuthStore::new()] {
        let error = pull(auth, vec![ca.clone()]).unwrap_err();
        assert!(matches!(error, SourceError::Denied { .. }), "{error}");
        let hint = error.hint().unwrap();
        assert!(
            hint.contains(&format!("docker login {}", registry.address)),
            "{hint}"
        );
    }
    let error = pull(login("s3cret"), Vec::new()).unwrap_err().to_string();
    assert!(error.contains("certificate is not trusted"), "{error}");
    assert!(error.contains("SSL_CERT_FILE"), "{error}");
}
