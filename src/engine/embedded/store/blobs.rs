//! Blobs by digest. That a blob is the one that was stored is told by what the file system says of
//! it (size, time, inode); when that differs the blob is hashed, and removed when it is another.

use std::{
    fs::File,
    io::{self, Read, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::{Store, error::StoreError, layer::Written};
use crate::oci::{BlobHasher, Descriptor, DiffId, Digest, MediaType, VerifyingReader, sha256};

const KIND: &str = "blobs";

/// One layer of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// of the uncompressed layer
    pub diff_id: DiffId,
    /// of the blob
    pub digest: Digest,
    /// bytes of the blob
    pub size: u64,
    /// of the blob
    pub media_type: String,
    /// when it was made, seconds since 1970; `None` for layers of base images
    pub created: Option<i64>,
}

impl Layer {
    /// As a manifest names it.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(
            MediaType::from(self.media_type.as_str()),
            self.size,
            self.digest.clone(),
        )
    }
}

/// The layers of a tree, bottom first.
pub(crate) type Chain = Vec<Layer>;

/// Chain id (image-spec, config.md) of layers; `None` for the empty tree.
pub(crate) fn chain_id(layers: &[Layer]) -> Option<Digest> {
    let mut layers = layers.iter();
    let first = layers.next()?.diff_id.0.clone();
    Some(layers.fold(first, |chain, layer| {
        sha256(format!("{chain} {}", layer.diff_id).as_bytes())
    }))
}

/// What the file system says of a blob.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    seconds: i64,
    nanos: i64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let meta = std::fs::symlink_metadata(path)?;
        Ok(Self {
            size: meta.size(),
            seconds: meta.mtime(),
            nanos: meta.mtime_nsec(),
            inode: meta.ino(),
        })
    }
}

/// Opens a file of the cache.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Makes a file of the cache, readable for everybody.
pub(super) fn create(path: &Path) -> Result<File, StoreError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::from_raw_mode(0o644))
        .map_err(|error| StoreError::io(path)(error.into()))?;
    Ok(File::from(fd))
}

impl Store {
    /// Where a blob lies.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        let algorithm = digest.algorithm();
        self.root
            .join("blobs")
            .join(algorithm.as_ref())
            .join(digest.digest())
    }

    /// Whether a blob is there, and the one that it should be.
    pub(crate) fn has_blob(&self, digest: &Digest, size: u64) -> bool {
        let path = self.blob_path(digest);
        let Ok(stamp) = Stamp::of(&path) else {
            return false;
        };
        // Whoever claims another size of it does not know it; nothing is wrong with the blob.
        if self.record::<Stamp>(KIND, digest).as_ref() == Some(&stamp) {
            self.touch(KIND, digest);
            return stamp.size == size;
        }
        if stamp.size == size {
            // Copied here by something else, or changed.
            if hash(&path).is_ok_and(|found| found == *digest) {
                let _ = self.put_record(KIND, digest, &stamp);
                return true;
            }
        }
        tracing::warn!("{} is damaged and made anew", path.display());
        let _ = std::fs::remove_file(&path);
        self.forget(KIND, digest);
        false
    }

    fn place(&self, made: &Path, digest: &Digest) -> Result<(), StoreError> {
        let path = self.blob_path(digest);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(StoreError::io(parent))?;
        }
        std::fs::rename(made, &path).map_err(StoreError::io(&path))?;
        let stamp = Stamp::of(&path).map_err(StoreError::io(&path))?;
        self.put_record(KIND, digest, &stamp)
    }

    /// Stores a layer that was written to a file of this run.
    pub(super) fn place_layer(
        &self,
        made: &Path,
        written: &Written,
        created: i64,
    ) -> Result<Layer, StoreError> {
        if self.has_blob(&written.digest, written.size) {
            let _ = std::fs::remove_file(made);
        } else {
            self.place(made, &written.digest)?;
        }
        Ok(Layer {
            diff_id: written.diff_id.clone(),
            digest: written.digest.clone(),
            size: written.size,
            media_type: written.media_type.to_string(),
            created: Some(created),
        })
    }

    /// Stores what is read, verified, unless it is there.
    pub(crate) fn put_blob(&self, from: impl Read, of: &Descriptor) -> Result<(), StoreError> {
        let made = self.temporary();
        let mut file = create(&made)?;
        let mut reader = VerifyingReader::new(from, of)?;
        io::copy(&mut reader, &mut file).map_err(|error| {
            crate::oci::SourceError::from_read(format!("blob {}", of.digest()), error)
        })?;
        file.flush().map_err(StoreError::io(&made))?;
        self.place(&made, of.digest())
    }

    /// Opens a blob; nothing is verified.
    pub(crate) fn open_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.blob_path(digest);
        open(&path).map_err(StoreError::io(&path))
    }
}

fn hash(path: &Path) -> io::Result<Digest> {
    let mut file = open(path)?;
    let mut hasher = BlobHasher::default();
    let mut buffer = vec![0; 256 << 10];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(buffer.get(..n).unwrap_or_default());
    }
}
