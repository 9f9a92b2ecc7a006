//! Finds and reads `plimsoll.yaml`.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    ConfigError, Words,
    decode::{Decoder, Value as _},
    fault::Faults,
    file::Settings,
    sourced::Origin,
    tree::{mark_at, parse},
};

/// Names of the configuration file, in the order they are looked for.
pub const FILE_NAMES: &[&str] = &[
    "plimsoll.yaml",
    ".plimsoll.yaml",
    "plimsoll.yml",
    ".plimsoll.yml",
];

/// Largest configuration file, in bytes: 1 MiB.
pub const MAX_FILE: u64 = 1024 * 1024;

/// The repository and its configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// repository root, without links
    pub(super) root: PathBuf,
    /// configuration file, as it is to be named in messages
    pub(super) file: Option<PathBuf>,
}

/// Looks for the configuration: where it was named, else in `cwd` and upwards as far as the root
/// of the git checkout.
pub(super) fn find(config: Option<&Path>, cwd: &Path) -> Result<Place, ConfigError> {
    if let Some(config) = config {
        let file = cwd.join(config);
        let directory = file.parent().unwrap_or(cwd);
        return Ok(Place {
            root: canonical(directory)?,
            file: Some(config.to_owned()),
        });
    }
    let here = cwd.canonicalize().map_err(ConfigError::Directory)?;
    let top = top_of(&here);
    let top = top.as_deref();
    for directory in here.ancestors() {
        let exists = |name: &&&str| directory.join(name).symlink_metadata().is_ok();
        let found: Vec<&str> = FILE_NAMES.iter().filter(exists).copied().collect();
        match *found {
            [] if Some(directory) == top || top.is_none() => break,
            [] => {}
            [name] => {
                let file = if directory == here {
                    name.into()
                } else {
                    directory.join(name)
                };
                return Ok(Place {
                    root: directory.to_owned(),
                    file: Some(file),
                });
            }
            _ => {
                let names = found.iter().map(|name| (*name).to_owned()).collect();
                return Err(ConfigError::Several {
                    directory: directory.to_owned(),
                    names,
                });
            }
        }
    }
    Ok(Place {
        root: top.unwrap_or(&here).to_owned(),
        file: None,
    })
}

/// The top of the git checkout that a directory lies in.
pub(super) fn top_of(directory: &Path) -> Option<PathBuf> {
    let is_top = |directory: &&Path| directory.join(".git").exists();
    directory.ancestors().find(is_top).map(Path::to_owned)
}

pub(super) fn canonical(path: &Path) -> Result<PathBuf, ConfigError> {
    let error = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    path.canonicalize().map_err(error)
}

/// Reads the file; a relative path is relative to `cwd`.
pub(super) fn read(file: &Path, cwd: &Path) -> Result<Vec<u8>, ConfigError> {
    let error = |source| ConfigError::Read {
        path: file.to_owned(),
        source,
    };
    let bytes = read_at_most(&cwd.join(file), MAX_FILE + 1).map_err(error)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(ConfigError::TooLarge {
            path: file.to_owned(),
        });
    }
    Ok(bytes)
}

/// Reads a file that is no directory, device or pipe, no further than `limit` bytes.
#[expect(
    clippy::disallowed_methods,
    reason = "configuration and the files of secrets are read here and nowhere else"
)]
pub(super) fn read_at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Decodes the content of a configuration file, named `file` in messages. An empty file is the
/// default configuration. `today` (UTC) decides which exceptions have expired. Pure.
pub fn decode(
    file: &str,
    bytes: &[u8],
    words: &Words,
    today: jiff::civil::Date,
) -> (Settings, Faults) {
    let name: Arc<str> = file.into();
    let content = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match std::str::from_utf8(content) {
        Ok(text) => text,
        Err(error) => {
            let good = error.valid_up_to();
            let lossy = String::from_utf8_lossy(content).into_owned();
            let mut faults = Faults::of(&lossy);
            let mark = mark_at(&name, &lossy, good, good + '\u{fffd}'.len_utf8());
            let help = "save the file as UTF-8".to_owned();
            faults.push(Origin::File(mark), "not UTF-8".to_owned(), Some(help));
            return (Settings::default(), faults);
        }
    };
    if text.len() as u64 > MAX_FILE {
        let mut faults = Faults::default();
        let message = format!("{file} is larger than {MAX_FILE} bytes (1 MiB)");
        faults.push(Origin::Default, message, None);
        return (Settings::default(), faults);
    }
    let mut decoder = Decoder::new(words, today, text);
    let root = parse(&name, text, &mut decoder.faults);
    let settings = root.and_then(|root| Settings::decode(&root, &mut decoder));
    let mut faults = decoder.faults;
    faults.sort();
    (settings.unwrap_or_default(), faults)
}
