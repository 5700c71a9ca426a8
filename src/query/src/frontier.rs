//! What is to be looked at next? The part that can hold the best entry.

use crate::plan::SegmentPlan;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// A part of the data that one thread looks at in one go.
#[derive(Debug, Clone)]
pub(crate) enum Unit {
    /// A head, by its place among the view's heads.
    Head(usize),
    /// A segment that is not opened yet, by its place among the view's segments.
    Segment(usize),
    /// A block of a planned segment.
    Block(Arc<SegmentPlan>, u32),
}

/// Units in order of the best entry that each can hold.
#[derive(Debug, Default)]
pub(crate) struct Frontier {
    waiting: BinaryHeap<Waiting>,
    /// Units that threads are looking at.
    pub(crate) running: usize,
    /// Whether the pool has been offered the query and no thread has taken it up yet.
    pub(crate) offered: bool,
    /// Set once by whatever ended the query early.
    pub(crate) failure: Option<crate::error::QueryError>,
}

#[derive(Debug)]
struct Waiting {
    key: i64,
    unit: Unit,
}

impl Frontier {
    /// Adds a unit whose best entry has at most `key`.
    pub(crate) fn push(&mut self, key: i64, unit: Unit) {
        self.waiting.push(Waiting { key, unit });
    }

    /// The most promising unit, unless no unit can reach `bound`: then none is left.
    pub(crate) fn take(&mut self, bound: i64) -> Option<Unit> {
        if self.waiting.peek().is_some_and(|best| best.key < bound) {
            self.waiting.clear();
        }
        let Waiting { unit, .. } = self.waiting.pop()?;
        self.running += 1;
        Some(unit)
    }

    /// Forgets all units that wait.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Whether no unit waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether nothing waits and nothing runs.
    pub(crate) fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.running == 0
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Waiting {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_comes_first_and_the_hopeless_not_at_all() {
        let mut frontier = Frontier::default();
        for key in [3, 9, 5] {
            frontier.push(key, Unit::Segment(key as usize));
        }
        assert!(matches!(frontier.take(i64::MIN), Some(Unit::Segment(9))));
        assert!(matches!(frontier.take(5), Some(Unit::Segment(5))));
        assert!(frontier.take(5).is_none());
        assert_eq!((frontier.is_empty(), frontier.is_done(), frontier.running), (true, false, 2));
    }
}
