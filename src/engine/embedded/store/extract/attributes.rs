//! Owner, permissions, times and extended attributes of an entry.

use std::io::{self, Read};

use rustix::fs::FileType;
use tar::EntryType;

use super::{Extract, Owners};
use crate::engine::embedded::store::{
    dir::{self, Dir, Name},
    error::StoreError,
};

/// What a header says, numbers read.
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) seconds: i64,
    pub(super) nanos: i64,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Extract<'_> {
    pub(super) fn attributes<R: Read>(
        &self,
        path: &[u8],
        entry: &mut tar::Entry<'_, R>,
    ) -> Result<Attributes, StoreError> {
        let bad = |error: io::Error| self.refuse(path, &error.to_string());
        let id = |id: u64| {
            u32::try_from(id).map_err(|_| self.refuse(path, &format!("no such owner: {id}")))
        };
        let header = entry.header();
        let mode = header.mode().map_err(bad)? & 0o7777;
        let (mut uid, mut gid) = (header.uid().map_err(bad)?, header.gid().map_err(bad)?);
        // A time before 1970 stands in the PAX record alone, or is not kept.
        let mut seconds = i64::try_from(header.mtime().unwrap_or_default()).unwrap_or_default();
        let (mut nanos, mut xattrs) = (0, Vec::new());
        for extension in entry.pax_extensions().map_err(bad)?.into_iter().flatten() {
            let extension = extension.map_err(bad)?;
            let value = extension.value_bytes();
            let text = || std::str::from_utf8(value).ok();
            match extension.key_bytes() {
                b"uid" => uid = text().and_then(|v| v.parse().ok()).unwrap_or(uid),
                b"gid" => gid = text().and_then(|v| v.parse().ok()).unwrap_or(gid),
                b"mtime" => {
                    if let Some((whole, part)) = text().and_then(time) {
                        (seconds, nanos) = (whole, part);
                    }
                }
                key => {
                    if let Some(key) = key.strip_prefix(b"SCHILY.xattr.") {
                        xattrs.push((key.to_vec(), value.to_vec()));
                    }
                }
            }
        }
        Ok(Attributes {
            mode,
            uid: id(uid)?,
            gid: id(gid)?,
            seconds,
            nanos,
            xattrs,
        })
    }

    /// Sets them. A hard link has a header of its own, and the last name decides for all, as where
    /// containerd unpacks.
    pub(super) fn attribute(
        &mut self,
        dir: &Dir,
        file: &Name,
        path: &[u8],
        kind: EntryType,
        attributes: &Attributes,
    ) -> Result<(), StoreError> {
        let failed = self.failed(path);
        let there = dir.stat(file).map_err(&failed)?;
        // A change of owner takes capabilities away, which a second name need not tell again.
        let same = (there.st_uid, there.st_gid) == (attributes.uid, attributes.gid);
        if kind != EntryType::Link || !same {
            self.chown(dir, file, path, attributes)?;
        }
        if dir::kind(&there) != FileType::Symlink {
            dir.chmod(file, attributes.mode).map_err(&failed)?;
        }
        for (key, value) in &attributes.xattrs {
            match dir.set_xattr(Some(file), key, value) {
                // As containerd does: a file system or a user namespace without them.
                Err(error) if unsettable(&error) => {
                    tracing::warn!(
                        "layer {}: `{}`: attribute {} cannot be set here",
                        self.layer,
                        String::from_utf8_lossy(path),
                        String::from_utf8_lossy(key)
                    );
                }
                other => other.map_err(&failed)?,
            }
        }
        if kind == EntryType::Directory {
            self.times
                .push((path.to_vec(), attributes.seconds, attributes.nanos));
            return Ok(());
        }
        dir.set_times(file, attributes.seconds, attributes.nanos)
            .map_err(&failed)
    }

    pub(super) fn chown(
        &self,
        dir: &Dir,
        file: &Name,
        path: &[u8],
        attributes: &Attributes,
    ) -> Result<(), StoreError> {
        if self.owners == Owners::Squash {
            return Ok(());
        }
        let (uid, gid) = (attributes.uid, attributes.gid);
        dir.chown(file, uid, gid).map_err(|error| {
            if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) {
                return self.refuse(
                    path,
                    &format!(
                        "it belongs to {uid}:{gid}, which this user namespace has no id for; give \
                         this user more ids in /etc/subuid and /etc/subgid, or build as root"
                    ),
                );
            }
            self.failed(path)(error)
        })
    }
}

fn unsettable(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [rustix::io::Errno::OPNOTSUPP, rustix::io::Errno::PERM]
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}

/// `SECONDS[.FRACTION]` of a PAX record.
fn time(text: &str) -> Option<(i64, i64)> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = part.chars().chain("000000000".chars()).take(9).collect();
    let nanos: i64 = digits.parse().ok()?;
    if whole.starts_with('-') && nanos > 0 {
        return Some((seconds - 1, 1_000_000_000 - nanos));
    }
    Some((seconds, nanos))
}
