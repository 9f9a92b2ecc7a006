//! A tree that a step may change: an overlay over unpacked layers, or a copy of the tree.

use std::{
    io::Read as _,
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::{
    Store,
    blobs::{Chain, Layer, create},
    copy, diff,
    dir::{Dir, name, permissions},
    error::StoreError,
    extract::Owners,
    layer::{LayerOptions, LayerWriter, Written},
    lock::remove,
};
use crate::inventory;

/// Longest text of options that `mount` takes; the kernel gives it one page.
const MAX_OPTIONS: usize = 4000;

/// How snapshots are made; the worker finds out what the host allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotMode {
    /// overlayfs
    Overlay {
        /// marks lie in `user.` attributes, as within a user namespace
        userxattr: bool,
    },
    /// a complete copy for each step
    Copy,
}

impl SnapshotMode {
    /// Word for the form that unpacked layers have.
    pub(super) fn form(self) -> &'static str {
        match self {
            Self::Overlay { userxattr: false } => "overlay",
            Self::Overlay { userxattr: true } => "useroverlay",
            Self::Copy => "copy",
        }
    }
}

/// A word for the ids that this process can give away, and how owners are treated therefore.
pub(super) fn owners() -> (String, Owners) {
    let read = |file: &str| {
        let mut text = String::new();
        let opened = super::blobs::open(Path::new(file));
        let _ = opened.and_then(|mut file| file.read_to_string(&mut text));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let (uids, gids) = (read("/proc/self/uid_map"), read("/proc/self/gid_map"));
    let alone = |map: &str| map.split(' ').count() == 3 && map.ends_with(" 1");
    if alone(&uids) || alone(&gids) || !nix::unistd::geteuid().is_root() {
        return ("one".to_owned(), Owners::Squash);
    }
    let all = "0 0 4294967295";
    if uids == all && gids == all {
        return ("all".to_owned(), Owners::Exact);
    }
    let digest = crate::oci::sha256(format!("{uids};{gids}").as_bytes());
    let short: String = digest.digest().chars().take(8).collect();
    (short, Owners::Exact)
}

/// A mount that goes with this value.
#[derive(Debug)]
pub(super) struct Mounted(PathBuf);

impl Mounted {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = umount2(&self.0, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            tracing::warn!("{} cannot be unmounted: {error}", self.0.display());
        }
    }
}

/// Mounts an overlay of `lowers` (bottom first) on `target`; `upper` and its work directory when it
/// is to be written.
pub(super) fn overlay(
    lowers: &[PathBuf],
    upper: Option<(&Path, &Path)>,
    userxattr: bool,
    target: &Path,
) -> Result<Mounted, StoreError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut kept: Vec<OwnedFd> = Vec::new();
    // By descriptor: short whatever the directory is called, and no `:` or `,` to escape.
    let mut short = |path: &Path| -> Result<String, StoreError> {
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| StoreError::io(path)(error.into()))?;
        let text = format!("/proc/self/fd/{}", fd.as_raw_fd());
        kept.push(fd);
        Ok(text)
    };
    let lower: Vec<String> = lowers
        .iter()
        .rev()
        .map(|path| short(path))
        .collect::<Result<_, _>>()?;
    let mut options = format!("lowerdir={}", lower.join(":"));
    if let Some((upper, work)) = upper {
        options = format!(
            "{options},upperdir={},workdir={}",
            short(upper)?,
            short(work)?
        );
        options += ",index=off,metacopy=off";
        if !userxattr {
            options += ",redirect_dir=off";
        }
    }
    if userxattr {
        options += ",userxattr";
    }
    if options.len() > MAX_OPTIONS {
        return Err(StoreError::Host {
            what: format!("overlay of {} layers", lowers.len()),
            reason: "the kernel does not take that many at once; merge layers of the base image"
                .to_owned(),
        });
    }
    let attempt = |options: &str| {
        mount(
            Some("overlay"),
            target,
            Some("overlay"),
            MsFlags::empty(),
            Some(options),
        )
    };
    // Nobody needs what a step wrote after a power failure, so it need not wait for the disk.
    let mounted = match upper {
        Some(_) => attempt(&format!("{options},volatile")).or_else(|_| attempt(&options)),
        None => attempt(&options),
    };
    mounted.map_err(|error| StoreError::Host {
        what: format!("mounting an overlay on {}", target.display()),
        reason: error.to_string(),
    })?;
    Ok(Mounted(target.to_owned()))
}

#[derive(Debug)]
enum Kind {
    /// there is nothing below it
    Plain,
    /// upper directory over these, bottom first
    Overlay(Vec<PathBuf>, Option<Mounted>),
    /// a copy of this tree, done at this time of the file system
    Copied(PathBuf, (i64, i64)),
}

/// A tree that may be changed, and what it was before.
#[derive(Debug)]
pub struct Snapshot<'s> {
    store: &'s Store,
    base: Chain,
    directory: PathBuf,
    root: PathBuf,
    kind: Kind,
}

impl Store {
    /// A writable tree over these layers, unpacked when they are not yet.
    ///
    /// # Errors
    /// When a layer cannot be unpacked or the tree cannot be made.
    pub fn snapshot(&self, base: &[Layer]) -> Result<Snapshot<'_>, StoreError> {
        let lowers = self.trees_of(base)?;
        self.snapshot_over(base, lowers)
    }

    pub(super) fn snapshot_over(
        &self,
        base: &[Layer],
        lowers: Vec<PathBuf>,
    ) -> Result<Snapshot<'_>, StoreError> {
        let directory = self.temporary_dir()?;
        let root = directory.join("root");
        std::fs::create_dir(&root).map_err(StoreError::io(&root))?;
        let mut snapshot = Snapshot {
            store: self,
            base: base.to_vec(),
            kind: Kind::Plain,
            root,
            directory,
        };
        match (lowers.last(), self.mode) {
            (None, _) => snapshot.public_root()?,
            (Some(_), SnapshotMode::Overlay { userxattr }) => {
                snapshot.mount(lowers, userxattr)?;
            }
            (Some(from), SnapshotMode::Copy) => snapshot.copy(from)?,
        }
        Ok(snapshot)
    }
}

impl Snapshot<'_> {
    /// Where the tree is, writable.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its root directory.
    pub(crate) fn dir(&self) -> Result<Dir, StoreError> {
        Dir::open(&self.root).map_err(StoreError::io(&self.root))
    }

    /// The root of a tree that starts empty, whatever the umask.
    fn public_root(&self) -> Result<(), StoreError> {
        let mode = Mode::from_raw_mode(0o755);
        rustix::fs::chmod(self.root.as_path(), mode)
            .map_err(|error| StoreError::io(&self.root)(error.into()))
    }

    fn mount(&mut self, lowers: Vec<PathBuf>, userxattr: bool) -> Result<(), StoreError> {
        let upper = self.directory.join("upper");
        let work = self.directory.join("work");
        for path in [&upper, &work] {
            std::fs::create_dir(path).map_err(StoreError::io(path))?;
        }
        // The root of the merged tree is the root of the upper one.
        if let Some(top) = lowers.last() {
            same_root(top, &upper).map_err(StoreError::io(&upper))?;
        }
        let mounted = overlay(&lowers, Some((&upper, &work)), userxattr, &self.root)?;
        self.kind = Kind::Overlay(lowers, Some(mounted));
        Ok(())
    }

    fn copy(&mut self, from: &Path) -> Result<(), StoreError> {
        let source = Dir::open(from).map_err(StoreError::io(from))?;
        copy::tree(&source, &self.dir()?)?;
        // What the file system's clock says now: an inode that changes from here on is not older.
        let marker = self.directory.join("copied");
        create(&marker)?;
        let stat = rustix::fs::lstat(marker.as_path())
            .map_err(|error| StoreError::io(&marker)(error.into()))?;
        let nanos = i64::try_from(stat.st_ctime_nsec).unwrap_or_default();
        self.kind = Kind::Copied(from.to_owned(), (stat.st_ctime, nanos));
        Ok(())
    }

    /// Where the files of this tree alone lie, no longer mounted.
    fn close(&mut self) -> PathBuf {
        match &mut self.kind {
            Kind::Overlay(_, mounted) => {
                drop(mounted.take());
                self.directory.join("upper")
            }
            Kind::Plain | Kind::Copied(..) => self.root.clone(),
        }
    }

    /// Writes what changed as a layer, and keeps the tree as an unpacked one. Nothing changed is a
    /// layer without entries, as BuildKit's is. What a scan would learn of the layer is noted as it is
    /// written.
    ///
    /// # Errors
    /// When something in the tree has no place in a layer, or writing fails.
    pub fn commit(mut self, options: LayerOptions, now: i64) -> Result<Layer, StoreError> {
        let own = self.close();
        let blob = self.store.temporary();
        let (written, learned) = inventory::record(|tee| self.write(&own, &blob, options, tee));
        let layer = self.store.place_layer(&blob, &written?, now)?;
        self.store.keep_facts(&layer, learned);
        let mut chain = std::mem::take(&mut self.base);
        chain.push(layer.clone());
        self.store.place_tree(&own, &chain)?;
        Ok(layer)
    }

    /// Writes what changed to `blob`; `tee` gets the uncompressed layer as well.
    fn write(
        &self,
        own: &Path,
        blob: &Path,
        options: LayerOptions,
        tee: &mut (dyn std::io::Write + Send),
    ) -> Result<Written, StoreError> {
        let io = StoreError::io(blob);
        let mut writer = match LayerWriter::new(create(blob)?, options, Some(tee)) {
            Ok(writer) => writer,
            Err(error) => return Err(io(error)),
        };
        let new = Dir::open(own).map_err(StoreError::io(own))?;
        match &self.kind {
            Kind::Plain => diff::trees(&new, None, None, &mut writer)?,
            Kind::Copied(from, since) => {
                let old = Dir::open(from).map_err(StoreError::io(from))?;
                diff::trees(&new, Some(&old), Some(*since), &mut writer)?;
            }
            Kind::Overlay(lowers, _) => {
                let top_first: Result<Vec<Dir>, _> = lowers
                    .iter()
                    .rev()
                    .map(|path| Dir::open(path).map_err(StoreError::io(path)))
                    .collect();
                diff::overlay(&new, &top_first?, &mut writer)?;
            }
        }
        let (written, _) = writer.finish().map_err(io)?;
        Ok(written)
    }

    /// Keeps the tree as the unpacked form of `chain`, which was applied to it.
    pub(super) fn keep_as(mut self, chain: &[Layer]) -> Result<(), StoreError> {
        let own = self.close();
        self.store.place_tree(&own, chain)
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        self.close();
        remove(&self.directory);
    }
}

fn same_root(from: &Path, to: &Path) -> std::io::Result<()> {
    let (from, to) = (Dir::open(from)?, Dir::open(to)?);
    let stat = from.stat_self()?;
    let here = name(b".")?;
    to.chown(&here, stat.st_uid, stat.st_gid)?;
    to.chmod(&here, permissions(&stat))?;
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
    to.set_times(&here, stat.st_mtime, nanos)
}
