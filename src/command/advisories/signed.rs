//! What the signatures beside a feed's files prove, and what becomes of files without one.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{io_error, update::open, usage};
use crate::{
    advisory::signature::{Checked, Content, Keys, MAX_SIGNATURE, RED_HAT},
    error::Error,
    progress::Console,
};

/// Where a release of Red Hat's keeps the keys of its packages.
const WELL_KNOWN: &str = "/etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release";
/// Largest file with keys, bytes.
const MAX_KEYS: usize = 4 << 20;

/// By what signatures are checked.
pub(super) struct Judge {
    keys: Keys,
    /// the user named the keys: no other will do
    named: bool,
    required: bool,
    now: Timestamp,
}

/// How a file was checked.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// its SHA-256 is the one that the source names
    pub(super) sum: bool,
    /// what its signature says; `None` without one
    pub(super) signature: Option<Checked>,
}

impl Judge {
    /// The keys that the user names, else Red Hat's own that are at hand.
    pub(super) fn new(
        named: &[PathBuf],
        required: bool,
        now: Timestamp,
        console: &Console,
    ) -> Result<Self, Error> {
        let mut keys = Keys::default();
        let mut add = |what: &str, file: &[u8]| {
            let left_out = keys.add(file, now)?;
            for key in left_out {
                console.note(&format!("{what}: a key is left out: {key}"));
            }
            Ok::<_, crate::advisory::signature::KeyError>(())
        };
        for path in named {
            let file = small(path, MAX_KEYS).map_err(|error| io_error(path, &error))?;
            let what = path.display().to_string();
            add(&what, &file).map_err(|error| usage(format!("{what}: {error}"), ""))?;
        }
        if named.is_empty() {
            let built_in = "the key of Red Hat Product Security";
            add(built_in, RED_HAT).map_err(|error| Error::Bug(error.to_string()))?;
            match small(Path::new(WELL_KNOWN), MAX_KEYS) {
                Ok(file) => {
                    if let Err(error) = add(WELL_KNOWN, &file) {
                        console.warn(&format!("{WELL_KNOWN}: {error}"));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => console.warn(&format!("{WELL_KNOWN}: {error}")),
            }
        }
        Ok(Self {
            keys,
            named: !named.is_empty(),
            required,
            now,
        })
    }

    /// A document or archive that does not pass ends the update.
    pub(super) fn required(&self) -> bool {
        self.required
    }

    /// What a signature says of its file, or why the file is refused.
    pub(super) fn check(
        &self,
        signature: Option<&[u8]>,
        content: &mut Content<'_>,
    ) -> Result<Option<Checked>, String> {
        let Some(signature) = signature else {
            return if self.required {
                Err("it has no signature, and `--require-signature` asks for one".to_owned())
            } else {
                Ok(None)
            };
        };
        let checked = self.keys.check(signature, content, self.now);
        match checked.map_err(|error| error.to_string())? {
            Checked::Unknown(by) if self.named || self.required => {
                let by: Vec<String> = by.into_iter().collect();
                let hint = if self.named {
                    "none of those named with `--key`"
                } else {
                    "not at hand; name it with `--key`"
                };
                Err(format!(
                    "it is signed by key {}, which is {hint}",
                    by.join(", ")
                ))
            }
            checked => Ok(Some(checked)),
        }
    }

    /// The same, of bytes.
    pub(super) fn check_bytes(
        &self,
        signature: Option<&[u8]>,
        content: &[u8],
    ) -> Result<Option<Checked>, String> {
        self.check(signature, &mut || Ok(Box::new(content)))
    }

    /// The same, of a file and the signature beside it.
    pub(super) fn check_file(&self, path: &Path) -> Result<Option<Checked>, String> {
        let signature = beside(path).map_err(|error| format!("its signature: {error}"))?;
        let mut content = || Ok(Box::new(open(path)?) as Box<dyn Read>);
        self.check(signature.as_deref(), &mut content)
    }
}

/// Tells once of signatures that nothing was checked by.
pub(super) fn tell_unknown(unknown: u64, by: &BTreeSet<String>, console: &Console) {
    if unknown > 0 {
        let by: Vec<&str> = by.iter().map(String::as_str).collect();
        console.warn(&format!(
            "{unknown} files are signed by keys that are not at hand ({}), so their signatures are not checked; name the file with the key with `--key`",
            by.join(", ")
        ));
    }
}

/// The signature beside a file.
pub(super) fn beside(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut name = path.as_os_str().to_owned();
    name.push(".asc");
    match small(Path::new(&name), MAX_SIGNATURE) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A regular file of no more than so many bytes.
fn small(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    let limit_and_one = limit as u64 + 1;
    open(path)?.take(limit_and_one).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::other(format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}
