//! openshift-preflight's `HasModifiedFiles`, told beside our own verdict.
//!
//! It compares layer by layer and looks at names, not content: a packaged file that is in a later layer
//! again without a new version of its package is modified. Its weak points are kept (package ids split
//! at hyphens, prefixes of paths without a boundary, targets of links dropped, packaged directories that
//! its exclusion of directories does not catch), because this is to say what preflight will say. One thing cannot be seen here: which entries of a layer were hard links, so
//! targets of those stay in the list, under a name that preflight drops in favour of the link's.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    oci::{ImagePath, LayerIndex},
    rpm::Package,
    subject::{ChangeKind, EntryKind, Fact, LayerFacts, PreflightModified},
};

const RED_HAT: &str = "Red Hat, Inc.";

/// config, doc, missingok, ghost, license, readme, artifact
const EXEMPT_FLAGS: u32 = 1 | 2 | 8 | 64 | 128 | 256 | 4096;
/// Plain prefixes, without a boundary.
const EXEMPT_PREFIXES: [&[u8]; 6] = [
    b"etc",
    b"var",
    b"run",
    b"usr/lib/.build-id",
    b"usr/tmp",
    b"usr/share/openstack-dashboard",
];

const SET_UID: u16 = 0o4000;
const SET_GID: u16 = 0o2000;

/// What preflight would find modified. `databases` holds, for each layer, the packages of the rpm
/// database found in that layer below `var/lib/rpm`; layers that are not named have none.
/// `os_release` is the image's `etc/os-release`, without which preflight ends in an error.
pub fn modified(
    layers: &[LayerFacts],
    databases: &[(LayerIndex, Option<Vec<Arc<Package>>>)],
    os_release: Option<&[u8]>,
) -> Fact<PreflightModified> {
    let Some(os_release) = os_release else {
        return Fact::Unmet("etc/os-release is not in the image".to_owned());
    };
    let platform = platform(os_release);
    let mut states: Vec<LayerState<'_>> = Vec::with_capacity(layers.len());
    for layer in layers {
        let own = databases.iter().rfind(|(index, _)| *index == layer.index);
        let own = own.and_then(|(_, packages)| packages.as_deref());
        let inherited = states.last().filter(|_| own.is_none());
        let owners = match inherited {
            Some(before) => Arc::clone(&before.owners),
            None => Arc::new(owners(own.unwrap_or_default())),
        };
        let changes = changes(layer);
        states.push(LayerState { changes, owners });
    }
    let mut files = Vec::new();
    for (position, layer) in layers.iter().enumerate().skip(1) {
        let (before, rest) = states.split_at(position);
        let paths = rest.iter().take(1).flat_map(|state| {
            (state.changes.iter())
                .filter(|(path, mode)| disallowed(before, state, path, **mode, &platform))
        });
        files.extend(paths.map(|(path, _)| (path.clone(), layer.index)));
    }
    Fact::Known(PreflightModified { files })
}

/// One layer as preflight sees it.
struct LayerState<'a> {
    /// changed paths and their modes; 0 for a whiteout
    changes: BTreeMap<ImagePath, u16>,
    /// of the layer's own database, or of the last one below
    owners: Arc<HashMap<ImagePath, Owner<'a>>>,
}

#[derive(Clone)]
struct Owner<'a> {
    /// name-version-release-arch
    id: Arc<str>,
    package: &'a Package,
}

/// The first alphanumeric run of `PLATFORM_ID="platform:…"`.
fn platform(os_release: &[u8]) -> String {
    let text = String::from_utf8_lossy(os_release);
    let ids = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once("PLATFORM_ID=\"platform:")?;
        let (id, _) = rest.split_once('"')?;
        let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        plain.then(|| id.to_owned())
    });
    ids.into_iter()
        .next()
        .unwrap_or_else(|| "unknown".to_owned())
}

/// Regular files, links and whiteouts of a layer, without files that carry capabilities and without
/// what its links point at by a full path.
fn changes(layer: &LayerFacts) -> BTreeMap<ImagePath, u16> {
    let mut changes = BTreeMap::new();
    let mut targets = Vec::new();
    for change in &layer.changes {
        let mode = match &change.kind {
            ChangeKind::Delete => 0,
            ChangeKind::Put(entry) if entry.caps.is_empty() => match &entry.kind {
                EntryKind::File { .. } => entry.mode,
                EntryKind::Symlink(target) => {
                    targets.push(target.strip_prefix(b"/").unwrap_or(target));
                    entry.mode
                }
                EntryKind::Directory | EntryKind::Device(..) | EntryKind::Fifo => continue,
            },
            ChangeKind::Put(_) | ChangeKind::Opaque => continue,
        };
        changes.insert(change.path.clone(), mode);
    }
    for target in targets {
        let path = ImagePath::new(target);
        if path.as_bytes() == target {
            changes.remove(&path);
        }
    }
    changes
}

/// Who owns which path, with preflight's exemptions.
fn owners(packages: &[Arc<Package>]) -> HashMap<ImagePath, Owner<'_>> {
    let mut owners: HashMap<ImagePath, Owner<'_>> = HashMap::new();
    for package in packages {
        let nevra = &package.nevra;
        let arch = nevra.arch.as_deref().unwrap_or_default();
        let parts = [&nevra.name, &nevra.version, &nevra.release, arch];
        let id: Arc<str> = parts.join("-").into();
        for file in &package.files {
            let path = file.path.as_bytes();
            let cache = path.starts_with(b"usr/") && path.ends_with(b".cache");
            let exempt = EXEMPT_PREFIXES
                .iter()
                .any(|prefix| path.starts_with(prefix));
            if file.flags & EXEMPT_FLAGS != 0 || exempt || cache {
                continue;
            }
            let same_but_arch = owners.get(&file.path).is_some_and(|owner| {
                // Wrong for names with a hyphen, as preflight is.
                let known: Vec<&str> = owner.id.splitn(4, '-').collect();
                matches!(&known[..], [n, v, r, a] if [*n, *v, *r] == parts[..3] && *a != arch)
            });
            if !same_but_arch {
                let id = Arc::clone(&id);
                owners.insert(file.path.clone(), Owner { id, package });
            }
        }
    }
    owners
}

/// Whether preflight minds that this layer changes `path`.
fn disallowed(
    before: &[LayerState<'_>],
    layer: &LayerState<'_>,
    path: &ImagePath,
    mode: u16,
    platform: &str,
) -> bool {
    let Some(current) = layer.owners.get(path) else {
        return false;
    };
    let Some(previous) = before.last().and_then(|state| state.owners.get(path)) else {
        // A file of a package that this layer brings.
        return false;
    };
    let of_platform = |owner: &Owner<'_>| owner.package.nevra.release.contains(platform);
    if previous.id != current.id {
        let moved_off = of_platform(previous) && !of_platform(current);
        return moved_off || previous.package.nevra.arch != current.package.nevra.arch;
    }
    let last_mode = before
        .iter()
        .rev()
        .find_map(|state| state.changes.get(path));
    let dropped = last_mode.copied().unwrap_or(0) & !mode;
    let set_id_removed = dropped & (SET_UID | SET_GID) != 0;
    let foreign = !of_platform(current) && platform != "unknown";
    let vendor = |owner: &Owner<'_>| owner.package.vendor.as_deref() == Some(RED_HAT);
    let third_party = foreign || (!vendor(current) && !vendor(previous));
    let reinstalled = current.package.install_time > previous.package.install_time;
    !(set_id_removed || third_party || reinstalled)
}

#[cfg(test)]
mod tests {
    use super::{Fact, modified};
    use crate::{
        inventory::testing::{deleted, file, layer, package, put},
        oci::LayerIndex,
        rpm::Package,
        subject::{Change, EntryKind},
    };
    use std::sync::Arc;

    const EL9: &[u8] = b"ID=rhel\nPLATFORM_ID=\"platform:el9\"\n";

    fn tool(change: impl FnOnce(&mut Package)) -> Vec<Arc<Package>> {
        let mut tool = package(
            "tool",
            &[file("/usr/bin/tool", b"one"), file("/etc/tool", b"x")],
        );
        tool.install_time = Some(10);
        change(&mut tool);
        vec![Arc::new(tool)]
    }

    /// What preflight minds in an image of a base with `tool` and one layer more.
    fn minded(change: Change, second: Option<Vec<Arc<Package>>>, os_release: &[u8]) -> Vec<String> {
        let base = vec![
            put("/usr/bin/tool", b"one", 0o4755),
            put("/etc/tool", b"x", 0o644),
        ];
        let layers = [layer(0, base), layer(1, vec![change])];
        let databases = [(LayerIndex(0), Some(tool(|_| {}))), (LayerIndex(1), second)];
        let Fact::Known(found) = modified(&layers, &databases, Some(os_release)) else {
            panic!("os-release is there")
        };
        found
            .files
            .iter()
            .map(|(path, layer)| format!("{path} {layer}"))
            .collect()
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table of cases")]
    fn a_packaged_file_again_in_a_later_layer_is_modified_unless_its_package_changed() {
        let again = || put("/usr/bin/tool", b"two", 0o4755);
        let newer = |tool: &mut Package| tool.nevra.version = "2".to_owned();
        let yes = vec!["/usr/bin/tool 1".to_owned()];
        let mut with_caps = again();
        if let crate::subject::ChangeKind::Put(entry) = &mut with_caps.kind {
            entry.caps = [1].into();
        }
        for (name, change, second, release, want) in [
            ("no new database", again(), None, EL9, true),
            ("same package", again(), Some(tool(|_| {})), EL9, true),
            (
                "deleted without set-id",
                deleted("/usr/bin/tool"),
                None,
                EL9,
                false,
            ),
            (
                "set-id removed",
                put("/usr/bin/tool", b"one", 0o755),
                None,
                EL9,
                false,
            ),
            (
                "configuration",
                put("/etc/tool", b"y", 0o644),
                None,
                EL9,
                false,
            ),
            (
                "not packaged",
                put("/usr/bin/other", b"y", 0o644),
                None,
                EL9,
                false,
            ),
            ("capabilities", with_caps, None, EL9, false),
            ("update", again(), Some(tool(newer)), EL9, false),
            (
                "reinstalled",
                again(),
                Some(tool(|t| t.install_time = Some(11))),
                EL9,
                false,
            ),
            ("package gone", again(), Some(Vec::new()), EL9, false),
            (
                "other architecture",
                again(),
                Some(tool(|t| {
                    newer(t);
                    t.nevra.arch = Some("i686".to_owned());
                })),
                EL9,
                true,
            ),
            (
                "off the platform",
                again(),
                Some(tool(|t| {
                    newer(t);
                    t.nevra.release = "1.partner".to_owned();
                })),
                EL9,
                true,
            ),
            (
                "third party vendor, none before",
                again(),
                None,
                b"PLATFORM_ID=\"platform:el8\"",
                false,
            ),
            ("platform unknown", again(), None, b"ID=x", true),
        ] {
            let want = if want { yes.clone() } else { Vec::new() };
            assert_eq!(minded(change, second, release), want, "{name}");
        }
    }

    #[test]
    fn the_target_of_a_link_by_full_path_is_dropped() {
        let mut link = put("/opt/link", b"", 0o777);
        if let crate::subject::ChangeKind::Put(entry) = &mut link.kind {
            entry.kind = EntryKind::Symlink(b"/usr/bin/tool".as_slice().into());
        }
        let base = layer(0, vec![put("/usr/bin/tool", b"one", 0o755)]);
        let second = layer(1, vec![link, put("/usr/bin/tool", b"two", 0o755)]);
        let databases = [(LayerIndex(0), Some(tool(|_| {})))];
        let found = modified(&[base, second], &databases, Some(EL9));
        assert!(matches!(found, Fact::Known(found) if found.files.is_empty()));
    }

    #[test]
    fn without_os_release_nothing_is_known() {
        assert!(
            matches!(modified(&[], &[], None), Fact::Unmet(reason) if reason.contains("os-release"))
        );
    }
}
