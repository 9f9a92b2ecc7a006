//! What is asked of `BuildKit`: the attributes of its Dockerfile frontend and the exporter. Pure.

use std::collections::HashMap;

use bollard_buildkit_proto::moby::buildkit::v1::{CacheOptions, Exporter, SolveRequest};
use indexmap::IndexMap;

use super::{
    bases::Prepared,
    cache::{CacheError, imports_attribute, parse},
};
use crate::engine::BuildPlan;

/// Name of the local directory that is the context.
pub(crate) const CONTEXT: &str = "context";
/// Name of the local directory that holds the Dockerfile.
pub(crate) const DOCKERFILE: &str = "dockerfile";

/// How the image leaves the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Export {
    /// an OCI archive over the session; also kept in the engine's store under `keep`
    Archive {
        /// names
        keep: Vec<String>,
    },
    /// into the engine's store, to be saved from there
    Store {
        /// names
        names: Vec<String>,
    },
}

/// The whole request, for a session that serves the directories.
pub(crate) fn solve_request(
    plan: &BuildPlan,
    dockerfile: &str,
    prepared: &Prepared,
    export: &Export,
    session: &str,
) -> Result<SolveRequest, CacheError> {
    let imports = plan
        .cache_from
        .iter()
        .map(|text| parse(text))
        .collect::<Result<Vec<_>, _>>()?;
    let exports = plan
        .cache_to
        .iter()
        .map(|text| parse(text))
        .collect::<Result<Vec<_>, _>>()?;
    let mut attrs = attributes(plan, dockerfile, prepared);
    if !imports.is_empty() {
        attrs.insert("cache-imports".to_owned(), imports_attribute(&imports));
    }
    let exporters = exporters(plan, export);
    let first = exporters.first().cloned().unwrap_or_default();
    let entitlements = match plan.network.as_deref() {
        Some("host") => vec!["network.host".to_owned()],
        _ => Vec::new(),
    };
    Ok(SolveRequest {
        session: session.to_owned(),
        frontend: "dockerfile.v0".to_owned(),
        frontend_attrs: attrs.into_iter().collect(),
        // Engines before BuildKit 0.13 read only these two.
        exporter_deprecated: first.r#type,
        exporter_attrs_deprecated: first.attrs,
        exporters,
        cache: Some(CacheOptions {
            imports,
            exports,
            ..CacheOptions::default()
        }),
        entitlements,
        ..SolveRequest::default()
    })
}

fn attributes(plan: &BuildPlan, dockerfile: &str, prepared: &Prepared) -> IndexMap<String, String> {
    let mut attrs = IndexMap::new();
    let mut set = |key: &str, value: String| {
        attrs.insert(key.to_owned(), value);
    };
    set("filename", dockerfile.to_owned());
    if let Some(target) = &plan.target {
        set("target", target.clone());
    }
    for (name, value) in &plan.args {
        set(&format!("build-arg:{name}"), value.clone());
    }
    for (name, value) in &plan.labels {
        set(&format!("label:{name}"), value.clone());
    }
    if !plan.platforms.is_empty() {
        set(
            "platform",
            joined(plan.platforms.iter().map(ToString::to_string)),
        );
    }
    if plan.no_cache {
        set("no-cache", String::new());
    }
    if plan.pull && !prepared.stored {
        set("image-resolve-mode", "pull".to_owned());
    }
    if !plan.add_hosts.is_empty() {
        let hosts = plan
            .add_hosts
            .iter()
            .map(|(host, address)| format!("{host}={address}"));
        set("add-hosts", joined(hosts));
    }
    if let Some(network @ ("none" | "host")) = plan.network.as_deref() {
        set("force-network-mode", network.to_owned());
    }
    if plan.ignore_syntax {
        // The frontend looks for a `# syntax` line only while nothing was said here.
        set("cmdline", "builtin".to_owned());
    }
    if let Some(epoch) = plan.source_date_epoch {
        set("build-arg:SOURCE_DATE_EPOCH", epoch.to_string());
    }
    if !prepared.contexts.is_empty() {
        // A frontend that does not know named contexts must refuse, not pull from the network.
        set(
            "frontend.caps",
            "moby.buildkit.frontend.contexts+forward".to_owned(),
        );
    }
    for (key, value) in &prepared.contexts {
        set(key, value.clone());
    }
    attrs
}

fn exporters(plan: &BuildPlan, export: &Export) -> Vec<Exporter> {
    match export {
        Export::Store { names } => {
            vec![exporter("moby", [("name", joined(names.iter().cloned()))])]
        }
        Export::Archive { keep } => {
            let mut archive = exporter("oci", [("oci-mediatypes", "true".to_owned())]);
            if !plan.names.is_empty() {
                archive
                    .attrs
                    .insert("name".to_owned(), joined(plan.names.iter().cloned()));
            }
            if plan.source_date_epoch.is_some() {
                archive
                    .attrs
                    .insert("rewrite-timestamp".to_owned(), "true".to_owned());
            }
            let mut all = vec![archive];
            if !keep.is_empty() {
                // The same media types, so that both are the same image by the same digest.
                let names = joined(keep.iter().cloned());
                let types = "true".to_owned();
                all.push(exporter(
                    "moby",
                    [("name", names), ("oci-mediatypes", types)],
                ));
            }
            all
        }
    }
}

fn exporter<const N: usize>(kind: &str, attrs: [(&str, String); N]) -> Exporter {
    let attrs: HashMap<String, String> = attrs.map(|(key, value)| (key.to_owned(), value)).into();
    Exporter {
        r#type: kind.to_owned(),
        attrs,
    }
}

fn joined(values: impl Iterator<Item = String>) -> String {
    values.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(pairs: &[(&str, &str)]) -> IndexMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn request(plan: &BuildPlan, export: &Export) -> SolveRequest {
        solve_request(
            plan,
            "Dockerfile.prod",
            &Prepared::default(),
            export,
            "session",
        )
        .unwrap()
    }

    #[test]
    fn everything_that_was_asked_becomes_an_attribute() {
        let plan = BuildPlan {
            target: Some("app".into()),
            args: strings(&[("A", "1,2")]),
            labels: strings(&[("l", "v")]),
            platforms: vec![
                "linux/amd64".parse().unwrap(),
                "linux/arm64/v8".parse().unwrap(),
            ],
            no_cache: true,
            pull: true,
            network: Some("host".into()),
            add_hosts: strings(&[("db", "10.0.0.1"), ("six", "::1")]),
            ignore_syntax: true,
            source_date_epoch: Some(0),
            cache_from: vec!["r.io/c:1".into()],
            cache_to: vec!["type=inline".into()],
            ..BuildPlan::default()
        };
        let request = request(&plan, &Export::Archive { keep: Vec::new() });
        for (key, value) in [
            ("filename", "Dockerfile.prod"),
            ("target", "app"),
            ("build-arg:A", "1,2"),
            ("label:l", "v"),
            ("platform", "linux/amd64,linux/arm64/v8"),
            ("no-cache", ""),
            ("image-resolve-mode", "pull"),
            ("force-network-mode", "host"),
            ("add-hosts", "db=10.0.0.1,six=::1"),
            ("cmdline", "builtin"),
            ("build-arg:SOURCE_DATE_EPOCH", "0"),
            (
                "cache-imports",
                r#"[{"Type":"registry","Attrs":{"ref":"r.io/c:1"}}]"#,
            ),
        ] {
            assert_eq!(
                request.frontend_attrs.get(key).map(String::as_str),
                Some(value),
                "{key}"
            );
        }
        let cache = request.cache.unwrap();
        assert_eq!((cache.imports.len(), cache.exports.len()), (1, 1));
        assert_eq!(request.entitlements, ["network.host"]);
        assert_eq!(request.exporters[0].attrs["rewrite-timestamp"], "true");
    }

    #[test]
    fn a_plain_build_asks_for_nothing_more() {
        let request = request(&BuildPlan::default(), &Export::Archive { keep: Vec::new() });
        assert_eq!(request.frontend_attrs.len(), 1);
        assert!(request.entitlements.is_empty());
        assert_eq!(request.definition, None);
    }

    #[test]
    fn the_exporter_is_told_to_old_and_new_engines() {
        let export = Export::Store {
            names: vec!["a:1".into(), "b:1".into()],
        };
        let request = request(&BuildPlan::default(), &export);
        assert_eq!(request.exporter_deprecated, "moby");
        assert_eq!(request.exporter_attrs_deprecated["name"], "a:1,b:1");
        assert_eq!(request.exporters[0].r#type, "moby");
        assert_eq!(request.exporters[0].attrs["name"], "a:1,b:1");
    }

    #[test]
    fn images_put_into_the_store_are_not_pulled_anew() {
        let plan = BuildPlan {
            pull: true,
            ..BuildPlan::default()
        };
        let prepared = Prepared {
            stored: true,
            ..Prepared::default()
        };
        let export = Export::Archive { keep: Vec::new() };
        let request = solve_request(&plan, "D", &prepared, &export, "s").unwrap();
        assert!(!request.frontend_attrs.contains_key("image-resolve-mode"));
    }

    #[test]
    fn named_contexts_oblige_the_frontend() {
        let prepared = Prepared {
            contexts: strings(&[("context:r.io/a:1", "docker-image://m.io/a:1")]),
            ..Prepared::default()
        };
        let export = Export::Archive { keep: Vec::new() };
        let request = solve_request(&BuildPlan::default(), "D", &prepared, &export, "s").unwrap();
        assert_eq!(
            request.frontend_attrs["context:r.io/a:1"],
            "docker-image://m.io/a:1"
        );
        assert!(request.frontend_attrs["frontend.caps"].contains("contexts"));
    }

    #[test]
    fn a_bad_cache_stops_before_anything_is_asked() {
        let plan = BuildPlan {
            cache_to: vec!["type=local,dest=x".into()],
            ..BuildPlan::default()
        };
        let export = Export::Archive { keep: Vec::new() };
        assert!(solve_request(&plan, "D", &Prepared::default(), &export, "s").is_err());
    }
}
