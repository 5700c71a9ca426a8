//! How does the label index come to know all streams, while flushes and merges go on?
//!
//! A new index is filled apart, from its image or from the segments' stream tables. What was published meanwhile is
//! added in rounds, each shorter than the one before; the last look and the exchange of the old index for the new one are
//! one step under the manifest's lock. Until then stream tables answer. A segment that was added is read in the next
//! round; a partition that lost streams is noted in [`LabelChanges`] and read anew.

use super::retry::{self, Task};
use super::{Engine, SegmentHandle};
use crate::error::StoreError;
use crate::invariant::invariant;
use crate::labels::{Bounds, ImageError, LabelIndex, LabelState, Sizes};
use crate::manifest::SegmentId;
use std::collections::BTreeSet;
use std::sync::Arc;
use strandline_model::{Day, Labels, Selector, TenantId};

/// After this many rounds merges wait until the index is complete, so that the rounds come to an end.
const ROUNDS_BESIDE_MERGES: usize = 4;

/// How the loading of the label index ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelLoad {
    /// The index knows all streams.
    Complete,
    /// The caller's check said so.
    Stopped,
    /// A segment's streams are damaged; an index without them would hide its lines without a word.
    Unreadable,
    /// A segment's streams could not be read for a reason that may pass; to be tried again after a pause
    /// ([`Engine::label_load_is_due`]).
    Failed,
    /// It would take more memory than [`super::EngineConfig::label_index_bytes`].
    TooLarge,
}

/// What the start knows of the image, and what an index that is being filled has to catch up on.
#[derive(Debug)]
pub(super) struct LabelChanges {
    /// Segments that the image of the start knows, if it is the right one; `None` once it was looked at.
    pub(super) at_start: Option<BTreeSet<SegmentId>>,
    /// Rows that the store had when the index turned out to be too large.
    pub(super) too_large_for: Option<u64>,
    /// Partitions that lost streams since an index began to be filled; `None` while none is.
    pub(super) lost: Option<BTreeSet<(TenantId, Day)>>,
    /// Partitions that lost streams while the index was complete, and that nobody has looked at since.
    pub(super) unseen: BTreeSet<(TenantId, Day)>,
}

impl Engine {
    /// The label index.
    pub(super) fn labels(&self) -> Arc<LabelIndex> {
        Arc::clone(&self.labels.read())
    }

    /// The label index, if it knows all streams and names no others.
    pub(super) fn complete_labels(&self) -> Option<Arc<LabelIndex>> {
        Some(self.labels()).filter(|labels| labels.answers())
    }

    /// Whether the label index answers (as against being read or built).
    pub fn labels_ready(&self) -> bool {
        self.complete_labels().is_some()
    }

    /// [`Engine::load_labels_until`] without a stop.
    pub fn load_labels(&self) -> Result<(), StoreError> {
        self.load_labels_until(&|| false);
        Ok(())
    }

    /// Reads the label index' image, and builds the index where there is none or it is not the right one. `stop` is asked
    /// for each few hundred streams.
    pub fn load_labels_until(&self, stop: &dyn Fn() -> bool) -> LabelLoad {
        let _one_at_a_time = self.loading_labels.lock();
        if self.labels().is_complete() {
            return LabelLoad::Complete;
        }
        let bounds = Bounds { max_bytes: self.config.label_index_bytes, stop, sizes: Sizes::default() };
        let (generation, known) = self.begin_label_load();
        let (index, state) = LabelIndex::open(self.labels_image.0.clone(), generation, bounds);
        match state {
            LabelState::Ready => self.fill_labels(index, known, stop),
            LabelState::NeedsRebuild(ImageError::Stopped) => LabelLoad::Stopped,
            LabelState::NeedsRebuild(ImageError::TooLarge(_)) => {
                tracing::warn!(
                    max_bytes = bounds.max_bytes,
                    "the label index does not fit into storage.label_index_bytes; stream tables of segments answer instead"
                );
                self.end_label_load(LabelLoad::TooLarge)
            }
            LabelState::NeedsRebuild(_) => self.fill_labels(index, BTreeSet::new(), stop),
        }
    }

    /// From now on losses are noted. Returns the number that a usable image has, and the segments that it knows then:
    /// what came since the start can be added to the image of the start, once; later only one of this very moment is
    /// right.
    fn begin_label_load(&self) -> (u64, BTreeSet<SegmentId>) {
        // One that was given up while it was in use holds the image's files.
        self.labels().release();
        let manifest = self.manifest.lock();
        let mut changes = self.label_changes.lock();
        changes.lost.get_or_insert_default();
        match changes.at_start.take() {
            Some(at_start) => (self.labels_image.1, at_start),
            None => {
                let catalog = Arc::clone(&self.state.read().catalog);
                (manifest.generation(), catalog.all().map(|handle| handle.meta().id).collect())
            }
        }
    }

    /// Builds the label index anew from the segments' stream tables.
    pub fn rebuild_labels(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.loading_labels.lock();
        let index = {
            let _no_edit = self.manifest.lock();
            self.label_changes.lock().lost = Some(BTreeSet::new());
            self.labels().successor()
        };
        self.fill_labels(index, BTreeSet::new(), &|| false);
        Ok(())
    }

    /// Fills `index`, which knows the streams of the segments `known`, and puts it in the place of the present one.
    fn fill_labels(
        &self,
        index: LabelIndex,
        mut known: BTreeSet<SegmentId>,
        stop: &dyn Fn() -> bool,
    ) -> LabelLoad {
        // Until this one is complete nobody asks the index.
        index.set_complete(false);
        for round in 0.. {
            let _no_merge = (round >= ROUNDS_BESIDE_MERGES).then(|| self.compacting.lock());
            let unknown = self.segments_to_index(&index, &mut known);
            // Taking days out of it may have been too much, too.
            if index.is_given_up() {
                return self.end_label_load(LabelLoad::TooLarge);
            }
            for handle in unknown {
                if stop() {
                    return LabelLoad::Stopped;
                }
                match self.index_segment(&index, &handle, stop) {
                    Ok(true) => known.insert(handle.meta().id),
                    Ok(false) => return LabelLoad::Stopped,
                    Err(error) => {
                        return self.label_load_failed(&handle, &error);
                    }
                };
                if index.is_given_up() {
                    return self.end_label_load(LabelLoad::TooLarge);
                }
            }
            if round == 0 {
                // Most of the image is written here, and not under the manifest's lock below.
                index.save_ahead(stop);
                if stop() {
                    return LabelLoad::Stopped;
                }
            }
            let manifest = self.manifest.lock();
            let mut changes = self.label_changes.lock();
            let catalog = Arc::clone(&self.state.read().catalog);
            let is_up_to_date = changes.lost.as_ref().is_none_or(BTreeSet::is_empty)
                && catalog.all().all(|handle| known.contains(&handle.meta().id));
            if is_up_to_date {
                changes.lost = None;
                changes.unseen.clear();
                invariant!(!index.is_given_up(), "an index that was given up is taken for complete");
                invariant!(!self.labels().is_complete(), "a complete index is replaced");
                index.set_complete(true);
                index.commit(manifest.generation());
                // It holds what the index before held for certain, and nothing else.
                self.flushed.lock().forget();
                *self.labels.write() = Arc::new(index);
                drop(changes);
                return self.end_label_load(LabelLoad::Complete);
            }
        }
        LabelLoad::Stopped
    }

    /// The segments whose streams `index` does not know yet. Partitions that lost streams are forgotten there first.
    fn segments_to_index(
        &self,
        index: &LabelIndex,
        known: &mut BTreeSet<SegmentId>,
    ) -> Vec<Arc<SegmentHandle>> {
        let (lost, catalog) = {
            // As one step: what loses streams is noted and published under this lock.
            let _no_edit = self.manifest.lock();
            let lost = self.label_changes.lock().lost.replace(BTreeSet::new());
            (lost.unwrap_or_default(), Arc::clone(&self.state.read().catalog))
        };
        for (tenant, day) in lost {
            index.drop_day(&tenant, day);
            for handle in catalog.partition(&tenant, day) {
                known.remove(&handle.meta().id);
            }
        }
        let unknown = catalog.all().filter(|handle| !known.contains(&handle.meta().id));
        unknown.cloned().collect()
    }

    /// Adds a segment's streams; false when it was stopped.
    fn index_segment(
        &self,
        index: &LabelIndex,
        handle: &SegmentHandle,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, StoreError> {
        let (segment, meta) = (handle.open()?, handle.meta());
        for chunk in 0..segment.chunk_count()? {
            if stop() {
                return Ok(false);
            }
            let mut streams: Vec<Labels> = Vec::new();
            segment.selected_in_chunk(chunk, &Selector::all(), |labels, _| streams.push(labels.clone()))?;
            index.add(&meta.tenant, meta.day, streams.iter());
        }
        Ok(true)
    }

    fn label_load_failed(&self, handle: &SegmentHandle, error: &StoreError) -> LabelLoad {
        if retry::is_corruption(error) {
            handle.note_damage(error);
            tracing::warn!("the label index stays off: a segment's streams are damaged");
            return self.end_label_load(LabelLoad::Unreadable);
        }
        tracing::warn!(%error, "the label index is built later: a segment's streams could not be read");
        self.retries.lock().label_load_failed(self.clock.monotonic_ns(), error);
        self.end_label_load(LabelLoad::Failed)
    }

    /// Whether loading is to be tried again: it failed and its pause is over, or the index was too large and much has
    /// gone since.
    pub fn label_load_is_due(&self) -> bool {
        if self.retries.lock().is_due(Task::LabelLoad, self.clock.monotonic_ns()) {
            return true;
        }
        if self.labels().is_complete() {
            return false;
        }
        let rows = self.rows();
        let mut changes = self.label_changes.lock();
        if self.labels().is_given_up() {
            // A flush brought more than fits.
            changes.too_large_for.get_or_insert(rows);
        }
        changes.too_large_for.is_some_and(|then| rows < then / 8 * 7)
    }

    fn rows(&self) -> u64 {
        let catalog = Arc::clone(&self.state.read().catalog);
        catalog.all().map(|handle| handle.meta().rows).sum()
    }

    fn end_label_load(&self, how: LabelLoad) -> LabelLoad {
        let too_large_for = (how == LabelLoad::TooLarge).then(|| self.rows());
        {
            let mut changes = self.label_changes.lock();
            changes.too_large_for = too_large_for;
            if how != LabelLoad::Complete {
                changes.lost = None;
            }
        }
        if how != LabelLoad::Failed {
            self.retries.lock().succeeded(Task::LabelLoad);
        }
        self.show_label_metrics();
        how
    }

    /// Tells the metrics how large the index is and whether it answers.
    pub(super) fn show_label_metrics(&self) {
        let labels = self.labels();
        metrics::gauge!("strandline_label_index_complete").set(f64::from(u8::from(labels.answers())));
        metrics::gauge!("strandline_label_index_bytes").set(labels.memory_bytes() as f64);
    }
}
