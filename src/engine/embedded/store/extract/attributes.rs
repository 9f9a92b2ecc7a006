//! Owner, permissions, times and extended attributes of an entry.

use std::io;

use rustix::fs::FileType;
use tar_core::EntryType;

use super::{Extract, Owners};
use crate::engine::embedded::{
    archive::Member,
    store::{
        dir::{self, Dir, Name},
        error::StoreError,
    },
};

/// What a header says.
pub(super) struct Attributes<'m> {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) seconds: i64,
    pub(super) nanos: i64,
    xattrs: &'m [(String, Vec<u8>)],
}

impl<'m> Attributes<'m> {
    pub(super) fn of(member: &'m Member) -> Self {
        let (seconds, nanos) = member.pax_mtime.unwrap_or((member.mtime, 0));
        Self {
            mode: member.mode,
            uid: member.uid,
            gid: member.gid,
            seconds,
            nanos,
            xattrs: &member.xattrs,
        }
    }
}

impl Extract<'_> {
    /// Sets them. A hard link has a header of its own, and the last name decides for all, as where
    /// containerd unpacks.
    pub(super) fn attribute(
        &mut self,
        dir: &Dir,
        file: &Name,
        path: &[u8],
        kind: EntryType,
        attributes: &Attributes<'_>,
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
        for (key, value) in attributes.xattrs {
            match dir.set_xattr(Some(file), key.as_bytes(), value) {
                // As containerd does: a file system or a user namespace without them.
                Err(error) if unsettable(&error) => {
                    tracing::warn!(
                        "layer {}: `{}`: attribute {key} cannot be set here",
                        self.layer,
                        String::from_utf8_lossy(path),
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
        attributes: &Attributes<'_>,
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
