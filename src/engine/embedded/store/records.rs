//! Records: a JSON document under a key, with a checksum over it. A record that does not agree with
//! its checksum counts as not there, and is written anew by whoever needed it.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{Store, error::StoreError};
use crate::oci::{Digest, sha256};

/// Largest record that is read, in bytes: the digests of a million files of a context.
const MAX_RECORD: u64 = 256 << 20;

fn place(root: &Path, kind: &str, key: &Digest) -> PathBuf {
    root.join("records").join(kind).join(key.digest())
}

/// What was written under a key; `None` also when it is damaged.
pub(super) fn read<T: DeserializeOwned>(root: &Path, kind: &str, key: &Digest) -> Option<T> {
    use std::io::Read as _;
    let path = place(root, kind, key);
    let file = super::blobs::open(&path).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_RECORD).read_to_end(&mut bytes).ok()?;
    let cut = bytes.iter().position(|&byte| byte == b'\n')?;
    let (checksum, json) = bytes.split_at(cut);
    let json = json.get(1..)?;
    if sha256(json).to_string().as_bytes() != checksum {
        tracing::warn!("{} is damaged and made anew", path.display());
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// Writes a record, whole or not at all; `made` is a path of this run.
pub(super) fn write<T: Serialize>(
    root: &Path,
    kind: &str,
    key: &Digest,
    value: &T,
    made: &Path,
) -> Result<(), StoreError> {
    let path = place(root, kind, key);
    let io = |source| StoreError::io(&path)(source);
    let json = serde_json::to_vec(value).map_err(|error| io(error.into()))?;
    let mut file = super::blobs::create(made)?;
    file.write_all(format!("{}\n", sha256(&json)).as_bytes())
        .and_then(|()| file.write_all(&json))
        .map_err(StoreError::io(made))?;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(StoreError::io(parent))?;
    }
    std::fs::rename(made, &path).map_err(io)
}

/// Says that a record was of use, for `prune`.
pub(super) fn touch(root: &Path, kind: &str, key: &Digest) {
    touched(&place(root, kind, key));
}

/// Sets the time of a file or directory to now.
pub(super) fn touched(path: &Path) {
    let now = rustix::fs::Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_NOW,
    };
    let times = rustix::fs::Timestamps {
        last_access: now,
        last_modification: now,
    };
    let _ = rustix::fs::utimensat(
        rustix::fs::CWD,
        path,
        &times,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    );
}

impl Store {
    /// What was written under a key; `None` also when it is damaged.
    pub(crate) fn record<T: DeserializeOwned>(&self, kind: &str, key: &Digest) -> Option<T> {
        read(&self.root, kind, key)
    }

    /// Writes a record, whole or not at all.
    pub(crate) fn put_record<T: Serialize>(
        &self,
        kind: &str,
        key: &Digest,
        value: &T,
    ) -> Result<(), StoreError> {
        write(&self.root, kind, key, value, &self.temporary())
    }

    /// Forgets a record.
    pub(crate) fn forget(&self, kind: &str, key: &Digest) {
        let _ = std::fs::remove_file(place(&self.root, kind, key));
    }

    /// Says that a record was of use, for `prune`.
    pub(crate) fn touch(&self, kind: &str, key: &Digest) {
        touch(&self.root, kind, key);
    }
}
