//! Puts a layer on top of a tree: whiteouts remove, entries replace, and nothing is written outside,
//! whatever links the layer or the tree hold. On an overlay the kernel turns removals into whiteouts.

mod attributes;

use std::{
    collections::HashSet,
    io::{self, Read},
    os::unix::ffi::OsStrExt as _,
};

use rustix::fs::{AtFlags, FileType, Mode};
use tar_core::EntryType;

use self::attributes::Attributes;
use super::{
    dir::{Dir, Name, kind, name},
    error::StoreError,
};
use crate::{
    engine::embedded::archive::{Archive, Member, write_content},
    oci::MAX_LAYER,
};

/// Most entries of one layer.
const MAX_ENTRIES: usize = 8 << 20;
/// Longest path, as the kernel has it.
pub(super) const MAX_PATH: usize = 4096;

/// How owners outside this user namespace are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owners {
    /// as the layer says; one that is not mapped is an error
    Exact,
    /// all files belong to the one id that there is
    Squash,
}

/// Applies the uncompressed layer to the tree at `root`.
pub(crate) fn apply(
    root: &Dir,
    layer: &str,
    owners: Owners,
    from: impl Read,
) -> Result<(), StoreError> {
    let mut extract = Extract {
        root,
        layer,
        owners,
        written: HashSet::new(),
        times: Vec::new(),
        parent: None,
        room: MAX_LAYER,
    };
    let mut archive = Archive::new(from);
    let unreadable = |error: io::Error| read_error(layer, error);
    while let Some(member) = archive.next_member().map_err(unreadable)? {
        extract.entry(&member, &mut archive)?;
        if extract.written.len() > MAX_ENTRIES {
            return Err(extract.refuse(b"", &format!("it has more than {MAX_ENTRIES} entries")));
        }
    }
    extract.finish()
}

fn read_error(layer: &str, error: io::Error) -> StoreError {
    StoreError::Source(crate::oci::SourceError::from_read(
        format!("layer {layer}"),
        error,
    ))
}

struct Extract<'e> {
    root: &'e Dir,
    layer: &'e str,
    owners: Owners,
    /// paths of this layer: its whiteouts are about what lies below it
    written: HashSet<Vec<u8>>,
    /// times of directories, set when nothing more is put into them
    times: Vec<(Vec<u8>, i64, i64)>,
    /// the directory that was written into last
    parent: Option<(Vec<u8>, Dir)>,
    /// bytes that files may still have, holes included
    room: u64,
}

impl Extract<'_> {
    fn refuse(&self, path: &[u8], reason: &str) -> StoreError {
        StoreError::Layer {
            layer: self.layer.to_owned(),
            path: String::from_utf8_lossy(path).into_owned(),
            reason: reason.to_owned(),
        }
    }

    fn failed<'a>(&self, path: &'a [u8]) -> impl Fn(io::Error) -> StoreError + 'a {
        let layer = self.layer.to_owned();
        move |source| StoreError::Io {
            what: format!("layer {layer}: `{}`", String::from_utf8_lossy(path)),
            source,
        }
    }

    /// A path without `.`, empty components and leading `/`; `..` is refused.
    fn clean(&self, path: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut clean = Vec::with_capacity(path.len());
        for part in path.split(|&byte| byte == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => {
                    return Err(self.refuse(path, "`..` in the path leads out of the layer"));
                }
                _ if part.contains(&0) => {
                    return Err(self.refuse(path, "there is a NUL byte in the path"));
                }
                _ => {}
            }
            if !clean.is_empty() {
                clean.push(b'/');
            }
            clean.extend_from_slice(part);
        }
        if clean.len() >= MAX_PATH {
            return Err(self.refuse(path, "the path is longer than 4095 bytes"));
        }
        Ok(clean)
    }

    fn entry<R: Read>(
        &mut self,
        member: &Member,
        content: &mut Archive<R>,
    ) -> Result<(), StoreError> {
        let raw = member.path.as_os_str().as_bytes();
        let kind = member.kind;
        let path = self.clean(raw)?;
        let attributes = Attributes::of(member);
        if path.is_empty() {
            if kind != EntryType::Directory {
                return Err(self.refuse(raw, "only a directory can be the root"));
            }
            return self.root_entry(&attributes);
        }
        let (parent, base) = split(&path);
        if base.starts_with(b".wh.") {
            return self.whiteout(&path, parent, base);
        }
        let file = name(base).map_err(self.failed(&path))?;
        let dir = self.directory(parent)?;
        self.make_room(&dir, &file, &path, kind == EntryType::Directory)?;
        self.make((&dir, &file), &path, member, content)?;
        self.attribute(&dir, &file, &path, kind, &attributes)?;
        self.parent = Some((parent.to_vec(), dir));
        self.note(path);
        Ok(())
    }

    /// Remembers an entry, and the directories that it shows to be of this layer.
    fn note(&mut self, path: Vec<u8>) {
        let mut path = path;
        loop {
            let parent = split(&path).0.to_vec();
            if !self.written.insert(path) || parent.is_empty() {
                return;
            }
            path = parent;
        }
    }

    /// Takes away what is in the way of an entry; a directory stays where one is wanted.
    fn make_room(
        &mut self,
        dir: &Dir,
        file: &Name,
        path: &[u8],
        directory: bool,
    ) -> Result<(), StoreError> {
        let Some(there) = dir.find(file).map_err(self.failed(path))? else {
            return Ok(());
        };
        if directory && kind(&there) == FileType::Directory {
            return Ok(());
        }
        self.parent = None;
        dir.remove(file).map_err(self.failed(path))
    }

    fn make<R: Read>(
        &mut self,
        (dir, file): (&Dir, &Name),
        path: &[u8],
        member: &Member,
        content: &mut Archive<R>,
    ) -> Result<(), StoreError> {
        let failed = self.failed(path);
        match member.kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GnuSparse => {
                let Some(room) = self.room.checked_sub(member.length()) else {
                    let reason = format!("files of more than {MAX_LAYER} bytes");
                    return Err(self.refuse(path, &reason));
                };
                self.room = room;
                let out = dir.create(file).map_err(&failed)?;
                write_content(member, content, &out).map_err(|error| read_error(self.layer, error))
            }
            EntryType::Directory => match dir.mkdir(file, 0o700) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(error)),
                _ => Ok(()),
            },
            EntryType::Symlink => {
                let target = self.target(path, member)?;
                let target = name(&target).map_err(&failed)?;
                rustix::fs::symlinkat(&target, dir, file).map_err(|e| failed(e.into()))
            }
            EntryType::Link => {
                let target = self.target(path, member)?;
                self.hard_link(dir, file, path, &target)
            }
            EntryType::Fifo => {
                let mode = Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(dir, file, FileType::Fifo, mode, 0)
                    .map_err(|e| failed(e.into()))
            }
            EntryType::Char | EntryType::Block => Err(self.refuse(
                path,
                "it is a device node, and images with devices are refused; take a base image \
                 without them",
            )),
            other => Err(self.refuse(
                path,
                &format!(
                    "its type {:?} is not one of a layer",
                    char::from(other.as_byte())
                ),
            )),
        }
    }

    fn target(&self, path: &[u8], member: &Member) -> Result<Vec<u8>, StoreError> {
        let target = member.link.as_ref().map(|link| link.as_os_str().as_bytes());
        match target {
            Some(target) if !target.is_empty() => Ok(target.to_vec()),
            _ => Err(self.refuse(path, "it is a link to nothing")),
        }
    }

    fn hard_link(
        &mut self,
        dir: &Dir,
        file: &Name,
        path: &[u8],
        target: &[u8],
    ) -> Result<(), StoreError> {
        let target = self.clean(target)?;
        let (parent, base) = split(&target);
        let missing = |_| {
            self.refuse(
                path,
                &format!(
                    "it is a hard link to `{}`, which is not there",
                    String::from_utf8_lossy(&target)
                ),
            )
        };
        let from = self.root.inside(parent).map_err(missing)?;
        let source = name(base).map_err(self.failed(path))?;
        let stat = from.stat(&source).map_err(missing)?;
        if kind(&stat) == FileType::Directory {
            return Err(self.refuse(path, "it is a hard link to a directory"));
        }
        rustix::fs::linkat(&from, &source, dir, file, AtFlags::empty())
            .map_err(|error| self.failed(path)(error.into()))
    }

    /// The directory that an entry lies in; made when no entry made it.
    fn directory(&mut self, path: &[u8]) -> Result<Dir, StoreError> {
        if let Some((last, dir)) = self.parent.take()
            && last == path
        {
            return Ok(dir);
        }
        match self.root.inside(path) {
            Ok(dir) => return Ok(dir),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(self.refuse(path, "it has entries below it and is no directory"));
            }
            Err(error) => return Err(self.failed(path)(error)),
        }
        let (parent, base) = split(path);
        let above = self.directory(parent)?;
        let base = name(base).map_err(self.failed(path))?;
        match above.mkdir(&base, 0o755) {
            Ok(()) => {}
            // A link that leads nowhere.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(self.refuse(path, "it has entries below it and is a dangling link"));
            }
            Err(error) => return Err(self.failed(path)(error)),
        }
        self.note(path.to_vec());
        above.child(&base).map_err(self.failed(path))
    }

    fn whiteout(&mut self, path: &[u8], parent: &[u8], base: &[u8]) -> Result<(), StoreError> {
        let dir = match self.root.inside(parent) {
            Ok(dir) => dir,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(());
            }
            Err(error) => return Err(self.failed(path)(error)),
        };
        self.parent = None;
        if base == b".wh..wh..opq" {
            return self.opaque(&dir, parent, path);
        }
        // `.wh..wh.` starts names that AUFS keeps for itself (image-spec, layer.md).
        if base.starts_with(b".wh..wh.") {
            return Ok(());
        }
        let gone = base.get(4..).unwrap_or_default();
        if matches!(gone, b"" | b"." | b"..") {
            return Err(self.refuse(path, "it is a whiteout of a directory itself"));
        }
        let mut full = parent.to_vec();
        if !full.is_empty() {
            full.push(b'/');
        }
        full.extend_from_slice(gone);
        if self.written.contains(&full) {
            return Ok(());
        }
        let gone = name(gone).map_err(self.failed(path))?;
        dir.remove(&gone).map_err(self.failed(path))
    }

    fn opaque(&self, dir: &Dir, parent: &[u8], path: &[u8]) -> Result<(), StoreError> {
        for inner in dir.names().map_err(self.failed(path))? {
            let mut full = parent.to_vec();
            if !full.is_empty() {
                full.push(b'/');
            }
            full.extend_from_slice(inner.to_bytes());
            if !self.written.contains(&full) {
                dir.remove(&inner).map_err(self.failed(path))?;
                continue;
            }
            // A directory of this layer may show what lies below it as well.
            let stat = dir.stat(&inner).map_err(self.failed(path))?;
            if kind(&stat) == FileType::Directory {
                let child = dir.child(&inner).map_err(self.failed(path))?;
                self.opaque(&child, &full, path)?;
            }
        }
        Ok(())
    }

    fn root_entry(&mut self, attributes: &Attributes<'_>) -> Result<(), StoreError> {
        let failed = self.failed(b"/");
        let here = name(b".").map_err(&failed)?;
        self.chown(self.root, &here, b"/", attributes)?;
        let mode = Mode::from_raw_mode(attributes.mode);
        rustix::fs::fchmod(self.root, mode).map_err(|e| failed(e.into()))?;
        self.times
            .push((Vec::new(), attributes.seconds, attributes.nanos));
        Ok(())
    }

    /// Times of directories, the deepest first; a directory that is there no more needs none.
    fn finish(mut self) -> Result<(), StoreError> {
        let here = name(b".").map_err(self.failed(b"/"))?;
        self.times.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        for (path, seconds, nanos) in &self.times {
            if let Ok(dir) = self.root.inside(path) {
                dir.set_times(&here, *seconds, *nanos)
                    .map_err(self.failed(path))?;
            }
        }
        Ok(())
    }
}

/// Directory and name; the directory is empty for what lies in the root.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (
            path.get(..at).unwrap_or_default(),
            path.get(at + 1..).unwrap_or_default(),
        ),
        None => (&[], path),
    }
}
