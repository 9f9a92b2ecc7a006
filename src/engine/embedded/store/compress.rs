//! Compresses a layer while it is written, and hashes both sides of the compressor in the same pass.
//!
//! Gzip is cut into members of one fixed size (RFC 1952, 2.2 allows any number of them), each
//! compressed on whichever thread is free: the bytes do not depend on how many threads there are.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    num::NonZeroUsize,
    sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    thread::JoinHandle,
};

use flate2::{Compression, GzBuilder};

/// Uncompressed bytes of one gzip member.
const MEMBER: usize = 1 << 20;
/// Of zlib's 1 to 9; what BuildKit uses unless told.
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

/// How layers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerCompression {
    /// every runtime reads it
    #[default]
    Gzip,
    /// smaller and faster
    Zstd,
    /// not at all
    None,
}

/// Compresses what is written to it into `W`.
pub(super) enum Compressor<W: Write> {
    Plain(W),
    Zstd(zstd::stream::write::Encoder<'static, W>),
    Gzip(Box<ParallelGzip<W>>),
}

impl<W: Write> Compressor<W> {
    pub(super) fn new(out: W, how: LayerCompression, threads: NonZeroUsize) -> io::Result<Self> {
        Ok(match how {
            LayerCompression::None => Self::Plain(out),
            LayerCompression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
            LayerCompression::Gzip => Self::Gzip(Box::new(ParallelGzip::new(out, threads))),
        })
    }

    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(gzip) => gzip.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(buf),
            Self::Zstd(encoder) => encoder.write(buf),
            Self::Gzip(gzip) => gzip.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Done = (usize, io::Result<Vec<u8>>);

/// Gzip members made by several threads, written in order.
pub(super) struct ParallelGzip<W: Write> {
    out: W,
    threads: usize,
    member: Vec<u8>,
    workers: Option<Workers>,
    /// members handed to workers
    sent: usize,
    /// members written
    written: usize,
    /// members that came back before their turn
    early: BTreeMap<usize, Vec<u8>>,
}

struct Workers {
    work: Vec<SyncSender<(usize, Vec<u8>)>>,
    done: Receiver<Done>,
    handles: Vec<JoinHandle<()>>,
}

impl Workers {
    fn start(threads: usize) -> io::Result<Self> {
        let (sender, done) = channel();
        let mut work = Vec::new();
        let mut handles = Vec::new();
        for _ in 0..threads {
            let (give, take) = sync_channel(2);
            let sender = sender.clone();
            let body = move || compress_all(&take, &sender);
            let named = std::thread::Builder::new().name("gzip".to_owned());
            handles.push(named.spawn(body)?);
            work.push(give);
        }
        Ok(Self {
            work,
            done,
            handles,
        })
    }
}

fn compress_all(work: &Receiver<(usize, Vec<u8>)>, done: &Sender<Done>) {
    while let Ok((index, bytes)) = work.recv() {
        if done.send((index, gzip_member(&bytes))).is_err() {
            return;
        }
    }
}

fn gzip_member(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let out = Vec::with_capacity(bytes.len() / 2 + 64);
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .operating_system(255)
        .write(out, Compression::new(GZIP_LEVEL));
    encoder.write_all(bytes)?;
    encoder.finish()
}

impl<W: Write> ParallelGzip<W> {
    fn new(out: W, threads: NonZeroUsize) -> Self {
        Self {
            out,
            threads: threads.get(),
            member: Vec::new(),
            workers: None,
            sent: 0,
            written: 0,
            early: BTreeMap::new(),
        }
    }

    /// Hands a full member to a worker.
    fn send(&mut self) -> io::Result<()> {
        let bytes = std::mem::replace(&mut self.member, Vec::with_capacity(MEMBER));
        if self.threads < 2 {
            self.sent += 1;
            self.written += 1;
            return self.out.write_all(&gzip_member(&bytes)?);
        }
        let workers = match &mut self.workers {
            Some(workers) => workers,
            none => none.insert(Workers::start(self.threads)?),
        };
        let worker = workers.work.get(self.sent % self.threads);
        let sent = worker.map(|worker| worker.send((self.sent, bytes)));
        if !matches!(sent, Some(Ok(()))) {
            return Err(gone());
        }
        self.sent += 1;
        // Bounds the memory: at most two members wait for each worker, and as many wait for their turn.
        while self.sent - self.written > self.threads * 3 {
            self.receive()?;
        }
        Ok(())
    }

    fn receive(&mut self) -> io::Result<()> {
        let done = self.workers.as_ref().and_then(|w| w.done.recv().ok());
        let (index, bytes) = done.ok_or_else(gone)?;
        self.early.insert(index, bytes?);
        while let Some(bytes) = self.early.remove(&self.written) {
            self.out.write_all(&bytes)?;
            self.written += 1;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<W> {
        // What fits one member needs no thread.
        if self.sent == 0 {
            self.threads = 1;
        }
        if !self.member.is_empty() || self.sent == 0 {
            self.send()?;
        }
        while self.written < self.sent {
            self.receive()?;
        }
        if let Some(Workers { work, handles, .. }) = self.workers.take() {
            drop(work);
            for handle in handles {
                handle.join().map_err(|_| gone())?;
            }
        }
        Ok(self.out)
    }
}

fn gone() -> io::Error {
    io::Error::other("a thread that compresses ended early")
}

impl<W: Write> Write for ParallelGzip<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let room = MEMBER - self.member.len();
        let taken = buf.get(..room).unwrap_or(buf);
        self.member.extend_from_slice(taken);
        if self.member.len() == MEMBER {
            self.send()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
