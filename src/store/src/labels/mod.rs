//! Which streams does each tenant have, on which UTC day? Answered without opening a segment.
//!
//! Everything is answered from memory: names and values are kept once, a stream is a few numbers, each label value
//! knows its streams ([`catalogue`]). sled holds an image of that, so that a start need not read all segments'
//! stream tables. The image is never the truth: it must carry the manifest's generation number and the right sum of
//! its pieces, or it is put away and the engine rebuilds the index ([`LabelState::NeedsRebuild`]).
//!
//! Whatever sled does, no caller sees an error: at run time a failing image is given up, the index goes on in memory
//! ([`LabelIndex::is_persistent`] turns false), and the next start finds an image that is too old.
//!
//! While the index [is not complete](LabelIndex::is_complete) (it is being built) it answers with what it knows, but
//! [`LabelIndex::few`] says that it cannot tell, and nothing is saved. An index that would take more memory than it may
//! is given up: it lets go of everything and stays incomplete.

mod bounds;
mod catalogue;
mod days;
mod folder;
mod guard;
mod image;
mod matching;
mod pages;
mod persistence;
mod postings;
mod symbols;
#[cfg(test)]
mod tests;

pub use image::ImageError;

use crate::invariant::invariant;
use crate::lookup::{LookupError, Meter};
pub(crate) use bounds::Bounds;
pub(crate) use catalogue::Sizes;
use catalogue::{Catalogue, Shared};
use matching::Span;
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use persistence::{Store, clear_place, read_image};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use strandline_model::{Day, Labels, Selector, TenantId, TimeRange};

/// What [`LabelIndex::open`] found.
#[derive(Debug)]
pub enum LabelState {
    /// The image was read; the index is complete.
    Ready,
    /// There is no usable image; the index is empty and incomplete.
    NeedsRebuild(ImageError),
}

/// The generation of an image that is not finished; a manifest counts from the other end.
const UNFINISHED: u64 = u64::MAX;

/// The index would take more memory than it may.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("it would take more than {0} bytes of memory (storage.label_index_bytes)")]
struct TooLarge(usize);

/// Streams that are added before waiting queries get their turn; about a millisecond.
const ADDS_PER_TURN: usize = 2048;

/// The label index of all tenants. All methods may be called from any thread.
pub struct LabelIndex {
    tenants: RwLock<BTreeMap<TenantId, Shared>>,
    complete: AtomicBool,
    /// It may name streams that are gone: it is not saved.
    dubious: AtomicBool,
    /// It may go on to name streams that are gone: it is not asked.
    withdrawn: AtomicBool,
    store: Mutex<Store>,
    /// Memory that the catalogues take, roughly.
    bytes: AtomicUsize,
    max_bytes: usize,
    /// It needed more than `max_bytes`, or more than numbers can name: it stays empty.
    given_up: AtomicBool,
    sizes: Sizes,
}

impl LabelIndex {
    /// Reads the image in `dir` if it has this generation. Without `dir` the index lives in memory only.
    ///
    /// An image that is too old or too large is removed, a damaged one is renamed to `<dir>.bad-<n>`.
    pub(crate) fn open(dir: Option<PathBuf>, generation: u64, bounds: Bounds<'_>) -> (Self, LabelState) {
        let Some(dir) = dir else {
            return (
                Self::with_store(Store::Off, bounds.max_bytes, bounds.sizes),
                LabelState::NeedsRebuild(ImageError::Missing),
            );
        };
        match read_image(&dir, generation, bounds) {
            Ok((image, read)) => {
                let index = Self::with_store(Store::Open(image), bounds.max_bytes, bounds.sizes);
                let bytes = read.values().map(Catalogue::estimated_bytes).sum();
                index.bytes.store(bytes, Ordering::Relaxed);
                let shared = |(tenant, catalogue)| (tenant, Arc::new(RwLock::new(catalogue)));
                *index.tenants.write() = read.into_iter().map(shared).collect();
                index.set_complete(true);
                (index, LabelState::Ready)
            }
            Err(why) => {
                let index = Self::with_store(clear_place(&dir, &why), bounds.max_bytes, bounds.sizes);
                (index, LabelState::NeedsRebuild(why))
            }
        }
    }

    /// An index that knows nothing, is incomplete and is not saved.
    pub(crate) fn empty(max_bytes: usize) -> Self {
        Self::with_store(Store::Off, max_bytes, Sizes::default())
    }

    /// An empty index that takes over the place of this one's image; this one is not saved any more.
    pub(crate) fn successor(&self) -> Self {
        self.set_complete(false);
        let store = std::mem::replace(&mut *self.store.lock(), Store::Off);
        Self::with_store(store, self.max_bytes, self.sizes)
    }

    /// Lets go of the image, so that another index can take its place.
    pub(crate) fn release(&self) {
        if let Err(e) = self.store.lock().close() {
            tracing::warn!("the image of the label index cannot be closed: {e}");
        }
    }

    fn with_store(store: Store, max_bytes: usize, sizes: Sizes) -> Self {
        Self {
            tenants: RwLock::default(),
            complete: AtomicBool::new(false),
            dubious: AtomicBool::new(false),
            withdrawn: AtomicBool::new(false),
            store: Mutex::new(store),
            bytes: AtomicUsize::new(0),
            max_bytes,
            given_up: AtomicBool::new(false),
            sizes,
        }
    }

    fn tenant(&self, tenant: &TenantId) -> Option<Shared> {
        self.tenants.read().get(tenant).cloned()
    }

    fn tenant_or_new(&self, tenant: &TenantId) -> Shared {
        match self.tenant(tenant) {
            Some(known) => known,
            None => {
                self.tenants.write().entry(tenant.clone()).or_insert_with(|| self.new_catalogue()).clone()
            }
        }
    }

    fn new_catalogue(&self) -> Shared {
        Arc::new(RwLock::new(Catalogue::new(self.sizes)))
    }

    fn catalogues(&self) -> Vec<(TenantId, Shared)> {
        self.tenants.read().iter().map(|(tenant, catalogue)| (tenant.clone(), catalogue.clone())).collect()
    }

    /// Notes that `tenant` has these streams on `day`. What is known already changes nothing.
    pub(crate) fn add<'a>(&self, tenant: &TenantId, day: Day, labels: impl Iterator<Item = &'a Labels>) {
        if self.is_given_up() {
            return;
        }
        let shared = self.tenant_or_new(tenant);
        let mut catalogue = shared.write();
        let mut counted = catalogue.estimated_bytes();
        for (i, labels) in labels.enumerate() {
            if let Err(full) = catalogue.add(day, labels) {
                drop(catalogue);
                return self.give_up(tenant, &full);
            }
            // Queries need not wait until all of many streams are in.
            if i % ADDS_PER_TURN == ADDS_PER_TURN - 1 {
                if let Err(too_large) = self.count_bytes(&mut counted, &catalogue) {
                    drop(catalogue);
                    return self.give_up(tenant, &too_large);
                }
                RwLockWriteGuard::bump(&mut catalogue);
            }
        }
        let fits = self.count_bytes(&mut counted, &catalogue);
        drop(catalogue);
        if let Err(too_large) = fits {
            self.give_up(tenant, &too_large);
        }
    }

    /// From now on `tenant` has exactly these streams on `day`.
    pub(crate) fn replace_day<'a>(
        &self,
        tenant: &TenantId,
        day: Day,
        labels: impl Iterator<Item = &'a Labels>,
    ) {
        if self.is_given_up() {
            return;
        }
        let shared = self.tenant_or_new(tenant);
        let mut catalogue = shared.write();
        let mut counted = catalogue.estimated_bytes();
        let replaced = catalogue.replace_day(day, labels);
        let fits = self.count_bytes(&mut counted, &catalogue);
        drop(catalogue);
        match (replaced, fits) {
            (Err(full), _) => self.give_up(tenant, &full),
            (_, Err(too_large)) => self.give_up(tenant, &too_large),
            _ => {}
        }
    }

    /// Forgets a day; streams without days vanish.
    pub(crate) fn drop_day(&self, tenant: &TenantId, day: Day) {
        if self.tenant(tenant).is_some() {
            self.replace_day(tenant, day, std::iter::empty());
        }
    }

    /// Notes what a catalogue has come to take since it took `counted`.
    fn count_bytes(&self, counted: &mut usize, catalogue: &Catalogue) -> Result<(), TooLarge> {
        let now = catalogue.estimated_bytes();
        let before = std::mem::replace(counted, now);
        // Wrapping arithmetic: a catalogue may shrink.
        let change = now.wrapping_sub(before);
        let all = self.bytes.fetch_add(change, Ordering::Relaxed).wrapping_add(change);
        if all > self.max_bytes { Err(TooLarge(self.max_bytes)) } else { Ok(()) }
    }

    /// Lets go of everything: what cannot be held is found by the caller's own look at the segments.
    fn give_up(&self, tenant: &TenantId, why: &dyn fmt::Display) {
        if self.given_up.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(%tenant, "the label index is given up, stream tables of segments answer instead: {why}");
        self.set_complete(false);
        self.tenants.write().clear();
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Whether the index was too large to be held. It then stays empty and incomplete.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Says whether the index knows all streams.
    pub(crate) fn set_complete(&self, complete: bool) {
        self.complete.store(complete, Ordering::Release);
    }

    /// Whether the index knows all streams.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Whether the index may be asked: it knows all streams, and names others for a moment at most.
    pub(crate) fn answers(&self) -> bool {
        self.is_complete() && !self.withdrawn.load(Ordering::Acquire)
    }

    /// Says that a day lost streams that the index may still name: an image of it would name them after a restart.
    pub(crate) fn set_dubious(&self) {
        self.dubious.store(true, Ordering::Release);
    }

    /// Says that the streams that are left of a day could not be read, so that lost ones stay in the index.
    pub(crate) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Release);
    }

    /// Says that the index names no streams that are gone.
    pub(crate) fn set_exact(&self) {
        self.dubious.store(false, Ordering::Release);
        self.withdrawn.store(false, Ordering::Release);
    }

    /// Whether commits are saved.
    #[cfg(test)]
    pub(crate) fn is_persistent(&self) -> bool {
        !matches!(*self.store.lock(), Store::Off)
    }

    /// Bytes of memory that the index takes, roughly, without sled.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Writes what the index holds to its image before it is complete, under a generation that no manifest has. What
    /// [`LabelIndex::commit`] then has left to do is little. Stopped in the middle, the index is not saved at all.
    pub(crate) fn save_ahead(&self, stop: &dyn Fn() -> bool) {
        let mut store = self.store.lock();
        if let Err(e) = store.save(UNFINISHED, self.catalogues(), self.sizes, stop) {
            tracing::warn!("labels stay in memory and are rebuilt at the next start: {e}");
            store.abandon();
        }
    }

    /// Saves what changed since the last commit under the manifest's number `generation`, durably. Called after the
    /// manifest's own record is durable; numbers never come twice. Does nothing while the index is incomplete or
    /// may name streams that are gone: the next start then finds an image that is too old.
    pub(crate) fn commit(&self, generation: u64) {
        let mut store = self.store.lock();
        if !self.is_complete() || self.dubious.load(Ordering::Acquire) {
            return;
        }
        if let Err(e) = store.save(generation, self.catalogues(), self.sizes, &|| false) {
            tracing::warn!("labels stay in memory and are rebuilt at the next start: {e}");
            store.abandon();
        }
    }
}

/// Queries. A range means all days that it touches; none means all days.
impl LabelIndex {
    /// Names that the selected streams have.
    pub(crate) fn names(
        &self,
        tenant: &TenantId,
        range: Option<TimeRange>,
        selector: &Selector,
        meter: &Meter<'_>,
    ) -> Result<BTreeSet<String>, LookupError> {
        let Some(catalogue) = self.tenant(tenant) else { return Ok(BTreeSet::new()) };
        catalogue.read().names_of(Span::of(range), selector, meter)
    }

    /// Values of `name` that the selected streams have.
    pub(crate) fn values(
        &self,
        tenant: &TenantId,
        name: &str,
        range: Option<TimeRange>,
        selector: &Selector,
        meter: &Meter<'_>,
    ) -> Result<BTreeSet<String>, LookupError> {
        let Some(catalogue) = self.tenant(tenant) else { return Ok(BTreeSet::new()) };
        catalogue.read().values_of(name, Span::of(range), selector, meter)
    }

    /// The selected streams, at most `limit` of them, in no particular order.
    pub(crate) fn streams(
        &self,
        tenant: &TenantId,
        range: Option<TimeRange>,
        selector: &Selector,
        limit: usize,
        meter: &Meter<'_>,
    ) -> Result<Vec<Labels>, LookupError> {
        let Some(catalogue) = self.tenant(tenant) else { return Ok(Vec::new()) };
        let catalogue = catalogue.read();
        let streams = catalogue.streams(Span::of(range), selector, limit, meter)?;
        let mut found = Vec::with_capacity(streams.len());
        for stream in streams {
            let labels = catalogue.labels(stream);
            invariant!(labels.is_some(), "stream {stream} of the label index has no labels");
            let Some(labels) = labels else { continue };
            meter.step()?;
            meter.hold(labels.memory_bytes())?;
            found.push(labels);
        }
        Ok(found)
    }

    /// The selected streams. `None` when there are more than `limit` or the index is incomplete: then the segments'
    /// own stream tables must be looked at.
    pub(crate) fn few(
        &self,
        tenant: &TenantId,
        range: Option<TimeRange>,
        selector: &Selector,
        limit: usize,
        meter: &Meter<'_>,
    ) -> Result<Option<Vec<Labels>>, LookupError> {
        if !self.is_complete() {
            return Ok(None);
        }
        let Some(catalogue) = self.tenant(tenant) else { return Ok(Some(Vec::new())) };
        let catalogue = catalogue.read();
        let streams = catalogue.streams(Span::of(range), selector, limit.saturating_add(1), meter)?;
        if streams.len() > limit {
            return Ok(None);
        }
        Ok(streams.into_iter().map(|stream| catalogue.labels(stream)).collect())
    }
}

impl fmt::Debug for LabelIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The streams themselves would fill the log.
        f.debug_struct("LabelIndex").field("complete", &self.is_complete()).finish_non_exhaustive()
    }
}

impl Drop for LabelIndex {
    fn drop(&mut self) {
        if let Err(e) = self.store.get_mut().close() {
            tracing::warn!("the label index may be rebuilt at the next start: {e}");
        }
    }
}
