//! The rpm databases of the layers: read as soon as their layer is, so that their bytes need not be
//! held; packages that several databases have are held once.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use sha2::{Digest as _, Sha256};

use super::{content::Role, tree::Tree};
use crate::{
    oci::{ImagePath, LayerIndex},
    rpm::{self, Package},
    subject::{EntryKind, Fact, Packages},
};

/// Where rpm keeps its database, the place that counts first (`%_dbpath` of RHEL 10 and Fedora, of
/// RHEL up to 9, of rpm-ostree).
const DIRECTORIES: [&str; 3] = ["usr/lib/sysimage/rpm", "var/lib/rpm", "usr/share/rpm"];

/// rpm's number of SHA-256 (RFC 4880 9.4).
const SHA256: u32 = 8;

/// SHA-256 of a content.
pub(super) type Sha = [u8; 32];

/// Packages by the digest of their header, shared by all databases of an image.
#[derive(Debug, Default)]
pub(super) struct Packed(Mutex<HashMap<Sha, Arc<Package>>>);

impl Packed {
    fn package(&self, blob: &[u8]) -> Result<Arc<Package>, rpm::HeaderError> {
        let digest: Sha = Sha256::digest(blob).into();
        let packages = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(package) = packages().get(&digest) {
            return Ok(Arc::clone(package));
        }
        let package = Arc::new(Package::parse(blob)?);
        packages().insert(digest, Arc::clone(&package));
        Ok(package)
    }
}

/// A database as one layer holds it.
#[derive(Debug)]
pub(super) struct LayerDatabase {
    pub(super) path: ImagePath,
    sha256: Sha,
    /// of the write-ahead log beside it
    wal: Option<Sha>,
    format: &'static str,
    packages: Result<Vec<Arc<Package>>, String>,
}

/// The database files of one directory in one layer, each with its digest.
#[derive(Debug, Default)]
pub(super) struct DatabaseFiles {
    files: BTreeMap<&'static str, (Role, Sha, Vec<u8>)>,
}

impl DatabaseFiles {
    pub(super) fn put(&mut self, role: Role, sha256: Sha, bytes: Vec<u8>) {
        self.files.insert(role.file_name(), (role, sha256, bytes));
    }

    /// Role and content of each.
    pub(super) fn contents(&self) -> impl Iterator<Item = (Role, &[u8])> {
        let files = self.files.values();
        files.map(|(role, _, bytes)| (*role, &bytes[..]))
    }

    /// Bytes of all of them.
    pub(super) fn size(&self) -> u64 {
        self.contents().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    pub(super) fn read(mut self, directory: &ImagePath, packed: &Packed) -> Vec<LayerDatabase> {
        let wal = self.files.remove(Role::Wal.file_name());
        let mut found = Vec::new();
        for (role, sha256, bytes) in self.files.into_values() {
            let wal = wal
                .as_ref()
                .filter(|(_, _, wal)| role == Role::Sqlite && !wal.is_empty());
            found.push(LayerDatabase {
                path: directory.join(role.file_name()),
                sha256,
                wal: wal.map(|(_, sha256, _)| *sha256),
                format: rpm::Format::detect(&bytes).map_or("unknown", rpm::Format::name),
                packages: read(&bytes, wal.map(|(_, _, wal)| &wal[..]), packed)
                    .map_err(|error| error.to_string()),
            });
        }
        found
    }
}

fn read(
    bytes: &[u8],
    wal: Option<&[u8]>,
    packed: &Packed,
) -> Result<Vec<Arc<Package>>, rpm::DatabaseError> {
    let blobs = rpm::headers(bytes, wal)?;
    let format = rpm::Format::detect(bytes).ok_or(rpm::DatabaseError::Unknown(bytes.len()))?;
    let mut left = rpm::MAX_FILES;
    let mut list = Vec::with_capacity(blobs.len());
    for blob in blobs {
        let package = packed
            .package(&blob.bytes)
            .map_err(|source| rpm::DatabaseError::Header {
                format,
                instance: blob.instance,
                source,
            })?;
        left = left
            .checked_sub(package.files.len() + package.provides.len())
            .ok_or(rpm::DatabaseError::Damaged {
                format,
                fault: rpm::Fault::Files,
            })?;
        list.push(package);
    }
    Ok(list)
}

/// A file of the flattened tree.
pub(super) struct Seen {
    size: u64,
    pub(super) sha256: Sha,
    pub(super) layer: LayerIndex,
}

/// The packages of the image: those of the database that its flattened tree shows, and for each the
/// first layer whose database has it.
pub(super) fn packages(
    tree: &Tree<'_>,
    databases: &mut [Vec<LayerDatabase>],
    packed: &Packed,
    fetch: impl Fn(Role, &Seen) -> Option<Vec<u8>>,
) -> Fact<Packages> {
    let Some((path, main)) = visible(tree) else {
        return Fact::Unmet(format!(
            "the image has no rpm database; looked for {} in /{}",
            [Role::Sqlite, Role::Ndb, Role::Bdb]
                .map(Role::file_name)
                .join(", "),
            DIRECTORIES.join(", /")
        ));
    };
    let wal = wal(tree, &path);
    let log = wal.as_ref().map(|wal| wal.sha256);
    let same = |database: &&LayerDatabase| database.sha256 == main.sha256 && database.wal == log;
    if !databases.iter().flatten().any(|database| same(&database)) {
        // Its log lies in another layer.
        let role = Role::Sqlite;
        let bytes = fetch(role, &main).zip(
            wal.as_ref()
                .map_or(Some(Vec::new()), |wal| fetch(Role::Wal, wal)),
        );
        let newest = main.layer.max(wal.map_or(main.layer, |wal| wal.layer));
        if let (Some((bytes, wal)), Some(layer)) = (bytes, databases.get_mut(newest.0 as usize)) {
            let mut files = DatabaseFiles::default();
            files.put(role, main.sha256, bytes);
            if let Some(sha256) = log {
                files.put(Role::Wal, sha256, wal);
            }
            layer.extend(files.read(&path.parent().unwrap_or_default(), packed));
        }
    }
    let Some(database) = databases.iter().flatten().find(same) else {
        return Fact::Unmet(format!(
            "`{path}` and its write-ahead log are in different layers, and one of them could not be read again"
        ));
    };
    match &database.packages {
        Err(error) => Fact::Unmet(format!("`{path}`: {error}")),
        Ok(list) => Fact::Known(Packages {
            layers: first_layers(list, databases),
            database: path,
            format: database.format,
            list: list.clone(),
        }),
    }
}

/// Whether a package of any layer brought the file `path` with just this content: what its vendor
/// ships is no secret.
pub(super) fn is_shipped(
    tree: &Tree<'_>,
    databases: &[Vec<LayerDatabase>],
    path: &ImagePath,
    (size, sha256): (u64, Sha),
) -> bool {
    databases
        .iter()
        .flatten()
        .filter_map(|database| database.packages.as_ref().ok())
        .flatten()
        .any(|package| {
            package.files.iter().any(|file| {
                file.path.file_name() == path.file_name()
                    && file.size == size
                    && (package.file_digest_algo != SHA256 || *file.digest == sha256)
                    && tree.resolve(&file.path).is_ok_and(|real| real == *path)
            })
        })
}

/// The database file that rpm would open, and its digest.
fn visible(tree: &Tree<'_>) -> Option<(ImagePath, Seen)> {
    let mut empty = None;
    for directory in DIRECTORIES {
        let Ok(directory) = tree.resolve(&ImagePath::from(directory)) else {
            continue;
        };
        for role in [Role::Sqlite, Role::Ndb, Role::Bdb] {
            let path = directory.join(role.file_name());
            match file(tree, &path) {
                Some(file) if file.size > 0 => return Some((path, file)),
                file => empty = empty.or_else(|| Some((path, file?))),
            }
        }
    }
    empty
}

fn wal(tree: &Tree<'_>, database: &ImagePath) -> Option<Seen> {
    let path = database.parent()?.join(Role::Wal.file_name());
    let sqlite = database.file_name() == Some(Role::Sqlite.file_name().as_bytes());
    file(tree, &path).filter(|file| sqlite && file.size > 0)
}

fn file(tree: &Tree<'_>, path: &ImagePath) -> Option<Seen> {
    let path = tree.resolve(path).ok()?;
    let entry = tree.entries.get(&path)?;
    match entry.kind {
        EntryKind::File { size, sha256 } => Some(Seen {
            size,
            sha256,
            layer: entry.layer,
        }),
        _ => None,
    }
}

/// The packages by layer as openshift-preflight sees them: it looks below `var/lib/rpm` alone, and
/// follows no link.
pub(super) fn for_preflight(
    databases: &[Vec<LayerDatabase>],
) -> Vec<(LayerIndex, Option<Vec<Arc<Package>>>)> {
    let directory = ImagePath::from("var/lib/rpm");
    let of_layer = |layer: &Vec<LayerDatabase>| {
        let database = layer
            .iter()
            .rfind(|database| database.path.parent().as_ref() == Some(&directory))?;
        Some(database.packages.as_ref().ok().cloned())
    };
    databases
        .iter()
        .zip((0..).map(LayerIndex))
        .filter_map(|(layer, index)| Some((index, of_layer(layer)?)))
        .collect()
}

fn first_layers(list: &[Arc<Package>], databases: &[Vec<LayerDatabase>]) -> Vec<LayerIndex> {
    let seen: Vec<HashSet<(&rpm::Nevra, Option<u64>)>> = databases
        .iter()
        .map(|layer| {
            layer
                .iter()
                .filter_map(|database| database.packages.as_ref().ok())
                .flatten()
                .map(|package| (&package.nevra, package.install_time))
                .collect()
        })
        .collect();
    list.iter()
        .map(|package| {
            let key = (&package.nevra, package.install_time);
            let first = seen.iter().position(|layer| layer.contains(&key));
            LayerIndex(
                first
                    .and_then(|n| u32::try_from(n).ok())
                    .unwrap_or_default(),
            )
        })
        .collect()
}
