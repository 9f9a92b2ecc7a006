//! Every core busy with bounded memory: each layer is two jobs, unpacking and digesting, with a short
//! queue of pieces between them; threads take whichever job of whichever layer can be done.
//!
//! A thread that has unpacked a piece digests it itself while it is in its cache, unless another
//! thread has nothing to do. So many layers run side by side, and one large layer runs on two threads.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use super::{
    blob::LayerReader,
    database::Packed,
    error::{LayerError, ScanError},
    layer::LayerScan,
    options::{Budget, ScanOptions, ScanProgress},
    record::{LayerKey, recall},
    walk::LayerWalk,
};
use crate::oci::{Descriptor, DiffId, ImageSource, LayerIndex};

/// Bytes of a piece: within a core's own cache, and large enough that handing it over is cheap.
const PIECE: usize = 256 << 10;
/// Pieces of a layer that may wait to be digested.
const WAITING: usize = 4;

/// What all threads share.
pub(super) struct Job<'s> {
    pub(super) source: &'s dyn ImageSource,
    pub(super) layers: &'s [Descriptor],
    pub(super) diff_ids: &'s [DiffId],
    pub(super) options: &'s ScanOptions,
    pub(super) progress: &'s dyn ScanProgress,
    pub(super) budget: &'s Budget,
    pub(super) packed: &'s Packed,
}

/// One layer that is being read. A job that a thread is doing is not there.
struct Slot<'s> {
    layer: usize,
    reader: Option<LayerReader<'s>>,
    walk: Option<LayerWalk<'s>>,
    waiting: VecDeque<(Vec<u8>, usize)>,
    unpacked: bool,
}

struct State<'s> {
    /// layers not begun, the next one last
    queue: Vec<usize>,
    slots: Vec<Slot<'s>>,
    spare: Vec<Vec<u8>>,
    idle: usize,
    results: Vec<Option<LayerScan>>,
    failure: Option<ScanError>,
}

enum Task<'s> {
    Open(usize),
    Unpack(usize, LayerReader<'s>, Vec<u8>),
    Digest(usize, LayerWalk<'s>, Vec<u8>, usize),
    Finish(usize, LayerWalk<'s>),
    Wait,
    Leave,
}

/// Scans all layers; the first failure stops the rest.
pub(super) fn run(job: &Job<'_>) -> Result<Vec<LayerScan>, ScanError> {
    let mut queue: Vec<usize> = (0..job.layers.len()).collect();
    // The largest first, so that none is left alone at the end.
    queue.sort_by_key(|&layer| job.layers.get(layer).map(Descriptor::size));
    let threads = job.options.threads.get();
    let pool = Pool {
        job,
        state: Mutex::new(State {
            results: queue.iter().map(|_| None).collect(),
            queue,
            slots: Vec::new(),
            spare: Vec::new(),
            idle: 0,
            failure: None,
        }),
        changed: Condvar::new(),
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| pool.work());
        }
        pool.work();
    });
    let state = pool
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    match state.failure {
        Some(failure) => Err(failure),
        None => Ok(state
            .results
            .into_iter()
            .map(Option::unwrap_or_default)
            .collect()),
    }
}

struct Pool<'j, 's> {
    job: &'j Job<'s>,
    state: Mutex<State<'s>>,
    changed: Condvar,
}

impl<'s> Pool<'_, 's> {
    fn lock(&self) -> MutexGuard<'_, State<'s>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let _guard = Guard(self);
        let mut favour = None;
        loop {
            let mut state = self.lock();
            let task = loop {
                if self.job.options.cancel.is_cancelled() {
                    state.failure.get_or_insert(ScanError::Cancelled);
                }
                match state.next(self.job.options.threads.get(), favour) {
                    Task::Wait => {
                        state.idle += 1;
                        state = self
                            .changed
                            .wait(state)
                            .unwrap_or_else(PoisonError::into_inner);
                        state.idle -= 1;
                    }
                    task => break task,
                }
            };
            drop(state);
            let (layer, done) = match task {
                Task::Open(layer) => (layer, self.open(layer)),
                Task::Unpack(layer, reader, piece) => {
                    favour = Some(layer);
                    (layer, self.unpack(layer, reader, piece))
                }
                Task::Digest(layer, walk, piece, length) => {
                    (layer, self.digest(layer, walk, piece, length))
                }
                Task::Finish(layer, walk) => (layer, self.finish(layer, walk)),
                Task::Wait => continue,
                Task::Leave => {
                    self.changed.notify_all();
                    return;
                }
            };
            if let Err(error) = done {
                self.fail(layer, error);
            }
        }
    }

    fn fail(&self, layer: usize, error: LayerError) {
        let Some(of) = self.job.layers.get(layer) else {
            return;
        };
        let failure = ScanError::layer(index(layer), of, error);
        self.lock().failure.get_or_insert(failure);
        self.changed.notify_all();
    }

    fn open(&self, layer: usize) -> Result<(), LayerError> {
        let job = self.job;
        let (Some(of), Some(diff_id)) = (job.layers.get(layer), job.diff_ids.get(layer)) else {
            return Ok(());
        };
        if let Some(memory) = &job.options.memory
            && let Some(known) = recall(memory.as_ref(), index(layer), of, diff_id, job.budget)?
        {
            job.progress.layer(index(layer), of.size(), of.size());
            self.done(layer, known.read(job.packed));
            return Ok(());
        }
        let walk = LayerWalk::new(index(layer), diff_id, job.budget, job.packed)?;
        let reader = LayerReader::open(job.source, of, job.budget.limits.zstd_window_log)?;
        let mut state = self.lock();
        if let Some(slot) = state.slot(layer) {
            slot.reader = Some(reader);
            slot.walk = Some(walk);
        }
        self.changed.notify_all();
        Ok(())
    }

    fn unpack(
        &self,
        layer: usize,
        mut reader: LayerReader<'s>,
        mut piece: Vec<u8>,
    ) -> Result<(), LayerError> {
        let length = reader.fill(&mut piece)?;
        if let Some(of) = self.job.layers.get(layer) {
            self.job
                .progress
                .layer(index(layer), reader.seen(), of.size());
        }
        let mut state = self.lock();
        if let Some(slot) = state.slot(layer) {
            if length < piece.len() {
                slot.unpacked = true;
            } else {
                slot.reader = Some(reader);
            }
            slot.waiting.push_back((piece, length));
        }
        if state.idle > 0 {
            self.changed.notify_one();
        }
        Ok(())
    }

    fn digest(
        &self,
        layer: usize,
        mut walk: LayerWalk<'s>,
        piece: Vec<u8>,
        length: usize,
    ) -> Result<(), LayerError> {
        walk.feed(piece.get(..length).unwrap_or_default())?;
        let mut state = self.lock();
        state.spare.push(piece);
        if let Some(slot) = state.slot(layer) {
            slot.walk = Some(walk);
        }
        if state.idle > 0 {
            self.changed.notify_one();
        }
        Ok(())
    }

    fn finish(&self, layer: usize, walk: LayerWalk<'s>) -> Result<(), LayerError> {
        let job = self.job;
        let key = match (job.layers.get(layer), job.diff_ids.get(layer)) {
            (Some(of), Some(diff_id)) if job.options.memory.is_some() => {
                Some(LayerKey::of(of, diff_id))
            }
            _ => None,
        };
        let (scan, kept) = walk.finish(key.as_ref())?;
        if let (Some(memory), Some(key), Some(kept)) = (&job.options.memory, &key, kept) {
            memory.keep(&key.digest(), &kept);
        }
        self.done(layer, scan);
        Ok(())
    }

    fn done(&self, layer: usize, scan: LayerScan) {
        let mut state = self.lock();
        if let Some(result) = state.results.get_mut(layer) {
            *result = Some(scan);
        }
        state.slots.retain(|slot| slot.layer != layer);
        self.changed.notify_all();
    }
}

/// Wakes the others when a thread dies of a bug, lest they wait for it for ever.
struct Guard<'p, 'j, 's>(&'p Pool<'j, 's>);

impl Drop for Guard<'_, '_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.lock().failure.get_or_insert(ScanError::Cancelled);
            self.0.changed.notify_all();
        }
    }
}

fn index(layer: usize) -> LayerIndex {
    LayerIndex(u32::try_from(layer).unwrap_or(u32::MAX))
}

impl<'s> State<'s> {
    fn slot(&mut self, layer: usize) -> Option<&mut Slot<'s>> {
        self.slots.iter_mut().find(|slot| slot.layer == layer)
    }

    /// What a thread should do that has unpacked a piece of layer `favour`.
    fn next(&mut self, threads: usize, favour: Option<usize>) -> Task<'s> {
        if self.failure.is_some() || (self.queue.is_empty() && self.slots.is_empty()) {
            return Task::Leave;
        }
        // Another thread will digest: go on unpacking.
        if self.idle > 0
            && let Some(task) = favour.and_then(|layer| self.unpack(layer))
        {
            return task;
        }
        if let Some(task) = self.digest(favour) {
            return task;
        }
        let layers: Vec<usize> = self.slots.iter().map(|slot| slot.layer).collect();
        if let Some(task) = layers.into_iter().find_map(|layer| self.unpack(layer)) {
            return task;
        }
        if self.slots.len() < threads
            && let Some(layer) = self.queue.pop()
        {
            self.slots.push(Slot {
                layer,
                reader: None,
                walk: None,
                waiting: VecDeque::with_capacity(WAITING),
                unpacked: false,
            });
            return Task::Open(layer);
        }
        Task::Wait
    }

    fn digest(&mut self, favour: Option<usize>) -> Option<Task<'s>> {
        let ready = |slot: &&mut Slot<'s>| {
            slot.walk.is_some() && (slot.unpacked || !slot.waiting.is_empty())
        };
        let mut slots: Vec<&mut Slot<'s>> = self.slots.iter_mut().filter(ready).collect();
        slots.sort_by_key(|slot| Some(slot.layer) != favour);
        let slot = slots.into_iter().next()?;
        let walk = slot.walk.take()?;
        Some(match slot.waiting.pop_front() {
            Some((piece, length)) => Task::Digest(slot.layer, walk, piece, length),
            None => Task::Finish(slot.layer, walk),
        })
    }

    fn unpack(&mut self, layer: usize) -> Option<Task<'s>> {
        let slot = self.slots.iter_mut().find(|slot| slot.layer == layer)?;
        if slot.waiting.len() >= WAITING {
            return None;
        }
        let reader = slot.reader.take()?;
        let piece = self.spare.pop().unwrap_or_else(|| vec![0; PIECE]);
        Some(Task::Unpack(layer, reader, piece))
    }
}
