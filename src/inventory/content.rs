//! Which contents are looked at while they pass by, and why.

use crate::oci::ImagePath;

/// Files up to this many bytes are searched for secrets: keys and credential files are small, and
/// what is searched is held in memory.
const MAX_SEARCHED: u64 = 1 << 20;
/// No token or key is shorter, in bytes.
const MIN_SEARCHED: u64 = 16;
/// Bytes at the front that tell text from other content.
const TEXT_SAMPLE: usize = 512;

/// What part a file has in an rpm database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// `rpmdb.sqlite`
    Sqlite,
    /// `rpmdb.sqlite-wal`, its write-ahead log
    Wal,
    /// `Packages.db`
    Ndb,
    /// `Packages`
    Bdb,
}

impl Role {
    /// All of them; the place of one is what it is stored as.
    pub(super) const ALL: [Self; 4] = [Self::Sqlite, Self::Wal, Self::Ndb, Self::Bdb];

    pub(super) const fn file_name(self) -> &'static str {
        match self {
            Self::Sqlite => "rpmdb.sqlite",
            Self::Wal => "rpmdb.sqlite-wal",
            Self::Ndb => "Packages.db",
            Self::Bdb => "Packages",
        }
    }
}

/// Bytes of one useful file; histories of images have some 100 KiB.
const MAX_USEFUL: u64 = 4 << 20;

/// Why a file's content is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    /// it is not
    None,
    /// it may hold a secret
    Secrets,
    /// it is kept whole
    Kept,
    /// it is kept whole while there is room
    Useful,
    /// it belongs to an rpm database
    Database(Role),
}

/// What to do with the content of the regular file `path` of `size` bytes.
pub(super) fn interest(path: &ImagePath, size: u64) -> Interest {
    let path = path.as_bytes();
    if let Some(role) = database(path) {
        return Interest::Database(role);
    }
    if is_kept(path) {
        return Interest::Kept;
    }
    if is_useful(path) && size <= MAX_USEFUL {
        return Interest::Useful;
    }
    if (MIN_SEARCHED..=MAX_SEARCHED).contains(&size) && !is_documentation(path) {
        return Interest::Secrets;
    }
    Interest::None
}

/// Files that checks read: who the image says it is, its users, what was built into it.
pub(super) fn is_kept(path: &[u8]) -> bool {
    matches!(
        path,
        b"etc/os-release"
            | b"usr/lib/os-release"
            | b"etc/redhat-release"
            | b"etc/system-release"
            | b"etc/system-release-cpe"
            | b"etc/passwd"
            | b"etc/group"
    ) || path.starts_with(b"root/buildinfo/")
        || path.starts_with(b"usr/share/buildinfo/")
}

/// Where packages came from, when nothing better says it: dnf's history, repositories of Red Hat,
/// enabled module streams.
fn is_useful(path: &[u8]) -> bool {
    matches!(
        path,
        b"var/lib/dnf/history.sqlite"
            | b"var/lib/dnf/history.sqlite-wal"
            | b"usr/lib/sysimage/libdnf5/transaction_history.sqlite"
            | b"usr/lib/sysimage/libdnf5/transaction_history.sqlite-wal"
            | b"etc/yum.repos.d/redhat.repo"
            | b"etc/yum.repos.d/ubi.repo"
    ) || path.starts_with(b"etc/dnf/modules.d/")
}

/// A database file in any directory called `rpm`: `usr/lib/sysimage/rpm`, `var/lib/rpm`,
/// `usr/share/rpm`, or where a link in their place leads.
fn database(path: &[u8]) -> Option<Role> {
    let mut parts = path.rsplit(|&byte| byte == b'/');
    let (name, directory) = (parts.next()?, parts.next()?);
    if directory != b"rpm" {
        return None;
    }
    Role::ALL
        .into_iter()
        .find(|role| role.file_name().as_bytes() == name)
}

/// Manuals show keys that open nothing.
fn is_documentation(path: &[u8]) -> bool {
    [
        &b"usr/share/doc/"[..],
        b"usr/share/man/",
        b"usr/share/info/",
        b"usr/share/licenses/",
        b"usr/share/locale/",
    ]
    .iter()
    .any(|directory| path.starts_with(directory))
}

/// Whether content that starts so is text: no NUL among the first bytes.
pub(super) fn is_text(content: &[u8]) -> bool {
    !content
        .get(..TEXT_SAMPLE.min(content.len()))
        .unwrap_or_default()
        .contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_looked_at_by_path_and_size() {
        for (path, size, want) in [
            ("etc/os-release", 300, Interest::Kept),
            ("root/buildinfo/content_manifests/a.json", 9, Interest::Kept),
            (
                "var/lib/rpm/rpmdb.sqlite",
                1 << 30,
                Interest::Database(Role::Sqlite),
            ),
            ("opt/rpm/rpmdb.sqlite-wal", 0, Interest::Database(Role::Wal)),
            (
                "usr/lib/sysimage/rpm/Packages.db",
                1,
                Interest::Database(Role::Ndb),
            ),
            ("var/lib/rpm/Packages", 1, Interest::Database(Role::Bdb)),
            ("srv/Packages", 1 << 21, Interest::None),
            ("root/.ssh/id_rsa", 2000, Interest::Secrets),
            ("usr/share/doc/x/key.pem", 2000, Interest::None),
            ("usr/bin/big", (1 << 20) + 1, Interest::None),
            ("usr/bin/tiny", 15, Interest::None),
        ] {
            assert_eq!(interest(&ImagePath::from(path), size), want, "{path}");
        }
    }
}
