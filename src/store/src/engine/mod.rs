//! The engine: ties log, head, segments, manifest and label index together.
//!
//! Everything here is synchronous and runs on whatever [`crate::disk::Disk`] and clock it is given, so that crash
//! tests drive the very code that serves. [`crate::runtime`] adds the threads.
//!
//! The order that makes an acknowledged line safe: log frame, sync, head, acknowledgement; later segment file, sync,
//! rename, folder sync, manifest edit, and only then is the log recycled and the head dropped.

mod adopt;
mod catalog;
mod commit;
mod compaction;
mod config;
mod delete;
mod erase;
mod flush;
mod flushed;
mod folder;
mod label_load;
mod label_refresh;
mod lookup;
mod lookup_answer;
mod merge;
mod observe;
mod open;
mod read;
mod read_only;
#[cfg(test)]
mod recovery_tests;
mod removals;
mod retain;
mod retry;
#[cfg(test)]
mod retry_tests;
#[cfg(test)]
mod tests;
mod verify;

pub use catalog::SegmentHandle;
pub use commit::EncodedBatch;
pub use config::{EngineConfig, Retention, StreamRetention, TenantRetention};
pub use delete::{DeleteError, MAX_PENDING_DELETES};
pub use folder::SegmentFolder;
pub use label_load::LabelLoad;
pub use lookup::{LabelSets, Lookup};
pub use lookup_answer::{LookupAnswer, UnreadSegment};
pub use observe::CommitObserver;
pub use open::OpenReport;
pub use read::{PartitionStats, View};
pub use verify::{VerifyReport, accept_losses, partition_stats, verify};

use crate::deletes::Delete;
use crate::disk::Disk;
use crate::documents::Documents;
use crate::error::StoreError;
use crate::head::Head;
use crate::invariant::{self, invariant};
use crate::labels::LabelIndex;
use crate::losses::Losses;
use crate::manifest::{Edit, Manifest, SegmentId, SegmentMeta};
use crate::segment::RemoveSegment;
use crate::wal::Wal;
use catalog::{Catalog, OpenSegments};
use flushed::Flushed;
use label_load::LabelChanges;
use parking_lot::{Mutex, RwLock};
use read_only::ReadOnly;
use retry::Retries;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use strandline_model::{Clock, Day};

/// The store.
#[derive(Debug)]
pub struct Engine {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    config: EngineConfig,
    wal: Mutex<Wal>,
    manifest: Mutex<Manifest>,
    /// Empty and incomplete until it is loaded: a start does not wait for it. A new one takes its place in one step.
    labels: RwLock<Arc<LabelIndex>>,
    /// Where the index' image lies, and the manifest's generation at start, which it must have seen.
    labels_image: (Option<PathBuf>, u64),
    label_changes: Mutex<LabelChanges>,
    /// One index is read or built at a time.
    loading_labels: Mutex<()>,
    /// Streams that the label index holds for certain, and up to when they are in segments; forgotten whenever the
    /// index loses any.
    flushed: Mutex<Flushed>,
    state: RwLock<State>,
    open: Arc<OpenSegments>,
    /// Makes segment ids unique within a millisecond.
    counter: AtomicU64,
    /// One flush, one merge and one retention run at a time.
    flushing: Mutex<()>,
    compacting: Mutex<()>,
    retaining: Mutex<retain::LastRun>,
    read_only: Mutex<ReadOnly>,
    /// Monotonic time of the last published flush.
    last_flush: AtomicI64,
    /// Groups of batches that became searchable.
    commits: AtomicU64,
    observer: OnceLock<Arc<dyn CommitObserver>>,
    /// What is known to be lost.
    losses: Mutex<Losses>,
    /// What failed in the background and is tried again.
    retries: Mutex<Retries>,
    /// Small state of others; nothing of the log store depends on it.
    documents: Arc<Documents>,
}

/// What a reader sees; taken as one, so that an entry is in a head or in a segment and never in neither or both.
#[derive(Debug, Clone)]
struct State {
    active: Arc<Head>,
    /// Oldest first.
    sealed: VecDeque<Arc<Head>>,
    catalog: Arc<Catalog>,
    /// Pending deletes of all tenants, by number.
    deletes: Arc<Vec<Arc<Delete>>>,
}

impl Engine {
    /// Settings in force.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The clock in use.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Small documents that other parts keep here: rules, checkpoints, views. Under the same lock of the directory.
    pub fn documents(&self) -> &Arc<Documents> {
        &self.documents
    }

    fn new_segment_id(&self) -> SegmentId {
        let ms = (self.clock.now_ns() / 1_000_000).max(0) as u128 & 0xffff_ffff_ffff;
        let n = self.counter.fetch_add(1, Ordering::Relaxed);
        let generation = self.manifest.lock().generation() & 0xffff_ffff;
        SegmentId(ms << 80 | u128::from(generation) << 48 | u128::from(n & SegmentId::COUNTER))
    }

    /// Makes an edit durable, and lets go of the files that it or an earlier one makes superfluous for certain.
    fn commit_edit(&self, manifest: &mut Manifest, edit: &Edit) -> Result<u64, StoreError> {
        let removals = self.open.removals();
        manifest.forget_removed(&removals.take_done());
        let unpublished = removals.take_unpublished();
        let mut edit = Cow::Borrowed(edit);
        if !unpublished.is_empty() {
            edit.to_mut().drop.extend(unpublished.iter().map(|meta| meta.id));
        }
        let committed = manifest.commit(&edit);
        match &committed {
            Ok(_) => unpublished.into_iter().for_each(|meta| removals.remove(self.disk.as_ref(), meta)),
            Err(_) => removals.keep_until_next_edit(unpublished),
        }
        committed
    }

    /// Commits an edit and shows readers the result: the only way in which segments come and go. `add` brings new streams
    /// into the label index; readers see the new segments only after it.
    fn publish(
        &self,
        edit: &Edit,
        flushed: Option<&Arc<Head>>,
        add: impl FnOnce(&LabelIndex),
    ) -> Result<(), StoreError> {
        let mut manifest = self.manifest.lock();
        let before = self.publish_to(&mut manifest, edit, flushed, add, |_| ())?;
        // The files of dropped segments go with the catalog: nobody has to wait for that.
        drop(manifest);
        drop(before);
        Ok(())
    }

    /// The same with the manifest locked already. `remove` takes streams out of the label index that the edit takes from
    /// the segments; readers see the old segments only before it. So the index never lacks a stream of a segment that can
    /// be seen, at any moment. Returns the catalog before, which is best dropped with the manifest unlocked.
    fn publish_to(
        &self,
        manifest: &mut Manifest,
        edit: &Edit,
        flushed: Option<&Arc<Head>>,
        add: impl FnOnce(&LabelIndex),
        remove: impl FnOnce(&LabelIndex),
    ) -> Result<Arc<Catalog>, StoreError> {
        self.check_edit(manifest, edit, flushed);
        // Segments that were written by a store that contradicts itself must not take the place of what is in the log.
        invariant::check()?;
        let labels = self.labels();
        let generation_before = manifest.generation();
        let generation = self.commit_edit(manifest, edit)?;
        invariant!(generation_before < generation, "generation {generation} follows {generation_before}");
        self.forget_failures(&edit.drop);
        add(&labels);
        // The catalog changes under the manifest's lock alone: the next one is built while readers still use the one
        // before, however many segments there are.
        let before = Arc::clone(&self.state.read().catalog);
        let clean_of = |id| manifest.deletes().clean_of(id);
        let handle = |meta: &SegmentMeta| SegmentHandle::new(meta.clone(), clean_of(meta.id), &self.open);
        let added: Vec<_> = edit.add.iter().map(handle).collect();
        let next = Arc::new(before.with(&added, &edit.drop));
        let deletes = (!edit.deletes.is_empty()).then(|| Arc::new(self.pending_deletes(manifest)));
        next.note_clean(&edit.deletes.clean);
        let mut deletes_before = None;
        {
            let mut state = self.state.write();
            state.catalog = next;
            if let Some(deletes) = deletes {
                deletes_before = Some(std::mem::replace(&mut state.deletes, deletes));
            }
            if let Some(head) = flushed {
                self.last_flush.store(self.clock.monotonic_ns(), Ordering::Relaxed);
                state.sealed.retain(|h| !Arc::ptr_eq(h, head));
            }
        }
        drop(deletes_before);
        // `before` still holds them, so none is dropped undoomed.
        before.doom(&edit.drop);
        remove(&labels);
        // Still under the manifest's lock: the image must name the last edit that it has seen, and no later one.
        if labels.is_complete() {
            labels.commit(generation);
        }
        self.show_label_metrics();
        Ok(before)
    }

    /// What an edit says must go with what is there.
    fn check_edit(&self, manifest: &Manifest, edit: &Edit, flushed: Option<&Arc<Head>>) {
        // A copy: readers and writers do not wait for these looks.
        let state = self.state.read().clone();
        let low_water = manifest.low_water();
        invariant!(
            edit.low_water.is_none_or(|new| low_water <= new),
            "the log's mark goes back from {low_water}"
        );
        for meta in &edit.add {
            let id = meta.id;
            let known = state.catalog.partition(&meta.tenant, meta.day).iter().any(|s| s.meta().id == id);
            invariant!(!known, "segment {id} is there already");
            invariant!(!edit.drop.contains(&id), "segment {id} comes and goes at once");
            invariant!(edit.add.iter().filter(|m| m.id == id).count() == 1, "segment {id} comes twice");
            invariant!(meta.rows > 0 && meta.blocks > 0 && meta.streams > 0, "segment {id} is empty");
            invariant!(u64::from(meta.streams) <= meta.rows, "segment {id} has streams without rows");
            invariant!(u64::from(meta.blocks) <= meta.rows, "segment {id} has blocks without rows");
            invariant!(meta.seq.0 <= meta.seq.1, "the sequences of segment {id} are reversed");
            let days = (Day::of(meta.time.0), Day::of(meta.time.1));
            invariant!(
                meta.time.0 <= meta.time.1 && days == (meta.day, meta.day),
                "segment {id} leaves its day"
            );
        }
        if let Some(head) = flushed {
            let oldest = state.sealed.front();
            invariant!(
                oldest.is_some_and(|oldest| Arc::ptr_eq(oldest, head)),
                "heads are flushed out of order"
            );
            let seq = head.fill().seq;
            invariant!(
                edit.low_water == seq.map(|seq| seq.1),
                "a flush of {seq:?} ends at {:?}",
                edit.low_water
            );
            invariant!(
                edit.add.iter().all(|meta| Some(meta.seq) == seq),
                "a flush has segments of other heads"
            );
        }
        invariant!(
            state.deletes.is_sorted_by_key(|delete| delete.record().number),
            "deletes are out of order"
        );
    }
}
