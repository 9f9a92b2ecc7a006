//! The embedded engine's frontend against BuildKit's: `tests/data/frontend/cases.json` are
//! Dockerfiles, `answers.json` is what BuildKit's own frontend makes of them (configuration,
//! history, names of vertices, commands with their environment and mounts).
//! `tests/data/frontend/record.sh` records the answers anew.

use std::{collections::BTreeMap, fmt::Write as _};

use indexmap::IndexMap;
use plimsoll::{
    engine::embedded::{
        frontend::{
            FrontendRequest, Refusal, RefusalKind, ResolveError, ResolveImage, ResolvedBase,
            dump_llb, lower,
        },
        graph::{Graph, MountKind, Network, Op, Sharing},
    },
    oci::{Platform, sha256},
};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Cases {
    images: BTreeMap<String, Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    dockerfile: String,
    args: IndexMap<String, String>,
    target: String,
    labels: IndexMap<String, String>,
}

#[derive(Deserialize)]
struct Answer {
    name: String,
    error: Option<String>,
    config: Option<Value>,
    history: Option<Value>,
    names: Option<Vec<String>>,
    execs: Option<Vec<Value>>,
}

struct Images<'a>(&'a BTreeMap<String, Value>);

impl ResolveImage for Images<'_> {
    fn resolve(&mut self, name: &str, _: &Platform) -> Result<ResolvedBase, ResolveError> {
        let config = self.0.get(name).ok_or_else(|| ResolveError {
            message: format!("no image {name}"),
            remedy: None,
        })?;
        Ok(ResolvedBase {
            manifest: sha256(name.as_bytes()),
            config: serde_json::to_vec(config).unwrap(),
        })
    }
}

fn lowered(case: &Case, images: &BTreeMap<String, Value>) -> Result<Graph, Vec<Refusal>> {
    let request = FrontendRequest {
        file: "Dockerfile",
        text: &case.dockerfile,
        target: Some(&case.target),
        args: &case.args,
        labels: &case.labels,
        platform: &"linux/amd64".parse().unwrap(),
        network: None,
        add_hosts: &IndexMap::new(),
        ignore_syntax: false,
    };
    lower(&request, &mut Images(images))
}

#[test]
fn dockerfiles_are_lowered_as_buildkit_lowers_them() {
    let Cases { images, cases } =
        serde_json::from_str(include_str!("../data/frontend/cases.json")).unwrap();
    let answers: Vec<Answer> =
        serde_json::from_str(include_str!("../data/frontend/answers.json")).unwrap();
    assert_eq!(cases.len(), answers.len());
    let mut report = String::new();
    for (case, answer) in cases.iter().zip(&answers) {
        assert_eq!(case.name, answer.name);
        let differences = match (lowered(case, &images), &answer.error) {
            (Err(_), Some(_)) => Vec::new(),
            (Err(refusals), None) => vec![format!("refused: {refusals:?}")],
            (Ok(_), Some(error)) => vec![format!("lowered; BuildKit: {error}")],
            (Ok(graph), None) => differences(&graph, answer),
        };
        for difference in differences {
            writeln!(report, "{}: {difference}", case.name).unwrap();
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

/// Where BuildKit 0.8 (Docker Engine 20.10, which recorded `engine.jsonl`) differs from the BuildKit
/// of today, which is what ours is held to.
const OLD_ENGINE: [(&str, &str); 7] = [
    ("onbuild nested", "a trigger may set a trigger"),
    ("arg platform", "there is TARGETSTAGE"),
    ("arg target stage", "there is TARGETSTAGE"),
    ("arg buildkit", "what asks for an SBOM is no variable"),
    ("copy chmod symbolic", "modes may be symbolic"),
    ("copy chmod bad", "modes are checked"),
    ("copy chmod symbolic bad", "modes are checked"),
];

#[test]
fn images_are_configured_as_a_docker_engine_configures_them() {
    let Cases { images, cases } =
        serde_json::from_str(include_str!("../data/frontend/cases.json")).unwrap();
    let mut report = String::new();
    let mut compared = 0;
    for line in include_str!("../data/frontend/engine.jsonl").lines() {
        let answer: Answer = serde_json::from_str(line).unwrap();
        if OLD_ENGINE.iter().any(|(name, _)| *name == answer.name) {
            continue;
        }
        let case = cases.iter().find(|case| case.name == answer.name).unwrap();
        let graph = lowered(case, &images).unwrap();
        let mut theirs = answer.config.unwrap();
        // The exporter of the Docker Engine writes keys without a value.
        let keys = theirs["config"].as_object_mut().unwrap();
        keys.retain(|_, value| !value.is_null());
        if graph.config != theirs {
            writeln!(report, "{}: {} is {theirs}", case.name, graph.config).unwrap();
        }
        // The wording of ARG (values put in), of RUN below it, of HEALTHCHECK and of --chown is newer.
        let newer = |text: &str| {
            let words = [
                "ARG",
                "HEALTHCHECK",
                "RUN |",
                "COPY --chown",
                "COPY --chmod",
            ];
            words.iter().any(|word| text.starts_with(word))
        };
        let written = graph
            .history
            .iter()
            .map(|entry| (entry.created_by.as_str(), entry.empty_layer));
        let history = answer.history.unwrap();
        let theirs = history.as_array().unwrap().iter().map(|entry| {
            (
                entry["created_by"].as_str().unwrap(),
                entry["empty_layer"].as_bool().unwrap(),
            )
        });
        assert_eq!(
            written.clone().count(),
            theirs.clone().count(),
            "{}",
            case.name
        );
        for (own, theirs) in written.zip(theirs) {
            if own != theirs && !(newer(own.0) && own.1 == theirs.1) {
                writeln!(report, "{}: {own:?} is {theirs:?}", case.name).unwrap();
            }
        }
        compared += 1;
    }
    assert!(report.is_empty(), "\n{report}");
    assert!(compared > 30, "{compared}");
}

fn differences(graph: &Graph, answer: &Answer) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, own: Value, theirs: Value| {
        if own != theirs {
            found.push(format!("{what}\n   own    {own}\n   theirs {theirs}"));
        }
    };
    compare(
        "config",
        graph.config.clone(),
        answer.config.clone().unwrap(),
    );
    // The base's own entries are not told again, except when there is no layer to look them up by.
    let written = graph
        .history
        .iter()
        .filter(|entry| !entry.comment.is_empty());
    let history = written.map(|entry| {
        json!({"created_by": entry.created_by, "comment": entry.comment, "empty_layer": entry.empty_layer})
    });
    compare(
        "history",
        history.collect(),
        answer.history.clone().unwrap(),
    );
    let mut names: Vec<&str> = graph
        .vertices
        .iter()
        .map(|vertex| vertex.name.as_str())
        .filter(|name| !name.starts_with("[internal]"))
        .collect();
    names.sort_unstable();
    names.dedup();
    let mut theirs: Vec<&str> = answer.names.iter().flatten().map(String::as_str).collect();
    theirs.sort_unstable();
    theirs.dedup();
    // BuildKit counts anew each time that a trigger makes it look at the stages again.
    if answer.name != "onbuild run" {
        compare("names", json!(names), json!(theirs));
    }
    let own = graph.vertices.iter().filter_map(|vertex| match &vertex.op {
        Op::Exec(exec) => Some(exec),
        _ => None,
    });
    let mut own: Vec<Value> = own
        .map(|exec| {
            let env = exec
                .env
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            let network = match exec.network {
                Network::Default => "UNSET",
                Network::Host => "HOST",
                Network::None => "NONE",
            };
            json!({
                "args": exec.args, "cwd": exec.cwd, "user": exec.user, "network": network,
                "env": env.collect::<Vec<String>>(),
                "mounts": exec.mounts.iter().filter_map(mount).collect::<BTreeMap<_, _>>(),
            })
        })
        .collect();
    let mut theirs: Vec<Value> = answer.execs.iter().flatten().map(their_exec).collect();
    own.sort_by_key(Value::to_string);
    theirs.sort_by_key(Value::to_string);
    compare("execs", json!(own), json!(theirs));
    found
}

/// Target → what BuildKit's message of the mount says.
fn mount(mount: &plimsoll::engine::embedded::graph::Mount) -> Option<(String, Value)> {
    let id = |uid: &u32, gid: &u32, mode: &u32, required: &bool, id: &str| json!({"ID": id, "uid": uid, "gid": gid, "mode": mode, "optional": !required});
    let told = match &mount.kind {
        MountKind::Bind {
            source, writable, ..
        } => {
            json!({"type": "BIND", "selector": source, "readonly": !writable})
        }
        MountKind::Cache {
            id,
            sharing,
            source,
            read_only,
            mode,
            uid,
            gid,
            ..
        } => {
            let sharing = match sharing {
                Sharing::Shared => 0,
                Sharing::Private => 1,
                Sharing::Locked => 2,
            };
            let owned = (*mode, *uid, *gid) != (0o755, 0, 0);
            let source = if owned { "/cache" } else { source };
            json!({"type": "CACHE", "selector": source, "readonly": read_only,
                "cache": {"id": format!("/{id}"), "sharing": sharing}})
        }
        MountKind::Tmpfs { size } => json!({"type": "TMPFS", "size": size}),
        MountKind::Secret { file: false, .. } => return None,
        MountKind::Secret {
            id: name,
            required,
            mode,
            uid,
            gid,
            ..
        } => {
            json!({"type": "SECRET", "of": id(uid, gid, mode, required, name)})
        }
        MountKind::Ssh {
            id: name,
            required,
            mode,
            uid,
            gid,
        } => {
            json!({"type": "SSH", "of": id(uid, gid, mode, required, name)})
        }
    };
    Some((mount.target.clone(), told))
}

fn their_exec(exec: &Value) -> Value {
    let mounts = exec["mounts"].as_array().unwrap().iter().map(|mount| {
        let number = |of: &Value, key: &str| of.get(key).and_then(Value::as_u64).unwrap_or(0);
        let owned = |of: &Value| {
            let optional = of.get("optional").and_then(Value::as_bool).unwrap_or(false);
            let id = of["ID"].as_str().unwrap_or("default");
            json!({"ID": id, "uid": number(of, "uid"), "gid": number(of, "gid"),
                "mode": number(of, "mode"), "optional": optional})
        };
        let kind = mount["type"].as_str().unwrap();
        let selector = mount["selector"].as_str().filter(|text| !text.is_empty());
        let readonly = &mount["readonly"];
        let told = match kind {
            "BIND" => {
                json!({"type": kind, "selector": selector.unwrap_or("/"), "readonly": readonly})
            }
            "CACHE" => {
                let cache = &mount["cache"];
                json!({"type": kind, "selector": selector.unwrap_or("/"), "readonly": readonly,
                    "cache": {"id": cache["ID"], "sharing": number(cache, "sharing")}})
            }
            "TMPFS" => json!({"type": kind, "size": mount["tmpfs"].get("size")}),
            "SECRET" => json!({"type": kind, "of": owned(&mount["secret"])}),
            _ => json!({"type": kind, "of": owned(&mount["ssh"])}),
        };
        (mount["dest"].as_str().unwrap().to_owned(), told)
    });
    json!({
        "args": exec["args"], "cwd": exec["cwd"], "user": exec["user"], "network": exec["network"],
        "env": exec["env"], "mounts": mounts.collect::<BTreeMap<_, _>>(),
    })
}

#[test]
fn what_is_not_supported_is_refused_by_name_and_line() {
    let text = "# syntax=docker/dockerfile:1\nFROM base\nRUN --security=insecure x\n\
                RUN --device=gpu y\nRUN --mount=type=tmpfs,target=/t,ro z\n\
                ENV A=${B:?give}\n";
    let case = Case {
        name: String::new(),
        dockerfile: text.to_owned(),
        args: IndexMap::new(),
        target: String::new(),
        labels: IndexMap::new(),
    };
    let images = BTreeMap::from([("base".to_owned(), json!({"rootfs": {"diff_ids": ["x"]}}))]);
    let refusals = lowered(&case, &images).unwrap_err();
    let told: Vec<(u32, RefusalKind)> = refusals
        .iter()
        .map(|refusal| (refusal.location.as_ref().unwrap().line, refusal.kind))
        .collect();
    let unsupported = RefusalKind::Unsupported;
    let want = [
        (3, unsupported),
        (4, unsupported),
        (5, unsupported),
        (6, RefusalKind::Fault),
    ];
    assert_eq!(told, want, "{refusals:#?}");
    let other = Case {
        dockerfile: "# syntax=example.org/own:1\nFROM scratch\nRUN x\n".to_owned(),
        ..case
    };
    let refusals = lowered(&other, &images).unwrap_err();
    assert!(refusals[0].message.contains("`example.org/own:1`"));
    assert_eq!(refusals[0].location.as_ref().unwrap().line, 1);
    for (check, refused) in [
        ("error=true", true),
        ("bogus=1", true),
        ("skip=JSONArgsRecommended;error=1", true),
        ("skip=all;error=true", false),
        ("error=false", false),
    ] {
        let text = format!("# escape=\\\n# check={check}\nFROM scratch\nCOPY a /\n");
        match lowered(&one(&text), &BTreeMap::new()) {
            Ok(_) => assert!(!refused, "{check}"),
            Err(refusals) => {
                assert!(refused, "{check}: {refusals:?}");
                assert_eq!(refusals[0].location.as_ref().unwrap().line, 2);
                assert_eq!(refusals[0].kind, RefusalKind::Unsupported);
            }
        }
    }
}

#[test]
fn faults_of_all_lines_and_images_are_told_at_once() {
    let text = "FROM nope AS a\nFROM scratch\nCOPY --from=a /x /\nCOPY --from=gone /x /\n\
                COPY --chmod=9 a /\nEXPOSE x\n";
    let case = Case {
        name: String::new(),
        dockerfile: text.to_owned(),
        args: IndexMap::new(),
        target: String::new(),
        labels: IndexMap::new(),
    };
    let refusals = lowered(&case, &BTreeMap::new()).unwrap_err();
    let lines: Vec<u32> = refusals
        .iter()
        .map(|refusal| refusal.location.as_ref().unwrap().line)
        .collect();
    assert_eq!(lines, [1, 4, 5, 6], "{refusals:#?}");
}

fn one(dockerfile: &str) -> Case {
    Case {
        name: String::new(),
        dockerfile: dockerfile.to_owned(),
        args: IndexMap::from([("A".to_owned(), "$B".to_owned())]),
        target: String::new(),
        labels: IndexMap::new(),
    }
}

#[test]
fn a_dumped_graph_is_a_definition_whose_operations_name_each_other_by_digest() {
    use bollard_buildkit_proto::pb;
    use prost::Message as _;

    let text = "FROM base AS build\nWORKDIR /src\nCOPY --exclude=*.o . .\n\
                RUN --mount=type=cache,target=/c,sharing=locked --mount=type=secret,id=s --network=none make\n\
                FROM scratch\nCOPY --link --from=build /out /\nCOPY <<EOF /x\nhello\nEOF\n";
    let images = BTreeMap::from([("base".to_owned(), json!({"rootfs": {"diff_ids": ["x"]}}))]);
    let graph = lowered(&one(text), &images).unwrap();
    let bytes = dump_llb(&graph, "Dockerfile").unwrap();
    let definition = pb::Definition::decode(bytes.as_slice()).unwrap();
    let mut known = std::collections::BTreeSet::new();
    let mut kinds = BTreeMap::<&str, usize>::new();
    for bytes in &definition.def {
        let op = pb::Op::decode(bytes.as_slice()).unwrap();
        for input in &op.inputs {
            assert!(known.contains(&input.digest), "{input:?} is not known yet");
        }
        let digest = sha256(bytes).to_string();
        let kind = match op.op {
            Some(pb::op::Op::Source(source)) => {
                let image = source
                    .identifier
                    .starts_with("docker-image://docker.io/library/base");
                if image { "image" } else { "local" }
            }
            Some(pb::op::Op::Exec(exec)) => {
                let meta = exec.meta.unwrap();
                assert_eq!(meta.args, ["/bin/sh", "-c", "make"]);
                assert_eq!(meta.cwd, "/src");
                assert_eq!(exec.network, pb::NetMode::None as i32);
                assert_eq!(exec.mounts.len(), 3);
                "exec"
            }
            Some(pb::op::Op::File(_)) => "file",
            Some(pb::op::Op::Merge(_)) => "merge",
            _ => "end",
        };
        *kinds.entry(kind).or_default() += 1;
        known.insert(digest);
    }
    let want = [
        ("end", 1),
        ("exec", 1),
        ("file", 5),
        ("image", 1),
        ("local", 1),
    ];
    let mut kinds: Vec<(&str, usize)> = kinds.into_iter().collect();
    kinds.retain(|(kind, _)| *kind != "merge");
    assert_eq!(kinds, want);
    let named = |name: &str| {
        let mut metadata = definition.metadata.values();
        metadata.any(|data| data.description.values().any(|text| text.contains(name)))
    };
    assert!(named("[build 4/4] RUN --mount=type=cache"));
}

#[test]
fn what_llb_has_no_words_for_is_refused_by_name_and_line() {
    let text =
        "FROM scratch\nUSER 1\nWORKDIR /w\nRUN [\"/x\"]\nADD https://x/y /\nCOPY --chown=1 a /\n";
    let graph = lowered(&one(text), &BTreeMap::new()).unwrap();
    let refusals = dump_llb(&graph, "Dockerfile").unwrap_err();
    let lines: Vec<u32> = refusals
        .iter()
        .map(|refusal| refusal.location.as_ref().unwrap().line)
        .collect();
    assert_eq!(lines.first(), Some(&3), "{refusals:#?}");
    assert!(
        refusals
            .iter()
            .any(|refusal| refusal.message.contains("http source https://x/y"))
    );
}

#[test]
fn values_that_double_from_line_to_line_are_refused() {
    let mut text = "FROM scratch\nENV A=0123456789\n".to_owned();
    text.push_str(&"ENV A=$A$A\n".repeat(60));
    text.push_str(&"LABEL a=$A\n".repeat(1000));
    let mut case = one(&text);
    case.args.clear();
    let refusals = lowered(&case, &BTreeMap::new()).unwrap_err();
    assert!(
        refusals[0].message.contains("longer than"),
        "{}",
        refusals[0]
    );
}

proptest::proptest! {
    #[test]
    fn any_text_is_lowered_or_refused(
        lines in proptest::collection::vec(
            "(FROM|from|ARG|ENV|LABEL|RUN|COPY|ADD|USER|WORKDIR|EXPOSE|VOLUME|CMD|ENTRYPOINT|SHELL|HEALTHCHECK|STOPSIGNAL|ONBUILD|# escape=|MAINTAINER|)[ =]?(--mount=type=cache,|--from=|--chmod=|--interval=|AS )?[a-z0-9$\\{\\}:\\-+?#%/*'\"\\\\ ,=<>\\[\\]\\.@é\n]{0,30}",
            0..8,
        ),
    ) {
        let text = format!("FROM base\n{}", lines.join("\n"));
        let images = BTreeMap::from([("base".to_owned(), json!({"config": {"OnBuild": [lines.first()]}}))]);
        for text in [text.as_str(), &lines.join("\n")] {
            match lowered(&one(text), &images) {
                Ok(graph) => {
                    let layers = graph.history.iter().filter(|entry| !entry.empty_layer).count();
                    proptest::prop_assert!(layers <= graph.vertices.len());
                    let _ = dump_llb(&graph, "Dockerfile");
                }
                Err(refusals) => proptest::prop_assert!(!refusals.is_empty()),
            }
        }
    }
}
