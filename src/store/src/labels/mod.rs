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
//! While the index [is not complete](LabelIndex::is_complete) (it is being rebuilt) it answers with what it knows,
//! but [`LabelIndex::select`] says that it cannot tell, and nothing is saved.

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

use catalogue::{Catalogue, Full};
use matching::Span;
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use persistence::{Store, clear_place, read_image};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use strandline_model::{Day, Labels, Selector, TenantId, TimeRange};

/// What [`LabelIndex::open`] found.
#[derive(Debug)]
pub enum LabelState {
    /// The image was read; the index is complete.
    Ready,
    /// There is no usable image; the index is empty and incomplete.
    NeedsRebuild(ImageError),
}

/// Streams that are added before waiting queries get their turn; about a millisecond.
const ADDS_PER_TURN: usize = 2048;

type Shared = Arc<RwLock<Catalogue>>;

/// The label index of all tenants. All methods may be called from any thread.
pub struct LabelIndex {
    tenants: RwLock<BTreeMap<TenantId, Shared>>,
    complete: AtomicBool,
    store: Mutex<Store>,
}

impl LabelIndex {
    /// Reads the image in `dir` if it has this generation. Without `dir` the index lives in memory only.
    ///
    /// An image that is too old is removed, a damaged one is renamed to `<dir>.bad-<n>`.
    pub fn open(dir: Option<PathBuf>, generation: u64) -> (Self, LabelState) {
        let Some(dir) = dir else {
            return (Self::empty(Store::Off), LabelState::NeedsRebuild(ImageError::Missing));
        };
        match read_image(&dir, generation) {
            Ok((image, read)) => {
                let index = Self::empty(Store::Open(image));
                let shared = |(tenant, catalogue)| (tenant, Arc::new(RwLock::new(catalogue)));
                *index.tenants.write() = read.into_iter().map(shared).collect();
                index.set_complete(true);
                (index, LabelState::Ready)
            }
            Err(why) => (Self::empty(clear_place(&dir, &why)), LabelState::NeedsRebuild(why)),
        }
    }

    fn empty(store: Store) -> Self {
        Self { tenants: RwLock::default(), complete: AtomicBool::new(false), store: Mutex::new(store) }
    }

    fn tenant(&self, tenant: &TenantId) -> Option<Shared> {
        self.tenants.read().get(tenant).cloned()
    }

    fn tenant_or_new(&self, tenant: &TenantId) -> Shared {
        match self.tenant(tenant) {
            Some(known) => known,
            None => self.tenants.write().entry(tenant.clone()).or_default().clone(),
        }
    }

    fn catalogues(&self) -> Vec<(TenantId, Shared)> {
        self.tenants.read().iter().map(|(tenant, catalogue)| (tenant.clone(), catalogue.clone())).collect()
    }

    /// Notes that `tenant` has these streams on `day`. What is known already changes nothing.
    pub fn add<'a>(&self, tenant: &TenantId, day: Day, labels: impl Iterator<Item = &'a Labels>) {
        let catalogue = self.tenant_or_new(tenant);
        let mut catalogue = catalogue.write();
        for (i, labels) in labels.enumerate() {
            if let Err(full) = catalogue.add(day, labels) {
                return self.give_up_completeness(tenant, full);
            }
            // Queries need not wait until all of many streams are in.
            if i % ADDS_PER_TURN == ADDS_PER_TURN - 1 {
                RwLockWriteGuard::bump(&mut catalogue);
            }
        }
    }

    /// From now on `tenant` has exactly these streams on `day`.
    pub fn replace_day<'a>(&self, tenant: &TenantId, day: Day, labels: impl Iterator<Item = &'a Labels>) {
        let catalogue = self.tenant_or_new(tenant);
        let result = catalogue.write().replace_day(day, labels);
        if let Err(full) = result {
            self.give_up_completeness(tenant, full);
        }
    }

    /// Forgets a day; streams without days vanish.
    pub fn drop_day(&self, tenant: &TenantId, day: Day) {
        if self.tenant(tenant).is_some() {
            self.replace_day(tenant, day, std::iter::empty());
        }
    }

    /// What cannot be held is found by the caller's own look at the segments.
    fn give_up_completeness(&self, tenant: &TenantId, full: Full) {
        tracing::warn!(%tenant, "{full}; queries read the segments' stream tables instead");
        self.set_complete(false);
    }

    /// Forgets everything, for a rebuild; the index is incomplete until [`LabelIndex::set_complete`].
    pub fn clear(&self) {
        self.set_complete(false);
        for (_, catalogue) in self.catalogues() {
            *catalogue.write() = Catalogue::default();
        }
    }

    /// Says whether the index knows all streams.
    pub fn set_complete(&self, complete: bool) {
        self.complete.store(complete, Ordering::Release);
    }

    /// Whether the index knows all streams.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Whether commits are saved.
    pub fn is_persistent(&self) -> bool {
        !matches!(*self.store.lock(), Store::Off)
    }

    /// Saves what changed since the last commit under the manifest's number `generation`, durably. Called after the
    /// manifest's own record is durable; numbers never come twice. Does nothing while the index is incomplete.
    pub fn commit(&self, generation: u64) {
        let mut store = self.store.lock();
        if !self.is_complete() {
            return;
        }
        if let Err(e) = store.save(generation, self.catalogues()) {
            tracing::warn!("labels stay in memory and are rebuilt at the next start: {e}");
            store.abandon();
        }
    }
}

/// Queries. A range means all days that it touches; none means all days.
impl LabelIndex {
    /// Names that the selected streams have.
    pub fn label_names(
        &self,
        tenant: &TenantId,
        range: Option<TimeRange>,
        selector: &Selector,
    ) -> BTreeSet<String> {
        let catalogue = self.tenant(tenant);
        catalogue.map(|c| c.read().names_of(Span::of(range), selector)).unwrap_or_default()
    }

    /// Values of `name` that the selected streams have.
    pub fn label_values(
        &self,
        tenant: &TenantId,
        name: &str,
        range: Option<TimeRange>,
        selector: &Selector,
    ) -> BTreeSet<String> {
        let catalogue = self.tenant(tenant);
        catalogue.map(|c| c.read().values_of(name, Span::of(range), selector)).unwrap_or_default()
    }

    /// The selected streams, at most `limit` of them, in no particular order.
    pub fn series(
        &self,
        tenant: &TenantId,
        range: Option<TimeRange>,
        selector: &Selector,
        limit: usize,
    ) -> Vec<Labels> {
        let Some(catalogue) = self.tenant(tenant) else { return Vec::new() };
        let catalogue = catalogue.read();
        let streams = catalogue.streams(Span::of(range), selector, limit);
        streams.into_iter().filter_map(|stream| catalogue.labels(stream)).collect()
    }

    /// The selected streams. `None` when there are more than `limit` or the index is incomplete: then the segments'
    /// own stream tables must be looked at.
    pub fn select(
        &self,
        tenant: &TenantId,
        range: Option<TimeRange>,
        selector: &Selector,
        limit: usize,
    ) -> Option<Vec<Labels>> {
        if !self.is_complete() {
            return None;
        }
        let Some(catalogue) = self.tenant(tenant) else { return Some(Vec::new()) };
        let catalogue = catalogue.read();
        let streams = catalogue.streams(Span::of(range), selector, limit.saturating_add(1));
        if streams.len() > limit {
            return None;
        }
        streams.into_iter().map(|stream| catalogue.labels(stream)).collect()
    }

    /// Tenants that have streams.
    pub fn tenants(&self) -> Vec<TenantId> {
        let live = self.catalogues().into_iter().filter(|(_, catalogue)| catalogue.read().n_live() > 0);
        live.map(|(tenant, _)| tenant).collect()
    }

    /// Streams of `tenant` on any day.
    pub fn stream_count(&self, tenant: &TenantId) -> usize {
        self.tenant(tenant).map_or(0, |catalogue| catalogue.read().n_live())
    }

    /// Bytes that the index holds in memory, roughly, without sled.
    pub fn memory_bytes(&self) -> usize {
        self.catalogues().iter().map(|(_, catalogue)| catalogue.read().memory_bytes()).sum()
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
