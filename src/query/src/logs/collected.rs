//! Which entries has a log query so far? Shared by the threads that look for more.

use super::best::{Best, Hit};
use crate::request::Direction;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use strandline_model::TimeRange;

/// Collects the entries of an answer.
#[derive(Debug)]
pub(crate) struct LogSink {
    limit: usize,
    direction: Direction,
    best: Mutex<Best>,
    /// Copies of what `best` says, to be read without its lock.
    bound: AtomicI64,
    bytes: AtomicUsize,
}

impl LogSink {
    /// An empty answer of at most `limit` entries.
    pub(crate) fn new(limit: usize, direction: Direction) -> Self {
        Self {
            limit,
            direction,
            best: Mutex::new(Best::new(limit, direction)),
            bound: AtomicI64::new(i64::MIN),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Most entries wanted.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// From which end.
    pub(super) fn direction(&self) -> Direction {
        self.direction
    }

    /// Entries with a lower key cannot be in the answer.
    pub(super) fn bound(&self) -> i64 {
        self.bound.load(Ordering::Relaxed)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The part of `range` in which entries can still be in the answer.
    pub(super) fn range_within(&self, mut range: TimeRange) -> TimeRange {
        let bound = self.bound();
        if bound > i64::MIN {
            let ts = self.direction.ts(bound);
            match self.direction {
                Direction::Backward => range.start = range.start.max(ts),
                Direction::Forward => range.end = range.end.min(ts.saturating_add(1)),
            }
        }
        range
    }

    /// Takes entries that passed.
    pub(super) fn take(&self, found: Vec<Hit>) {
        if found.is_empty() {
            return;
        }
        let mut best = self.best.lock();
        best.add(found);
        self.bound.store(best.bound(), Ordering::Relaxed);
        self.bytes.store(best.bytes(), Ordering::Relaxed);
    }

    /// The answer in order, and how many entries were there more than once.
    pub(crate) fn finish(&self) -> (Vec<Hit>, u64) {
        // A thread may still hold the run for a moment after it reported its last unit.
        let empty = Best::new(0, self.direction);
        std::mem::replace(&mut *self.best.lock(), empty).finish()
    }
}
