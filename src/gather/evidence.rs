//! What an image's own files say of where its packages come from, for the advisories.
//!
//! Read are os-release, the content manifests that Red Hat's builds leave behind, `labels.json`,
//! dnf's history, and which of Red Hat's repositories are enabled.

use std::collections::HashMap;

use serde::Deserialize;

use crate::{
    advisory::matching::{Evidence, Installed, LayerEvidence},
    oci::ImagePath,
    rpm::{self, Nevra},
    subject::{Inventory, Packages},
};

/// Histories of dnf and dnf5.
const HISTORIES: [&str; 2] = [
    "/var/lib/dnf/history.sqlite",
    "/usr/lib/sysimage/libdnf5/transaction_history.sqlite",
];

/// What an image says of where its packages come from.
pub(super) struct Found {
    pub(super) evidence: Evidence,
    /// repositories by package, from dnf's history
    pub(super) history: HashMap<Nevra, String>,
    /// what could not be read
    pub(super) unread: Vec<String>,
}

/// Only what matters of a content manifest.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    content_sets: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Labels {
    cpe: Option<String>,
}

/// What the files say, and which of them could not be read.
pub(super) fn evidence(inventory: &Inventory) -> Found {
    let mut found = Evidence {
        os: os_release(inventory, "ID").map(|id| id.to_lowercase()),
        version: os_release(inventory, "VERSION_ID"),
        layers: vec![LayerEvidence::default(); inventory.layers.len()],
        streams: Vec::new(),
    };
    let mut unread = Vec::new();
    for (path, content) in &inventory.kept {
        let Some(layer) = inventory.tree.get(path).map(|entry| entry.layer) else {
            continue;
        };
        let Some(of_layer) = found.layers.get_mut(layer.0 as usize) else {
            continue;
        };
        if path.as_bytes().starts_with(b"/etc/dnf/modules.d/") {
            found
                .streams
                .extend(streams(&String::from_utf8_lossy(content)));
            continue;
        }
        if let Err(error) = read(path, content, of_layer) {
            unread.push(format!("{path} cannot be read: {error}"));
        }
    }
    Found {
        history: history(inventory, &mut unread),
        evidence: found,
        unread,
    }
}

/// Later installations replace earlier ones; a history that is not there says nothing.
fn history(inventory: &Inventory, unread: &mut Vec<String>) -> HashMap<Nevra, String> {
    let mut repositories = HashMap::new();
    for path in HISTORIES {
        let Some(bytes) = inventory.kept_file(path) else {
            if inventory.tree.contains_key(&ImagePath::from(path)) {
                unread.push(format!("{path} is too large to be read"));
            }
            continue;
        };
        match rpm::history(bytes, inventory.kept_file(&format!("{path}-wal"))) {
            Ok(list) => repositories.extend(list.into_iter().map(|one| {
                let nevra = without_zero(one.nevra);
                (nevra, one.repository)
            })),
            Err(error) => unread.push(format!("{path}: {error}")),
        }
    }
    repositories
}

/// dnf writes 0 for an epoch that is not there.
fn without_zero(nevra: Nevra) -> Nevra {
    Nevra {
        epoch: nevra.epoch.filter(|epoch| *epoch != 0),
        ..nevra
    }
}

fn read(path: &ImagePath, content: &[u8], to: &mut LayerEvidence) -> Result<(), serde_json::Error> {
    let path = path.as_bytes();
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let manifest =
        path.starts_with(b"root/buildinfo/content_manifests/") && path.ends_with(b".json");
    if path == b"etc/yum.repos.d/redhat.repo" || path == b"etc/yum.repos.d/ubi.repo" {
        to.enabled
            .extend(enabled(&String::from_utf8_lossy(content)));
    } else if path == b"usr/share/buildinfo/labels.json" {
        let labels: Labels = serde_json::from_slice(content)?;
        // some builds wrote the label with its quotes
        to.cpe = labels
            .cpe
            .map(|cpe| cpe.trim_matches('"').to_owned())
            .filter(|cpe| !cpe.is_empty());
    } else if manifest
        || path == b"usr/share/buildinfo/content-sets.json"
        || path == b"usr/share/buildinfo/content_manifest.json"
    {
        let manifest: Manifest = serde_json::from_slice(content)?;
        to.content_sets
            .extend(manifest.content_sets.unwrap_or_default());
    }
    Ok(())
}

/// Ids of the enabled repositories of packages with code; dnf enables one that does not say.
fn enabled(text: &str) -> Vec<String> {
    let mut found: Vec<(String, bool)> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(id) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            found.push((id.to_owned(), true));
        } else if let Some((name, value)) = line.split_once('=')
            && let Some((_, on)) = found.last_mut()
            && name.trim().eq_ignore_ascii_case("enabled")
        {
            let value = value.trim().to_ascii_lowercase();
            *on = ["1", "yes", "true", "on"].contains(&value.as_str());
        }
    }
    let aside = |id: &str| id.contains("-debug") || id.contains("-source");
    found
        .into_iter()
        .filter(|(id, on)| *on && !aside(id) && id != "main")
        .map(|(id, _)| id)
        .collect()
}

/// Enabled module streams, `name:stream`: of a file of dnf's (`/etc/dnf/modules.d`), or one on a
/// line, with a colon or a blank between.
pub fn streams(text: &str) -> Vec<String> {
    let lines = || text.lines().map(str::trim);
    if !lines().any(|line| line.starts_with('[')) {
        let plain = lines().filter(|line| !line.starts_with('#'));
        return plain
            .filter_map(|line| line.split_once([':', ' ', '\t']))
            .map(|(name, stream)| format!("{}:{}", name.trim(), stream.trim()))
            .collect();
    }
    // name, stream and state of each section
    let mut found: Vec<[String; 3]> = Vec::new();
    for line in lines() {
        if let Some(name) = line.strip_prefix('[') {
            let name = name.trim_end_matches(']').to_owned();
            found.push([name, String::new(), String::new()]);
        } else if let Some((key, value)) = line.split_once('=')
            && let Some(section) = found.last_mut()
            && let Some(at) = ["name", "stream", "state"]
                .iter()
                .position(|own| *own == key.trim())
        {
            value.trim().clone_into(&mut section[at]);
        }
    }
    let enabled = |[name, stream, state]: [String; 3]| {
        (state == "enabled" && !stream.is_empty()).then(|| format!("{name}:{stream}"))
    };
    found.into_iter().filter_map(enabled).collect()
}

/// The packages as the advisories want them.
pub(super) fn installed(packages: &Packages, history: &HashMap<Nevra, String>) -> Vec<Installed> {
    let each = packages.list.iter().zip(&packages.layers);
    each.map(|(package, layer)| {
        let repository = history.get(&without_zero(package.nevra.clone()));
        Installed::of(package, *layer, repository.cloned())
    })
    .collect()
}

/// Values may stand in quotes, and the last assignment counts (os-release(5)).
fn os_release(inventory: &Inventory, key: &str) -> Option<String> {
    let text = inventory
        .kept_file("/etc/os-release")
        .or_else(|| inventory.kept_file("/usr/lib/os-release"))?;
    let text = String::from_utf8_lossy(text);
    let mut pairs = text
        .lines()
        .rev()
        .filter_map(|line| line.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == key)?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Found, enabled, evidence, streams};
    use crate::{check::testing::Image, oci::LayerIndex};

    #[test]
    fn manifests_and_labels_are_laid_to_the_layer_that_brings_them() {
        let image = Image::good()
            .file("etc/os-release", "ID=\"rhel\"\nVERSION_ID=\"9.4\"\n")
            .file(
                "root/buildinfo/content_manifests/ubi9-9.4-1.json",
                r#"{"content_sets": ["ubi-9-baseos-rpms"]}"#,
            )
            .file("root/buildinfo/content_manifests/broken.json", "broken")
            .file(
                "usr/share/buildinfo/labels.json",
                r#"{"cpe": "\"cpe:/a:redhat:openstack:17.1::el9\""}"#,
            )
            .file(
                "usr/share/buildinfo/content-sets.json",
                r#"{"content_sets": null}"#,
            );
        let mut subject = image.build();
        for (path, entry) in &mut subject.inventory.tree {
            let own = path.to_string().contains("labels.json");
            entry.layer = LayerIndex(u32::from(own));
        }
        let Found {
            evidence: found,
            unread,
            ..
        } = evidence(&subject.inventory);
        assert_eq!(
            (found.is_rhel(), found.version.as_deref()),
            (true, Some("9.4"))
        );
        assert_eq!(found.layers[0].content_sets, ["ubi-9-baseos-rpms"]);
        assert_eq!(
            found.layers[1].cpe.as_deref(),
            Some("cpe:/a:redhat:openstack:17.1::el9")
        );
        assert_eq!(unread.len(), 1, "{unread:?}");
    }

    #[test]
    fn repositories_are_enabled_unless_they_say_otherwise() {
        let text = "[main]\nx = 1\n# [no]\n[ubi-9-baseos-rpms]\nname = UBI\nenabled = 1\n\n[ubi-9-baseos-source]\nenabled = 1\n[off]\nenabled=0\n[silent]\nname=x\n";
        assert_eq!(enabled(text), ["ubi-9-baseos-rpms", "silent"]);
        assert_eq!(enabled("enabled=1\n"), [] as [String; 0]);
    }

    #[test]
    fn enabled_module_streams_are_those_of_dnf_or_of_a_plain_list() {
        let file = "[httpd]\nname=httpd\nstream=2.4\nprofiles=\nstate=enabled\n\n[perl]\nname=perl\nstream=5.26\nprofiles=\nstate=disabled\n[nodejs]\nstate=enabled\nstream=\n";
        assert_eq!(streams(file), ["httpd:2.4"]);
        let plain = "# streams\nhttpd 2.4\n\nnodejs:10\nperl\t5.26\nodd\n";
        assert_eq!(streams(plain), ["httpd:2.4", "nodejs:10", "perl:5.26"]);
        let image = Image::good().file("etc/dnf/modules.d/httpd.module", file);
        assert_eq!(
            evidence(&image.build().inventory).evidence.streams,
            ["httpd:2.4"]
        );
    }

    #[test]
    fn a_history_that_cannot_be_read_is_told_and_lists_of_repositories_are_laid_to_their_layer() {
        let image = Image::good()
            .file(
                "etc/yum.repos.d/ubi.repo",
                "[ubi-9-baseos-rpms]\nenabled = 1\n",
            )
            .file("var/lib/dnf/history.sqlite", "no database")
            .tree(&["usr/lib/sysimage/libdnf5/transaction_history.sqlite"]);
        let found = evidence(&image.build().inventory);
        let enabled = found
            .evidence
            .layers
            .iter()
            .flat_map(|layer| &layer.enabled);
        assert_eq!(enabled.collect::<Vec<_>>(), ["ubi-9-baseos-rpms"]);
        assert!(found.history.is_empty());
        assert_eq!(found.unread.len(), 2, "{:?}", found.unread);
    }
}
