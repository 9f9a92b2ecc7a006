//! From a header to a [`Package`]: which tag means what, and how the file arrays fit together.

use std::{collections::HashMap, sync::Arc};

use base64::Engine as _;

use super::{
    header::{Header, HeaderError, Numbers},
    package::{FileEntry, FileState, Nevra, Package, Provide},
    signature,
};
use crate::oci::{ImagePath, hex};

/// Longest path of a file, bytes: Linux' `PATH_MAX`.
const MAX_PATH: usize = 4096;
/// Paths of a header may take this many times its own size: a directory name is stored once and
/// repeated in every path below it.
const PATH_FACTOR: usize = 64;

/// Numbers of the tags, from rpm's `rpmtag.h`.
mod tag {
    pub(super) const SIG_PGP: u32 = 259;
    pub(super) const SIG_MD5: u32 = 261;
    pub(super) const SIG_GPG: u32 = 262;
    pub(super) const DSA_HEADER: u32 = 267;
    pub(super) const RSA_HEADER: u32 = 268;
    pub(super) const SHA1_HEADER: u32 = 269;
    pub(super) const SHA256_HEADER: u32 = 273;
    pub(super) const OPENPGP: u32 = 278;
    pub(super) const NAME: u32 = 1000;
    pub(super) const VERSION: u32 = 1001;
    pub(super) const RELEASE: u32 = 1002;
    pub(super) const EPOCH: u32 = 1003;
    pub(super) const SUMMARY: u32 = 1004;
    pub(super) const BUILD_TIME: u32 = 1006;
    pub(super) const BUILD_HOST: u32 = 1007;
    pub(super) const INSTALL_TIME: u32 = 1008;
    pub(super) const SIZE: u32 = 1009;
    pub(super) const VENDOR: u32 = 1011;
    pub(super) const LICENSE: u32 = 1014;
    pub(super) const ARCH: u32 = 1022;
    pub(super) const OLD_FILE_NAMES: u32 = 1027;
    pub(super) const FILE_SIZES: u32 = 1028;
    pub(super) const FILE_STATES: u32 = 1029;
    pub(super) const FILE_MODES: u32 = 1030;
    pub(super) const FILE_RDEVS: u32 = 1033;
    pub(super) const FILE_MTIMES: u32 = 1034;
    pub(super) const FILE_DIGESTS: u32 = 1035;
    pub(super) const FILE_LINKTOS: u32 = 1036;
    pub(super) const FILE_FLAGS: u32 = 1037;
    pub(super) const FILE_USER: u32 = 1039;
    pub(super) const FILE_GROUP: u32 = 1040;
    pub(super) const SOURCE_RPM: u32 = 1044;
    pub(super) const FILE_VERIFY_FLAGS: u32 = 1045;
    pub(super) const PROVIDE_NAME: u32 = 1047;
    pub(super) const FILE_INODES: u32 = 1096;
    pub(super) const PROVIDE_FLAGS: u32 = 1112;
    pub(super) const PROVIDE_VERSION: u32 = 1113;
    pub(super) const DIR_INDEXES: u32 = 1116;
    pub(super) const BASE_NAMES: u32 = 1117;
    pub(super) const DIR_NAMES: u32 = 1118;
    pub(super) const FILE_COLORS: u32 = 1140;
    pub(super) const LONG_FILE_SIZES: u32 = 5008;
    pub(super) const LONG_SIZE: u32 = 5009;
    pub(super) const FILE_CAPS: u32 = 5010;
    pub(super) const FILE_DIGEST_ALGO: u32 = 5011;
    pub(super) const MODULARITY_LABEL: u32 = 5096;
}

impl Package {
    /// Reads one header blob as it lies in a database.
    pub fn parse(blob: &[u8]) -> Result<Self, HeaderError> {
        let header = Header::parse(blob)?;
        let size = header.number(tag::LONG_SIZE)?;
        let size = size.map_or_else(|| header.number(tag::SIZE), |size| Ok(Some(size)))?;
        Ok(Self {
            nevra: nevra(&header)?,
            vendor: header.string(tag::VENDOR)?,
            source_rpm: header.string(tag::SOURCE_RPM)?,
            license: header.string(tag::LICENSE)?,
            summary: header.string(tag::SUMMARY)?,
            build_host: header.string(tag::BUILD_HOST)?,
            size: size.unwrap_or(0),
            install_time: header.number(tag::INSTALL_TIME)?,
            build_time: header.number(tag::BUILD_TIME)?,
            module: header.string(tag::MODULARITY_LABEL)?,
            signing_key: signing_key(&header)?,
            sig_md5: header.binary(tag::SIG_MD5).map(hex),
            sha1_header: header.string(tag::SHA1_HEADER)?,
            sha256_header: header.string(tag::SHA256_HEADER)?,
            file_digest_algo: small(header.number(tag::FILE_DIGEST_ALGO)?.unwrap_or(1)),
            provides: provides(&header)?,
            files: files(&header, blob.len())?,
        })
    }
}

fn nevra(header: &Header<'_>) -> Result<Nevra, HeaderError> {
    Ok(Nevra {
        name: header.required(tag::NAME)?,
        epoch: header.number(tag::EPOCH)?.map(small),
        version: header.required(tag::VERSION)?,
        release: header.required(tag::RELEASE)?,
        arch: header.string(tag::ARCH)?,
    })
}

/// The key of the first signature there is: over the header before over header and payload.
fn signing_key(header: &Header<'_>) -> Result<Option<String>, HeaderError> {
    let binary = [tag::RSA_HEADER, tag::DSA_HEADER, tag::SIG_PGP, tag::SIG_GPG];
    let found = binary
        .into_iter()
        .filter_map(|tag| header.binary(tag))
        .find_map(signature::issuer);
    if found.is_some() {
        return Ok(found);
    }
    // Packages of format 6 have any number of signatures, in base64.
    let texts = header.strings(tag::OPENPGP)?;
    let decoder = base64::engine::general_purpose::STANDARD;
    Ok(texts
        .into_iter()
        .filter_map(|text| decoder.decode(text).ok())
        .find_map(|packet| signature::issuer(&packet)))
}

fn provides(header: &Header<'_>) -> Result<Vec<Provide>, HeaderError> {
    let names = header.strings(tag::PROVIDE_NAME)?;
    let want = names.len();
    let versions = header.strings(tag::PROVIDE_VERSION)?;
    same_count(tag::PROVIDE_VERSION, versions.len(), want)?;
    let flags = numbers(header, tag::PROVIDE_FLAGS, want)?;
    let provide = |(position, name): (usize, &&[u8])| Provide {
        name: String::from_utf8_lossy(name).into(),
        flags: small(flags.get(position).unwrap_or(0)),
        version: String::from_utf8_lossy(versions.get(position).copied().unwrap_or_default())
            .into(),
    };
    Ok(names.iter().enumerate().map(provide).collect())
}

/// The arrays that describe files, all as long as the list of names or absent.
struct Files<'a> {
    names: Vec<&'a [u8]>,
    directories: Option<(Numbers<'a>, Vec<&'a [u8]>)>,
    sizes: Numbers<'a>,
    modes: Numbers<'a>,
    mtimes: Numbers<'a>,
    digests: Vec<&'a [u8]>,
    links: Vec<&'a [u8]>,
    flags: Numbers<'a>,
    verify_flags: Numbers<'a>,
    users: Vec<&'a [u8]>,
    groups: Vec<&'a [u8]>,
    caps: Vec<&'a [u8]>,
    rdevs: Numbers<'a>,
    inodes: Numbers<'a>,
    colors: Numbers<'a>,
    states: Numbers<'a>,
}

impl<'a> Files<'a> {
    fn new(header: &Header<'a>) -> Result<Self, HeaderError> {
        let mut names = header.strings(tag::BASE_NAMES)?;
        let mut directories = None;
        if names.is_empty() {
            names = header.strings(tag::OLD_FILE_NAMES)?;
        } else {
            let indexes = header.numbers(tag::DIR_INDEXES)?;
            if indexes.len() != names.len() {
                return Err(count_error(tag::DIR_INDEXES, indexes.len(), names.len()));
            }
            directories = Some((indexes, header.strings(tag::DIR_NAMES)?));
        }
        let want = names.len();
        let strings = |tag| {
            let strings = header.strings(tag)?;
            same_count(tag, strings.len(), want).map(|()| strings)
        };
        let numbers = |tag| numbers(header, tag, want);
        let long_sizes = numbers(tag::LONG_FILE_SIZES)?;
        let sizes = match long_sizes.len() {
            0 => numbers(tag::FILE_SIZES)?,
            _ => long_sizes,
        };
        Ok(Self {
            directories,
            sizes,
            modes: numbers(tag::FILE_MODES)?,
            mtimes: numbers(tag::FILE_MTIMES)?,
            digests: strings(tag::FILE_DIGESTS)?,
            links: strings(tag::FILE_LINKTOS)?,
            flags: numbers(tag::FILE_FLAGS)?,
            verify_flags: numbers(tag::FILE_VERIFY_FLAGS)?,
            users: strings(tag::FILE_USER)?,
            groups: strings(tag::FILE_GROUP)?,
            caps: strings(tag::FILE_CAPS)?,
            rdevs: numbers(tag::FILE_RDEVS)?,
            inodes: numbers(tag::FILE_INODES)?,
            colors: numbers(tag::FILE_COLORS)?,
            states: numbers(tag::FILE_STATES)?,
            names,
        })
    }

    /// Writes the path of file `position` to `buffer`.
    fn path(&self, position: usize, buffer: &mut Vec<u8>) -> Result<ImagePath, HeaderError> {
        let damaged = |what| HeaderError::File { position, what };
        buffer.clear();
        if let Some((indexes, directories)) = &self.directories {
            let directory = indexes
                .get(position)
                .and_then(|index| directories.get(usize::try_from(index).ok()?))
                .ok_or_else(|| damaged("its directory is not in the list"))?;
            buffer.extend_from_slice(directory);
        }
        buffer.extend_from_slice(self.names.get(position).copied().unwrap_or_default());
        if buffer.len() > MAX_PATH {
            return Err(damaged("its path is longer than 4096 bytes"));
        }
        Ok(ImagePath::new(&*buffer))
    }
}

fn files(header: &Header<'_>, blob_len: usize) -> Result<Vec<FileEntry>, HeaderError> {
    let arrays = Files::new(header)?;
    let mut names = Names::default();
    let mut buffer = Vec::new();
    let mut budget = blob_len.saturating_mul(PATH_FACTOR);
    let mut files = Vec::with_capacity(arrays.names.len());
    for position in 0..arrays.names.len() {
        let damaged = |what| HeaderError::File { position, what };
        let path = arrays.path(position, &mut buffer)?;
        budget = budget
            .checked_sub(path.as_bytes().len())
            .ok_or_else(|| damaged("the paths take more than 64 times the header"))?;
        let number = |numbers: Numbers<'_>| numbers.get(position).unwrap_or(0);
        let text = |strings: &[&[u8]]| {
            String::from_utf8_lossy(strings.get(position).copied().unwrap_or_default()).into()
        };
        let digest = arrays.digests.get(position).copied().unwrap_or_default();
        files.push(FileEntry {
            path,
            size: number(arrays.sizes),
            mode: u16::try_from(number(arrays.modes)).unwrap_or(u16::MAX),
            mtime: small(number(arrays.mtimes)),
            digest: unhex(digest).ok_or_else(|| damaged("its digest is not hexadecimal"))?,
            link_target: arrays
                .links
                .get(position)
                .copied()
                .unwrap_or_default()
                .into(),
            flags: small(number(arrays.flags)),
            verify_flags: arrays.verify_flags.get(position).map_or(u32::MAX, small),
            user: names.shared(arrays.users.get(position).copied().unwrap_or_default()),
            group: names.shared(arrays.groups.get(position).copied().unwrap_or_default()),
            caps: text(&arrays.caps),
            rdev: u16::try_from(number(arrays.rdevs)).unwrap_or(u16::MAX),
            inode: small(number(arrays.inodes)),
            color: small(number(arrays.colors)),
            state: state(arrays.states.get(position)),
        });
    }
    Ok(files)
}

fn state(number: Option<u64>) -> FileState {
    match number {
        Some(0) => FileState::Normal,
        Some(1) => FileState::Replaced,
        Some(2) => FileState::NotInstalled,
        Some(3) => FileState::NetShared,
        Some(4) => FileState::WrongColor,
        _ => FileState::Missing,
    }
}

/// Owner names, one allocation each however many files have them.
#[derive(Default)]
struct Names<'a> {
    known: HashMap<&'a [u8], Arc<str>>,
    last: Option<(&'a [u8], Arc<str>)>,
}

impl<'a> Names<'a> {
    fn shared(&mut self, name: &'a [u8]) -> Arc<str> {
        if let Some((last, shared)) = &self.last
            && *last == name
        {
            return Arc::clone(shared);
        }
        let make = || String::from_utf8_lossy(name).into();
        let shared = Arc::clone(self.known.entry(name).or_insert_with(make));
        self.last = Some((name, Arc::clone(&shared)));
        shared
    }
}

/// Numbers of one tag: as many as there are files or names, or none.
fn numbers<'a>(header: &Header<'a>, tag: u32, want: usize) -> Result<Numbers<'a>, HeaderError> {
    let numbers = header.numbers(tag)?;
    same_count(tag, numbers.len(), want).map(|()| numbers)
}

fn same_count(tag: u32, found: usize, want: usize) -> Result<(), HeaderError> {
    if found == 0 || found == want {
        return Ok(());
    }
    Err(count_error(tag, found, want))
}

fn count_error(tag: u32, found: usize, want: usize) -> HeaderError {
    HeaderError::Count { tag, found, want }
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn unhex(text: &[u8]) -> Option<Box<[u8]>> {
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(nibble(*high)? * 16 + nibble(*low)?).ok())
        .collect()
}
