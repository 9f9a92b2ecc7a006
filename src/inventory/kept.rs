//! The form in which a [`Recorded`] layer is kept: `postcard`, compressed by zstd. What is read is
//! believed only as far as a layer's archive would be.

use std::{collections::BTreeMap, io};

use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::{
    content::{self, Interest, Role},
    database::DatabaseFiles,
    layer::{HardLink, LayerScan},
    options::{Limits, MAX_KEPT_DATABASES},
    record::{LayerKey, Recorded},
    secrets::{self, Trace},
    tar::MAX_CAPABILITY,
};
use crate::{
    oci::{ImagePath, LayerIndex},
    subject::{Change, ChangeKind, Entry, EntryKind},
};

/// Bytes, unpacked, of what is kept of one layer.
const MAX_UNPACKED: u64 = 320 << 20;
/// As quick as copying, and a third of the size.
const LEVEL: i32 = 1;

/// Bytes that are written as one piece, and read where they lie.
#[derive(Deserialize)]
struct Bytes<'a>(#[serde(borrow)] &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0)
    }
}

#[derive(Serialize, Deserialize)]
enum Kind<'a> {
    File(u64, #[serde(borrow)] Bytes<'a>),
    HardLink(#[serde(borrow)] Bytes<'a>),
    Directory,
    Symlink(#[serde(borrow)] Bytes<'a>),
    Device(u32, u32),
    Fifo,
}

#[derive(Serialize, Deserialize)]
struct Put<'a> {
    #[serde(borrow)]
    kind: Kind<'a>,
    mode: u16,
    uid: u32,
    gid: u32,
    #[serde(borrow)]
    caps: Bytes<'a>,
}

#[derive(Serialize, Deserialize)]
enum What<'a> {
    Put(#[serde(borrow)] Put<'a>),
    Delete,
    Opaque,
}

#[derive(Serialize, Deserialize)]
struct Database<'a> {
    #[serde(borrow)]
    directory: Bytes<'a>,
    /// place in [`Role::ALL`], content
    #[serde(borrow)]
    files: Vec<(u8, Bytes<'a>)>,
}

#[derive(Serialize, Deserialize)]
struct Facts<'a> {
    key: &'a str,
    uncompressed: u64,
    entries: u64,
    names: u64,
    holes: u64,
    #[serde(borrow)]
    changes: Vec<(Bytes<'a>, What<'a>)>,
    /// place in `changes`, what it looks like
    #[serde(borrow)]
    traces: Vec<(u32, &'a str)>,
    #[serde(borrow)]
    kept: Vec<(Bytes<'a>, Bytes<'a>)>,
    #[serde(borrow)]
    databases: Vec<Database<'a>>,
}

/// What is kept of it under `key`; `None` when that would be too much.
pub(super) fn to_bytes(layer: &Recorded, key: &LayerKey) -> Option<Vec<u8>> {
    let databases: u64 = layer.databases.values().map(DatabaseFiles::size).sum();
    if databases > MAX_KEPT_DATABASES {
        return None;
    }
    let out = zstd::stream::write::Encoder::new(Vec::new(), LEVEL).ok()?;
    let out = Bounded {
        out: io::BufWriter::with_capacity(64 << 10, out),
        left: MAX_UNPACKED,
    };
    let out = postcard::to_io(&facts(layer, key)?, out).ok()?;
    out.out.into_inner().ok()?.finish().ok()
}

fn facts<'a>(layer: &'a Recorded, key: &'a LayerKey) -> Option<Facts<'a>> {
    let scan = &layer.scan;
    let mut links = scan.links.iter().peekable();
    let changes = scan.changes.iter().enumerate().map(|(n, change)| {
        let link = links.next_if(|link| link.change == n);
        (Bytes(change.path.as_bytes()), what(change, link))
    });
    let changes = changes.collect();
    let traces = scan.traces.iter();
    let traces: Option<Vec<_>> = traces
        .map(|trace| Some((u32::try_from(trace.change).ok()?, trace.what)))
        .collect();
    let kept = scan.kept.iter();
    let databases = layer.databases.iter().map(|(directory, files)| Database {
        directory: Bytes(directory.as_bytes()),
        files: files
            .contents()
            .filter_map(|(role, bytes)| Some((place(role)?, Bytes(bytes))))
            .collect(),
    });
    Some(Facts {
        key: &key.0,
        uncompressed: scan.uncompressed,
        entries: scan.entries,
        names: scan.names,
        holes: scan.holes,
        changes,
        traces: traces?,
        kept: kept
            .map(|(path, _, content)| (Bytes(path.as_bytes()), Bytes(content)))
            .collect(),
        databases: databases.collect(),
    })
}

fn place(role: Role) -> Option<u8> {
    let place = Role::ALL.iter().position(|known| *known == role)?;
    u8::try_from(place).ok()
}

fn what<'a>(change: &'a Change, link: Option<&'a HardLink>) -> What<'a> {
    let entry = match &change.kind {
        ChangeKind::Put(entry) => entry,
        ChangeKind::Delete => return What::Delete,
        ChangeKind::Opaque => return What::Opaque,
    };
    let kind = match (&entry.kind, link) {
        (_, Some(link)) => Kind::HardLink(Bytes(link.target.as_bytes())),
        (EntryKind::File { size, sha256 }, None) => Kind::File(*size, Bytes(sha256)),
        (EntryKind::Directory, None) => Kind::Directory,
        (EntryKind::Symlink(target), None) => Kind::Symlink(Bytes(target)),
        (EntryKind::Device(major, minor), None) => Kind::Device(*major, *minor),
        (EntryKind::Fifo, None) => Kind::Fifo,
    };
    What::Put(Put {
        kind,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        caps: Bytes(&entry.caps),
    })
}

/// Refuses what is too much.
struct Bounded<W> {
    out: W,
    left: u64,
}

impl<W: io::Write> io::Write for Bounded<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(piece.len() as u64);
        self.left = left.ok_or_else(|| io::Error::other("too much to keep"))?;
        self.out.write_all(piece)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What bytes say of the layer `key`; `None` when they are not what [`to_bytes`] made of one.
pub(super) fn from_bytes(
    bytes: &[u8],
    key: &LayerKey,
    index: LayerIndex,
    limits: &Limits,
) -> Option<Recorded> {
    use io::Read as _;
    let mut unpacked = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(bytes).ok()?;
    decoder
        .take(MAX_UNPACKED + 1)
        .read_to_end(&mut unpacked)
        .ok()?;
    let (facts, rest) = postcard::take_from_bytes::<Facts<'_>>(&unpacked).ok()?;
    let whole = rest.is_empty() && unpacked.len() as u64 <= MAX_UNPACKED;
    if !whole || facts.key != key.0 || facts.entries < facts.changes.len() as u64 {
        return None;
    }
    let mut scan = LayerScan {
        entries: facts.entries,
        names: facts.names,
        holes: facts.holes,
        uncompressed: facts.uncompressed,
        ..LayerScan::default()
    };
    let mut names = 0_u64;
    for (path, what) in facts.changes {
        names += add(&mut scan, path.0, what, index, limits)?;
    }
    if names > scan.names {
        return None;
    }
    for (change, what) in facts.traces {
        let change = usize::try_from(change).ok()?;
        let what = secrets::named(what)?;
        scan.changes.get(change)?;
        scan.traces.push(Trace { change, what });
    }
    for (path, content) in facts.kept {
        let (path, size) = (normal(path.0, limits)?, content.0.len() as u64);
        let interest = content::interest(&path, size);
        if !matches!(interest, Interest::Kept | Interest::Useful) || size > limits.kept_file {
            return None;
        }
        let digest = Sha256::digest(content.0).into();
        scan.kept.push((path, digest, content.0.to_vec()));
    }
    let mut databases: BTreeMap<ImagePath, DatabaseFiles> = BTreeMap::new();
    for database in facts.databases {
        let files = databases
            .entry(normal(database.directory.0, limits)?)
            .or_default();
        for (role, content) in database.files {
            let role = Role::ALL.get(usize::from(role))?;
            let digest = Sha256::digest(content.0).into();
            files.put(*role, digest, content.0.to_vec());
        }
    }
    Some(Recorded { scan, databases })
}

/// A path as [`ImagePath`] writes it, and as a tar archive may hold it.
fn normal(path: &[u8], limits: &Limits) -> Option<ImagePath> {
    let normal = ImagePath::new(path);
    let same = normal.as_bytes() == path && !path.contains(&0);
    (same && path.len() as u64 <= u64::from(limits.path)).then_some(normal)
}

/// Bytes of the names in it.
fn add(
    scan: &mut LayerScan,
    path: &[u8],
    what: What<'_>,
    index: LayerIndex,
    limits: &Limits,
) -> Option<u64> {
    let path = normal(path, limits)?;
    let mut names = path.as_bytes().len() as u64;
    let kind = match what {
        What::Delete => ChangeKind::Delete,
        What::Opaque => ChangeKind::Opaque,
        What::Put(put) => {
            let kind = match put.kind {
                Kind::File(size, digest) => EntryKind::File {
                    size,
                    sha256: digest.0.try_into().ok()?,
                },
                Kind::HardLink(target) => {
                    names += target.0.len() as u64;
                    scan.links.push(HardLink {
                        change: scan.changes.len(),
                        target: normal(target.0, limits)?,
                    });
                    EntryKind::File {
                        size: 0,
                        sha256: [0; 32],
                    }
                }
                Kind::Directory => EntryKind::Directory,
                Kind::Symlink(target) => {
                    names += target.0.len() as u64;
                    EntryKind::Symlink(target.0.into())
                }
                Kind::Device(major, minor) => EntryKind::Device(major, minor),
                Kind::Fifo => EntryKind::Fifo,
            };
            if put.mode > 0o7777 || put.caps.0.len() > MAX_CAPABILITY {
                return None;
            }
            ChangeKind::Put(Entry {
                kind,
                mode: put.mode,
                uid: put.uid,
                gid: put.gid,
                caps: put.caps.0.into(),
                layer: index,
            })
        }
    };
    scan.changes.push(Change { path, kind });
    Some(names)
}
