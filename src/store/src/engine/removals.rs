//! Which dropped segments still have a file? The manifest names these until their removal is durable: a file that comes
//! back with a power cut must not be taken up again.

use super::Engine;
use crate::disk::Disk;
use crate::error::{AtPath, StoreError};
use crate::manifest::{SegmentId, SegmentMeta};
use crate::segment::RemoveSegment;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::io;

/// Files of dropped segments. There are never more than such files on the disk.
#[derive(Debug, Default)]
pub(super) struct Removals {
    /// Removed for good, which the manifest does not know yet.
    done: Mutex<BTreeSet<SegmentId>>,
    /// Could not be removed, or not durably.
    failed: Mutex<Vec<SegmentMeta>>,
    /// Outputs of merges that were not published. Their inputs may go by a later merge that leaves nothing to say so, and a
    /// start would take these for its result: so the next edit names them as dropped.
    unpublished: Mutex<Vec<SegmentMeta>>,
}

impl RemoveSegment for Removals {
    fn remove(&self, disk: &dyn Disk, meta: SegmentMeta) {
        match remove_for_good(disk, &meta) {
            Ok(()) => {
                self.done.lock().insert(meta.id);
            }
            // Tried again; should the process end first, the next start removes it.
            Err(error) => {
                tracing::warn!(%error, "a dropped segment could not be removed yet");
                self.failed.lock().push(meta);
            }
        }
    }
}

impl Removals {
    /// Removes what a merge wrote that was not published.
    pub(super) fn discard(&self, disk: &dyn Disk, outputs: Vec<SegmentMeta>) {
        for meta in outputs {
            if let Err(error) = remove_for_good(disk, &meta) {
                tracing::warn!(%error, "an output of an unfinished merge could not be removed yet");
                self.unpublished.lock().push(meta);
            }
        }
    }

    /// Keeps what an edit would have listed that failed: nobody knows whether it survives a crash, until the next edit holds,
    /// which is written to new files.
    pub(super) fn keep_until_next_edit(&self, outputs: impl IntoIterator<Item = SegmentMeta>) {
        self.unpublished.lock().extend(outputs);
    }

    /// What the next edit has to drop, and what is to be removed when it holds.
    pub(super) fn take_unpublished(&self) -> Vec<SegmentMeta> {
        std::mem::take(&mut *self.unpublished.lock())
    }

    /// Those removed for good since the last call.
    pub(super) fn take_done(&self) -> BTreeSet<SegmentId> {
        std::mem::take(&mut *self.done.lock())
    }
}

fn remove_for_good(disk: &dyn Disk, meta: &SegmentMeta) -> io::Result<()> {
    match disk.remove(&meta.path()) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    disk.sync_dir(&meta.dir())
}

impl Engine {
    /// Removes files whose removal failed before. An error is the last failure, and those files stay on the list.
    pub(super) fn remove_again(&self) -> Result<(), StoreError> {
        let removals = self.open.removals();
        let failed = std::mem::take(&mut *removals.failed.lock());
        let mut result = Ok(());
        for meta in failed {
            match remove_for_good(self.disk.as_ref(), &meta) {
                Ok(()) => {
                    removals.done.lock().insert(meta.id);
                }
                Err(e) => {
                    // Not the path of a listed segment: it is the removal that waits.
                    result = Err(e).at(&meta.dir());
                    removals.failed.lock().push(meta);
                }
            }
        }
        result
    }

    /// Whether files wait for their removal.
    pub(super) fn has_failed_removals(&self) -> bool {
        !self.open.removals().failed.lock().is_empty()
    }
}
