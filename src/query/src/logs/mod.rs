//! Log queries: the first entries from one end of a time range, with what is needed to know when no better ones can come.

pub(crate) mod best;
pub(crate) mod group;
mod heads;
mod scan;
pub(crate) mod staged;

use crate::execute::Sink;
use crate::plan::SegmentPlan;
use crate::request::Direction;
use crate::scope::Scope;
use best::{Best, Hit};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use strandline_model::TimeRange;
use strandline_store::StoreError;
use strandline_store::head::Head;

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) found: Vec<Hit>,
    pub(crate) duplicates: u64,
    pub(crate) warnings: Vec<String>,
}

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

    /// The part of `range` in which entries can still be in the answer.
    fn range_within(&self, mut range: TimeRange) -> TimeRange {
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
    fn take(&self, found: Vec<Hit>) {
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

impl Sink for LogSink {
    fn bound(&self) -> i64 {
        self.bound.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn best_key(&self, range: TimeRange, (first, last): (i64, i64)) -> i64 {
        self.direction.best_key((first.max(range.start), last.min(range.end.saturating_sub(1))))
    }

    fn head(&self, scope: &Scope, source: usize, head: &Arc<Head>) -> Result<(), StoreError> {
        heads::scan(self, scope, source, head);
        Ok(())
    }

    fn block(&self, scope: &Scope, plan: &SegmentPlan, index: u32) -> Result<(), StoreError> {
        scan::scan(self, scope, plan, index).map(|found| self.take(found))
    }
}
