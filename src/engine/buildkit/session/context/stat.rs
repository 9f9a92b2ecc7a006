//! One file's metadata as the protocol wants it.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs::{self, FileType, Metadata},
    os::unix::{
        ffi::OsStringExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use bollard_buildkit_proto::fsutil::types::Stat;
use rustix::io::Errno;

use super::ContextError;
use crate::engine::xattrs;

/// Bits of Go's `os.FileMode`; they are not those of `st_mode`.
mod go_mode {
    pub(super) const DIR: u32 = 1 << 31;
    pub(super) const SYMLINK: u32 = 1 << 27;
    pub(super) const DEVICE: u32 = 1 << 26;
    pub(super) const NAMED_PIPE: u32 = 1 << 25;
    pub(super) const SETUID: u32 = 1 << 23;
    pub(super) const SETGID: u32 = 1 << 22;
    pub(super) const CHAR_DEVICE: u32 = 1 << 21;
    pub(super) const STICKY: u32 = 1 << 20;
}

/// A file whose content the daemon may ask for, and how to know it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Source {
    /// relative to the root
    pub(super) path: PathBuf,
    /// it is a plain file; a socket counts as an empty one
    pub(super) plain: bool,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
    /// in ns since 1970
    pub(super) modified: i64,
}

impl Source {
    pub(super) fn new(path: &Path, metadata: &Metadata) -> Self {
        Self {
            path: path.to_owned(),
            plain: metadata.is_file(),
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: modified(metadata),
        }
    }
}

/// First name by device and inode of the files that have several.
pub(super) type FirstNames = HashMap<(u64, u64), String>;

/// The protocol's record of `path` below `root`; the source when it has content to ask for.
pub(super) fn stat(
    root: &Path,
    path: &Path,
    first_names: &mut FirstNames,
) -> Result<(Stat, Option<Source>), ContextError> {
    let text = path.to_str().ok_or_else(|| ContextError::NotUtf8 {
        what: "file name",
        path: path.to_owned(),
    })?;
    let on_disk = root.join(path);
    let metadata =
        fs::symlink_metadata(&on_disk).map_err(|fault| ContextError::io("reading", path, fault))?;
    let kind = metadata.file_type();
    let mut stat = Stat {
        path: text.to_owned(),
        mode: go_mode(&metadata),
        // The owner on this machine means nothing in the image; the same as `docker build` sends.
        uid: 0,
        gid: 0,
        mod_time: modified(&metadata),
        ..Stat::default()
    };
    if !kind.is_dir() {
        stat.size = i64::try_from(metadata.len()).unwrap_or(i64::MAX);
        if kind.is_block_device() || kind.is_char_device() {
            (stat.devmajor, stat.devminor) = device_numbers(metadata.rdev());
        }
        if metadata.nlink() > 1 {
            let id = (metadata.dev(), metadata.ino());
            match first_names.get(&id) {
                Some(first) => stat.linkname.clone_from(first),
                None => {
                    first_names.insert(id, text.to_owned());
                }
            }
        }
        if kind.is_symlink() {
            stat.linkname = link_target(&on_disk, path)?;
        }
    }
    stat.xattrs = xattrs(&on_disk, path)?;
    let has_content = kind.is_file() || kind.is_socket();
    Ok((stat, has_content.then(|| Source::new(path, &metadata))))
}

fn link_target(on_disk: &Path, path: &Path) -> Result<String, ContextError> {
    let target =
        fs::read_link(on_disk).map_err(|fault| ContextError::io("reading link", path, fault))?;
    target
        .into_os_string()
        .into_string()
        .map_err(|_| ContextError::NotUtf8 {
            what: "the target of link",
            path: path.to_owned(),
        })
}

/// In ns since 1970, as far as 64 bits reach.
pub(super) fn modified(metadata: &Metadata) -> i64 {
    metadata
        .mtime()
        .saturating_mul(1_000_000_000)
        .saturating_add(metadata.mtime_nsec())
}

fn go_mode(metadata: &Metadata) -> u32 {
    let mode = metadata.mode();
    let special = [
        (0o4000, go_mode::SETUID),
        (0o2000, go_mode::SETGID),
        (0o1000, go_mode::STICKY),
    ];
    let special = special
        .into_iter()
        .filter(|(bit, _)| mode & bit != 0)
        .fold(0, |bits, (_, go)| bits | go);
    (mode & 0o777) | special | go_type(metadata.file_type())
}

/// A socket has no type bit: `fsutil` sends it as an empty file.
fn go_type(kind: FileType) -> u32 {
    if kind.is_dir() {
        go_mode::DIR
    } else if kind.is_symlink() {
        go_mode::SYMLINK
    } else if kind.is_block_device() {
        go_mode::DEVICE
    } else if kind.is_char_device() {
        go_mode::DEVICE | go_mode::CHAR_DEVICE
    } else if kind.is_fifo() {
        go_mode::NAMED_PIPE
    } else {
        0
    }
}

/// Major and minor as `fsutil` takes them apart.
fn device_numbers(device: u64) -> (i64, i64) {
    let major = (device >> 8) & 0xfff;
    let minor = (device & 0xff) | ((device >> 12) & 0xfff00);
    (major.cast_signed(), minor.cast_signed())
}

fn xattrs(on_disk: &Path, path: &Path) -> Result<HashMap<String, Vec<u8>>, ContextError> {
    let names = match xattrs::list(on_disk) {
        Ok(names) => names,
        Err(Errno::NOTSUP) => return Ok(HashMap::new()),
        Err(fault) => {
            return Err(ContextError::io(
                "reading extended attributes of",
                path,
                fault.into(),
            ));
        }
    };
    let mut attributes = HashMap::new();
    for name in names {
        if name.as_bytes().starts_with(b"com.apple.") {
            continue;
        }
        // Some file systems list attributes that they do not hand out; `fsutil` leaves them too.
        let value = xattrs::get(on_disk, &name);
        let name = name.into_string().map_err(|fault| ContextError::NotUtf8 {
            what: "an extended attribute's name of",
            path: path.join(OsString::from_vec(fault.into_cstring().into_bytes())),
        })?;
        if let Ok(value) = value {
            attributes.insert(name, value);
        }
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::device_numbers;

    #[test]
    fn device_numbers_come_apart_as_in_linux() {
        // makedev(8, 1), makedev(259, 300)
        assert_eq!(device_numbers(0x801), (8, 1));
        assert_eq!(
            device_numbers((0x12c & 0xff) | (259 << 8) | (1 << 20)),
            (259, 300)
        );
    }
}
