//! Images that are damaged, lie or want too much.

use std::{fmt::Write as _, fs, time::Duration};

use serde_json::json;

use super::{Project, assert_error};
use crate::support::{
    Ran, command, has_program,
    image::{Image, Layer, Packed},
    skipped,
};

/// Scans the layout in `image` and writes the JSON report.
fn scan(project: &Project) -> Ran {
    project.run(&["scan", "oci:image", "--format", "json=report.json"])
}

/// Outcome and first finding or reason of a rule.
fn outcome(project: &Project, rule: &str) -> (String, String) {
    let report = project.json("report.json");
    let assessments = report["assessments"].as_array().unwrap();
    let found = assessments.iter().find(|a| a["name"] == rule).unwrap();
    let text = found["findings"][0]["message"]
        .as_str()
        .or(found["reason"].as_str())
        .unwrap_or_default();
    (
        found["outcome"].as_str().unwrap().to_owned(),
        text.to_owned(),
    )
}

fn layer() -> Layer {
    Layer::from("dir /etc\nfile /etc/os-release 0644 \"ID=rhel\\n\"")
}

fn packed(layer: Layer) -> Packed {
    Image::new().layer(layer).pack()
}

#[test]
fn a_damaged_layer_ends_in_an_error_that_names_the_layer_and_the_damage() {
    let whole = layer().bytes();
    let cut = whole[..whole.len() / 2].to_vec();
    let tar = layer().tar()[..700].to_vec();
    let lie = json!({ "type": "layers", "diff_ids": [format!("sha256:{}", "0".repeat(64))] });
    let climbing = {
        let mut tar = Vec::new();
        crate::support::image::link(
            &mut tar,
            tar_core::EntryType::Symlink,
            "../../etc/cron.d/x",
            "x",
        );
        tar.extend_from_slice(&[0; 1024]);
        Layer::from_tar(tar)
    };
    let cases = [
        (
            "truncated gzip",
            packed(layer().stored_as(cut)),
            "gzip stream",
        ),
        (
            "no gzip",
            packed(layer().stored_as(b"<html>".to_vec())),
            "media type",
        ),
        ("truncated tar", packed(Layer::from_tar(tar)), "tar archive"),
        (
            "climbing",
            packed(climbing),
            "`../../etc/cron.d/x` has a `..` component",
        ),
        (
            "diff id",
            Image::new().layer(layer()).set("rootfs", lie).pack(),
            "diff id: expected sha256:0000",
        ),
    ];
    for (name, image, words) in cases {
        let project = Project::new(&[]);
        image.write(&project.path().join("image"), "1");
        let before = project.files();
        let ran = scan(&project);
        assert_error(&ran, 4, &["layer", words, "hint: "]);
        assert_eq!(project.files(), before, "{name}");
    }
}

#[test]
fn a_blob_that_is_not_the_one_named_is_refused() {
    for at in ["layer", "config", "manifest"] {
        let project = Project::new(&[]);
        let mut image = packed(layer());
        let manifest: serde_json::Value = serde_json::from_slice(image.document()).unwrap();
        let digest = match at {
            "layer" => manifest["layers"][0]["digest"].clone(),
            "config" => manifest["config"]["digest"].clone(),
            _ => image.descriptor["digest"].clone(),
        };
        let bytes = image.blobs.get_mut(digest.as_str().unwrap()).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        image.write(&project.path().join("image"), "1");
        assert_error(
            &scan(&project),
            4,
            &["expected sha256:", "hint: the stored bytes are damaged"],
        );
    }
}

#[test]
fn what_is_no_image_is_said_so() {
    let project = Project::new(&[
        ("empty/x", ""),
        ("garbage.tar", "no archive at all"),
        ("image/oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}"),
        ("image/index.json", "{\"schemaVersion\":2,\"manifests\":["),
    ]);
    for (place, code, words) in [
        ("oci:nowhere", 4, "nowhere"),
        ("oci:empty", 4, "oci-layout"),
        ("oci:image", 4, "index.json"),
        ("oci-archive:garbage.tar", 4, "garbage.tar"),
        ("docker-archive:garbage.tar", 4, "garbage.tar"),
        ("docker-archive:empty", 4, "empty"),
        ("", 2, "image"),
        ("oci:", 2, "oci:"),
    ] {
        let ran = project.run(&["scan", place]);
        assert_error(&ran, code, &[words]);
    }
}

/// Databases of every format: garbage, cut in the middle, empty.
#[test]
fn a_damaged_rpm_database_is_a_finding_that_says_what_is_wrong() {
    let own = crate::rpmdb::own();
    let real = |name: &str, file: &str| crate::rpmdb::unpack(&own.join("db").join(name).join(file));
    let half = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    let sqlite = real("sqlite", "rpmdb.sqlite.zst");
    let mut scrambled = sqlite.clone();
    for (n, byte) in scrambled.iter_mut().enumerate().skip(4096) {
        *byte ^= u8::try_from(n % 251).unwrap();
    }
    let cases = [
        ("var/lib/rpm/rpmdb.sqlite", b"garbage".to_vec()),
        ("var/lib/rpm/rpmdb.sqlite", half(sqlite)),
        ("var/lib/rpm/rpmdb.sqlite", scrambled),
        ("var/lib/rpm/Packages", vec![0xff; 8192]),
        ("var/lib/rpm/Packages", half(real("bdb", "Packages.zst"))),
        ("usr/lib/sysimage/rpm/Packages.db", b"RpmP".to_vec()),
        (
            "usr/lib/sysimage/rpm/Packages.db",
            half(real("ndb", "Packages.db.zst")),
        ),
        ("var/lib/rpm/rpmdb.sqlite", Vec::new()),
    ];
    for (path, bytes) in cases {
        let project = Project::new(&[]);
        let image = packed(layer().file(path, 0o644, &bytes));
        image.write(&project.path().join("image"), "1");
        let ran = scan(&project);
        assert_eq!(ran.code, 1, "{path}: {ran}");
        let (list, why) = outcome(&project, "rpm_list_successful");
        assert_eq!(list, "failed", "{path}: {ran}");
        assert!(why.contains(path), "{path}: {why}");
        let (verify, _) = outcome(&project, "rpm_verify_successful");
        assert_eq!(verify, "failed", "{path}");
    }
}

#[test]
fn links_that_leave_the_image_do_not_reach_the_host() {
    let project = Project::new(&[("host/os-release", "ID=rhel\nPRETTY_NAME=FromTheHost\n")]);
    let host = project.path().join("host").canonicalize().unwrap();
    let host = host.display();
    let climb = "../".repeat(30);
    for layer in [
        format!("dir /etc\nsymlink /etc/os-release {host}/os-release"),
        format!("dir /etc\nsymlink /etc/os-release {climb}{host}/os-release"),
        format!("symlink /etc {host}"),
        format!("dir /usr\nsymlink /usr/lib {host}\nsymlink /licenses {host}"),
    ] {
        let image = Image::new().layer(layer.as_str());
        let target = project.path().join("image");
        let _ = fs::remove_dir_all(&target);
        image.write(&target, "1");
        let ran = scan(&project);
        assert_eq!(ran.code, 1, "{ran}");
        assert_eq!(outcome(&project, "is_rhel").0, "failed", "{layer}");
        assert_eq!(outcome(&project, "has_licenses").0, "failed", "{layer}");
        assert!(
            !project.read("report.json").contains("FromTheHost"),
            "{layer}"
        );
    }
}

#[test]
fn a_layer_of_100_000_entries_is_scanned() {
    let mut lines = String::from("dir /licenses\nfile /licenses/EULA 0644 \"terms\"\n");
    for n in 0..100_000 {
        writeln!(lines, "file /d/{n} 0644 \"\"").unwrap();
    }
    let project = Project::new(&[]);
    Image::new()
        .layer(lines.as_str())
        .write(&project.path().join("image"), "1");
    let ran = project.run(&["scan", "oci:image", "--only", "has_licenses"]);
    assert_eq!(ran.code, 0, "{ran}");
}

/// The archive is made by tar itself, beside a name that is no UTF-8 and holds a private key.
#[test]
fn a_sparse_file_of_10_gb_and_names_that_are_no_utf_8_are_scanned() {
    use std::os::unix::ffi::OsStrExt as _;
    if !has_program("tar") {
        skipped("sparse", "there is no tar");
        return;
    }
    let project = Project::new(&[("root/licenses/EULA", "terms")]);
    let root = project.path().join("root");
    let odd = root.join(std::ffi::OsStr::from_bytes(b"k\xff\xfe/.ssh"));
    fs::create_dir_all(&odd).unwrap();
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz\n-----END OPENSSH PRIVATE KEY-----\n";
    fs::write(odd.join("id_rsa"), key).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(10 << 30).unwrap();
    let archive = project.path().join("layer.tar");
    let mut tar = command("tar");
    tar.arg("-C")
        .arg(&root)
        .args(["--sparse", "-cf"])
        .arg(&archive)
        .arg(".");
    assert!(tar.status().unwrap().success());
    let layer = Layer::from_tar(fs::read(&archive).unwrap());
    Image::new()
        .layer(layer)
        .write(&project.path().join("image"), "1");
    let start = std::time::Instant::now();
    let formats = [
        "json",
        "sarif",
        "junit",
        "markdown",
        "github",
        "gitlab",
        "preflight",
    ];
    let mut args = vec!["scan".to_owned(), "oci:image".to_owned()];
    for format in formats {
        args.extend(["--format".to_owned(), format!("{format}=report.{format}")]);
    }
    args.extend([
        "--only".to_owned(),
        "has_licenses,has_no_secrets".to_owned(),
    ]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ran = project.run(&args);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(start.elapsed() < Duration::from_mins(1));
    assert_eq!(outcome(&project, "has_licenses").0, "passed");
    assert_eq!(outcome(&project, "has_no_secrets").0, "failed");
    for format in formats {
        let text = project.read(&format!("report.{format}"));
        let name = if format == "markdown" {
            r"id\_rsa"
        } else {
            "id_rsa"
        };
        assert!(
            text.contains(name) || format == "preflight",
            "{format}: {text}"
        );
    }
}
