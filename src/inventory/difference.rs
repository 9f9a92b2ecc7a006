//! How a file may differ from its package's description: rpm's flags and columns, which differences
//! fail, and the sentence that tells them. The reasons stand at the head of `verify`.

use super::owners::Owners;
use crate::{
    oci::{LayerIndex, hex},
    rpm::{FileEntry, Package},
    subject::{Entry, EntryKind, FileProblem},
};

/// `FILEFLAGS` bits.
pub(super) const CONFIG: u32 = 1;
pub(super) const DOC: u32 = 1 << 1;
pub(super) const MISSING_OK: u32 = 1 << 3;
pub(super) const GHOST: u32 = 1 << 6;
pub(super) const LICENSE: u32 = 1 << 7;
pub(super) const README: u32 = 1 << 8;
pub(super) const ARTIFACT: u32 = 1 << 12;
/// Files that may differ without failing.
pub(super) const MAY_DIFFER: u32 = CONFIG | DOC | GHOST | LICENSE | README | ARTIFACT;

/// `FILEVERIFYFLAGS` bits, which also name differences.
pub(super) const DIGEST: u32 = 1;
pub(super) const SIZE: u32 = 1 << 1;
pub(super) const LINK: u32 = 1 << 2;
pub(super) const USER: u32 = 1 << 3;
pub(super) const GROUP: u32 = 1 << 4;
pub(super) const MODE: u32 = 1 << 6;
pub(super) const RDEV: u32 = 1 << 7;
pub(super) const CAPS: u32 = 1 << 8;
/// rpm's `?`: could not be compared.
pub(super) const UNKNOWN: u32 = 1 << 29;
/// The kind of file differs; rpm shows it as a mode.
pub(super) const KIND: u32 = 1 << 30;

/// SHA-256 among rpm's digest algorithms, the one that the tree knows.
pub(super) const SHA256: u32 = 8;

pub(super) const S_IFMT: u16 = 0o170_000;
pub(super) const S_IFDIR: u16 = 0o040_000;
pub(super) const S_IFCHR: u16 = 0o020_000;
pub(super) const S_IFBLK: u16 = 0o060_000;

/// One sentence: what was expected and what was found.
pub(super) fn detail(
    file: &FileEntry,
    entry: &Entry,
    difference: u32,
    (users, groups): (&Owners, &Owners),
) -> String {
    let mut parts = Vec::new();
    let mut part = |flag, text: &dyn Fn() -> String| {
        if difference & flag != 0 {
            parts.push(text());
        }
    };
    let (size, digest, link) = match &entry.kind {
        EntryKind::File { size, sha256 } => (*size, hex(sha256), String::new()),
        EntryKind::Symlink(to) => (0, String::new(), show(to)),
        _ => (0, String::new(), String::new()),
    };
    let kind = kind_name(entry);
    part(KIND, &|| {
        format!("a {} is expected and a {kind} found", mode_kind(file.mode))
    });
    part(SIZE, &|| {
        format!("{} bytes are expected and {size} found", file.size)
    });
    part(DIGEST, &|| {
        format!(
            "digest {} is expected and {digest} found",
            hex(&file.digest)
        )
    });
    part(UNKNOWN, &|| "its digest was not compared".to_owned());
    part(LINK, &|| {
        format!(
            "link target {} is expected and {link} found",
            show(&file.link_target)
        )
    });
    part(MODE, &|| {
        format!(
            "mode {:04o} is expected and {:04o} found",
            file.mode & 0o7777,
            entry.mode & 0o7777
        )
    });
    part(RDEV, &|| {
        format!("device {:#06x} is expected and another found", file.rdev)
    });
    part(USER, &|| {
        format!(
            "user {} is expected and {} found",
            file.user,
            users.show(entry.uid)
        )
    });
    part(GROUP, &|| {
        format!(
            "group {} is expected and {} found",
            file.group,
            groups.show(entry.gid)
        )
    });
    part(CAPS, &|| {
        let wanted = if file.caps.is_empty() {
            "no capabilities are"
        } else {
            &*file.caps
        };
        format!(
            "{wanted} expected and security.capability {:?} found",
            hex(&entry.caps)
        )
    });
    parts.join(", ")
}

pub(super) fn fails(file: &FileEntry, entry: &Entry, difference: u32) -> bool {
    if file.flags & MAY_DIFFER != 0 {
        return false;
    }
    let gained = entry.mode & 0o7777 & !file.mode;
    let gained = match entry.kind {
        EntryKind::Directory => gained & 0o002 != 0 && entry.mode & 0o1000 == 0,
        _ => gained != 0,
    };
    difference & (DIGEST | SIZE | LINK | RDEV | KIND) != 0 || (difference & MODE != 0 && gained)
}

pub(super) fn problem(
    package: &Package,
    file: &FileEntry,
    (flags, detail): (String, String),
    (layer, fails): (Option<LayerIndex>, bool),
) -> FileProblem {
    let attributes = [
        (CONFIG, 'c'),
        (DOC, 'd'),
        (GHOST, 'g'),
        (LICENSE, 'l'),
        (README, 'r'),
        (ARTIFACT, 'a'),
    ];
    let attribute = attributes.iter().find(|(flag, _)| file.flags & flag != 0);
    FileProblem {
        path: file.path.clone(),
        package: package.nevra.to_string(),
        vendor: package.vendor.clone(),
        flags,
        attribute: attribute.map_or(' ', |(_, letter)| *letter),
        detail,
        layer,
        fails,
    }
}

/// rpm's nine columns.
pub(super) fn columns(difference: u32) -> String {
    let digest = if difference & UNKNOWN == 0 { '5' } else { '?' };
    let column = |(flag, letter)| if difference & flag == 0 { '.' } else { letter };
    [
        (SIZE, 'S'),
        (MODE, 'M'),
        (DIGEST | UNKNOWN, digest),
        (RDEV, 'D'),
        (LINK, 'L'),
        (USER, 'U'),
        (GROUP, 'G'),
        (0, 'T'),
        (CAPS, 'P'),
    ]
    .map(column)
    .iter()
    .collect()
}

pub(super) fn same_kind(mode: u16, kind: &EntryKind) -> bool {
    matches!(
        (mode & S_IFMT, kind),
        (0o100_000 | 0, EntryKind::File { .. })
            | (S_IFDIR, EntryKind::Directory)
            | (0o120_000, EntryKind::Symlink(_))
            | (S_IFCHR | S_IFBLK, EntryKind::Device(..))
            | (0o010_000, EntryKind::Fifo)
    )
}

pub(super) fn mode_kind(mode: u16) -> &'static str {
    match mode & S_IFMT {
        S_IFDIR => "directory",
        0o120_000 => "symbolic link",
        S_IFCHR | S_IFBLK => "device",
        0o010_000 => "named pipe",
        _ => "regular file",
    }
}

pub(super) fn kind_name(entry: &Entry) -> &'static str {
    match entry.kind {
        EntryKind::File { .. } => "regular file",
        EntryKind::Directory => "directory",
        EntryKind::Symlink(_) => "symbolic link",
        EntryKind::Device(..) => "device",
        EntryKind::Fifo => "named pipe",
    }
}

/// A link target as text that a terminal can bear.
fn show(target: &[u8]) -> String {
    String::from_utf8_lossy(target).escape_debug().to_string()
}
