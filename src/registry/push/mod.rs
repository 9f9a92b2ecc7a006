//! Pushing: the exact bytes that were scanned, to any registry that keeps to distribution-spec.
//!
//! Blobs first, then manifests by digest, children before the index that names them, tags last: a
//! push that ends early leaves no tag that names half an image. What the registry has already is
//! not sent again. Nothing here decides whether an image may be pushed: only [`Accepted`] opens the
//! door, and only for the manifests that were judged. The one other door is that of build caches, which
//! lets no image through and puts no tag on what is none of ours ([`Pusher::push_cache`]).

mod blob;
mod cache;
mod document;
mod error;
mod session;
mod tags;

pub use cache::CACHE_RECORDS;
pub use error::PushError;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use self::document::Documents;
use super::{RegistryOptions, Runtime, client::Client, retry::Tries};
use crate::{
    oci::{Descriptor, Digest, ImageSource, Reference, SourceError},
    policy::Accepted,
};

/// Blobs that are sent at a time.
const PARALLEL: usize = 4;
/// A registry may take so long to put a large blob together; the time between two pieces of an
/// answer does not count for uploads.
const SILENCE: Duration = Duration::from_mins(15);

/// What is pushed where, besides the image itself.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// tags to put on the image; none: it is there by digest alone
    pub tags: Vec<String>,
    /// tags among them that may be moved from another image, such as `latest`
    pub movable: Vec<String>,
    /// any tag may be moved
    pub force: bool,
}

/// What was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// registry and repository
    pub reference: Reference,
    /// of the manifest or index
    pub digest: Digest,
    /// each names `digest`, as the registry confirmed
    pub tags: Vec<String>,
    /// blobs that were sent
    pub uploaded: usize,
    /// in bytes
    pub uploaded_bytes: u64,
    /// blobs that were taken from another repository of the registry
    pub mounted: usize,
    /// blobs that were there before
    pub existing: usize,
}

/// What happens while an image is pushed. Called from several threads.
pub trait PushProgress: Sync {
    /// Tells it.
    fn event(&self, event: &PushEvent<'_>);
}

/// One thing that happened.
#[derive(Debug, Clone, Copy)]
pub enum PushEvent<'a> {
    /// so many blobs, of so many bytes, belong to the image
    Planned {
        /// number of blobs
        blobs: usize,
        /// their size, bytes
        bytes: u64,
    },
    /// the registry has it
    Existing(&'a Descriptor),
    /// taken from another repository
    Mounted(&'a Descriptor, &'a str),
    /// so many of its bytes are there; may go back when a registry lost some
    Sent(&'a Descriptor, u64),
    /// it is there whole
    Uploaded(&'a Descriptor),
    /// something failed and is tried again after a wait
    Waiting {
        /// of what
        what: &'a str,
        /// why
        reason: &'a str,
    },
    /// a manifest or index is there
    Manifest(&'a Digest),
    /// a tag names the image
    Tagged(&'a str),
}

/// Tells nobody.
impl PushProgress for () {
    fn event(&self, _: &PushEvent<'_>) {}
}

/// One repository that is pushed to.
///
/// The seam is synchronous: do not call it on a thread that drives a tokio runtime.
pub struct Pusher {
    client: Client,
    runtime: Runtime,
    cancel: CancellationToken,
    mounts: Vec<String>,
}

impl Pusher {
    /// Prepares pushing to registry and repository of `to`; nothing is sent yet. Blobs may be taken
    /// from the repositories `mounts` of the same registry.
    pub fn open(
        to: &Reference,
        mounts: &[String],
        options: &RegistryOptions,
    ) -> Result<Self, PushError> {
        let to = Reference {
            tag: None,
            digest: None,
            ..to.clone()
        };
        let mounts: Vec<String> = mounts
            .iter()
            .filter(|from| **from != to.repository)
            .cloned()
            .collect();
        let failed = |source| PushError::registry("preparing the push", &to, source);
        let runtime = Runtime::start().map_err(|source| {
            let what = "runtime".to_owned();
            failed(SourceError::Io { what, source })
        })?;
        let patient = RegistryOptions {
            read_timeout: SILENCE,
            ..options.clone()
        };
        let mut client = Client::new(to.clone(), &patient).map_err(failed)?;
        client.patience = options.read_timeout;
        let pulls = mounts.iter().map(|from| format!("repository:{from}:pull"));
        client.scopes = std::iter::once(format!("repository:{}:pull,push", to.repository))
            .chain(pulls)
            .collect();
        Ok(Self {
            client,
            runtime,
            cancel: options.cancel.clone(),
            mounts,
        })
    }

    /// Pushes what `source` names: an image, or an index with everything in it.
    ///
    /// # Errors
    /// Before anything is sent: when an image in it was not accepted, or a tag names another image.
    /// Later: when the registry refuses, lies, or stays out of reach; then no tag was set or moved
    /// unless the error says so.
    pub fn push(
        &self,
        source: &dyn ImageSource,
        accepted: &Accepted,
        how: &PushOptions,
        progress: &dyn PushProgress,
    ) -> Result<Pushed, PushError> {
        let result = self.whole(source, accepted, how, progress);
        match result {
            Err(_) if self.cancel.is_cancelled() => Err(PushError::Interrupted {
                repository: self.client.reference.clone(),
            }),
            result => result,
        }
    }

    fn whole(
        &self,
        source: &dyn ImageSource,
        accepted: &Accepted,
        how: &PushOptions,
        progress: &dyn PushProgress,
    ) -> Result<Pushed, PushError> {
        let documents = Documents::read(source, accepted, &self.client.reference)?;
        let line = Line {
            pusher: self,
            source,
            progress,
            cancel: self.cancel.child_token(),
        };
        line.all(&documents, how)
    }

    /// All tags of the repository; none when the registry does not know it yet.
    pub fn tags(&self) -> Result<Vec<String>, PushError> {
        self.line(&NoImage).list_tags()
    }

    /// The digest that a tag names; `None` when there is no such tag.
    pub fn digest_of(&self, tag: &str) -> Result<Option<Digest>, PushError> {
        self.line(&NoImage)
            .find(tag, &mut Tries::new(self.client.retry))
    }

    fn line<'a>(&'a self, source: &'a dyn ImageSource) -> Line<'a> {
        Line {
            pusher: self,
            source,
            progress: &(),
            cancel: self.cancel.child_token(),
        }
    }
}

/// The image of a question that is about none.
struct NoImage;

impl ImageSource for NoImage {
    fn manifest(&self) -> Result<crate::oci::RawManifest, SourceError> {
        Err(nothing())
    }
    fn child(&self, _: &Descriptor) -> Result<crate::oci::RawManifest, SourceError> {
        Err(nothing())
    }
    fn blob(&self, _: &Descriptor) -> Result<Box<dyn std::io::Read + Send + '_>, SourceError> {
        Err(nothing())
    }
}

fn nothing() -> SourceError {
    SourceError::NotFound {
        what: "nowhere".to_owned(),
        source: None,
    }
}

/// One push under way.
struct Line<'a> {
    pusher: &'a Pusher,
    source: &'a dyn ImageSource,
    progress: &'a dyn PushProgress,
    cancel: CancellationToken,
}

#[derive(Default)]
struct Sums {
    uploaded: usize,
    bytes: u64,
    mounted: usize,
    existing: usize,
}

/// How a blob came to be there.
enum Blob {
    Existing,
    Mounted,
    Uploaded,
}

impl Line<'_> {
    fn client(&self) -> &Client {
        &self.pusher.client
    }

    /// Waits for one request, unless the push was given up.
    fn wait<T>(
        &self,
        work: impl Future<Output = Result<T, SourceError>>,
    ) -> Result<T, SourceError> {
        let interrupted = || self.client().unavailable("interrupted");
        let handle = self.pusher.runtime.handle().ok_or_else(interrupted)?;
        let done = handle.block_on(self.cancel.run_until_cancelled(work));
        done.unwrap_or_else(|| Err(interrupted()))
    }

    fn failed(&self, what: impl Into<String>) -> impl FnOnce(SourceError) -> PushError {
        let (what, to) = (what.into(), self.client().reference.clone());
        move |source| PushError::registry(&what, &to, source)
    }

    /// Brings everything there, tags last.
    fn all(&self, documents: &Documents, how: &PushOptions) -> Result<Pushed, PushError> {
        let (blobs, bytes) = (documents.blobs.len(), documents.bytes());
        self.progress.event(&PushEvent::Planned { blobs, bytes });
        let digest = documents.top().digest.clone();
        self.check_tags(&digest, how)?;
        let sums = self.blobs(&documents.blobs)?;
        for document in &documents.manifests {
            self.put_manifest(document)?;
        }
        for tag in &how.tags {
            self.put_tag(documents.top(), tag, how)?;
        }
        for tag in &how.tags {
            self.read_back(tag, &digest)?;
        }
        Ok(Pushed {
            reference: self.client().reference.clone(),
            digest,
            tags: how.tags.clone(),
            uploaded: sums.uploaded,
            uploaded_bytes: sums.bytes,
            mounted: sums.mounted,
            existing: sums.existing,
        })
    }

    /// Brings all blobs there, a few at a time; the first failure ends the others too.
    fn blobs(&self, blobs: &[Descriptor]) -> Result<Sums, PushError> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let sums = Mutex::new(Sums::default());
        let failure = Mutex::new(None);
        let worker = || {
            while let Some(of) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                match self.blob(of) {
                    Ok(how) => count(&sums, &how, of),
                    Err(error) => {
                        if !stop.swap(true, Ordering::Relaxed) {
                            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                            self.cancel.cancel();
                        }
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..PARALLEL.min(blobs.len()) {
                scope.spawn(worker);
            }
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(sums.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

fn count(sums: &Mutex<Sums>, how: &Blob, of: &Descriptor) {
    let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
    match how {
        Blob::Existing => sums.existing += 1,
        Blob::Mounted => sums.mounted += 1,
        Blob::Uploaded => {
            sums.uploaded += 1;
            sums.bytes += of.size();
        }
    }
}
