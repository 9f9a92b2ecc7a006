//! What an rpm header says of a package and its files.

use std::{cmp::Ordering, fmt};

use serde::{Deserialize, Serialize};

use crate::oci::ImagePath;

/// Name, epoch, version, release, architecture. An absent epoch compares as 0 but stays absent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Nevra {
    /// `NAME`
    pub name: String,
    /// `EPOCH`
    pub epoch: Option<u32>,
    /// `VERSION`
    pub version: String,
    /// `RELEASE`
    pub release: String,
    /// `ARCH`; `None` for `gpg-pubkey` entries
    pub arch: Option<String>,
}

impl Nevra {
    /// Order of epoch, version and release as rpm has it; name and architecture do not count.
    /// An absent epoch is 0; the release counts only when both have one.
    pub fn evr_cmp(&self, other: &Self) -> Ordering {
        let both = !self.release.is_empty() && !other.release.is_empty();
        let evr = |nevra: &'_ Self| -> rpm_version::Evr<'static> {
            let release = if both { nevra.release.as_str() } else { "" };
            rpm_version::Evr::new(String::new(), nevra.version.clone(), release.to_owned())
        };
        let epochs = self.epoch.unwrap_or(0).cmp(&other.epoch.unwrap_or(0));
        epochs.then_with(|| evr(self).cmp(&evr(other)))
    }
}

impl fmt::Display for Nevra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.name)?;
        self.epoch
            .iter()
            .try_for_each(|epoch| write!(f, "{epoch}:"))?;
        write!(f, "{}-{}", self.version, self.release)?;
        self.arch.iter().try_for_each(|arch| write!(f, ".{arch}"))
    }
}

/// One installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// identity
    pub nevra: Nevra,
    /// `VENDOR`
    pub vendor: Option<String>,
    /// `SOURCERPM`, a file name
    pub source_rpm: Option<String>,
    /// `LICENSE`
    pub license: Option<String>,
    /// `SUMMARY`, first locale
    pub summary: Option<String>,
    /// `BUILDHOST`
    pub build_host: Option<String>,
    /// `SIZE`/`LONGSIZE`, bytes installed
    pub size: u64,
    /// `INSTALLTIME`, seconds since 1970
    pub install_time: Option<u64>,
    /// `BUILDTIME`, seconds since 1970
    pub build_time: Option<u64>,
    /// `MODULARITYLABEL`, `name:stream:version:context`
    pub module: Option<String>,
    /// id of the key that signed the header or the package, 16 lower-case hex digits
    pub signing_key: Option<String>,
    /// `SIGMD5`, lower-case hex
    pub sig_md5: Option<String>,
    /// `SHA1HEADER`
    pub sha1_header: Option<String>,
    /// `SHA256HEADER`
    pub sha256_header: Option<String>,
    /// rpm's number of the digest algorithm of [`FileEntry::digest`] (RFC 4880 9.4): 1 MD5, 2 SHA-1,
    /// 8 SHA-256, 9 SHA-384, 10 SHA-512; absent in the header means MD5
    pub file_digest_algo: u32,
    /// what it provides, in header order
    pub provides: Vec<Provide>,
    /// the files it owns, in header order
    pub files: Vec<FileEntry>,
}

impl Package {
    /// `gpg-pubkey` entries are imported keys, not packages.
    pub fn is_key(&self) -> bool {
        self.nevra.name == "gpg-pubkey"
    }
}

/// Something a package provides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provide {
    /// `PROVIDENAME`
    pub name: Box<str>,
    /// `PROVIDEFLAGS`: 2 less, 4 greater, 8 equal, and what rpm adds above
    pub flags: u32,
    /// `PROVIDEVERSION`, an EVR; empty for none
    pub version: Box<str>,
}

/// `FILESTATES` of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// 0: installed
    Normal,
    /// 1: replaced by another package's
    Replaced,
    /// 2: not installed (docs, languages)
    NotInstalled,
    /// 3: on a shared file system
    NetShared,
    /// 4: of the other colour on a multilib system
    WrongColor,
    /// no state, or one that rpm does not define
    Missing,
}

/// One file of a package as the header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// `DIRNAMES[DIRINDEXES] + BASENAMES`, or `OLDFILENAMES`; directory links are not resolved
    pub path: ImagePath,
    /// `FILESIZES`/`LONGFILESIZES`, bytes
    pub size: u64,
    /// `st_mode`: type and permission bits
    pub mode: u16,
    /// `FILEMTIMES`, seconds since 1970
    pub mtime: u32,
    /// `FILEDIGESTS`, raw bytes; empty for what is not a regular file
    pub digest: Box<[u8]>,
    /// `FILELINKTOS`; empty for what is not a symbolic link
    pub link_target: Box<[u8]>,
    /// `FILEFLAGS`: 1 config, 2 doc, 8 missingok, 16 noreplace, 64 ghost, 128 license, 256 readme,
    /// 4096 artifact
    pub flags: u32,
    /// `FILEVERIFYFLAGS`: 1 digest, 2 size, 4 link, 8 user, 16 group, 32 mtime, 64 mode, 128 rdev,
    /// 256 caps
    pub verify_flags: u32,
    /// `FILEUSERNAME`
    pub user: std::sync::Arc<str>,
    /// `FILEGROUPNAME`
    pub group: std::sync::Arc<str>,
    /// `FILECAPS`, text as `cap_to_text` writes it; empty for none
    pub caps: Box<str>,
    /// `FILERDEVS`
    pub rdev: u16,
    /// `FILEINODES`; equal numbers within a package are hard links
    pub inode: u32,
    /// `FILECOLORS`
    pub color: u32,
    /// `FILESTATES`
    pub state: FileState,
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::Nevra;

    fn nevra(epoch: Option<u32>, version: &str, release: &str) -> Nevra {
        Nevra {
            name: "tool".to_owned(),
            epoch,
            version: version.to_owned(),
            release: release.to_owned(),
            arch: Some("noarch".to_owned()),
        }
    }

    #[test]
    fn evr_order_is_rpms() {
        for (older, newer) in [
            (nevra(None, "1.2", "3.el9"), nevra(None, "1.10", "1.el9")),
            (nevra(None, "9", "1"), nevra(Some(1), "1", "1")),
            (nevra(Some(0), "1.0~rc1", "1"), nevra(None, "1.0", "1")),
            (nevra(None, "1.0", "1"), nevra(None, "1.0^git1", "1")),
            (
                nevra(None, "1.0", "1.el8_2"),
                nevra(None, "1.0", "1.el8_10"),
            ),
        ] {
            assert_eq!(older.evr_cmp(&newer), Ordering::Less, "{older} {newer}");
            assert_eq!(newer.evr_cmp(&older), Ordering::Greater, "{newer} {older}");
        }
        for (one, other) in [
            (nevra(None, "1", "1"), nevra(Some(0), "1", "1")),
            (nevra(None, "1", ""), nevra(None, "1", "7")),
        ] {
            assert_eq!(one.evr_cmp(&other), Ordering::Equal, "{one} {other}");
        }
    }

    #[test]
    fn display_has_the_epoch_only_when_there_is_one() {
        assert_eq!(nevra(None, "1", "2").to_string(), "tool-1-2.noarch");
        assert_eq!(nevra(Some(0), "1", "2").to_string(), "tool-0:1-2.noarch");
    }
}
