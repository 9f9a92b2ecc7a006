//! A large file onto the disk. What broke off is resumed, also by another run; a file that changed at
//! the server meanwhile is begun anew.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use reqwest::{
    Response, StatusCode,
    header::{CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE},
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Site, header, pause, send, unavailable};
use crate::{
    oci::SourceError,
    registry::{Tries, describe, range_start},
};

/// How often one file is resumed by one run.
const MAX_RESUMES: u32 = 50;

/// How a download ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Downloaded {
    /// the whole file is on the disk
    Whole,
    /// the server has none
    Missing,
}

/// Which version of which file the piece on the disk is of.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    url: String,
    /// strong `ETag`, else `Last-Modified`; without one nothing can be resumed
    validator: Option<String>,
}

impl Version {
    fn of(url: &Url, response: &Response) -> Self {
        let strong = |etag: &String| !etag.starts_with("W/");
        let etag = header(response.headers(), &ETAG).filter(strong);
        Self {
            url: url.to_string(),
            validator: etag.or_else(|| header(response.headers(), &LAST_MODIFIED)),
        }
    }
}

/// A file that comes in pieces, and beside it which version they are of.
struct Part {
    file: File,
    note: PathBuf,
    version: Version,
    length: u64,
}

impl Part {
    fn open(path: &Path) -> io::Result<Self> {
        let note = note(path);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let version = read(&note).unwrap_or_default();
        let length = file.seek(SeekFrom::End(0))?;
        Ok(Self {
            file,
            note,
            version,
            length,
        })
    }

    /// The file is emptied first: a crash in between leaves nothing that looks like another version.
    fn begin(&mut self, version: Version) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.length = 0;
        let text = serde_json::to_vec(&version).map_err(io::Error::other)?;
        write(&self.note, &text)?;
        self.version = version;
        Ok(())
    }

    fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.length += piece.len() as u64;
        Ok(())
    }
}

/// What a download leaves behind, to be removed when the file is used up.
pub(super) fn note(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a download remembers its version"
)]
fn read(note: &Path) -> Option<Version> {
    serde_json::from_slice(&std::fs::read(note).ok()?).ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a download remembers its version"
)]
fn write(note: &Path, text: &[u8]) -> io::Result<()> {
    std::fs::write(note, text)
}

impl Site {
    /// Brings a file to `to`, from where an earlier try broke off. `tell` hears of bytes done and, when
    /// the server says so, of bytes in all.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses after all tries, the file is larger than `limit`
    /// bytes, or it cannot be written. What has come stays for the next try.
    pub fn download(
        &self,
        path: &str,
        to: &Path,
        limit: u64,
        tell: &dyn Fn(u64, Option<u64>),
    ) -> Result<Downloaded, SourceError> {
        let url = self.url(path)?;
        self.runtime.block_on(self.pieces(&url, to, limit, tell))
    }

    /// Removes what a download left behind.
    pub fn forget(to: &Path) -> io::Result<()> {
        for path in [note(to), to.to_owned()] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    async fn pieces(
        &self,
        url: &Url,
        to: &Path,
        limit: u64,
        tell: &dyn Fn(u64, Option<u64>),
    ) -> Result<Downloaded, SourceError> {
        let io = |source: io::Error| SourceError::Io {
            what: to.display().to_string(),
            source,
        };
        let mut part = Part::open(to).map_err(io)?;
        if part.version.url != url.as_str() || part.version.validator.is_none() {
            part.begin(Version::default()).map_err(io)?;
        }
        let mut tries = Tries::new(self.retry);
        for _ in 0..MAX_RESUMES {
            let before = part.length;
            let response = self.ask(url, &part, &mut tries).await?;
            let total = match start(url, &mut part, &response).map_err(io)? {
                Start::Missing => return Ok(Downloaded::Missing),
                Start::Whole => return Ok(Downloaded::Whole),
                Start::Again => continue,
                Start::From { total } => total,
            };
            if total.unwrap_or(0) > limit {
                return Err(too_large(url, limit));
            }
            let reason = match pump(response, &mut part, limit, total, tell).await {
                Ok(()) if total.is_none_or(|total| total == part.length) => {
                    part.file.sync_all().map_err(io)?;
                    return Ok(Downloaded::Whole);
                }
                Ok(()) => "it ended too early".to_owned(),
                Err(Broken::Connection(error)) => describe(&error),
                Err(Broken::Disk(error)) => return Err(io(error)),
                Err(Broken::TooLarge) => return Err(too_large(url, limit)),
            };
            if part.length > before {
                tries.progress();
            }
            pause(url, &mut tries, None, reason).await?;
        }
        Err(unavailable(
            url,
            format!("it broke off {MAX_RESUMES} times"),
        ))
    }

    async fn ask(
        &self,
        url: &Url,
        part: &Part,
        tries: &mut Tries,
    ) -> Result<Response, SourceError> {
        let mut request = self.http.get(url.clone());
        if let Some(validator) = part.version.validator.as_ref().filter(|_| part.length > 0) {
            request = request
                .header(RANGE, format!("bytes={}-", part.length))
                .header(IF_RANGE, validator);
        }
        let wanted = [
            StatusCode::OK,
            StatusCode::PARTIAL_CONTENT,
            StatusCode::RANGE_NOT_SATISFIABLE,
            StatusCode::NOT_FOUND,
        ];
        send(request, url, &wanted, tries).await
    }
}

enum Start {
    /// bytes follow; so many are on the disk then, when the server says so
    From {
        total: Option<u64>,
    },
    /// everything was there already
    Whole,
    Missing,
    /// ask once more, from the beginning
    Again,
}

/// Lays an answer to what is on the disk.
fn start(url: &Url, part: &mut Part, response: &Response) -> io::Result<Start> {
    let total = || {
        let range = header(response.headers(), &CONTENT_RANGE)?;
        range.rsplit_once('/')?.1.trim().parse::<u64>().ok()
    };
    match response.status() {
        StatusCode::NOT_FOUND => Ok(Start::Missing),
        StatusCode::RANGE_NOT_SATISFIABLE if part.length > 0 && total() == Some(part.length) => {
            Ok(Start::Whole)
        }
        StatusCode::PARTIAL_CONTENT
            if range_start(response.headers()) == Some(part.length)
                && Version::of(url, response)
                    .validator
                    .is_none_or(|validator| Some(validator) == part.version.validator) =>
        {
            Ok(Start::From { total: total() })
        }
        StatusCode::OK => {
            part.begin(Version::of(url, response))?;
            Ok(Start::From {
                total: response.content_length(),
            })
        }
        // another range, another version, or less than there is
        _ => part.begin(Version::default()).map(|()| Start::Again),
    }
}

enum Broken {
    Connection(reqwest::Error),
    Disk(io::Error),
    TooLarge,
}

async fn pump(
    mut response: Response,
    part: &mut Part,
    limit: u64,
    total: Option<u64>,
    tell: &dyn Fn(u64, Option<u64>),
) -> Result<(), Broken> {
    while let Some(piece) = response.chunk().await.map_err(Broken::Connection)? {
        part.append(&piece).map_err(Broken::Disk)?;
        tell(part.length, total);
        if part.length > limit {
            return Err(Broken::TooLarge);
        }
    }
    Ok(())
}

fn too_large(url: &Url, limit: u64) -> SourceError {
    SourceError::TooLarge {
        what: url.to_string(),
        limit: format!("{limit} bytes"),
    }
}
