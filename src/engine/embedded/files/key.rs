//! What a copy would copy, as one digest: paths, types, modes, owners, link targets, attributes and
//! content; not the times, as in `BuildKit`'s `contenthash`. Two copies with the same text and the
//! same key give the same files.

use std::{
    ffi::OsStr,
    io::Read as _,
    os::{fd::AsFd as _, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::fs::{FileType, Stat};
use sha2::{Digest as _, Sha256};

use super::{
    FileError, StatCache, Trees, Wanted,
    ignore::{Filter, Inherited, Judgement},
    meta,
    root::{dir_at, names, stat_at},
    source::{Found, Source, is_dir, kind},
};
use crate::{
    engine::embedded::graph::{Copy, CopyFrom},
    oci::{Digest, hex},
};

/// More threads do not help: the disk is the limit.
const MAX_THREADS: usize = 8;

/// Digest of what a copy would copy.
///
/// # Errors
/// As for [`super::apply`]: a source that is missing is found here first.
pub fn key(copy: &Copy, trees: &dyn Trees) -> Result<Digest, FileError> {
    let mut hash = Sha256::new();
    match &copy.from {
        CopyFrom::Inline(files) => {
            for (name, content) in files {
                field(&mut hash, name.as_bytes());
                field(&mut hash, content.as_bytes());
            }
        }
        CopyFrom::Tree(tree) => {
            let source = Source::open(*tree, trees)?;
            let stats = trees.stats(tree);
            for text in &copy.sources {
                let wanted = Wanted::new(text, copy)?;
                let mut listing = Listing {
                    source: &source,
                    filter: &wanted.filter,
                    entries: Vec::new(),
                };
                for path in wanted.paths(&source)? {
                    listing.found(&source.find(&path)?)?;
                }
                let digests = content(&source, &listing.entries, stats)?;
                field(&mut hash, b"source");
                for (entry, digest) in listing.entries.iter().zip(digests) {
                    entry.hash(&mut hash, source.foreign, digest);
                }
            }
        }
    }
    format!("sha256:{}", hex(&hash.finalize()))
        .parse()
        .map_err(|_| FileError::Refused("a digest could not be made".to_owned()))
}

/// Length and bytes, so that fields cannot run into each other.
fn field(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// One thing that is copied.
struct Entry {
    /// in the source tree
    path: PathBuf,
    /// below what was found for the source, or its name
    name: PathBuf,
    stat: Stat,
    /// made only for what is in it
    passing: bool,
    link: Vec<u8>,
    xattrs: Vec<(std::ffi::CString, Vec<u8>)>,
}

impl Entry {
    fn hash(&self, hash: &mut Sha256, foreign: bool, digest: Option<[u8; 32]>) {
        field(hash, self.name.as_os_str().as_bytes());
        let mut mode = u64::from(self.stat.st_mode);
        if self.passing {
            mode |= 1 << 32;
        }
        let numbers = [
            mode,
            u64::from(if foreign { 0 } else { self.stat.st_uid }),
            u64::from(if foreign { 0 } else { self.stat.st_gid }),
        ];
        for number in numbers {
            hash.update(number.to_le_bytes());
        }
        field(hash, &self.link);
        for (name, value) in &self.xattrs {
            field(hash, name.to_bytes());
            field(hash, value);
        }
        field(hash, digest.as_ref().map_or(&[], |digest| digest));
    }
}

struct Listing<'a> {
    source: &'a Source<'a>,
    filter: &'a Filter,
    entries: Vec<Entry>,
}

impl Listing<'_> {
    fn found(&mut self, found: &Found) -> Result<(), FileError> {
        let parent = self
            .source
            .root
            .dir(found.path.parent().unwrap_or(Path::new("")))?;
        let own = found.path.file_name().unwrap_or(OsStr::new("."));
        let name = PathBuf::from(found.name.clone().unwrap_or_default());
        if !is_dir(&found.stat) {
            return self.push(parent.as_fd(), own, &found.path, name, found.stat, false);
        }
        // Not the directory itself: its contents are what is copied.
        let directory = self.source.root.dir(&found.path)?;
        let inherited = self.source.inherited(&found.path)?;
        self.directory(directory.as_fd(), &found.path, Path::new(""), &inherited)
    }

    fn directory(
        &mut self,
        directory: std::os::fd::BorrowedFd<'_>,
        path: &Path,
        relative: &Path,
        inherited: &Inherited,
    ) -> Result<(), FileError> {
        let fail = |fault| FileError::io("reading", path, fault);
        for name in names(directory).map_err(fail)? {
            let relative = relative.join(&name);
            let (judgement, mut below) = self.filter.judge(&relative, inherited)?;
            if judgement == Judgement::Skip {
                continue;
            }
            let path = path.join(&name);
            let Some(stat) = stat_at(directory, &name).map_err(fail)? else {
                continue;
            };
            if let Some(ignore) = self.source.ignore {
                let above = inherited.ignore.as_ref();
                let (seen, matches) = ignore.judge(directory, &path, is_dir(&stat), above)?;
                if !seen {
                    continue;
                }
                below.ignore = Some(matches);
            }
            // What a filter picks from the root of a tree is looked at through links.
            let top = path.components().nth(1).is_none();
            if judgement == Judgement::Copy && top && self.filter.speaks() && is_link(&stat) {
                self.source.find(&path)?;
            }
            if judgement == Judgement::Copy || is_dir(&stat) {
                let passing = judgement != Judgement::Copy;
                self.push(directory, &name, &path, relative.clone(), stat, passing)?;
            }
            if is_dir(&stat) {
                let before = self.entries.len();
                let opened = dir_at(directory, &name).map_err(fail)?;
                self.directory(opened.as_fd(), &path, &relative, &below)?;
                if judgement != Judgement::Copy && self.entries.len() == before {
                    self.entries.pop();
                }
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "an entry and where it is read")]
    fn push(
        &mut self,
        directory: std::os::fd::BorrowedFd<'_>,
        own: &OsStr,
        path: &Path,
        name: PathBuf,
        stat: Stat,
        passing: bool,
    ) -> Result<(), FileError> {
        let link = if kind(&stat) == FileType::Symlink {
            rustix::fs::readlinkat(directory, own, Vec::new())
                .map_err(|fault| FileError::io("reading link", path, fault))?
                .into_bytes()
        } else {
            Vec::new()
        };
        self.entries.push(Entry {
            path: path.to_owned(),
            name,
            stat,
            passing,
            link,
            xattrs: meta::xattrs_at(directory, own),
        });
        Ok(())
    }
}

fn is_link(stat: &Stat) -> bool {
    kind(stat) == FileType::Symlink
}

/// Digests of the plain files, in the order of the entries; by several threads.
fn content(
    source: &Source<'_>,
    entries: &[Entry],
    stats: Option<&StatCache>,
) -> Result<Vec<Option<[u8; 32]>>, FileError> {
    let mut digests: Vec<Option<[u8; 32]>> = Vec::with_capacity(entries.len());
    let mut open = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let plain = kind(&entry.stat) == FileType::RegularFile;
        let known = plain
            .then(|| stats.and_then(|stats| stats.get(&entry.stat)))
            .flatten();
        if plain && known.is_none() {
            open.push((index, entry));
        }
        digests.push(known);
    }
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let work = || {
        while let Some((index, entry)) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
            let digest = hashed(source, entry);
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push((*index, digest));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(MAX_THREADS).min(open.len()) {
            scope.spawn(work);
        }
        work();
    });
    let now = now();
    for (index, digest) in results.into_inner().unwrap_or_else(PoisonError::into_inner) {
        let digest = digest?;
        if let (Some(stats), Some(entry)) = (stats, entries.get(index)) {
            stats.put(&entry.stat, digest, now);
        }
        if let Some(place) = digests.get_mut(index) {
            *place = Some(digest);
        }
    }
    Ok(digests)
}

#[expect(
    clippy::disallowed_methods,
    reason = "whether a file was written to just now is a question of the clock"
)]
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

fn hashed(source: &Source<'_>, entry: &Entry) -> Result<[u8; 32], FileError> {
    let directory = source
        .root
        .dir(entry.path.parent().unwrap_or(Path::new("")))?;
    let name = entry.path.file_name().unwrap_or_default();
    let mut file = meta::open_plain(directory.as_fd(), name, &entry.path, &entry.stat)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        let count = file
            .read(&mut buffer)
            .map_err(|fault| FileError::io("reading", &entry.path, fault))?;
        if count == 0 {
            return Ok(hash.finalize().into());
        }
        hash.update(buffer.get(..count).unwrap_or_default());
    }
}
