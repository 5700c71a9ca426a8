//! How do streams leave the label index that a merge, an erasure or retention took the last rows of?
//!
//! The edit that takes them notes the day; then the stream tables that are left of the day are read. Until that was done
//! the index is not saved. When it fails (no file can be opened, say) the index is not asked either: stream tables
//! answer, and the day is looked at again after a pause.

use super::label_load::LabelChanges;
use super::retry::{self, Task};
use super::{Engine, SegmentHandle};
use crate::error::StoreError;
use crate::labels::LabelIndex;
use crate::manifest::SegmentId;
use std::collections::BTreeSet;
use std::sync::Arc;
use strandline_model::{Day, Labels, TenantId};

impl Engine {
    /// Notes that a partition may have lost streams. To be called with the manifest locked, as one step with the edit.
    pub(super) fn note_lost_labels(&self, tenant: &TenantId, day: Day) {
        let mut changes = self.label_changes.lock();
        if let Some(lost) = &mut changes.lost {
            lost.insert((tenant.clone(), day));
        }
        let index = self.labels();
        if index.is_complete() {
            changes.unseen.insert((tenant.clone(), day));
            index.set_dubious();
        }
    }

    /// Takes lost streams out of the label index: looks at the days that were noted, unless that failed a moment ago.
    /// An error is met again at the next call after a pause.
    pub(super) fn refresh_labels(&self) {
        let days = self.label_changes.lock().unseen.clone();
        if days.is_empty() {
            self.retries.lock().succeeded(Task::Labels);
            return;
        }
        if !self.may_run(Task::Labels) {
            return;
        }
        let mut failure = None;
        for (tenant, day) in &days {
            if let Err(error) = self.reindex_partition(tenant, *day) {
                self.withdraw_labels(tenant, *day);
                tracing::warn!(%tenant, %day, %error, "streams that are gone could not be taken out of the label index; stream tables of segments answer until they can");
                failure = Some(error);
            }
        }
        let now_ns = self.clock.monotonic_ns();
        match failure {
            Some(error) => self.retries.lock().label_look_failed(now_ns, &error),
            None => self.retries.lock().succeeded(Task::Labels),
        }
        self.show_label_metrics();
    }

    /// The look at a day failed: the index is not asked, unless the day's names came right in the meantime.
    fn withdraw_labels(&self, tenant: &TenantId, day: Day) {
        // An index that takes the place of another one does so under this lock.
        let changes = self.label_changes.lock();
        if changes.unseen.contains(&(tenant.clone(), day)) {
            self.labels().withdraw();
        }
    }

    /// Makes the label index say of one day what its segments say.
    pub(super) fn reindex_partition(&self, tenant: &TenantId, day: Day) -> Result<(), StoreError> {
        let mut seen = DayLabels::default();
        loop {
            let complete = self.labels().is_complete();
            let catalog = Arc::clone(&self.state.read().catalog);
            for handle in catalog.partition(tenant, day).iter().filter(|_| complete) {
                seen.read(handle)?;
            }
            let manifest = self.manifest.lock();
            let index = self.labels();
            let mut changes = self.label_changes.lock();
            if !index.is_complete() {
                // Whoever fills an index is told of what is lost meanwhile, and has seen what was lost before.
                changes.unseen.remove(&(tenant.clone(), day));
                return Ok(());
            }
            let catalog = Arc::clone(&self.state.read().catalog);
            let present: BTreeSet<SegmentId> =
                catalog.partition(tenant, day).iter().map(|segment| segment.meta().id).collect();
            if !present.is_subset(&seen.segments) {
                // A flush came meanwhile: its streams are in the index, and must not be taken out again.
                continue;
            }
            if present != seen.segments {
                // One that was read has gone, and streams with it perhaps.
                seen = DayLabels::default();
                continue;
            }
            // A damaged segment may hold any of the streams that are named.
            if !seen.is_damaged {
                self.flushed.lock().forget();
                index.replace_day(tenant, day, seen.labels.iter());
            }
            note_seen(&mut changes, &index, tenant, day);
            index.commit(manifest.generation());
            return Ok(());
        }
    }
}

/// The streams of one day: once each, however many segments have them.
#[derive(Default)]
struct DayLabels {
    segments: BTreeSet<SegmentId>,
    labels: BTreeSet<Labels>,
    /// The streams of some segment cannot be read.
    is_damaged: bool,
}

impl DayLabels {
    /// Adds a segment's streams, unless they are known.
    fn read(&mut self, handle: &SegmentHandle) -> Result<(), StoreError> {
        if self.segments.contains(&handle.meta().id) {
            return Ok(());
        }
        match readable_labels(handle)? {
            Some(labels) => self.labels.extend(labels),
            None => self.is_damaged = true,
        }
        self.segments.insert(handle.meta().id);
        Ok(())
    }
}

/// Notes that the index names the streams of a day and no others.
fn note_seen(changes: &mut LabelChanges, index: &LabelIndex, tenant: &TenantId, day: Day) {
    changes.unseen.remove(&(tenant.clone(), day));
    if changes.unseen.is_empty() {
        index.set_exact();
    }
}

/// The streams of a segment; `None` when its bytes are wrong, which no further look changes.
fn readable_labels(handle: &SegmentHandle) -> Result<Option<Vec<Labels>>, StoreError> {
    match handle.open().and_then(|segment| super::flush::labels_of(&segment)) {
        Ok(labels) => Ok(Some(labels)),
        Err(error) if retry::is_corruption(&error) => {
            handle.note_damage(&error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
