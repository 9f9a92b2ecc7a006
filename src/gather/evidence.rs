//! What an image's own files say of where its packages come from, for the advisories.
//!
//! Read are os-release, the content manifests that Red Hat's builds leave behind, and
//! `labels.json`. dnf's history and the enabled repositories are not read: packages go by the layers.

use serde::Deserialize;

use crate::{
    advisory::matching::{Evidence, Installed, LayerEvidence},
    oci::ImagePath,
    subject::{Inventory, Packages},
};

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
pub(super) fn evidence(inventory: &Inventory) -> (Evidence, Vec<String>) {
    let mut found = Evidence {
        os: os_release(inventory, "ID").map(|id| id.to_lowercase()),
        version: os_release(inventory, "VERSION_ID"),
        layers: vec![LayerEvidence::default(); inventory.layers.len()],
    };
    let mut unread = Vec::new();
    for (path, content) in &inventory.kept {
        let Some(layer) = inventory.tree.get(path).map(|entry| entry.layer) else {
            continue;
        };
        let Some(of_layer) = found.layers.get_mut(layer.0 as usize) else {
            continue;
        };
        if let Err(error) = read(path, content, of_layer) {
            unread.push(format!("{path} cannot be read: {error}"));
        }
    }
    (found, unread)
}

fn read(path: &ImagePath, content: &[u8], to: &mut LayerEvidence) -> Result<(), serde_json::Error> {
    let path = path.as_bytes();
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let manifest =
        path.starts_with(b"root/buildinfo/content_manifests/") && path.ends_with(b".json");
    if path == b"usr/share/buildinfo/labels.json" {
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

/// The packages as the advisories want them.
pub(super) fn installed(packages: &Packages) -> Vec<Installed> {
    let each = packages.list.iter().zip(&packages.layers);
    each.map(|(package, layer)| Installed::of(package, *layer, None))
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
    use super::evidence;
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
        let (found, unread) = evidence(&subject.inventory);
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
}
