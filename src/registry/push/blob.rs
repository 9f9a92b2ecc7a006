//! One blob: left where it is, mounted from another repository, or sent.

use std::io::Read;

use hyper::body::Bytes;
use reqwest::{Method, Response, StatusCode, header::CONTENT_LENGTH};

use super::{
    Blob, Line, PushError, PushEvent,
    session::{End, PIECE, Session, sending, smaller},
};
use crate::{
    oci::{Descriptor, Digest, ImageSource, SourceError},
    registry::{answer, ask::Ask, http::stated_digest, retry::Tries},
};

/// Uploads that one blob may take.
const MAX_SESSIONS: usize = 5;

/// A blob read from any place; what is read is verified as it goes.
pub(super) struct Reader<'a> {
    source: &'a dyn ImageSource,
    of: &'a Descriptor,
    inner: Box<dyn Read + Send + 'a>,
    at: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn open(source: &'a dyn ImageSource, of: &'a Descriptor) -> Result<Self, PushError> {
        Ok(Self {
            inner: source.blob(of).map_err(PushError::Image)?,
            source,
            of,
            at: 0,
        })
    }

    /// Bytes read so far.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Up to `length` bytes; fewer at the end only.
    pub(super) fn read(&mut self, length: u64) -> Result<Bytes, PushError> {
        let left = self.of.size().saturating_sub(self.at);
        let mut bytes = Vec::new();
        let read = (&mut self.inner)
            .take(length.min(left))
            .read_to_end(&mut bytes)
            .and_then(|read| match (read, left) {
                (0, 1..) => Err(std::io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(read),
            });
        let read = read.map_err(|error| self.broken(error))?;
        self.at += read as u64;
        // Nothing may follow; a reader that checks does so at the end.
        if self.at == self.of.size() {
            let mut beyond = [0];
            let more = self.inner.read(&mut beyond).map_err(|e| self.broken(e))?;
            if more > 0 {
                return Err(self.broken(std::io::ErrorKind::InvalidData.into()));
            }
        }
        Ok(bytes.into())
    }

    /// Goes on at byte `to`.
    pub(super) fn seek(&mut self, to: u64) -> Result<(), PushError> {
        if to == self.at {
            return Ok(());
        }
        if to < self.at {
            *self = Self::open(self.source, self.of)?;
        }
        let skip = to - self.at;
        let mut skipped = (&mut self.inner).take(skip);
        let skipped = std::io::copy(&mut skipped, &mut std::io::sink());
        self.at += skipped.map_err(|error| self.broken(error))?;
        Ok(())
    }

    fn broken(&self, error: std::io::Error) -> PushError {
        let what = format!("blob {}", self.of.digest());
        PushError::Image(SourceError::from_read(what, error))
    }
}

/// What a registry answers to the wish to mount.
enum Mount {
    Mounted,
    Upload(Session),
    No,
}

impl Line<'_> {
    /// Brings one blob there.
    pub(super) fn blob(&self, of: &Descriptor) -> Result<Blob, PushError> {
        let repository = &self.client().reference.repository;
        if self.exists(repository, of)? {
            self.progress.event(&PushEvent::Existing(of));
            return Ok(Blob::Existing);
        }
        let mut session = None;
        for from in &self.pusher.mounts {
            if !self.exists(from, of).unwrap_or(false) {
                continue;
            }
            match self.mount(of, from)? {
                Mount::Mounted => {
                    self.progress.event(&PushEvent::Mounted(of, from));
                    return Ok(Blob::Mounted);
                }
                Mount::Upload(opened) => session = Some(opened),
                Mount::No => continue,
            }
            break;
        }
        self.upload(of, session)?;
        self.progress.event(&PushEvent::Uploaded(of));
        Ok(Blob::Uploaded)
    }

    fn upload(&self, of: &Descriptor, mut session: Option<Session>) -> Result<(), PushError> {
        let tries = &mut Tries::new(self.client().retry);
        let (mut piece, mut whole) = (PIECE, of.size() <= PIECE);
        let mut last = String::new();
        for _ in 0..MAX_SESSIONS {
            let opened = match session.take() {
                Some(session) => session,
                None => self.begin().map_err(self.failed(sending(of)))?,
            };
            let end = match (whole, of.size() <= PIECE) {
                (true, true) => self.in_one(&opened, of, tries)?,
                (true, false) => self.at_once(&opened, of, tries)?,
                (false, _) => self.in_pieces(opened, of, piece, tries)?,
            };
            match end {
                End::Complete => return Ok(()),
                End::Lost(reason) => last = reason,
                End::WantsWhole(reason) => {
                    whole = true;
                    last = reason;
                }
                End::TooLarge(reason) => {
                    last = reason;
                    match smaller(piece) {
                        Some(smaller) => (piece, whole) = (smaller, false),
                        None => break,
                    }
                }
            }
            self.tell(of, &last);
            // Another upload may have brought it, or the answer alone was lost.
            if self.exists(&self.client().reference.repository, of)? {
                return Ok(());
            }
        }
        let reason = format!("the registry does not take the blob: {last}");
        Err(self.failed(sending(of))(self.client().unavailable(reason)))
    }

    /// Whether a repository of the registry holds the blob.
    pub(super) fn exists(&self, repository: &str, of: &Descriptor) -> Result<bool, PushError> {
        let tries = &mut Tries::new(self.client().retry);
        let what = format!("looking for blob {}", of.digest());
        let client = self.client();
        let response = self.wait(async {
            let path = format!("blobs/{}", of.digest());
            let url = client.place(repository, &path, tries).await?;
            let home = url.host_str().map(str::to_owned);
            let response = client.send(&Ask::new(Method::HEAD, url), tries).await?;
            // A store behind the registry may let blobs be read but not be asked for.
            let elsewhere = response.url().host_str().map(str::to_owned) != home;
            match response.status() {
                StatusCode::OK => Ok(Some(response)),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if !elsewhere => {
                    Err(answer::error(&client.what(), response, tries.count()).await)
                }
                _ => Ok(None),
            }
        });
        match response.map_err(self.failed(what))? {
            Some(response) => self.same(of, &response).map(|()| true),
            None => Ok(false),
        }
    }

    /// What the registry says of a blob that it has must fit.
    fn same(&self, of: &Descriptor, response: &Response) -> Result<(), PushError> {
        let what = || format!("blob {}", of.digest());
        if let Some(found) = stated_digest(response)
            && found.algorithm() == of.digest().algorithm()
            && &found != of.digest()
        {
            return Err(self.wrong(what(), found.to_string(), of.digest()));
        }
        let length = response.headers().get(CONTENT_LENGTH);
        let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
        match length {
            Some(length) if length != of.size() => {
                let found = format!("{length} bytes instead of {}", of.size());
                Err(self.wrong(what(), found, of.digest()))
            }
            _ => Ok(()),
        }
    }

    fn mount(&self, of: &Descriptor, from: &str) -> Result<Mount, PushError> {
        let client = self.client();
        let tries = &mut Tries::new(client.retry);
        let response = self.wait(async {
            let repository = &client.reference.repository;
            let mut url = client.place(repository, "blobs/uploads/", tries).await?;
            url.query_pairs_mut()
                .append_pair("mount", of.digest().as_ref())
                .append_pair("from", from);
            let ask = Ask::new(Method::POST, url).header(CONTENT_LENGTH, "0");
            client.send(&ask, tries).await
        });
        let what = format!("mounting blob {} from {from}", of.digest());
        let response = response.map_err(self.failed(what.clone()))?;
        match response.status() {
            StatusCode::CREATED => self.same_digest(of, &response).map(|()| Mount::Mounted),
            // The registry would rather have it sent (distribution-spec, "Mounting a blob").
            StatusCode::ACCEPTED => Session::of(self, &response)
                .map(Mount::Upload)
                .map_err(self.failed(what)),
            _ => Ok(Mount::No),
        }
    }

    fn same_digest(&self, of: &Descriptor, response: &Response) -> Result<(), PushError> {
        match stated_digest(response) {
            Some(found)
                if found.algorithm() == of.digest().algorithm() && &found != of.digest() =>
            {
                let what = format!("blob {}", of.digest());
                Err(self.wrong(what, found.to_string(), of.digest()))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn wrong(&self, what: String, found: String, wanted: &Digest) -> PushError {
        PushError::WrongDigest {
            what,
            repository: self.client().reference.clone(),
            found,
            wanted: wanted.clone(),
        }
    }

    pub(super) fn sent(&self, of: &Descriptor, bytes: u64) {
        self.progress.event(&PushEvent::Sent(of, bytes));
    }

    pub(super) fn tell(&self, of: &Descriptor, reason: &str) {
        let what = format!("blob {}", of.digest());
        self.progress.event(&PushEvent::Waiting {
            what: &what,
            reason,
        });
    }
}
