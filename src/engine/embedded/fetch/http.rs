//! `ADD https://…`: one file, mode 0600, dated as the server dates it, else 1970, as in `BuildKit`.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use reqwest::{
    Response, StatusCode,
    header::{ETAG, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED},
};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use serde::{Deserialize, Serialize};

use super::{FetchError, FetchOptions, redacted};
use crate::{
    engine::embedded::graph::HttpSource,
    oci::{BlobHasher, Digest, sha256},
    registry::{
        Tries, authority, describe, http_client, is_untrusted, retry_after, worth_retrying,
    },
};

/// What a server said of a file that is kept. The address is not in it: it may hold a password.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Known {
    etag: Option<String>,
    modified: Option<String>,
    digest: String,
}

/// Fetches the file into an empty directory, under the name that the source says. The answer is the
/// digest of its content.
///
/// # Errors
/// When the server does not answer 200, the content is not that of `--checksum`, or on I/O.
pub fn http(
    source: &HttpSource,
    into: &Path,
    options: &FetchOptions,
) -> Result<Digest, FetchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(FetchError::io("starting the download"))?;
    let fetch = Fetch {
        source,
        what: redacted(&source.url),
        into,
        options,
    };
    runtime.block_on(async {
        tokio::select! {
            done = fetch.run() => done,
            () = options.cancel.cancelled() => Err(FetchError::Interrupted),
        }
    })
}

struct Fetch<'a> {
    source: &'a HttpSource,
    what: String,
    into: &'a Path,
    options: &'a FetchOptions,
}

impl Fetch<'_> {
    fn remote(&self, reason: impl Into<String>) -> FetchError {
        FetchError::Remote {
            what: self.what.clone(),
            reason: reason.into(),
        }
    }

    fn refused(&self, reason: impl Into<String>) -> FetchError {
        FetchError::Refused {
            what: self.what.clone(),
            reason: reason.into(),
        }
    }

    async fn run(&self) -> Result<Digest, FetchError> {
        let wanted = self.wanted()?;
        let url = url::Url::parse(&self.source.url)
            .map_err(|fault| self.refused(format!("no address: {fault}")))?;
        let name = Path::new(&self.source.filename);
        if name.file_name() != Some(name.as_os_str()) {
            return Err(self.refused(format!("`{}` is no file name", self.source.filename)));
        }
        let target = self.into.join(name);
        let host = authority(&url).unwrap_or_default();
        let client = http_client(&host, &self.options.http, url.scheme() == "http")
            .map_err(|fault| self.remote(fault))?;
        let (digest, modified) = self.file(&client, &url, &target).await?;
        check(&target, wanted.as_ref(), &digest, &self.what)?;
        finish(&target, modified.as_deref()).map_err(FetchError::io(&self.what))?;
        Ok(digest)
    }

    /// The file and its date: what is kept when the server calls it unchanged, else what it sends.
    async fn file(
        &self,
        client: &reqwest::Client,
        url: &url::Url,
        target: &Path,
    ) -> Result<(Digest, Option<String>), FetchError> {
        if let Some(known) = self.known() {
            let response = self.tries(client, url, Some(&known)).await?;
            if response.status() != StatusCode::NOT_MODIFIED {
                return self.answered(response, target).await;
            }
            match self.kept(&known, target) {
                Ok(digest) => return Ok((digest, known.modified)),
                Err(fault) => {
                    tracing::debug!(%fault, "a kept download is of no use");
                    let _ = fs::remove_file(target);
                }
            }
        }
        let response = self.tries(client, url, None).await?;
        self.answered(response, target).await
    }

    async fn answered(
        &self,
        response: Response,
        target: &Path,
    ) -> Result<(Digest, Option<String>), FetchError> {
        let status = response.status();
        if status.is_success() || status.is_redirection() {
            return self.download(response, target).await;
        }
        Err(self.remote(format!("invalid response status {}", status.as_u16())))
    }

    fn wanted(&self) -> Result<Option<Digest>, FetchError> {
        let Some(text) = &self.source.checksum else {
            return Ok(None);
        };
        let digest: Digest = text
            .parse()
            .map_err(|fault| self.refused(format!("--checksum={text}: {fault}")))?;
        if digest.algorithm().as_ref() != "sha256" {
            return Err(self.refused(format!("--checksum={text}: only sha256 is supported")));
        }
        Ok(Some(digest))
    }

    async fn tries(
        &self,
        client: &reqwest::Client,
        url: &url::Url,
        known: Option<&Known>,
    ) -> Result<Response, FetchError> {
        let mut tries = Tries::new(self.options.http.retry);
        loop {
            let mut request = client.get(url.clone());
            if let Some(known) = known {
                if let Some(etag) = &known.etag {
                    request = request.header(IF_NONE_MATCH, etag);
                } else if let Some(modified) = &known.modified {
                    request = request.header(IF_MODIFIED_SINCE, modified);
                }
            }
            let (answer, asked) = match request.send().await {
                Ok(response) if !worth_retrying(response.status()) => return Ok(response),
                Ok(response) => {
                    let asked = retry_after(response.headers());
                    (Ok(response), asked)
                }
                Err(fault) if is_untrusted(&fault) => return Err(self.remote(describe(&fault))),
                Err(fault) => (Err(fault), None),
            };
            match tries.next_wait(asked) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return answer.map_err(|fault| self.remote(describe(&fault))),
            }
        }
    }

    async fn download(
        &self,
        mut response: Response,
        target: &Path,
    ) -> Result<(Digest, Option<String>), FetchError> {
        let modified = text(response.headers(), &LAST_MODIFIED);
        let etag = text(response.headers(), &ETAG);
        let mut file = create(target).map_err(FetchError::io(&self.what))?;
        let mut hasher = BlobHasher::default();
        let mut size: u64 = 0;
        let expected = response.content_length();
        loop {
            let piece = response
                .chunk()
                .await
                .map_err(|fault| self.remote(describe(&fault)))?;
            let Some(piece) = piece else {
                break;
            };
            size += piece.len() as u64;
            if self.options.max_bytes > 0 && size > self.options.max_bytes {
                return Err(self.refused(format!("larger than {} bytes", self.options.max_bytes)));
            }
            hasher.update(&piece);
            file.write_all(&piece).map_err(FetchError::io(&self.what))?;
        }
        if expected.is_some_and(|expected| expected != size) {
            return Err(self.remote(format!("broke off after {size} bytes")));
        }
        let digest = hasher.finish();
        self.keep(target, &digest, etag, modified.clone());
        Ok((digest, modified))
    }

    fn place(&self) -> Option<PathBuf> {
        let directory = self.options.cache.as_ref()?;
        Some(directory.join(sha256(self.source.url.as_bytes()).digest()))
    }

    fn known(&self) -> Option<Known> {
        let place = self.place()?;
        let text = read(&place.with_extension("json")).ok()?;
        let known: Known = serde_json::from_slice(&text).ok()?;
        place.exists().then_some(known)
    }

    /// Copies the kept file, if it is still what it was.
    fn kept(&self, known: &Known, target: &Path) -> io::Result<Digest> {
        let place = self.place().ok_or(io::ErrorKind::NotFound)?;
        let (mut from, mut to) = (open(&place)?, create(target)?);
        let mut hasher = BlobHasher::default();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = from.read(&mut buffer)?;
            let piece = buffer.get(..count).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            hasher.update(piece);
            to.write_all(piece)?;
        }
        let digest = hasher.finish();
        if digest.to_string() != known.digest {
            // Damaged, or of another run that keeps it at the same time.
            return Err(io::Error::other("it is not the file that was kept"));
        }
        Ok(digest)
    }

    /// Keeps the file for the next time; that it cannot be kept is no fault of the build.
    fn keep(&self, file: &Path, digest: &Digest, etag: Option<String>, modified: Option<String>) {
        let Some(place) = self
            .place()
            .filter(|_| etag.is_some() || modified.is_some())
        else {
            return;
        };
        let known = Known {
            etag,
            modified,
            digest: digest.to_string(),
        };
        if let Err(fault) = store(file, &place, &known, self.into) {
            tracing::debug!(%fault, "a download was not kept");
        }
    }
}

/// Both files are made beside the tree `into`, which goes with the run, and are there whole or not at
/// all.
fn store(file: &Path, place: &Path, known: &Known, into: &Path) -> io::Result<()> {
    let directory = place.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let run = into.parent().unwrap_or(directory);
    let _ = fs::remove_file(place.with_extension("json"));
    let copy = tempfile::NamedTempFile::new_in(run)?;
    fs::copy(file, copy.path())?;
    copy.persist(place)?;
    let mut text = tempfile::NamedTempFile::new_in(run)?;
    text.write_all(&serde_json::to_vec(known)?)?;
    text.persist(place.with_extension("json"))?;
    Ok(())
}

fn text(headers: &HeaderMap, name: &reqwest::header::HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

#[expect(clippy::disallowed_methods, reason = "the engine reads what it kept")]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[expect(clippy::disallowed_methods, reason = "the engine reads what it kept")]
fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
}

fn check(
    file: &Path,
    wanted: Option<&Digest>,
    digest: &Digest,
    what: &str,
) -> Result<(), FetchError> {
    let Some(wanted) = wanted else {
        return Ok(());
    };
    if digest == wanted {
        return Ok(());
    }
    let _ = fs::remove_file(file);
    Err(FetchError::Checksum {
        what: what.to_owned(),
        expected: wanted.to_string(),
        actual: digest.to_string(),
    })
}

fn finish(file: &Path, modified: Option<&str>) -> io::Result<()> {
    let seconds = modified
        .and_then(|text| jiff::fmt::rfc2822::parse(text).ok())
        .map_or(0, |moment| moment.timestamp().as_second());
    let moment = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: moment,
        last_modification: moment,
    };
    rustix::fs::chmod(file, rustix::fs::Mode::from_raw_mode(0o600))?;
    rustix::fs::utimensat(CWD, file, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}
