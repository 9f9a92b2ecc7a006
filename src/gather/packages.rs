//! The package list of an image as the advisories want it, kept by the image's digest: the layers of
//! an image never change, so they are read once.
//!
//! A file that is damaged, of another version or of another image counts as absent; it is written
//! anew. The folder is bounded: the files that were written longest ago go first.

#![expect(
    clippy::disallowed_methods,
    reason = "gather keeps package lists in the cache directory"
)]

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::evidence;
use crate::{
    advisory::matching::{Evidence, Installed},
    inventory::{self, ScanError, ScanOptions, ScanProgress},
    oci::{Digest, ImageSource, ResolvedImage, sha256},
    subject::{Fact, Inventory},
};

/// What opens a kept list. The version of the program is part of it, because what is read of an
/// image may change with it.
const MAGIC: &str = concat!("plimsoll package list 3 ", env!("CARGO_PKG_VERSION"), " ");
/// Largest list that is kept or read, bytes; 10,000 packages take some 3 MB.
const MAX_FILE: u64 = 32 << 20;
/// Most lists that are kept.
const MAX_FILES: usize = 500;

/// What an image says of its packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageList {
    /// of the manifest
    image: String,
    /// what it says of itself
    pub evidence: Evidence,
    /// packages with the layers that brought them
    pub installed: Vec<Installed>,
    /// files of the evidence that could not be read
    pub unread: Vec<String>,
}

impl PackageList {
    /// How many packages there are; keys are none.
    pub fn packages(&self) -> usize {
        let keys = |it: &&Installed| it.nevra.name == "gpg-pubkey";
        self.installed.len() - self.installed.iter().filter(keys).count()
    }

    /// A list that is of no image.
    pub fn given(evidence: Evidence, installed: Vec<Installed>) -> Self {
        Self {
            image: String::new(),
            evidence,
            installed,
            unread: Vec::new(),
        }
    }

    /// Takes it over from a pass over the layers.
    pub fn of(digest: &Digest, inventory: &Inventory) -> Fact<Self> {
        let packages = match &inventory.packages {
            Fact::Known(packages) => packages,
            Fact::Unmet(reason) => return Fact::Unmet(reason.clone()),
        };
        let found = evidence::evidence(inventory);
        Fact::Known(Self {
            image: digest.to_string(),
            installed: evidence::installed(packages, &found.history),
            evidence: found.evidence,
            unread: found.unread,
        })
    }

    /// Takes it from the cache, else reads the layers and keeps what was learned.
    ///
    /// # Errors
    /// When the layers cannot be read.
    pub fn read(
        source: &dyn ImageSource,
        image: &ResolvedImage,
        cache: &PackageCache,
        options: &ScanOptions,
        progress: &dyn ScanProgress,
    ) -> Result<Fact<Self>, ScanError> {
        let digest = image.descriptor.digest();
        if let Some(list) = cache.get(digest) {
            return Ok(Fact::Known(list));
        }
        let options = ScanOptions {
            verify: false,
            ..options.clone()
        };
        let layers = image.manifest.layers();
        let inventory = inventory::scan(source, layers, &image.config, &options, progress)?;
        let list = Self::of(digest, &inventory);
        if let Fact::Known(list) = &list {
            cache.put(list);
        }
        Ok(list)
    }
}

/// Where package lists are kept.
#[derive(Debug, Clone, Default)]
pub struct PackageCache {
    folder: Option<PathBuf>,
}

impl PackageCache {
    /// Keeps them in a folder; nowhere without one.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    fn path(&self, image: &str) -> Option<PathBuf> {
        let name = image.replace(':', "-");
        let safe = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        safe.then_some(())?;
        Some(self.folder.as_ref()?.join(format!("{name}.json")))
    }

    /// The list of an image, if a whole one is kept.
    pub fn get(&self, digest: &Digest) -> Option<PackageList> {
        let image = digest.to_string();
        let list = read(&self.path(&image)?)?;
        (list.image == image).then_some(list)
    }

    /// Keeps a list. A cache that cannot be written costs time and nothing else.
    pub fn put(&self, list: &PackageList) {
        let Some(path) = self.path(&list.image) else {
            return;
        };
        if let Err(error) = write(&path, list) {
            tracing::info!(path = %path.display(), %error, "the package list is not kept");
        }
    }
}

fn read(path: &Path) -> Option<PackageList> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > MAX_FILE {
        return None;
    }
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (head, body) = bytes.split_at(end + 1);
    let said = std::str::from_utf8(head)
        .ok()?
        .trim_end()
        .strip_prefix(MAGIC)?;
    (said == sha256(body).to_string()).then_some(())?;
    serde_json::from_slice(body).ok()
}

fn write(path: &Path, list: &PackageList) -> io::Result<()> {
    let body = serde_json::to_vec(list)?;
    let head = format!("{MAGIC}{}\n", sha256(&body));
    if (head.len() + body.len()) as u64 > MAX_FILE {
        return Err(io::Error::other("it is larger than 32 MiB"));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(head.as_bytes())?;
    file.write_all(&body)?;
    file.persist(path).map_err(|error| error.error)?;
    make_room(folder)
}

fn make_room(folder: &Path) -> io::Result<()> {
    let mut kept: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "json") {
            kept.push((entry.metadata()?.modified()?, path));
        }
    }
    kept.sort();
    let over = kept.len().saturating_sub(MAX_FILES);
    for (_, path) in kept.into_iter().take(over) {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check::testing::Image, oci::Digest};

    fn list() -> (Digest, PackageList) {
        let subject = Image::good().build();
        let digest = subject.digest.clone();
        let Fact::Known(list) = PackageList::of(&digest, &subject.inventory) else {
            panic!("no packages");
        };
        (digest, list)
    }

    #[test]
    fn a_list_comes_back_as_it_was_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::new(Some(folder.path().join("a/b")));
        let (digest, list) = list();
        assert_eq!(cache.get(&digest), None);
        cache.put(&list);
        assert_eq!(cache.get(&digest), Some(list.clone()));
        PackageCache::default().put(&list);
        assert_eq!(PackageCache::default().get(&digest), None);
    }

    #[test]
    fn a_list_that_is_damaged_or_of_another_image_counts_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let cache = PackageCache::new(Some(folder.path().to_owned()));
        let (digest, list) = list();
        cache.put(&list);
        let path = cache.path(&list.image).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert_eq!(cache.get(&digest), None, "bit of byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(cache.get(&digest), None, "cut at {at}");
        }
        let other: Digest = format!("sha256:{}", "7".repeat(64)).parse().unwrap();
        fs::write(cache.path(other.as_ref()).unwrap(), &whole).unwrap();
        assert_eq!(cache.get(&other), None);
        fs::write(&path, &whole).unwrap();
        assert_eq!(cache.get(&digest), Some(list));
    }

    #[test]
    fn the_folder_does_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..MAX_FILES + 3 {
            fs::write(folder.path().join(format!("{number}.json")), "").unwrap();
        }
        fs::write(folder.path().join("other"), "").unwrap();
        make_room(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MAX_FILES + 1);
    }
}
