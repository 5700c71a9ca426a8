//! Who is told of batches the moment they are safe and searchable?
//!
//! One observer, set once. It is told in the order of commits, before the acknowledgements, and never of a batch that
//! was not synced as `wal.sync` says.

use super::{EncodedBatch, Engine};
use std::sync::Arc;
use strandline_model::Batch;

/// Is told of committed batches.
pub trait CommitObserver: Send + Sync + std::fmt::Debug {
    /// Whether anybody wants to know at the moment; asked for each group, so it has to cost next to nothing.
    fn is_listening(&self) -> bool;

    /// A group of batches became searchable. `commit` is what [`Engine::commits`] says from now on; readers may have
    /// seen these batches a moment before. Called by the thread that commits, which holds the log: it must return at
    /// once and must not call the engine.
    fn committed(&self, commit: u64, batches: &mut dyn Iterator<Item = &Arc<Batch>>);
}

impl Engine {
    /// Sets the observer; false when there is one already, which then stays.
    pub fn observe(&self, observer: Arc<dyn CommitObserver>) -> bool {
        self.observer.set(observer).is_ok()
    }

    /// To be called with the log locked, so that the observer hears of commits in their order.
    pub(super) fn tell_observer(&self, commit: u64, group: &[EncodedBatch]) {
        if let Some(observer) = self.observer.get().filter(|observer| observer.is_listening()) {
            observer.committed(commit, &mut group.iter().map(EncodedBatch::batch));
        }
    }
}
