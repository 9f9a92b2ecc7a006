//! Where an image's bytes come from.
use std::path::Path;
#[test]
fn smoke() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["good", "layers-45", "ubi-like"] {
        let t = std::time::Instant::now();
        let out = dir.path().join(name);
        let a = Path::new("/tmp/fixture-images/archives");
        let digest = plimsoll::layout::import_docker_archive(
            &a.join(format!("{name}.docker.tar")),
            &out,
            &["localhost:5000/x:1".into()],
        )
        .unwrap();
        println!("{name} {digest} {:?}", t.elapsed());
        let o = std::process::Command::new("skopeo")
            .args(["inspect", "--raw"])
            .arg(format!("oci:{}:1", out.display()))
            .output()
            .unwrap();
        println!("{}", String::from_utf8_lossy(&o.stdout).len());
        println!("{}", String::from_utf8_lossy(&o.stderr));
        let out = dir.path().join(format!("{name}-2"));
        let t = std::time::Instant::now();
        let digest =
            plimsoll::layout::unpack_oci_archive(&a.join(format!("{name}.oci.tar")), &out).unwrap();
        println!("{name} {digest} {:?}", t.elapsed());
    }
}
