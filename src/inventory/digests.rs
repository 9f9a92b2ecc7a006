//! Packages that describe their files by another digest than SHA-256 (MD5 before RHEL 6, some vendors'
//! own): their files are digested once more, in a second reading of the layers that hold them, so that
//! they can be compared like all others. Images without such packages are read once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use sha2::{Digest, Sha256, digest::DynDigest};

use super::{
    database::Sha,
    error::LayerError,
    tar::{Sink, TarEntry, TarKind},
    tree::Tree,
};
use crate::{
    oci::{ImagePath, LayerIndex},
    rpm::{FileEntry, Package},
    subject::EntryKind,
};

/// rpm's number of SHA-256 (RFC 4880 9.4).
const SHA256: u32 = 8;

/// By rpm's numbers; `None` for what rpm knows and nobody uses.
fn hasher(algorithm: u32) -> Option<Box<dyn DynDigest>> {
    match algorithm {
        1 => Some(Box::new(md5::Md5::new())),
        2 => Some(Box::new(sha1::Sha1::new())),
        9 => Some(Box::new(sha2::Sha384::new())),
        10 => Some(Box::new(sha2::Sha512::new())),
        11 => Some(Box::new(sha2::Sha224::new())),
        _ => None,
    }
}

/// The same packages, with SHA-256 in place of other digests: the tree's own where the content is as
/// described, else the digest described, which then matches nothing. Packages whose files could not be
/// digested stay as they are.
pub(super) fn translate(
    packages: &[Arc<Package>],
    tree: &Tree<'_>,
    read_again: impl Fn(LayerIndex, Rehash) -> Option<Rehash>,
) -> Vec<Arc<Package>> {
    let is_other = |package: &Package| {
        package.file_digest_algo != SHA256 && hasher(package.file_digest_algo).is_some()
    };
    let mut wanted: BTreeMap<LayerIndex, Rehash> = BTreeMap::new();
    for package in packages.iter().filter(|package| is_other(package)) {
        for (size, _, layer) in package.files.iter().filter_map(|file| found(tree, file)) {
            let layer = wanted.entry(layer).or_default();
            layer.sizes.insert(size);
            layer.algorithms.insert(package.file_digest_algo);
        }
    }
    let digests: HashMap<(Sha, u32), Box<[u8]>> = wanted
        .into_iter()
        .filter_map(|(layer, sink)| read_again(layer, sink))
        .flat_map(|sink| sink.found)
        .collect();
    let translated = |package: &Arc<Package>| {
        let algorithm = package.file_digest_algo;
        let mut package = is_other(package).then(|| Package::clone(package))?;
        for file in &mut package.files {
            if let Some((_, sha256, _)) = found(tree, file)
                && *digests.get(&(sha256, algorithm))? == file.digest
            {
                file.digest = sha256.into();
            }
        }
        package.file_digest_algo = SHA256;
        Some(Arc::new(package))
    };
    packages
        .iter()
        .map(|package| translated(package).unwrap_or_else(|| Arc::clone(package)))
        .collect()
}

/// The file that the tree has where a package has one: size, digest, layer.
fn found(tree: &Tree<'_>, file: &FileEntry) -> Option<(u64, Sha, LayerIndex)> {
    if file.digest.is_empty() {
        return None;
    }
    let directory: ImagePath = tree.resolve(&file.path.parent()?).ok()?;
    let entry = tree.entries.get(&directory.join(file.path.file_name()?))?;
    match entry.kind {
        EntryKind::File { size, sha256 } => Some((size, sha256, entry.layer)),
        _ => None,
    }
}

/// A digest being taken, and rpm's number of it.
type Other = (u32, Box<dyn DynDigest>);

/// Takes more digests of the files of certain sizes.
#[derive(Default)]
pub(super) struct Rehash {
    sizes: BTreeSet<u64>,
    algorithms: BTreeSet<u32>,
    passing: Option<(Sha256, Vec<Other>)>,
    /// by SHA-256 and algorithm
    found: HashMap<(Sha, u32), Box<[u8]>>,
}

impl Sink for Rehash {
    fn entry(&mut self, entry: TarEntry<'_>) -> Result<(), LayerError> {
        let wanted = matches!(entry.kind, TarKind::File(size) if self.sizes.contains(&size));
        self.passing = wanted.then(|| {
            let others = self.algorithms.iter();
            let others = others.filter_map(|&algorithm| Some((algorithm, hasher(algorithm)?)));
            (Sha256::new(), others.collect())
        });
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        if let Some((sha256, others)) = &mut self.passing {
            Digest::update(sha256, bytes);
            for (_, other) in others {
                other.update(bytes);
            }
        }
        Ok(())
    }

    fn hole(&mut self, mut bytes: u64) -> Result<(), LayerError> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        while bytes > 0 && self.passing.is_some() {
            let piece = usize::try_from(bytes).map_or(ZEROS.len(), |n| n.min(ZEROS.len()));
            self.data(ZEROS.get(..piece).unwrap_or_default())?;
            bytes -= piece as u64;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), LayerError> {
        if let Some((sha256, others)) = self.passing.take() {
            let sha256: Sha = Digest::finalize(sha256).into();
            for (algorithm, other) in others {
                self.found.insert((sha256, algorithm), other.finalize());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standards() {
        let mut sink = Rehash {
            sizes: [3].into(),
            algorithms: [1, 2, 10].into(),
            ..Rehash::default()
        };
        for (size, content) in [(3, &b"abc"[..]), (4, b"abcd")] {
            let entry = TarEntry {
                path: b"x",
                kind: TarKind::File(size),
                mode: 0,
                uid: 0,
                gid: 0,
                caps: b"",
            };
            sink.entry(entry).unwrap();
            sink.data(content).unwrap();
            sink.end().unwrap();
        }
        let of = |algorithm| sink.found[&(Sha256::digest(b"abc").into(), algorithm)].clone();
        // RFC 1321 A.5, RFC 3174 7.3
        assert_eq!(of(1)[..4], [0x90, 0x01, 0x50, 0x98]);
        assert_eq!(of(2)[..4], [0xa9, 0x99, 0x3e, 0x36]);
        assert_eq!(of(10)[..4], [0xdd, 0xaf, 0x35, 0xa1]);
        assert_eq!(sink.found.len(), 3);
    }
}
