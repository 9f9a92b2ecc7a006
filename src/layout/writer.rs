//! Writes an OCI image layout (image-spec, image-layout.md): blobs under their digest, each put in
//! place whole, and `index.json` last, so that an interrupted run leaves no image.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::oci::{
    BlobHasher, Descriptor, Digest, MediaType, Reference, SourceError, VerifyingReader,
};

/// Annotation of a descriptor in `index.json`: the tag (image-spec, annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Annotation of a descriptor in `index.json`: the full name, as containerd and BuildKit write it.
pub const FULL_NAME: &str = "io.containerd.image.name";

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Writes one OCI layout directory.
#[derive(Debug)]
pub struct LayoutWriter {
    root: PathBuf,
}

impl LayoutWriter {
    /// Makes the directory, which may exist; an `index.json` there is replaced only by
    /// [`LayoutWriter::finish`].
    pub fn create(root: &Path) -> Result<Self, SourceError> {
        let blobs = root.join("blobs").join("sha256");
        std::fs::create_dir_all(&blobs).map_err(|e| io_error(&blobs, e))?;
        let writer = Self {
            root: root.to_owned(),
        };
        writer.put(Path::new("oci-layout"), LAYOUT)?;
        Ok(writer)
    }

    /// Starts a blob whose digest is not known yet.
    pub fn blob(&self) -> Result<BlobWriter, SourceError> {
        Ok(BlobWriter {
            file: self.temporary()?,
            root: self.root.clone(),
            hasher: BlobHasher::default(),
        })
    }

    /// Stores bytes at hand.
    pub fn bytes(&self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor, SourceError> {
        let mut blob = self.blob()?;
        blob.write_all(bytes).map_err(|e| io_error(&self.root, e))?;
        let (digest, size) = blob.commit()?;
        Ok(Descriptor::new(media_type, size, digest))
    }

    /// Stores the bytes that `of` describes, verified; a blob that is there already is kept.
    pub fn copy(&self, from: impl Read, of: &Descriptor) -> Result<(), SourceError> {
        let mut reader = VerifyingReader::new(from, of)?;
        let mut file = self.temporary()?;
        io::copy(&mut reader, &mut file)
            .map_err(|e| SourceError::from_read(format!("blob {}", of.digest()), e))?;
        persist(file, &blob_path(&self.root, of.digest()))
    }

    /// Takes a blob from a file that is known to hold it: by a hard link where it lies on the same
    /// file system, else copied and verified. A blob that is there already is kept.
    pub fn link(&self, file: &Path, of: &Descriptor) -> Result<(), SourceError> {
        let path = blob_path(&self.root, of.digest());
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| io_error(parent, e))?;
        }
        match std::fs::hard_link(file, &path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let there = std::fs::metadata(&path).map_err(|e| io_error(&path, e))?;
                if there.len() == of.size() {
                    return Ok(());
                }
            }
            Err(_) => {}
        }
        let from = std::fs::File::options()
            .read(true)
            .open(file)
            .map_err(|e| io_error(file, e))?;
        self.copy(from, of)
    }

    /// Writes `index.json` with one descriptor for each name, or one without a name.
    pub fn finish(self, image: &Descriptor, names: &[String]) -> Result<(), SourceError> {
        let manifests: Vec<Value> = if names.is_empty() {
            vec![index_entry(image, None)]
        } else {
            names
                .iter()
                .map(|name| index_entry(image, Some(name)))
                .collect()
        };
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageIndex.to_string(),
            "manifests": manifests,
        });
        self.finish_raw(index.to_string().as_bytes())
    }

    /// Writes `index.json` as it is given.
    pub(super) fn finish_raw(self, index: &[u8]) -> Result<(), SourceError> {
        self.put(Path::new("index.json"), index)
    }

    fn put(&self, name: &Path, bytes: &[u8]) -> Result<(), SourceError> {
        let mut file = self.temporary()?;
        let path = self.root.join(name);
        file.write_all(bytes).map_err(|e| io_error(&path, e))?;
        persist(file, &path)
    }

    fn temporary(&self) -> Result<tempfile::NamedTempFile, SourceError> {
        use std::os::unix::fs::PermissionsExt as _;
        tempfile::Builder::new()
            .prefix(".partial-")
            .permissions(std::fs::Permissions::from_mode(0o644))
            .tempfile_in(&self.root)
            .map_err(|e| io_error(&self.root, e))
    }
}

/// A name that is an image reference gives the tag and the full name, as BuildKit's exporter
/// writes them; any other text is the name itself.
fn index_entry(image: &Descriptor, name: Option<&String>) -> Value {
    let mut entry = json!({
        "mediaType": image.media_type().to_string(),
        "digest": image.digest().to_string(),
        "size": image.size(),
    });
    let annotations = name.map(|name| match Reference::parse_familiar(name) {
        Ok(reference) => match &reference.tag {
            Some(tag) => json!({ FULL_NAME: reference.to_string(), REF_NAME: tag }),
            None => json!({ FULL_NAME: reference.to_string() }),
        },
        Err(_) => json!({ REF_NAME: name }),
    });
    if let (Some(annotations), Value::Object(entry)) = (annotations, &mut entry) {
        entry.insert("annotations".to_owned(), annotations);
    }
    entry
}

/// A blob being written; it appears in the layout with [`BlobWriter::commit`], else not at all.
#[derive(Debug)]
pub struct BlobWriter {
    file: tempfile::NamedTempFile,
    root: PathBuf,
    hasher: BlobHasher,
}

impl BlobWriter {
    /// Puts the blob in its place; digest and size in bytes.
    pub fn commit(self) -> Result<(Digest, u64), SourceError> {
        let size = self.hasher.size();
        let digest = self.hasher.finish();
        persist(self.file, &blob_path(&self.root, &digest))?;
        Ok((digest, size))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.file.write(buf)?;
        self.hasher.update(&buf[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Where a layout keeps a blob. A [`Digest`] holds neither `/` nor a `..` component.
pub(super) fn blob_path(root: &Path, digest: &Digest) -> PathBuf {
    root.join("blobs")
        .join(digest.algorithm().as_ref())
        .join(digest.digest())
}

fn persist(file: tempfile::NamedTempFile, path: &Path) -> Result<(), SourceError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|e| io_error(parent, e))?;
    }
    file.persist(path)
        .map(|_| ())
        .map_err(|e| io_error(path, e.error))
}

pub(super) fn io_error(path: &Path, source: io::Error) -> SourceError {
    SourceError::Io {
        what: path.display().to_string(),
        source,
    }
}
