//! Any text as a Dockerfile and as a trigger of its base image: it is lowered or refused, and what
//! was lowered refers only to what is there.
#![no_main]

use indexmap::IndexMap;
use libfuzzer_sys::fuzz_target;
use plimsoll::{
    engine::embedded::frontend::{
        FrontendRequest, ResolveError, ResolveImage, ResolvedBase, dump_llb, lower,
    },
    oci::{Platform, sha256},
};

struct Images(Vec<u8>);

impl ResolveImage for Images {
    fn resolve(&mut self, name: &str, _: &Platform) -> Result<ResolvedBase, ResolveError> {
        Ok(ResolvedBase {
            manifest: sha256(name.as_bytes()),
            config: self.0.clone(),
        })
    }
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let trigger = text.lines().last().unwrap_or("");
    let config = serde_json::json!({"config": {"OnBuild": [trigger]}, "rootfs": {"diff_ids": ["x"]}});
    let args = IndexMap::from([("A".to_owned(), "b".to_owned())]);
    let platform: Platform = "linux/amd64".parse().expect("a platform");
    let request = FrontendRequest {
        file: "Dockerfile",
        text: &text,
        target: None,
        args: &args,
        labels: &args,
        platform: &platform,
        network: None,
        add_hosts: &args,
        ignore_syntax: true,
    };
    let mut images = Images(config.to_string().into_bytes());
    match lower(&request, &mut images) {
        Ok(graph) => {
            assert!(graph.result.is_none_or(|id| id.0 < graph.vertices.len()));
            let _ = dump_llb(&graph, "Dockerfile");
        }
        Err(refusals) => assert!(!refusals.is_empty()),
    }
});
